/* SPDX-License-Identifier: MIT */
/* run.c - a training run in its folder: lock, iterations, records, checkpoints that come and go
 * (docs/reliability.md). */
#define _DEFAULT_SOURCE
#include "train/train_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* ---- the lock: held as long as the file is open, so a dead owner's is free ---- */

static gd_status taken(const char *path, int fd)
{
    char owner[128] = "";
    const ssize_t n = gd_os.pread(fd, owner, sizeof owner - 1, 0);

    owner[n > 0 ? (size_t)n : 0] = '\0';
    owner[strcspn(owner, "\n")] = '\0';
    gd_status s = gd_fail(GD_EFAILED, "%s: in use by %s", path, *owner ? owner : "another process");
    gd_detail("hint: wait for it, or give another --out");
    return s;
}

gd_status gd_run_lock(int *fd, const char *folder)
{
    char path[GD_MAX_PATH], text[160], host[64] = "";
    gd_status s = GD_OK;

    snprintf(path, sizeof path, "%.4000s/lock", folder);
    GD_TRY(gd_lock_file_open(fd, path));
    gethostname(host, sizeof host - 1);
    const int n = snprintf(text, sizeof text, "pid %ld on %s\n", (long)getpid(), host);
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
        s = taken(folder, *fd);
    else if (ftruncate(*fd, 0) != 0 || !gd_write(*fd, text, (size_t)n))
        s = gd_fail_errno(errno, path);
    if (s != GD_OK) {
        gd_os.close(*fd);
        *fd = -1;
    }
    return s;
}

void gd_run_unlock(int fd)
{
    if (fd >= 0)
        gd_os.close(fd);
}

/* ---- the folder ---- */

/* Part files of killed writers, whose names the next writer may not need soon */
static void remove_parts(const char *folder)
{
    static const char *const kinds[] = { "checkpoint-0.safetensors",
                                         "progress.csv",
                                         "loss.svg",
                                         "samples-0.png",
                                         "model0.pt",
                                         "opt0.pt",
                                         "ema_0.0_0.pt" };
    char path[GD_MAX_PATH];

    for (int i = 0; i < COUNT(kinds); i++) {
        snprintf(path, sizeof path, "%.4000s/%s", folder, kinds[i]);
        gd_part_sweep(path);
    }
}

/* Only after the new one is durable */
static gd_status remove_old(const gd_trainer *t, const char *folder)
{
    const int64_t milestone = t->options.milestone_interval;
    char path[GD_MAX_PATH];
    int64_t *steps;
    int n, kept = 0;

    GD_TRY(gd_run_steps(&steps, &n, folder));
    for (int i = 0; i < n; i++) {
        if (steps[i] > t->step || (milestone > 0 && steps[i] % milestone == 0))
            continue;
        if (++kept <= t->options.keep)
            continue;
        gd_run_path(path, folder, steps[i]);
        gd_os.unlink(path);
        if (t->options.save_pt)
            gd_pt_set_remove(t, folder, steps[i]);
    }
    gd_block_free(steps);
    return GD_OK;
}

static gd_status save(const gd_trainer *t, const char *folder, const gd_class_names *classes)
{
    char path[GD_MAX_PATH];

    gd_run_path(path, folder, t->step);
    GD_TRY(gd_checkpoint_save(t, path, classes));
    if (t->options.save_pt)
        GD_TRY(gd_pt_set_save(t, folder));
    return remove_old(t, folder);
}

gd_status gd_run_check_space(const gd_trainer *t, const char *folder)
{
    const uint64_t one = gd_checkpoint_bytes(t) * (t->options.save_pt ? 2 : 1), /* as large */
        need = one * (uint64_t)(t->options.keep + 1);
    uint64_t left;
    int64_t *steps;
    int n;

    GD_TRY(gd_free_bytes(&left, folder));
    GD_TRY(gd_run_steps(&steps, &n, folder));
    gd_block_free(steps);
    left += one * (uint64_t)n; /* those will be replaced */
    if (left >= need)
        return GD_OK;
    return gd_fail(GD_ENOSPACE,
                   "%s: %d checkpoints of %.1f MiB, and one being written, need %.1f MiB; %.1f MiB "
                   "are free\nhint: --keep 1, or another --out",
                   folder, t->options.keep, (double)one / 1048576, (double)need / 1048576,
                   (double)left / 1048576);
}

/* ---- the run ---- */

/* Bit errors of memory or processor are detected within so many steps. */
enum { COMPARE_INTERVAL = 100 };

/* Time that the others give rank 0: a slow disk's, and a grid's (400 passes of one image, each of
 * which is shorter than a step) */
static const double slow_disk = 10e6; /* bytes/s */
enum { GRID_STEPS = 400 };

typedef struct run {
    gd_trainer *t;
    bool first; /* of the ranks: it alone writes */
    const char *folder;
    const gd_class_names *classes;
    const gd_run_hooks *hooks;
    train_csv *csv;
    char events[GD_MAX_PATH];
    int64_t saved; /* step of the last checkpoint */
} run;

static bool due(int64_t step, int64_t interval)
{
    return interval > 0 && step % interval == 0;
}

/* All ranks' sums and counts in rank 0 */
static gd_status merge_means(gd_trainer *t)
{
    const int ranks = gd_dist_ranks(t->dist);
    gd_means *all;
    gd_status s;

    if (ranks == 1)
        return GD_OK;
    GD_TRY(gd_block_make(&all, (size_t)ranks * sizeof *all, "means"));
    s = gd_dist_gather(t->dist, &t->means, sizeof t->means, all);
    t->means = (gd_means){ 0 };
    for (int q = 0; q < ranks && s == GD_OK; q++)
        gd_means_merge(&t->means, &all[q]);
    gd_block_free(all);
    return s;
}

/* The authors number a row by the step just made, from 0. */
static gd_status record(run *r)
{
    gd_trainer *t = r->t;
    const int64_t step = t->step - 1;

    GD_TRY(merge_means(t));
    if (!r->first) {
        t->means = (gd_means){ 0 };
        return GD_OK;
    }
    gd_means_add(&t->means, "step", (double)step);
    gd_means_add(&t->means, "samples", (double)(t->step * t->options.batch_size));
    GD_TRY(train_csv_add(r->csv, &t->means));
    GD_TRY(train_events_add(r->events, &t->means, step));
    if (r->hooks->recorded)
        r->hooks->recorded(r->hooks->ctx, t);
    t->means = (gd_means){ 0 };
    return GD_OK;
}

static gd_status save_now(run *r)
{
    if (r->saved == r->t->step)
        return GD_OK;
    GD_TRY(gd_trainer_compare(r->t));
    gd_dist_allow(r->t->dist, (double)gd_checkpoint_bytes(r->t) / slow_disk);
    if (r->first) {
        GD_TRY(train_csv_sync(r->csv)); /* a checkpoint without its rows would leave a gap */
        GD_TRY(save(r->t, r->folder, r->classes));
    }
    r->saved = r->t->step;
    return GD_OK;
}

static gd_status one_step(run *r)
{
    const gd_train_options *o = &r->t->options;

    GD_TRY(gd_trainer_step(r->t));
    if (due(r->t->step - 1, o->eval_interval))
        GD_TRY(gd_trainer_validate(r->t));
    if (r->hooks->stepped)
        r->hooks->stepped(r->hooks->ctx, r->t);
    if (due(r->t->step - 1, o->log_interval))
        GD_TRY(record(r));
    if (due(r->t->step, o->save_interval))
        GD_TRY(save_now(r));
    else if (due(r->t->step, COMPARE_INTERVAL))
        GD_TRY(gd_trainer_compare(r->t));
    if (!due(r->t->step, o->sample_interval) || !r->hooks->sample)
        return GD_OK;
    gd_dist_allow(r->t->dist, GRID_STEPS * gd_dist_median_step(r->t->dist));
    return r->first ? r->hooks->sample(r->hooks->ctx, r->t) : GD_OK;
}

/* One rank: the present request.  Several ranks: any rank's request before the last step, which
 * told all of it; this rank's own request goes out with the next step. */
static gd_run_wish next_wish(run *r)
{
    const gd_run_wish told = (gd_run_wish)r->t->wish;

    r->t->wish = r->hooks->wish ? (int)r->hooks->wish(r->hooks->ctx) : GD_RUN_ON;
    return gd_dist_ranks(r->t->dist) == 1 ? (gd_run_wish)r->t->wish : told;
}

static gd_status iterate(run *r)
{
    const int64_t end = r->t->options.iterations;

    while (end == 0 || r->t->step < end) {
        const gd_run_wish wish = next_wish(r);
        if (wish != GD_RUN_ON)
            GD_TRY(save_now(r));
        if (wish == GD_RUN_STOP)
            return gd_fail(GD_EINTERRUPTED, "stopped at step %lld, which is saved in %s",
                           (long long)r->t->step, r->folder);
        GD_TRY(one_step(r));
    }
    return save_now(r);
}

static gd_status begin(run *r)
{
    if (!r->first)
        return GD_OK;
    remove_parts(r->folder);
    GD_TRY(gd_run_check_space(r->t, r->folder));
    GD_TRY(train_csv_open(&r->csv, r->folder, r->t->step));
    return train_events_open(r->events, r->folder);
}

/* After the last step, or the one after which the run was asked to stop */
static gd_status end(run *r, gd_status s)
{
    const char *message = gd_strdup(r->t->mem, gd_error());
    const char *loss = r->t->objective.classifier ? "train_loss" : "loss";

    if (r->first)
        GD_TRY(train_curve_write(r->csv, r->folder, loss));
    return s == GD_OK ? s : gd_fail(s, "%s", message ? message : "stopped");
}

gd_status gd_run_train(gd_trainer *t, const char *folder, const gd_class_names *classes,
                       const gd_run_hooks *hooks)
{
    run r = { .t = t,
              .first = gd_dist_rank(t->dist) == 0,
              .folder = folder,
              .classes = classes,
              .hooks = hooks,
              .saved = -1 };
    gd_status s = gd_dist_agree(t->dist, begin(&r), NULL);

    if (s == GD_OK)
        s = iterate(&r);
    if (s == GD_OK || s == GD_EINTERRUPTED)
        s = gd_dist_agree(t->dist, end(&r, s), NULL);
    train_csv_close(r.csv);
    return s;
}
