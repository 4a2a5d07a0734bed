/* SPDX-License-Identifier: MIT */
#include "inception_files.h"

#include "io/io.h"
#include "nn/config.h"
#include "nn/inception_private.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef enum part { WEIGHT, BETA, GAMMA, MEAN, VARIANCE, PARTS } part;

static void build(inception_net *net)
{
    if (inception_build(net, 1, 1, 1) != GD_OK)
        fail_msg("%s", gd_error());
}

static int64_t count_of(const inception_layer *l, part p)
{
    return p == WEIGHT ? (int64_t)l->co * l->ci * l->kh * l->kw : l->co;
}

static float gamma_of(int channel)
{
    return channel % GAMMA_PERIOD == 0 ? 2.0f : 1.0f;
}

/* One array in PyTorch's order; without_gamma: its scale is in the weights and the mean */
static float *values_of(const inception_layer *l, part p, bool without_gamma)
{
    static const char *const leaf[] = { "weight", "beta", "gamma", "mean", "variance" };
    const int64_t n = count_of(l, p), row = n / l->co;
    gd_param_spec spec = { .rank = p == WEIGHT ? 4 : 1,
                           .dim = { l->co, l->ci, l->kh, l->kw },
                           .init = p == VARIANCE ? GD_INIT_ONE : GD_INIT_UNIFORM };
    float *out = malloc((size_t)n * sizeof *out);

    snprintf(spec.name, sizeof spec.name, "%s.%s", l->scope, leaf[p]);
    for (int d = spec.rank; d < 4; d++)
        spec.dim[d] = 1;
    gd_init_synthetic(out, &spec, "");
    for (int64_t i = 0; i < n; i++) {
        if (p == GAMMA)
            out[i] = gamma_of((int)i);
        if (without_gamma && (p == WEIGHT || p == MEAN))
            out[i] *= gamma_of((int)(i / row));
    }
    return out;
}

static float *class_values(void)
{
    gd_param_spec spec = { .name = "output.weight",
                           .rank = 2,
                           .dim = { GD_INCEPTION_CLASSES, GD_INCEPTION_POOL, 1, 1 } };
    float *out = malloc(sizeof *out * GD_INCEPTION_CLASSES * GD_INCEPTION_POOL);

    gd_init_synthetic(out, &spec, "");
    return out;
}

/* ---- safetensors ---- */

static gd_array array_of(const inception_layer *l, part p, const char *name)
{
    gd_array a = { .name = name, .dtype = GD_F32, .rank = p == WEIGHT ? 4 : 1, .dim = { l->co } };

    if (p == WEIGHT) {
        a.dim[1] = l->ci;
        a.dim[2] = l->kh;
        a.dim[3] = l->kw;
    }
    return a;
}

static void add(gd_safetensors_writer *out, float *values, int64_t n)
{
    assert_int_equal(gd_safetensors_add(out, values, (size_t)n * sizeof *values), GD_OK);
    free(values);
}

/* leaf[p] NULL: not in the file.  `joint`: how the port calls what is inside the last blocks */
static void write_named(const char *path, const char *const leaf[PARTS], const char *output,
                        bool port)
{
    static gd_array array[PARTS * INCEPTION_LAYERS + 1];
    gd_safetensors_writer *out;
    inception_net net;
    int n = 0;

    build(&net);
    for (int i = 0; i < net.n_layer; i++)
        for (int p = 0; p < PARTS; p++) {
            const inception_layer *l = &net.layer[i];
            char *name = gd_sprintf(net.graph->mem, port ? "layers.%s%s" : "%s%s",
                                    port ? l->scope : l->torch, leaf[p] ? leaf[p] : "");
            const bool last = strstr(name, "mixed_9.") || strstr(name, "mixed_10.");
            char *inside = strstr(name, port && last ? ".tower" : "?");
            while (inside && (inside = strchr(inside + 1, '.')) && strchr(inside + 1, '.'))
                *inside = '_'; /* tower.mixed.conv.beta -> tower_mixed_conv.beta */
            if (leaf[p])
                array[n++] = array_of(l, p, name);
        }
    array[n++] = (gd_array){ .name = output,
                             .dtype = GD_F32,
                             .rank = 2,
                             .dim = { GD_INCEPTION_CLASSES, GD_INCEPTION_POOL } };
    assert_int_equal(gd_safetensors_begin(&out, path, true, array, n, NULL, 0), GD_OK);
    for (int i = 0; i < net.n_layer; i++)
        for (int p = 0; p < PARTS; p++)
            if (leaf[p])
                add(out, values_of(&net.layer[i], p, port), count_of(&net.layer[i], p));
    add(out, class_values(), (int64_t)GD_INCEPTION_CLASSES * GD_INCEPTION_POOL);
    assert_int_equal(gd_safetensors_commit(out), GD_OK);
    gd_graph_free(net.graph);
}

void write_pytorch_file(const char *path)
{
    static const char *const leaf[PARTS] = { ".conv.weight", ".bn.bias", ".bn.weight",
                                             ".bn.running_mean", ".bn.running_var" };
    write_named(path, leaf, "fc.weight", false);
}

void write_port_file(const char *path)
{
    static const char *const leaf[PARTS] = { ".weight", ".beta", NULL, ".mean", ".var" };
    write_named(path, leaf, "output.weight", true);
}

/* ---- GraphDef ---- */

static size_t put_varint(unsigned char *to, uint64_t v)
{
    size_t n = 0;

    for (; v > 127; v >>= 7)
        to[n++] = (unsigned char)(128 | (v & 127));
    to[n++] = (unsigned char)v;
    return n;
}

/* Protocol buffers nest by length: a message is written from its end backwards, so that each length
 * is known when it is needed. */
typedef struct backwards {
    unsigned char head[1024];
    size_t at;   /* head[at ..] is in use */
    size_t tail; /* bytes of numbers that follow it in the file */
} backwards;

static void before(backwards *b, const void *data, size_t n)
{
    b->at -= n;
    memcpy(b->head + b->at, data, n);
}

static void number_before(backwards *b, uint64_t v)
{
    unsigned char text[10];
    before(b, text, put_varint(text, v));
}

/* All written since `mark` (and the numbers) becomes field `number` */
static void wrap(backwards *b, int number, size_t mark)
{
    number_before(b, mark - b->at + b->tail);
    number_before(b, (uint64_t)number << 3 | 2);
}

static void text_before(backwards *b, int number, const char *text)
{
    before(b, text, strlen(text));
    number_before(b, strlen(text));
    number_before(b, (uint64_t)number << 3 | 2);
}

static void shape_before(backwards *b, const int64_t *dim, int rank)
{
    const size_t tail = b->tail, mark = b->at;

    b->tail = 0; /* the numbers stand behind the shape */
    for (int d = rank - 1; d >= 0; d--) {
        const size_t size = b->at;
        number_before(b, (uint64_t)dim[d]);
        number_before(b, 1 << 3);
        wrap(b, 2, size);
    }
    wrap(b, 2, mark);
    b->tail = tail;
}

/* A Const node with n numbers: all of its elements, or one for all */
static void write_constant(FILE *f, const char *name, const int64_t *dim, int rank,
                           const float *values, int64_t n)
{
    backwards b = { .at = sizeof b.head, .tail = (size_t)n * sizeof *values };
    const size_t end = b.at;

    number_before(&b, b.tail); /* tensor_content, or packed float_val */
    number_before(&b, (n == 1 ? 5 : 4) << 3 | 2);
    shape_before(&b, dim, rank);
    number_before(&b, 1); /* DT_FLOAT */
    number_before(&b, 1 << 3);
    wrap(&b, 8, end); /* AttrValue.tensor */
    wrap(&b, 2, end); /* the pair's value */
    text_before(&b, 1, "value");
    wrap(&b, 5, end); /* NodeDef.attr */
    text_before(&b, 2, "Const");
    text_before(&b, 1, name);
    wrap(&b, 1, end); /* GraphDef.node */
    assert_int_equal(fwrite(b.head + b.at, 1, end - b.at, f), end - b.at);
    assert_int_equal(fwrite(values, sizeof *values, (size_t)n, f), n);
}

/* [rows][columns] -> [columns][rows], in place of x, which is freed */
static float *transposed(float *x, int64_t rows, int64_t columns)
{
    float *out = malloc((size_t)(rows * columns) * sizeof *out);

    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++)
            out[j * rows + i] = x[i * columns + j];
    free(x);
    return out;
}

/* [co][ci][taps] -> [taps][ci][co] */
static float *tensorflow_order(float *x, const inception_layer *l)
{
    const int64_t taps = l->kh * l->kw;
    float *out = malloc((size_t)(l->co * l->ci * taps) * sizeof *out);

    for (int64_t o = 0; o < l->co; o++)
        for (int64_t i = 0; i < l->ci; i++)
            for (int64_t t = 0; t < taps; t++)
                out[(t * l->ci + i) * l->co + o] = x[(o * l->ci + i) * taps + t];
    free(x);
    return out;
}

static void write_part(FILE *f, const inception_layer *l, int layer, part p, graphdef_file how)
{
    static const char *const leaf[PARTS] = { "/conv2d_params", "/batchnorm/beta",
                                             "/batchnorm/gamma", "/batchnorm/moving_mean",
                                             "/batchnorm/moving_variance" };
    enum { MOST_OF_ONE = 1 << 20 }; /* elements that io expands from one number */
    const int64_t hwio[4] = { l->kh, l->kw, l->ci, l->co }, vector[1] = { l->co };
    int64_t n = count_of(l, p);
    float *values = values_of(l, p, false);
    char name[256];

    snprintf(name, sizeof name, "%s", l->scope);
    for (char *dot = name; (dot = strchr(dot, '.'));)
        *dot = '/';
    strcat(name, leaf[p]);
    if (p == WEIGHT)
        values = tensorflow_order(values, l);
    if (how.flat && n <= MOST_OF_ONE)
        n = 1;
    if (how.flat && p == VARIANCE && layer == 10)
        values[0] = how.variance;
    write_constant(f, name, p == WEIGHT ? hwio : vector, p == WEIGHT ? 4 : 1, values, n);
    free(values);
}

/* A field of fewer than 128 bytes */
static size_t put_field(unsigned char *to, int number, const void *data, size_t n)
{
    to[0] = (unsigned char)(number << 3 | 2);
    to[1] = (unsigned char)n;
    memcpy(to + 2, data, n);
    return n + 2;
}

static size_t put_attribute(unsigned char *to, const char *key, const void *value, size_t n)
{
    unsigned char pair[128];
    size_t used = put_field(pair, 1, key, strlen(key));

    used += put_field(pair + used, 2, value, n);
    return put_field(to, 5, pair, used);
}

static void write_norm(FILE *f, const inception_layer *l, graphdef_file how)
{
    unsigned char node[512], epsilon[5] = { 4 << 3 | 5 }, scales[2] = { 5 << 3, 1 };
    char name[256];
    size_t n;

    snprintf(name, sizeof name, "%s/batchnorm", l->scope);
    for (char *dot = name; (dot = strchr(dot, '.'));)
        *dot = '/';
    memcpy(epsilon + 1, &how.epsilon, sizeof how.epsilon);
    n = put_field(node, 1, name, strlen(name));
    n += put_field(node + n, 2, "BatchNormWithGlobalNormalization", 32);
    n += put_attribute(node + n, "variance_epsilon", epsilon, sizeof epsilon);
    n += put_attribute(node + n, "scale_after_normalization", scales, how.unscaled ? 0 : 2);
    const unsigned char head[] = { 1 << 3 | 2, (unsigned char)(n & 127) | 128,
                                   (unsigned char)(n >> 7) };
    assert_int_equal(fwrite(head, 1, sizeof head, f), sizeof head);
    assert_int_equal(fwrite(node, 1, n, f), n);
}

void write_graphdef(const char *path, graphdef_file how)
{
    const int64_t dim[2] = { GD_INCEPTION_POOL, GD_INCEPTION_CLASSES };
    FILE *f = fopen(path, "wb");
    inception_net net;
    int n = 0;

    assert_non_null(f);
    build(&net);
    for (int i = 0; i < net.n_layer; i++)
        for (int p = 0; p < PARTS; p++)
            if ((p != GAMMA || !how.no_gamma) && (how.n_constants == 0 || n++ < how.n_constants))
                write_part(f, &net.layer[i], i, p, how);
    for (int i = 0; i < net.n_layer && how.epsilon > 0; i++)
        write_norm(f, &net.layer[i], how);
    float *classes = transposed(class_values(), GD_INCEPTION_CLASSES, GD_INCEPTION_POOL);
    if (how.n_constants == 0)
        write_constant(f, "softmax/weights", dim, 2, classes, dim[0] * dim[1]);
    free(classes);
    assert_int_equal(fclose(f), 0);
    gd_graph_free(net.graph);
}
