/* SPDX-License-Identifier: MIT */
/* kind_inception.c - the 2015 Inception network, from a file in pytorch-fid's names whose weights
 * are a pure function of their names (README of the evaluation cases). */
#include "golden.h"

#include "nn/inception_private.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { IMAGES = 2, SIDE = 299, EVERY = 13, MAX_SIDE = 1024 };

/* ---- the generator: u in [-1, 1) of a key and an index ---- */

static uint64_t hash_of(const char *salt, const char *key)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (const char *s = salt; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
    for (const char *s = key; *s; s++)
        hash = (hash ^ (unsigned char)*s) * 0x100000001b3u;
    return hash;
}

static float uniform(uint64_t hash, uint64_t i)
{
    uint64_t z = hash + i + 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)(z >> 40) * (2.0f / (1 << 24)) - 1.0f;
}

/* ---- the file ---- */

typedef struct writing {
    const char *salt;
    inception_net net;
    gd_array array[5 * INCEPTION_LAYERS + 1];
    float offset[5 * INCEPTION_LAYERS + 1], scale[5 * INCEPTION_LAYERS + 1];
    int n;
} writing;

static void add(writing *w, gd_array array, const char *scope, const char *leaf, float offset,
                float scale)
{
    array.dtype = GD_F32;
    array.name = gd_sprintf(w->net.graph->mem, "%s%s", scope, leaf);
    w->array[w->n] = array;
    w->offset[w->n] = offset;
    w->scale[w->n++] = scale;
}

static void list_arrays(writing *w)
{
    const gd_array classes = { .rank = 2, .dim = { GD_INCEPTION_CLASSES, GD_INCEPTION_POOL } };

    for (int i = 0; i < w->net.n_layer; i++) {
        const inception_layer *l = &w->net.layer[i];
        const gd_array kernel = { .rank = 4, .dim = { l->co, l->ci, l->kh, l->kw } },
                       vector = { .rank = 1, .dim = { l->co } };
        add(w, kernel, l->torch, ".conv.weight", 0, (float)sqrt(6.0 / (l->ci * l->kh * l->kw)));
        add(w, vector, l->torch, ".bn.weight", 1, 0.1f);
        add(w, vector, l->torch, ".bn.bias", 0, 0.1f);
        add(w, vector, l->torch, ".bn.running_mean", 0, 0.1f);
        add(w, vector, l->torch, ".bn.running_var", 1, 0.5f);
    }
    add(w, classes, "fc", ".weight", 0, (float)(0.5 * sqrt(3.0 / 2048)));
}

static gd_status write_arrays(const writing *w, gd_safetensors_writer *out)
{
    float part[4096];

    for (int a = 0; a < w->n; a++) {
        const uint64_t hash = hash_of(w->salt, w->array[a].name);
        const int64_t count = gd_array_count(&w->array[a]);
        for (int64_t first = 0; first < count; first += COUNT(part)) {
            const int64_t n = GD_MIN(count - first, COUNT(part));
            for (int64_t i = 0; i < n; i++)
                part[i] = w->offset[a] + w->scale[a] * uniform(hash, (uint64_t)(first + i));
            GD_TRY(gd_safetensors_add(out, part, (size_t)n * sizeof *part));
        }
    }
    return GD_OK;
}

static gd_status write_file(writing *w, const char *path)
{
    gd_safetensors_writer *out;
    gd_status s;

    GD_TRY(inception_build(&w->net, 1, 1, 1));
    list_arrays(w);
    s = gd_safetensors_begin(&out, path, true, w->array, w->n, NULL, 0);
    if (s == GD_OK) {
        s = write_arrays(w, out);
        if (s == GD_OK)
            s = gd_safetensors_commit(out);
        else
            gd_safetensors_abort(out);
    }
    gd_graph_free(w->net.graph);
    return s;
}

/* ---- the images ---- */

static uint8_t to_byte(float v)
{
    return (uint8_t)fminf(fmaxf(v, 0), 255);
}

static uint8_t *images(golden *g, const char *salt, int side)
{
    const int n = IMAGES * side * side * 3, cell = (side + 4) / 5;
    uint8_t *out = golden_alloc(g, (size_t)n);
    char key[64];

    snprintf(key, sizeof key, "input.image%d", side);
    const uint64_t fine = hash_of(salt, key);
    snprintf(key, sizeof key, "input.coarse%d", side);
    const uint64_t coarse = hash_of(salt, key);
    for (int i = 0; i < n; i++) {
        const int c = i % 3, x = i / 3 % side, y = i / 3 / side % side, image = i / 3 / side / side;
        const int at = ((image * 5 + y / cell) * 5 + x / cell) * 3 + c;
        const float detail = (float)to_byte((uniform(fine, (uint64_t)i) + 1) * 128);
        out[i] = to_byte(detail * 0.25f + (uniform(coarse, (uint64_t)at) + 1) * 96);
    }
    return out;
}

/* ---- comparing ---- */

static void compare_rms(golden *g, const char *what, int side, const float *found, int64_t n)
{
    const double allowed =
        json_number_value(json_object_get(json_object_get(g->json, "tolerance"), "relative_rms"));
    double difference = 0, size = 0;
    char name[64];
    int64_t count;

    snprintf(name, sizeof name, "out.%s%d", what, side);
    const float *stored = golden_f32(g, &count, "%s", name);
    golden_saw(g, name);
    if (!stored || count != n)
        return;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)found[i] - stored[i]) * ((double)found[i] - stored[i]);
        size += (double)stored[i] * stored[i];
    }
    golden_record(g, name, sqrt(difference / size) / allowed, sqrt(difference / size));
}

static void compare_resized(golden *g, const uint8_t *pixels, int side)
{
    gd_view y = { .n = IMAGES, .c = 3, .h = SIDE, .w = SIDE, .pixel = 3, .block = 16 };
    float part[IMAGES * (SIDE / EVERY) * (SIDE / EVERY) * 3];
    int n = 0;

    y.image = SIDE * SIDE * 3;
    y.data = golden_alloc(g, (size_t)(y.n * y.image) * sizeof(float));
    gd_kernels_get()->resize_bytes(&y, pixels, side, side);
    for (int64_t i = 0; i < y.n * y.image; i++)
        if (i / 3 % SIDE % EVERY == 0 && i / 3 / SIDE % SIDE % EVERY == 0)
            part[n++] = ((float *)y.data)[i];
    golden_compare(g, gd_sprintf(g->mem, "out.resized%d.every%d", side, EVERY), part, n);
}

static gd_status compare_features(golden *g, const char *path, const char *salt, int side)
{
    float *pool = golden_alloc(g, IMAGES * GD_INCEPTION_POOL * sizeof *pool),
          *spatial = golden_alloc(g, IMAGES * GD_INCEPTION_SPATIAL * sizeof *spatial),
          *softmax = golden_alloc(g, IMAGES * GD_INCEPTION_CLASSES * sizeof *softmax);
    const uint8_t *pixels = images(g, salt, side);
    gd_inception *net;
    char name[32];
    gd_status s;

    snprintf(name, sizeof name, "in.image%d", side);
    if (golden_find(g, "%s", name) &&
        memcmp(golden_u8(g, NULL, "%s", name), pixels, (size_t)(IMAGES * side * side * 3)) != 0)
        golden_fail(g, "the generator gives other images of %d pixels", side);
    if (golden_find(g, "out.resized%d.every%d", side, EVERY))
        compare_resized(g, pixels, side);
    GD_TRY(gd_inception_open(&net, path, IMAGES, side, side));
    s = gd_inception_run(net, IMAGES, pixels, pool, spatial, softmax);
    gd_inception_close(net);
    compare_rms(g, "pool", side, pool, IMAGES * GD_INCEPTION_POOL);
    compare_rms(g, "spatial", side, spatial, IMAGES * GD_INCEPTION_SPATIAL);
    compare_rms(g, "softmax", side, softmax, IMAGES * GD_INCEPTION_CLASSES);
    return s;
}

/* Every side that the case has results for */
static gd_status compare_sides(golden *g, const char *path, const char *salt)
{
    for (int side = 1; side <= MAX_SIDE; side++)
        if (golden_find(g, "out.pool%d", side))
            GD_TRY(compare_features(g, path, salt, side));
    return GD_OK;
}

void golden_inception(golden *g)
{
    writing *w = golden_alloc(g, sizeof *w);
    char path[] = "/tmp/guided-inception-XXXXXX";
    gd_status s;

    golden_reads_all(g);
    w->salt = golden_text(g, g->json, "salt", NULL);
    const int fd = mkstemp(path);
    if (fd < 0 || !w->salt) {
        golden_fail(g, "no temporary file, or no salt");
        return;
    }
    close(fd);
    s = write_file(w, path);
    if (s == GD_OK)
        s = compare_sides(g, path, w->salt);
    unlink(path);
    if (s != GD_OK)
        golden_fail(g, "%s", gd_error());
}
