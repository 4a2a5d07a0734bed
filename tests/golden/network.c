/* network.c - graphs of a case: configuration, plan, values, gradients. */
#include "golden.h"

#include <stdlib.h>
#include <string.h>

/* ---- configuration ---- */

/* A JSON value as the command line would give it */
static const char *flag_text(golden *g, json_t *v)
{
    char *text = golden_alloc(g, 32);

    if (json_is_string(v))
        return json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v) ? "True" : "False";
    snprintf(text, 32, "%.15g", json_number_value(v));
    return text;
}

bool golden_flags_config(golden *g, json_t *flags, gd_net_kind kind, gd_model_config *out)
{
    enum { MAX_FLAGS = 64 };
    gd_flag list[MAX_FLAGS];
    const char *name;
    json_t *value;
    int n = 0;

    json_object_foreach(flags, name, value)
    {
        if (gd_flag_known(name) && n < MAX_FLAGS)
            list[n++] = (gd_flag){ name, flag_text(g, value) };
    }
    gd_config_defaults(out, kind);
    if (gd_flags_apply(out, list, n) == GD_OK)
        return true;
    golden_fail(g, "%s", gd_error());
    return false;
}

/* The arguments of UNetModel, SuperResModel, EncoderUNetModel, with their defaults */
static void by_constructor(json_t *c, gd_net_kind kind, gd_net_config *n)
{
    static const char *const pools[] = { "attention", "adaptive", "spatial", "spatial_v2" };
    const char *pool = json_string_value(json_object_get(c, "pool"));
    json_t *item;
    size_t i;

    *n = (gd_net_config){ .kind = kind,
                          .image_size = golden_int(c, "image_size", 0),
                          .in_channels = golden_int(c, "in_channels", 3),
                          .model_channels = golden_int(c, "model_channels", 0),
                          .out_channels = golden_int(c, "out_channels", 0),
                          .num_res_blocks = golden_int(c, "num_res_blocks", 0),
                          .num_classes = golden_int(c, "num_classes", 0),
                          .num_heads = golden_int(c, "num_heads", 1),
                          .num_heads_upsample = golden_int(c, "num_heads_upsample", -1),
                          .num_head_channels = golden_int(c, "num_head_channels", -1),
                          .conv_resample = golden_bool(c, "conv_resample", true),
                          .use_scale_shift_norm = golden_bool(c, "use_scale_shift_norm", false),
                          .resblock_updown = golden_bool(c, "resblock_updown", false),
                          .use_new_attention_order =
                              golden_bool(c, "use_new_attention_order", false),
                          .pool = GD_POOL_ADAPTIVE };
    for (int k = 0; pool && k < COUNT(pools); k++)
        if (strcmp(pool, pools[k]) == 0)
            n->pool = (gd_pool)k;
    json_array_foreach(json_object_get(c, "channel_mult"), i, item) n->channel_mult[n->n_levels++] =
        json_number_value(item);
    json_array_foreach(json_object_get(c, "attention_resolutions"), i, item) n->attention_ds |=
        (unsigned)json_integer_value(item);
}

/* What the authors' program made of the flags must be what ours makes of them */
static void check_resolved(golden *g, json_t *resolved, const gd_net_config *n)
{
    json_t *mult = json_object_get(resolved, "channel_mult"),
           *ds = json_object_get(resolved, "attention_ds"), *item;
    unsigned attention = 0;
    size_t i;

    if (mult && (int)json_array_size(mult) != n->n_levels)
        golden_fail(g, "%d levels, expected %zu", n->n_levels, json_array_size(mult));
    json_array_foreach(mult, i, item)
    {
        if (n->channel_mult[i] != json_number_value(item))
            golden_fail(g, "level %zu has %g times the channels, expected %g", i,
                        n->channel_mult[i], json_number_value(item));
    }
    json_array_foreach(ds, i, item) attention |= (unsigned)json_integer_value(item);
    if (ds && attention != n->attention_ds)
        golden_fail(g, "attention at %u, expected %u", n->attention_ds, attention);
    if (golden_int(resolved, "out_channels", n->out_channels) != n->out_channels)
        golden_fail(g, "%d output channels", n->out_channels);
    if (golden_int(resolved, "num_classes", n->num_classes) != n->num_classes)
        golden_fail(g, "%d classes", n->num_classes);
}

bool golden_net_config(golden *g, json_t *c, json_t *resolved, gd_net_kind kind, gd_net_config *out)
{
    gd_model_config flags;

    if (json_object_get(c, "model_channels")) {
        by_constructor(c, kind, out);
    } else {
        if (!golden_flags_config(g, c, kind, &flags))
            return false;
        *out = flags.net;
    }
    check_resolved(g, resolved, out);
    return !g->failed;
}

/* ---- running ---- */

bool golden_plan(golden *g, golden_graph *u, const gd_val *outputs, int n, const gd_weights *w)
{
    gd_graph_optimise(u->graph, outputs, n, false);
    if (gd_graph_check(u->graph) == GD_OK &&
        gd_plan_make(&u->plan, u->graph, outputs, n) == GD_OK &&
        gd_exec_make(&u->exec, u->plan, w) == GD_OK)
        return true;
    golden_fail(g, "%s", gd_error());
    return false;
}

void golden_release(golden_graph *u)
{
    gd_exec_free(u->exec);
    gd_plan_free(u->plan);
    gd_graph_free(u->graph);
    *u = (golden_graph){ 0 };
}

int64_t golden_count(const golden_graph *u, gd_val v)
{
    const int64_t *d = gd_type_of(u->graph, v)->dim;
    return d[0] * d[1] * d[2] * d[3];
}

float *golden_get(golden *g, const golden_graph *u, gd_val v, float factor)
{
    const int64_t n = golden_count(u, v);
    float *out = golden_alloc(g, (size_t)n * sizeof *out);

    gd_exec_get(u->exec, v, out);
    for (int64_t i = 0; i < n; i++)
        out[i] *= factor;
    return out;
}

/* ---- gradients ---- */

static void gradient_name(const golden_gradients *d, const gd_value *v, char name[GD_MAX_NAME])
{
    if (v->role == GD_ROLE_PARAM)
        snprintf(name, GD_MAX_NAME, "grad.%s.%s", d->prefix, v->name);
    else
        snprintf(name, GD_MAX_NAME, "grad.in.%s%s", v->name, d->input_suffix);
}

static bool is_asked(golden *g, const golden_gradients *d, const gd_value *v)
{
    char name[GD_MAX_NAME];

    if (v->role == GD_ROLE_NODE || v->type.dtype != GD_F32)
        return false;
    gradient_name(d, v, name);
    return golden_find(g, "%s", name) || golden_find(g, "samp.%s", name) ||
           (v->role == GD_ROLE_PARAM && golden_find(g, "stat.grad.%s", d->prefix));
}

void golden_gradients_of(golden *g, golden_graph *u, golden_gradients *d, gd_val y, gd_val dy)
{
    for (int i = 1; i < u->graph->n_value && d->n < GOLDEN_MAX_GRADIENTS; i++)
        if (is_asked(g, d, &u->graph->value[i]))
            d->wrt[d->n++] = (gd_val){ i };
    gd_gradient(u->graph, y, dy, d->wrt, d->of, d->n);
}

void golden_compare_gradients(golden *g, const golden_graph *u, const golden_gradients *d,
                              float factor)
{
    char name[GD_MAX_NAME];

    for (int i = 0; i < d->n; i++) {
        const gd_value *v = &u->graph->value[d->wrt[i].id];
        gradient_name(d, v, name);
        if (d->of[i].id == 0) {
            golden_fail(g, "%s: the graph has no such gradient", name);
            continue;
        }
        const float *found = golden_get(g, u, d->of[i], factor);
        const int64_t n = golden_count(u, d->of[i]);
        golden_compare_part(g, name, found, n);
        if (v->role == GD_ROLE_PARAM)
            golden_compare_stat(g, "grad", d->prefix, v->name, found, n);
    }
}
