/* SPDX-License-Identifier: MIT */
/* op_cubic.c - bicubic reduction as three families of programs do it: MATLAB's imresize (mirror),
 * Pillow and torch's antialias (renorm), OpenCV and torch without antialias (clamp).
 * Source: Keys 1981. */
#include "restore/restore_private.h"

#include <math.h>
#include <string.h>

static double keys(double x, double a)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    if (x < 2)
        return a * (((x - 5) * x + 8) * x - 4);
    return 0;
}

/* Half-sample mirror: ... 1 0 | 0 1 ... n-1 | n-1 n-2 ... */
static int mirror(int j, int n)
{
    j %= 2 * n;
    j += j < 0 ? 2 * n : 0;
    return j < n ? j : 2 * n - 1 - j;
}

void gd_cubic_matrix(double *weights, int m, int n, const gd_cubic *cubic)
{
    const double step = (double)n / m, width = cubic->antialias ? fmax(step, 1) : 1;
    const int reach = (int)ceil(2 * width) + 1;

    memset(weights, 0, (size_t)m * (size_t)n * sizeof *weights);
    for (int i = 0; i < m; i++) {
        double *row = weights + (int64_t)i * n, sum = 0;
        const double centre = (i + 0.5) * step - 0.5;
        for (int j = (int)floor(centre) - reach; j <= (int)ceil(centre) + reach; j++) {
            const bool inside = j >= 0 && j < n;
            const double k = keys((j - centre) / width, cubic->a);
            if (!inside && cubic->edge == GD_EDGE_RENORM)
                continue;
            row[cubic->edge == GD_EDGE_MIRROR ? mirror(j, n) : GD_MIN(GD_MAX(j, 0), n - 1)] += k;
            sum += k;
        }
        for (int j = 0; j < n; j++)
            row[j] /= sum;
    }
}

static void apply(const gd_operator *op, const double *x, double *y)
{
    gd_separable_apply(op->state, op->image.c, x, y);
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    gd_separable_adjoint(op->state, op->image.c, w, g);
}

static void pinv(const gd_operator *op, const double *y, double *x)
{
    gd_separable_pinv(op->state, op->image.c, y, x);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    gd_separable_spectral(op->state, op->image.c, f, ctx, x, out);
}

static gd_status make_axes(gd_operator *op, const gd_cubic *cubic)
{
    const int h = op->image.h, w = op->image.w, side = GD_MAX(h, w);
    gd_separable *s = op->state;
    void *weights;
    gd_status status;

    GD_TRY(gd_block_make(&weights, (size_t)side * (size_t)side * sizeof(double), "operator"));
    gd_cubic_matrix(weights, op->measurement.h, h, cubic);
    status = gd_axis_make(&s->h, op, weights, op->measurement.h, h);
    gd_cubic_matrix(weights, op->measurement.w, w, cubic);
    if (status == GD_OK)
        status = gd_axis_make(&s->w, op, weights, op->measurement.w, w);
    gd_block_free(weights);
    return status == GD_OK ? gd_separable_make(s, op, cubic->sv_cut, 0) : status;
}

gd_status gd_op_cubic_down(gd_operator **out, gd_shape image, const gd_cubic *cubic)
{
    const gd_shape m = { image.c, image.h / cubic->factor, image.w / cubic->factor };

    if (image.h % cubic->factor != 0 || image.w % cubic->factor != 0)
        return gd_fail(GD_EUSAGE, "factor %d does not divide an image of %dx%d", cubic->factor,
                       image.w, image.h);
    GD_TRY(gd_operator_make(out, &gd_kind_cubic_down, image, m, sizeof(gd_separable)));
    return make_axes(*out, cubic);
}

static gd_status factor_of(int *out, gd_words *words)
{
    return gd_words_value_int(words, 1, 64, out);
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    static const char *const edges[] = { "mirror", "renorm", "clamp" };
    gd_cubic c = { 0 };
    int edge;

    (void)seed;
    GD_TRY(factor_of(&c.factor, words));
    GD_TRY(gd_words_choice(words, "edge", edges, COUNT(edges), &edge));
    c.edge = (gd_edge)edge;
    c.antialias = c.edge != GD_EDGE_CLAMP;
    GD_TRY(gd_words_double(words, "a", c.antialias ? -0.5 : -0.75, -2, 0, &c.a));
    GD_TRY(gd_words_double(words, "sv_cut", 0.03, 0, 1, &c.sv_cut)); /* DDRM's and DDNM's */
    return gd_op_cubic_down(out, image, &c);
}

const gd_operator_kind gd_kind_cubic_down = {
    "cubic_down",
    "cubic_down:FACTOR[:edge=mirror|renorm|clamp]",
    "bicubic reduction as MATLAB (mirror), Pillow (renorm) or OpenCV (clamp) does it",
    .linear = true,
    .per_channel = true,
    .parse = parse,
    .factor = factor_of,
    .apply = apply,
    .adjoint = adjoint,
    .pinv = pinv,
    .spectral = spectral
};
