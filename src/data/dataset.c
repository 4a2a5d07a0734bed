/* SPDX-License-Identifier: MIT */
/* dataset.c - what all kinds of image sets have in common: opening by content, labels, names. */
#include "data/data_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 1 << 20 };

/* ---- labels ---- */

gd_status gd_labels_read(gd_labels *out, const char *word)
{
    static const char *const names[] = { "", "folder", "name", "none" };

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(word, names[i]) == 0) {
            *out = (gd_labels)i;
            return GD_OK;
        }
    return gd_fail(GD_EUSAGE, "--labels %s: expected folder, name or none", word);
}

const char *data_authors_class(gd_arena *mem, const char *name)
{
    return gd_sprintf(mem, "%.*s", (int)strcspn(name, "_"), name);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

gd_status data_label_by_name(gd_dataset *set, const char *const *names)
{
    const size_t n = (size_t)set->count;
    const char **sorted = gd_alloc(set->mem, n * sizeof *sorted);

    set->label = gd_alloc(set->mem, n * sizeof *set->label);
    if (!sorted || !set->label)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    memcpy(sorted, names, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_text);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(sorted[i], sorted[set->classes - 1]) != 0)
            sorted[set->classes++] = sorted[i];
    set->class_name = sorted;
    for (size_t i = 0; i < n; i++) {
        const char **at = bsearch(&names[i], sorted, (size_t)set->classes, sizeof *sorted, by_text);
        set->label[i] = (int32_t)(at - sorted);
    }
    for (int c = 0; c < set->classes; c++) /* checkpoints and terminals take text only */
        if (!gd_is_text(sorted[c], strlen(sorted[c])) &&
            !(sorted[c] = gd_escaped(set->mem, sorted[c])))
            return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    return GD_OK;
}

gd_status data_label_by_number(gd_dataset *set, const int64_t *labels)
{
    set->label = gd_alloc(set->mem, (size_t)set->count * sizeof *set->label);
    if (!set->label)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int64_t i = 0; i < set->count; i++) {
        if (labels[i] < 0 || labels[i] >= MAX_CLASSES)
            return gd_fail(GD_EFORMAT, "%s: image %lld has label %lld, expected 0 to %d", set->path,
                           (long long)i, (long long)labels[i], MAX_CLASSES - 1);
        set->label[i] = (int32_t)labels[i];
        set->classes = GD_MAX(set->classes, (int)labels[i] + 1);
    }
    return GD_OK;
}

/* ---- pixels ---- */

void gd_convert_channels(uint8_t *out, int want, const uint8_t *in, int channels, size_t n)
{
    if (want == channels) {
        memcpy(out, in, n * (size_t)channels);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *p = in + i * (size_t)channels;
        if (want == 3)
            memset(out + 3 * i, p[0], 3);
        else
            out[i] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000) >> 16);
    }
}

gd_status data_copy_image(gd_image *out, const gd_dataset *set, const uint8_t *pixels, int width,
                          int height, int channels)
{
    const int want = set->options.channels ? set->options.channels : channels;
    const size_t n = (size_t)width * (size_t)height;

    *out = (gd_image){ width, height, want, NULL };
    GD_TRY(gd_block_make(&out->pixels, n * (size_t)want, "image"));
    gd_convert_channels(out->pixels, want, pixels, channels, n);
    return GD_OK;
}

/* ---- opening ---- */

bool data_begins_with(const gd_mapped *map, const char *magic, size_t n)
{
    return map->bytes >= n && memcmp(map->data, magic, n) == 0;
}

/* A zip that is no set of arrays may still be one of images; another failure says nothing. */
static gd_status is_npz(bool *yes, const char *path)
{
    gd_bundle *b;
    const gd_status s = gd_bundle_open(&b, path);

    *yes = false;
    if (s != GD_OK)
        return s == GD_EFORMAT ? GD_OK : s;
    *yes = strcmp(gd_bundle_format(b), "npz") == 0;
    gd_bundle_close(b);
    return GD_OK;
}

static bool is_archive(const gd_mapped *map)
{
    return data_begins_with(map, "PK\3\4", 4);
}

static gd_status open_archive(gd_dataset *set)
{
    bool npz;

    GD_TRY(is_npz(&npz, set->path));
    return npz ? data_open_npz(set) : data_open_zip(set);
}

const data_format data_format_archive = { ".npz, .zip", is_archive, open_archive };

static bool is_picture(const gd_mapped *map)
{
    return gd_image_is(map->data, map->bytes);
}

const data_format data_format_picture = { NULL, is_picture, data_open_picture };

#define ADDRESS(name) &data_format_##name,
static const data_format *const formats[] = { DATA_FORMATS(ADDRESS) };
#undef ADDRESS

static gd_status not_read(const gd_mapped *map, const char *path)
{
    char pictures[GD_IMAGE_FORMATS], text[GD_IMAGE_FORMATS + 256];
    int at;

    gd_image_formats(pictures);
    at = snprintf(text, sizeof text, "a folder of %s", pictures);
    for (int i = 0; i < COUNT(formats) && at < (int)sizeof text; i++)
        if (formats[i]->about)
            at += snprintf(text + at, sizeof text - (size_t)at, ", %s%s",
                           i == COUNT(formats) - 1 ? "or " : "", formats[i]->about);
    return gd_not_read(map->data, map->bytes, path, "no set of images", text);
}

static gd_status open_file(gd_dataset *set)
{
    const data_format *format = NULL;
    gd_mapped map;
    gd_status s = GD_OK;

    GD_TRY(gd_map_file(&map, set->path));
    for (int i = 0; i < COUNT(formats) && !format; i++)
        if (formats[i]->is(&map))
            format = formats[i];
    if (!format)
        s = not_read(&map, set->path);
    gd_unmap(&map);
    return format ? format->open(set) : s;
}

static gd_status open_any(gd_dataset *set)
{
    return gd_path_is_folder(set->path) ? data_open_folder(set) : open_file(set);
}

static gd_status no_images(const char *path)
{
    char pictures[GD_IMAGE_FORMATS];

    gd_image_formats(pictures);
    return gd_fail(GD_EFORMAT, "%s: holds no images\nhint: pictures are %s; convert others to PNG",
                   path, pictures);
}

gd_status gd_dataset_open(gd_dataset **out, const char *path, const gd_dataset_options *options)
{
    gd_arena *mem;
    gd_dataset *set;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    set = gd_alloc(mem, sizeof *set);
    if (!set || !(set->path = gd_strdup(mem, path))) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    }
    set->mem = mem;
    if (options)
        set->options = *options;
    s = open_any(set);
    if (s == GD_OK && set->count == 0)
        s = no_images(path);
    if (s != GD_OK) {
        gd_dataset_close(set);
        return s;
    }
    *out = set;
    return GD_OK;
}

void gd_dataset_close(gd_dataset *set)
{
    if (!set)
        return;
    if (set->kind)
        set->kind->close(set);
    gd_arena_free(set->mem);
}

/* ---- asking ---- */

int64_t gd_dataset_count(const gd_dataset *set)
{
    return set->count;
}

int gd_dataset_classes(const gd_dataset *set)
{
    return set->classes;
}

const char *gd_dataset_class_name(const gd_dataset *set, int c)
{
    return set->class_name && c >= 0 && c < set->classes ? set->class_name[c] : NULL;
}

int64_t gd_dataset_label(const gd_dataset *set, int64_t index)
{
    return set->label ? set->label[index] : -1;
}

void gd_dataset_name(const gd_dataset *set, int64_t index, char *out, size_t size)
{
    set->kind->name(set, index, out, size);
}

gd_status gd_dataset_read(const gd_dataset *set, int64_t index, gd_image *out)
{
    return set->kind->read(set, index, out);
}

gd_status gd_dataset_fingerprint(const gd_dataset *set, gd_hasher *hasher)
{
    enum { PIECE = 16 << 20 };
    gd_mapped map;

    gd_hasher_add(hasher, &set->count, sizeof set->count);
    if (set->kind->fingerprint) {
        set->kind->fingerprint(set, hasher);
        return GD_OK;
    }
    GD_TRY(gd_map_file(&map, set->path));
    for (size_t at = 0; at < map.bytes; at += PIECE) {
        gd_hasher_add(hasher, map.data + at, GD_MIN((size_t)PIECE, map.bytes - at));
        gd_unmap_pages(&map, at, PIECE);
    }
    gd_unmap(&map);
    return GD_OK;
}
