/* SPDX-License-Identifier: MIT */
/* kind_cm_losses.c - losses at noise levels with the gradients of the parameters, through the
 * trainer's worker: consistency distillation and training, progressive distillation, EDM. */
#include "golden.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

/* Networks without gradients: the target, the teacher */
typedef struct frozen {
    golden_weights source;
    gd_model *model;
    gd_engine *engine;
    gd_preconditioner *form;
} frozen;

static gd_status freeze(frozen *f, golden *g, const char *prefix, gd_model_config c,
                        gd_precond precond)
{
    f->source = (golden_weights){ g, prefix, NULL };
    const gd_weights weights = golden_source(&f->source);
    c.diffusion.precond = precond;
    GD_TRY(gd_model_wrap(&f->model, &c, &weights));
    GD_TRY(gd_engine_make(&f->engine, f->model, NULL, false, 1));
    return gd_preconditioner_make(&f->form, &c.diffusion, NULL, NULL);
}

static void melt(frozen *f)
{
    gd_preconditioner_free(f->form);
    gd_engine_free(f->engine);
    gd_model_close(f->model);
}

/* ---- one run ---- */

static const char *const modes[GD_N_LEVEL_LOSSES] = { "edm", "consistency_distillation",
                                                      "consistency_training", "progdist" };

static gd_train_batch batch_of(golden *g)
{
    const gd_array *x = golden_find(g, "in.x_start");
    const int n = (int)x->dim[0];
    const int64_t *index = golden_i64(g, NULL, "in.indices");
    const float *sigma = golden_f32(g, NULL, "in.sigma");
    int *t = golden_alloc(g, (size_t)n * sizeof *t);
    double *levels = golden_alloc(g, (size_t)n * sizeof *levels);

    for (int i = 0; i < n && index && sigma; i++) {
        t[i] = (int)index[i];
        levels[i] = sigma[i];
    }
    return (gd_train_batch){ .n = n,
                             .share = 1.0 / n,
                             .x0 = golden_f32(g, NULL, "in.x_start"),
                             .noise = golden_f32(g, NULL, "in.noise"),
                             .t = t,
                             .sigma = levels,
                             .y = golden_find(g, "in.y") ? golden_i64(g, NULL, "in.y") : NULL,
                             .loss = golden_alloc(g, (size_t)n * sizeof(double)) };
}

static void compare_run(golden *g, const char *name, const gd_learner *l, const gd_train_batch *b)
{
    float *loss = golden_alloc(g, (size_t)b->n * sizeof *loss),
          *norm = golden_alloc(g, (size_t)l->n_param * sizeof *norm);

    for (int i = 0; i < b->n; i++)
        loss[i] = (float)b->loss[i];
    for (int i = 0; i < l->n_param; i++) {
        const float *d = gd_learner_gradient(l, i);
        double sum = 0;
        for (int64_t k = 0; d && k < gd_param_count(&l->spec[i]); k++)
            sum += (double)d[k] * d[k];
        norm[i] = (float)sqrt(sum);
    }
    golden_compare(g, gd_sprintf(g->mem, "out.loss.%s", name), loss, b->n);
    golden_compare(g, gd_sprintf(g->mem, "out.grad_norms.%s", name), norm, l->n_param);
}

static gd_status run_rule(golden *g, const char *name, const gd_model_config *c,
                          const gd_level_rule *rule)
{
    golden_weights source = { g, "model", NULL };
    const gd_weights weights = golden_source(&source);
    const gd_train_batch b = batch_of(g);
    const gd_learner_options options = { .microbatch = b.n };
    const gd_objective objective = { .levels = rule };
    gd_learner *l = NULL;
    gd_microbatch *w = NULL;
    gd_means means = { 0 };
    gd_status s = gd_learner_make(&l, c, &weights, &options);

    if (s == GD_OK)
        s = gd_microbatch_make(&w, l, rule);
    if (s == GD_OK)
        s = gd_microbatch_run(w, &objective, &b, &means);
    if (s == GD_OK)
        compare_run(g, name, l, &b);
    gd_microbatch_free(w);
    gd_learner_free(l);
    return s;
}

static void run(golden *g, gd_model_config c, json_t *r, const frozen *target,
                const frozen *teacher)
{
    static const char *const norms[] = { "l2", "l1" };
    const gd_level_loss kind = (gd_level_loss)golden_word(g, r, "mode", modes, COUNT(modes), -1);
    const bool student = kind == GD_LEVEL_DISTILL || kind == GD_LEVEL_CONSISTENCY;
    const bool taught = kind == GD_LEVEL_DISTILL || kind == GD_LEVEL_PROGRESSIVE;
    const gd_level_rule rule = {
        .kind = kind,
        .weight = (gd_level_weight)golden_word(g, r, "weight", gd_level_weight_names,
                                               GD_N_LEVEL_WEIGHTS, -1),
        .absolute = golden_word(g, r, "norm", norms, COUNT(norms), 0) == 1,
        .scales = golden_get_int(g, r, "num_scales", 0),
        .sigma_min = c.diffusion.sigma_min,
        .sigma_max = c.diffusion.sigma_max,
        .rho = golden_number(g, g->config, "rho", 7),
        .sigma_data = c.diffusion.sigma_data,
        .form = student ? target->form : teacher->form, /* the student's are the same two */
        .target = gd_engine_denoiser(target->engine),
        .teacher = taught ? gd_engine_denoiser(teacher->engine) : NULL,
        .teacher_form = teacher->form
    };

    c.diffusion.precond = student ? GD_PRECOND_CONSISTENCY : GD_PRECOND_CONSISTENCY_EDM;
    if (!g->failed && run_rule(g, golden_text(g, r, "name", ""), &c, &rule) != GD_OK)
        golden_fail(g, "%s", gd_error());
}

void golden_cm_losses(golden *g)
{
    frozen target = { 0 }, teacher = { 0 };
    gd_model_config c;
    json_t *r;
    size_t i;

    if (!golden_cm_config(g, &c))
        return;
    if (!golden_find(g, "in.x_start")) {
        golden_fail(g, "no in.x_start");
        return;
    }
    if (freeze(&target, g, "target", c, GD_PRECOND_CONSISTENCY) != GD_OK ||
        freeze(&teacher, g, "teacher", c, GD_PRECOND_CONSISTENCY_EDM) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else
        json_array_foreach(json_object_get(g->config, "runs"), i, r)
            run(g, c, r, &target, &teacher);
    melt(&target);
    melt(&teacher);
}
