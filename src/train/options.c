/* SPDX-License-Identifier: MIT */
/* options.c - what a training run is told: defaults, limits, and as JSON in its checkpoints. */
#include "train/train_private.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* One row for each option that a checkpoint keeps; GD_TEXT: an array of characters here; max: of
 * numbers, or bytes of a text; later: not in the first checkpoints, where its absence means the
 * default */
#define AT(field) offsetof(gd_train_options, field)
static const struct {
    const char *name;
    gd_field_type type;
    size_t offset;
    double min, max;
    bool later;
} fields[] = {
    { "batch_size", GD_INT, AT(batch_size), 1, 1 << 20 },
    { "microbatch", GD_INT, AT(microbatch), 0, 1 << 20 },
    { "iterations", GD_WIDE, AT(iterations), 0, 1e12 },
    { "lr", GD_REAL, AT(lr), 0, 100 },
    { "weight_decay", GD_REAL, AT(weight_decay), 0, 100 },
    { "anneal_lr", GD_SWITCH, AT(anneal_lr), 0, 0 },
    { "ema_rate", GD_TEXT, AT(ema_rate), 0, sizeof((gd_train_options *)0)->ema_rate },
    { "schedule_sampler", GD_TEXT, AT(schedule_sampler), 0,
      sizeof((gd_train_options *)0)->schedule_sampler },
    { "timestep_respacing", GD_TEXT, AT(timestep_respacing), 0,
      sizeof((gd_train_options *)0)->timestep_respacing, .later = true },
    { "noised", GD_SWITCH, AT(noised), 0, 0 },
    { "loss", GD_TEXT, AT(loss), 0, sizeof((gd_train_options *)0)->loss, .later = true },
    { "loss_weight", GD_TEXT, AT(loss_weight), 0, sizeof((gd_train_options *)0)->loss_weight,
      .later = true },
    { "loss_norm", GD_TEXT, AT(loss_norm), 0, sizeof((gd_train_options *)0)->loss_norm,
      .later = true },
    { "weight_gamma", GD_REAL, AT(weight_gamma), 0, 1e6, .later = true },
    { "weight_k", GD_REAL, AT(weight_k), 0, 1e6, .later = true },
    { "label_dropout", GD_REAL, AT(label_dropout), 0, 1, .later = true },
    { "scales", GD_INT, AT(scales), 2, 100000, .later = true },
    { "target_ema", GD_REAL, AT(target_ema), 0, 1, .later = true },
    { "teacher", GD_TEXT, AT(teacher), 0, sizeof((gd_train_options *)0)->teacher, .later = true },
    { "random_flip", GD_SWITCH, AT(random_flip), 0, 0 },
    { "random_crop", GD_SWITCH, AT(random_crop), 0, 0 },
    { "pad", GD_SWITCH, AT(pad), 0, 0 },
    { "labels", GD_TEXT, AT(labels), 0, sizeof((gd_train_options *)0)->labels },
    { "bf16", GD_SWITCH, AT(bf16), 0, 0 },
    { "seed", GD_SEED, AT(seed), 0, 0 },
    { "log_interval", GD_WIDE, AT(log_interval), 0, 1e12 },
    { "save_interval", GD_WIDE, AT(save_interval), 0, 1e12 },
    { "sample_interval", GD_WIDE, AT(sample_interval), 0, 1e12 },
    { "eval_interval", GD_WIDE, AT(eval_interval), 0, 1e12 },
    { "milestone_interval", GD_WIDE, AT(milestone_interval), 0, 1e12 },
    { "keep", GD_INT, AT(keep), 1, 1000 },
    { "save_pt", GD_SWITCH, AT(save_pt), 0, 0, .later = true },
    { "recompute", GD_SWITCH, AT(recompute), 0, 0, .later = true },
    { "data", GD_TEXT, AT(data), 0, sizeof((gd_train_options *)0)->data },
    { "val_data", GD_TEXT, AT(val_data), 0, sizeof((gd_train_options *)0)->val_data },
};
#undef AT

void gd_train_defaults(gd_train_options *o, gd_net_kind kind)
{
    const bool classifier = kind == GD_NET_CLASSIFIER;

    *o = (gd_train_options){ .batch_size = 16,
                             .lr = classifier ? 3e-4 : 1e-4,
                             .ema_rate = "0.9999",
                             .schedule_sampler = "uniform",
                             .noised = true,
                             .weight_k = 1,
                             .scales = 40, /* as cd_* were trained */
                             .target_ema = 0.95,
                             .random_flip = true,
                             .random_crop = classifier,
                             .log_interval = 10,
                             .save_interval = 1000,
                             .eval_interval = 5,
                             .keep = 3 };
    if (classifier)
        o->ema_rate[0] = '\0'; /* the authors average diffusion models only */
}

gd_status gd_train_check(const gd_train_options *o, int ranks)
{
    gd_averages averages;

    for (int i = 0; i < COUNT(fields); i++) {
        if (fields[i].type > GD_REAL)
            continue;
        const double v = gd_field_number(fields[i].type, (const char *)o + fields[i].offset);
        if (!(v >= fields[i].min && v <= fields[i].max)) /* NaN too */
            return gd_fail(GD_EUSAGE, "%s is %g, must be %g to %g", fields[i].name, v,
                           fields[i].min, fields[i].max);
    }
    if (o->batch_size % ranks != 0)
        return gd_fail(GD_EUSAGE,
                       "batch_size %d cannot be shared equally by %d ranks\nhint: --batch-size %d",
                       o->batch_size, ranks, GD_MAX(o->batch_size / ranks, 1) * ranks);
    if (o->anneal_lr && o->iterations == 0)
        return gd_fail(GD_EUSAGE,
                       "anneal_lr needs iterations: the rate falls to 0 at the last one");
    GD_TRY(gd_timestep_sampler_check(o->schedule_sampler));
    GD_TRY(train_loss_check(o));
    return gd_averages_read(&averages, o->ema_rate);
}

gd_status gd_averages_read(gd_averages *out, const char *list)
{
    *out = (gd_averages){ 0 };
    for (const char *at = list; *at; out->n++) {
        const int length = (int)strcspn(at, ",");
        char *end;
        if (out->n == GD_MAX_EMA)
            return gd_fail(GD_EUSAGE, "ema_rate %s: more than %d", list, GD_MAX_EMA);
        snprintf(out->text[out->n], sizeof out->text[0], "%.*s", length, at);
        out->rate[out->n] = strtod(out->text[out->n], &end);
        if (length == 0 || length > 15 || *end || !(out->rate[out->n] >= 0) ||
            out->rate[out->n] >= 1)
            return gd_fail(GD_EUSAGE, "ema_rate %s: expected numbers from 0 to less than 1", list);
        at += length + (at[length] == ',');
    }
    return GD_OK;
}

/* ---- JSON ---- */

/* JSON's integers end at 2^63: the seed is text */
static json_t *value_of(const gd_train_options *o, int i)
{
    const char *at = (const char *)o + fields[i].offset;
    char seed[24];

    switch (fields[i].type) {
    case GD_INT:
        return json_integer(*(const int *)at);
    case GD_WIDE:
        return json_integer(*(const int64_t *)at);
    case GD_REAL:
        return json_real(*(const double *)at);
    case GD_SWITCH:
        return json_boolean(*(const bool *)at);
    case GD_TEXT:
        return gd_json_text(at);
    default:
        snprintf(seed, sizeof seed, "%llu", (unsigned long long)*(const uint64_t *)at);
        return json_string(seed);
    }
}

gd_status gd_train_options_json(const gd_train_options *o, json_t **out)
{
    json_t *json = json_object();

    for (int i = 0; i < COUNT(fields); i++)
        if (json_object_set_new(json, fields[i].name, value_of(o, i)) != 0) {
            json_decref(json);
            return gd_fail(GD_ENOMEM, "training options: out of memory");
        }
    *out = json;
    return GD_OK;
}

static bool read_value(gd_train_options *o, int i, const json_t *v)
{
    char *at = (char *)o + fields[i].offset, *end;
    const char *text = json_string_value(v);

    switch (fields[i].type) {
    case GD_INT:
        *(int *)at = (int)GD_MIN(json_integer_value(v), INT32_MAX);
        return json_is_integer(v);
    case GD_WIDE:
        *(int64_t *)at = json_integer_value(v);
        return json_is_integer(v);
    case GD_REAL:
        *(double *)at = json_number_value(v);
        return json_is_number(v);
    case GD_SWITCH:
        *(bool *)at = json_is_true(v);
        return json_is_boolean(v);
    case GD_TEXT:
        if (!text || strlen(text) >= (size_t)fields[i].max)
            return false;
        strcpy(at, text);
        gd_unescape(at);
        return true;
    default:
        *(uint64_t *)at = text ? strtoull(text, &end, 10) : 0;
        return text && *text && !*end;
    }
}

gd_status gd_train_options_read(gd_train_options *o, const json_t *json, const char *file)
{
    for (int i = 0; i < COUNT(fields); i++) {
        const json_t *value = json_object_get(json, fields[i].name);
        if (!(fields[i].later && !value) && !read_value(o, i, value))
            return gd_fail(GD_EFORMAT, "%s: guided.training: %s is missing or no such value", file,
                           fields[i].name);
    }
    return GD_OK;
}
