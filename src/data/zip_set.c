/* SPDX-License-Identifier: MIT */
/* zip_set.c - a zip of images: a folder packed, or a set of StyleGAN and EDM with dataset.json. */
#include "data/data_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_JSON = 256 << 20, MAX_IMAGE = 1 << 30 };

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

    GD_TRY(gd_archive_read(z->archive, z->member[i], &data, &bytes, MAX_IMAGE));
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

static int by_path(const void *a, const void *b, void *archive)
{
    return data_path_order(gd_archive_name(archive, *(const int *)a),
                           gd_archive_name(archive, *(const int *)b));
}

static bool is_folder(const char *name)
{
    return *name == '\0' || name[strlen(name) - 1] == '/';
}

static gd_status list_members(gd_dataset *set, zipped *z)
{
    const int n = gd_archive_count(z->archive);

    z->member = gd_alloc(set->mem, (size_t)GD_MAX(n, 1) * sizeof *z->member);
    if (!z->member)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int i = 0; i < n; i++) {
        const char *name = gd_archive_name(z->archive, i);
        if (!is_folder(name) && !data_has_hidden(name) && gd_image_named(name))
            z->member[set->count++] = i;
    }
    gd_sort(z->member, (size_t)set->count, sizeof *z->member, by_path, z->archive);
    return GD_OK;
}

/* Bytes of "pets/" where everything lies in that folder, as in a folder that was packed with its
 * name: the folder's own contents are the set.  Pictures of --labels folder keep a folder. */
static size_t wrapper(const gd_dataset *set, const zipped *z)
{
    const char *first = set->count ? gd_archive_name(z->archive, z->member[0]) : "";
    const size_t n = strcspn(first, "/") + 1;
    bool deeper = true;

    if (!strchr(first, '/'))
        return 0;
    for (int64_t i = 0; i < set->count; i++) {
        const char *name = gd_archive_name(z->archive, z->member[i]);
        if (strncmp(name, first, n) != 0)
            return 0;
        deeper &= strchr(name + n, '/') != NULL;
    }
    return set->options.labels == GD_LABELS_FOLDER && !deeper ? 0 : n;
}

/* Also reports what is passed over.  -1: there is no dataset.json in the root */
static int find_json(const gd_dataset *set, const zipped *z, size_t root)
{
    data_passed passed = { 0 };
    int json = -1;

    for (int i = 0; i < gd_archive_count(z->archive); i++) {
        const char *name = gd_archive_name(z->archive, i);
        if (is_folder(name) || data_has_hidden(name) || gd_image_named(name))
            continue;
        if (strcmp(name, DATA_JSON) == 0 ||
            (strlen(name) > root && strcmp(name + root, DATA_JSON) == 0))
            json = i;
        else
            data_pass_over(&passed, name);
    }
    data_report_passed(&passed, set->path);
    return json;
}

/* ---- labels ---- */

static gd_status label(gd_dataset *set, const zipped *z)
{
    const size_t root = wrapper(set, z);
    const int json = find_json(set, z, root);
    /* dataset.json at the top names the members as they are */
    const bool whole = json >= 0 && strcmp(gd_archive_name(z->archive, json), DATA_JSON) == 0;
    const char **path = gd_alloc(set->mem, GD_MAX((size_t)set->count, 1) * sizeof *path);
    void *text = NULL;
    size_t bytes = 0;
    gd_status s;

    if (!path)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    for (int64_t i = 0; i < set->count; i++)
        path[i] = gd_archive_name(z->archive, z->member[i]) + (whole ? 0 : root);
    if (json >= 0)
        GD_TRY(gd_archive_read(z->archive, json, &text, &bytes, MAX_JSON));
    s = data_label_listed(set, path, text, bytes);
    gd_block_free(text);
    return s;
}

gd_status data_open_zip(gd_dataset *set)
{
    static const data_kind kind = { read_image, name_of, close_zip, fingerprint };
    zipped *z = gd_alloc(set->mem, sizeof *z);

    if (!z)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    set->kind = &kind;
    set->state = z;
    GD_TRY(gd_archive_open(&z->archive, set->path));
    GD_TRY(list_members(set, z));
    return label(set, z);
}
