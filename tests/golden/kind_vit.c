/* SPDX-License-Identifier: MIT */
/* kind_vit.c - features of Vision Transformers: weights generated into a file in the names that the
 * case gives, images as bytes, rows as guided eval has them (made by tests/oracle/vit). */
#include "golden.h"

#include "eval/eval.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_ARRAYS = 256 };
static const double allowed = 1e-5;

/* Rows of "weights": [name, shape, e, offset] of golden_fill */
typedef struct listing {
    gd_array array[MAX_ARRAYS];
    int e[MAX_ARRAYS];
    float offset[MAX_ARRAYS];
    int n;
    long seed;
} listing;

static bool read_listing(golden *g, listing *l)
{
    json_t *rows = golden_whole(g, g->json, "weights"), *row, *dim;
    size_t i, d;

    l->seed = golden_get_int(g, g->json, "seed", 0);
    l->n = (int)json_array_size(rows);
    if (l->n < 1 || l->n > MAX_ARRAYS)
        return false;
    json_array_foreach(rows, i, row)
    {
        gd_array *a = &l->array[i];
        *a = (gd_array){ .name = json_string_value(json_array_get(row, 0)), .dtype = GD_F32 };
        json_array_foreach(json_array_get(row, 1), d, dim) a->dim[a->rank++] =
            json_integer_value(dim);
        l->e[i] = (int)json_integer_value(json_array_get(row, 2));
        l->offset[i] = (float)json_number_value(json_array_get(row, 3));
    }
    return true;
}

static gd_status write_arrays(golden *g, const listing *l, gd_safetensors_writer *out)
{
    for (int i = 0; i < l->n; i++) {
        const int64_t n = gd_array_count(&l->array[i]);
        float *values = golden_alloc(g, (size_t)n * sizeof *values);
        golden_fill(values, 0, n, l->seed, l->array[i].name, l->e[i], l->offset[i]);
        if (l->e[i] < -99) /* a constant */
            for (int64_t k = 0; k < n; k++)
                values[k] = l->offset[i];
        GD_TRY(gd_safetensors_add(out, values, (size_t)n * sizeof *values));
    }
    return GD_OK;
}

static gd_status write_file(golden *g, const listing *l, const char *path)
{
    gd_safetensors_writer *out;
    gd_status s;

    GD_TRY(gd_safetensors_begin(&out, path, GD_OVERWRITE, l->array, l->n, NULL, 0));
    s = write_arrays(g, l, out);
    if (s == GD_OK)
        return gd_safetensors_commit(out);
    gd_safetensors_abort(out);
    return s;
}

/* One image after another and all at once: neither may show in the rows. */
static gd_status compare(golden *g, const char *path)
{
    const gd_array *images = golden_find(g, "in.images");
    const uint8_t *pixels = golden_u8(g, NULL, "in.images");
    gd_extractor *e;
    gd_status s = GD_OK;

    if (!images || !pixels)
        return gd_fail(GD_EFORMAT, "no images");
    const int n = (int)images->dim[0], h = (int)images->dim[1], w = (int)images->dim[2];
    GD_TRY(gd_extractor_vision(&e, path, n, h, w));
    const int width = gd_extractor_get_shape(e).width;
    const size_t row = (size_t)width * sizeof(float);
    float *all = golden_alloc(g, (size_t)n * row), *one = golden_alloc(g, row);
    s = gd_extractor_run(e, n, pixels, all);
    for (int i = 0; i < n && s == GD_OK; i++) {
        s = gd_extractor_run(e, 1, pixels + (int64_t)i * h * w * 3, one);
        if (s == GD_OK && memcmp(one, all + (int64_t)i * width, row) != 0)
            golden_fail(g, "the features of image %d depend on the batch", i);
    }
    gd_extractor_free(e);
    GD_TRY(s);
    golden_compare_within(g, "out.features", all, golden_f32(g, NULL, "out.features"),
                          (int64_t)n * width, allowed);
    golden_saw(g, "out.features");
    return GD_OK;
}

void golden_vit(golden *g)
{
    listing *l = golden_alloc(g, sizeof *l);
    char path[] = "/tmp/guided-vit-XXXXXX";
    const int fd = mkstemp(path);
    gd_status s;

    golden_reads_all(g);
    if (fd < 0 || !read_listing(g, l)) {
        golden_fail(g, "no temporary file, or no list of weights");
        return;
    }
    close(fd);
    s = write_file(g, l, path);
    if (s == GD_OK)
        s = compare(g, path);
    unlink(path);
    if (s != GD_OK)
        golden_fail(g, "%s", gd_error());
}
