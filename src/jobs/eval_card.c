/* SPDX-License-Identifier: MIT */
/* eval_card.c - guided eval --card: numbers with intervals, what they rest on, what is odd about
 * the sets, samples and the reference images nearest to them. */
#include "jobs/eval.h"

#include "eval/card.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { GRID = 64, GRID_SIDE = 8, MOST_SIDE = 64 };

/* ---- names ---- */

static gd_status json_path(char out[GD_MAX_PATH], const char *card)
{
    const char *suffix = gd_suffix(card);

    if (snprintf(out, GD_MAX_PATH, "%.*s.json", (int)(strlen(card) - strlen(suffix)), card) <
        GD_MAX_PATH)
        return GD_OK;
    return gd_fail(GD_EUSAGE, "--card %.200s: too long a path", card);
}

gd_status eval_card_check(const eval_run *r)
{
    const gd_replace replace = r->o.overwrite ? GD_OVERWRITE : GD_KEEP;
    char json[GD_MAX_PATH];

    GD_TRY(gd_suffix_check(r->o.card, "html", "--card X.html"));
    if (!gd_ends_with(r->o.card, ".html"))
        return gd_fail(GD_EUSAGE, "--card %s: expected a name that ends in .html", r->o.card);
    GD_TRY(json_path(json, r->o.card));
    GD_TRY(gd_file_check(json, replace));
    return gd_file_check(r->o.card, replace);
}

/* ---- numbers ---- */

static void add(gd_card *c, gd_card_row *row, const char *name, double value, double deviation)
{
    int k = 0;

    while (k < c->n_columns && strcmp(c->column[k], name) != 0)
        k++;
    if (k == GD_CARD_COLUMNS)
        return;
    c->column[k] = name;
    c->n_columns = GD_MAX(c->n_columns, k + 1);
    row->value[k] = value;
    row->deviation[k] = deviation > 0 ? deviation : NAN;
}

static void add_run(gd_card *c, const eval_run *r)
{
    const bool vgg16 = r->dialect->fidelity;
    const int64_t n = vgg16 ? r->samples.vgg16.kept : r->samples.survey.kept,
                  n_ref = vgg16 ? r->ref.vgg16.kept : r->ref.survey.kept;
    gd_card_row *row = &c->row[c->n_rows++];

    for (int k = 0; k < GD_CARD_COLUMNS; k++)
        row->value[k] = row->deviation[k] = NAN;
    row->name = *r->network.vit ? r->network.vit : r->o.features ? "classifier" : r->dialect->name;
    row->note = r->o.features ? "numbers in these features compare with nothing but numbers in the "
                                "same features"
                              : r->dialect->input;
    for (eval_figure f = { 0 }; eval_next_figure(&f, r);)
        if (f.name && !f.figure->minor)
            add(c, row, f.name, f.value, gd_figure_error(f.figure, f.value, f.deviation, n, n_ref));
}

/* ---- facts ---- */

static char *fact(gd_card *c, const char *name)
{
    c->fact[c->n_facts].name = name;
    return c->fact[c->n_facts++].text;
}

/* What the report says of a published reference */
static void add_protocol(gd_card *c, const eval_run *r)
{
    const size_t size = sizeof c->fact[0].text;
    json_t *j = json_object();
    const json_t *cautions;

    eval_protocol_set(j, r);
    cautions = json_object_get(j, "cautions");
    if (cautions)
        snprintf(fact(c, "protocol"), size, "by name and shape %s",
                 json_string_value(json_object_get(j, "reference_known_as")));
    for (size_t i = 0; i < json_array_size(cautions); i++)
        snprintf(fact(c, "caution"), size, "%s", json_string_value(json_array_get(cautions, i)));
    json_decref(j);
}

static void add_facts(gd_card *c, const eval_run *r, const gd_lint *samples, const gd_lint *ref)
{
    const size_t size = sizeof c->fact[0].text;

    snprintf(fact(c, "samples"), size, "%.300s: %lld images, %d x %d", r->samples.path,
             (long long)gd_images_count(r->samples.images), gd_images_width(r->samples.images),
             gd_images_height(r->samples.images));
    snprintf(fact(c, "their pixels"), size, "XXH3-128 %s", samples ? samples->hash : "not known");
    if (r->o.ref) {
        snprintf(fact(c, "reference"), size, "%.300s: %lld images%s", r->ref.path,
                 (long long)gd_images_count(r->ref.images),
                 r->ref.pool_stored ? ", statistics as stored in the file" : "");
        snprintf(fact(c, "their pixels"), size, "XXH3-128 %s", ref ? ref->hash : "not known");
    }
    add_protocol(c, r);
    snprintf(fact(c, "network"), size, "%s, %.300s",
             r->network.extractor ? gd_extractor_format(r->network.extractor) : "none was needed",
             r->network.path ? r->network.path : "");
    snprintf(fact(c, "its weights"), size, "XXH3-128 %s", r->network.hash);
    if (r->o.bootstrap > 0)
        snprintf(fact(c, "intervals"), size,
                 "one standard deviation over %d sets drawn again from the samples (seed %llu); of "
                 "shares sqrt(p (1 - p) / n); of KID and FID infinity the standard error",
                 r->o.bootstrap, (unsigned long long)r->o.seed);
    snprintf(fact(c, "program"), size, "guided %s", GUIDED_VERSION);
}

/* ---- pictures ---- */

/* Image `index` of a set, in the channels that it was read in.  Free with gd_image_free. */
static gd_status picture(gd_image *out, const eval_run *r, gd_images *images, int64_t index)
{
    *out = (gd_image){ gd_images_width(images), gd_images_height(images), r->network.shape.channels,
                       NULL };
    GD_TRY(gd_block_make(
        &out->pixels, (size_t)out->width * (size_t)out->height * (size_t)out->channels, "image"));
    gd_images_rewind(images);
    GD_TRY(gd_images_skip(images, index));
    return gd_images_read(images, 1, out->pixels);
}

/* At most MOST_SIDE wide: a card is a small file. */
static gd_status small_picture(gd_image *out, const eval_run *r, gd_images *images, int64_t index)
{
    gd_image whole = { 0 };
    gd_status s = picture(&whole, r, images, index);
    const double shrink = (double)MOST_SIDE / GD_MAX(GD_MAX(whole.width, whole.height), 1);

    if (s == GD_OK && shrink < 1) {
        s = gd_resize(out, &whole, GD_MAX((int)(whole.width * shrink), 1),
                      GD_MAX((int)(whole.height * shrink), 1), GD_FILTER_BICUBIC);
        gd_image_free(&whole);
        return s;
    }
    *out = whole;
    return s;
}

/* 64 samples that stand evenly over the set */
static gd_status make_grid(gd_card *c, const eval_run *r)
{
    gd_images *images = r->samples.images;
    const int64_t count = gd_images_count(images), n = GD_MIN(count, GRID);
    const int rows = (int)((n + GRID_SIDE - 1) / GRID_SIDE);

    for (int64_t i = 0; i < n; i++) {
        gd_image one = { 0 };
        gd_status s = small_picture(&one, r, images, gd_survey_place(i, n, count));
        if (s == GD_OK && i == 0) {
            c->grid = (gd_image){ one.width * GRID_SIDE, one.height * rows, one.channels, NULL };
            s = gd_block_make(&c->grid.pixels,
                              (size_t)c->grid.width * (size_t)c->grid.height * (size_t)one.channels,
                              "grid");
        }
        const size_t row = (size_t)one.width * (size_t)one.channels;
        for (int y = 0; y < one.height && s == GD_OK; y++)
            memcpy(c->grid.pixels + ((size_t)(i / GRID_SIDE * one.height + y) * GRID_SIDE +
                                     (size_t)(i % GRID_SIDE)) *
                                        row,
                   one.pixels + (size_t)y * row, row);
        gd_image_free(&one);
        GD_TRY(s);
    }
    return GD_OK;
}

static gd_status make_pairs(gd_card *c, const eval_run *r)
{
    const gd_memorisation *m = c->memorisation;

    for (int i = 0; i < m->n_pairs; i++) {
        c->pair_image[i][0] = m->pair[i].sample;
        c->pair_image[i][1] = m->pair[i].ref;
        GD_TRY(small_picture(&c->pair[i][0], r, r->samples.images, c->pair_image[i][0]));
        GD_TRY(small_picture(&c->pair[i][1], r, r->ref.images, c->pair_image[i][1]));
    }
    return GD_OK;
}

/* ---- the card ---- */

static gd_status put_html(const eval_run *r, const gd_card *c)
{
    char *text;
    size_t bytes;
    gd_status s;

    GD_TRY(gd_card_html(&text, &bytes, c));
    s = gd_file_put(r->o.card, r->o.overwrite ? GD_OVERWRITE : GD_KEEP, text, bytes);
    gd_block_free(text);
    return s;
}

static gd_status put_json(const eval_run *r, const eval_run *run, int n, const gd_lint *samples,
                          const gd_lint *ref)
{
    json_t *j = json_object(), *list = json_array();
    char path[GD_MAX_PATH], *text;
    gd_status s;

    GD_TRY(json_path(path, r->o.card));
    for (int i = 0; i < n; i++)
        json_array_append_new(list, eval_report_object(&run[i]));
    json_object_set_new(j, "dialects", list);
    if (samples)
        json_object_set_new(j, "sample_lint", eval_lint_object(samples, r->samples.path));
    if (ref)
        json_object_set_new(j, "reference_lint", eval_lint_object(ref, r->ref.path));
    text = gd_json_dump(j, JSON_INDENT(1));
    json_decref(j);
    if (!text)
        return gd_fail(GD_ENOMEM, "card: out of memory");
    s = gd_file_put(path, r->o.overwrite ? GD_OVERWRITE : GD_KEEP, text, strlen(text));
    free(text);
    return s;
}

static gd_status fill(gd_card *c, const eval_run *r, const eval_run *run, int n)
{
    const eval_run *first = &run[0];

    snprintf(c->title, sizeof c->title, "%.200s beside %.200s", r->samples.path,
             r->o.ref ? r->ref.path : "no reference");
    for (int i = 0; i < n; i++)
        add_run(c, &run[i]);
    c->infinity = first->result[gd_metric_index(&gd_metric_infinity)].more;
    c->memorisation = first->result[gd_metric_index(&gd_metric_memorisation)].more;
    c->classes = first->classes;
    c->n_classes = first->n_classes;
    GD_TRY(make_grid(c, first));
    return c->memorisation ? make_pairs(c, first) : GD_OK;
}

/* A set of several files, or of statistics alone, is not looked at. */
static gd_status lint_side(const gd_lint **out, gd_lint *space, const eval_run *r,
                           const eval_side *side, const char *ref)
{
    *out = NULL;
    if (!side->images || gd_images_count(side->images) == 0 || !gd_path_exists(side->path))
        return GD_OK;
    GD_TRY(eval_lint_set(space, side->path, ref, r->o.quiet));
    *out = space;
    return GD_OK;
}

static void release(gd_card *c)
{
    gd_image_free(&c->grid);
    for (int i = 0; i < GD_PAIRS; i++)
        for (int k = 0; k < 2; k++)
            gd_image_free(&c->pair[i][k]);
    gd_block_free(c);
}

gd_status eval_card(const eval_run *r, const eval_run *run, int n)
{
    gd_lint space[2];
    gd_card *c;
    gd_status s;

    GD_TRY(gd_block_make(&c, sizeof *c, "card"));
    s = lint_side(&c->lint[1], &space[1], r, &r->ref, NULL);
    if (s == GD_OK)
        s = lint_side(&c->lint[0], &space[0], r, &r->samples, c->lint[1] ? r->ref.path : NULL);
    if (s == GD_OK)
        s = fill(c, r, run, n);
    if (s == GD_OK) {
        add_facts(c, &run[0], c->lint[0], c->lint[1]);
        s = put_html(r, c);
    }
    if (s == GD_OK)
        s = put_json(r, run, n, c->lint[0], c->lint[1]);
    release(c);
    return s;
}
