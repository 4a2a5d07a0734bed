/* lint.c - one pass over a set, its images a batch at a time on all threads; what is kept of an
 * image are 180 bytes. */
#include "eval/lint.h"

#include <stdlib.h>

enum { BATCH = 64 };

typedef struct look {
    const gd_dataset *set;
    int64_t first;
    gd_lint_image *image; /* [BATCH] */
    gd_lint_sums *sums;   /* [BATCH] */
    gd_status status[BATCH];
} look;

static gd_status look_at_one(const look *l, int64_t i)
{
    gd_image image = { 0 };

    GD_TRY(gd_dataset_read(l->set, l->first + i, &image));
    const gd_status s = gd_lint_look(&l->image[i], &l->sums[i], &image);
    gd_image_free(&image);
    return s;
}

static void look_in_parallel(void *ctx, int64_t i)
{
    look *l = ctx;
    l->status[i] = look_at_one(l, i);
}

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
static gd_status look_at_batch(look *l, gd_lint_sums *sums, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        l->sums[i] = (gd_lint_sums){ .pixels = 0 };
    gd_par(n, look_in_parallel, l);
    for (int64_t i = 0; i < n; i++) {
        if (l->status[i] != GD_OK) /* the message was another thread's */
            GD_TRY(look_at_one(l, i));
        add(sums, &l->sums[i]);
    }
    return GD_OK;
}

/* image: [count], or NULL: sums alone are wanted */
static gd_status look_at_set(const gd_dataset *set, gd_lint_image *image, gd_lint_sums *sums,
                             const gd_lint_options *o)
{
    const int64_t count = gd_dataset_count(set);
    gd_lint_image *spare = calloc(BATCH, sizeof *spare);
    look l = { .set = set, .sums = calloc(BATCH, sizeof *l.sums) };
    gd_status s = GD_OK;

    if (!spare || !l.sums)
        s = gd_fail(GD_ENOMEM, "lint: out of memory");
    for (l.first = 0; l.first < count && s == GD_OK; l.first += BATCH) {
        const int64_t n = GD_MIN(BATCH, count - l.first);
        l.image = image ? image + l.first : spare;
        s = look_at_batch(&l, sums, n);
        for (int64_t i = 0; i < n && s == GD_OK && o->tick; i++)
            s = o->tick(o->ctx);
    }
    free(spare);
    free(l.sums);
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

gd_status gd_lint_run(gd_lint *out, gd_dataset *set, const gd_lint_options *o)
{
    const int64_t n = gd_dataset_count(set);
    gd_lint_sums sums = { .pixels = 0 }, ref = { .pixels = 0 };
    gd_lint_image *image;
    int32_t *copy = NULL;
    gd_status s;

    *out = (gd_lint){ .count = n };
    if (n > INT32_MAX)
        return gd_fail(GD_EUSAGE, "lint: %lld images are too many", (long long)n);
    GD_TRY(gd_block_make((void **)&image, (size_t)n * sizeof *image, "images"));
    s = gd_block_make((void **)&copy, (size_t)(2 * n) * sizeof *copy, "copies");
    if (s == GD_OK)
        s = look_at_set(set, image, &sums, o);
    if (s == GD_OK && o->ref)
        s = look_at_set(o->ref, NULL, &ref, o);
    if (s == GD_OK)
        s = gd_lint_copies(copy, copy + n, image, n);
    if (s == GD_OK)
        s = hash_all(out->hash, image, n);
    if (s == GD_OK) {
        const gd_lint_evidence e = { set, image, copy, copy + n, &sums, o->ref ? &ref : NULL };
        gd_lint_judge(out, &e);
    }
    gd_block_free(image);
    gd_block_free(copy);
    return s;
}
