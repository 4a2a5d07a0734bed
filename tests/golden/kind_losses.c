/* SPDX-License-Identifier: MIT */
/* kind_losses.c - training losses of a stored network output, and the timestep samplers. */
#include "golden.h"

#include <string.h>

typedef struct batch {
    golden *g;
    int n;
    int64_t image;
    const float *x0, *noise;
    float *x_t;
    const int64_t *t;
    gd_loss_type type;
} batch;

static void one_type(batch *b, const gd_process *p, const char *suffix)
{
    golden *g = b->g;
    int64_t count = 0;
    const float *out = golden_f32(g, &count, "in.model_output.%s", suffix);
    float *gradient = golden_alloc(g, (size_t)count * sizeof *gradient);
    float *loss = golden_alloc(g, (size_t)b->n * sizeof *loss),
          *mse = golden_alloc(g, (size_t)b->n * sizeof *mse),
          *vb = golden_alloc(g, (size_t)b->n * sizeof *vb);
    const int64_t width = count / b->n;
    gd_loss terms = { 0 };

    for (int i = 0; i < b->n; i++) {
        const int64_t at = i * b->image;
        gd_q_sample(p, (int)b->t[i], b->x0 + at, b->noise + at, b->x_t + at, b->image);
        gd_training_loss(&terms, gradient + i * width, p, b->type, &(gd_snr_weight){ 0 },
                         (int)b->t[i], b->x0 + at, b->x_t + at, b->noise + at, out + i * width,
                         b->image, 1.0 / b->n);
        loss[i] = (float)terms.loss;
        mse[i] = (float)terms.mse;
        vb[i] = (float)terms.vb;
    }
    golden_compare(g, gd_sprintf(g->mem, "out.loss.%s", suffix), loss, b->n);
    if (!terms.is_bound)
        golden_compare(g, gd_sprintf(g->mem, "out.mse.%s", suffix), mse, b->n);
    if (terms.has_vb)
        golden_compare(g, gd_sprintf(g->mem, "out.vb.%s", suffix), vb, b->n);
    golden_compare(g, gd_sprintf(g->mem, "grad.in.model_output.%s", suffix), gradient, count);
}

void golden_training_losses_mock(golden *g)
{
    const gd_array *x = golden_find(g, "in.x_start");
    gd_schedule *schedule = golden_schedule_of(g);
    batch b = { .g = g };

    golden_reads_all(g);
    b.type =
        (gd_loss_type)golden_word(g, g->config, "loss_type", golden_loss_names, GOLDEN_LOSSES, -1);
    if (!x || !schedule) {
        golden_fail(g, "no in.x_start");
        gd_schedule_free(schedule);
        return;
    }
    b.n = (int)x->dim[0];
    b.image = gd_array_count(x) / b.n;
    b.x0 = golden_f32(g, NULL, "in.x_start");
    b.noise = golden_f32(g, NULL, "in.noise");
    b.t = golden_i64(g, NULL, "in.t");
    b.x_t = golden_alloc(g, (size_t)(b.n * b.image) * sizeof *b.x_t);
    for (int m = 0; m < GOLDEN_MEANS; m++)
        for (int v = 0; v < GOLDEN_VARIANCES; v++) {
            const gd_process p = { schedule, (gd_mean_type)m, (gd_var_type)v, false };
            const char *suffix =
                gd_sprintf(g->mem, "%s.%s", golden_mean_names[m], golden_var_names[v]);
            if (golden_find(g, "in.model_output.%s", suffix))
                one_type(&b, &p, suffix);
        }
    gd_schedule_free(schedule);
}

/* ---- timestep samplers ---- */

static void compare_mark(golden *g, gd_timestep_sampler *s, int mark)
{
    double *weights = golden_alloc(g, (size_t)s->n * sizeof *weights);
    int64_t n = 0;
    const int64_t *index = golden_i64(g, &n, "in.indices");
    float *importance = golden_alloc(g, (size_t)n * sizeof *importance);

    gd_timestep_sampler_weights(s, weights);
    gd_timestep_sampler_refresh(s);
    for (int64_t i = 0; i < n; i++)
        importance[i] = gd_timestep_sampler_importance(s, (int)index[i]);
    golden_compare_f64(g, gd_sprintf(g->mem, "out.weights.%d", mark), weights, s->n);
    golden_compare_f64(g, gd_sprintf(g->mem, "out.probabilities.%d", mark), s->probability, s->n);
    golden_compare(g, gd_sprintf(g->mem, "out.importance.%d", mark), importance, n);
}

static void follow_losses(golden *g, gd_timestep_sampler *s)
{
    json_t *marks = golden_at(g, g->config, "marks");
    int64_t n = 0;
    const int64_t *t = golden_i64(g, &n, "in.ts");
    const float *loss = golden_f32(g, NULL, "in.losses");

    for (int64_t i = 0; i <= n; i++) {
        for (size_t m = 0; m < json_array_size(marks); m++)
            if (json_integer_value(json_array_get(marks, m)) == i)
                compare_mark(g, s, (int)m);
        if (i < n)
            gd_timestep_sampler_update(s, (int)t[i], loss[i]);
    }
    golden_compare_f64(g, "out.loss_history", s->history, (int64_t)s->n * s->length);
}

void golden_schedule_samplers(golden *g)
{
    const int n = golden_get_int(g, g->config, "num_timesteps", 0),
              length = golden_get_int(g, g->config, "history_per_term", GD_LOSS_HISTORY);
    const double share = golden_number(g, g->config, "uniform_prob", GD_UNIFORM_SHARE);
    gd_timestep_sampler by_loss = { 0 }, uniform = { 0 };
    int64_t count = 0;
    const int64_t *index = golden_i64(g, &count, "in.indices");
    float *importance = golden_alloc(g, (size_t)count * sizeof *importance);

    golden_reads_all(g);
    golden_remarks(g, g->config, "seed events");
    if (gd_timestep_sampler_make(&by_loss, "loss-second-moment", n, length, share) != GD_OK ||
        gd_timestep_sampler_make(&uniform, "uniform", n, length, share) != GD_OK) {
        golden_fail(g, "%s", gd_error());
    } else {
        follow_losses(g, &by_loss);
        for (int64_t i = 0; i < count; i++)
            importance[i] = gd_timestep_sampler_importance(&uniform, (int)index[i]);
        golden_compare(g, "out.uniform_importance", importance, count);
    }
    gd_timestep_sampler_free(&by_loss);
    gd_timestep_sampler_free(&uniform);
}
