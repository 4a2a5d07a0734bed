/* SPDX-License-Identifier: MIT */
/* golden.h - reference cases: a folder with case.json and tensors.safetensors (format: README of
 * the reference set).
 *
 * Each kind of case is a function that computes what the file holds and gives it to a compare
 * function.  A result in the file that no compare function was given fails the case, and so does
 * what a kind that reads all (golden_reads_all) did not read.  The networks run through the same
 * plan, kernels and executor as `guided sample`. */
#ifndef TESTS_GOLDEN_H
#define TESTS_GOLDEN_H

#include "diffusion/diffusion.h"
#include "nn/nn.h"

#include <jansson.h>

typedef struct golden_read golden_read;

typedef struct golden {
    const char *folder;
    json_t *json, *config, *tolerance; /* per_tensor */
    const char *kind;
    gd_bundle *tensors;
    bool *seen; /* [gd_bundle_count]: compared, or left out by golden_leave_out */
    bool *used; /* [gd_bundle_count]: looked up */
    struct golden_read *reads;
    bool reads_all; /* golden_reads_all */
    gd_arena *mem;
    double worst;          /* of |difference| / allowed */
    double worst_relative; /* of largest |difference| / largest |stored|, of the same tensor */
    char worst_name[200];
    int n_seen, n_left_out;
    char left_out[100]; /* what of this case the program does not do yet */
    char failure[600];  /* the first */
    bool failed;
} golden;

/* ---- case.c: what a case holds ---- */

/* false: no case.json that can be read; the message is gd_error() */
bool golden_open(golden *g, const char *folder);
void golden_close(golden *g);
/* The first failure is kept */
void golden_fail(golden *g, const char *format, ...) GD_PRINTF(2, 3);
/* Memory of the case, zeroed */
void *golden_alloc(golden *g, size_t bytes);
/* A tensor converted to float, or int64; NULL if absent.  *count may be NULL. */
const gd_array *golden_find(golden *g, const char *format, ...) GD_PRINTF(2, 3);
float *golden_f32(golden *g, int64_t *count, const char *format, ...) GD_PRINTF(3, 4);
int64_t *golden_i64(golden *g, int64_t *count, const char *format, ...) GD_PRINTF(3, 4);
uint8_t *golden_u8(golden *g, int64_t *count, const char *format, ...) GD_PRINTF(3, 4);
/* As they are; absent: another type too */
int golden_int(json_t *object, const char *key, int absent);
bool golden_bool(json_t *object, const char *key, bool absent);

/* The kind reads every member of case.json and every input: what it passes over fails the case.
 * The functions below note what is read. */
void golden_reads_all(golden *g);

/* Members of objects of case.json.  `absent` stands for null too; a member of another type fails
 * the case. */
json_t *golden_at(golden *g, json_t *object, const char *key); /* any type; NULL if absent */
int golden_get_int(golden *g, json_t *object, const char *key, int absent);
double golden_number(golden *g, json_t *object, const char *key, double absent);
bool golden_get_bool(golden *g, json_t *object, const char *key, bool absent);
const char *golden_text(golden *g, json_t *object, const char *key, const char *absent);
/* Index of the member in words[n]; another word fails the case, and so does an absent one unless
 * absent >= 0 */
int golden_word(golden *g, json_t *object, const char *key, const char *const *words, int n,
                int absent);
/* A member that has one value only, if it is there */
void golden_require(golden *g, json_t *object, const char *key, double only);
/* A member with all its members, which golden_check_all_read then does not visit */
json_t *golden_whole(golden *g, json_t *object, const char *key);
/* "key key": members that decide no result */
void golden_remarks(golden *g, json_t *object, const char *keys);
void golden_check_all_read(golden *g);

/* ---- compare.c: the tolerance rules ---- */

/* Results, all elements: out.NAME or grad.NAME.  Where out64.NAME is in the file, it may decide. */
double *golden_f64(golden *g, const char *name); /* any numeric tensor; NULL if absent */
void golden_compare(golden *g, const char *name, const float *found, int64_t count);
void golden_compare_f64(golden *g, const char *name, const double *found, int64_t count);
/* The same with an allowance of its own */
void golden_compare_within(golden *g, const char *name, const float *found, const float *stored,
                           int64_t count, double allowed);
/* Exactly equal bytes and integers */
void golden_compare_bytes(golden *g, const char *name, const void *found, size_t bytes);
/* NAME in full, or every k-th element of it under samp.NAME; neither: nothing is compared */
void golden_compare_part(golden *g, const char *name, const float *found, int64_t count);
/* One row of stat.WHAT.PREFIX, of the parameter that stat_order lists */
void golden_compare_stat(golden *g, const char *what, const char *prefix, const char *parameter,
                         const float *found, int64_t count);
/* A comparison made elsewhere: |difference| / allowed, and what it is relative to the values */
void golden_record(golden *g, const char *name, double ratio, double relative);
void golden_saw(golden *g, const char *name);
/* Results that cannot be computed yet; `why` is printed */
void golden_leave_out(golden *g, const char *name, const char *why);
void golden_check_all_seen(golden *g);

/* ---- weights.c: generated weights ---- */

/* Elements first .. first+n-1 of tensor `name`: uniform in [-2^e, 2^e) + offset */
void golden_fill(float *w, int64_t first, int64_t n, long seed, const char *name, int e,
                 float offset);
/* Every generated parameter has the checksum of case.json, and equals the stored one bit for bit */
void golden_check_weights(golden *g);
/* The parameters of prefix ("model", "classifier", "model0") as gd_exec_make wants them */
typedef struct golden_weights {
    golden *g;
    const char *prefix;
    const char *scope; /* stands before every name in the case, not in the program; NULL: none */
} golden_weights;
gd_weights golden_source(golden_weights *w);

/* ---- network.c: graphs of a case ---- */

typedef struct golden_graph {
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
} golden_graph;
bool golden_plan(golden *g, golden_graph *u, const gd_val *outputs, int n, const gd_weights *w);
void golden_release(golden_graph *u);
/* Elements of a value */
int64_t golden_count(const golden_graph *u, gd_val v);
/* A value's content times factor, in the case's memory */
float *golden_get(golden *g, const golden_graph *u, gd_val v, float factor);

/* Gradients of every parameter and every input that the case has results for */
enum { GOLDEN_MAX_GRADIENTS = 1024 };
typedef struct golden_gradients {
    const char *prefix, *input_suffix; /* "model", ".0" */
    gd_val wrt[GOLDEN_MAX_GRADIENTS], of[GOLDEN_MAX_GRADIENTS];
    int n;
} golden_gradients;
void golden_gradients_of(golden *g, golden_graph *u, golden_gradients *d, gd_val y, gd_val dy);
void golden_compare_gradients(golden *g, const golden_graph *u, const golden_gradients *d,
                              float factor);

/* Configuration by the authors' flags, through the program's own reading of them */
bool golden_flags_config(golden *g, json_t *flags, gd_net_kind kind, gd_model_config *out);
/* By flags, or by constructor arguments where there is model_channels; `resolved` (may be NULL)
 * says what the authors' program made of them, and is checked. */
bool golden_net_config(golden *g, json_t *config, json_t *resolved, gd_net_kind kind,
                       gd_net_config *out);

/* The members of d that describe a process; `steps`: the key of their number.  false: failed */
bool golden_diffusion(golden *g, json_t *d, const char *steps, gd_diffusion_config *out);
/* The process of config.diffusion; free the schedule */
GD_CHECKED gd_status golden_process(golden *g, gd_process *p, gd_schedule **schedule);

/* The schedule of config itself (diffusion_steps, timestep_respacing unless spaced is false); NULL:
 * failed */
gd_schedule *golden_schedule_of(golden *g);
/* By gd_mean_type, gd_var_type, gd_loss_type */
enum { GOLDEN_MEANS = 3, GOLDEN_VARIANCES = 4, GOLDEN_LOSSES = 4 };
extern const char *const golden_mean_names[GOLDEN_MEANS],
    *const golden_var_names[GOLDEN_VARIANCES], *const golden_loss_names[GOLDEN_LOSSES];

/* ---- kinds ---- */

typedef void (*golden_fn)(golden *g);

void golden_schedule(golden *g);
void golden_spaced_schedule(golden *g);
void golden_space_timesteps(golden *g);
void golden_scale_timesteps(golden *g);
void golden_forward_process(golden *g);
void golden_reverse_process(golden *g);
void golden_timestep_embedding(golden *g);
void golden_silu(golden *g);
void golden_layer(golden *g);
void golden_cm_denoiser(golden *g);
void golden_edm_denoiser(golden *g);
void golden_sigma_sampler_edm(golden *g);
void golden_cm_sample(golden *g);
void golden_cm_edit(golden *g);
void golden_cm_losses(golden *g);
void golden_training_extras(golden *g);
/* kind_denoiser.c: config.flags; false: the case has failed */
bool golden_cm_config(golden *g, gd_model_config *out);
/* kind_denoiser.c: config.preconditioning and config.init_kwargs; false: the case has failed */
bool golden_edm_config(golden *g, gd_model_config *out);
/* The column of the tensor `name` that is 1 for each of n images; NULL: there are no labels */
int64_t *golden_class_labels(golden *g, const char *name, int n);
void golden_edm_pkl(golden *g);
void golden_onecall_state_dict(golden *g);
void golden_diffusers_unet2d(golden *g);
void golden_diffusers_folder(golden *g);
/* kind_checkpoint.c: opening `path` in a process of its own is refused within a second and 64 MiB
 */
void golden_must_refuse(golden *g, const char *path, gd_status (*open)(const char *path));
void golden_resblock_dropout(golden *g);
void golden_interpolate(golden *g);
void golden_network(golden *g);
void golden_classifier(golden *g);
void golden_fullsize(golden *g);
void golden_trajectory(golden *g);
void golden_vp_sampler_gmm(golden *g);
void golden_vp_sampler_adm(golden *g);
void golden_vp_sampler_shipped(golden *g);
void golden_sigma_sampler_gmm(golden *g);
void golden_grids(golden *g);
void golden_diffusers_sampler_gmm(golden *g);
void golden_guidance_formulas(golden *g);
void golden_guided_adm_loops(golden *g);
void golden_convergence(golden *g);
void golden_sigma_sampler_adm(golden *g);
void golden_sigma_sampler_shipped(golden *g);
void golden_checkpoint(golden *g);
void golden_checkpoint_bad(golden *g);
void golden_npz(golden *g);
void golden_base_samples(golden *g);
void golden_training_losses_mock(golden *g);
void golden_schedule_samplers(golden *g);
void golden_training_losses_unet(golden *g);
void golden_train_loop(golden *g);
void golden_classifier_train(golden *g);
void golden_image_crops(golden *g);
void golden_pil_resize(golden *g);
void golden_dataset_listing(golden *g);
void golden_dataset_items(golden *g);
void golden_metrics(golden *g);
void golden_inception(golden *g);
void golden_vit(golden *g);
void golden_likelihood_functions(golden *g);
void golden_calc_bpd_loop(golden *g);
void golden_restore_operator(golden *g);
void golden_restore_kernel(golden *g);
void golden_restore_noise(golden *g);
void golden_restore_schedule(golden *g);
void golden_restore_metric(golden *g);
void golden_restore_solver(golden *g);
void golden_restore_truth(golden *g);

#endif
