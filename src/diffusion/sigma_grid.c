/* SPDX-License-Identifier: MIT */
/* sigma_grid.c - noise levels in sigma space, x = x_0 + sigma eps (Karras et al. 2022). */
#include "diffusion/solver.h"

/* ---- the network's time at a level ---- */

double gd_sigma_of(const gd_schedule *s, int i)
{
    return sqrt((1 - s->alpha_bar[i]) / s->alpha_bar[i]);
}

/* The last entry whose sigma is not above: sigma grows with the index */
static int entry_below(const gd_schedule *s, double sigma)
{
    int low = 0, high = s->n - 1;

    while (high - low > 1) {
        const int mid = (low + high) / 2;
        if (gd_sigma_of(s, mid) <= sigma)
            low = mid;
        else
            high = mid;
    }
    return low;
}

static double entry_of(const gd_sigma_map *map, double sigma)
{
    const gd_schedule *s = map->schedule;
    const int i = entry_below(s, sigma);
    const double low = gd_sigma_of(s, i), high = gd_sigma_of(s, i + 1);
    const double part = log(sigma / low) / log(high / low);

    if (sigma <= low)
        return i;
    if (sigma >= high)
        return i + 1;
    if (map->kind == GD_TIME_LOG)
        return i + part;
    if (map->kind == GD_TIME_NEAREST_LOG)
        return part > 0.5 ? i + 1 : i;
    return sigma - low > high - sigma ? i + 1 : i;
}

static double round_level(const gd_sigma_map *map, double sigma)
{
    double best = map->levels[0];

    for (int i = 1; i < map->n_levels; i++)
        if (fabs(map->levels[i] - sigma) < fabs(best - sigma))
            best = map->levels[i];
    return best;
}

gd_level gd_sigma_level(const gd_sigma_map *map, double sigma)
{
    gd_level at = { .alpha = 1, .sigma = sigma, .index = -1 };

    if (sigma == 0)
        return at;
    if (map->levels)
        at.sigma = round_level(map, sigma);
    if (map->kind != GD_TIME_NONE)
        at.time = entry_of(map, at.sigma) *
                  (map->schedule->rescale_timesteps ? 1000.0 / map->schedule->n_train : 1);
    return at;
}

/* ---- spacings ---- */

void gd_iddpm_levels(double u[GD_IDDPM_LEVELS])
{
    enum { M = GD_IDDPM_LEVELS - 1 };
    const double c1 = 0.001, c2 = 0.008, quarter = M_PI / (2 * M * (1 + c2));

    u[M] = 0;
    for (int j = M; j > 0; j--) {
        const double a = sin(quarter * (j - 1)), b = sin(quarter * j);
        u[j - 1] = sqrt((u[j] * u[j] + 1) / fmax(a * a / (b * b), c1) - 1);
    }
}

static double between(double a, double b, double part)
{
    return a + part * (b - a);
}

static double vp_level(double min, double max, double part)
{
    const double end = 1e-3, to_max = log(1 + max * max),
                 d = 2 * (log(1 + min * min) / end - to_max) / (end - 1), low = to_max - d / 2,
                 t = between(1, end, part);

    return sqrt(expm1(d * t * t / 2 + low * t));
}

gd_sigma_range gd_sigma_range_settled(const gd_sigma_range *range)
{
    const double beta_d = 19.9, beta_min = 0.1, end = 1e-3;
    const double ends[][2] = {
        [GD_SIGMA_KARRAS] = { 0.002, 80 },
        [GD_SIGMA_EXPONENTIAL] = { 0.002, 80 },
        [GD_SIGMA_VP] = { sqrt(expm1(beta_d * end * end / 2 + beta_min * end)),
                          sqrt(expm1(beta_d / 2 + beta_min)) },
        [GD_SIGMA_VE] = { 0.02, 100 },
        [GD_SIGMA_IDDPM] = { 0.002, 81 }
    };
    gd_sigma_range r = *range;

    r.min = r.min > 0 ? r.min : ends[r.spacing][0];
    r.max = r.max > 0 ? r.max : ends[r.spacing][1];
    r.rho = r.rho > 0 ? r.rho : 7;
    return r;
}

/* Entries of the iDDPM table in [min, max], at even distances of index */
static double iddpm_level(const gd_sigma_range *r, const double *u, double part)
{
    int first = 0, n = 0;

    while (first < GD_IDDPM_LEVELS && u[first] > r->max)
        first++;
    while (first + n < GD_IDDPM_LEVELS && u[first + n] >= r->min)
        n++;
    return n > 0 ? u[first + (int)rint((n - 1) * part)] : 0;
}

static double level_of(const gd_sigma_range *r, const double *u, double part)
{
    switch (r->spacing) {
    case GD_SIGMA_KARRAS:
        return pow(between(pow(r->max, 1 / r->rho), pow(r->min, 1 / r->rho), part), r->rho);
    case GD_SIGMA_EXPONENTIAL:
        return exp(between(log(r->max), log(r->min), part));
    case GD_SIGMA_VP:
        return vp_level(r->min, r->max, part);
    case GD_SIGMA_VE:
        return r->max * pow(r->min / r->max, part);
    case GD_SIGMA_IDDPM:
        return iddpm_level(r, u, part);
    }
    return 0;
}

gd_status gd_grid_sigma(gd_grid **out, const gd_sigma_range *range, int steps,
                        const gd_sigma_map *map)
{
    const gd_sigma_range r = gd_sigma_range_settled(range);
    double u[GD_IDDPM_LEVELS];

    if (!(r.min < r.max))
        return gd_fail(GD_EUSAGE, "noise levels from %g down to %g", r.max, r.min);
    gd_iddpm_levels(u);
    GD_TRY(gd_grid_make(out, steps));
    (*out)->map = *map;
    for (int k = 0; k < steps; k++)
        (*out)->level[k] =
            gd_sigma_level(map, level_of(&r, u, steps > 1 ? (double)k / (steps - 1) : 0));
    (*out)->level[steps] = gd_sigma_level(map, 0);
    (*out)->start = (*out)->level[0].sigma;
    return GD_OK;
}
