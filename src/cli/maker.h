/* maker.h - what makes images for guided sample and guided verify: models, classes, stages, noise;
 * and the recipe that says how. */
#ifndef GD_CLI_MAKER_H
#define GD_CLI_MAKER_H

#include "cli/cli.h"
#include "records/records.h"
#include "sampling/sampling.h"

enum { CLI_MAX_STAGES = GD_MAX_STAGES - 1 }; /* upsamplers behind the base model */

/* Of one upsampler; NULL, and below 0: not said */
typedef struct cli_stage_choice {
    const char *steps, *sampler, *classifier;
    double eta, scale;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
} cli_stage_choice;

/* Everything that decides an image: options of guided sample, members of the recipe. */
typedef struct cli_sampling {
    const char *model, *classifier, *classes, *labels, *steps, *sampler, *rng, *precision,
        *upsampler;
    const char *uncond, *weaker, *interval, *threshold, *spacing; /* of guidance and solvers */
    double scale, eta, low_res_noise, guidance_scale, guidance_rescale, sigma_min, sigma_max, churn;
    int gradient_every, null_class;
    bool hold_gradient;
    int n, first, batch;
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
    bool clip, unguided;
    bool fast; /* few calls: what is not said of solver and levels is as gd_stage_fast says */
    cli_stage_choice stage[CLI_MAX_STAGES];
    const gd_flag *flag; /* the authors' flags, of the network */
    int n_flags;
} cli_sampling;

typedef struct cli_maker {
    cli_sampling c; /* settled: nothing is left open but a scale of the preset */
    gd_model *model[GD_MAX_STAGES], *classifier[GD_MAX_STAGES]; /* of each stage */
    gd_model *uncond, *weaker;                                  /* that guide the base model */
    gd_stack stack;
    cli_classes classes;
    int n_stages, size, channels; /* n_stages: upsamplers; size: of the last stage */
    int steps;                    /* network calls of one image, all stages together */
    gd_torch_rng torch;
    int64_t *labels;        /* block: of one batch */
    char all_steps[16];     /* "1000" where all steps are taken */
    char files[2][4096];    /* of a built-in model and its classifier */
    cli_progress *progress; /* counts network calls; may be NULL */
} cli_maker;

/* Defaults of the options that have some */
cli_sampling cli_sampling_default(void);
/* Opens models and checks that they fit each other: quick.  Close the maker whatever happened. */
GD_CHECKED gd_status cli_maker_open(cli_maker *m, const cli_sampling *choice);
/* The seed of a run that others began; before cli_maker_prepare */
void cli_maker_set_seed(cli_maker *m, uint64_t seed);
/* Engines and working memory, arranged for `images`: nothing is allocated afterwards. */
GD_CHECKED gd_status cli_maker_prepare(cli_maker *m, int64_t images);
/* Images first .. first + n - 1, n at most m->stack.batch.  finished() gets each picture of each
 * image: part 0 of the base model, part k of upsampler k, x [C][size][size]. GD_EINTERRUPTED after
 * a signal. */
GD_CHECKED gd_status cli_maker_run(cli_maker *m, int64_t first, int n, gd_picture_fn finished,
                                   void *ctx);
int cli_maker_size(const cli_maker *m, int part);
bool cli_maker_labelled(const cli_maker *m);
void cli_maker_close(cli_maker *m);

/* ---- sample_recipe.c: a flat JSON object; keys are option names ---- */

/* malloc'ed.  words: the command line, for guided info, or NULL.  output: "npz" or "png" of a run
 * in a folder, NULL for other outputs; keep: stages are kept */
GD_CHECKED gd_status cli_recipe_make(char **out, const cli_maker *m, const char *output, bool keep,
                                     const cli_words *words);
typedef struct cli_recipe {
    gd_arena *names; /* of files that were found; NULL: none were looked for */
    cli_sampling choice;
    bool keep, png;      /* of a run in a folder */
    bool run;            /* it is one: has "output" */
    struct json_t *json; /* holds the texts */
    gd_flag flag[CLI_MAX_FLAGS];
    char *flags; /* block */
    char model_hash[33];
} cli_recipe;
/* GD_EFORMAT names the member that is missing or wrong.  Close it whatever happened. */
GD_CHECKED gd_status cli_recipe_read(cli_recipe *out, const char *text, const char *path);
/* Files that a picture's recipe names are looked for: as named, beside the picture, among the
 * built-in models. */
GD_CHECKED gd_status cli_recipe_find_files(cli_recipe *recipe, const char *picture);
void cli_recipe_close(cli_recipe *recipe);

/* ---- large.c: a run in a folder ---- */

typedef struct cli_large {
    const char *folder;
    bool share, keep, png, quiet;
    const cli_words *words; /* the command line */
    int64_t done;           /* out: images that have their record */
} cli_large;
GD_CHECKED gd_status cli_large_run(cli_maker *m, cli_large *l);
void cli_large_describe(gd_records_layout *out, const cli_maker *m, bool keep, bool png);

#endif
