/* SPDX-License-Identifier: MIT */
/* slow_disk.c - preloaded into guided by the tests of large runs: notes in a file what the process
 * is doing when it dies, and can make it die in the middle of a write.
 *
 * DISK_PHASE=FILE   its first byte is what is being done: i an image, r a record, p the packing
 * DISK_DIES=r7      kill -9 when half of the 7th record is written; p2: half of the 2nd piece of
 *                   the result; c5: before the 5th call of those that change files */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static volatile char *phase;
static char when;
static int left;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("DISK_PHASE"), *dies = getenv("DISK_DIES");
    const int fd = path ? open(path, O_RDWR | O_CREAT, 0666) : -1;
    static char nowhere;

    phase = &nowhere;
    if (fd >= 0 && ftruncate(fd, 1) == 0)
        phase = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    *phase = '-';
    if (dies && *dies) {
        when = *dies;
        left = atoi(dies + 1);
    }
}

static void die_at(char what)
{
    if (when == what && --left == 0)
        kill(getpid(), SIGKILL);
}

/* r: the record file, p: what becomes the result, 0: another */
static char kind_of(int fd)
{
    char link[64], path[4096];
    ssize_t n;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = '\0';
    if (strstr(path, ".npz.part-"))
        return 'p';
    return n > 16 && strcmp(path + n - 16, "/samples.records") == 0 ? 'r' : 0;
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    ssize_t (*real)(int, const void *, size_t, off_t) = next("pwrite");
    const char kind = kind_of(fd);

    die_at('c');
    if (kind != 'r' || n == 1) {
        const ssize_t done = real(fd, data, n, at);
        *phase = kind == 'r' ? '-' : *phase;
        return done;
    }
    *phase = 'r';
    const ssize_t half = real(fd, data, n / 2, at);
    die_at('r');
    return half; /* a short write: the rest follows */
}

ssize_t write(int fd, const void *data, size_t n)
{
    ssize_t (*real)(int, const void *, size_t) = next("write");

    if (fd > 2)
        die_at('c');
    if (kind_of(fd) != 'p')
        return real(fd, data, n);
    *phase = 'p';
    const ssize_t half = real(fd, data, n > 1 ? n / 2 : n);
    die_at('p');
    return half;
}

int fcntl(int fd, int command, ...)
{
    int (*real)(int, int, void *) = next("fcntl");
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    const int status = real(fd, command, argument);

    if (command == F_OFD_SETLK && status == 0 && ((struct flock *)argument)->l_type == F_WRLCK &&
        kind_of(fd) == 'r')
        *phase = 'i';
    return status;
}

int fsync(int fd)
{
    int (*real)(int) = next("fsync");
    die_at('c');
    return real(fd);
}

int rename(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = next("rename");
    die_at('c');
    return real(from, to);
}

int link(const char *from, const char *to)
{
    int (*real)(const char *, const char *) = next("link");
    die_at('c');
    return real(from, to);
}

int unlink(const char *path)
{
    int (*real)(const char *) = next("unlink");
    die_at('c');
    return real(path);
}
