/* SPDX-License-Identifier: MIT */
/* reference.c - means and covariances that a reference file brings along
 * (docs/reference/evaluation.md#files). */
#include "eval/eval.h"

#include <math.h>
#include <string.h>

enum { MAX_WIDTH = 1 << 16 };

/* float64 is kept, other types are widened through float32 */
static gd_status read_double(double *out, const gd_bundle *b, const gd_array *a)
{
    const int64_t n = gd_array_count(a);
    float *single;
    gd_status s;

    if (a->dtype == GD_F64)
        return gd_bundle_read(b, a, out);
    GD_TRY(gd_block_make(&single, (size_t)n * sizeof *single, "statistics"));
    s = gd_bundle_read_f32(b, a, single);
    for (int64_t i = 0; i < n && s == GD_OK; i++)
        out[i] = single[i];
    gd_block_free(single);
    return s;
}

static gd_status check(const gd_bundle *b, const gd_array *mean, const gd_array *covariance,
                       const char *mean_name, const char *covariance_name)
{
    const char *path = gd_bundle_path(b);

    if (!mean || !covariance)
        return gd_fail(GD_EFORMAT, "%s: has %s and no %s", path, mean ? mean_name : covariance_name,
                       mean ? covariance_name : mean_name);
    if (mean->rank != 1 || covariance->rank != 2 || mean->dim[0] < 1 || mean->dim[0] > MAX_WIDTH ||
        covariance->dim[0] != mean->dim[0] || covariance->dim[1] != mean->dim[0])
        return gd_fail(GD_EFORMAT,
                       "%s: %s of rank %d and %lld values does not fit %s of rank %d, expected "
                       "[D] and [D,D]",
                       path, mean_name, mean->rank, (long long)gd_array_count(mean),
                       covariance_name, covariance->rank);
    return GD_OK;
}

static gd_status all_finite(const gd_statistics *s, const gd_bundle *b, const char *name)
{
    bool finite = true;

    for (int i = 0; i < s->width; i++)
        finite &= isfinite(s->mean[i]);
    for (int64_t i = 0; i < (int64_t)s->width * s->width; i++)
        finite &= isfinite(s->covariance[i]);
    return finite ? GD_OK
                  : gd_fail(GD_EFORMAT, "%s: %s holds values that are not finite",
                            gd_bundle_path(b), name);
}

gd_status gd_statistics_read(gd_statistics *out, const gd_bundle *b, const char *mean_name,
                             const char *covariance_name, bool *found)
{
    const gd_array *mean = gd_bundle_find(b, mean_name),
                   *covariance = gd_bundle_find(b, covariance_name);

    *found = mean || covariance;
    if (!*found)
        return GD_OK;
    GD_TRY(check(b, mean, covariance, mean_name, covariance_name));
    *out = (gd_statistics){ .width = (int)mean->dim[0] };
    const size_t row = (size_t)out->width * sizeof(double);
    GD_TRY(gd_block_make(&out->mean, row, mean_name));
    GD_TRY(gd_block_make(&out->covariance, row * (size_t)out->width, covariance_name));
    GD_TRY(read_double(out->mean, b, mean));
    GD_TRY(read_double(out->covariance, b, covariance));
    return all_finite(out, b, mean_name);
}
