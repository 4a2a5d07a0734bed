/* SPDX-License-Identifier: MIT */
/* lanes.c - restorations of small images side by side: each with its own operator, state and memory
 * for activations on a thread of its own, all with one network's weights. */
#include "restore/restore_private.h"

#include <stdio.h>

static gd_status open_lane(gd_restoration *lane, const gd_restoration *r,
                           const gd_restoration_settings *s)
{
    *lane = *r;
    lane->op = NULL;
    lane->schedule = NULL; /* the prior knows r's */
    lane->network = NULL;
    lane->mem = NULL;
    lane->lane = NULL;
    lane->n_lanes = 1;
    GD_TRY(gd_arena_make(&lane->mem));
    GD_TRY(gd_operator_parse(&lane->op, s->op ? s->op : "denoise", r->shape, s->seed));
    GD_TRY(gd_network_prior_make_beside(&lane->network, r->network));
    lane->prior = gd_network_prior_get(lane->network);
    lane->measured =
        gd_alloc(lane->mem, (size_t)gd_shape_count(lane->op->measurement) * sizeof(double));
    return lane->measured ? GD_OK : GD_ENOMEM;
}

gd_status gd_restoration_open_lanes(gd_restoration *r, const gd_restoration_settings *settings)
{
    if (r->n_lanes == 1)
        return GD_OK;
    r->lane = gd_alloc(r->mem, (size_t)(r->n_lanes - 1) * sizeof *r->lane);
    if (!r->lane)
        return GD_ENOMEM;
    for (int k = 0; k < r->n_lanes - 1; k++)
        GD_TRY(open_lane(&r->lane[k], r, settings));
    return GD_OK;
}

void gd_restoration_close_lanes(gd_restoration *r)
{
    for (int k = 0; r->lane && k < r->n_lanes - 1; k++)
        gd_restoration_close(&r->lane[k]);
    r->lane = NULL;
    r->n_lanes = 1;
}

/* ---- running ---- */

enum { TEXT = 1024 };

typedef struct outcome {
    gd_status status;
    char error[TEXT]; /* errors belong to a thread */
} outcome;

typedef struct work {
    gd_restoration *r;
    gd_restoration_task task;
    void *ctx;
    outcome *outcome; /* [n] */
} work;

static void run_lane(void *ctx, int64_t k)
{
    const work *w = ctx;
    outcome *o = &w->outcome[k];

    o->status = w->task(w->ctx, k == 0 ? w->r : &w->r->lane[k - 1], (int)k);
    if (o->status != GD_OK)
        snprintf(o->error, sizeof o->error, "%s", gd_error());
}

gd_status gd_restoration_each(gd_restoration *r, int n, gd_restoration_task task, void *ctx)
{
    work w = { r, task, ctx, NULL };
    gd_status s = GD_OK;

    if (n == 1)
        return task(ctx, r, 0);
    GD_TRY(gd_block_make(&w.outcome, (size_t)n * sizeof *w.outcome, "lanes"));
    for (int k = 0; k < n - 1; k++) {
        r->lane[k].prior->before_call = r->prior->before_call;
        r->lane[k].prior->step_ctx = r->prior->step_ctx;
    }
    gd_par(n, run_lane, &w);
    for (int k = 0; k < n && s == GD_OK; k++)
        if (w.outcome[k].status != GD_OK)
            s = gd_fail(w.outcome[k].status, "%s", w.outcome[k].error);
    gd_block_free(w.outcome);
    return s;
}
