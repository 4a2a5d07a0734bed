/* SPDX-License-Identifier: MIT */
/* Every operation's examples through the generic tests: gradients against finite differences,
 * threads, stale memory. */
#include "fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

static gd_val build_example(fixture *f, const gd_op *op, int k)
{
    fixture_init(f);
    gd_val y = op->example(f->graph, k);
    fixture_find_leaves(f);
    if (gd_graph_check(f->graph) != GD_OK)
        fail_msg("%s example %d: %s", op->name, k, gd_error());
    return y;
}

/* sum of y * dy with dy from the example's own random input "dy" */
static double loss(const gd_op *op, int k, double shift)
{
    fixture f;
    gd_val y = build_example(&f, op, k);
    double sum = 0;
    float *out, *dy;

    fixture_shift = shift;
    fixture_plan(&f, &y, 1);
    fixture_run(&f);
    fixture_shift = 0;
    out = fixture_get(&f, y);
    dy = malloc((size_t)fixture_count(&f, y) * sizeof *dy);
    gd_val dy_input = gd_input(f.graph, "dy", *gd_type_of(f.graph, y), GD_PLACE_ACTIVATION);
    fixture_value(&f, dy_input, dy);
    for (int64_t i = 0; i < fixture_count(&f, y); i++)
        sum += (double)out[i] * dy[i];
    free(out);
    free(dy);
    fixture_free(&f);
    return sum;
}

/* The example with the gradients of all its leaves appended */
static int build_gradients(fixture *f, const gd_op *op, int k, gd_val *gradient)
{
    gd_val y = build_example(f, op, k);
    gd_type type = *gd_type_of(f->graph, y);
    int n = f->n_leaf;

    gd_graph_optimise(f->graph, &y, 1, false);
    gd_val dy = gd_input(f->graph, "dy", type, GD_PLACE_ACTIVATION);
    gd_gradient(f->graph, y, dy, f->leaf, gradient, n);
    if (gd_graph_check(f->graph) != GD_OK)
        fail_msg("%s example %d: %s", op->name, k, gd_error());
    return n;
}

static double directional_derivative(const gd_op *op, int k, double *scale)
{
    gd_val gradient[MAX_LEAVES];
    fixture f;
    int n = build_gradients(&f, op, k, gradient);
    double sum = 0;

    *scale = 0;
    fixture_plan(&f, gradient, n);
    fixture_run(&f);
    for (int i = 0; i < n; i++) {
        if (!gradient[i].id)
            continue;
        int64_t count = fixture_count(&f, f.leaf[i]);
        float *g = fixture_get(&f, gradient[i]), *d = malloc((size_t)count * sizeof *d);
        assert_int_equal(count, fixture_count(&f, gradient[i]));
        fixture_direction(&f, f.leaf[i], d);
        for (int64_t j = 0; j < count; j++) {
            sum += (double)g[j] * d[j];
            *scale += fabs((double)g[j] * d[j]);
        }
        free(g);
        free(d);
    }
    fixture_free(&f);
    return sum;
}

static bool differentiable(const gd_op *op)
{
    return op->vjp != NULL;
}

/* Central difference along one random direction of all inputs and parameters together; fourth
 * order, so that the step may be large against float32 rounding. */
static void gradients_equal_finite_differences(void **state)
{
    const double h = 0.02;

    (void)state;
    for (int i = 0; i < gd_n_ops; i++)
        for (int k = 0; k < gd_ops[i]->n_examples; k++) {
            const gd_op *op = gd_ops[i];
            double scale;
            if (!differentiable(op))
                continue;
            double expected = (8 * (loss(op, k, h) - loss(op, k, -h)) -
                               (loss(op, k, 2 * h) - loss(op, k, -2 * h))) /
                              (12 * h);
            double found = directional_derivative(op, k, &scale);
            if (fabs(expected - found) > 3e-4 * scale + 1e-6)
                fail_msg("%s example %d: finite difference %.8g, gradient %.8g (scale %.3g)",
                         op->name, k, expected, found, scale);
        }
}

/* No op is left out: each stands in some example or in its gradient. */
static void every_op_is_exercised(void **state)
{
    bool seen[256] = { false };

    (void)state;
    for (int i = 0; i < gd_n_ops; i++)
        for (int k = 0; k < gd_ops[i]->n_examples; k++) {
            gd_val gradient[MAX_LEAVES];
            fixture f;
            if (differentiable(gd_ops[i]))
                build_gradients(&f, gd_ops[i], k, gradient);
            else
                build_example(&f, gd_ops[i], k);
            for (int n = 0; n < f.graph->n_node; n++)
                for (int o = 0; o < gd_n_ops; o++)
                    seen[o] |= f.graph->node[n].op == gd_ops[o];
            fixture_free(&f);
        }
    for (int o = 0; o < gd_n_ops; o++)
        if (!seen[o])
            fail_msg("%s is in no example", gd_ops[o]->name);
}

/* Values and gradients of one example, side by side in one malloc'ed array */
static float *all_results(const gd_op *op, int k, bool poisoned, int64_t *count)
{
    gd_val out[MAX_LEAVES + 1];
    fixture f;
    float *all = NULL;
    int n = 0;

    if (differentiable(op))
        n = build_gradients(&f, op, k, out);
    else
        out[n++] = build_example(&f, op, k);
    fixture_plan(&f, out, n);
    if (poisoned)
        gd_exec_poison(f.exec);
    fixture_run(&f);
    *count = 0;
    for (int i = 0; i < n; i++) {
        if (!out[i].id)
            continue;
        int64_t c = fixture_count(&f, out[i]);
        float *part = fixture_get(&f, out[i]);
        all = realloc(all, (size_t)(*count + c) * sizeof *all);
        memcpy(all + *count, part, (size_t)c * sizeof *all);
        *count += c;
        free(part);
    }
    fixture_free(&f);
    return all;
}

static void assert_same_bits(const gd_op *op, int k, const float *a, const float *b, int64_t n,
                             const char *what)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof *a) != 0)
            fail_msg("%s example %d, %s: element %lld is %.9g, was %.9g", op->name, k, what,
                     (long long)i, b[i], a[i]);
}

static void each_example(void (*test)(const gd_op *op, int k))
{
    for (int i = 0; i < gd_n_ops; i++)
        for (int k = 0; k < gd_ops[i]->n_examples; k++)
            test(gd_ops[i], k);
}

static void same_for_threads(const gd_op *op, int k)
{
    static const int threads[] = { 2, 3, 5, 16 };
    int64_t n, m;

    gd_set_threads(1);
    float *one = all_results(op, k, false, &n);
    for (int t = 0; t < COUNT(threads); t++) {
        gd_set_threads(threads[t]);
        float *many = all_results(op, k, false, &m);
        assert_int_equal(n, m);
        assert_same_bits(op, k, one, many, n, "more threads");
        free(many);
    }
    free(one);
}

static void thread_count_does_not_change_a_bit(void **state)
{
    (void)state;
    each_example(same_for_threads);
}

static void same_after_poison(const gd_op *op, int k)
{
    int64_t n, m;
    float *clean = all_results(op, k, false, &n), *poisoned = all_results(op, k, true, &m);

    assert_same_bits(op, k, clean, poisoned, n, "memory full of NaN before the run");
    free(clean);
    free(poisoned);
}

static void nothing_is_read_before_it_is_written(void **state)
{
    (void)state;
    each_example(same_after_poison);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_op_is_exercised),
        cmocka_unit_test(gradients_equal_finite_differences),
        cmocka_unit_test(thread_count_does_not_change_a_bit),
        cmocka_unit_test(nothing_is_read_before_it_is_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
