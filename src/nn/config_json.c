/* SPDX-License-Identifier: MIT */
/* config_json.c - guided.config: a configuration as JSON, by the authors' constructor names, and
 * back, strictly. */
#include "nn/config_private.h"

#include <jansson.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_VERSION = 1, MAX_DEPTH = 2 };

typedef enum type {
    INT,
    BOOL,
    REAL,
    TEXT,  /* letters, digits, "_"; fits `size` bytes */
    WORD,  /* one of `words`, an int in the configuration */
    MULT,  /* factors of the levels */
    RATES, /* downsampling rates, a bit each in the configuration */
} type;

/* Families, a bit each.  What only others than ADM have is absent from ADM's text. */
enum {
    CONSISTENCY = 1 << GD_FAMILY_CONSISTENCY,
    EDM = 1 << GD_FAMILY_EDM,
    DIFFUSERS = 1 << GD_FAMILY_DIFFUSERS,
    OTHERS = CONSISTENCY | EDM | DIFFUSERS
};

#define NET(field) offsetof(gd_model_config, net.field)
#define DIFFUSION(field) offsetof(gd_model_config, diffusion.field)

/* In the order of the text, after "version" */
static const struct field {
    const char *name;
    type type;
    size_t offset;
    size_t size;
    const char *const *words;
    unsigned families; /* 0: all */
    bool later;        /* a switch that is written only where it is on */
} fields[] = {
    { "family", WORD, NET(family), GD_N_FAMILIES, gd_family_names, OTHERS },
    { "kind", WORD, NET(kind), COUNT(nn_kind_names), nn_kind_names },
    { "preset", TEXT, offsetof(gd_model_config, preset), sizeof((gd_model_config *)0)->preset },
    { "guidance_scale", REAL, offsetof(gd_model_config, guidance_scale) },
    { "image_size", INT, NET(image_size) },
    { "small_size", INT, NET(small_size) },
    { "in_channels", INT, NET(in_channels) },
    { "model_channels", INT, NET(model_channels) },
    { "out_channels", INT, NET(out_channels) },
    { "num_res_blocks", INT, NET(num_res_blocks) },
    { "channel_mult", MULT },
    { "attention_ds", RATES },
    { "num_classes", INT, NET(num_classes) },
    { "num_heads", INT, NET(num_heads) },
    { "num_heads_upsample", INT, NET(num_heads_upsample) },
    { "num_head_channels", INT, NET(num_head_channels) },
    { "dropout", REAL, NET(dropout) },
    { "use_scale_shift_norm", BOOL, NET(use_scale_shift_norm) },
    { "resblock_updown", BOOL, NET(resblock_updown) },
    { "conv_resample", BOOL, NET(conv_resample) },
    { "use_new_attention_order", BOOL, NET(use_new_attention_order) },
    { "pool", WORD, NET(pool), COUNT(nn_pool_names), nn_pool_names },
    { "diffusion_steps", INT, DIFFUSION(steps) },
    { "noise_schedule", TEXT, DIFFUSION(noise_schedule),
      sizeof((gd_diffusion_config *)0)->noise_schedule },
    { "learn_sigma", BOOL, DIFFUSION(learn_sigma) },
    { "sigma_small", BOOL, DIFFUSION(sigma_small) },
    { "predict_xstart", BOOL, DIFFUSION(predict_xstart) },
    { "predict_v", BOOL, DIFFUSION(predict_v), .later = true },
    { "rescale_timesteps", BOOL, DIFFUSION(rescale_timesteps) },
    { "rescale_learned_sigmas", BOOL, DIFFUSION(rescale_learned_sigmas) },
    { "use_kl", BOOL, DIFFUSION(use_kl) },
    { "song", BOOL, NET(song), 0, NULL, EDM },
    { "embedding_mult", INT, NET(embedding_mult), 0, NULL, EDM },
    { "noise_mult", INT, NET(noise_mult), 0, NULL, EDM },
    { "augment_dim", INT, NET(augment_dim), 0, NULL, EDM },
    { "fourier", BOOL, NET(fourier), 0, NULL, EDM },
    { "residual_encoder", BOOL, NET(residual_encoder), 0, NULL, EDM },
    { "smooth_resampling", BOOL, NET(smooth_resampling), 0, NULL, EDM },
    { "norm_groups", INT, NET(norm_groups), 0, NULL, DIFFUSERS },
    { "norm_eps", REAL, NET(norm_eps), 0, NULL, DIFFUSERS },
    { "freq_shift", INT, NET(freq_shift), 0, NULL, DIFFUSERS },
    { "flip_sin_to_cos", BOOL, NET(flip_sin_to_cos), 0, NULL, DIFFUSERS },
    { "pad_right_bottom", BOOL, NET(pad_right_bottom), 0, NULL, DIFFUSERS },
    { "precond", WORD, DIFFUSION(precond), GD_N_PRECONDS, gd_precond_names, OTHERS },
    { "sigma_data", REAL, DIFFUSION(sigma_data), 0, NULL, OTHERS },
    { "sigma_min", REAL, DIFFUSION(sigma_min), 0, NULL, OTHERS },
    { "sigma_max", REAL, DIFFUSION(sigma_max), 0, NULL, OTHERS },
    { "one_call_sigma", REAL, DIFFUSION(one_call_sigma), 0, NULL, OTHERS },
};

static bool concerns(const struct field *f, gd_family family)
{
    return f->families == 0 || f->families >> family & 1;
}

/* ---- writing ---- */

/* Out of memory: no list rather than a shorter one */
static json_t *drop(json_t *list)
{
    json_decref(list);
    return NULL;
}

static json_t *mult_list(const gd_net_config *net)
{
    json_t *list = json_array();

    for (int l = 0; l < net->n_levels; l++)
        if (json_array_append_new(list, json_real(net->channel_mult[l])) != 0)
            return drop(list);
    return list;
}

static json_t *rate_list(const gd_net_config *net)
{
    json_t *list = json_array();

    for (int k = 0; k < GD_MAX_LEVELS; k++)
        if (net->attention_ds >> k & 1)
            if (json_array_append_new(list, json_integer(1 << k)) != 0)
                return drop(list);
    return list;
}

static json_t *value_of(const gd_model_config *config, const struct field *f)
{
    const void *at = (const char *)config + f->offset;

    switch (f->type) {
    case INT:
        return json_integer(*(const int *)at);
    case BOOL:
        return json_boolean(*(const bool *)at);
    case REAL:
        return json_real(*(const double *)at);
    case TEXT:
        return json_string(at);
    case WORD:
        return json_string(f->words[*(const int *)at]);
    case MULT:
        return mult_list(&config->net);
    case RATES:
        return rate_list(&config->net);
    }
    return NULL;
}

gd_status gd_config_to_json(const gd_model_config *config, gd_arena *arena, char **out)
{
    json_t *root = json_object();
    bool failed = json_object_set_new(root, "version", json_integer(CONFIG_VERSION)) != 0;

    for (int i = 0; i < COUNT(fields); i++)
        if (concerns(&fields[i], config->net.family) &&
            !(fields[i].later && !*(const bool *)((const char *)config + fields[i].offset)))
            failed |= json_object_set_new(root, fields[i].name, value_of(config, &fields[i])) != 0;
    char *text = failed ? NULL : json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(17));
    json_decref(root);
    if (!text)
        return gd_fail(GD_ENOMEM, "guided.config: out of memory");
    *out = gd_strdup(arena, text);
    free(text);
    return *out ? GD_OK : GD_ENOMEM;
}

/* ---- reading ---- */

static gd_status bad(const struct field *f, const char *expected)
{
    return gd_fail(GD_EFORMAT, "\"%s\" is not %s", f->name, expected);
}

static gd_status read_int(int *out, const json_t *value, const struct field *f)
{
    const json_int_t integer = json_integer_value(value);

    if (!json_is_integer(value) || integer < INT_MIN || integer > INT_MAX)
        return bad(f, "a whole number of 32 bits");
    *out = (int)integer;
    return GD_OK;
}

static gd_status read_text(char *out, const json_t *value, const struct field *f)
{
    const char *text = json_string_value(value);

    if (!text || strlen(text) >= f->size)
        return bad(f, "a short string");
    for (const char *c = text; *c; c++)
        if (!(*c >= 'a' && *c <= 'z') && !(*c >= 'A' && *c <= 'Z') && !(*c >= '0' && *c <= '9') &&
            *c != '_' && *c != '-')
            return bad(f, "a name of letters, digits, _ and -");
    snprintf(out, f->size, "%s", text);
    return GD_OK;
}

static gd_status read_word(int *out, const json_t *value, const struct field *f)
{
    const char *text = json_string_value(value);

    for (int i = 0; text && i < (int)f->size; i++) {
        if (strcmp(text, f->words[i]) == 0) {
            *out = i;
            return GD_OK;
        }
    }
    return bad(f, "a name this version knows");
}

static gd_status read_mult(gd_net_config *net, const json_t *list, const struct field *f)
{
    const size_t n = json_array_size(list);

    if (n < 1 || n > GD_MAX_LEVELS)
        return bad(f, "a list of 1 to 12 numbers");
    for (size_t l = 0; l < n; l++) {
        const json_t *item = json_array_get(list, l);
        if (!json_is_number(item))
            return bad(f, "a list of numbers");
        net->channel_mult[l] = json_number_value(item);
    }
    net->n_levels = (int)n;
    return GD_OK;
}

static gd_status read_rates(gd_net_config *net, const json_t *list, const struct field *f)
{
    if (!json_is_array(list))
        return bad(f, "a list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_int_t rate = json_integer_value(json_array_get(list, i));
        if (rate < 1 || rate >= 1 << GD_MAX_LEVELS || (rate & (rate - 1)) != 0)
            return bad(f, "a list of powers of 2");
        net->attention_ds |= (unsigned)rate; /* bit k is 2^k */
    }
    return GD_OK;
}

static gd_status read_field(gd_model_config *out, const json_t *value, const struct field *f)
{
    void *at = (char *)out + f->offset;

    switch (f->type) {
    case INT:
        return read_int(at, value, f);
    case BOOL:
        if (!json_is_boolean(value))
            return bad(f, "true or false");
        *(bool *)at = json_is_true(value);
        return GD_OK;
    case REAL:
        if (!json_is_number(value))
            return bad(f, "a number");
        *(double *)at = json_number_value(value);
        return GD_OK;
    case TEXT:
        return read_text(at, value, f);
    case WORD:
        return read_word(at, value, f);
    case MULT:
        return read_mult(&out->net, value, f);
    case RATES:
        return read_rates(&out->net, value, f);
    }
    return GD_OK;
}

static bool is_known(const char *key, gd_family family)
{
    for (int i = 0; i < COUNT(fields); i++)
        if (strcmp(fields[i].name, key) == 0)
            return concerns(&fields[i], family);
    return strcmp(key, "version") == 0;
}

/* The first field; without it the text is of ADM */
static gd_status read_family(gd_family *out, const json_t *root)
{
    const json_t *family = json_object_get(root, fields[0].name);
    int which = GD_FAMILY_ADM;

    if (family)
        GD_TRY(read_word(&which, family, &fields[0]));
    *out = (gd_family)which;
    return GD_OK;
}

static gd_status read_root(gd_model_config *out, json_t *root)
{
    const json_t *version = json_object_get(root, "version");
    const char *key;
    gd_family family;
    json_t *value;

    if (!json_is_integer(version) || json_integer_value(version) < 1)
        return gd_fail(GD_EFORMAT, "\"version\" is missing or no whole number");
    if (json_integer_value(version) > CONFIG_VERSION)
        return gd_fail(GD_EFORMAT, "version %lld, this program knows %d: a newer guided wrote it",
                       (long long)json_integer_value(version), CONFIG_VERSION);
    GD_TRY(read_family(&family, root));
    json_object_foreach(root, key, value) if (!is_known(key, family)) return gd_fail(
        GD_EFORMAT, "key \"%.40s\" is unknown: a newer guided wrote it", key);
    for (int i = 0; i < COUNT(fields); i++) {
        if (!concerns(&fields[i], family))
            continue;
        value = json_object_get(root, fields[i].name);
        if (!value && fields[i].later)
            continue;
        if (!value)
            return gd_fail(GD_EFORMAT, "\"%s\" is missing", fields[i].name);
        GD_TRY(read_field(out, value, &fields[i]));
    }
    return nn_config_check(out);
}

gd_status gd_config_from_json(gd_model_config *out, const char *json, const char *file)
{
    json_t *root;
    gd_status s;

    memset(out, 0, sizeof *out);
    GD_TRY(gd_json_parse(&root, json, strlen(json), MAX_DEPTH, file));
    s = read_root(out, root);
    json_decref(root);
    if (s == GD_OK)
        return GD_OK;
    gd_context("%s: guided.config", file);
    return GD_EFORMAT;
}
