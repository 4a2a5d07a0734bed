/* SPDX-License-Identifier: MIT */
/* output.c - writes finished images as a PNG grid, a folder of PNGs, or the authors' .npz;
 * overwrites nothing unless asked to. */
#include "jobs/jobs.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { GRID_GAP = 2, MOST_TEXTS = 4 };

/* format: grid, folder, npz; NULL: decided by the name */
static gd_status choose_format(job_output *o, const char *format)
{
    static const char *const names[] = { "grid", "folder", "npz" };

    for (int i = 0; format && i < COUNT(names); i++)
        if (strcmp(format, names[i]) == 0)
            o->format = (job_format)i;
    if (format)
        return GD_OK;
    if (strcmp(o->path, "-") != 0 && !gd_path_is_folder(o->path))
        GD_TRY(
            gd_suffix_check(o->path, "png npz",
                            "X.png is a picture, X.npz the arrays, X and X/ a folder of pictures"));
    o->format = gd_ends_with(o->path, ".png") || strcmp(o->path, "-") == 0 ? JOB_GRID
                : gd_ends_with(o->path, ".npz")                            ? JOB_NPZ
                                                                           : JOB_FOLDER;
    return GD_OK;
}

/* Records of a run that is not packed yet */
static bool is_run(const char *path)
{
    char inside[4200];

    snprintf(inside, sizeof inside, "%.4096s/samples.records", path);
    return gd_path_exists(inside);
}

/* The path exists */
static gd_status check_folder(const job_output *o)
{
    struct stat there;
    gd_status s;

    if (stat(o->path, &there) == 0 && !S_ISDIR(there.st_mode))
        return gd_fail(GD_EEXISTS, "%s is not a folder\nhint: give another --output", o->path);
    if (o->replace != GD_KEEP)
        return GD_OK;
    s = gd_fail(GD_EEXISTS, "%s exists already", o->path);
    gd_detail(is_run(o->path) ? "hint: --resume continues the run"
                              : "hint: --overwrite replaces it");
    return s;
}

/* Checks before any work that the output does not exist and that its folder exists and is writable
 */
static gd_status check_place(const job_output *o)
{
    char folder[4096];
    size_t n = strlen(o->path);

    while (n > 1 && o->path[n - 1] == '/') /* out/ means out */
        n--;
    while (n > 0 && o->path[n - 1] != '/')
        n--;
    if (strcmp(o->path, "-") == 0 && o->format != JOB_GRID)
        return gd_fail(GD_EUSAGE, "-o -: only a PNG can be written to standard output");
    if (strcmp(o->path, "-") == 0)
        return job_takes_data()
                   ? GD_OK
                   : gd_fail(GD_EUSAGE, "-o -: standard output is a terminal and cannot show a "
                                        "PNG\nhint: -o FILE.png, or a pipe into a program");
    if (o->format != JOB_FOLDER)
        GD_TRY(gd_file_check(o->path, o->replace));
    else if (gd_path_exists(o->path))
        GD_TRY(check_folder(o));
    snprintf(folder, sizeof folder, "%.*s", n > 0 ? (int)n : 1, n > 0 ? o->path : ".");
    if (access(folder, W_OK) != 0)
        return gd_fail(GD_EIO, "%s: %s cannot be written: %s", o->path, folder, strerror(errno));
    if (o->format == JOB_FOLDER && gd_os.mkdir(o->path, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, o->path);
    return GD_OK;
}

gd_status job_output_open(job_output *o, const char *format)
{
    const size_t image = (size_t)o->width * (size_t)o->height * (size_t)o->channels;

    GD_TRY(choose_format(o, format));
    GD_TRY(check_place(o));
    GD_TRY(gd_block_make(&o->pixels, image * (size_t)o->n, "finished images"));
    return gd_block_make(&o->labels, sizeof *o->labels * (size_t)o->n, "labels");
}

static uint8_t *image_at(const job_output *o, int64_t i)
{
    return o->pixels + i * o->width * o->height * o->channels;
}

static gd_status write_png(const job_output *o, const char *path, const uint8_t *pixels, int width,
                           int height, const gd_text *texts, int n_texts)
{
    gd_text shown[MOST_TEXTS + 1];
    char *recipe = NULL;
    void *png;
    size_t bytes;
    gd_status s = GD_OK;

    if (o->channels != 1 && o->channels != 3)
        return gd_fail(GD_EUSAGE, "PNG holds 1 or 3 channels, not %d: use -o NAME.npz",
                       o->channels);
    for (int k = 0; k < n_texts && s == GD_OK; k++) {
        shown[k] = texts[k];
        if (strcmp(texts[k].key, "guided.recipe") != 0)
            continue;
        s = job_recipe_for_picture(&recipe, texts[k].value);
        shown[k].value = recipe;
    }
    if (s == GD_OK)
        s = gd_png_encode(&png, &bytes, pixels, width, height, o->channels, shown, n_texts);
    free(recipe);
    GD_TRY(s);
    if (strcmp(path, "-") != 0)
        s = gd_file_put(path, o->replace, png, bytes);
    else
        s = job_data(png, bytes) ? GD_OK : gd_fail_errno(errno, "standard output");
    gd_block_free(png);
    return s;
}

/* A picture in a folder stores its number. */
static gd_status write_image(const job_output *o, const char *path, int64_t i)
{
    gd_text texts[MOST_TEXTS + 1];
    char number[24];
    const int n = GD_MIN(o->n_texts, MOST_TEXTS);

    for (int k = 0; k < n; k++)
        texts[k] = o->texts[k];
    snprintf(number, sizeof number, "%lld", (long long)(o->first + i));
    texts[n] = (gd_text){ "guided.image", number };
    return write_png(o, path, image_at(o, i), o->width, o->height, texts, n + 1);
}

gd_status job_output_add(job_output *o, const float *image, int64_t label)
{
    char path[4200];

    gd_to_uint8(image_at(o, o->done), image, o->channels, (int64_t)o->width * o->height);
    o->labels[o->done++] = label;
    if (o->preview)
        job_show_image(&(guided_image){ .image = o->first + o->done - 1,
                                        .label = label,
                                        .channels = o->channels,
                                        .height = o->height,
                                        .width = o->width,
                                        .pixels = image_at(o, o->done - 1) });
    if (o->format != JOB_FOLDER)
        return GD_OK;
    snprintf(path, sizeof path, "%s/%05lld.png", o->path, (long long)(o->first + o->done - 1));
    return write_image(o, path, o->done - 1);
}

/* White gaps between images; fewer images than columns make a narrower grid */
static gd_status write_grid(const job_output *o)
{
    int columns = o->columns, rows;
    uint8_t *grid;

    while (columns == 0 || (o->columns == 0 && (int64_t)columns * columns < o->done))
        columns++;
    columns = (int)GD_MIN(columns, o->done);
    rows = (int)((o->done + columns - 1) / columns);
    const int gap = o->done > 1 ? GRID_GAP : 0, width = columns * (o->width + gap) + gap,
              height = rows * (o->height + gap) + gap;
    GD_TRY(gd_block_make(&grid, (size_t)width * (size_t)height * (size_t)o->channels, "grid"));
    memset(grid, 255, (size_t)width * (size_t)height * (size_t)o->channels);
    for (int64_t i = 0; i < o->done; i++)
        for (int y = 0; y < o->height; y++) {
            const int64_t at_y = gap + i / columns * (o->height + gap) + y,
                          at_x = gap + i % columns * (o->width + gap);
            memcpy(grid + (at_y * width + at_x) * o->channels,
                   image_at(o, i) + (int64_t)y * o->width * o->channels,
                   (size_t)(o->width * o->channels));
        }
    gd_status s = write_png(o, o->path, grid, width, height, o->texts, o->n_texts);
    gd_block_free(grid);
    return s;
}

static gd_status write_npz(const job_output *o)
{
    const gd_array arrays[2] = {
        { "arr_0", GD_U8, 4, { o->done, o->height, o->width, o->channels } },
        { "arr_1", GD_I64, 1, { o->done } }
    };
    const void *const data[2] = { o->pixels, o->labels };

    return gd_npz_write(o->path, o->replace, arrays, data, o->labels[0] >= 0 ? 2 : 1);
}

gd_status job_output_finish(job_output *o)
{
    char path[4200];

    if (o->done == 0)
        return GD_OK;
    if (o->format == JOB_GRID)
        return write_grid(o);
    if (o->format == JOB_NPZ)
        return write_npz(o);
    snprintf(path, sizeof path, "%s/run.json", o->path);
    for (int i = 0; i < o->n_texts; i++)
        if (strcmp(o->texts[i].key, "guided.recipe") == 0)
            return gd_file_put(path, GD_OWN, o->texts[i].value, strlen(o->texts[i].value));
    return GD_OK;
}

void job_output_free(job_output *o)
{
    gd_block_free(o->pixels);
    gd_block_free(o->labels);
}

/* jansson quotes the path; the seed is printed here, because jansson's integers end at 2^63. */
gd_status job_print_result(const char *output, int64_t images, uint64_t seed, double seconds)
{
    json_t *path = gd_json_text(output);
    char *quoted = gd_json_dump(path, JSON_ENCODE_ANY);
    gd_status s;

    s = job_print_line("{\"output\":%s,\"images\":%lld,\"seed\":%llu,\"seconds\":%.3f}",
                       quoted ? quoted : "null", (long long)images, (unsigned long long)seed,
                       seconds);
    free(quoted);
    json_decref(path);
    return s;
}
