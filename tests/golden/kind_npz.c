/* SPDX-License-Identifier: MIT */
/* kind_npz.c - sample files: read as the authors' scripts wrote them, and written alike. */
#define _GNU_SOURCE /* memmem */
#include "data/data.h"
#include "golden.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Array NAME of an open npz against tensor EXPECTED */
static void compare_array(golden *g, const gd_bundle *b, const char *name, const char *expected)
{
    const gd_array *a = gd_bundle_find(b, name), *e = golden_find(g, "%s", expected);

    if (!a || !e || a->dtype != e->dtype || a->rank != e->rank ||
        memcmp(a->dim, e->dim, (size_t)a->rank * sizeof *a->dim) != 0) {
        golden_fail(g, "%s: %s is absent or another array", gd_bundle_path(b), name);
        return;
    }
    const size_t bytes = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    void *found = golden_alloc(g, bytes), *stored = golden_alloc(g, bytes);
    if (gd_bundle_read(b, a, found) != GD_OK || gd_bundle_read(g->tensors, e, stored) != GD_OK)
        golden_fail(g, "%s", gd_error());
    else if (memcmp(found, stored, bytes) != 0)
        golden_fail(g, "%s: %s has another content", gd_bundle_path(b), name);
}

static void compare_file(golden *g, const char *path, json_t *names, size_t i)
{
    char expected[64];
    json_t *name;
    gd_bundle *b;
    size_t k;

    if (gd_bundle_open(&b, path) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    if ((size_t)gd_bundle_count(b) != json_array_size(names))
        golden_fail(g, "%s: %d arrays", path, gd_bundle_count(b));
    json_array_foreach(names, k, name)
    {
        snprintf(expected, sizeof expected, "out.%s.%zu", json_string_value(name), i);
        compare_array(g, b, json_string_value(name), expected);
    }
    gd_bundle_close(b);
}

/* ---- layout: each .npy member of our file has the bytes of theirs ---- */

/* The k-th .npy of an archive without compression: magic, version, header, data; 0 bytes if none */
static gd_mapped npy_member(const gd_mapped *zip, int k, size_t data_bytes)
{
    static const char magic[] = "\x93NUMPY";
    enum { MAGIC = 6, PREFIX = 10 };
    const unsigned char *at = zip->data - 1, *end = zip->data + zip->bytes;

    for (int i = 0; i <= k; i++) {
        at = memmem(at + 1, (size_t)(end - at) - 1, magic, MAGIC);
        if (!at || end - at < PREFIX)
            return (gd_mapped){ 0 };
    }
    const size_t bytes = PREFIX + (at[8] | (size_t)at[9] << 8) + data_bytes;
    return bytes <= (size_t)(end - at) ? (gd_mapped){ at, bytes } : (gd_mapped){ 0 };
}

static void compare_layout(golden *g, const char *theirs, const char *ours, const gd_array *arrays,
                           int n)
{
    gd_mapped a = { 0 }, b = { 0 };

    if (gd_map_file(&a, theirs) != GD_OK || gd_map_file(&b, ours) != GD_OK)
        golden_fail(g, "%s", gd_error());
    for (int k = 0; k < n && a.data && b.data; k++) {
        const size_t bytes = (size_t)gd_array_count(&arrays[k]) * gd_dtype_bytes(arrays[k].dtype);
        const gd_mapped x = npy_member(&a, k, bytes), y = npy_member(&b, k, bytes);
        if (x.bytes == 0 || x.bytes != y.bytes || memcmp(x.data, y.data, x.bytes) != 0)
            golden_fail(g, "%s: member %s is laid out otherwise", theirs, arrays[k].name);
    }
    gd_unmap(&a);
    gd_unmap(&b);
}

/* Float samples, cut to the number asked for, as bytes */
static void compare_bytes(golden *g, const gd_array *pixels, size_t i, uint8_t *out)
{
    char name[32];
    const int64_t area = pixels->dim[1] * pixels->dim[2];
    const int channels = (int)pixels->dim[3];
    const float *x = golden_f32(g, NULL, "in.samples.%zu", i);

    for (int64_t k = 0; k < pixels->dim[0]; k++)
        gd_to_uint8(out + k * area * channels, x + k * area * channels, channels, area);
    snprintf(name, sizeof name, "out.arr_0.%zu", i);
    golden_compare_bytes(g, name, out, (size_t)gd_array_count(pixels));
}

static void write_alike(golden *g, const char *theirs, json_t *names, size_t i)
{
    char ours[] = "/tmp/golden-XXXXXX", name[32];
    const gd_array *pixels = golden_find(g, "out.arr_0.%zu", i),
                   *labels = golden_find(g, "out.arr_1.%zu", i);
    const int n = labels ? 2 : 1;
    gd_array arrays[2] = { *pixels };
    const void *data[2] = { golden_alloc(g, (size_t)gd_array_count(pixels)) };
    const int fd = mkstemp(ours);

    if (fd < 0) {
        golden_fail(g, "/tmp cannot be written");
        return;
    }
    close(fd);
    compare_bytes(g, pixels, i, (uint8_t *)data[0]);
    arrays[0].name = "arr_0";
    if (labels) {
        snprintf(name, sizeof name, "out.arr_1.%zu", i);
        arrays[1] = *labels;
        arrays[1].name = "arr_1";
        data[1] = golden_i64(g, NULL, "%s", name);
        golden_saw(g, name); /* compared as a member of both files */
    }
    if (gd_npz_write(ours, true, arrays, data, n) != GD_OK) {
        golden_fail(g, "%s", gd_error());
    } else {
        compare_file(g, ours, names, i);
        compare_layout(g, theirs, ours, arrays, n);
    }
    unlink(ours);
}

void golden_npz(golden *g)
{
    json_t *files = golden_at(g, g->config, "files"), *file;
    char path[4400];
    size_t i;

    golden_reads_all(g);
    json_array_foreach(files, i, file)
    {
        json_t *names = golden_at(g, file, "arrays");
        golden_remarks(g, file, "script batch_size");
        if (!golden_find(g, "in.samples.%zu", i) || !golden_find(g, "out.arr_0.%zu", i)) {
            golden_fail(g, "no samples %zu", i);
            return;
        }
        golden_require(g, file, "num_samples", (double)golden_find(g, "out.arr_0.%zu", i)->dim[0]);
        snprintf(path, sizeof path, "%s/%s", g->folder, golden_text(g, file, "file", ""));
        compare_file(g, path, names, i);
        write_alike(g, path, names, i);
    }
}

/* Batches of the file's images, repeated without end, as `guided upsample` takes them */
static void one_batch(golden *g, const gd_dataset *set, int batch, int n)
{
    const gd_array *a = golden_find(g, "out.low_res.%d", batch);
    const int64_t image = a ? gd_array_count(a) / n : 0;
    float *low = golden_alloc(g, (size_t)(n * image) * sizeof *low);
    int64_t *y = golden_alloc(g, (size_t)n * sizeof *y);
    gd_image one;

    for (int k = 0; k < n; k++) {
        const int64_t index = (batch * n + k) % gd_dataset_count(set);
        if (gd_dataset_read(set, index, &one) != GD_OK) {
            golden_fail(g, "%s", gd_error());
            return;
        }
        gd_image_floats(low + k * image, &one, false);
        y[k] = gd_dataset_label(set, index);
        gd_image_free(&one);
    }
    golden_compare_bytes(g, gd_sprintf(g->mem, "out.low_res.%d", batch), low,
                         (size_t)(n * image) * sizeof *low);
    golden_compare_bytes(g, gd_sprintf(g->mem, "out.y.%d", batch), y, (size_t)n * sizeof *y);
}

void golden_base_samples(golden *g)
{
    const int batches = golden_get_int(g, g->config, "batches", 0);
    gd_dataset *set;
    char path[4400];

    golden_reads_all(g);
    snprintf(path, sizeof path, "%s/%s", g->folder, golden_text(g, g->config, "file", ""));
    if (gd_dataset_open(&set, path, NULL) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    golden_require(g, g->config, "count", (double)gd_dataset_count(set));
    golden_find(g, "in.arr_0"); /* what the file holds */
    golden_find(g, "in.arr_1");
    for (int i = 0; i < batches; i++)
        one_batch(g, set, i, golden_get_int(g, g->config, "batch_size", 1));
    gd_dataset_close(set);
}
