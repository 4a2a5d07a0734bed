/* SPDX-License-Identifier: MIT */
/* os.c - the system calls, through a table that tests replace; whole files mapped for reading; the
 * clock; what is free and what was used. */
#define _GNU_SOURCE
#include "base/base.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int call_open(const char *path, int flags, mode_t mode)
{
    return open(path, flags, mode);
}

static int call_fallocate(int fd, off_t offset, off_t bytes)
{
    return fallocate(fd, 0, offset, bytes);
}

/* A lock of the open file, not of the process: closing another descriptor does not drop it. */
static int call_lock(int fd, int type, off_t at, off_t bytes)
{
    struct flock range = {
        .l_type = (short)type, .l_whence = SEEK_SET, .l_start = at, .l_len = bytes
    };
    const int status = fcntl(fd, F_OFD_SETLK, &range);

    if (status != 0 && errno == EACCES) /* the other name of the same thing */
        errno = EAGAIN;
    return status;
}

gd_os_table gd_os = {
    .open = call_open,
    .close = close,
    .read = read,
    .pread = pread,
    .write = write,
    .pwrite = pwrite,
    .lock = call_lock,
    .fallocate = call_fallocate,
    .fsync = fsync,
    .rename = rename,
    .link = link,
    .unlink = unlink,
    .mkdir = mkdir,
};

/* Where a standard stream is closed, the next file would get its number, and then what the program
 * prints. */
static int above_standard(int fd)
{
    int above, error;

    if (fd < 0 || fd > STDERR_FILENO)
        return fd;
    above = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    error = errno;
    gd_os.close(fd);
    errno = error;
    return above;
}

int gd_open(const char *path, int flags, mode_t mode)
{
    int fd;

    do
        fd = gd_os.open(path, flags, mode);
    while (fd < 0 && errno == EINTR);
    return above_standard(fd);
}

/* at < 0: where the file stands */
static bool write_whole(int fd, const void *data, size_t bytes, off_t at)
{
    const unsigned char *from = data;
    size_t done = 0;

    while (done < bytes) {
        const ssize_t n = at < 0 ? gd_os.write(fd, from + done, bytes - done)
                                 : gd_os.pwrite(fd, from + done, bytes - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n == 0 ? ENOSPC : errno;
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

bool gd_write(int fd, const void *data, size_t bytes)
{
    return write_whole(fd, data, bytes, -1);
}

bool gd_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    return write_whole(fd, data, bytes, at);
}

ssize_t gd_pread(int fd, void *out, size_t bytes, off_t at)
{
    size_t done = 0;

    while (done < bytes) {
        const ssize_t n =
            gd_os.pread(fd, (unsigned char *)out + done, bytes - done, at + (off_t)done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

bool gd_fsync(int fd)
{
    int done;

    do
        done = gd_os.fsync(fd);
    while (done != 0 && errno == EINTR);
    return done == 0;
}

static gd_status no_lock_file(const char *path)
{
    return gd_fail(GD_EEXISTS,
                   "%s: a link, or not a lock file of this program\n"
                   "hint: remove it if no process works in that folder",
                   path);
}

static gd_status check_lock_file(int fd, const char *path)
{
    static const char begin[] = "pid ",
                      unset[sizeof begin]; /* a slot before the first is written */
    char text[sizeof begin - 1];
    struct stat there;
    ssize_t n;

    if (fstat(fd, &there) != 0 || !S_ISREG(there.st_mode) || there.st_nlink != 1)
        return no_lock_file(path);
    n = gd_pread(fd, text, sizeof text, 0);
    if (n < 0)
        return gd_fail_errno(errno, path);
    return n == 0 || (n == (ssize_t)sizeof text && (memcmp(text, begin, sizeof text) == 0 ||
                                                    memcmp(text, unset, sizeof text) == 0))
               ? GD_OK
               : no_lock_file(path);
}

gd_status gd_lock_file_open(int *fd, const char *path)
{
    gd_status s;

    *fd = gd_open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
    if (*fd < 0)
        return errno == ELOOP || errno == ENXIO || errno == EISDIR ? no_lock_file(path)
                                                                   : gd_fail_errno(errno, path);
    s = check_lock_file(*fd, path);
    if (s != GD_OK) {
        gd_os.close(*fd);
        *fd = -1;
    }
    return s;
}

/* Errors of the caller's name, apart from failures of the system: only the first mean
 * something about the file. */
static gd_status open_failed(const char *path)
{
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case ELOOP:
    case ENAMETOOLONG:
    case ENXIO: /* a socket, or a device that is not there */
        return gd_fail(GD_EFORMAT, "%s: %s", path, strerror(errno));
    default:
        return gd_fail_errno(errno, path);
    }
}

static gd_status map_open_file(gd_mapped *out, int fd, const char *path)
{
    struct stat info;

    if (fstat(fd, &info) != 0)
        return gd_fail_errno(errno, path);
    if (!S_ISREG(info.st_mode))
        return gd_fail(GD_EFORMAT, "%s: %s, not a file", path,
                       S_ISDIR(info.st_mode) ? "a folder" : "a device or pipe");
    *out = (gd_mapped){ NULL, (size_t)info.st_size };
    if (out->bytes == 0)
        return GD_OK;
    out->data = mmap(NULL, out->bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (out->data == MAP_FAILED) {
        *out = (gd_mapped){ 0 };
        return gd_fail(GD_ENOMEM, "%s: cannot be mapped: %s", path, strerror(errno));
    }
    return GD_OK;
}

/* O_NONBLOCK: opening a pipe without a writer must not block */
gd_status gd_map_file(gd_mapped *out, const char *path)
{
    int fd = gd_open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0);
    gd_status s;

    *out = (gd_mapped){ 0 };
    if (fd < 0)
        return open_failed(path);
    s = map_open_file(out, fd, path);
    gd_os.close(fd);
    return s;
}

void gd_unmap(gd_mapped *map)
{
    if (map->data)
        munmap((void *)map->data, map->bytes);
    *map = (gd_mapped){ 0 };
}

void gd_unmap_pages(const gd_mapped *map, size_t offset, size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t first = (offset + page - 1) / page * page, end = (offset + bytes) / page * page;

    if (map->data && first < end && end <= (map->bytes + page - 1) / page * page)
        madvise((void *)(map->data + first), end - first, MADV_DONTNEED);
}

double gd_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double gd_thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool gd_path_exists(const char *path)
{
    struct stat info;
    return lstat(path, &info) == 0;
}

bool gd_path_is_folder(const char *path)
{
    struct stat info;
    return path && stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

gd_status gd_free_bytes(uint64_t *out, const char *folder)
{
    struct statvfs info;

    if (statvfs(folder, &info) != 0)
        return gd_fail_errno(errno, folder);
    *out = (uint64_t)info.f_bavail * info.f_frsize;
    return GD_OK;
}

int gd_affinity(int *cpu, int max)
{
    cpu_set_t set;
    int n = 0;

    CPU_ZERO(&set);
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        for (int i = 0; i < CPU_SETSIZE && n < max; i++)
            if (CPU_ISSET(i, &set))
                cpu[n++] = i;
    if (n == 0) { /* more CPUs than the set holds */
        n = (int)GD_MIN(GD_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1), max);
        for (int i = 0; i < n; i++)
            cpu[i] = i;
    }
    return n;
}

void gd_sleep_on(const _Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

void gd_wake(const _Atomic uint32_t *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

/* The system's loader knows libguided.so by its path, and the program by none. */
bool gd_own_folder(char *out, size_t bytes)
{
    struct link_map *map;
    Dl_info info;
    char *path = NULL, *slash;

    if (dladdr1(&gd_os, &info, (void **)&map, RTLD_DL_LINKMAP))
        path = realpath(*map->l_name ? map->l_name : "/proc/self/exe", NULL);
    slash = path ? strrchr(path, '/') : NULL;
    if (slash)
        *slash = '\0';
    const bool fits = slash && snprintf(out, bytes, "%s", path) < (int)bytes;
    free(path);
    return fits;
}

bool gd_random(void *out, size_t bytes)
{
    return getrandom(out, bytes, 0) == (ssize_t)bytes;
}

size_t gd_machine_bytes(void)
{
    return (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE);
}

void gd_prefer_huge_pages(void *base, size_t bytes)
{
    madvise(base, bytes, MADV_HUGEPAGE);
}

bool gd_file_facts(int64_t facts[3], const char *path)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return false;
    facts[0] = info.st_size;
    facts[1] = info.st_mtim.tv_sec;
    facts[2] = info.st_mtim.tv_nsec;
    return true;
}

void gd_sort(void *base, size_t n, size_t size,
             int (*compare)(const void *a, const void *b, void *ctx), void *ctx)
{
    qsort_r(base, n, size, compare, ctx);
}

size_t gd_peak_bytes(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}
