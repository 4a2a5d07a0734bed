/* cli.h - the command's parts: options, help, outputs, progress, signals, names of classes. */
#ifndef GD_CLI_H
#define GD_CLI_H

#include "data/data.h"
#include "diffusion/diffusion.h"
#include "dist/dist.h"
#include "nn/bench.h"
#include "nn/nn.h"
#include "sampling/sampling.h"

#include <stddef.h>

/* ---- args.c, values.c, settings.c: one table of options makes parsing, help, manual, completion,
 * configuration files and the recipe of a picture ---- */

typedef enum cli_type {
    CLI_SWITCH,
    CLI_COUNT, /* -v, -vv */
    CLI_INT,
    CLI_WIDE,
    CLI_SEED,
    CLI_REAL,
    CLI_TEXT, /* an argument "fp32|bf16" lists all values there are, CLI_SAMPLER stands for the
                 names of the table of solvers */
    CLI_MAYBE /* a text that may be left out: "" then */
} cli_type;
#define CLI_SAMPLER "SAMPLER"
typedef struct cli_option {
    const char *name;
    char letter; /* 0: none */
    cli_type type;
    const char *argument,
        *about; /* about "= --NAME": the authors' name of another option; NULL: not in the help */
    size_t offset;   /* in the command's structure: bool, int (COUNT, INT), int64_t (WIDE), uint64_t
                      * (and a bool *_given after it), double, const char * */
    double min, max; /* a number outside is not set yet */
} cli_option;

/* An option that the command line, the environment or the configuration file gave */
typedef enum cli_source { CLI_FROM_FILE, CLI_FROM_ENVIRONMENT, CLI_FROM_LINE } cli_source;
typedef struct cli_given {
    const cli_option *option;
    const char *text; /* of a switch "true" or "false" */
    cli_source source;
} cli_given;

enum { CLI_MAX_FLAGS = 64, CLI_MAX_WORDS = 8, CLI_MAX_GIVEN = 128 };
typedef struct cli_words {
    gd_flag flag[CLI_MAX_FLAGS]; /* the authors' flags, in order */
    int n_flags;
    const char *word[CLI_MAX_WORDS];
    int n_words;
    cli_given given[CLI_MAX_GIVEN]; /* each option once */
    int n_given;
} cli_words;

/* Given by this very name, not by another one of the same option; NULL: not */
const cli_given *cli_given_named(const cli_words *words, const char *name);

typedef struct cli_command {
    const char *name, *about, *usage, *example;
    const cli_option *options;
    int n_options;
    gd_status (*run)(int argc, char **argv);
    const char *notes; /* a paragraph of the manual; may be NULL */
} cli_command;

extern const cli_command cli_sample, cli_upsample, cli_nll, cli_eval, cli_train,
    cli_train_classifier, cli_info, cli_convert, cli_init, cli_bench, cli_completion, cli_help,
    cli_verify, cli_models, cli_restore, cli_invert, cli_purify, cli_img2img, cli_sweep;
extern const cli_command *const cli_commands[]; /* commands.c */
extern const int cli_n_commands;
const cli_command *cli_command_find(const char *name); /* NULL: no such verb */
/* GD_EUSAGE with the nearest verb */
GD_CHECKED gd_status cli_unknown_verb(const char *name);

/* What every command takes.  A verb may keep an option of the same name: both are set then. */
typedef struct cli_settings {
    const char *config, *progress;
    int verbose;
    bool quiet, print_config;
    int64_t max_pixels;
} cli_settings;
extern cli_settings cli_common;
extern const cli_option cli_common_options[];
extern const int cli_n_common_options;

/* Options go into *values: those of the command line over those of GUIDED_NAME variables over those
 * of the --config file over what *values holds.  Other known names go into words->flag.  GD_EUSAGE
 * names the option, and the nearest name for what is unknown; GD_EFORMAT a line of the file.
 * --print-config prints and ends the program. */
GD_CHECKED gd_status cli_parse(const cli_command *command, int argc, char **argv, void *values,
                               cli_words *words);
/* -h or --help anywhere: prints and ends the program */
void cli_help_wanted(const cli_command *command, int argc, char **argv);
GD_CHECKED gd_status cli_value_set(const cli_option *o, const char *text, void *values);
/* "name = value", a comment where it is not set */
void cli_value_print(const cli_option *o, const void *values, FILE *out);
/* The k-th word of "fp32|bf16", NULL behind the last; NULL for an argument that is no list */
const char *cli_choice(const cli_option *o, int k, char word[64]);
bool cli_is_alias(const cli_option *o);
bool cli_takes_value(const cli_option *o);

/* ---- manual.c, completion.c, version.c ---- */

void cli_print_brief(const cli_command *command, FILE *out); /* at most 24 lines of 80 */
/* Lets go of the texts that options of a finished command point to */
void cli_forget(void);
void cli_print_help(const cli_command *command, FILE *out);
/* The manual page; command NULL: guided(1).  roff, or plain text */
void cli_print_manual(const cli_command *command, bool roff, FILE *out);
/* bash, zsh or fish */
void cli_print_completion(const char *shell, FILE *out);
GD_CHECKED gd_status cli_print_version(bool json);

/* ---- recipe.c: the command that makes a picture again ---- */

struct json_t;
/* Adds "command" to a recipe: the verb, options and flags that decide what the pictures are, but
 * for those that only choose which and where. */
GD_CHECKED gd_status cli_recipe_add_command(struct json_t *recipe, const cli_command *command,
                                            const cli_words *words);
/* Prints the command, quoted for a shell, that makes the picture at `path` from its recipe. image:
 * its number in a folder, or NULL */
/* recipe_names.c: the recipe as a picture carries it, with the names of files alone; free(*out) */
GD_CHECKED gd_status cli_recipe_for_picture(char **out, const char *recipe);
GD_CHECKED gd_status cli_recipe_print(const char *recipe, const char *image, const char *path);

/* ---- terminal.c: what is said on standard error ---- */

/* Descriptors 0 to 2 that whoever started us closed are taken, so that no file gets one of them and
 * then text meant for the terminal. */
void cli_open_standard_streams(void);
/* From here on what is printed on standard output and standard error is text: names, keys and
 * recipes come from files, and no terminal obeys them.  cli_raw alone writes bytes as they are. */
void cli_guard_terminal(void);
/* Behind what was printed on `to` (stdout or stderr); false: errno says why */
bool cli_raw(FILE *to, const void *data, size_t bytes);
void cli_raw_text(FILE *to, const char *format, ...) GD_PRINTF(2, 3);

bool cli_colour(void); /* standard error is a terminal that has colours, and NO_COLOR is unset */
bool cli_live(void);   /* progress rewrites one line */
void cli_set_notices(void);       /* the library's notices, as -q, -v and -vv want them */
int cli_report(gd_status status); /* prints gd_error(); the exit status */
/* What printf left behind: GD_EIO, GD_ENOSPACE when standard output could not take all */
GD_CHECKED gd_status cli_flush(void);
struct json_t;
/* One line of JSON on standard output; takes `json`, NULL: out of memory */
GD_CHECKED gd_status cli_print_json(struct json_t *json);
/* With -v: once, when the work itself begins, and at the end; seconds since cli_start_clock */
void cli_start_clock(void);
void cli_say_ready(void);
void cli_say_machine(void);
/* An image [h][w][c] of bytes in half blocks on standard error */
void cli_preview(const uint8_t *pixels, int width, int height, int channels);

/* ---- classes.c ---- */

/* Names of a file, one a line; at most `count`, more are GD_EMISMATCH. */
typedef struct cli_names {
    char *text;        /* block: the file, with lines ended by zeros */
    const char **name; /* block */
    int n;
} cli_names;
GD_CHECKED gd_status cli_names_read(cli_names *out, const char *path, int count);
/* The model's own, ImageNet's for 1000 classes, or none (n is 0) */
GD_CHECKED gd_status cli_names_of_model(cli_names *out, const gd_model *model);
void cli_names_free(cli_names *names);

typedef struct cli_classes {
    int64_t *label; /* block; image i has label[i % n] */
    int n;
    bool random; /* labels are drawn, keyed by (seed, image) */
    int count;   /* of classes */
} cli_classes;
/* spec: NULL, "all" or "balanced" (in turn), "random", or names, indices (#7, #3-5; without # where
 * no class is called by another number) and ranges with commas between them.  What may mean two
 * classes is GD_EUSAGE.  labels_file: a name a line, or NULL. */
GD_CHECKED gd_status cli_classes_read(cli_classes *out, const char *spec, const gd_model *model,
                                      int count, const char *labels_file);
/* The labels of a set as classes of a model: by name where both have names; GD_EMISMATCH, with the
 * remedy, for labels that can be no classes, a notice for odd ones.  Nothing for a model without.
 */
GD_CHECKED gd_status cli_labels_fit(gd_dataset *set, const char *path, const gd_model *model,
                                    const char *remedy);
int64_t cli_class_of(const cli_classes *c, uint64_t seed, int64_t image);
void cli_classes_free(cli_classes *c);

/* ---- output.c ---- */

typedef enum cli_format { CLI_GRID, CLI_FOLDER, CLI_NPZ } cli_format;
typedef struct cli_output {
    const char *path; /* "-": standard output */
    cli_format format;
    gd_replace replace;
    bool preview;
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

/* ---- authors.c: what a line of the authors' scripts means ---- */

/* *steps and *sampler (NULL: not given) of guided sample, and with `upsampler` of guided upsample,
 * as the authors' names and defaults decide them: use_ddim and timestep_respacing are independent
 * there, and a line with their network flags takes all steps. */
GD_CHECKED gd_status cli_authors_sampling(const cli_words *words, bool upsampler, bool use_ddim,
                                          const char **steps, const char **sampler);
/* guided help flags: the table of scripts, flags and defaults */
void cli_print_flags(FILE *out);

/* ---- dry_run.c: --dry-run ---- */

/* A network and how often it runs for an image */
typedef struct cli_load {
    const gd_model *model;
    int calls;
} cli_load;
/* Prints parameters, memory and an estimate of the time on standard output. */
GD_CHECKED gd_status cli_dry_run(const cli_load *load, int n, int64_t images, bool bf16);
/* The networks of an open stage for cli_dry_run; how many they are */
int cli_stage_load(const gd_stage *stage, cli_load load[2]);

/* ---- progress.c, signals ---- */

typedef struct cli_progress {
    bool tty, json, quiet;
    const char *unit; /* NULL: steps */
    double start, last;
    int64_t total, done;
    int quarter;
} cli_progress;
void cli_progress_start(cli_progress *p, int64_t total, bool quiet);
void cli_progress_step(cli_progress *p);
void cli_progress_end(cli_progress *p);
void cli_catch_signals(void);
void cli_progress_hide(void);  /* before other text on standard error */
int cli_stopped_by(void);      /* the signal that asked to stop, 0: none */
bool cli_take_save_wish(void); /* SIGUSR1 came since the last call */

/* ---- bench_metrics.c ---- */
GD_CHECKED gd_status cli_bench_metrics(bool json); /* guided bench --metrics */

/* ---- bench_accuracy.c: path NULL: the built-in model ---- */
GD_CHECKED gd_status cli_bench_accuracy(const char *path, int images); /* guided bench --accuracy */

/* ---- bench_scaling.c: guided bench --scaling ---- */
GD_CHECKED gd_status cli_bench_scaling(const char *preset, bool bf16);

/* ---- bench_tune.c ---- */
GD_CHECKED gd_status cli_bench_tune(void); /* guided bench --tune */

/* ---- locate.c: model and data files of the program ---- */
/* models/ or data/ file under GUIDED_MODELS, the install folder, the source tree; NULL if nowhere.
 * `out` has 4096 bytes. */
const char *cli_locate(char *out, const char *name);

/* ---- builtin.c: the models that come with the program, by name ---- */

typedef enum cli_role { CLI_MODEL, CLI_CLASSIFIER, CLI_UPSAMPLER, CLI_ROLES } cli_role;
typedef struct cli_builtin {
    const char *name, *about;
    const char *file[CLI_ROLES]; /* for cli_locate; NULL: it has none of this role */
} cli_builtin;
/* *path that is no file but a built-in model's name becomes the path of that model's file of this
 * role; NULL becomes the first built-in file of the role.  file: 4096 bytes that hold the path.  A
 * file or folder that exists has precedence, with a notice.  GD_EUSAGE: not installed, or no such
 * role; a missing file without suffix is an error with the built-in names. */
GD_CHECKED gd_status cli_builtin_path(const char **path, char *file, cli_role role);
/* gd_model_open of such a file or name */
GD_CHECKED gd_status cli_model_open(gd_model **out, const char *path, cli_role role,
                                    const gd_flag *flags, int n_flags);
/* What --model `model` means; NULL: a file.  model NULL: the default */
const cli_builtin *cli_builtin_meant(const char *model);

/* ---- inception.c: files of the 2015 Inception network ---- */

/* Opening `path` as a model gave `status`: is it such a file instead?  Keeps the message if not. */
bool cli_is_inception(const char *path, gd_status status);
GD_CHECKED gd_status cli_inception_info(const char *path, bool json);
GD_CHECKED gd_status cli_inception_convert(const char *from, const char *to, bool overwrite);

/* ---- bench_train.c ---- */
GD_CHECKED gd_status cli_bench_train(const char *preset, bool bf16, int batch_size, bool json,
                                     bool profile);

/* ---- ranks.c ---- */

/* Threads and memory of this rank (0: not given): the machine's are shared with the other ranks on
 * it. */
void cli_ranks_settle(gd_dist *d, int threads, int memory_mib);
/* How many there are, and how many images of each "batch" or "round" this one has */
void cli_ranks_say(const gd_dist *d, int images, const char *of);
/* The end of a verb: what all ranks know is told by the first; a failure of this rank alone ends
 * the others. */
GD_CHECKED gd_status cli_ranks_leave(gd_dist *d, gd_status s);

/* ---- cmd_bench.c ---- */

/* To stderr: the time of every kind and shape of step, then the floor's shapes */
GD_CHECKED gd_status cli_print_profile(const gd_plan *plan, gd_exec *exec, const gd_floor *floor);

#endif
