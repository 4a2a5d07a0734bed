/* SPDX-License-Identifier: MIT */
/* eval_stats.c - guided eval stats: a reference file as the authors' evaluator reads it: mean and
 * covariance over the whole set, and some of its images for precision and recall. */
#include "jobs/eval.h"

#include <string.h>

/* Images that stand evenly over the set, one after another */
static gd_status write_images(eval_run *r, gd_npz_writer *w, int64_t n, uint8_t *pixels)
{
    gd_images *images = r->ref.images;
    const size_t bytes = (size_t)gd_images_height(images) * (size_t)gd_images_width(images) *
                         (size_t)r->network.shape.channels;
    int64_t at = 0;

    gd_images_rewind(images);
    for (int64_t k = 0; k < n; k++) {
        const int64_t place = gd_survey_place(k, n, gd_images_count(images));
        if (gd_stop_wanted())
            return gd_fail(GD_EINTERRUPTED, "stopped while %s was written", r->o.output);
        GD_TRY(gd_images_skip(images, place - at));
        GD_TRY(gd_images_read(images, 1, pixels));
        GD_TRY(gd_npz_add(w, pixels, bytes));
        at = place + 1;
    }
    return GD_OK;
}

static gd_status write_arr_0(eval_run *r, gd_npz_writer *w, int64_t n)
{
    const int height = gd_images_height(r->ref.images), width = gd_images_width(r->ref.images);
    const int channels = r->network.shape.channels;
    const gd_array array = { "arr_0", GD_U8, 4, { n, height, width, channels } };
    void *pixels;
    gd_status s;

    if (n == 0)
        return GD_OK;
    GD_TRY(gd_npz_array(w, &array));
    GD_TRY(gd_block_make(&pixels, (size_t)height * (size_t)width * (size_t)channels, "image"));
    s = write_images(r, w, n, pixels);
    gd_block_free(pixels);
    return s;
}

static gd_status write_statistics(gd_npz_writer *w, const gd_statistics *s, const char *mean,
                                  const char *covariance)
{
    const gd_array m = { mean, GD_F64, 1, { s->width } },
                   c = { covariance, GD_F64, 2, { s->width, s->width } };
    const size_t row = (size_t)s->width * sizeof(double);

    if (s->width == 0)
        return GD_OK;
    GD_TRY(gd_npz_array(w, &m));
    GD_TRY(gd_npz_add(w, s->mean, row));
    GD_TRY(gd_npz_array(w, &c));
    return gd_npz_add(w, s->covariance, row * (size_t)s->width);
}

static gd_status write_all(eval_run *r, gd_npz_writer *w, int64_t n)
{
    GD_TRY(write_arr_0(r, w, n));
    GD_TRY(write_statistics(w, &r->ref.pool, "mu", "sigma"));
    return write_statistics(w, &r->ref.spatial, "mu_s", "sigma_s");
}

static gd_status write_file(eval_run *r)
{
    const int64_t n = GD_MIN(r->o.images, gd_images_count(r->ref.images));
    gd_npz_writer *w;
    gd_status s;

    GD_TRY(gd_npz_begin(&w, r->o.output, r->o.overwrite, 0));
    s = write_all(r, w, n);
    if (s == GD_OK)
        s = gd_npz_commit(w);
    else
        gd_npz_abort(w);
    if (s == GD_OK && !r->o.quiet)
        gd_log(GD_LOG_NOTE, "%s: mean and covariance of %lld images, %lld of them kept",
               r->o.output, (long long)gd_images_count(r->ref.images), (long long)n);
    return s;
}

static gd_status check_output(const eval_run *r)
{
    if (!r->o.output)
        return gd_fail(GD_EUSAGE, "eval stats: no output\nhint: -o ref.npz");
    GD_TRY(gd_suffix_check(r->o.output, "npz", "-o X.npz"));
    return gd_file_check(r->o.output, r->o.overwrite ? GD_OVERWRITE : GD_KEEP);
}

static gd_status open_set(eval_run *r)
{
    const char *path = r->words.n_words == 2 ? r->words.word[1] : r->o.ref;

    if (!path || r->words.n_words > 2 || (r->words.n_words == 2 && r->o.ref) || r->o.samples)
        return gd_fail(GD_EUSAGE, "eval stats: one set of images is taken\nhint: guided eval stats "
                                  "train_images/ -o ref.npz");
    if (r->first)
        GD_TRY(check_output(r));
    r->wanted[gd_metric_index(&gd_metric_fid)] = true;
    r->wanted[gd_metric_index(&gd_metric_sfid)] = !r->o.features;
    GD_TRY(eval_network_find(r));
    GD_TRY(eval_open(r, &r->ref, path));
    return eval_needs_images(r, &r->ref)
               ? GD_OK
               : gd_fail(GD_EFORMAT, "%s: holds statistics already", path);
}

gd_status eval_stats(eval_run *r)
{
    GD_TRY(gd_dist_agree(r->dist, open_set(r), NULL));
    job_progress_start(&r->progress, "images", gd_images_count(r->ref.images), r->o.quiet);
    GD_TRY(eval_survey(r, &r->ref));
    job_progress_end(&r->progress);
    return eval_alone(r, write_file);
}
