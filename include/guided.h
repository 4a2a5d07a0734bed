/* SPDX-License-Identifier: MIT */
/* guided.h - diffusion models of the ADM family on ordinary CPUs.
 *
 * Public interface of libguided: open a checkpoint, sample from it, denoise and differentiate,
 * measure sets of images, train; and jobs, which are the verbs of the command.  Every fallible
 * function returns a guided_status; the text of the last failure on the calling thread is
 * guided_error().  The library never exits, never prints and reads no environment variable that
 * changes a result: progress and notices go to callbacks.
 *
 * Networks, guidance and samplers: Dhariwal & Nichol, "Diffusion Models Beat GANs on Image
 * Synthesis", NeurIPS 2021. */
#ifndef GUIDED_H
#define GUIDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GUIDED_VERSION "0.2.0"

/* X(code, text, exit status of the command) */
#define GUIDED_STATUS_LIST(X)                                                                      \
    X(GUIDED_OK, "done", 0)                                                                        \
    X(GUIDED_EFAILED, "failed", 1)         /* NaN met, lock held by another, verify mismatch */    \
    X(GUIDED_EIO, "input/output error", 1) /* the system refused to write, rename, create */       \
    X(GUIDED_EUSAGE, "usage", 2)           /* the caller's request cannot be met */                \
    X(GUIDED_EEXISTS, "output exists", 2)  /* and overwriting was not allowed */                   \
    X(GUIDED_EFORMAT, "bad or unsupported file", 3)                                                \
    X(GUIDED_EMISMATCH, "files do not fit each other", 3)                                          \
    X(GUIDED_ENOMEM, "out of memory", 4)                                                           \
    X(GUIDED_ENOSPACE, "out of space", 4)                                                          \
    X(GUIDED_EINTERRUPTED, "interrupted", 130)

typedef enum guided_status {
#define GUIDED_STATUS_CODE(code, text, exit_status) code,
    GUIDED_STATUS_LIST(GUIDED_STATUS_CODE)
#undef GUIDED_STATUS_CODE
} guided_status;

#if defined(__GNUC__)
#define GUIDED_CHECKED __attribute__((warn_unused_result))
#define GUIDED_API __attribute__((visibility("default")))
#else
#define GUIDED_CHECKED
#define GUIDED_API
#endif

/* ---- messages ---- */

/* The last failure on this thread: one line "file: position: what was expected and found", then
 * optional lines (a table, "hint: ...").  Valid until the next failing call on the same thread; ""
 * before the first failure. */
GUIDED_API const char *guided_error(void);
GUIDED_API const char *guided_status_text(guided_status status);
/* The exit status of the command, by GUIDED_STATUS_LIST */
GUIDED_API int guided_exit_status(guided_status status);
GUIDED_API const char *guided_version(void); /* of the library, as GUIDED_VERSION of the header */

/* ---- contexts ---- */

/* Threads, a memory limit, the receiver of notices, a stop request.  A model belongs to a context;
 * an object made from a model belongs to the same context.  Different threads can use different
 * contexts at the same time without affecting each other.  One context may be used by one thread at
 * a time, except for guided_context_cancel. */
typedef struct guided_context guided_context;
GUIDED_API GUIDED_CHECKED guided_status guided_context_open(guided_context **out);
/* Close it after everything made from it. */
GUIDED_API void guided_context_close(guided_context *context);
/* Threads of every computation, n >= 1.  The default is the number of cores that the process may
 * use (affinity), but at most its control groups' quota; or OMP_NUM_THREADS.  Results have the same
 * bits for any number of threads. */
GUIDED_API void guided_context_set_threads(guided_context *context, int n);
GUIDED_API int guided_context_threads(const guided_context *context);
/* Floating point operations per second that these threads reach now on data in registers, with
 * products of float32, or of bfloat16 if `bf16`: an upper bound for networks.  Measures for about
 * 50 ms. */
GUIDED_API double guided_context_peak_flops(guided_context *context, bool bf16);
/* Calls that would make the process hold more than this many bytes fail with GUIDED_ENOMEM; 0, the
 * default: no limit. */
GUIDED_API void guided_context_set_memory_limit(guided_context *context, size_t bytes);
/* Notices: what was ignored or assumed (NOTE), current work (INFO), every layer of a network's plan
 * (DEBUG).  `fn` gets one line without a newline for levels up to `most`; NULL, the default: no
 * notices. */
typedef enum guided_log_level {
    GUIDED_LOG_ERROR,
    GUIDED_LOG_NOTE,
    GUIDED_LOG_INFO,
    GUIDED_LOG_DEBUG
} guided_log_level;
typedef void (*guided_log_fn)(void *ctx, guided_log_level level, const char *line);
GUIDED_API void guided_context_set_log(guided_context *context, guided_log_fn fn, void *ctx,
                                       guided_log_level most);
/* wanted: calls that run in this context end soon with GUIDED_EINTERRUPTED.  May be called from any
 * thread and from a signal handler.  `false` lets later calls run again. */
GUIDED_API void guided_context_cancel(guided_context *context, bool wanted);

/* ---- models ---- */

/* An opened and recognised checkpoint: .pt of torch (zip or legacy), .safetensors, a training run's
 * checkpoint or folder.  Its weights are read when a sampler or another object is made from it. */
typedef struct guided_model guided_model;

/* An option by name.  For a model: the authors' flags ("image_size", "64"), and "ema" to select one
 * of a run's averages.  For a sampler: the names of guided_sampler_options_json. */
typedef struct guided_option {
    const char *name, *value;
} guided_option;

/* flags: [n], or NULL and 0; they override the configuration in the file and the assumptions about
 * it. GUIDED_EFORMAT: no such file, damaged, or not a network of a known family (a table lists the
 * differences); GUIDED_EUSAGE: an invalid flag.  Close the model after everything made from it. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_open(guided_model **out,
                                                          guided_context *context, const char *path,
                                                          const guided_option *flags, int n);
GUIDED_API void guided_model_close(guided_model *model); /* NULL is fine */

/* The strings belong to the model. */
typedef struct guided_model_info {
    const char *kind;      /* "diffusion", "upsampler" or "classifier" */
    const char *preset;    /* "64x64_diffusion", ...; "": no known preset */
    const char *assumed;   /* assumptions about what the file does not state, one per line; or "" */
    int image_size;        /* side in pixels of its output, or of a classifier's input */
    int small_size;        /* side of an upsampler's input; 0 otherwise */
    int channels;          /* channels of an image: 1 or 3 */
    int classes;           /* labels are 0 .. classes - 1; 0: unconditional */
    int diffusion_steps;   /* steps of its training */
    int64_t parameters;    /* their count */
    double guidance_scale; /* of the preset with its classifier at 250 steps; otherwise 1 */
} guided_model_info;
GUIDED_API void guided_model_get_info(guided_model_info *out, const guided_model *model);
/* The name of class i from the file, or ImageNet's for 1000 classes without names; NULL: no name */
GUIDED_API const char *guided_model_class_name(const guided_model *model, int i);
/* Sets labels [n] of images first .. first + n - 1, first >= 0.  spec is the command's --class:
 * numbers, ranges and names separated by commas, "random" (by seed), "balanced" or NULL (all
 * classes in turn).  labels_file: names, one per line, or NULL.  All labels are -1 for a model
 * without classes. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_read_classes(const guided_model *model,
                                                                  const char *spec,
                                                                  const char *labels_file,
                                                                  uint64_t seed, int64_t first,
                                                                  int64_t n, int64_t *labels);
/* The whole configuration as JSON with the authors' names, at most `bytes` with the final zero.
 * *needed: the bytes required.  GUIDED_EUSAGE if it does not fit; json NULL with bytes 0 queries
 * the size. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_config_json(const guided_model *model,
                                                                 char *json, size_t bytes,
                                                                 size_t *needed);
/* text: 32 hex digits and a zero, the XXH3-128 of the parameters as float32, independent of the
 * file format.  Reads all parameters. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_hash(const guided_model *model, char text[33]);

/* ---- sampling ---- */

/* A model, and optionally a classifier (NULL: none) that guides it, planned and loaded.  Both
 * belong to one context and must stay open as long as the sampler.  GUIDED_EMISMATCH: the files do
 * not fit each other. */
typedef struct guided_sampler guided_sampler;
/* options: [n] names and values, as "steps" "ddim25"; GUIDED_EUSAGE with the nearest name for an
 * unknown name.  Strings are copied. */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_open(guided_sampler **out,
                                                            const guided_model *model,
                                                            const guided_model *classifier,
                                                            const guided_option *options, int n);
/* The same with other guiding networks: give uncond or weaker, with the option "guidance_scale".
 * All belong to one context. */
typedef struct guided_networks {
    const guided_model *model, *classifier; /* classifier NULL: none */
    /* NULL, or an unconditional model for classifier-free guidance (Ho & Salimans 2022) */
    const guided_model *uncond;
    /* NULL, or a weaker model with the same classes for autoguidance (Karras et al. 2024) */
    const guided_model *weaker;
} guided_networks;
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_open_networks(
    guided_sampler **out, const guided_networks *networks, const guided_option *options, int n);
GUIDED_API void guided_sampler_close(guided_sampler *sampler); /* NULL is fine */
/* The tables of options, {"name", "type", "default", "min", "max", "about"}, and of solvers,
 * {"name", "steps", "about"}, as JSON arrays.  The strings belong to the library. */
GUIDED_API const char *guided_sampler_options_json(void);
GUIDED_API const char *guided_solvers_json(void);

/* Called before each of n_steps network calls of images first .. first + n - 1, step = 1 ..
 * n_steps; any status except GUIDED_OK stops the run, which returns that status. */
typedef guided_status (*guided_progress_fn)(void *ctx, int64_t first, int n, int step, int n_steps);
GUIDED_API void guided_sampler_set_progress(guided_sampler *sampler, guided_progress_fn fn,
                                            void *ctx);
/* The caller's own guidance in place of a classifier: computes the gradient [C][H][W] of log p(y |
 * x) for one image x [C][H][W] at the network's time t; label -1: none.  The sampler multiplies it
 * by the option "scale". */
typedef guided_status (*guided_gradient_fn)(void *ctx, const float *x, float t, int64_t label,
                                            float *gradient);
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_set_gradient(guided_sampler *sampler,
                                                                    guided_gradient_fn fn,
                                                                    void *ctx);
/* Sets the noise seed of later images, as the option "seed" does */
GUIDED_API void guided_sampler_set_seed(guided_sampler *sampler, uint64_t seed);
GUIDED_API int guided_sampler_steps(const guided_sampler *sampler);    /* network calls per image */
GUIDED_API size_t guided_sampler_bytes(const guided_sampler *sampler); /* memory that it holds */

/* Makes images number first .. first + n - 1, first >= 0.  Each depends only on the models, the
 * options, its label and (seed, number), and has the same bytes as `guided sample` and `guided
 * upsample` write. labels [n]: 0 .. classes - 1; NULL if neither the model nor the classifier has
 * classes. low_res: an upsampler's input, [n][small_size][small_size][channels] bytes; NULL for
 * other models. pixels: [n][image_size][image_size][channels] bytes.  GUIDED_EFAILED: a result is
 * not finite; the message names step and layer. */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_run(guided_sampler *sampler, int64_t first,
                                                           int n, const int64_t *labels,
                                                           const uint8_t *low_res, uint8_t *pixels);
/* The same as float [n][channels][image_size][image_size], in [-1, 1] if the options clip */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_run_float(guided_sampler *sampler,
                                                                 int64_t first, int n,
                                                                 const int64_t *labels,
                                                                 const uint8_t *low_res,
                                                                 float *images);

/* ---- one call of a network ---- */

/* The denoiser D(x; sigma): predicts the image from x = image + sigma noise (Karras et al. 2022) */
typedef struct guided_denoiser guided_denoiser;
/* gradient: guided_denoise_vjp will be called, which takes more memory */
GUIDED_API GUIDED_CHECKED guided_status guided_denoiser_open(guided_denoiser **out,
                                                             const guided_model *model, bool bf16,
                                                             bool gradient);
GUIDED_API void guided_denoiser_close(guided_denoiser *denoiser); /* NULL is fine */
/* x, x0: [C][H][W]; sigma > 0; label -1: none.  Nothing is clipped. */
GUIDED_API GUIDED_CHECKED guided_status guided_denoise(guided_denoiser *denoiser, const float *x,
                                                       double sigma, int64_t label, float *x0);
/* gradient = J^T v, where J is the Jacobian of the latest guided_denoise with respect to x; v and
 * gradient are [C][H][W].  Call it at most once after each guided_denoise. */
GUIDED_API GUIDED_CHECKED guided_status guided_denoise_vjp(guided_denoiser *denoiser,
                                                           const float *v, float *gradient);

/* ---- evaluation ---- */

/* A network that computes features of images: the 2015 Inception network ("adm" preprocessing), a
 * Vision Transformer (DINOv2, CLIP, MAE, SigLIP2), ConvNeXt V2, or a classifier. docs/evaluation.md
 * describes the preprocessing of images. */
typedef struct guided_features guided_features;
/* Opens a file of weights and recognises the network by its keys; images are [n][height][width][3].
 * GUIDED_EFORMAT: an unknown network */
GUIDED_API GUIDED_CHECKED guided_status guided_features_open(guided_features **out,
                                                             guided_context *context,
                                                             const char *path, int height,
                                                             int width);
/* inception: path of a GraphDef, .pth, .pkl or .safetensors; images [n][height][width][3] */
GUIDED_API GUIDED_CHECKED guided_status guided_features_inception(guided_features **out,
                                                                  guided_context *context,
                                                                  const char *inception, int height,
                                                                  int width);
/* The same with the preprocessing of another program: "pytorch-fid", "torch-fidelity", "clean-fid",
 * "edm", .. (docs/evaluation.md).  GUIDED_EUSAGE: an unknown name; the message lists all names */
GUIDED_API GUIDED_CHECKED guided_status guided_features_dialect(guided_features **out,
                                                                guided_context *context,
                                                                const char *inception,
                                                                const char *dialect, int height,
                                                                int width);
GUIDED_API GUIDED_CHECKED guided_status guided_features_classifier(guided_features **out,
                                                                   const guided_model *classifier);
GUIDED_API void guided_features_close(guided_features *features);      /* NULL is fine */
GUIDED_API int guided_features_width(const guided_features *features); /* features per image */
/* pixels: [n][height][width][channels] bytes; rows: [n][width] */
GUIDED_API GUIDED_CHECKED guided_status guided_features_run(guided_features *features, int64_t n,
                                                            const uint8_t *pixels, float *rows);
/* Sizes of a network's outputs per image; 0: it has no such output */
typedef struct guided_features_shape {
    int width;    /* features, as guided_features_width; for FID, precision and recall, KID */
    int spatial;  /* spatial features, for sFID */
    int classes;  /* probabilities, for the Inception Score */
    int channels; /* of the images */
    int height, pixel_width; /* of the images */
} guided_features_shape;
GUIDED_API void guided_features_get_shape(guided_features_shape *out,
                                          const guided_features *features);
/* Like guided_features_run, and in the same pass spatial [n][spatial] and probabilities
 * [n][classes]; any output may be NULL */
GUIDED_API GUIDED_CHECKED guided_status guided_features_run_all(guided_features *features,
                                                                int64_t n, const uint8_t *pixels,
                                                                float *rows, float *spatial,
                                                                float *probabilities);
/* Mean [width] and covariance [width][width] (divided by n - 1) of rows [n][width], n >= 2: mu and
 * sigma in the authors' reference files */
GUIDED_API GUIDED_CHECKED guided_status guided_statistics(guided_context *context,
                                                          const float *rows, int64_t n, int width,
                                                          double *mean, double *covariance);
/* The Frechet distance of two normal distributions, given by mean [width] and covariance
 * [width][width] */
GUIDED_API GUIDED_CHECKED guided_status guided_frechet_statistics(
    guided_context *context, double *out, const double *mean_a, const double *covariance_a,
    const double *mean_b, const double *covariance_b, int width);
/* The Inception Score of probabilities [n][classes], in order, in splits of 5000 as the authors
 * compute it (Salimans et al. 2016) */
GUIDED_API GUIDED_CHECKED guided_status guided_inception_score(guided_context *context, double *out,
                                                               const float *probabilities,
                                                               int64_t n, int classes);
/* The Frechet distance of two sets of rows, [n_a][width] and [n_b][width], at least 2 each: FID if
 * the rows are Inception features (Heusel et al. 2017) */
GUIDED_API GUIDED_CHECKED guided_status guided_frechet(guided_context *context, double *out,
                                                       const float *a, int64_t n_a, const float *b,
                                                       int64_t n_b, int width);
/* Precision and recall with k = 3 (Kynkaanniemi et al. 2019), density and coverage with k = 5
 * (Naeem et al. 2020; NaN with fewer than 6 rows of ref), KID (Binkowski et al. 2018) */
typedef struct guided_set_scores {
    double precision, recall, density, coverage, kid, kid_deviation;
} guided_set_scores;
GUIDED_API GUIDED_CHECKED guided_status guided_compare_sets(guided_context *context,
                                                            guided_set_scores *out,
                                                            const float *ref, int64_t n_ref,
                                                            const float *samples, int64_t n_samples,
                                                            int width);
/* Like guided_compare_sets without KID, whose scores become NaN; half: use the authors' float16
 * distances */
GUIDED_API GUIDED_CHECKED guided_status guided_compare_manifolds(
    guided_context *context, guided_set_scores *out, const float *ref, int64_t n_ref,
    const float *samples, int64_t n_samples, int width, bool half);

/* The Frechet distance extrapolated to infinitely many samples, by a line over 1 / n through the
 * distances of 8 subsets (Chong & Forsyth 2020); *error: the standard error of its intercept. Needs
 * at least 16 samples. */
GUIDED_API GUIDED_CHECKED guided_status guided_frechet_infinity(
    guided_context *context, double *out, double *error, const float *ref, int64_t n_ref,
    const float *samples, int64_t n_samples, int width, uint64_t seed);
/* A sample and its nearest row of ref; ratio: their distance, divided by the distance of that row
 * to its own nearest neighbour in ref */
typedef struct guided_nearest {
    int64_t sample, ref;
    double distance, ratio;
} guided_nearest;
enum { GUIDED_NEAREST = 8 };
/* authenticity: the share of samples with a ratio above 1 (Alaa et al. 2022); nearest: the
 * n_nearest lowest ratios, ascending.  ref should be the training set, 2 rows or more. */
typedef struct guided_copies {
    double authenticity, median_ratio;
    guided_nearest nearest[GUIDED_NEAREST];
    int n_nearest;
} guided_copies;
GUIDED_API GUIDED_CHECKED guided_status guided_find_copies(guided_context *context,
                                                           guided_copies *out, const float *ref,
                                                           int64_t n_ref, const float *samples,
                                                           int64_t n_samples, int width);
/* The Vendi score of cosine similarities (Friedman & Dieng 2023): the effective number of different
 * rows */
GUIDED_API GUIDED_CHECKED guided_status guided_vendi(guided_context *context, double *out,
                                                     const float *rows, int64_t n, int width);
/* Scores of one class; NaN with fewer than 2 rows in a set (distance) or 4 (precision, recall) */
typedef struct guided_class_scores {
    int64_t label, n_ref, n_samples;
    double distance, precision, recall;
} guided_class_scores;
/* Scores of each label that both sets have (-1: no label), in ascending order.  out gets the first
 * `room` of them; *n: their total number */
GUIDED_API GUIDED_CHECKED guided_status guided_compare_classes(
    guided_context *context, guided_class_scores *out, int room, int *n, const float *ref,
    const int32_t *ref_label, int64_t n_ref, const float *samples, const int32_t *sample_label,
    int64_t n_samples, int width);

/* ---- training ---- */

/* A diffusion model of a preset ("small32", ...) trained from arrays in memory */
typedef struct guided_trainer guided_trainer;
typedef struct guided_training {
    const char *preset;
    int channels, classes; /* 1 or 3; 0: unconditional */
    const uint8_t *pixels; /* [n][image_size][image_size][channels]; the caller keeps it valid */
    const int64_t *labels; /* [n], or NULL without classes */
    int64_t n;
    int batch_size;            /* images of an update */
    double learning_rate, ema; /* ema 0: no average */
    uint64_t seed;             /* of weights, order, noise and times */
} guided_training;
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_open(guided_trainer **out,
                                                            guided_context *context,
                                                            const guided_training *training);
GUIDED_API void guided_trainer_close(guided_trainer *trainer); /* NULL is fine */
/* The side of the preset's images */
GUIDED_API int guided_trainer_image_size(const guided_trainer *trainer);
/* Does one update; *loss: the mean over its images */
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_step(guided_trainer *trainer, double *loss);
/* Writes a checkpoint for guided_model_open and `guided train --init-from` */
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_save(const guided_trainer *trainer,
                                                            const char *path);

/* ---- jobs ---- */

/* A job runs one verb of the command ("sample", "upsample", "eval", "train", "restore", "convert",
 * ...) with the same options by name, the same files and the same results. */
typedef struct guided_job guided_job;
/* The kinds of jobs as a JSON array of {"name", "about", "usage", "example"}.  The string belongs
 * to the library; NULL: out of memory. */
GUIDED_API const char *guided_jobs_json(void);
/* The options of one kind as a JSON array of {"name", "letter", "type", "argument", "choices",
 * "default", "min", "max", "common", "about"}; members that do not apply to an option are omitted.
 * type: switch, count, int, real, seed, text, maybe (an optional text).  common: an option of every
 * kind.  The string belongs to the library; NULL: no such kind, or out of memory. */
GUIDED_API const char *guided_job_options_json(const char *kind);
/* GUIDED_EUSAGE: no such kind; the message names the nearest one */
GUIDED_API GUIDED_CHECKED guided_status guided_job_open(guided_job **out, guided_context *context,
                                                        const char *kind);
GUIDED_API void guided_job_close(guided_job *job); /* NULL is fine */
/* Sets an option or a flag of the authors by name and value ("steps", "ddim25"; a switch is "true"
 * or "false").  name "": adds a word, such as the files of info, convert and verify.  The strings
 * are copied. GUIDED_EUSAGE: an unknown option (the message names the nearest) or an invalid value.
 * guided_job_run checks combinations of options. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_set(guided_job *job, const char *name,
                                                       const char *value);
/* Sets the words of a command line after the verb, as the command does: with one-letter options,
 * and with a --config file and GUIDED_NAME variables for options that the words do not give. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_set_line(guided_job *job, int n,
                                                            char *const *words);
/* The value of an option as text, after the job has started to run; NULL: not given, or no such
 * option */
GUIDED_API const char *guided_job_get(const guided_job *job, const char *name);

/* The progress of a job */
typedef struct guided_progress {
    const char *unit;               /* unit of done and total: "steps", "images", "updates" */
    int64_t done, total;            /* total 0: runs until stopped */
    double per_second;              /* units per second; NaN before the first */
    bool ended;                     /* the last event of this count */
    double images_per_second, loss; /* of training; NaN: unknown */
    int64_t skipped;                /* skipped updates of training */
    double flops; /* floating point operations of the networks so far, counted as for direct
                     convolutions */
} guided_progress;
/* The prediction at one network call of one image.  Arrays are valid during the call. */
typedef struct guided_preview {
    int64_t image, label; /* number of the image; label -1: none */
    int stage;            /* 0: the base model; 1 ..: upsamplers */
    int call, calls;      /* 1 .. calls, of this stage */
    double sigma;         /* noise level sigma / alpha */
    int channels, height, width;
    const float *x0; /* [C][H][W]: the predicted image, as the solver uses it */
    /* NULL: no guidance at this call */
    const float *gradient; /* [C][H][W]: scale * grad log p(y | x_t) */
    const float *logits;   /* [classes] of the classifier */
    int classes;
} guided_preview;
/* A finished image, sent with the option "preview": [height][width][channels] bytes */
typedef struct guided_image {
    int64_t image, label;
    int channels, height, width;
    const uint8_t *pixels;
} guided_image;
/* A value of "eval" from the first 1/8, 1/4, 1/2 and 3/4 of the samples, in order */
typedef struct guided_partial {
    const char *metric; /* "fid" */
    int64_t samples, total;
    double value, deviation; /* deviation of at most 8 draws; NaN without the option "bootstrap" */
} guided_partial;
/* A result of "restore", "invert", "purify" or "img2img" as numbers: "samples" [n][C][H][W], "mean"
 * and "std" of several samples [C][H][W], "latent", "reconstruction", "error", "gradient", ..;
 * row-major, valid during the call.  With the option "output" "-" no files are written. */
typedef struct guided_array {
    const char *name;
    int rank;
    int64_t dim[4];
    const float *data;
} guided_array;
/* Each function may be NULL; all are called on the thread of guided_job_run.  Notices go to the
 * context's log. */
typedef struct guided_events {
    void *ctx;
    void (*text)(void *ctx, const char *text, size_t n); /* what the command would print */
    void (*progress)(void *ctx, const guided_progress *progress);
    void (*preview)(void *ctx, const guided_preview *preview);
    void (*image)(void *ctx, const guided_image *image);
    /* The result itself, if the option "output" is "-"; false: not accepted, errno holds the reason
     */
    bool (*data)(void *ctx, const void *bytes, size_t n);
    void (*partial)(void *ctx, const guided_partial *partial);
    void (*array)(void *ctx, const guided_array *array);
} guided_events;
GUIDED_API void guided_job_set_events(guided_job *job, const guided_events *events);
/* Runs the job, once.  guided_context_cancel ends it with GUIDED_EINTERRUPTED; finished results are
 * kept, as after the command's Ctrl-C. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_run(guided_job *job);
/* Makes a training job write a checkpoint soon; may be called from any thread and from a signal
 * handler */
GUIDED_API void guided_job_save(guided_job *job);
/* The job's result, the last line of JSON that it printed with "json" true; "" otherwise.  The
 * string belongs to the job. */
GUIDED_API const char *guided_job_result(const guided_job *job);

#ifdef __cplusplus
}
#endif
#endif
