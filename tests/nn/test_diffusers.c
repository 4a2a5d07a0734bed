/* SPDX-License-Identifier: MIT */
/* ADM models as diffusers folders: read back they are the same networks; what the folder's class
 * cannot express is refused. */
#include "nn/nn.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 16, PIXELS = 3 * SIZE * SIZE };

static const char folder[] = "test_diffusers_folder";

static gd_model *make(const gd_flag *flags, int n)
{
    gd_model_config c;
    gd_model *m = NULL;

    gd_config_defaults(&c, GD_NET_UNET);
    if (gd_flags_apply(&c, flags, n) != GD_OK || gd_model_create(&m, &c, 7, true) != GD_OK)
        fail_msg("%s", gd_error());
    return m;
}

static void run(const gd_model *m, float *out)
{
    const gd_net_size size = gd_net_natural_size(&gd_model_get_config(m)->net, 1);
    const float t = 321;
    const int64_t y = 2;
    float x[PIXELS];
    gd_runner *r;

    for (int i = 0; i < PIXELS; i++)
        x[i] = sinf((float)(i * i % 97));
    if (gd_runner_make(&r, m, &size, false, false, gd_threads()) != GD_OK ||
        gd_runner_run(r, x, &t, &y, NULL, out) != GD_OK)
        fail_msg("%s", gd_error());
    gd_runner_free(r);
}

static void remove_folder(void)
{
    static const char *const names[] = { "config.json", "scheduler_config.json",
                                         "diffusion_pytorch_model.safetensors" };
    char path[128];

    for (int i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    rmdir(folder);
}

static void survives(const gd_flag *flags, int n)
{
    static float before[2 * PIXELS], after[2 * PIXELS];
    gd_model *m = make(flags, n), *back;
    const gd_model_config *a = gd_model_get_config(m), *b;
    double largest = 0, error = 0;

    remove_folder();
    if (gd_model_save_diffusers(m, folder, false) != GD_OK ||
        gd_model_open(&back, folder, NULL, 0) != GD_OK)
        fail_msg("%s", gd_error());
    b = gd_model_get_config(back);
    assert_int_equal(b->net.family, GD_FAMILY_DIFFUSERS);
    assert_int_equal(gd_model_parameters(back), gd_model_parameters(m));
    assert_string_equal(a->diffusion.noise_schedule, b->diffusion.noise_schedule);
    assert_int_equal(a->diffusion.learn_sigma, b->diffusion.learn_sigma);
    run(m, before);
    run(back, after);
    for (int i = 0; i < a->net.out_channels * SIZE * SIZE; i++) {
        largest = fmax(largest, fabs(before[i]));
        error = fmax(error, fabs(before[i] - after[i]));
    }
    assert_true(largest > 0.01 && error <= 1e-5 * largest);
    gd_model_close(m);
    gd_model_close(back);
    remove_folder();
}

#define BASE                                                                                       \
    { "image_size", "16" }, { "num_channels", "32" }, { "num_res_blocks", "2" },                   \
        { "channel_mult", "1,2,4" },                                                               \
    {                                                                                              \
        "attention_resolutions", "8"                                                               \
    }

static void adm_networks_survive(void **state)
{
    static const gd_flag adm[] = { BASE,
                                   { "num_head_channels", "32" },
                                   { "resblock_updown", "True" },
                                   { "learn_sigma", "True" },
                                   { "class_cond", "True" },
                                   { "num_classes", "5" } },
                         new_order[] = { BASE,
                                         { "num_head_channels", "16" },
                                         { "use_new_attention_order", "True" },
                                         { "resblock_updown", "True" },
                                         { "noise_schedule", "cosine" } },
                         plain[] = { BASE,
                                     { "num_head_channels", "32" },
                                     { "use_scale_shift_norm", "False" } };

    (void)state;
    survives(adm, COUNT(adm));
    survives(new_order, COUNT(new_order));
    survives(plain, COUNT(plain));
}

static void what_cannot_be_expressed_is_refused(void **state)
{
    static const gd_flag heads[] = { BASE, { "num_heads", "4" } }, long_schedule[] = {
        BASE, { "num_head_channels", "32" }, { "diffusion_steps", "4000" }
    };
    gd_model *m = make(heads, COUNT(heads));

    (void)state;
    assert_int_equal(gd_model_save_diffusers(m, folder, false), GD_EMISMATCH);
    assert_non_null(strstr(gd_error(), "heads"));
    gd_model_close(m);
    m = make(long_schedule, COUNT(long_schedule));
    assert_int_equal(gd_model_save_diffusers(m, folder, false), GD_EMISMATCH);
    gd_model_close(m);
    assert_int_equal(access(folder, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adm_networks_survive),
        cmocka_unit_test(what_cannot_be_expressed_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
