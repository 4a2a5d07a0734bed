/* SPDX-License-Identifier: MIT */
/* kind_restore.c - measurement operators, kernels, noise, sequences and metrics of restoration. */
#include "restore_case.h"

#include <math.h>
#include <string.h>

/* ---- operators ---- */

static double dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static bool has(golden *g, const char *name)
{
    return golden_find(g, "out.%s", name) || golden_find(g, "out64.%s", name);
}

/* <A x, w> = <x, A^T w>, and both as stored */
static void check_adjoint(golden *g, double left, double right, double scale)
{
    json_t *said = json_object_get(g->json, "adjoint");

    if (!said)
        return;
    golden_record(g, "adjoint", fabs(left - right) / (1e-12 * scale), fabs(left - right) / scale);
    golden_record(g, "adjoint.Ax_w",
                  fabs(left - restore_number(said, "Ax_w", NAN)) / (1e-6 * scale), 0);
    golden_record(g, "adjoint.x_Atw",
                  fabs(right - restore_number(said, "x_Atw", NAN)) / (1e-6 * scale), 0);
}

void golden_restore_operator(golden *g)
{
    const gd_shape image = restore_shape(json_object_get(g->config, "shape"));
    gd_operator *op = restore_operator(g, json_object_get(g->config, "operator"), image);
    double *x = golden_f64(g, "in.x"), *w = golden_f64(g, "in.w");

    if (!op || !x || !w) {
        golden_fail(g, "no operator, in.x or in.w");
        gd_operator_free(op);
        return;
    }
    const int64_t n = gd_shape_count(image), m = gd_shape_count(gd_operator_measurement(op));
    double *y = golden_alloc(g, (size_t)m * sizeof *y),
           *out = golden_alloc(g, (size_t)n * sizeof *y);
    gd_operator_apply(op, x, y);
    restore_compare(g, "Ax", y, m);
    if (has(g, "Atw")) {
        gd_operator_adjoint(op, x, w, out);
        restore_compare(g, "Atw", out, n);
        check_adjoint(g, dot(y, w, m), dot(x, out, n), sqrt(dot(y, y, m) * dot(w, w, m)));
    }
    if (has(g, "pinv_w")) {
        gd_operator_pinv(op, w, out);
        restore_compare(g, "pinv_w", out, n);
        gd_operator_pinv(op, y, out);
        restore_compare(g, "pinv_Ax", out, n);
    }
    gd_operator_free(op);
}

/* ---- kernels and noise ---- */

void golden_restore_kernel(golden *g)
{
    json_t *one;
    size_t i;
    char name[40];

    json_array_foreach(json_object_get(g->config, "kernels"), i, one)
    {
        const int size = golden_int(one, "size", 1);
        double *kernel = golden_alloc(g, (size_t)size * (size_t)size * sizeof *kernel);
        gd_kernel_gauss(kernel, size, restore_number(one, "sigma", 1));
        snprintf(name, sizeof name, "kernel.%zu", i);
        restore_compare(g, name, kernel, (int64_t)size * size);
    }
}

void golden_restore_noise(golden *g)
{
    const double rate = restore_number(g->config, "rate", 1);
    int64_t n;
    const float *lambda = golden_f32(g, &n, "in.lambda");
    const double *x = golden_f64(g, "in.x"), *counts = golden_f64(g, "in.counts");
    double *y = golden_alloc(g, (size_t)n * sizeof *y);

    if (!x || !counts || !lambda) {
        golden_fail(g, "no in.x, in.counts or in.lambda");
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const double mean = gd_poisson_mean(x[i], rate);
        y[i] = gd_poisson_value(counts[i], rate);
        golden_record(g, "lambda", fabs(mean - lambda[i]) / (3e-6 * 255 * rate), 0);
    }
    restore_compare(g, "y", y, n);
}

/* ---- sequences ---- */

static void compare_ints(golden *g, const char *name, const int *found, int count)
{
    int64_t *wide = golden_alloc(g, (size_t)count * sizeof *wide);

    for (int i = 0; i < count; i++)
        wide[i] = found[i];
    golden_compare_bytes(g, name, wide, (size_t)count * sizeof *wide);
}

static void jump(golden *g, json_t *one, const char *name)
{
    int *list, count, calls = 0;

    if (gd_jump_list(&list, &count, golden_int(one, "T", 0), golden_int(one, "length", 1),
                     golden_int(one, "repeat", 1), g->mem) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    compare_ints(g, name, list, count);
    for (int i = 0; i + 1 < count; i++)
        calls += list[i + 1] < list[i];
    if (calls != golden_int(one, "calls", -1))
        golden_fail(g, "%s: %d calls", name, calls);
}

static void quadratic(golden *g, json_t *one, const char *name)
{
    const int n = golden_int(one, "N", 0);
    int *steps = golden_alloc(g, (size_t)n * sizeof *steps);

    gd_quadratic_steps(steps, n, golden_int(one, "T", 1000));
    compare_ints(g, name, steps, n);
}

static void poly7(golden *g, json_t *one, const char *name)
{
    const int n = golden_int(one, "N", 0);
    double *sigma = golden_alloc(g, ((size_t)n + 1) * sizeof *sigma);

    for (int i = 0; i <= n; i++)
        sigma[i] = gd_poly7_sigma(i, n, restore_number(one, "sigma_max", 0),
                                  restore_number(one, "sigma_min", 0));
    restore_compare(g, strchr(name, '.') + 1, sigma, n + 1);
}

static void times(golden *g)
{
    static const char *const kinds[] = { "linear", "cosine" };
    const gd_array *a = golden_find(g, "in.sigma");
    const double *sigma = a ? golden_f64(g, "in.sigma") : NULL;
    const int64_t n = a ? gd_array_count(a) : 0;
    double *t = golden_alloc(g, (size_t)n * sizeof *t);
    char name[60];
    gd_schedule *s;

    for (int64_t i = 0; i < n; i++)
        t[i] = gd_time_continuous(sigma[i]);
    if (has(g, "t.vp_continuous"))
        restore_compare(g, "t.vp_continuous", t, n);
    for (int k = 0; k < COUNT(kinds); k++) {
        snprintf(name, sizeof name, "t.interp_%s", kinds[k]);
        if (!has(g, name) || gd_schedule_make(&s, kinds[k], 1000, NULL, false) != GD_OK)
            continue;
        for (int64_t i = 0; i < n; i++)
            t[i] = gd_time_interpolated(sigma[i], s->alpha_bar, s->n);
        restore_compare(g, name, t, n);
        gd_schedule_free(s);
    }
}

void golden_restore_schedule(golden *g)
{
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(g->config, "lists"), i, one)
    {
        const char *kind = json_string_value(json_object_get(one, "kind")),
                   *name = json_string_value(json_object_get(one, "name"));
        if (kind && name && strcmp(kind, "jump") == 0)
            jump(g, one, name);
        else if (kind && name && strcmp(kind, "quad") == 0)
            quadratic(g, one, name);
        else if (kind && name && strcmp(kind, "poly7") == 0)
            poly7(g, one, name);
        else
            golden_fail(g, "a list of kind %s", kind ? kind : "(none)");
    }
    times(g);
}

/* ---- metrics ---- */

static void pair(golden *g, json_t *said, size_t i)
{
    static const struct {
        const char *name;
        gd_ssim kind;
    } kinds[] = { { "ssim", { 0 } },
                  { "ssim_uniform", { .uniform = true } },
                  { "ssim_255", { 0 } } }; /* the same images with another range */
    const gd_array *a = golden_find(g, "in.a.%zu", i), *b = golden_find(g, "in.b.%zu", i);

    if (!a || !b || a->rank != 3) {
        golden_fail(g, "no pair %zu", i);
        return;
    }
    const gd_shape shape = { (int)a->dim[0], (int)a->dim[1], (int)a->dim[2] };
    const double *x = golden_f64(g, a->name), *y = golden_f64(g, b->name);
    const double psnr = gd_psnr(x, y, gd_shape_count(shape));
    golden_record(g, "psnr", fabs(psnr - restore_number(said, "psnr", NAN)) / 1e-6, 0);
    for (int k = 0; k < COUNT(kinds); k++) {
        double found;
        if (!json_object_get(said, kinds[k].name))
            continue;
        if (gd_ssim_of(&found, x, y, shape, kinds[k].kind) != GD_OK) {
            golden_fail(g, "%s", gd_error());
            return;
        }
        golden_record(g, kinds[k].name,
                      fabs(found - restore_number(said, kinds[k].name, NAN)) / 1e-6, 0);
    }
}

void golden_restore_metric(golden *g)
{
    const gd_array *samples = golden_find(g, "in.samples");
    json_t *said;
    size_t i;

    json_array_foreach(json_object_get(g->config, "pairs"), i, said) pair(g, said, i);
    if (!samples)
        return;
    const int count = (int)samples->dim[0];
    const int64_t n = gd_array_count(samples) / count;
    double *mean = golden_alloc(g, (size_t)n * sizeof *mean),
           *deviation = golden_alloc(g, (size_t)n * sizeof *mean);
    gd_ensemble(mean, deviation, golden_f64(g, "in.samples"), count, n);
    restore_compare(g, "mean", mean, n);
    restore_compare(g, "std", deviation, n);
}
