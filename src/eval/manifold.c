/* SPDX-License-Identifier: MIT */
/* manifold.c - precision and recall by nearest neighbours
 * (docs/reference/evaluation.md#precision-and-recall), with density and coverage from the same
 * distances.
 *
 * Distances are computed tile by tile; a tile's results do not depend on other tiles and are merged
 * in order, so neither threads nor memory for all distances are needed to get the same bits.  A set
 * against itself needs only the tiles on and above the diagonal. */
#include "eval/eval.h"

#include "cpu/linear.h"
#include "eval/half.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK = 10000, /* the authors' blocks: float16 or float32 is decided for each as a whole */
    TILE = 500,    /* divides it */
    WAVE = 64,     /* tiles between two merges */
    K = 3,         /* the authors' neighbourhood; density and coverage: 5 */
    K_DENSITY = 5
};

/* ---- points and their distances ---- */

typedef struct points {
    const gd_features *f;
    const double *centre; /* [width] */
    float *data;      /* [count][width] minus the centre: float32 distances do not cancel then */
    float *norm;      /* [count] squared length */
    float *half;      /* [count][width] rounded to float16, or NULL */
    float *half_norm; /* [count] */
} points;

/* The mean of a set, which stands for where both lie */
static gd_status find_centre(double **out, const gd_features *f)
{
    GD_TRY(gd_block_make(out, (size_t)f->width * sizeof **out, "distances"));
    for (int64_t i = 0; i < f->count; i++)
        for (int k = 0; k < f->width; k++)
            (*out)[k] += f->data[i * f->width + k] / (double)f->count;
    return GD_OK;
}

static void norms_of_tile(void *ctx, int64_t tile)
{
    const points *p = ctx;
    const int width = p->f->width;

    for (int64_t i = tile * TILE; i < GD_MIN((tile + 1) * TILE, p->f->count); i++) {
        double sum = 0;
        float half_sum = 0;
        for (int k = 0; k < width; k++) {
            const float x = p->f->data[i * width + k];
            const float y = p->data[i * width + k] = (float)(x - p->centre[k]);
            sum += (double)y * y;
            if (p->half) {
                const float h = p->half[i * width + k] = gd_round_half(x);
                half_sum += gd_round_half(h * h);
            }
        }
        p->norm[i] = (float)sum;
        if (p->half)
            p->half_norm[i] = gd_round_half(half_sum);
    }
}

static int64_t tiles_of(const points *p)
{
    return (p->f->count + TILE - 1) / TILE;
}

static gd_status prepare(points *p, const gd_features *f, const double *centre, bool half)
{
    const size_t row = (size_t)f->count * sizeof(float);

    *p = (points){ .f = f, .centre = centre };
    GD_TRY(gd_linear_ready());
    GD_TRY(gd_block_make(&p->data, row * (size_t)f->width, "centred features"));
    GD_TRY(gd_block_make(&p->norm, row, "distances"));
    if (half) {
        GD_TRY(gd_block_make(&p->half, row * (size_t)f->width, "float16 features"));
        GD_TRY(gd_block_make(&p->half_norm, row, "distances"));
    }
    gd_par(tiles_of(p), norms_of_tile, p);
    return GD_OK;
}

static void release(points *p)
{
    gd_block_free(p->data);
    gd_block_free(p->norm);
    gd_block_free(p->half);
    gd_block_free(p->half_norm);
}

/* A tile of |u|^2 - 2 u.v + |v|^2: `rows` points of a from row, `columns` of b from column */
typedef struct tile {
    int64_t row, column;
    int rows, columns;
    float *d; /* [rows][columns] */
} tile;

static void distances(const tile *t, const points *a, const points *b)
{
    const int width = a->f->width;

    gd_dot_products(t->d, a->data + t->row * width, b->data + t->column * width, t->rows,
                    t->columns, width);
    for (int i = 0; i < t->rows; i++) {
        float *d = t->d + (int64_t)i * t->columns;
        const float norm = a->norm[t->row + i], *norms = b->norm + t->column;
        for (int j = 0; j < t->columns; j++) {
            const float x = norm - 2 * d[j] + norms[j];
            d[j] = x > 0 ? x : 0;
        }
    }
}

/* The same with every step rounded to float16; false if one overflowed */
static bool half_distances(const tile *t, const points *a, const points *b)
{
    const int width = a->f->width;
    bool finite = true;

    gd_dot_products(t->d, a->half + t->row * width, b->half + t->column * width, t->rows,
                    t->columns, width);
    for (int i = 0; i < t->rows; i++) {
        float *d = t->d + (int64_t)i * t->columns;
        const float norm = a->half_norm[t->row + i], *norms = b->half_norm + t->column;
        for (int j = 0; j < t->columns; j++) {
            const float x = gd_round_half(gd_round_half(norm - 2 * gd_round_half(d[j])) + norms[j]);
            finite &= isfinite(x);
            d[j] = x > 0 ? x : 0;
        }
    }
    return finite;
}

/* ---- all tiles of two sets, in waves ---- */

typedef struct result result;
typedef struct sweep {
    const points *a, *b;
    bool triangle; /* b is a: tiles on and above the diagonal */
    uint8_t *half; /* [blocks of a][blocks of b]: float16 is finite; NULL: float32 */
    void (*use)(const struct sweep *s, const tile *t, result *r); /* on any thread */
    void (*merge)(const struct sweep *s, const tile *t, const result *r);
    void *ctx;
    gd_tick *tick;
    void *tick_ctx;
    tile wave[WAVE];
    int n_wave;
    result *result; /* [WAVE] */
    float *space;   /* [WAVE][TILE * TILE] */
} sweep;

struct result { /* of a tile, for its rows and its columns */
    bool overflow;
    float near[2][TILE][GD_NEAREST];
    uint8_t inside[2][TILE], covered[TILE];
    int32_t dense[TILE];
};

static int64_t blocks_of(const points *p)
{
    return (p->f->count + BLOCK - 1) / BLOCK;
}

static uint8_t *block_of(const sweep *s, const tile *t)
{
    return s->half + t->row / BLOCK * blocks_of(s->b) + t->column / BLOCK;
}

static void run_tile(void *ctx, int64_t i)
{
    sweep *s = ctx;
    const tile *t = &s->wave[i];

    if (s->half && *block_of(s, t))
        s->result[i].overflow = !half_distances(t, s->a, s->b);
    else
        distances(t, s->a, s->b);
    s->use(s, t, &s->result[i]);
}

static void run_wave(sweep *s, int64_t done, int64_t all)
{
    gd_par(s->n_wave, run_tile, s);
    for (int i = 0; i < s->n_wave; i++)
        s->merge(s, &s->wave[i], &s->result[i]);
    s->n_wave = 0;
    if (s->tick)
        s->tick(s->tick_ctx, (double)done / (double)all);
}

static void run_all(sweep *s)
{
    const int64_t rows = tiles_of(s->a), columns = tiles_of(s->b);
    const int64_t all = s->triangle ? rows * (rows + 1) / 2 : rows * columns;
    int64_t done = 0;

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = s->triangle ? i : 0; j < columns; j++) {
            s->wave[s->n_wave] =
                (tile){ i * TILE, j * TILE, (int)GD_MIN(TILE, s->a->f->count - i * TILE),
                        (int)GD_MIN(TILE, s->b->f->count - j * TILE),
                        s->space + (int64_t)s->n_wave * TILE * TILE };
            done++;
            if (++s->n_wave == WAVE || done == all)
                run_wave(s, done, all);
        }
}

static void use_nothing(const sweep *s, const tile *t, result *r)
{
    (void)s;
    (void)t;
    (void)r;
}

static void merge_overflow(const sweep *s, const tile *t, const result *r)
{
    if (r->overflow)
        *block_of(s, t) = 0;
}

static gd_status sweep_make(sweep *s)
{
    const size_t blocks = (size_t)(blocks_of(s->a) * blocks_of(s->b));

    GD_TRY(gd_block_make(&s->result, WAVE * sizeof *s->result, "distances"));
    GD_TRY(gd_block_make(&s->space, sizeof(float) * WAVE * TILE * TILE, "distances"));
    if (!s->a->half)
        return GD_OK;
    GD_TRY(gd_block_make(&s->half, blocks, "distances"));
    memset(s->half, 1, blocks);
    sweep first = *s; /* finds the blocks in which float16 overflows */
    first.use = use_nothing;
    first.merge = merge_overflow;
    run_all(&first);
    return GD_OK;
}

static gd_status sweep_run(sweep *s)
{
    gd_status status = sweep_make(s);

    if (status == GD_OK)
        run_all(s);
    gd_block_free(s->result);
    gd_block_free(s->space);
    gd_block_free(s->half);
    return status;
}

/* ---- a set's own nearest neighbours ---- */

/* Into the ascending list of the GD_NEAREST smallest */
static inline void keep_near(float *near, float d)
{
    int i = GD_NEAREST - 1;

    if (!(d < near[i]))
        return;
    for (; i > 0 && near[i - 1] > d; i--)
        near[i] = near[i - 1];
    near[i] = d;
}

static void use_near(const sweep *s, const tile *t, result *r)
{
    (void)s;
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < TILE; i++)
            for (int k = 0; k < GD_NEAREST; k++)
                r->near[side][i][k] = INFINITY;
    for (int i = 0; i < t->rows; i++)
        for (int j = 0; j < t->columns; j++) {
            keep_near(r->near[0][i], t->d[(int64_t)i * t->columns + j]);
            keep_near(r->near[1][j], t->d[(int64_t)i * t->columns + j]);
        }
}

/* A tile on the diagonal holds each distance for its rows already. */
static void merge_near(const sweep *s, const tile *t, const result *r)
{
    float *near = s->ctx;

    for (int i = 0; i < t->rows; i++)
        for (int k = 0; k < GD_NEAREST; k++)
            keep_near(near + (t->row + i) * GD_NEAREST, r->near[0][i][k]);
    for (int j = 0; j < t->columns && t->row != t->column; j++)
        for (int k = 0; k < GD_NEAREST; k++)
            keep_near(near + (t->column + j) * GD_NEAREST, r->near[1][j][k]);
}

static gd_status nearest(float *out, const points *p, gd_tick *tick, void *ctx)
{
    sweep s = { .a = p, .b = p, .triangle = true, .use = use_near, .merge = merge_near };

    s.ctx = out;
    s.tick = tick;
    s.tick_ctx = ctx;
    for (int64_t i = 0; i < p->f->count * GD_NEAREST; i++)
        out[i] = INFINITY;
    return sweep_run(&s);
}

gd_status gd_nearest_distances(float *out, const gd_features *set, bool half, gd_tick *tick,
                               void *ctx)
{
    double *centre = NULL;
    points p = { 0 };
    gd_status s = find_centre(&centre, set);

    if (s == GD_OK)
        s = prepare(&p, set, centre, half);
    if (s == GD_OK)
        s = nearest(out, &p, tick, ctx);
    release(&p);
    gd_block_free(centre);
    return s;
}

/* ---- who lies in whose neighbourhood ---- */

typedef struct membership {
    const float *ref_near, *sample_near; /* [count][GD_NEAREST] */
    uint8_t *sample_inside, *ref_inside, *ref_covered;
    int64_t dense;
} membership;

/* rows: reference, columns: samples */
static void use_membership(const sweep *s, const tile *t, result *r)
{
    const membership *m = s->ctx;

    memset(r->inside, 0, sizeof r->inside);
    memset(r->covered, 0, sizeof r->covered);
    memset(r->dense, 0, sizeof r->dense);
    for (int i = 0; i < t->rows; i++) {
        const float *d = t->d + (int64_t)i * t->columns;
        const float *near = m->ref_near + (t->row + i) * GD_NEAREST;
        uint8_t inside = 0, covered = 0;
        for (int j = 0; j < t->columns; j++) {
            const bool dense = d[j] < near[K_DENSITY];
            r->inside[1][j] |= d[j] <= near[K];
            inside |= d[j] <= m->sample_near[(t->column + j) * GD_NEAREST + K];
            covered |= dense;
            r->dense[j] += dense;
        }
        r->inside[0][i] = inside;
        r->covered[i] = covered;
    }
}

static void merge_membership(const sweep *s, const tile *t, const result *r)
{
    membership *m = s->ctx;

    for (int i = 0; i < t->rows; i++) {
        m->ref_inside[t->row + i] |= r->inside[0][i];
        m->ref_covered[t->row + i] |= r->covered[i];
    }
    for (int j = 0; j < t->columns; j++) {
        m->sample_inside[t->column + j] |= r->inside[1][j];
        m->dense += r->dense[j];
    }
}

static double share(const uint8_t *flags, int64_t n)
{
    int64_t sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += flags[i];
    return (double)sum / (double)n;
}

/* ---- the measure ---- */

enum { FIRST, SECOND, THIRD, PARTS }; /* ref's neighbours, samples' neighbours, membership */
typedef struct part {
    gd_tick *tick;
    void *ctx;
    int index;
} part;

static void tick_part(void *ctx, double done)
{
    const part *p = ctx;

    if (p->tick)
        p->tick(p->ctx, (p->index + done) / PARTS);
}

static gd_status measure(gd_manifold *out, membership *m, const points *ref, const points *samples,
                         part *progress)
{
    const int64_t n_ref = ref->f->count, n = samples->f->count;
    float *near;
    gd_status s;

    GD_TRY(gd_block_make(&near, (size_t)(n_ref + n) * GD_NEAREST * sizeof(float), "neighbours"));
    m->ref_near = near;
    m->sample_near = near + n_ref * GD_NEAREST;
    s = nearest(near, ref, tick_part, progress);
    progress->index = SECOND;
    if (s == GD_OK)
        s = nearest(near + n_ref * GD_NEAREST, samples, tick_part, progress);
    progress->index = THIRD;
    sweep all = { .a = ref, .b = samples, .use = use_membership, .merge = merge_membership };
    all.ctx = m;
    all.tick = tick_part;
    all.tick_ctx = progress;
    if (s == GD_OK)
        s = sweep_run(&all);
    gd_block_free(near);
    out->precision = share(m->sample_inside, n);
    out->recall = share(m->ref_inside, n_ref);
    out->has_density = n_ref > K_DENSITY;
    out->coverage = share(m->ref_covered, n_ref);
    out->density = (double)m->dense / ((double)K_DENSITY * (double)n);
    return s;
}

gd_status gd_manifold_measure(gd_manifold *out, const gd_features *ref, const gd_features *samples,
                              bool half, gd_tick *tick, void *ctx)
{
    const int64_t n_ref = ref->count, n = samples->count;
    part progress = { tick, ctx, FIRST };
    points a = { 0 }, b = { 0 };
    uint8_t *flags = NULL;
    double *centre = NULL;
    gd_status s;

    if (GD_MIN(n_ref, n) < K + 1)
        return gd_fail(GD_EUSAGE,
                       "precision and recall need %d images or more in each set: %lld reference "
                       "images, %lld samples",
                       K + 1, (long long)n_ref, (long long)n);
    s = gd_block_make(&flags, (size_t)(2 * n_ref + n), "neighbours");
    membership m = { .ref_inside = flags,
                     .ref_covered = flags + n_ref,
                     .sample_inside = flags + 2 * n_ref };
    if (s == GD_OK)
        s = find_centre(&centre, ref);
    if (s == GD_OK)
        s = prepare(&a, ref, centre, half);
    if (s == GD_OK)
        s = prepare(&b, samples, centre, half);
    if (s == GD_OK)
        s = measure(out, &m, &a, &b, &progress);
    release(&a);
    release(&b);
    gd_block_free(centre);
    gd_block_free(flags);
    return s;
}
