/* SPDX-License-Identifier: MIT */
/* training_file.c - which weights of a run: the newest checkpoint of its folder, and one of the
 * sets of parameters in it. */
#define _DEFAULT_SOURCE
#include "nn/diffusers.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char name_begin[] = "checkpoint-", name_end[] = ".safetensors";

/* ---- the folder ---- */

/* -1: not the name of a checkpoint */
static int64_t step_of(const char *name)
{
    char *end;
    int64_t step;

    if (strncmp(name, name_begin, sizeof name_begin - 1) != 0)
        return -1;
    name += sizeof name_begin - 1;
    step = strtoll(name, &end, 10);
    return end == name + 9 && step >= 0 && strcmp(end, name_end) == 0 ? step : -1;
}

static int newest_first(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? 1 : -(x > y);
}

gd_status gd_run_steps(int64_t **steps, int *n, const char *folder)
{
    enum { MOST = 100000 };
    const struct dirent *entry;
    DIR *dir = opendir(folder);

    *steps = NULL;
    *n = 0;
    if (!dir)
        return gd_fail_errno(errno, folder);
    gd_status s = gd_block_make(steps, MOST * sizeof **steps, "list of checkpoints");
    while (s == GD_OK && *n < MOST && (entry = readdir(dir))) {
        const int64_t step = step_of(entry->d_name);
        if (step >= 0)
            (*steps)[(*n)++] = step;
    }
    closedir(dir);
    if (s == GD_OK)
        qsort(*steps, (size_t)*n, sizeof **steps, newest_first);
    return s;
}

void gd_run_path(char out[GD_MAX_PATH], const char *folder, int64_t step)
{
    snprintf(out, GD_MAX_PATH, "%.3900s/%s%09lld%s", folder, name_begin, (long long)step, name_end);
}

/* Only damage passes a checkpoint over: out of memory or files, an older one would be gone back to
 * without need. */
static gd_status is_whole(bool *whole, const char *path)
{
    gd_bundle *b;
    const gd_status s = gd_bundle_open(&b, path);

    *whole = s == GD_OK;
    if (*whole)
        gd_bundle_close(b);
    if (s != GD_EFORMAT)
        return s;
    gd_log(GD_LOG_NOTE, "passed over: %s", gd_error());
    return GD_OK;
}

gd_status gd_run_newest(char out[GD_MAX_PATH], const char *folder)
{
    gd_status s = GD_OK;
    bool found = false;
    int64_t *steps;
    int n;

    GD_TRY(gd_run_steps(&steps, &n, folder));
    for (int i = 0; i < n && s == GD_OK && !found; i++) {
        gd_run_path(out, folder, steps[i]);
        s = is_whole(&found, out);
    }
    gd_block_free(steps);
    if (s != GD_OK || found)
        return s;
    return gd_fail(GD_EFORMAT, "%s: a folder with no whole %s...%s in it", folder, name_begin,
                   name_end);
}

/* ---- the weights ---- */

/* The last value of a flag; NULL: not given */
static const char *asked(const gd_flag *flags, int n_flags, const char *name)
{
    for (int i = n_flags - 1; i >= 0; i--)
        if (strcmp(flags[i].name, name) == 0)
            return flags[i].value;
    return NULL;
}

/* rates: "0.9999,0.999"; average NULL: the first, or the parameters themselves where there is none
 */
static gd_status select_weights(gd_bundle *b, const char *rates, const char *average)
{
    char prefix[64];
    gd_status s;

    if ((average && strcmp(average, "none") == 0) || (!average && !*rates))
        return gd_bundle_select(b, "model.");
    snprintf(prefix, sizeof prefix, "ema_%.*s.", average ? 32 : (int)strcspn(rates, ","),
             average ? average : rates);
    s = gd_bundle_select(b, prefix);
    if (s != GD_OK)
        return gd_fail(s, "%s: has no average of rate %s: expected one of %s, or none",
                       gd_bundle_path(b), average ? average : "", rates);
    return GD_OK;
}

gd_status nn_open_weights(gd_bundle **out, const char *path, const gd_flag *flags, int n_flags)
{
    const char *average = asked(flags, n_flags, "ema"), *key = asked(flags, n_flags, "key"), *rates;
    char newest[GD_MAX_PATH];
    gd_bundle *b;
    gd_status s = GD_OK;

    if (gd_path_is_folder(path) && nn_is_diffusers_folder(path))
        return nn_open_diffusers(out, path);
    if (gd_path_is_folder(path)) {
        GD_TRY(gd_run_newest(newest, path));
        path = newest;
    }
    GD_TRY(nn_open_state_dict(&b, path, key));
    rates = gd_bundle_meta(b, "guided.averages");
    if (rates)
        s = select_weights(b, rates, average);
    else if (average)
        s = gd_fail(GD_EUSAGE, "--ema %s: %s is no training checkpoint", average, path);
    if (s != GD_OK) {
        gd_bundle_close(b);
        return s;
    }
    *out = b;
    return GD_OK;
}
