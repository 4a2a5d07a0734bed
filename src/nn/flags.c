/* SPDX-License-Identifier: MIT */
/* flags.c - the authors' flags, by their names.  Source: docs/reference/networks.md#flags. */
#include "nn/config_private.h"
#include "nn/scripts.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* In the order in which they are applied, whatever the order on the line: attention_resolutions
 * needs the size, class_cond has the last word over num_classes. */
typedef enum type {
    SIZE,    /* image_size, large_size */
    CLASSES, /* num_classes */
    CLASS_COND,
    RESOLUTIONS, /* "32,16,8": pixels */
    MULT,        /* "1,2,2": factors of num_channels */
    INT,
    BOOL,
    REAL,
    SCHEDULE,
    POOL,
    FORM,    /* training_mode of consistency_models: whether D(x; sigma_min) = x */
    PRECOND, /* of EDM's networks */
    LOSS,    /* a word that only concerns how the authors trained */
    PROGRAM, /* a bool that only concerns how the authors' program computes */
    PROJECT, /* whose defaults the other flags take: nn_project reads it */
    WEIGHTS  /* which of a file's weights: nn_open_weights reads it */
} type;

enum {
    UNET = 1 << GD_NET_UNET,
    SUPERRES = 1 << GD_NET_SUPERRES,
    CLASSIFIER = 1 << GD_NET_CLASSIFIER
};
enum { DENOISERS = UNET | SUPERRES, ALL = DENOISERS | CLASSIFIER };
enum {
    ADM = 1 << GD_FAMILY_ADM | 1 << GD_FAMILY_CONSISTENCY, /* and its relatives */
    CONSISTENCY = 1 << GD_FAMILY_CONSISTENCY,
    EDM = 1 << GD_FAMILY_EDM,
    SIGMA = CONSISTENCY | EDM /* those with a preconditioner */
};

#define AT(field) offsetof(gd_model_config, field)

/* A flag changes only configurations of its kinds: the authors give one line to the diffusion model
 * and its classifier alike. The last block is ours, for what the authors fixed in code. */
static const struct flag {
    const char *name;
    type type;
    unsigned kinds;
    size_t offset;
    int min, max;
    unsigned families; /* 0: ADM and its relatives */
} table[] = {
    { "image_size", SIZE, UNET | CLASSIFIER, AT(net.image_size), 1, NN_MAX_IMAGE_SIZE },
    { "num_channels", INT, DENOISERS, AT(net.model_channels), 1, NN_MAX_CHANNELS },
    { "num_res_blocks", INT, DENOISERS, AT(net.num_res_blocks), 1, NN_MAX_RES_BLOCKS },
    { "num_heads", INT, DENOISERS, AT(net.num_heads), 1, NN_MAX_CHANNELS },
    { "num_heads_upsample", INT, DENOISERS, AT(net.num_heads_upsample), -1, NN_MAX_CHANNELS },
    { "num_head_channels", INT, DENOISERS, AT(net.num_head_channels), -1, NN_MAX_CHANNELS },
    { "attention_resolutions", RESOLUTIONS, DENOISERS, 0, 1, NN_MAX_IMAGE_SIZE },
    { "channel_mult", MULT, DENOISERS, 0, 0, 0 },
    { "dropout", REAL, DENOISERS, AT(net.dropout), 0, 1 },
    { "class_cond", CLASS_COND, DENOISERS, 0, 0, 0 },
    { "use_checkpoint", PROGRAM, ALL, 0, 0, 0 },
    { "ema", WEIGHTS, ALL, 0, 0, 0 },
    { "key", WEIGHTS, ALL, 0, 0, 0 },
    { "use_scale_shift_norm", BOOL, DENOISERS, AT(net.use_scale_shift_norm), 0, 0 },
    { "resblock_updown", BOOL, DENOISERS, AT(net.resblock_updown), 0, 0 },
    { "use_fp16", PROGRAM, ALL, 0, 0, 0 },
    { "use_new_attention_order", BOOL, UNET, AT(net.use_new_attention_order), 0, 0 },
    { "learn_sigma", BOOL, DENOISERS, AT(diffusion.learn_sigma), 0, 0 },
    { "diffusion_steps", INT, ALL, AT(diffusion.steps), 1, NN_MAX_STEPS },
    { "noise_schedule", SCHEDULE, ALL, 0, 0, 0 },
    { "use_kl", BOOL, ALL, AT(diffusion.use_kl), 0, 0 },
    { "predict_xstart", BOOL, ALL, AT(diffusion.predict_xstart), 0, 0 },
    { "predict_v", BOOL, DENOISERS, AT(diffusion.predict_v), 0, 0 },
    { "rescale_timesteps", BOOL, ALL, AT(diffusion.rescale_timesteps), 0, 0 },
    { "rescale_learned_sigmas", BOOL, ALL, AT(diffusion.rescale_learned_sigmas), 0, 0 },
    { "large_size", SIZE, SUPERRES, AT(net.image_size), 1, NN_MAX_IMAGE_SIZE },
    { "small_size", INT, SUPERRES, AT(net.small_size), 1, NN_MAX_IMAGE_SIZE },
    { "classifier_width", INT, CLASSIFIER, AT(net.model_channels), 1, NN_MAX_CHANNELS },
    { "classifier_depth", INT, CLASSIFIER, AT(net.num_res_blocks), 1, NN_MAX_RES_BLOCKS },
    { "classifier_attention_resolutions", RESOLUTIONS, CLASSIFIER, 0, 1, NN_MAX_IMAGE_SIZE },
    { "classifier_use_scale_shift_norm", BOOL, CLASSIFIER, AT(net.use_scale_shift_norm), 0, 0 },
    { "classifier_resblock_updown", BOOL, CLASSIFIER, AT(net.resblock_updown), 0, 0 },
    { "classifier_pool", POOL, CLASSIFIER, 0, 0, 0 },
    { "classifier_use_fp16", PROGRAM, ALL, 0, 0, 0 },

    { "script_defaults", PROJECT, ALL, 0, 0, 0 },
    { "num_classes", CLASSES, ALL, 0, 1, NN_MAX_CLASSES },
    { "sigma_small", BOOL, ALL, AT(diffusion.sigma_small), 0, 0 },
    { "classifier_num_heads", INT, CLASSIFIER, AT(net.num_heads), 1, NN_MAX_CHANNELS },
    { "classifier_num_head_channels", INT, CLASSIFIER, AT(net.num_head_channels), -1,
      NN_MAX_CHANNELS },
    { "classifier_channel_mult", MULT, CLASSIFIER, 0, 0, 0 },
    { "classifier_use_new_attention_order", BOOL, CLASSIFIER, AT(net.use_new_attention_order), 0,
      0 },
    { "training_mode", FORM, UNET, 0, 0, 0, CONSISTENCY },
    { "weight_schedule", LOSS, ALL, 0, 0, 0 },
    { "sigma_min", REAL, UNET, AT(diffusion.sigma_min), 0, 1000, SIGMA },
    { "sigma_max", REAL, UNET, AT(diffusion.sigma_max), 0, 100000, SIGMA },
    { "sigma_data", REAL, UNET, AT(diffusion.sigma_data), 0, 1000, SIGMA },
    { "one_call_sigma", REAL, UNET, AT(diffusion.one_call_sigma), 0, 100000, EDM },
    { "precond", PRECOND, UNET, 0, 0, 0, EDM },
};

static const struct flag *find(const char *name)
{
    for (int i = 0; i < COUNT(table); i++) {
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    }
    return NULL;
}

bool gd_flag_known(const char *name)
{
    return find(name) != NULL;
}

static gd_status unknown(const char *name)
{
    const char *names[COUNT(table)];
    gd_status s = gd_fail(GD_EUSAGE, "--%.64s: no such flag", name);

    for (int i = 0; i < COUNT(table); i++)
        names[i] = table[i].name;
    const char *near = gd_nearest(name, names, COUNT(names));
    if (near)
        gd_detail("hint: did you mean --%s?", near);
    return s;
}

bool gd_flag_fits(const char *name, gd_net_kind kind)
{
    const struct flag *flag = find(name);

    return flag && flag->kinds >> kind & 1;
}

bool nn_network_flag_given(const gd_flag *flags, int n, gd_net_kind kind)
{
    for (int i = 0; i < n; i++) {
        const struct flag *flag = find(flags[i].name);
        if (flag && flag->type < PROGRAM && flag->kinds >> kind & 1 &&
            gd_script_knows(flag->name) && *flags[i].value)
            return true;
    }
    return false;
}

void nn_report_unused(const gd_flag *flags, int n, gd_net_kind kind, const char *what)
{
    for (int i = 0; i < n; i++)
        if (!gd_flag_fits(flags[i].name, kind) && !gd_script_takes(kind, flags[i].name))
            gd_log(GD_LOG_NOTE, "--%s: passed over, %s is a network of another kind (%s)",
                   flags[i].name, what, gd_net_kind_names[kind]);
}

/* ---- values ---- */

static gd_status bad_value(const struct flag *flag, const char *value, const char *expected)
{
    return gd_fail(GD_EUSAGE, "--%s \"%.64s\": must be %s", flag->name, value, expected);
}

static gd_status parse_bool(bool *out, const struct flag *flag, const char *value)
{
    static const char *const yes[] = { "yes", "true", "t", "y", "1" }, *const no[] = { "no",
                                                                                       "false", "f",
                                                                                       "n", "0" };

    for (int i = 0; i < COUNT(yes); i++) {
        if (strcasecmp(value, yes[i]) == 0 || strcasecmp(value, no[i]) == 0) {
            *out = strcasecmp(value, yes[i]) == 0;
            return GD_OK;
        }
    }
    return bad_value(flag, value, "True or False");
}

/* The whole number at `text`, which ends with the text or at a comma; -1 is the authors' "unset"
 * where min allows it. */
static gd_status parse_int(int *out, const struct flag *flag, const char *text, const char **end)
{
    char expected[64], *after = NULL;
    long value;

    errno = 0;
    value = strtol(text, &after, 10);
    while (after > text && *after == ' ') /* Python's int() takes " 8 " */
        after++;
    snprintf(expected, sizeof expected, "a whole number, %d to %d%s", GD_MAX(flag->min, 1),
             flag->max, flag->min < 0 ? ", or -1" : "");
    if (after == text || errno || (*after && *after != ',') || value < flag->min ||
        value > flag->max || value == 0)
        return bad_value(flag, text, expected);
    *out = (int)value;
    *end = after;
    return GD_OK;
}

/* "0.5", "2", "1e-1": digits with at most one point, independent of the locale.  Both parts are
 * exact below 15 digits, so the quotient is the nearest double.  false: not such a number. */
static bool parse_decimal(double *out, const char *text, const char **end)
{
    double mantissa = 0, scale = 1;
    int digits = 0, exponent = 0;
    bool point = false;

    for (; (*text >= '0' && *text <= '9') || (*text == '.' && !point); text++) {
        if (*text == '.') {
            point = true;
            continue;
        }
        mantissa = 10 * mantissa + (*text - '0');
        scale *= point ? 10 : 1;
        digits++;
    }
    if (digits > 0 && (*text == 'e' || *text == 'E'))
        exponent = (int)strtol(text + 1, (char **)&text, 10);
    for (; exponent < 0 && scale < 1e22; exponent++)
        scale *= 10;
    for (; exponent > 0 && mantissa < 1e22; exponent--)
        mantissa *= 10;
    text += strspn(text, " ");
    *out = mantissa / scale;
    *end = text;
    return digits > 0 && digits <= 15;
}

static gd_status parse_real(double *out, const struct flag *flag, const char *value)
{
    char expected[64];
    const char *end;
    double real;

    snprintf(expected, sizeof expected, "a number, %d to less than %d", flag->min, flag->max);
    if (!parse_decimal(&real, value, &end) || *end || real < flag->min || real >= flag->max)
        return bad_value(flag, value, expected);
    *out = real;
    return GD_OK;
}

static gd_status parse_word(int *out, const struct flag *flag, const char *value,
                            const char *const *words, int n)
{
    char expected[128] = "";

    for (int i = 0; i < n; i++) {
        if (strcmp(value, words[i]) == 0) {
            *out = i;
            return GD_OK;
        }
        size_t used = strlen(expected);
        snprintf(expected + used, sizeof expected - used, "%s%s",
                 i == 0       ? ""
                 : i == n - 1 ? " or "
                              : ", ",
                 words[i]);
    }
    gd_status s = bad_value(flag, value, expected);
    const char *near = gd_nearest(value, words, n);
    if (near)
        gd_detail("hint: did you mean %s?", near);
    return s;
}

static gd_status parse_mult(gd_net_config *net, const struct flag *flag, const char *value)
{
    const char *at = value;
    int n = 0;

    for (;; at++) {
        at += strspn(at, " ");
        if (n == GD_MAX_LEVELS || !parse_decimal(&net->channel_mult[n++], at, &at) ||
            (*at && *at != ','))
            return bad_value(flag, value, "up to 12 factors like 1,2,3,4");
        if (!*at)
            break;
    }
    net->n_levels = n;
    return GD_OK;
}

/* false where no level has this resolution: there the authors' network has no attention either */
static bool attend_at(gd_net_config *net, int resolution)
{
    for (int k = 0; k < GD_MAX_LEVELS; k++) {
        if (net->image_size / resolution == 1 << k) {
            net->attention_ds |= 1u << k;
            return true;
        }
    }
    return false;
}

static gd_status parse_resolutions(gd_net_config *net, const struct flag *flag, const char *value)
{
    const char *at = value;

    net->attention_ds = 0;
    for (;; at++) {
        int resolution;
        GD_TRY(parse_int(&resolution, flag, at, &at));
        if (!attend_at(net, resolution))
            gd_log(GD_LOG_NOTE, "--%s %d: no level of image_size %d has it", flag->name, resolution,
                   net->image_size);
        if (!*at)
            return GD_OK;
    }
}

static gd_status parse_schedule(gd_model_config *config, const struct flag *flag, const char *value)
{
    int which;

    GD_TRY(parse_word(&which, flag, value, gd_noise_schedules, GD_N_NOISE_SCHEDULES));
    snprintf(config->diffusion.noise_schedule, sizeof config->diffusion.noise_schedule, "%s",
             gd_noise_schedules[which]);
    return GD_OK;
}

static gd_status parse_classes(gd_model_config *config, const struct flag *flag, const char *value)
{
    gd_net_config *net = &config->net;
    const char *end;

    return parse_int(net->kind == GD_NET_CLASSIFIER ? &net->out_channels : &net->num_classes, flag,
                     value, &end);
}

static gd_status parse_pool(gd_model_config *config, const struct flag *flag, const char *value)
{
    int which;

    GD_TRY(parse_word(&which, flag, value, nn_pool_names, COUNT(nn_pool_names)));
    config->net.pool = (gd_pool)which;
    return GD_OK;
}

/* "consistency" in the mode's name is what the authors look for */
static gd_status parse_form(gd_model_config *config, const struct flag *flag, const char *value)
{
    static const char *const modes[] = { "edm", "progdist", "consistency_distillation",
                                         "consistency_training" };
    int which;

    GD_TRY(parse_word(&which, flag, value, modes, COUNT(modes)));
    config->diffusion.precond = which < 2 ? GD_PRECOND_CONSISTENCY_EDM : GD_PRECOND_CONSISTENCY;
    return GD_OK;
}

static gd_status parse_precond(gd_model_config *config, const struct flag *flag, const char *value)
{
    int which;

    GD_TRY(parse_word(&which, flag, value, gd_precond_names + GD_PRECOND_EDM,
                      GD_PRECOND_IDDPM - GD_PRECOND_EDM + 1));
    config->diffusion.precond = (gd_precond)(GD_PRECOND_EDM + which);
    return GD_OK;
}

/* ---- one flag ---- */

static gd_status set(gd_model_config *config, const struct flag *flag, const char *value)
{
    void *field = (char *)config + flag->offset;
    const char *end = value;
    bool yes;

    switch (flag->type) {
    case INT:
    case SIZE:
        GD_TRY(parse_int(field, flag, value, &end));
        return *end ? bad_value(flag, value, "one whole number") : GD_OK;
    case BOOL:
        return parse_bool(field, flag, value);
    case REAL:
        return parse_real(field, flag, value);
    case SCHEDULE:
        return parse_schedule(config, flag, value);
    case POOL:
        return parse_pool(config, flag, value);
    case RESOLUTIONS:
        return parse_resolutions(&config->net, flag, value);
    case MULT: /* "" is the authors' "by image size" */
        return *value ? parse_mult(&config->net, flag, value) : GD_OK;
    case CLASS_COND:
        GD_TRY(parse_bool(&yes, flag, value));
        config->net.num_classes = !yes                          ? 0
                                  : config->net.num_classes > 0 ? config->net.num_classes
                                                                : NN_IMAGE_CLASSES;
        return GD_OK;
    case CLASSES:
        return parse_classes(config, flag, value);
    case FORM:
        return parse_form(config, flag, value);
    case PRECOND:
        return parse_precond(config, flag, value);
    case PROGRAM:
        return parse_bool(&yes, flag, value);
    case PROJECT:
        return parse_word(&(int){ 0 }, flag, value, nn_projects, COUNT(nn_projects));
    case LOSS:
    case WEIGHTS:
        break;
    }
    return GD_OK;
}

static bool concerns(const struct flag *flag, const gd_net_config *net)
{
    const unsigned families = flag->families ? flag->families : ADM;

    return flag->kinds >> net->kind & 1 && families >> net->family & 1;
}

/* Everything is parsed, so that a bad value is found wherever it stands; what does not concern this
 * kind or family changes a copy. */
static gd_status set_all(gd_model_config *config, const gd_flag *flags, int n, type first,
                         type last)
{
    for (int i = 0; i < n; i++) {
        const struct flag *flag = find(flags[i].name);
        gd_model_config unused = *config;

        if (!flag)
            return unknown(flags[i].name);
        if (flag->type < first || flag->type > last)
            continue;
        GD_TRY(set(concerns(flag, &config->net) ? config : &unused, flag, flags[i].value));
    }
    return GD_OK;
}

bool nn_flag_given(const gd_flag *flags, int n, const char *name)
{
    for (int i = 0; i < n; i++) {
        if (strcmp(flags[i].name, name) == 0 && *flags[i].value)
            return true;
    }
    return false;
}

/* A new image size moves the levels that attend, which the authors name in pixels, and brings its
 * own default widths. */
static gd_status resize(gd_model_config *config, int old_size, bool mult_given)
{
    gd_net_config *net = &config->net;
    unsigned old_ds = net->attention_ds;

    net->attention_ds = 0;
    for (int k = 0; k < GD_MAX_LEVELS && old_size >> k > 0; k++) {
        if (old_ds >> k & 1)
            attend_at(net, old_size >> k);
    }
    if (mult_given)
        return GD_OK;
    net->n_levels = nn_default_channel_mult(net->channel_mult, net->kind, net->image_size);
    if (net->n_levels == 0)
        return gd_fail(GD_EUSAGE,
                       "image_size %d has no default channel_mult: give --%schannel_mult",
                       net->image_size, net->kind == GD_NET_CLASSIFIER ? "classifier_" : "");
    return GD_OK;
}

gd_status nn_flags_set(gd_model_config *config, const gd_flag *flags, int n, bool shapes_known)
{
    bool classifier = config->net.kind == GD_NET_CLASSIFIER;
    bool adm = ADM >> config->net.family & 1;
    int old_size = config->net.image_size;

    GD_TRY(set_all(config, flags, n, SIZE, SIZE));
    if (config->net.image_size != old_size && !shapes_known)
        GD_TRY(resize(
            config, old_size,
            nn_flag_given(flags, n, classifier ? "classifier_channel_mult" : "channel_mult")));
    for (type t = CLASSES; t < INT; t++)
        GD_TRY(set_all(config, flags, n, t, t));
    GD_TRY(set_all(config, flags, n, INT, PROJECT));

    if (!adm)
        return GD_OK;
    /* the authors' num_head_channels overrides num_heads; whoever gives only num_heads means it */
    if (nn_flag_given(flags, n, classifier ? "classifier_num_heads" : "num_heads") &&
        !nn_flag_given(flags, n, classifier ? "classifier_num_head_channels" : "num_head_channels"))
        config->net.num_head_channels = -1;
    if (!classifier)
        config->net.out_channels =
            (config->diffusion.learn_sigma ? 2 : 1) * config->net.in_channels;
    return GD_OK;
}

gd_status gd_flags_apply(gd_model_config *config, const gd_flag *flags, int n)
{
    GD_TRY(nn_flags_set(config, flags, n, false));
    nn_report_unused(flags, n, config->net.kind, *config->preset ? config->preset : "it");
    return nn_config_check(config);
}

/* ---- a configuration as a line ---- */

typedef struct line {
    char *text;
    size_t used, size;
} line;

static void add(line *l, const char *format, ...) GD_PRINTF(2, 3);
static void add(line *l, const char *format, ...)
{
    va_list ap;

    if (l->used >= l->size)
        return;
    va_start(ap, format);
    l->used += (size_t)vsnprintf(l->text + l->used, l->size - l->used, format, ap);
    va_end(ap);
}

static void add_resolutions(line *l, const gd_net_config *net)
{
    const char *comma = "";

    for (int k = 0; k < GD_MAX_LEVELS && net->image_size >> k > 0; k++) {
        if (!(net->attention_ds >> k & 1))
            continue;
        add(l, "%s%d", comma, net->image_size >> k);
        comma = ",";
    }
    if (!*comma) /* a resolution that no level has */
        add(l, "%d", 2 * net->image_size);
}

static void add_mult(line *l, const gd_net_config *net)
{
    for (int i = 0; i < net->n_levels; i++)
        add(l, "%s%.15g", i ? "," : "", net->channel_mult[i]);
}

static void add_value(line *l, const gd_model_config *c, const struct flag *flag)
{
    const void *field = (const char *)c + flag->offset;

    switch (flag->type) {
    case INT:
    case SIZE:
        add(l, " --%s %d", flag->name, *(const int *)field);
        break;
    case BOOL:
        if (!*(const bool *)field &&
            (strcmp(flag->name, "sigma_small") == 0 || strcmp(flag->name, "predict_v") == 0))
            break; /* guided-diffusion has no such flags */
        add(l, " --%s %s", flag->name, *(const bool *)field ? "True" : "False");
        break;
    case REAL:
        add(l, " --%s %.15g", flag->name, *(const double *)field);
        break;
    case SCHEDULE:
        add(l, " --%s %s", flag->name, c->diffusion.noise_schedule);
        break;
    case POOL:
        add(l, " --%s %s", flag->name, nn_pool_names[c->net.pool]);
        break;
    case CLASS_COND:
        add(l, " --%s %s", flag->name, c->net.num_classes > 0 ? "True" : "False");
        break;
    case CLASSES:
        if (gd_net_classes(&c->net) > 0)
            add(l, " --%s %d", flag->name, gd_net_classes(&c->net));
        break;
    case RESOLUTIONS:
        add(l, " --%s ", flag->name);
        add_resolutions(l, &c->net);
        break;
    case MULT:
        add(l, " --%s ", flag->name);
        add_mult(l, &c->net);
        break;
    default:
        break;
    }
}

void gd_flags_line(const gd_model_config *config, char *out, size_t size)
{
    line l = { out, 0, size };

    *out = '\0';
    for (int i = 0; i < COUNT(table); i++)
        if (table[i].kinds >> config->net.kind & 1)
            add_value(&l, config, &table[i]);
    memmove(out, out + (*out == ' '), strlen(out) + (*out != ' '));
}
