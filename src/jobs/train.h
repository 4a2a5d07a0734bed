/* train.h - shared by train.c, which makes a run, and train_watch.c, which shows it. */
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
    double scale_growth; /* the authors' fp16_scale_growth: no product of ours is float16 */
    uint64_t seed;
    bool seed_given; /* set by the parser: stands behind seed */
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
    size_t program; /* bytes that were resident before anything was loaded */
    bool first;     /* of the ranks: it reads checkpoints and writes the folder */
    job_words words;
    gd_net_kind kind;
    gd_model_config config;
    gd_dataset *set, *val_set;
    gd_stream *stream, *validation;
    gd_bundle *checkpoint;      /* resumed from */
    char pt_model[GD_MAX_PATH]; /* or from the authors' files of this one; "" */
    gd_model *fresh, *begin, *teacher;
    gd_trainer *trainer;
    const char **names;
    gd_class_names classes;
    char *known_classes; /* malloc'ed: JSON list of names of a run that goes on; NULL: none */
    int lock;
    train_watch watch;
} train_run;

/* train.c: preset and flags as r->config, before the set of images is looked at; the command
 * trains what the run to be continued is, GD_EMISMATCH otherwise */
GD_CHECKED gd_status train_describe_network(train_run *r);
GD_CHECKED gd_status train_take_kind(train_run *r);
/* train_pt.c: where --resume names the authors' files: pt_model, begin, config, kind; called by all
 * ranks */
GD_CHECKED gd_status train_find_pt(train_run *r);

/* train_sets.c: the images, to be trained on and to be validated with, their labels by the classes
 * of the run that goes on; every host must have the same; and the classes that they give r->config
 */
GD_CHECKED gd_status train_open_sets(train_run *r);
GD_CHECKED gd_status
train_take_known(train_run *r); /* known_classes of the checkpoint, to all ranks */
GD_CHECKED gd_status train_compare_sets(const train_run *r);
GD_CHECKED gd_status train_settle_classes(train_run *r);
bool train_flag_given(const train_run *r, const char *name); /* with a value that is not empty */

/* train.c: the text of option `name`, NULL: none, into to[bytes], which outlives the job's words */
GD_CHECKED gd_status train_keep_text(char *to, size_t bytes, const char *from, const char *name);
/* train_loss.c: the options of losses, and the teacher of a distillation; how the loss changes the
 * network's configuration */
GD_CHECKED gd_status train_settle_loss(train_options *o);
GD_CHECKED gd_status train_open_teacher(train_run *r);
void train_shape_network(train_run *r);

/* train_mix.c: what --init-from begins with: parameters of another model where it has one of that
 * name and shape, fresh ones elsewhere */
typedef struct train_mix {
    const gd_model *from, *fresh;
    int n_from, n_fresh;
} train_mix;
GD_CHECKED gd_status train_mix_fetch(void *mix, const char *name, const gd_type *type, float *dst);
GD_CHECKED gd_status train_mix_end(const train_mix *mix); /* GD_EMISMATCH: nothing fitted */

/* train_watch.c: how far it is, wishes, sample grids */
void train_watch_start(train_watch *w, const train_run *run, gd_run_hooks *hooks);
void train_watch_end(train_watch *w);

#endif
