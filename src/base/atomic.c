/* SPDX-License-Identifier: MIT */
/* atomic.c - a file appears under its name whole and durable, or not at all. */
#define _DEFAULT_SOURCE
#include "base/part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 16 }; /* small pieces, of headers and tensors, go out together */

struct gd_file {
    int fd;
    gd_replace replace;
    uint64_t at;    /* behind all that was given */
    size_t waiting; /* bytes of it in the buffer */
    char *path, *part;
    char *target; /* where the link at `path` leads, else the same text */
    unsigned char buffer[BUFFER_BYTES];
};

static void release(gd_file *f)
{
    if (f->fd >= 0)
        gd_os.close(f->fd);
    free(f->path);
    free(f->part);
    free(f->target);
    free(f);
}

static gd_status failed(const gd_file *f)
{
    return gd_fail_errno(errno, f->path);
}

/* ---- what stands under the name already ---- */

static gd_status exists(const char *path)
{
    gd_status s = gd_fail(GD_EEXISTS, "%s exists already", path);

    gd_detail("hint: --overwrite replaces it");
    return s;
}

static gd_status check_kind(const struct stat *there, const char *path)
{
    gd_status s;

    if (S_ISREG(there->st_mode))
        return GD_OK;
    s = gd_fail(GD_EEXISTS, "%s is a %s, which is never replaced", path,
                S_ISDIR(there->st_mode)    ? "folder"
                : S_ISLNK(there->st_mode)  ? "symbolic link to no file"
                : S_ISFIFO(there->st_mode) ? "pipe"
                : S_ISSOCK(there->st_mode) ? "socket"
                                           : "device");
    gd_detail("hint: give the name of a file");
    return s;
}

/* *there: the file that will be replaced; st_nlink 0: none */
static gd_status look(struct stat *there, const char *path, gd_replace replace)
{
    *there = (struct stat){ .st_nlink = 0 };
    if (lstat(path, there) != 0) {
        there->st_nlink = 0; /* whatever else is wrong shows when the part is made */
        return GD_OK;
    }
    if (S_ISLNK(there->st_mode) && replace == GD_OWN) {
        there->st_nlink = 0; /* the link goes, what it leads to stays */
        return GD_OK;
    }
    if (S_ISLNK(there->st_mode))
        (void)!stat(path, there); /* a link to nothing stays a link */
    GD_TRY(check_kind(there, path));
    return replace == GD_KEEP ? exists(path) : GD_OK;
}

gd_status gd_file_check(const char *path, gd_replace replace)
{
    struct stat there;
    return look(&there, path, replace);
}

/* ---- making ---- */

static gd_status set_paths(gd_file *f, const char *path, const struct stat *there)
{
    const bool follow = there->st_nlink > 0 && f->replace == GD_OVERWRITE;

    f->path = strdup(path);
    f->target = follow ? realpath(path, NULL) : strdup(path);
    if (follow && !f->target)
        return gd_fail_errno(errno, path);
    if (f->target)
        f->part = malloc(strlen(f->target) + GD_PART_EXTRA);
    return f->path && f->part ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", path);
}

/* Owner, if we may, and mode of the file that will be replaced */
static gd_status take_mode(const gd_file *f, const struct stat *there)
{
    if (there->st_nlink == 0)
        return GD_OK;
    if (there->st_uid != geteuid() || there->st_gid != getegid())
        (void)!fchown(f->fd, there->st_uid, there->st_gid);
    return fchmod(f->fd, there->st_mode & 0777) == 0 ? GD_OK : failed(f);
}

static gd_status open_part(gd_file *f, const struct stat *there, uint64_t expected_bytes)
{
    gd_part_sweep_once(f->target);
    f->fd = gd_part_open(f->part, strlen(f->target) + GD_PART_EXTRA, f->target);
    if (f->fd < 0)
        return failed(f);
    GD_TRY(take_mode(f, there));
    /* not every file system can reserve: then a full disk shows while writing */
    if (expected_bytes > 0 && gd_os.fallocate(f->fd, 0, (off_t)expected_bytes) != 0 &&
        (errno == ENOSPC || errno == EDQUOT))
        return failed(f);
    return GD_OK;
}

gd_status gd_file_create(gd_file **out, const char *path, gd_replace replace,
                         uint64_t expected_bytes)
{
    struct stat there;
    gd_file *f;
    gd_status s;

    GD_TRY(look(&there, path, replace));
    f = calloc(1, sizeof *f);
    if (!f)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    f->fd = -1;
    f->replace = replace;
    s = set_paths(f, path, &there);
    if (s == GD_OK)
        s = open_part(f, &there, expected_bytes);
    if (s != GD_OK) {
        gd_file_abort(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

/* ---- writing ---- */

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
    const char *slash = strrchr(f->target, '/');
    int fd;
    gd_status s = GD_OK;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)GD_MAX(slash - f->target, 1) : 1,
             slash ? f->target : ".");
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
    if (f->replace == GD_KEEP) {
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
    return gd_os.rename(f->part, f->target) == 0 ? GD_OK : failed(f);
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

/* A row behind the others of an open file */
static gd_status append(int fd, const char *path, const void *data, size_t bytes, bool durable)
{
    struct stat there;

    if (fstat(fd, &there) != 0)
        return gd_fail_errno(errno, path);
    GD_TRY(check_kind(&there, path));
    if (!gd_write(fd, data, bytes) || (durable && !gd_fsync(fd)))
        return gd_fail_errno(errno, path);
    return GD_OK;
}

gd_status gd_file_append(const char *path, gd_replace replace, const void *data, size_t bytes,
                         bool durable)
{
    const int links = replace == GD_OVERWRITE ? 0 : O_NOFOLLOW;
    const int fd =
        gd_open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | links, 0666);
    gd_status s;

    if (fd < 0)
        return gd_fail_errno(errno, path);
    s = append(fd, path, data, bytes, durable);
    gd_os.close(fd);
    return s;
}

gd_status gd_file_sync(const char *path)
{
    const int fd = gd_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    gd_status s = GD_OK;

    if (fd < 0)
        return errno == ENOENT ? GD_OK : gd_fail_errno(errno, path);
    if (!gd_fsync(fd) && errno != EINVAL)
        s = gd_fail_errno(errno, path);
    gd_os.close(fd);
    return s;
}

gd_status gd_file_put(const char *path, gd_replace replace, const void *data, size_t bytes)
{
    gd_file *f;
    gd_status s;

    GD_TRY(gd_file_create(&f, path, replace, bytes));
    s = gd_file_write(f, data, bytes);
    if (s != GD_OK) {
        gd_file_abort(f);
        return s;
    }
    return gd_file_commit(f);
}
