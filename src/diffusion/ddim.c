/* ddim.c - Song, Meng & Ermon 2020, eq. 12.  eta = 0 is deterministic, eta = 1 is ancestral
 * sampling; guided as in Dhariwal & Nichol 2021, algorithm 2. */
#include "diffusion/diffusion.h"

#include <math.h>
#include <string.h>

/* x0, and eps derived from it; eps replaces mean */
static void predict(const gd_move *m, const float *x)
{
    gd_p_mean_variance(m->process, m->t, x, m->out, m->n, m->mean, m->variance, m->log_variance,
                       m->x0);
    if (m->gradient)
        gd_condition_score(m->process, m->t, x, m->gradient, m->x0, m->mean, m->n);
    gd_eps_from_x0(m->process, m->t, x, m->x0, m->mean, m->n);
}

static void step(const gd_move *m, float *x)
{
    const float a = (float)m->process->schedule->alpha_bar[m->t],
                b = (float)m->process->schedule->alpha_bar_prev[m->t];
    const float sigma = (float)m->eta * sqrtf((1 - b) / (1 - a)) * sqrtf(1 - a / b);
    /* at eta 1 and few steps rounding takes 1 - b - sigma^2 below 0 */
    const float to_x0 = sqrtf(b), to_eps = sqrtf(fmaxf(1 - b - sigma * sigma, 0)),
                to_noise = m->t == 0 ? 0 : sigma;

    predict(m, x);
    for (int64_t i = 0; i < m->n; i++)
        x[i] = m->x0[i] * to_x0 + to_eps * m->mean[i] + (to_noise > 0 ? to_noise * m->noise[i] : 0);
}

const gd_sampler_kind gd_sampler_ddim = { "ddim", "DDIM, deterministic at eta 0", step,
                                          .takes_eta = true };

/* From x_t to x_{t+1} at eta 0: encodes an image.  Not guided. */
static void step_reverse(const gd_move *m, float *x)
{
    const float next = (float)m->process->schedule->alpha_bar_next[m->t];

    predict(m, x);
    for (int64_t i = 0; i < m->n; i++)
        x[i] = m->x0[i] * sqrtf(next) + sqrtf(1 - next) * m->mean[i];
}

const gd_sampler_kind gd_sampler_ddim_reverse = { "ddim_reverse",
                                                  "DDIM backwards: from image to noise",
                                                  step_reverse, .ascends = true };

gd_status gd_sampler_find(const gd_sampler_kind **out, const char *name)
{
    static const gd_sampler_kind *const kinds[] = { &gd_sampler_ddpm, &gd_sampler_ddim };
    const char *names[COUNT(kinds)], *near;

    for (int i = 0; i < COUNT(kinds); i++) {
        names[i] = kinds[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = kinds[i];
            return GD_OK;
        }
    }
    *out = NULL;
    near = gd_nearest(name, names, COUNT(names));
    return gd_fail(GD_EUSAGE, "sampler %s: expected ddpm or ddim%s%s", name,
                   near ? "; did you mean " : "", near ? near : "");
}
