/* SPDX-License-Identifier: MIT */
/* solve_diffpir.c - Zhu et al. 2023, "Denoising Diffusion Models for Plug-and-Play Image
 * Restoration": half-quadratic splitting with the network as its denoiser.  The paper's noise is
 * on [0, 1] while its level sigma_t is on [-1, 1]; lambda 4 is the Bayesian value. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

enum { MAX_CG_STEPS = 50 };

typedef struct work {
    double *p;          /* [n] A^+ y */
    double *difference; /* [n] */
    double *residual;   /* [m] */
    double *cg;         /* without a spectrum */
    double *z2;
    int *steps;
} work;

static double prox_gain(void *ctx, double s)
{
    return s * s / (s * s + *(const double *)ctx);
}

/* x0 <- argmin |y - A x|^2 + rho |x - x0|^2, in the form that loses nothing at small rho */
static void data_step(gd_solving *s, work *w, double rho)
{
    if (s->op->has_spectrum) {
        for (int64_t i = 0; i < s->n; i++)
            w->difference[i] = w->p[i] - s->x0[i];
        gd_operator_spectral(s->op, prox_gain, &rho, w->difference, w->difference);
    } else {
        gd_operator_apply(s->op, s->x0, w->residual);
        for (int64_t i = 0; i < s->m; i++)
            w->residual[i] = s->y[i] - w->residual[i];
        gd_least_squares_solve(
            s->op, &(gd_least_squares){ .rho = rho, .tolerance = 1e-6, .most_steps = MAX_CG_STEPS },
            w->residual, w->difference, w->cg);
    }
    for (int64_t i = 0; i < s->n; i++)
        s->x0[i] += w->difference[i];
}

/* The authors' start: y where it has the image's size (-1 at unknown pixels), else enlarged */
static gd_status start(gd_solving *s, double *init)
{
    const gd_shape image = s->op->image, y = s->op->measurement;
    const uint8_t *mask = gd_operator_mask(s->op);
    const int64_t plane = (int64_t)image.h * image.w;
    gd_enlarge e;

    if (mask) {
        for (int64_t i = 0; i < s->n; i++)
            init[i] = mask[i % plane] ? s->y[i] : -1;
        return GD_OK;
    }
    if (y.c == image.c && y.h == image.h && y.w == image.w) {
        memcpy(init, s->y, (size_t)s->n * sizeof *init);
        return GD_OK;
    }
    if (y.c != image.c || image.h % y.h != 0 || image.w % y.w != 0) {
        gd_operator_pinv(s->op, s->y, init);
        return GD_OK;
    }
    GD_TRY(gd_enlarge_make(&e, y, image, GD_EDGE_CLAMP, s->mem));
    gd_enlarge_apply(&e, s->y, init);
    return GD_OK;
}

static gd_status prepare(gd_solving *s, work *w)
{
    const int usable = gd_usable_levels(s->schedule);

    w->p = gd_solving_array(s, s->n);
    w->difference = gd_solving_array(s, s->n);
    w->residual = gd_solving_array(s, s->m);
    w->cg = gd_solving_array(s, gd_least_squares_work(s->op));
    w->z2 = gd_solving_array(s, s->n);
    w->steps = gd_alloc(s->mem, (size_t)s->o->steps * sizeof *w->steps);
    if (!w->p || !w->difference || !w->residual || !w->cg || !w->z2 || !w->steps)
        return GD_ENOMEM;
    if (s->o->steps < 2 || s->o->steps > usable)
        return gd_fail(GD_EUSAGE, "diffpir: %d steps, there are %d levels of usable noise",
                       s->o->steps, usable);
    gd_quadratic_steps(w->steps, s->o->steps, usable);
    if (s->op->has_spectrum)
        gd_operator_pinv(s->op, s->y, w->p);
    return GD_OK;
}

static void move(gd_solving *s, work *w, int t, int next)
{
    const double a = gd_alpha_bar(s->schedule, t), b = gd_alpha_bar(s->schedule, next);
    const double e = s->o->eta * sqrt((1 - b) / (1 - a)) * sqrt(s->schedule->beta[t]);
    const double zeta = s->o->zeta, of_eps = sqrt(fmax(1 - b - e * e, 0));

    gd_next_noise(s, s->n, s->z);
    gd_next_noise(s, s->n, w->z2);
    for (int64_t i = 0; i < s->n; i++) {
        const double eps = (s->x[i] - sqrt(a) * s->x0[i]) / sqrt(1 - a);
        s->x[i] = sqrt(b) * s->x0[i] + sqrt(1 - zeta) * (of_eps * eps + e * s->z[i]) +
                  sqrt(zeta) * sqrt(1 - b) * w->z2[i];
    }
}

static gd_status solve(gd_solving *s)
{
    const double sigma = fmax(s->o->sigma_y / 2, 0.001); /* on [0, 1], as the paper has it */
    work w;

    GD_TRY(prepare(s, &w));
    GD_TRY(start(s, s->x));
    const double first = gd_alpha_bar(s->schedule, w.steps[0]);
    gd_next_noise(s, s->n, s->z);
    gd_mix(s->x, sqrt(first), s->x, sqrt(1 - first), s->z, s->n);
    for (int k = 0; k < s->o->steps; k++) {
        const int t = w.steps[k];
        const double a = gd_alpha_bar(s->schedule, t);
        const gd_level at = gd_level_of(s->schedule, t);
        GD_TRY(gd_predict(s, &at, s->x, true));
        if (s->o->clip)
            gd_clip(s->x0, s->n);
        if (k + 1 == s->o->steps) /* the authors drop the last prediction and return x */
            break;
        data_step(s, &w, s->o->lambda * sigma * sigma * a / (1 - a));
        move(s, &w, t, w.steps[k + 1]);
    }
    if (s->o->final_x0)
        memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return GD_OK;
}

static int calls(const gd_prior *prior, const gd_restore_options *o)
{
    (void)prior;
    return o->steps;
}

static void defaults(gd_restore_options *o, const char *op)
{
    (void)op;
    o->steps = 100; /* of inpainting, too: the authors' 20 lose 1 to 2 dB */
    o->lambda = 4;
    o->zeta = 0.3;
    o->final_x0 = true;
}

const gd_restorer gd_restorer_diffpir = { "diffpir",
                                          "DiffPIR: any linear operator, noise taken into account",
                                          GD_NEEDS_LINEAR | GD_NEEDS_SCORE,
                                          false,
                                          solve,
                                          calls,
                                          defaults,
                                          "steps lambda zeta eta final_x0 clip" };
