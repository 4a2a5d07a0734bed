/* SPDX-License-Identifier: MIT */
/* vit_file.c - a file of a Vision Transformer's weights: its configuration from shapes, its keys
 * checked, its parameters read. */
#include "nn/vit_names.h"

#include <math.h>
#include <string.h>

enum { MAX_ROWS = 20, MAX_SIDE = 1024, MAX_DEPTH = 256, MAX_WIDTH = 16384, MAX_REGISTERS = 256 };
enum { FD_IMAGE = 224 }; /* what DINOv2's features are taken at */

/* ---- configuration, from shapes ---- */

/* 64 channels a head, but for the sizes whose authors chose another number */
static int heads_of(gd_vit_family family, int width)
{
    static const struct {
        int width, heads;
    } known[] = { { 1152, 16 }, { 1280, 16 }, { 1408, 16 }, { 1664, 16 } };

    for (int i = 0; i < COUNT(known); i++)
        if (known[i].width == width)
            return known[i].heads;
    if (family == GD_VIT_SIGLIP && width == 1536)
        return 16;
    return width % 64 == 0 ? width / 64 : 0;
}

static gd_status odd(const gd_vit_file *f, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: keys of a Vision Transformer (%s), but %s",
                   gd_bundle_path(f->bundle), gd_vit_family_name(f->names->family), what);
}

static int64_t last_dim(const gd_array *a)
{
    return a && a->rank > 0 ? a->dim[a->rank - 1] : 0;
}

static gd_status read_patches(gd_vit_file *f)
{
    char name[128];
    gd_vit_config *c = &f->config;

    snprintf(name, sizeof name, "%sweight", f->names->patch);
    const gd_array *w = vit_find(f, name);
    if (w->rank != 4 || w->dim[1] != 3 || w->dim[2] != w->dim[3] || w->dim[2] < 1 ||
        w->dim[2] > MAX_SIDE || w->dim[0] < 1 || w->dim[0] > MAX_WIDTH)
        return odd(f, "its patches are no squares of three channels");
    c->width = (int)w->dim[0];
    c->patch = (int)w->dim[2];
    snprintf(name, sizeof name, "%sbias", f->names->patch);
    c->patch_bias = vit_find(f, name) != NULL;
    c->heads = heads_of(c->family, c->width);
    f->assumed = c->family == GD_VIT_CLIP;
    if (strcmp(f->names->format, "original") != 0 &&
        vit_read_folder(c, f->names->format, gd_bundle_path(f->bundle)))
        f->assumed = false;
    return c->heads ? GD_OK : odd(f, "how many heads it has is not known for its width");
}

/* Positions of a square of patches, and of the class token */
static gd_status read_grid(gd_vit_file *f)
{
    gd_vit_config *c = &f->config;
    const gd_array *a = vit_find(f, f->names->positions);
    const int64_t rows = a && last_dim(a) == c->width ? gd_array_count(a) / c->width : 0;
    const int64_t patches = rows - c->class_token;

    while (c->grid < MAX_SIDE && (int64_t)(c->grid + 1) * (c->grid + 1) <= patches)
        c->grid++;
    if (c->grid < 1 || (int64_t)c->grid * c->grid != patches)
        return odd(f, "its positions are no square of patches");
    c->image = c->family == GD_VIT_DINOV2 ? FD_IMAGE : c->grid * c->patch;
    if (c->image % c->patch != 0 || c->image > 4 * MAX_SIDE)
        return odd(f, "its patches do not divide the image");
    return GD_OK;
}

/* A ViT whose positions were learned is another network with the keys of MAE's, whose class token
 * has none. */
static gd_status check_mae(const gd_vit_file *f)
{
    const gd_array *a = vit_find(f, f->names->positions);
    bool zero = true;
    float *positions;
    gd_status s;

    GD_TRY(gd_block_make(&positions, (size_t)gd_array_count(a) * sizeof *positions, "positions"));
    s = gd_bundle_read_f32(f->bundle, a, positions);
    for (int i = 0; i < f->config.width && s == GD_OK; i++)
        zero &= positions[i] == 0;
    gd_block_free(positions);
    GD_TRY(s);
    return zero ? GD_OK : odd(f, "its positions were learned: a ViT of another training");
}

/* SigLIP's first version has the same keys and other images; its vocabulary tells it, where the
 * text tower is in the file. */
static gd_status check_siglip(const gd_vit_file *f)
{
    static const char words[] = "text_model.embeddings.token_embedding.weight";
    enum { FIRST_VOCABULARY = 32000 };

    for (int i = 0; i < gd_bundle_count(f->bundle); i++) {
        const gd_array *a = gd_bundle_array(f->bundle, i);
        const size_t n = strlen(a->name), tail = sizeof words - 1;
        if (n >= tail && strcmp(a->name + n - tail, words) == 0 && a->dim[0] == FIRST_VOCABULARY)
            return odd(f, "its 32,000 words are those of SigLIP's first version, whose images are "
                          "prepared otherwise");
    }
    return GD_OK;
}

/* Hugging Face's MAE has an epsilon of its own. */
static float epsilon_of(const vit_naming *names)
{
    if (names->family == GD_VIT_MAE && strcmp(names->format, "transformers") == 0)
        return 1e-12f;
    return names->family == GD_VIT_CLIP ? 1e-5f : 1e-6f;
}

static gd_status read_config(gd_vit_file *f)
{
    static const gd_gelu gelu[] = { [GD_VIT_DINOV2] = GD_GELU_EXACT,
                                    [GD_VIT_CLIP] = GD_GELU_QUICK,
                                    [GD_VIT_MAE] = GD_GELU_EXACT,
                                    [GD_VIT_SIGLIP] = GD_GELU_TANH };
    const vit_naming *names = f->names;
    gd_vit_config *c = &f->config;

    *c = (gd_vit_config){ .family = names->family,
                          .class_token = names->class_token != NULL,
                          .norm_before = names->norm_before != NULL,
                          .gelu = gelu[names->family],
                          .epsilon = epsilon_of(names) };
    GD_TRY(read_patches(f));
    GD_TRY(read_grid(f));
    if (vit_find(f, names->registers))
        c->registers = (int)(gd_array_count(vit_find(f, names->registers)) / c->width);
    while (c->depth < MAX_DEPTH && vit_find_in_block(f, c->depth, names->norm1, "weight"))
        c->depth++;
    const gd_array *fc1 = vit_find_in_block(f, 0, names->fc1, "weight");
    c->mlp = fc1 && fc1->rank == 2 && fc1->dim[0] > 0 && fc1->dim[0] <= MAX_WIDTH ? (int)fc1->dim[0]
                                                                                  : 4 * c->width;
    if (c->registers > MAX_REGISTERS)
        return odd(f, "it has too many registers");
    if (names->projection) {
        const gd_array *p = vit_find(f, names->projection);
        if (!p || p->rank != 2 || p->dim[0] < 1 || p->dim[1] < 1 || p->dim[0] > MAX_WIDTH ||
            p->dim[1] > MAX_WIDTH)
            return odd(f, "its projection (visual_projection) is missing");
        c->projection = (int)(p->dim[0] == c->width ? p->dim[1] : p->dim[0]);
    }
    if (c->family == GD_VIT_SIGLIP)
        return check_siglip(f);
    return c->family == GD_VIT_MAE ? check_mae(f) : GD_OK;
}

/* ---- checking ---- */

static int shape_words(char out[64], const int64_t *dim, int rank)
{
    int used = snprintf(out, 64, "[");

    for (int d = 0; d < rank && used < 40; d++)
        used += snprintf(out + used, 64 - (size_t)used, "%s%lld", d ? ", " : "", (long long)dim[d]);
    return used + snprintf(out + used, 64 - (size_t)used, "]");
}

typedef struct tally {
    int expected, different;
    bool print;
} tally;

static void look_up(tally *t, const gd_vit_file *f, const vit_source *s)
{
    const gd_array *a = gd_bundle_find(f->bundle, s->key.text);
    char wanted[64], found[64];

    t->expected++;
    if (a && gd_array_has_shape(a, s->dim, s->rank))
        return;
    if (t->print && t->different < MAX_ROWS) {
        shape_words(wanted, s->dim, s->rank);
        if (a)
            shape_words(found, a->dim, a->rank);
        gd_detail("  %-44.60s expected %-20s %s%s", s->key.text, wanted, a ? "found " : "missing",
                  a ? found : "");
    }
    t->different++;
}

static tally look_up_all(const gd_vit_file *f, bool print)
{
    tally t = { .print = print };
    vit_source s[VIT_MAX_SOURCES];

    for (int i = 1; i < f->graph->n_value; i++) {
        const gd_value *v = &f->graph->value[i];
        if (v->role != GD_ROLE_PARAM)
            continue;
        const int n = vit_sources(f, v->name, &v->type, s);
        for (int k = 0; k < n; k++)
            look_up(&t, f, &s[k]);
    }
    return t;
}

static gd_status check_keys(const gd_vit_file *f)
{
    tally t = look_up_all(f, false);
    char name[64];
    gd_status s;

    if (t.different == 0)
        return GD_OK;
    gd_vit_name(&f->config, name, sizeof name);
    s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d missing or of another shape",
                gd_bundle_path(f->bundle), t.expected, t.different);
    look_up_all(f, true);
    if (t.different > MAX_ROWS)
        gd_detail("  ... and %d more", t.different - MAX_ROWS);
    gd_detail("hint: the file was read as %s in the names of %s%s", name,
              strcmp(f->names->format, "original") == 0 ? "its authors" : f->names->format,
              f->config.family == GD_VIT_DINOV2 && f->config.width == 1536
                  ? "; ViT-g with SwiGLU is not among the networks of this program"
                  : "");
    return s;
}

/* ---- life ---- */

static gd_status not_one(const gd_vit_file *f)
{
    if (f->copies > 1)
        return gd_fail(GD_EFORMAT,
                       "%s: holds %d Vision Transformers side by side\nhint: in Python, torch.save "
                       "the state dict of one of them",
                       gd_bundle_path(f->bundle), f->copies);
    return gd_fail(GD_EFORMAT, "%s: holds no Vision Transformer of DINOv2, CLIP, MAE or SigLIP2",
                   gd_bundle_path(f->bundle));
}

static gd_status recognise(gd_vit_file *f)
{
    gd_val x;

    if (!vit_choose_names(f))
        return not_one(f);
    GD_TRY(read_config(f));
    GD_TRY(gd_graph_make(&f->graph));
    gd_vit_build(f->graph, &f->config, 1, &x);
    GD_TRY(gd_graph_check(f->graph));
    return check_keys(f);
}

gd_status gd_vit_file_open(gd_vit_file **out, const char *path)
{
    const gd_pickle_node *root; /* arrays have their paths in it: prefixes */
    gd_vit_file *f;
    gd_status s;

    GD_TRY(gd_block_make(&f, sizeof *f, "weights"));
    s = gd_bundle_open_tree(&f->bundle, &root, path);
    if (s == GD_OK)
        s = recognise(f);
    if (s != GD_OK) {
        gd_vit_file_close(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

void gd_vit_file_close(gd_vit_file *f)
{
    if (!f)
        return;
    gd_bundle_close(f->bundle);
    gd_graph_free(f->graph);
    gd_block_free(f);
}

bool gd_is_vit_file(const char *path)
{
    const gd_pickle_node *root;
    gd_vit_file f = { 0 };
    bool found = false;

    if (gd_bundle_open_tree(&f.bundle, &root, path) == GD_OK)
        found = vit_choose_names(&f) || f.copies > 1;
    gd_bundle_close(f.bundle);
    return found;
}

const gd_vit_config *gd_vit_file_config(const gd_vit_file *f)
{
    return &f->config;
}

bool gd_vit_file_assumed(const gd_vit_file *f)
{
    return f->assumed;
}

const char *gd_vit_file_format(const gd_vit_file *f)
{
    return f->names->format;
}

int64_t gd_vit_file_parameters(const gd_vit_file *f)
{
    int64_t n = 0;

    for (int i = 1; i < f->graph->n_value; i++) {
        const gd_value *v = &f->graph->value[i];
        if (v->role == GD_ROLE_PARAM)
            n += v->type.dim[0] * v->type.dim[1] * v->type.dim[2] * v->type.dim[3];
    }
    return n;
}

/* ---- reading ---- */

static int64_t count_of(const vit_source *s)
{
    int64_t n = 1;

    for (int d = 0; d < s->rank; d++)
        n *= s->dim[d];
    return n;
}

static gd_status read_into(const gd_vit_file *f, const vit_source *s, float *out)
{
    const gd_array *a = gd_bundle_find(f->bundle, s->key.text);

    GD_TRY(gd_bundle_read_f32(f->bundle, a, out));
    gd_bundle_release(f->bundle, a);
    return GD_OK;
}

/* *out is a block */
static gd_status read_new(const gd_vit_file *f, const vit_source *s, float **out)
{
    gd_status status;

    GD_TRY(gd_block_make(out, (size_t)count_of(s) * sizeof **out, s->key.text));
    status = read_into(f, s, *out);
    if (status == GD_OK)
        return GD_OK;
    gd_block_free(*out);
    *out = NULL;
    return status;
}

/* Class token with its position, registers, positions of the patches */
static gd_status read_tokens(const gd_vit_file *f, const vit_source *s, float *dst)
{
    const gd_vit_config *c = &f->config;
    const int64_t width = c->width, side = c->image / c->patch;
    const int first = c->class_token + c->registers;
    float *positions;

    GD_TRY(read_new(f, &s[0], &positions));
    const float *patches = positions + c->class_token * width;
    float *to = dst + first * width;
    if (side == c->grid)
        memcpy(to, patches, (size_t)(side * side * width) * sizeof *to);
    else
        vit_interpolate_positions(to, (int)side, patches, c->grid, c->width, c->registers > 0);
    gd_status status = c->class_token ? read_into(f, &s[1], dst) : GD_OK;
    for (int64_t i = 0; i < width && c->class_token; i++)
        dst[i] += positions[i];
    if (status == GD_OK && c->registers)
        status = read_into(f, &s[2], dst + width);
    gd_block_free(positions);
    return status;
}

/* W_q probe + b_q: the query is the same for all images. */
static gd_status read_query(const gd_vit_file *f, const vit_source *s, float *dst)
{
    const int64_t width = f->config.width;
    float *part[3] = { NULL };
    gd_status status = GD_OK;

    for (int i = 0; i < 3 && status == GD_OK; i++)
        status = read_new(f, &s[i], &part[i]);
    for (int64_t o = 0; o < width && status == GD_OK; o++) {
        double sum = (double)part[2][o];
        for (int64_t i = 0; i < width; i++)
            sum += (double)part[1][o * width + i] * (double)part[0][i];
        dst[o] = (float)sum;
    }
    for (int i = 0; i < 3; i++)
        gd_block_free(part[i]);
    return status;
}

/* What stands behind the query's rows */
static gd_status read_keys_values(const gd_vit_file *f, const vit_source *s, float *dst)
{
    const int64_t third = count_of(s) / 3;
    float *all;

    GD_TRY(read_new(f, s, &all));
    memcpy(dst, all + third, (size_t)(2 * third) * sizeof *dst);
    gd_block_free(all);
    return GD_OK;
}

/* [rows][columns] of the file as [columns][rows] */
static gd_status read_turned(const gd_vit_file *f, const vit_source *s, float *dst)
{
    float *x;

    GD_TRY(read_new(f, s, &x));
    for (int64_t i = 0; i < s->dim[0]; i++)
        for (int64_t j = 0; j < s->dim[1]; j++)
            dst[j * s->dim[0] + i] = x[i * s->dim[1] + j];
    gd_block_free(x);
    return GD_OK;
}

/* Layer scale: row o of the layer before it times gamma[o] */
static gd_status read_scaled(const gd_vit_file *f, const vit_source *s, float *dst)
{
    const int64_t rows = s[1].dim[0], row = count_of(&s[0]) / rows;
    float *gamma;

    GD_TRY(read_into(f, &s[0], dst));
    GD_TRY(read_new(f, &s[1], &gamma));
    for (int64_t o = 0; o < rows; o++)
        for (int64_t i = 0; i < row; i++)
            dst[o * row + i] *= gamma[o];
    gd_block_free(gamma);
    return GD_OK;
}

static gd_status read_param(const gd_vit_file *f, const char *name, const gd_type *type, float *dst)
{
    vit_source s[VIT_MAX_SOURCES];
    const int n = vit_sources(f, name, type, s);

    if (strcmp(name, "tokens") == 0)
        return read_tokens(f, s, dst);
    if (strcmp(name, "head.query") == 0)
        return read_query(f, s, dst);
    if (strncmp(name, "head.kv.", 8) == 0)
        return read_keys_values(f, s, dst);
    if (strncmp(name, "projection.", 11) == 0 && strcmp(f->names->format, "open_clip") == 0)
        return read_turned(f, s, dst);
    if (n == 2)
        return read_scaled(f, s, dst);
    for (int i = 0; i < n; dst += count_of(&s[i++]))
        GD_TRY(read_into(f, &s[i], dst));
    return GD_OK;
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_vit_file *f = ctx;
    const int64_t n = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];

    GD_TRY(read_param(f, name, type, dst));
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(dst[i]))
            return gd_fail(GD_EFORMAT, "%s: %s is not finite", gd_bundle_path(f->bundle), name);
    return GD_OK;
}

gd_feature_source gd_vit_file_source(const gd_vit_file *f)
{
    return (gd_feature_source){ .image = f->config.image,
                                .width = gd_vit_width(&f->config),
                                .build = gd_vit_build,
                                .config = &f->config,
                                .weights = { fetch, (void *)f } };
}
