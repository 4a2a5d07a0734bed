/* recognise.c - what network a file holds: its own configuration, a published preset, or inference
 * from keys and shapes; then a strict check of every key.  Whatever shapes cannot tell is assumed,
 * and said. */
#define _GNU_SOURCE
#include "nn/config_private.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 20 };

typedef struct keys {
    const gd_bundle *b;
    const gd_array **sorted; /* by name without "module." */
    int n;
} keys;

typedef struct inference {
    const keys *k;
    gd_net_config *net;
    gd_arena *arena;
    const gd_flag *flags;
    int n_flags;
    char *assumed;
} inference;

/* ---- looking up ---- */

static const char *plain_name(const gd_array *a)
{
    return strncmp(a->name, "module.", 7) == 0 ? a->name + 7 : a->name;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(plain_name(*(const gd_array *const *)a), plain_name(*(const gd_array *const *)b));
}

static gd_status sort_keys(keys *k, const gd_bundle *b, gd_arena *arena)
{
    k->b = b;
    k->n = gd_bundle_count(b);
    k->sorted = gd_alloc(arena, (size_t)GD_MAX(k->n, 1) * sizeof *k->sorted);
    if (!k->sorted)
        return gd_fail(GD_ENOMEM, "%s: out of memory", gd_bundle_path(b));
    for (int i = 0; i < k->n; i++)
        k->sorted[i] = gd_bundle_array(b, i);
    qsort(k->sorted, (size_t)k->n, sizeof *k->sorted, by_name);
    return GD_OK;
}

static const gd_array *find(const keys *k, const char *name)
{
    int low = 0, high = k->n - 1;

    while (low <= high) {
        const int middle = (low + high) / 2, order = strcmp(plain_name(k->sorted[middle]), name);
        if (order == 0)
            return k->sorted[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle - 1;
    }
    return NULL;
}

/* Dimension d of a key, 0 where there is none (or an impossible one) */
static int dim(const keys *k, int d, const char *format, ...) GD_PRINTF(3, 4);
static int dim(const keys *k, int d, const char *format, ...)
{
    char name[GD_MAX_NAME];
    const gd_array *a;
    va_list ap;

    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    a = find(k, name);
    return a && d < a->rank && a->dim[d] <= NN_MAX_CLASSES ? (int)a->dim[d] : 0;
}

/* ---- the strict check ---- */

static bool fits(const gd_array *a, const gd_param_spec *s)
{
    return a && a->rank == s->rank && memcmp(a->dim, s->dim, (size_t)s->rank * sizeof *s->dim) == 0;
}

static const char *shape_text(char out[96], const int64_t *d, int rank)
{
    int used = snprintf(out, 96, "[");

    for (int i = 0; i < rank && used < 80; i++)
        used += snprintf(out + used, 96 - (size_t)used, "%s%lld", i ? ", " : "", (long long)d[i]);
    snprintf(out + used, 96 - (size_t)used, "]");
    return out;
}

static int param_by_name(const void *a, const void *b)
{
    return strcmp(((const gd_param_spec *)a)->name, ((const gd_param_spec *)b)->name);
}

static void report_row(int row, const char *key, const char *expected, const char *found)
{
    if (row < MAX_ROWS)
        gd_detail("  %-44s expected %-22s found %s", key, expected, found);
}

/* Number of keys that differ; with `report`, a row for each */
static int differences(const keys *k, const gd_param_spec *spec, const gd_param_spec *by_name_spec,
                       int n, bool report)
{
    char expected[96], found[96];
    int rows = 0;

    for (int i = 0; i < n; i++) {
        const gd_array *a = find(k, spec[i].name);
        if (fits(a, &spec[i]))
            continue;
        if (report)
            report_row(rows, spec[i].name, shape_text(expected, spec[i].dim, spec[i].rank),
                       a ? shape_text(found, a->dim, a->rank) : "missing");
        rows++;
    }
    for (int i = 0; i < k->n; i++) {
        gd_param_spec key;
        snprintf(key.name, sizeof key.name, "%s", plain_name(k->sorted[i]));
        if (bsearch(&key, by_name_spec, (size_t)n, sizeof key, param_by_name))
            continue;
        if (report)
            report_row(rows, plain_name(k->sorted[i]), "no such key",
                       shape_text(found, k->sorted[i]->dim, k->sorted[i]->rank));
        rows++;
    }
    return rows;
}

static gd_status check_keys(const keys *k, const gd_model_config *config, gd_arena *arena,
                            bool report, int *rows)
{
    gd_param_spec *spec, *sorted;
    int n;

    GD_TRY(gd_config_params(config, arena, &spec, &n));
    sorted = gd_alloc(arena, (size_t)n * sizeof *sorted);
    if (!sorted)
        return gd_fail(GD_ENOMEM, "out of memory");
    memcpy(sorted, spec, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, param_by_name);
    *rows = differences(k, spec, sorted, n, false);
    if (*rows == 0 || !report)
        return GD_OK;
    gd_status s = gd_fail(GD_EFORMAT, "%s: %d keys expected, %d in the file, %d differ",
                          gd_bundle_path(k->b), n, k->n, *rows);
    differences(k, spec, sorted, n, true);
    if (*rows > MAX_ROWS)
        gd_detail("  ... and %d more", *rows - MAX_ROWS);
    gd_detail("hint: the file was read as %s; flags by the authors' names (--num_res_blocks N ...) "
              "override what was read",
              config->preset[0] ? config->preset : nn_kind_names[config->net.kind]);
    return s;
}

/* ---- presets ---- */

static void base_name(char out[32], const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path,
               *dot = strrchr(name, '.');

    snprintf(out, 32, "%.*s", dot ? (int)GD_MIN(dot - name, 31) : 31, name);
}

static void assume(inference *in, const char *flag, const char *format, ...) GD_PRINTF(3, 4);

/* The preset with exactly these keys; the file's own name picks among files of equal shapes. */
static gd_status find_preset(inference *in, gd_model_config *out, bool *found)
{
    char name[32];
    gd_arena *scratch;

    base_name(name, gd_bundle_path(in->k->b));
    *found = false;
    for (int i = 0; i < gd_preset_count(); i++) {
        gd_model_config c;
        int rows = 0;
        GD_TRY(gd_preset_config(&c, gd_preset_name(i)));
        if (*found && strcmp(name, c.preset) != 0)
            continue;
        GD_TRY(gd_arena_make(&scratch));
        gd_status s = check_keys(in->k, &c, scratch, false, &rows);
        gd_arena_free(scratch);
        GD_TRY(s);
        if (rows == 0) {
            *out = c;
            *found = true;
        }
    }
    return GD_OK;
}

/* ---- inference ---- */

/* One line, unless a flag told */
static void assume(inference *in, const char *flag, const char *format, ...)
{
    char text[128];
    va_list ap;

    if (nn_flag_given(in->flags, in->n_flags, flag))
        return;
    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    in->assumed =
        gd_sprintf(in->arena, "%s%s%s %s (assumed; --%s if not)", in->assumed ? in->assumed : "",
                   in->assumed ? "\n" : "", flag, text, flag);
}

static bool block_attends(const keys *k, int block)
{
    return dim(k, 0, "input_blocks.%d.1.qkv.weight", block) > 0;
}

/* Output channels of an input block: a ResBlock, a convolution that halves, or nothing at all */
static int block_channels(const keys *k, int block, int before)
{
    int c = dim(k, 0, "input_blocks.%d.0.in_layers.2.weight", block);

    if (!c)
        c = dim(k, 0, "input_blocks.%d.0.op.weight", block);
    return c ? c : before;
}

static bool is_resblock(const keys *k, int block)
{
    return dim(k, 0, "input_blocks.%d.0.in_layers.0.weight", block) > 0;
}

/* Number of the last input block + 1: blocks without parameters (average pools) leave gaps but are
 * never last. */
static int count_blocks(const keys *k)
{
    int last = 0;

    for (int i = 1; i <= last + 2 && i < NN_MAX_RES_BLOCKS * GD_MAX_LEVELS; i++)
        if (is_resblock(k, i) || dim(k, 0, "input_blocks.%d.0.op.weight", i))
            last = i;
    return last + 1;
}

/* Could level l begin every `step` blocks?  Widths and attention change there only, and halving
 * blocks keep the width. */
static bool levels_fit(const keys *k, int blocks, int step, int stem)
{
    int before = stem;

    for (int i = 1; i < blocks; i++) {
        const bool down = i % step == 0, first = i % step == 1;
        const int channels = block_channels(k, i, before);
        if (down && (channels != before || block_attends(k, i)))
            return false;
        if (!down && !is_resblock(k, i))
            return false;
        if (!down && !first && step > 1 &&
            (channels != before || block_attends(k, i) != block_attends(k, i - 1)))
            return false;
        before = channels;
    }
    return true;
}

/* A decoder shows where levels end: the block with the upsampler */
static int step_of_decoder(const keys *k, int blocks)
{
    for (int i = 0; i < blocks; i++)
        for (int layer = 1; layer <= 2; layer++)
            if (dim(k, 0, "output_blocks.%d.%d.in_layers.0.weight", i, layer) ||
                dim(k, 0, "output_blocks.%d.%d.conv.weight", i, layer))
                return i + 1;
    return 0;
}

static int step_of_encoder(const keys *k, int blocks, int stem)
{
    static const int likely[] = { 3, 2, 4, 5 }; /* num_res_blocks 2, 1, 3, 4, then any */

    for (int i = 0; i < COUNT(likely); i++)
        if (blocks % likely[i] == 0 && levels_fit(k, blocks, likely[i], stem))
            return likely[i];
    for (int step = blocks; step >= 2; step--)
        if (blocks % step == 0 && levels_fit(k, blocks, step, stem))
            return step;
    return 0;
}

static gd_status infer_levels(inference *in)
{
    const keys *k = in->k;
    gd_net_config *net = in->net;
    const int blocks = count_blocks(k), stem = dim(k, 0, "input_blocks.0.0.weight");
    int step = step_of_decoder(k, blocks);

    if (step == 0)
        step = step_of_encoder(k, blocks, stem);
    if (step < 2 || blocks % step != 0 || blocks / step > GD_MAX_LEVELS)
        return gd_fail(GD_EFORMAT, "%s: the input blocks form no levels of an ADM network",
                       gd_bundle_path(k->b));
    net->num_res_blocks = step - 1;
    net->n_levels = blocks / step;
    net->attention_ds = 0;
    for (int l = 0; l < net->n_levels; l++) {
        net->channel_mult[l] = (double)block_channels(k, l * step + 1, stem) / net->model_channels;
        if (block_attends(k, l * step + 1))
            net->attention_ds |= 1u << l;
    }
    return GD_OK;
}

static void infer_classifier(inference *in)
{
    const keys *k = in->k;
    gd_net_config *net = in->net;
    const int tokens = dim(k, 1, "out.2.positional_embedding");

    net->out_channels = dim(k, 0, "out.2.c_proj.weight");
    net->pool = GD_POOL_ATTENTION;
    if (tokens > 1) {
        int side = 1;
        while (side * side < tokens - 1)
            side++;
        net->image_size = side << (net->n_levels - 1);
    } else if (dim(k, 1, "out.3.weight") == NN_POOL_FEATURES) {
        net->pool = GD_POOL_SPATIAL_V2;
        net->out_channels = dim(k, 0, "out.3.weight");
    } else if (dim(k, 0, "out.3.weight")) {
        net->pool = GD_POOL_ADAPTIVE;
        net->out_channels = dim(k, 0, "out.3.weight");
    } else {
        net->pool = GD_POOL_SPATIAL;
        net->out_channels = dim(k, 0, "out.2.weight");
    }
}

/* Shapes do not tell it: the published size with these widths, else the smallest usual size that
 * all levels can halve down to 8 */
static void infer_image_size(inference *in)
{
    gd_net_config *net = in->net;
    const char *flag = net->kind == GD_NET_SUPERRES ? "large_size" : "image_size";
    double mult[GD_MAX_LEVELS];

    if (net->kind == GD_NET_CLASSIFIER && net->pool == GD_POOL_ATTENTION)
        return;
    net->image_size = 8 << (net->n_levels - 1);
    for (int size = 64; size <= 512; size *= 2) {
        const int n = nn_default_channel_mult(mult, net->kind, size);
        if (n == net->n_levels && memcmp(mult, net->channel_mult, (size_t)n * sizeof *mult) == 0) {
            net->image_size = size;
            break;
        }
    }
    assume(in, flag, "%d", net->image_size);
    if (net->kind == GD_NET_SUPERRES) {
        net->small_size = net->image_size / 4;
        assume(in, "small_size", "%d", net->small_size);
    }
}

/* 64 channels a head where they divide, as in most published files; else 32; else 4 heads */
static void infer_heads(inference *in)
{
    gd_net_config *net = in->net;
    int width = 64;

    for (int l = 0; l < net->n_levels; l++)
        if ((net->attention_ds >> l & 1) || l == net->n_levels - 1)
            while (width > 16 && nn_level_channels(net, l) % width != 0)
                width /= 2;
    net->num_head_channels = width > 16 ? width : -1;
    if (net->num_head_channels > 0)
        assume(in,
               net->kind == GD_NET_CLASSIFIER ? "classifier_num_head_channels"
                                              : "num_head_channels",
               "%d", width);
    else
        assume(in, net->kind == GD_NET_CLASSIFIER ? "classifier_num_heads" : "num_heads", "%d",
               net->num_heads);
}

static void assume_the_rest(inference *in, const gd_model_config *c)
{
    assume(in, "diffusion_steps", "%d", c->diffusion.steps);
    assume(in, "noise_schedule", "%s", c->diffusion.noise_schedule);
    if (in->net->kind == GD_NET_CLASSIFIER)
        return;
    if (in->net->kind == GD_NET_UNET)
        assume(in, "use_new_attention_order", "False");
    assume(in, "predict_xstart", "False");
    assume(in, "rescale_timesteps", "False");
}

static gd_status infer(inference *in, gd_model_config *out)
{
    const keys *k = in->k;
    gd_net_config *net = in->net;
    const int stem_in = dim(k, 1, "input_blocks.0.0.weight"),
              out_channels = dim(k, 0, "out.2.bias");
    const bool decoder = dim(k, 0, "output_blocks.0.0.in_layers.0.weight") > 0;
    const gd_net_kind kind = !decoder       ? GD_NET_CLASSIFIER
                             : stem_in == 6 ? GD_NET_SUPERRES
                                            : GD_NET_UNET;

    gd_config_defaults(out, kind);
    net->model_channels = dim(k, 1, "time_embed.0.weight");
    if (net->model_channels == 0 || stem_in == 0)
        return gd_fail(
            GD_EFORMAT,
            "%s: no ADM network: time_embed.0.weight or input_blocks.0.0.weight is missing",
            gd_bundle_path(k->b));
    net->in_channels = kind == GD_NET_SUPERRES ? stem_in / 2 : stem_in;
    GD_TRY(infer_levels(in));
    net->num_classes = dim(k, 0, "label_emb.weight");
    net->use_scale_shift_norm = dim(k, 0, "input_blocks.1.0.emb_layers.1.weight") ==
                                2 * dim(k, 0, "input_blocks.1.0.out_layers.0.weight");
    net->resblock_updown = net->n_levels > 1 && is_resblock(k, net->num_res_blocks + 1);
    net->conv_resample = net->resblock_updown ||
                         dim(k, 0, "input_blocks.%d.0.op.weight", net->num_res_blocks + 1) > 0 ||
                         net->n_levels == 1;
    if (kind == GD_NET_CLASSIFIER) {
        infer_classifier(in);
    } else {
        net->out_channels = out_channels;
        out->diffusion.learn_sigma = out_channels == 2 * net->in_channels;
    }
    infer_image_size(in);
    infer_heads(in);
    assume_the_rest(in, out);
    return GD_OK;
}

/* ---- all together ---- */

static gd_status configure(inference *in, gd_model_config *out)
{
    const char *json = gd_bundle_meta(in->k->b, "guided.config"), *path = gd_bundle_path(in->k->b);
    char name[32];
    bool found = false;

    if (json)
        return gd_config_from_json(out, json, path);
    GD_TRY(find_preset(in, out, &found));
    if (!found)
        return infer(in, out);
    base_name(name, path);
    if (strcmp(name, out->preset) != 0)
        in->assumed =
            gd_sprintf(in->arena, "preset %s (by keys and shapes; the authors' flags override it)",
                       out->preset);
    return GD_OK;
}

gd_status gd_config_recognise(gd_model_config *out, gd_arena *arena, char **assumed,
                              const gd_bundle *bundle, const gd_flag *flags, int n_flags)
{
    inference in = { .net = &out->net, .arena = arena, .flags = flags, .n_flags = n_flags };
    keys k;
    int rows;

    *out = (gd_model_config){ 0 };
    GD_TRY(sort_keys(&k, bundle, arena));
    in.k = &k;
    GD_TRY(configure(&in, out));
    GD_TRY(nn_flags_set(out, flags, n_flags, true));
    *assumed = in.assumed;
    if (nn_config_check(out) != GD_OK) {
        gd_context("%s", gd_bundle_path(bundle));
        return GD_EFORMAT;
    }
    return check_keys(&k, out, arena, true, &rows);
}
