/* SPDX-License-Identifier: MIT */
/* train_sets.c - the sets of images of guided train, and the network's classes. */
#include "jobs/train.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

bool train_flag_given(const train_run *r, const char *name)
{
    for (int i = 0; i < r->words.n_flags; i++)
        if (strcmp(r->words.flag[i].name, name) == 0 && *r->words.flag[i].value)
            return true;
    return false;
}

/* ---- opening ---- */

static gd_status open_set(train_run *r, gd_dataset **out, const char *path)
{
    gd_dataset_options o = { .channels = r->o.channels ? r->o.channels : 3 };

    GD_TRY(gd_labels_read(&o.labels, r->o.train.labels));
    return gd_dataset_open(out, path, &o);
}

/* Sets r->names to the names of the set's classes; none if they are only numbers */
static gd_status take_names(train_run *r, const gd_dataset *set)
{
    const int n = gd_dataset_classes(set);
    /* a resumed run already names it */
    const bool none = r->o.train.label_dropout > 0 && n < gd_net_classes(&r->config.net);

    free(r->names);
    r->names = NULL;
    r->classes = (gd_class_names){ 0 };
    if (n == 0 || !gd_dataset_class_name(set, 0))
        return GD_OK;
    r->names = calloc((size_t)(n + none), sizeof *r->names);
    if (!r->names)
        return gd_fail(GD_ENOMEM, "class names: out of memory");
    for (int i = 0; i < n; i++)
        r->names[i] = gd_dataset_class_name(set, i);
    if (none)
        r->names[n] = "none";
    r->classes = (gd_class_names){ r->names, n + none };
    return GD_OK;
}

gd_status train_take_known(train_run *r)
{
    const char *text = r->checkpoint ? gd_bundle_meta(r->checkpoint, "guided.classes") : NULL;
    size_t bytes = text ? strlen(text) + 1 : 0;

    GD_TRY(gd_dist_broadcast(r->dist, &bytes, sizeof bytes));
    if (bytes == 0)
        return GD_OK;
    r->known_classes = calloc(bytes, 1);
    GD_TRY(gd_dist_agree(
        r->dist, r->known_classes ? GD_OK : gd_fail(GD_ENOMEM, "class names: out of memory"),
        NULL));
    if (text)
        memcpy(r->known_classes, text, bytes);
    return gd_dist_broadcast(r->dist, r->known_classes, bytes);
}

/* The classes of a resumed run: a JSON list of names */
static gd_status match_known(gd_dataset *set, const char *known, const char *run)
{
    const char **name;
    json_t *list;
    gd_status s;

    GD_TRY(gd_json_parse(&list, known, strlen(known), 2, run));
    const size_t n = json_array_size(list);
    name = calloc(GD_MAX(n, 1), sizeof *name);
    for (size_t i = 0; name && i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        name[i] = text ? text : "";
    }
    s = name ? gd_dataset_match_classes(set, name, (int)n)
             : gd_fail(GD_ENOMEM, "class names: out of memory");
    free(name);
    json_decref(list);
    return s;
}

gd_status train_open_sets(train_run *r)
{
    GD_TRY(open_set(r, &r->set, r->o.train.data));
    if (r->known_classes)
        GD_TRY(match_known(r->set, r->known_classes, r->o.out));
    if (!*r->o.train.val_data)
        return GD_OK;
    GD_TRY(open_set(r, &r->val_set, r->o.train.val_data));
    GD_TRY(take_names(r, r->set)); /* a label must mean the same class in both */
    return gd_dataset_match_classes(r->val_set, r->names, r->classes.n);
}

/* Checks by count, names and labels that every host has the same images in the same order */
gd_status train_compare_sets(const train_run *r)
{
    const int64_t n = gd_dataset_count(r->set);
    char name[512] = "", hash[33];
    gd_hasher *h;

    if (gd_dist_ranks(r->dist) == 1)
        return GD_OK;
    GD_TRY(gd_hasher_make(&h));
    for (int64_t i = 0; i < n; i++) {
        const int64_t label = gd_dataset_label(r->set, i);
        gd_dataset_name(r->set, i, name, sizeof name);
        gd_hasher_add(h, name, strlen(name) + 1);
        gd_hasher_add(h, &label, sizeof label);
    }
    gd_hasher_text(h, hash);
    gd_hasher_free(h);
    snprintf(name, sizeof name, "the images in %.480s", r->o.train.data);
    return gd_dist_compare(r->dist, hash, sizeof hash, name,
                           "every host needs the same files with the same names");
}

/* ---- classes ---- */

static gd_status check_classes(const train_run *r)
{
    const int have = gd_net_classes(&r->config.net), classes = gd_dataset_classes(r->set);

    if (have > 0 && classes == 0)
        return gd_fail(
            GD_EFORMAT,
            "%s: has no labels, but the model is class-conditional\nhint: --class_cond False",
            r->o.train.data);
    if (classes > have && have > 0)
        return gd_fail(GD_EMISMATCH, "%s: has %d classes, but the model has %d", r->o.train.data,
                       classes, have);
    if (r->o.train.label_dropout > 0 && have <= classes && !r->o.resume)
        return gd_fail(GD_EUSAGE,
                       "--label-dropout: the model has %d classes, the images have %d: the dropped "
                       "label needs one more\nhint: --class_cond True, --num_classes %d",
                       have, classes, classes + 1);
    return GD_OK;
}

/* Before training: refuses labels that cannot be classes, reports unusual ones. */
static gd_status check_labels(const train_run *r)
{
    const bool needed = r->kind == GD_NET_CLASSIFIER;
    char line[512];
    const gd_labels_doubt doubt = gd_dataset_doubt(r->set, line, sizeof line);

    if (doubt == GD_LABELS_REFUSED)
        return gd_fail(
            GD_EFORMAT, "%s: %s\nhint: %sa folder for each class, or names CLASS_rest.png",
            r->o.train.data, line,
            needed ? "" : "--labels none (or --class_cond False) trains without classes; ");
    if (doubt == GD_LABELS_ODD)
        gd_log(GD_LOG_NOTE, "%s: %s%s", r->o.train.data, line,
               needed ? "" : "; --labels none trains without classes");
    return GD_OK;
}

static gd_status set_classifier_classes(train_run *r)
{
    const int classes = gd_dataset_classes(r->set);

    if (classes < 2)
        return gd_fail(GD_EFORMAT,
                       "%s: %d class%s: a classifier needs two\nhint: one folder "
                       "for each class, or names CLASS_rest.png",
                       r->o.train.data, classes, classes == 1 ? "" : "es");
    if (!train_flag_given(r, "num_classes"))
        r->config.net.out_channels = classes;
    return GD_OK;
}

/* The model has the set's classes, unless flags set others; --labels none makes a model without
 * classes. */
static gd_status set_classes(train_run *r)
{
    const int classes = gd_dataset_classes(r->set);
    gd_net_config *n = &r->config.net;

    if (r->kind == GD_NET_CLASSIFIER)
        return set_classifier_classes(r);
    if (strcmp(r->o.train.labels, "none") == 0 && !train_flag_given(r, "class_cond"))
        n->num_classes = 0;
    if (n->num_classes == 0)
        return GD_OK;
    if (classes > 0 && !train_flag_given(r, "num_classes"))
        n->num_classes =
            classes + (r->o.train.label_dropout > 0); /* the last class is the dropped label */
    return GD_OK;
}

gd_status train_settle_classes(train_run *r)
{
    if (!r->o.resume && !*r->pt_model)
        GD_TRY(set_classes(r));
    GD_TRY(check_classes(r));
    if (gd_net_classes(&r->config.net) > 0)
        GD_TRY(check_labels(r));
    GD_TRY(take_names(r, r->set));
    if (r->classes.n == gd_net_classes(&r->config.net))
        return GD_OK;
    if (r->classes.n > 0 && gd_net_classes(&r->config.net) > 0)
        gd_log(GD_LOG_NOTE, "%s: %d class names are not stored, because the model has %d classes",
               r->o.train.data, r->classes.n, gd_net_classes(&r->config.net));
    r->classes = (gd_class_names){ 0 };
    return GD_OK;
}
