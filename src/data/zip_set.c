/* zip_set.c - a zip of images with the labels of StyleGAN and EDM: dataset.json holds {"labels":
 * [["00000/img00000000.png", 6], ...]} or null. */
#include "data/data_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_JSON = 256 << 20, MOST_IMAGE = 1 << 30 };
static const char json_name[] = "dataset.json";

typedef struct zipped {
    gd_archive *archive;
    int *member; /* [count], by name */
} zipped;

static void name_of(const gd_dataset *set, int64_t i, char *out, size_t size)
{
    const zipped *z = set->state;
    snprintf(out, size, "%s: %s", set->path, gd_archive_name(z->archive, z->member[i]));
}

static gd_status read_image(const gd_dataset *set, int64_t i, gd_image *out)
{
    const zipped *z = set->state;
    char name[4096];
    size_t bytes;
    void *data;
    gd_status s;

    GD_TRY(gd_archive_read(z->archive, z->member[i], &data, &bytes, MOST_IMAGE));
    name_of(set, i, name, sizeof name);
    s = gd_image_decode(out, data, bytes, set->options.channels, name);
    gd_block_free(data);
    return s;
}

static void close_zip(gd_dataset *set)
{
    gd_archive_close(((zipped *)set->state)->archive);
}

static void fingerprint(const gd_dataset *set, gd_hasher *hasher)
{
    const zipped *z = set->state;

    for (int64_t i = 0; i < set->count; i++)
        gd_archive_fingerprint(z->archive, z->member[i], hasher);
}

/* ---- members ---- */

static int by_name(const void *a, const void *b, void *archive)
{
    return strcmp(gd_archive_name(archive, *(const int *)a),
                  gd_archive_name(archive, *(const int *)b));
}

static int find_json(const gd_archive *a)
{
    for (int i = 0; i < gd_archive_count(a); i++)
        if (strcmp(gd_archive_name(a, i), json_name) == 0)
            return i;
    return -1;
}

static gd_status list_members(gd_dataset *set, zipped *z)
{
    const int n = gd_archive_count(z->archive);

    z->member = gd_alloc(set->mem, (size_t)GD_MAX(n, 1) * sizeof *z->member);
    if (!z->member)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int i = 0; i < n; i++)
        if (data_is_image_name(gd_archive_name(z->archive, i)))
            z->member[set->count++] = i;
    gd_sort(z->member, (size_t)set->count, sizeof *z->member, by_name, z->archive);
    return GD_OK;
}

/* ---- labels ---- */

static int64_t place_of(const gd_dataset *set, const zipped *z, const char *name)
{
    int64_t low = 0, high = set->count;

    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        const int order = strcmp(name, gd_archive_name(z->archive, z->member[middle]));
        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return -1;
}

static gd_status take_labels(gd_dataset *set, const zipped *z, const json_t *list, int64_t *labels)
{
    json_t *row;
    size_t i;

    json_array_foreach(list, i, row)
    {
        const char *name = json_string_value(json_array_get(row, 0));
        const json_t *number = json_array_get(row, 1);
        const int64_t at = name ? place_of(set, z, name) : -1;
        if (at < 0 || !json_is_integer(number))
            return gd_fail(GD_EFORMAT, "%s: %s: labels: row %zu names no image with a number",
                           set->path, json_name, i);
        labels[at] = json_integer_value(number);
    }
    for (int64_t k = 0; k < set->count; k++)
        if (labels[k] < 0)
            return gd_fail(GD_EFORMAT, "%s: %s: no label for %s", set->path, json_name,
                           gd_archive_name(z->archive, z->member[k]));
    return data_label_by_number(set, labels);
}

static gd_status label_by_json(gd_dataset *set, const zipped *z, const json_t *root)
{
    const json_t *list = json_object_get(root, "labels");
    int64_t *labels;
    gd_status s;

    if (!json_is_array(list))
        return GD_OK;
    GD_TRY(
        gd_block_make((void **)&labels, GD_MAX((size_t)set->count, 1) * sizeof *labels, "labels"));
    for (int64_t i = 0; i < set->count; i++)
        labels[i] = -1;
    s = take_labels(set, z, list, labels);
    gd_block_free(labels);
    return s;
}

static gd_status read_json(gd_dataset *set, const zipped *z, int member)
{
    char name[4200];
    json_t *root;
    size_t bytes;
    void *text;
    gd_status s;

    GD_TRY(gd_archive_read(z->archive, member, &text, &bytes, MOST_JSON));
    snprintf(name, sizeof name, "%.4000s: %s", set->path, json_name);
    s = gd_json_parse(&root, text, bytes, 8, name);
    gd_block_free(text);
    if (s != GD_OK)
        return s;
    s = label_by_json(set, z, root);
    json_decref(root);
    return s;
}

gd_status data_open_zip(gd_dataset *set)
{
    static const data_kind kind = { read_image, name_of, close_zip, fingerprint };
    zipped *z = gd_alloc(set->mem, sizeof *z);
    int json;

    if (!z)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = z;
    GD_TRY(gd_archive_open(&z->archive, set->path));
    GD_TRY(list_members(set, z));
    json = find_json(z->archive);
    if (json < 0 || set->options.labels == GD_LABELS_NONE)
        return GD_OK;
    return read_json(set, z, json);
}
