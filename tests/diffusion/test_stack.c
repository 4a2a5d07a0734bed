/* SPDX-License-Identifier: MIT */
/* A small 8 -> 32 stack of the authors' code from stored noise: every byte within 1 of what that
 * code made. */
#include "diffusion/solver.h"
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef struct stage {
    const char *file, *schedule, *noise, *result;
    int size;
} stage;

static gd_bundle *reference;
static int n; /* images */
static int64_t *label;
static float *noise; /* [n][3][size][size] of the stage that runs */
static int64_t image;

static void stored_noise(void *ctx, int64_t first, int count, int step, float *out)
{
    (void)ctx;
    memset(out, 0, (size_t)(count * image) * sizeof *out); /* DDIM takes none but the first */
    if (step == 0)
        memcpy(out, noise + first * image, (size_t)(count * image) * sizeof *out);
}

static void *read_all(const char *name, bool as_float)
{
    const gd_array *a = gd_bundle_find(reference, name);
    void *out = malloc((size_t)gd_array_count(a) * 8);

    assert_int_equal(as_float ? gd_bundle_read_f32(reference, a, out)
                              : gd_bundle_read(reference, a, out),
                     GD_OK);
    return out;
}

/* [H][W][3] bytes -> [3][H][W] in [-1, 1] */
static void to_low_res(float *out, const uint8_t *bytes, int size)
{
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < size * size; p++)
            *out++ = (float)bytes[3 * p + c] / 127.5f - 1;
}

static void run_stage(const stage *s, const uint8_t *low, int low_size)
{
    const gd_flag told[] = { { "num_head_channels", "32" },
                             { "noise_schedule", s->schedule },
                             { "image_size", "8" } };
    const int n_told = low ? 2 : 3; /* the upsampler's sizes are the ones assumed */
    char path[4096];
    gd_schedule *schedule;
    gd_grid *grid;
    gd_engine *engine;
    gd_model *m;
    uint8_t *stored = read_all(s->result, false);

    snprintf(path, sizeof path, "%s/models/fashion32/%s.pt", getenv("GUIDED_SHARED"), s->file);
    image = 3 * s->size * s->size;
    noise = read_all(s->noise, true);
    assert_int_equal(gd_schedule_make(&schedule, s->schedule, 1000, "ddim25", false), GD_OK);
    assert_int_equal(gd_grid_discrete(&grid, schedule, schedule->n - 1, false), GD_OK);
    if (gd_model_open(&m, path, told, n_told) != GD_OK ||
        gd_engine_make(&engine, m, NULL, false, 1) != GD_OK)
        fail_msg("%s", gd_error());
    const gd_trajectory r = { .denoiser = gd_engine_denoiser(engine),
                              .solver = &gd_solver_ddim,
                              .grid = grid,
                              .process = { schedule, gd_model_mean_type(m), gd_model_var_type(m),
                                           true },
                              .noise = stored_noise };
    void *work = malloc(gd_trajectory_bytes(&r, 1));
    float *x = malloc((size_t)image * sizeof *x), low_res[3 * 8 * 8];
    uint8_t *found = malloc((size_t)image);
    for (int i = 0; i < n; i++) {
        if (low) {
            to_low_res(low_res, low + i * 3 * low_size * low_size, low_size);
            gd_engine_set_low_res(engine, low_res);
        }
        if (gd_trajectory_run(&r, i, 1, &label[i], x, work) != GD_OK)
            fail_msg("%s", gd_error());
        gd_to_uint8(found, x, 3, (int64_t)s->size * s->size);
        for (int64_t k = 0; k < image; k++)
            if (abs(found[k] - stored[i * image + k]) > 1)
                fail_msg("%s: image %d byte %lld is %d, not %d", s->result, i, (long long)k,
                         found[k], stored[i * image + k]);
    }
    free(x);
    free(found);
    free(work);
    free(stored);
    free(noise);
    gd_engine_free(engine);
    gd_grid_free(grid);
    gd_schedule_free(schedule);
    gd_model_close(m);
}

static void the_stack_equals_the_authors(void **state)
{
    const stage base = { "base8", "cosine", "in.noise8", "out.uint8.base8", 8 },
                up = { "upsampler", "linear", "in.noise32", "out.uint8.up32", 32 };
    char path[4096];
    uint8_t *low;

    (void)state;
    snprintf(path, sizeof path, "%s/models/fashion32/reference_stack.safetensors",
             getenv("GUIDED_SHARED"));
    if (!gd_path_exists(path)) {
        print_message("%s is absent: skipped\n", path);
        skip();
    }
    assert_int_equal(gd_bundle_open(&reference, path), GD_OK);
    n = (int)gd_bundle_find(reference, "in.y")->dim[0];
    label = read_all("in.y", false);
    low = read_all("out.uint8.base8", false);
    run_stage(&base, NULL, 0);
    run_stage(&up, low, 8);
    free(low);
    free(label);
    gd_bundle_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_stack_equals_the_authors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
