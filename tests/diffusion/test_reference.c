/* SPDX-License-Identifier: MIT */
/* A small trained model of the authors' code and its pictures: DDIM at 25 steps from stored noise
 * equals what that code made, within 1/255. */
#include "diffusion/solver.h"
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { IMAGES = 20, IMAGE = 3 * 32 * 32 };

static float x_t[IMAGES * IMAGE];
static int64_t labels[IMAGES];
static gd_bundle *reference;

static void stored_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    (void)ctx;
    if (step == 0)
        memcpy(out, x_t + first * IMAGE, (size_t)n * IMAGE * sizeof *out);
    else
        memset(out, 0, (size_t)n * IMAGE * sizeof *out); /* eta 0 reads none */
}

static gd_model *open_model(const char *name, const gd_flag *flags, int n_flags)
{
    char path[4096];
    gd_model *m;

    snprintf(path, sizeof path, "%s/models/fashion32/%s.pt", getenv("GUIDED_SHARED"), name);
    if (gd_model_open(&m, path, flags, n_flags) != GD_OK)
        fail_msg("%s", gd_error());
    return m;
}

static void compare(const gd_model *model, const gd_model *classifier, double scale,
                    const char *name)
{
    const gd_array *a = gd_bundle_find(reference, name);
    uint8_t *stored = malloc((size_t)gd_array_count(a)), found[IMAGE];
    static float x[IMAGE];
    gd_schedule *schedule;
    gd_grid *grid;
    gd_engine *engine;

    assert_int_equal(gd_bundle_read(reference, a, stored), GD_OK);
    assert_int_equal(gd_schedule_make(&schedule, "cosine", 1000, "ddim25", false), GD_OK);
    assert_int_equal(gd_grid_discrete(&grid, schedule, schedule->n - 1, false), GD_OK);
    if (gd_engine_make(&engine, model, classifier, false, 1) != GD_OK)
        fail_msg("%s", gd_error());
    gd_trajectory r = { .denoiser = gd_engine_denoiser(engine),
                        .solver = &gd_solver_ddim,
                        .grid = grid,
                        .scale = scale,
                        .process = { schedule, gd_model_mean_type(model), gd_model_var_type(model),
                                     true },
                        .noise = stored_noise };
    void *work = malloc(gd_trajectory_bytes(&r, 1));
    for (int i = 0; i < IMAGES; i++) {
        if (gd_trajectory_run(&r, i, 1, &labels[i], x, work) != GD_OK)
            fail_msg("%s", gd_error());
        gd_to_uint8(found, x, 3, 32 * 32);
        for (int k = 0; k < IMAGE; k++)
            if (abs(found[k] - stored[i * IMAGE + k]) > 1)
                fail_msg("%s: image %d byte %d is %d, not %d", name, i, k, found[k],
                         stored[i * IMAGE + k]);
    }
    free(work);
    free(stored);
    gd_engine_free(engine);
    gd_grid_free(grid);
    gd_schedule_free(schedule);
}

static void pictures_equal_the_authors(void **state)
{
    static const gd_flag told[] = { { "num_head_channels", "32" }, { "noise_schedule", "cosine" } },
                         told_classifier[] = { { "classifier_num_head_channels", "32" },
                                               { "noise_schedule", "cosine" } };
    char path[4096];
    gd_model *model, *classifier;

    (void)state;
    snprintf(path, sizeof path, "%s/models/fashion32/reference.safetensors",
             getenv("GUIDED_SHARED"));
    if (!gd_path_exists(path)) {
        print_message("%s is absent: skipped\n", path);
        skip();
    }
    assert_int_equal(gd_bundle_open(&reference, path), GD_OK);
    assert_int_equal(gd_bundle_read_f32(reference, gd_bundle_find(reference, "in.x_T"), x_t),
                     GD_OK);
    assert_int_equal(gd_bundle_read(reference, gd_bundle_find(reference, "in.y"), labels), GD_OK);
    model = open_model("diffusion", told, COUNT(told));
    classifier = open_model("classifier", told_classifier, COUNT(told_classifier));
    compare(model, NULL, 0, "out.uint8.scale0");
    compare(model, classifier, 1, "out.uint8.scale1");
    compare(model, classifier, 4, "out.uint8.scale4");
    gd_model_close(model);
    gd_model_close(classifier);
    gd_bundle_close(reference);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pictures_equal_the_authors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
