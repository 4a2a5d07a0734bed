/* kind_process.c - schedules, respacing, the forward and the reverse process. */
#include "golden.h"
#include "diffusion/solver.h"

#include <string.h>

static const char *text_or(json_t *o, const char *key, const char *absent)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : absent;
}

static gd_schedule *make_schedule(golden *g)
{
    const bool spaced = golden_bool(g->config, "spaced", true);
    gd_schedule *s = NULL;

    if (gd_schedule_make(&s, text_or(g->config, "noise_schedule", "linear"),
                         golden_int(g->config, "diffusion_steps", 1000),
                         spaced ? text_or(g->config, "timestep_respacing", "") : "",
                         golden_bool(g->config, "rescale_timesteps", false)) != GD_OK)
        golden_fail(g, "%s", gd_error());
    return s;
}

static void compare_tables(golden *g, const gd_schedule *s)
{
    const struct {
        const char *name;
        const double *table;
    } tables[] = {
        { "out.betas", s->beta },
        { "out.alphas_cumprod", s->alpha_bar },
        { "out.alphas_cumprod_prev", s->alpha_bar_prev },
        { "out.alphas_cumprod_next", s->alpha_bar_next },
        { "out.sqrt_alphas_cumprod", s->sqrt_alpha_bar },
        { "out.sqrt_one_minus_alphas_cumprod", s->sqrt_one_minus_alpha_bar },
        { "out.log_one_minus_alphas_cumprod", s->log_one_minus_alpha_bar },
        { "out.sqrt_recip_alphas_cumprod", s->sqrt_recip_alpha_bar },
        { "out.sqrt_recipm1_alphas_cumprod", s->sqrt_recipm1_alpha_bar },
        { "out.posterior_variance", s->posterior_variance },
        { "out.posterior_log_variance_clipped", s->posterior_log_variance },
        { "out.posterior_mean_coef1", s->posterior_mean_coef1 },
        { "out.posterior_mean_coef2", s->posterior_mean_coef2 },
    };

    for (int i = 0; i < COUNT(tables); i++)
        golden_compare_f64(g, tables[i].name, tables[i].table, s->n);
}

void golden_schedule(golden *g)
{
    gd_schedule *s = make_schedule(g);

    if (s)
        compare_tables(g, s);
    gd_schedule_free(s);
}

void golden_spaced_schedule(golden *g)
{
    gd_schedule *s = make_schedule(g);

    if (!s)
        return;
    double *map = golden_alloc(g, (size_t)s->n * sizeof *map),
           *t = golden_alloc(g, (size_t)s->n * sizeof *t);
    for (int i = 0; i < s->n; i++) {
        map[i] = s->original[i];
        t[i] = gd_schedule_model_t(s, i);
    }
    compare_tables(g, s);
    golden_compare_f64(g, "out.timestep_map", map, s->n);
    golden_compare_f64(g, "out.model_t", t, s->n);
    gd_schedule_free(s);
}

void golden_scale_timesteps(golden *g)
{
    gd_schedule *s = make_schedule(g);

    if (!s)
        return;
    float *t = golden_alloc(g, (size_t)s->n * sizeof *t);
    for (int i = 0; i < s->n; i++)
        t[i] = gd_schedule_model_t(s, i);
    golden_compare(g, "out.t", t, s->n);
    gd_schedule_free(s);
}

/* Lists are what strings with commas mean */
static void spacing_text(json_t *counts, char *out, size_t size)
{
    size_t i, used = 0;
    json_t *item;

    snprintf(out, size, "%s", json_is_string(counts) ? json_string_value(counts) : "");
    json_array_foreach(counts, i, item) used += (size_t)snprintf(
        out + used, size - used, "%s%d", i ? "," : "", (int)json_integer_value(item));
}

void golden_space_timesteps(golden *g)
{
    json_t *runs = json_object_get(g->config, "runs"), *run;
    char spacing[512], name[64];
    size_t i;

    json_array_foreach(runs, i, run)
    {
        int *steps, n;
        spacing_text(json_object_get(run, "section_counts"), spacing, sizeof spacing);
        gd_status s =
            gd_space_timesteps(&steps, &n, golden_int(run, "num_timesteps", 1000), spacing);
        if (golden_bool(run, "error", false)) {
            if (s == GD_OK)
                golden_fail(g, "run %zu (%s) must be refused", i, spacing);
            continue;
        }
        if (s != GD_OK) {
            golden_fail(g, "run %zu (%s): %s", i, spacing, gd_error());
            return;
        }
        double *wide = golden_alloc(g, (size_t)n * sizeof *wide);
        for (int k = 0; k < n; k++)
            wide[k] = steps[k];
        snprintf(name, sizeof name, "out.steps.%zu", i);
        golden_compare_f64(g, name, wide, n);
        gd_block_free(steps);
    }
}

/* ---- per sample: each image of the batch has its own t ---- */

typedef struct batch {
    gd_process p;
    int64_t *t, images, n, count; /* n: elements of an image */
    float *result;
} batch;

static void begin(golden *g, batch *b, const char *input)
{
    const gd_array *x = golden_find(g, "%s", input);

    b->t = golden_i64(g, &b->images, "in.t");
    b->count = gd_array_count(x);
    b->n = b->count / b->images;
    b->result = golden_alloc(g, (size_t)b->count * sizeof(float));
}

typedef void (*two_inputs)(const gd_process *, int, const float *, const float *, float *, int64_t);

static void each(golden *g, batch *b, const char *name, two_inputs f, const float *a,
                 const float *c)
{
    for (int64_t i = 0; i < b->images; i++)
        f(&b->p, (int)b->t[i], a + i * b->n, c + i * b->n, b->result + i * b->n, b->n);
    golden_compare(g, name, b->result, b->count);
}

/* What a table says at each image's step */
static void per_image(golden *g, batch *b, const char *name, const double *table)
{
    for (int64_t i = 0; i < b->images; i++)
        b->result[i] = (float)table[b->t[i]];
    golden_compare(g, name, b->result, b->images);
}

static const double *one_minus_alpha_bar(golden *g, const gd_schedule *s)
{
    double *out = golden_alloc(g, (size_t)s->n * sizeof *out);

    for (int i = 0; i < s->n; i++)
        out[i] = 1 - s->alpha_bar[i];
    return out;
}

void golden_forward_process(golden *g)
{
    gd_schedule *s = make_schedule(g);
    batch b = { .p.schedule = s };

    if (!s)
        return;
    begin(g, &b, "in.x_start");
    float *x0 = golden_f32(g, NULL, "in.x_start"), *noise = golden_f32(g, NULL, "in.noise");
    float *x_t = golden_alloc(g, (size_t)b.count * sizeof *x_t);
    each(g, &b, "out.q_sample", gd_q_sample, x0, noise);
    memcpy(x_t, b.result, (size_t)b.count * sizeof *x_t);
    each(g, &b, "out.posterior_mean", gd_q_posterior_mean, x0, x_t);
    each(g, &b, "out.xstart_from_eps", gd_x0_from_eps, x_t, noise);
    each(g, &b, "out.xstart_from_xprev", gd_x0_from_xprev, x_t, noise);
    each(g, &b, "out.eps_from_xstart", gd_eps_from_x0, x_t, x0);
    for (int64_t i = 0; i < b.count; i++)
        b.result[i] = (float)s->sqrt_alpha_bar[b.t[i / b.n]] * x0[i];
    golden_compare(g, "out.q_mean", b.result, b.count);
    per_image(g, &b, "out.q_variance", one_minus_alpha_bar(g, s));
    per_image(g, &b, "out.q_log_variance", s->log_one_minus_alpha_bar);
    per_image(g, &b, "out.posterior_variance", s->posterior_variance);
    per_image(g, &b, "out.posterior_log_variance_clipped", s->posterior_log_variance);
    gd_schedule_free(s);
}

/* The place of config.KEY in a list */
static int place_of(golden *g, const char *key, const char *const *list, int n)
{
    const char *name = text_or(g->config, key, "(none)");

    for (int i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return i;
    golden_fail(g, "%s %s is not known", key, name);
    return 0;
}

static void read_types(golden *g, gd_process *p)
{
    static const char *const means[] = { "EPSILON", "START_X", "PREVIOUS_X" };
    static const char *const variances[] = { "LEARNED_RANGE", "LEARNED", "FIXED_LARGE",
                                             "FIXED_SMALL" };

    p->mean_type = (gd_mean_type)place_of(g, "model_mean_type", means, COUNT(means));
    p->var_type = (gd_var_type)place_of(g, "model_var_type", variances, COUNT(variances));
}

typedef struct reverse {
    batch b;
    const float *x, *out, *gradient, *noise;
    int64_t out_n;
    float *mean, *variance, *log_variance, *x0;
    char prefix[32];
} reverse;

static void compare_named(golden *g, const reverse *r, const char *what, const float *found,
                          int64_t count)
{
    char name[128];

    snprintf(name, sizeof name, "out.%s%s", r->prefix, what);
    golden_compare(g, name, found, count);
}

static void distribution(golden *g, reverse *r)
{
    const batch *b = &r->b;
    const bool fixed = b->p.var_type >= GD_VAR_FIXED_LARGE;
    const int64_t step = fixed ? b->n : 1; /* fixed variances are given per sample */
    float *shown = golden_alloc(g, (size_t)b->count * sizeof *shown);

    for (int64_t i = 0; i < b->images; i++)
        gd_p_mean_variance(&b->p, (int)b->t[i], r->x + i * b->n, r->out + i * r->out_n, b->n,
                           r->mean + i * b->n, r->variance + i * b->n, r->log_variance + i * b->n,
                           r->x0 + i * b->n);
    compare_named(g, r, "mean", r->mean, b->count);
    compare_named(g, r, "pred_xstart", r->x0, b->count);
    for (int64_t i = 0; i < b->count / step; i++)
        shown[i] = r->variance[i * step];
    compare_named(g, r, "variance", shown, b->count / step);
    for (int64_t i = 0; i < b->count / step; i++)
        shown[i] = r->log_variance[i * step];
    compare_named(g, r, "log_variance", shown, b->count / step);
    memcpy(shown, r->mean, (size_t)b->count * sizeof *shown);
    gd_condition_mean(shown, r->variance, r->gradient, b->count);
    compare_named(g, r, "condition_mean", shown, b->count);
    for (int64_t i = 0; i < b->images; i++)
        gd_condition_score(&b->p, (int)b->t[i], r->x + i * b->n, r->gradient + i * b->n,
                           r->x0 + i * b->n, shown + i * b->n, b->n);
    compare_named(g, r, "condition_score.mean", shown, b->count);
    compare_named(g, r, "condition_score.pred_xstart", r->x0, b->count);
}

/* ---- one step of a solver, on stored outputs ---- */

typedef struct stored {
    const reverse *r;
    int64_t image;
} stored;

static gd_status stored_output(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                               float *out)
{
    const stored *s = ctx;

    (void)n;
    (void)x;
    (void)t;
    (void)y;
    memcpy(out, s->r->out + s->image * s->r->out_n, (size_t)s->r->out_n * sizeof *out);
    return GD_OK;
}

static gd_status stored_gradient(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                                 float *gradient)
{
    const stored *s = ctx;

    (void)n;
    (void)x;
    (void)t;
    (void)y;
    memcpy(gradient, s->r->gradient + s->image * s->r->b.n, (size_t)s->r->b.n * sizeof *gradient);
    return GD_OK;
}

static void stored_noise(void *ctx, int64_t first, int n, int step, float *out)
{
    const stored *s = ctx;
    const float *from = step == 0 ? s->r->x : s->r->noise;

    (void)first;
    (void)n;
    memcpy(out, from + s->image * s->r->b.n, (size_t)s->r->b.n * sizeof *out);
}

static void sampled(golden *g, reverse *r, const char *what, const gd_solver *solver, double eta,
                    bool guided)
{
    const batch *b = &r->b;
    stored s = { .r = r };
    struct {
        gd_grid grid;
        gd_level level[2];
    } one = { .grid = { .steps = 1, .start = 1 }, .level[0].alpha = 1 };
    const gd_denoiser denoiser = { .ctx = &s,
                                   .channels = (int)b->n,
                                   .height = 1,
                                   .width = 1,
                                   .out_channels = (int)r->out_n,
                                   .predict = stored_output,
                                   .guide = guided ? stored_gradient : NULL };
    const gd_trajectory run = { .denoiser = &denoiser,
                                .process = b->p,
                                .solver = solver,
                                .options.eta = eta,
                                .scale = 1,
                                .grid = &one.grid,
                                .noise = stored_noise,
                                .noise_ctx = &s };
    void *work = golden_alloc(g, gd_trajectory_bytes(&run, 1));

    for (; s.image < b->images; s.image++) {
        one.level[0].index = (int)b->t[s.image];
        if (gd_trajectory_run(&run, 0, 1, NULL, b->result + s.image * b->n, work) != GD_OK)
            golden_fail(g, "%s", gd_error());
    }
    compare_named(g, r, what, b->result, b->count);
}

void golden_reverse_process(golden *g)
{
    gd_schedule *s = make_schedule(g);
    reverse r = { .b.p.schedule = s };

    if (!s)
        return;
    begin(g, &r.b, "in.x");
    int64_t out_count;
    r.x = golden_f32(g, NULL, "in.x");
    r.out = golden_f32(g, &out_count, "in.model_output");
    r.out_n = out_count / r.b.images;
    r.gradient = golden_f32(g, NULL, "in.cond_grad");
    r.noise = golden_f32(g, NULL, "in.noise");
    r.mean = golden_alloc(g, (size_t)r.b.count * 4);
    r.variance = golden_alloc(g, (size_t)r.b.count * 4);
    r.log_variance = golden_alloc(g, (size_t)r.b.count * 4);
    r.x0 = golden_alloc(g, (size_t)r.b.count * 4);
    read_types(g, &r.b.p);
    for (int clip = 0; clip < 2; clip++) {
        r.b.p.clip_denoised = clip;
        snprintf(r.prefix, sizeof r.prefix, "clip%d.", clip);
        distribution(g, &r);
        sampled(g, &r, "p_sample", &gd_solver_ddpm, 0, false);
        sampled(g, &r, "cond.p_sample", &gd_solver_ddpm, 0, true);
        sampled(g, &r, "ddim_sample.eta0.0", &gd_solver_ddim, 0, false);
        sampled(g, &r, "ddim_sample.eta0.5", &gd_solver_ddim, 0.5, false);
        sampled(g, &r, "ddim_sample.eta1.0", &gd_solver_ddim, 1, false);
        sampled(g, &r, "cond.ddim_sample.eta0.0", &gd_solver_ddim, 0, true);
        sampled(g, &r, "cond.ddim_sample.eta0.5", &gd_solver_ddim, 0.5, true);
        sampled(g, &r, "cond.ddim_sample.eta1.0", &gd_solver_ddim, 1, true);
        sampled(g, &r, "ddim_reverse_sample", &gd_solver_ddim_reverse, 0, false);
    }
    gd_schedule_free(s);
}
