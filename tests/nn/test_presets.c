/* SPDX-License-Identifier: MIT */
/* The published files: their names, their configurations, and every key and shape they have. */
#include "tables.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

static gd_model_config preset(const char *name)
{
    gd_model_config config;

    if (gd_preset_config(&config, name) != GD_OK)
        fail_msg("%s: %s", name, gd_error());
    return config;
}

/* guided-diffusion's files, which come first */
enum { GUIDED_DIFFUSION = 15 };

/* Names, order and shapes of the published files' key lists; the LSUN files share one. */
static void presets_have_the_published_keys(void **state)
{
    (void)state;
    for (int i = 0; i < GUIDED_DIFFUSION; i++) {
        const char *name = gd_preset_name(i);
        gd_model_config config = preset(name);
        table t;

        table_open(&t);
        table_read_tsv(&t, shared_path("spec/golden/keys/%s.tsv",
                                       strncmp(name, "lsun", 4) == 0 ? "lsun" : name));
        assert_params_equal(&config, &t);
        table_close(&t);
    }
}

/* docs/reference/networks.md#presets */
static void presets_have_the_published_parameter_counts(void **state)
{
    static const struct {
        const char *name;
        int64_t params;
        int keys;
    } expected[] = {
        { "64x64_diffusion", 295904454, 541 },
        { "128x128_diffusion", 421529606, 493 },
        { "256x256_diffusion", 553838086, 567 },
        { "256x256_diffusion_uncond", 552814086, 566 },
        { "lsun_cat", 552814086, 566 },
        { "512x512_diffusion", 558997638, 645 },
        { "64_256_upsampler", 311795910, 567 },
        { "128_512_upsampler", 308835270, 537 },
        { "64x64_classifier", 65438568, 307 },
        { "128x128_classifier", 42568040, 221 },
        { "256x256_classifier", 54096360, 249 },
        { "512x512_classifier", 54448360, 281 },
        { "cd_imagenet64_lpips", 295899267, 541 },
        { "edm_bedroom256_ema", 526304771, 566 },
        { "ct_cat256", 526304771, 566 },
        { "ffhq_10m", 93563910, 362 },
        { "ffhq_p2", 93563910, 362 },
        { "imagenet64_uncond_100M_1500K", 121063942, 450 },
        { "cifar10_uncond_50M_500K", 52546438, 446 },
        { "imagenet64_cond_270M_250K", 273049350, 451 },
        { "lsun_uncond_100M_1200K_bs128", 113676678, 426 },
        { "edm-cifar10-32x32-uncond-vp", 55733891, 0 },
        { "edm-cifar10-32x32-cond-vp", 55735299, 0 },
        { "edm-cifar10-32x32-uncond-ve", 56397827, 0 },
        { "edm-cifar10-32x32-cond-ve", 56400643, 0 },
        { "edm-ffhq-64x64-uncond-vp", 61805571, 0 },
        { "edm-afhqv2-64x64-uncond-ve", 62761091, 0 },
        { "edm-imagenet-64x64-cond-adm", 295899267, 541 },
        { "ddpm-cifar10-32", 35746307, 328 },
        { "ddpm-celebahq-256", 113673219, 450 },
    };

    (void)state;
    for (int i = 0; i < COUNT(expected); i++) {
        gd_model_config config = preset(expected[i].name);
        gd_param_spec *spec;
        gd_arena *mem;
        int64_t total = 0;
        int n;

        assert_int_equal(gd_arena_make(&mem), GD_OK);
        assert_int_equal(gd_config_params(&config, mem, &spec, &n), GD_OK);
        for (int k = 0; k < n; k++)
            total += spec[k].init == GD_INIT_BUFFER ? 0 : gd_param_count(&spec[k]);
        if (expected[i].keys > 0) /* published with filters among the keys, where 0 */
            assert_int_equal(n, expected[i].keys);
        assert_int_equal(total, expected[i].params);
        gd_arena_free(mem);
    }
}

/* What no shape tells: docs/reference/networks.md#presets */
static void presets_know_heads_schedules_and_scales(void **state)
{
    gd_model_config c;

    (void)state;
    c = preset("64x64_diffusion");
    assert_string_equal(c.diffusion.noise_schedule, "cosine");
    assert_true(c.net.use_new_attention_order && c.net.num_head_channels == 64 &&
                c.net.image_size == 64);
    assert_true(c.net.dropout == 0.1 && c.guidance_scale == 1.0 && c.net.num_classes == 1000);
    c = preset("128x128_diffusion");
    assert_string_equal(c.diffusion.noise_schedule, "linear");
    assert_true(!c.net.use_new_attention_order && c.net.num_head_channels == -1 &&
                c.net.num_heads == 4);
    assert_true(c.guidance_scale == 0.5 && c.net.attention_ds == (1 << 2 | 1 << 3 | 1 << 4));
    c = preset("256x256_diffusion_uncond");
    assert_true(c.guidance_scale == 10.0 && c.net.num_classes == 0 &&
                c.net.num_head_channels == 64);
    c = preset("512x512_diffusion");
    assert_true(c.guidance_scale == 4.0 && c.net.n_levels == 7 && c.net.channel_mult[0] == 0.5);
    c = preset("lsun_horse");
    assert_true(c.net.dropout == 0.1);
    c = preset("lsun_horse_nodropout");
    assert_true(c.net.dropout == 0);
    c = preset("64_256_upsampler");
    assert_true(c.net.kind == GD_NET_SUPERRES && c.net.num_head_channels == -1 &&
                c.net.num_heads == 4);
    assert_true(c.net.image_size == 256 && c.net.small_size == 64);
    c = preset("128_512_upsampler");
    assert_true(c.net.num_head_channels == 64 && c.net.attention_ds == (1 << 4 | 1 << 5) &&
                c.net.small_size == 128);
    c = preset("64x64_classifier");
    assert_true(c.net.kind == GD_NET_CLASSIFIER && c.net.num_res_blocks == 4 &&
                c.net.pool == GD_POOL_ATTENTION);
    assert_true(c.net.num_head_channels == 64 && c.net.out_channels == 1000 &&
                c.net.resblock_updown);
    for (int i = 0; i < GUIDED_DIFFUSION; i++) {
        c = preset(gd_preset_name(i));
        assert_string_equal(c.preset, gd_preset_name(i));
        assert_true(c.diffusion.steps == 1000 && c.net.use_scale_shift_norm &&
                    c.net.resblock_updown);
        assert_true(c.diffusion.learn_sigma == (c.net.kind != GD_NET_CLASSIFIER));
    }
}

static void partners_find_each_other(void **state)
{
    (void)state;
    assert_string_equal(gd_preset_partner("64x64_diffusion"), "64x64_classifier");
    assert_string_equal(gd_preset_partner("256x256_diffusion_uncond"), "256x256_classifier");
    assert_string_equal(gd_preset_partner("256x256_classifier"), "256x256_diffusion");
    assert_null(gd_preset_partner("lsun_cat"));
    assert_null(gd_preset_partner("64_256_upsampler"));
    assert_null(gd_preset_partner("nothing"));
}

static void unknown_preset_gets_the_nearest_name(void **state)
{
    gd_model_config config;

    (void)state;
    assert_int_equal(gd_preset_config(&config, "64x64_difusion"), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "64x64_difusion"));
    assert_non_null(strstr(gd_error(), "did you mean 64x64_diffusion?"));
    assert_non_null(strstr(gd_error(), "lsun_horse_nodropout"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_have_the_published_keys),
        cmocka_unit_test(presets_have_the_published_parameter_counts),
        cmocka_unit_test(presets_know_heads_schedules_and_scales),
        cmocka_unit_test(partners_find_each_other),
        cmocka_unit_test(unknown_preset_gets_the_nearest_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
