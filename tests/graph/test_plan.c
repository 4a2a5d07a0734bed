/* SPDX-License-Identifier: MIT */
/* The plan: values that share memory change nothing; fusion changes nothing but the number of
 * steps; errors name the layer. */
#include "fixture.h"
#include "graph/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

enum { RANDOM_GRAPHS = 300, MAX_NODES = 24 };

static uint32_t rng_state;

static int pick(int n)
{
    rng_state = rng_state * 1664525u + 1013904223u;
    return (int)(rng_state >> 8) % n;
}

static gd_val named_param(gd_graph *g, const char *kind, int i, int64_t a, int64_t b, int64_t c,
                          int64_t d)
{
    return gd_param(g, gd_sprintf(g->mem, "%s%d", kind, i), a, b, c, d);
}

/* One random node on earlier values; shapes stay those of the first image or half of it, C 32, 64
 * or 96, so that most pairs fit */
static gd_val random_node(gd_graph *g, const gd_val *made, int n, int i)
{
    const int64_t side = gd_type_of(g, made[0])->dim[1];
    gd_val a = made[pick(n)], b = made[pick(n)];
    const bool same = same_shape(gd_type_of(g, a), gd_type_of(g, b));
    const int channels = gd_channels(g, a);
    const bool joins =
        gd_type_of(g, a)->dim[1] == gd_type_of(g, b)->dim[1] && channels + gd_channels(g, b) <= 96;

    switch (pick(9)) {
    case 0:
        return same ? gd_plus(g, a, b) : gd_scaled(g, a, 0.5f);
    case 1:
        return same ? gd_times(g, a, b) : gd_relu(g, a);
    case 2:
        return gd_silu(g, a);
    case 3:
        return gd_silu(g, gd_group_norm(g, a, named_param(g, "gamma", i, 1, 1, 1, channels),
                                        named_param(g, "beta", i, 1, 1, 1, channels), GD_NONE, 32,
                                        1e-5f));
    case 4:
        return gd_type_of(g, a)->dim[1] == side ? gd_downsample(g, a) : gd_upsample(g, a);
    case 5:
        return gd_conv2d(g, a, named_param(g, "w", i, 32, channels, 3, 3),
                         named_param(g, "b", i, 1, 1, 1, 32), 1);
    case 6:
        return same ? gd_plus(g, a,
                              gd_conv2d(g, b, named_param(g, "w", i, channels, channels, 1, 1),
                                        GD_NONE, 1))
                    : a;
    case 7:
        return joins ? gd_concat(g, a, b) : gd_relu(g, a);
    default:
        return gd_plus_channel(g, a, gd_mean_pixels(g, gd_scaled(g, a, 0.25f)));
    }
}

static gd_val random_graph(fixture *f, uint32_t seed, int side)
{
    gd_val made[MAX_NODES + 1];
    int n = 1;

    fixture_init(f);
    rng_state = seed;
    made[0] = example_input(f->graph, 0, 1, side, side, 32);
    while (n <= MAX_NODES)
        made[n] = random_node(f->graph, made, n, n), n++;
    if (gd_graph_check(f->graph) != GD_OK)
        fail_msg("graph %u: %s", seed, gd_error());
    return made[MAX_NODES];
}

static float *run_random(uint32_t seed, bool optimised, bool keep_all, int64_t *count, int *steps)
{
    gd_val *outputs;
    float *result;
    int n = 1;
    fixture f;
    gd_val y = random_graph(&f, seed, 4);

    if (optimised)
        gd_graph_optimise(f.graph, &y, 1, false);
    outputs = malloc((size_t)(f.graph->n_value + 1) * sizeof *outputs);
    outputs[0] = y;
    for (int i = 0; keep_all && i < f.graph->n_node; i++)
        outputs[n++] = f.graph->node[i].out;
    fixture_plan(&f, outputs, n);
    gd_exec_poison(f.exec);
    fixture_run(&f);
    *count = fixture_count(&f, y);
    *steps = gd_plan_steps(f.plan);
    result = fixture_get(&f, y);
    free(outputs);
    fixture_free(&f);
    return result;
}

/* With every value an output nothing shares memory and nothing is written in place. */
static void sharing_memory_changes_no_bit(void **state)
{
    (void)state;
    for (uint32_t seed = 1; seed <= RANDOM_GRAPHS; seed++) {
        int64_t n, m;
        int steps;
        float *shared = run_random(seed, true, false, &n, &steps),
              *alone = run_random(seed, true, true, &m, &steps);
        assert_int_equal(n, m);
        if (memcmp(shared, alone, (size_t)n * sizeof *alone) != 0)
            fail_msg("graph %u: results differ when values share memory", seed);
        free(shared);
        free(alone);
    }
}

/* The result of a graph of 32x32 images, and how many waves its plan has with several steps */
static float *run_waves(uint32_t seed, int threads, int64_t *bytes, int *waves)
{
    const int before = gd_threads();
    fixture f;
    float *result;

    gd_set_threads(threads);
    gd_val y = random_graph(&f, seed, 32);
    gd_graph_optimise(f.graph, &y, 1, false);
    fixture_plan(&f, &y, 1);
    for (int i = 0; i < f.plan->n_step; i++)
        *waves += f.plan->step[i].parts > 1 && f.plan->step[i].part == 0;
    gd_exec_poison(f.exec);
    fixture_run(&f);
    *bytes = fixture_count(&f, y) * (int64_t)sizeof(float);
    result = fixture_get(&f, y);
    fixture_free(&f);
    gd_set_threads(before);
    return result;
}

static void steps_side_by_side_change_no_bit(void **state)
{
    static const int threads[] = { 2, 3, 5, 16 };
    int none = 0, waves[COUNT(threads)] = { 0 };

    (void)state;
    for (uint32_t seed = 1; seed <= RANDOM_GRAPHS / 3; seed++) {
        int64_t bytes;
        float *first = run_waves(seed, 1, &bytes, &none);
        for (int t = 0; t < COUNT(threads); t++) {
            float *result = run_waves(seed, threads[t], &bytes, &waves[t]);
            if (memcmp(result, first, (size_t)bytes) != 0)
                fail_msg("graph %u: results differ with %d threads", seed, threads[t]);
            free(result);
        }
        free(first);
    }
    print_message("waves with several steps: %d, %d, %d, %d\n", waves[0], waves[1], waves[2],
                  waves[3]);
    assert_int_equal(none, 0);
    for (int t = 0; t < COUNT(threads); t++)
        assert_true(waves[t] >= RANDOM_GRAPHS / 30);
}

/* Joined values lie where they go, but for one that is read afterwards. */
static void joined_values_are_parts(void **state)
{
    fixture f;

    (void)state;
    fixture_init(&f);
    gd_graph *g = f.graph;
    gd_val a = gd_silu(g, example_input(g, 0, 1, 4, 5, 32)),
           b = gd_silu(g, example_input(g, 1, 1, 4, 5, 16));
    gd_val first = gd_concat(g, a, b), c = gd_silu(g, first), second = gd_concat(g, a, c);
    gd_val outputs[] = { first, second };
    fixture_plan(&f, outputs, 2);
    const char *start = gd_exec_data(f.exec, first);
    if (gd_isa_used() >= GD_ISA_AVX512) {
        const char *end = gd_exec_data(f.exec, second);
        assert_ptr_not_equal(gd_exec_data(f.exec, a), start);
        assert_ptr_equal(gd_exec_data(f.exec, a), end);
        assert_ptr_equal(gd_exec_data(f.exec, c), end + 32 * 20 * sizeof(float));
        assert_ptr_not_equal(gd_exec_data(f.exec, b), start + 32 * 20 * sizeof(float));
    }
    fixture_free(&f);
}

static void fusion_keeps_the_result(void **state)
{
    int fused_steps_total = 0, plain_steps_total = 0;

    (void)state;
    for (uint32_t seed = 1; seed <= RANDOM_GRAPHS; seed++) {
        int64_t n, m;
        int fused_steps, plain_steps;
        double scale = 1e-30, worst = 0;
        float *fused = run_random(seed, true, false, &n, &fused_steps);
        float *plain = run_random(seed, false, false, &m, &plain_steps);
        for (int64_t i = 0; i < n; i++) {
            scale = fmax(scale, fabs(plain[i]));
            worst = fmax(worst, fabs((double)plain[i] - fused[i]));
        }
        if (!(worst <= 2e-5 * scale))
            fail_msg("graph %u: fused differs by %g of %g", seed, worst, scale);
        fused_steps_total += fused_steps;
        plain_steps_total += plain_steps;
        free(fused);
        free(plain);
    }
    assert_true(fused_steps_total < plain_steps_total * 3 / 4);
}

static void norm_silu_and_residual_become_two_nodes_less(void **state)
{
    fixture f;

    (void)state;
    fixture_init(&f);
    gd_graph *g = f.graph;
    gd_val x = example_input(g, 0, 1, 8, 8, 32);
    gd_val h = gd_silu(g, gd_group_norm(g, x, gd_param(g, "gamma", 1, 1, 1, 32),
                                        gd_param(g, "beta", 1, 1, 1, 32), GD_NONE, 32, 1e-5f));
    gd_val y = gd_plus(g, x, gd_conv2d(g, h, gd_param(g, "w", 32, 32, 3, 3), GD_NONE, 1));
    gd_graph_optimise(g, &y, 1, false);
    assert_int_equal(g->n_node, 2);
    assert_ptr_equal(g->node[0].op, &gd_op_norm);
    assert_int_equal(g->node[0].attr.act, GD_ACT_SILU);
    assert_ptr_equal(g->node[1].op, &gd_op_conv);
    assert_int_equal(g->node[1].in[3].id, x.id);
    assert_int_equal(g->node[1].out.id, y.id);
    fixture_free(&f);
}

/* bfloat16 operands, float32 sums: about 3 significant digits */
static void bf16_is_close(void **state)
{
    double norm = 0, error = 0;
    float *result[2];
    int64_t n = 0;

    (void)state;
    if (gd_isa_used() < GD_ISA_AVX512) {
        print_message("bf16 needs AVX-512: skipped\n");
        skip();
    }
    for (int bf16 = 0; bf16 < 2; bf16++) {
        fixture f;
        fixture_init(&f);
        gd_graph *g = f.graph;
        gd_val x = example_input(g, 0, 1, 16, 16, 64), y = x; /* fewer pixels stay float32 */
        for (int i = 0; i < 2; i++) {
            y = gd_silu(g,
                        gd_group_norm(g, y, named_param(g, "gamma", i, 1, 1, 1, 64),
                                      named_param(g, "beta", i, 1, 1, 1, 64), GD_NONE, 32, 1e-5f));
            y = gd_conv2d(g, y, named_param(g, "w", i, 64, 64, 3, 3), GD_NONE, 1);
        }
        gd_graph_optimise(g, &y, 1, bf16);
        fixture_plan(&f, &y, 1);
        fixture_run(&f);
        n = fixture_count(&f, y);
        result[bf16] = fixture_get(&f, y);
        fixture_free(&f);
    }
    for (int64_t i = 0; i < n; i++) {
        norm += (double)result[0][i] * result[0][i];
        error += ((double)result[1][i] - result[0][i]) * ((double)result[1][i] - result[0][i]);
    }
    assert_true(error > 0 && sqrt(error / norm) < 1e-2);
    free(result[0]);
    free(result[1]);
}

static void a_wrong_shape_is_reported_with_its_layer(void **state)
{
    fixture f;

    (void)state;
    fixture_init(&f);
    f.graph->scope = "input_blocks.3.0";
    gd_val x = example_input(f.graph, 0, 1, 8, 8, 32);
    gd_val bad = gd_conv2d(f.graph, x, gd_param(f.graph, "w", 32, 64, 3, 3), GD_NONE, 1);
    f.graph->scope = "later";
    gd_val later = gd_silu(f.graph, bad); /* poison spreads without a second report */
    assert_int_equal(later.id, 0);
    assert_int_equal(gd_graph_check(f.graph), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "input_blocks.3.0"));
    assert_non_null(strstr(gd_error(), "32x64x3x3"));
    fixture_free(&f);
}

static void probe_names_the_first_bad_layer(void **state)
{
    float x[16] = { 0 };
    fixture f;

    (void)state;
    fixture_init(&f);
    gd_val in = gd_input(f.graph, "x0", gd_act_type(1, 1, 1, 16), GD_PLACE_ACTIVATION);
    f.graph->scope = "first";
    gd_val a = gd_scaled(f.graph, in, 1.0f);
    f.graph->scope = "second";
    gd_val b = gd_scaled(f.graph, a, 1e38f);
    fixture_plan(&f, &b, 1);
    x[3] = 10.0f; /* finite, but 10 * 1e38 is not */
    gd_exec_put(f.exec, in, x);
    gd_exec_run(f.exec);
    assert_non_null(strstr(gd_exec_probe(f.exec), "second"));
    fixture_free(&f);
}

static void running_allocates_nothing(void **state)
{
    fixture f;
    uint64_t before;

    (void)state;
    gd_val y = random_graph(&f, 5, 4);
    fixture_plan(&f, &y, 1);
    fixture_run(&f);
    before = gd_allocation_count();
    for (int i = 0; i < 3; i++)
        gd_exec_run(f.exec);
    assert_int_equal(gd_allocation_count(), before);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sharing_memory_changes_no_bit),
        cmocka_unit_test(steps_side_by_side_change_no_bit),
        cmocka_unit_test(joined_values_are_parts),
        cmocka_unit_test(fusion_keeps_the_result),
        cmocka_unit_test(norm_silu_and_residual_become_two_nodes_less),
        cmocka_unit_test(bf16_is_close),
        cmocka_unit_test(a_wrong_shape_is_reported_with_its_layer),
        cmocka_unit_test(probe_names_the_first_bad_layer),
        cmocka_unit_test(running_allocates_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
