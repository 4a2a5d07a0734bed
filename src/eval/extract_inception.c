/* extract_inception.c - features of the 2015 Inception network (nn/inception.h), by the authors'
 * resize or by pytorch-fid's.
 *
 * pytorch-fid resizes v / 255 to 299 x 299 by bilinear interpolation between half-pixel centres,
 * without antialiasing, and takes 2 v - 1: not the authors' input, so other features. */
#include "eval/extract_private.h"

#include "nn/inception.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = GD_INCEPTION_SIDE, CHANNELS = 3 };

typedef struct inception {
    gd_extractor head;
    gd_inception *net;
    int height, width;
    float *pool, *spatial, *probabilities; /* block: [batch][..], one after another */
    float *x;                              /* block: [CHANNELS][SIDE][SIDE]; NULL: the authors' */
    int batch;
} inception;

const gd_extractor_shape gd_inception_shape = { .width = GD_INCEPTION_POOL,
                                                .spatial = GD_INCEPTION_SPATIAL,
                                                .classes = GD_INCEPTION_CLASSES,
                                                .channels = CHANNELS };

/* ---- pytorch-fid's input ---- */

typedef struct tap { /* between pixels `low` and `high`, `share` of the way */
    int low, high;
    float share;
} tap;

static void find_taps(tap *taps, int in)
{
    const float scale = (float)in / SIDE;

    for (int o = 0; o < SIDE; o++) {
        const float at = scale * ((float)o + 0.5f) - 0.5f, from = at > 0 ? at : 0;
        const int low = GD_MIN((int)from, in - 1);
        taps[o] = (tap){ low, GD_MIN(low + 1, in - 1), from - (float)low };
    }
}

void gd_resize_half_pixel(float *out, const uint8_t *pixels, int height, int width)
{
    tap rows[SIDE], columns[SIDE];

    find_taps(rows, height);
    find_taps(columns, width);
    for (int c = 0; c < CHANNELS; c++)
        for (int y = 0; y < SIDE; y++)
            for (int x = 0; x < SIDE; x++) {
                const tap *r = &rows[y], *k = &columns[x];
                const uint8_t *a = pixels + (int64_t)r->low * width * CHANNELS + c,
                              *b = pixels + (int64_t)r->high * width * CHANNELS + c;
                const float p = (float)a[k->low * CHANNELS] / 255,
                            q = (float)a[k->high * CHANNELS] / 255,
                            s = (float)b[k->low * CHANNELS] / 255,
                            t = (float)b[k->high * CHANNELS] / 255;
                const float v = (1 - r->share) * ((1 - k->share) * p + k->share * q) +
                                r->share * ((1 - k->share) * s + k->share * t);
                *out++ = 2 * v - 1;
            }
}

/* ---- the network ---- */

typedef struct resize_work {
    const inception *i;
    const uint8_t *pixels;
} resize_work;

static void resize_one(void *ctx, int64_t k)
{
    const resize_work *w = ctx;
    const inception *i = w->i;

    gd_resize_half_pixel(i->x + k * CHANNELS * SIDE * SIDE,
                         w->pixels + k * i->height * i->width * CHANNELS, i->height, i->width);
}

static gd_status run_batch(inception *i, int n, const uint8_t *pixels)
{
    resize_work w = { i, pixels };

    if (!i->x)
        return gd_inception_run(i->net, n, pixels, i->pool, i->spatial, i->probabilities);
    gd_par(n, resize_one, &w);
    return gd_inception_run_scaled(i->net, n, i->x, i->pool, i->spatial, i->probabilities);
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
    return gd_inception_hash(((const inception *)e)->net, text);
}

static const char *format(const gd_extractor *e)
{
    return gd_inception_format(((const inception *)e)->net);
}

static void release(gd_extractor *e)
{
    inception *i = (inception *)e;

    gd_inception_close(i->net);
    gd_block_free(i->pool);
    gd_block_free(i->x);
    free(i);
}

static gd_status make(inception *i, const char *path, gd_dialect dialect)
{
    const size_t batch = (size_t)i->batch;
    const bool adm = dialect == GD_DIALECT_ADM;

    GD_TRY(gd_inception_open(&i->net, path, i->batch, adm ? i->height : 0, adm ? i->width : 0));
    GD_TRY(gd_block_make((void **)&i->pool,
                         batch * (size_t)gd_extractor_row(&i->head.shape) * sizeof(float),
                         "features"));
    i->spatial = i->pool + batch * GD_INCEPTION_POOL;
    i->probabilities = i->spatial + batch * GD_INCEPTION_SPATIAL;
    if (adm)
        return GD_OK;
    return gd_block_make((void **)&i->x, batch * CHANNELS * SIDE * SIDE * sizeof(float), "images");
}

gd_status gd_extractor_inception(gd_extractor **out, const char *path, gd_dialect dialect,
                                 int batch, int height, int width)
{
    inception *i = calloc(1, sizeof *i);
    gd_status s;

    if (!i)
        return gd_fail(GD_ENOMEM, "features: out of memory");
    i->head = (gd_extractor){
        .shape = gd_inception_shape, .run = run, .hash = hash, .format = format, .free = release
    };
    i->batch = batch;
    i->height = height;
    i->width = width;
    s = make(i, path, dialect);
    if (s != GD_OK) {
        release(&i->head);
        return s;
    }
    *out = &i->head;
    return GD_OK;
}
