/* SPDX-License-Identifier: MIT */
/* train.c - guided train, guided train-classifier: options, and the set-up of a run. */
#include "jobs/train.h"
#include "jobs/option_rows.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- options ---- */

#define AT(field) offsetof(train_options, field)
static const job_option train_table[] = {
#include "jobs/train_options.inc"
    { "super-res", 0, JOB_INT, "N", "train an upsampler from N x N pixels", AT(super_res), 1,
      GD_MAX_IMAGE_SIDE },
    { "schedule-sampler", 0, JOB_TEXT, "uniform|loss-second-moment", "sampler of timesteps",
      AT(schedule_sampler) },
    { "schedule_sampler", 0, JOB_TEXT, "NAME", "= --schedule-sampler", AT(schedule_sampler) },
    { "fp16_scale_growth", 0, JOB_REAL, "R",
      "= accepted from the authors' scripts; no loss is scaled here", AT(scale_growth), 0, 1e6 },
    { "loss", 0, JOB_TEXT, "steps|edm|cd|ct|progdist",
      "loss at discrete steps (default), or at noise levels: EDM's, consistency distillation and "
      "training, progressive distillation",
      AT(loss) },
    { "teacher", 0, JOB_TEXT, "FILE", "model to distil, for cd and progdist", AT(teacher) },
    { "scales", 0, JOB_INT, "N", "number of levels (cd, ct) or steps (progdist); default 40",
      AT(train.scales), 2, 100000 },
    { "target-ema", 0, JOB_REAL, "R",
      "rate of the average that is the target of cd and ct (default 0.95)", AT(train.target_ema), 0,
      1 },
    { "loss-norm", 0, JOB_TEXT, "l2|l1", "norm of losses at noise levels", AT(loss_norm) },
    { "loss-weight", 0, JOB_TEXT, "NAME",
      "weight of the loss: uniform, min-snr, p2; at noise levels uniform, snr, snr+1, karras, "
      "truncated-snr",
      AT(loss_weight) },
    { "weight-gamma", 0, JOB_REAL, "G", "gamma of min-snr (default 5) and p2 (default 1)",
      AT(train.weight_gamma), 0, 1e6 },
    { "weight-k", 0, JOB_REAL, "K", "k of p2 (default 1)", AT(train.weight_k), 0, 1e6 },
    { "label-dropout", 0, JOB_REAL, "P",
      "share of labels replaced by an extra class, the --null-class of guided sample",
      AT(train.label_dropout), 0, 1 },
    { "sample-interval", 0, JOB_WIDE, "N", "updates between sample grids; 0: no grids",
      AT(train.sample_interval), 0, 1e12 },
};

static const job_option classifier_table[] = {
#include "jobs/train_options.inc"
    { "val-data", 0, JOB_TEXT, "PATH", "images for validation", AT(val_data) },
    { "val_data_dir", 0, JOB_TEXT, "PATH", "= --val-data", AT(val_data) },
    { "eval-interval", 0, JOB_WIDE, "N", "updates between validations (default 5)",
      AT(train.eval_interval), 0, 1e12 },
    { "eval_interval", 0, JOB_WIDE, "N", "= --eval-interval", AT(train.eval_interval), 0, 1e12 },
    { "schedule_sampler", 0, JOB_TEXT, "uniform|loss-second-moment",
      "= accepted from the authors' scripts; always uniform, as theirs", AT(schedule_sampler) },
    { "noised", 0, JOB_SWITCH, "", "train on noised images (on)", AT(train.noised) },
    { "anneal_lr", 0, JOB_SWITCH, "", "= --anneal-lr", AT(train.anneal_lr) },
};
#undef AT

gd_status train_keep_text(char *to, size_t bytes, const char *from, const char *name)
{
    if (!from)
        return GD_OK;
    if (strlen(from) >= bytes)
        return gd_fail(GD_EUSAGE, "--%s: longer than %zu bytes", name, bytes - 1);
    strcpy(to, from);
    return GD_OK;
}

static gd_status settle(train_options *o, gd_net_kind kind)
{
    gd_train_options *t = &o->train;

    GD_TRY(train_keep_text(t->ema_rate, sizeof t->ema_rate, o->ema_rate, "ema-rate"));
    if (kind != GD_NET_CLASSIFIER)
        GD_TRY(train_keep_text(t->schedule_sampler, sizeof t->schedule_sampler, o->schedule_sampler,
                               "schedule-sampler"));
    GD_TRY(train_settle_loss(o));
    GD_TRY(train_keep_text(t->timestep_respacing, sizeof t->timestep_respacing,
                           o->timestep_respacing, "timestep_respacing"));
    t->microbatch = GD_MAX(t->microbatch, 0); /* the authors' -1 means the whole batch */
    GD_TRY(train_keep_text(t->labels, sizeof t->labels, o->labels, "labels"));
    GD_TRY(train_keep_text(t->data, sizeof t->data, o->data, "data"));
    GD_TRY(train_keep_text(t->val_data, sizeof t->val_data, o->val_data, "val-data"));
    if (o->precision)
        t->bf16 = job_is_bf16(o->precision);
    if (o->lr_anneal_steps > 0) {
        t->iterations = o->lr_anneal_steps;
        t->anneal_lr = true;
    }
    if (o->seed_given)
        t->seed = o->seed;
    else if (!o->resume && !gd_random(&t->seed, 4)) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (gd_ends_with(o->out, ".pt") || gd_ends_with(o->out, ".safetensors"))
        return gd_fail(GD_EUSAGE,
                       "--out %s: a run is a folder\nhint: --out %.*s; guided convert writes its "
                       "model to a file",
                       o->out, (int)(gd_suffix(o->out) - o->out), o->out);
    if (!*t->data)
        return gd_fail(GD_EUSAGE, "no images\nhint: --data FOLDER, or a file of images");
    return GD_OK;
}

/* ---- the configuration ---- */

static gd_status preset_of(train_run *r)
{
    static const char *const suffix[] = { "", "", "_classifier" };
    const char *name = r->o.preset;
    char partner[64];

    GD_TRY(gd_preset_config(&r->config, name));
    if (r->config.net.kind == r->kind)
        return GD_OK;
    if (r->kind == GD_NET_SUPERRES && strcmp(name, "small32") == 0)
        return gd_preset_config(&r->config, "small8_32_upsampler");
    name = gd_preset_partner(r->o.preset);
    if (name)
        GD_TRY(gd_preset_config(&r->config, name));
    if (name && r->config.net.kind == r->kind)
        return GD_OK;
    snprintf(partner, sizeof partner, "%s%s", r->o.preset, suffix[r->kind]);
    return gd_fail(GD_EUSAGE, "--preset %s is not a %s and has no partner of that kind",
                   r->o.preset, gd_net_kind_names[r->kind]);
}

/* Grey or colour: sets the channels of the first and the last convolution. */
static void set_channels(gd_model_config *c, int channels)
{
    c->net.in_channels = channels;
    if (c->net.kind != GD_NET_CLASSIFIER)
        c->net.out_channels = (c->diffusion.learn_sigma ? 2 : 1) * channels;
}

gd_status train_describe_network(train_run *r)
{
    gd_flag flags[JOB_MAX_FLAGS + 1];
    char small[16];
    int n = r->words.n_flags;

    memcpy(flags, r->words.flag, (size_t)n * sizeof *flags);
    if (r->o.super_res && train_flag_given(r, "small_size"))
        return gd_fail(GD_EUSAGE, "--super-res and --small_size are the same option");
    if (r->o.super_res) {
        snprintf(small, sizeof small, "%d", r->o.super_res);
        flags[n++] = (gd_flag){ "small_size", small };
    }
    if (r->o.preset) {
        GD_TRY(preset_of(r));
        GD_TRY(gd_flags_apply(&r->config, flags, n));
    } else {
        GD_TRY(gd_config_from_flags(&r->config, r->kind, flags, n));
    }
    if (r->o.channels)
        set_channels(&r->config, r->o.channels);
    train_shape_network(r);
    return GD_OK;
}

/* ---- data ---- */

static gd_status open_stream(train_run *r, gd_stream **out, const gd_dataset *set, bool validation)
{
    const gd_train_options *t = &r->o.train;
    const int share = t->batch_size / gd_dist_ranks(r->dist);
    const gd_stream_options o = { .size = r->config.net.image_size,
                                  .channels = r->config.net.in_channels,
                                  .seed = t->seed ^ (validation ? 1 : 0),
                                  .random_crop = t->random_crop && !validation,
                                  .random_flip = t->random_flip,
                                  .pad = t->pad,
                                  .batch = share,
                                  .stride = t->batch_size,
                                  .workers = r->o.workers,
                                  .max_bad = r->o.max_bad };

    return gd_stream_open(out, set, &o);
}

/* ---- initial weights: fresh, another model's, or a checkpoint's ---- */

static gd_status make_trainer(train_run *r)
{
    const gd_source source = gd_stream_source(r->stream);
    const bool mixed = r->o.init_from && r->first;

    GD_TRY(gd_model_create(&r->fresh, &r->config, r->o.train.seed, false));
    GD_TRY(train_open_teacher(r));
    if (mixed)
        GD_TRY(gd_model_open(&r->begin, r->o.init_from, NULL, 0));
    train_mix mix = { .from = r->begin, .fresh = r->fresh };
    const gd_weights weights =
        mixed ? (gd_weights){ train_mix_fetch, &mix }
              : gd_model_weights(*r->pt_model && r->first ? r->begin : r->fresh);
    GD_TRY(gd_trainer_make(&r->trainer, &r->config, &weights, &r->o.train, &source, r->dist,
                           r->teacher));
    if (mixed)
        GD_TRY(train_mix_end(&mix));
    if (r->validation)
        r->trainer->validation = gd_stream_source(r->validation);
    if (*r->pt_model && r->first)
        return gd_pt_set_load(r->trainer, r->pt_model);
    return r->checkpoint ? gd_checkpoint_load(r->trainer, r->checkpoint) : GD_OK;
}

gd_status train_take_kind(train_run *r)
{
    const gd_net_kind kind = r->config.net.kind;

    if (kind != r->kind && (r->kind == GD_NET_CLASSIFIER || kind == GD_NET_CLASSIFIER))
        return gd_fail(GD_EMISMATCH, "%s: a run of %s\nhint: guided %s --resume", r->o.resume,
                       gd_net_kind_names[kind],
                       r->kind == GD_NET_CLASSIFIER ? "train" : "train-classifier");
    r->kind = kind;
    return GD_OK;
}

static gd_status open_checkpoint(train_run *r)
{
    char path[GD_MAX_PATH];

    if (!r->first)
        return GD_OK;
    if (!gd_path_exists(r->o.resume))
        return gd_fail(GD_EFORMAT,
                       "%s: no run to resume\nhint: --resume takes the folder that --out named; "
                       "without --resume a new run begins",
                       r->o.resume);
    GD_TRY(gd_run_lock(&r->lock,
                       r->o.resume)); /* before reading files that another process may change */
    GD_TRY(gd_run_newest(path, r->o.resume));
    return gd_checkpoint_open(&r->checkpoint, path, &r->o.train, &r->config);
}

/* The options of the run, overridden by those of the command line */
static gd_status read_checkpoint(train_run *r, gd_job *job)
{
    train_options again = r->o;
    job_words words = { .n_words = 0 };

    GD_TRY(gd_dist_agree(r->dist, open_checkpoint(r), NULL));
    again.train = r->o.train;
    GD_TRY(gd_dist_broadcast(r->dist, &again.train, sizeof again.train));
    GD_TRY(gd_dist_broadcast(r->dist, &r->config, sizeof r->config));
    GD_TRY(train_take_known(r));
    GD_TRY(train_take_kind(r));
    GD_TRY(job_parse(job, &again, &words));
    if (words.n_flags > 0 || again.preset || again.super_res || again.init_from)
        return gd_fail(GD_EUSAGE,
                       "--resume: %s%s cannot change the network of a run\nhint: --init-from "
                       "begins a new run with its weights",
                       "--",
                       words.n_flags > 0 ? words.flag[0].name
                       : again.preset    ? "preset"
                       : again.super_res ? "super-res"
                                         : "init-from");
    if (again.seed_given && again.seed != again.train.seed)
        return gd_fail(GD_EUSAGE, "--resume: --seed cannot change the seed of a run");
    r->o = again;
    r->o.out = r->o.resume;
    r->o.channels = r->config.net.in_channels;
    return GD_OK;
}

/* ---- running ---- */

/* Fails if the folder already contains a run */
static gd_status check_folder(const char *path)
{
    int64_t *steps;
    int n;

    if (!gd_path_exists(path))
        return GD_OK;
    GD_TRY(gd_run_steps(&steps, &n, path));
    gd_block_free(steps);
    if (n == 0)
        return GD_OK;
    return gd_fail(
        GD_EEXISTS,
        "%s already contains a run\nhint: --resume %s continues it, or give another --out", path,
        path);
}

/* Called after all other checks, so that a refused command leaves no folder. */
static gd_status make_folder(train_run *r)
{
    if (gd_os.mkdir(r->o.out, 0777) != 0 && errno != EEXIST)
        return gd_fail_errno(errno, r->o.out);
    GD_TRY(gd_run_lock(&r->lock, r->o.out));
    return check_folder(r->o.out); /* another process may have started a run meanwhile */
}

/* The trainer allocates everything up front; the process's own memory comes on top.
 */
static void report_start(const train_run *r)
{
    const gd_trainer *t = r->trainer;
    const gd_train_options *o = &t->options;

    if (r->o.quiet || !r->first)
        return;
    gd_log(
        GD_LOG_NOTE,
        "%s: %lld images, %d classes; %lld parameters, %.1f MiB in memory, checkpoints of %.1f MiB",
        o->data, (long long)gd_dataset_count(r->set),
        gd_net_classes(&t->config.net) > 0 ? gd_dataset_classes(r->set) : 0,
        (long long)t->learner->total, (double)(r->program + gd_memory_held()) / 1048576,
        (double)gd_checkpoint_bytes(t) / 1048576);
    gd_log(GD_LOG_NOTE, "%s: from step %lld, seed %llu, %d threads, %s", r->o.out,
           (long long)t->step, (unsigned long long)o->seed, gd_threads(),
           gd_isa_name(gd_isa_used()));
    job_ranks_say(r->dist, t->images, "batch");
    if (t->written_by > 0 && t->written_by != gd_dist_ranks(r->dist))
        gd_log(GD_LOG_NOTE,
               "%s: written by %d rank%s: from here on results are equal within rounding, not bit "
               "for bit",
               r->o.out, t->written_by, t->written_by == 1 ? "" : "s");
}

/* The authors' classifier_train.py passes the index itself, their sampling the scaled index. */
static void report_timesteps(const train_run *r)
{
    const gd_diffusion_config *d = &r->config.diffusion;

    if (r->kind != GD_NET_CLASSIFIER)
        return;
    if (*r->o.train.timestep_respacing)
        gd_log(GD_LOG_NOTE,
               "as in classifier_train.py the classifier is trained with the index among the kept "
               "steps but guides with the original step: omit --timestep_respacing");
    else if (d->rescale_timesteps && d->steps != 1000)
        gd_log(GD_LOG_NOTE,
               "as in classifier_train.py the classifier is trained with timesteps 0 to %d, but "
               "rescale_timesteps guides with 0 to 999: give --rescale_timesteps False",
               d->steps - 1);
}

static gd_status open_streams(train_run *r)
{
    GD_TRY(gd_train_check(&r->o.train, gd_dist_ranks(r->dist)));
    GD_TRY(open_stream(r, &r->stream, r->set, false));
    return r->val_set ? open_stream(r, &r->validation, r->val_set, true) : GD_OK;
}

static gd_status prepare(train_run *r)
{
    if (!r->o.resume && !*r->pt_model)
        GD_TRY(train_describe_network(r));
    GD_TRY(train_settle_classes(r));
    report_timesteps(r);
    GD_TRY(open_streams(r));
    if (r->o.resume || !r->first)
        return make_trainer(r);
    GD_TRY(check_folder(r->o.out));
    GD_TRY(make_trainer(r));
    return make_folder(r);
}

static gd_status read_options(train_run *r, gd_job *job)
{
    if (r->o.resume)
        GD_TRY(train_find_pt(r));
    if (r->o.resume)
        GD_TRY(read_checkpoint(r, job));
    return settle(&r->o, r->kind);
}

static gd_status work(train_run *r, gd_job *job)
{
    gd_run_hooks hooks;

    GD_TRY(gd_dist_agree(r->dist, read_options(r, job), NULL));
    GD_TRY(gd_dist_broadcast(r->dist, &r->o.train, sizeof r->o.train)); /* a random seed too */
    job_ranks_settle(r->dist, r->o.threads, r->o.memory);
    gd_dist_set_deadline(r->dist, r->o.deadline);
    GD_TRY(gd_dist_agree(r->dist, train_open_sets(r), NULL));
    GD_TRY(train_compare_sets(r));
    GD_TRY(gd_dist_agree(r->dist, prepare(r), NULL));
    GD_TRY(gd_trainer_share(r->trainer));
    report_start(r);
    train_watch_start(&r->watch, r, &hooks);
    const gd_status s = gd_run_train(r->trainer, r->o.out, &r->classes, &hooks);
    train_watch_end(&r->watch);
    return s;
}

static void release(train_run *r)
{
    gd_trainer_free(r->trainer);
    gd_model_close(r->fresh);
    gd_model_close(r->begin);
    gd_model_close(r->teacher);
    gd_bundle_close(r->checkpoint);
    gd_stream_close(r->stream);
    gd_stream_close(r->validation);
    gd_dataset_close(r->set);
    gd_dataset_close(r->val_set);
    gd_run_unlock(r->lock);
    free(r->names);
    free(r->known_classes);
}

/* guided train does the work of image_train.py and of super_res_train.py; the flags decide. */
static gd_status choose_kind(train_run *r)
{
    const bool large = train_flag_given(r, "large_size"), small = train_flag_given(r, "small_size");

    if (r->kind == GD_NET_CLASSIFIER || !(r->o.super_res || large || small))
        return GD_OK;
    if (train_flag_given(r, "image_size") && large)
        return gd_fail(GD_EUSAGE, "--image_size is for a diffusion model, --large_size for an "
                                  "upsampler: give one of them");
    r->kind = GD_NET_SUPERRES;
    return GD_OK;
}

static gd_status read_words(train_run *r, gd_job *job)
{
    GD_TRY(job_parse(job, &r->o, &r->words));
    if (r->words.n_words > 0)
        return gd_fail(GD_EUSAGE, "%s: unexpected word %s", job->kind->name, r->words.word[0]);
    return choose_kind(r);
}

static gd_status run(gd_job *job, gd_net_kind kind)
{
    train_run r = { .kind = kind, .lock = -1, .program = gd_peak_bytes() };
    gd_status s;

    gd_train_defaults(&r.o.train, kind);
    r.o.out = "run";
    r.o.max_bad = 0.01;
    r.o.workers = 2;
    GD_TRY(gd_dist_open(&r.dist));
    r.first = gd_dist_rank(r.dist) == 0;
    s = gd_dist_agree(r.dist, read_words(&r, job), NULL);
    if (s == GD_OK)
        s = work(&r, job);
    release(&r);
    return job_ranks_leave(r.dist, s);
}

static gd_status run_train(gd_job *job)
{
    return run(job, GD_NET_UNET);
}

static gd_status run_classifier(gd_job *job)
{
    return run(job, GD_NET_CLASSIFIER);
}

static const char train_notes[] =
    "Trains on a folder of images (a folder for each class, or names CLASS_rest.png), an .npz, a "
    "zip or an IDX file. The run's folder holds progress.csv, a loss curve, grids of samples and "
    "complete checkpoints. --resume FOLDER continues bit for bit after Ctrl-C, SIGTERM, SIGHUP or "
    "a crash. SIGUSR1 saves a checkpoint and training continues. guided sample --model FOLDER "
    "samples from the run.";

const job_kind job_train = { "train",
                             "train a diffusion model or an upsampler",
                             "train --data PATH [--preset NAME] [--out FOLDER] [options]",
                             "guided train --data images/ --preset small32 --iterations 20000",
                             train_table,
                             COUNT(train_table),
                             run_train,
                             train_notes };

static const char classifier_notes[] =
    "Trains a classifier of noised images; guided sample --classifier FOLDER uses its gradient for "
    "guidance. Folders, checkpoints and --resume are as in guided train.";

const job_kind job_train_classifier = {
    "train-classifier",
    "train a noisy classifier for guidance",
    "train-classifier --data PATH [--preset NAME] [--out FOLDER] [options]",
    "guided train-classifier --data images/ --preset small32 --out crun",
    classifier_table,
    COUNT(classifier_table),
    run_classifier,
    classifier_notes
};
