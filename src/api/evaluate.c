/* SPDX-License-Identifier: MIT */
/* evaluate.c - features of images, and distances of sets of them. */
#include "api/handles.h"
#include "eval/eval.h"

#include <math.h>
#include <string.h>

enum { BATCH = 8 };

struct guided_features {
    guided_context *context;
    gd_extractor *extractor;
    gd_extractor_shape shape;
    int height, width;
    float *rows; /* block: [BATCH][gd_extractor_row] */
};

static gd_status finish(guided_features *f)
{
    f->shape = gd_extractor_get_shape(f->extractor);
    return gd_block_make(&f->rows, (size_t)(BATCH * gd_extractor_row(&f->shape)) * sizeof *f->rows,
                         "features");
}

static gd_status new_features(guided_features **out, guided_context *context)
{
    GD_TRY(gd_block_make(out, sizeof **out, "features"));
    (*out)->context = context;
    return GD_OK;
}

static gd_status done(guided_features **out, gd_status s)
{
    if (s == GD_OK)
        s = finish(*out);
    if (s != GD_OK) {
        guided_features_close(*out);
        *out = NULL;
    }
    return s;
}

static guided_status open_inception(guided_features **out, guided_context *context,
                                    const char *inception, const char *dialect, int height,
                                    int width)
{
    const gd_entered before = gd_enter(context);
    const gd_dialect *d;
    gd_status s = new_features(out, context);

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->height = height;
    (*out)->width = width;
    s = gd_dialect_read(&d, dialect);
    if (s == GD_OK)
        s = gd_extractor_inception(&(*out)->extractor, inception, d, NULL, BATCH, height, width);
    return gd_leave(&before, done(out, s));
}

guided_status guided_features_inception(guided_features **out, guided_context *context,
                                        const char *inception, int height, int width)
{
    return open_inception(out, context, inception, gd_dialect_adm.name, height, width);
}

guided_status guided_features_dialect(guided_features **out, guided_context *context,
                                      const char *inception, const char *dialect, int height,
                                      int width)
{
    return open_inception(out, context, inception, dialect, height, width);
}

guided_status guided_features_open(guided_features **out, guided_context *context, const char *path,
                                   int height, int width)
{
    const gd_entered before = gd_enter(context);
    gd_status s = new_features(out, context);

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->height = height;
    (*out)->width = width;
    if (height < 1 || width < 1 || height > GD_MAX_IMAGE_SIDE || width > GD_MAX_IMAGE_SIDE)
        s = gd_fail(GD_EUSAGE, "features of images of %d x %d are not possible", width, height);
    else
        s = gd_extractor_open(&(*out)->extractor, path, BATCH, height, width);
    return gd_leave(&before, done(out, s));
}

guided_status guided_features_classifier(guided_features **out, const guided_model *classifier)
{
    const gd_entered before = gd_enter(classifier->context);
    gd_status s = new_features(out, classifier->context);

    if (s != GD_OK)
        return gd_leave(&before, s);
    (*out)->height = (*out)->width = gd_model_get_config(classifier->model)->net.image_size;
    s = gd_extractor_classifier(&(*out)->extractor, classifier->model);
    return gd_leave(&before, done(out, s));
}

void guided_features_close(guided_features *f)
{
    if (!f)
        return;
    gd_extractor_free(f->extractor);
    gd_block_free(f->rows);
    gd_block_free(f);
}

int guided_features_width(const guided_features *f)
{
    return f->shape.width;
}

void guided_features_get_shape(guided_features_shape *out, const guided_features *f)
{
    *out = (guided_features_shape){ .width = f->shape.width,
                                    .spatial = f->shape.spatial,
                                    .classes = f->shape.classes,
                                    .channels = f->shape.channels,
                                    .height = f->height,
                                    .pixel_width = f->width };
}

/* Part of each of n rows, from `offset` on, into out [n][width]; NULL: not wanted */
static void take(float *out, const guided_features *f, int64_t n, int offset, int width)
{
    const int row = gd_extractor_row(&f->shape);

    for (int64_t i = 0; i < n && out; i++)
        memcpy(out + i * width, f->rows + i * row + offset, (size_t)width * sizeof *out);
}

static gd_status run(guided_features *f, int64_t n, const uint8_t *pixels, float *rows,
                     float *spatial, float *probabilities)
{
    const int64_t image = (int64_t)f->height * f->width * f->shape.channels;
    const gd_extractor_shape *s = &f->shape;

    for (int64_t i = 0, some; i < n; i += some) {
        some = GD_MIN(BATCH, n - i);
        GD_TRY(gd_check_stop());
        GD_TRY(gd_extractor_run(f->extractor, (int)some, pixels + i * image, f->rows));
        take(rows ? rows + i * s->width : NULL, f, some, 0, s->width);
        take(spatial ? spatial + i * s->spatial : NULL, f, some, s->width, s->spatial);
        take(probabilities ? probabilities + i * s->classes : NULL, f, some, s->width + s->spatial,
             s->classes);
    }
    return GD_OK;
}

guided_status guided_features_run(guided_features *f, int64_t n, const uint8_t *pixels, float *rows)
{
    return guided_features_run_all(f, n, pixels, rows, NULL, NULL);
}

guided_status guided_features_run_all(guided_features *f, int64_t n, const uint8_t *pixels,
                                      float *rows, float *spatial, float *probabilities)
{
    const gd_entered before = gd_enter(f->context);

    return gd_leave(&before, run(f, n, pixels, rows, spatial, probabilities));
}

static gd_status statistics_of(gd_statistics *out, const float *rows, int64_t n, int width)
{
    gd_moments *m;
    gd_status s;

    GD_TRY(gd_moments_make(&m, width));
    gd_moments_add(m, rows, n);
    s = gd_moments_finish(m, out);
    gd_moments_free(m);
    return s;
}

guided_status guided_frechet(guided_context *context, double *out, const float *a, int64_t n_a,
                             const float *b, int64_t n_b, int width)
{
    const gd_entered before = gd_enter(context);
    gd_statistics of_a = { 0 }, of_b = { 0 };
    gd_status s = statistics_of(&of_a, a, n_a, width);

    if (s == GD_OK)
        s = statistics_of(&of_b, b, n_b, width);
    if (s == GD_OK)
        s = gd_frechet(out, &of_a, &of_b);
    gd_statistics_free(&of_a);
    gd_statistics_free(&of_b);
    return gd_leave(&before, s);
}

guided_status guided_statistics(guided_context *context, const float *rows, int64_t n, int width,
                                double *mean, double *covariance)
{
    const gd_entered before = gd_enter(context);
    gd_statistics found = { 0 };
    gd_status s = statistics_of(&found, rows, n, width);

    if (s == GD_OK) {
        memcpy(mean, found.mean, (size_t)width * sizeof *mean);
        memcpy(covariance, found.covariance, (size_t)width * (size_t)width * sizeof *covariance);
    }
    gd_statistics_free(&found);
    return gd_leave(&before, s);
}

guided_status guided_frechet_statistics(guided_context *context, double *out, const double *mean_a,
                                        const double *covariance_a, const double *mean_b,
                                        const double *covariance_b, int width)
{
    const gd_entered before = gd_enter(context);
    const gd_statistics a = { width, 0, (double *)mean_a, (double *)covariance_a },
                        b = { width, 0, (double *)mean_b, (double *)covariance_b };

    return gd_leave(&before, gd_frechet(out, &a, &b));
}

guided_status guided_inception_score(guided_context *context, double *out,
                                     const float *probabilities, int64_t n, int classes)
{
    const gd_entered before = gd_enter(context);
    gd_inception_score *score = NULL;
    gd_status s = n < 1 || classes < 1
                      ? gd_fail(GD_EUSAGE, "Inception Score: %lld images of %d classes",
                                (long long)n, classes)
                      : gd_inception_score_make(&score, classes, GD_IS_SPLIT);

    if (s == GD_OK) {
        gd_inception_score_add(score, probabilities, n);
        *out = gd_inception_score_value(score, NULL);
    }
    gd_inception_score_free(score);
    return gd_leave(&before, s);
}

static gd_status manifold_scores(guided_set_scores *out, const gd_features *ref,
                                 const gd_features *samples, bool half)
{
    gd_manifold m;

    GD_TRY(gd_manifold_measure(&m, ref, samples, half, NULL, NULL));
    *out = (guided_set_scores){ .precision = m.precision,
                                .recall = m.recall,
                                .density = m.has_density ? m.density : NAN,
                                .coverage = m.has_density ? m.coverage : NAN,
                                .kid = NAN,
                                .kid_deviation = NAN };
    return GD_OK;
}

guided_status guided_compare_manifolds(guided_context *context, guided_set_scores *out,
                                       const float *ref, int64_t n_ref, const float *samples,
                                       int64_t n_samples, int width, bool half)
{
    const gd_entered before = gd_enter(context);
    const gd_features a = { ref, n_ref, width }, b = { samples, n_samples, width };

    return gd_leave(&before, manifold_scores(out, &a, &b, half));
}

guided_status guided_compare_sets(guided_context *context, guided_set_scores *out, const float *ref,
                                  int64_t n_ref, const float *samples, int64_t n_samples, int width)
{
    const gd_entered before = gd_enter(context);
    const gd_features a = { ref, n_ref, width }, b = { samples, n_samples, width };
    gd_kid kid;
    gd_status s = manifold_scores(out, &a, &b, false);

    if (s == GD_OK)
        s = gd_kid_measure(&kid, &a, &b, false);
    if (s == GD_OK) {
        out->kid = kid.mean;
        out->kid_deviation = kid.deviation;
    }
    return gd_leave(&before, s);
}
