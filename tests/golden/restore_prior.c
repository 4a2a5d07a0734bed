/* SPDX-License-Identifier: MIT */
/* restore_prior.c - networks of the restoration cases. */
#include "restore_prior.h"

#include "cpu/linear.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- mixtures ---- */

bool restore_mixture_make(golden *g, restore_mixture *m, int k, int n, double *weight, double *mean,
                          double *c)
{
    *m = (restore_mixture){ .k = k, .n = n, .weight = weight, .mean = mean, .vectors = c };
    m->values = golden_alloc(g, (size_t)k * (size_t)n * sizeof(double));
    m->share = golden_alloc(g, (size_t)k * sizeof(double));
    m->moved = golden_alloc(g, (size_t)k * (size_t)n * sizeof(double));
    m->work = golden_alloc(g, (size_t)n * 2 * sizeof(double));
    if (gd_linear_ready() != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    for (int i = 0; i < k; i++)
        if (gd_eigen_symmetric(c + (int64_t)i * n * n, m->values + (int64_t)i * n, n, true) !=
            GD_OK) {
            golden_fail(g, "%s", gd_error());
            return false;
        }
    return true;
}

/* out = V f(values) V^T in, with f_i given */
static void by_values(const restore_mixture *m, int i, const double *f, const double *in,
                      double *out)
{
    const double *v = m->vectors + (int64_t)i * m->n * m->n;

    memset(out, 0, (size_t)m->n * sizeof *out);
    for (int r = 0; r < m->n; r++) {
        double sum = 0;
        for (int j = 0; j < m->n; j++)
            sum += v[r * m->n + j] * in[j];
        for (int j = 0; j < m->n; j++)
            out[j] += f[r] * sum * v[r * m->n + j];
    }
}

/* Posterior of component i: mean m_i + gain_i (x - alpha m_i), share by its evidence */
static double component(restore_mixture *m, int i, const double *x)
{
    const double *v = m->vectors + (int64_t)i * m->n * m->n, *mean = m->mean + (int64_t)i * m->n;
    double *difference = m->work, *gain = m->work + m->n, log_share = log(m->weight[i]);

    for (int j = 0; j < m->n; j++)
        difference[j] = x[j] - m->alpha * mean[j];
    for (int r = 0; r < m->n; r++) {
        const double value = fmax(m->values[(int64_t)i * m->n + r], 0),
                     total = m->alpha * m->alpha * value + m->sigma * m->sigma;
        double along = 0;
        for (int j = 0; j < m->n; j++)
            along += v[r * m->n + j] * difference[j];
        log_share -= 0.5 * (along * along / total + log(total));
        gain[r] = m->alpha * value / total;
    }
    by_values(m, i, gain, difference, m->moved + (int64_t)i * m->n);
    for (int j = 0; j < m->n; j++)
        m->moved[(int64_t)i * m->n + j] += mean[j];
    return log_share;
}

void restore_mixture_denoise(restore_mixture *m, double alpha, double sigma, const double *x,
                             double *x0)
{
    double largest = -INFINITY, sum = 0;

    m->alpha = alpha;
    m->sigma = sigma;
    for (int i = 0; i < m->k; i++) {
        m->share[i] = component(m, i, x);
        largest = fmax(largest, m->share[i]);
    }
    for (int i = 0; i < m->k; i++)
        sum += m->share[i] = exp(m->share[i] - largest);
    memset(x0, 0, (size_t)m->n * sizeof *x0);
    for (int i = 0; i < m->k; i++) {
        m->share[i] /= sum;
        for (int j = 0; j < m->n; j++)
            x0[j] += m->share[i] * m->moved[(int64_t)i * m->n + j];
    }
}

/* d x0 / d x = alpha / sigma^2 Cov(x_0 | x), which is symmetric */
void restore_mixture_vjp(restore_mixture *m, const double *c, double *g)
{
    double *gain = m->work, *part = m->work + m->n, middle = 0;

    memset(g, 0, (size_t)m->n * sizeof *g);
    for (int i = 0; i < m->k; i++)
        for (int j = 0; j < m->n; j++)
            middle += m->share[i] * m->moved[(int64_t)i * m->n + j] * c[j];
    for (int i = 0; i < m->k; i++) {
        const double *moved = m->moved + (int64_t)i * m->n;
        double along = 0;
        for (int r = 0; r < m->n; r++) {
            const double value = fmax(m->values[(int64_t)i * m->n + r], 0);
            gain[r] =
                value * m->sigma * m->sigma / (m->alpha * m->alpha * value + m->sigma * m->sigma);
        }
        by_values(m, i, gain, c, part);
        for (int j = 0; j < m->n; j++)
            along += moved[j] * c[j];
        for (int j = 0; j < m->n; j++)
            g[j] += m->share[i] * (part[j] + moved[j] * (along - middle));
    }
    for (int j = 0; j < m->n; j++)
        g[j] *= m->alpha / (m->sigma * m->sigma);
}

/* ---- recording ---- */

static void record(restore_prior *p, const gd_level *at, const double *x)
{
    const int64_t n = gd_shape_count(p->prior.shape);
    const double scale = p->exact ? 1 / at->alpha : 1;

    if (p->calls < p->most) {
        p->input[p->calls] = golden_alloc(p->g, (size_t)n * sizeof(double));
        for (int64_t i = 0; i < n; i++)
            p->input[p->calls][i] = x[i] * scale;
        p->time[p->calls] = p->exact ? at->sigma / at->alpha : at->time;
    }
    p->calls++;
}

static gd_status predict_stored(void *ctx, const gd_level *at, const double *x, double *eps,
                                double *v)
{
    restore_prior *p = ctx;
    const int64_t n = gd_shape_count(p->prior.shape);
    int64_t count;
    const float *out = golden_f32(p->g, &count, "in.eps.%d", p->calls);

    record(p, at, x);
    if (!out || count < n)
        return gd_fail(GD_EFORMAT, "no in.eps.%d", p->calls - 1);
    for (int64_t i = 0; i < n; i++) {
        eps[i] = out[i];
        v[i] = count > n ? out[n + i] : 0;
    }
    return GD_OK;
}

static gd_status predict_mixture(void *ctx, const gd_level *at, const double *x, double *eps,
                                 double *v)
{
    restore_prior *p = ctx;

    record(p, at, x);
    restore_mixture_denoise(&p->mix, at->alpha, at->sigma, x, eps);
    for (int i = 0; i < p->mix.n; i++) {
        eps[i] = (x[i] - at->alpha * eps[i]) / at->sigma;
        v[i] = 0;
    }
    return GD_OK;
}

static gd_status vjp_mixture(void *ctx, const gd_level *at, const double *c, const double *cv,
                             double *g)
{
    restore_prior *p = ctx;

    (void)cv;
    restore_mixture_vjp(&p->mix, c, g);
    for (int i = 0; i < p->mix.n; i++)
        g[i] = (c[i] - at->alpha * g[i]) / at->sigma;
    return GD_OK;
}

static gd_status predict_network(void *ctx, const gd_level *at, const double *x, double *eps,
                                 double *v)
{
    restore_prior *p = ctx;

    record(p, at, x);
    return p->inner.predict(p->inner.ctx, at, x, eps, v);
}

static gd_status vjp_network(void *ctx, const gd_level *at, const double *c, const double *cv,
                             double *g)
{
    restore_prior *p = ctx;
    return p->inner.vjp(p->inner.ctx, at, c, cv, g);
}

static gd_status guide_network(void *ctx, const gd_level *at, const double *x, double *gradient)
{
    restore_prior *p = ctx;
    return p->inner.guide(p->inner.ctx, at, x, gradient);
}

static void noise(void *ctx, int draw, int64_t n, double *z)
{
    restore_prior *p = ctx;
    char name[40];
    int64_t count = 0;

    if (draw == 0)
        snprintf(name, sizeof name, "in.x_T");
    else
        snprintf(name, sizeof name, "in.noise.%d", draw - 1);
    const float *stored = golden_f32(p->g, &count, "%s", name);
    if (!stored || count != n)
        golden_fail(p->g, "%s has %lld elements, the solver draws %lld", name, (long long)count,
                    (long long)n);
    for (int64_t i = 0; i < n; i++)
        z[i] = i < count ? stored[i] : 0;
}

/* ---- networks ---- */

typedef struct file_weights {
    gd_bundle *bundle;
} file_weights;

static gd_status fetch_file(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const file_weights *w = ctx;
    const gd_array *a = gd_bundle_find(w->bundle, name);

    if (!a || gd_array_count(a) != type->dim[0] * type->dim[1] * type->dim[2] * type->dim[3])
        return gd_fail(GD_EMISMATCH, "%s is absent or of another size", name);
    return gd_bundle_read_f32(w->bundle, a, dst);
}

/* The file of a trained model: below GUIDED_SHARED, or beside the set of cases */
static bool find_file(golden *g, const char *file, char *path, size_t size)
{
    const char *shared = getenv("GUIDED_SHARED");
    const char *const places[] = { shared ? shared : ".", "../shared", ".." };

    for (int i = 0; i < COUNT(places); i++) {
        snprintf(path, size, "%s/%s", places[i], file);
        if (gd_path_exists(path))
            return true;
    }
    for (int up = 0; up < 4; up++) {
        snprintf(path, size, "%s/%.*s%s", g->folder, 3 * up, "../../../", file);
        if (gd_path_exists(path))
            return true;
    }
    return false;
}

static bool open_model(golden *g, gd_model **out, json_t *config, gd_net_kind kind,
                       const char *prefix)
{
    const char *file = json_string_value(json_object_get(config, "file"));
    golden_weights *generated = golden_alloc(g, sizeof *generated);
    file_weights *stored = golden_alloc(g, sizeof *stored);
    gd_model_config c;
    gd_weights weights;
    char path[4400];

    *generated = (golden_weights){ g, prefix };
    weights = golden_source(generated);
    gd_config_defaults(&c, kind);
    if (!golden_net_config(g, config, NULL, kind, &c.net))
        return false;
    if (file && !find_file(g, file, path, sizeof path)) {
        golden_fail(g, "%s is not found (set GUIDED_SHARED)", file);
        return false;
    }
    if (file && gd_bundle_open(&stored->bundle, path) == GD_OK)
        weights = (gd_weights){ fetch_file, stored };
    c.diffusion.learn_sigma = c.net.out_channels == 2 * c.net.in_channels;
    if (gd_model_wrap(out, &c, &weights) == GD_OK)
        return true; /* the file stays open: the process ends soon */
    golden_fail(g, "%s", gd_error());
    return false;
}

static bool make_network(golden *g, restore_prior *p, bool gradient)
{
    json_t *model = json_object_get(g->config, "model"),
           *classifier = json_object_get(g->config, "classifier"),
           *params = json_object_get(g->config, "params");
    const gd_network_options o = { .h = p->prior.shape.h,
                                   .w = p->prior.shape.w,
                                   .gradient = gradient,
                                   .label = golden_int(model, "y", -1),
                                   .scale = restore_number(params, "classifier_scale", 1) };

    if (!open_model(g, &p->model, model, GD_NET_UNET, "model") ||
        (classifier && !open_model(g, &p->classifier, classifier, GD_NET_CLASSIFIER, "classifier")))
        return false;
    if (gd_network_prior_make(&p->network, p->model, p->classifier, p->schedule, &o) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    p->inner = *gd_network_prior_get(p->network);
    p->prior.predict = predict_network;
    p->prior.vjp = gradient ? vjp_network : NULL;
    p->prior.guide = classifier ? guide_network : NULL;
    return true;
}

static bool make_mixture(golden *g, restore_prior *p)
{
    const gd_array *w = golden_find(g, "in.gmm.w");
    const int n = (int)gd_shape_count(p->prior.shape);

    if (!w) {
        golden_fail(g, "no in.gmm.w");
        return false;
    }
    p->prior.predict = predict_mixture;
    p->prior.vjp = vjp_mixture;
    return restore_mixture_make(g, &p->mix, (int)gd_array_count(w), n, golden_f64(g, "in.gmm.w"),
                                golden_f64(g, "in.gmm.m"), golden_f64(g, "in.gmm.C"));
}

/* ---- by config ---- */

static gd_status make_schedule(golden *g, restore_prior *p, json_t *config)
{
    json_t *keep = json_object_get(config, "keep"), *item;
    const char *name = json_string_value(json_object_get(config, "name")),
               *var = json_string_value(json_object_get(config, "var"));
    const int n_train = golden_int(config, "T", 1000), n = (int)json_array_size(keep);
    int *kept = golden_alloc(g, (size_t)n * sizeof *kept);
    size_t i;

    json_array_foreach(keep, i, item) kept[i] = (int)json_integer_value(item);
    p->prior.var_type = !var || strcmp(var, "learned_range") == 0 ? GD_VAR_LEARNED_RANGE
                        : strcmp(var, "fixed_large") == 0         ? GD_VAR_FIXED_LARGE
                                                                  : GD_VAR_FIXED_SMALL;
    if (!name)
        return gd_fail(GD_EFORMAT, "no schedule");
    GD_TRY(keep ? gd_schedule_make_kept(&p->schedule, name, n_train, kept, n, false)
                : gd_schedule_make(&p->schedule, name, n_train, NULL, false));
    p->prior.schedule = p->schedule;
    return GD_OK;
}

bool restore_prior_make(golden *g, restore_prior *p, bool gradient)
{
    json_t *params = json_object_get(g->config, "params");
    const char *net = json_string_value(json_object_get(g->config, "net")),
               *time = json_string_value(json_object_get(params, "time"));

    *p = (restore_prior){ .g = g, .most = golden_int(g->config, "calls", 0) };
    p->prior.ctx = p;
    p->prior.shape = restore_shape(json_object_get(g->config, "shape"));
    p->prior.noise = noise;
    p->exact = time && strcmp(time, "exact") == 0;
    p->input = golden_alloc(g, (size_t)p->most * sizeof *p->input);
    p->time = golden_alloc(g, (size_t)p->most * sizeof *p->time);
    if (make_schedule(g, p, json_object_get(params, "schedule")) != GD_OK) {
        golden_fail(g, "%s", gd_error());
        return false;
    }
    if (net && strcmp(net, "stored") == 0) {
        p->prior.predict = predict_stored;
        return true;
    }
    return net && strcmp(net, "gmm") == 0 ? make_mixture(g, p) : make_network(g, p, gradient);
}

void restore_prior_free(restore_prior *p)
{
    gd_network_prior_free(p->network);
    gd_model_close(p->model);
    gd_model_close(p->classifier);
    gd_schedule_free(p->schedule);
}
