/* SPDX-License-Identifier: MIT */
/* ddim.c - Song, Meng & Ermon 2020, eq. 12.  eta = 0 is deterministic, eta = 1 is ancestral
 * sampling; guided as in Dhariwal & Nichol 2021, algorithm 2.  In float, as the authors' code
 * computes it. */
#include "diffusion/solver.h"

#include <math.h>

/* p->x0 of one image, and eps derived from it in p->mean */
static void predict(gd_problem *p, int t, int image)
{
    const gd_denoiser *d = p->run->denoiser;
    const int64_t at = image * p->count, out_count = p->count / d->channels * d->out_channels;
    const gd_process *process = &p->run->process;
    const float *x = p->input + at;

    gd_p_mean_variance(process, t, x, p->out + image * out_count, p->count, p->mean, p->variance,
                       p->log_variance, p->x0);
    if (gd_guided(p))
        gd_condition_score(process, t, x, p->gradient + at, p->x0, p->mean, p->count);
    if (p->run->options.keep_epsilon) /* guidance's share stays in x_0 alone, as in diffusers */
        for (int64_t i = 0; i < p->count; i++)
            p->mean[i] = p->out[image * out_count + i];
    else
        gd_eps_from_x0(process, t, x, p->x0, p->mean, p->count);
    for (int64_t i = 0; i < p->count; i++)
        p->prediction[at + i] = p->x0[i];
}

static void step(gd_problem *p, int t, int image, double *x)
{
    const gd_schedule *s = p->run->process.schedule;
    const float a = (float)s->alpha_bar[t], b = (float)s->alpha_bar_prev[t];
    const float sigma = (float)p->run->options.eta * sqrtf((1 - b) / (1 - a)) * sqrtf(1 - a / b);
    /* at eta 1 and few steps rounding takes 1 - b - sigma^2 below 0 */
    const float to_x0 = sqrtf(b), to_eps = sqrtf(fmaxf(1 - b - sigma * sigma, 0)),
                to_noise = t == 0 ? 0 : sigma;
    const float *noise = p->noise + image * p->count;

    predict(p, t, image);
    x += image * p->count;
    for (int64_t i = 0; i < p->count; i++)
        x[i] = p->x0[i] * to_x0 + to_eps * p->mean[i] + (to_noise > 0 ? to_noise * noise[i] : 0);
}

/* From x_t to x_{t+1} at eta 0.  Not guided. */
static void step_reverse(gd_problem *p, int t, int image, double *x)
{
    const float next = (float)p->run->process.schedule->alpha_bar_next[t];

    predict(p, t, image);
    x += image * p->count;
    for (int64_t i = 0; i < p->count; i++)
        x[i] = p->x0[i] * sqrtf(next) + sqrtf(1 - next) * p->mean[i];
}

static gd_status walk(gd_problem *p, double *x, void (*one)(gd_problem *, int, int, double *))
{
    for (int k = 0; k < p->grid->steps; k++) {
        gd_draw(p, k + 1);
        GD_TRY(gd_evaluate(p, &p->grid->level[k], x));
        for (int i = 0; i < p->images; i++)
            one(p, p->grid->level[k].index, i, x);
        GD_TRY(gd_step_done(p, k + 1, x, p->prediction));
    }
    return GD_OK;
}

static gd_status solve(gd_problem *p, double *x)
{
    return walk(p, x, step);
}

static gd_status solve_reverse(gd_problem *p, double *x)
{
    return walk(p, x, step_reverse);
}

const gd_solver gd_solver_ddim = { "ddim", "DDIM, deterministic at eta 0", solve,
                                   .takes_eta = true };
const gd_solver gd_solver_ddim_reverse = { "ddim-reverse", "DDIM backwards: from image to noise",
                                           solve_reverse, .ascends = true };
