/* SPDX-License-Identifier: MIT */
/* kind_trajectory.c - whole sampling runs with stored noise: x and the predicted x_0 after every
 * step, and the bytes at the end.  As in `guided sample`, networks see one image at a time. */
#include "golden.h"
#include "nets.h"
#include "diffusion/solver.h"

#include <stdlib.h>
#include <string.h>

enum { CHANNELS = 3 };

typedef struct flight {
    golden *g;
    golden_nets nets;
    const float *noise; /* [steps + 1][n][C][H][W] */
    float *x, *x0;      /* [steps][n][C][H][W] */
    int64_t image;      /* C * H * W */
    int n, steps;
} flight;

static void stored_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    const flight *f = ctx;

    memcpy(out, f->noise + (step * f->n + first) * f->image, (size_t)(n * f->image) * sizeof *out);
}

static void remember(void *ctx, int64_t image, int step, const double *x, const double *x0)
{
    flight *f = ctx;
    const int64_t at = ((step - 1) * f->n + image) * f->image;

    for (int64_t i = 0; i < f->image; i++) {
        f->x[at + i] = (float)x[i];
        f->x0[at + i] = (float)x0[i];
    }
}

/* ---- comparing ---- */

/* The allowance is given step by step */
static void compare_steps(flight *f, const char *name, const float *found)
{
    golden *g = f->g;
    json_t *allowed = json_object_get(json_object_get(g->tolerance, name), "atol_per_step");
    const int64_t count = f->n * f->image;
    char step[64];
    int64_t stored_count;
    const float *stored = golden_f32(g, &stored_count, "%s", name);

    if (!stored || stored_count != f->steps * count) {
        golden_fail(g, "%s is absent or of another size", name);
        return;
    }
    golden_saw(g, name);
    for (int k = 0; k < f->steps; k++) {
        snprintf(step, sizeof step, "%s step %d", name, k + 1);
        golden_compare_within(g, step, found + k * count, stored + k * count, count,
                              json_number_value(json_array_get(allowed, (size_t)k)));
    }
}

/* Within the last step's allowance of the float64 run */
static void compare_truth(flight *f, const float *last)
{
    golden *g = f->g;
    json_t *allowed = json_object_get(json_object_get(g->tolerance, "out.x"), "atol_per_step");
    const float *truth = golden_f32(g, NULL, "out64.x_final");

    if (truth)
        golden_compare_within(g, "out64.x_final", last, truth, f->n * f->image,
                              json_number_value(json_array_get(allowed, (size_t)f->steps - 1)));
}

/* Bytes may differ by max_diff in max_fraction_differing of all */
static void compare_bytes(flight *f, const float *last)
{
    golden *g = f->g;
    json_t *rule = golden_at(g, g->json, "uint8_tolerance");
    const int max = golden_get_int(g, rule, "max_diff", 1);
    const double fraction = golden_number(g, rule, "max_fraction_differing", 0.01);
    int64_t count, off = 0;
    const uint8_t *stored = golden_u8(g, &count, "out.uint8");
    uint8_t *found = golden_alloc(g, (size_t)(f->n * f->image));

    if (!stored || count != f->n * f->image) {
        golden_fail(g, "out.uint8 is absent or of another size");
        return;
    }
    golden_saw(g, "out.uint8");
    golden_remarks(g, rule, "float64_reference"); /* how far float64 itself is from float32 */
    for (int i = 0; i < f->n; i++)
        gd_to_uint8(found + i * f->image, last + i * f->image, CHANNELS, f->image / CHANNELS);
    for (int64_t i = 0; i < count; i++) {
        off += found[i] != stored[i];
        if (abs(found[i] - stored[i]) > max)
            golden_fail(g, "out.uint8: byte %lld is %d, not %d", (long long)i, found[i], stored[i]);
    }
    if ((double)off > fraction * (double)count)
        golden_fail(g, "out.uint8: %lld of %lld bytes differ", (long long)off, (long long)count);
}

static void compare_all(flight *f, const int64_t *y)
{
    const float *last = f->x + (f->steps - 1) * f->n * f->image;

    compare_steps(f, "out.x", f->x);
    compare_steps(f, "out.pred_xstart", f->x0);
    compare_truth(f, last);
    compare_bytes(f, last);
    if (golden_find(f->g, "out.labels"))
        golden_compare_bytes(f->g, "out.labels", y, (size_t)f->n * sizeof *y);
}

/* ---- the run ---- */

static void fly(flight *f, const gd_process *process, const gd_grid *grid)
{
    golden *g = f->g;
    const bool guided = golden_at(g, g->config, "classifier") != NULL;
    const int64_t *y = golden_i64(g, NULL, "in.y");
    const gd_denoiser networks = golden_nets_denoiser(&f->nets, guided);
    const gd_trajectory r = { .denoiser = &networks,
                              .process = *process,
                              .solver = golden_get_bool(g, g->config, "use_ddim", false)
                                            ? &gd_solver_ddim
                                            : &gd_solver_ddpm,
                              .grid = grid,
                              .options.eta = golden_number(g, g->config, "eta", 0),
                              .scale = golden_number(g, g->config, "classifier_scale", 1),
                              .noise = stored_noise,
                              .noise_ctx = f,
                              .after_step = remember,
                              .step_ctx = f };
    const size_t history = (size_t)(f->steps * f->n * f->image) * sizeof(float);
    float *x = golden_alloc(g, history / (size_t)f->steps);

    f->x = golden_alloc(g, history);
    f->x0 = golden_alloc(g, history);
    if (gd_trajectory_run(&r, 0, f->n, y, x, golden_alloc(g, gd_trajectory_bytes(&r, f->n))) !=
        GD_OK)
        golden_fail(g, "%s", gd_error());
    else
        compare_all(f, y);
}

/* uint8 base samples [n][h][w][C] -> [n][C][h][w] in [-1, 1] */
static void read_low_res(flight *f)
{
    const gd_array *a = golden_find(f->g, "in.base_samples");

    if (!a)
        return;
    const uint8_t *bytes = golden_u8(f->g, NULL, "in.base_samples");
    const int64_t pixels = a->dim[1] * a->dim[2];
    f->nets.size.low_h = (int)a->dim[1];
    f->nets.size.low_w = (int)a->dim[2];
    f->nets.low_res = golden_alloc(f->g, (size_t)gd_array_count(a) * sizeof *f->nets.low_res);
    for (int64_t n = 0; n < a->dim[0]; n++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < CHANNELS; c++)
                f->nets.low_res[(n * CHANNELS + c) * pixels + p] =
                    (float)bytes[(n * pixels + p) * CHANNELS + c] / 127.5f - 1;
}

void golden_trajectory(golden *g)
{
    json_t *model = golden_at(g, g->config, "model"),
           *classifier = golden_at(g, g->config, "classifier");
    const gd_array *noise = golden_find(g, "in.noise");
    gd_schedule *schedule = NULL;
    gd_grid *grid = NULL;
    gd_process process;
    flight f = { .g = g };

    golden_reads_all(g);
    if (!noise || noise->rank != 5 || golden_process(g, &process, &schedule) != GD_OK ||
        gd_grid_discrete(&grid, schedule, schedule->n - 1, false) != GD_OK) {
        golden_fail(g, "%s", noise ? gd_error() : "no in.noise");
        return;
    }
    f.steps = schedule->n;
    f.n = (int)noise->dim[1];
    golden_remarks(g, g->config, "script");
    golden_require(g, g->config, "batch_size", f.n);
    f.image = CHANNELS * noise->dim[3] * noise->dim[4];
    f.nets = (golden_nets){ .g = g, .size = { 1, (int)noise->dim[3], (int)noise->dim[4], 0, 0 } };
    f.noise = golden_f32(g, NULL, "in.noise");
    read_low_res(&f);
    if (noise->dim[0] != f.steps + 1)
        golden_fail(g, "noise for %lld steps, the schedule has %d", (long long)noise->dim[0] - 1,
                    f.steps);
    else if (golden_nets_add(&f.nets, model, f.nets.low_res ? GD_NET_SUPERRES : GD_NET_UNET) &&
             (!classifier || golden_nets_add(&f.nets, classifier, GD_NET_CLASSIFIER)))
        fly(&f, &process, grid);
    golden_nets_release(&f.nets);
    gd_grid_free(grid);
    gd_schedule_free(schedule);
}
