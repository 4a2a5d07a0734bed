/* eval_extra.c - what guided eval finds in features beyond the ADM suite: the distance at infinity,
 * memorisation, diversity, classes. */
#include "jobs/eval.h"

#include <jansson.h>
#include <math.h>
#include <string.h>

int64_t eval_image_of(const eval_side *side, int64_t k)
{
    return gd_survey_place(k, side->survey.kept, side->survey.count);
}

/* ---- labels ---- */

/* Labels of the rows of a side's features, in place */
static void of_rows(int32_t *label, const eval_side *side)
{
    for (int64_t k = 0; k < side->survey.kept; k++)
        label[k] = label[eval_image_of(side, k)]; /* never before k */
}

static gd_status measure_classes(eval_run *r, const gd_features *ref, const gd_features *samples)
{
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
        s = gd_per_class_measure(&r->classes, &r->n_classes, ref, a.label, samples, b.label);
    }
    gd_labels_free(&a);
    gd_labels_free(&b);
    return s;
}

gd_status eval_measure_extra(eval_run *r)
{
    const gd_features ref = eval_features(r, &r->ref), samples = eval_features(r, &r->samples);

    if (r->wanted[EVAL_INFINITY])
        GD_TRY(gd_infinity_measure(&r->infinity, &r->ref.pool, &samples, r->o.seed));
    if (r->wanted[EVAL_MEMORISATION])
        GD_TRY(gd_memorisation_measure(&r->memorisation, &ref, &samples));
    if (r->wanted[EVAL_VENDI]) {
        GD_TRY(gd_vendi_measure(&r->vendi_samples, &samples));
        GD_TRY(gd_vendi_measure(&r->vendi_ref, &ref));
    }
    return r->o.per_class ? measure_classes(r, &ref, &samples) : GD_OK;
}

/* ---- JSON ---- */

static json_t *number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

static void set_infinity(json_t *j, const gd_infinity *f)
{
    json_t *points = json_array();

    json_object_set_new(j, "fid_infinity", number(f->value));
    json_object_set_new(j, "fid_infinity_deviation", number(f->error));
    for (int k = 0; k < GD_INFINITY_POINTS; k++)
        json_array_append_new(points, json_pack("[I,f]", (json_int_t)f->n[k], f->distance[k]));
    json_object_set_new(j, "fid_at", points);
}

static void set_memorisation(json_t *j, const eval_run *r)
{
    const gd_memorisation *m = &r->memorisation;
    json_t *pairs = json_array();

    json_object_set_new(j, "authenticity", number(m->authenticity));
    json_object_set_new(j, "memorization_ratio", number(m->median_ratio));
    for (int k = 0; k < m->n_pairs; k++) {
        json_t *pair = json_pack("{s:I,s:I}", "sample",
                                 (json_int_t)eval_image_of(&r->samples, m->pair[k].sample),
                                 "reference", (json_int_t)eval_image_of(&r->ref, m->pair[k].ref));
        json_object_set_new(pair, "distance", number(m->pair[k].distance));
        json_object_set_new(pair, "ratio", number(m->pair[k].ratio));
        json_array_append_new(pairs, pair);
    }
    json_object_set_new(j, "nearest_pairs", pairs);
}

static void set_classes(json_t *j, const eval_run *r)
{
    json_t *list = json_array();

    for (int i = 0; i < r->n_classes; i++) {
        const gd_class_scores *c = &r->classes[i];
        json_t *row = json_pack("{s:I,s:I,s:I}", "class", (json_int_t)c->label, "reference_images",
                                (json_int_t)c->n_ref, "samples", (json_int_t)c->n_samples);
        json_object_set_new(row, "fid", number(c->distance));
        json_object_set_new(row, "precision", number(c->precision));
        json_object_set_new(row, "recall", number(c->recall));
        json_array_append_new(list, row);
    }
    json_object_set_new(j, "classes", list);
}

void eval_extra_set(json_t *j, const eval_run *r)
{
    if (r->wanted[EVAL_INFINITY])
        set_infinity(j, &r->infinity);
    if (r->wanted[EVAL_MEMORISATION])
        set_memorisation(j, r);
    if (r->wanted[EVAL_VENDI]) {
        json_object_set_new(j, "vendi", number(r->vendi_samples));
        json_object_set_new(j, "vendi_reference", number(r->vendi_ref));
    }
    if (r->o.per_class)
        set_classes(j, r);
}

/* ---- text ---- */

static void print_classes(const eval_run *r)
{
    fprintf(job_out(), "\n%8s %10s %8s %12s %10s %8s\n", "class", "reference", "samples", "FID",
            "precision", "recall");
    for (int i = 0; i < r->n_classes; i++) {
        const gd_class_scores *c = &r->classes[i];
        fprintf(job_out(), "%8lld %10lld %8lld %12.6g %10.4f %8.4f\n", (long long)c->label,
                (long long)c->n_ref, (long long)c->n_samples, c->distance, c->precision, c->recall);
    }
}

void eval_extra_print(const eval_run *r)
{
    const gd_memorisation *m = &r->memorisation;

    if (r->wanted[EVAL_INFINITY])
        fprintf(job_out(), "%-16s %.6f +- %.2g\n", "FID infinity", r->infinity.value,
                r->infinity.error);
    if (r->wanted[EVAL_MEMORISATION]) {
        fprintf(job_out(), "%-16s %.4f\n", "Authenticity", m->authenticity);
        fprintf(
            job_out(),
            "%-16s %.4f (median of distance to the nearest reference image over its own nearest "
            "neighbour's)\n",
            "Memorization", m->median_ratio);
        for (int k = 0; k < m->n_pairs; k++)
            fprintf(job_out(), "  sample %lld is nearest to reference image %lld, ratio %.3f\n",
                    (long long)eval_image_of(&r->samples, m->pair[k].sample),
                    (long long)eval_image_of(&r->ref, m->pair[k].ref), m->pair[k].ratio);
    }
    if (r->wanted[EVAL_VENDI])
        fprintf(job_out(), "%-16s %.4f (reference %.4f)\n", "Vendi score", r->vendi_samples,
                r->vendi_ref);
    if (r->n_classes > 0)
        print_classes(r);
}
