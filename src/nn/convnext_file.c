/* SPDX-License-Identifier: MIT */
/* convnext_file.c - ConvNeXt V2's weights in the names that people give them. */
#include "nn/convnext.h"

#include "io/io.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 20, MAX_DEPTH = 64, MAX_WIDTH = 8192, KEY = 2 * GD_MAX_NAME };

/* What stands for a parameter's scope in a file; %d: stage, block */
typedef struct naming {
    const char *format, *stem, *stem_norm, *down_norm, *down_conv, *block, *filter, *block_norm,
        *response_weight, *response_bias, *norm;
    float last_epsilon;
} naming;

static const naming namings[] = {
    { .format = "original",
      .stem = "downsample_layers.0.0",
      .stem_norm = "downsample_layers.0.1",
      .down_norm = "downsample_layers.%d.0",
      .down_conv = "downsample_layers.%d.1",
      .block = "stages.%d.%d",
      .filter = "dwconv",
      .block_norm = "norm",
      .response_weight = "grn.gamma",
      .response_bias = "grn.beta",
      .norm = "norm",
      .last_epsilon = 1e-6f },
    { .format = "transformers",
      .stem = "embeddings.patch_embeddings",
      .stem_norm = "embeddings.layernorm",
      .down_norm = "encoder.stages.%d.downsampling_layer.0",
      .down_conv = "encoder.stages.%d.downsampling_layer.1",
      .block = "encoder.stages.%d.layers.%d",
      .filter = "dwconv",
      .block_norm = "layernorm",
      .response_weight = "grn.weight",
      .response_bias = "grn.bias",
      .norm = "layernorm",
      .last_epsilon = 1e-12f },
};

struct gd_convnext_file {
    gd_bundle *bundle;
    const naming *names;
    char prefix[GD_MAX_NAME], name[64];
    gd_convnext_config config;
    gd_graph *graph; /* for one image: its parameters are the list of what is needed */
};

/* ---- keys ---- */

/* `text` with one or two numbers for its %d */
static void with_numbers(char out[KEY], const char *text, int a, int b)
{
    size_t used = 0;

    for (int k = 0; *text && used + 16 < KEY; k++) {
        const char *at = strstr(text, "%d");
        const int plain = at ? (int)(at - text) : (int)strlen(text);
        used += (size_t)snprintf(out + used, KEY - used, "%.*s", plain, text);
        if (at && used < KEY)
            used += (size_t)snprintf(out + used, KEY - used, "%d", k == 0 ? a : b);
        text += plain + (at ? 2 : 0);
    }
}

/* The key of parameter `name` of the network (convnext.c) */
static void key_of(const gd_convnext_file *f, char out[KEY], const char *name)
{
    const naming *n = f->names;
    const char *leaf = strrchr(name, '.') + 1;
    char scope[KEY] = "", inside[64] = "";
    int stage = 0, block = 0;

    if (sscanf(name, "stages.%d.%d.%63[^.]", &stage, &block, inside) == 3) {
        with_numbers(scope, n->block, stage, block);
        if (strcmp(inside, "response") == 0) {
            snprintf(out, KEY, "%.400s%.500s.%s", f->prefix, scope,
                     strcmp(leaf, "weight") == 0 ? n->response_weight : n->response_bias);
            return;
        }
        snprintf(inside, sizeof inside, "%s",
                 strcmp(inside, "filter") == 0 ? n->filter
                 : strcmp(inside, "norm") == 0 ? n->block_norm
                 : strcmp(inside, "fc1") == 0  ? "pwconv1"
                                               : "pwconv2");
        snprintf(out, KEY, "%.300s%.500s.%s.%s", f->prefix, scope, inside, leaf);
        return;
    }
    if (sscanf(name, "down.%d.%63[^.]", &stage, inside) == 2)
        with_numbers(scope, strcmp(inside, "norm") == 0 ? n->down_norm : n->down_conv, stage, 0);
    else
        snprintf(scope, sizeof scope, "%s",
                 strncmp(name, "stem.", 5) == 0         ? n->stem
                 : strncmp(name, "stem_norm.", 10) == 0 ? n->stem_norm
                                                        : n->norm);
    snprintf(out, KEY, "%.300s%.500s.%.100s", f->prefix, scope, leaf);
}

static const gd_array *find(const gd_convnext_file *f, const char *name)
{
    char key[KEY];

    key_of(f, key, name);
    return gd_bundle_find(f->bundle, key);
}

/* The stem's weights behind any prefix, once */
static bool fits(gd_convnext_file *f, const naming *names)
{
    char wanted[128];
    int found = 0;

    snprintf(wanted, sizeof wanted, "%s.weight", names->stem);
    f->names = names;
    for (int i = 0; i < gd_bundle_count(f->bundle); i++) {
        const char *name = gd_bundle_array(f->bundle, i)->name;
        const size_t length = strlen(name), n = strlen(wanted);
        if (length < n || strcmp(name + length - n, wanted) != 0 ||
            (length > n && name[length - n - 1] != '.'))
            continue;
        snprintf(f->prefix, sizeof f->prefix, "%.*s", (int)(length - n), name);
        found++;
    }
    return found == 1 && find(f, "stages.0.0.filter.weight");
}

static bool choose_names(gd_convnext_file *f)
{
    for (int i = 0; i < COUNT(namings); i++)
        if (fits(f, &namings[i]))
            return true;
    return false;
}

/* ---- configuration ---- */

static void name_it(gd_convnext_file *f)
{
    static const struct {
        int width, depth;
        const char *letter;
    } sizes[] = { { 320, 6, "A" }, { 384, 6, "F" },   { 512, 6, "P" },   { 640, 8, "N" },
                  { 768, 9, "T" }, { 1024, 27, "B" }, { 1536, 27, "L" }, { 2816, 27, "H" } };
    const int width = f->config.width[GD_CONVNEXT_STAGES - 1];

    snprintf(f->name, sizeof f->name, "ConvNeXt V2-%d", width);
    for (int i = 0; i < COUNT(sizes); i++)
        if (sizes[i].width == width && sizes[i].depth == f->config.depth[2])
            snprintf(f->name, sizeof f->name, "ConvNeXt V2-%s", sizes[i].letter);
}

static gd_status read_config(gd_convnext_file *f)
{
    gd_convnext_config *c = &f->config;
    char name[64];

    if (!find(f, "stages.0.0.response.weight"))
        return gd_fail(GD_EFORMAT,
                       "%s: keys of ConvNeXt without response normalisation (grn): its first "
                       "version, which this program does not run",
                       gd_bundle_path(f->bundle));
    c->last_epsilon = f->names->last_epsilon;
    for (int s = 0; s < GD_CONVNEXT_STAGES; s++) {
        snprintf(name, sizeof name, "stages.%d.0.filter.bias", s);
        const gd_array *bias = find(f, name);
        if (!bias || bias->rank != 1 || bias->dim[0] < 1 || bias->dim[0] > MAX_WIDTH)
            return gd_fail(GD_EFORMAT, "%s: keys of ConvNeXt V2, but stage %d is missing",
                           gd_bundle_path(f->bundle), s);
        c->width[s] = (int)bias->dim[0];
        do {
            snprintf(name, sizeof name, "stages.%d.%d.filter.bias", s, ++c->depth[s]);
        } while (c->depth[s] < MAX_DEPTH && find(f, name));
    }
    name_it(f);
    return GD_OK;
}

/* ---- checking ---- */

/* As the file has it, but for ones in front: a filter's [C,1,7,7] is [49,C] in the network */
static void shape_of(int64_t dim[4], int *rank, const char *name, const gd_type *type)
{
    memcpy(dim, type->dim, sizeof type->dim);
    *rank = 4;
    if (strstr(name, ".filter.weight")) {
        const int64_t side = (int64_t)lround(sqrt((double)type->dim[0]));
        memcpy(dim, (int64_t[]){ type->dim[1], 1, side, side }, sizeof type->dim);
    } else if (type->dim[0] == 1) {
        *rank = 1;
        dim[0] = type->dim[3];
    } else if (strstr(name, ".fc")) {
        *rank = 2;
    }
}

static int count_wrong(const gd_convnext_file *f, bool print, int *expected)
{
    int wrong = 0;

    *expected = 0;
    for (int i = 1; i < f->graph->n_value; i++) {
        const gd_value *v = &f->graph->value[i];
        int64_t dim[4];
        char key[KEY];
        int rank;
        if (v->role != GD_ROLE_PARAM)
            continue;
        ++*expected;
        key_of(f, key, v->name);
        shape_of(dim, &rank, v->name, &v->type);
        const gd_array *a = gd_bundle_find(f->bundle, key);
        if (a && gd_array_has_shape(a, dim, rank))
            continue;
        if (print && wrong < MAX_ROWS)
            gd_detail("  %-60.80s %s", key, a ? "of another shape" : "missing");
        wrong++;
    }
    return wrong;
}

static gd_status check_keys(const gd_convnext_file *f)
{
    int expected;
    const int wrong = count_wrong(f, false, &expected);
    gd_status s;

    if (wrong == 0)
        return GD_OK;
    s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d missing or of another shape",
                gd_bundle_path(f->bundle), expected, wrong);
    count_wrong(f, true, &expected);
    if (wrong > MAX_ROWS)
        gd_detail("  ... and %d more", wrong - MAX_ROWS);
    gd_detail("hint: the file was read as %s", f->name);
    return s;
}

/* ---- life ---- */

static gd_status recognise(gd_convnext_file *f)
{
    gd_val x;

    if (!choose_names(f))
        return gd_fail(GD_EFORMAT, "%s: holds no ConvNeXt", gd_bundle_path(f->bundle));
    GD_TRY(read_config(f));
    GD_TRY(gd_graph_make(&f->graph));
    gd_convnext_build(f->graph, &f->config, 1, &x);
    GD_TRY(gd_graph_check(f->graph));
    return check_keys(f);
}

gd_status gd_convnext_file_open(gd_convnext_file **out, const char *path)
{
    const gd_pickle_node *root; /* arrays have their paths in it: prefixes */
    gd_convnext_file *f;
    gd_status s;

    GD_TRY(gd_block_make(&f, sizeof *f, "weights"));
    s = gd_bundle_open_tree(&f->bundle, &root, path);
    if (s == GD_OK)
        s = recognise(f);
    if (s != GD_OK) {
        gd_convnext_file_close(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

void gd_convnext_file_close(gd_convnext_file *f)
{
    if (!f)
        return;
    gd_bundle_close(f->bundle);
    gd_graph_free(f->graph);
    gd_block_free(f);
}

bool gd_is_convnext_file(const char *path)
{
    const gd_pickle_node *root;
    gd_convnext_file f = { 0 };
    bool found = false;

    if (gd_bundle_open_tree(&f.bundle, &root, path) == GD_OK)
        found = choose_names(&f);
    gd_bundle_close(f.bundle);
    return found;
}

const char *gd_convnext_file_format(const gd_convnext_file *f)
{
    return f->names->format;
}

const char *gd_convnext_file_name(const gd_convnext_file *f)
{
    return f->name;
}

/* ---- reading ---- */

/* [C][taps] -> [taps][C] */
static gd_status read_filter(const gd_convnext_file *f, const gd_array *a, const gd_type *type,
                             float *dst)
{
    const int64_t taps = type->dim[0], channels = type->dim[1];
    float *staged;
    gd_status s;

    GD_TRY(gd_block_make(&staged, (size_t)(taps * channels) * sizeof *staged, a->name));
    s = gd_bundle_read_f32(f->bundle, a, staged);
    for (int64_t c = 0; c < channels && s == GD_OK; c++)
        for (int64_t t = 0; t < taps; t++)
            dst[t * channels + c] = staged[c * taps + t];
    gd_block_free(staged);
    return s;
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_convnext_file *f = ctx;
    const int64_t n = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];
    const gd_array *a = find(f, name);

    if (strstr(name, ".filter.weight"))
        GD_TRY(read_filter(f, a, type, dst));
    else
        GD_TRY(gd_bundle_read_f32(f->bundle, a, dst));
    gd_bundle_release(f->bundle, a);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(dst[i]))
            return gd_fail(GD_EFORMAT, "%s: %s is not finite", gd_bundle_path(f->bundle), a->name);
    return GD_OK;
}

gd_feature_source gd_convnext_file_source(const gd_convnext_file *f)
{
    return (gd_feature_source){ .image = GD_CONVNEXT_IMAGE,
                                .width = f->config.width[GD_CONVNEXT_STAGES - 1],
                                .build = gd_convnext_build,
                                .config = &f->config,
                                .weights = { fetch, (void *)f } };
}
