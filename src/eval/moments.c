/* SPDX-License-Identifier: MIT */
/* moments.c - mean and covariance of rows that come one after another.
 *
 * Rows are gathered into chunks of a fixed size, whatever the sizes they come in, shifted by the
 * first chunk's mean (so that sums of squares do not cancel) and added in double, chunk after chunk
 * in order: the bits depend on the rows alone. */
#include "eval/eval.h"

#include "cpu/linear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_ROWS = 256, TILE = 256 };

struct gd_moments {
    int width, pending; /* rows in the chunk */
    int64_t count;
    bool shifted, bad; /* a value was not finite */
    double *shift;     /* [width] the first chunk's mean */
    double *sum;       /* [width] of row - shift */
    double *products;  /* [width][width], tiles on and above the diagonal */
    double *chunk;     /* [CHUNK_ROWS][width] rows, until they are flushed */
};

void gd_statistics_free(gd_statistics *s)
{
    gd_block_free(s->mean);
    gd_block_free(s->covariance);
    *s = (gd_statistics){ 0 };
}

static gd_status make_blocks(gd_moments *m)
{
    const size_t w = (size_t)m->width, row = w * sizeof(double);

    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(&m->shift, row, "mean"));
    GD_TRY(gd_block_make(&m->sum, row, "mean"));
    GD_TRY(gd_block_make(&m->products, w * row, "covariance"));
    return gd_block_make(&m->chunk, CHUNK_ROWS * row, "covariance");
}

gd_status gd_moments_make(gd_moments **out, int width)
{
    gd_moments *m = calloc(1, sizeof *m);
    gd_status s;

    if (!m)
        return gd_fail(GD_ENOMEM, "statistics: out of memory");
    m->width = width;
    s = make_blocks(m);
    if (s != GD_OK) {
        gd_moments_free(m);
        return s;
    }
    *out = m;
    return GD_OK;
}

void gd_moments_free(gd_moments *m)
{
    if (!m)
        return;
    gd_block_free(m->shift);
    gd_block_free(m->sum);
    gd_block_free(m->products);
    gd_block_free(m->chunk);
    free(m);
}

static int tiles(const gd_moments *m)
{
    return (m->width + TILE - 1) / TILE;
}

/* Tile t of the upper triangle of tiles, row by row */
static void add_tile(void *ctx, int64_t t)
{
    const gd_moments *m = ctx;
    int row = 0;

    while (t >= tiles(m) - row)
        t -= tiles(m) - row++;
    const int i = row * TILE, j = (row + (int)t) * TILE;
    gd_outer_add(m->products + (int64_t)i * m->width + j, m->width, m->chunk + i, m->width,
                 m->chunk + j, m->width, GD_MIN(TILE, m->width - i), GD_MIN(TILE, m->width - j),
                 m->pending);
}

static void choose_shift(gd_moments *m)
{
    for (int r = 0; r < m->pending; r++)
        for (int i = 0; i < m->width; i++)
            m->shift[i] += m->chunk[(int64_t)r * m->width + i] / m->pending;
    m->shifted = true;
}

static void flush(gd_moments *m)
{
    if (m->pending == 0)
        return;
    if (!m->shifted)
        choose_shift(m);
    for (int r = 0; r < m->pending; r++)
        for (int i = 0; i < m->width; i++)
            m->sum[i] += m->chunk[(int64_t)r * m->width + i] -= m->shift[i];
    gd_par((int64_t)tiles(m) * (tiles(m) + 1) / 2, add_tile, m);
    m->pending = 0;
}

void gd_moments_add(gd_moments *m, const float *rows, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        const float *row = rows + r * m->width;
        double *to = m->chunk + (int64_t)m->pending * m->width;

        for (int i = 0; i < m->width; i++) {
            to[i] = row[i];
            m->bad |= !isfinite(row[i]);
        }
        m->count++;
        if (++m->pending == CHUNK_ROWS)
            flush(m);
    }
}

gd_status gd_moments_look(const gd_moments *m, gd_statistics *out)
{
    const size_t w = (size_t)m->width, row = w * sizeof(double);
    gd_moments *copy;
    gd_status s;

    GD_TRY(gd_moments_make(&copy, m->width));
    copy->pending = m->pending;
    copy->count = m->count;
    copy->shifted = m->shifted;
    copy->bad = m->bad;
    memcpy(copy->shift, m->shift, row);
    memcpy(copy->sum, m->sum, row);
    memcpy(copy->products, m->products, w * row);
    memcpy(copy->chunk, m->chunk, (size_t)m->pending * row);
    s = gd_moments_finish(copy, out);
    gd_moments_free(copy);
    return s;
}

gd_status gd_moments_finish(gd_moments *m, gd_statistics *out)
{
    const double n = (double)m->count;
    const int w = m->width;

    if (m->count < 2)
        return gd_fail(GD_EUSAGE, "a covariance needs 2 images or more, there are %lld",
                       (long long)m->count);
    if (m->bad)
        return gd_fail(GD_EFAILED, "a feature is not finite");
    flush(m);
    for (int i = 0; i < w; i++)
        for (int j = i; j < w; j++) {
            double *upper = &m->products[(int64_t)i * w + j];
            *upper = (*upper - m->sum[i] * m->sum[j] / n) / (n - 1);
            m->products[(int64_t)j * w + i] = *upper;
        }
    for (int i = 0; i < w; i++)
        m->shift[i] += m->sum[i] / n;
    *out = (gd_statistics){ w, m->count, m->shift, m->products };
    m->shift = m->products = NULL;
    return GD_OK;
}
