/* cmd_eval.c - guided eval: how good a set of samples is beside a reference set, in the features of
 * a classifier. */
#include "cli/cli.h"
#include "eval/eval.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *ref, *samples, *features, *metrics, *fail_above;
    int threads, memory;
    bool pad, half, quiet, json;
} options;

#define AT(field) offsetof(options, field)
static const cli_option table[] = {
    { "ref", 0, CLI_TEXT, "PATH", "reference images: folder, .npz, .zip or IDX file", AT(ref) },
    { "samples", 0, CLI_TEXT, "PATH", "the images that are judged", AT(samples) },
    { "features", 0, CLI_TEXT, "FILE",
      "classifier whose activations before the last projection "
      "are the features",
      AT(features) },
    { "metrics", 0, CLI_TEXT, "LIST", "of fid,is,pr,kid (default: all)", AT(metrics) },
    { "half", 0, CLI_SWITCH, "", "precision and recall from the authors' float16 distances",
      AT(half) },
    { "pad", 0, CLI_SWITCH, "", "a black border around images smaller than the classifier's",
      AT(pad) },
    { "fail-above", 0, CLI_TEXT, "fid=X", "exit with 1 when the FID is above X", AT(fail_above) },
    { "threads", 't', CLI_INT, "N", "default: all cores", AT(threads), 1, 1024 },
    { "memory", 0, CLI_INT, "MIB", "refuse to use more", AT(memory), 1, 1e9 },
    { "quiet", 'q', CLI_SWITCH, "", "errors only", AT(quiet) },
    { "json", 0, CLI_SWITCH, "", "the report as one JSON line", AT(json) },
};
#undef AT

/* One of the two sets */
typedef struct side {
    const char *path;
    gd_dataset *set;
    float *features; /* block: [count][width] */
    gd_moments *moments;
    gd_statistics statistics;
} side;

typedef struct run {
    options o;
    cli_words words;
    gd_model *model;
    gd_extractor *extractor;
    side ref, samples;
    gd_inception_score *score;
    cli_progress progress;
    int size, channels, width;
    double limit; /* of the FID; infinite: none */
    bool fid, is, pr, kid;
    double fid_value, is_value;
    gd_manifold manifold;
    gd_kid kid_value;
} run;

/* ---- options ---- */

static gd_status choose_metrics(run *r)
{
    static const char *const names[] = { "fid", "is", "pr", "kid" };
    bool *const on[] = { &r->fid, &r->is, &r->pr, &r->kid };
    char word[16];

    for (const char *at = r->o.metrics; at && *at;) {
        const int n = (int)strcspn(at, ",");
        int k = 0;
        snprintf(word, sizeof word, "%.*s", n, at);
        while (k < COUNT(names) && strcmp(names[k], word) != 0)
            k++;
        if (k == COUNT(names))
            return gd_fail(GD_EUSAGE, "--metrics %s: expected fid, is, pr and kid", word);
        *on[k] = true;
        at += n + (at[n] == ',');
    }
    for (int k = 0; !r->o.metrics && k < COUNT(on); k++)
        *on[k] = true;
    return GD_OK;
}

static gd_status settle(run *r)
{
    const options *o = &r->o;
    char *end = "";

    if (!o->ref || !o->samples)
        return gd_fail(GD_EUSAGE, "two sets are compared\nhint: --ref PATH --samples PATH");
    if (!o->features)
        return gd_fail(
            GD_EUSAGE,
            "no --features: a classifier's file\nhint: guided train-classifier makes one; "
            "the 2015 Inception network is not read yet");
    r->limit = INFINITY;
    if (o->fail_above && strncmp(o->fail_above, "fid=", 4) == 0)
        r->limit = strtod(o->fail_above + 4, &end);
    if (o->fail_above && (!(r->limit >= 0 && r->limit < INFINITY) || *end))
        return gd_fail(GD_EUSAGE, "--fail-above %s: expected fid=NUMBER", o->fail_above);
    if (o->threads)
        gd_set_threads(o->threads);
    gd_set_memory_limit((size_t)o->memory << 20);
    return choose_metrics(r);
}

/* ---- features ---- */

static gd_status load_image(const run *r, const side *s, int64_t i, float *x)
{
    char name[512];
    gd_image image;
    gd_status status;

    GD_TRY(gd_dataset_read(s->set, i, &image));
    status = r->o.pad ? gd_crop_pad(&image, r->size) : GD_OK;
    if (status == GD_OK && (image.width != r->size || image.height != r->size)) {
        gd_dataset_name(s->set, i, name, sizeof name);
        status = gd_fail(GD_EMISMATCH, "%s is %d x %d, the classifier sees %d x %d%s", name,
                         image.width, image.height, r->size, r->size,
                         image.width < r->size ? "\nhint: --pad puts a border around it" : "");
    }
    if (status == GD_OK)
        gd_image_floats(x, &image, false);
    gd_image_free(&image);
    return status;
}

static gd_status one_image(run *r, side *s, int64_t i, float *x, float *logits)
{
    float *features = s->features + i * r->width;

    if (cli_stopped_by())
        return gd_fail(GD_EINTERRUPTED, "stopped by a signal");
    GD_TRY(load_image(r, s, i, x));
    gd_extractor_run(r->extractor, x, features, logits);
    for (int k = 0; k < r->width; k++)
        if (!isfinite(features[k]))
            return gd_fail(GD_EFAILED, "%s: image %lld: feature %d is not finite", s->path,
                           (long long)i, k);
    gd_moments_add(s->moments, features, 1);
    if (s == &r->samples)
        gd_inception_score_add(r->score, logits, 1);
    cli_progress_step(&r->progress);
    return GD_OK;
}

static gd_status see_all(run *r, side *s)
{
    float *x, *logits;
    gd_status status;

    GD_TRY(
        gd_block_make((void **)&x, (size_t)(r->channels * r->size * r->size) * sizeof *x, "image"));
    status = gd_block_make((void **)&logits,
                           (size_t)gd_extractor_classes(r->extractor) * sizeof *logits, "logits");
    for (int64_t i = 0; i < gd_dataset_count(s->set) && status == GD_OK; i++)
        status = one_image(r, s, i, x, logits);
    gd_block_free(x);
    gd_block_free(logits);
    return status == GD_OK ? gd_moments_finish(s->moments, &s->statistics) : status;
}

static gd_status open_side(run *r, side *s, const char *path)
{
    const gd_dataset_options o = { .labels = GD_LABELS_NONE, .channels = r->channels };
    int64_t n;

    s->path = path;
    GD_TRY(gd_dataset_open(&s->set, path, &o));
    n = gd_dataset_count(s->set);
    if (n < 4)
        return gd_fail(GD_EFORMAT, "%s: %lld images: at least 4 are compared", path, (long long)n);
    if (r->fid && n <= r->width && !r->o.quiet)
        fprintf(stderr, "guided: %s: %lld images, fewer than the %d features: the FID is biased\n",
                path, (long long)n, r->width);
    GD_TRY(gd_moments_make(&s->moments, r->width));
    return gd_block_make((void **)&s->features, (size_t)n * (size_t)r->width * sizeof *s->features,
                         "features");
}

static gd_status prepare(run *r)
{
    const gd_net_config *c;

    GD_TRY(gd_model_open(&r->model, r->o.features, r->words.flag, r->words.n_flags));
    GD_TRY(gd_extractor_make(&r->extractor, r->model));
    c = &gd_model_get_config(r->model)->net;
    r->size = c->image_size;
    r->channels = c->in_channels;
    r->width = gd_extractor_width(r->extractor);
    GD_TRY(gd_inception_score_make(&r->score, gd_extractor_classes(r->extractor), GD_IS_SPLIT));
    GD_TRY(open_side(r, &r->ref, r->o.ref));
    return open_side(r, &r->samples, r->o.samples);
}

/* ---- the report ---- */

static gd_status measure(run *r)
{
    const gd_features ref = { r->ref.features, gd_dataset_count(r->ref.set), r->width },
                      samples = { r->samples.features, gd_dataset_count(r->samples.set), r->width };

    if (r->fid)
        GD_TRY(gd_frechet(&r->fid_value, &r->samples.statistics, &r->ref.statistics));
    if (r->is)
        r->is_value = gd_inception_score_value(r->score);
    if (r->pr)
        GD_TRY(gd_manifold_measure(&r->manifold, &ref, &samples, r->o.half, NULL, NULL));
    return r->kid ? gd_kid_measure(&r->kid_value, &ref, &samples) : GD_OK;
}

static gd_status print_json(const run *r, const char *hash)
{
    json_t *j = json_pack(
        "{s:s, s:s, s:I, s:s, s:I, s:i}", "features", r->o.features, "features_hash", hash,
        "reference_images", (json_int_t)gd_dataset_count(r->ref.set), "samples", r->o.samples,
        "sample_images", (json_int_t)gd_dataset_count(r->samples.set), "width", r->width);
    char *text;

    if (r->is)
        json_object_set_new(j, "inception_score", json_real(r->is_value));
    if (r->fid)
        json_object_set_new(j, "fid", json_real(r->fid_value));
    if (r->pr) {
        json_object_set_new(j, "precision", json_real(r->manifold.precision));
        json_object_set_new(j, "recall", json_real(r->manifold.recall));
    }
    if (r->pr && r->manifold.has_density) {
        json_object_set_new(j, "density", json_real(r->manifold.density));
        json_object_set_new(j, "coverage", json_real(r->manifold.coverage));
    }
    if (r->kid) {
        json_object_set_new(j, "kid", json_real(r->kid_value.mean));
        json_object_set_new(j, "kid_deviation", json_real(r->kid_value.deviation));
    }
    text = j ? json_dumps(j, JSON_COMPACT) : NULL;
    json_decref(j);
    if (!text)
        return gd_fail(GD_ENOMEM, "report: out of memory");
    printf("%s\n", text);
    free(text);
    return GD_OK;
}

static void print_table(const run *r)
{
    printf("features         %s (before the last projection, t = 0, %d wide)\n", r->o.features,
           r->width);
    if (r->is)
        printf("Inception Score  %.6g (of this classifier's classes)\n", r->is_value);
    if (r->fid)
        printf("FID              %.6g\n", r->fid_value);
    if (r->pr)
        printf("Precision        %.4f\nRecall           %.4f\n", r->manifold.precision,
               r->manifold.recall);
    if (r->pr && r->manifold.has_density)
        printf("Density          %.4f\nCoverage         %.4f\n", r->manifold.density,
               r->manifold.coverage);
    if (r->kid)
        printf("KID              %.6g +- %.2g (subsets of %d)\n", r->kid_value.mean,
               r->kid_value.deviation, r->kid_value.subset);
}

static gd_status work(run *r)
{
    char hash[33];

    GD_TRY(settle(r));
    GD_TRY(prepare(r));
    cli_progress_start(&r->progress,
                       gd_dataset_count(r->ref.set) + gd_dataset_count(r->samples.set), r->o.quiet);
    GD_TRY(see_all(r, &r->ref));
    GD_TRY(see_all(r, &r->samples));
    cli_progress_end(&r->progress);
    GD_TRY(measure(r));
    GD_TRY(gd_model_hash(r->model, hash));
    if (r->o.json)
        GD_TRY(print_json(r, hash));
    else
        print_table(r);
    if (r->fid && r->fid_value > r->limit)
        return gd_fail(GD_EFAILED, "the FID is %g, above %g", r->fid_value, r->limit);
    return GD_OK;
}

static void close_side(side *s)
{
    gd_dataset_close(s->set);
    gd_block_free(s->features);
    gd_moments_free(s->moments);
    gd_statistics_free(&s->statistics);
}

static gd_status run_eval(int argc, char **argv)
{
    run r = { .o = { 0 } };
    gd_status s;

    GD_TRY(cli_parse(&cli_eval, argc, argv, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "eval: unexpected word %s", r.words.word[0]);
    s = work(&r);
    close_side(&r.ref);
    close_side(&r.samples);
    gd_inception_score_free(r.score);
    gd_extractor_free(r.extractor);
    gd_model_close(r.model);
    return s;
}

static const char notes[] =
    "Compares two sets of images in the features of a classifier, and prints one table or, with "
    "--json, one line. The same report for any number of threads.";

const cli_command cli_eval = {
    "eval",
    "FID, Inception Score, precision and recall of samples",
    "eval --ref PATH --samples PATH --features CLASSIFIER [options]",
    "guided eval --ref test/ --samples out/ --features classifier.safetensors",
    table,
    COUNT(table),
    run_eval,
    notes
};
