/* SPDX-License-Identifier: MIT */
/* kind_convergence.c - orders of convergence on the mixture, against the exact solution of its
 * probability flow. */
#include "flight.h"
#include "mixture.h"

#include <math.h>
#include <string.h>

typedef struct study {
    golden *g;
    mixture_run m;
    gd_denoiser denoiser;
    gd_schedule *schedule;
    int images;
    int64_t n; /* elements of all images */
    const float *start;
    const double *exact;
    double *last; /* the state after the latest step */
} study;

static void give_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    const study *s = ctx;

    (void)first;
    (void)n;
    if (step == 0)
        memcpy(out, s->start, (size_t)s->n * sizeof *out);
}

static void remember(void *ctx, int64_t image, int step, const double *x, const double *x0)
{
    study *s = ctx;
    const int64_t count = s->n / s->images;

    (void)step;
    (void)x0;
    memcpy(s->last + image * count, x, (size_t)count * sizeof *x);
}

/* The case's names; eta is 0 and grids end above 0, as its rule says */
static const struct {
    const char *name, *ours;
    int order;
} solvers[] = {
    { "ddim", "dpmpp-2m", 1 },
    { "dpmpp_2m", "dpmpp-2m", 2 },
    { "dpmpp_3m", "dpmpp-3m", 3 },
    { "unipc_bh1_2", "unipc-bh1-2", 2 },
    { "unipc_bh2_2", "unipc-bh2-2", 2 },
    { "unipc_bh2_3", "unipc-bh2-3", 3 },
    { "euler", "euler", 0 },
    { "heun", "heun", 0 },
    { "dpm2_midpoint_rho3", "dpm2", 0 },
    { "lms_4", "lms", 4 },
};

/* In continuous time from t_start to t_end; in sigma space Karras levels of the same ends without
 * the final zero */
static gd_status make_grid(const study *s, const gd_solver *solver, int steps, gd_grid **out)
{
    json_t *c = s->g->config;
    const gd_vp vp = gd_vp_make(s->schedule);
    const double from = json_number_value(json_object_get(c, "t_start")),
                 to = json_number_value(json_object_get(c, "t_end"));
    const gd_level first = gd_vp_level(&vp, from), last = gd_vp_level(&vp, to);
    const gd_sigma_range range = { .min = last.sigma / last.alpha,
                                   .max = first.sigma / first.alpha };
    const gd_sigma_map map = { .kind = GD_TIME_NONE };
    double t[1024];

    if (solver->grid == GD_GRID_VP) {
        gd_vp_times(&vp, GD_SKIP_LOG_SNR, steps, from, to, t);
        return gd_grid_vp_at(out, &vp, steps, t);
    }
    GD_TRY(gd_grid_sigma(out, &range, steps + 1, &map)); /* its last level but one is the end */
    (*out)->steps = steps;
    (*out)->start = 1 / first.alpha; /* the same state in both spaces */
    return GD_OK;
}

static double error_of(study *s, const gd_solver *solver, int order, int steps)
{
    gd_grid *grid;
    gd_trajectory r = { .denoiser = &s->denoiser,
                        .process = { .schedule = s->schedule },
                        .solver = solver,
                        .options = { .order = order, .lower_order_below = -1 },
                        .noise = give_noise,
                        .noise_ctx = s,
                        .after_step = remember,
                        .step_ctx = s };
    float *x = golden_alloc(s->g, (size_t)s->n * sizeof *x);
    double worst = 0, alpha = 1;

    if (make_grid(s, solver, steps, &grid) != GD_OK)
        return NAN;
    r.grid = grid;
    if (gd_trajectory_run(&r, 0, s->images, NULL, x,
                          golden_alloc(s->g, gd_trajectory_bytes(&r, s->images))) != GD_OK)
        return NAN;
    if (solver->grid == GD_GRID_SIGMA) { /* x / alpha there */
        const double sigma = grid->level[steps].sigma;
        alpha = 1 / sqrt(1 + sigma * sigma);
    }
    gd_grid_free(grid);
    for (int64_t i = 0; i < s->n; i++)
        worst = fmax(worst, fabs(s->last[i] * alpha - s->exact[i]));
    return worst;
}

/* Errors within 1 % and the last order within 0.15 of the stored ones */
static void check(study *s, const char *name, json_t *c)
{
    json_t *steps = json_object_get(c, "steps"), *errors = json_object_get(c, "max_error"),
           *orders = json_object_get(c, "order");
    const size_t n = json_array_size(steps);
    double before = 0, error = 0;
    const gd_solver *solver = NULL;
    int k = 0;

    while (k < COUNT(solvers) && strcmp(solvers[k].name, name) != 0)
        k++;
    if (k == COUNT(solvers) || gd_solver_find(&solver, solvers[k].ours) != GD_OK) {
        golden_fail(s->g, "solver %s is not known", name);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const double stored = json_number_value(json_array_get(errors, i));
        before = error;
        error = error_of(s, solver, solvers[k].order,
                         (int)json_integer_value(json_array_get(steps, i)));
        golden_record(s->g, name, fabs(error / stored - 1) / 0.01, fabs(error / stored - 1));
    }
    golden_record(
        s->g, name,
        fabs(log2(before / error) - json_number_value(json_array_get(orders, n - 2))) / 0.15, 0);
}

void golden_convergence(golden *g)
{
    const gd_array *a = golden_find(g, "in.x_T");
    study s = { .g = g,
                .start = golden_f32(g, NULL, "in.x_T"),
                .exact = golden_f64(g, "out64.exact") };
    const char *name;
    json_t *c;

    if (!a || !s.exact || !mixture_read(&s.m.m, g) ||
        gd_schedule_make(&s.schedule, flight_text(g->config, "noise_schedule", ""),
                         golden_int(g->config, "diffusion_steps", 1000), "", false) != GD_OK) {
        golden_fail(g, "the case is not whole");
        return;
    }
    s.images = (int)a->dim[0];
    s.n = gd_array_count(a);
    s.last = golden_alloc(g, (size_t)s.n * sizeof *s.last);
    s.denoiser = (gd_denoiser){ .ctx = &s.m,
                                .channels = (int)a->dim[1],
                                .height = (int)a->dim[2],
                                .width = (int)a->dim[3],
                                .out_channels = (int)a->dim[1],
                                .denoise = mixture_predict };
    json_object_foreach(json_object_get(g->config, "solvers"), name, c)
    {
        check(&s, name, c);
    }
    gd_schedule_free(s.schedule);
}
