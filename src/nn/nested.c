/* SPDX-License-Identifier: MIT */
/* nested.c - the state dict among what else people keep in a checkpoint: optimisers, steps,
 * hyper-parameters, averages. */
#include "nn/config_private.h"

#include <string.h>

enum { MAX_NESTING = 4 };

/* Where state dicts are found, best first: averages of the parameters make better images. */
static const char *const places[] = { "ema",
                                      "ema_model",
                                      "model_ema",
                                      "params_ema",
                                      "ema_state_dict",
                                      "state_dict",
                                      "model_state_dict",
                                      "model",
                                      "module",
                                      "params",
                                      "net",
                                      "unet" };

/* A mapping from names to tensors and nothing else */
static bool is_state_dict(const gd_pickle_node *n)
{
    if (!n || n->kind != GD_PICKLE_DICT || n->count == 0)
        return false;
    for (int i = 0; i < n->count; i++)
        if (n->item[2 * i]->kind != GD_PICKLE_STRING ||
            n->item[2 * i + 1]->kind != GD_PICKLE_TENSOR)
            return false;
    return true;
}

typedef struct choice {
    char path[GD_MAX_NAME]; /* "ema." */
    char others[256];       /* "model, state_dict" */
} choice;

static void append(char out[256], const char *name)
{
    const size_t used = strlen(out);

    snprintf(out + used, 256 - used, "%s%s", used ? ", " : "", name);
}

/* Is there a state dict in n, itself or at a known key?  Its path is appended. */
static bool find(choice *c, const gd_pickle_node *n, int depth)
{
    const size_t length = strlen(c->path);
    bool found = false;

    if (is_state_dict(n))
        return true;
    for (int i = 0; i < COUNT(places) && depth < MAX_NESTING; i++) {
        const gd_pickle_node *inner = gd_pickle_get(n, places[i]);
        choice below = { .path = "" };
        if (!inner || !find(&below, inner, depth + 1))
            continue;
        if (found)
            append(c->others, places[i]);
        else
            snprintf(c->path + length, sizeof c->path - length, "%s.%.400s", places[i], below.path);
        found = true;
    }
    return found;
}

/* Keys of the top level, for a message */
static void list_keys(char out[256], const gd_pickle_node *root)
{
    out[0] = 0;
    for (int i = 0; root->kind == GD_PICKLE_DICT && i < root->count && i < 12; i++)
        if (root->item[2 * i]->kind == GD_PICKLE_STRING)
            append(out, root->item[2 * i]->text);
}

static gd_status no_state_dict(const gd_bundle *b, const gd_pickle_node *root)
{
    char keys[256];

    if (gd_pickle_get(root, "param_groups") && gd_pickle_get(root, "state"))
        return gd_fail(GD_EFORMAT,
                       "%s: an optimiser's state, not a model\nhint: the weights are in "
                       "modelNNNNNN.pt or ema_RATE_NNNNNN.pt beside it",
                       gd_bundle_path(b));
    list_keys(keys, root);
    if (gd_pickle_get(root, "ema") && gd_pickle_get(gd_pickle_get(root, "ema"), "shadow_params"))
        return gd_fail(GD_EFORMAT, "%s: a checkpoint of score_sde, which this program does not run",
                       gd_bundle_path(b));
    if (gd_pickle_get(root, "pytorch-lightning_version"))
        return gd_fail(GD_EFORMAT,
                       "%s: a checkpoint of PyTorch Lightning without a state_dict of "
                       "tensors",
                       gd_bundle_path(b));
    return gd_fail(
        GD_EFORMAT,
        "%s: holds no state dict (a mapping from names to tensors)%s%s\nhint: --key NAME "
        "chooses where to look",
        gd_bundle_path(b), *keys ? "; its keys are " : "", keys);
}

static gd_status select_key(gd_bundle *b, const char *key)
{
    char prefix[GD_MAX_NAME];

    snprintf(prefix, sizeof prefix, "%.500s.", key);
    if (gd_bundle_select(b, prefix) == GD_OK)
        return GD_OK;
    return gd_fail(GD_EUSAGE, "--key %.64s: %s has no tensors under it", key, gd_bundle_path(b));
}

/* ema_pytorch keeps both networks side by side in one state dict. */
static gd_status select_average(gd_bundle *b)
{
    static const char average[] = "ema_model.", online[] = "online_model.";
    int n_average = 0, n_online = 0;

    for (int i = 0; i < gd_bundle_count(b); i++) {
        const char *name = gd_bundle_array(b, i)->name;
        n_average += strncmp(name, average, sizeof average - 1) == 0;
        n_online += strncmp(name, online, sizeof online - 1) == 0;
    }
    if (n_average == 0 || n_online == 0)
        return GD_OK;
    gd_log(GD_LOG_NOTE, "%s: weights under ema_model; --key online_model for the others",
           gd_bundle_path(b));
    return gd_bundle_select(b, average);
}

static gd_status choose(gd_bundle *b, const gd_pickle_node *root, const char *key)
{
    choice c = { .path = "" };

    if (key)
        return select_key(b, key);
    if (!root || is_state_dict(root))
        return select_average(b);
    if (!find(&c, root, 0))
        return no_state_dict(b, root);
    if (*c.others)
        gd_log(GD_LOG_NOTE, "%s: weights under %.*s; --key chooses among %s", gd_bundle_path(b),
               (int)strlen(c.path) - 1, c.path, c.others);
    else
        gd_log(GD_LOG_NOTE, "%s: weights under %.*s", gd_bundle_path(b), (int)strlen(c.path) - 1,
               c.path);
    GD_TRY(gd_bundle_select(b, c.path));
    return select_average(b);
}

gd_status nn_open_state_dict(gd_bundle **out, const char *path, const char *key)
{
    const gd_pickle_node *root;
    gd_bundle *b;
    gd_status s;

    GD_TRY(gd_bundle_open_tree(&b, &root, path));
    s = choose(b, root, key);
    if (s != GD_OK) {
        gd_bundle_close(b);
        return s;
    }
    *out = b;
    return GD_OK;
}
