/* SPDX-License-Identifier: MIT */
/* Recognising networks from files without their configuration: every reference network, real files,
 * damaged and hostile ones. */
#include "tables.h"

#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

typedef struct seen {
    gd_model_config config;
    char assumed[4096];
} seen;

static seen recognise(const table *t, const char *file_name, const gd_flag *flags, int n_flags)
{
    seen s;

    if (table_recognise(t, file_name, NULL, flags, n_flags, &s.config, s.assumed) != GD_OK)
        fail_msg("%s: %s", file_name, gd_error());
    return s;
}

static void refuse(const table *t, const char *message)
{
    seen s;

    assert_int_equal(table_recognise(t, "model.safetensors", NULL, NULL, 0, &s.config, s.assumed),
                     GD_EFORMAT);
    if (!strstr(gd_error(), message))
        fail_msg("\"%s\" does not say \"%s\"", gd_error(), message);
}

static void assert_assumed(const seen *s, const char *line)
{
    if (!strstr(s->assumed, line))
        fail_msg("\"%s\" lacks \"%s\"", s->assumed, line);
}

/* ---- published files ---- */

/* By their own names nothing is assumed, and everything is as the preset says. */
static void published_files_are_recognised(void **state)
{
    (void)state;
    for (int i = 0; i < gd_preset_count(); i++) {
        gd_model_config preset;
        char name[64];
        table t;

        table_open(&t);
        assert_int_equal(gd_preset_config(&preset, gd_preset_name(i)), GD_OK);
        if (preset.net.family == GD_FAMILY_EDM || preset.net.family == GD_FAMILY_DIFFUSERS) {
            table_close(&t); /* their files say what they are */
            continue;
        }
        table_of_config(&t, &preset);
        snprintf(name, sizeof name, "%s.pt", preset.preset);
        seen s = recognise(&t, name, NULL, 0);
        assert_string_equal(s.assumed, "");
        assert_memory_equal(&s.config, &preset, sizeof preset);
        table_close(&t);
    }
}

static void renamed_files_are_recognised_and_said(void **state)
{
    gd_model_config preset;
    table t;

    (void)state;
    table_open(&t);
    assert_int_equal(gd_preset_config(&preset, "lsun_horse"), GD_OK);
    table_of_config(&t, &preset);
    seen s = recognise(&t, "ponies.pt", NULL, 0);
    assert_string_equal(s.config.preset, "256x256_diffusion_uncond");
    assert_string_equal(
        s.assumed,
        "preset 256x256_diffusion_uncond (assumed from its shapes, which are also those of "
        "lsun_bedroom, lsun_cat, lsun_horse, lsun_horse_nodropout; the authors' flags override "
        "it)");
    s = recognise(&t, "lsun_horse_fp16.safetensors", NULL, 0);
    assert_string_equal(s.config.preset, "lsun_horse");
    s = recognise(&t, "lsun_horse_nodropout.v2.safetensors", NULL, 0);
    assert_string_equal(s.config.preset, "lsun_horse_nodropout");
    table_close(&t);
}

/* A line from the authors' README changes nothing; a flag against the preset does. */
static void flags_override_a_preset(void **state)
{
    static const gd_flag readme[] = {
        { "attention_resolutions", "32,16,8" },
        { "class_cond", "True" },
        { "diffusion_steps", "1000" },
        { "dropout", "0.1" },
        { "image_size", "64" },
        { "learn_sigma", "True" },
        { "noise_schedule", "cosine" },
        { "num_channels", "192" },
        { "num_head_channels", "64" },
        { "num_res_blocks", "3" },
        { "resblock_updown", "True" },
        { "use_new_attention_order", "True" },
        { "use_fp16", "True" },
        { "use_scale_shift_norm", "True" },
        { "classifier_depth", "4" },
    };
    static const gd_flag others[] = { { "noise_schedule", "linear" },
                                      { "image_size", "128" },
                                      { "num_heads", "6" } };
    gd_model_config preset;
    table t;

    (void)state;
    table_open(&t);
    assert_int_equal(gd_preset_config(&preset, "64x64_diffusion"), GD_OK);
    table_of_config(&t, &preset);
    seen s = recognise(&t, "64x64_diffusion.pt", readme, COUNT(readme));
    assert_memory_equal(&s.config, &preset, sizeof preset);
    s = recognise(&t, "64x64_diffusion.pt", others, COUNT(others));
    assert_string_equal(s.config.diffusion.noise_schedule, "linear");
    assert_true(s.config.net.image_size == 128 && s.config.net.num_heads == 6 &&
                s.config.net.num_head_channels == -1);
    assert_int_equal(s.config.net.attention_ds,
                     preset.net.attention_ds); /* shapes told, image_size does not move it */
    table_close(&t);
}

/* A fine-tuned file: other classes, so no preset, but what shapes do not tell is the preset's. */
static void file_like_a_preset_takes_its_guesses(void **state)
{
    gd_model_config preset;
    table t;

    (void)state;
    table_open(&t);
    assert_int_equal(gd_preset_config(&preset, "64x64_diffusion"), GD_OK);
    table_of_config(&t, &preset);
    table_find(&t, "label_emb.weight")->dim[0] = 10;
    seen s = recognise(&t, "64x64_diffusion.pt", NULL, 0);
    assert_string_equal(s.config.preset, "");
    assert_true(s.config.net.num_classes == 10 && s.config.net.use_new_attention_order &&
                s.config.net.image_size == 64);
    assert_string_equal(s.config.diffusion.noise_schedule, "cosine");
    assert_assumed(
        &s, "use_new_attention_order True (assumed; --use_new_attention_order False if not)");
    assert_assumed(&s, "noise_schedule cosine (assumed; --noise_schedule linear if not)");
    table_close(&t);
}

/* ---- reference cases: whatever shapes tell is found ---- */

static const char *const cases[] = {
    "201_unet_ddpm_1level",      "202_unet_ddpm_2level",      "203_unet_adm",
    "204_unet_heads_upsample",   "205_unet_3res_neworder",    "206_unet_64_default_mult",
    "207_unet_nonsquare",        "208_unet_128_default_mult", "209_unet_256_default_mult",
    "210_unet_512_default_mult", "211_unet_wide_mult",        "301_sr_small",
    "302_sr_64_flags",           "303_sr_256_flags",          "401_classifier_attention",
    "402_classifier_adaptive",   "403_classifier_spatial",    "404_classifier_spatial_v2",
    "405_classifier_64_flags",
};

static int integer(json_t *root, const char *group, const char *name, int otherwise)
{
    json_t *value = json_object_get(json_object_get(root, group), name);

    return json_is_number(value) ? (int)json_number_value(value) : otherwise;
}

static void assert_widths(json_t *root, const gd_net_config *net)
{
    json_t *mult = json_object_get(json_object_get(root, "resolved"), "channel_mult");

    assert_int_equal(net->n_levels, json_array_size(mult));
    for (int l = 0; l < net->n_levels; l++)
        assert_true(net->channel_mult[l] == json_number_value(json_array_get(mult, (size_t)l)));
}

static void assert_attention(json_t *root, const gd_net_config *net)
{
    json_t *list = json_object_get(json_object_get(root, "resolved"), "attention_ds"), *item;
    const unsigned within = (1u << net->n_levels) - 1;
    unsigned ds = 0;
    size_t i;

    json_array_foreach(list, i, item)
    {
        ds |= (unsigned)json_integer_value(item);
    }
    assert_int_equal(net->attention_ds, ds & within);
}

static void reference_networks_are_recognised(void **state)
{
    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        table t;
        table_open(&t);
        json_t *root = table_read_case(&t, shared_path("golden/%s", cases[i]));
        seen s = recognise(&t, "model.pt", NULL, 0);
        const gd_net_config *net = &s.config.net;

        assert_params_equal(&s.config, &t);
        assert_int_equal(net->kind, cases[i][0] == '2'   ? GD_NET_UNET
                                    : cases[i][0] == '3' ? GD_NET_SUPERRES
                                                         : GD_NET_CLASSIFIER);
        assert_int_equal(net->in_channels, 3);
        assert_int_equal(net->num_res_blocks,
                         integer(root, "config", "num_res_blocks",
                                 integer(root, "config", "classifier_depth", -1)));
        assert_int_equal(net->out_channels,
                         integer(root, "resolved", "out_channels", net->out_channels));
        assert_widths(root, net);
        assert_attention(root, net);
        json_decref(root);
        table_close(&t);
    }
}

/* The same for networks that no reference case has: every way to change resolution, deep and
 * shallow, grey, all heads. */
static void made_up_networks_are_recognised(void **state)
{
    (void)state;
    for (int i = 0; i < 3 * 3 * 4 * 4; i++) {
        static const double mults[4][4] = {
            { 1, 2, 2, 4 }, { 1, 1, 1, 1 }, { 2, 1, 3, 2 }, { 0.5, 1, 1.5, 2 }
        };
        gd_model_config c;
        seen s;
        table t;

        gd_config_defaults(&c, (gd_net_kind)(i % 3));
        c.net.model_channels = 64;
        c.net.image_size = 64;
        c.net.small_size = 16;
        c.net.resblock_updown = i / 3 % 3 == 0;
        c.net.conv_resample = i / 3 % 3 != 2;
        c.net.n_levels = 1 + i / 9 % 4;
        c.net.num_res_blocks = 1 + i / 36 % 4;
        memcpy(c.net.channel_mult, mults[i % 4], sizeof mults[0]);
        c.net.attention_ds = 1u << c.net.n_levels >> 1;
        c.net.num_head_channels = 32;
        c.net.use_scale_shift_norm = i % 2;
        c.net.in_channels = i % 5 == 0 ? 1 : 3;
        c.net.pool = (gd_pool)(i / 3 % 4);
        c.diffusion.learn_sigma = i % 7 < 4;
        if (c.net.kind != GD_NET_CLASSIFIER)
            c.net.out_channels = (c.diffusion.learn_sigma ? 2 : 1) * c.net.in_channels;
        table_open(&t);
        table_of_config(&t, &c);
        s = recognise(&t, "model.pt", NULL, 0);
        assert_params_equal(&s.config, &t);
        assert_int_equal(s.config.net.kind, c.net.kind);
        assert_int_equal(s.config.net.in_channels, c.net.in_channels);
        assert_int_equal(s.config.diffusion.learn_sigma,
                         c.net.kind != GD_NET_CLASSIFIER && c.diffusion.learn_sigma);
        if (c.net.kind != GD_NET_CLASSIFIER) {
            assert_int_equal(s.config.net.num_res_blocks, c.net.num_res_blocks);
            assert_int_equal(s.config.net.n_levels, c.net.n_levels);
        }
        table_close(&t);
    }
}

/* Several depths fit a classifier of equal widths that never attends: the choice is said and can be
 * overridden. */
static void ambiguous_depth_is_said(void **state)
{
    const gd_flag depth = { "classifier_depth", "1" };
    gd_model_config c;
    table t;

    (void)state;
    gd_config_defaults(&c, GD_NET_CLASSIFIER);
    c.net.num_res_blocks = 1;
    c.net.n_levels = 3;
    c.net.image_size = 32;
    c.net.attention_ds = 0;
    for (int l = 0; l < 3; l++)
        c.net.channel_mult[l] = 1;
    table_open(&t);
    table_of_config(&t, &c);
    seen s = recognise(&t, "model.pt", NULL, 0);
    assert_assumed(&s, "classifier_depth 2 (assumed; --classifier_depth N if not)");
    s = recognise(&t, "model.pt", &depth, 1);
    assert_true(s.config.net.num_res_blocks == 1 && s.config.net.n_levels == 3 &&
                s.config.net.image_size == 32);
    assert_null(strstr(s.assumed, "classifier_depth"));
    table_close(&t);
}

static void data_parallel_prefix_is_accepted(void **state)
{
    gd_model_config preset;
    table plain, prefixed;

    (void)state;
    table_open(&plain);
    table_open(&prefixed);
    assert_int_equal(gd_preset_config(&preset, "64x64_classifier"), GD_OK);
    table_of_config(&plain, &preset);
    for (int i = 0; i < plain.n; i++)
        table_add(&prefixed, gd_sprintf(plain.mem, "module.%s", plain.array[i].name),
                  plain.array[i].rank, plain.array[i].dim);
    seen s = recognise(&prefixed, "64x64_classifier.pt", NULL, 0);
    assert_memory_equal(&s.config, &preset, sizeof preset);
    table_add(&prefixed, "epoch", 1, (const int64_t[]){ 1 });
    refuse(&prefixed, "time_embed.0.weight is missing");
    table_close(&plain);
    table_close(&prefixed);
}

/* ---- real files ---- */

static seen recognise_file(const char *name, const gd_flag *flags, int n_flags)
{
    gd_bundle *bundle;
    gd_arena *mem;
    char *assumed = NULL;
    seen s;

    assert_int_equal(gd_arena_make(&mem), GD_OK);
    if (gd_bundle_open(&bundle, shared_path("models/fashion32/%s", name)) != GD_OK ||
        gd_config_recognise(&s.config, mem, &assumed, bundle, flags, n_flags) != GD_OK)
        fail_msg("%s", gd_error());
    snprintf(s.assumed, sizeof s.assumed, "%s", assumed ? assumed : "");
    gd_bundle_close(bundle);
    gd_arena_free(mem);
    return s;
}

static void small_trained_files_are_recognised(void **state)
{
    static const gd_flag told[] = { { "num_head_channels", "32" }, { "noise_schedule", "cosine" } };
    seen s = recognise_file("diffusion.pt", told, COUNT(told));
    const gd_net_config *net = &s.config.net;

    (void)state;
    assert_true(net->kind == GD_NET_UNET && net->image_size == 32 && net->model_channels == 32 &&
                net->num_res_blocks == 1);
    assert_true(net->n_levels == 3 && net->channel_mult[0] == 1 && net->channel_mult[1] == 2 &&
                net->channel_mult[2] == 2);
    assert_true(net->attention_ds == 1 << 2 && net->num_classes == 10 && net->out_channels == 6 &&
                net->resblock_updown);
    assert_true(net->num_head_channels == 32 && !net->use_new_attention_order &&
                net->use_scale_shift_norm);
    assert_string_equal(s.config.diffusion.noise_schedule, "cosine");
    assert_string_equal(s.assumed, "image_size 32 (assumed; --image_size N if not)");
    s = recognise_file("classifier.pt", NULL, 0);
    assert_true(net->kind == GD_NET_CLASSIFIER && net->image_size == 32 &&
                net->num_res_blocks == 1 && net->n_levels == 3);
    assert_true(net->out_channels == 10 && net->pool == GD_POOL_ATTENTION &&
                net->attention_ds == 1 << 2);
    assert_assumed(
        &s, "classifier_num_head_channels 64 (assumed; --classifier_num_head_channels N if not)");
    s = recognise_file("base8.pt", NULL, 0);
    assert_true(net->kind == GD_NET_UNET && net->n_levels == 2 && net->attention_ds == 1 << 0 &&
                net->num_classes == 10);
    s = recognise_file("upsampler.pt", NULL, 0);
    assert_true(net->kind == GD_NET_SUPERRES && net->image_size == 32 && net->small_size == 8 &&
                net->out_channels == 6);
}

/* ---- damage ---- */

/* One key less, one key more, one other shape: each is told by name, whichever key it is, for all
 * three kinds. */
static void table_of_kind(table *t, gd_net_kind kind)
{
    gd_model_config c;

    gd_config_defaults(&c, kind);
    c.net.model_channels = 32;
    c.net.num_res_blocks = 1;
    c.net.image_size = 32;
    c.net.small_size = 8;
    c.net.n_levels = 3;
    memcpy(c.net.channel_mult, (const double[]){ 1, 2, 3 }, 3 * sizeof(double));
    c.net.attention_ds = 1u << 1;
    c.net.num_head_channels = 32;
    c.net.resblock_updown = true;
    table_of_config(t, &c);
}

static void every_missing_key_is_named(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        table t;
        table_open(&t);
        table_of_kind(&t, (gd_net_kind)kind);
        for (int i = 0; i < t.n; i++) {
            table less = t;
            less.array = gd_alloc(t.mem, (size_t)t.n * sizeof *less.array);
            memcpy(less.array, t.array, (size_t)t.n * sizeof *less.array);
            const char *name = t.array[i].name;
            table_remove(&less, name);
            refuse(&less, name);
            if (!strstr(gd_error(), "missing"))
                fail_msg("without %s: %s", name, gd_error());
        }
        table_close(&t);
    }
}

/* Only a classifier's image channels can change alone. */
static void every_other_shape_is_named(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        table t;
        table_open(&t);
        table_of_kind(&t, (gd_net_kind)kind);
        for (int i = 0; i < t.n; i++) {
            gd_array *a = &t.array[i];
            for (int d = 0; d < a->rank; d++) {
                char layer[96]; /* of two parameters that disagree either may be named */
                seen s;
                if (kind == GD_NET_CLASSIFIER && d == 1 &&
                    strcmp(a->name, "input_blocks.0.0.weight") == 0)
                    continue;
                a->dim[d]++;
                if (table_recognise(&t, "model.pt", NULL, NULL, 0, &s.config, s.assumed) == GD_OK)
                    fail_msg("%s: another dimension %d is accepted", a->name, d);
                snprintf(layer, sizeof layer, "%.*s", (int)(strrchr(a->name, '.') - a->name),
                         a->name);
                if (!strstr(gd_error(), layer) && !strstr(gd_error(), "channels") &&
                    !strstr(gd_error(), "levels"))
                    fail_msg("%s dimension %d: %s", a->name, d, gd_error());
                a->dim[d]--;
            }
        }
        table_close(&t);
    }
}

static void extra_keys_are_named_and_long_tables_cut(void **state)
{
    table t;

    (void)state;
    table_open(&t);
    table_of_kind(&t, GD_NET_UNET);
    table_add(&t, "epoch", 1, (const int64_t[]){ 7 });
    refuse(&t, "  epoch ");
    assert_non_null(strstr(gd_error(), "no such key"));
    assert_non_null(strstr(gd_error(), "found [7]"));
    assert_non_null(strstr(gd_error(), "1 differ"));
    for (int i = 0; i < 100; i++)
        table_add(&t, gd_sprintf(t.mem, "extra.%d", i), 1, (const int64_t[]){ 7 });
    refuse(&t, "... and 81 more");
    assert_non_null(strstr(gd_error(), "hint: "));
    table_close(&t);
}

/* ---- hostility: refused at once, without big allocations ---- */

static void hostile_shapes_are_refused(void **state)
{
    const int64_t huge = (int64_t)1 << 40;
    static const char *const keys[] = { "time_embed.0.weight",
                                        "input_blocks.0.0.weight",
                                        "input_blocks.1.0.in_layers.2.weight",
                                        "out.2.weight",
                                        "out.2.bias",
                                        "middle_block.0.in_layers.2.bias" };
    table t;

    (void)state;
    table_open(&t);
    table_of_kind(&t, GD_NET_UNET);
    for (int i = 0; i < COUNT(keys); i++) {
        gd_array *a = table_find(&t, keys[i]), saved = *a;
        a->dim[0] = 0; /* no data, so the file is well formed */
        refuse(&t, "");
        a->dim[a->rank - 1] = 0;
        a->dim[0] = huge;
        refuse(&t, "");
        a->rank = 0;
        refuse(&t, "");
        a->rank = GD_MAX_RANK;
        for (int d = 0; d < GD_MAX_RANK; d++)
            a->dim[d] = d ? huge / 1024 : 0;
        refuse(&t, "");
        *a = saved;
    }
    table_close(&t);
}

static void hostile_names_are_refused(void **state)
{
    char giant[GD_MAX_NAME];
    table t;

    (void)state;
    table_open(&t);
    refuse(&t, "time_embed.0.weight is missing");
    table_of_kind(&t, GD_NET_UNET);
    memset(giant, 'x', sizeof giant - 1);
    giant[sizeof giant - 1] = 0;
    table_add(&t, giant, 0, (const int64_t[]){ 0 });
    table_add(&t, "input_blocks.99999999999.0.op.weight", 0, (const int64_t[]){ 0 });
    table_add(&t, "output_blocks.-1.0", 0, (const int64_t[]){ 0 });
    refuse(&t, "3 differ");
    for (int i = 6; t.n < GD_MAX_ARRAYS; i++) /* more blocks than any network has */
        table_add(&t, gd_sprintf(t.mem, "input_blocks.%d.0.in_layers.2.weight", i), 4,
                  (const int64_t[]){ 32, 1, 0, 0 });
    const double begin = gd_seconds();
    refuse(&t, "");
    assert_true(gd_seconds() - begin < 10); /* the write included, with sanitizers */
    table_close(&t);
}

static void networks_of_others_are_named(void **state)
{
    static const struct {
        const char *one, *other, *text;
    } networks[] = {
        { "input_blocks.0.0.w", "transformer.resblocks.0.ln_1.weight", "GLIDE" },
        { "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
          "input_blocks.1.1.transformer_blocks.0.attn2.to_v.weight", "Stable Diffusion" },
        { "x_embedder.proj.weight", "blocks.0.adaLN_modulation.1.weight", "DiT" },
        { "downs.0.0.proj.weight", "ups.0.0.proj.weight", "denoising-diffusion-pytorch" },
    };
    table t;

    (void)state;
    for (int i = 0; i < COUNT(networks); i++) {
        table_open(&t);
        table_add(&t, networks[i].one, 1, (const int64_t[]){ 1 });
        table_add(&t, networks[i].other, 1, (const int64_t[]){ 1 });
        refuse(&t, networks[i].text);
        table_close(&t);
    }
}

static void the_flag_that_does_not_fit_is_named(void **state)
{
    const gd_flag flags[] = { { "num_res_blocks", "2" }, { "dropout", "0.1" } };
    gd_model_config c;
    char assumed[4096];
    table t;

    (void)state;
    assert_int_equal(gd_preset_config(&c, "small32"), GD_OK);
    table_open(&t);
    table_of_config(&t, &c);
    assert_int_equal(table_recognise(&t, "drop.safetensors", NULL, flags, 2, &c, assumed),
                     GD_EFORMAT);
    if (!strstr(gd_error(), "than --num_res_blocks 2 says: it is read without"))
        fail_msg("no flag in: %s", gd_error());
    table_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_files_are_recognised),
        cmocka_unit_test(renamed_files_are_recognised_and_said),
        cmocka_unit_test(flags_override_a_preset),
        cmocka_unit_test(file_like_a_preset_takes_its_guesses),
        cmocka_unit_test(reference_networks_are_recognised),
        cmocka_unit_test(made_up_networks_are_recognised),
        cmocka_unit_test(ambiguous_depth_is_said),
        cmocka_unit_test(data_parallel_prefix_is_accepted),
        cmocka_unit_test(small_trained_files_are_recognised),
        cmocka_unit_test(every_missing_key_is_named),
        cmocka_unit_test(every_other_shape_is_named),
        cmocka_unit_test(extra_keys_are_named_and_long_tables_cut),
        cmocka_unit_test(hostile_shapes_are_refused),
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(networks_of_others_are_named),
        cmocka_unit_test(the_flag_that_does_not_fit_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
