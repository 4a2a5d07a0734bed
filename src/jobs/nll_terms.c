/* SPDX-License-Identifier: MIT */
/* nll_terms.c - each step's terms, summed over the images, in the authors' files. */
#include "jobs/nll.h"

#include <errno.h>
#include <string.h>

/* The authors' file names; terms.npz beside them holds the sums of an unfinished run. */
static const char *const names[NLL_TERMS] = { "vb", "mse", "xstart_mse" };

static const char *path_of(char path[4200], const nll_terms *t, const char *name)
{
    snprintf(path, 4200, "%.4000s/%s", t->folder, name);
    return path;
}

static gd_status read_sums(nll_terms *t, const gd_bundle *b, const char *path)
{
    const gd_array *n = gd_bundle_find(b, "images");

    if (!n || n->dtype != GD_I64 || gd_array_count(n) != 1)
        return gd_fail(GD_EFORMAT, "%s: not written by guided nll", path);
    for (int k = 0; k < NLL_TERMS; k++) {
        const gd_array *a = gd_bundle_find(b, names[k]);
        if (!a || a->dtype != GD_F64 || gd_array_count(a) != t->steps)
            return gd_fail(GD_EFORMAT, "%s: the sums do not have %d steps", path, t->steps);
        GD_TRY(gd_bundle_read(b, a, t->sum[k]));
    }
    return gd_bundle_read(b, n, &t->images);
}

static gd_status go_on(nll_terms *t)
{
    char path[4200];
    gd_bundle *b;
    gd_status s;

    if (!gd_path_exists(path_of(path, t, "terms.npz")))
        return GD_OK;
    GD_TRY(gd_bundle_open(&b, path));
    s = read_sums(t, b, path);
    gd_bundle_close(b);
    return s;
}

gd_status nll_terms_open(nll_terms *t, const char *folder, int steps, bool overwrite, bool resume)
{
    char path[4200];

    *t = (nll_terms){ .folder = folder, .steps = steps };
    if (!folder)
        return GD_OK;
    for (int k = 0; k < NLL_TERMS; k++)
        GD_TRY(gd_block_make(&t->sum[k], (size_t)steps * sizeof(double), "terms"));
    if (gd_os.mkdir(folder, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, folder);
    if (resume)
        return go_on(t);
    if (!overwrite && (gd_path_exists(path_of(path, t, "terms.npz")) ||
                       gd_path_exists(path_of(path, t, "vb_terms.npz")))) {
        gd_status s = gd_fail(GD_EEXISTS, "%s exists already", path);
        gd_detail("hint: --overwrite replaces it, --resume continues it");
        return s;
    }
    return GD_OK;
}

static gd_status save(const nll_terms *t)
{
    const gd_array arrays[NLL_TERMS + 1] = { { names[0], GD_F64, 1, { t->steps } },
                                             { names[1], GD_F64, 1, { t->steps } },
                                             { names[2], GD_F64, 1, { t->steps } },
                                             { "images", GD_I64, 1, { 1 } } };
    const void *const data[] = { t->sum[0], t->sum[1], t->sum[2], &t->images };
    char path[4200];

    return gd_npz_write(path_of(path, t, "terms.npz"), GD_OWN, arrays, data, COUNT(arrays));
}

gd_status nll_terms_add(nll_terms *t, const gd_likelihood *of)
{
    const double *const from[NLL_TERMS] = { of->vb, of->mse, of->xstart_mse };

    if (!t->folder)
        return GD_OK;
    for (int k = 0; k < NLL_TERMS; k++)
        for (int i = 0; i < t->steps; i++)
            t->sum[k][i] += from[k][i];
    t->images++;
    return save(t);
}

static gd_status write_one(const nll_terms *t, int k, float *mean)
{
    const gd_array array = { "arr_0", GD_F32, 1, { t->steps } };
    const void *const data = mean;
    char path[4200], name[64];

    for (int i = 0; i < t->steps; i++)
        mean[i] = (float)(t->sum[k][i] / (double)t->images);
    snprintf(name, sizeof name, "%s_terms.npz", names[k]);
    return gd_npz_write(path_of(path, t, name), GD_OWN, &array, &data, 1);
}

gd_status nll_terms_write(const nll_terms *t)
{
    float *mean;
    gd_status s = GD_OK;

    if (!t->folder || t->images == 0)
        return GD_OK;
    GD_TRY(gd_block_make(&mean, (size_t)t->steps * sizeof *mean, "terms"));
    for (int k = 0; k < NLL_TERMS && s == GD_OK; k++)
        s = write_one(t, k, mean);
    gd_block_free(mean);
    return s;
}

void nll_terms_free(nll_terms *t)
{
    for (int k = 0; k < NLL_TERMS; k++)
        gd_block_free(t->sum[k]);
}
