/* SPDX-License-Identifier: MIT */
/* train_loss.c - the loss that guided train minimises: discrete steps or noise levels, weights, a
 * teacher. */
#include "jobs/train.h"

#include <string.h>

/* The target of a consistency loss is one of the averages. */
static gd_status add_target(gd_train_options *t)
{
    gd_averages have;
    char rate[32];

    GD_TRY(gd_averages_read(&have, t->ema_rate));
    for (int k = 0; k < have.n; k++)
        if (have.rate[k] == t->target_ema)
            return GD_OK;
    snprintf(rate, sizeof rate, "%s%.10g", *t->ema_rate ? "," : "", t->target_ema);
    if (strlen(t->ema_rate) + strlen(rate) >= sizeof t->ema_rate)
        return gd_fail(GD_EUSAGE, "--ema-rate %s: too long to add --target-ema", t->ema_rate);
    strcat(t->ema_rate, rate);
    return GD_OK;
}

gd_status train_settle_loss(train_options *o)
{
    gd_train_options *t = &o->train;

    GD_TRY(train_keep_text(t->loss, sizeof t->loss, o->loss, "loss"));
    GD_TRY(train_keep_text(t->loss_weight, sizeof t->loss_weight, o->loss_weight, "loss-weight"));
    GD_TRY(train_keep_text(t->loss_norm, sizeof t->loss_norm, o->loss_norm, "loss-norm"));
    GD_TRY(train_keep_text(t->teacher, sizeof t->teacher, o->teacher, "teacher"));
    if (strcmp(t->loss, "cd") == 0 || strcmp(t->loss, "ct") == 0)
        return add_target(t);
    return GD_OK;
}

gd_status train_open_teacher(train_run *r)
{
    const char *path = r->o.train.teacher;

    if (!*path)
        return GD_OK;
    return job_model_open(&r->teacher, path, JOB_MODEL, NULL, 0);
}

/* Consistency models return the image itself at the lowest level; other losses at noise levels use
 * EDM's preconditioner. */
void train_shape_network(train_run *r)
{
    const char *loss = r->o.train.loss;
    const bool boundary = strcmp(loss, "cd") == 0 || strcmp(loss, "ct") == 0;

    if (gd_train_at_levels(&r->o.train))
        gd_config_for_levels(&r->config,
                             boundary ? GD_PRECOND_CONSISTENCY : GD_PRECOND_CONSISTENCY_EDM);
}
