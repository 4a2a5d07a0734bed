/* survey.c - one pass over a set: images through the network, rows through the cache, statistics
 * that grow with neither. */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

typedef struct pass {
    const gd_survey_options *o;
    gd_survey *out;
    gd_extractor *extractor;
    gd_images *images;
    gd_extractor_shape shape;
    int row;
    gd_moments *pool, *spatial;
    gd_inception_score *score;
    gd_cache *cache; /* of the first rank */
    int rank, ranks;
    int64_t behind;  /* images read or passed over */
    float *rows;     /* block: [ranks][batch][row] */
    uint8_t *pixels; /* block: [batch][H][W][C] */
} pass;

int64_t gd_survey_place(int64_t k, int64_t kept, int64_t count)
{
    return k * count / kept;
}

/* ---- what a row is used for ---- */

/* Before they are kept anywhere */
static gd_status check_rows(const pass *p, const float *rows, int64_t first, int64_t n)
{
    char name[512];
    int64_t i = 0;

    while (i < n * p->row && isfinite(rows[i]))
        i++;
    if (i == n * p->row)
        return GD_OK;
    gd_images_name(p->images, first + i / p->row, name, sizeof name);
    return gd_fail(GD_EFAILED,
                   "%s: feature %lld is not finite\nhint: are the network's weights whole?", name,
                   (long long)(i % p->row));
}

static void keep(const pass *p, int64_t index, const float *row)
{
    gd_survey *out = p->out;
    const int64_t wanted = GD_MIN(p->o->keep, out->count);

    if (out->rows)
        memcpy(out->rows + index * p->row, row, (size_t)p->row * sizeof *row);
    if (out->kept == wanted || gd_survey_place(out->kept, wanted, out->count) != index)
        return;
    memcpy(out->features + out->kept * p->shape.width, row, (size_t)p->shape.width * sizeof *row);
    out->kept++;
}

static gd_status use_rows(pass *p, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = p->rows + i * p->row;
        if (p->pool)
            gd_moments_add(p->pool, row, 1);
        if (p->spatial)
            gd_moments_add(p->spatial, row + p->shape.width, 1);
        if (p->score)
            gd_inception_score_add(p->score, row + p->shape.width + p->shape.spatial, 1);
        keep(p, first + i, row);
    }
    return p->o->tick ? p->o->tick(p->o->ctx, n) : GD_OK;
}

/* ---- the pass ---- */

static gd_status make_key(const pass *p, char key[33])
{
    char network[33];
    gd_hasher *h;
    gd_status s;

    GD_TRY(gd_extractor_hash(p->extractor, network));
    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, network, sizeof network);
    gd_hasher_add(h, p->o->tag, strlen(p->o->tag) + 1);
    gd_hasher_add(h, &p->out->count, sizeof p->out->count);
    s = gd_images_fingerprint(p->images, h);
    if (s == GD_OK)
        gd_hasher_text(h, key);
    gd_hasher_free(h);
    return s;
}

static gd_status make_blocks(pass *p)
{
    gd_survey *out = p->out;
    const size_t batch = (size_t)p->o->batch, row = (size_t)p->row * sizeof(float);
    const size_t image = (size_t)gd_images_height(p->images) * (size_t)gd_images_width(p->images) *
                         (size_t)p->shape.channels;

    GD_TRY(gd_block_make((void **)&p->rows, (size_t)p->ranks * batch * row, "features"));
    GD_TRY(gd_block_make((void **)&p->pixels, batch * image, "images"));
    if (p->o->keep_all)
        GD_TRY(gd_block_make((void **)&out->rows, (size_t)out->count * row, "features"));
    return gd_block_make((void **)&out->features,
                         (size_t)GD_MIN(p->o->keep, out->count) * (size_t)p->shape.width *
                             sizeof(float),
                         "features");
}

static gd_status prepare(pass *p)
{
    p->shape = gd_extractor_get_shape(p->extractor);
    p->row = gd_extractor_row(&p->shape);
    p->out->count = gd_images_count(p->images);
    GD_TRY(make_blocks(p));
    if (p->o->pool)
        GD_TRY(gd_moments_make(&p->pool, p->shape.width));
    if (p->o->spatial && p->shape.spatial > 0)
        GD_TRY(gd_moments_make(&p->spatial, p->shape.spatial));
    if (p->o->score)
        GD_TRY(gd_inception_score_make(&p->score, p->shape.classes, GD_IS_SPLIT));
    return GD_OK;
}

/* The first rank has the cache; *done of all: rows that are there. */
static gd_status open_cache(pass *p, const char key[33], int64_t *done)
{
    gd_status s = GD_OK;

    if (p->o->cache && p->rank == 0)
        s = gd_cache_open(&p->cache, p->o->cache, key, p->out->count, p->row);
    GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
    *done = p->cache ? gd_cache_done(p->cache) : 0;
    return gd_dist_broadcast(p->o->dist, done, sizeof *done);
}

static gd_status begin(pass *p, int64_t *done)
{
    char key[33] = "";
    gd_status s = prepare(p);

    if (s == GD_OK && (p->o->cache || p->ranks > 1))
        s = make_key(p, key);
    GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
    GD_TRY(gd_dist_compare(p->o->dist, key, sizeof key, "images or network",
                           "the same files must be on every host"));
    return open_cache(p, key, done);
}

static gd_status old_rows(pass *p, int64_t done)
{
    for (int64_t i = 0; i < done; i += p->o->batch) {
        const int64_t n = GD_MIN(p->o->batch, done - i);
        GD_TRY(gd_cache_read(p->cache, i, n, p->rows));
        GD_TRY(use_rows(p, i, n));
    }
    return GD_OK;
}

/* This rank's row of images */
static gd_status see(pass *p, int64_t first, int64_t n, float *rows)
{
    char name[512];
    gd_status s;

    if (n == 0)
        return GD_OK;
    GD_TRY(gd_images_skip(p->images, first - p->behind));
    GD_TRY(gd_images_read(p->images, n, p->pixels));
    p->behind = first + n;
    s = gd_extractor_run(p->extractor, (int)n, p->pixels, rows);
    if (s != GD_OK) {
        gd_images_name(p->images, first, name, sizeof name);
        gd_context("from %s on", name);
        return s;
    }
    return check_rows(p, rows, first, n);
}

/* The first rank's: rows of all */
static gd_status take_rows(pass *p, int64_t first, int64_t n)
{
    if (p->cache)
        GD_TRY(gd_cache_add(p->cache, n, p->rows));
    return use_rows(p, first, n);
}

/* Each rank sees a row of every ranks * batch images; a failure of the first rank is told with the
 * next ones. */
static gd_status new_rows(pass *p, int64_t done)
{
    const int64_t batch = p->o->batch, step = p->ranks * batch;
    float *own = p->rows + p->rank * batch * p->row;
    gd_status s = GD_OK;

    gd_images_rewind(p->images);
    for (int64_t i = done; i < p->out->count; i += step) {
        const int64_t n = GD_MIN(step, p->out->count - i), mine = GD_MIN(p->rank * batch, n);
        gd_dist_step(p->o->dist, i);
        if (s == GD_OK)
            s = see(p, i + mine, GD_MIN(batch, n - mine), own);
        GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
        GD_TRY(gd_dist_gather(p->o->dist, own, (size_t)(batch * p->row) * sizeof *own, p->rows));
        s = p->rank == 0 ? take_rows(p, i, n) : GD_OK;
    }
    return gd_dist_agree(p->o->dist, s, NULL);
}

static gd_status finish(pass *p)
{
    gd_survey *out = p->out;

    if (p->rank > 0)
        return GD_OK;
    if (p->cache)
        GD_TRY(gd_cache_finish(p->cache));
    if (p->pool)
        GD_TRY(gd_moments_finish(p->pool, &out->pool));
    if (p->spatial)
        GD_TRY(gd_moments_finish(p->spatial, &out->spatial));
    if (p->score)
        out->inception_score = gd_inception_score_value(p->score);
    return GD_OK;
}

static gd_status run(pass *p)
{
    int64_t done = 0;

    GD_TRY(begin(p, &done));
    GD_TRY(gd_dist_agree(p->o->dist, p->rank == 0 ? old_rows(p, done) : GD_OK, NULL));
    GD_TRY(new_rows(p, done));
    return gd_dist_agree(p->o->dist, finish(p), NULL);
}

gd_status gd_survey_run(gd_survey *out, gd_extractor *e, gd_images *images,
                        const gd_survey_options *o)
{
    pass p = { .o = o,
               .out = out,
               .extractor = e,
               .images = images,
               .rank = gd_dist_rank(o->dist),
               .ranks = gd_dist_ranks(o->dist) };
    gd_status s = run(&p);

    gd_cache_close(p.cache);
    gd_moments_free(p.pool);
    gd_moments_free(p.spatial);
    gd_inception_score_free(p.score);
    gd_block_free(p.rows);
    gd_block_free(p.pixels);
    return s;
}

void gd_survey_free(gd_survey *s)
{
    gd_statistics_free(&s->pool);
    gd_statistics_free(&s->spatial);
    gd_block_free(s->features);
    gd_block_free(s->rows);
    *s = (gd_survey){ 0 };
}
