/* SPDX-License-Identifier: MIT */
/* family_edm.c - NVlabs/edm and what has its networks: SiD's pickles, DMD2's state dicts
 * (docs/reference/networks.md#other-families).  A pickle has the constructor's arguments; for a
 * state dict they follow from the shapes. */
#define _GNU_SOURCE /* strcasestr */
#include "nn/edm.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool claims(const nn_evidence *e)
{
    return nn_key_find(e->keys, "map_layer0.weight") != NULL;
}

/* ---- constructor arguments, as EDM's classes name them ---- */

static const struct precond_class {
    const char *name;
    gd_precond precond;
    bool song; /* model_type where it is not given */
} classes[] = {
    { "EDMPrecond", GD_PRECOND_EDM, false },
    { "VPPrecond", GD_PRECOND_VP, true },
    { "VEPrecond", GD_PRECOND_VE, true },
    { "iDDPMPrecond", GD_PRECOND_IDDPM, false },
};

/* What has no argument is as the constructors have it. */
static void set_defaults(gd_model_config *out, gd_precond precond, bool song)
{
    static const double song_mult[] = { 1, 2, 2, 2 }, dhariwal_mult[] = { 1, 2, 3, 4 };
    gd_net_config *net = &out->net;

    gd_config_defaults(out, GD_NET_UNET);
    nn_sigma_defaults(out, precond);
    out->diffusion.sigma_min = 0; /* any level */
    out->diffusion.sigma_max = 0;
    net->family = GD_FAMILY_EDM;
    net->song = song;
    net->model_channels = song ? 128 : 192;
    net->num_res_blocks = song ? 4 : 3;
    net->n_levels = 4;
    memcpy(net->channel_mult, song ? song_mult : dhariwal_mult, sizeof song_mult);
    net->embedding_mult = 4;
    net->noise_mult = 1;
    net->dropout = 0.1;
    net->num_heads = 1;
    net->num_head_channels = song ? -1 : 64;
    net->use_scale_shift_norm = !song;
    net->resblock_updown = true;
}

typedef enum type {
    INT,
    REAL,
    MULT,
    ATTENTION,  /* pixels */
    EMBEDDING,  /* embedding_type */
    ENCODER,    /* encoder_type */
    DECODER,    /* decoder_type */
    FILTER,     /* resample_filter */
    MODEL_TYPE, /* read before the others */
    FIXED,      /* must be `fixed` */
    UNUSED
} type;

#define NET(field) offsetof(gd_model_config, net.field)
#define ANY 0
static const struct argument {
    const char *name;
    type type;
    size_t offset;
    double fixed;
    gd_precond only; /* ANY, or the class that has it */
} arguments[] = {
    { "img_resolution", INT, NET(image_size) },
    { "img_channels", INT, NET(in_channels) },
    { "label_dim", INT, NET(num_classes) },
    { "augment_dim", INT, NET(augment_dim) },
    { "model_channels", INT, NET(model_channels) },
    { "channel_mult_emb", INT, NET(embedding_mult) },
    { "channel_mult_noise", INT, NET(noise_mult) },
    { "num_blocks", INT, NET(num_res_blocks) },
    { "channel_mult", MULT },
    { "attn_resolutions", ATTENTION },
    { "dropout", REAL, NET(dropout) },
    { "sigma_data", REAL, offsetof(gd_model_config, diffusion.sigma_data), 0, GD_PRECOND_EDM },
    { "sigma_min", REAL, offsetof(gd_model_config, diffusion.sigma_min), 0, GD_PRECOND_EDM },
    { "sigma_max", REAL, offsetof(gd_model_config, diffusion.sigma_max), 0, GD_PRECOND_EDM },
    { "embedding_type", EMBEDDING },
    { "encoder_type", ENCODER },
    { "decoder_type", DECODER },
    { "resample_filter", FILTER },
    { "model_type", MODEL_TYPE },
    { "beta_d", FIXED, 0, 19.9, GD_PRECOND_VP },
    { "beta_min", FIXED, 0, 0.1, GD_PRECOND_VP },
    { "epsilon_t", FIXED, 0, 1e-5, GD_PRECOND_VP },
    { "M", FIXED, 0, 1000 },
    { "sigma_min", FIXED, 0, 0.02, GD_PRECOND_VE },
    { "sigma_max", FIXED, 0, 100, GD_PRECOND_VE },
    { "C_1", FIXED, 0, 0.001, GD_PRECOND_IDDPM },
    { "C_2", FIXED, 0, 0.008, GD_PRECOND_IDDPM },
    { "label_dropout", UNUSED },
    { "use_fp16", UNUSED },
};

static gd_status bad(const char *name, const char *expected)
{
    return gd_fail(GD_EFORMAT, "constructor argument %s is not %s", name, expected);
}

static gd_status read_word(bool *out, const json_t *value, const char *name, const char *no,
                           const char *yes)
{
    const char *text = json_string_value(value);
    char expected[64];

    snprintf(expected, sizeof expected, "\"%s\"%s%s%s", no, yes ? " or \"" : "", yes ? yes : "",
             yes ? "\"" : "");
    if (!text || (strcmp(text, no) != 0 && (!yes || strcmp(text, yes) != 0)))
        return bad(name, expected);
    *out = strcmp(text, no) != 0;
    return GD_OK;
}

static gd_status read_mult(gd_net_config *net, const json_t *list, const char *name)
{
    const size_t n = json_array_size(list);

    if (n < 1 || n > GD_MAX_LEVELS)
        return bad(name, "a list of 1 to 12 factors");
    net->n_levels = (int)n;
    memset(net->channel_mult, 0, sizeof net->channel_mult);
    for (size_t i = 0; i < n; i++) {
        if (!json_is_integer(json_array_get(list, i)))
            return bad(name, "a list of whole factors");
        net->channel_mult[i] = (double)json_integer_value(json_array_get(list, i));
    }
    return GD_OK;
}

/* Where the constructors attend by default: 16, or 32, 16 and 8 */
static void attend_by_default(gd_net_config *net, int size)
{
    net->attention_ds = 0;
    for (int l = 0; l < GD_MAX_LEVELS; l++)
        if (size >> l == 16 || (!net->song && (size >> l == 32 || size >> l == 8)))
            net->attention_ds |= 1u << l;
}

/* Level l has image_size >> l pixels; img_resolution may follow in the text. */
static gd_status read_attention(gd_net_config *net, const json_t *list, int size, const char *name)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(list))
        return bad(name, "a list of sizes");
    net->attention_ds = 0;
    json_array_foreach(list, i, item)
    {
        for (int l = 0; l < GD_MAX_LEVELS; l++)
            if (json_is_integer(item) && size >> l > 0 && json_integer_value(item) == size >> l)
                net->attention_ds |= 1u << l;
    }
    return GD_OK;
}

static gd_status read_filter(gd_net_config *net, const json_t *list, const char *name)
{
    static const int smooth[] = { 1, 3, 3, 1 };
    const size_t n = json_array_size(list);

    for (size_t i = 0; i < n; i++)
        if (json_number_value(json_array_get(list, i)) != (n == 4 ? smooth[i % 4] : 1))
            return bad(name, "[1,1] or [1,3,3,1]");
    if (n != 2 && n != 4)
        return bad(name, "[1,1] or [1,3,3,1]");
    net->smooth_resampling = n == 4;
    return GD_OK;
}

static gd_status read_argument(gd_model_config *out, const struct argument *a, const json_t *value,
                               int size)
{
    void *at = (char *)out + a->offset;
    const json_int_t integer = json_integer_value(value);
    bool refused;

    switch (a->type) {
    case INT:
        if (!json_is_integer(value) || integer < 0 || integer > NN_MAX_CLASSES)
            return bad(a->name, "a whole number in a sensible range");
        *(int *)at = (int)integer;
        return GD_OK;
    case REAL: /* null: infinite */
        if (!json_is_number(value) && !json_is_null(value))
            return bad(a->name, "a number");
        *(double *)at = json_number_value(value);
        return GD_OK;
    case MULT:
        return read_mult(&out->net, value, a->name);
    case ATTENTION:
        return read_attention(&out->net, value, size, a->name);
    case EMBEDDING:
        return read_word(&out->net.fourier, value, a->name, "positional", "fourier");
    case ENCODER:
        return read_word(&out->net.residual_encoder, value, a->name, "standard", "residual");
    case DECODER:
        return read_word(&refused, value, a->name, "standard", NULL);
    case FILTER:
        return read_filter(&out->net, value, a->name);
    case FIXED:
        if (fabs(json_number_value(value) - a->fixed) > 1e-9 * a->fixed)
            return gd_fail(GD_EFORMAT, "constructor argument %s is not %g, the only value known",
                           a->name, a->fixed);
        return GD_OK;
    default:
        return GD_OK;
    }
}

static gd_status read_arguments(gd_model_config *out, json_t *kwargs)
{
    const gd_precond precond = out->diffusion.precond;
    const json_t *resolution = json_object_get(kwargs, "img_resolution"), *value;
    const int size = (int)GD_MIN(json_integer_value(resolution), GD_MAX_IMAGE_SIDE);
    const char *key;

    if (!json_is_integer(resolution) || !json_object_get(kwargs, "img_channels"))
        return gd_fail(GD_EFORMAT, "constructor arguments img_resolution and img_channels are not "
                                   "both given");
    attend_by_default(&out->net, size);
    json_object_foreach(kwargs, key, value)
    {
        int i = 0;
        while (i < COUNT(arguments) && (strcmp(arguments[i].name, key) != 0 ||
                                        (arguments[i].only && arguments[i].only != precond)))
            i++;
        if (i == COUNT(arguments))
            return gd_fail(GD_EFORMAT, "constructor argument %.64s is not known", key);
        GD_TRY(read_argument(out, &arguments[i], value, size));
    }
    return GD_OK;
}

/* {"class_name": ..., "init_kwargs": {...}, "attributes": {...}, "skip_scale": ...} */
static gd_status read_network(gd_model_config *out, json_t *root)
{
    const char *name = json_string_value(json_object_get(root, "class_name"));
    json_t *kwargs = json_object_get(root, "init_kwargs"),
           *model_type = json_object_get(kwargs, "model_type"),
           *data = json_object_get(json_object_get(root, "attributes"), "sigma_data"),
           *scale = json_object_get(root, "skip_scale");
    bool song;
    int k = 0;

    while (name && k < COUNT(classes) && strcmp(name, classes[k].name) != 0)
        k++;
    if (!name || k == COUNT(classes))
        return gd_fail(GD_EFORMAT, "a network of class %.64s, which this program does not run",
                       name ? name : "(none)");
    song = classes[k].song;
    if (model_type)
        GD_TRY(read_word(&song, model_type, "model_type", "DhariwalUNet", "SongUNet"));
    set_defaults(out, classes[k].precond, song);
    GD_TRY(read_arguments(out, kwargs));
    out->net.out_channels = out->net.in_channels * (classes[k].precond == GD_PRECOND_IDDPM ? 2 : 1);
    out->diffusion.learn_sigma = classes[k].precond == GD_PRECOND_IDDPM;
    if (json_is_number(data) && json_number_value(data) != out->diffusion.sigma_data)
        return gd_fail(GD_EFORMAT, "the network's sigma_data %g is not the constructor's",
                       json_number_value(data));
    if (json_is_number(scale) && fabs(json_number_value(scale) - (song ? M_SQRT1_2 : 1.0)) > 1e-6)
        return gd_fail(GD_EFORMAT, "blocks have skip_scale %g, which is not %s's",
                       json_number_value(scale), song ? "SongUNet" : "DhariwalUNet");
    return GD_OK;
}

static gd_status read_text(gd_model_config *out, const char *text)
{
    enum { MAX_DEPTH = 4 };
    json_t *root;
    gd_status s;

    GD_TRY(gd_json_parse(&root, text, strlen(text), MAX_DEPTH, "network"));
    s = read_network(out, root);
    json_decref(root);
    return s;
}

/* ---- shapes ---- */

/* Dimension d of "HALF.SIZExSIZE_NAME"; 0 where there is none */
static int64_t dim_at(const nn_keys *keys, int d, const char *half, int size, const char *name)
{
    char key[128];
    const gd_array *a;

    snprintf(key, sizeof key, "%s.%dx%d_%s", half, size, size, name);
    a = nn_key_find(keys, key);
    return a && d < a->rank && a->dim[d] <= NN_MAX_CLASSES ? a->dim[d] : 0;
}

static int dim_of(const nn_keys *keys, int d, const char *key)
{
    const gd_array *a = nn_key_find(keys, key);

    return a && d < a->rank && a->dim[d] <= NN_MAX_CLASSES ? (int)a->dim[d] : 0;
}

/* The first convolution is named after the image's size. */
static int image_size(const nn_keys *keys)
{
    for (int i = 0; i < keys->n; i++) {
        const char *name = nn_key_name(keys, i);
        char *end;
        if (strncmp(name, "enc.", 4) != 0)
            continue;
        const long size = strtol(name + 4, &end, 10);
        if (size > 0 && size <= GD_MAX_IMAGE_SIDE && *end == 'x' &&
            dim_at(keys, 0, "enc", (int)size, "conv.weight"))
            return (int)size;
    }
    return 0;
}

static void infer_levels(gd_net_config *net, const nn_keys *keys)
{
    char block[48];

    net->n_levels = 0;
    net->attention_ds = 0;
    memset(net->channel_mult, 0, sizeof net->channel_mult);
    for (int l = 0; l < GD_MAX_LEVELS && net->image_size >> l > 0; l++) {
        const int64_t width = dim_at(keys, 0, "enc", net->image_size >> l, "block0.conv0.weight");
        if (width == 0)
            break;
        net->channel_mult[net->n_levels++] = (double)width / net->model_channels;
        if (dim_at(keys, 0, "enc", net->image_size >> l, "block0.qkv.weight"))
            net->attention_ds |= 1u << l;
    }
    for (net->num_res_blocks = 0; net->num_res_blocks <= NN_MAX_RES_BLOCKS; net->num_res_blocks++) {
        snprintf(block, sizeof block, "block%d.conv0.weight", net->num_res_blocks);
        if (!dim_at(keys, 0, "enc", net->image_size, block))
            break;
    }
}

static bool has_smooth_filter(const nn_keys *keys)
{
    static const char end[] = ".resample_filter";

    for (int i = 0; i < keys->n; i++)
        if (gd_ends_with(nn_key_name(keys, i), end))
            return keys->sorted[i]->rank == 4 && keys->sorted[i]->dim[3] == 4;
    return false;
}

static gd_status infer_shapes(gd_model_config *out, const nn_keys *keys)
{
    const int size = image_size(keys), noise = dim_of(keys, 1, "map_layer0.weight");
    const bool song =
        !nn_key_find(keys, "out_conv.weight") && !nn_key_find(keys, "out_norm.weight");
    gd_net_config *net = &out->net;

    if (size == 0 || noise == 0)
        return gd_fail(GD_EFORMAT, "%s: no network of EDM: %s is missing or misshapen", keys->path,
                       noise ? "enc.NxN_conv.weight" : "map_layer0.weight");
    set_defaults(out, GD_PRECOND_EDM, song);
    net->image_size = size;
    net->in_channels = (int)dim_at(keys, 1, "enc", size, "conv.weight");
    net->model_channels = song ? (int)dim_at(keys, 0, "enc", size, "conv.weight") : noise;
    net->noise_mult = noise / net->model_channels;
    net->embedding_mult = dim_of(keys, 0, "map_layer0.weight") / net->model_channels;
    net->num_classes = dim_of(keys, 1, "map_label.weight");
    net->augment_dim = dim_of(keys, 1, "map_augment.weight");
    net->fourier = nn_key_find(keys, "map_noise.freqs") != NULL;
    net->residual_encoder = dim_at(keys, 0, "enc", size / 2, "aux_residual.weight") > 0;
    net->smooth_resampling = has_smooth_filter(keys) || net->residual_encoder;
    net->out_channels = song ? (int)dim_at(keys, 0, "dec", size, "aux_conv.weight")
                             : dim_of(keys, 0, "out_conv.weight");
    infer_levels(net, keys);
    return GD_OK;
}

/* Does a folder or the file of the path begin with `word`, not followed by a letter? */
static bool names(const char *path, const char *word)
{
    const size_t n = strlen(word);

    for (const char *part = path; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (strncasecmp(part, word, n) == 0 && !((part[n] | 32) >= 'a' && (part[n] | 32) <= 'z'))
            return true;
    }
    return false;
}

/* Generators are the same files as the networks that they were distilled from. */
static void infer_generator(gd_model_config *out, nn_evidence *e)
{
    const char *path = e->keys->path;
    const bool sid = names(path, "sid") || names(path, "sida"),
               dmd = strcasestr(path, "dmd") || gd_ends_with(path, "pytorch_model.bin");

    if (!sid && !dmd)
        return;
    out->diffusion.one_call_sigma = sid ? 2.5 : 80;
    nn_assume(e, "one_call_sigma", sid ? "2.5" : "80", "0");
}

static gd_status infer(gd_model_config *out, nn_evidence *e)
{
    const char *network = gd_bundle_meta(e->bundle, "edm.network");

    if (network) {
        if (read_text(out, network) != GD_OK) {
            gd_context("%s", e->keys->path);
            return GD_EFORMAT;
        }
    } else {
        GD_TRY(infer_shapes(out, e->keys));
        if (out->net.out_channels == 2 * out->net.in_channels) {
            out->diffusion.precond = GD_PRECOND_IDDPM;
            out->diffusion.learn_sigma = true;
        } else {
            nn_assume(e, "precond", "edm", "vp");
        }
    }
    infer_generator(out, e);
    return GD_OK;
}

/* ---- what can exist ---- */

static gd_status check_levels(const gd_net_config *net)
{
    const int rate = 1 << (net->n_levels - 1);

    for (int l = 0; l < net->n_levels; l++) {
        const double width = net->channel_mult[l] * net->model_channels;
        if (!(width >= 4 && width <= NN_MAX_CHANNELS) || width != nn_level_channels(net, l) ||
            nn_level_channels(net, l) % 4 != 0)
            return gd_fail(GD_EUSAGE, "level %d has %g times %d channels: not a multiple of 4", l,
                           net->channel_mult[l], net->model_channels);
    }
    if (net->image_size % rate != 0)
        return gd_fail(GD_EUSAGE,
                       "img_resolution %d cannot be halved %d times, which %d levels "
                       "need",
                       net->image_size, net->n_levels - 1, net->n_levels);
    return GD_OK;
}

static gd_status check(const gd_model_config *config)
{
    const gd_net_config *net = &config->net;
    const gd_diffusion_config *d = &config->diffusion;
    const int outputs = net->in_channels * (d->precond == GD_PRECOND_IDDPM ? 2 : 1);

    if (net->kind != GD_NET_UNET)
        return gd_fail(GD_EUSAGE, "EDM has diffusion networks only");
    GD_TRY(nn_check_range("img_resolution", net->image_size, 1, GD_MAX_IMAGE_SIDE));
    GD_TRY(nn_check_range("img_channels", net->in_channels, 1, NN_MAX_IMAGE_CHANNELS));
    GD_TRY(nn_check_range("model_channels", net->model_channels, 4, NN_MAX_CHANNELS));
    GD_TRY(nn_check_range("channel_mult_emb", net->embedding_mult, 1, 64));
    GD_TRY(nn_check_range("channel_mult_noise", net->noise_mult, 1, 64));
    GD_TRY(nn_check_range("augment_dim", net->augment_dim, 0, 1024));
    GD_TRY(nn_check_range("label_dim", net->num_classes, 0, NN_MAX_CLASSES));
    GD_TRY(nn_check_range("num_blocks", net->num_res_blocks, 1, NN_MAX_RES_BLOCKS));
    GD_TRY(nn_check_range("number of levels in channel_mult", net->n_levels, 1, GD_MAX_LEVELS));
    GD_TRY(check_levels(net));
    if (!net->song && (net->fourier || net->residual_encoder || net->smooth_resampling))
        return gd_fail(GD_EUSAGE, "DhariwalUNet has no Fourier features, residual encoder or "
                                  "smooth resampling");
    if (net->residual_encoder && !net->smooth_resampling)
        return gd_fail(GD_EUSAGE, "a residual encoder with resample_filter [1,1] is not supported");
    if (d->precond < GD_PRECOND_EDM || d->precond > GD_PRECOND_IDDPM)
        return gd_fail(GD_EUSAGE, "EDM has no preconditioner %s", gd_precond_names[d->precond]);
    if (net->out_channels != outputs)
        return gd_fail(GD_EUSAGE, "the network gives %d channels, its preconditioner needs %d",
                       net->out_channels, outputs);
    if (!(d->sigma_data > 0 && d->one_call_sigma >= 0 && isfinite(d->one_call_sigma)))
        return gd_fail(GD_EUSAGE, "sigma_data must be above 0, one_call_sigma 0 or above");
    if (!(net->dropout >= 0 && net->dropout < 1))
        return gd_fail(GD_EUSAGE, "dropout is %g, must be 0 to less than 1", net->dropout);
    return GD_OK;
}

/* ---- constants: resampling filters, iDDPM's levels ---- */

static double expected_constant(const gd_net_config *net, const float *u, int64_t i)
{
    static const double tap[] = { 0.125, 0.375, 0.375, 0.125 };

    if (u)
        return u[i];
    return net->smooth_resampling ? tap[i / 4] * tap[i % 4] : 0.25;
}

static gd_status check_constant(const gd_model_config *config, const gd_bundle *bundle,
                                const gd_array *a)
{
    float u[GD_EDM_LEVELS], found[GD_EDM_LEVELS];
    const bool levels = strcmp(a->name, "u") == 0;

    if (gd_array_count(a) > GD_EDM_LEVELS)
        return gd_fail(GD_EFORMAT, "%s: %s has too many elements", gd_bundle_path(bundle), a->name);
    GD_TRY(gd_bundle_read_f32(bundle, a, found));
    gd_edm_levels(u);
    for (int64_t i = 0; i < gd_array_count(a); i++) {
        const double expected = expected_constant(&config->net, levels ? u : NULL, i);
        if (!(fabs(found[i] - expected) <= 1e-4 * fabs(expected)))
            return gd_fail(GD_EFORMAT,
                           "%s: %s: element %lld is %g, must be %g: another network than "
                           "EDM's",
                           gd_bundle_path(bundle), a->name, (long long)i, found[i], expected);
    }
    return GD_OK;
}

const nn_family nn_family_edm = { claims, infer, read_text, check, nn_build_edm, check_constant };
