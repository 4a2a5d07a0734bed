/* SPDX-License-Identifier: MIT */
/* images.c - the images of a set, in order and in pieces: whatever the set, memory holds one piece.
 *
 * A set is one or several shards: .npz files are streamed from the archive, other kinds are decoded
 * image by image (data/data.h). */
#include "eval/eval.h"

#include "data/data.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MAX_SHARDS = 4096, LOOK_AT = 64 };

typedef struct shard {
    const char *path;
    int64_t count;
    gd_bundle *bundle; /* .npz, streamed; else NULL */
    const gd_array *array;
    gd_elements *elements;
    gd_dataset *set; /* the others */
} shard;

struct gd_images {
    gd_arena *mem;
    gd_images_options o;
    shard *shard; /* [n_shards] */
    int n_shards, current;
    int64_t count, in_shard;
    int height, width; /* of an image as it comes out */
    uint8_t *raw;      /* block: [n][H][W][C] as an .npz holds them, when they change */
    int64_t raw_bytes;
};

/* ---- which shards ---- */

static gd_status add_shard(gd_images *s, const char *path, size_t length)
{
    if (s->n_shards == MAX_SHARDS)
        return gd_fail(GD_EUSAGE, "more than %d files", MAX_SHARDS);
    const char *copy = gd_sprintf(s->mem, "%.*s", (int)length, path);
    if (!copy)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    s->shard[s->n_shards++].path = copy;
    return GD_OK;
}

static int is_npz_name(const struct dirent *e)
{
    const size_t n = strlen(e->d_name);
    return n > 4 && e->d_name[0] != '.' && strcasecmp(e->d_name + n - 4, ".npz") == 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int is_other_name(const struct dirent *e)
{
    return e->d_name[0] != '.' && !is_npz_name(e);
}

static void report_others(const char *folder)
{
    struct dirent **entry;
    const int n = scandir(folder, &entry, is_other_name, by_bytes);

    if (n > 0)
        gd_log(GD_LOG_NOTE, "%s: %d file%s beside the .npz passed over (%s%s)", folder, n,
               n == 1 ? "" : "s", entry[0]->d_name, n > 1 ? ", .." : "");
    for (int i = 0; i < n; i++)
        free(entry[i]);
    if (n >= 0)
        free(entry);
}

/* A folder that holds pictures is one shard; else one of .npz files is its shards by name. */
static gd_status add_path(gd_images *s, const char *path, size_t length)
{
    char folder[4096], full[8192];
    struct dirent **entry;
    gd_status status = GD_OK;
    int n = 0;

    snprintf(folder, sizeof folder, "%.*s", (int)length, path);
    if (gd_path_is_folder(folder) && !gd_folder_has_pictures(folder))
        n = scandir(folder, &entry, is_npz_name, by_bytes);
    if (n < 0)
        return gd_fail_errno(errno, folder);
    if (n == 0)
        return add_shard(s, path, length);
    report_others(folder);
    for (int i = 0; i < n; i++) {
        snprintf(full, sizeof full, "%s/%s", folder, entry[i]->d_name);
        if (status == GD_OK)
            status = add_shard(s, full, strlen(full));
        free(entry[i]);
    }
    free(entry);
    return status;
}

/* One path, or several with commas between them */
static gd_status list_shards(gd_images *s, const char *paths)
{
    s->shard = gd_alloc(s->mem, MAX_SHARDS * sizeof *s->shard);
    if (!s->shard)
        return gd_fail(GD_ENOMEM, "%s: out of memory", paths);
    if (gd_path_exists(paths))
        return add_path(s, paths, strlen(paths));
    for (const char *at = paths;;) {
        const size_t n = strcspn(at, ",");
        if (n > 0)
            GD_TRY(add_path(s, at, n));
        if (!at[n])
            break;
        at += n + 1;
    }
    return s->n_shards > 0 ? GD_OK : gd_fail(GD_EUSAGE, "\"%s\" names no file", paths);
}

/* ---- an .npz is checked before anything is computed ---- */

static gd_status check_array(gd_images *s, shard *p)
{
    if (gd_bundle_find(p->bundle, "mu") && s->n_shards > 1)
        return gd_fail(GD_EFORMAT,
                       "%s: holds statistics (mu), which are one file's and not those of all %d\n"
                       "hint: name this file alone for its statistics, or the others for images",
                       p->path, s->n_shards);
    const bool none = !gd_npz_has_images(p->bundle) && gd_bundle_find(p->bundle, "mu");
    if (!none) /* else statistics alone: a set of no images */
        GD_TRY(gd_npz_images(&p->array, p->bundle));
    gd_npz_report(p->bundle, p->array);
    if (none)
        return GD_OK;
    if (p->array->dim[3] != s->o.channels && !s->o.grey)
        return gd_fail(GD_EFORMAT, "%s: %s images, the network sees %s\nhint: --grey converts them",
                       p->path, p->array->dim[3] == 1 ? "grey" : "RGB",
                       p->array->dim[3] == 1 ? "RGB" : "grey");
    p->count = p->array->dim[0];
    if (p->count == 0 && !gd_bundle_find(p->bundle, "mu"))
        return gd_fail(GD_EFORMAT, "%s: %s holds no images", p->path, p->array->name);
    return GD_OK;
}

/* ---- one image as the network wants it ---- */

static int64_t image_bytes(const gd_images *s)
{
    return (int64_t)s->height * s->width * s->o.channels;
}

static gd_status reshape(const gd_images *s, gd_image *image)
{
    if (s->o.crop > 0 && (image->width != s->o.crop || image->height != s->o.crop))
        GD_TRY(gd_crop_centre(image, s->o.crop));
    if (s->o.pad > 0)
        GD_TRY(gd_crop_pad(image, s->o.pad));
    return GD_OK;
}

static gd_status from_bytes(const gd_images *s, gd_image *out, const gd_array *a,
                            const uint8_t *pixels)
{
    const int height = (int)a->dim[1], width = (int)a->dim[2];
    const size_t n = (size_t)height * (size_t)width;

    *out = (gd_image){ width, height, s->o.channels, NULL };
    GD_TRY(gd_block_make(&out->pixels, n * (size_t)s->o.channels, "image"));
    gd_convert_channels(out->pixels, s->o.channels, pixels, (int)a->dim[3], n);
    return reshape(s, out);
}

/* Image i of a shard; `raw`: its bytes in an .npz */
static gd_status load(const gd_images *s, const shard *p, int64_t i, const uint8_t *raw,
                      gd_image *out)
{
    if (p->bundle)
        return from_bytes(s, out, p->array, raw);
    GD_TRY(gd_dataset_read(p->set, i, out));
    return reshape(s, out);
}

static void name_in(const shard *p, int64_t i, char *out, size_t size)
{
    if (p->set)
        gd_dataset_name(p->set, i, out, size);
    else
        snprintf(out, size, "%s: image %lld", p->path, (long long)i);
}

static gd_status check_size(const gd_images *s, const shard *p, int64_t i, int height, int width)
{
    char name[512];

    if (height == s->height && width == s->width)
        return GD_OK;
    name_in(p, i, name, sizeof name);
    return gd_fail(GD_EFORMAT,
                   "%s is %d x %d, the first image of the set %d x %d\nhint: --crop N makes all "
                   "N x N",
                   name, width, height, s->width, s->height);
}

/* ---- opening ---- */

static bool is_npz(const char *path)
{
    struct stat info;

    return gd_ends_with(path, ".npz") && stat(path, &info) == 0 && !S_ISDIR(info.st_mode);
}

static gd_status open_shard(gd_images *s, shard *p)
{
    const gd_dataset_options o = { .labels = GD_LABELS_NONE, .channels = s->o.channels };

    if (is_npz(p->path)) {
        GD_TRY(gd_bundle_open(&p->bundle, p->path));
        return check_array(s, p);
    }
    GD_TRY(gd_dataset_open(&p->set, p->path, &o));
    p->count = gd_dataset_count(p->set);
    return GD_OK;
}

/* Sizes after crop and border: of an .npz from its shape, of others from their first image */
static gd_status find_size(gd_images *s, shard *p)
{
    int height, width;

    if (p->count == 0)
        return GD_OK;
    if (p->bundle) {
        height = s->o.crop > 0 ? s->o.crop : (int)p->array->dim[1];
        width = s->o.crop > 0 ? s->o.crop : (int)p->array->dim[2];
        height = GD_MAX(height, s->o.pad);
        width = GD_MAX(width, s->o.pad);
    } else {
        gd_image image = { 0 };
        gd_status status = load(s, p, 0, NULL, &image);
        height = image.height;
        width = image.width;
        gd_image_free(&image);
        GD_TRY(status);
    }
    if (s->height == 0) {
        s->height = height;
        s->width = width;
    }
    return check_size(s, p, 0, height, width);
}

/* ---- asking ---- */

int64_t gd_images_count(const gd_images *s)
{
    return s->count;
}

int gd_images_height(const gd_images *s)
{
    return s->height;
}

int gd_images_width(const gd_images *s)
{
    return s->width;
}

const gd_bundle *gd_images_npz(const gd_images *s)
{
    return s->n_shards == 1 ? s->shard[0].bundle : NULL;
}

void gd_images_name(const gd_images *s, int64_t index, char *out, size_t size)
{
    int k = 0;

    while (k + 1 < s->n_shards && index >= s->shard[k].count)
        index -= s->shard[k++].count;
    name_in(&s->shard[k], index, out, size);
}

gd_status gd_images_fingerprint(const gd_images *s, gd_hasher *hasher)
{
    const int facts[] = { s->o.channels, s->o.crop, s->o.pad };

    gd_hasher_add(hasher, facts, sizeof facts);
    for (int i = 0; i < s->n_shards; i++) {
        const shard *p = &s->shard[i];
        if (p->set)
            GD_TRY(gd_dataset_fingerprint(p->set, hasher));
        else if (p->count > 0)
            GD_TRY(gd_bundle_fingerprint(p->bundle, p->array, hasher));
    }
    return GD_OK;
}

/* ---- reading ---- */

void gd_images_rewind(gd_images *s)
{
    for (int i = 0; i < s->n_shards; i++) {
        gd_elements_close(s->shard[i].elements);
        s->shard[i].elements = NULL;
    }
    s->current = 0;
    s->in_shard = 0;
}

typedef struct piece {
    const gd_images *s;
    const shard *p;
    int64_t first; /* in the shard */
    const uint8_t *raw;
    size_t raw_image; /* bytes */
    uint8_t *pixels;
    gd_status *status; /* [n] */
} piece;

static gd_status load_one(const piece *w, int64_t i)
{
    const size_t bytes = (size_t)image_bytes(w->s);
    gd_image image = { 0 };
    gd_status status =
        load(w->s, w->p, w->first + i, w->raw ? w->raw + (size_t)i * w->raw_image : NULL, &image);

    if (status == GD_OK)
        status = check_size(w->s, w->p, w->first + i, image.height, image.width);
    if (status == GD_OK)
        memcpy(w->pixels + (size_t)i * bytes, image.pixels, bytes);
    gd_image_free(&image);
    return status;
}

static void load_in_parallel(void *ctx, int64_t i)
{
    const piece *w = ctx;
    w->status[i] = load_one(w, i);
}

/* Messages belong to threads: the first image that failed is tried again on this one. */
static gd_status load_piece(piece *w, int64_t n)
{
    gd_status status = GD_OK;

    w->status = calloc((size_t)n, sizeof *w->status);
    if (!w->status)
        return gd_fail(GD_ENOMEM, "%s: out of memory", w->p->path);
    gd_par(n, load_in_parallel, w);
    for (int64_t i = 0; i < n && status == GD_OK; i++)
        if (w->status[i] != GD_OK)
            status = load_one(w, i);
    free(w->status);
    return status;
}

static bool as_they_are(const gd_images *s, const gd_array *a)
{
    return a->dim[1] == s->height && a->dim[2] == s->width && a->dim[3] == s->o.channels;
}

/* Bytes of n images of an .npz into `out` */
static gd_status take_bytes(shard *p, uint8_t *out, size_t bytes)
{
    gd_status status = GD_OK;

    if (!p->elements)
        status = gd_elements_open(&p->elements, p->bundle, p->array);
    if (status == GD_OK)
        status = gd_elements_read_u8(p->elements, out, (int64_t)bytes);
    return status;
}

static gd_status make_raw(gd_images *s, size_t bytes)
{
    if ((int64_t)bytes <= s->raw_bytes)
        return GD_OK;
    gd_block_free(s->raw);
    s->raw_bytes = 0;
    GD_TRY(gd_block_make(&s->raw, bytes, "images"));
    s->raw_bytes = (int64_t)bytes;
    return GD_OK;
}

/* The next n images of the shard under way */
static gd_status read_piece(gd_images *s, int64_t n, uint8_t *pixels)
{
    shard *p = &s->shard[s->current];
    piece w = { .s = s, .p = p, .first = s->in_shard, .pixels = pixels };

    if (p->bundle) {
        const gd_array *a = p->array;
        w.raw_image = (size_t)(a->dim[1] * a->dim[2] * a->dim[3]);
        if (as_they_are(s, a))
            return take_bytes(p, pixels, (size_t)n * w.raw_image);
        GD_TRY(make_raw(s, (size_t)n * w.raw_image));
        GD_TRY(take_bytes(p, s->raw, (size_t)n * w.raw_image));
        w.raw = s->raw;
    }
    return load_piece(&w, n);
}

static void next_shard(gd_images *s)
{
    gd_elements_close(s->shard[s->current].elements);
    s->shard[s->current++].elements = NULL;
    s->in_shard = 0;
}

gd_status gd_images_read(gd_images *s, int64_t n, uint8_t *pixels)
{
    for (int64_t done = 0; done < n;) {
        const int64_t left = s->shard[s->current].count - s->in_shard;
        const int64_t part = GD_MIN(n - done, left);
        if (left == 0) {
            next_shard(s);
            continue;
        }
        GD_TRY(read_piece(s, part, pixels + done * image_bytes(s)));
        s->in_shard += part;
        done += part;
    }
    return GD_OK;
}

/* The bytes of an .npz are read all the same: its CRC-32 is over all of them. */
gd_status gd_images_skip(gd_images *s, int64_t n)
{
    for (int64_t done = 0; done < n; done++) {
        while (s->in_shard == s->shard[s->current].count)
            next_shard(s);
        shard *p = &s->shard[s->current];
        if (p->bundle) {
            const int64_t *d = p->array->dim;
            GD_TRY(make_raw(s, (size_t)(d[1] * d[2] * d[3])));
            GD_TRY(take_bytes(p, s->raw, (size_t)(d[1] * d[2] * d[3])));
        }
        s->in_shard++;
    }
    return GD_OK;
}

/* ---- the whole ---- */

static gd_status brightest_of(gd_images *s, int64_t n, uint8_t *pixels, int *brightest)
{
    for (int64_t i = 0; i < n && *brightest <= 1; i++) {
        GD_TRY(gd_images_read(s, 1, pixels));
        for (int64_t k = 0; k < image_bytes(s); k++)
            *brightest = GD_MAX(*brightest, pixels[k]);
    }
    return GD_OK;
}

/* Floats in [0,1] that were cast to bytes are 0 or 1.  Found before the other set has taken hours:
 * ones among the first images are reason to look at the whole set; black images are images. */
static gd_status look_at_first(gd_images *s)
{
    const int64_t looked = GD_MIN(LOOK_AT, s->count);
    gd_status status;
    int brightest = 0;
    uint8_t *pixels;

    if (s->count == 0)
        return GD_OK;
    GD_TRY(gd_block_make(&pixels, (size_t)image_bytes(s), "image"));
    status = brightest_of(s, looked, pixels, &brightest);
    if (status == GD_OK && brightest == 1)
        status = brightest_of(s, s->count - looked, pixels, &brightest);
    gd_block_free(pixels);
    gd_images_rewind(s);
    GD_TRY(status);
    if (brightest == 0)
        gd_log(GD_LOG_NOTE, "%s: the first %lld images are black", s->shard[0].path,
               (long long)looked);
    if (brightest != 1)
        return GD_OK;
    return gd_fail(GD_EFORMAT,
                   "%s: no byte of the %lld images is above 1\nhint: floats in [0,1] that were "
                   "cast to uint8? save (x * 255).round().astype(\"uint8\")",
                   s->shard[0].path, (long long)s->count);
}

static gd_status open_all(gd_images *s, const char *paths)
{
    GD_TRY(list_shards(s, paths));
    for (int i = 0; i < s->n_shards; i++) {
        GD_TRY(open_shard(s, &s->shard[i]));
        GD_TRY(find_size(s, &s->shard[i]));
        s->count += s->shard[i].count;
    }
    return look_at_first(s);
}

gd_status gd_images_open(gd_images **out, const char *paths, const gd_images_options *o)
{
    gd_arena *mem;
    gd_images *s;
    gd_status status;

    GD_TRY(gd_arena_make(&mem));
    s = gd_alloc(mem, sizeof *s);
    if (!s) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", paths);
    }
    s->mem = mem;
    s->o = *o;
    status = open_all(s, paths);
    if (status != GD_OK) {
        gd_images_close(s);
        return status;
    }
    *out = s;
    return GD_OK;
}

void gd_images_close(gd_images *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n_shards; i++) {
        gd_elements_close(s->shard[i].elements);
        gd_bundle_close(s->shard[i].bundle);
        gd_dataset_close(s->shard[i].set);
    }
    gd_block_free(s->raw);
    gd_arena_free(s->mem);
}
