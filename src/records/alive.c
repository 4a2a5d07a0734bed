/* SPDX-License-Identifier: MIT */
/* alive.c - whether the processes that a shared run waits for still work.  A lock dies with its
 * process, but a stopped process keeps it: so each counts its network calls in its slot of
 * FOLDER/lock, and who waits looks at the counts. */
#include "records/records_private.h"

#include <string.h>
#include <time.h>

enum { SIGN = 24 }; /* bytes at the end of a slot: a count, or "waiting", and a newline */
static const double beat_seconds = 1, look_seconds = 0.25;
static const char waits[] = "waiting";

static gd_status write_sign(gd_records *r, const char *sign)
{
    char text[SIGN + 1];

    snprintf(text, sizeof text, "%*s\n", SIGN - 1, sign);
    return gd_pwrite(r->lock_fd, text, SIGN, (off_t)r->slot * RECORDS_SLOT + RECORDS_SLOT - SIGN)
               ? GD_OK
               : records_fail(r, "lock");
}

static gd_status beat_now(gd_records *r)
{
    char count[SIGN];

    snprintf(count, sizeof count, "%llu", (unsigned long long)++r->alive.beats);
    GD_TRY(write_sign(r, count));
    r->alive.waiting = false;
    r->alive.beaten = gd_seconds();
    return GD_OK;
}

gd_status gd_records_beat(gd_records *r)
{
    return r->share && gd_seconds() - r->alive.beaten >= beat_seconds ? beat_now(r) : GD_OK;
}

gd_status records_work_begins(gd_records *r)
{
    return r->alive.waiting ? beat_now(r) : GD_OK;
}

/* What the slots of those hold that work, as a hash; the first of them, and how many there are */
static gd_status look(gd_records *r, char seen[33], char first[RECORDS_SLOT + 1], int *working)
{
    char text[RECORDS_SLOT + 1];
    gd_hasher *h;
    bool alive;

    *working = 0;
    strcpy(first, "another process"); /* stopped between its claim and its sign */
    GD_TRY(gd_hasher_make(&h));
    for (int k = 0;; k++) {
        if (k == r->slot)
            continue;
        if (!records_read_slot(r, k, text, &alive))
            break;
        if (!alive || strstr(text, waits))
            continue;
        if ((*working)++ == 0)
            snprintf(first, RECORDS_SLOT + 1, "%.*s", (int)strcspn(text, "\n"), text);
        gd_hasher_add(h, &k, sizeof k);
        gd_hasher_add(h, text, sizeof text);
    }
    gd_hasher_text(h, seen);
    gd_hasher_free(h);
    return GD_OK;
}

static gd_status no_answer(const gd_records *r, double seconds, const char *first, int working)
{
    char more[32] = "";

    if (working > 1)
        snprintf(more, sizeof more, ", and %d more", working - 1);
    gd_status s = gd_fail(GD_EFAILED, "%s: no answer for %.0f s from %s%s, which has what is left",
                          r->folder, seconds, first, more);
    gd_detail("hint: end that process, and the same command makes the rest; --deadline SECONDS "
              "waits longer");
    return s;
}

gd_status gd_records_wait(gd_records *r, double seconds)
{
    const struct timespec nap = { .tv_nsec = 50 * 1000 * 1000 };
    const double now = gd_seconds();
    char seen[33], first[RECORDS_SLOT + 1];
    int working;

    nanosleep(&nap, NULL);
    if (!r->share)
        return GD_OK;
    if (!r->alive.waiting) {
        GD_TRY(write_sign(r, waits));
        r->alive.waiting = true;
        *r->alive.seen = '\0';
        r->alive.quiet = now;
    }
    if (now - r->alive.looked < look_seconds)
        return GD_OK;
    r->alive.looked = now;
    GD_TRY(look(r, seen, first, &working));
    if (strcmp(seen, r->alive.seen) != 0) {
        memcpy(r->alive.seen, seen, sizeof seen);
        r->alive.quiet = now;
    }
    return now - r->alive.quiet > seconds ? no_answer(r, seconds, first, working) : GD_OK;
}
