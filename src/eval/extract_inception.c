/* SPDX-License-Identifier: MIT */
/* extract_inception.c - features of the 2015 Inception network (nn/inception.h), from the input of
 * a dialect (eval/dialect.h). */
#include "eval/extract_private.h"

#include "nn/inception.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = GD_INCEPTION_SIDE, CHANNELS = 3 };

/* The network of prepared images, which extractors of several dialects run one after another */
typedef struct shared {
    gd_inception *net;
    int users;
} shared;

typedef struct inception {
    gd_extractor head;
    shared *shared;
    const gd_dialect *dialect;
    int height, width;
    float *pool, *spatial, *probabilities; /* block: [batch][..], one after another */
    float *x;          /* block: [batch][CHANNELS][SIDE][SIDE]; NULL: the network resizes */
    gd_status *status; /* [batch] of the inputs */
    int batch;
} inception;

const gd_extractor_shape gd_inception_shape = { .width = GD_INCEPTION_POOL,
                                                .spatial = GD_INCEPTION_SPATIAL,
                                                .classes = GD_INCEPTION_CLASSES,
                                                .channels = CHANNELS };

/* ---- the network ---- */

typedef struct prepare_work {
    const inception *i;
    const uint8_t *pixels;
} prepare_work;

static gd_status prepare_one(const prepare_work *w, int64_t k)
{
    const inception *i = w->i;

    return i->dialect->prepare(i->x + k * CHANNELS * SIDE * SIDE,
                               w->pixels + k * i->height * i->width * CHANNELS, i->height,
                               i->width);
}

static void prepare_in_parallel(void *ctx, int64_t k)
{
    const prepare_work *w = ctx;
    w->i->status[k] = prepare_one(w, k);
}

static gd_status run_batch(inception *i, int n, const uint8_t *pixels)
{
    prepare_work w = { i, pixels };

    if (!i->x)
        return gd_inception_run(i->shared->net, n, pixels, i->pool, i->spatial, i->probabilities);
    gd_par(n, prepare_in_parallel, &w);
    for (int k = 0; k < n; k++)
        if (i->status[k] != GD_OK) /* the message was another thread's */
            GD_TRY(prepare_one(&w, k));
    return gd_inception_run_scaled(i->shared->net, n, i->x, i->pool, i->spatial, i->probabilities);
}

static void take(float **to, const float *from, int n)
{
    memcpy(*to, from, (size_t)n * sizeof *from);
    *to += n;
}

static gd_status run(gd_extractor *e, int n, const uint8_t *pixels, float *rows)
{
    inception *i = (inception *)e;
    const size_t image = (size_t)i->height * (size_t)i->width * CHANNELS;

    for (int first = 0; first < n; first += i->batch) {
        const int part = GD_MIN(i->batch, n - first);
        GD_TRY(run_batch(i, part, pixels + (size_t)first * image));
        for (int k = 0; k < part; k++) {
            take(&rows, i->pool + (size_t)k * GD_INCEPTION_POOL, GD_INCEPTION_POOL);
            take(&rows, i->spatial + (size_t)k * GD_INCEPTION_SPATIAL, GD_INCEPTION_SPATIAL);
            take(&rows, i->probabilities + (size_t)k * GD_INCEPTION_CLASSES, GD_INCEPTION_CLASSES);
        }
    }
    return GD_OK;
}

static gd_status hash(const gd_extractor *e, char text[33])
{
    return gd_inception_hash(((const inception *)e)->shared->net, text);
}

static const char *format(const gd_extractor *e)
{
    return gd_inception_format(((const inception *)e)->shared->net);
}

static void release(gd_extractor *e)
{
    inception *i = (inception *)e;

    if (i->shared && --i->shared->users == 0) {
        gd_inception_close(i->shared->net);
        free(i->shared);
    }
    gd_block_free(i->pool);
    gd_block_free(i->x);
    gd_block_free(i->status);
    free(i);
}

/* Prepared images have one size whatever the set's. */
static void set_size(gd_extractor *e, int height, int width)
{
    inception *i = (inception *)e;

    i->height = height;
    i->width = width;
}

static gd_status open_network(inception *i, const char *path, const inception *beside)
{
    const bool inside = !i->dialect->prepare;

    if (beside && beside->x && !inside && beside->batch == i->batch) {
        i->shared = beside->shared;
        i->shared->users++;
        return GD_OK;
    }
    i->shared = calloc(1, sizeof *i->shared);
    if (!i->shared)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    i->shared->users = 1;
    GD_TRY(gd_inception_open(&i->shared->net, path, i->batch, inside ? i->height : 0,
                             inside ? i->width : 0));
    return GD_OK;
}

static gd_status make(inception *i, const char *path, const inception *beside)
{
    const size_t batch = (size_t)i->batch;

    GD_TRY(open_network(i, path, beside));
    GD_TRY(gd_block_make(&i->pool, batch * (size_t)gd_extractor_row(&i->head.shape) * sizeof(float),
                         "features"));
    i->spatial = i->pool + batch * GD_INCEPTION_POOL;
    i->probabilities = i->spatial + batch * GD_INCEPTION_SPATIAL;
    if (!i->dialect->prepare)
        return GD_OK;
    i->head.set_size = set_size;
    GD_TRY(gd_block_make(&i->status, batch * sizeof *i->status, "images"));
    return gd_block_make(&i->x, batch * CHANNELS * SIDE * SIDE * sizeof(float), "images");
}

gd_status gd_extractor_inception(gd_extractor **out, const char *path, const gd_dialect *dialect,
                                 const gd_extractor *beside, int batch, int height, int width)
{
    inception *i = calloc(1, sizeof *i);
    gd_status s;

    if (!i)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    i->head = (gd_extractor){
        .shape = gd_inception_shape, .run = run, .hash = hash, .format = format, .free = release
    };
    i->dialect = dialect;
    i->batch = batch;
    i->height = height;
    i->width = width;
    s = make(i, path, (const inception *)beside);
    if (s != GD_OK) {
        release(&i->head);
        return s;
    }
    *out = &i->head;
    return GD_OK;
}
