/* SPDX-License-Identifier: MIT */
/* arm.c - counts requests and answers which one fails; the table of system calls with that answer
 * before each. */
#include "fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <unistd.h>

const fault fault_of_memory[] = {
    { "memory", FAULT_MEMORY, ENOMEM },
    { "heap", FAULT_HEAP, ENOMEM },
};
const int fault_of_memory_count = COUNT(fault_of_memory);

const fault fault_of_calls[] = {
    { "EIO", FAULT_CALL, EIO },
    { "ENOSPC", FAULT_CALL, ENOSPC },
    { "EDQUOT", FAULT_CALL, EDQUOT, false, "write" },
    { "EMFILE", FAULT_CALL, EMFILE, false, "open" },
    { "EACCES", FAULT_CALL, EACCES, false, "open" },
    { "EAGAIN", FAULT_CALL, EAGAIN, false, "write" },
    { "EINTR", FAULT_CALL, EINTR, true },
    { "short", FAULT_SHORT, 0, true },
    { "fsync", FAULT_CALL, EIO, false, "fsync" },
};
const int fault_of_calls_count = COUNT(fault_of_calls);

static const fault *armed;
static gd_os_table real;
static bool for_ever;
static int64_t first_bad;
static _Atomic int64_t seen, struck;
static const char *_Atomic last_call = "";

static bool strikes(void)
{
    const int64_t now = ++seen;
    const bool again =
        for_ever && now > first_bad && (armed->error != EINTR || (now - first_bad) % 2 == 0);

    if (now != first_bad && !again)
        return false;
    struck++;
    return true;
}

bool fault_strikes_heap(const void *caller)
{
    (void)caller;
    return armed && armed->where == FAULT_HEAP && strikes();
}

/* A signal cannot end the others. */
static bool is_slow(const char *name)
{
    static const char *const slow[] = { "open",  "close",  "read",  "pread",
                                        "write", "pwrite", "fsync", "fallocate" };

    for (int i = 0; i < COUNT(slow); i++)
        if (strcmp(name, slow[i]) == 0)
            return true;
    return false;
}

static bool call_fails(const char *name)
{
    /* Writing at a place is writing too. */
    const char *kind = strcmp(name, "pwrite") == 0 ? "write" : name;

    if (armed->only && strcmp(armed->only, kind) != 0)
        return false;
    if (armed->where == FAULT_SHORT || (armed->error == EINTR && !is_slow(name)) || !strikes())
        return false;
    last_call = name;
    if (armed->where == FAULT_EXIT)
        _exit(FAULT_EXIT_STATUS);
    errno = armed->error;
    return true;
}

static size_t moved(size_t bytes)
{
    return armed->where == FAULT_SHORT && bytes > 1 && strikes() ? bytes / 2 : bytes;
}

static int bad_open(const char *path, int flags, mode_t mode)
{
    return call_fails("open") ? -1 : real.open(path, flags, mode);
}

/* As Linux does, the file is closed whatever close says. */
static int bad_close(int fd)
{
    const int done = real.close(fd);
    return call_fails("close") ? -1 : done;
}

static ssize_t bad_read(int fd, void *buffer, size_t bytes)
{
    return call_fails("read") ? -1 : real.read(fd, buffer, moved(bytes));
}

static ssize_t bad_pread(int fd, void *buffer, size_t bytes, off_t offset)
{
    return call_fails("pread") ? -1 : real.pread(fd, buffer, moved(bytes), offset);
}

static ssize_t bad_write(int fd, const void *buffer, size_t bytes)
{
    return call_fails("write") ? -1 : real.write(fd, buffer, moved(bytes));
}

static ssize_t bad_pwrite(int fd, const void *buffer, size_t bytes, off_t offset)
{
    return call_fails("pwrite") ? -1 : real.pwrite(fd, buffer, moved(bytes), offset);
}

static int bad_lock(int fd, int type, off_t at, off_t bytes)
{
    return call_fails("lock") ? -1 : real.lock(fd, type, at, bytes);
}

static int bad_fallocate(int fd, off_t offset, off_t bytes)
{
    return call_fails("fallocate") ? -1 : real.fallocate(fd, offset, bytes);
}

static int bad_fsync(int fd)
{
    return call_fails("fsync") ? -1 : real.fsync(fd);
}

static int bad_rename(const char *from, const char *to)
{
    return call_fails("rename") ? -1 : real.rename(from, to);
}

static int bad_link(const char *from, const char *to)
{
    return call_fails("link") ? -1 : real.link(from, to);
}

static int bad_unlink(const char *path)
{
    return call_fails("unlink") ? -1 : real.unlink(path);
}

static int bad_mkdir(const char *path, mode_t mode)
{
    return call_fails("mkdir") ? -1 : real.mkdir(path, mode);
}

static const gd_os_table bad = { .open = bad_open,
                                 .close = bad_close,
                                 .read = bad_read,
                                 .pread = bad_pread,
                                 .write = bad_write,
                                 .pwrite = bad_pwrite,
                                 .lock = bad_lock,
                                 .fallocate = bad_fallocate,
                                 .fsync = bad_fsync,
                                 .rename = bad_rename,
                                 .link = bad_link,
                                 .unlink = bad_unlink,
                                 .mkdir = bad_mkdir };

void fault_arm(const fault *f, int64_t k, bool persist)
{
    real = gd_os;
    first_bad = k;
    for_ever = persist;
    seen = struck = 0;
    last_call = "";
    armed = f;
    if (f->where == FAULT_MEMORY)
        gd_fail_allocation((uint64_t)k, persist);
    else if (f->where != FAULT_HEAP)
        gd_os = bad;
}

int64_t fault_disarm(void)
{
    const fault *f = armed;

    armed = NULL;
    gd_os = real;
    if (f->where != FAULT_MEMORY)
        return struck;
    return (int64_t)gd_fail_allocation(0, false);
}

int64_t fault_seen(void)
{
    return seen;
}

const char *fault_last_call(void)
{
    return last_call;
}
