/* SPDX-License-Identifier: MIT */
/* file.c - the record file: a page of text, a state byte for each image, a record for each image.
 */
#define _GNU_SOURCE
#include "records/records_private.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "samples.records"
enum { TO_MAKE = 0, MADE = 1, SYNC_SECONDS = 30, CHUNK = 4096 };

const char *records_path(gd_records *r, const char *name)
{
    snprintf(r->path, sizeof r->path, "%s/%s", r->folder, name);
    return r->path;
}

gd_status records_fail(gd_records *r, const char *name)
{
    const int error = errno;

    return gd_fail_errno(error, records_path(r, name));
}

void records_measure(gd_records *r)
{
    const gd_records_layout *l = &r->layout;
    const uint64_t states = (uint64_t)l->n + RECORDS_PAGE - 1;

    r->pixels = 0;
    for (int k = 0; k < l->n_parts; k++)
        r->pixels += (uint64_t)l->part[k].width * (uint64_t)l->part[k].height *
                     (uint64_t)l->part[k].channels;
    r->stride = sizeof(record_head) + r->pixels;
    r->records_at = RECORDS_PAGE + states / RECORDS_PAGE * RECORDS_PAGE;
}

/* A function of recipe and layout: a file with another head is not this run's. */
static void make_head(const gd_records *r, char head[RECORDS_PAGE])
{
    const gd_records_layout *l = &r->layout;
    int used;

    memset(head, 0, RECORDS_PAGE);
    used = snprintf(head, RECORDS_PAGE,
                    "guided records 1\nrecipe %s\nimages %lld from %lld%s\nstates at %d\n"
                    "records at %llu, of %llu bytes\n",
                    r->id, (long long)l->n, (long long)l->first, l->labelled ? ", with labels" : "",
                    RECORDS_PAGE, (unsigned long long)r->records_at, (unsigned long long)r->stride);
    for (int k = 0; k < l->n_parts; k++)
        used += snprintf(head + used, RECORDS_PAGE - (size_t)used, "part %d x %d x %d\n",
                         l->part[k].height, l->part[k].width, l->part[k].channels);
}

/* Whole or not at all; the space of every record is taken now. */
gd_status records_create(gd_records *r)
{
    const size_t recipe = strlen(r->recipe);
    const uint64_t bytes = records_file_bytes(r);
    char head[RECORDS_PAGE], foot[RECORDS_FOOT];
    gd_file *file;
    gd_status s;

    make_head(r, head);
    records_make_foot(r, foot);
    GD_TRY(gd_file_create(&file, records_path(r, FILE_NAME), GD_OWN, bytes));
    s = gd_file_write(file, head, sizeof head);
    if (s == GD_OK)
        s = gd_file_write_at(file, bytes - sizeof foot - recipe, r->recipe, recipe);
    if (s == GD_OK)
        s = gd_file_write(file, foot, sizeof foot);
    if (s != GD_OK) {
        gd_file_abort(file);
        return s;
    }
    return gd_file_commit(file);
}

/* All bytes or a failure */
static gd_status read_at(gd_records *r, void *out, size_t bytes, uint64_t offset)
{
    const ssize_t n = gd_pread(r->fd, out, bytes, (off_t)offset);

    if (n < 0)
        return records_fail(r, FILE_NAME);
    if ((size_t)n < bytes)
        return gd_fail(GD_EFORMAT, "%s: cut short", records_path(r, FILE_NAME));
    return GD_OK;
}

static gd_status write_at(gd_records *r, const void *data, size_t bytes, uint64_t offset)
{
    return gd_pwrite(r->fd, data, bytes, (off_t)offset) ? GD_OK : records_fail(r, FILE_NAME);
}

gd_status records_write_ends(gd_records *r)
{
    const size_t recipe = strlen(r->recipe);
    const uint64_t bytes = records_file_bytes(r);
    char head[RECORDS_PAGE], foot[RECORDS_FOOT];

    make_head(r, head);
    records_make_foot(r, foot);
    GD_TRY(write_at(r, r->recipe, recipe, bytes - sizeof foot - recipe));
    GD_TRY(write_at(r, foot, sizeof foot, bytes - sizeof foot));
    GD_TRY(write_at(r, head, sizeof head, 0));
    return gd_fsync(r->fd) ? GD_OK : records_fail(r, FILE_NAME);
}

/* A file that lost its end, or its head, is mended where it is to be written. */
static gd_status check_ends(gd_records *r, bool write)
{
    const uint64_t records_end = r->records_at + (uint64_t)r->layout.n * r->stride;
    char head[RECORDS_PAGE], found[RECORDS_PAGE] = "";
    struct stat there;

    if (fstat(r->fd, &there) != 0)
        return records_fail(r, FILE_NAME);
    if (!S_ISREG(there.st_mode))
        return gd_fail(GD_EFORMAT, "%s: not a file", records_path(r, FILE_NAME));
    make_head(r, head);
    if (gd_pread(r->fd, found, sizeof found, 0) < 0)
        return records_fail(r, FILE_NAME);
    if (memcmp(head, found, sizeof head) != 0)
        return records_rescue_head(r, found, write);
    if ((uint64_t)there.st_size >= records_end || !write)
        return GD_OK;
    gd_log(GD_LOG_NOTE, "%s: cut short; what is missing is made again", records_path(r, FILE_NAME));
    return records_write_ends(r);
}

gd_status records_open(gd_records *r, int flags)
{
    r->fd = gd_open(records_path(r, FILE_NAME), flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (r->fd < 0)
        return records_fail(r, FILE_NAME);
    r->synced = gd_seconds();
    r->loaded = -1;
    GD_TRY(gd_block_make(&r->record, r->stride, "record"));
    return check_ends(r, (flags & O_ACCMODE) == O_RDWR);
}

/* ---- states ---- */

gd_status records_mark(gd_records *r, int64_t i, unsigned char state)
{
    r->next = state == MADE ? r->next : GD_MIN(r->next, i);
    r->loaded = r->loaded == i ? -1 : r->loaded;
    return write_at(r, &state, 1, RECORDS_PAGE + (uint64_t)i);
}

gd_status records_mark_made(gd_records *r, int64_t i)
{
    return records_mark(r, i, MADE);
}

static gd_status unlock(gd_records *r, int64_t i)
{
    return gd_os.lock(r->fd, F_UNLCK, RECORDS_PAGE + i, 1) == 0 ? GD_OK
                                                                : records_fail(r, FILE_NAME);
}

/* Lock image i, unless another has it or made it meanwhile */
static gd_status try_image(gd_records *r, int64_t i, bool *mine, bool *others)
{
    unsigned char state;

    if (gd_os.lock(r->fd, F_WRLCK, RECORDS_PAGE + i, 1) != 0) {
        *others = true;
        return errno == EAGAIN ? GD_OK : records_fail(r, FILE_NAME);
    }
    GD_TRY(read_at(r, &state, 1, RECORDS_PAGE + (uint64_t)i));
    *mine = state != MADE;
    return *mine ? GD_OK : unlock(r, i);
}

/* Image i is claimed: those behind it too, as far as they are free */
static gd_status claim_from(gd_records *r, int64_t i, int most)
{
    const int64_t end = GD_MIN(i + most, r->layout.n);
    bool mine = true, others = false;

    r->claimed = i;
    r->claimed_end = i + 1;
    while (r->claimed_end < end) {
        GD_TRY(try_image(r, r->claimed_end, &mine, &others));
        if (others || !mine)
            return GD_OK;
        r->claimed_end++;
    }
    return GD_OK;
}

gd_status gd_records_claim(gd_records *r, int most, gd_claim *what, int64_t *image, int *count)
{
    unsigned char state[CHUNK];
    bool mine = false, others = false;
    const int64_t n = r->layout.n;

    for (int64_t at = r->next; at < n; at += CHUNK) {
        const int64_t end = GD_MIN(at + CHUNK, n);
        GD_TRY(read_at(r, state, (size_t)(end - at), RECORDS_PAGE + (uint64_t)at));
        for (int64_t i = at; i < end; i++) {
            if (state[i - at] == MADE) {
                r->next += i == r->next;
                continue;
            }
            GD_TRY(try_image(r, i, &mine, &others));
            if (mine) {
                GD_TRY(claim_from(r, i, most));
                GD_TRY(records_work_begins(r));
                *what = GD_CLAIM_IMAGE;
                *image = r->layout.first + i;
                *count = (int)(r->claimed_end - i);
                return GD_OK;
            }
        }
    }
    *what = others ? GD_CLAIM_WAIT : GD_CLAIM_NONE;
    return GD_OK;
}

/* How many of the states of [at, at + count), count at most CHUNK; the index of the k-th of them */
static gd_status count_made(gd_records *r, int64_t at, int64_t count, int64_t k, int64_t *n,
                            int64_t *index)
{
    unsigned char state[CHUNK];

    *n = 0;
    GD_TRY(read_at(r, state, (size_t)count, RECORDS_PAGE + (uint64_t)at));
    for (int64_t i = 0; i < count; i++) {
        if (state[i] == MADE && *n == k)
            *index = at + i;
        *n += state[i] == MADE;
    }
    return GD_OK;
}

gd_status gd_records_count(gd_records *r, int64_t *done)
{
    int64_t more, index;

    *done = r->next;
    for (int64_t at = r->next; at < r->layout.n; at += CHUNK) {
        GD_TRY(count_made(r, at, GD_MIN(CHUNK, r->layout.n - at), -1, &more, &index));
        *done += more;
    }
    return GD_OK;
}

gd_status gd_records_made(gd_records *r, int64_t k, int64_t *image)
{
    int64_t here, index = -1;

    for (int64_t at = 0; at < r->layout.n && index < 0; at += CHUNK) {
        GD_TRY(count_made(r, at, GD_MIN(CHUNK, r->layout.n - at), k, &here, &index));
        k -= here;
    }
    if (index < 0)
        return gd_fail(GD_EFAILED, "%s: fewer images than were counted", r->folder);
    *image = r->layout.first + index;
    return GD_OK;
}

bool gd_records_has_file(const gd_records *r)
{
    return r->fd >= 0;
}

/* ---- records ---- */

static gd_status hash_record(const gd_records *r, const unsigned char *record, char text[33])
{
    gd_hasher *h;

    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, r->id, 32);
    gd_hasher_add(h, record, offsetof(record_head, hash));
    gd_hasher_add(h, record + sizeof(record_head), r->pixels);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    return GD_OK;
}

/* Record first, then its state: a state without its record cannot stay but after a loss of power,
 * and then the hash tells. */
gd_status gd_records_put(gd_records *r, int64_t label, const uint8_t *const *part)
{
    const gd_records_layout *l = &r->layout;
    const int64_t i = r->claimed;
    record_head head = { .image = (int64_t)htole64((uint64_t)(l->first + i)),
                         .label = (int64_t)htole64((uint64_t)label) };
    unsigned char *at = r->record + sizeof head;
    char text[33];

    r->loaded = -1;
    memcpy(r->record, &head, sizeof head);
    for (int k = 0; k < l->n_parts; k++) {
        const size_t bytes =
            (size_t)l->part[k].width * (size_t)l->part[k].height * (size_t)l->part[k].channels;
        memcpy(at, part[k], bytes);
        at += bytes;
    }
    GD_TRY(hash_record(r, r->record, text));
    memcpy(r->record + offsetof(record_head, hash), text, RECORD_HASH);
    GD_TRY(write_at(r, r->record, r->stride, r->records_at + (uint64_t)i * r->stride));
    r->unsynced = true;
    if (gd_seconds() - r->synced > SYNC_SECONDS) {
        if (!gd_fsync(r->fd))
            return records_fail(r, FILE_NAME);
        r->synced = gd_seconds();
        r->unsynced = false;
    }
    GD_TRY(records_mark(r, i, MADE));
    r->claimed++;
    return unlock(r, i);
}

gd_status records_check(gd_records *r, int64_t i, bool *whole)
{
    record_head head;
    char text[33];
    ssize_t n;

    *whole = false;
    r->loaded = -1;
    n = gd_pread(r->fd, r->record, r->stride, (off_t)(r->records_at + (uint64_t)i * r->stride));
    if (n < 0)
        return records_fail(r, FILE_NAME);
    if ((uint64_t)n < r->stride)
        return GD_OK;
    GD_TRY(hash_record(r, r->record, text));
    memcpy(&head, r->record, sizeof head);
    *whole = memcmp(head.hash, text, RECORD_HASH) == 0 &&
             (int64_t)le64toh((uint64_t)head.image) == r->layout.first + i;
    if (*whole)
        r->loaded = i;
    return GD_OK;
}

gd_status records_load(gd_records *r, int64_t i, bool *whole)
{
    unsigned char state;

    *whole = r->loaded == i;
    if (*whole)
        return GD_OK;
    r->loaded = -1;
    GD_TRY(read_at(r, &state, 1, RECORDS_PAGE + (uint64_t)i));
    return state == MADE ? records_check(r, i, whole) : GD_OK;
}

gd_status gd_records_get(gd_records *r, int64_t image, int64_t *label, const uint8_t **pixels)
{
    record_head head;
    bool whole;

    *pixels = NULL;
    if (r->fd < 0)
        return GD_OK;
    GD_TRY(records_load(r, image - r->layout.first, &whole));
    if (!whole)
        return GD_OK;
    memcpy(&head, r->record, sizeof head);
    *label = (int64_t)le64toh((uint64_t)head.label);
    *pixels = r->record + sizeof head;
    return GD_OK;
}
