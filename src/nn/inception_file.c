/* SPDX-License-Identifier: MIT */
/* inception_file.c - the network's weights in the four ways that people name them; batch
 * normalisation folded in; our own file. */
#include "nn/inception_private.h"

#include "io/io.h"
#include "nn/config.h"

#include <math.h>
#include <string.h>

enum { MAX_ROWS = 20, FEW_KEYS = 10 };

/* What follows a convolution's scope in a file's keys.  folded: weight and bias only. */
typedef struct naming {
    const char *format;
    void (*scope)(char out[GD_MAX_NAME], const inception_layer *layer);
    const char *weight, *beta, *gamma, *mean, *variance;
    bool gamma_may_miss; /* it is 1 then */
    const char *output;
    bool tensorflow; /* weights [kh][kw][ci][co], output [2048][1008] */
} naming;

static void own_scope(char out[GD_MAX_NAME], const inception_layer *layer)
{
    snprintf(out, GD_MAX_NAME, "%s", layer->scope);
}

static void torch_scope(char out[GD_MAX_NAME], const inception_layer *layer)
{
    snprintf(out, GD_MAX_NAME, "%s", layer->torch);
}

static void replace(char *text, char from, char to)
{
    for (; *text; text++)
        if (*text == from)
            *text = to;
}

static void tensorflow_scope(char out[GD_MAX_NAME], const inception_layer *layer)
{
    snprintf(out, GD_MAX_NAME, "%s", layer->scope);
    replace(out, '.', '/');
}

/* The last two blocks are modules without modules in them. */
static void port_scope(char out[GD_MAX_NAME], const inception_layer *layer)
{
    const char *inside = strchr(layer->scope, '.');

    snprintf(out, GD_MAX_NAME, "layers.%s", layer->scope);
    if (strncmp(layer->scope, "mixed_9.", 8) == 0 || strncmp(layer->scope, "mixed_10.", 9) == 0)
        replace(out + strlen("layers.") + (inside - layer->scope) + 1, '.', '_');
}

static const naming namings[] = {
    { "GraphDef", tensorflow_scope, "/conv2d_params", "/batchnorm/beta", "/batchnorm/gamma",
      "/batchnorm/moving_mean", "/batchnorm/moving_variance", true, "softmax/weights", true },
    { "pytorch-fid", torch_scope, ".conv.weight", ".bn.bias", ".bn.weight", ".bn.running_mean",
      ".bn.running_var", false, "fc.weight", false },
    { "NVIDIA port", port_scope, ".weight", ".beta", NULL, ".mean", ".var", false, "output.weight",
      false },
    { "safetensors", own_scope, ".weight", ".bias", NULL, NULL, NULL, false, "output.weight",
      false },
};

struct gd_inception_file {
    gd_bundle *bundle;
    const naming *names;
    inception_net net;
};

/* ---- keys ---- */

/* A key that the file should have */
typedef struct key {
    char name[GD_MAX_NAME + 32];
    int rank;
    int64_t dim[4];
} key;

static key key_of(const naming *names, const inception_layer *l, const char *suffix)
{
    char scope[GD_MAX_NAME];
    key k = { .rank = 1, .dim = { l->co } };

    names->scope(scope, l);
    snprintf(k.name, sizeof k.name, "%s%s", scope, suffix);
    if (suffix == names->weight) {
        const int64_t oihw[4] = { l->co, l->ci, l->kh, l->kw },
                      hwio[4] = { l->kh, l->kw, l->ci, l->co };
        k.rank = 4;
        memcpy(k.dim, names->tensorflow ? hwio : oihw, sizeof k.dim);
    }
    return k;
}

static key output_key(const naming *names)
{
    const int64_t classes = GD_INCEPTION_CLASSES, pool = GD_INCEPTION_POOL;
    key k = { .rank = 2, .dim = { classes, pool } };

    snprintf(k.name, sizeof k.name, "%s", names->output);
    if (names->tensorflow) {
        k.dim[0] = pool;
        k.dim[1] = classes;
    }
    return k;
}

typedef void visit_fn(void *ctx, const gd_bundle *bundle, const key *k);

static void each_key(const naming *names, const gd_bundle *bundle, const inception_net *net,
                     visit_fn *visit, void *ctx)
{
    const char *const suffix[] = { names->weight, names->beta, names->gamma, names->mean,
                                   names->variance };
    key k;

    for (int i = 0; i < net->n_layer; i++)
        for (int s = 0; s < COUNT(suffix); s++) {
            if (!suffix[s])
                continue;
            k = key_of(names, &net->layer[i], suffix[s]);
            if (suffix[s] != names->gamma || !names->gamma_may_miss ||
                gd_bundle_find(bundle, k.name))
                visit(ctx, bundle, &k);
        }
    k = output_key(names);
    visit(ctx, bundle, &k);
}

typedef struct tally {
    int expected, present, different;
    bool report;
} tally;

static int shape_text(char out[64], const int64_t *dim, int rank)
{
    int used = snprintf(out, 64, "[");

    for (int d = 0; d < rank && used < 40; d++)
        used += snprintf(out + used, 64 - (size_t)used, "%s%lld", d ? ", " : "", (long long)dim[d]);
    return used + snprintf(out + used, 64 - (size_t)used, "]");
}

static void look_up(void *ctx, const gd_bundle *bundle, const key *k)
{
    const gd_array *a = gd_bundle_find(bundle, k->name);
    tally *t = ctx;
    char wanted[64], found[64];

    t->expected++;
    t->present += a != NULL;
    if (a && a->rank == k->rank && memcmp(a->dim, k->dim, (size_t)k->rank * sizeof *k->dim) == 0)
        return;
    if (t->report && t->different < MAX_ROWS) {
        shape_text(wanted, k->dim, k->rank);
        if (a)
            shape_text(found, a->dim, a->rank);
        gd_detail("  %-44.60s expected %-20s %s%s", k->name, wanted, a ? "found " : "missing",
                  a ? found : "");
    }
    t->different++;
}

/* The way of naming of which the file has most keys */
static const naming *most_present(tally *best, const gd_bundle *bundle, const inception_net *net)
{
    const naming *names = NULL;

    *best = (tally){ .present = 0 };
    for (int i = 0; i < COUNT(namings); i++) {
        tally t = { .present = 0 };
        each_key(&namings[i], bundle, net, look_up, &t);
        if (t.present > best->present) {
            *best = t;
            names = &namings[i];
        }
    }
    return names;
}

static gd_status recognise(gd_inception_file *f)
{
    tally t;
    gd_status s;

    f->names = most_present(&t, f->bundle, &f->net);
    if (!f->names) {
        s = gd_fail(GD_EFORMAT, "%s: holds no weights of the 2015 Inception network",
                    gd_bundle_path(f->bundle));
        gd_detail("hint: it is called classify_image_graph_def.pb (TensorFlow) or "
                  "pt_inception-2015-12-05-6726825d.pth (pytorch-fid)");
        return s;
    }
    if (t.different == 0)
        return GD_OK;
    s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d missing or of another shape",
                gd_bundle_path(f->bundle), t.expected, t.different);
    t = (tally){ .report = true };
    each_key(f->names, f->bundle, &f->net, look_up, &t);
    if (t.different > MAX_ROWS)
        gd_detail("  ... and %d more", t.different - MAX_ROWS);
    gd_detail("hint: the file was read as the 2015 Inception network in the names of %s%s",
              f->names->format,
              strcmp(f->names->format, "pytorch-fid") == 0
                  ? "; torchvision's inception_v3 is another network"
                  : "");
    return s;
}

/* ---- life ---- */

gd_status gd_inception_file_open(gd_inception_file **out, const char *path)
{
    gd_inception_file *f;
    gd_status s;

    GD_TRY(gd_block_make(&f, sizeof *f, "Inception weights"));
    s = gd_bundle_open(&f->bundle, path);
    if (s == GD_OK)
        s = inception_build(&f->net, 1, 1, 1);
    if (s == GD_OK)
        s = recognise(f);
    if (s != GD_OK) {
        gd_inception_file_close(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

void gd_inception_file_close(gd_inception_file *f)
{
    if (!f)
        return;
    gd_bundle_close(f->bundle);
    gd_graph_free(f->net.graph);
    gd_block_free(f);
}

bool gd_is_inception_file(const char *path)
{
    inception_net net;
    gd_bundle *bundle;
    tally t = { .present = 0 };

    if (gd_bundle_open(&bundle, path) != GD_OK)
        return false;
    if (inception_build(&net, 1, 1, 1) == GD_OK) {
        most_present(&t, bundle, &net);
        gd_graph_free(net.graph);
    }
    gd_bundle_close(bundle);
    return t.present >= FEW_KEYS;
}

const char *gd_inception_file_format(const gd_inception_file *f)
{
    return f->names->format;
}

/* ---- reading ---- */

static gd_status read_key(const gd_inception_file *f, const key *k, float *out)
{
    const gd_array *a = gd_bundle_find(f->bundle, k->name);

    GD_TRY(gd_bundle_read_f32(f->bundle, a, out));
    gd_bundle_release(f->bundle, a);
    return GD_OK;
}

/* [rows][columns] -> [columns][rows] */
static void transpose(float *out, const float *x, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            out[j * rows + i] = x[i * columns + j];
}

/* k's values with the last dimension first: output and input channels of TensorFlow's arrays */
static gd_status read_last_first(const gd_inception_file *f, const key *k, float *out)
{
    const int64_t last = k->dim[k->rank - 1];
    int64_t rows = 1;
    float *staged;
    gd_status s;

    for (int d = 0; d < k->rank - 1; d++)
        rows *= k->dim[d];
    GD_TRY(gd_block_make(&staged, (size_t)(rows * last) * sizeof *staged, k->name));
    s = read_key(f, k, staged);
    if (s == GD_OK)
        transpose(out, staged, rows, last);
    gd_block_free(staged);
    return s;
}

/* [co][ci][kh][kw] from the file's order */
static gd_status read_weight(const gd_inception_file *f, const inception_layer *l, float *out)
{
    const key k = key_of(f->names, l, f->names->weight);
    const int64_t taps = l->kh * l->kw, row = taps * l->ci;
    float *staged;

    if (!f->names->tensorflow)
        return read_key(f, &k, out);
    GD_TRY(read_last_first(f, &k, out)); /* [co][kh][kw][ci] */
    GD_TRY(gd_block_make(&staged, (size_t)row * sizeof *staged, k.name));
    for (int o = 0; o < l->co; o++) {
        memcpy(staged, out + o * row, (size_t)row * sizeof *staged);
        transpose(out + o * row, staged, taps, l->ci);
    }
    gd_block_free(staged);
    return GD_OK;
}

/* ---- batch normalisation: y = (conv - mean) gamma / sqrt(variance + epsilon) + beta ---- */

enum { MAX_CHANNELS = 512 };
static const double usual_epsilon = 1e-3; /* of files that do not state it */

typedef struct norm {
    float beta[MAX_CHANNELS], gamma[MAX_CHANNELS], mean[MAX_CHANNELS], variance[MAX_CHANNELS];
    double epsilon;
} norm;

/* A number that a GraphDef keeps with the layer's batch normalisation; false: it does not */
static gd_status read_optional(const gd_inception_file *f, const inception_layer *l,
                               const char *leaf, float *out, bool *found)
{
    const key k = key_of(f->names, l, leaf);
    const gd_array *a = f->names->tensorflow ? gd_bundle_find(f->bundle, k.name) : NULL;

    *found = a != NULL;
    if (!a)
        return GD_OK;
    if (gd_array_count(a) != 1)
        return gd_fail(GD_EFORMAT, "%s: %s is not one number", gd_bundle_path(f->bundle), k.name);
    return gd_bundle_read_f32(f->bundle, a, out);
}

static gd_status read_epsilon(const gd_inception_file *f, const inception_layer *l, norm *n)
{
    float value;
    bool found;

    n->epsilon = usual_epsilon;
    GD_TRY(read_optional(f, l, "/batchnorm/variance_epsilon", &value, &found));
    if (!found || value == (float)usual_epsilon)
        return GD_OK;
    if (!(value > 0 && value < 1))
        return gd_fail(GD_EFORMAT, "%s: variance_epsilon of %s is %g", gd_bundle_path(f->bundle),
                       l->scope, (double)value);
    n->epsilon = (double)value;
    return GD_OK;
}

static gd_status read_norm(const gd_inception_file *f, const inception_layer *l, norm *n)
{
    const naming *names = f->names;
    const key beta = key_of(names, l, names->beta), mean = key_of(names, l, names->mean),
              variance = key_of(names, l, names->variance);
    float scales;
    bool found;

    for (int o = 0; o < l->co; o++)
        n->gamma[o] = 1.0f;
    GD_TRY(read_key(f, &beta, n->beta));
    GD_TRY(read_key(f, &mean, n->mean));
    GD_TRY(read_key(f, &variance, n->variance));
    GD_TRY(read_epsilon(f, l, n));
    if (!names->gamma)
        return GD_OK;
    GD_TRY(read_optional(f, l, "/batchnorm/scale_after_normalization", &scales, &found));
    if (found && scales == 0) /* gamma is there and not used */
        return GD_OK;
    const key gamma = key_of(names, l, names->gamma);
    return gd_bundle_find(f->bundle, gamma.name) ? read_key(f, &gamma, n->gamma) : GD_OK;
}

static double factor(const norm *n, int o)
{
    return (double)n->gamma[o] / sqrt((double)n->variance[o] + n->epsilon);
}

static gd_status fold_weight(const gd_inception_file *f, const inception_layer *l, float *out)
{
    const int64_t row = (int64_t)l->ci * l->kh * l->kw;
    norm n;

    GD_TRY(read_weight(f, l, out));
    if (!f->names->mean)
        return GD_OK;
    GD_TRY(read_norm(f, l, &n));
    for (int o = 0; o < l->co; o++)
        for (int64_t i = 0; i < row; i++)
            out[o * row + i] = (float)(factor(&n, o) * (double)out[o * row + i]);
    return GD_OK;
}

static gd_status fold_bias(const gd_inception_file *f, const inception_layer *l, float *out)
{
    const key beta = key_of(f->names, l, f->names->beta);
    norm n;

    if (!f->names->mean)
        return read_key(f, &beta, out);
    GD_TRY(read_norm(f, l, &n));
    for (int o = 0; o < l->co; o++)
        out[o] = (float)((double)n.beta[o] - factor(&n, o) * (double)n.mean[o]);
    return GD_OK;
}

/* ---- parameters by the network's names ---- */

static gd_status read_param(const gd_inception_file *f, const char *name, float *dst)
{
    const key output = output_key(f->names);

    for (int i = 0; i < f->net.n_layer; i++) {
        const inception_layer *l = &f->net.layer[i];
        const size_t n = strlen(l->scope);
        if (strncmp(name, l->scope, n) != 0 || name[n] != '.')
            continue;
        if (strcmp(name + n, ".weight") == 0)
            return fold_weight(f, l, dst);
        if (strcmp(name + n, ".bias") == 0)
            return fold_bias(f, l, dst);
    }
    return f->names->tensorflow ? read_last_first(f, &output, dst) : read_key(f, &output, dst);
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_inception_file *f = ctx;
    const int64_t n = type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3];

    GD_TRY(read_param(f, name, dst));
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(dst[i]))
            return gd_fail(GD_EFORMAT, "%s: %s: not finite with its batch normalisation folded in",
                           gd_bundle_path(f->bundle), name);
    return GD_OK;
}

gd_weights gd_inception_file_weights(const gd_inception_file *f)
{
    return (gd_weights){ fetch, (void *)f };
}

/* ---- made up ---- */

static gd_status fetch_synthetic(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const bool bias = type->dim[0] == 1;
    gd_param_spec spec = { .rank = bias ? 1 : 4 };

    (void)ctx;
    snprintf(spec.name, sizeof spec.name, "%s", name);
    for (int d = 0; d < 4; d++)
        spec.dim[d] = type->dim[bias ? 3 - d : d];
    gd_init_synthetic(dst, &spec, "");
    return GD_OK;
}

gd_weights gd_inception_synthetic(void)
{
    return (gd_weights){ fetch_synthetic, NULL };
}

/* ---- visiting all ---- */

static int64_t count_of(const gd_value *v)
{
    return v->type.dim[0] * v->type.dim[1] * v->type.dim[2] * v->type.dim[3];
}

typedef gd_status param_fn(void *ctx, const float *data, int64_t count);

static gd_status each_param(const gd_graph *g, const gd_weights *weights, param_fn *visit,
                            void *ctx)
{
    int64_t most = 1;
    float *staged;
    gd_status s = GD_OK;

    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_PARAM)
            most = GD_MAX(most, count_of(&g->value[i]));
    GD_TRY(gd_block_make(&staged, (size_t)most * sizeof *staged, "one parameter"));
    for (int i = 1; i < g->n_value && s == GD_OK; i++) {
        const gd_value *v = &g->value[i];
        if (v->role != GD_ROLE_PARAM)
            continue;
        s = weights->fetch(weights->ctx, v->name, &v->type, staged);
        if (s == GD_OK)
            s = visit(ctx, staged, count_of(v));
    }
    gd_block_free(staged);
    return s;
}

int64_t gd_inception_file_parameters(const gd_inception_file *f)
{
    const gd_graph *g = f->net.graph;
    int64_t n = 0;

    for (int i = 1; i < g->n_value; i++)
        n += g->value[i].role == GD_ROLE_PARAM ? count_of(&g->value[i]) : 0;
    return n;
}

static gd_status add_to_hash(void *ctx, const float *data, int64_t count)
{
    gd_hasher_add(ctx, data, (size_t)count * sizeof *data);
    return GD_OK;
}

gd_status gd_inception_file_hash(const gd_inception_file *f, char text[33])
{
    const gd_weights weights = gd_inception_file_weights(f);
    gd_hasher *hasher;
    gd_status s;

    GD_TRY(gd_hasher_make(&hasher));
    s = each_param(f->net.graph, &weights, add_to_hash, hasher);
    gd_hasher_text(hasher, text);
    gd_hasher_free(hasher);
    return s;
}

/* ---- writing ---- */

static gd_status add_to_file(void *ctx, const float *data, int64_t count)
{
    return gd_safetensors_add(ctx, data, (size_t)count * sizeof *data);
}

/* The rank that the array has in a file: 4, 1 for a bias, 2 for the classes' weights */
static gd_array array_of(const gd_value *v)
{
    gd_array a = { .name = v->name, .dtype = GD_F32, .rank = 4 };

    memcpy(a.dim, v->type.dim, sizeof v->type.dim);
    if (a.dim[0] == GD_INCEPTION_CLASSES)
        a.rank = 2;
    if (a.dim[0] == 1) {
        a.rank = 1;
        a.dim[0] = a.dim[3];
    }
    return a;
}

static gd_status write_params(const gd_graph *g, const char *path, bool overwrite,
                              const gd_weights *weights)
{
    static const gd_meta meta[] = { { "guided.format", "1" }, { "guided.kind", "inception" } };
    gd_array array[2 * INCEPTION_LAYERS + 1];
    gd_safetensors_writer *writer;
    int n = 0;
    gd_status s;

    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_PARAM)
            array[n++] = array_of(&g->value[i]);
    GD_TRY(gd_safetensors_begin(&writer, path, overwrite, array, n, meta, COUNT(meta)));
    s = each_param(g, weights, add_to_file, writer);
    if (s == GD_OK)
        return gd_safetensors_commit(writer);
    gd_safetensors_abort(writer);
    return s;
}

gd_status gd_inception_write(const char *path, bool overwrite, const gd_weights *weights)
{
    inception_net net;
    gd_status s;

    GD_TRY(inception_build(&net, 1, 1, 1));
    s = write_params(net.graph, path, overwrite, weights);
    gd_graph_free(net.graph);
    return s;
}
