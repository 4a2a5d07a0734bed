/* SPDX-License-Identifier: MIT */
/* eval.h - how good a set of images is: FID, sFID, Inception Score, precision and recall, with KID,
 * density and coverage (docs/reference/evaluation.md).
 *
 * Everything here has the same bits for any number of threads and any batch size: images keep their
 * index, sums run over chunks of fixed size in order of the index, tiles are bounded by shape. */
#ifndef GD_EVAL_H
#define GD_EVAL_H

#include "dist/dist.h"
#include "eval/dialect.h"
#include "io/io.h"

/* ---- moments.c: mean and covariance, in one pass and in double ---- */

typedef struct gd_statistics {
    int width;
    int64_t count;      /* of samples; 0: not known (read from a file) */
    double *mean;       /* block: [width] */
    double *covariance; /* block: [width][width], divided by count - 1 */
} gd_statistics;
void gd_statistics_free(gd_statistics *s); /* zeroed is fine */

typedef struct gd_moments gd_moments;
GD_CHECKED gd_status gd_moments_make(gd_moments **out, int width);
/* rows: [n][width], the next n samples in order */
void gd_moments_add(gd_moments *m, const float *rows, int64_t n);
/* GD_EUSAGE with fewer than 2 samples, GD_EFAILED if one was not finite.  `out` then owns it. */
GD_CHECKED gd_status gd_moments_finish(gd_moments *m, gd_statistics *out);
/* Of the samples so far; `m` goes on as if nothing had been asked. */
GD_CHECKED gd_status gd_moments_look(const gd_moments *m, gd_statistics *out);
void gd_moments_free(gd_moments *m); /* NULL is fine */

/* ---- frechet.c ---- */

/* |mu1 - mu2|^2 + Tr S1 + Tr S2 - 2 Tr (S1 S2)^(1/2), by symmetric eigenproblems on this thread */
GD_CHECKED gd_status gd_frechet(double *out, const gd_statistics *a, const gd_statistics *b);
/* n of them side by side, each on one thread: the same bits */
GD_CHECKED gd_status gd_frechet_all(double *out, const gd_statistics *const *a,
                                    const gd_statistics *const *b, int n);

/* ---- inception_score.c ---- */

enum { GD_IS_SPLIT = 5000 }; /* the authors' split_size */
typedef struct gd_inception_score gd_inception_score;
GD_CHECKED gd_status gd_inception_score_make(gd_inception_score **out, int classes, int64_t split);
/* p: [n][classes], probabilities of the next n samples in order */
void gd_inception_score_add(gd_inception_score *s, const float *p, int64_t n);
/* torch-fidelity's: 10 splits of RandomState(2020).permutation(count); `count` images follow */
GD_CHECKED gd_status gd_inception_score_make_fidelity(gd_inception_score **out, int classes,
                                                      int64_t count);
/* The mean over the splits of exp of the mean KL(p || split's mean p); 0 ln 0 counts as 0.
 * deviation (may be NULL): over the splits */
double gd_inception_score_value(const gd_inception_score *s, double *deviation);
void gd_inception_score_free(gd_inception_score *s); /* NULL is fine */

/* ---- manifold.c: precision, recall, density, coverage ---- */

/* Features of a set: [count][width], borrowed */
typedef struct gd_features {
    const float *data;
    int64_t count;
    int width;
} gd_features;

typedef struct gd_manifold {
    double precision, recall; /* Kynkaanniemi et al. 2019, k = 3, squared distances, <= */
    double density, coverage; /* Naeem et al. 2020, k = 5, of `samples` in the manifold of `ref` */
    bool has_density;         /* both need 6 reference images */
} gd_manifold;
enum { GD_NEAREST = 6 }; /* a point itself and its 5 nearest neighbours */
/* Squared distances of each point to the nearest points of its own set, itself first, ascending:
 * out [count][GD_NEAREST], infinite where the set has fewer. half, tick: see below. */
typedef void gd_tick(void *ctx, double share);
GD_CHECKED gd_status gd_nearest_distances(float *out, const gd_features *set, bool half,
                                          gd_tick *tick, void *ctx);
/* half: the authors' float16 distances, block by block of 10,000, float32 where one overflows.
 * GD_EUSAGE: fewer than 4 points in a set. `tick` (may be NULL) is called now and then with the
 * share that is done, on this thread. */
GD_CHECKED gd_status gd_manifold_measure(gd_manifold *out, const gd_features *ref,
                                         const gd_features *samples, bool half, gd_tick *tick,
                                         void *ctx);

/* ---- kid.c ---- */

/* Binkowski et al. 2018: unbiased MMD^2 with kernel (x.y / d + 1)^3, mean and standard deviation
 * over 100 subsets of 1,000 (of the smaller set, where it has fewer) */
typedef struct gd_kid {
    double mean, deviation;
    int subset;
} gd_kid;
/* fidelity: the subsets that torch-fidelity draws, by numpy's RandomState(2020) */
GD_CHECKED gd_status gd_kid_measure(gd_kid *out, const gd_features *ref, const gd_features *samples,
                                    bool fidelity);

/* ---- cmmd.c ---- */

/* CMMD of CLIP's features, which have length 1 (Jayasumana et al. 2024) */
GD_CHECKED gd_status gd_cmmd_measure(double *out, const gd_features *ref,
                                     const gd_features *samples);

/* ---- images.c: the images of a set, one after another ---- */

typedef struct gd_images_options {
    int channels;  /* of the network: pictures are converted as Pillow does */
    bool grey;     /* an .npz too, from grey to RGB and back; else it is refused */
    int crop, pad; /* > 0: the authors' centre crop to this size; a black border up to it */
} gd_images_options;
typedef struct gd_images gd_images;
/* paths: a set as gd_dataset_open takes it, an .npz (arr_0: uint8 [N,H,W,3]), a folder of .npz, or
 * several with commas between them, whose images follow one another.  Pixels are read later, in
 * memory that does not grow with the set.  An .npz of statistics alone has no images.  GD_EFORMAT
 * tells what is wrong with a file, and what was probably meant. */
GD_CHECKED gd_status gd_images_open(gd_images **out, const char *paths, const gd_images_options *o);
void gd_images_close(gd_images *images); /* NULL is fine */
int64_t gd_images_count(const gd_images *images);
int gd_images_height(const gd_images *images); /* 0: there are none */
int gd_images_width(const gd_images *images);
/* "photos/cat_3.png", "x.npz: image 17" */
void gd_images_name(const gd_images *images, int64_t index, char *out, size_t size);
/* The one .npz that this set is, for its statistics; else NULL */
const gd_bundle *gd_images_npz(const gd_images *images);
/* Adds what tells these images from others (gd_dataset_fingerprint) */
GD_CHECKED gd_status gd_images_fingerprint(const gd_images *images, gd_hasher *hasher);
void gd_images_rewind(gd_images *images);
/* The next n images into pixels [n][height][width][channels]; all have one size, else GD_EFORMAT */
GD_CHECKED gd_status gd_images_read(gd_images *images, int64_t n, uint8_t *pixels);
GD_CHECKED gd_status gd_images_skip(gd_images *images, int64_t n);

/* ---- extract.c, extract_inception.c, extract_classifier.c: features of images ---- */

typedef struct gd_extractor_shape {
    int width;   /* features for FID, precision, recall, KID */
    int spatial; /* features for sFID; 0: the network has none */
    int classes;
    int channels, size; /* of the images; size 0: any */
    bool unit_length;   /* CLIP's features, which CMMD is measured in */
} gd_extractor_shape;
struct gd_model;
typedef struct gd_extractor gd_extractor;
/* The 2015 network with the weights of `path`, for RGB images of one size.  beside: another such
 * extractor of the same weights, or NULL; where both dialects prepare their images the network is
 * in memory once, and they run one after another. */
GD_CHECKED gd_status gd_extractor_inception(gd_extractor **out, const char *path,
                                            const gd_dialect *dialect, const gd_extractor *beside,
                                            int batch, int height, int width);
extern const gd_extractor_shape gd_inception_shape;
/* The activations before the classifier's last projection, at t = 0.  The model outlives it.
 * GD_EMISMATCH for a model of another kind. */
GD_CHECKED gd_status gd_extractor_classifier(gd_extractor **out, const struct gd_model *classifier);
/* A Vision Transformer (nn/vit.h) or ConvNeXt V2 (nn/convnext.h) with the weights of `path`, for
 * RGB images of one size, which are prepared as its family's measure prepares them
 * (extract_vision.c) */
GD_CHECKED gd_status gd_extractor_vision(gd_extractor **out, const char *path, int batch,
                                         int height, int width);
/* Does the file hold keys of such a network, be they too few?  false for what cannot be opened */
bool gd_is_vision_file(const char *path);
/* What the rows of such a file would be, and its name ("DINOv2 ViT-L/14"), without its weights */
GD_CHECKED gd_status gd_extractor_vision_shape(gd_extractor_shape *out, char *name, size_t size,
                                               const char *path);
/* extract_open.c: any of the two, by the keys of the file; the 2015 network with the authors'
 * resize.  GD_EFORMAT: neither */
GD_CHECKED gd_status gd_extractor_open(gd_extractor **out, const char *path, int batch, int height,
                                       int width);
/* The name of the network that such a file holds, without its weights; GD_EFORMAT likewise */
GD_CHECKED gd_status gd_extractor_known(char *name, size_t size, const char *path);
/* Images of this size from now on; false: a network made for one size */
bool gd_extractor_set_size(gd_extractor *e, int height, int width);
enum { GD_VGG16_WIDTH = 4096 };
/* torchvision's VGG16 up to the ReLU of its second fully connected layer, by the keys of its state
 * dict; torch-fidelity's input */
GD_CHECKED gd_status gd_extractor_vgg16(gd_extractor **out, const char *path, int batch, int height,
                                        int width);
bool gd_is_vgg16_file(const char *path); /* false for what cannot be opened */
void gd_extractor_free(gd_extractor *e); /* NULL is fine */
gd_extractor_shape gd_extractor_get_shape(const gd_extractor *e);
/* Floats of an image's row: features, spatial features, probabilities */
int gd_extractor_row(const gd_extractor_shape *shape);
/* "GraphDef", "pytorch-fid", .. of the weights' file; "classifier" */
const char *gd_extractor_format(const gd_extractor *e);
/* Of the weights: the same for every format */
GD_CHECKED gd_status gd_extractor_hash(const gd_extractor *e, char text[33]);
/* pixels: [n][H][W][channels]; rows: [n][gd_extractor_row] */
GD_CHECKED gd_status gd_extractor_run(gd_extractor *e, int n, const uint8_t *pixels, float *rows);

/* ---- cache.c: rows on disk ---- */

typedef struct gd_cache gd_cache;
/* `count` rows of `width` floats under the name `key` in `folder`, which is made if need be.  Rows
 * of an earlier run, killed or not, are there already.  GD_EFAILED: another process writes them. */
GD_CHECKED gd_status gd_cache_open(gd_cache **out, const char *folder, const char key[33],
                                   int64_t count, int width);
void gd_cache_close(gd_cache *cache);         /* NULL is fine */
int64_t gd_cache_done(const gd_cache *cache); /* rows 0 to done - 1 are there */
GD_CHECKED gd_status gd_cache_read(gd_cache *cache, int64_t first, int64_t n, float *rows);
GD_CHECKED gd_status gd_cache_add(gd_cache *cache, int64_t n, const float *rows);
/* When all are there: KEY.safetensors, durable.  Otherwise nothing. */
GD_CHECKED gd_status gd_cache_finish(gd_cache *cache);

/* ---- survey.c: what a network says of a set, in one pass ---- */

typedef struct gd_survey_options {
    const char *cache; /* folder; NULL: none */
    const char *tag;   /* of the dialect, part of the cache's key */
    int batch;
    bool pool, spatial, score; /* wanted: mean and covariance of features, and the score */
    bool fidelity;             /* the score is torch-fidelity's */
    int64_t keep;              /* features that stay in memory, evenly over the set; 0: none */
    bool keep_all;             /* every row stays whole, for the bootstrap */
    /* Ranks that share the images, with the same options; NULL: alone.  The first has the cache,
     * calls tick and gets what is found; the others get the count. */
    gd_dist *dist;
    /* After each batch, images done of all; a status other than GD_OK ends the survey.  Rows that
     * came from the cache are not told apart. */
    gd_status (*tick)(void *ctx, int64_t n);
    /* With `pool`: the statistics of the first 1/8, 1/4, 1/2 and 3/4 of the images, as far as they
     * are 2 or more; NULL: not wanted */
    gd_status (*part)(void *ctx, const gd_statistics *pool);
    void *ctx;
} gd_survey_options;
typedef struct gd_survey {
    int64_t count;
    gd_statistics pool, spatial;          /* width 0: not wanted */
    double inception_score, score_spread; /* mean and deviation of its splits */
    float *features;                      /* block: [kept][width] */
    int64_t kept;
    float *rows; /* block: [count][row], or NULL */
} gd_survey;
enum { GD_MOST_VIEWS = 8 };
/* n networks over the same images, each of which is read once: out[i] is what e[i] sees, which runs
 * once where it is there twice.  Cache, batch, ranks and tick are o[0]'s.  Otherwise as
 * gd_survey_run. */
GD_CHECKED gd_status gd_survey_run_all(gd_survey *const *out, gd_extractor *const *e, int n,
                                       gd_images *images, const gd_survey_options *o);
/* GD_EFAILED names an image whose features are not finite.  Free it whatever happened. */
GD_CHECKED gd_status gd_survey_run(gd_survey *out, gd_extractor *e, gd_images *images,
                                   const gd_survey_options *o);
void gd_survey_free(gd_survey *s); /* zeroed is fine */
/* The index in a set of `count` (below 2^31) of the k-th of `kept` spread evenly over it */
int64_t gd_survey_place(int64_t k, int64_t kept, int64_t count);

/* ---- bootstrap.c: error bars ---- */

/* The samples drawn again, with replacement */
enum { GD_REDRAW_ALL, GD_REDRAW_SPLIT }; /* streams of draws */
typedef struct gd_redrawn {
    const gd_survey *samples; /* with all rows kept */
    const gd_extractor_shape *shape;
    uint64_t seed;
    int draw;
    int32_t *times; /* [count]: how often each sample is in the set */
} gd_redrawn;
/* Samples [first, first + n) are drawn from themselves: n of them, keyed by (seed, draw, index). */
void gd_redraw(gd_redrawn *r, int64_t first, int64_t n, int stream);

/* A value whose deviation is wanted: of the Frechet distance of `width` columns of a row, from
 * `column` on, to `ref`; ref NULL: of what `value` computes */
typedef struct gd_varied {
    const gd_statistics *ref;
    int column, width;
    gd_status (*value)(double *out, gd_redrawn *r);
} gd_varied;
enum { GD_MAX_VARIED = 16 };
typedef struct gd_bootstrap {
    const gd_survey *samples; /* with all rows kept */
    const gd_extractor_shape *shape;
    const gd_varied *varied; /* [n], at most GD_MAX_VARIED */
    int n;
    int draws;
    uint64_t seed;
    gd_status (*tick)(void *ctx); /* after each draw; a status other than GD_OK ends it */
    void *ctx;
} gd_bootstrap;
/* Standard deviations [n] over `draws` sets of as many samples drawn with replacement, beside the
 * same reference.  GD_EUSAGE: fewer than 2 draws. */
GD_CHECKED gd_status gd_bootstrap_run(double *deviation, const gd_bootstrap *b);

/* ---- reference.c: statistics in the authors' files ---- */

/* mean and covariance under these names, F32 or F64, into double; *found false: there are none.
 * GD_EFORMAT: they do not fit each other, or are not finite. */
GD_CHECKED gd_status gd_statistics_read(gd_statistics *out, const gd_bundle *npz, const char *mean,
                                        const char *covariance, bool *found);

#endif
