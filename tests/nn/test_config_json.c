/* SPDX-License-Identifier: MIT */
/* guided.config: every configuration survives the text, and nothing else is taken for one. */
#include "tables.h"

#include <locale.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int open_arena(void **state)
{
    gd_arena *mem;
    int failed = gd_arena_make(&mem) != GD_OK;

    *state = mem;
    return failed;
}

static int close_arena(void **state)
{
    gd_arena_free(*state);
    return 0;
}

static char *text_of(const gd_model_config *config, gd_arena *mem)
{
    char *text;

    assert_int_equal(gd_config_to_json(config, mem, &text), GD_OK);
    return text;
}

static void assert_survives(const gd_model_config *config, gd_arena *mem)
{
    gd_model_config back;

    if (gd_config_from_json(&back, text_of(config, mem), "test") != GD_OK)
        fail_msg("%s", gd_error());
    assert_memory_equal(&back, config, sizeof back);
}

static void presets_survive(void **state)
{
    for (int i = 0; i < gd_preset_count(); i++) {
        gd_model_config config;
        assert_int_equal(gd_preset_config(&config, gd_preset_name(i)), GD_OK);
        assert_survives(&config, *state);
    }
}

/* Factors that are no short decimal must give the same widths again. */
static void odd_factors_survive(void **state)
{
    gd_model_config config;

    gd_config_defaults(&config, GD_NET_UNET);
    config.net.model_channels = 224;
    config.net.n_levels = 3;
    config.net.channel_mult[0] = 96.0 / 224;
    config.net.channel_mult[1] = 1.0 + 1.0 / 7;
    config.net.channel_mult[2] = 4;
    config.net.num_heads = 2;
    config.net.dropout = 0.1;
    memset(config.net.channel_mult + 3, 0, sizeof(double) * (GD_MAX_LEVELS - 3));
    assert_survives(&config, *state);
}

static void text_is_stable(void **state)
{
    gd_model_config config;

    gd_config_defaults(&config, GD_NET_CLASSIFIER);
    assert_string_equal(
        text_of(&config, *state),
        "{\"version\":1,\"kind\":\"classifier\",\"preset\":\"\",\"guidance_scale\":1.0,"
        "\"image_size\":64,\"small_size\":0,\"in_channels\":3,\"model_channels\":128,"
        "\"out_channels\":1000,\"num_res_blocks\":2,\"channel_mult\":[1.0,2.0,3.0,4.0],"
        "\"attention_ds\":[2,4,8],\"num_classes\":0,\"num_heads\":1,\"num_heads_upsample\":-1,"
        "\"num_head_channels\":64,\"dropout\":0.0,\"use_scale_shift_norm\":true,"
        "\"resblock_updown\":true,\"conv_resample\":true,\"use_new_attention_order\":false,"
        "\"pool\":\"attention\",\"diffusion_steps\":1000,\"noise_schedule\":\"linear\","
        "\"learn_sigma\":false,\"sigma_small\":false,\"predict_xstart\":false,"
        "\"rescale_timesteps\":false,\"rescale_learned_sigmas\":false,\"use_kl\":false}");
}

static void comma_locale_changes_nothing(void **state)
{
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8")) {
        print_message("no locale with a decimal comma here\n");
        skip();
    }
    presets_survive(state);
    odd_factors_survive(state);
    setlocale(LC_ALL, "C");
}

/* ---- refusals ---- */

/* The text of the 512x512 preset with `old` replaced by `new`; the error must say `message`. */
static void refuse(gd_arena *mem, const char *old, const char *new, const char *message)
{
    gd_model_config config;

    assert_int_equal(gd_preset_config(&config, "512x512_diffusion"), GD_OK);
    char *whole = NULL;
    assert_int_equal(gd_config_to_json(&config, mem, &whole), GD_OK);
    const char *at = strstr(whole, old);
    assert_non_null(at);
    const char *text = gd_sprintf(mem, "%.*s%s%s", (int)(at - whole), whole, new, at + strlen(old));
    assert_int_equal(gd_config_from_json(&config, text, "model.safetensors"), GD_EFORMAT);
    if (!strstr(gd_error(), "model.safetensors") || !strstr(gd_error(), message))
        fail_msg("%s -> %s: \"%s\" does not say \"%s\"", old, new, gd_error(), message);
}

static void newer_files_are_told(void **state)
{
    refuse(*state, "\"version\":1", "\"version\":2", "a newer guided wrote it");
    refuse(*state, "\"version\":1", "\"version\":1,\"rotary\":true",
           "\"rotary\" is unknown: a newer guided");
    refuse(*state, "\"kind\":\"unet\"", "\"kind\":\"transformer\"",
           "\"kind\" is not a name this version knows");
}

static void wrong_types_and_values_are_refused(void **state)
{
    refuse(*state, "\"version\":1,", "", "\"version\" is missing");
    refuse(*state, "\"use_kl\":false", "\"use_kl\":0", "\"use_kl\" is not true or false");
    refuse(*state, ",\"use_kl\":false", "", "\"use_kl\" is missing");
    refuse(*state, "\"image_size\":512", "\"image_size\":\"512\"",
           "\"image_size\" is not a whole number");
    refuse(*state, "\"image_size\":512", "\"image_size\":512.0",
           "\"image_size\" is not a whole number");
    refuse(*state, "\"image_size\":512", "\"image_size\":4294967808",
           "\"image_size\" is not a whole number of 32 bits");
    refuse(*state, "\"image_size\":512", "\"image_size\":500", "cannot be halved 6 times");
    refuse(*state, "\"image_size\":512", "\"image_size\":-512", "image_size");
    refuse(*state, "\"dropout\":0.0", "\"dropout\":1e300", "dropout");
    refuse(*state, "\"dropout\":0.0", "\"dropout\":null", "\"dropout\" is not a number");
    refuse(*state, "[0.5,", "[\"0.5\",", "\"channel_mult\" is not a list of numbers");
    refuse(*state, "[0.5,", "[1,1,1,1,1,1,1,1,1,1,1,1,1,", "1 to 12 numbers");
    refuse(*state, "[0.5,", "[1e308,", "channel_mult");
    refuse(*state, "[16,32,64]", "16", "\"attention_ds\" is not a list");
    refuse(*state, "[16,32,64]", "[16,33]", "\"attention_ds\" is not a list of powers of 2");
    refuse(*state, "[16,32,64]", "[4096]", "powers of 2");
    refuse(*state, "\"linear\"", "\"quadratic\"", "must be linear or cosine");
    refuse(*state, "\"linear\"", "\"linear_and_much_more\"",
           "\"noise_schedule\" is not a short string");
    refuse(*state, "\"preset\":\"512", "\"preset\":\"\\u001b[2J", "\"preset\" is not a name");
    refuse(*state, "\"out_channels\":6", "\"out_channels\":3", "out_channels is 3, must be 6");
    refuse(*state, "\"num_head_channels\":64", "\"num_head_channels\":48", "does not divide");
    refuse(*state, "\"num_classes\":1000", "\"num_classes\":1000,\"num_classes\":1000", "");
    refuse(*state, "{", "[", "");
    refuse(*state, "}", "", "");
    refuse(*state, "[16,32,64]", "[[[16]]]", "");
}

static void other_texts_are_refused(void **state)
{
    static const char *const texts[] = {
        "", "null", "[]", "{}", "7", "\"version\"", "{\"version\":1}", "\xff\xfe"
    };
    gd_model_config config;

    (void)state;
    for (int i = 0; i < COUNT(texts); i++)
        assert_int_equal(gd_config_from_json(&config, texts[i], "x"), GD_EFORMAT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(presets_survive),
        cmocka_unit_test(odd_factors_survive),
        cmocka_unit_test(text_is_stable),
        cmocka_unit_test(comma_locale_changes_nothing),
        cmocka_unit_test(newer_files_are_told),
        cmocka_unit_test(wrong_types_and_values_are_refused),
        cmocka_unit_test(other_texts_are_refused),
    };
    return cmocka_run_group_tests(tests, open_arena, close_arena);
}
