/* SPDX-License-Identifier: MIT */
/* eval_all.c - guided eval --dialect all: the same images in the features of several programs. Each
 * dialect is a run of its own over the same two sets, whose images are read once. */
#include "jobs/eval.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which ---- */

static gd_status add_dialect(eval_run *r, const char *word, int length)
{
    char name[64];
    const gd_dialect *d;

    snprintf(name, sizeof name, "%.*s", length, word);
    GD_TRY(gd_dialect_read(&d, name));
    for (int i = 0; i < r->n_dialects; i++)
        if (r->dialects[i] == d)
            return gd_fail(GD_EUSAGE, "--dialect %s: %s is there twice", r->o.dialect, name);
    r->dialects[r->n_dialects++] = d;
    return GD_OK;
}

gd_status eval_dialects_read(eval_run *r)
{
    const char *at = r->o.dialect;

    if (strcmp(at, "all") == 0) {
        while (gd_dialect_at(r->n_dialects)) {
            r->dialects[r->n_dialects] = gd_dialect_at(r->n_dialects);
            r->n_dialects++;
        }
    } else {
        do {
            const int n = (int)strcspn(at, ",");
            GD_TRY(add_dialect(r, at, n));
            at += n;
        } while (*at++);
    }
    r->dialect = r->dialects[0];
    return GD_OK;
}

/* ---- one run a dialect ---- */

typedef struct all {
    eval_run *r;   /* what was asked for: the sets, VGG16, the progress */
    eval_run *run; /* [n] */
    int n;
    const char *vgg16; /* NULL: none */
} all;

/* Statistics of a file are those of the program that made it: the authors' features, as far as
 * anybody can tell. */
static void use_stored(eval_side *side, const gd_dialect *d)
{
    if (strcmp(d->rows, gd_dialect_adm.rows) == 0)
        return;
    side->pool_stored = side->spatial_stored = false;
    side->pool = side->spatial = (gd_statistics){ 0 };
}

static void make_run(const all *a, eval_run *run, const gd_dialect *d)
{
    *run = *a->r;
    run->dialect = d;
    run->ref.path = a->r->ref.path;
    use_stored(&run->ref, d);
    use_stored(&run->samples, d);
    for (int k = 0; k < gd_metric_count() && d->fidelity; k++)
        if (gd_metric_at(k)->in_fidelity == GD_FIDELITY_NONE ||
            (gd_metric_at(k)->in_fidelity == GD_FIDELITY_VGG16 && !a->vgg16))
            run->wanted[k] = false;
    if ((!run->ref.pool_stored && run->o.ref && gd_images_count(run->ref.images) == 0) ||
        (!run->samples.pool_stored && gd_images_count(run->samples.images) == 0))
        for (int k = 0; k < gd_metric_count(); k++)
            run->wanted[k] &= !gd_metric_at(k)->frechet;
}

static bool wants_vgg16(const eval_run *r)
{
    for (int k = 0; k < gd_metric_count(); k++)
        if (r->wanted[k] && gd_metric_at(k)->in_fidelity == GD_FIDELITY_VGG16)
            return true;
    return false;
}

static gd_status find_vgg16(all *a)
{
    const char *environment = getenv("GUIDED_VGG16");
    bool fidelity = false;

    for (int i = 0; i < a->n; i++)
        fidelity |= a->r->dialects[i]->fidelity;
    if (a->r->o.vgg16 && !fidelity)
        return gd_fail(GD_EUSAGE, "--vgg16: only torch-fidelity measures in its features");
    a->vgg16 = a->r->o.vgg16 ? a->r->o.vgg16 : environment && *environment ? environment : NULL;
    if (a->vgg16 && !gd_is_vgg16_file(a->vgg16))
        return gd_fail(GD_EFORMAT,
                       "%s: holds no weights of VGG16\nhint: vgg16-397923af.pth of "
                       "torchvision",
                       a->vgg16);
    if (fidelity && !a->vgg16 && wants_vgg16(a->r) && a->r->first)
        gd_log(GD_LOG_NOTE, "torch-fidelity's precision and recall are left out: they are measured "
                            "in VGG16 (--vgg16 vgg16-397923af.pth)");
    return GD_OK;
}

static gd_status make_all(all *a)
{
    GD_TRY(find_vgg16(a));
    GD_TRY(gd_block_make(&a->run, (size_t)a->n * sizeof *a->run, "dialects"));
    for (int i = 0; i < a->n; i++)
        make_run(a, &a->run[i], a->r->dialects[i]);
    return GD_OK;
}

/* ---- the pass over a set ---- */

static eval_side *side_of(eval_run *r, bool ref)
{
    return ref ? &r->ref : &r->samples;
}

typedef struct views {
    gd_survey *out[GD_MOST_VIEWS];
    gd_extractor *extractor[GD_MOST_VIEWS];
    gd_survey_options o[GD_MOST_VIEWS];
    gd_extractor *vgg16; /* ours */
    int n;
} views;

/* The network of an earlier dialect that takes prepared images; NULL: none is there yet */
static const gd_extractor *earlier_network(const all *a, int i)
{
    for (int k = 0; k < i; k++)
        if (a->run[k].dialect->prepare && a->run[k].network.extractor)
            return a->run[k].network.extractor;
    return NULL;
}

/* The first run with the same features owns their extractor. */
static gd_status ready(const all *a, int i, bool ref)
{
    int owner = 0;

    while (strcmp(a->run[owner].dialect->rows, a->run[i].dialect->rows) != 0)
        owner++;
    a->run[owner].network.beside = earlier_network(a, owner);
    GD_TRY(eval_network_ready(&a->run[owner], side_of(&a->run[owner], ref)));
    a->run[i].network = a->run[owner].network;
    return GD_OK;
}

static void add_view(views *v, gd_survey *out, gd_extractor *e, const gd_survey_options *o)
{
    v->out[v->n] = out;
    v->extractor[v->n] = e;
    v->o[v->n++] = *o;
}

static gd_status add_vgg16(const all *a, views *v, eval_run *run, bool ref)
{
    eval_side *side = side_of(run, ref);
    const gd_survey_options o = { .cache = run->o.cache,
                                  .tag = "VGG16",
                                  .batch = run->o.batch,
                                  .dist = run->dist,
                                  .keep = gd_images_count(side->images) };

    GD_TRY(gd_extractor_vgg16(&v->vgg16, a->vgg16, run->o.batch, gd_images_height(side->images),
                              gd_images_width(side->images)));
    add_view(v, &side->vgg16, v->vgg16, &o);
    return GD_OK;
}

static gd_status make_views(const all *a, views *v, bool ref)
{
    for (int i = 0; i < a->n; i++) {
        eval_run *run = &a->run[i];
        eval_side *side = side_of(run, ref);
        if (!eval_needs_images(run, side))
            continue;
        GD_TRY(ready(a, i, ref));
        gd_survey_options o = eval_survey_options(run, side);
        o.ctx = a->r;
        add_view(v, &side->survey, run->network.extractor, &o);
        if (run->dialect->fidelity && wants_vgg16(run))
            GD_TRY(add_vgg16(a, v, run, ref));
    }
    return GD_OK;
}

static gd_status survey(const all *a, bool ref)
{
    views v = { .n = 0 };
    gd_status s = gd_dist_agree(a->r->dist, make_views(a, &v, ref), NULL);

    if (s == GD_OK && v.n > 0)
        s = gd_survey_run_all(v.out, v.extractor, v.n, side_of(a->r, ref)->images, v.o);
    gd_extractor_free(v.vgg16);
    for (int i = 0; i < a->n; i++)
        eval_take_survey(&a->run[i], side_of(&a->run[i], ref));
    return s;
}

static gd_status survey_both(const all *a)
{
    eval_run *r = a->r;
    const int64_t n_ref = r->o.ref ? gd_images_count(r->ref.images) : 0;

    job_progress_start(&r->progress, "images", n_ref + gd_images_count(r->samples.images),
                       r->o.quiet);
    if (r->o.ref)
        GD_TRY(survey(a, true));
    GD_TRY(survey(a, false));
    job_progress_end(&r->progress);
    return GD_OK;
}

/* ---- the table ---- */

/* A figure in a column, where a run has it */
static bool find_figure(eval_figure *f, const eval_run *r, const gd_figure *figure)
{
    for (*f = (eval_figure){ 0 }; eval_next_figure(f, r);)
        if (f->figure == figure)
            return true;
    return false;
}

/* The figures that any run has, in the order of the table of metrics */
static int list_columns(const gd_figure *out[GD_MAX_METRICS * GD_MAX_FIGURES], const all *a)
{
    eval_figure f;
    int n = 0;

    for (int k = 0; k < gd_metric_count() * GD_MAX_FIGURES; k++) {
        const gd_figure *g = &gd_metric_at(k / GD_MAX_FIGURES)->figure[k % GD_MAX_FIGURES];
        bool any = false;
        for (int i = 0; i < a->n && g->name && !g->minor; i++)
            any |= find_figure(&f, &a->run[i], g);
        if (any)
            out[n++] = g;
    }
    return n;
}

/* A line for each dialect: names are longer than numbers */
static void print_table(const all *a)
{
    const gd_figure *column[GD_MAX_METRICS * GD_MAX_FIGURES];
    const int n = list_columns(column, a);

    fprintf(job_out(), "%-28s", "dialect");
    for (int k = 0; k < n; k++)
        fprintf(job_out(), " %16s", column[k]->name);
    fprintf(job_out(), "\n");
    for (int i = 0; i < a->n; i++) {
        fprintf(job_out(), "%-28s", a->run[i].dialect->name);
        for (int k = 0; k < n; k++) {
            char text[64] = "-";
            eval_figure f;
            if (find_figure(&f, &a->run[i], column[k]))
                snprintf(text, sizeof text, column[k]->format, f.value);
            fprintf(job_out(), " %16s", text);
        }
        fprintf(job_out(), "\n");
    }
    fprintf(job_out(), "\n");
    for (int i = 0; i < a->n; i++) {
        const gd_dialect *d = a->run[i].dialect;
        fprintf(job_out(), "%-28s %s: %s%s%s\n", d->name, d->program, d->input,
                *d->statistic ? "; " : "", d->statistic);
    }
}

static gd_status put_json(const all *a)
{
    json_t *j, *list;

    if (a->n == 1)
        return eval_put_json(a->r, eval_report_object(&a->run[0]));
    j = json_object();
    list = json_array();
    for (int i = 0; i < a->n; i++)
        json_array_append_new(list, eval_report_object(&a->run[i]));
    json_object_set_new(j, "dialects", list);
    return eval_put_json(a->r, j);
}

/* ---- the distances of all dialects, side by side ---- */

enum { MOST_AT_ONCE = 8 };
typedef struct distances {
    const gd_statistics *a[MOST_AT_ONCE], *b[MOST_AT_ONCE];
    double *to[MOST_AT_ONCE], value[MOST_AT_ONCE];
    int n;
} distances;

static gd_status flush(distances *d)
{
    GD_TRY(gd_frechet_all(d->value, d->a, d->b, d->n));
    for (int i = 0; i < d->n; i++)
        *d->to[i] = d->value[i];
    d->n = 0;
    return GD_OK;
}

static gd_status add_distance(distances *d, double *to, const gd_statistics *samples,
                              const gd_statistics *ref)
{
    d->a[d->n] = samples;
    d->b[d->n] = ref;
    d->to[d->n++] = to;
    return d->n == MOST_AT_ONCE ? flush(d) : GD_OK;
}

/* The first run with the same features, whose distances are those of this one */
static eval_run *twin(const all *a, int i)
{
    for (int k = 0; k < i; k++)
        if (strcmp(a->run[k].dialect->rows, a->run[i].dialect->rows) == 0)
            return &a->run[k];
    return NULL;
}

static gd_status measure_distances(const all *a)
{
    distances d = { .n = 0 };

    for (int i = 0; i < a->n; i++) {
        eval_run *run = &a->run[i];
        run->has_frechet = true;
        for (int k = 0; k < gd_metric_count() && !twin(a, i); k++) {
            const gd_need kind = gd_metric_at(k)->frechet;
            if (run->wanted[k] && kind)
                GD_TRY(add_distance(&d, &run->result[k].value[0],
                                    eval_statistics(&run->samples, kind),
                                    eval_statistics(&run->ref, kind)));
        }
    }
    if (d.n > 0)
        GD_TRY(flush(&d));
    for (int i = 0; i < a->n; i++)
        for (int k = 0; k < gd_metric_count() && twin(a, i); k++)
            if (gd_metric_at(k)->frechet)
                a->run[i].result[k].value[0] = twin(a, i)->result[k].value[0];
    return GD_OK;
}

static gd_status finish(all *a)
{
    eval_run *r = a->r;

    GD_TRY(measure_distances(a));
    for (int i = 0; i < a->n; i++)
        GD_TRY(eval_measure(&a->run[i]));
    r->seconds = gd_seconds() - r->start;
    if (r->o.card)
        GD_TRY(eval_card(r, a->run, a->n));
    if (r->o.json)
        GD_TRY(put_json(a));
    if (!r->o.json || *r->o.json)
        print_table(a);
    if (!r->o.quiet)
        eval_report_cost(r);
    for (int i = 0; i < a->n; i++)
        GD_TRY(eval_check_limits(&a->run[i]));
    return GD_OK;
}

/* What belongs to the run that was asked for is not the dialects' to free. */
static void spare(gd_statistics *s, const gd_statistics *of)
{
    if (s->mean == of->mean)
        *s = (gd_statistics){ 0 };
}

static void release_side(eval_side *side, const eval_side *of)
{
    side->images = NULL;
    spare(&side->pool, &of->pool);
    spare(&side->spatial, &of->spatial);
    eval_close(side);
}

static void release(all *a)
{
    for (int i = a->run ? a->n - 1 : -1; i >= 0; i--) {
        eval_run *run = &a->run[i];
        for (int k = 0; k < i; k++)
            if (a->run[k].network.extractor == run->network.extractor)
                run->network.extractor = NULL;
        gd_extractor_free(run->network.extractor);
        gd_block_free(run->classes);
        eval_forget_results(run);
        release_side(&run->ref, &a->r->ref);
        release_side(&run->samples, &a->r->samples);
    }
    gd_block_free(a->run);
}

gd_status eval_all(eval_run *r)
{
    all a = { .r = r, .n = r->n_dialects };
    gd_status s = gd_dist_agree(r->dist, eval_open_both(r), NULL);

    if (s == GD_OK)
        s = gd_dist_agree(r->dist, make_all(&a), NULL);
    if (s == GD_OK)
        s = survey_both(&a);
    if (s == GD_OK) {
        gd_dist_allow(r->dist, 3600);
        s = gd_dist_agree(r->dist, r->first ? finish(&a) : GD_OK, NULL);
    }
    release(&a);
    return s;
}
