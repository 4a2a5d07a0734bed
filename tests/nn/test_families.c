/* SPDX-License-Identifier: MIT */
/* Networks of other families from their files alone: what shapes tell, what is assumed, constants
 * that must be what the network uses, and what is refused. */
#include "tables.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

/* EDM's networks without dropout of their own, which no shape tells */
static const char *const edm_networks[] = {
    "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":16,\"img_channels\":3,"
    "\"label_dim\":7,\"augment_dim\":9,\"model_type\":\"DhariwalUNet\",\"model_channels\":32,"
    "\"channel_mult\":[1,2,4],\"num_blocks\":2,\"attn_resolutions\":[8]}}",
    "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":32,\"img_channels\":1,"
    "\"model_type\":\"SongUNet\",\"model_channels\":16,\"channel_mult\":[2,1],\"num_blocks\":1,"
    "\"channel_mult_emb\":2,\"attn_resolutions\":[16]}}",
    "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":16,\"img_channels\":3,"
    "\"label_dim\":2,\"augment_dim\":9,\"model_type\":\"SongUNet\",\"model_channels\":16,"
    "\"channel_mult\":[1,2,2],\"num_blocks\":3,\"attn_resolutions\":[8],\"embedding_type\":"
    "\"fourier\",\"encoder_type\":\"residual\",\"channel_mult_noise\":2,\"resample_filter\":"
    "[1,3,3,1]}}",
    "{\"class_name\":\"iDDPMPrecond\",\"init_kwargs\":{\"img_resolution\":16,\"img_channels\":3,"
    "\"model_type\":\"DhariwalUNet\",\"model_channels\":64,\"channel_mult\":[1,3],\"num_blocks\":1,"
    "\"attn_resolutions\":[16,8]}}",
};

static gd_model_config read_edm(const char *text)
{
    gd_model_config c;

    if (gd_config_from_text(&c, GD_FAMILY_EDM, GD_NET_UNET, text) != GD_OK)
        fail_msg("%s", gd_error());
    return c;
}

static void shapes_tell_edm_networks(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(edm_networks); i++) {
        const gd_model_config c = read_edm(edm_networks[i]);
        gd_model_config found;
        char assumed[4096];
        table t;

        table_open(&t);
        table_of_config(&t, &c);
        if (table_recognise(&t, "model.safetensors", NULL, NULL, 0, &found, assumed) != GD_OK)
            fail_msg("%s", gd_error());
        assert_memory_equal(&found.net, &c.net, sizeof c.net);
        assert_int_equal(found.diffusion.precond, c.diffusion.precond);
        assert_int_equal(strstr(assumed, "precond edm (assumed") != NULL,
                         c.diffusion.precond != GD_PRECOND_IDDPM);
        table_close(&t);
    }
}

static void a_preconditioner_can_be_given(void **state)
{
    const gd_model_config c = read_edm(edm_networks[1]);
    const gd_flag vp = { "precond", "vp" }, bad = { "precond", "vq" };
    gd_model_config found;
    char assumed[4096];
    table t;

    (void)state;
    table_open(&t);
    table_of_config(&t, &c);
    assert_int_equal(table_recognise(&t, "m.safetensors", NULL, &vp, 1, &found, assumed), GD_OK);
    assert_int_equal(found.diffusion.precond, GD_PRECOND_VP);
    assert_string_equal(assumed, "");
    assert_int_equal(table_recognise(&t, "m.safetensors", NULL, &bad, 1, &found, assumed),
                     GD_EUSAGE);
    table_close(&t);
}

/* A file of zeros has a filter of zeros */
static void other_filters_and_levels_are_refused(void **state)
{
    const int64_t filter[] = { 1, 1, 2, 2 }, levels[] = { GD_EDM_LEVELS };
    static const char *const layers[] = { "enc.8x8_down.conv0", "enc.8x8_down.skip",
                                          "dec.16x16_up.conv0", "dec.16x16_up.skip" };
    const gd_model_config c = read_edm(edm_networks[3]);
    gd_model_config found;
    char assumed[4096], name[64];
    table t;

    (void)state;
    table_open(&t);
    table_of_config(&t, &c);
    for (int i = 0; i < COUNT(layers); i++) {
        snprintf(name, sizeof name, "%s.resample_filter", layers[i]);
        table_add(&t, name, 4, filter);
    }
    assert_int_equal(table_recognise(&t, "m.safetensors", NULL, NULL, 0, &found, assumed),
                     GD_EFORMAT); /* the levels are missing */
    assert_non_null(strstr(gd_error(), "  u "));
    table_add(&t, "u", 1, levels);
    assert_int_equal(table_recognise(&t, "m.safetensors", NULL, NULL, 0, &found, assumed),
                     GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "another network than EDM's"));
    table_close(&t);
}

static void unknown_constructors_are_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        { "{\"class_name\":\"Precond\",\"init_kwargs\":{}}", "class Precond" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":8}}",
          "img_channels" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":8,\"img_channels\":3,"
          "\"wavelets\":1}}",
          "wavelets" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":8,\"img_channels\":3,"
          "\"model_type\":\"SongUNet\",\"encoder_type\":\"skip\"}}",
          "encoder_type" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":8,\"img_channels\":3,"
          "\"model_type\":\"SongUNet\",\"resample_filter\":[1,2,1]}}",
          "resample_filter" },
        { "{\"class_name\":\"VPPrecond\",\"init_kwargs\":{\"img_resolution\":8,\"img_channels\":3,"
          "\"beta_d\":10}}",
          "beta_d" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":6,\"img_channels\":3}"
          "}",
          "cannot be halved" },
        { "{\"class_name\":\"EDMPrecond\",\"init_kwargs\":{\"img_resolution\":32,\"img_channels\":"
          "3},"
          "\"skip_scale\":0.5}",
          "skip_scale" },
    };
    gd_model_config c;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_not_equal(gd_config_from_text(&c, GD_FAMILY_EDM, GD_NET_UNET, cases[i].text),
                             GD_OK);
        if (!strstr(gd_error(), cases[i].message))
            fail_msg("\"%s\" lacks \"%s\"", gd_error(), cases[i].message);
    }
}

/* The form of a consistency model is in its file's name */
static void names_tell_consistency_models(void **state)
{
    static const struct {
        const char *name;
        gd_precond precond;
        bool assumed;
    } cases[] = {
        { "edm_imagenet64_ema.pt", GD_PRECOND_CONSISTENCY_EDM, false },
        { "cd_imagenet64_l2.pt", GD_PRECOND_CONSISTENCY, false },
        { "edm_flowers.pt", GD_PRECOND_CONSISTENCY_EDM, false },
        { "ct_flowers.pt", GD_PRECOND_CONSISTENCY, false },
        { "flowers.pt", GD_PRECOND_CONSISTENCY, true },
    };
    gd_model_config preset, found;
    char assumed[4096];
    table t;

    (void)state;
    table_open(&t);
    assert_int_equal(gd_preset_config(&preset, "ct_imagenet64"), GD_OK);
    table_of_config(&t, &preset);
    for (int i = 0; i < COUNT(cases); i++) {
        if (table_recognise(&t, cases[i].name, NULL, NULL, 0, &found, assumed) != GD_OK)
            fail_msg("%s", gd_error());
        assert_int_equal(found.net.family, GD_FAMILY_CONSISTENCY);
        assert_int_equal(found.diffusion.precond, cases[i].precond);
        assert_int_equal(strstr(assumed, "training_mode") != NULL, cases[i].assumed);
    }
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_tell_edm_networks),
        cmocka_unit_test(a_preconditioner_can_be_given),
        cmocka_unit_test(other_filters_and_levels_are_refused),
        cmocka_unit_test(unknown_constructors_are_refused),
        cmocka_unit_test(names_tell_consistency_models),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
