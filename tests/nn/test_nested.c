/* SPDX-License-Identifier: MIT */
/* Checkpoints with more in them than a state dict, and names behind prefixes. */
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const char file[] = "test_nested.pt";

/* A small network's parameters; `value` fills them, so that a file's sets can be told apart */
typedef struct weights {
    gd_arena *mem;
    gd_param_spec *spec;
    gd_array *array;
    int n;
} weights;

static void make_weights(weights *w, const char *prefix)
{
    gd_model_config c;

    assert_int_equal(gd_arena_make(&w->mem), GD_OK);
    gd_config_defaults(&c, GD_NET_UNET);
    const gd_flag flags[] = { { "image_size", "8" },
                              { "num_channels", "32" },
                              { "channel_mult", "1" },
                              { "num_res_blocks", "1" },
                              { "num_head_channels", "32" } };
    assert_int_equal(gd_flags_apply(&c, flags, COUNT(flags)), GD_OK);
    assert_int_equal(gd_config_params(&c, w->mem, &w->spec, &w->n), GD_OK);
    w->array = gd_alloc(w->mem, (size_t)w->n * sizeof *w->array);
    for (int i = 0; i < w->n; i++) {
        w->array[i] = (gd_array){ .name = gd_sprintf(w->mem, "%s%s", prefix, w->spec[i].name),
                                  .dtype = GD_F32,
                                  .rank = w->spec[i].rank };
        memcpy(w->array[i].dim, w->spec[i].dim, sizeof w->spec[i].dim);
    }
}

static gd_pickle_node *state_dict(weights *w)
{
    gd_pickle_node *dict = gd_pickle_new(w->mem, GD_PICKLE_DICT, w->n);

    for (int i = 0; i < w->n; i++) {
        const gd_pickle_node tensor = { .kind = GD_PICKLE_TENSOR, .tensor = &w->array[i] };
        assert_true(gd_pickle_set(w->mem, dict, i, w->array[i].name, &tensor));
    }
    return dict;
}

/* {keys[0]: state dict of 1s, keys[1]: of 2s, ..., "step": 7} */
static void write_nested(const char *const *keys, int n, const char *prefix)
{
    static float values[1 << 16];
    weights w;
    gd_torch_writer *writer;

    make_weights(&w, prefix);
    gd_pickle_node *root = gd_pickle_new(w.mem, GD_PICKLE_DICT, n + 1);
    const gd_pickle_node seven = { .kind = GD_PICKLE_INT, .integer = 7 };
    for (int k = 0; k < n; k++)
        assert_true(gd_pickle_set(w.mem, root, k, keys[k], state_dict(&w)));
    assert_true(gd_pickle_set(w.mem, root, n, "step", &seven));
    assert_int_equal(gd_torch_begin(&writer, file, true, n ? root : state_dict(&w)), GD_OK);
    for (int k = 0; k < GD_MAX(n, 1); k++)
        for (int i = 0; i < w.n; i++) {
            const int64_t count = gd_array_count(&w.array[i]);
            assert_true(count <= COUNT(values));
            for (int64_t j = 0; j < count; j++)
                values[j] = (float)(k + 1);
            assert_int_equal(gd_torch_add(writer, values, (size_t)count * sizeof *values), GD_OK);
        }
    assert_int_equal(gd_torch_commit(writer), GD_OK);
    gd_arena_free(w.mem);
}

/* Which set is opened: its fill value; 0: refused */
static int opened(const char *key)
{
    const gd_flag flag = { "key", key };
    const gd_type type = { { 1, 1, 1, 3 }, GD_F32 };
    gd_model *m;
    float bias[3];

    if (gd_model_open(&m, file, &flag, key ? 1 : 0) != GD_OK)
        return 0;
    const gd_weights w = gd_model_weights(m);
    assert_int_equal(w.fetch(w.ctx, "out.2.bias", &type, bias), GD_OK);
    gd_model_close(m);
    return (int)bias[0];
}

static void averages_are_preferred(void **state)
{
    static const char *const both[] = { "model", "ema" }, *const lightning[] = { "state_dict" },
                             *const basicsr[] = { "params", "params_ema" },
                             *const other[] = { "weights" };

    (void)state;
    write_nested(both, 2, "");
    assert_int_equal(opened(NULL), 2);
    assert_int_equal(opened("model"), 1);
    assert_int_equal(opened("ema"), 2);
    assert_int_equal(opened("none"), 0);
    assert_non_null(strstr(gd_error(), "--key none"));
    write_nested(lightning, 1, "");
    assert_int_equal(opened(NULL), 1);
    write_nested(basicsr, 2, "");
    assert_int_equal(opened(NULL), 2);
    write_nested(other, 1, "");
    assert_int_equal(opened(NULL), 0);
    assert_non_null(strstr(gd_error(), "its keys are weights, step"));
    assert_int_equal(opened("weights"), 1);
}

static void prefixes_are_taken_off(void **state)
{
    static const char *const prefixes[] = { "module.",
                                            "_orig_mod.",
                                            "model.",
                                            "ema_model.",
                                            "model.diffusion_model.",
                                            "module._orig_mod.model." };
    static const char *const nested[] = { "state_dict" };

    (void)state;
    for (int i = 0; i < COUNT(prefixes); i++) {
        write_nested(NULL, 0, prefixes[i]);
        assert_int_equal(opened(NULL), 1);
        write_nested(nested, 1, prefixes[i]);
        assert_int_equal(opened(NULL), 1);
    }
    write_nested(NULL, 0, "unknown.");
    assert_int_equal(opened(NULL), 0);
}

static void other_families_are_named(void **state)
{
    static const char *const nested[] = { "state_dict" };

    (void)state;
    write_nested(nested, 1, "first_stage_model.");
    assert_int_equal(opened(NULL), 0);
    assert_non_null(strstr(gd_error(), "latent diffusion"));
    write_nested(NULL, 0, "transformer.resblocks.");
    assert_int_equal(opened(NULL), 0);
    assert_non_null(strstr(gd_error(), "GLIDE"));
    unlink(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(averages_are_preferred),
        cmocka_unit_test(prefixes_are_taken_off),
        cmocka_unit_test(other_families_are_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
