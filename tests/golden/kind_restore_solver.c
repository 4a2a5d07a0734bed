/* SPDX-License-Identifier: MIT */
/* kind_restore_solver.c - whole restorations with stored noise: the input and time of each network
 * call, and the result. */
#include "restore_prior.h"

#include <math.h>
#include <string.h>

static bool flag(json_t *params, const char *key, bool absent)
{
    json_t *v = json_object_get(params, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

static bool is_word(json_t *params, const char *key, const char *word)
{
    const char *text = json_string_value(json_object_get(params, key));
    return text && strcmp(text, word) == 0;
}

/* The numbers of `params` under their names there */
static void read_numbers(json_t *params, gd_restore_options *o)
{
    const struct {
        const char *key;
        double *to;
    } doubles[] = {
        { "sigma_y", &o->sigma_y },
        { "eta", &o->eta },
        { "etaB", &o->eta_b },
        { "lambda", &o->lambda },
        { "zeta", &o->zeta },
        { "scale", &o->scale },
        { "grad_weight", &o->grad_weight },
        { "grad_term_weight", &o->grad_term_weight },
        { "obs_weight", &o->obs_weight },
        { "lr", &o->lr },
        { "sigma_x0", &o->sigma_x0 },
        { "sigma_max", &o->sigma_max },
        { "sigma_min", &o->sigma_min },
        { "ode_sigma_min", &o->ode_sigma_min },
        { "tau", &o->tau },
        { "lr_min_ratio", &o->lr_min_ratio },
    };
    const struct {
        const char *key;
        int *to;
    } ints[] = {
        { "steps", &o->steps },
        { "travel_length", &o->travel_length },
        { "travel_repeat", &o->travel_repeat },
        { "jump_length", &o->jump_length },
        { "jump_n_sample", &o->jump_repeat },
        { "skip", &o->skip },
        { "range_t", &o->range_t },
        { "start", &o->start },
        { "real_step", &o->real_step },
        { "annealing_steps", &o->annealing_steps },
        { "ode_steps", &o->ode_steps },
        { "mcmc_steps", &o->mcmc_steps },
    };

    for (int i = 0; i < COUNT(doubles); i++)
        *doubles[i].to = restore_number(params, doubles[i].key, *doubles[i].to);
    for (int i = 0; i < COUNT(ints); i++)
        *ints[i].to = golden_int(params, ints[i].key, *ints[i].to);
}

/* As the authors' programs run where the case does not say otherwise */
static void read_options(golden *g, const gd_restorer *r, const char *op, gd_restore_options *o)
{
    json_t *params = json_object_get(g->config, "params"), *ts = json_object_get(params, "ts"),
           *item;
    const char *weight = json_string_value(json_object_get(params, "denoise_term_weight")),
               *pigdm = json_string_value(json_object_get(params, "weight")),
               *time = json_string_value(json_object_get(params, "time"));
    int *list = golden_alloc(g, json_array_size(ts) * sizeof *list);
    size_t i;

    gd_restorer_defaults(r, op, 0, o);
    read_numbers(params, o);
    json_array_foreach(ts, i, item) list[i] = (int)json_integer_value(item);
    o->ts = list;
    o->n_ts = (int)json_array_size(ts);
    /* DDNM's and DDRM's programs do not clip */
    o->clip =
        flag(params, "clip",
             strcmp(gd_restorer_name(r), "ddnm") != 0 && strcmp(gd_restorer_name(r), "ddrm") != 0);
    o->final_x0 = is_word(params, "final", "paste") || is_word(params, "final", "x0");
    o->ddim = is_word(params, "sampler", "ddim");
    o->poisson = is_word(params, "noise", "poisson");
    o->init_noise = is_word(params, "init", "noise");
    o->weight = pigdm ? pigdm : "code";
    o->denoise_weight = weight ? weight : "linear";
    o->time = time ? time : "interp";
    o->unchecked = o->level_t = true;
}

static void compare_calls(golden *g, const restore_prior *p)
{
    json_t *times = json_object_get(g->config, "net_times"),
           *stored = json_object_get(g->config, "stored_calls"), *item;
    const int64_t n = gd_shape_count(p->prior.shape);
    char name[40];
    size_t i;

    if (p->calls != p->most) {
        golden_fail(g, "%d network calls, not %d", p->calls, p->most);
        return;
    }
    json_array_foreach(times, i, item)
    {
        const double said = json_number_value(item);
        if ((int)i < p->calls)
            golden_record(g, "net_times", fabs(p->time[i] - said) / (1e-9 * fmax(1, fabs(said))),
                          0);
    }
    json_array_foreach(stored, i, item)
    {
        const int k = (int)json_integer_value(item);
        snprintf(name, sizeof name, "x.%d", k);
        if (k >= 0 && k < p->calls)
            restore_compare(g, name, p->input[k], n);
    }
}

static void check_residual(golden *g, const gd_operator *op, const double *x, const double *y)
{
    json_t *said = json_object_get(json_object_get(g->config, "residual"), "final");
    const int64_t m = gd_shape_count(gd_operator_measurement(op));
    double *ax = golden_alloc(g, (size_t)m * sizeof *ax), sum = 0;
    const gd_array *a = golden_find(g, "in.y");

    if (!said || gd_array_count(a) != m)
        return;
    gd_operator_apply(op, x, ax);
    for (int64_t i = 0; i < m; i++)
        sum += (ax[i] - y[i]) * (ax[i] - y[i]);
    if (!(fabs(sqrt(sum / (double)m) - json_number_value(said)) <=
          1e-3 * json_number_value(said) + 1e-4))
        golden_fail(g, "residual %g, not %g", sqrt(sum / (double)m), json_number_value(said));
}

static void run(golden *g, restore_prior *p, const gd_restorer *r, const gd_operator *op)
{
    const int64_t n = gd_shape_count(p->prior.shape);
    double *x = golden_alloc(g, (size_t)n * sizeof *x),
           *latent = golden_alloc(g, (size_t)n * sizeof *x), *y = golden_f64(g, "in.y");
    gd_restore_options o;

    read_options(g, r, gd_operator_name(op), &o);
    if (!y) {
        golden_fail(g, "no in.y");
        return;
    }
    if (gd_restorer_run(r, &p->prior, op, y, &o, x, latent) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    compare_calls(g, p);
    restore_compare(g, "final", x, n);
    if (golden_find(g, "out.latent") || golden_find(g, "out64.latent"))
        restore_compare(g, "latent", latent, n);
    check_residual(g, op, x, y);
}

void golden_restore_solver(golden *g)
{
    const char *name = json_string_value(json_object_get(g->config, "solver"));
    const gd_restorer *r;
    restore_prior p;
    gd_operator *op;

    if (gd_restorer_find(&r, name ? name : "") != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return;
    }
    if (restore_prior_make(g, &p, gd_restorer_needs(r) & GD_NEEDS_VJP)) {
        op = restore_operator(g, json_object_get(g->config, "operator"), p.prior.shape);
        if (op)
            run(g, &p, r, op);
        gd_operator_free(op);
    }
    restore_prior_free(&p);
}
