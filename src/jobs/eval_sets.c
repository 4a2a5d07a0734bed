/* SPDX-License-Identifier: MIT */
/* eval_sets.c - the two sets of guided eval: opened, checked, seen by the network. */
#include "jobs/eval.h"

#include <math.h>

enum { REFERENCE_IMAGES = 10000 }; /* of the authors' files, for precision and recall */

/* Of one set: held-out images are looked for among features alone */
static unsigned needs_of(const eval_run *r, const eval_side *side)
{
    return side == &r->held ? GD_NEED_FEATURES : eval_needs(r);
}

static bool needs_features(const eval_run *r)
{
    return (eval_needs(r) & GD_NEED_FEATURES) || r->o.per_class;
}

bool eval_needs_images(const eval_run *r, const eval_side *side)
{
    const unsigned needs = needs_of(r, side);

    return needs_features(r) || ((needs & GD_NEED_POOL) && !side->pool_stored) ||
           ((needs & GD_NEED_SPATIAL) && !side->spatial_stored) ||
           (side == &r->samples && ((needs & GD_NEED_SCORE) || r->o.bootstrap > 0));
}

/* Stored statistics go before images: those of a reference are of the whole training set. */
static gd_status read_statistics(eval_side *side)
{
    const gd_bundle *npz = gd_images_npz(side->images);

    if (!npz)
        return GD_OK;
    GD_TRY(gd_statistics_read(&side->pool, npz, "mu", "sigma", &side->pool_stored));
    return gd_statistics_read(&side->spatial, npz, "mu_s", "sigma_s", &side->spatial_stored);
}

static gd_status check_width(const eval_run *r, const eval_side *side)
{
    const gd_extractor_shape *shape = &r->network.shape;
    const unsigned needs = needs_of(r, side);

    if ((needs & GD_NEED_POOL) && side->pool_stored && side->pool.width != shape->width)
        return gd_fail(GD_EMISMATCH,
                       "%s: mu has %d values, the network %d features: statistics of another "
                       "network",
                       side->path, side->pool.width, shape->width);
    if ((needs & GD_NEED_SPATIAL) && side->spatial_stored && side->spatial.width != shape->spatial)
        return gd_fail(GD_EMISMATCH,
                       "%s: mu_s has %d values, the network %d spatial features: statistics of "
                       "another network",
                       side->path, side->spatial.width, shape->spatial);
    return GD_OK;
}

/* The metric that needs the most images of a side; NULL: none has a least number of its own */
static const gd_metric *most_demanding(int *least, const eval_run *r, const eval_side *side)
{
    const gd_metric *found = NULL;

    *least = 1;
    for (int k = 0; k < gd_metric_count(); k++) {
        const gd_metric *m = gd_metric_at(k);
        const int n = side == &r->ref ? m->least_ref : m->least;
        if (side == &r->held || !r->wanted[k] || n <= *least)
            continue;
        *least = n;
        found = m;
    }
    return found;
}

static gd_status check_count(const eval_run *r, const eval_side *side)
{
    const long long n = gd_images_count(side->images);
    int least;
    const gd_metric *demanding = most_demanding(&least, r, side);

    if (n == 0)
        return gd_fail(GD_EFORMAT,
                       "%s: statistics and no images (arr_0)\nhint: --metrics fid,sfid compares "
                       "statistics; other metrics need the images",
                       side->path);
    if (n < least)
        return gd_fail(GD_EFORMAT, "%s: %lld images, %s needs %d or more", side->path, n,
                       demanding->least_for, least);
    if ((needs_of(r, side) & GD_NEED_POOL) && !side->pool_stored && n <= r->network.shape.width &&
        !r->o.quiet)
        gd_log(GD_LOG_NOTE,
               "%s: N = %lld images, fewer than the %d features: the FID is biased "
               "(too high)",
               side->path, n, r->network.shape.width);
    return GD_OK;
}

/* A file that holds statistics and images has two candidates for FID. */
static void report_stored(const eval_run *r, const eval_side *side)
{
    const unsigned needs = needs_of(r, side);
    const bool used = ((needs & GD_NEED_POOL) && side->pool_stored) ||
                      ((needs & GD_NEED_SPATIAL) && side->spatial_stored);

    if (used && gd_images_count(side->images) > 0 &&
        (side == &r->samples || !eval_needs_images(r, side)))
        gd_log(GD_LOG_NOTE,
               "%s: FID and sFID by the statistics of the file (mu, sigma), not by its %lld images",
               side->path, (long long)gd_images_count(side->images));
}

gd_status eval_open(eval_run *r, eval_side *side, const char *path)
{
    const gd_extractor_shape *shape = &r->network.shape;
    const gd_images_options o = { .channels = shape->channels,
                                  .grey = r->o.grey,
                                  .crop = r->o.crop,
                                  .pad = r->o.pad ? shape->size : 0 };

    side->path = path;
    GD_TRY(gd_images_open(&side->images, path, &o));
    GD_TRY(read_statistics(side));
    GD_TRY(check_width(r, side));
    report_stored(r, side);
    return eval_needs_images(r, side) ? check_count(r, side) : GD_OK;
}

static gd_status tick(void *ctx, int64_t n)
{
    eval_run *r = ctx;

    for (int64_t i = 0; i < n; i++)
        job_progress_step(&r->progress);
    r->surveyed += n;
    if (!gd_stop_wanted())
        return GD_OK;
    return gd_fail(GD_EINTERRUPTED, "stopped after %lld of %lld images%s",
                   (long long)r->progress.done, (long long)r->progress.total,
                   r->o.cache ? "\nhint: the same command goes on from there" : "");
}

/* Of an .npz all images are compared, as the authors do; of a larger folder as many as their
 * reference files hold. */
static int64_t kept(const eval_run *r, const eval_side *side)
{
    const int64_t n = gd_images_count(side->images);

    if (!needs_features(r))
        return 0;
    return side == &r->ref && !gd_images_npz(side->images) && !r->dialect->fidelity
               ? GD_MIN(n, REFERENCE_IMAGES)
               : n;
}

gd_survey_options eval_survey_options(eval_run *r, const eval_side *side)
{
    const unsigned needs = needs_of(r, side);

    return (gd_survey_options){ .cache = r->o.cache,
                                .tag = r->dialect->rows,
                                .batch = r->o.batch,
                                .dist = r->dist,
                                .pool = (needs & GD_NEED_POOL) && !side->pool_stored,
                                .spatial = (needs & GD_NEED_SPATIAL) && !side->spatial_stored,
                                .score = (needs & GD_NEED_SCORE) && side == &r->samples,
                                .fidelity = r->dialect->fidelity,
                                .keep = kept(r, side),
                                .keep_all = r->o.bootstrap > 0 && side == &r->samples,
                                .tick = tick,
                                .ctx = r };
}

void eval_take_survey(eval_run *r, eval_side *side)
{
    if (!r->first)
        return;
    if (side->survey.pool.width > 0) {
        side->pool = side->survey.pool;
        side->survey.pool = (gd_statistics){ 0 };
    }
    if (side->survey.spatial.width > 0) {
        side->spatial = side->survey.spatial;
        side->survey.spatial = (gd_statistics){ 0 };
    }
}

/* FID of the samples so far, beside the whole reference */
static gd_status show_part(void *ctx, const gd_statistics *pool)
{
    enum { DRAWS = 8 }; /* at most: each costs a distance */
    eval_run *r = ctx;
    gd_survey some = r->samples.survey;
    const gd_varied varied = { .ref = &r->ref.pool, .width = r->network.shape.width };
    const gd_bootstrap b = { .samples = &some,
                             .shape = &r->network.shape,
                             .varied = &varied,
                             .n = 1,
                             .draws = GD_MIN(r->o.bootstrap, DRAWS),
                             .seed = r->o.seed };
    double fid, deviation = NAN;

    GD_TRY(gd_frechet(&fid, pool, &r->ref.pool));
    some.count = pool->count;
    if (b.draws > 0)
        GD_TRY(gd_bootstrap_run(&deviation, &b));
    job_show_partial(&(guided_partial){ .metric = "fid",
                                        .samples = pool->count,
                                        .total = gd_images_count(r->samples.images),
                                        .value = fid,
                                        .deviation = deviation });
    return GD_OK;
}

gd_status eval_survey(eval_run *r, eval_side *side)
{
    gd_survey_options o = eval_survey_options(r, side);

    if (side == &r->samples && r->first && r->o.ref && !r->o.quiet && job_wants_partial())
        o.part = show_part;
    if (!eval_needs_images(r, side))
        return GD_OK;
    GD_TRY(gd_dist_agree(r->dist, eval_network_ready(r, side), NULL));
    GD_TRY(gd_survey_run(&side->survey, r->network.extractor, side->images, &o));
    eval_take_survey(r, side);
    return GD_OK;
}

void eval_close(eval_side *side)
{
    gd_images_close(side->images);
    gd_statistics_free(&side->pool);
    gd_statistics_free(&side->spatial);
    gd_survey_free(&side->survey);
    gd_survey_free(&side->vgg16);
}
