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

static gd_status open_labelled(gd_dataset **out, const char *path, int64_t count)
{
    const gd_dataset_options o = { .labels = GD_LABELS_AUTO };
    char line[256];

    *out = NULL;
    if (!gd_path_exists(path)) /* several files: their labels would be numbered apart */
        return GD_OK;
    GD_TRY(gd_dataset_open(out, path, &o));
    if (gd_dataset_count(*out) == count && gd_dataset_classes(*out) > 1 &&
        gd_dataset_doubt(*out, line, sizeof line) != GD_LABELS_REFUSED)
        return GD_OK;
    gd_dataset_close(*out);
    *out = NULL;
    return GD_OK;
}

gd_status eval_labels(int32_t **out, const char *path, int64_t count)
{
    gd_dataset *set;
    gd_status s;

    *out = NULL;
    GD_TRY(open_labelled(&set, path, count));
    if (!set)
        return GD_OK;
    s = gd_block_make((void **)out, (size_t)count * sizeof **out, "labels");
    for (int64_t i = 0; i < count && s == GD_OK; i++)
        (*out)[i] = (int32_t)gd_dataset_label(set, i);
    gd_dataset_close(set);
    return s;
}

/* Labels of the rows of a side's features, in place */
static void of_rows(int32_t *label, const eval_side *side)
{
    for (int64_t k = 0; k < side->survey.kept; k++)
        label[k] = label[eval_image_of(side, k)]; /* never before k */
}

static gd_status measure_classes(eval_run *r, const gd_features *ref, const gd_features *samples)
{
    int32_t *a = NULL, *b = NULL;
    gd_status s = eval_labels(&a, r->ref.path, gd_images_count(r->ref.images));

    if (s == GD_OK)
        s = eval_labels(&b, r->samples.path, gd_images_count(r->samples.images));
    if (s == GD_OK && (!a || !b))
        s = gd_fail(GD_EFORMAT,
                    "--per-class: %s has no labels\nhint: arr_1 of an .npz, a folder for "
                    "each class, or names that begin with the class and \"_\"",
                    a ? r->samples.path : r->ref.path);
    if (s == GD_OK) {
        of_rows(a, &r->ref);
        of_rows(b, &r->samples);
        s = gd_per_class_measure(&r->classes, &r->n_classes, ref, a, samples, b);
    }
    gd_block_free(a);
    gd_block_free(b);
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
