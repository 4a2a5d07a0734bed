/* SPDX-License-Identifier: MIT */
/* solver.c - the table of restoration solvers, their parameters, and one run. */
#include "restore/restore_private.h"

#include <ctype.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static const gd_restorer *const restorers[] = {
    &gd_restorer_ddnm,    &gd_restorer_ddrm,        &gd_restorer_diffpir, &gd_restorer_daps,
    &gd_restorer_dps,     &gd_restorer_mcg,         &gd_restorer_pigdm,   &gd_restorer_reddiff,
    &gd_restorer_repaint, &gd_restorer_blended,     &gd_restorer_ilvr,    &gd_restorer_sdedit,
    &gd_restorer_invert,  &gd_restorer_consistency,
};

gd_status gd_restorer_find(const gd_restorer **out, const char *name)
{
    const char *names[COUNT(restorers)], *nearest;
    gd_status s;

    for (int i = 0; i < COUNT(restorers); i++) {
        names[i] = restorers[i]->name;
        if (strcmp(names[i], name) == 0) {
            *out = restorers[i];
            return GD_OK;
        }
    }
    nearest = gd_nearest(name, names, COUNT(names));
    s = gd_fail(GD_EUSAGE, "there is no solver \"%s\"", name);
    if (nearest)
        gd_detail("hint: did you mean %s?", nearest);
    return s;
}

const gd_restorer *gd_restorer_list(int i)
{
    return i >= 0 && i < COUNT(restorers) ? restorers[i] : NULL;
}

const char *gd_restorer_name(const gd_restorer *r)
{
    return r->name;
}

unsigned gd_restorer_needs(const gd_restorer *r)
{
    return r->needs;
}

bool gd_restorer_respaced(const gd_restorer *r)
{
    return r->respaced;
}

int gd_restorer_calls(const gd_restorer *r, const gd_prior *prior, const gd_restore_options *o)
{
    return r->calls(prior, o);
}

/* ---- parameters ---- */

#define AT(field) offsetof(gd_restore_options, field)
static const struct {
    const char *key;
    gd_field_type type;
    size_t at;
    double least, most;
    const char *words[7]; /* GD_TEXT: what it may be */
} keys[] = {
    { "steps", GD_INT, AT(steps), 1, 100000 },
    { "clip", GD_SWITCH, AT(clip), 0, 1 },
    { "eta", GD_REAL, AT(eta), 0, 1 },
    { "eta_b", GD_REAL, AT(eta_b), 0, 1 },
    { "travel_length", GD_INT, AT(travel_length), 1, 10000 },
    { "travel_repeat", GD_INT, AT(travel_repeat), 1, 1000 },
    { "lambda", GD_REAL, AT(lambda), 1e-6, 1e6 },
    { "zeta", GD_REAL, AT(zeta), 0, 1 },
    { "final_x0", GD_SWITCH, AT(final_x0), 0, 1 },
    { "jump_length", GD_INT, AT(jump_length), 1, 10000 },
    { "jump_repeat", GD_INT, AT(jump_repeat), 1, 1000 },
    { "skip", GD_INT, AT(skip), 0, 100000 },
    { "range_t", GD_INT, AT(range_t), 0, 100000 },
    { "scale", GD_REAL, AT(scale), 0, 1e6 },
    { "level_t", GD_SWITCH, AT(level_t), 0, 1 },
    { "weight", GD_TEXT, AT(weight), 0, 0, { "code", "paper", "exact" } },
    { "grad_weight", GD_REAL, AT(grad_weight), 0, 1e6 },
    { "init_noise", GD_SWITCH, AT(init_noise), 0, 1 },
    { "prior_variance", GD_REAL, AT(prior_variance), 0, 1e6 },
    { "denoise_weight",
      GD_TEXT,
      AT(denoise_weight),
      0,
      0,
      { "linear", "sqrt", "square", "log", "trunc", "const" } },
    { "grad_term_weight", GD_REAL, AT(grad_term_weight), 0, 1e6 },
    { "obs_weight", GD_REAL, AT(obs_weight), 0, 1e6 },
    { "lr", GD_REAL, AT(lr), 0, 1e3 },
    { "sigma_x0", GD_REAL, AT(sigma_x0), 0, 10 },
    { "time", GD_TEXT, AT(time), 0, 0, { "interp", "vp-continuous" } },
    { "annealing_steps", GD_INT, AT(annealing_steps), 1, 100000 },
    { "ode_steps", GD_INT, AT(ode_steps), 1, 1000 },
    { "mcmc_steps", GD_INT, AT(mcmc_steps), 0, 100000 },
    { "sigma_max", GD_REAL, AT(sigma_max), 1e-3, 1e4 },
    { "sigma_min", GD_REAL, AT(sigma_min), 1e-6, 1e4 },
    { "ode_sigma_min", GD_REAL, AT(ode_sigma_min), 1e-6, 1e4 },
    { "tau", GD_REAL, AT(tau), 0, 1e3 },
    { "lr_min_ratio", GD_REAL, AT(lr_min_ratio), 0, 1 },
};
#undef AT

/* Whether `key` is one of the words of `list` */
static bool is_listed(const char *list, const char *key)
{
    const size_t n = strlen(key);

    for (const char *at = strstr(list, key); at; at = strstr(at + 1, key))
        if ((at == list || at[-1] == ' ') && (at[n] == 0 || at[n] == ' '))
            return true;
    return false;
}

static gd_status set_word(int k, const char *value, const char **to)
{
    int n = 0, chosen;

    while (n < COUNT(keys[k].words) && keys[k].words[n])
        n++;
    GD_TRY(gd_field_choose(keys[k].key, value, keys[k].words, n, &chosen));
    *to = keys[k].words[chosen];
    return GD_OK;
}

gd_status gd_restorer_set(const gd_restorer *r, gd_restore_options *o, const char *key,
                          const char *value)
{
    gd_status s;

    for (int k = 0; k < COUNT(keys); k++) {
        void *to = (char *)o + keys[k].at;
        if (strcmp(keys[k].key, key) == 0 && is_listed(r->keys, key))
            return keys[k].type == GD_TEXT
                       ? set_word(k, value, to)
                       : gd_field_read(
                             &(gd_field){ key, keys[k].type, keys[k].least, keys[k].most }, value,
                             to);
    }
    s = gd_fail(GD_EUSAGE, "solver %s has no parameter \"%s\"", r->name, key);
    gd_detail("hint: it has %s", r->keys);
    return s;
}

void gd_restorer_defaults(const gd_restorer *r, const char *op, double sigma_y,
                          gd_restore_options *o)
{
    *o = (gd_restore_options){ .sigma_y = sigma_y,
                               .clip = true,
                               .eta_b = 1,
                               .travel_length = 1,
                               .travel_repeat = 1,
                               .jump_length = 10,
                               .jump_repeat = 10,
                               .grad_weight = 1,
                               .weight = "exact",
                               .denoise_weight = "linear",
                               .time = "interp" };
    r->defaults(o, op);
}

gd_status gd_restorer_check(const gd_restorer *r, bool gradient, const gd_operator *op,
                            const gd_restore_options *o)
{
    const char *name = op->kind->name;

    if ((r->needs & GD_NEEDS_MASK) && !gd_operator_mask(op))
        return gd_fail(GD_EUSAGE, "solver %s is for inpainting, the operator is %s", r->name, name);
    if ((r->needs & GD_NEEDS_LINEAR) && !op->linear)
        return gd_fail(GD_EUSAGE,
                       "solver %s needs a linear operator, %s is not; use daps, dps or reddiff",
                       r->name, name);
    if ((r->needs & GD_NEEDS_PINV) && !op->has_pinv)
        return gd_fail(GD_EUSAGE, "solver %s needs a pseudo-inverse, %s has none; use daps or dps",
                       r->name, name);
    if ((r->needs & GD_NEEDS_SPECTRUM) && o->sigma_y > 0 && !op->has_spectrum)
        return gd_fail(GD_EUSAGE,
                       "solver %s with noise needs the operator's singular values, which this %s "
                       "has not; use diffpir, daps or dps",
                       r->name, name);
    if ((r->needs & GD_NEEDS_VJP) && !gradient)
        return gd_fail(GD_EUSAGE, "solver %s needs the network's gradient", r->name);
    return r->check ? r->check(op, o) : GD_OK;
}

/* ---- what the solvers share ---- */

double *gd_solving_array(gd_solving *s, int64_t count)
{
    return gd_alloc(s->mem, (size_t)count * sizeof(double));
}

double gd_alpha_bar(const gd_schedule *schedule, int index)
{
    return index < 0 ? 1 : schedule->alpha_bar[index];
}

gd_level gd_level_of(const gd_schedule *schedule, int index)
{
    return (gd_level){ .alpha = sqrt(schedule->alpha_bar[index]),
                       .sigma = sqrt(1 - schedule->alpha_bar[index]),
                       .time = gd_schedule_model_t(schedule, index),
                       .index = index };
}

void gd_mix(double *x, double alpha, const double *a, double sigma, const double *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = alpha * a[i] + sigma * b[i];
}

double gd_dot(const double *a, const double *b, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

void gd_clip(double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        x[i] = fmin(fmax(x[i], -1), 1);
}

void gd_next_noise(gd_solving *s, int64_t count, double *z)
{
    s->prior->noise(s->prior->ctx, s->draws++, count, z);
}

gd_status gd_check_state(const gd_solving *s, const double *x)
{
    for (int64_t i = 0; i < s->n; i++)
        if (!isfinite(x[i]))
            return gd_fail(GD_EFAILED, "%s: the image is not finite after call %d of %d",
                           s->restorer->name, s->calls, s->all_calls);
    return GD_OK;
}

gd_status gd_predict(gd_solving *s, const gd_level *at, const double *x, bool shift)
{
    const gd_prior *p = s->prior;

    GD_TRY(gd_check_state(s, x));
    s->calls++;
    if (p->before_call)
        GD_TRY(p->before_call(p->step_ctx, s->calls, s->all_calls));
    GD_TRY(p->predict(p->ctx, at, x, s->eps, s->v));
    if (p->guide)
        GD_TRY(p->guide(p->ctx, at, x, s->gradient));
    for (int64_t i = 0; i < s->n && p->guide && shift; i++)
        s->eps[i] -= at->sigma * s->gradient[i];
    for (int64_t i = 0; i < s->n; i++)
        s->x0[i] = (x[i] - at->sigma * s->eps[i]) / at->alpha;
    return GD_OK;
}

gd_status gd_x0_vjp(gd_solving *s, const gd_level *at, bool clipped, double *c, double *g)
{
    for (int64_t i = 0; i < s->n && clipped; i++)
        if (fabs(s->x0[i]) > 1)
            c[i] = 0;
    GD_TRY(s->prior->vjp(s->prior->ctx, at, c, NULL, g));
    for (int64_t i = 0; i < s->n; i++)
        g[i] = (c[i] - at->sigma * g[i]) / at->alpha;
    return GD_OK;
}

void gd_variance_of(const gd_solving *s, int t, double v, double *variance, double *log_variance)
{
    const gd_schedule *sc = s->schedule;

    switch (s->prior->var_type) {
    case GD_VAR_LEARNED_RANGE: {
        const double f = (v + 1) / 2;
        *log_variance = f * log(sc->beta[t]) + (1 - f) * sc->posterior_log_variance[t];
        *variance = exp(*log_variance);
        return;
    }
    case GD_VAR_LEARNED:
        *log_variance = v;
        *variance = exp(v);
        return;
    case GD_VAR_FIXED_LARGE:
        *variance = t == 0 ? sc->posterior_variance[1] : sc->beta[t];
        *log_variance = log(*variance);
        return;
    default:
        *variance = sc->posterior_variance[t];
        *log_variance = sc->posterior_log_variance[t];
    }
}

void gd_ancestral(gd_solving *s, int t)
{
    const gd_schedule *sc = s->schedule;
    double variance, log_variance;

    if (s->o->clip)
        gd_clip(s->x0, s->n);
    for (int64_t i = 0; i < s->n; i++) {
        gd_variance_of(s, t, s->v[i], &variance, &log_variance);
        s->x[i] = sc->posterior_mean_coef1[t] * s->x0[i] + sc->posterior_mean_coef2[t] * s->x[i] +
                  (s->prior->guide ? variance * s->gradient[i] : 0) +
                  (t > 0 ? exp(0.5 * log_variance) * s->z[i] : 0);
    }
}

int gd_calls_of_list(const gd_prior *prior, const gd_restore_options *o)
{
    (void)prior;
    return o->n_ts > 0 ? o->n_ts : o->steps;
}

int gd_calls_of_all(const gd_prior *prior, const gd_restore_options *o)
{
    (void)o;
    return prior->schedule->n;
}

int gd_usable_levels(const gd_schedule *schedule)
{
    int n = schedule->n;

    while (n > 1 && gd_sigma_of(schedule, n - 1) > GD_NOISIEST)
        n--;
    return n;
}

gd_status gd_step_list(gd_solving *s, int **list, int *n)
{
    const int all = s->schedule->n;

    *n = gd_calls_of_list(s->prior, s->o);
    if (*n < 1 || *n > all)
        return gd_fail(GD_EUSAGE, "%s: %d steps of %d", s->restorer->name, *n, all);
    *list = gd_alloc(s->mem, (size_t)*n * sizeof **list);
    if (!*list)
        return GD_ENOMEM;
    for (int i = 0; i < *n; i++)
        (*list)[i] = s->o->n_ts > 0 ? s->o->ts[i] : i * (all / *n);
    return GD_OK;
}

/* ---- a run ---- */

gd_status gd_solving_begin(gd_solving *s, const gd_restorer *r, const gd_prior *prior,
                           const gd_restore_options *o, double *x)
{
    double **const arrays[] = { &s->eps, &s->x0, &s->v, &s->gradient, &s->z };

    *s = (gd_solving){ .restorer = r,
                       .prior = prior,
                       .o = o,
                       .schedule = prior->schedule,
                       .n = gd_shape_count(prior->shape),
                       .all_calls = r->calls(prior, o),
                       .x = x };
    GD_TRY(gd_arena_make(&s->mem));
    for (int i = 0; i < COUNT(arrays); i++)
        if (!(*arrays[i] = gd_solving_array(s, s->n)))
            return GD_ENOMEM;
    return GD_OK;
}

gd_status gd_restorer_run(const gd_restorer *r, const gd_prior *prior, const gd_operator *op,
                          const double *y, const gd_restore_options *o, double *x, double *latent)
{
    gd_solving s;
    gd_status status;

    if (op)
        GD_TRY(gd_restorer_check(r, prior->vjp != NULL, op, o));
    status = gd_solving_begin(&s, r, prior, o, x);
    s.op = op;
    s.m = op ? gd_shape_count(op->measurement) : 0;
    s.y = y;
    s.latent = latent;
    if (status == GD_OK)
        status = r->solve(&s);
    if (status == GD_OK)
        status = gd_check_state(&s, x);
    gd_arena_free(s.mem);
    return status;
}
