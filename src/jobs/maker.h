/* SPDX-License-Identifier: MIT */
/* maker.h - makes images for guided sample and guided verify: models, classes, stages, noise; and
 * the recipe that describes them. */
#ifndef GD_JOBS_MAKER_H
#define GD_JOBS_MAKER_H

#include "jobs/jobs.h"
#include "records/records.h"
#include "sampling/sampling.h"

enum { JOB_MAX_STAGES = GD_MAX_STAGES - 1 }; /* upsamplers after the base model */

/* Options of one upsampler; NULL and below 0: not given */
typedef struct job_stage_choice {
    const char *steps, *sampler, *classifier;
    double eta, scale;
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
} job_stage_choice;

/* Everything that decides an image: options of guided sample, and members of the recipe. */
typedef struct job_sampling {
    const char *model, *classifier, *classes, *labels, *steps, *sampler, *rng, *precision,
        *upsampler;
    const char *uncond, *weaker, *interval, *threshold, *spacing; /* of guidance and solvers */
    double scale, eta, low_res_noise, guidance_scale, guidance_rescale, sigma_min, sigma_max, churn;
    int gradient_every, null_class;
    int branch_call;            /* 0: no branch */
    const char *branch_class;   /* NULL: unchanged */
    double branch_scale;        /* below 0: unchanged */
    const char *branch_sampler; /* NULL: unchanged */
    bool hold_gradient;
    int n, first, batch;
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
    bool clip, unguided;
    bool fast; /* few calls: gd_stage_fast sets solver and levels that are not given */
    job_stage_choice stage[JOB_MAX_STAGES];
    const gd_flag *flag; /* the authors' flags, of the network */
    int n_flags;
} job_sampling;

/* Context of a stage's hooks */
typedef struct job_watch {
    struct job_maker *maker;
    int stage;
} job_watch;

typedef struct job_maker {
    job_sampling c; /* all options are set, except a scale that the preset gives */
    gd_model *model[GD_MAX_STAGES], *classifier[GD_MAX_STAGES]; /* of each stage */
    gd_model *uncond, *weaker; /* networks that guide the base model */
    gd_stack stack;
    job_classes classes;
    int n_stages;       /* upsamplers */
    int size, channels; /* of the last stage's images */
    int steps;          /* network calls of one image, all stages together */
    gd_torch_rng torch;
    int64_t *labels;   /* block: of one batch */
    float *prediction; /* block: one image, for previews */
    job_watch watch[GD_MAX_STAGES];
    char all_steps[16];     /* "1000" if all steps are used */
    char files[2][4096];    /* of a built-in model and its classifier */
    job_progress *progress; /* counts network calls; may be NULL */
    gd_records *records; /* of a run in a folder, which other processes may wait for; may be NULL */
    int64_t branch_label; /* -1: none */
    bool branched;        /* the current batch has branched */
} job_maker;

/* The defaults of the options */
job_sampling job_sampling_default(void);
/* Opens models and checks that they fit each other, which is fast.  Close the maker even after a
 * failure. */
GD_CHECKED gd_status job_maker_open(job_maker *m, const job_sampling *choice);
/* Sets the seed of a run that another process started; call before job_maker_prepare */
void job_maker_set_seed(job_maker *m, uint64_t seed);
/* Makes engines and working memory for `images`; nothing is allocated afterwards. */
GD_CHECKED gd_status job_maker_prepare(job_maker *m, int64_t images);
/* Makes images first .. first + n - 1, n at most m->stack.batch.  finished() gets each part of each
 * image: part 0 from the base model, part k from upsampler k, x [C][size][size]. GD_EINTERRUPTED
 * after a signal. */
GD_CHECKED gd_status job_maker_run(job_maker *m, int64_t first, int n, gd_picture_fn finished,
                                   void *ctx);
int job_maker_size(const job_maker *m, int part);
bool job_maker_labelled(const job_maker *m);
void job_maker_close(job_maker *m);

/* ---- branch.c ---- */

/* Checks the options; call after models and classes are open */
GD_CHECKED gd_status job_branch_open(job_maker *m);
/* Of the finished image */
int64_t job_branch_label(const job_maker *m, int64_t image);
void job_branch_begin(job_maker *m);                 /* before each batch */
void job_branch_step(job_maker *m, int n, int call); /* before each network call of n images */

/* ---- sample_recipe.c: a flat JSON object; keys are option names ---- */

/* *out: malloc'ed.  words: the command line, for guided info, or NULL.  output: "npz" or "png" of a
 * run in a folder, NULL for other outputs; keep: stages are kept */
GD_CHECKED gd_status job_recipe_make(char **out, const job_maker *m, const char *output, bool keep,
                                     const job_words *words);
typedef struct job_recipe {
    gd_arena *names; /* paths of the files found; NULL: not searched */
    job_sampling choice;
    bool keep, png;      /* of a run in a folder */
    bool run;            /* it is one: has "output" */
    struct json_t *json; /* holds the texts */
    gd_flag flag[JOB_MAX_FLAGS];
    char *flags; /* block */
    char model_hash[33];
} job_recipe;
/* GD_EFORMAT names the member that is missing or wrong.  Close it even after a failure. */
GD_CHECKED gd_status job_recipe_read(job_recipe *out, const char *text, const char *path);
/* Searches the files that a picture's recipe names: by the given path, beside the picture, among
 * the built-in models. */
GD_CHECKED gd_status job_recipe_find_files(job_recipe *recipe, const char *picture);
void job_recipe_close(job_recipe *recipe);

/* ---- large.c: a run in a folder ---- */

typedef struct job_large {
    const char *folder;
    bool share, keep, png, quiet;
    double deadline;        /* seconds to wait for a silent process */
    const job_words *words; /* the command line */
    int64_t done;           /* out: images with a record */
} job_large;
GD_CHECKED gd_status job_large_run(job_maker *m, job_large *l);
void job_large_describe(gd_records_layout *out, const job_maker *m, bool keep, bool png);

#endif
