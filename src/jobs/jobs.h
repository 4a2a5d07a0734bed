/* SPDX-License-Identifier: MIT */
/* jobs.h - the verbs of the command as jobs of the library: options, help, outputs, events, class
 * names.
 *
 * Layer contract: a job prints to job_out, reports progress by job_progress and notices by gd_log.
 * It never exits, and reads the environment only when it runs a command line. */
#ifndef GD_JOBS_H
#define GD_JOBS_H

#include "data/data.h"
#include "diffusion/diffusion.h"
#include "dist/dist.h"
#include "nn/nn.h"
#include "sampling/sampling.h"

#include <stddef.h>

/* ---- job.c: one job ---- */

/* The options of every kind.  A kind may define an option of the same name; then both fields are
 * set. */
typedef struct job_settings {
    const char *config, *progress; /* progress: read by the client that shows it */
    int verbose;
    bool quiet, print_config;
    int64_t max_pixels;
} job_settings;

typedef struct job_word {
    char *text;
    bool plain; /* not an option, even if it begins with - */
} job_word;

struct job_kind;
struct job_option;
/* The source of an option's value */
typedef enum job_source { JOB_FROM_FILE, JOB_FROM_ENVIRONMENT, JOB_FROM_LINE } job_source;
typedef struct job_given {
    const struct job_option *option;
    const char *text; /* "true" or "false" for a switch */
    job_source source;
} job_given;
enum { JOB_MAX_FLAGS = 64, JOB_MAX_WORDS = 8, JOB_MAX_GIVEN = 128 };

typedef struct gd_job {
    const struct job_kind *kind;
    gd_settings own;       /* settings of the thread that runs the job */
    gd_log_level log_most; /* highest level that the caller's log receives */
    job_settings settings;
    job_word *word; /* the command line or job_set's options, in order */
    int n_words;
    bool by_line;    /* run as a command line: also reads GUIDED_NAME variables and GUIDED_CONFIG */
    bool describe;   /* only print the table of options with its defaults */
    bool ended;      /* GD_EINTERRUPTED is no failure: --print-config or the like has printed */
    gd_arena *texts; /* strings that options point to */
    FILE *out;
    char *result;
    guided_events events;
    _Atomic bool save;
    _Atomic int64_t macs;           /* multiply-adds of its networks so far */
    job_given given[JOB_MAX_GIVEN]; /* the final values of given options */
    int n_given;
} gd_job;

/* GD_EUSAGE with the nearest kind */
GD_CHECKED gd_status job_open(gd_job **out, const char *kind);
void job_close(gd_job *job); /* NULL is fine */
GD_CHECKED gd_status job_set(gd_job *job, const char *name, const char *text);
GD_CHECKED gd_status job_set_line(gd_job *job, int n, char *const *words);
const char *job_get(const gd_job *job, const char *name);
/* `settings` holds log, limits and stop request */
GD_CHECKED gd_status job_run(gd_job *job, const gd_settings *settings);
void job_save(gd_job *job);

gd_job *job_now(void); /* the job that runs on this thread */
/* Sets the job that runs on this thread and returns the previous job.  For job_run and tests. */
gd_job *job_use(gd_job *job);
FILE *job_out(void); /* the running job's text output */
GD_CHECKED gd_status job_flush(void);
/* Prints one line of JSON, the job's result */
GD_CHECKED gd_status job_print_line(const char *format, ...) GD_PRINTF(1, 2);
struct json_t;
GD_CHECKED gd_status job_print_json(struct json_t *json); /* takes ownership; NULL: out of memory */
bool job_takes_data(void);
bool job_data(const void *data, size_t bytes); /* sends the result itself; false: errno is set */
void job_show_image(const guided_image *image);
bool job_takes_arrays(void);
/* Sends data [dim[0]][dim[1]].. as floats to the event `array`, if it is set */
GD_CHECKED gd_status job_show_array(const char *name, int rank, const int64_t *dim,
                                    const double *data);
bool job_wants_previews(void);
void job_show_preview(const guided_preview *preview);
/* Values from a part of the samples cost time, so they are computed only if the event `partial` is
 * set, and on a command line only with --progress json */
bool job_wants_partial(void);
void job_show_partial(const guided_partial *partial);
bool job_take_save_request(void); /* was job_save called since the last call? */
void job_limit_memory(size_t bytes);

typedef struct job_progress {
    const char *unit;
    double start; /* gd_seconds */
    int64_t total, done;
    bool quiet;
} job_progress;
void job_progress_start(job_progress *p, const char *unit, int64_t total, bool quiet);
void job_progress_step(job_progress *p);
void job_progress_end(job_progress *p);
void job_show_progress(const guided_progress *progress);

/* ---- args.c, values.c, settings.c: one table of options serves parsing, help, manual, completion,
 * configuration files and the recipe of a picture ---- */

typedef enum job_type {
    JOB_SWITCH,
    JOB_COUNT, /* -v, -vv */
    JOB_INT,
    JOB_WIDE,
    JOB_SEED,
    JOB_REAL,
    JOB_TEXT, /* an argument "fp32|bf16" lists all values; JOB_SAMPLER means the names in the table
                 of solvers */
    JOB_MAYBE /* an optional text; "" if omitted */
} job_type;
#define JOB_SAMPLER "SAMPLER"
typedef struct job_option {
    const char *name;
    char letter; /* 0: none */
    job_type type;
    const char *argument,
        *about; /* about "= --NAME": an authors' name of option NAME; NULL: hidden from the help */
    size_t offset; /* in the verb's structure: bool, int (COUNT, INT), int64_t (WIDE), uint64_t (and
                      a bool *_given after it), double, const char * */
    double min, max; /* defaults outside [min, max] mean unset */
} job_option;

typedef struct job_words {
    gd_flag flag[JOB_MAX_FLAGS]; /* the authors' flags, in order */
    int n_flags;
    const char *word[JOB_MAX_WORDS];
    int n_words;
    job_given given[JOB_MAX_GIVEN]; /* each option once */
    int n_given;
} job_words;

/* The value given by exactly this name, not by another name of the option; NULL: none */
const job_given *job_given_named(const job_words *words, const char *name);

typedef struct job_kind {
    const char *name, *about, *usage, *example;
    const job_option *options;
    int n_options;
    gd_status (*run)(gd_job *job);
    const char *notes; /* a paragraph of the manual; may be NULL */
} job_kind;

extern const job_kind job_sample, job_upsample, job_nll, job_eval, job_train, job_train_classifier,
    job_info, job_convert, job_init, job_bench, job_completion, job_help, job_version, job_sweep,
    job_verify, job_models, job_restore, job_invert, job_purify, job_img2img, job_serve;
extern const job_kind *const job_kinds[]; /* kinds.c */
extern const int job_n_kinds;
const job_kind *job_kind_find(const char *name); /* NULL: no such verb */
/* GD_EUSAGE with the nearest verb */
GD_CHECKED gd_status job_unknown_kind(const char *name);

extern const job_option job_common_options[];
extern const int job_n_common_options;

/* Sets *values, whose content is the default, from the --config file, then from GUIDED_NAME
 * variables, then from the command line; later sources override.  Network flags go into
 * words->flag.  GD_EUSAGE names the option, and for an unknown option the nearest name; GD_EFORMAT
 * names a line of the file.  GD_EINTERRUPTED: --print-config has printed and the job must end. */
GD_CHECKED gd_status job_parse(gd_job *job, void *values, job_words *words);
/* describe.c: {"name", "about", "usage", "example"} of every kind */
struct json_t *job_kinds_json(void);
/* Prints the table of options, with the defaults in *values, as the job's result */
GD_CHECKED gd_status job_describe(gd_job *job, const void *values);
GD_CHECKED gd_status job_value_set(const job_option *o, const char *text, void *values);
/* Prints "name = value", or a comment if the option is not set */
void job_value_print(const job_option *o, const void *values, FILE *out);
/* The k-th word of "fp32|bf16"; NULL: past the last, or the argument is not a list */
const char *job_choice(const job_option *o, int k, char word[64]);
bool job_is_bf16(const char *precision); /* a value of OPTION_PRECISION */
bool job_is_alias(const job_option *o);
bool job_takes_value(const job_option *o);

/* ---- manual.c, completion.c ---- */

void job_print_brief(const job_kind *command, FILE *out); /* at most 24 lines of 80 */
void job_print_help(const job_kind *command, FILE *out);
/* Prints the manual page as roff or plain text; command NULL: guided(1) */
void job_print_manual(const job_kind *command, bool roff, FILE *out);
/* bash, zsh or fish */
void job_print_completion(const char *shell, FILE *out);

/* ---- recipe.c: the command that makes a picture again ---- */

struct json_t;
/* Adds "command" to a recipe: the verb and all options and flags that decide the content of
 * pictures, but not those that select pictures or outputs. */
GD_CHECKED gd_status job_recipe_add_command(struct json_t *recipe, const job_kind *command,
                                            const job_words *words);
/* recipe_names.c: the recipe to store in a picture, with file names without folders; free(*out) */
GD_CHECKED gd_status job_recipe_for_picture(char **out, const char *recipe);
/* Prints the command, quoted for a shell, that makes the picture at `path` again.  image: its
 * number in a folder, or NULL */
GD_CHECKED gd_status job_recipe_print(const char *recipe, const char *image, const char *path);

/* ---- classes.c ---- */

/* Class names of a file, one per line; GD_EMISMATCH: more than `count`. */
typedef struct job_names {
    char *text;        /* block: the file's content, each line ended by a zero */
    const char **name; /* block */
    int n;
} job_names;
GD_CHECKED gd_status job_names_read(job_names *out, const char *path, int count);
/* The model's own names, ImageNet's for 1000 classes, or none (n is 0) */
GD_CHECKED gd_status job_names_of_model(job_names *out, const gd_model *model);
void job_names_free(job_names *names);

typedef struct job_classes {
    int64_t *label; /* block; image i has label[i % n] */
    int n;
    bool random; /* labels are drawn, keyed by (seed, image) */
    int count;   /* number of classes */
} job_classes;
/* spec: NULL, "all" or "balanced" (all classes in turn), "random", or names, indices and ranges
 * separated by commas.  Indices are #7, #3-5; the # may be omitted unless class names are other
 * numbers.  GD_EUSAGE for an ambiguous spec.  labels_file: one name per line, or NULL. */
GD_CHECKED gd_status job_classes_read(job_classes *out, const char *spec, const gd_model *model,
                                      int count, const char *labels_file);
/* Maps the labels of a set to classes of a model, by name if both have names.  GD_EMISMATCH, with
 * the remedy, for labels that cannot be classes; a notice for unusual labels.  Does nothing for a
 * model without classes. */
GD_CHECKED gd_status job_labels_fit(gd_dataset *set, const char *path, const gd_model *model,
                                    const char *remedy);
int64_t job_class_of(const job_classes *c, uint64_t seed, int64_t image);
void job_classes_free(job_classes *c);

/* ---- output.c ---- */

typedef enum job_format { JOB_GRID, JOB_FOLDER, JOB_NPZ } job_format;
typedef struct job_output {
    const char *path; /* "-": standard output */
    job_format format;
    gd_replace replace;
    bool preview;
    int columns; /* 0: as square as possible */
    int width, height, channels;
    uint8_t *pixels; /* block: finished images, [n][h][w][c] */
    int64_t *labels; /* block, or NULL */
    int64_t first, n, done;
    const gd_text *texts;
    int n_texts;
} job_output;
/* Call before any work: determines the format from name and suffix, refuses existing paths, checks
 * that the folder is writable. */
GD_CHECKED gd_status job_output_open(job_output *o, const char *format);
GD_CHECKED gd_status job_output_add(job_output *o, const float *image, int64_t label);
/* Writes finished images; then call job_output_free */
GD_CHECKED gd_status job_output_finish(job_output *o);
void job_output_free(job_output *o);
/* Prints the result as one JSON line on standard output */
GD_CHECKED gd_status job_print_result(const char *output, int64_t images, uint64_t seed,
                                      double seconds);

/* ---- authors.c: command lines of the authors' scripts ---- */

/* Sets *steps and *sampler (NULL: not given) of guided sample, or with `upsampler` of guided
 * upsample, by the rules of the authors' scripts: use_ddim and timestep_respacing are independent,
 * and a command line with network flags uses all steps by default. */
GD_CHECKED gd_status job_authors_sampling(const job_words *words, bool upsampler, bool use_ddim,
                                          const char **steps, const char **sampler);
/* Prints the table of guided help flags: scripts, flags and defaults */
void job_print_flags(FILE *out);

/* ---- dry_run.c: --dry-run ---- */

/* A network and its calls per image */
typedef struct job_load {
    const gd_model *model;
    int calls;
} job_load;
/* Prints parameters, memory and an estimate of the time on standard output. */
GD_CHECKED gd_status job_dry_run(const job_load *load, int n, int64_t images, bool bf16);
/* The networks of an open stage, for job_dry_run; returns their number */
int job_stage_load(const gd_stage *stage, job_load load[2]);

/* ---- locate.c: model and data files of the program ---- */
/* Finds a file of models/ or data/ under GUIDED_MODELS, the install folder or the source tree;
 * NULL: not found.  `out` has 4096 bytes. */
const char *job_locate(char *out, const char *name);

/* ---- builtin.c: the models that come with the program, by name ---- */

typedef enum job_role { JOB_MODEL, JOB_CLASSIFIER, JOB_UPSAMPLER, JOB_ROLES } job_role;
typedef struct job_builtin {
    const char *name, *about;
    const char *file[JOB_ROLES]; /* for job_locate; NULL: no file of this role */
} job_builtin;
/* If *path is the name of a built-in model, sets it to that model's file of this role; if it is
 * NULL, to the first built-in file of the role.  file: 4096 bytes that hold the path.  An existing
 * file or folder of the name has precedence, with a notice.  GD_EUSAGE: not installed, or no file
 * of the role; the error for a missing file without suffix lists the built-in names. */
GD_CHECKED gd_status job_builtin_path(const char **path, char *file, job_role role);
/* gd_model_open of a file or a built-in name */
GD_CHECKED gd_status job_model_open(gd_model **out, const char *path, job_role role,
                                    const gd_flag *flags, int n_flags);
/* The built-in model that --model `model` names (model NULL: the default); NULL: it names a file */
const job_builtin *job_builtin_meant(const char *model);

/* ---- inception.c: files of the 2015 Inception network ---- */

/* Opening `path` as a model gave `status`: is it an Inception file instead?  If not, keeps the
 * error message. */
bool job_is_inception(const char *path, gd_status status);
GD_CHECKED gd_status job_inception_info(const char *path, bool json);
GD_CHECKED gd_status job_inception_convert(const char *from, const char *to, bool overwrite);

/* ---- vision.c: likewise for a Vision Transformer or ConvNeXt V2 ---- */

bool job_is_vision(const char *path, gd_status status);
GD_CHECKED gd_status job_vision_info(const char *path, bool json);

/* ---- ranks.c ---- */

/* Sets threads and memory of this rank (0: not given): its share among the ranks on this machine.
 */
void job_ranks_settle(gd_dist *d, int threads, int memory_mib);
/* Reports the number of ranks and the images of each "batch" or "round" on this rank */
void job_ranks_say(const gd_dist *d, int images, const char *of);
/* Ends a verb: rank 0 reports a failure that all ranks share; a failure of this rank alone also
 * ends the others. */
GD_CHECKED gd_status job_ranks_leave(gd_dist *d, gd_status s);

#endif
