/* SPDX-License-Identifier: MIT */
/* checkpoint.c - everything of a run in one file: parameters, averages, moments, counters, the
 * timestep sampler, options, configuration, class names (docs/reliability.md).  A safetensors file
 * with the hashes of our model files; arrays "model.NAME", "ema_RATE.NAME", "adam_m.NAME",
 * "adam_v.NAME", "sampler.history", "sampler.count". */
#include "train/train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 3 + GD_MAX_EMA };

typedef struct set {
    char prefix[32];
    float *values;
} set;

/* The flat arrays of a learner under their names in the file */
static int list_sets(const gd_trainer *t, set out[MAX_SETS])
{
    const gd_learner *l = t->learner;
    int n = 0;

    out[n++] = (set){ "model.", l->p };
    for (int k = 0; k < t->averages.n; k++) {
        out[n] = (set){ .values = l->ema[k] };
        snprintf(out[n++].prefix, sizeof out->prefix, "ema_%s.", t->averages.text[k]);
    }
    out[n++] = (set){ "adam_m.", l->m };
    out[n++] = (set){ "adam_v.", l->v };
    return n;
}

static gd_array history_array(const gd_trainer *t)
{
    return (gd_array){ "sampler.history", GD_F64, 2, { t->sampler.n, GD_LOSS_HISTORY } };
}

static gd_array count_array(const gd_trainer *t)
{
    return (gd_array){ "sampler.count", GD_I64, 1, { t->sampler.n } };
}

/* ---- saving ---- */

static char *copy_of(gd_arena *mem, json_t *json)
{
    char *text = json ? json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII) : NULL;
    char *copy = text ? gd_strdup(mem, text) : NULL;

    free(text);
    json_decref(json);
    return copy;
}

static gd_status describe(const gd_trainer *t, gd_arena *mem, char **out)
{
    json_t *options, *json;

    GD_TRY(gd_train_options_json(&t->options, &options));
    json = json_pack("{s:I, s:I, s:I, s:i, s:s, s:o}", "step", (json_int_t)t->step, "updates",
                     (json_int_t)t->learner->updates, "skipped", (json_int_t)t->skipped, "ranks",
                     gd_dist_ranks(t->dist), "guided", gd_version(), "options", options);
    *out = copy_of(mem, json);
    return *out ? GD_OK : gd_fail(GD_ENOMEM, "checkpoint: out of memory");
}

static gd_status describe_classes(const gd_class_names *classes, gd_arena *mem, char **out)
{
    json_t *list = json_array();

    for (int i = 0; i < classes->n; i++)
        if (json_array_append_new(list, json_string(classes->name[i])) != 0) {
            json_decref(list);
            return gd_fail(GD_ENOMEM, "checkpoint: out of memory");
        }
    *out = copy_of(mem, list);
    return *out ? GD_OK : gd_fail(GD_ENOMEM, "checkpoint: out of memory");
}

static gd_status describe_all(const gd_trainer *t, gd_arena *mem, const gd_class_names *classes,
                              gd_meta meta[6], int *n)
{
    char *config, *training, *names;

    GD_TRY(gd_config_to_json(&t->config, mem, &config));
    GD_TRY(describe(t, mem, &training));
    meta[0] = (gd_meta){ "guided.format", "1" };
    meta[1] = (gd_meta){ "guided.kind", gd_net_kind_names[t->config.net.kind] };
    meta[2] = (gd_meta){ "guided.config", config };
    meta[3] = (gd_meta){ "guided.training", training };
    meta[4] = (gd_meta){ "guided.averages", t->options.ema_rate };
    *n = 5;
    if (classes->n > 0) {
        GD_TRY(describe_classes(classes, mem, &names));
        meta[(*n)++] = (gd_meta){ "guided.classes", names };
    }
    return GD_OK;
}

static gd_array *list_arrays(const gd_trainer *t, gd_arena *mem, const set *sets, int n_sets,
                             int *n)
{
    const gd_learner *l = t->learner;
    gd_array *a = gd_alloc(mem, (size_t)(n_sets * l->n_param + 2) * sizeof *a);

    *n = 0;
    for (int s = 0; s < n_sets && a; s++)
        for (int i = 0; i < l->n_param; i++) {
            gd_array *one = &a[(*n)++];
            *one = (gd_array){ .name = gd_sprintf(mem, "%s%s", sets[s].prefix, l->spec[i].name),
                               .dtype = GD_F32,
                               .rank = l->spec[i].rank };
            memcpy(one->dim, l->spec[i].dim, sizeof l->spec[i].dim);
            if (!one->name)
                return NULL;
        }
    if (a && t->sampler.by_loss) {
        a[(*n)++] = history_array(t);
        a[(*n)++] = count_array(t);
    }
    return a;
}

static gd_status write_arrays(gd_safetensors_writer *w, const gd_trainer *t, const set *sets,
                              int n_sets)
{
    const size_t n = (size_t)t->sampler.n;

    for (int s = 0; s < n_sets; s++)
        GD_TRY(gd_safetensors_add(w, sets[s].values, (size_t)t->learner->total * sizeof(float)));
    if (!t->sampler.by_loss)
        return GD_OK;
    GD_TRY(gd_safetensors_add(w, t->sampler.history, n * GD_LOSS_HISTORY * sizeof(double)));
    return gd_safetensors_add(w, t->sampler.count, n * sizeof(int64_t));
}

static gd_status save(const gd_trainer *t, gd_arena *mem, const char *path,
                      const gd_class_names *classes)
{
    gd_safetensors_writer *w;
    gd_meta meta[6];
    set sets[MAX_SETS];
    const int n_sets = list_sets(t, sets);
    int n_meta, n;
    gd_array *arrays = list_arrays(t, mem, sets, n_sets, &n);
    gd_status s;

    if (!arrays)
        return gd_fail(GD_ENOMEM, "checkpoint: out of memory");
    GD_TRY(describe_all(t, mem, classes, meta, &n_meta));
    GD_TRY(gd_safetensors_begin(&w, path, GD_OWN, arrays, n, meta, n_meta));
    s = write_arrays(w, t, sets, n_sets);
    if (s == GD_OK)
        return gd_safetensors_commit(w);
    gd_safetensors_abort(w);
    return s;
}

gd_status gd_checkpoint_save(const gd_trainer *t, const char *path, const gd_class_names *classes)
{
    gd_arena *mem;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = save(t, mem, path, classes);
    gd_arena_free(mem);
    return s;
}

uint64_t gd_checkpoint_bytes(const gd_trainer *t)
{
    const uint64_t header = 1 << 20;
    set sets[MAX_SETS];

    return header + (uint64_t)list_sets(t, sets) * (uint64_t)t->learner->total * sizeof(float);
}

/* ---- loading ---- */

static gd_status training_json(const gd_bundle *b, json_t **out)
{
    const char *text = gd_bundle_meta(b, "guided.training");

    if (!text)
        return gd_fail(GD_EFORMAT, "%s: no training checkpoint of guided", gd_bundle_path(b));
    return gd_json_parse(out, text, strlen(text), 4, gd_bundle_path(b));
}

gd_status gd_checkpoint_open(gd_bundle **out, const char *path, gd_train_options *options,
                             gd_model_config *config)
{
    const char *config_text;
    json_t *json = NULL;
    gd_bundle *b;
    gd_status s;

    GD_TRY(gd_bundle_open(&b, path));
    s = training_json(b, &json);
    if (s == GD_OK)
        s = gd_train_options_read(options, json_object_get(json, "options"), path);
    json_decref(json);
    config_text = gd_bundle_meta(b, "guided.config");
    if (s == GD_OK)
        s = config_text ? gd_config_from_json(config, config_text, path)
                        : gd_fail(GD_EFORMAT, "%s: has no guided.config", path);
    if (s == GD_OK)
        *out = b;
    else
        gd_bundle_close(b);
    return s;
}

static gd_status read_array(const gd_bundle *b, const gd_array *want, void *out)
{
    const gd_array *a = gd_bundle_find(b, want->name);

    if (!a || a->dtype != want->dtype || gd_array_count(a) != gd_array_count(want))
        return gd_fail(GD_EFORMAT, "%s: %s is missing or of another shape", gd_bundle_path(b),
                       want->name);
    GD_TRY(gd_bundle_read(b, a, out));
    gd_bundle_release(b, a);
    return GD_OK;
}

static gd_status read_set(const gd_trainer *t, const gd_bundle *b, const set *one)
{
    const gd_learner *l = t->learner;
    char name[GD_MAX_NAME + 64];

    for (int i = 0; i < l->n_param; i++) {
        gd_array want = { .name = name, .dtype = GD_F32, .rank = l->spec[i].rank };
        snprintf(name, sizeof name, "%.31s%.511s", one->prefix, l->spec[i].name);
        memcpy(want.dim, l->spec[i].dim, sizeof l->spec[i].dim);
        GD_TRY(read_array(b, &want, one->values + l->offset[i]));
    }
    return GD_OK;
}

static gd_status read_sampler(gd_trainer *t, const gd_bundle *b)
{
    const gd_array history = history_array(t), count = count_array(t);

    if (!t->sampler.by_loss)
        return GD_OK;
    GD_TRY(read_array(b, &history, t->sampler.history));
    GD_TRY(read_array(b, &count, t->sampler.count));
    for (int i = 0; i < t->sampler.n; i++)
        if (t->sampler.count[i] < 0 || t->sampler.count[i] > GD_LOSS_HISTORY)
            return gd_fail(GD_EFORMAT, "%s: sampler.count: %lld losses of step %d",
                           gd_bundle_path(b), (long long)t->sampler.count[i], i);
    return GD_OK;
}

static gd_status read_counters(gd_trainer *t, const gd_bundle *b)
{
    json_t *json;

    GD_TRY(training_json(b, &json));
    t->step = json_integer_value(json_object_get(json, "step"));
    t->learner->updates = json_integer_value(json_object_get(json, "updates"));
    t->skipped = json_integer_value(json_object_get(json, "skipped"));
    t->written_by = (int)json_integer_value(json_object_get(json, "ranks"));
    t->written_by = GD_MAX(t->written_by, 1); /* the first files do not say: one */
    json_decref(json);
    /* more updates than steps: after the authors' files, whose number 0 has had one */
    if (t->step < 0 || t->learner->updates < 0)
        return gd_fail(GD_EFORMAT, "%s: guided.training: step %lld, %lld updates",
                       gd_bundle_path(b), (long long)t->step, (long long)t->learner->updates);
    return GD_OK;
}

gd_status gd_checkpoint_load(gd_trainer *t, const gd_bundle *b)
{
    set sets[MAX_SETS];
    const int n = list_sets(t, sets);

    for (int i = 0; i < n; i++)
        GD_TRY(read_set(t, b, &sets[i]));
    GD_TRY(read_sampler(t, b));
    GD_TRY(read_counters(t, b));
    return gd_trainer_refresh(t);
}

bool gd_checkpoint_step(const char *path, int64_t *step)
{
    char newest[GD_MAX_PATH];
    gd_bundle *b;
    json_t *json;
    bool found;

    if (gd_run_newest(newest, path) == GD_OK)
        path = newest;
    if (gd_bundle_open(&b, path) != GD_OK)
        return false;
    found = training_json(b, &json) == GD_OK;
    if (found) {
        *step = json_integer_value(json_object_get(json, "step"));
        json_decref(json);
    }
    gd_bundle_close(b);
    return found;
}
