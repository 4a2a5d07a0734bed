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

/* The last failure on this thread: one line "file: place: what was expected and found", then
 * optional lines (a table, "hint: ...").  Valid until the next failing call on the same thread; ""
 * before the first. */
GUIDED_API const char *guided_error(void);
GUIDED_API const char *guided_status_text(guided_status status);
GUIDED_API int guided_exit_status(guided_status status); /* of the command: GUIDED_STATUS_LIST */
GUIDED_API const char *guided_version(void); /* of the library, as GUIDED_VERSION of the header */

/* ---- contexts ---- */

/* Threads, a memory limit, where notices go, a wish to stop.  Models belong to a context and what
 * is made of them to the model's.  Different contexts can be used by different threads at the same
 * time, and do not disturb each other; one context by one thread at a time, but for
 * guided_context_cancel. */
typedef struct guided_context guided_context;
GUIDED_API GUIDED_CHECKED guided_status guided_context_open(guided_context **out);
GUIDED_API void guided_context_close(guided_context *context); /* after all that was made of it */
/* Threads of every computation, n >= 1.  At the start as many as there are cores that the process
 * may use (affinity), but no more than its control groups' quota, or OMP_NUM_THREADS.  Results have
 * the same bits for any number. */
GUIDED_API void guided_context_set_threads(guided_context *context, int n);
GUIDED_API int guided_context_threads(const guided_context *context);
/* Floating point operations a second that these threads reach now in registers alone, of float32
 * or, bf16, bfloat16 products: the most that a network can have.  Measured, about 50 ms. */
GUIDED_API double guided_context_peak_flops(guided_context *context, bool bf16);
/* Fail with GUIDED_ENOMEM rather than hold more than this many bytes in the process; 0: no limit,
 * as at the start. */
GUIDED_API void guided_context_set_memory_limit(guided_context *context, size_t bytes);
/* Notices: what was passed over or assumed (NOTE), what is being done (INFO), every layer of a
 * network's plan (DEBUG).  `fn` gets one line without a newline for levels up to `most`; NULL:
 * silence, as at the start. */
typedef enum guided_log_level {
    GUIDED_LOG_ERROR,
    GUIDED_LOG_NOTE,
    GUIDED_LOG_INFO,
    GUIDED_LOG_DEBUG
} guided_log_level;
typedef void (*guided_log_fn)(void *ctx, guided_log_level level, const char *line);
GUIDED_API void guided_context_set_log(guided_context *context, guided_log_fn fn, void *ctx,
                                       guided_log_level most);
/* What runs in this context ends soon with GUIDED_EINTERRUPTED; from any thread, and from a signal
 * handler.  `false` lets the next call run again. */
GUIDED_API void guided_context_cancel(guided_context *context, bool wanted);

/* ---- models ---- */

/* A checkpoint opened and recognised: .pt of torch (zip or legacy), .safetensors, a training run's
 * checkpoint or folder.  Its weights are read when something is made of it. */
typedef struct guided_model guided_model;

/* An option by name: of a model the authors' flags ("image_size", "64"; "ema" chooses among a run's
 * averages), of a sampler guided_sampler_options_json's names */
typedef struct guided_option {
    const char *name, *value;
} guided_option;

/* flags: [n], or NULL and 0; they override what the file says or what is assumed of it.
 * GUIDED_EFORMAT: no such file, damaged, or not a network of a known family (a table lists the
 * differences); GUIDED_EUSAGE: a flag that cannot be.  Close it after all that was made of it. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_open(guided_model **out,
                                                          guided_context *context, const char *path,
                                                          const guided_option *flags, int n);
GUIDED_API void guided_model_close(guided_model *model); /* NULL is fine */

/* Texts belong to the model. */
typedef struct guided_model_info {
    const char *kind;      /* "diffusion", "upsampler" or "classifier" */
    const char *preset;    /* "64x64_diffusion", ...; "" for a file that is nobody's */
    const char *assumed;   /* what the file could not tell, a line each; "" */
    int image_size;        /* of a side, in pixels: what it makes or, a classifier, looks at */
    int small_size;        /* an upsampler's input; 0 otherwise */
    int channels;          /* of an image: 1 or 3 */
    int classes;           /* labels are 0 .. classes - 1; 0: unconditional */
    int diffusion_steps;   /* it was trained with */
    int64_t parameters;    /* numbers */
    double guidance_scale; /* of the preset with its classifier at 250 steps, otherwise 1 */
} guided_model_info;
GUIDED_API void guided_model_get_info(guided_model_info *out, const guided_model *model);
/* The file's, or ImageNet's where 1000 classes have no names; NULL where i has none */
GUIDED_API const char *guided_model_class_name(const guided_model *model, int i);
/* labels [n] of images first .. first + n - 1, first >= 0, as the command's --class means `spec`:
 * numbers, ranges and names with commas, "random" by seed, "balanced" or NULL: each in turn;
 * labels_file: names, one a line, or NULL.  -1 each for a model without classes. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_read_classes(const guided_model *model,
                                                                  const char *spec,
                                                                  const char *labels_file,
                                                                  uint64_t seed, int64_t first,
                                                                  int64_t n, int64_t *labels);
/* The whole configuration as JSON, in the authors' names: at most `bytes` with the zero that ends
 * it.  *needed: what it takes.  GUIDED_EUSAGE when it does not fit; json may be NULL with bytes 0
 * to ask. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_config_json(const guided_model *model,
                                                                 char *json, size_t bytes,
                                                                 size_t *needed);
/* 32 hex digits and a zero: XXH3-128 of the parameters as float32, whatever the container.  Reads
 * them all. */
GUIDED_API GUIDED_CHECKED guided_status guided_model_hash(const guided_model *model, char text[33]);

/* ---- sampling ---- */

/* A model and, NULL: none, a classifier that guides it, planned and loaded; both of one context and
 * open as long as the sampler.  GUIDED_EMISMATCH: files that do not fit each other. */
typedef struct guided_sampler guided_sampler;
/* options: [n] by name and value, "steps" "ddim25"; unknown names are GUIDED_EUSAGE with the
 * nearest one.  Texts are copied. */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_open(guided_sampler **out,
                                                            const guided_model *model,
                                                            const guided_model *classifier,
                                                            const guided_option *options, int n);
/* The same with networks that guide in other ways, one of them with the option "guidance_scale";
 * all of one context */
typedef struct guided_networks {
    const guided_model *model, *classifier; /* classifier NULL: none */
    /* NULL, or an unconditional partner: classifier-free guidance (Ho & Salimans 2022) */
    const guided_model *uncond;
    /* NULL, or a worse model with the same classes: autoguidance (Karras et al. 2024) */
    const guided_model *weaker;
} guided_networks;
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_open_networks(
    guided_sampler **out, const guided_networks *networks, const guided_option *options, int n);
GUIDED_API void guided_sampler_close(guided_sampler *sampler); /* NULL is fine */
/* The table of options: a JSON array of {"name", "type", "default", "min", "max", "about"}, the
 * library's own text; and of solvers, {"name", "steps", "about"} */
GUIDED_API const char *guided_sampler_options_json(void);
GUIDED_API const char *guided_solvers_json(void);

/* Called before each of n_steps network calls of images first .. first + n - 1, step = 1 ..
 * n_steps; any status but GUIDED_OK stops the run, which returns it. */
typedef guided_status (*guided_progress_fn)(void *ctx, int64_t first, int n, int step, int n_steps);
GUIDED_API void guided_sampler_set_progress(guided_sampler *sampler, guided_progress_fn fn,
                                            void *ctx);
/* Guidance of the caller's own in place of a classifier: the gradient [C][H][W] of log p(y | x) at
 * one image x [C][H][W] at the network's time t; label -1: none.  It is multiplied by the option
 * "scale". */
typedef guided_status (*guided_gradient_fn)(void *ctx, const float *x, float t, int64_t label,
                                            float *gradient);
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_set_gradient(guided_sampler *sampler,
                                                                    guided_gradient_fn fn,
                                                                    void *ctx);
/* Of the noise of the images that follow, as the option "seed" */
GUIDED_API void guided_sampler_set_seed(guided_sampler *sampler, uint64_t seed);
GUIDED_API int guided_sampler_steps(const guided_sampler *sampler);    /* network calls an image */
GUIDED_API size_t guided_sampler_bytes(const guided_sampler *sampler); /* of memory it holds */

/* Images number first .. first + n - 1, first >= 0: each a function of the models, the options, its
 * label and (seed, number) alone, the same bytes as `guided sample` and `guided upsample` write.
 * labels [n]: 0 .. classes - 1; NULL where neither the model nor the classifier knows classes.
 * low_res: an upsampler's input, [n][small_size][small_size][channels] bytes; NULL for others.
 * pixels: [n][image_size][image_size][channels] bytes.  GUIDED_EFAILED: a result that is not
 * finite, with its step and layer. */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_run(guided_sampler *sampler, int64_t first,
                                                           int n, const int64_t *labels,
                                                           const uint8_t *low_res, uint8_t *pixels);
/* The same as float [n][channels][image_size][image_size], in [-1, 1] where the options clip */
GUIDED_API GUIDED_CHECKED guided_status guided_sampler_run_float(guided_sampler *sampler,
                                                                 int64_t first, int n,
                                                                 const int64_t *labels,
                                                                 const uint8_t *low_res,
                                                                 float *images);

/* ---- one call of a network ---- */

/* The denoiser D(x; sigma): the predicted image of x = image + sigma noise (Karras et al. 2022) */
typedef struct guided_denoiser guided_denoiser;
/* gradient: guided_denoise_vjp will be called; takes more memory */
GUIDED_API GUIDED_CHECKED guided_status guided_denoiser_open(guided_denoiser **out,
                                                             const guided_model *model, bool bf16,
                                                             bool gradient);
GUIDED_API void guided_denoiser_close(guided_denoiser *denoiser); /* NULL is fine */
/* x, x0: [C][H][W]; sigma > 0; label -1: none.  Nothing is clipped. */
GUIDED_API GUIDED_CHECKED guided_status guided_denoise(guided_denoiser *denoiser, const float *x,
                                                       double sigma, int64_t label, float *x0);
/* gradient = J^T v of the latest guided_denoise, J its Jacobian with respect to x; [C][H][W] each;
 * once for each guided_denoise */
GUIDED_API GUIDED_CHECKED guided_status guided_denoise_vjp(guided_denoiser *denoiser,
                                                           const float *v, float *gradient);

/* ---- evaluation ---- */

/* Features of images by a file of weights: of the 2015 Inception network ("adm" preprocessing), of
 * a Vision Transformer (DINOv2, CLIP, MAE, SigLIP2) or of ConvNeXt V2, images prepared as
 * docs/evaluation.md says; or of a classifier */
typedef struct guided_features guided_features;
/* Any file of weights that is known by its keys; images [n][height][width][3].  GUIDED_EFORMAT:
 * none of them */
GUIDED_API GUIDED_CHECKED guided_status guided_features_open(guided_features **out,
                                                             guided_context *context,
                                                             const char *path, int height,
                                                             int width);
/* inception: path of a GraphDef, .pth, .pkl or .safetensors; images [n][height][width][3] */
GUIDED_API GUIDED_CHECKED guided_status guided_features_inception(guided_features **out,
                                                                  guided_context *context,
                                                                  const char *inception, int height,
                                                                  int width);
/* The same with the input of another program: "pytorch-fid", "torch-fidelity", "clean-fid", "edm",
 * .. (docs/evaluation.md).  GUIDED_EUSAGE with all names */
GUIDED_API GUIDED_CHECKED guided_status guided_features_dialect(guided_features **out,
                                                                guided_context *context,
                                                                const char *inception,
                                                                const char *dialect, int height,
                                                                int width);
GUIDED_API GUIDED_CHECKED guided_status guided_features_classifier(guided_features **out,
                                                                   const guided_model *classifier);
GUIDED_API void guided_features_close(guided_features *features);      /* NULL is fine */
GUIDED_API int guided_features_width(const guided_features *features); /* numbers an image */
/* pixels: [n][height][width][channels] bytes; rows: [n][width] */
GUIDED_API GUIDED_CHECKED guided_status guided_features_run(guided_features *features, int64_t n,
                                                            const uint8_t *pixels, float *rows);
/* Numbers an image that a network of features gives; 0: it has none of the kind */
typedef struct guided_features_shape {
    int width;    /* features, as guided_features_width: FID, precision and recall, KID */
    int spatial;  /* spatial features: sFID */
    int classes;  /* probabilities: Inception Score */
    int channels; /* of the images */
    int height, pixel_width; /* of the images */
} guided_features_shape;
GUIDED_API void guided_features_get_shape(guided_features_shape *out,
                                          const guided_features *features);
/* As guided_features_run, and in the same pass spatial [n][spatial] and probabilities [n][classes];
 * NULL for what is not wanted */
GUIDED_API GUIDED_CHECKED guided_status guided_features_run_all(guided_features *features,
                                                                int64_t n, const uint8_t *pixels,
                                                                float *rows, float *spatial,
                                                                float *probabilities);
/* Mean [width] and covariance [width][width], divided by n - 1, of rows [n][width], n >= 2: mu and
 * sigma of the authors' reference files */
GUIDED_API GUIDED_CHECKED guided_status guided_statistics(guided_context *context,
                                                          const float *rows, int64_t n, int width,
                                                          double *mean, double *covariance);
/* The Frechet distance of two normal distributions by mean [width] and covariance [width][width] */
GUIDED_API GUIDED_CHECKED guided_status guided_frechet_statistics(
    guided_context *context, double *out, const double *mean_a, const double *covariance_a,
    const double *mean_b, const double *covariance_b, int width);
/* Of probabilities [n][classes] in order, by splits of 5000 as the authors' (Salimans et al. 2016)
 */
GUIDED_API GUIDED_CHECKED guided_status guided_inception_score(guided_context *context, double *out,
                                                               const float *probabilities,
                                                               int64_t n, int classes);
/* The Frechet distance of two sets of rows, [n_a][width] and [n_b][width], at least 2 each: FID
 * where the rows are Inception features (Heusel et al. 2017) */
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
/* As guided_compare_sets without KID, whose scores become NaN; half: the authors' float16 distances
 */
GUIDED_API GUIDED_CHECKED guided_status guided_compare_manifolds(
    guided_context *context, guided_set_scores *out, const float *ref, int64_t n_ref,
    const float *samples, int64_t n_samples, int width, bool half);

/* The Frechet distance of infinitely many samples: a line over 1 / n through those of 8 subsets
 * (Chong & Forsyth 2020); *error: the standard error of its intercept.  At least 16 samples */
GUIDED_API GUIDED_CHECKED guided_status guided_frechet_infinity(
    guided_context *context, double *out, double *error, const float *ref, int64_t n_ref,
    const float *samples, int64_t n_samples, int width, uint64_t seed);
/* A sample and its nearest row of ref; ratio: their distance over that of the row to its own
 * nearest neighbour in ref */
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
/* The Vendi score of cosine similarities (Friedman & Dieng 2023): how many different rows n are
 * worth */
GUIDED_API GUIDED_CHECKED guided_status guided_vendi(guided_context *context, double *out,
                                                     const float *rows, int64_t n, int width);
/* Of a class: NaN with fewer than 2 rows in a set (distance) or 4 (precision, recall) */
typedef struct guided_class_scores {
    int64_t label, n_ref, n_samples;
    double distance, precision, recall;
} guided_class_scores;
/* Of the labels that both sets have (-1: none), ascending, the first `room` into out; *n: how many
 * there are */
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
    const uint8_t *pixels; /* [n][image_size][image_size][channels], the caller's, kept */
    const int64_t *labels; /* [n], or NULL without classes */
    int64_t n;
    int batch_size;            /* images of an update */
    double learning_rate, ema; /* ema 0: no average */
    uint64_t seed;             /* weights, order, noise and times */
} guided_training;
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_open(guided_trainer **out,
                                                            guided_context *context,
                                                            const guided_training *training);
GUIDED_API void guided_trainer_close(guided_trainer *trainer); /* NULL is fine */
GUIDED_API int
guided_trainer_image_size(const guided_trainer *trainer); /* of a side: the preset's */
/* One update; *loss: the mean over its images */
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_step(guided_trainer *trainer, double *loss);
/* A checkpoint that guided_model_open reads and `guided train --init-from` goes on from */
GUIDED_API GUIDED_CHECKED guided_status guided_trainer_save(const guided_trainer *trainer,
                                                            const char *path);

/* ---- jobs ---- */

/* What the command does by verb ("sample", "upsample", "eval", "train", "restore", "convert", ...),
 * with the same options by name, the same files and the same results. */
typedef struct guided_job guided_job;
/* A JSON array of {"name", "about", "usage", "example"}: the kinds of jobs.  The library's text;
 * NULL: out of memory. */
GUIDED_API const char *guided_jobs_json(void);
/* The options of one kind as a JSON array of {"name", "letter", "type", "argument", "choices",
 * "default", "min", "max", "common", "about"}; members that an option has no use for are left out.
 * type: switch, count, int, real, seed, text, maybe (a text that may be left out).  common: every
 * kind takes it.  The library's text; NULL: no such kind, or out of memory. */
GUIDED_API const char *guided_job_options_json(const char *kind);
/* GUIDED_EUSAGE with the nearest name: no such kind */
GUIDED_API GUIDED_CHECKED guided_status guided_job_open(guided_job **out, guided_context *context,
                                                        const char *kind);
GUIDED_API void guided_job_close(guided_job *job); /* NULL is fine */
/* An option, or a flag of the authors', by name and value ("steps", "ddim25"; a switch "true" or
 * "false"); name "": the next word, as the files of info, convert and verify.  The text is copied.
 * GUIDED_EUSAGE: no such option, with the nearest name, or a value that it does not take.  What
 * options mean together is seen by guided_job_run. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_set(guided_job *job, const char *name,
                                                       const char *value);
/* The words of a command line behind the verb, with options of one letter, a --config file and
 * GUIDED_NAME variables under them: what the command does. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_set_line(guided_job *job, int n,
                                                            char *const *words);
/* What an option is, as text, once the job has begun to run; NULL: not given, and no such option */
GUIDED_API const char *guided_job_get(const guided_job *job, const char *name);

/* How far a job is */
typedef struct guided_progress {
    const char *unit;               /* of done and total: "steps", "images", "updates" */
    int64_t done, total;            /* total 0: until it is stopped */
    double per_second;              /* of units; NaN before the first */
    bool ended;                     /* the last of its kind */
    double images_per_second, loss; /* of a training; NaN: not known */
    int64_t skipped;                /* updates of a training */
    double flops; /* floating point operations of the networks so far, as of direct convolutions */
} guided_progress;
/* The prediction at one network call of one image.  Arrays are valid during the call. */
typedef struct guided_preview {
    int64_t image, label; /* number of the image; label -1: none */
    int stage;            /* 0: the base model, 1 ..: upsamplers */
    int call, calls;      /* 1 .. calls, of this stage */
    double sigma;         /* noise level sigma / alpha */
    int channels, height, width;
    const float *x0;       /* [C][H][W]: the predicted image, as the solver uses it */
    const float *gradient; /* [C][H][W]: scale * grad log p(y | x_t); NULL: no guidance here */
    const float *logits;   /* [classes] of the classifier; NULL: none here */
    int classes;
} guided_preview;
/* A finished image, where the option "preview" asks for it: [height][width][channels] bytes */
typedef struct guided_image {
    int64_t image, label;
    int channels, height, width;
    const uint8_t *pixels;
} guided_image;
/* A value of "eval" from the first samples, in their order: at 1/8, 1/4, 1/2 and 3/4 of them */
typedef struct guided_partial {
    const char *metric; /* "fid" */
    int64_t samples, total;
    double value, deviation; /* NaN without the option "bootstrap"; of at most 8 draws */
} guided_partial;
/* What "restore", "invert", "purify" and "img2img" make, as numbers: "samples" [n][C][H][W], "mean"
 * and "std" of several [C][H][W], "latent", "reconstruction", "error", "gradient", ..; row-major,
 * valid during the call.  With the option "output" "-" nothing is written to files. */
typedef struct guided_array {
    const char *name;
    int rank;
    int64_t dim[4];
    const float *data;
} guided_array;
/* Each may be NULL; called on the thread of guided_job_run.  Notices go to the context's log. */
typedef struct guided_events {
    void *ctx;
    void (*text)(void *ctx, const char *text, size_t n); /* what the command prints */
    void (*progress)(void *ctx, const guided_progress *progress);
    void (*preview)(void *ctx, const guided_preview *preview);
    void (*image)(void *ctx, const guided_image *image);
    /* The result itself where the option "output" is "-"; false: errno says why it was not taken */
    bool (*data)(void *ctx, const void *bytes, size_t n);
    void (*partial)(void *ctx, const guided_partial *partial);
    void (*array)(void *ctx, const guided_array *array);
} guided_events;
GUIDED_API void guided_job_set_events(guided_job *job, const guided_events *events);
/* Runs once.  guided_context_cancel ends it with GUIDED_EINTERRUPTED: what is finished is kept, as
 * by the command's Ctrl-C. */
GUIDED_API GUIDED_CHECKED guided_status guided_job_run(guided_job *job);
/* A training writes a checkpoint soon; from any thread and from a signal handler */
GUIDED_API void guided_job_save(guided_job *job);
/* The last line of JSON that the job printed ("json" true): its result; "" otherwise.  Belongs to
 * the job. */
GUIDED_API const char *guided_job_result(const guided_job *job);

#ifdef __cplusplus
}
#endif
#endif
