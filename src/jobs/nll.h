/* SPDX-License-Identifier: MIT */
/* nll.h - the output files of guided nll: a row for each image, sums of each step's terms. */
#ifndef GD_JOBS_NLL_H
#define GD_JOBS_NLL_H

#include "jobs/jobs.h"

/* ---- nll_rows.c: a table, .csv or lines of JSON (.json, .jsonl), written as rows are known ----
 */

typedef struct nll_row {
    int64_t image, label;
    char name[512];
    double total, prior, vb, mse, xstart_mse; /* means over the steps; bits per dimension */
} nll_row;
typedef struct nll_rows {
    const char *path; /* NULL: no table, only sums */
    bool json;
    bool durable; /* each row is synced: sums that count it follow */
    int64_t n;    /* rows */
    nll_row sum;  /* of the numbers of all rows, as they are written */
} nll_rows;
/* A new table, or with `resume` the first `most` rows of the one that is there: one that was cut
 * short, or is more, is cut off. */
GD_CHECKED gd_status nll_rows_open(nll_rows *rows, const char *path, gd_replace replace,
                                   bool resume, int64_t most);
GD_CHECKED gd_status nll_rows_add(nll_rows *rows, const nll_row *row);

/* ---- nll_terms.c: the authors' vb_terms.npz, mse_terms.npz, xstart_mse_terms.npz ---- */

enum { NLL_TERMS = 3 };
typedef struct nll_terms {
    const char *folder; /* NULL: none are kept */
    int steps;
    int64_t images;         /* that are in the sums */
    double *sum[NLL_TERMS]; /* blocks: [steps], index 0 is the highest t */
} nll_terms;
/* Free with nll_terms_free whatever happened. */
GD_CHECKED gd_status nll_terms_open(nll_terms *t, const char *folder, int steps, bool overwrite,
                                    bool resume);
/* One more image; the sums are saved, so that a later --resume has them. */
GD_CHECKED gd_status nll_terms_add(nll_terms *t, const gd_likelihood *of);
/* arr_0 of each file: float32 [steps], the mean over the images */
GD_CHECKED gd_status nll_terms_write(const nll_terms *t);
void nll_terms_free(nll_terms *t);

#endif
