/* cli.h - the command's parts: options, outputs, progress, signals, names of classes. */
#ifndef GD_CLI_H
#define GD_CLI_H

#include "data/data.h"
#include "diffusion/diffusion.h"
#include "nn/nn.h"

#include <stddef.h>

/* ---- args.c: one table of options makes parsing and help ---- */

typedef enum cli_type {
    CLI_SWITCH,
    CLI_INT,
    CLI_WIDE,
    CLI_SEED,
    CLI_REAL,
    CLI_TEXT,
    CLI_MAYBE /* a text that may be left out: "" then */
} cli_type;
typedef struct cli_option {
    const char *name;
    char letter; /* 0: none */
    cli_type type;
    const char *argument, *about; /* about NULL: not in the help */
    size_t offset; /* in the command's structure: bool, int, int64_t (WIDE), uint64_t (and a bool
                    *_given after it), double, const char * */
    double min, max;
} cli_option;

enum { CLI_MAX_FLAGS = 64, CLI_MAX_WORDS = 8 };
typedef struct cli_words {
    gd_flag flag[CLI_MAX_FLAGS]; /* the authors' flags, in order */
    int n_flags;
    const char *word[CLI_MAX_WORDS];
    int n_words;
    bool help;
} cli_words;

typedef struct cli_command {
    const char *name, *about, *usage, *example;
    const cli_option *options;
    int n_options;
    gd_status (*run)(int argc, char **argv);
} cli_command;

extern const cli_command cli_sample, cli_upsample, cli_nll, cli_eval, cli_train,
    cli_train_classifier, cli_info, cli_convert, cli_init, cli_bench, cli_verify;

/* GD_EUSAGE with the nearest name for what is unknown. Options of `command` go into *values; other
 * known names into words. */
GD_CHECKED gd_status cli_parse(const cli_command *command, int argc, char **argv, void *values,
                               cli_words *words);
void cli_print_help(const cli_command *command, FILE *out);

/* ---- classes.c ---- */

/* Names of a file, one a line; at most `count`, more are GD_EMISMATCH. */
typedef struct cli_names {
    char *text;        /* block: the file, with lines ended by zeros */
    const char **name; /* block */
    int n;
} cli_names;
GD_CHECKED gd_status cli_names_read(cli_names *out, const char *path, int count);
void cli_names_free(cli_names *names);

typedef struct cli_classes {
    int64_t *label; /* block; image i has label[i % n] */
    int n;
    bool random; /* labels are drawn, keyed by (seed, image) */
    int count;   /* of classes */
} cli_classes;
/* spec: NULL, "all" or "balanced" (in turn), "random", numbers, ranges and names separated by
 * commas. labels_file: a name a line, or NULL. */
GD_CHECKED gd_status cli_classes_read(cli_classes *out, const char *spec, const gd_model *model,
                                      int count, const char *labels_file);
int64_t cli_class_of(const cli_classes *c, uint64_t seed, int64_t image);
void cli_classes_free(cli_classes *c);

/* ---- output.c ---- */

typedef enum cli_format { CLI_GRID, CLI_FOLDER, CLI_NPZ } cli_format;
typedef struct cli_output {
    const char *path; /* "-": standard output */
    cli_format format;
    bool overwrite;
    int columns; /* 0: as square as possible */
    int width, height, channels;
    uint8_t *pixels; /* block: [n][h][w][c] of what is finished */
    int64_t *labels; /* block, or NULL */
    int64_t first, n, done;
    const gd_text *texts;
    int n_texts;
} cli_output;
/* Before any work: the format from name and suffix, existing paths, whether the place can be
 * written. */
GD_CHECKED gd_status cli_output_open(cli_output *o, const char *format);
GD_CHECKED gd_status cli_output_add(cli_output *o, const float *image, int64_t label);
GD_CHECKED gd_status cli_output_finish(cli_output *o); /* with what is done; then cli_output_free */
void cli_output_free(cli_output *o);
/* The result as one JSON line on standard output */
void cli_print_result(const char *output, int64_t images, uint64_t seed, double seconds);

/* ---- stage.c: an upsampler behind other images ---- */

typedef struct cli_stage_options {
    const char *steps, *sampler; /* sampler NULL: by the steps */
    double eta, low_res_noise;
    double scale; /* of the classifier's gradient; below 0: the preset's */
    bool clip, bf16;
    uint64_t seed; /* of the run; the stage draws with a key of its own */
    gd_status (*before_step)(void *ctx, int64_t first, int n, int step, int n_steps);
    void *step_ctx;
} cli_stage_options;
typedef struct cli_stage {
    gd_model *model, *classifier;
    gd_engine *engine;
    gd_schedule *schedule;
    gd_trajectory trajectory;
    uint64_t seed;
    int size, small, channels, classes; /* classes: of the upsampler, or of what guides it */
    int64_t image;                      /* elements */
    double low_res_noise;
    float *low_res, *noise; /* blocks */
    void *work;             /* block */
} cli_stage;
/* Opens the models; classifier NULL: unguided.  GD_EMISMATCH for a model that is no upsampler.
 * Close it whatever happened. */
GD_CHECKED gd_status cli_stage_open(cli_stage *s, const char *path, const char *classifier,
                                    const gd_flag *flags, int n_flags);
/* Everything that cli_stage_run needs; nothing is allocated afterwards. */
GD_CHECKED gd_status cli_stage_make(cli_stage *s, const cli_stage_options *options);
/* low: [small][small][C] bytes; label: ignored by an unconditional stage; out: [C][size][size] */
GD_CHECKED gd_status cli_stage_run(cli_stage *s, int64_t image, const uint8_t *low, int64_t label,
                                   float *out);
void cli_stage_close(cli_stage *s);

/* ---- progress.c, signals ---- */

typedef struct cli_progress {
    bool tty, quiet;
    double start, last;
    int64_t total, done;
    int quarter;
    const char *unit; /* NULL: steps */
} cli_progress;
void cli_progress_start(cli_progress *p, int64_t total, bool quiet);
void cli_progress_step(cli_progress *p);
void cli_progress_end(cli_progress *p);
void cli_catch_signals(void);
int cli_stopped_by(void);      /* the signal that asked to stop, 0: none */
bool cli_take_save_wish(void); /* SIGUSR1 came since the last call */

/* ---- bench_metrics.c ---- */
GD_CHECKED gd_status cli_bench_metrics(bool json); /* guided bench --metrics */

/* ---- locate.c: the built-in model and data files ---- */
/* models/ or data/ file under GUIDED_MODELS, the install folder, the source tree; NULL if nowhere.
 * `out` has 4096 bytes. */
const char *cli_locate(char *out, const char *name);

/* ---- inception.c: files of the 2015 Inception network ---- */

/* Opening `path` as a model gave `status`: is it such a file instead?  Keeps the message if not. */
bool cli_is_inception(const char *path, gd_status status);
GD_CHECKED gd_status cli_inception_info(const char *path, bool json);
GD_CHECKED gd_status cli_inception_convert(const char *from, const char *to, bool overwrite);

#endif
