/* SPDX-License-Identifier: MIT */
/* restore_files.c - reads measurements and images; writes samples, their mean and deviation,
 * metrics. */
#include "jobs/restore.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- in ---- */

static gd_status read_array(restore_input *in, const char *path)
{
    gd_array a;

    GD_TRY(gd_npy_read(&in->data, &a, path));
    if ((a.rank != 2 && a.rank != 3) || gd_array_count(&a) < 1)
        return gd_fail(GD_EFORMAT, "%s: an array of rank %d; expected [C,H,W] or [H,W]", path,
                       a.rank);
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] > GD_MAX_IMAGE_SIDE)
            return gd_fail(GD_EFORMAT, "%s: has a side of %lld", path, (long long)a.dim[i]);
    in->shape = a.rank == 3 ? (gd_shape){ (int)a.dim[0], (int)a.dim[1], (int)a.dim[2] }
                            : (gd_shape){ 1, (int)a.dim[0], (int)a.dim[1] };
    return GD_OK;
}

static gd_status read_picture(restore_input *in, const char *path)
{
    gd_image image;
    gd_status s;

    GD_TRY(gd_image_open(&image, path, 0));
    in->shape = (gd_shape){ image.channels, image.height, image.width };
    in->bytes = true;
    const int64_t plane = (int64_t)image.height * image.width;
    s = gd_block_make(&in->data, (size_t)(plane * image.channels) * sizeof(double), path);
    for (int64_t i = 0; s == GD_OK && i < plane; i++)
        for (int c = 0; c < image.channels; c++)
            in->data[c * plane + i] = image.pixels[i * image.channels + c] / 127.5 - 1;
    gd_image_free(&image);
    return s;
}

gd_status restore_read(restore_input *in, const char *path)
{
    *in = (restore_input){ 0 };
    return gd_ends_with(path, ".npy") ? read_array(in, path) : read_picture(in, path);
}

void restore_input_free(restore_input *in)
{
    gd_block_free(in->data);
    in->data = NULL;
}

static bool channels_equal(const restore_input *in)
{
    const int64_t plane = (int64_t)in->shape.h * in->shape.w;

    for (int64_t i = plane; i < gd_shape_count(in->shape); i++)
        if (in->data[i] != in->data[i % plane])
            return false;
    return true;
}

gd_status restore_channels(restore_input *in, int channels, const char *path)
{
    const int64_t plane = (int64_t)in->shape.h * in->shape.w;
    double *more;

    if (in->shape.c == channels)
        return GD_OK;
    if (channels == 1 && channels_equal(in)) {
        in->shape.c = 1;
        return GD_OK;
    }
    if (in->shape.c != 1)
        return gd_fail(GD_EMISMATCH, "%s: has %d channels; expected %d", path, in->shape.c,
                       channels);
    GD_TRY(gd_block_make(&more, (size_t)(plane * channels) * sizeof *more, path));
    for (int64_t i = 0; i < plane * channels; i++)
        more[i] = in->data[i % plane];
    gd_block_free(in->data);
    in->data = more;
    in->shape.c = channels;
    return GD_OK;
}

/* ---- out ---- */

/* -o -: the caller of the job receives the results as arrays */
static bool to_files(const restore_run *r)
{
    return strcmp(r->o.output, "-") != 0;
}

gd_status restore_folder(const restore_run *r, bool share)
{
    const char *path = r->o.output;

    if (!to_files(r) && !job_takes_arrays())
        return gd_fail(GD_EUSAGE, "-o -: the results are several files\nhint: -o FOLDER");
    if (!to_files(r))
        return GD_OK;
    if (gd_path_exists(path) && !r->o.overwrite && !share) {
        gd_status s = gd_fail(GD_EEXISTS, "%s exists already", path);
        gd_detail("hint: --overwrite writes into it");
        return s;
    }
    if (gd_os.mkdir(path, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, path);
    return access(path, W_OK) == 0 ? GD_OK : gd_fail_errno(errno, path);
}

static void name_of(char out[4200], const restore_run *r, const char *name)
{
    snprintf(out, 4200, "%.4000s/%s", r->o.output, name);
}

gd_status restore_write_png(const restore_run *r, const char *name, const double *x, gd_shape shape)
{
    const int64_t plane = (int64_t)shape.h * shape.w, n = gd_shape_count(shape);
    char path[4200];
    float *single;
    void *png;
    size_t bytes;
    gd_status s;

    if (!to_files(r) || (shape.c != 1 && shape.c != 3))
        return GD_OK; /* the .npy file contains it */
    name_of(path, r, name);
    GD_TRY(gd_block_make(&single, (size_t)n * (sizeof(float) + 1), "picture"));
    uint8_t *pixels = (uint8_t *)(single + n);
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)x[i];
    gd_to_uint8(pixels, single, shape.c, plane);
    s = gd_png_encode(&png, &bytes, pixels, shape.w, shape.h, shape.c, r->texts, COUNT(r->texts));
    gd_block_free(single);
    GD_TRY(s);
    s = gd_file_put(path, r->o.overwrite, png, bytes);
    gd_block_free(png);
    return s;
}

gd_status restore_write_npy(const restore_run *r, const char *name, const double *x, gd_shape shape)
{
    const gd_array a = { name, GD_F32, 3, { shape.c, shape.h, shape.w } };
    const int64_t n = gd_shape_count(shape);
    char path[4200], stem[64];
    float *single;
    gd_status s;

    snprintf(stem, sizeof stem, "%.*s", (int)strcspn(name, "."), name);
    GD_TRY(job_show_array(stem, a.rank, a.dim, x));
    if (!to_files(r))
        return GD_OK;
    name_of(path, r, name);
    GD_TRY(gd_block_make(&single, (size_t)n * sizeof(float), "array"));
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)x[i];
    s = gd_npy_write(path, r->o.overwrite, &a, single);
    gd_block_free(single);
    return s;
}

/* ---- receipt and metrics ---- */

static void set_real(json_t *j, const char *key, double value)
{
    if (isfinite(value))
        json_object_set_new(j, key, json_real(value));
}

static double mean_of(const double *x, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += x[i];
    return n > 0 ? sum / n : NAN;
}

static gd_status fill_recipe(const restore_run *r, json_t *j, const job_kind *command)
{
    char seed[24], hash[33];

    snprintf(seed, sizeof seed, "%llu", (unsigned long long)r->o.seed);
    json_object_set_new(j, "guided", json_string(gd_version()));
    json_object_set_new(j, "model", gd_json_text(r->o.model));
    GD_TRY(gd_model_hash(r->model, hash));
    json_object_set_new(j, "model_hash", json_string(hash));
    json_object_set_new(j, "operator", gd_json_text(r->o.op ? r->o.op : "denoise"));
    json_object_set_new(j, "solver", json_string(gd_restorer_name(r->r.restorer)));
    json_object_set_new(j, "calls", json_integer(r->r.calls));
    set_real(j, "noise", r->r.options.sigma_y);
    if (command != &job_invert) /* which makes one */
        json_object_set_new(j, "num", json_integer(r->o.n));
    json_object_set_new(j, "seed", json_string(seed));
    json_object_set_new(j, "precision", json_string(r->o.precision));
    json_object_set_new(j, "isa", json_string(gd_isa_name(gd_isa_used())));
    json_object_set_new(j, "onednn", json_string(gd_onednn_version()));
    return job_recipe_add_command(j, command, &r->words);
}

gd_status restore_recipe(restore_run *r, const job_kind *command)
{
    json_t *j = json_object();
    gd_status s = j ? fill_recipe(r, j, command) : GD_ENOMEM;

    if (s == GD_OK && !(r->recipe = gd_json_dump(j, JSON_COMPACT)))
        s = gd_fail(GD_ENOMEM, "recipe: out of memory");
    json_decref(j);
    r->texts[0] = (gd_text){ "Software", "guided " GUIDED_VERSION };
    r->texts[1] = (gd_text){ "guided.recipe", r->recipe };
    return s;
}

/* ",PSNR,SSIM"; empty fields if unknown */
static size_t print_pair(char *text, size_t size, double psnr, double ssim)
{
    size_t used = (size_t)snprintf(text, size, ",%.4f,", psnr);

    if (isfinite(ssim))
        used += (size_t)snprintf(text + used, size - used, "%.5f", ssim);
    return used + (size_t)snprintf(text + used, size - used, "\n");
}

static gd_status write_metrics(const restore_run *r)
{
    enum { ROW = 200 };
    char path[4200], *text;
    size_t used = 0, size = (size_t)(r->done + 3) * ROW;
    gd_status s;

    name_of(path, r, "metrics.csv");
    GD_TRY(gd_block_make(&text, size, "metrics"));
    used += (size_t)snprintf(text, size, "sample,residual_rms%s",
                             r->truth.data ? ",psnr,ssim\n" : "\n");
    for (int i = 0; i < r->done; i++) {
        used += (size_t)snprintf(text + used, size - used, "%d,%.6g", i, r->residual[i]);
        if (r->truth.data)
            used += print_pair(text + used, size - used, r->psnr[i], r->ssim[i]);
        else
            used += (size_t)snprintf(text + used, size - used, "\n");
    }
    if (r->truth.data) {
        used += (size_t)snprintf(text + used, size - used, "mean,");
        used += print_pair(text + used, size - used, r->mean_psnr, r->mean_ssim);
    }
    if (r->truth.data && isfinite(r->pinv_psnr)) {
        used += (size_t)snprintf(text + used, size - used, "pinv,");
        used += print_pair(text + used, size - used, r->pinv_psnr, r->pinv_ssim);
    }
    s = gd_file_put(path, r->o.overwrite, text, used);
    gd_block_free(text);
    return s;
}

/* White is the largest deviation */
static gd_status write_deviation(restore_run *r)
{
    const int64_t n = gd_shape_count(r->r.shape);
    double largest = 0, *scaled = r->latent;

    GD_TRY(restore_write_npy(r, "std.npy", r->deviation, r->r.shape));
    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, r->deviation[i]);
    for (int64_t i = 0; i < n; i++)
        scaled[i] = largest > 0 ? 2 * r->deviation[i] / largest - 1 : -1;
    return restore_write_png(r, "std.png", scaled, r->r.shape);
}

gd_status restore_write_all(restore_run *r)
{
    const gd_shape shape = r->r.shape;
    const int64_t n = gd_shape_count(shape);
    const int64_t dim[] = { r->done, shape.c, shape.h, shape.w };
    char name[40], path[4200];

    GD_TRY(job_show_array("samples", COUNT(dim), dim, r->samples));
    for (int i = 0; i < r->done; i++) {
        snprintf(name, sizeof name, "%05d.png", i);
        GD_TRY(restore_write_png(r, name, r->samples + i * n, r->r.shape));
        snprintf(name, sizeof name, "%05d.npy", i);
        if (to_files(r) && shape.c != 1 && shape.c != 3)
            GD_TRY(restore_write_npy(r, name, r->samples + i * n, r->r.shape));
    }
    if (r->done > 1) {
        GD_TRY(restore_write_png(r, "mean.png", r->mean, r->r.shape));
        GD_TRY(restore_write_npy(r, "mean.npy", r->mean, r->r.shape));
        GD_TRY(write_deviation(r));
    }
    if (!to_files(r))
        return GD_OK;
    GD_TRY(write_metrics(r));
    name_of(path, r, "run.json");
    return gd_file_put(path, r->o.overwrite, r->recipe, strlen(r->recipe));
}

static gd_status print_json(const restore_run *r)
{
    json_t *j =
        json_pack("{s:o, s:i, s:I, s:s, s:i, s:f}", "output", gd_json_text(r->o.output), "images",
                  r->done, "seed", (json_int_t)r->o.seed, "solver", gd_restorer_name(r->r.restorer),
                  "calls", r->r.calls, "seconds", gd_seconds() - r->start);

    set_real(j, "noise", r->r.options.sigma_y);
    set_real(j, "residual_rms", mean_of(r->residual, r->done));
    if (r->truth.data) {
        set_real(j, "psnr", mean_of(r->psnr, r->done));
        set_real(j, "ssim", mean_of(r->ssim, r->done));
        set_real(j, "mean_psnr", r->mean_psnr);
        set_real(j, "mean_ssim", r->mean_ssim);
        set_real(j, "pinv_psnr", r->pinv_psnr);
        set_real(j, "pinv_ssim", r->pinv_ssim);
    }
    return job_print_json(j);
}

gd_status restore_print(const restore_run *r)
{
    char text[4608];
    int n;

    if (r->o.json)
        return print_json(r);
    if (r->o.quiet)
        return GD_OK;
    n = snprintf(text, sizeof text, "%.4096s: %d %s by %s, %d calls each; residual %.4g",
                 r->o.output, r->done, r->done == 1 ? "image" : "images",
                 gd_restorer_name(r->r.restorer), r->r.calls, mean_of(r->residual, r->done));
    if (r->r.options.sigma_y > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, " (noise %.4g)", r->r.options.sigma_y);
    if (r->truth.data)
        n += snprintf(text + n, sizeof text - (size_t)n, "; PSNR %.2f dB, SSIM %.4f",
                      mean_of(r->psnr, r->done), mean_of(r->ssim, r->done));
    if (r->truth.data && r->done > 1)
        snprintf(text + n, sizeof text - (size_t)n, "; of the mean %.2f dB, %.4f", r->mean_psnr,
                 r->mean_ssim);
    gd_log(GD_LOG_NOTE, "%s", text);
    return GD_OK;
}
