/* SPDX-License-Identifier: MIT */
/* eval_metrics.c - the metrics of guided eval: which are wanted, their values and limits. */
#include "jobs/eval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- which ---- */

bool eval_wants(const eval_run *r, const gd_metric *m)
{
    return r->wanted[gd_metric_index(m)];
}

unsigned eval_needs(const eval_run *r)
{
    unsigned needs = 0;

    for (int k = 0; k < gd_metric_count(); k++)
        if (r->wanted[k])
            needs |= gd_metric_at(k)->needs;
    return needs;
}

static gd_status check_network(const eval_run *r, const gd_metric *m)
{
    const eval_network *n = &r->network;
    const char *name = *n->vit ? n->vit : "a classifier";
    const unsigned missing = gd_metric_missing(m, &n->shape);

    if (missing & GD_NEED_SPATIAL)
        return gd_fail(GD_EUSAGE, "--metrics %s: %s has no spatial features", m->word, name);
    if (missing & GD_NEED_SCORE)
        return gd_fail(GD_EUSAGE,
                       "--metrics %s: %s has no classes\nhint: fd, kid, pr, dc need none", m->word,
                       name);
    if (missing & GD_NEED_UNIT_LENGTH)
        return gd_fail(GD_EUSAGE,
                       "--metrics %s: is measured in CLIP's features\nhint: --features FILE of "
                       "openai/clip-vit-large-patch14-336 (pytorch_model.bin)",
                       m->word);
    return GD_OK;
}

static gd_status unknown_metric(const char *word, int length)
{
    char words[256];

    gd_metric_words(words, sizeof words);
    return gd_fail(GD_EUSAGE,
                   "--metrics %.*s: expected some of %s\nhint: guided help metrics says what they "
                   "are",
                   length, word, words);
}

static gd_status read_list(eval_run *r)
{
    for (const char *at = r->o.metrics; *at;) {
        const size_t n = strcspn(at, ",");
        const int k = gd_metric_find(at, n);
        if (k < 0)
            return unknown_metric(at, (int)n);
        r->wanted[k] = true;
        if (gd_metric_at(k)->with)
            r->wanted[gd_metric_index(gd_metric_at(k)->with)] = true;
        at += n + (at[n] == ',');
    }
    for (int k = 0; k < gd_metric_count(); k++)
        if (r->wanted[k])
            GD_TRY(check_network(r, gd_metric_at(k)));
    return GD_OK;
}

gd_status eval_metrics_choose(eval_run *r)
{
    if (r->o.metrics)
        return read_list(r);
    for (int k = 0; k < gd_metric_count(); k++)
        r->wanted[k] =
            gd_metric_at(k)->standard && !gd_metric_missing(gd_metric_at(k), &r->network.shape);
    return GD_OK;
}

/* ---- limits ---- */

static gd_status bad_limits(const eval_run *r)
{
    char words[256] = "";
    size_t used = 0;

    for (int k = 0; k < gd_metric_count() && used < sizeof words; k++)
        if (gd_metric_at(k)->has_limit)
            used += (size_t)snprintf(words + used, sizeof words - used, "%s%s=%s", used ? ", " : "",
                                     gd_metric_at(k)->word, used ? "" : "NUMBER");
    return gd_fail(GD_EUSAGE, "--fail-above %s: expected %s", r->o.fail_above, words);
}

gd_status eval_limits_read(eval_run *r)
{
    for (int k = 0; k < gd_metric_count(); k++)
        r->limit[k] = INFINITY;
    for (const char *at = r->o.fail_above; at && *at;) {
        const size_t n = strcspn(at, "=");
        const int k = gd_metric_find(at, n);
        char *end;
        if (k < 0 || !gd_metric_at(k)->has_limit || at[n] != '=')
            return bad_limits(r);
        r->limit[k] = strtod(at + n + 1, &end);
        if (end == at + n + 1 || (*end && *end != ',') || !isfinite(r->limit[k]))
            return bad_limits(r);
        if (!r->wanted[k])
            return gd_fail(GD_EUSAGE, "--fail-above %s: %s is not among --metrics", r->o.fail_above,
                           gd_metric_at(k)->word);
        at = end + (*end == ',');
    }
    return GD_OK;
}

gd_status eval_check_limits(const eval_run *r)
{
    for (int k = 0; k < gd_metric_count(); k++)
        if (isfinite(r->limit[k]) && !(r->result[k].value[0] <= r->limit[k]))
            return gd_fail(GD_EFAILED, "%s is %g, above %g", gd_metric_at(k)->word,
                           r->result[k].value[0], r->limit[k]);
    return GD_OK;
}

/* ---- values ---- */

gd_features eval_features(const eval_run *r, const eval_side *side)
{
    return (gd_features){ side->survey.features, side->survey.kept, r->network.shape.width };
}

const gd_statistics *eval_statistics(const eval_side *side, gd_need kind)
{
    return kind == GD_NEED_POOL ? &side->pool : &side->spatial;
}

static gd_status measure_frechet(eval_run *r)
{
    const gd_statistics *a[GD_MAX_METRICS], *b[GD_MAX_METRICS];
    double value[GD_MAX_METRICS];
    int of[GD_MAX_METRICS], n = 0;

    for (int k = 0; k < gd_metric_count(); k++) {
        const gd_need kind = gd_metric_at(k)->frechet;
        if (!r->wanted[k] || !kind)
            continue;
        a[n] = eval_statistics(&r->samples, kind);
        b[n] = eval_statistics(&r->ref, kind);
        of[n++] = k;
    }
    GD_TRY(gd_frechet_all(value, a, b, n));
    for (int i = 0; i < n; i++)
        r->result[of[i]].value[0] = value[i];
    return GD_OK;
}

static gd_status tick_draw(void *ctx)
{
    eval_run *r = ctx;

    job_progress_step(&r->progress);
    return gd_stop_wanted() ? gd_fail(GD_EINTERRUPTED, "stopped in the bootstrap") : GD_OK;
}

static gd_varied varied_of(const eval_run *r, const gd_metric *m)
{
    const gd_extractor_shape *shape = &r->network.shape;

    if (m->frechet == GD_NEED_POOL)
        return (gd_varied){ &r->ref.pool, 0, shape->width, NULL };
    if (m->frechet == GD_NEED_SPATIAL)
        return (gd_varied){ &r->ref.spatial, shape->width, shape->spatial, NULL };
    return (gd_varied){ .value = m->redraw };
}

static gd_status measure_deviations(eval_run *r)
{
    gd_varied varied[GD_MAX_VARIED];
    double deviation[GD_MAX_VARIED], *to[GD_MAX_VARIED];
    gd_bootstrap b = { .samples = &r->samples.survey,
                       .shape = &r->network.shape,
                       .varied = varied,
                       .draws = r->o.bootstrap,
                       .seed = r->o.seed,
                       .tick = tick_draw,
                       .ctx = r };

    for (int k = 0; k < gd_metric_count() && b.n < GD_MAX_VARIED; k++)
        if (r->wanted[k] && gd_metric_at(k)->figure[0].bar == GD_BAR_REDRAWN) {
            varied[b.n] = varied_of(r, gd_metric_at(k));
            to[b.n++] = &r->result[k].deviation[0];
        }
    job_progress_start(&r->progress, "draws", b.draws, r->o.quiet);
    GD_TRY(gd_bootstrap_run(deviation, &b));
    job_progress_end(&r->progress);
    for (int i = 0; i < b.n; i++)
        *to[i] = deviation[i];
    return GD_OK;
}

/* Progress begins with the first report of a metric that takes its time. */
static void tick_distances(void *ctx, double share)
{
    enum { PARTS = 64 };
    const int64_t few = 100000000; /* pairs: seconds */
    eval_run *r = ctx;
    const bool quiet = r->o.quiet || r->ref.survey.kept * r->samples.survey.kept < few;

    if (!r->measuring)
        job_progress_start(&r->progress, "parts of the distances", PARTS, quiet);
    r->measuring = true;
    while ((double)r->progress.done < share * (double)r->progress.total)
        job_progress_step(&r->progress);
}

static gd_status measure_one(eval_run *r, int k, gd_comparison *c)
{
    GD_TRY(gd_metric_at(k)->measure(&r->result[k], c));
    if (r->measuring)
        job_progress_end(&r->progress);
    r->measuring = false;
    return GD_OK;
}

gd_status eval_measure(eval_run *r)
{
    gd_comparison c = { .ref = eval_features(r, &r->ref),
                        .samples = eval_features(r, &r->samples),
                        .ref_pool = &r->ref.pool,
                        .of_ref = &r->ref.survey,
                        .of_samples = &r->samples.survey,
                        .held = eval_features(r, &r->held),
                        .of_held = r->o.held_out ? &r->held.survey : NULL,
                        .half = r->o.half,
                        .fidelity = r->dialect->fidelity,
                        .seed = r->o.seed,
                        .tick = tick_distances,
                        .ctx = r };
    gd_comparison vgg16 = {
        .ref = { r->ref.vgg16.features, r->ref.vgg16.kept, GD_VGG16_WIDTH },
        .samples = { r->samples.vgg16.features, r->samples.vgg16.kept, GD_VGG16_WIDTH },
        .of_ref = &r->ref.vgg16,
        .of_samples = &r->samples.vgg16,
        .fidelity = true,
    };

    if (!r->has_frechet)
        GD_TRY(measure_frechet(r));
    for (int k = 0; k < gd_metric_count(); k++) {
        const gd_metric *m = gd_metric_at(k);
        const bool in_vgg16 = c.fidelity && m->in_fidelity == GD_FIDELITY_VGG16;
        if (r->wanted[k] && m->measure)
            GD_TRY(measure_one(r, k, in_vgg16 ? &vgg16 : &c));
    }
    if (r->o.per_class)
        GD_TRY(eval_measure_classes(r));
    return r->o.bootstrap > 0 ? measure_deviations(r) : GD_OK;
}

void eval_forget_results(eval_run *r)
{
    for (int k = 0; k < GD_MAX_METRICS; k++) {
        gd_block_free(r->result[k].more);
        r->result[k] = (gd_measured){ 0 };
    }
}

/* ---- figures ---- */

static bool has_figure(const eval_run *r, int metric, int figure)
{
    const gd_figure *f = &gd_metric_at(metric)->figure[figure];

    return r->wanted[metric] && f->key && (!f->fidelity || r->dialect->fidelity);
}

bool eval_next_figure(eval_figure *f, const eval_run *r)
{
    for (; f->next < gd_metric_count() * GD_MAX_FIGURES; f->next++) {
        const int k = f->next / GD_MAX_FIGURES, i = f->next % GD_MAX_FIGURES;
        if (!has_figure(r, k, i))
            continue;
        const gd_metric *m = gd_metric_at(k);
        const gd_figure *g = &m->figure[i];
        *f = (eval_figure){ .metric = m,
                            .result = &r->result[k],
                            .figure = g,
                            .key = *r->network.vit && g->vision_key ? g->vision_key : g->key,
                            .name = *r->network.vit && g->vision_name ? g->vision_name : g->name,
                            .value = r->result[k].value[i],
                            .deviation = r->result[k].deviation[i],
                            .last = i + 1 == GD_MAX_FIGURES || !has_figure(r, k, i + 1),
                            .next = f->next + 1 };
        return true;
    }
    return false;
}

double eval_figure_value(const eval_run *r, const char *key)
{
    for (eval_figure f = { 0 }; eval_next_figure(&f, r);)
        if (strcmp(f.figure->key, key) == 0)
            return f.value;
    return NAN;
}
