/* SPDX-License-Identifier: MIT */
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
    /* a script's line has them too, and no network depends on them */
    static const char *const of_sampling[] = { "timestep_respacing", "clip_denoised",
                                               "num_samples",        "batch_size",
                                               "use_ddim",           "classifier_scale" };
    gd_flag list[MAX_FLAGS];
    const char *name;
    json_t *value;
    int n = 0;

    golden_require(g, flags, "use_fp16", false);
    golden_require(g, flags, "classifier_use_fp16", false);
    for (int i = 0; i < COUNT(of_sampling); i++)
        golden_at(g, flags, of_sampling[i]);
    json_object_foreach(flags, name, value)
    {
        if (gd_flag_known(name) && n < MAX_FLAGS)
            list[n++] = (gd_flag){ name, flag_text(g, golden_at(g, flags, name)) };
    }
    gd_config_defaults(out, kind);
    if (gd_flags_apply(out, list, n) == GD_OK)
        return true;
    golden_fail(g, "%s", gd_error());
    return false;
}

/* Attention is where the downsampling rate is in the list: rates are powers of two, so that other
 * numbers of the list never are one. */
static unsigned rates(json_t *list)
{
    unsigned bits = 0;
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const json_int_t rate = json_integer_value(item);
        if (rate > 0 && rate < 1 << GD_MAX_LEVELS && (rate & (rate - 1)) == 0)
            bits |= (unsigned)rate;
    }
    return bits;
}

static void read_levels(golden *g, json_t *c, gd_net_config *n)
{
    json_t *mult = golden_at(g, c, "channel_mult"), *item;
    size_t i;

    if (!mult) /* the default of every constructor */
        for (n->n_levels = 0; n->n_levels < 4; n->n_levels++)
            n->channel_mult[n->n_levels] = 1 << n->n_levels;
    if (json_array_size(mult) > GD_MAX_LEVELS || (mult && !json_is_array(mult)))
        golden_fail(g, "channel_mult is no list of at most %d", GD_MAX_LEVELS);
    else
        json_array_foreach(mult, i, item) n->channel_mult[n->n_levels++] = json_number_value(item);
    n->attention_ds = rates(golden_at(g, c, "attention_resolutions"));
}

/* The arguments of UNetModel, SuperResModel, EncoderUNetModel, with their defaults */
static void by_constructor(golden *g, json_t *c, gd_net_kind kind, gd_net_config *n)
{
    static const char *const pools[] = { "attention", "adaptive", "spatial", "spatial_v2" };

    golden_remarks(g, c, "use_checkpoint");
    golden_require(g, c, "use_fp16", false);
    golden_require(g, c, "dims", 2);
    *n = (gd_net_config){
        .kind = kind,
        .image_size = golden_get_int(g, c, "image_size", 0),
        .in_channels = golden_get_int(g, c, "in_channels", 3),
        .model_channels = golden_get_int(g, c, "model_channels", 0),
        .out_channels = golden_get_int(g, c, "out_channels", 0),
        .num_res_blocks = golden_get_int(g, c, "num_res_blocks", 0),
        .num_classes = golden_get_int(g, c, "num_classes", 0),
        .num_heads = golden_get_int(g, c, "num_heads", 1),
        .num_heads_upsample = golden_get_int(g, c, "num_heads_upsample", -1),
        .num_head_channels = golden_get_int(g, c, "num_head_channels", -1),
        .dropout = golden_number(g, c, "dropout", 0),
        .conv_resample = golden_get_bool(g, c, "conv_resample", true),
        .use_scale_shift_norm = golden_get_bool(g, c, "use_scale_shift_norm", false),
        .resblock_updown = golden_get_bool(g, c, "resblock_updown", false),
        .use_new_attention_order = golden_get_bool(g, c, "use_new_attention_order", false),
        .pool = (gd_pool)golden_word(g, c, "pool", pools, COUNT(pools), GD_POOL_ADAPTIVE)
    };
    read_levels(g, c, n);
}

static void check_int(golden *g, json_t *resolved, const char *key, int found)
{
    const int expected =
        json_is_null(golden_at(g, resolved, key)) ? 0 : golden_get_int(g, resolved, key, found);

    if (expected != found)
        golden_fail(g, "%s is %d, expected %d", key, found, expected);
}

/* Channels that EncoderUNetModel gathers for its spatial pools: the stem's, every block's and the
 * middle's */
static int feature_size(const gd_net_config *n)
{
    int channels = (int)(n->channel_mult[0] * n->model_channels), sum = channels;

    for (int l = 0; l < n->n_levels; l++) {
        channels = (int)(n->channel_mult[l] * n->model_channels);
        sum += channels * (n->num_res_blocks + (l < n->n_levels - 1));
    }
    return sum + channels;
}

/* What the authors' program made of the flags must be what ours makes of them */
static void check_resolved(golden *g, json_t *resolved, const gd_net_config *n)
{
    json_t *mult = golden_at(g, resolved, "channel_mult"),
           *ds = golden_at(g, resolved, "attention_ds"), *item;
    size_t i;

    if (mult && (int)json_array_size(mult) != n->n_levels)
        golden_fail(g, "%d levels, expected %zu", n->n_levels, json_array_size(mult));
    json_array_foreach(mult, i, item)
    {
        if (n->channel_mult[i] != json_number_value(item))
            golden_fail(g, "level %zu has %g times the channels, expected %g", i,
                        n->channel_mult[i], json_number_value(item));
    }
    if (ds && rates(ds) != n->attention_ds)
        golden_fail(g, "attention at %u, expected %u", n->attention_ds, rates(ds));
    check_int(g, resolved, "in_channels",
              n->kind == GD_NET_SUPERRES ? 2 * n->in_channels : n->in_channels);
    check_int(g, resolved, "out_channels", n->out_channels);
    check_int(g, resolved, "num_classes", n->num_classes);
    check_int(g, resolved, "num_head_channels", n->num_head_channels);
    check_int(g, resolved, "num_heads_upsample",
              n->num_heads_upsample < 0 ? n->num_heads : n->num_heads_upsample);
    check_int(g, resolved, "feature_size", feature_size(n));
}

bool golden_net_config(golden *g, json_t *c, json_t *resolved, gd_net_kind kind, gd_net_config *out)
{
    static const char *const constructors[] = { "UNetModel",        "SuperResModel",
                                                "EncoderUNetModel", "create_model",
                                                "sr_create_model",  "create_classifier" };
    static const gd_net_kind kinds[] = { GD_NET_UNET, GD_NET_SUPERRES, GD_NET_CLASSIFIER };
    const int named = golden_word(g, c, "constructor", constructors, COUNT(constructors), 0);
    gd_model_config flags;

    if (json_object_get(c, "constructor") && kinds[named % COUNT(kinds)] != kind)
        golden_fail(g, "%s makes another kind of network", constructors[named]);
    if (json_object_get(c, "model_channels")) {
        by_constructor(g, c, kind, out);
    } else {
        if (!golden_flags_config(g, c, kind, &flags))
            return false;
        *out = flags.net;
    }
    check_resolved(g, resolved, out);
    return !g->failed;
}

/* ---- the process ---- */

bool golden_diffusion(golden *g, json_t *d, const char *steps, gd_diffusion_config *out)
{
    *out = (gd_diffusion_config){ .steps = golden_get_int(g, d, steps, 1000),
                                  .learn_sigma = golden_get_bool(g, d, "learn_sigma", false),
                                  .sigma_small = golden_get_bool(g, d, "sigma_small", false),
                                  .predict_xstart = golden_get_bool(g, d, "predict_xstart", false),
                                  .rescale_timesteps =
                                      golden_get_bool(g, d, "rescale_timesteps", false),
                                  .rescale_learned_sigmas =
                                      golden_get_bool(g, d, "rescale_learned_sigmas", false),
                                  .use_kl = golden_get_bool(g, d, "use_kl", false) };
    snprintf(out->noise_schedule, sizeof out->noise_schedule, "%s",
             golden_text(g, d, "noise_schedule", "linear"));
    return !g->failed;
}

gd_status golden_process(golden *g, gd_process *p, gd_schedule **schedule)
{
    json_t *d = golden_at(g, g->config, "diffusion");
    gd_diffusion_config c;

    *p = (gd_process){ .schedule = NULL };
    if (!golden_diffusion(g, d, "steps", &c))
        return gd_fail(GD_EUSAGE, "%s", g->failure);
    *p = (gd_process){ .mean_type = gd_config_mean_type(&c),
                       .var_type = gd_config_var_type(&c),
                       .clip_denoised = golden_get_bool(g, g->config, "clip_denoised", true) };
    GD_TRY(gd_schedule_make(schedule, c.noise_schedule, c.steps,
                            golden_text(g, d, "timestep_respacing", ""), c.rescale_timesteps));
    p->schedule = *schedule;
    return GD_OK;
}

const char *const golden_mean_names[] = { "EPSILON", "START_X", "PREVIOUS_X" };
const char *const golden_var_names[] = { "LEARNED_RANGE", "LEARNED", "FIXED_LARGE", "FIXED_SMALL" };
const char *const golden_loss_names[] = { "MSE", "RESCALED_MSE", "KL", "RESCALED_KL" };

gd_schedule *golden_schedule_of(golden *g)
{
    const bool spaced = golden_get_bool(g, g->config, "spaced", true);
    const char *respacing = golden_text(g, g->config, "timestep_respacing", "");
    gd_diffusion_config c;
    gd_schedule *s = NULL;

    if (golden_diffusion(g, g->config, "diffusion_steps", &c) &&
        gd_schedule_make(&s, c.noise_schedule, c.steps, spaced ? respacing : "",
                         c.rescale_timesteps) != GD_OK)
        golden_fail(g, "%s", gd_error());
    return s;
}

/* ---- running ---- */

bool golden_plan(golden *g, golden_graph *u, const gd_val *outputs, int n, const gd_weights *w)
{
    gd_graph_optimise(u->graph, outputs, n, false);
    if (gd_graph_check(u->graph) == GD_OK &&
        gd_plan_make(&u->plan, u->graph, outputs, n, gd_threads()) == GD_OK &&
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
