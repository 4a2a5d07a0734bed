/* golden.h - reference cases: a folder with case.json and tensors.safetensors (format: README of
 * the reference set).
 *
 * Each kind of case is a function that computes what the file holds and gives it to golden_compare.
 * The networks run through the same plan, kernels and executor as `guided sample`. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "diffusion/diffusion.h"
#include "nn/nn.h"

#include <jansson.h>

typedef struct golden {
    const char *folder;
    json_t *json, *config, *tolerance; /* per_tensor */
    const char *kind;
    gd_bundle *tensors;
    gd_arena *mem;
    double worst; /* of |difference| / allowed */
    double worst_relative;
    char detail[200]; /* of the worst, or why it failed */
    bool failed;
} golden;

/* A tensor as float32 / float64-free copy in the case's memory; NULL if absent.  *count may be
 * NULL. */
float *golden_f32(golden *g, int64_t *count, const char *format, ...) GD_PRINTF(3, 4);
int64_t *golden_i64(golden *g, int64_t *count, const char *format, ...) GD_PRINTF(3, 4);
const gd_array *golden_find(golden *g, const char *format, ...) GD_PRINTF(2, 3);
void *golden_alloc(golden *g, size_t bytes);
void golden_fail(golden *g, const char *format, ...) GD_PRINTF(2, 3);

/* Compare with tensor NAME by the case's tolerance; where the file also holds the float64 truth
 * (out64.), either may decide */
void golden_compare(golden *g, const char *name, const float *found, int64_t count);
void golden_compare_f64(golden *g, const char *name, const double *found, int64_t count);

/* The stored or generated parameters of prefix ("model", "classifier") as weights for gd_exec_make
 */
typedef struct golden_weights {
    golden *g;
    const char *prefix;
} golden_weights;
gd_weights golden_source(golden_weights *w);

/* configuration of a case: by flags or constructor arguments, with what `resolved` says */
bool golden_net_config(golden *g, json_t *config, json_t *resolved, const char *kind,
                       gd_net_config *out);
int golden_int(json_t *object, const char *key, int absent);
bool golden_bool(json_t *object, const char *key, bool absent);

typedef void (*golden_fn)(golden *g);

void golden_schedule(golden *g);
void golden_spaced_schedule(golden *g);
void golden_space_timesteps(golden *g);
void golden_scale_timesteps(golden *g);
void golden_forward_process(golden *g);
void golden_reverse_process(golden *g);
void golden_network(golden *g);
void golden_classifier(golden *g);
void golden_fullsize(golden *g);
void golden_trajectory(golden *g);
void golden_timestep_embedding(golden *g);
void golden_checkpoint(golden *g);
void golden_checkpoint_bad(golden *g);

#endif
