/* SPDX-License-Identifier: MIT */
/* maker.c - makes images with a model, its classifier and the upsamplers after it. */
#include "jobs/maker.h"

#include <stdlib.h>
#include <string.h>

job_sampling job_sampling_default(void)
{
    job_sampling c = { .rng = "guided",
                       .precision = "fp32",
                       .n = 1,
                       .batch = 1,
                       .scale = -1,
                       .branch_scale = -1,
                       .eta = -1,
                       .clip = true };

    for (int k = 0; k < JOB_MAX_STAGES; k++)
        c.stage[k].scale = c.stage[k].eta = -1;
    return c;
}

/* ---- options ---- */

/* A stage inherits unset options from the stage before it, the first upsampler from the base
 * model's `steps` and `sampler` (NULL: chosen by the steps).  eta and classifier are not inherited.
 */
static void settle_stages(job_sampling *c, const char *steps, const char *sampler)
{
    for (int k = 0; k < JOB_MAX_STAGES; k++) {
        job_stage_choice *s = &c->stage[k];
        if (!s->steps) {
            s->steps = steps;
            s->sampler = s->sampler ? s->sampler : sampler;
        }
        steps = s->steps;
        sampler = s->sampler;
        if (!s->seed_given)
            s->seed = c->seed;
    }
}

/* A built-in model uses its own classifier and upsampler, unless others are given. */
static gd_status settle_models(job_maker *m)
{
    job_sampling *c = &m->c;
    const job_builtin *b = job_builtin_meant(c->model);

    GD_TRY(job_builtin_path(&c->model, m->files[JOB_MODEL], JOB_MODEL));
    if (c->classifier)
        GD_TRY(job_builtin_path(&c->classifier, m->files[JOB_CLASSIFIER], JOB_CLASSIFIER));
    else if (b && b->file[JOB_CLASSIFIER] && !c->unguided)
        c->classifier = job_locate(m->files[JOB_CLASSIFIER], b->file[JOB_CLASSIFIER]);
    if (!c->upsampler && b && b->file[JOB_UPSAMPLER])
        c->upsampler = b->name;
    return GD_OK;
}

static gd_status settle(job_maker *m)
{
    job_sampling *c = &m->c;

    GD_TRY(settle_models(m));
    if (strcmp(c->rng, "guided") != 0 && strcmp(c->rng, "torch") != 0)
        return gd_fail(GD_EUSAGE, "--rng %s: expected guided or torch", c->rng);
    if (strcmp(c->rng, "torch") == 0 && c->first > 0)
        return gd_fail(GD_EUSAGE,
                       "--first %d: not with --rng torch, whose images depend on earlier images",
                       c->first);
    if (strcmp(c->precision, "fp32") != 0 && !job_is_bf16(c->precision))
        return gd_fail(GD_EUSAGE, "--precision %s: expected fp32 or bf16", c->precision);
    if (!c->seed_given && !gd_random(&c->seed, 4)) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (c->classes && (strcmp(c->classes, "balanced") == 0 || strcmp(c->classes, "all") == 0))
        c->classes = NULL; /* both names mean the default */
    return GD_OK;
}

/* Sets solver and steps of the base model: the user's, else its authors'.  Upsamplers are networks
 * for discrete steps and keep their own defaults. */
static gd_status settle_solver(job_maker *m)
{
    job_sampling *c = &m->c;
    const bool fast =
        c->fast && gd_stage_fast(&c->sampler, &c->steps, &c->spacing, &c->threshold, m->model[0]);
    const char *sampler = c->sampler, *steps = c->steps, *others = c->steps;
    const gd_solver *solver;

    gd_stage_defaults(&sampler, &steps, m->model[0]);
    if (!c->sampler && sampler)
        GD_TRY(gd_stage_solver(&solver, &others, NULL));
    GD_TRY(gd_stage_solver(&solver, &steps, sampler));
    c->sampler = gd_solver_name(solver);
    c->steps = steps;
    settle_stages(c, others ? others : steps, fast ? sampler : NULL);
    return GD_OK;
}

void job_maker_set_seed(job_maker *m, uint64_t seed)
{
    m->c.seed = seed;
    settle_stages(&m->c, m->c.steps, NULL);
    gd_stage_set_seed(&m->stack.stage[0], seed);
    for (int k = 0; k < m->n_stages; k++)
        gd_stage_set_seed(&m->stack.stage[k + 1], m->c.stage[k].seed);
}

/* ---- models ---- */

static bool is_classifiers(const gd_flag *f)
{
    return strncmp(f->name, "classifier_", 11) == 0;
}

static gd_status open_with(gd_model **out, const char *path, const job_sampling *c,
                           gd_net_kind kind)
{
    gd_flag flags[JOB_MAX_FLAGS];
    int n = 0;

    for (int i = 0; i < c->n_flags; i++)
        if (gd_flag_fits(c->flag[i].name, kind) ||
            (kind == GD_NET_UNET && !is_classifiers(&c->flag[i])))
            flags[n++] = c->flag[i];
    return gd_model_open(out, path, flags, n);
}

/* A command line holds the flags of both the diffusion model and its classifier. */
static gd_status open_models(job_maker *m)
{
    for (int i = 0; i < m->c.n_flags && !m->c.classifier; i++)
        if (is_classifiers(&m->c.flag[i]))
            gd_log(GD_LOG_NOTE, "--%s: passed over, because there is no classifier",
                   m->c.flag[i].name);
    GD_TRY(open_with(&m->model[0], m->c.model, &m->c, GD_NET_UNET));
    return m->c.classifier ? open_with(&m->classifier[0], m->c.classifier, &m->c, GD_NET_CLASSIFIER)
                           : GD_OK;
}

static gd_status add_stage(job_maker *m, int k, const gd_stage_options *o)
{
    gd_stage *s = &m->stack.stage[k];

    m->stack.n_stages = k + 1;
    GD_TRY(gd_stage_open(s, m->model[k], m->classifier[k], o));
    GD_TRY(gd_stack_check(&m->stack, k));
    m->size = s->size;
    m->channels = s->channels;
    return GD_OK;
}

/* Options that apply only to the base model's solver and guidance */
static gd_status set_solver(const job_maker *m, gd_stage_options *o)
{
    const job_sampling *c = &m->c;
    const gd_solver *solver;

    GD_TRY(gd_solver_find(&solver, c->sampler));
    if (c->spacing)
        GD_TRY(gd_stage_spacing(o, c->spacing, solver));
    if (c->interval)
        GD_TRY(gd_stage_interval(o, c->interval));
    if (c->threshold)
        GD_TRY(gd_stage_threshold(o, c->threshold));
    o->solver.churn = c->churn;
    o->uncond = m->uncond;
    o->weaker = m->weaker;
    o->guidance_scale = c->guidance_scale;
    o->guidance_rescale = c->guidance_rescale;
    o->gradient_every = c->gradient_every;
    o->null_class = c->null_class;
    o->hold_gradient = c->hold_gradient;
    o->sigma_min = c->sigma_min;
    o->sigma_max = c->sigma_max;
    return GD_OK;
}

static gd_status open_base(job_maker *m)
{
    const job_sampling *c = &m->c;
    gd_stage_options o = { .steps = c->steps,
                           .sampler = c->sampler,
                           .solver.eta = c->eta,
                           .scale = c->scale,
                           .clip = c->clip,
                           .bf16 = job_is_bf16(c->precision),
                           .seed = c->seed };

    if (c->uncond)
        GD_TRY(job_model_open(&m->uncond, c->uncond, JOB_MODEL, NULL, 0));
    if (c->weaker)
        GD_TRY(job_model_open(&m->weaker, c->weaker, JOB_MODEL, NULL, 0));
    GD_TRY(set_solver(m, &o));
    GD_TRY(add_stage(m, 0, &o));
    if (!*c->steps) { /* all of them */
        snprintf(m->all_steps, sizeof m->all_steps, "%d", m->stack.stage[0].schedule->n);
        m->c.steps = m->all_steps;
    }
    m->c.scale = m->stack.stage[0].trajectory.scale;
    m->c.eta = m->stack.stage[0].o.solver.eta;
    return GD_OK;
}

static gd_status open_upsampler(job_maker *m, const char *path)
{
    const job_stage_choice *c = &m->c.stage[m->n_stages];
    const int k = m->n_stages + 1;
    const gd_stage_options o = { .steps = c->steps,
                                 .sampler = c->sampler,
                                 .solver.eta = c->eta,
                                 .scale = c->scale,
                                 .clip = m->c.clip,
                                 .bf16 = job_is_bf16(m->c.precision),
                                 .seed = c->seed,
                                 .low_res_noise = m->c.low_res_noise };

    GD_TRY(job_model_open(&m->model[k], path, JOB_UPSAMPLER, NULL, 0));
    if (c->classifier)
        GD_TRY(job_model_open(&m->classifier[k], c->classifier, JOB_CLASSIFIER, NULL, 0));
    GD_TRY(add_stage(m, k, &o));
    m->c.stage[m->n_stages].eta = m->stack.stage[k].o.solver.eta;
    m->n_stages++;
    return GD_OK;
}

static gd_status open_upsamplers(job_maker *m)
{
    char path[4096];

    for (const char *at = m->c.upsampler; at && *at;) {
        const int n = (int)strcspn(at, ",");
        if (m->n_stages == JOB_MAX_STAGES)
            return gd_fail(GD_EUSAGE, "--upsampler: more than %d stages", JOB_MAX_STAGES);
        snprintf(path, sizeof path, "%.*s", n, at);
        GD_TRY(open_upsampler(m, path));
        at += n + (at[n] == ',');
    }
    for (int k = m->n_stages; k < JOB_MAX_STAGES; k++)
        if (m->c.stage[k].classifier)
            return gd_fail(GD_EUSAGE, "--stage%d-classifier %s: there is no stage %d", k + 2,
                           m->c.stage[k].classifier, k + 2);
    return GD_OK;
}

gd_status job_maker_open(job_maker *m, const job_sampling *choice)
{
    bool known;

    m->c = *choice;
    GD_TRY(settle(m));
    GD_TRY(open_models(m));
    GD_TRY(settle_solver(m));
    GD_TRY(open_base(m));
    known = gd_model_class_count(m->model[0]) > 0;
    GD_TRY(job_classes_read(&m->classes, m->c.classes, known ? m->model[0] : m->classifier[0],
                            m->stack.stage[0].classes, m->c.labels));
    GD_TRY(job_branch_open(m));
    return open_upsamplers(m);
}

/* ---- working ---- */

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    job_maker *m = ((const job_watch *)ctx)->maker;

    (void)first;
    (void)n_steps;
    GD_TRY(gd_check_stop());
    job_branch_step(m, n, step);
    if (m->records)
        GD_TRY(gd_records_beat(m->records));
    for (int i = 0; i < n && step > 1 && m->progress; i++)
        job_progress_step(m->progress);
    return GD_OK;
}

/* The prediction of one image as an event */
static void show_prediction(void *ctx, const gd_seen *view)
{
    const job_watch *w = ctx;
    job_maker *m = w->maker;
    const gd_stage *s = &m->stack.stage[w->stage];
    int classes;
    const float *logits = gd_engine_logits(s->engine, view->index, &classes);

    for (int64_t i = 0; i < s->image; i++)
        m->prediction[i] = (float)view->x0[i];
    job_show_preview(
        &(guided_preview){ .image = view->image,
                           .label = job_maker_labelled(m) ? m->labels[view->index] : -1,
                           .stage = w->stage,
                           .call = view->call,
                           .calls = gd_stage_calls(s),
                           .sigma = view->sigma,
                           .channels = s->channels,
                           .height = s->size,
                           .width = s->size,
                           .x0 = m->prediction,
                           .gradient = view->gradient,
                           .logits = view->gradient ? logits : NULL,
                           .classes = classes });
}

/* Previews of all stages share one buffer; those of the last stage are the largest. */
static gd_status watch(job_maker *m)
{
    const gd_stage *last = &m->stack.stage[m->n_stages];

    if (!job_wants_previews())
        return GD_OK;
    for (int k = 0; k <= m->n_stages; k++) {
        m->stack.stage[k].trajectory.watch = show_prediction;
        GD_TRY(gd_engine_keep_logits(m->stack.stage[k].engine, m->stack.batch));
    }
    return gd_block_make(&m->prediction, (size_t)last->image * sizeof *m->prediction, "previews");
}

gd_status job_maker_prepare(job_maker *m, int64_t images)
{
    const bool torch = strcmp(m->c.rng, "torch") == 0;

    m->steps = gd_stack_calls(&m->stack);
    for (int k = 0; k <= m->n_stages; k++) {
        m->stack.stage[k].trajectory.before_step = before_step;
        m->watch[k] = (job_watch){ m, k };
        m->stack.stage[k].trajectory.step_ctx = &m->watch[k];
    }
    if (torch) {
        gd_torch_seed(&m->torch, m->c.seed);
        m->stack.stage[0].torch = &m->torch;
    }
    /* torch's random numbers depend on the batch size, so it is the user's */
    GD_TRY(gd_stack_prepare(&m->stack,
                            torch ? m->c.batch : gd_engine_lanes(images, job_maker_size(m, 0))));
    GD_TRY(watch(m));
    return gd_block_make(&m->labels, (size_t)m->stack.batch * sizeof *m->labels, "labels");
}

/* The authors draw a whole batch, labels before noise, and drop surplus images. */
typedef struct surplus {
    gd_picture_fn finished;
    void *ctx;
    int64_t end; /* images from this number on are dropped */
} surplus;

static gd_status take_wanted(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    const surplus *s = ctx;

    return image < s->end ? s->finished(s->ctx, image, label, part, x) : GD_OK;
}

static gd_status run_torch(job_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    surplus s = { finished, ctx, first + n };
    const int batch = m->stack.batch;

    for (int i = 0; i < batch; i++)
        m->labels[i] = job_class_of(&m->classes, m->c.seed, first + i);
    if (m->classes.random)
        gd_torch_randint(&m->torch, m->labels, batch, (uint32_t)m->classes.count);
    return gd_stack_run(&m->stack, first, batch, m->labels, take_wanted, &s);
}

static gd_status run_keyed(job_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    for (int i = 0; i < n; i++)
        m->labels[i] = job_class_of(&m->classes, m->c.seed, first + i);
    return gd_stack_run(&m->stack, first, n, m->labels, finished, ctx);
}

gd_status job_maker_run(job_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    const bool torch = strcmp(m->c.rng, "torch") == 0;

    job_branch_begin(m);
    GD_TRY((torch ? run_torch : run_keyed)(m, first, n, finished, ctx));
    for (int i = 0; i < n * (m->n_stages + 1) && m->progress; i++)
        job_progress_step(m->progress); /* each stage's last call */
    return GD_OK;
}

int job_maker_size(const job_maker *m, int part)
{
    return m->stack.stage[part].size;
}

bool job_maker_labelled(const job_maker *m)
{
    return m->classes.count > 0;
}

void job_maker_close(job_maker *m)
{
    gd_stack_close(&m->stack);
    job_classes_free(&m->classes);
    gd_block_free(m->labels);
    gd_block_free(m->prediction);
    gd_model_close(m->uncond);
    gd_model_close(m->weaker);
    for (int k = 0; k < GD_MAX_STAGES; k++) {
        gd_model_close(m->model[k]);
        gd_model_close(m->classifier[k]);
    }
}
