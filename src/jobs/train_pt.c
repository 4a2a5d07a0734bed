/* SPDX-License-Identifier: MIT */
/* train_pt.c - guided train --resume of the authors' files: starts a new run from their state. */
#include "jobs/train.h"

#include <string.h>

/* A folder with checkpoints of guided is a run of guided, whatever other files it has. */
static gd_status find(train_run *r)
{
    const char *path = r->o.resume;
    int64_t *steps;
    int n = 0;
    const bool folder = gd_path_is_folder(path);

    if (folder) {
        GD_TRY(gd_run_steps(&steps, &n, path));
        gd_block_free(steps);
    }
    if (n == 0 && gd_pt_set_find(r->pt_model, path))
        return GD_OK;
    r->pt_model[0] = '\0';
    if (folder || !gd_path_exists(path))
        return GD_OK; /* opening it as a run reports the fault */
    return gd_fail(GD_EUSAGE,
                   "--resume %s: neither a run's folder nor a file named as model000000.pt\nhint: "
                   "--init-from %s begins a new run with its weights",
                   path, path);
}

/* The files contain neither options nor data: these come from the command line, and so does
 * whatever the shapes of the parameters do not determine. */
static gd_status open_model(train_run *r)
{
    if (r->o.init_from)
        return gd_fail(GD_EUSAGE, "--resume %s has its own weights: omit --init-from", r->o.resume);
    GD_TRY(gd_model_open(&r->begin, r->pt_model, r->words.flag, r->words.n_flags));
    r->config = *gd_model_get_config(r->begin);
    if (r->o.preset) {
        const gd_net_config file =
            r->config.net; /* a preset does not fix the classes of the data */
        GD_TRY(train_describe_network(r));
        if (r->config.net.kind == file.kind && file.kind == GD_NET_CLASSIFIER)
            r->config.net.out_channels = file.out_channels;
        else if (r->config.net.num_classes > 0 && file.num_classes > 0)
            r->config.net.num_classes = file.num_classes;
        return GD_OK;
    }
    if (*gd_model_assumed(r->begin) && !r->o.quiet)
        gd_log(GD_LOG_NOTE, "%s: assumed\n%s", r->pt_model, gd_model_assumed(r->begin));
    return GD_OK;
}

gd_status train_find_pt(train_run *r)
{
    GD_TRY(gd_dist_agree(r->dist, r->first ? find(r) : GD_OK, NULL));
    GD_TRY(gd_dist_broadcast(r->dist, r->pt_model, sizeof r->pt_model));
    if (!*r->pt_model)
        return GD_OK;
    GD_TRY(gd_dist_agree(r->dist, r->first ? open_model(r) : GD_OK, NULL));
    GD_TRY(gd_dist_broadcast(r->dist, &r->config, sizeof r->config));
    GD_TRY(train_take_kind(r));
    r->o.channels = r->config.net.in_channels;
    r->o.resume = NULL; /* a new run, in a folder of its own */
    return GD_OK;
}
