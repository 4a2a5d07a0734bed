/* atomic.c - a file appears under its name whole and durable, or not at all. */
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16 }; /* small pieces, of headers and tensors, go out together */

static _Atomic unsigned writers; /* of this process, so far: each has its own part file */

struct gd_file {
    int fd;
    bool overwrite;
    uint64_t at;    /* behind all that was given */
    size_t waiting; /* bytes of it in the buffer */
    char *path, *part;
    unsigned char buffer[BUFFER_BYTES];
};

static void release(gd_file *f)
{
    if (f->fd >= 0)
        gd_os.close(f->fd);
    free(f->path);
    free(f->part);
    free(f);
}

static gd_status failed(const gd_file *f)
{
    return gd_fail_errno(errno, f->path);
}

static gd_status exists(const char *path)
{
    gd_status s = gd_fail(GD_EEXISTS, "%s exists already", path);

    gd_detail("hint: --overwrite replaces it");
    return s;
}

static gd_status open_part(gd_file *f, uint64_t expected_bytes)
{
    f->fd = gd_open(f->part, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (f->fd < 0)
        return failed(f);
    /* not every file system can reserve: then a full disk shows while writing */
    if (expected_bytes > 0 && gd_os.fallocate(f->fd, 0, (off_t)expected_bytes) != 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        return failed(f);
    return GD_OK;
}

gd_status gd_file_create(gd_file **out, const char *path, bool overwrite, uint64_t expected_bytes)
{
    const size_t bytes = strlen(path) + 48;
    gd_file *f;
    gd_status s;

    if (!overwrite && gd_path_exists(path))
        return exists(path);
    f = calloc(1, sizeof *f);
    if (!f)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    f->fd = -1;
    f->overwrite = overwrite;
    f->path = strdup(path);
    f->part = malloc(bytes);
    if (!f->path || !f->part) {
        release(f);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    snprintf(f->part, bytes, "%s.part-%ld.%u", path, (long)getpid(), ++writers);
    s = open_part(f, expected_bytes);
    if (s != GD_OK) {
        gd_file_abort(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

static gd_status flush(gd_file *f)
{
    const size_t n = f->waiting;

    f->waiting = 0;
    return gd_write(f->fd, f->buffer, n) ? GD_OK : failed(f);
}

gd_status gd_file_write(gd_file *f, const void *data, size_t bytes)
{
    if (bytes > BUFFER_BYTES - f->waiting)
        GD_TRY(flush(f));
    if (bytes > BUFFER_BYTES) {
        if (!gd_write(f->fd, data, bytes))
            return failed(f);
    } else {
        memcpy(f->buffer + f->waiting, data, bytes);
        f->waiting += bytes;
    }
    f->at += bytes;
    return GD_OK;
}

gd_status gd_file_write_at(gd_file *f, uint64_t offset, const void *data, size_t bytes)
{
    GD_TRY(flush(f));
    if (!gd_pwrite(f->fd, data, bytes, (off_t)offset))
        return failed(f);
    if (offset + bytes <= f->at)
        return GD_OK;
    f->at = offset + bytes;
    return lseek(f->fd, (off_t)f->at, SEEK_SET) < 0 ? failed(f) : GD_OK;
}

/* The rename is durable only when its folder is. */
static gd_status sync_folder(const gd_file *f)
{
    char folder[4096];
    const char *slash = strrchr(f->path, '/');
    int fd;
    gd_status s = GD_OK;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)GD_MAX(slash - f->path, 1) : 1,
             slash ? f->path : ".");
    fd = gd_open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd < 0)
        return failed(f);
    if (!gd_fsync(fd) && errno != EINVAL)
        s = failed(f);
    gd_os.close(fd);
    return s;
}

/* FAT and some network file systems have no links: there, two writers at once may replace each
 * other. */
static bool has_no_links(int error)
{
    return error == EPERM || error == EOPNOTSUPP || error == ENOSYS;
}

static gd_status publish(gd_file *f)
{
    GD_TRY(flush(f));
    if (!gd_fsync(f->fd))
        return failed(f);
    if (!f->overwrite) {
        /* unlike rename, never replaces what appeared meanwhile */
        if (gd_os.link(f->part, f->path) == 0) {
            gd_os.unlink(f->part);
            return GD_OK;
        }
        if (!has_no_links(errno))
            return errno == EEXIST ? exists(f->path) : failed(f);
        if (gd_path_exists(f->path))
            return exists(f->path);
    }
    return gd_os.rename(f->part, f->path) == 0 ? GD_OK : failed(f);
}

gd_status gd_file_commit(gd_file *f)
{
    gd_status s = publish(f);

    if (s != GD_OK) {
        gd_file_abort(f);
        return s;
    }
    s = sync_folder(f);
    release(f);
    return s;
}

void gd_file_abort(gd_file *f)
{
    if (!f)
        return;
    if (f->fd >= 0)
        gd_os.unlink(f->part);
    release(f);
}

gd_status gd_file_append(const char *path, const void *data, size_t bytes)
{
    const int fd = gd_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    gd_status s = GD_OK;

    if (fd < 0)
        return gd_fail_errno(errno, path);
    if (!gd_write(fd, data, bytes))
        s = gd_fail_errno(errno, path);
    gd_os.close(fd);
    return s;
}

gd_status gd_file_put(const char *path, bool overwrite, const void *data, size_t bytes)
{
    gd_file *f;
    gd_status s;

    GD_TRY(gd_file_create(&f, path, overwrite, bytes));
    s = gd_file_write(f, data, bytes);
    if (s != GD_OK) {
        gd_file_abort(f);
        return s;
    }
    return gd_file_commit(f);
}
