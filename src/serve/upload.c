/* SPDX-License-Identifier: MIT */
/* upload.c - POST /api/uploads?name=NAME: the body becomes STATE/uploads/NUMBER/NAME. */
#include "serve/serve_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool name_is_fine(const char *name)
{
    const size_t n = name ? strlen(name) : 0;

    if (n == 0 || n > 100 || *name == '.' || *name == '-')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < 32 || name[i] == 127 || strchr("/\\,:=", name[i]))
            return false;
    return true;
}

/* A folder whose number nobody has: numbers are drawn, so that one does not reveal another */
static gd_status make_folder(serve_request *r, char path[SERVE_PATH])
{
    for (int tries = 0; tries < 100; tries++) {
        uint32_t number;
        if (!gd_random(&number, sizeof number))
            return gd_fail(GD_EIO, "no random numbers from the system");
        r->upload_id = (int64_t)number + 1;
        snprintf(path, SERVE_PATH, "%.3900s/uploads/%lld", r->s->state, (long long)r->upload_id);
        if (gd_os.mkdir(path, 0700) == 0)
            return GD_OK;
        if (errno != EEXIST)
            return gd_fail_errno(errno, path);
    }
    return gd_fail(GD_EFAILED, "%s/uploads: no free number", r->s->state);
}

gd_status serve_upload_begin(serve_request *r)
{
    const char *name = mhd.lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, "name");
    char folder[SERVE_PATH], path[SERVE_PATH];

    if (!name_is_fine(name))
        return gd_fail(GD_EUSAGE, "?name=NAME is expected: a file's name without / \\ , : =");
    snprintf(r->name, sizeof r->name, "%s", name);
    GD_TRY(make_folder(r, folder));
    snprintf(path, sizeof path, "%.3980s/%s", folder, name);
    return gd_file_create(&r->upload, path, GD_KEEP, 0);
}

void serve_upload_take(serve_request *r, const char *data, size_t bytes)
{
    r->bytes += bytes;
    r->too_large = r->too_large || r->bytes > r->limit;
    if (r->upload && !r->too_large && r->status == GD_OK) {
        r->status = gd_file_write(r->upload, data, bytes);
    }
    if (r->upload && (r->too_large || r->status != GD_OK)) {
        gd_file_abort(r->upload);
        r->upload = NULL;
    }
}

enum MHD_Result serve_upload_end(serve_request *r)
{
    char path[SERVE_PATH];
    gd_status status = r->status;

    if (status == GD_OK) {
        status = gd_file_commit(r->upload);
        r->upload = NULL;
    }
    if (status != GD_OK)
        return serve_reply_failure(r, status);
    snprintf(path, sizeof path, "uploads/%lld/%s", (long long)r->upload_id, r->name);
    return serve_reply_json(r, MHD_HTTP_CREATED,
                            json_pack("{s:s, s:I}", "file", path, "bytes", (json_int_t)r->bytes));
}
