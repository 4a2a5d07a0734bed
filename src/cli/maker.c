/* maker.c - one image after another from a model, its classifier and the upsamplers behind it. */
#include "cli/maker.h"

#include <string.h>
#include <sys/random.h>

cli_sampling cli_sampling_default(void)
{
    cli_sampling c = {
        .rng = "guided", .precision = "fp32", .n = 1, .batch = 1, .scale = -1, .clip = true
    };

    for (int k = 0; k < CLI_MAX_STAGES; k++)
        c.stage[k].scale = c.stage[k].eta = -1;
    return c;
}

/* ---- options ---- */

static bool is_bf16(const cli_sampling *c)
{
    return strcmp(c->precision, "bf16") == 0;
}

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
    const gd_solver *solver;

    GD_TRY(cli_built_in(&c->model, m->files[0], "fashion32/diffusion.safetensors"));
    if (built_in && !c->classifier && !c->unguided)
        c->classifier = cli_locate(m->files[1], "fashion32/classifier.safetensors");
    GD_TRY(gd_stage_solver(&solver, &c->steps, c->sampler));
    c->sampler = gd_solver_name(solver);
    if (strcmp(c->rng, "guided") != 0 && strcmp(c->rng, "torch") != 0)
        return gd_fail(GD_EUSAGE, "--rng %s: expected guided or torch", c->rng);
    if (strcmp(c->rng, "torch") == 0 && c->first > 0)
        return gd_fail(GD_EUSAGE, "--first %d: images of --rng torch depend on those before them",
                       c->first);
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
    gd_stage_set_seed(&m->stack.stage[0], seed);
    for (int k = 0; k < m->n_stages; k++)
        gd_stage_set_seed(&m->stack.stage[k + 1], m->c.stage[k].seed);
}

/* ---- models ---- */

static bool is_classifiers(const gd_flag *f)
{
    return strncmp(f->name, "classifier_", 11) == 0;
}

static gd_status open_with(gd_model **out, const char *path, const cli_sampling *c,
                           gd_net_kind kind)
{
    gd_flag flags[CLI_MAX_FLAGS];
    int n = 0;

    for (int i = 0; i < c->n_flags; i++)
        if (gd_flag_fits(c->flag[i].name, kind) ||
            (kind == GD_NET_UNET && !is_classifiers(&c->flag[i])))
            flags[n++] = c->flag[i];
    return gd_model_open(out, path, flags, n);
}

/* One line has the flags of the diffusion model and of its classifier. */
static gd_status open_models(cli_maker *m)
{
    for (int i = 0; i < m->c.n_flags && !m->c.classifier; i++)
        if (is_classifiers(&m->c.flag[i]))
            gd_log(GD_LOG_NOTE, "--%s: passed over, there is no classifier", m->c.flag[i].name);
    GD_TRY(open_with(&m->model[0], m->c.model, &m->c, GD_NET_UNET));
    return m->c.classifier ? open_with(&m->classifier[0], m->c.classifier, &m->c, GD_NET_CLASSIFIER)
                           : GD_OK;
}

static gd_status add_stage(cli_maker *m, int k, const gd_stage_options *o)
{
    gd_stage *s = &m->stack.stage[k];

    m->stack.n_stages = k + 1;
    GD_TRY(gd_stage_open(s, m->model[k], m->classifier[k], o));
    GD_TRY(gd_stack_check(&m->stack, k));
    m->size = s->size;
    m->channels = s->channels;
    return GD_OK;
}

static gd_status open_base(cli_maker *m)
{
    const cli_sampling *c = &m->c;
    const gd_stage_options o = { .steps = c->steps,
                                 .sampler = c->sampler,
                                 .solver.eta = c->eta,
                                 .scale = c->scale,
                                 .clip = c->clip,
                                 .bf16 = is_bf16(c),
                                 .seed = c->seed };

    GD_TRY(open_models(m));
    GD_TRY(add_stage(m, 0, &o));
    if (!*c->steps) { /* all of them */
        snprintf(m->all_steps, sizeof m->all_steps, "%d", m->stack.stage[0].schedule->n);
        m->c.steps = m->all_steps;
    }
    m->c.scale = m->stack.stage[0].trajectory.scale;
    return GD_OK;
}

static gd_status open_upsampler(cli_maker *m, const char *path)
{
    const cli_stage_choice *c = &m->c.stage[m->n_stages];
    const int k = m->n_stages + 1;
    const gd_stage_options o = { .steps = c->steps,
                                 .sampler = c->sampler,
                                 .solver.eta = c->eta,
                                 .scale = c->scale,
                                 .clip = m->c.clip,
                                 .bf16 = is_bf16(&m->c),
                                 .seed = c->seed,
                                 .low_res_noise = m->c.low_res_noise };

    GD_TRY(gd_model_open(&m->model[k], path, NULL, 0));
    if (c->classifier)
        GD_TRY(gd_model_open(&m->classifier[k], c->classifier, NULL, 0));
    GD_TRY(add_stage(m, k, &o));
    m->n_stages++;
    return GD_OK;
}

static gd_status open_upsamplers(cli_maker *m)
{
    char path[4096];

    for (const char *at = m->c.upsampler; at && *at;) {
        const int n = (int)strcspn(at, ",");
        if (m->n_stages == CLI_MAX_STAGES)
            return gd_fail(GD_EUSAGE, "--upsampler: more than %d stages", CLI_MAX_STAGES);
        snprintf(path, sizeof path, "%.*s", n, at);
        GD_TRY(open_upsampler(m, path));
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
    bool known;

    m->c = *choice;
    GD_TRY(settle(m));
    GD_TRY(open_base(m));
    known = gd_model_class_count(m->model[0]) > 0;
    GD_TRY(cli_classes_read(&m->classes, m->c.classes, known ? m->model[0] : m->classifier[0],
                            m->stack.stage[0].classes, m->c.labels));
    return open_upsamplers(m);
}

/* ---- working ---- */

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

gd_status cli_maker_prepare(cli_maker *m, int64_t images)
{
    const bool torch = strcmp(m->c.rng, "torch") == 0;

    m->steps = gd_stack_calls(&m->stack);
    for (int k = 0; k <= m->n_stages; k++) {
        m->stack.stage[k].trajectory.before_step = before_step;
        m->stack.stage[k].trajectory.step_ctx = m;
    }
    if (torch) {
        gd_torch_seed(&m->torch, m->c.seed);
        m->stack.stage[0].torch = &m->torch;
    }
    /* torch's numbers depend on the batch, which is then the user's choice */
    GD_TRY(gd_stack_prepare(&m->stack,
                            torch ? m->c.batch : gd_engine_lanes(images, cli_maker_size(m, 0))));
    return gd_block_make((void **)&m->labels, (size_t)m->stack.batch * sizeof *m->labels, "labels");
}

/* The authors draw a whole batch, labels before noise, and drop what is too much. */
typedef struct surplus {
    gd_picture_fn finished;
    void *ctx;
    int64_t end; /* images from here on are dropped */
} surplus;

static gd_status take_wanted(void *ctx, int64_t image, int64_t label, int part, const float *x)
{
    const surplus *s = ctx;

    return image < s->end ? s->finished(s->ctx, image, label, part, x) : GD_OK;
}

static gd_status run_torch(cli_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    surplus s = { finished, ctx, first + n };
    const int batch = m->stack.batch;

    for (int i = 0; i < batch; i++)
        m->labels[i] = cli_class_of(&m->classes, m->c.seed, first + i);
    if (m->classes.random)
        gd_torch_randint(&m->torch, m->labels, batch, (uint32_t)m->classes.count);
    return gd_stack_run(&m->stack, first, batch, m->labels, take_wanted, &s);
}

static gd_status run_keyed(cli_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    for (int i = 0; i < n; i++)
        m->labels[i] = cli_class_of(&m->classes, m->c.seed, first + i);
    return gd_stack_run(&m->stack, first, n, m->labels, finished, ctx);
}

gd_status cli_maker_run(cli_maker *m, int64_t first, int n, gd_picture_fn finished, void *ctx)
{
    const bool torch = strcmp(m->c.rng, "torch") == 0;

    GD_TRY((torch ? run_torch : run_keyed)(m, first, n, finished, ctx));
    for (int i = 0; i < n * (m->n_stages + 1) && m->progress; i++)
        cli_progress_step(m->progress); /* each stage's last call */
    return GD_OK;
}

int cli_maker_size(const cli_maker *m, int part)
{
    return m->stack.stage[part].size;
}

bool cli_maker_labelled(const cli_maker *m)
{
    return m->classes.count > 0;
}

void cli_maker_close(cli_maker *m)
{
    gd_stack_close(&m->stack);
    cli_classes_free(&m->classes);
    gd_block_free(m->labels);
    for (int k = 0; k < GD_MAX_STAGES; k++) {
        gd_model_close(m->model[k]);
        gd_model_close(m->classifier[k]);
    }
}
