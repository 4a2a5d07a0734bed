/* SPDX-License-Identifier: MIT */
/* part.c - names of files that are being written, and removal of those that a killed writer left.
 *
 * NAME.part-PID-RRRRRRRRCCCCCCCC: R is random, C a check over NAME, PID and R.  A file of another
 * program does not carry the right check, and a living writer holds a lock on its file, in whatever
 * container or on whatever host it runs. */
#define _GNU_SOURCE
#include "base/part.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    MAX_STEM = 200, /* of NAME: with the suffix it stays below the 255 bytes of file systems */
    HEX = 8,
    TRIES = 16,
    MAX_SWEPT = 32
};
static const char mark[] = ".part-";

static uint32_t check_of(const char *stem, size_t bytes, const char *pid, const char *random)
{
    char text[MAX_STEM + 64];
    const int n = snprintf(text, sizeof text, "guided part\n%.*s\n%.20s\n%.8s", (int)bytes, stem,
                           pid, random);

    return (uint32_t)XXH3_64bits(text, (size_t)n);
}

static uint32_t random_word(void)
{
    struct timespec now;
    uint32_t word;

    if (getentropy(&word, sizeof word) == 0)
        return word;
    clock_gettime(CLOCK_REALTIME, &now); /* O_EXCL decides: this only has to differ in the end */
    return (uint32_t)now.tv_nsec * 2654435761u ^ (uint32_t)getpid();
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static size_t stem_bytes(const char *base)
{
    return GD_MIN(strlen(base), (size_t)MAX_STEM);
}

static void make_name(char *out, size_t size, const char *path)
{
    const char *base = base_of(path);
    const size_t stem = stem_bytes(base);
    char pid[24], random[HEX + 1];

    snprintf(pid, sizeof pid, "%ld", (long)getpid());
    snprintf(random, sizeof random, "%08x", random_word());
    snprintf(out, size, "%.*s%s%s-%s%08x", (int)((size_t)(base - path) + stem), path, mark, pid,
             random, check_of(base, stem, pid, random));
}

/* ---- making ---- */

/* A sweeper may have met the file between open and lock: then it is gone or locked. */
static bool is_ours(int fd)
{
    struct stat there;

    if (gd_os.lock(fd, F_WRLCK, 0, 0) != 0 && errno == EAGAIN)
        return false;
    return fstat(fd, &there) == 0 && there.st_nlink > 0;
}

int gd_part_open(char *part, size_t size, const char *path)
{
    for (int i = 0; i < TRIES; i++) {
        make_name(part, size, path);
        const int fd = gd_open(part, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST)
            return -1;
        if (fd >= 0 && is_ours(fd))
            return fd;
        if (fd >= 0) {
            gd_os.unlink(part);
            gd_os.close(fd);
        }
    }
    errno = EEXIST;
    return -1;
}

/* ---- sweeping ---- */

/* The stem of a name that we made: its bytes, or 0 */
static size_t our_stem(const char *name)
{
    const size_t n = strlen(name);
    const char *tail, *at;
    char pid[24] = "", random[HEX + 1] = "", check[HEX + 1];

    if (n < sizeof mark + 1 + 1 + 2 * HEX)
        return 0;
    tail = name + n - 2 * HEX;
    if (tail[-1] != '-' || strspn(tail, "0123456789abcdef") != 2 * HEX)
        return 0;
    for (at = tail - 1; at > name && at[-1] >= '0' && at[-1] <= '9';)
        at--;
    const size_t digits = (size_t)(tail - 1 - at), stem = (size_t)(at - name) - (sizeof mark - 1);
    if (digits == 0 || digits >= sizeof pid || (size_t)(at - name) < sizeof mark ||
        strncmp(at - (sizeof mark - 1), mark, sizeof mark - 1) != 0 || stem > MAX_STEM)
        return 0;
    memcpy(pid, at, digits);
    memcpy(random, tail, HEX);
    snprintf(check, sizeof check, "%08x", check_of(name, stem, pid, random));
    return memcmp(check, tail + HEX, HEX) == 0 ? stem : 0;
}

static bool is_digit(const char *text, size_t at, size_t bytes)
{
    return at < bytes && text[at] >= '0' && text[at] <= '9';
}

/* Equal but for numbers: 00017.png and 00000.png are files of one command. */
static bool same_kind(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
    size_t i = 0, k = 0;

    while (i < a_bytes && k < b_bytes) {
        if (is_digit(a, i, a_bytes) && is_digit(b, k, b_bytes)) {
            while (is_digit(a, i, a_bytes))
                i++;
            while (is_digit(b, k, b_bytes))
                k++;
        } else if (a[i++] != b[k++]) {
            return false;
        }
    }
    return i == a_bytes && k == b_bytes;
}

/* Only with the lock, which a living writer has */
static void remove_dead(const char *part)
{
    struct stat there;
    const int fd = gd_open(part, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (fstat(fd, &there) == 0 && S_ISREG(there.st_mode) && gd_os.lock(fd, F_WRLCK, 0, 0) == 0)
        gd_os.unlink(part);
    gd_os.close(fd);
}

void gd_part_sweep(const char *path)
{
    const char *base = base_of(path);
    const size_t folder = (size_t)(base - path), stem = stem_bytes(base);
    const struct dirent *entry;
    char text[4400];
    DIR *dir;

    if (folder >= 4000)
        return;
    snprintf(text, sizeof text, "%.*s", folder > 0 ? (int)folder : 1, folder > 0 ? path : ".");
    dir = opendir(text);
    while (dir && (entry = readdir(dir))) {
        const size_t ours = our_stem(entry->d_name);
        if (ours == 0 || !same_kind(entry->d_name, ours, base, stem))
            continue;
        snprintf(text, sizeof text, "%.*s%s", (int)folder, path, entry->d_name);
        remove_dead(text);
    }
    if (dir)
        closedir(dir);
}

/* Folder and kind, as a number */
static uint64_t kind_of(const char *path)
{
    const char *base = base_of(path);
    char text[4400];
    size_t n = 0;

    for (const char *at = path; *at && n < sizeof text; at++)
        if (at < base || *at < '0' || *at > '9')
            text[n++] = *at;
    return XXH3_64bits(text, n) | 1;
}

void gd_part_sweep_once(const char *path)
{
    static _Atomic uint64_t swept[MAX_SWEPT]; /* a lost entry only means to look again */
    static _Atomic unsigned next;
    const uint64_t kind = kind_of(path);

    for (int i = 0; i < MAX_SWEPT; i++)
        if (swept[i] == kind)
            return;
    swept[next++ % MAX_SWEPT] = kind;
    gd_part_sweep(path);
}
