/* SPDX-License-Identifier: MIT */
/* restore.h - what restore, invert, purify and img2img share: inputs, a run of samples, outputs. */
#ifndef GD_JOBS_RESTORE_H
#define GD_JOBS_RESTORE_H

#include "jobs/jobs.h"
#include "restore/restore.h"

#include <pthread.h>
#include <stdatomic.h>

/* Options of all four verbs; each verb uses its own */
typedef struct restore_options {
    const char *model, *classifier, *classes, *labels, *precision, *output;
    const char *op, *measurement, *simulate, *truth, *image, *solver, *noise_scale, *steps,
        *sampler, *cotangent;
    double scale, noise, poisson, strength, eta;
    int calls, t, n, rounds, threads, memory, tile;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool overwrite, quiet, json, recompute, as_published, resume, whole;
} restore_options;
restore_options restore_defaults(void);

/* An image, or an array of numbers, as it came from its file */
typedef struct restore_input {
    gd_shape shape;
    double *data; /* block: [c][h][w] in [-1, 1]; an array's numbers as they are */
    bool bytes;   /* from a picture */
} restore_input;

typedef struct restore_run {
    restore_options o;
    job_words words;
    char model_file[4096];
    gd_model *model, *classifier;
    gd_restoration r;
    restore_input y, truth;            /* truth.data NULL: not known */
    int done;                          /* finished samples */
    double *samples;                   /* block: [n][C][H][W] */
    double *mean, *deviation, *latent; /* in the same block: [C][H][W] each */
    double *rounds;                    /* in the same block: [lanes][C][H][W] */
    double *residual, *psnr, *ssim;    /* in the same block: [n] each */
    double mean_psnr, mean_ssim;       /* of the mean */
    double pinv_psnr, pinv_ssim;       /* of A^+ y, NAN where there is none */
    double start;                      /* seconds */
    job_progress progress;
    pthread_t own;             /* the thread of the run: only it shows progress */
    _Atomic int64_t elsewhere; /* calls of lanes on other threads that are not shown yet */
    _Atomic bool stop;         /* those lanes are to end */
    char *recipe;              /* malloc'ed */
    gd_text texts[2];
} restore_run;

/* ---- restore_run.c ---- */

/* Models, threads, memory, seed */
GD_CHECKED gd_status restore_open_models(restore_run *r);
/* Settings that follow from the options alone */
GD_CHECKED gd_status restore_settings(restore_run *r, gd_restoration_settings *s);
/* Allocates memory and makes n samples; Ctrl-C keeps finished samples (GD_EINTERRUPTED) */
GD_CHECKED gd_status restore_samples(restore_run *r);
/* Makes one sample; r->deviation: the gradient of <cotangent, sample> with respect to the image */
GD_CHECKED gd_status restore_gradient(restore_run *r, const double *cotangent);
/* Notices: residual far above the noise (not solved), or far below it (noise was fitted) */
void restore_judge(const restore_run *r);
/* restore_release frees everything of one measurement, so that the next can follow; restore_close
 * also the models */
void restore_release(restore_run *r);
void restore_close(restore_run *r);

/* ---- restore_files.c ---- */

/* A picture (gd_image_formats), or a .npy of rank 2 or 3 */
GD_CHECKED gd_status restore_read(restore_input *in, const char *path);
/* Grey to equal channels, and back where they are equal; GD_EMISMATCH names both counts */
GD_CHECKED gd_status restore_channels(restore_input *in, int channels, const char *path);
void restore_input_free(restore_input *in);
/* Creates the output folder before any work; GD_EEXISTS if it exists and is not shared */
GD_CHECKED gd_status restore_folder(const restore_run *r, bool share);
GD_CHECKED gd_status restore_recipe(restore_run *r, const job_kind *command);
/* Write FOLDER/NAME: a PNG with the recipe, clipped to [-1, 1]; a .npy of float32 */
GD_CHECKED gd_status restore_write_png(const restore_run *r, const char *name, const double *x,
                                       gd_shape shape);
GD_CHECKED gd_status restore_write_npy(const restore_run *r, const char *name, const double *x,
                                       gd_shape shape);
/* Writes samples, mean and deviation, metrics.csv, run.json */
GD_CHECKED gd_status restore_write_all(restore_run *r);
/* Prints one line of result: as text on standard error, or with --json on standard output */
GD_CHECKED gd_status restore_print(const restore_run *r);

/* ---- restore_table.c ---- */

/* Writes FOLDER/metrics.csv with a row for each finished measurement of name [n], in this order */
GD_CHECKED gd_status restore_write_table(const char *folder, const char *const *name, int n);
/* True if FOLDER/NAME (without suffix) contains a finished result */
bool restore_entry_done(const char *folder, const char *name);

#endif
