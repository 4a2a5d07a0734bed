/* SPDX-License-Identifier: MIT */
/* reply.c - answers, with the headers that all have. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char policy[] = "default-src 'none'; script-src 'self'; style-src 'self'; img-src "
                             "'self' blob: data:; connect-src 'self'; form-action 'none'; "
                             "base-uri 'none'; frame-ancestors 'none'";

static void set_once(struct MHD_Response *response, const char *name, const char *value)
{
    if (!mhd.get_response_header(response, name))
        mhd.add_response_header(response, name, value);
}

enum MHD_Result serve_reply(serve_request *r, int status, struct MHD_Response *response)
{
    enum MHD_Result result;

    if (!response)
        return MHD_NO;
    set_once(response, "Content-Security-Policy", policy);
    set_once(response, "X-Content-Type-Options", "nosniff");
    set_once(response, "Referrer-Policy", "no-referrer");
    set_once(response, "Cross-Origin-Resource-Policy", "same-origin");
    set_once(response, "Cache-Control", "no-store");
    result = mhd.queue_response(r->connection, (unsigned)status, response);
    mhd.destroy_response(response);
    return result;
}

enum MHD_Result serve_reply_text(serve_request *r, int status, const char *type, const char *text)
{
    struct MHD_Response *response = mhd.create_response_from_buffer(
        strlen(text), (void *)(uintptr_t)text, MHD_RESPMEM_MUST_COPY);

    if (response)
        mhd.add_response_header(response, "Content-Type", type);
    return serve_reply(r, status, response);
}

enum MHD_Result serve_reply_json(serve_request *r, int status, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    enum MHD_Result result = MHD_NO;

    json_decref(json);
    if (text)
        result = serve_reply_text(r, status, "application/json", text);
    free(text);
    return result;
}

enum MHD_Result serve_reply_error(serve_request *r, int status, const char *text)
{
    char plain[4000];

    gd_escape(plain, sizeof plain, text, strlen(text), "\n\t");
    return serve_reply_json(r, status, json_pack("{s:s}", "error", plain));
}

enum MHD_Result serve_reply_failure(serve_request *r, gd_status status)
{
    int code = MHD_HTTP_INTERNAL_SERVER_ERROR;

    if (status == GD_EUSAGE || status == GD_EFORMAT || status == GD_EMISMATCH)
        code = MHD_HTTP_BAD_REQUEST;
    if (status == GD_EEXISTS)
        code = MHD_HTTP_CONFLICT;
    if (status == GD_ENOSPACE || status == GD_ENOMEM)
        code = MHD_HTTP_SERVICE_UNAVAILABLE;
    return serve_reply_error(r, code, gd_error());
}

/* What a browser may show; all else is saved, so that no file of a job becomes a page of ours. */
static const char *type_of(const char *name)
{
    static const char *const types[][2] = {
        { ".png", "image/png" },
        { ".jpg", "image/jpeg" },
        { ".json", "application/json" },
        { ".csv", "text/plain; charset=utf-8" },
        { ".txt", "text/plain; charset=utf-8" },
    };

    for (int i = 0; i < COUNT(types); i++)
        if (gd_ends_with(name, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

enum MHD_Result serve_reply_file(serve_request *r, const char *folder, const char *relative)
{
    const int fd = serve_open_below(folder, relative);
    struct MHD_Response *response = NULL;
    struct stat st;

    if (fd < 0)
        return serve_reply_error(r, MHD_HTTP_NOT_FOUND, "there is no such file");
    if (fstat(fd, &st) == 0)
        response = mhd.create_response_from_fd64((uint64_t)st.st_size, fd);
    if (!response) {
        close(fd);
        return MHD_NO;
    }
    mhd.add_response_header(response, "Content-Type", type_of(relative));
    mhd.add_response_header(response, "Content-Security-Policy", "default-src 'none'; sandbox");
    return serve_reply(r, MHD_HTTP_OK, response);
}
