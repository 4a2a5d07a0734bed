/* SPDX-License-Identifier: MIT */
/* op_inpaint.c - y = m * x: unknown pixels are 0 in a measurement of the image's size. */
#include "restore/restore_private.h"

#include <string.h>

typedef struct state {
    uint8_t *mask; /* [h][w] */
} state;

static void apply(const gd_operator *op, const double *x, double *y)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        y[i] = s->mask[i % plane] ? x[i] : 0;
}

static void adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    (void)x;
    apply(op, w, g);
}

static void spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    const state *s = op->state;
    const int64_t plane = (int64_t)op->image.h * op->image.w;
    const double gain[2] = { f(ctx, 0), f(ctx, 1) };

    for (int64_t i = 0; i < gd_shape_count(op->image); i++)
        out[i] = gain[s->mask[i % plane]] * x[i];
}

const uint8_t *gd_operator_mask(const gd_operator *op)
{
    return op->kind == &gd_kind_inpaint ? ((const state *)op->state)->mask : NULL;
}

gd_status gd_op_inpaint(gd_operator **out, gd_shape image, const uint8_t *mask)
{
    const size_t plane = (size_t)image.h * (size_t)image.w;
    gd_status s;

    GD_TRY(gd_operator_make(out, &gd_kind_inpaint, image, image, sizeof(state)));
    state *st = (*out)->state;
    s = gd_operator_alloc(&st->mask, *out, plane);
    for (size_t i = 0; s == GD_OK && i < plane; i++)
        st->mask[i] = mask[i] != 0;
    return s;
}

/* inpaint:FILE, inpaint:box=N[:top=:left=], inpaint:top=:left=:height=:width=, inpaint:random=F */
static gd_status fill_mask(uint8_t *mask, gd_words *words, gd_shape image, uint64_t seed)
{
    const int h = image.h, w = image.w;
    int top, left, box_h, box_w, box;
    double fraction;

    if (words->value)
        return gd_mask_read(mask, h, w, words->value);
    GD_TRY(gd_words_double(words, "random", 0, 0, 1, &fraction));
    GD_TRY(gd_words_int(words, "box", 0, 1, GD_MIN(h, w), &box));
    GD_TRY(gd_words_int(words, "height", box, 1, h, &box_h));
    GD_TRY(gd_words_int(words, "width", box, 1, w, &box_w));
    if (fraction > 0) {
        gd_mask_random(mask, h, w, fraction, seed);
        return GD_OK;
    }
    if (box_h == 0 || box_w == 0)
        return gd_fail(GD_EUSAGE, "needs a mask: inpaint:mask.png, inpaint:box=64, "
                                  "inpaint:top=8:left=8:height=16:width=16 or inpaint:random=0.7");
    GD_TRY(gd_words_int(words, "top", (h - box_h) / 2, 0, h, &top));
    GD_TRY(gd_words_int(words, "left", (w - box_w) / 2, 0, w, &left));
    return gd_mask_box(mask, h, w, top, left, box_h, box_w);
}

static gd_status parse(gd_operator **out, gd_words *words, gd_shape image, uint64_t seed)
{
    void *mask;
    gd_status s;

    GD_TRY(gd_block_make(&mask, (size_t)image.h * (size_t)image.w, "mask"));
    s = fill_mask(mask, words, image, seed);
    if (s == GD_OK)
        s = gd_op_inpaint(out, image, mask);
    gd_block_free(mask);
    return s;
}

const gd_operator_kind gd_kind_inpaint = {
    "inpaint",
    "inpaint:MASK.png | inpaint:box=N[:top=T:left=L] | inpaint:random=FRACTION",
    "unknown pixels: a mask (white is known), a box, a random share",
    .linear = true,
    .per_channel = true,
    .parse = parse,
    .apply = apply,
    .adjoint = adjoint,
    .pinv = apply,
    .spectral = spectral
};
