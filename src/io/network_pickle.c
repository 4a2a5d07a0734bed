/* SPDX-License-Identifier: MIT */
/* network_pickle.c - a network that was pickled as an object, as NVlabs/edm does
 * (docs/reference/networks.md#pickled-networks): arrays named by the path of modules, and what its
 * constructor was called with. */
#include "io/io_private.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES_BYTES = 32 << 20 };

static const gd_pickle_node *state_of(const gd_pickle_node *object)
{
    return object && object->kind == GD_PICKLE_OBJECT && object->count == 1 ? object->item[0]
                                                                            : NULL;
}

/* ---- values as JSON; what JSON has no word for is null ---- */

static json_t *to_json(const gd_pickle_node *n);

static json_t *list_to_json(const gd_pickle_node *n)
{
    json_t *list = json_array();

    for (int i = 0; i < n->count; i++)
        json_array_append_new(list, to_json(n->item[i]));
    return list;
}

static json_t *dict_to_json(const gd_pickle_node *n)
{
    json_t *dict = json_object();

    for (int i = 0; i < n->count; i++)
        if (n->item[2 * i]->kind == GD_PICKLE_STRING)
            json_object_set_new(dict, n->item[2 * i]->text, to_json(n->item[2 * i + 1]));
    return dict;
}

static json_t *to_json(const gd_pickle_node *n)
{
    switch (n->kind) {
    case GD_PICKLE_BOOL:
        return json_boolean(n->integer);
    case GD_PICKLE_INT:
        return json_integer(n->integer);
    case GD_PICKLE_FLOAT:
        return gd_json_number(n->real);
    case GD_PICKLE_STRING:
        return json_string(n->text);
    case GD_PICKLE_LIST:
    case GD_PICKLE_TUPLE:
        return list_to_json(n);
    case GD_PICKLE_DICT:
        return dict_to_json(n);
    default:
        return json_null();
    }
}

/* ---- the tree of modules ---- */

typedef struct walk {
    gd_bundle *b;
    io_pickle *p;
    double skip_scale; /* of the blocks met so far; NAN: none */
} walk;

static gd_status not_network(const walk *w, const char *path, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: network %s%s: %s", w->b->path, *path ? path : "(root)",
                   *path ? "" : "", what);
}

static bool contains(const gd_pickle_node *list, const char *text)
{
    for (int i = 0; list && list->kind == GD_PICKLE_LIST && i < list->count; i++)
        if (list->item[i]->kind == GD_PICKLE_STRING && strcmp(list->item[i]->text, text) == 0)
            return true;
    return false;
}

static gd_status join(const walk *w, char out[GD_MAX_NAME], const char *path, const char *name)
{
    const int n = snprintf(out, GD_MAX_NAME, "%s%s%s", path, *path ? "." : "", name);

    return n < GD_MAX_NAME ? GD_OK : not_network(w, path, "names too long");
}

/* Entries of `_parameters` or `_buffers`, but for those that a state dict leaves out */
static gd_status add_tensors(walk *w, const gd_pickle_node *dict, const gd_pickle_node *left_out,
                             const char *path)
{
    char name[GD_MAX_NAME];

    if (!dict || dict->kind != GD_PICKLE_DICT)
        return not_network(w, path, "a module without parameters and buffers");
    for (int i = 0; i < dict->count; i++) {
        const gd_pickle_node *key = dict->item[2 * i], *v = dict->item[2 * i + 1];
        if (key->kind != GD_PICKLE_STRING ||
            (v->kind != GD_PICKLE_TENSOR && v->kind != GD_PICKLE_NONE))
            return not_network(w, path, "a parameter that is no tensor");
        if (v->kind == GD_PICKLE_NONE || contains(left_out, key->text))
            continue;
        GD_TRY(join(w, name, path, key->text));
        GD_TRY(io_pickle_add_tensor(w->p, w->b, v, name));
    }
    return GD_OK;
}

static gd_status note_block(walk *w, const gd_pickle_node *object, const char *path)
{
    const gd_pickle_node *scale = gd_pickle_get(state_of(object), "skip_scale");
    double value;

    if (strcmp(object->text, "UNetBlock") != 0 || !scale)
        return GD_OK;
    value = scale->kind == GD_PICKLE_FLOAT ? scale->real : (double)scale->integer;
    if (!isnan(w->skip_scale) && w->skip_scale != value)
        return not_network(w, path, "its skip_scale is not that of the other blocks");
    w->skip_scale = value;
    return GD_OK;
}

static gd_status add_module(walk *w, const gd_pickle_node *object, const char *path)
{
    const gd_pickle_node *state = state_of(object), *modules = gd_pickle_get(state, "_modules");
    char name[GD_MAX_NAME];

    if (!modules || modules->kind != GD_PICKLE_DICT)
        return not_network(w, path, "not a module");
    GD_TRY(note_block(w, object, path));
    GD_TRY(add_tensors(w, gd_pickle_get(state, "_parameters"), NULL, path));
    GD_TRY(add_tensors(w, gd_pickle_get(state, "_buffers"),
                       gd_pickle_get(state, "_non_persistent_buffers_set"), path));
    for (int i = 0; i < modules->count; i++) {
        const gd_pickle_node *key = modules->item[2 * i], *module = modules->item[2 * i + 1];
        if (module->kind == GD_PICKLE_NONE)
            continue;
        if (key->kind != GD_PICKLE_STRING)
            return not_network(w, path, "a module without a name");
        GD_TRY(join(w, name, path, key->text));
        GD_TRY(add_module(w, module, name));
    }
    return GD_OK;
}

/* ---- its constructor ---- */

static json_t *numbers_of(const gd_pickle_node *state)
{
    json_t *dict = json_object();

    for (int i = 0; i < state->count; i++) {
        const gd_pickle_node *key = state->item[2 * i], *v = state->item[2 * i + 1];
        if (key->kind == GD_PICKLE_STRING && key->text[0] != '_' &&
            (v->kind == GD_PICKLE_INT || v->kind == GD_PICKLE_FLOAT))
            json_object_set_new(dict, key->text, to_json(v));
    }
    return dict;
}

static gd_status describe(const walk *w, const gd_pickle_node *network)
{
    const gd_pickle_node *state = state_of(network), *args = gd_pickle_get(state, "_init_args"),
                         *kwargs = gd_pickle_get(state, "_init_kwargs");
    gd_bundle *b = w->b;
    json_t *root;
    char *text;

    if (!kwargs || kwargs->kind != GD_PICKLE_DICT || (args && args->count != 0))
        return not_network(w, "", "its constructor's arguments are not all named");
    root = json_pack("{s:s, s:o, s:o}", "class_name", network->text, "init_kwargs",
                     dict_to_json(kwargs), "attributes", numbers_of(state));
    if (!isnan(w->skip_scale))
        json_object_set_new(root, "skip_scale", json_real(w->skip_scale));
    text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(root);
    b->meta = gd_alloc(b->mem, sizeof *b->meta);
    if (b->meta && text)
        *b->meta = (gd_meta){ GD_NETWORK_META, gd_strdup(b->mem, text) };
    free(text);
    b->n_meta = 1;
    return b->meta && b->meta->value ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
}

gd_status io_read_network_pickle(gd_bundle *b)
{
    gd_cursor c = { b->map.data, b->map.data, b->map.data + b->map.bytes, b->path };
    walk w = { .b = b, .skip_scale = NAN };
    const gd_pickle_node *root, *network;

    b->format = "network pickle";
    GD_TRY(io_pickle_read(&w.p, &c, b->mem, VALUES_BYTES));
    if (gd_cursor_left(&c) > 0)
        return gd_fail(GD_EFORMAT, "%s: offset %llu: %llu bytes after the pickle", b->path,
                       (unsigned long long)gd_cursor_offset(&c),
                       (unsigned long long)gd_cursor_left(&c));
    root = io_pickle_root(w.p);
    network = gd_pickle_get(root, "ema");
    if (gd_pickle_get(root, "G_ema"))
        return gd_fail(GD_EFORMAT, "%s: a network of StyleGAN, which this program does not run",
                       b->path);
    if (!network || network->kind != GD_PICKLE_OBJECT)
        return gd_fail(GD_EFORMAT,
                       "%s: a pickle that is no torch.save file and has no network under the key "
                       "\"ema\"",
                       b->path);
    GD_TRY(add_module(&w, network, ""));
    return describe(&w, network);
}
