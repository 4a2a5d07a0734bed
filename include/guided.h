/* guided.h - diffusion models of the ADM family on ordinary CPUs.
 *
 * Public interface of libguided: open a checkpoint, read what it is, sample from it.  Every
 * fallible function returns a gd_status; the text of the last failure on the calling thread is
 * gd_error().  The library never exits and never prints: progress and notices go to callbacks.
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

#define GUIDED_VERSION "0.1.0"

/* X(code, text, exit status of the command) */
#define GD_STATUS_LIST(X)                                                                          \
    X(GD_OK, "done", 0)                                                                            \
    X(GD_EFAILED, "failed", 1)         /* NaN met, lock held by another, verify mismatch */        \
    X(GD_EIO, "input/output error", 1) /* the system refused to write, rename, create */           \
    X(GD_EUSAGE, "usage", 2)           /* the caller asked for what cannot be */                   \
    X(GD_EEXISTS, "output exists", 2)  /* and overwriting was not allowed */                       \
    X(GD_EFORMAT, "bad or unsupported file", 3)                                                    \
    X(GD_EMISMATCH, "files do not fit each other", 3)                                              \
    X(GD_ENOMEM, "out of memory", 4)                                                               \
    X(GD_ENOSPACE, "out of space", 4)                                                              \
    X(GD_EINTERRUPTED, "interrupted", 130)

typedef enum gd_status {
#define GD_STATUS_CODE(code, text, exit_status) code,
    GD_STATUS_LIST(GD_STATUS_CODE)
#undef GD_STATUS_CODE
} gd_status;

#if defined(__GNUC__)
#define GD_CHECKED __attribute__((warn_unused_result))
#else
#define GD_CHECKED
#endif

/* What a shared libguided exports: everything declared here, and nothing else. */
#if defined(__GNUC__)
#define GD_API __attribute__((visibility("default")))
#else
#define GD_API
#endif

/* ---- messages ---- */

/* The last failure on this thread: one line "file: place: what was expected and found", then
 * optional lines (a table, "hint: ...").  Valid until the next failing call on the same thread; ""
 * before the first. */
GD_API const char *gd_error(void);
GD_API const char *gd_status_text(gd_status status);
GD_API int gd_exit_status(gd_status status); /* of the command: GD_STATUS_LIST */
GD_API const char *gd_version(void);         /* of the library, as GUIDED_VERSION of the header */

/* Notices: what was passed over or assumed (NOTE), what is being done (INFO), every layer of a
 * network's plan (DEBUG).  `fn` gets one line without a newline, on the thread where it happens,
 * for levels up to `most`; NULL: silence, as at the start.  Set it before other threads use the
 * library. */
typedef enum gd_log_level { GD_LOG_ERROR, GD_LOG_NOTE, GD_LOG_INFO, GD_LOG_DEBUG } gd_log_level;
typedef void (*gd_log_fn)(void *ctx, gd_log_level level, const char *line);
GD_API void gd_set_log(gd_log_fn fn, void *ctx, gd_log_level most);

/* ---- the machine ---- */

/* Threads of every computation that the calling thread starts; n >= 1.  At the start as many as
 * there are cores that the process may use (affinity), but no more than its control groups' quota,
 * or OMP_NUM_THREADS.  Results have the same bits for any number. */
GD_API void gd_set_threads(int n);
GD_API int gd_threads(void);
/* Fail with GD_ENOMEM rather than hold more than this many bytes; 0: no limit, as at the start. */
GD_API void gd_set_memory_limit(size_t bytes);

/* ---- models ---- */

/* A checkpoint opened and recognised: .pt of torch (zip or legacy), .safetensors, a training run's
 * checkpoint or folder.  Its weights are read when a sampler is made of it. */
typedef struct gd_model gd_model;

/* A word of the authors' command line, "image_size" and "64": overrides what the file says or what
 * is assumed of it.  "ema" with a rate or "none" chooses among a run's averages. */
typedef struct gd_flag {
    const char *name, *value;
} gd_flag;

/* flags: [n_flags], or NULL and 0.  GD_EFORMAT: no such file, damaged, or not a network of this
 * family (a table tells what differs); GD_EUSAGE: a flag that cannot be.  Close it after every
 * sampler made of it. */
GD_API GD_CHECKED gd_status gd_model_open(gd_model **out, const char *path, const gd_flag *flags,
                                          int n_flags);
GD_API void gd_model_close(gd_model *model); /* NULL is fine */

/* Texts belong to the model. */
typedef struct gd_model_info {
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
} gd_model_info;
GD_API void gd_model_get_info(gd_model_info *out, const gd_model *model);
/* NULL where the file names no classes, or i is none of them */
GD_API const char *gd_model_class_name(const gd_model *model, int i);
/* The whole configuration as JSON, in the authors' names: at most `bytes` with the zero that ends
 * it.  *needed: what it takes.  GD_EUSAGE when it does not fit; json may be NULL with bytes 0 to
 * ask. */
GD_API GD_CHECKED gd_status gd_model_config_json(const gd_model *model, char *json, size_t bytes,
                                                 size_t *needed);
/* 32 hex digits and a zero: XXH3-128 of the parameters as float32, whatever the container.  Reads
 * them all. */
GD_API GD_CHECKED gd_status gd_model_hash(const gd_model *model, char text[33]);

/* ---- samplers ---- */

/* Fill it by gd_sampler_defaults, then change what is to be other. */
typedef struct gd_sampler_options {
    const char *steps;   /* "250", "ddim25", "10,10,20" (default "250") */
    const char *sampler; /* "ddpm" or "ddim"; NULL: ddim where steps begin with ddim (default) */
    double eta;          /* of DDIM, 0 to 1: 0 deterministic (default), 1 ancestral */
    double scale;        /* of the classifier's gradient, >= 0 (default: the model's own) */
    uint64_t seed;       /* default 0 */
    bool clip_denoised;  /* predicted images to [-1,1] (default true) */
    bool bf16;           /* products of convolutions in bfloat16 (default false) */
    double
        low_res_noise; /* standard deviation added to an upsampler's input, 0 to 10 (default 0) */
    /* Called before each of n_steps network calls of an image, step = 1 .. n_steps; any status but
     * GD_OK stops gd_sampler_run, which returns it.  NULL (default): not called. */
    gd_status (*progress)(void *ctx, int64_t image, int step, int n_steps);
    void *progress_ctx;
} gd_sampler_options;
GD_API void gd_sampler_defaults(gd_sampler_options *out, const gd_model *model);

/* A model planned and loaded, and a classifier that guides it (NULL: none); both must stay open.
 * Texts of the options are copied.  GD_EMISMATCH: files that do not fit each other, or weights
 * packed for another machine, size or precision (guided convert --packed); GD_EUSAGE: an option
 * that cannot be; GD_ENOMEM.  One sampler is used by one thread at a time. */
typedef struct gd_sampler gd_sampler;
GD_API GD_CHECKED gd_status gd_sampler_open(gd_sampler **out, const gd_model *model,
                                            const gd_model *classifier,
                                            const gd_sampler_options *options);
GD_API void gd_sampler_close(gd_sampler *sampler);         /* NULL is fine */
GD_API int gd_sampler_steps(const gd_sampler *sampler);    /* network calls of an image */
GD_API size_t gd_sampler_bytes(const gd_sampler *sampler); /* of memory it holds */

/* Image number `image` >= 0: a function of the model, the options, the label and (seed, image)
 * alone, so any image of a run can be made again by itself; the same bytes as `guided sample` and
 * `guided upsample` write.  label: 0 .. classes - 1, ignored where neither the model nor the
 * classifier knows classes.  low_res: an upsampler's input, [small_size][small_size][channels]
 * bytes; NULL for other models.  pixels: [image_size][image_size][channels] bytes, the caller's.
 * GD_EFAILED: a result that is not finite, with its step and layer. */
GD_API GD_CHECKED gd_status gd_sampler_run(gd_sampler *sampler, int64_t image, int64_t label,
                                           const uint8_t *low_res, uint8_t *pixels);

#ifdef __cplusplus
}
#endif
#endif
