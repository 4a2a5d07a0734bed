/* SPDX-License-Identifier: MIT */
/* rescue.c - what is damaged in a run's folder and follows from the rest: the recipe stands in
 * run.json and at the end of the record file; the head of that file follows from the recipe, and a
 * record proves by its hash that it belongs to it. */
#define _GNU_SOURCE
#include "records/records_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FOOT = RECORDS_FOOT, MAX_RECIPE = 1 << 20, LENGTH_AT = 47 };
static const char foot_begin[] = "guided recipe ";

/* ---- the recipe at the end: its text, then FOOT bytes that say how long it is, and its hash ----
 */

uint64_t records_file_bytes(const gd_records *r)
{
    return r->records_at + (uint64_t)r->layout.n * r->stride + strlen(r->recipe) + FOOT;
}

static void print_foot(char foot[FOOT], const char hash[33], size_t bytes)
{
    memset(foot, 0, FOOT);
    snprintf(foot, FOOT, "%s%.32s %010u\n", foot_begin, hash, (unsigned)bytes);
}

void records_make_foot(const gd_records *r, char foot[RECORDS_FOOT])
{
    print_foot(foot, r->id, strlen(r->recipe));
}

/* *text: a block, or NULL when the end is no recipe */
static gd_status read_foot(char **text, int fd, uint64_t file_bytes)
{
    char foot[FOOT + 1] = "", again[FOOT], hash[33];
    gd_status s;

    if (file_bytes < FOOT || gd_pread(fd, foot, FOOT, (off_t)(file_bytes - FOOT)) != FOOT ||
        strncmp(foot, foot_begin, sizeof foot_begin - 1) != 0)
        return GD_OK;
    const size_t n = strtoul(foot + LENGTH_AT, NULL, 10);
    if (n > MAX_RECIPE || n > file_bytes - FOOT)
        return GD_OK;
    GD_TRY(gd_block_make(text, n + 1, "recipe"));
    s = gd_pread(fd, *text, n, (off_t)(file_bytes - FOOT - n)) == (ssize_t)n
            ? records_hash_text(*text, hash)
            : GD_EFORMAT;
    if (s == GD_OK)
        print_foot(again, hash, n);
    if (s == GD_OK && memcmp(foot, again, FOOT) == 0)
        return GD_OK;
    gd_block_free(*text);
    *text = NULL;
    return s == GD_EFORMAT ? GD_OK : s;
}

gd_status records_stored_recipe(char **text, const char *folder)
{
    char path[RECORDS_PATH];
    struct stat there;
    gd_status s = GD_OK;
    int fd;

    *text = NULL;
    snprintf(path, sizeof path, "%.4000s/samples.records", folder);
    fd = gd_open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (fd < 0)
        return GD_OK; /* records_open reports why */
    if (fstat(fd, &there) == 0 && S_ISREG(there.st_mode))
        s = read_foot(text, fd, (uint64_t)there.st_size);
    gd_os.close(fd);
    return s;
}

static gd_status read_text(char **out, const char *path)
{
    gd_mapped map;
    gd_status s;

    GD_TRY(gd_map_file(&map, path));
    s = gd_block_make(out, map.bytes + 1, "recipe");
    if (s == GD_OK && map.bytes > 0)
        memcpy(*out, map.data, map.bytes);
    gd_unmap(&map);
    return s;
}

gd_status records_true_recipe(char **text, bool *damaged, const char *folder)
{
    char path[RECORDS_PATH], *stored;
    gd_status s;

    *text = NULL;
    *damaged = false;
    snprintf(path, sizeof path, "%.4000s/run.json", folder);
    GD_TRY(records_stored_recipe(&stored, folder));
    s = read_text(text, path);
    if (!stored || (s != GD_OK && s != GD_EFORMAT))
        return s;
    if (s == GD_OK && strcmp(*text, stored) == 0) {
        gd_block_free(stored);
        return GD_OK;
    }
    gd_log(GD_LOG_NOTE, "%s: %s; taken from samples.records", path,
           s == GD_OK ? "damaged" : "missing");
    gd_block_free(*text);
    *text = stored;
    *damaged = true;
    return GD_OK;
}

/* ---- the head ---- */

/* The head of another run: whole, with another recipe or layout */
static bool is_other_head(const char *found)
{
    static const char begin[] = "guided records 1\nrecipe ";
    const char *hash = found + sizeof begin - 1;

    return memcmp(found, begin, sizeof begin - 1) == 0 &&
           strspn(hash, "0123456789abcdef") == RECORD_HASH &&
           strncmp(hash + RECORD_HASH, "\nimages ", 8) == 0;
}

static bool is_empty(const char *found)
{
    for (int i = 0; i < RECORDS_PAGE; i++)
        if (found[i] != '\0')
            return false;
    return true;
}

/* How many records belong to this run; with `mark`, those become done. */
static gd_status count_whole(gd_records *r, bool mark, int64_t *n)
{
    bool whole;

    *n = 0;
    for (int64_t i = 0; i < r->layout.n; i++) {
        GD_TRY(records_check(r, i, &whole));
        if (whole && mark)
            GD_TRY(records_mark_made(r, i));
        *n += whole;
    }
    return GD_OK;
}

gd_status records_rescue_head(gd_records *r, const char found[RECORDS_PAGE], bool write)
{
    char *stored;
    int64_t n;

    GD_TRY(records_stored_recipe(&stored, r->folder));
    const bool ours = stored && strcmp(stored, r->recipe) == 0 && !is_other_head(found);
    gd_block_free(stored);
    GD_TRY(count_whole(r, false, &n));
    if (n == 0 && !ours && !is_empty(found))
        return gd_fail(GD_EFORMAT,
                       "%s: not the records of this folder's run.json\n"
                       "hint: another --output, or move this file away to begin again",
                       records_path(r, "samples.records"));
    if (!write)
        return GD_OK;
    gd_log(GD_LOG_NOTE, "%s: its head was damaged; %lld of %lld images are whole and kept",
           records_path(r, "samples.records"), (long long)n, (long long)r->layout.n);
    GD_TRY(records_write_ends(r));
    return count_whole(r, true, &n);
}
