/* SPDX-License-Identifier: MIT */
/* train.h - shared by train.c, which sets up a run, and the other files of training. */
#ifndef GD_JOBS_TRAIN_H
#define GD_JOBS_TRAIN_H

#include "jobs/jobs.h"
#include "train/train.h"

typedef struct train_options {
    gd_train_options train;
    const char *data, *val_data, *labels, *out, *resume, *init_from, *preset, *ema_rate,
        *schedule_sampler, *timestep_respacing, *precision, *loss, *loss_weight, *loss_norm,
        *teacher;
    int channels, super_res, workers, threads, memory;
    int64_t lr_anneal_steps;
    double max_bad, deadline;
    double scale_growth; /* the authors' fp16_scale_growth: unused */
    uint64_t seed;
    bool seed_given; /* set by the parser: must follow seed */
    bool quiet;
} train_options;

typedef struct train_watch {
    const struct train_run *run;
    bool quiet;
    double start;  /* seconds */
    int64_t first; /* step */
    double loss;   /* of the last row; NaN before it */
} train_watch;

typedef struct train_run {
    train_options o;
    gd_dist *dist;
    size_t program; /* resident bytes of the process before loading */
    bool first;     /* this is the first rank: it reads checkpoints and writes the folder */
    job_words words;
    gd_net_kind kind;
    gd_model_config config;
    gd_dataset *set, *val_set;
    gd_stream *stream, *validation;
    gd_bundle *checkpoint;      /* the checkpoint to resume from */
    char pt_model[GD_MAX_PATH]; /* or the authors' model file to resume from; "" */
    gd_model *fresh, *begin, *teacher;
    gd_trainer *trainer;
    const char **names;
    gd_class_names classes;
    char *known_classes; /* malloc'ed: JSON list of class names of a resumed run; NULL: none */
    int lock;
    train_watch watch;
} train_run;

/* train.c: sets r->config from preset and flags, before the set of images is opened; GD_EMISMATCH
 * if the verb does not train the kind of the resumed run */
GD_CHECKED gd_status train_describe_network(train_run *r);
GD_CHECKED gd_status train_take_kind(train_run *r);
/* train_pt.c: sets pt_model, begin, config and kind if --resume names the authors' files; called by
 * all ranks */
GD_CHECKED gd_status train_find_pt(train_run *r);

/* train_sets.c: opens the images for training and validation, with labels in the classes of a
 * resumed run; every host must have the same images.  Then sets the classes of r->config. */
GD_CHECKED gd_status train_open_sets(train_run *r);
/* Broadcasts known_classes of the checkpoint to all ranks */
GD_CHECKED gd_status train_take_known(train_run *r);
GD_CHECKED gd_status train_compare_sets(const train_run *r);
GD_CHECKED gd_status train_settle_classes(train_run *r);
/* True if given with a value that is not empty */
bool train_flag_given(const train_run *r, const char *name);

/* train.c: copies the text of option `name` (NULL: none) into to[bytes], which outlives the job's
 * words */
GD_CHECKED gd_status train_keep_text(char *to, size_t bytes, const char *from, const char *name);
/* train_loss.c: settles the options of losses, opens the teacher of a distillation, adapts the
 * network's configuration to the loss */
GD_CHECKED gd_status train_settle_loss(train_options *o);
GD_CHECKED gd_status train_open_teacher(train_run *r);
void train_shape_network(train_run *r);

/* train_mix.c: initial weights of --init-from: a parameter of the other model if it has one with
 * that name and shape, else a fresh one */
typedef struct train_mix {
    const gd_model *from, *fresh;
    int n_from, n_fresh;
} train_mix;
GD_CHECKED gd_status train_mix_fetch(void *mix, const char *name, const gd_type *type, float *dst);
GD_CHECKED gd_status train_mix_end(const train_mix *mix); /* GD_EMISMATCH: no parameter fitted */

/* train_watch.c: progress, requests to save or stop, sample grids */
void train_watch_start(train_watch *w, const train_run *run, gd_run_hooks *hooks);
void train_watch_end(train_watch *w);

#endif
