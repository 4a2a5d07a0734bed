/* SPDX-License-Identifier: MIT */
/* lint_image.c - what lint keeps of an image. */
#include "eval/lint.h"

#include <math.h>
#include <stdlib.h>

enum { THUMB = GD_LINT_THUMB, PHASES = GD_LINT_PHASES, LEAST_SIDE = 8, MOST_STEP = 3 * 8 };

/* [height][width] of the mean of the channels, 0 to 765 or 255 times 3 */
static void to_grey(int16_t *out, const gd_image *image)
{
    const int64_t n = (int64_t)image->width * image->height;
    const uint8_t *p = image->pixels;

    for (int64_t i = 0; i < n; i++)
        out[i] =
            (int16_t)(image->channels == 1 ? 3 * p[i] : p[3 * i] + p[3 * i + 1] + p[3 * i + 2]);
}

static void look_at_thumb(gd_lint_image *out, const int16_t *grey, int height, int width)
{
    for (int y = 0; y < THUMB; y++)
        for (int x = 0; x < THUMB; x++) {
            const int top = y * height / THUMB, left = x * width / THUMB;
            const int bottom = GD_MAX((y + 1) * height / THUMB, top + 1),
                      right = GD_MAX((x + 1) * width / THUMB, left + 1);
            int64_t sum = 0;
            for (int i = top; i < bottom; i++)
                for (int j = left; j < right; j++)
                    sum += grey[(int64_t)i * width + j];
            out->thumb[y * THUMB + x] = (uint8_t)(sum / (3 * (bottom - top) * (right - left)));
        }
    for (int k = 0; k < THUMB * THUMB; k++) {
        const int right = k / THUMB * THUMB + (k + 1) % THUMB;
        if (out->thumb[k] > out->thumb[right])
            out->sign |= (uint64_t)1 << k;
    }
}

static void look_at_levels(gd_lint_image *out, gd_lint_sums *sums, const gd_image *image)
{
    const int64_t n = (int64_t)image->width * image->height * image->channels;
    int64_t level[256] = { 0 };

    for (int64_t i = 0; i < n; i++)
        level[image->pixels[i]]++;
    out->lowest = 255;
    for (int v = 0; v < 256; v++) {
        if (level[v] == 0)
            continue;
        out->lowest = GD_MIN(out->lowest, (uint8_t)v);
        out->highest = (uint8_t)v;
        if (sums)
            sums->level[v] += (uint64_t)level[v];
    }
}

static void look_at_channels(gd_lint_image *out, gd_lint_sums *sums, const gd_image *image)
{
    const int64_t n = (int64_t)image->width * image->height;
    int64_t sum[3] = { 0 }, square[3] = { 0 };
    bool grey = true;

    out->grey = true;
    if (image->channels != 3)
        return;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *p = image->pixels + 3 * i;
        grey &= p[0] == p[1] && p[1] == p[2];
        for (int c = 0; c < 3; c++) {
            sum[c] += p[c];
            square[c] += p[c] * p[c];
        }
    }
    out->grey = grey;
    for (int c = 0; c < 3 && sums; c++) {
        sums->channel[c] += (double)sum[c];
        sums->square[c] += (double)square[c];
    }
    if (sums)
        sums->pixels += (double)n;
}

/* Second differences along x (step 1) or y (step width) at distances 1 and 2 */
typedef struct detail {
    double fine, coarse, phase[PHASES];
    int64_t equal[2], pairs[2];
} detail;

static void look_along(detail *d, const int16_t *grey, int lines, int length, int64_t line,
                       int64_t step)
{
    for (int l = 0; l < lines; l++) {
        const int16_t *at = grey + l * line;
        for (int i = 0; i + 1 < length; i++) {
            d->equal[i & 1] += at[i * step] == at[(i + 1) * step];
            d->pairs[i & 1]++;
        }
        for (int i = 2; i + 2 < length; i++) {
            const int here = 2 * at[i * step];
            const int one = here - at[(i - 1) * step] - at[(i + 1) * step],
                      two = here - at[(i - 2) * step] - at[(i + 2) * step];
            d->fine += one * one;
            d->coarse += two * two;
        }
        /* the step between i and i + 1, less that to both of its sides */
        for (int i = 1; i + 2 < length; i++)
            d->phase[i % PHASES] += fmin(abs(at[(i - 1) * step] - 3 * at[i * step] +
                                             3 * at[(i + 1) * step] - at[(i + 2) * step]),
                                         MOST_STEP);
    }
}

/* How many of the steps 1 to length - 3 are at this phase */
static int steps_of(int length, int phase)
{
    int n = 0;

    for (int i = 1; i + 2 < length; i++)
        n += i % PHASES == phase;
    return GD_MAX(n, 1);
}

static void look_at_detail(gd_lint_image *out, gd_lint_sums *sums, const int16_t *grey, int height,
                           int width)
{
    detail d[2] = { { 0 } };

    if (GD_MIN(height, width) < LEAST_SIDE) {
        out->fine = 1;
        return;
    }
    look_along(&d[0], grey, height, width, width, 1);
    look_along(&d[1], grey, width, height, 1, width);
    const double coarse = d[0].coarse + d[1].coarse;
    out->fine = coarse > 0 ? (float)((d[0].fine + d[1].fine) / coarse) : 1;
    for (int k = 0; k < 2; k++)
        out->pairs[k] =
            (float)(d[0].equal[k] + d[1].equal[k]) / (float)(d[0].pairs[k] + d[1].pairs[k]);
    for (int a = 0; a < 2 && sums && !out->lossy; a++)
        for (int k = 0; k < PHASES; k++)
            sums->phase[a][k] += d[a].phase[k] / (double)steps_of(a == 0 ? width : height, k);
}

static float deviation_of(const int16_t *grey, int64_t n)
{
    double sum = 0, square = 0;

    for (int64_t i = 0; i < n; i++) {
        sum += grey[i];
        square += grey[i] * grey[i];
    }
    sum /= (double)n;
    return (float)(sqrt(fmax(square / (double)n - sum * sum, 0)) / 3);
}

/* One value all around, and another one inside */
static bool has_border(const int16_t *grey, int height, int width)
{
    const int deep = GD_MAX(GD_MIN(height, width) / 16, 1);

    if (GD_MIN(height, width) < LEAST_SIDE)
        return false;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            const bool edge = y < deep || x < deep || y >= height - deep || x >= width - deep;
            if (edge && grey[(int64_t)y * width + x] != grey[0])
                return false;
        }
    return true;
}

static gd_status hash(char text[33], const gd_image *image)
{
    const int size[3] = { image->width, image->height, image->channels };
    gd_hasher *h;

    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, size, sizeof size);
    gd_hasher_add(h, image->pixels, (size_t)size[0] * (size_t)size[1] * (size_t)size[2]);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    return GD_OK;
}

gd_status gd_lint_look(gd_lint_image *out, gd_lint_sums *sums, const gd_image *image)
{
    const size_t n = (size_t)image->width * (size_t)image->height;
    int16_t *grey;

    *out = (gd_lint_image){ .width = image->width,
                            .height = image->height,
                            .alpha = image->had_alpha,
                            .lossy = image->lossy };
    GD_TRY(hash(out->hash, image));
    GD_TRY(gd_block_make(&grey, n * sizeof *grey, "image"));
    to_grey(grey, image);
    look_at_thumb(out, grey, image->height, image->width);
    look_at_levels(out, sums, image);
    look_at_channels(out, sums, image);
    look_at_detail(out, sums, grey, image->height, image->width);
    out->deviation = deviation_of(grey, (int64_t)n);
    out->border = out->deviation > 0 && has_border(grey, image->height, image->width);
    gd_block_free(grey);
    return GD_OK;
}
