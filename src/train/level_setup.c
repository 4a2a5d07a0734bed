/* SPDX-License-Identifier: MIT */
/* level_setup.c - what a trainer needs for losses at noise levels: preconditioners, the teacher's
 * network, the target's. */
#include "train/train_private.h"
#include "diffusion/solver.h"

#include <math.h>
#include <string.h>

struct gd_train_levels {
    gd_level_rule rule;
    gd_preconditioner *form, *teacher_form;
    gd_engine *teacher;
    gd_schedule *schedule; /* of a teacher for discrete steps */
    gd_sigma_map map;
    gd_follower *follower;
};

/* ---- the teacher ---- */

static double time_of(const void *ctx, double sigma)
{
    return gd_sigma_level(ctx, sigma).time;
}

static gd_status check_teacher(const gd_trainer *t, const gd_model *teacher)
{
    const gd_net_config *a = &t->config.net, *b = &gd_model_get_config(teacher)->net;
    const gd_diffusion_config *d = &gd_model_get_config(teacher)->diffusion;

    if (b->kind != GD_NET_UNET || b->image_size != a->image_size ||
        b->in_channels != a->in_channels || b->num_classes != a->num_classes)
        return gd_fail(GD_EMISMATCH,
                       "%s: %dx%d images of %d channels and %d classes, the student has %dx%d, %d "
                       "and %d",
                       gd_model_path(teacher), b->image_size, b->image_size, b->in_channels,
                       b->num_classes, a->image_size, a->image_size, a->in_channels,
                       a->num_classes);
    if (d->precond == GD_PRECOND_CONSISTENCY || d->one_call_sigma > 0)
        return gd_fail(GD_EMISMATCH,
                       "%s: a model of few calls has no path to teach\nhint: the model that it was "
                       "distilled from",
                       gd_model_path(teacher));
    return GD_OK;
}

static gd_status make_teacher(gd_trainer *t, struct gd_train_levels *l, const gd_model *teacher)
{
    const gd_diffusion_config *d = &gd_model_get_config(teacher)->diffusion;
    const bool steps = d->precond == GD_PRECOND_STEPS;

    GD_TRY(check_teacher(t, teacher));
    if (steps)
        GD_TRY(
            gd_schedule_make(&l->schedule, d->noise_schedule, d->steps, "", d->rescale_timesteps));
    l->map = (gd_sigma_map){ .kind = GD_TIME_LOG, .schedule = l->schedule };
    GD_TRY(gd_preconditioner_make(&l->teacher_form, d, steps ? time_of : NULL, &l->map));
    GD_TRY(gd_engine_make(&l->teacher, teacher, NULL, t->options.bf16,
                          GD_MIN(gd_threads(), t->images)));
    l->rule.teacher = gd_engine_denoiser(l->teacher);
    l->rule.teacher_form = l->teacher_form;
    return GD_OK;
}

/* ---- the rule ---- */

static int index_of(const char *name, const char *const *names, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return i;
    return -1;
}

bool gd_train_at_levels(const gd_train_options *o)
{
    return index_of(o->loss, gd_level_loss_names, GD_N_LEVEL_LOSSES) >= 0;
}

static gd_status check_network(const gd_trainer *t)
{
    const gd_precond precond = t->config.diffusion.precond;
    const bool levels = gd_train_at_levels(&t->options);

    if (levels && t->config.net.family != GD_FAMILY_CONSISTENCY)
        return gd_fail(GD_EUSAGE, "loss %s is for networks of the family consistency_models",
                       t->options.loss);
    if (!levels && precond != GD_PRECOND_STEPS)
        return gd_fail(GD_EUSAGE,
                       "the network is for noise levels, the loss for steps\nhint: --loss edm, cd, "
                       "ct or progdist");
    return GD_OK;
}

/* EDM's own weight is Karras', the others' is uniform. */
static gd_level_weight weight_of(const gd_train_options *o, gd_level_loss kind)
{
    const int chosen = index_of(o->loss_weight, gd_level_weight_names, GD_N_LEVEL_WEIGHTS);

    return chosen >= 0            ? (gd_level_weight)chosen
           : kind == GD_LEVEL_EDM ? GD_LEVEL_KARRAS
                                  : GD_LEVEL_UNIFORM;
}

gd_status train_levels_make(gd_trainer *t, const gd_model *teacher)
{
    const gd_train_options *o = &t->options;
    const gd_diffusion_config *d = &t->config.diffusion;
    struct gd_train_levels *l;

    GD_TRY(check_network(t));
    if (!gd_train_at_levels(o))
        return GD_OK;
    l = gd_alloc(t->mem, sizeof *l);
    if (!l)
        return gd_fail(GD_ENOMEM, "training: out of memory");
    t->levels = l;
    const gd_level_loss kind =
        (gd_level_loss)index_of(o->loss, gd_level_loss_names, GD_N_LEVEL_LOSSES);
    GD_TRY(gd_preconditioner_make(&l->form, d, NULL, NULL));
    l->rule = (gd_level_rule){ .kind = kind,
                               .weight = weight_of(o, kind),
                               .absolute = strcmp(o->loss_norm, "l1") == 0,
                               .scales = o->scales,
                               .sigma_min = d->sigma_min,
                               .sigma_max = d->sigma_max,
                               .rho = 7,
                               .sigma_data = d->sigma_data,
                               .form = l->form };
    t->objective.levels = &l->rule;
    if (kind != GD_LEVEL_DISTILL && kind != GD_LEVEL_PROGRESSIVE)
        return teacher ? gd_fail(GD_EUSAGE, "loss %s takes no teacher", o->loss) : GD_OK;
    if (!teacher)
        return gd_fail(GD_EUSAGE, "loss %s needs a teacher\nhint: --teacher FILE", o->loss);
    return make_teacher(t, l, teacher);
}

gd_status train_levels_follow(gd_trainer *t)
{
    struct gd_train_levels *l = t->levels;
    int k = 0;

    if (!l || (l->rule.kind != GD_LEVEL_DISTILL && l->rule.kind != GD_LEVEL_CONSISTENCY))
        return GD_OK;
    while (k < t->averages.n && t->averages.rate[k] != t->options.target_ema)
        k++;
    if (k == t->averages.n)
        return gd_fail(GD_EUSAGE,
                       "target_ema %g is none of the averages ema_rate %s\nhint: add it there",
                       t->options.target_ema, t->options.ema_rate);
    GD_TRY(gd_follower_make(&l->follower, t->learner, t->learner->ema[k]));
    l->rule.target = gd_follower_denoiser(l->follower);
    t->objective.follower = l->follower;
    return GD_OK;
}

gd_status gd_trainer_refresh(gd_trainer *t)
{
    GD_TRY(gd_learner_refresh(t->learner));
    return train_levels_updated(t);
}

gd_status train_levels_updated(gd_trainer *t)
{
    return t->levels && t->levels->follower ? gd_follower_refresh(t->levels->follower) : GD_OK;
}

void train_levels_free(gd_trainer *t)
{
    struct gd_train_levels *l = t->levels;

    if (!l)
        return;
    gd_follower_free(l->follower);
    gd_engine_free(l->teacher);
    gd_schedule_free(l->schedule);
    gd_preconditioner_free(l->form);
    gd_preconditioner_free(l->teacher_form);
}

/* ---- options ---- */

static const char *const step_losses[] = { "steps" };

gd_status train_loss_check(const gd_train_options *o)
{
    const bool levels = gd_train_at_levels(o);
    const char *const *weights = levels ? gd_level_weight_names : gd_snr_weight_names;
    const int n = levels ? (int)GD_N_LEVEL_WEIGHTS : (int)GD_N_SNR_WEIGHTS;
    char list[128] = "";

    if (!levels && *o->loss && index_of(o->loss, step_losses, 1) < 0)
        return gd_fail(GD_EUSAGE, "loss %s: expected steps, edm, cd, ct or progdist", o->loss);
    for (int i = 0; i < n; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 weights[i]);
    if (*o->loss_weight && index_of(o->loss_weight, weights, n) < 0)
        return gd_fail(GD_EUSAGE, "loss_weight %s: the loss %s takes %s", o->loss_weight,
                       *o->loss ? o->loss : "steps", list);
    if (*o->loss_norm && strcmp(o->loss_norm, "l1") != 0 && strcmp(o->loss_norm, "l2") != 0)
        return gd_fail(GD_EUSAGE, "loss_norm %s: expected l1 or l2", o->loss_norm);
    if (!levels && strcmp(o->loss_norm, "l1") == 0)
        return gd_fail(GD_EUSAGE, "loss_norm l1: the loss of discrete steps is l2");
    if (levels && strcmp(o->schedule_sampler, "uniform") != 0)
        return gd_fail(GD_EUSAGE, "schedule_sampler %s: the levels of loss %s are drawn evenly",
                       o->schedule_sampler, o->loss);
    return GD_OK;
}

gd_snr_weight train_snr_weight(const gd_train_options *o)
{
    const int kind = index_of(o->loss_weight, gd_snr_weight_names, GD_N_SNR_WEIGHTS);

    return (gd_snr_weight){ .kind = kind < 0 ? GD_SNR_UNIFORM : (gd_snr_weight_kind)kind,
                            .gamma = o->weight_gamma > 0 ? o->weight_gamma
                                     : kind == GD_SNR_P2 ? 1
                                                         : 5, /* the papers' */
                            .k = o->weight_k };
}
