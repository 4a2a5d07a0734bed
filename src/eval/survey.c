/* SPDX-License-Identifier: MIT */
/* survey.c - one pass over a set: images through one or several networks, rows through the cache,
 * statistics that grow with neither. */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

/* What one network sees */
typedef struct view {
    struct view *twin; /* an earlier view by the same network, whose rows these are; NULL: none */
    const gd_survey_options *o;
    gd_survey *out;
    gd_extractor *extractor;
    gd_extractor_shape shape;
    int row;
    gd_moments *pool, *spatial;
    gd_inception_score *score;
    gd_cache *cache; /* of the first rank */
    int64_t done;    /* rows that an earlier run left */
    float *rows;     /* block: [ranks][batch][row] */
} view;

typedef struct pass {
    const gd_survey_options *o; /* of the first view */
    gd_images *images;
    int64_t count;
    int rank, ranks;
    int64_t behind;  /* images read or passed over */
    uint8_t *pixels; /* block: [batch][H][W][C] */
    view view[GD_MOST_VIEWS];
    int n_views;
} pass;

int64_t gd_survey_place(int64_t k, int64_t kept, int64_t count)
{
    return k * count / kept;
}

/* ---- what a row is used for ---- */

/* Before they are kept anywhere */
static gd_status check_rows(const pass *p, const view *v, const float *rows, int64_t first,
                            int64_t n)
{
    char name[512];
    int64_t i = 0;

    while (i < n * v->row && isfinite(rows[i]))
        i++;
    if (i == n * v->row)
        return GD_OK;
    gd_images_name(p->images, first + i / v->row, name, sizeof name);
    return gd_fail(GD_EFAILED,
                   "%s: feature %lld is not finite\nhint: are the network's weights whole?", name,
                   (long long)(i % v->row));
}

static void keep(const view *v, int64_t index, const float *row)
{
    gd_survey *out = v->out;
    const int64_t wanted = GD_MIN(v->o->keep, out->count);

    if (out->rows)
        memcpy(out->rows + index * v->row, row, (size_t)v->row * sizeof *row);
    if (out->kept == wanted || gd_survey_place(out->kept, wanted, out->count) != index)
        return;
    memcpy(out->features + out->kept * v->shape.width, row, (size_t)v->shape.width * sizeof *row);
    out->kept++;
}

/* Are `done` images a part of them all that a value is wanted of? */
static bool is_part(int64_t done, int64_t count)
{
    static const int eighths[] = { 1, 2, 4, 6 };

    for (int i = 0; i < COUNT(eighths); i++)
        if (done >= 2 && done < count && done == (count * eighths[i] + 7) / 8)
            return true;
    return false;
}

static gd_status show_part(const view *v)
{
    gd_statistics pool = { 0 };
    gd_status s = gd_moments_look(v->pool, &pool);

    if (s == GD_OK)
        s = v->o->part(v->o->ctx, &pool);
    gd_statistics_free(&pool);
    return s;
}

static gd_status use_rows(view *v, int64_t first, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float *row = (v->twin ? v->twin : v)->rows + i * v->row;
        if (v->pool)
            gd_moments_add(v->pool, row, 1);
        if (v->spatial)
            gd_moments_add(v->spatial, row + v->shape.width, 1);
        if (v->score)
            gd_inception_score_add(v->score, row + v->shape.width + v->shape.spatial, 1);
        keep(v, first + i, row);
        if (v->pool && v->o->part && is_part(first + i + 1, v->out->count))
            GD_TRY(show_part(v));
    }
    return GD_OK;
}

static gd_status tick(const pass *p, int64_t n)
{
    return p->o->tick ? p->o->tick(p->o->ctx, n) : GD_OK;
}

/* ---- the pass ---- */

static gd_status make_key(const pass *p, const view *v, char key[33])
{
    char network[33];
    gd_hasher *h;
    gd_status s;

    GD_TRY(gd_extractor_hash(v->extractor, network));
    GD_TRY(gd_hasher_make(&h));
    gd_hasher_add(h, network, sizeof network);
    gd_hasher_add(h, v->o->tag, strlen(v->o->tag) + 1);
    gd_hasher_add(h, &p->count, sizeof p->count);
    s = gd_images_fingerprint(p->images, h);
    if (s == GD_OK)
        gd_hasher_text(h, key);
    gd_hasher_free(h);
    return s;
}

static gd_status make_score(view *v, int64_t count)
{
    if (!v->o->score || v->shape.classes == 0)
        return GD_OK;
    if (v->o->fidelity)
        return gd_inception_score_make_fidelity(&v->score, v->shape.classes, count);
    return gd_inception_score_make(&v->score, v->shape.classes, GD_IS_SPLIT);
}

static gd_status prepare_view(pass *p, view *v)
{
    gd_survey *out = v->out;
    const size_t batch = (size_t)p->o->batch;

    v->shape = gd_extractor_get_shape(v->extractor);
    v->row = gd_extractor_row(&v->shape);
    out->count = p->count;
    const size_t row = (size_t)v->row * sizeof(float);
    if (!v->twin)
        GD_TRY(gd_block_make(&v->rows, (size_t)p->ranks * batch * row, "features"));
    if (v->o->keep_all)
        GD_TRY(gd_block_make(&out->rows, (size_t)out->count * row, "features"));
    GD_TRY(gd_block_make(&out->features,
                         (size_t)GD_MIN(v->o->keep, out->count) * (size_t)v->shape.width *
                             sizeof(float),
                         "features"));
    if (v->o->pool)
        GD_TRY(gd_moments_make(&v->pool, v->shape.width));
    if (v->o->spatial && v->shape.spatial > 0)
        GD_TRY(gd_moments_make(&v->spatial, v->shape.spatial));
    return make_score(v, p->count);
}

static gd_status prepare(pass *p)
{
    const gd_extractor_shape shape = gd_extractor_get_shape(p->view[0].extractor);
    const size_t image = (size_t)gd_images_height(p->images) * (size_t)gd_images_width(p->images) *
                         (size_t)shape.channels;

    for (int i = 0; i < p->n_views; i++)
        GD_TRY(prepare_view(p, &p->view[i]));
    return gd_block_make(&p->pixels, (size_t)p->o->batch * image, "images");
}

/* The first rank has the cache; v->done of all: rows that are there. */
static gd_status open_cache(pass *p, view *v, const char key[33])
{
    gd_status s = GD_OK;

    if (p->o->cache && p->rank == 0)
        s = gd_cache_open(&v->cache, p->o->cache, key, p->count, v->row);
    GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
    v->done = v->cache ? gd_cache_done(v->cache) : 0;
    return gd_dist_broadcast(p->o->dist, &v->done, sizeof v->done);
}

static gd_status begin(pass *p)
{
    GD_TRY(gd_dist_agree(p->o->dist, prepare(p), NULL));
    for (int i = 0; i < p->n_views; i++) {
        char key[33] = "";
        gd_status s = GD_OK;
        if (p->view[i].twin)
            continue;
        if (p->o->cache || p->ranks > 1)
            s = make_key(p, &p->view[i], key);
        GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
        GD_TRY(gd_dist_compare(p->o->dist, key, sizeof key, "images or network",
                               "the same files must be on every host"));
        GD_TRY(open_cache(p, &p->view[i], key));
    }
    return GD_OK;
}

static int64_t fewest_done(const pass *p)
{
    int64_t done = p->count;

    for (int i = 0; i < p->n_views; i++)
        if (!p->view[i].twin)
            done = GD_MIN(done, p->view[i].done);
    return done;
}

/* Rows that all views have: no image is read */
static gd_status old_rows(pass *p, int64_t done)
{
    for (int64_t i = 0; i < done; i += p->o->batch) {
        const int64_t n = GD_MIN(p->o->batch, done - i);
        for (int k = 0; k < p->n_views; k++) {
            view *v = &p->view[k];
            if (!v->twin)
                GD_TRY(gd_cache_read(v->cache, i, n, v->rows));
            GD_TRY(use_rows(v, i, n));
        }
        GD_TRY(tick(p, n));
    }
    return GD_OK;
}

/* This rank's part of a round, through the networks that do not have all of the round's rows */
static gd_status see(pass *p, int64_t first, int64_t n, int64_t round_end)
{
    char name[512];

    if (n == 0)
        return GD_OK;
    GD_TRY(gd_images_skip(p->images, first - p->behind));
    GD_TRY(gd_images_read(p->images, n, p->pixels));
    p->behind = first + n;
    for (int k = 0; k < p->n_views; k++) {
        view *v = &p->view[k];
        float *rows = v->rows + (int64_t)p->rank * p->o->batch * v->row;
        if (v->twin || v->done >= round_end)
            continue;
        const gd_status s = gd_extractor_run(v->extractor, (int)n, p->pixels, rows);
        if (s != GD_OK) {
            gd_images_name(p->images, first, name, sizeof name);
            gd_context("from %s on", name);
            return s;
        }
        GD_TRY(check_rows(p, v, rows, first, n));
    }
    return GD_OK;
}

/* The first rank's: rows of all.  Those that the cache has are not added again. */
static gd_status take_rows(view *v, int64_t first, int64_t n)
{
    const int64_t old = GD_MAX(0, GD_MIN(v->done - first, n));

    if (v->cache && old == n)
        GD_TRY(gd_cache_read(v->cache, first, n, v->rows));
    else if (v->cache)
        GD_TRY(gd_cache_add(v->cache, n - old, v->rows + old * v->row));
    return use_rows(v, first, n);
}

static gd_status take_round(pass *p, int64_t first, int64_t n)
{
    if (p->rank > 0)
        return GD_OK;
    for (int k = 0; k < p->n_views; k++)
        GD_TRY(take_rows(&p->view[k], first, n));
    return tick(p, n);
}

static gd_status gather(pass *p, int64_t round_end)
{
    for (int k = 0; k < p->n_views; k++) {
        view *v = &p->view[k];
        const int64_t part = (int64_t)p->o->batch * v->row;
        if (!v->twin && v->done < round_end)
            GD_TRY(gd_dist_gather(p->o->dist, v->rows + p->rank * part,
                                  (size_t)part * sizeof *v->rows, v->rows));
    }
    return GD_OK;
}

/* Each rank sees a part of every ranks * batch images; a failure of the first rank is reported with
 * the next ones. */
static gd_status new_rows(pass *p, int64_t done)
{
    const int64_t batch = p->o->batch, step = p->ranks * batch;
    gd_status s = GD_OK;

    gd_images_rewind(p->images);
    for (int64_t i = done; i < p->count; i += step) {
        const int64_t n = GD_MIN(step, p->count - i), mine = GD_MIN(p->rank * batch, n);
        gd_dist_step(p->o->dist, i);
        if (s == GD_OK)
            s = see(p, i + mine, GD_MIN(batch, n - mine), i + n);
        GD_TRY(gd_dist_agree(p->o->dist, s, NULL));
        GD_TRY(gather(p, i + n));
        s = take_round(p, i, n);
    }
    return gd_dist_agree(p->o->dist, s, NULL);
}

static gd_status finish_view(view *v)
{
    gd_survey *out = v->out;

    if (v->cache)
        GD_TRY(gd_cache_finish(v->cache));
    if (v->pool)
        GD_TRY(gd_moments_finish(v->pool, &out->pool));
    if (v->spatial)
        GD_TRY(gd_moments_finish(v->spatial, &out->spatial));
    if (v->score)
        out->inception_score = gd_inception_score_value(v->score, &out->score_spread);
    return GD_OK;
}

static gd_status finish(pass *p)
{
    for (int i = 0; i < p->n_views && p->rank == 0; i++)
        GD_TRY(finish_view(&p->view[i]));
    return GD_OK;
}

static gd_status run(pass *p)
{
    int64_t done;

    GD_TRY(begin(p));
    done = fewest_done(p);
    GD_TRY(gd_dist_agree(p->o->dist, p->rank == 0 ? old_rows(p, done) : GD_OK, NULL));
    GD_TRY(new_rows(p, done));
    return gd_dist_agree(p->o->dist, finish(p), NULL);
}

static view *earlier(pass *p, int n, const gd_extractor *e)
{
    for (int i = 0; i < n; i++)
        if (p->view[i].extractor == e)
            return &p->view[i];
    return NULL;
}

gd_status gd_survey_run_all(gd_survey *const *out, gd_extractor *const *e, int n, gd_images *images,
                            const gd_survey_options *o)
{
    pass p = { .o = o,
               .images = images,
               .count = gd_images_count(images),
               .rank = gd_dist_rank(o->dist),
               .ranks = gd_dist_ranks(o->dist),
               .n_views = n };
    gd_status s;

    for (int i = 0; i < n; i++)
        p.view[i] =
            (view){ .o = &o[i], .out = out[i], .extractor = e[i], .twin = earlier(&p, i, e[i]) };
    s = run(&p);
    for (int i = 0; i < n; i++) {
        gd_cache_close(p.view[i].cache);
        gd_moments_free(p.view[i].pool);
        gd_moments_free(p.view[i].spatial);
        gd_inception_score_free(p.view[i].score);
        gd_block_free(p.view[i].rows);
    }
    gd_block_free(p.pixels);
    return s;
}

gd_status gd_survey_run(gd_survey *out, gd_extractor *e, gd_images *images,
                        const gd_survey_options *o)
{
    return gd_survey_run_all(&out, &e, 1, images, o);
}

void gd_survey_free(gd_survey *s)
{
    gd_statistics_free(&s->pool);
    gd_statistics_free(&s->spatial);
    gd_block_free(s->features);
    gd_block_free(s->rows);
    *s = (gd_survey){ 0 };
}
