/* SPDX-License-Identifier: MIT */
/* sample_recipe.c - writes and reads recipes: everything that decides the bytes of images, as a
 * flat JSON object in PNGs and in run.json. */
#include "jobs/maker.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static void set_text(json_t *j, const char *key, const char *text)
{
    if (text)
        json_object_set_new(j, key, gd_json_text(text));
}

/* As text, because jansson's integers end at 2^63 */
static void set_seed(json_t *j, const char *key, uint64_t seed)
{
    char text[24];

    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    set_text(j, key, text);
}

static gd_status set_hash(json_t *j, const char *key, const gd_model *model)
{
    char hash[33] = "";

    if (model)
        GD_TRY(gd_model_hash(model, hash));
    set_text(j, key, hash);
    return GD_OK;
}

/* Only options of solvers and guidance that differ from their defaults, so that recipes of other
 * runs do not change */
static gd_status set_guidance(json_t *j, const job_maker *m)
{
    const job_sampling *c = &m->c;
    const struct {
        const char *key;
        double value;
    } numbers[] = { { "guidance_scale", c->guidance_scale },
                    { "guidance_rescale", c->guidance_rescale },
                    { "sigma_min", c->sigma_min },
                    { "sigma_max", c->sigma_max },
                    { "churn", c->churn } };

    for (int i = 0; i < COUNT(numbers); i++)
        if (numbers[i].value > 0)
            json_object_set_new(j, numbers[i].key, json_real(numbers[i].value));
    set_text(j, "spacing", c->spacing);
    set_text(j, "threshold", c->threshold);
    set_text(j, "guidance_interval", c->interval);
    if (c->gradient_every > 1)
        json_object_set_new(j, "gradient_every", json_integer(c->gradient_every));
    if (c->branch_call > 0)
        json_object_set_new(j, "branch_call", json_integer(c->branch_call));
    if (c->branch_call > 0 && c->branch_scale >= 0)
        json_object_set_new(j, "branch_scale", json_real(c->branch_scale));
    set_text(j, "branch_class", c->branch_class);
    set_text(j, "branch_sampler", c->branch_sampler);
    if (c->null_class > 0)
        json_object_set_new(j, "null_class", json_integer(c->null_class));
    if (c->hold_gradient)
        json_object_set_new(j, "hold_gradient", json_true());
    set_text(j, "uncond_model", c->uncond);
    if (m->uncond)
        GD_TRY(set_hash(j, "uncond_model_hash", m->uncond));
    set_text(j, "weaker_model", c->weaker);
    return m->weaker ? set_hash(j, "weaker_model_hash", m->weaker) : GD_OK;
}

/* The authors' flags, written as on a command line */
static void set_flags(json_t *j, const job_sampling *c)
{
    char text[JOB_MAX_FLAGS * 64] = "";
    size_t used = 0;

    for (int i = 0; i < c->n_flags && used < sizeof text; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s--%s %s", i ? " " : "",
                                 c->flag[i].name, c->flag[i].value);
    if (c->n_flags > 0)
        set_text(j, "flags", text);
}

static gd_status set_stage(json_t *j, const job_maker *m, int k)
{
    const job_stage_choice *c = &m->c.stage[k];
    char key[64];

#define KEY(name) (snprintf(key, sizeof key, "stage%d_%s", k + 2, name), key)
    set_text(j, KEY("steps"), c->steps);
    set_text(j, KEY("sampler"), c->sampler);
    if (c->eta > 0)
        json_object_set_new(j, KEY("eta"), json_real(c->eta));
    if (c->seed_given)
        set_seed(j, KEY("seed"), c->seed);
    if (!c->classifier)
        return GD_OK;
    set_text(j, KEY("classifier"), c->classifier);
    json_object_set_new(j, KEY("scale"), json_real(m->stack.stage[k + 1].trajectory.scale));
    return set_hash(j, KEY("classifier_hash"), m->classifier[k + 1]);
#undef KEY
}

static gd_status set_stages(json_t *j, const job_maker *m)
{
    char hashes[JOB_MAX_STAGES * 34] = "", one[33];

    set_text(j, "upsampler", m->c.upsampler ? m->c.upsampler : "");
    for (int k = 0; k < m->n_stages; k++) {
        const size_t used = strlen(hashes);
        GD_TRY(gd_model_hash(m->model[k + 1], one));
        snprintf(hashes + used, sizeof hashes - used, "%s%s", k ? "," : "", one);
        GD_TRY(set_stage(j, m, k));
    }
    if (m->n_stages == 0)
        return GD_OK;
    set_text(j, "upsampler_hash", hashes);
    json_object_set_new(j, "low_res_noise", json_real(m->c.low_res_noise));
    return GD_OK;
}

static gd_status set_all(json_t *j, const job_maker *m)
{
    const job_sampling *c = &m->c;

    set_text(j, "guided", gd_version());
    set_text(j, "model", c->model);
    GD_TRY(set_hash(j, "model_hash", m->model[0]));
    set_text(j, "classifier", c->classifier ? c->classifier : "");
    GD_TRY(set_hash(j, "classifier_hash", m->classifier[0]));
    json_object_set_new(j, "scale", json_real(c->scale));
    set_text(j, "class", c->classes ? c->classes : "all");
    set_text(j, "labels", c->labels);
    json_object_set_new(j, "num", json_integer(c->n));
    json_object_set_new(j, "first", json_integer(c->first));
    set_text(j, "steps", c->steps);
    set_text(j, "sampler", c->sampler);
    json_object_set_new(j, "eta", json_real(c->eta));
    json_object_set_new(j, "clip_denoised", json_boolean(c->clip));
    set_seed(j, "seed", c->seed);
    set_text(j, "rng", c->rng);
    json_object_set_new(j, "batch_size", json_integer(c->batch));
    set_text(j, "precision", c->precision);
    set_text(j, "isa", gd_isa_name(gd_isa_used()));
    set_text(j, "onednn", gd_onednn_version());
    set_flags(j, c);
    GD_TRY(set_guidance(j, m));
    return set_stages(j, m);
}

gd_status job_recipe_make(char **out, const job_maker *m, const char *output, bool keep,
                          const job_words *words)
{
    json_t *j = json_object();
    gd_status s;

    *out = NULL;
    s = set_all(j, m);
    set_text(j, "output", output);
    if (keep)
        json_object_set_new(j, "keep_stages", json_true());
    if (s == GD_OK && j && words)
        s = job_recipe_add_command(j, &job_sample, words);
    if (s == GD_OK)
        *out = j ? gd_json_dump(j, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(j);
    if (s == GD_OK && !*out)
        return gd_fail(GD_ENOMEM, "recipe: out of memory");
    return s;
}

/* ---- reading ---- */

static gd_status missing(const char *path, const char *key, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: the recipe's \"%s\" is missing or not %s", path, key, what);
}

/* NULL for "" */
static const char *text_of(const json_t *j, const char *key)
{
    const char *text = json_string_value(json_object_get(j, key));

    return text && *text ? text : NULL;
}

static bool seed_of(const json_t *j, const char *key, uint64_t *seed)
{
    const char *text = text_of(j, key);
    char *end;

    if (!text)
        return false;
    *seed = strtoull(text, &end, 10);
    return *end == '\0' && *text != '-';
}

static bool int_of(const json_t *j, const char *key, int least, int *out)
{
    const json_t *value = json_object_get(j, key);
    const json_int_t v = json_integer_value(value);

    *out = (int)v;
    return json_is_integer(value) && v >= least && v <= 2000000000;
}

static void read_stage(job_stage_choice *s, const json_t *j, int k)
{
    char key[64];

#define KEY(name) (snprintf(key, sizeof key, "stage%d_%s", k + 2, name), key)
    s->steps = text_of(j, KEY("steps"));
    s->sampler = text_of(j, KEY("sampler"));
    s->classifier = text_of(j, KEY("classifier"));
    s->eta = json_number_value(json_object_get(j, KEY("eta")));
    if (json_object_get(j, KEY("scale")))
        s->scale = json_number_value(json_object_get(j, key));
    s->seed_given = seed_of(j, KEY("seed"), &s->seed);
#undef KEY
}

/* "--image_size 64 --class_cond True", cut in place */
static gd_status read_flags(job_recipe *r, const char *path)
{
    const char *text = text_of(r->json, "flags");

    r->choice.flag = r->flag;
    if (!text)
        return GD_OK;
    GD_TRY(gd_block_make(&r->flags, strlen(text) + 1, "flags"));
    memcpy(r->flags, text, strlen(text));
    for (char *name = strtok(r->flags, " "); name; name = strtok(NULL, " ")) {
        const char *value = strtok(NULL, " ");
        if (strncmp(name, "--", 2) != 0 || !value || r->choice.n_flags == JOB_MAX_FLAGS)
            return missing(path, "flags", "a list of network flags");
        r->flag[r->choice.n_flags++] = (gd_flag){ name + 2, value };
    }
    return GD_OK;
}

static void read_guidance(job_sampling *c, const json_t *j)
{
    c->guidance_scale = json_number_value(json_object_get(j, "guidance_scale"));
    c->guidance_rescale = json_number_value(json_object_get(j, "guidance_rescale"));
    c->sigma_min = json_number_value(json_object_get(j, "sigma_min"));
    c->sigma_max = json_number_value(json_object_get(j, "sigma_max"));
    c->churn = json_number_value(json_object_get(j, "churn"));
    c->spacing = text_of(j, "spacing");
    c->threshold = text_of(j, "threshold");
    c->interval = text_of(j, "guidance_interval");
    c->uncond = text_of(j, "uncond_model");
    c->weaker = text_of(j, "weaker_model");
    c->branch_call = (int)json_integer_value(json_object_get(j, "branch_call"));
    c->branch_class = text_of(j, "branch_class");
    c->branch_sampler = text_of(j, "branch_sampler");
    if (json_object_get(j, "branch_scale"))
        c->branch_scale = json_number_value(json_object_get(j, "branch_scale"));
    c->gradient_every = (int)json_integer_value(json_object_get(j, "gradient_every"));
    c->null_class = (int)json_integer_value(json_object_get(j, "null_class"));
    c->hold_gradient = json_is_true(json_object_get(j, "hold_gradient"));
}

gd_status job_recipe_read(job_recipe *r, const char *text, const char *path)
{
    job_sampling *c = &r->choice;
    const char *output;
    const json_t *j;

    *r = (job_recipe){ .choice = job_sampling_default() };
    GD_TRY(gd_json_parse(&r->json, text, strlen(text), 4, path));
    gd_json_decode_texts(r->json);
    j = r->json;
    c->model = text_of(j, "model");
    c->classifier = text_of(j, "classifier");
    c->unguided = !c->classifier;
    c->classes = text_of(j, "class");
    c->labels = text_of(j, "labels");
    c->upsampler = text_of(j, "upsampler");
    c->steps = text_of(j, "steps");
    c->sampler = text_of(j, "sampler");
    c->rng = text_of(j, "rng");
    c->precision = text_of(j, "precision");
    if (!c->model || !c->steps || !c->sampler || !c->rng || !c->precision)
        return missing(path, !c->model ? "model" : !c->steps ? "steps" : "sampler", "a text");
    c->scale = json_number_value(json_object_get(j, "scale"));
    c->eta = json_number_value(json_object_get(j, "eta"));
    c->low_res_noise = json_number_value(json_object_get(j, "low_res_noise"));
    c->clip = json_is_true(json_object_get(j, "clip_denoised"));
    c->seed_given = seed_of(j, "seed", &c->seed);
    if (!c->seed_given || !int_of(j, "num", 1, &c->n) || !int_of(j, "first", 0, &c->first))
        return missing(path, c->seed_given ? "num" : "seed", "a number");
    read_guidance(c, j);
    for (int k = 0; k < JOB_MAX_STAGES; k++)
        read_stage(&c->stage[k], j, k);
    output = text_of(j, "output");
    r->run = output != NULL;
    r->png = output && strcmp(output, "png") == 0;
    r->keep = json_is_true(json_object_get(j, "keep_stages"));
    snprintf(r->model_hash, sizeof r->model_hash, "%s",
             text_of(j, "model_hash") ? text_of(j, "model_hash") : "");
    return read_flags(r, path);
}

void job_recipe_close(job_recipe *r)
{
    json_decref(r->json);
    gd_block_free(r->flags);
    if (r->names)
        gd_arena_free(r->names);
}
