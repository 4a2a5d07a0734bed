/* SPDX-License-Identifier: MIT */
/* config.h - what a network and its diffusion process are: plain data, filled from a preset, a
 * file's keys, or flags. Sources: docs/reference/networks.md#flags, #presets. */
#ifndef GD_NN_CONFIG_H
#define GD_NN_CONFIG_H

#include "io/io.h"

enum { GD_MAX_LEVELS = 12 };

typedef enum gd_net_kind { GD_NET_UNET, GD_NET_SUPERRES, GD_NET_CLASSIFIER } gd_net_kind;
typedef enum gd_pool {
    GD_POOL_ATTENTION,
    GD_POOL_ADAPTIVE,
    GD_POOL_SPATIAL,
    GD_POOL_SPATIAL_V2
} gd_pool;

/* Whose checkpoints have these parameters, by these names: one file family_NAME.c each */
typedef enum gd_family {
    GD_FAMILY_ADM,         /* guided-diffusion, improved-diffusion and what was trained with them */
    GD_FAMILY_CONSISTENCY, /* consistency_models: ADM's UNet, attention as 2-D convolutions */
    GD_FAMILY_EDM,         /* NVlabs/edm: DhariwalUNet and SongUNet */
    GD_FAMILY_DIFFUSERS,   /* diffusers: UNet2DModel */
    GD_N_FAMILIES
} gd_family;

/* UNetModel, SuperResModel, EncoderUNetModel by the authors' constructor arguments.  Other families
 * use the fields that mean the same, and those at the end. */
typedef struct gd_net_config {
    gd_family family;
    gd_net_kind kind;
    int image_size;  /* large_size for GD_NET_SUPERRES */
    int small_size;  /* SUPERRES only */
    int in_channels; /* of x: 3; the super-resolution network's first convolution sees twice as many
                      */
    int model_channels; /* num_channels / classifier_width */
    int out_channels;   /* 3 or 6 with learn_sigma; classes of a classifier */
    int num_res_blocks;
    int n_levels;
    double channel_mult[GD_MAX_LEVELS]; /* level l has (int)(channel_mult[l] * model_channels)
                                           channels */
    unsigned attention_ds;  /* bit k set: attention where the downsampling rate is 2^k */
    int num_classes;        /* label_emb rows; 0 = not class-conditional.  Classifier: 0 */
    int num_heads;          /* used where num_head_channels < 0 */
    int num_heads_upsample; /* -1: as num_heads */
    int num_head_channels;  /* -1: use num_heads */
    double dropout;
    bool use_scale_shift_norm, resblock_updown, conv_resample, use_new_attention_order;
    gd_pool pool; /* classifier */

    /* GD_FAMILY_EDM: SongUNet (DDPM++, NCSN++) or DhariwalUNet */
    bool song;
    int embedding_mult; /* channel_mult_emb: the embedding has so many times model_channels */
    int noise_mult;     /* channel_mult_noise: the noise level's sinusoids, too; SongUNet */
    int augment_dim;    /* columns of map_augment, 0: none; sampling leaves its term out */
    bool fourier;       /* embedding_type "fourier", else "positional" */
    bool residual_encoder;
    bool smooth_resampling; /* resample_filter [1,3,3,1], else [1,1] */

    /* GD_FAMILY_DIFFUSERS */
    int norm_groups;
    double norm_eps;
    int freq_shift; /* 0, 1: subtracted from the number of frequencies */
    bool flip_sin_to_cos;
    bool pad_right_bottom; /* downsample_padding 0: one column and one row at these sides only */
} gd_net_config;

/* edm_levels.c: the levels of GD_PRECOND_IDDPM, descending to 0; level j is the network's time
 * GD_EDM_LEVELS - 2 - j */
enum { GD_EDM_LEVELS = 1001 };
void gd_edm_levels(float u[GD_EDM_LEVELS]);

/* What makes a denoiser D(x; s) of the network (diffusion/diffusion.h) */
typedef enum gd_precond {
    GD_PRECOND_STEPS, /* none: the network is for the discrete steps of gd_diffusion_config */
    GD_PRECOND_EDM,
    GD_PRECOND_VP,
    GD_PRECOND_VE,
    GD_PRECOND_IDDPM,
    GD_PRECOND_CONSISTENCY_EDM, /* consistency_models' edm_*: EDM's scalings, another time */
    GD_PRECOND_CONSISTENCY,     /* cd_*, ct_*: D(x; sigma_min) = x */
    GD_N_PRECONDS
} gd_precond;

typedef struct gd_diffusion_config {
    int steps;               /* diffusion_steps, 1000 */
    char noise_schedule[16]; /* of gd_noise_schedules */
    bool learn_sigma, sigma_small, predict_xstart, predict_v, rescale_timesteps,
        rescale_learned_sigmas, use_kl;

    /* Noise levels s, for gd_preconds other than GD_PRECOND_STEPS */
    gd_precond precond;
    double sigma_data;
    double sigma_min, sigma_max; /* the levels that the network was made for */
    double one_call_sigma;       /* > 0: a generator, image = D(one_call_sigma * noise, the same) */
} gd_diffusion_config;

/* Everything a model file states or is assumed to state */
typedef struct gd_model_config {
    gd_net_config net;
    gd_diffusion_config diffusion;
    char preset[48];       /* "64x64_diffusion"; "" when the file is not of a known preset */
    double guidance_scale; /* the preset's classifier scale at 250 steps, 1.0 otherwise */
} gd_model_config;

/* What y is one of; 0: unconditional */
static inline int gd_net_classes(const gd_net_config *net)
{
    return net->kind == GD_NET_CLASSIFIER ? net->out_channels : net->num_classes;
}

/* "diffusion", "upsampler", "classifier": what users and guided.kind call the kinds */
extern const char *const gd_net_kind_names[3];
extern const char *const gd_family_names[GD_N_FAMILIES];
extern const char *const gd_precond_names[GD_N_PRECONDS];
enum { GD_N_NOISE_SCHEDULES = 4 };
extern const char *const gd_noise_schedules[GD_N_NOISE_SCHEDULES];

/* ": SongUNet (DDPM++)", ... or "" where the family has one architecture */
const char *gd_architecture_name(const gd_net_config *net);
/* Of the rows of qkv in the file */
const char *gd_head_order_name(const gd_net_config *net);

/* ---- presets: the 15 published files (docs/reference/networks.md#presets), by file name without
 * ".pt" ---- */
int gd_preset_count(void); /* of published files; gd_preset_config knows ours too: small32, ... */
const char *gd_preset_name(int i);
/* GD_EUSAGE with the nearest names for an unknown one */
GD_CHECKED gd_status gd_preset_config(gd_model_config *out, const char *name);
/* For a classifier preset the diffusion it belongs to ("64x64_diffusion" for "64x64_classifier")
 * and vice versa; NULL: none */
const char *gd_preset_partner(const char *name);

/* ---- flags by the authors' names ---- */
/* A word of the authors' command line, "image_size" and "64"; bool values as
 * docs/reference/networks.md#flags spells them */
typedef guided_option gd_flag;
bool gd_flag_known(const char *name);
bool gd_flag_fits(const char *name, gd_net_kind kind); /* it changes a network of this kind */
/* Apply one flag (authors' names: image_size num_channels num_res_blocks num_heads
 * num_heads_upsample num_head_channels attention_resolutions channel_mult dropout class_cond
 * use_checkpoint use_scale_shift_norm resblock_updown use_fp16 use_new_attention_order learn_sigma
 * diffusion_steps noise_schedule use_kl predict_xstart rescale_timesteps rescale_learned_sigmas
 * large_size small_size classifier_width classifier_depth classifier_attention_resolutions
 * classifier_use_scale_shift_norm classifier_resblock_updown classifier_pool classifier_use_fp16;
 * and num_classes). Unknown names, bad values and values out of range are GD_EUSAGE. Flags that
 * concern only how the authors' program computes (use_fp16, use_checkpoint) are accepted and change
 * nothing.  attention_resolutions depends on image_size: gd_flags_apply takes the whole list and
 * applies it in the right order. */
GD_CHECKED gd_status gd_flags_apply(gd_model_config *config, const gd_flag *flags, int n);
/* guided-diffusion's defaults for a kind; then gd_flags_apply makes a configuration from flags
 * alone.
 */
void gd_config_defaults(gd_model_config *out, gd_net_kind kind);
/* The same UNetModel as a network of the consistency family: without learned variances, for noise
 * levels 0.002 to 80 */
void gd_config_for_levels(gd_model_config *config, gd_precond precond);
/* A configuration from flags alone: what they leave out has the defaults of the script that takes
 * such a line (scripts.h). */
GD_CHECKED gd_status gd_config_from_flags(gd_model_config *out, gd_net_kind kind,
                                          const gd_flag *flags, int n);
/* The configuration as a whole line of flags, which makes it again; cut at `size` bytes */
void gd_flags_line(const gd_model_config *config, char *out, size_t size);

/* ---- what parameters a configuration has ---- */
typedef enum gd_init_rule {
    GD_INIT_UNIFORM, /* U(-scale, scale), scale = 1 / sqrt(fan_in): PyTorch's default for
                        convolutions and linear layers */
    GD_INIT_NORMAL,  /* N(0, scale^2) */
    GD_INIT_BUFFER,  /* the same, but no parameter: it is not trained, nor counted as one */
    GD_INIT_ONE,
    GD_INIT_ZERO
} gd_init_rule;
typedef struct gd_param_spec {
    char name[GD_MAX_NAME];
    int rank;
    int64_t dim[4];
    gd_init_rule init; /* docs/reference/networks.md#initialisation */
    double init_scale;
} gd_param_spec;
/* All parameters in state_dict order.  *out from `arena`.  GD_EUSAGE for an impossible
 * configuration, with the reason: channels not divisible by 32 or by the head size, no levels,
 * image_size that cannot be halved for every level, ... */
GD_CHECKED gd_status gd_config_params(const gd_model_config *config, gd_arena *arena,
                                      gd_param_spec **out, int *n);
int64_t gd_param_count(const gd_param_spec *spec); /* elements */

/* ---- init.c: weights without a file ---- */
/* Fresh weights as PyTorch would initialise them, keyed by (seed, index); index = position in
 * gd_config_params' list. */
void gd_init_parameter(float *out, const gd_param_spec *spec, uint64_t seed, int index);
/* The synthetic weights of the reference cases at full size: a pure function of salt, name and
 * element. */
void gd_init_synthetic(float *out, const gd_param_spec *spec, const char *salt);

/* ---- recognising ---- */
/* Configuration of a file.  First guided.config where the file has it.  Else keys and shapes, as
 * far as they tell; the rest, where a network flag of the authors' is given, has the defaults of
 * their script; where none is, it is a preset's with exactly these keys and shapes (files of equal
 * shapes are one family: the file's own name, e.g. "lsun_cat.pt", picks among them), or a guess.
 * `flags` override. Whatever shapes cannot tell (head counts, attention order, schedule, steps,
 * predict_xstart, rescale_timesteps, image_size) and no flag gave is assumed, and each assumption
 * is appended to `assumed` as a line "num_heads 4 (assumed; --num_heads N if not)".  Checks every
 * key and shape against the result: GD_EFORMAT with one table of key, expected, found (at most 20
 * rows, then "... and N more").  "module." prefixes of DataParallel files are accepted. */
GD_CHECKED gd_status gd_config_recognise(gd_model_config *out, gd_arena *arena, char **assumed,
                                         gd_bundle *bundle, const gd_flag *flags, int n_flags);
/* A configuration as a family's own files write it: flags "name=value ..." of ADM and consistency
 * models, {"class_name": ..., "init_kwargs": {...}} of EDM, config.json of diffusers. */
GD_CHECKED gd_status gd_config_from_text(gd_model_config *out, gd_family family, gd_net_kind kind,
                                         const char *text);
/* guided.config JSON text of a configuration, and back */
GD_CHECKED gd_status gd_config_to_json(const gd_model_config *config, gd_arena *arena, char **out);
GD_CHECKED gd_status gd_config_from_json(gd_model_config *out, const char *json, const char *file);

#endif
