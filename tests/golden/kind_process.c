/* SPDX-License-Identifier: MIT */
/* kind_process.c - schedules, respacing, the forward and the reverse process. */
#include "golden.h"
#include "diffusion/solver.h"

#include <stdlib.h>
#include <string.h>

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
    gd_schedule *s = golden_schedule_of(g);

    golden_reads_all(g);
    if (s)
        compare_tables(g, s);
    gd_schedule_free(s);
}

/* What the authors' program made of the flags must be what ours makes of them */
static void check_resolved(golden *g, const gd_schedule *s)
{
    json_t *resolved = golden_at(g, g->json, "resolved");
    const char *names[3];
    gd_diffusion_config c;

    if (!resolved || !golden_diffusion(g, g->config, "diffusion_steps", &c))
        return;
    names[0] = golden_mean_names[gd_config_mean_type(&c)];
    names[1] = golden_var_names[gd_config_var_type(&c)];
    names[2] = golden_loss_names[gd_config_loss_type(&c)];
    if (golden_get_int(g, resolved, "num_timesteps", s->n) != s->n)
        golden_fail(g, "%d steps", s->n);
    if (strcmp(golden_text(g, resolved, "model_mean_type", names[0]), names[0]) != 0 ||
        strcmp(golden_text(g, resolved, "model_var_type", names[1]), names[1]) != 0 ||
        strcmp(golden_text(g, resolved, "loss_type", names[2]), names[2]) != 0)
        golden_fail(g, "the flags mean %s, %s, %s", names[0], names[1], names[2]);
}

void golden_spaced_schedule(golden *g)
{
    gd_schedule *s = golden_schedule_of(g);

    golden_reads_all(g);
    if (!s)
        return;
    check_resolved(g, s);
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
    int64_t n = 0;
    const int64_t *step = golden_i64(g, &n, "in.t");
    gd_schedule *s = golden_schedule_of(g);
    float *t = golden_alloc(g, (size_t)n * sizeof *t);

    golden_reads_all(g);
    for (int64_t i = 0; s && i < n; i++) {
        if (step[i] < 0 || step[i] >= s->n)
            golden_fail(g, "step %lld of %d", (long long)step[i], s->n);
        else
            t[i] = gd_schedule_model_t(s, (int)step[i]);
    }
    if (s)
        golden_compare(g, "out.t", t, n);
    gd_schedule_free(s);
}

/* Lists are what strings with commas mean */
static const char *spacing_text(golden *g, json_t *run)
{
    json_t *counts = golden_at(g, run, "section_counts"), *item;
    const char *text = json_is_string(counts) ? json_string_value(counts) : "";
    size_t i;

    if (json_is_integer(counts))
        return gd_sprintf(g->mem, "%lld", (long long)json_integer_value(counts));
    json_array_foreach(counts, i, item) text =
        gd_sprintf(g->mem, "%s%s%lld", text, i ? "," : "", (long long)json_integer_value(item));
    return text;
}

static void one_spacing(golden *g, size_t i, json_t *run)
{
    const bool refused = golden_get_bool(g, run, "error", false);
    const char *spacing = spacing_text(g, run);
    int *steps, n;
    const gd_status s =
        gd_space_timesteps(&steps, &n, golden_get_int(g, run, "num_timesteps", 1000), spacing);

    golden_remarks(g, run, "arg_type message");
    if (refused != (s != GD_OK)) {
        golden_fail(g, "run %zu (%s): %s", i, spacing, refused ? "must be refused" : gd_error());
        return;
    }
    if (refused)
        return;
    double *wide = golden_alloc(g, (size_t)n * sizeof *wide);
    for (int k = 0; k < n; k++)
        wide[k] = steps[k];
    if (golden_get_int(g, run, "count", n) != n)
        golden_fail(g, "run %zu (%s): %d steps", i, spacing, n);
    golden_compare_f64(g, gd_sprintf(g->mem, "out.steps.%zu", i), wide, n);
    gd_block_free(steps);
}

void golden_space_timesteps(golden *g)
{
    json_t *runs = golden_at(g, g->config, "runs"), *run;
    size_t i;

    golden_reads_all(g);
    json_array_foreach(runs, i, run) one_spacing(g, i, run);
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
    gd_schedule *s = golden_schedule_of(g);
    batch b = { .p.schedule = s };

    golden_reads_all(g);
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

static void read_types(golden *g, gd_process *p)
{
    p->mean_type = (gd_mean_type)golden_word(g, g->config, "model_mean_type", golden_mean_names,
                                             GOLDEN_MEANS, -1);
    p->var_type = (gd_var_type)golden_word(g, g->config, "model_var_type", golden_var_names,
                                           GOLDEN_VARIANCES, -1);
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

/* ddim_sample.etaX and cond.ddim_sample.etaX, of every X that the case has results for */
static void ddim_sampled(golden *g, reverse *r)
{
    const char *start = gd_sprintf(g->mem, "out.%s", r->prefix);
    const int count = gd_bundle_count(g->tensors);

    for (int i = 0; i < count; i++) {
        const char *what = gd_bundle_array(g->tensors, i)->name, *at = what + strlen(start);
        if (strncmp(what, start, strlen(start)) != 0)
            continue;
        const bool guided = strncmp(at, "cond.", 5) == 0;
        const char *eta = at + (guided ? 5 : 0);
        if (strncmp(eta, "ddim_sample.eta", 15) == 0)
            sampled(g, r, at, &gd_solver_ddim, strtod(eta + 15, NULL), guided);
    }
}

void golden_reverse_process(golden *g)
{
    gd_schedule *s = golden_schedule_of(g);
    reverse r = { .b.p.schedule = s };

    golden_reads_all(g);
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
        ddim_sampled(g, &r);
        sampled(g, &r, "ddim_reverse_sample", &gd_solver_ddim_reverse, 0, false);
    }
    gd_schedule_free(s);
}
