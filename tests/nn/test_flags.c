/* SPDX-License-Identifier: MIT */
/* The authors' flags: what they set, in which order, and how wrong ones are refused. */
#include "tables.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#define APPLY(config, ...)                                                                         \
    apply(config, (const gd_flag[]){ __VA_ARGS__ }, COUNT(((const gd_flag[]){ __VA_ARGS__ })))

static void apply(gd_model_config *config, const gd_flag *flags, int n)
{
    if (gd_flags_apply(config, flags, n) != GD_OK)
        fail_msg("%s", gd_error());
}

static void refuse(gd_net_kind kind, const char *name, const char *value, const char *message)
{
    gd_model_config config;
    const gd_flag flag = { name, value };

    gd_config_defaults(&config, kind);
    assert_int_equal(gd_flags_apply(&config, &flag, 1), GD_EUSAGE);
    if (!strstr(gd_error(), message))
        fail_msg("--%s %s: \"%s\" does not say \"%s\"", name, value, gd_error(), message);
}

/* docs/reference/networks.md#flags */
static void defaults_are_the_authors(void **state)
{
    gd_model_config c;

    (void)state;
    gd_config_defaults(&c, GD_NET_UNET);
    assert_true(c.net.image_size == 64 && c.net.model_channels == 128 && c.net.num_res_blocks == 2);
    assert_true(c.net.num_heads == 4 && c.net.num_head_channels == -1 && c.net.out_channels == 3);
    assert_true(c.net.attention_ds == (1 << 2 | 1 << 3) && c.net.n_levels == 4);
    assert_true(c.net.use_scale_shift_norm && !c.net.resblock_updown && c.net.num_classes == 0);
    assert_true(c.diffusion.steps == 1000 && !c.diffusion.learn_sigma);
    gd_config_defaults(&c, GD_NET_SUPERRES);
    assert_true(c.net.image_size == 256 && c.net.small_size == 64 && c.net.n_levels == 6);
    assert_true(c.net.attention_ds == (1 << 4 | 1 << 5));
    gd_config_defaults(&c, GD_NET_CLASSIFIER);
    assert_true(c.net.out_channels == 1000 && c.net.num_head_channels == 64);
    assert_true(c.net.attention_ds == (1 << 1 | 1 << 2 | 1 << 3) && c.net.resblock_updown);
}

/* attention_resolutions are pixels: they need image_size wherever it stands on the line */
static void order_on_the_line_does_not_matter(void **state)
{
    gd_model_config a, b;

    (void)state;
    gd_config_defaults(&a, GD_NET_UNET);
    gd_config_defaults(&b, GD_NET_UNET);
    APPLY(&a, { "image_size", "256" }, { "attention_resolutions", "32,16,8" },
          { "class_cond", "True" }, { "num_classes", "10" });
    APPLY(&b, { "num_classes", "10" }, { "class_cond", "True" },
          { "attention_resolutions", "32,16,8" }, { "image_size", "256" });
    assert_memory_equal(&a, &b, sizeof a);
    assert_int_equal(a.net.attention_ds, 1 << 3 | 1 << 4 | 1 << 5);
    assert_int_equal(a.net.num_classes, 10);
    assert_int_equal(a.net.n_levels, 6);
}

static void image_size_keeps_resolutions_and_brings_its_widths(void **state)
{
    gd_model_config c;

    (void)state;
    gd_config_defaults(&c, GD_NET_UNET);
    APPLY(&c, { "image_size", "512" });
    assert_int_equal(c.net.attention_ds, 1 << 5 | 1 << 6); /* 16 and 8 of 512 */
    assert_true(c.net.n_levels == 7 && c.net.channel_mult[0] == 0.5);
    gd_config_defaults(&c, GD_NET_SUPERRES);
    APPLY(&c, { "large_size", "512" }, { "small_size", "128" });
    assert_true(c.net.n_levels == 6 && c.net.channel_mult[0] == 1 && c.net.image_size == 512);
    gd_config_defaults(&c, GD_NET_UNET);
    APPLY(&c, { "image_size", "32" }, { "channel_mult", "1,2,2,2" });
    assert_int_equal(c.net.attention_ds, 1 << 1 | 1 << 2);
    gd_config_defaults(&c, GD_NET_UNET);
    APPLY(&c, { "image_size", "32" }); /* improved-diffusion's */
    assert_true(c.net.n_levels == 4 && c.net.channel_mult[3] == 2);
    refuse(GD_NET_UNET, "image_size", "16", "give --channel_mult");
    refuse(GD_NET_SUPERRES, "large_size", "128", "give --channel_mult");
    refuse(GD_NET_CLASSIFIER, "image_size", "32", "give --classifier_channel_mult");
}

/* One line serves the diffusion model and its classifier: each takes its own flags. */
static void flags_of_another_kind_change_nothing(void **state)
{
    gd_model_config before, c;

    (void)state;
    gd_config_defaults(&before, GD_NET_UNET);
    c = before;
    APPLY(&c, { "classifier_width", "32" }, { "classifier_pool", "spatial" },
          { "use_fp16", "True" }, { "classifier_use_fp16", "y" }, { "use_checkpoint", "0" },
          { "large_size", "512" });
    assert_memory_equal(&c, &before, sizeof c);
    gd_config_defaults(&before, GD_NET_CLASSIFIER);
    c = before;
    APPLY(&c, { "num_channels", "192" }, { "num_heads", "4" }, { "class_cond", "True" },
          { "learn_sigma", "True" }, { "attention_resolutions", "8" }, { "dropout", "0.1" });
    assert_memory_equal(&c, &before, sizeof c);
    refuse(GD_NET_UNET, "classifier_width", "wide", "whole number");
}

static void dependent_fields_follow(void **state)
{
    gd_model_config c;

    (void)state;
    gd_config_defaults(&c, GD_NET_UNET);
    APPLY(&c, { "learn_sigma", "TRUE" }, { "class_cond", "t" }, { "dropout", "0.3" });
    assert_true(c.net.out_channels == 6 && c.net.num_classes == 1000 && c.net.dropout == 0.3);
    APPLY(&c, { "learn_sigma", "no" }, { "class_cond", "F" });
    assert_true(c.net.out_channels == 3 && c.net.num_classes == 0);
    assert_int_equal(gd_preset_config(&c, "256x256_diffusion"), GD_OK);
    APPLY(&c, { "num_heads", "8" }); /* whoever gives only num_heads means it */
    assert_true(c.net.num_heads == 8 && c.net.num_head_channels == -1);
    APPLY(&c, { "num_heads", "4" }, { "num_head_channels", "32" });
    assert_true(c.net.num_heads == 4 && c.net.num_head_channels == 32);
    gd_config_defaults(&c, GD_NET_CLASSIFIER);
    APPLY(&c, { "num_classes", "10" }, { "classifier_pool", "spatial_v2" },
          { "classifier_num_heads", "2" });
    assert_true(c.net.out_channels == 10 && c.net.num_classes == 0);
    assert_true(c.net.pool == GD_POOL_SPATIAL_V2 && c.net.num_head_channels == -1);
}

static void fractions_of_channel_mult_are_exact(void **state)
{
    gd_model_config c;

    (void)state;
    gd_config_defaults(&c, GD_NET_UNET);
    APPLY(&c, { "channel_mult", "0.5,1.25,2" });
    assert_true(c.net.n_levels == 3 && c.net.channel_mult[0] == 0.5 &&
                c.net.channel_mult[1] == 1.25);
}

static void wrong_flags_are_refused_with_the_reason(void **state)
{
    (void)state;
    refuse(GD_NET_UNET, "imagesize", "64", "did you mean --image_size?");
    refuse(GD_NET_UNET, "xyzzy", "64", "no such flag");
    refuse(GD_NET_UNET, "image_size", "abc", "--image_size \"abc\": must be a whole number, 1 to");
    refuse(GD_NET_UNET, "image_size", "0", "whole number");
    refuse(GD_NET_UNET, "image_size", "64,32", "one whole number");
    refuse(GD_NET_UNET, "image_size", "-1", "whole number");
    refuse(GD_NET_UNET, "image_size", "99999999999999999999", "whole number");
    refuse(GD_NET_UNET, "image_size", "", "whole number");
    refuse(GD_NET_UNET, "num_res_blocks", "33", "1 to 32");
    refuse(GD_NET_UNET, "num_head_channels", "0", "or -1");
    refuse(GD_NET_UNET, "class_cond", "maybe", "True or False");
    refuse(GD_NET_UNET, "use_fp16", "2", "True or False");
    refuse(GD_NET_UNET, "noise_schedule", "cosin", "did you mean cosine?");
    refuse(GD_NET_UNET, "dropout", "1", "0 to less than 1");
    refuse(GD_NET_UNET, "dropout", "0,1", "0 to less than 1");
    refuse(GD_NET_UNET, "dropout", "nan", "0 to less than 1");
    refuse(GD_NET_UNET, "diffusion_steps", "0", "whole number");
    refuse(GD_NET_UNET, "attention_resolutions", "32,,8", "whole number");
    refuse(GD_NET_UNET, "attention_resolutions", "32,0", "whole number");
    refuse(GD_NET_UNET, "channel_mult", "1,2,", "factors");
    refuse(GD_NET_UNET, "channel_mult", "1,1,1,1,1,1,1,1,1,1,1,1,1", "factors");
    refuse(GD_NET_CLASSIFIER, "classifier_pool", "spatal", "did you mean spatial?");
}

/* Networks that cannot be: the message names the reason. */
static void impossible_networks_are_refused(void **state)
{
    (void)state;
    refuse(GD_NET_UNET, "num_channels", "100", "not a multiple of 32");
    refuse(GD_NET_UNET, "num_heads", "7", "num_heads 7 does not divide the 384 channels");
    refuse(GD_NET_UNET, "num_head_channels", "48", "does not divide the 512 channels");
    refuse(GD_NET_UNET, "num_heads_upsample", "5", "num_heads_upsample 5 does not divide");
    refuse(GD_NET_UNET, "channel_mult", "1,1,1,1,1,1,1,1", "cannot be halved 7 times");
    refuse(GD_NET_UNET, "channel_mult", "0,1", "channel_mult 0");
    refuse(GD_NET_UNET, "channel_mult", "99999999999999", "channel_mult");
    refuse(GD_NET_SUPERRES, "small_size", "512", "small_size");
    refuse(GD_NET_CLASSIFIER, "classifier_num_heads", "2",
           "attention pooling needs num_head_channels");
}

static void known_names_are_known(void **state)
{
    (void)state;
    assert_true(gd_flag_known("image_size") && gd_flag_known("classifier_use_fp16"));
    assert_true(gd_flag_known("num_classes") && gd_flag_known("rescale_learned_sigmas"));
    assert_false(gd_flag_known("model_path") || gd_flag_known("") || gd_flag_known("Image_size"));
}

/* ---- the reference cases: flags give exactly their keys ---- */

static const char *text_of(json_t *value, gd_arena *mem)
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "True" : "False";
    if (json_is_integer(value))
        return gd_sprintf(mem, "%d", (int)json_integer_value(value));
    return gd_sprintf(mem, "%g", json_real_value(value));
}

static void case_has_the_keys_of_its_flags(const char *name, gd_net_kind kind)
{
    gd_flag flags[40];
    gd_model_config c;
    const char *key;
    json_t *root, *value;
    int n = 0;
    table t;

    table_open(&t);
    root = table_read_case(&t, shared_path("golden/%s", name));
    json_object_foreach(json_object_get(root, "config"), key, value)
    {
        if (strcmp(key, "constructor") != 0)
            flags[n++] = (gd_flag){ key, text_of(value, t.mem) };
    }
    gd_config_defaults(&c, kind);
    if (gd_flags_apply(&c, flags, n) != GD_OK)
        fail_msg("%s: %s", name, gd_error());
    assert_params_equal(&c, &t);
    json_decref(root);
    table_close(&t);
}

static void reference_cases_have_the_keys_of_their_flags(void **state)
{
    static const char *const unets[] = {
        "201_unet_ddpm_1level",      "202_unet_ddpm_2level",      "203_unet_adm",
        "204_unet_heads_upsample",   "205_unet_3res_neworder",    "206_unet_64_default_mult",
        "207_unet_nonsquare",        "208_unet_128_default_mult", "209_unet_256_default_mult",
        "210_unet_512_default_mult", "211_unet_wide_mult",
    };

    (void)state;
    for (int i = 0; i < COUNT(unets); i++)
        case_has_the_keys_of_its_flags(unets[i], GD_NET_UNET);
    case_has_the_keys_of_its_flags("302_sr_64_flags", GD_NET_SUPERRES);
    case_has_the_keys_of_its_flags("303_sr_256_flags", GD_NET_SUPERRES);
    case_has_the_keys_of_its_flags("405_classifier_64_flags", GD_NET_CLASSIFIER);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_authors),
        cmocka_unit_test(order_on_the_line_does_not_matter),
        cmocka_unit_test(image_size_keeps_resolutions_and_brings_its_widths),
        cmocka_unit_test(flags_of_another_kind_change_nothing),
        cmocka_unit_test(dependent_fields_follow),
        cmocka_unit_test(fractions_of_channel_mult_are_exact),
        cmocka_unit_test(wrong_flags_are_refused_with_the_reason),
        cmocka_unit_test(impossible_networks_are_refused),
        cmocka_unit_test(known_names_are_known),
        cmocka_unit_test(reference_cases_have_the_keys_of_their_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
