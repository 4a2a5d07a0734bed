/* SPDX-License-Identifier: MIT */
/* evaluate_more.c - metrics of features beyond distance, precision and recall. */
#include "api/handles.h"
#include "eval/extra.h"

#include <string.h>

_Static_assert((int)GUIDED_NEAREST == (int)GD_PAIRS, "as many pairs");

guided_status guided_frechet_infinity(guided_context *context, double *out, double *error,
                                      const float *ref, int64_t n_ref, const float *samples,
                                      int64_t n_samples, int width, uint64_t seed)
{
    const gd_entered before = gd_enter(context);
    const gd_features set = { samples, n_samples, width };
    gd_statistics of_ref = { 0 };
    gd_infinity f;
    gd_moments *m;
    gd_status s = gd_moments_make(&m, width);

    if (s != GD_OK)
        return gd_leave(&before, s);
    gd_moments_add(m, ref, n_ref);
    s = gd_moments_finish(m, &of_ref);
    gd_moments_free(m);
    if (s == GD_OK)
        s = gd_infinity_measure(&f, &of_ref, &set, seed);
    gd_statistics_free(&of_ref);
    if (s == GD_OK) {
        *out = f.value;
        *error = f.error;
    }
    return gd_leave(&before, s);
}

guided_status guided_find_copies(guided_context *context, guided_copies *out, const float *ref,
                                 int64_t n_ref, const float *samples, int64_t n_samples, int width)
{
    const gd_entered before = gd_enter(context);
    const gd_features a = { ref, n_ref, width }, b = { samples, n_samples, width };
    gd_memorisation m;
    const gd_status s = gd_memorisation_measure(&m, &a, NULL, &b);

    if (s != GD_OK)
        return gd_leave(&before, s);
    *out = (guided_copies){ .authenticity = m.authenticity,
                            .median_ratio = m.median_ratio,
                            .n_nearest = m.n_pairs };
    for (int i = 0; i < m.n_pairs; i++)
        out->nearest[i] = (guided_nearest){ m.pair[i].sample, m.pair[i].ref, m.pair[i].distance,
                                            m.pair[i].ratio };
    return gd_leave(&before, s);
}

guided_status guided_vendi(guided_context *context, double *out, const float *rows, int64_t n,
                           int width)
{
    const gd_entered before = gd_enter(context);
    const gd_features set = { rows, n, width };

    return gd_leave(&before, gd_vendi_measure(out, &set));
}

guided_status guided_compare_classes(guided_context *context, guided_class_scores *out, int room,
                                     int *n, const float *ref, const int32_t *ref_label,
                                     int64_t n_ref, const float *samples,
                                     const int32_t *sample_label, int64_t n_samples, int width)
{
    const gd_entered before = gd_enter(context);
    const gd_features a = { ref, n_ref, width }, b = { samples, n_samples, width };
    gd_class_scores *all = NULL;
    const gd_status s = gd_per_class_measure(&all, n, &a, ref_label, &b, sample_label);

    for (int i = 0; s == GD_OK && i < GD_MIN(*n, room); i++)
        out[i] = (guided_class_scores){ all[i].label,    all[i].n_ref,     all[i].n_samples,
                                        all[i].distance, all[i].precision, all[i].recall };
    gd_block_free(all);
    return gd_leave(&before, s);
}
