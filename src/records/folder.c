/* SPDX-License-Identifier: MIT */
/* folder.c - the folder of a run: who works in it, on which recipe, and whether it all fits. */
#define _GNU_SOURCE
#include "records/records_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_SLOTS = 4096,
    GATE = 0,
    SETUP_SECONDS = 60,
    PNG_EXTRA = 1024 /* of texts and chunks, beside incompressible pixels */
};

/* Behind all slots: locks need no bytes under them. */
static off_t lock_at(int which)
{
    return (off_t)RECORDS_SLOT * MAX_SLOTS + which;
}

/* ---- locks ---- */

static gd_status no_locks(gd_records *r)
{
    const int error = errno;
    gd_status s = gd_fail_errno(error, records_path(r, "lock"));

    if (error == ENOLCK || error == EINVAL || error == ENOSYS || error == EOPNOTSUPP)
        gd_detail("hint: a run needs a file system with locks (on NFS version 4; Lustre: mount -o "
                  "flock)");
    return s;
}

gd_status records_try_lock(gd_records *r, int which, bool *taken)
{
    *taken = gd_os.lock(r->lock_fd, F_WRLCK, lock_at(which), 1) == 0;
    return *taken || errno == EAGAIN ? GD_OK : no_locks(r);
}

void records_unlock(gd_records *r, int which)
{
    (void)gd_os.lock(r->lock_fd, F_UNLCK, lock_at(which), 1);
}

bool records_read_slot(gd_records *r, int k, char text[RECORDS_SLOT + 1], bool *alive)
{
    const off_t at = (off_t)k * RECORDS_SLOT;
    const ssize_t n = k < MAX_SLOTS ? gd_pread(r->lock_fd, text, RECORDS_SLOT, at) : 0;

    if (n <= 0)
        return false;
    memset(text + n, 0, (size_t)(RECORDS_SLOT + 1 - n));
    *alive = gd_os.lock(r->lock_fd, F_RDLCK, at, RECORDS_SLOT) != 0;
    if (!*alive)
        (void)gd_os.lock(r->lock_fd, F_UNLCK, at, RECORDS_SLOT);
    return true;
}

/* Those whose slots are locked live; the first is named. */
static gd_status in_use(gd_records *r)
{
    char text[RECORDS_SLOT + 1], owner[RECORDS_SLOT + 1] = "another process";
    int others = 0;
    bool alive;

    for (int k = 0; records_read_slot(r, k, text, &alive); k++)
        if (alive && others++ == 0)
            snprintf(owner, sizeof owner, "%.*s", (int)strcspn(text, "\n"), text);
    gd_status s = others > 1 ? gd_fail(GD_EFAILED, "%s: in use by %s, and %d more", r->folder,
                                       owner, others - 1)
                             : gd_fail(GD_EFAILED, "%s: in use by %s", r->folder, owner);
    gd_detail(r->share ? "hint: that run does not share: start all of them with --share"
                       : "hint: wait for it, give another --output, or start all with --share");
    return s;
}

static gd_status take_slot(gd_records *r)
{
    char text[RECORDS_SLOT], host[64] = "";
    int n;

    gethostname(host, sizeof host - 1);
    memset(text, ' ', sizeof text);
    n = snprintf(text, sizeof text, "pid %ld on %s", (long)getpid(), host);
    text[n] = text[RECORDS_SLOT - 1] = '\n';
    for (int k = 0; k < MAX_SLOTS; k++)
        if (gd_os.lock(r->lock_fd, F_WRLCK, (off_t)k * RECORDS_SLOT, RECORDS_SLOT) == 0) {
            r->slot = k;
            return gd_pwrite(r->lock_fd, text, sizeof text, (off_t)k * RECORDS_SLOT)
                       ? GD_OK
                       : records_fail(r, "lock");
        } else if (errno != EAGAIN) {
            return no_locks(r);
        }
    return gd_fail(GD_EFAILED, "%s: %d processes share this run already", r->folder, MAX_SLOTS);
}

static gd_status enter(gd_records *r)
{
    if (gd_os.mkdir(r->folder, 0777) != 0 && errno != EEXIST) {
        if (errno == ENOENT)
            return gd_fail(
                GD_EIO,
                "%s: No such file or directory: the folder above it does not exist\nhint: mkdir -p "
                "makes it",
                r->folder);
        return gd_fail_errno(errno, r->folder);
    }
    GD_TRY(gd_lock_file_open(&r->lock_fd, records_path(r, "lock")));
    if (gd_os.lock(r->lock_fd, r->share ? F_RDLCK : F_WRLCK, lock_at(GATE), 1) != 0)
        return errno == EAGAIN ? in_use(r) : no_locks(r);
    return take_slot(r);
}

static gd_status make(gd_records **out, const char *folder)
{
    gd_records *r;
    size_t n = strlen(folder);

    while (n > 1 && folder[n - 1] == '/')
        n--;
    if (n >= sizeof r->folder)
        return gd_fail(GD_EUSAGE, "%.60s...: a path of more than %zu letters", folder,
                       sizeof r->folder - 1);
    GD_TRY(gd_block_make(&r, sizeof *r, "run"));
    memcpy(r->folder, folder, n);
    r->lock_fd = r->fd = -1;
    r->loaded = -1;
    *out = r;
    return GD_OK;
}

gd_status gd_records_join(gd_records **out, const char *folder, bool share)
{
    gd_status s;

    *out = NULL;
    GD_TRY(make(out, folder));
    (*out)->share = share;
    s = enter(*out);
    if (s != GD_OK) {
        gd_records_leave(*out);
        *out = NULL;
    }
    return s;
}

void gd_records_leave(gd_records *r)
{
    if (!r)
        return;
    if (r->fd >= 0) {
        if (r->unsynced)
            (void)gd_fsync(r->fd); /* each record is checked when it is packed */
        gd_os.close(r->fd);
    }
    if (r->lock_fd >= 0)
        gd_os.close(r->lock_fd);
    gd_block_free(r->record);
    gd_block_free(r->recipe);
    gd_block_free(r);
}

/* ---- the recipe ---- */

gd_status gd_records_read_recipe(char **out, const char *folder)
{
    bool damaged;
    return records_true_recipe(out, &damaged, folder);
}

gd_status records_hash_text(const char *text, char hash[33])
{
    gd_hasher *h;

    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, text, strlen(text));
    gd_hasher_text(h, hash);
    gd_hasher_free(h);
    return GD_OK;
}

static gd_status keep_recipe(gd_records *r, const char *recipe)
{
    GD_TRY(gd_block_make(&r->recipe, strlen(recipe) + 1, "recipe"));
    memcpy(r->recipe, recipe, strlen(recipe));
    return records_hash_text(r->recipe, r->id);
}

/* The run's own, when there is one; *fresh: the one given will be it */
static gd_status agree(gd_records *r, const char *recipe, const char *open, bool *fresh)
{
    char *stored;
    bool damaged;

    *fresh = false;
    if (!gd_path_exists(records_path(r, "run.json"))) {
        GD_TRY(records_stored_recipe(&stored, r->folder));
        *fresh = !stored;
        gd_block_free(stored);
    }
    if (*fresh)
        return keep_recipe(r, recipe);
    GD_TRY(records_true_recipe(&r->recipe, &damaged, r->folder));
    GD_TRY(gd_records_compare(records_path(r, "run.json"), r->recipe, recipe, open));
    if (damaged)
        GD_TRY(gd_file_put(records_path(r, "run.json"), GD_OWN, r->recipe, strlen(r->recipe)));
    return records_hash_text(r->recipe, r->id);
}

const char *gd_records_recipe(const gd_records *r)
{
    return r->recipe;
}

/* ---- space ---- */

/* At most: bytes of the files made at the end */
static uint64_t result_bytes(const gd_records *r)
{
    const uint64_t n = (uint64_t)r->layout.n, numbers = n * sizeof(int64_t);

    return r->layout.result == GD_RECORDS_PNG
               ? n * (r->pixels + PNG_EXTRA * (uint64_t)r->layout.n_parts)
               : n * r->pixels + numbers * (uint64_t)r->layout.n_parts;
}

static gd_status check_space(gd_records *r)
{
    const uint64_t file = records_file_bytes(r);
    uint64_t need = file + result_bytes(r), left, taken;
    struct stat there;

    if (stat(records_path(r, "samples.records"), &there) == 0) {
        taken = (uint64_t)there.st_blocks * 512;
        need -= GD_MIN(taken, file);
    }
    GD_TRY(gd_free_bytes(&left, r->folder));
    if (left >= need)
        return GD_OK;
    return gd_fail(GD_ENOSPACE,
                   "%s: %lld images need %.1f MiB (as records, and the result made of them); %.1f "
                   "MiB are free",
                   r->folder, (long long)r->layout.n, (double)need / 1048576,
                   (double)left / 1048576);
}

/* ---- the beginning ---- */

/* What a writer that was killed left behind, whose name the next one may not need soon */
static void remove_parts(gd_records *r)
{
    gd_part_sweep(records_path(r, "run.json"));
    gd_part_sweep(records_path(r, "samples.records"));
    for (int k = 0; k < r->layout.n_parts; k++)
        gd_part_sweep(gd_records_path(r, k, r->layout.first));
}

static gd_status not_ours(gd_records *r)
{
    gd_status s =
        gd_fail(GD_EEXISTS, "%s exists already, and no run.json says how it was made", r->path);

    gd_detail("hint: another --output");
    return s;
}

/* Nothing but the lock is made before everything is known to fit. */
static gd_status settle(gd_records *r, const char *recipe, const char *open)
{
    bool fresh;
    gd_status s;

    remove_parts(r);
    GD_TRY(agree(r, recipe, open, &fresh));
    records_measure(r);
    if (gd_records_finished(r)) {
        if (fresh)
            return not_ours(r);
        gd_os.unlink(records_path(r, "samples.records")); /* if the packer died before that */
        return GD_OK;
    }
    GD_TRY(check_space(r));
    if (fresh)
        GD_TRY(gd_file_put(records_path(r, "run.json"), GD_KEEP, recipe, strlen(recipe)));
    if (!gd_path_exists(records_path(r, "samples.records")))
        GD_TRY(records_create(r));
    s = records_open(r, O_RDWR);
    return s != GD_OK && gd_records_finished(r) ? GD_OK : s; /* packed and removed just now */
}

gd_status gd_records_begin(gd_records *r, const char *recipe, const char *open,
                           const gd_records_layout *layout)
{
    const struct timespec nap = { .tv_nsec = 20 * 1000 * 1000 };
    const double start = gd_seconds();
    bool mine = false;
    gd_status s;

    r->layout = *layout;
    for (;;) {
        GD_TRY(records_try_lock(r, RECORDS_SETUP, &mine));
        if (mine)
            break;
        if (gd_seconds() - start > SETUP_SECONDS)
            return gd_fail(GD_EFAILED, "%s: another process has been setting it up for %d s",
                           r->folder, SETUP_SECONDS);
        nanosleep(&nap, NULL);
    }
    s = settle(r, recipe, open);
    records_unlock(r, RECORDS_SETUP);
    return s;
}

gd_status gd_records_view(gd_records **out, const char *folder, const char *recipe,
                          const gd_records_layout *layout)
{
    gd_records *r;
    gd_status s;

    *out = NULL;
    GD_TRY(make(&r, folder));
    r->layout = *layout;
    s = keep_recipe(r, recipe);
    records_measure(r);
    if (s == GD_OK && gd_path_exists(records_path(r, "samples.records")))
        s = records_open(r, O_RDONLY);
    if (s != GD_OK) {
        gd_records_leave(r);
        return s;
    }
    *out = r;
    return GD_OK;
}
