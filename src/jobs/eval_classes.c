/* SPDX-License-Identifier: MIT */
/* eval_classes.c - guided eval --per-class: distance, precision and recall of each class. */
#include "jobs/eval.h"

#include <jansson.h>

/* Labels of the rows of a side's features, in place */
static void of_rows(int32_t *label, const eval_side *side)
{
    for (int64_t k = 0; k < side->survey.kept; k++)
        label[k] = label[gd_image_of_row(&side->survey, k)]; /* never before k */
}

gd_status eval_measure_classes(eval_run *r)
{
    const gd_features ref = eval_features(r, &r->ref), samples = eval_features(r, &r->samples);
    gd_labels_of a = { 0 }, b = { 0 };
    gd_status s = gd_labels_open(&a, r->ref.path, gd_images_count(r->ref.images));

    if (s == GD_OK)
        s = gd_labels_open(&b, r->samples.path, gd_images_count(r->samples.images));
    if (s == GD_OK && (!a.label || !b.label))
        s = gd_fail(GD_EFORMAT,
                    "--per-class: %s has no labels\nhint: arr_1 of an .npz, a folder for "
                    "each class, or names that begin with the class and \"_\"",
                    a.label ? r->samples.path : r->ref.path);
    if (s == GD_OK) {
        of_rows(a.label, &r->ref);
        of_rows(b.label, &r->samples);
        s = gd_per_class_measure(&r->classes, &r->n_classes, &ref, a.label, &samples, b.label);
    }
    gd_labels_free(&a);
    gd_labels_free(&b);
    return s;
}

void eval_classes_set(json_t *j, const eval_run *r)
{
    json_t *list = json_array();

    for (int i = 0; i < r->n_classes; i++) {
        const gd_class_scores *c = &r->classes[i];
        json_t *row = json_pack("{s:I,s:I,s:I}", "class", (json_int_t)c->label, "reference_images",
                                (json_int_t)c->n_ref, "samples", (json_int_t)c->n_samples);
        json_object_set_new(row, "fid", gd_json_number(c->distance));
        json_object_set_new(row, "precision", gd_json_number(c->precision));
        json_object_set_new(row, "recall", gd_json_number(c->recall));
        json_array_append_new(list, row);
    }
    json_object_set_new(j, "classes", list);
}

void eval_classes_print(const eval_run *r)
{
    fprintf(job_out(), "\n%8s %10s %8s %12s %10s %8s\n", "class", "reference", "samples", "FID",
            "precision", "recall");
    for (int i = 0; i < r->n_classes; i++) {
        const gd_class_scores *c = &r->classes[i];
        fprintf(job_out(), "%8lld %10lld %8lld %12.6g %10.4f %8.4f\n", (long long)c->label,
                (long long)c->n_ref, (long long)c->n_samples, c->distance, c->precision, c->recall);
    }
}
