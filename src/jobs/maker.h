/* maker.h - what makes images for guided sample and guided verify: models, classes, stages, noise;
 * and the recipe that says how. */
#ifndef GD_JOBS_MAKER_H
#define GD_JOBS_MAKER_H

#include "jobs/jobs.h"
#include "records/records.h"
#include "sampling/sampling.h"

enum { JOB_MAX_STAGES = GD_MAX_STAGES - 1 }; /* upsamplers behind the base model */

/* Of one upsampler; NULL, and below 0: not said */
typedef struct job_stage_choice {
    const char *steps, *sampler, *classifier;
    double eta, scale;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
} job_stage_choice;

/* Everything that decides an image: options of guided sample, members of the recipe. */
typedef struct job_sampling {
    const char *model, *classifier, *classes, *labels, *steps, *sampler, *rng, *precision,
        *upsampler;
    const char *uncond, *weaker, *interval, *threshold, *spacing; /* of guidance and solvers */
    double scale, eta, low_res_noise, guidance_scale, guidance_rescale, sigma_min, sigma_max, churn;
    int gradient_every, null_class;
    int branch_call;            /* 0: no branch */
    const char *branch_class;   /* NULL: as before */
    double branch_scale;        /* below 0: as before */
    const char *branch_sampler; /* NULL: as before */
    bool hold_gradient;
    int n, first, batch;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool clip, unguided;
    bool fast; /* few calls: what is not said of solver and levels is as gd_stage_fast says */
    job_stage_choice stage[JOB_MAX_STAGES];
    const gd_flag *flag; /* the authors' flags, of the network */
    int n_flags;
} job_sampling;

/* What a stage's hooks get */
typedef struct job_watch {
    struct job_maker *maker;
    int stage;
} job_watch;

typedef struct job_maker {
    job_sampling c; /* settled: nothing is left open but a scale of the preset */
    gd_model *model[GD_MAX_STAGES], *classifier[GD_MAX_STAGES]; /* of each stage */
    gd_model *uncond, *weaker;                                  /* that guide the base model */
    gd_stack stack;
    job_classes classes;
    int n_stages, size, channels; /* n_stages: upsamplers; size: of the last stage */
    int steps;                    /* network calls of one image, all stages together */
    gd_torch_rng torch;
    int64_t *labels;   /* block: of one batch */
    float *prediction; /* block: one image, for previews */
    job_watch watch[GD_MAX_STAGES];
    char all_steps[16];     /* "1000" where all steps are taken */
    char files[2][4096];    /* of a built-in model and its classifier */
    job_progress *progress; /* counts network calls; may be NULL */
    gd_records *records;    /* of a run in a folder, which others may wait for; may be NULL */
    int64_t branch_label;   /* -1: none */
    bool branched;          /* in this batch */
} job_maker;

/* Defaults of the options that have some */
job_sampling job_sampling_default(void);
/* Opens models and checks that they fit each other: quick.  Close the maker whatever happened. */
GD_CHECKED gd_status job_maker_open(job_maker *m, const job_sampling *choice);
/* The seed of a run that others began; before job_maker_prepare */
void job_maker_set_seed(job_maker *m, uint64_t seed);
/* Engines and working memory, arranged for `images`: nothing is allocated afterwards. */
GD_CHECKED gd_status job_maker_prepare(job_maker *m, int64_t images);
/* Images first .. first + n - 1, n at most m->stack.batch.  finished() gets each picture of each
 * image: part 0 of the base model, part k of upsampler k, x [C][size][size]. GD_EINTERRUPTED after
 * a signal. */
GD_CHECKED gd_status job_maker_run(job_maker *m, int64_t first, int n, gd_picture_fn finished,
                                   void *ctx);
int job_maker_size(const job_maker *m, int part);
bool job_maker_labelled(const job_maker *m);
void job_maker_close(job_maker *m);

/* ---- branch.c ---- */

/* Checks the options; after models and classes */
GD_CHECKED gd_status job_branch_open(job_maker *m);
/* Of the finished image */
int64_t job_branch_label(const job_maker *m, int64_t image);
void job_branch_begin(job_maker *m);                 /* before each batch */
void job_branch_step(job_maker *m, int n, int call); /* before each network call of n images */

/* ---- sample_recipe.c: a flat JSON object; keys are option names ---- */

/* malloc'ed.  words: the command line, for guided info, or NULL.  output: "npz" or "png" of a run
 * in a folder, NULL for other outputs; keep: stages are kept */
GD_CHECKED gd_status job_recipe_make(char **out, const job_maker *m, const char *output, bool keep,
                                     const job_words *words);
typedef struct job_recipe {
    gd_arena *names; /* of files that were found; NULL: none were looked for */
    job_sampling choice;
    bool keep, png;      /* of a run in a folder */
    bool run;            /* it is one: has "output" */
    struct json_t *json; /* holds the texts */
    gd_flag flag[JOB_MAX_FLAGS];
    char *flags; /* block */
    char model_hash[33];
} job_recipe;
/* GD_EFORMAT names the member that is missing or wrong.  Close it whatever happened. */
GD_CHECKED gd_status job_recipe_read(job_recipe *out, const char *text, const char *path);
/* Files that a picture's recipe names are looked for: as named, beside the picture, among the
 * built-in models. */
GD_CHECKED gd_status job_recipe_find_files(job_recipe *recipe, const char *picture);
void job_recipe_close(job_recipe *recipe);

/* ---- large.c: a run in a folder ---- */

typedef struct job_large {
    const char *folder;
    bool share, keep, png, quiet;
    double deadline;        /* seconds to wait for a process that shows no sign of work */
    const job_words *words; /* the command line */
    int64_t done;           /* out: images that have their record */
} job_large;
GD_CHECKED gd_status job_large_run(job_maker *m, job_large *l);
void job_large_describe(gd_records_layout *out, const job_maker *m, bool keep, bool png);

#endif
