/* SPDX-License-Identifier: MIT */
/* Weights without a file: PyTorch's distributions, and the synthetic rule of the reference data. */
#include "tables.h"

#include <math.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Every parameter of one network, filled */
typedef struct weights {
    gd_arena *mem;
    gd_param_spec *spec;
    float **value;
    int n;
} weights;

static void fill(weights *w, gd_net_kind kind, gd_pool pool, uint64_t seed)
{
    gd_model_config c;

    gd_config_defaults(&c, kind);
    c.net.model_channels = 32;
    c.net.num_head_channels = 32;
    c.net.num_res_blocks = 1;
    c.net.num_classes = kind == GD_NET_CLASSIFIER ? 0 : 100;
    c.net.pool = pool;
    assert_int_equal(gd_arena_make(&w->mem), GD_OK);
    assert_int_equal(gd_config_params(&c, w->mem, &w->spec, &w->n), GD_OK);
    w->value = gd_alloc(w->mem, (size_t)w->n * sizeof *w->value);
    for (int i = 0; i < w->n; i++) {
        w->value[i] = gd_alloc(w->mem, (size_t)gd_param_count(&w->spec[i]) * sizeof(float));
        gd_init_parameter(w->value[i], &w->spec[i], seed, i);
    }
}

static int find(const weights *w, const char *name)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->spec[i].name, name) == 0)
            return i;
    fail_msg("no parameter %s", name);
    return 0;
}

static bool ends(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);

    return n >= m && strcmp(text + n - m, end) == 0;
}

static void assert_all(const weights *w, int i, float value)
{
    for (int64_t k = 0; k < gd_param_count(&w->spec[i]); k++)
        if (w->value[i][k] != value)
            fail_msg("%s[%d] is %g, not %g", w->spec[i].name, (int)k, w->value[i][k], value);
}

/* docs/reference/networks.md#initialisation: which parameters are zero, by names written down here
 * again */
static bool is_zero(const char *name, bool unet)
{
    return strstr(name, "out_layers.3.") || strstr(name, "proj_out.") ||
           (unet && strncmp(name, "out.2.", 6) == 0) || (!unet && strncmp(name, "out.3.", 6) == 0);
}

static bool is_norm(const char *name)
{
    return strstr(name, "in_layers.0.") || strstr(name, "out_layers.0.") ||
           strstr(name, ".norm.") || strncmp(name, "out.0.", 6) == 0;
}

static void zeros_and_ones_are_where_pytorch_has_them(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        weights w;
        fill(&w, (gd_net_kind)kind, GD_POOL_ADAPTIVE, 1);
        for (int i = 0; i < w.n; i++) {
            const char *name = w.spec[i].name;
            if (is_zero(name, kind != GD_NET_CLASSIFIER))
                assert_all(&w, i, 0);
            else if (is_norm(name))
                assert_all(&w, i, ends(name, ".weight") ? 1 : 0);
            else
                assert_true(w.spec[i].init == GD_INIT_UNIFORM || w.spec[i].init == GD_INIT_NORMAL);
        }
        gd_arena_free(w.mem);
    }
}

typedef struct moments {
    double mean, variance, largest;
    int64_t n;
} moments;

static moments measure(const weights *w, int i)
{
    moments m = { .n = gd_param_count(&w->spec[i]) };

    for (int64_t k = 0; k < m.n; k++) {
        m.mean += w->value[i][k] / (double)m.n;
        m.variance += (double)w->value[i][k] * w->value[i][k] / (double)m.n;
        m.largest = fmax(m.largest, fabs(w->value[i][k]));
    }
    m.variance -= m.mean * m.mean;
    return m;
}

/* U(-b, b) with b = 1 / sqrt(fan_in), weight and bias alike: mean 0, variance b^2 / 3.  Five
 * standard errors. */
static void assert_uniform(const weights *w, const char *name, int fan_in)
{
    const moments m = measure(w, find(w, name));
    const double bound = 1 / sqrt(fan_in), variance = bound * bound / 3;

    assert_true(m.largest <= bound && m.largest > bound * (1 - 20.0 / (double)m.n));
    assert_true(fabs(m.mean) < 5 * sqrt(variance / (double)m.n));
    assert_true(fabs(m.variance - variance) < 5 * variance * sqrt(0.8 / (double)m.n));
}

static void assert_normal(const weights *w, const char *name, double deviation)
{
    const moments m = measure(w, find(w, name));
    const double variance = deviation * deviation;

    assert_true(fabs(m.mean) < 5 * deviation / sqrt((double)m.n));
    assert_true(fabs(m.variance - variance) < 5 * variance * sqrt(2.0 / (double)m.n));
    assert_true(m.largest > 3 * deviation);
}

static void distributions_are_pytorchs(void **state)
{
    weights w;

    (void)state;
    fill(&w, GD_NET_UNET, 0, 7);
    assert_uniform(&w, "time_embed.0.weight", 32);
    assert_uniform(&w, "time_embed.0.bias", 32);
    assert_uniform(&w, "input_blocks.0.0.weight", 27);
    assert_uniform(&w, "input_blocks.0.0.bias", 27);
    assert_uniform(&w, "middle_block.0.in_layers.2.weight", 128 * 9);
    assert_uniform(&w, "middle_block.0.in_layers.2.bias", 128 * 9);
    assert_uniform(&w, "middle_block.0.emb_layers.1.weight", 128);
    assert_uniform(&w, "middle_block.1.qkv.weight", 128);
    assert_uniform(&w, "output_blocks.0.0.skip_connection.weight", 256);
    assert_normal(&w, "label_emb.weight", 1);
    gd_arena_free(w.mem);
    fill(&w, GD_NET_CLASSIFIER, GD_POOL_ATTENTION, 7);
    assert_normal(&w, "out.2.positional_embedding", 1 / sqrt(128));
    assert_uniform(&w, "out.2.c_proj.weight", 128);
    gd_arena_free(w.mem);
    fill(&w, GD_NET_CLASSIFIER, GD_POOL_SPATIAL_V2, 7);
    assert_uniform(&w, "out.3.weight", 2048);
    assert_all(&w, find(&w, "out.1.weight"), 1);
    gd_arena_free(w.mem);
}

static void seed_and_place_decide(void **state)
{
    gd_param_spec spec = {
        .name = "x.weight", .rank = 2, .dim = { 16, 16 }, .init = GD_INIT_UNIFORM, .init_scale = 1
    };
    float a[256], b[256];

    (void)state;
    for (int rule = 0; rule < 2; rule++) {
        spec.init = rule ? GD_INIT_NORMAL : GD_INIT_UNIFORM;
        gd_init_parameter(a, &spec, 5, 3);
        gd_init_parameter(b, &spec, 5, 3);
        assert_memory_equal(a, b, sizeof a);
        gd_init_parameter(b, &spec, 5, 4);
        assert_memory_not_equal(a, b, sizeof a);
        gd_init_parameter(b, &spec, 6, 3);
        assert_memory_not_equal(a, b, sizeof a);
    }
    gd_noise_normal(b, 256, 5, 3, 0); /* a is the normal one: not the noise of image 3 */
    gd_init_parameter(a, &spec, 5, 3);
    assert_memory_not_equal(a, b, sizeof a);
}

/* ---- synthetic ---- */

/* The rule again, as the reference data states it */
static float expected_u(const char *key, uint64_t i)
{
    uint64_t h = 0xcbf29ce484222325u, z;

    for (; *key; key++) {
        h ^= (unsigned char)*key;
        h *= 0x100000001b3u;
    }
    z = h + i + 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)(z >> 40) * (2.0f / (1 << 24)) - 1.0f;
}

static void assert_synthetic(const gd_param_spec *spec, const char *salt, float offset, float scale)
{
    const int64_t n = gd_param_count(spec);
    float *out = malloc((size_t)n * sizeof *out);
    char key[GD_MAX_NAME];

    assert_non_null(out);
    snprintf(key, sizeof key, "%s%s", salt, spec->name);
    gd_init_synthetic(out, spec, salt);
    for (int64_t i = 0; i < n; i += GD_MAX(n / 7, 1)) {
        const float product = scale * expected_u(key, (uint64_t)i);
        assert_true(out[i] == offset + product);
    }
    free(out);
}

static void synthetic_weights_follow_the_rule(void **state)
{
    gd_model_config c;
    gd_param_spec *spec;
    gd_arena *mem;
    int n;

    (void)state;
    assert_int_equal(gd_arena_make(&mem), GD_OK);
    assert_int_equal(gd_preset_config(&c, "64x64_classifier"), GD_OK);
    assert_int_equal(gd_config_params(&c, mem, &spec, &n), GD_OK);
    for (int i = 0; i < n; i++) {
        double fan_in = 1;
        for (int d = 1; d < spec[i].rank; d++)
            fan_in *= (double)spec[i].dim[d];
        if (spec[i].rank > 1)
            assert_synthetic(&spec[i], "", 0, (float)(0.5 * sqrt(3.0 / fan_in)));
        else
            assert_synthetic(&spec[i], i % 2 ? "" : "salt", ends(spec[i].name, ".weight") ? 1 : 0,
                             0.1f);
    }
    gd_arena_free(mem);
}

/* One value worked out apart from any program of this repository: key "input_blocks.0.0.weight",
 * element 0 */
static void synthetic_value_is_fixed(void **state)
{
    gd_param_spec spec = {
        .name = "input_blocks.0.0.weight", .rank = 4, .dim = { 1, 3, 3, 3 }, .init = GD_INIT_UNIFORM
    };
    float out[27];

    (void)state;
    gd_init_synthetic(out, &spec, "");
    assert_true(out[0] == 0x1.a48ea00000000p-5f);
    assert_true(out[26] == 0x1.cbc4a00000000p-4f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zeros_and_ones_are_where_pytorch_has_them),
        cmocka_unit_test(distributions_are_pytorchs),
        cmocka_unit_test(seed_and_place_decide),
        cmocka_unit_test(synthetic_weights_follow_the_rule),
        cmocka_unit_test(synthetic_value_is_fixed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
