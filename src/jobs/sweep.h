/* SPDX-License-Identifier: MIT */
/* sweep.h - a study of options: cells, and the table, plot and sheet made of them. */
#ifndef GD_JOBS_SWEEP_H
#define GD_JOBS_SWEEP_H

#include "jobs/eval.h"
#include "jobs/maker.h"

enum { SWEEP_MAX_VALUES = 64, SWEEP_MAX_CELLS = 4096, SWEEP_COLUMNS = 10 };

/* An option of guided sample and its values */
typedef struct sweep_axis {
    const job_option *option;
    char name[64];
    const char *value[SWEEP_MAX_VALUES];
    int n;
} sweep_axis;

typedef struct sweep_cell {
    int at[JOB_MAX_WORDS]; /* the value of each axis */
    bool done;
    int calls; /* of an image's networks */
    double frechet, score, precision, recall, seconds;
} sweep_cell;

typedef struct sweep_run {
    job_sampling choice; /* of all cells */
    const char *ref, *features, *inception, *output;
    int threads;
    bool quiet, json, grey, pad;
    job_words words;
    sweep_axis axis[JOB_MAX_WORDS];
    int n_axes;
    sweep_cell *cell; /* block */
    int n_cells;
    eval_run eval;
    job_progress progress;
    char *text; /* malloc'ed: the words, cut at commas */
} sweep_run;

/* "sampler=ddim,steps=5"; in names of files no "/" */
void sweep_name(const sweep_run *r, const sweep_cell *cell, char *out, size_t size);
/* FOLDER/cells/NAME.suffix */
void sweep_path(const sweep_run *r, const sweep_cell *cell, const char *suffix,
                char out[GD_MAX_PATH]);

/* ---- sweep_report.c: FOLDER/sweep.csv, sweep.svg, sheet.png of the cells that are done ---- */
GD_CHECKED gd_status sweep_report(const sweep_run *r);

#endif
