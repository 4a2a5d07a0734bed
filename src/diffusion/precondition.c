/* SPDX-License-Identifier: MIT */
/* precondition.c - D(x; s), the prediction of x_0 that every family of networks gives at a noise
 * level (docs/reference/networks.md#preconditioning; Karras et al. 2022, table 1; Song et al. 2023,
 * appendix C). */
#include "diffusion/diffusion.h"
#include "nn/config.h"

#include <math.h>
#include <string.h>

enum { IDDPM_STEPS = GD_EDM_LEVELS - 1 };

struct gd_preconditioner {
    gd_precond kind;
    gd_mean_type mean; /* GD_PRECOND_STEPS: what the network predicts */
    double sigma_data, sigma_min, sigma_max;
    double (*time_of)(const void *ctx, double sigma);
    const void *time_ctx;
    float u[GD_EDM_LEVELS]; /* iDDPM: descending levels, the last is 0 */
};

/* The index of the nearest level; the lower one of two that are as near */
static int nearest_level(const float u[GD_EDM_LEVELS], double sigma)
{
    int best = 0;

    for (int j = 1; j <= IDDPM_STEPS; j++)
        if (fabs(u[j] - sigma) < fabs(u[best] - sigma))
            best = j;
    return best;
}

/* ---- making ---- */

/* VP's schedule: beta from 0.1 to 20 over t in [0, 1], of which t below 1e-5 is not used */
static const double beta_d = 19.9, beta_min = 0.1, vp_first = 1e-5;

static double vp_sigma(double t)
{
    return sqrt(expm1(0.5 * beta_d * t * t + beta_min * t));
}

static void set_range(gd_preconditioner *p)
{
    switch (p->kind) {
    case GD_PRECOND_VP:
        p->sigma_min = vp_sigma(vp_first);
        p->sigma_max = vp_sigma(1);
        break;
    case GD_PRECOND_VE:
        p->sigma_min = 0.02;
        p->sigma_max = 100;
        break;
    case GD_PRECOND_IDDPM:
        gd_edm_levels(p->u);
        p->sigma_min = p->u[IDDPM_STEPS - 1];
        p->sigma_max = p->u[0];
        break;
    default:
        p->sigma_max = p->sigma_max > 0 ? p->sigma_max : INFINITY;
    }
}

gd_status gd_preconditioner_make(gd_preconditioner **out, const gd_diffusion_config *config,
                                 double (*time_of)(const void *ctx, double sigma),
                                 const void *time_ctx)
{
    gd_preconditioner *p;

    if ((config->precond == GD_PRECOND_STEPS) != (time_of != NULL))
        return gd_fail(GD_EUSAGE, "a network for discrete steps needs a map from noise levels to "
                                  "steps, another one has its own");
    GD_TRY(gd_block_make(&p, sizeof *p, "preconditioner"));
    *p = (gd_preconditioner){ .kind = config->precond,
                              .mean = gd_config_mean_type(config),
                              .sigma_data = config->sigma_data,
                              .sigma_min = config->sigma_min,
                              .sigma_max = config->sigma_max,
                              .time_of = time_of,
                              .time_ctx = time_ctx };
    set_range(p);
    *out = p;
    return GD_OK;
}

void gd_preconditioner_free(gd_preconditioner *p)
{
    gd_block_free(p);
}

double gd_precondition_round(const gd_preconditioner *p, double sigma)
{
    return p->kind == GD_PRECOND_IDDPM ? p->u[nearest_level(p->u, sigma)] : sigma;
}

void gd_precondition_range(const gd_preconditioner *p, double *sigma_min, double *sigma_max)
{
    *sigma_min = p->sigma_min;
    *sigma_max = p->sigma_max;
}

void gd_preconditioner_set_levels(gd_preconditioner *p, const float *levels)
{
    memcpy(p->u, levels, sizeof p->u);
    p->sigma_min = p->u[IDDPM_STEPS - 1];
    p->sigma_max = p->u[0];
}

/* ---- the scalings ---- */

/* c_skip + c_out keep the variance of D's target at 1 */
static gd_scaling edm_scaling(double s, double sigma_data)
{
    const double variance = s * s + sigma_data * sigma_data;

    return (gd_scaling){ .c_skip = sigma_data * sigma_data / variance,
                         .c_out = s * sigma_data / sqrt(variance),
                         .c_in = 1 / sqrt(variance) };
}

/* F predicts the noise: D = x - s F */
static gd_scaling noise_scaling(double s, double time)
{
    return (gd_scaling){ 1, -s, 1 / sqrt(s * s + 1), time };
}

/* The network predicts x_0 or v at x_t = alpha x, and its x_0 is linear in x_t and in the
 * prediction */
static gd_scaling prediction_scaling(gd_mean_type mean, double s, double time)
{
    const double alpha = 1 / sqrt(s * s + 1), sigma = s * alpha;

    return (gd_scaling){ .c_skip = gd_prediction_x0(mean, alpha, sigma, alpha, 0),
                         .c_out = gd_prediction_x0(mean, alpha, sigma, 0, 1),
                         .c_in = alpha,
                         .time = time };
}

static double vp_time(double s)
{
    return 999 * (sqrt(beta_min * beta_min + 2 * beta_d * log1p(s * s)) - beta_min) / beta_d;
}

static double consistency_time(double s)
{
    return 1000 * 0.25 * log(s + 1e-44);
}

/* D(x; sigma_min) = x: c_skip is 1 and c_out 0 there */
static gd_scaling boundary_scaling(double s, double sigma_data, double sigma_min)
{
    const double from = s - sigma_min;
    gd_scaling c = edm_scaling(s, sigma_data);

    c.c_skip = sigma_data * sigma_data / (from * from + sigma_data * sigma_data);
    c.c_out = from * c.c_in * sigma_data;
    return c;
}

gd_scaling gd_precondition(const gd_preconditioner *p, double s)
{
    gd_scaling c;

    switch (p->kind) {
    case GD_PRECOND_STEPS:
        c.time = p->time_of(p->time_ctx, s);
        return p->mean == GD_MEAN_EPSILON ? noise_scaling(s, c.time)
                                          : prediction_scaling(p->mean, s, c.time);
    case GD_PRECOND_VP:
        return noise_scaling(s, vp_time(s));
    case GD_PRECOND_VE:
        return (gd_scaling){ 1, s, 1, log(0.5 * s) };
    case GD_PRECOND_IDDPM:
        return noise_scaling(s, IDDPM_STEPS - 1 - nearest_level(p->u, s));
    case GD_PRECOND_CONSISTENCY:
        c = boundary_scaling(s, p->sigma_data, p->sigma_min);
        c.time = consistency_time(s);
        return c;
    default:
        c = edm_scaling(s, p->sigma_data);
        c.time = p->kind == GD_PRECOND_EDM ? log(s) / 4 : consistency_time(s);
        return c;
    }
}

/* ---- D ---- */

/* Images scaled by c_in, the network's outputs, its times */
typedef struct workspace {
    float *scaled, *out, *time;
} workspace;

static int64_t image_count(const gd_denoiser *net)
{
    return (int64_t)net->channels * net->height * net->width;
}

static int64_t out_count(const gd_denoiser *net)
{
    return (int64_t)net->out_channels * net->height * net->width;
}

size_t gd_predict_x0_bytes(const gd_denoiser *net, int n)
{
    return (size_t)n * (size_t)(image_count(net) + out_count(net) + 1) * sizeof(float);
}

static workspace workspace_of(const gd_denoiser *net, int n, void *work)
{
    workspace w = { .scaled = work };

    w.out = w.scaled + n * image_count(net);
    w.time = w.out + n * out_count(net);
    return w;
}

gd_status gd_predict_x0(const gd_denoiser *net, const gd_preconditioner *p, int n, const float *x,
                        const double *sigma, const int64_t *y, float *d, void *work)
{
    const int64_t count = image_count(net);
    const workspace w = workspace_of(net, n, work);

    for (int i = 0; i < n; i++) {
        const gd_scaling c = gd_precondition(p, sigma[i]);
        w.time[i] = (float)c.time;
        for (int64_t k = 0; k < count; k++)
            w.scaled[i * count + k] = (float)c.c_in * x[i * count + k];
    }
    GD_TRY(net->predict(net->ctx, n, w.scaled, w.time, y, w.out));
    for (int i = 0; i < n; i++) {
        const gd_scaling c = gd_precondition(p, sigma[i]);
        const float *out = w.out + i * out_count(net);
        for (int64_t k = 0; k < count; k++)
            d[i * count + k] = (float)c.c_skip * x[i * count + k] + (float)c.c_out * out[k];
    }
    return GD_OK;
}
