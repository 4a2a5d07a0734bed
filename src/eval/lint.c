/* SPDX-License-Identifier: MIT */
/* lint.c - one pass over a set, a batch of images at a time; what is kept of an image are 180
 * bytes. */
#include "eval/lint.h"

#include <stdlib.h>

static void add(gd_lint_sums *to, const gd_lint_sums *s)
{
    for (int v = 0; v < 256; v++)
        to->level[v] += s->level[v];
    for (int a = 0; a < 2; a++)
        for (int k = 0; k < GD_LINT_PHASES; k++)
            to->phase[a][k] += s->phase[a][k];
    for (int c = 0; c < 3; c++) {
        to->channel[c] += s->channel[c];
        to->square[c] += s->square[c];
    }
    to->pixels += s->pixels;
}

/* In order of the index: the same bits for any number of threads */
static gd_status look_at_batch(gd_lint_set *set, int64_t first, int64_t n, gd_lint_image *image,
                               gd_lint_sums *each, gd_lint_sums *sums)
{
    for (int64_t i = 0; i < n; i++)
        each[i] = (gd_lint_sums){ .pixels = 0 };
    GD_TRY(gd_lint_set_look(set, first, n, image, each));
    for (int64_t i = 0; i < n; i++)
        add(sums, &each[i]);
    return GD_OK;
}

/* image: [count], or NULL: sums alone are wanted */
static gd_status look_at_set(gd_lint_set *set, gd_lint_image *image, gd_lint_sums *sums,
                             const gd_lint_options *o)
{
    const int64_t count = gd_lint_set_count(set);
    gd_lint_image *spare = calloc(GD_LINT_BATCH, sizeof *spare);
    gd_lint_sums *each = calloc(GD_LINT_BATCH, sizeof *each);
    gd_status s = GD_OK;

    if (!spare || !each)
        s = gd_fail(GD_ENOMEM, "lint: out of memory");
    for (int64_t first = 0; first < count && s == GD_OK; first += GD_LINT_BATCH) {
        const int64_t n = GD_MIN(GD_LINT_BATCH, count - first);
        s = look_at_batch(set, first, n, image ? image + first : spare, each, sums);
        for (int64_t i = 0; i < n && s == GD_OK && o->tick; i++)
            s = o->tick(o->ctx);
    }
    free(spare);
    free(each);
    return s;
}

static gd_status hash_all(char text[33], const gd_lint_image *image, int64_t n)
{
    gd_hasher *h;

    GD_TRY(gd_hasher_make(&h));
    for (int64_t i = 0; i < n; i++)
        gd_hasher_add(h, image[i].hash, sizeof image[i].hash);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    return GD_OK;
}

typedef struct work {
    gd_lint_set *set, *ref;
    gd_labels_of labels;
    gd_lint_image *image;
    int32_t *copy; /* [2][count]: copies, near copies */
} work;

static gd_status open_sets(work *w, const char *path, const gd_lint_options *o)
{
    int64_t n;

    GD_TRY(gd_lint_set_open(&w->set, path));
    n = gd_lint_set_count(w->set);
    if (n > INT32_MAX)
        return gd_fail(GD_EUSAGE, "lint: %lld images are too many", (long long)n);
    if (o->ref)
        GD_TRY(gd_lint_set_open(&w->ref, o->ref));
    GD_TRY(gd_labels_open(&w->labels, path, n));
    GD_TRY(gd_block_make(&w->image, (size_t)n * sizeof *w->image, "images"));
    return gd_block_make(&w->copy, (size_t)(2 * n) * sizeof *w->copy, "copies");
}

static gd_status run(gd_lint *out, work *w, const gd_lint_options *o)
{
    const int64_t n = gd_lint_set_count(w->set);
    gd_lint_sums sums = { .pixels = 0 }, ref = { .pixels = 0 };

    out->count = n;
    if (o->begin)
        o->begin(o->ctx, n + (w->ref ? gd_lint_set_count(w->ref) : 0));
    GD_TRY(look_at_set(w->set, w->image, &sums, o));
    if (w->ref)
        GD_TRY(look_at_set(w->ref, NULL, &ref, o));
    GD_TRY(gd_lint_copies(w->copy, w->copy + n, w->image, n));
    GD_TRY(hash_all(out->hash, w->image, n));
    const gd_lint_evidence e = { &w->labels,  w->image, w->copy,
                                 w->copy + n, &sums,    w->ref ? &ref : NULL };
    gd_lint_judge(out, &e);
    return GD_OK;
}

gd_status gd_lint_run(gd_lint *out, const char *path, const gd_lint_options *o)
{
    work w = { 0 };
    gd_status s;

    *out = (gd_lint){ 0 };
    s = open_sets(&w, path, o);
    if (s == GD_OK)
        s = run(out, &w, o);
    gd_lint_set_close(w.set);
    gd_lint_set_close(w.ref);
    gd_labels_free(&w.labels);
    gd_block_free(w.image);
    gd_block_free(w.copy);
    return s;
}
