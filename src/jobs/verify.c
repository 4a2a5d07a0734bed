/* SPDX-License-Identifier: MIT */
/* verify.c - guided verify: makes some images of a run again from its recipe and compares them. */
#include "jobs/maker.h"
#include "jobs/option_rows.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct options {
    const char *recipe, *model, *classifier, *upsampler;
    int sample, threads, memory;
    bool quiet, json;
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    { "sample", 0, JOB_INT, "N", "number of images to check (default 20, spread over the run)",
      AT(sample), 1, 1e7 },
    { "recipe", 0, JOB_TEXT, "FILE", "the run.json of an .npz, if it is in another folder",
      AT(recipe) },
    { "model", 'm', JOB_TEXT, "FILE", "the model's present path", AT(model) },
    { "classifier", 'c', JOB_TEXT, "FILE", "the classifier's present path", AT(classifier) },
    { "upsampler", 'u', JOB_TEXT, "FILES", "the upsamplers' present paths", AT(upsampler) },
    OPTION_THREADS(AT(threads)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
    OPTION_JSON(AT(json)),
};
#undef AT

/* Form of the stored images */
typedef enum source { FROM_RUN, FROM_PICTURES, FROM_NPZ, FROM_PICTURE } source;

typedef struct run {
    options o;
    job_words words;
    const char *path;
    source from;
    char *text; /* block: the recipe */
    job_recipe recipe;
    job_maker maker;
    gd_records_layout layout;
    gd_records *records; /* FROM_RUN */
    job_progress progress;
    uint8_t *made; /* block: the parts of one image in sequence */
    size_t bytes;
    int64_t label;                     /* of the stored images */
    int64_t only;                      /* number of the image in a single picture; -1: unknown */
    int64_t compared, absent, differs; /* images */
    gd_bundle *npz[GD_RECORDS_PARTS];  /* open, or NULL */
    uint8_t *found;                    /* block: as made again */
} run;

/* ---- the recipe ---- */

static gd_status recipe_of_picture(run *r)
{
    gd_png *png;
    const char *text;
    gd_status s;

    r->from = FROM_PICTURE;
    GD_TRY(gd_png_open(&png, r->path));
    text = gd_png_text(png, "guided.image");
    if (text && *text && text[strspn(text, "0123456789")] == '\0')
        r->only = strtoll(text, NULL, 10);
    text = gd_png_text(png, "guided.recipe");
    s = text ? gd_block_make(&r->text, strlen(text) + 1, "recipe")
             : gd_fail(GD_EFORMAT, "%s: contains no recipe", r->path);
    if (s == GD_OK)
        memcpy(r->text, text, strlen(text));
    gd_png_close(png);
    return s;
}

static gd_status recipe_of_file(run *r, const char *path)
{
    size_t bytes;

    return gd_text_read(&r->text, &bytes, path);
}

static gd_status find_recipe(run *r)
{
    struct stat info;

    if (gd_ends_with(r->path, ".png"))
        return recipe_of_picture(r);
    if (gd_ends_with(r->path, ".npz")) {
        r->from = FROM_NPZ;
        return r->o.recipe
                   ? recipe_of_file(r, r->o.recipe)
                   : gd_fail(GD_EUSAGE,
                             "%s: an .npz holds no recipe of its own: give --recipe FILE", r->path);
    }
    if (stat(r->path, &info) == 0 && !S_ISDIR(info.st_mode))
        return gd_fail(GD_EFORMAT, "%s: neither a run's folder, .npz nor .png", r->path);
    return gd_records_read_recipe(&r->text, r->path);
}

/* Files and options must be the same; version and ISA may differ, because they do not change
 * results. */
static gd_status check_recipe(run *r)
{
    char *now, table_of[1024];
    gd_status s;

    GD_TRY(job_recipe_make(&now, &r->maker, r->recipe.run ? r->recipe.png ? "png" : "npz" : NULL,
                           r->recipe.keep, NULL));
    s = gd_records_compare(r->path, r->text, now, "guided,isa,onednn,command,labels");
    free(now);
    if (s != GD_EEXISTS)
        return s;
    snprintf(table_of, sizeof table_of, "%s", gd_error());
    return gd_fail(GD_EMISMATCH, "%s", table_of);
}

static gd_status open_recipe(run *r)
{
    job_sampling *c = &r->recipe.choice;
    gd_status s;

    GD_TRY(find_recipe(r));
    GD_TRY(job_recipe_read(&r->recipe, r->text, r->path));
    if (r->from == FROM_RUN && !r->recipe.run)
        r->from = FROM_PICTURES;
    if (r->from == FROM_PICTURE && c->n > 1 && r->only < 0)
        return gd_fail(GD_EUSAGE,
                       "%s: a grid of %d images\nhint: guided verify takes a run's folder, or a "
                       "picture of one image",
                       r->path, c->n);
    if (strcmp(c->rng, "guided") != 0)
        return gd_fail(GD_EUSAGE, "%s: made with --rng %s: its images cannot be made one at a time",
                       r->path, c->rng);
    if (r->from == FROM_PICTURE)
        GD_TRY(job_recipe_find_files(&r->recipe, r->path));
    if (r->o.model)
        c->model = r->o.model;
    if (r->o.classifier)
        c->classifier = r->o.classifier;
    if (r->o.upsampler)
        c->upsampler = r->o.upsampler;
    s = job_maker_open(&r->maker, c);
    if (s != GD_OK && r->from == FROM_PICTURE && !gd_path_exists(c->model))
        gd_detail("hint: a picture's recipe names files without folders: give the model's path by "
                  "--model FILE");
    GD_TRY(s);
    return check_recipe(r);
}

/* ---- the stored images ---- */

static gd_status open_source(run *r)
{
    const job_maker *m = &r->maker;

    job_large_describe(&r->layout, m, r->recipe.keep && r->from == FROM_RUN, r->recipe.png);
    for (int k = 0; k < r->layout.n_parts; k++)
        r->bytes += (size_t)(r->layout.part[k].width * r->layout.part[k].height *
                             r->layout.part[k].channels);
    GD_TRY(gd_block_make(&r->made, r->bytes, "image"));
    GD_TRY(gd_block_make(&r->found, r->bytes, "image"));
    return r->from == FROM_RUN ? gd_records_view(&r->records, r->path, r->text, &r->layout) : GD_OK;
}

static gd_status from_png(run *r, const char *path, int part, uint8_t *out, bool *there)
{
    gd_image image;
    gd_status s = GD_OK;

    *there = gd_path_exists(path);
    if (!*there)
        return GD_OK;
    GD_TRY(gd_image_open(&image, path, r->layout.part[part].channels));
    if (image.width != r->layout.part[part].width || image.height != r->layout.part[part].height)
        s = gd_fail(GD_EFAILED, "%s: %d x %d, but the recipe makes %d x %d", path, image.width,
                    image.height, r->layout.part[part].width, r->layout.part[part].height);
    else
        memcpy(out, image.pixels,
               (size_t)image.width * (size_t)image.height * (size_t)image.channels);
    gd_image_free(&image);
    return s;
}

/* arr_0 is [n][height][width][channels] bytes, uncompressed in the file */
static gd_status from_npz(run *r, const char *path, int part, int64_t image, uint8_t *out,
                          int64_t *label, bool *there)
{
    const int height = r->layout.part[part].height, width = r->layout.part[part].width,
              channels = r->layout.part[part].channels;
    const size_t bytes = (size_t)height * (size_t)width * (size_t)channels;
    const int64_t i = image - r->layout.first;
    const gd_array *a, *y;
    const unsigned char *pixels, *labels = NULL;

    *there = gd_path_exists(path);
    if (!*there)
        return GD_OK;
    if (!r->npz[part])
        GD_TRY(gd_bundle_open(&r->npz[part], path));
    a = gd_bundle_find(r->npz[part], "arr_0");
    y = gd_bundle_find(r->npz[part], "arr_1");
    if (!a || a->dtype != GD_U8 || a->rank != 4 || a->dim[1] != height || a->dim[2] != width ||
        a->dim[3] != channels || a->dim[0] > r->layout.n)
        return gd_fail(GD_EFAILED, "%s: contains no arr_0 of up to %lld x %d x %d x %d bytes", path,
                       (long long)r->layout.n, height, width, channels);
    *there = i < a->dim[0];
    if (!*there)
        return GD_OK;
    pixels = gd_bundle_view(r->npz[part], a);
    if (y && y->dtype == GD_I64 && y->rank == 1 && y->dim[0] == a->dim[0])
        labels = gd_bundle_view(r->npz[part], y);
    if (!pixels || (y && !labels))
        return gd_fail(GD_EFAILED, "%s: compressed, or not written by guided sample", path);
    memcpy(out, pixels + (size_t)i * bytes, bytes);
    if (labels)
        memcpy(label, labels + (size_t)i * sizeof *label, sizeof *label);
    return GD_OK;
}

static gd_status one_file(run *r, int part, int64_t image, uint8_t *out, int64_t *label,
                          bool *there)
{
    char path[4400];

    if (r->from == FROM_RUN)
        snprintf(path, sizeof path, "%s", gd_records_path(r->records, part, image));
    else if (r->from == FROM_PICTURES)
        snprintf(path, sizeof path, "%.4300s/%05lld.png", r->path, (long long)image);
    else
        snprintf(path, sizeof path, "%.4300s", r->path);
    return gd_ends_with(path, ".png") ? from_png(r, path, part, out, there)
                                      : from_npz(r, path, part, image, out, label, there);
}

/* The stored image; *label is unchanged if the file has no labels */
static gd_status find_image(run *r, int64_t image, int64_t *label, bool *there)
{
    const uint8_t *pixels = NULL;
    uint8_t *out = r->found;

    if (r->records)
        GD_TRY(gd_records_get(r->records, image, label, &pixels));
    if (pixels) {
        memcpy(r->found, pixels, r->bytes);
        *there = true;
        return GD_OK;
    }
    *there = true;
    for (int k = 0; k < r->layout.n_parts && *there; k++) {
        GD_TRY(one_file(r, k, image, out, label, there));
        out += r->layout.part[k].width * r->layout.part[k].height * r->layout.part[k].channels;
    }
    return GD_OK;
}

/* ---- comparing ---- */

static gd_status keep_made(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    run *r = ctx;
    const int first = r->maker.n_stages + 1 - r->layout.n_parts;
    uint8_t *out = r->made;

    (void)image;
    r->label = label;
    for (int k = first; k < part; k++)
        out += r->layout.part[k - first].width * r->layout.part[k - first].height *
               r->layout.part[k - first].channels;
    if (part >= first)
        gd_to_uint8(out, x, r->maker.channels,
                    (int64_t)r->layout.part[part - first].width *
                        r->layout.part[part - first].height);
    return GD_OK;
}

static gd_status compare(run *r, int64_t image)
{
    enum { MAX_REPORTED = 20 };
    size_t wrong = 0;
    int64_t label = -1;
    bool there;

    label = job_branch_label(&r->maker, image);
    GD_TRY(find_image(r, image, &label, &there));
    if (!there) {
        r->absent++;
        return GD_OK;
    }
    GD_TRY(job_maker_run(&r->maker, image, 1, keep_made, r));
    r->compared++;
    for (size_t i = 0; i < r->bytes; i++)
        wrong += r->made[i] != r->found[i];
    if (wrong == 0 && label == r->label)
        return GD_OK;
    if (r->differs++ < MAX_REPORTED)
        gd_log(GD_LOG_NOTE,
               "image %lld: %zu of %zu bytes differ; its label is %lld, the recipe's is %lld",
               (long long)image, wrong, r->bytes, (long long)label, (long long)r->label);
    return GD_OK;
}

/* The number of the k-th image: of the images made so far in an unfinished run, else of all */
static gd_status nth_image(run *r, int64_t k, int64_t *image)
{
    if (r->records && gd_records_has_file(r->records))
        return gd_records_made(r->records, k, image);
    *image = r->only >= 0 ? r->only : r->layout.first + k;
    return GD_OK;
}

/* One random image from each of equal parts of the run */
static gd_status compare_some(run *r)
{
    const uint32_t fine = 1 << 20;
    int64_t n = r->layout.n, some, image;
    uint64_t chance;
    gd_status s = GD_OK;

    if (!gd_random(&chance, sizeof chance))
        return gd_fail(GD_EIO, "no random numbers from the system");
    if (r->records && gd_records_has_file(r->records))
        GD_TRY(gd_records_count(r->records, &n));
    some = r->from == FROM_PICTURE ? 1 : GD_MIN(r->o.sample, n);
    if (some == 0)
        return gd_fail(GD_EFAILED, "%s: contains no image yet", r->path);
    job_progress_start(&r->progress, "steps", some * r->maker.steps, r->o.quiet);
    r->maker.progress = &r->progress;
    for (int64_t k = 0; k < some && s == GD_OK; k++) {
        const int64_t from = k * n / some, count = (k + 1) * n / some - from;
        s = nth_image(r, from + gd_noise_below(fine, chance, (uint64_t)k, 0) * count / fine,
                      &image);
        if (s == GD_OK)
            s = compare(r, image);
    }
    job_progress_end(&r->progress);
    return s;
}

static gd_status report_result(run *r)
{
    if (r->compared == 0)
        return gd_fail(GD_EFAILED, "%s: contains none of the %lld images to check", r->path,
                       (long long)r->absent);
    if (r->o.json)
        GD_TRY(job_print_line("{\"compared\":%lld,\"equal\":%lld,\"absent\":%lld}",
                              (long long)r->compared, (long long)(r->compared - r->differs),
                              (long long)r->absent));
    if (r->differs > 0)
        return gd_fail(GD_EFAILED, "%s: %lld of %lld images differ from those of the recipe",
                       r->path, (long long)r->differs, (long long)r->compared);
    if (!r->o.quiet)
        gd_log(GD_LOG_NOTE, "%s: %lld images made again, all equal%s", r->path,
               (long long)r->compared, r->absent ? " (some do not exist yet)" : "");
    return GD_OK;
}

static gd_status work(run *r)
{
    if (r->o.threads)
        gd_set_threads(r->o.threads);
    job_limit_memory((size_t)r->o.memory << 20);
    GD_TRY(open_recipe(r));
    GD_TRY(open_source(r));
    GD_TRY(job_maker_prepare(&r->maker, 1));
    GD_TRY(compare_some(r));
    return report_result(r);
}

static gd_status run_verify(gd_job *job)
{
    run r = { .o = { .sample = 20 }, .only = -1 };
    gd_status s;

    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words != 1)
        return gd_fail(GD_EUSAGE, "verify: expected one run's folder, .npz or .png");
    r.path = r.words.word[0];
    s = work(&r);
    for (int k = 0; k < GD_RECORDS_PARTS; k++)
        gd_bundle_close(r.npz[k]);
    gd_records_leave(r.records);
    gd_block_free(r.made);
    gd_block_free(r.found);
    job_maker_close(&r.maker);
    job_recipe_close(&r.recipe);
    gd_block_free(r.text);
    return s;
}

static const char notes[] =
    "Makes some images again from their recipe (run.json, or the text in a picture) and compares "
    "pixels and labels with the stored ones. It checks the folder of a run, finished or not, a "
    "folder of pictures, one picture, or an .npz with --recipe. If images differ, it prints their "
    "numbers and exits with status 1; status 0 means that all are equal.";

const job_kind job_verify = { "verify",
                              "make some images of a run again and compare",
                              "verify RUN/ [--sample N]",
                              "guided verify run/ --sample 20",
                              table,
                              COUNT(table),
                              run_verify,
                              notes };
