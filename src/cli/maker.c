/* maker.c - one image after another from a model, its classifier and the upsamplers behind it. */
#include "cli/maker.h"

#include <string.h>
#include <sys/random.h>

cli_sampling cli_sampling_default(void)
{
    cli_sampling c = { .steps = "250",
                       .rng = "guided",
                       .precision = "fp32",
                       .n = 1,
                       .batch = 1,
                       .scale = -1,
                       .clip = true };

    for (int k = 0; k < CLI_MAX_STAGES; k++)
        c.stage[k].scale = c.stage[k].eta = -1;
    return c;
}

/* ---- options ---- */

/* What a stage was not told it takes from the stage before, the first from the base model; eta and
 * classifier are its own. */
static void settle_stages(cli_sampling *c)
{
    const char *steps = c->steps, *sampler = NULL;

    for (int k = 0; k < CLI_MAX_STAGES; k++) {
        cli_stage_choice *s = &c->stage[k];
        if (!s->steps) {
            s->steps = steps;
            s->sampler = s->sampler ? s->sampler : sampler;
        }
        steps = s->steps;
        sampler = s->sampler;
        s->eta = GD_MAX(s->eta, 0);
        if (!s->seed_given)
            s->seed = c->seed;
    }
}

static gd_status settle(cli_maker *m)
{
    cli_sampling *c = &m->c;
    const bool built_in = !c->model;

    GD_TRY(cli_built_in(&c->model, m->files[0], "fashion32/diffusion.safetensors"));
    if (built_in && !c->classifier && !c->unguided)
        c->classifier = cli_locate(m->files[1], "fashion32/classifier.safetensors");
    if (!c->sampler)
        c->sampler = strncmp(c->steps, "ddim", 4) == 0 ? "ddim" : "ddpm";
    if (strcmp(c->rng, "guided") != 0 && strcmp(c->rng, "torch") != 0)
        return gd_fail(GD_EUSAGE, "--rng %s: expected guided or torch", c->rng);
    if (strcmp(c->precision, "fp32") != 0 && strcmp(c->precision, "bf16") != 0)
        return gd_fail(GD_EUSAGE, "--precision %s: expected fp32 or bf16", c->precision);
    if (!c->seed_given && getrandom(&c->seed, 4, 0) != 4) /* 32 bits: easy to write down */
        return gd_fail(GD_EIO, "no random seed from the system: give --seed");
    if (c->classes && (strcmp(c->classes, "balanced") == 0 || strcmp(c->classes, "all") == 0))
        c->classes = NULL; /* names of one thing, and the default */
    settle_stages(c);
    return GD_OK;
}

void cli_maker_set_seed(cli_maker *m, uint64_t seed)
{
    m->c.seed = seed;
    settle_stages(&m->c);
}

/* ---- models ---- */

/* The network flags that mean the classifier begin with classifier_; image_size and classes mean
 * both. */
static gd_status open_models(cli_maker *m)
{
    gd_flag flags[CLI_MAX_FLAGS];
    int n = 0;

    for (int i = 0; i < m->c.n_flags; i++)
        if (strncmp(m->c.flag[i].name, "classifier_", 11) != 0)
            flags[n++] = m->c.flag[i];
    GD_TRY(gd_model_open(&m->model, m->c.model, flags, n));
    if (!m->c.classifier)
        return GD_OK;
    n = 0;
    for (int i = 0; i < m->c.n_flags; i++)
        if (strncmp(m->c.flag[i].name, "classifier_", 11) == 0)
            flags[n++] = m->c.flag[i];
    return gd_model_open(&m->classifier, m->c.classifier, flags, n);
}

/* Each stage enlarges what the one before it makes. */
static gd_status check_chain(const cli_maker *m, const char *path)
{
    const cli_stage *s = &m->stage[m->n_stages];
    const bool labelled = gd_model_class_count(m->model) > 0 || m->classifier;

    if (s->small != m->size || s->channels != m->channels)
        return gd_fail(GD_EMISMATCH, "%s enlarges %d x %d images of %d channels, not %d x %d of %d",
                       path, s->small, s->small, s->channels, m->size, m->size, m->channels);
    if (s->classes > 0 && !labelled)
        return gd_fail(GD_EMISMATCH, "%s is class-conditional, and there are no labels: %s is not",
                       s->classifier ? gd_model_path(s->classifier) : path, m->c.model);
    if (s->classes > 0 && s->classes < m->classes.count)
        return gd_fail(GD_EMISMATCH, "%s has %d classes, %s has %d", path, s->classes, m->c.model,
                       m->classes.count);
    return GD_OK;
}

static gd_status open_stages(cli_maker *m)
{
    char path[4096];

    for (const char *at = m->c.upsampler; at && *at;) {
        const int n = (int)strcspn(at, ",");
        if (m->n_stages == CLI_MAX_STAGES)
            return gd_fail(GD_EUSAGE, "--upsampler: more than %d stages", CLI_MAX_STAGES);
        cli_stage *s = &m->stage[m->n_stages];
        snprintf(path, sizeof path, "%.*s", n, at);
        const cli_stage_choice *c = &m->c.stage[m->n_stages];
        GD_TRY(cli_stage_open(s, path, c->classifier, c->steps, c->sampler, NULL, 0));
        GD_TRY(check_chain(m, path));
        m->size = s->size;
        m->n_stages++;
        at += n + (at[n] == ',');
    }
    for (int k = m->n_stages; k < CLI_MAX_STAGES; k++)
        if (m->c.stage[k].classifier)
            return gd_fail(GD_EUSAGE, "--stage%d-classifier %s: there is no stage %d", k + 2,
                           m->c.stage[k].classifier, k + 2);
    return GD_OK;
}

gd_status cli_maker_open(cli_maker *m, const cli_sampling *choice)
{
    const gd_model_config *c;
    int known, guided;

    m->c = *choice;
    GD_TRY(settle(m));
    GD_TRY(open_models(m));
    c = gd_model_get_config(m->model);
    known = gd_model_class_count(m->model);
    guided = m->classifier ? gd_model_class_count(m->classifier) : 0;
    if (c->net.kind == GD_NET_SUPERRES)
        return gd_fail(GD_EMISMATCH,
                       "%s: an upsampler needs low-resolution images\nhint: guided upsample, or "
                       "sample --upsampler %s with a base model",
                       m->c.model, m->c.model);
    m->size = c->net.image_size;
    m->channels = c->net.in_channels;
    if (m->c.scale < 0)
        m->c.scale = c->guidance_scale;
    GD_TRY(gd_sampler_find(&m->trajectory.sampler, m->c.sampler));
    GD_TRY(gd_schedule_make(&m->schedule, c->diffusion.noise_schedule, c->diffusion.steps,
                            m->c.steps, c->diffusion.rescale_timesteps));
    GD_TRY(cli_classes_read(&m->classes, m->c.classes, known ? m->model : m->classifier,
                            known ? known : guided, m->c.labels));
    return open_stages(m);
}

/* ---- working ---- */

static void draw(void *ctx, int64_t first, int n, int step, float *out)
{
    cli_maker *m = ctx;
    const gd_denoiser *d = m->trajectory.denoiser;
    const int64_t count = (int64_t)d->channels * d->height * d->width;

    if (strcmp(m->c.rng, "torch") == 0) {
        gd_torch_randn(&m->torch, out, n * count);
        return;
    }
    gd_noise_images(out, count, m->c.seed, first, n, step);
}

static gd_status before_step(void *ctx, int64_t first, int n, int step, int n_steps)
{
    cli_maker *m = ctx;

    (void)first;
    (void)n_steps;
    GD_TRY(gd_check_stop());
    for (int i = 0; i < n && step > 1 && m->progress; i++)
        cli_progress_step(m->progress);
    return GD_OK;
}

static int64_t picture_count(const cli_maker *m, int part)
{
    return (int64_t)m->channels * cli_maker_size(m, part) * cli_maker_size(m, part);
}

static gd_status make_stages(cli_maker *m)
{
    for (int k = 0; k < m->n_stages; k++) {
        const cli_stage_choice *c = &m->c.stage[k];
        const cli_stage_options o = { .eta = c->eta,
                                      .low_res_noise = m->c.low_res_noise,
                                      .scale = c->scale,
                                      .clip = m->c.clip,
                                      .bf16 = strcmp(m->c.precision, "bf16") == 0,
                                      .batch = m->batch,
                                      .seed = c->seed,
                                      .before_step = before_step,
                                      .step_ctx = m };
        GD_TRY(cli_stage_make(&m->stage[k], &o));
        m->steps += m->stage[k].schedule->n;
    }
    return GD_OK;
}

static gd_status make_blocks(cli_maker *m)
{
    const size_t n = (size_t)m->batch;

    GD_TRY(gd_block_make(&m->work, gd_trajectory_bytes(&m->trajectory, m->batch), "sampler"));
    for (int k = 0; k <= m->n_stages; k++)
        GD_TRY(gd_block_make((void **)&m->picture[k],
                             n * (size_t)picture_count(m, k) * sizeof(float), "images"));
    GD_TRY(gd_block_make((void **)&m->bytes, n * (size_t)picture_count(m, m->n_stages), "images"));
    return gd_block_make((void **)&m->labels, n * sizeof *m->labels, "labels");
}

/* torch's numbers depend on the batch, which is then the user's choice. */
static int batch_of(const cli_maker *m, int64_t images)
{
    return strcmp(m->c.rng, "torch") == 0 ? m->c.batch
                                          : gd_engine_lanes(images, cli_maker_size(m, 0));
}

gd_status cli_maker_prepare(cli_maker *m, int64_t images)
{
    m->batch = batch_of(m, images);
    m->steps = m->schedule->n;
    GD_TRY(make_stages(m));
    GD_TRY(gd_engine_make(&m->engine, m->model, m->classifier, strcmp(m->c.precision, "bf16") == 0,
                          gd_engine_lanes(m->batch, cli_maker_size(m, 0))));
    m->trajectory.process = (gd_process){ m->schedule, gd_model_mean_type(m->model),
                                          gd_model_var_type(m->model), m->c.clip };
    m->trajectory.eta = m->c.eta;
    m->trajectory.scale = m->c.scale;
    m->trajectory.denoiser = gd_engine_denoiser(m->engine);
    m->trajectory.noise = draw;
    m->trajectory.noise_ctx = m->trajectory.step_ctx = m;
    m->trajectory.before_step = before_step;
    gd_torch_seed(&m->torch, m->c.seed);
    return make_blocks(m);
}

static void count_steps(cli_maker *m, int n)
{
    for (int i = 0; i < n && m->progress; i++)
        cli_progress_step(m->progress);
}

/* Through bytes, as a file between the stages would hold */
static gd_status enlarge(cli_maker *m, int k, int64_t first, int n)
{
    const int64_t count = picture_count(m, k);

    for (int i = 0; i < n; i++)
        gd_to_uint8(m->bytes + i * count, m->picture[k] + i * count, m->channels,
                    count / m->channels);
    GD_TRY(cli_stage_run(&m->stage[k], first, n, m->bytes, m->labels, m->picture[k + 1]));
    count_steps(m, n);
    return GD_OK;
}

gd_status cli_maker_run(cli_maker *m, int64_t first, int n, cli_finished finished, void *ctx)
{
    for (int i = 0; i < n; i++)
        m->labels[i] = cli_class_of(&m->classes, m->c.seed, first + i);
    GD_TRY(gd_trajectory_run(&m->trajectory, first, n, m->classes.count ? m->labels : NULL,
                             m->picture[0], m->work));
    count_steps(m, n);
    for (int k = 0; k < m->n_stages; k++)
        GD_TRY(enlarge(m, k, first, n));
    for (int i = 0; i < n; i++)
        for (int k = 0; k <= m->n_stages; k++)
            GD_TRY(
                finished(ctx, first + i, m->labels[i], k, m->picture[k] + i * picture_count(m, k)));
    return GD_OK;
}

int cli_maker_size(const cli_maker *m, int part)
{
    return part == 0 ? gd_model_get_config(m->model)->net.image_size : m->stage[part - 1].size;
}

bool cli_maker_labelled(const cli_maker *m)
{
    return m->classes.count > 0;
}

void cli_maker_close(cli_maker *m)
{
    gd_block_free(m->work);
    for (int k = 0; k <= CLI_MAX_STAGES; k++)
        gd_block_free(m->picture[k]);
    gd_block_free(m->labels);
    gd_block_free(m->bytes);
    for (int k = 0; k < CLI_MAX_STAGES; k++)
        cli_stage_close(&m->stage[k]);
    cli_classes_free(&m->classes);
    gd_engine_free(m->engine);
    gd_schedule_free(m->schedule);
    gd_model_close(m->model);
    gd_model_close(m->classifier);
}
