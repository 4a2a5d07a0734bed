/* SPDX-License-Identifier: MIT */
/* learner.c - parameters with their moments and averages, and the network of a microbatch. */
#include "train/train.h"

#include <math.h>
#include <string.h>

typedef struct gd_learner_network {
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val dout;
    gd_val *param, *gradient; /* [n_param]; gradient: none where the output does not depend on it */
    float *x, *out, *low_res; /* blocks: one full microbatch */
    float *sum;               /* gradients when accumulating; NULL otherwise */
    bool fresh;               /* no backward pass since the last update */
    float *t;                 /* [microbatch], and two words of dropout keys each */
    int32_t *y;
    uint32_t *keys;
    struct piece *piece; /* [n_piece]: of all parameters, in order */
    int64_t n_piece;
} network;

/* Some elements of one parameter, and the sum of their squares */
typedef struct piece {
    int param;
    int64_t first, count; /* in the parameter */
    int band;             /* of the network's, -1: the network is given the whole parameter */
    double square;
    gd_status status; /* of packing it */
} piece;

/* ---- parameters ---- */

static gd_status list_params(gd_learner *l)
{
    const gd_family family = l->config.net.family;

    if (family != GD_FAMILY_CONSISTENCY &&
        (family != GD_FAMILY_ADM || l->config.diffusion.precond != GD_PRECOND_STEPS))
        return gd_fail(GD_EUSAGE,
                       "a network of the family %s cannot be trained\nhint: networks of the "
                       "families adm and consistency_models can",
                       gd_family_names[family]);
    GD_TRY(gd_config_params(&l->config, l->mem, &l->spec, &l->n_param));
    l->offset = gd_alloc(l->mem, (size_t)l->n_param * sizeof *l->offset);
    if (!l->offset)
        return gd_fail(GD_ENOMEM, "parameters: out of memory");
    for (int i = 0; i < l->n_param; i++) {
        l->offset[i] = l->total;
        l->total += gd_param_count(&l->spec[i]);
    }
    return GD_OK;
}

static gd_status make_arrays(gd_learner *l)
{
    const size_t bytes = (size_t)l->total * sizeof(float);

    GD_TRY(gd_block_make(&l->p, bytes, "parameters"));
    GD_TRY(gd_block_make(&l->m, bytes, "Adam's first moments"));
    GD_TRY(gd_block_make(&l->v, bytes, "Adam's second moments"));
    for (int k = 0; k < l->options.n_ema; k++)
        GD_TRY(gd_block_make(&l->ema[k], bytes, "an average of the parameters"));
    return GD_OK;
}

static gd_status fetch_params(gd_learner *l, const gd_weights *weights)
{
    for (int i = 0; i < l->n_param; i++) {
        gd_type type = { { 1, 1, 1, 1 }, GD_F32 };
        memcpy(type.dim, l->spec[i].dim, (size_t)l->spec[i].rank * sizeof *type.dim);
        GD_TRY(weights->fetch(weights->ctx, l->spec[i].name, &type, l->p + l->offset[i]));
    }
    for (int k = 0; k < l->options.n_ema; k++)
        memcpy(l->ema[k], l->p, (size_t)l->total * sizeof(float));
    return GD_OK;
}

/* ---- the network ---- */

static int index_of(const gd_learner *l, const char *name)
{
    for (int i = 0; i < l->n_param; i++)
        if (strcmp(l->spec[i].name, name) == 0)
            return i;
    return -1;
}

static void build(gd_learner *l, network *w)
{
    const gd_net_config *c = &l->config.net;
    const gd_net_size size = gd_net_natural_size(c, l->options.microbatch);

    gd_net_build(&w->net, w->graph, c, &size, true);
    for (int i = 1; i < w->graph->n_value; i++) {
        const gd_value *v = &w->graph->value[i];
        const int k = v->role == GD_ROLE_PARAM ? index_of(l, v->name) : -1;
        if (k >= 0)
            w->param[k] = (gd_val){ i };
    }
    w->graph->scope = "loss";
    w->dout = gd_input(w->graph, "dout", *gd_type_of(w->graph, w->net.out), GD_PLACE_ACTIVATION);
    gd_gradient(w->graph, w->net.out, w->dout, w->param, w->gradient, l->n_param);
}

static gd_status plan_network(gd_learner *l, network *w)
{
    gd_val *outputs = gd_alloc(l->mem, (size_t)(l->n_param + 1) * sizeof *outputs);
    int n = 1;

    if (!outputs)
        return gd_fail(GD_ENOMEM, "network: out of memory");
    outputs[0] = w->net.out;
    for (int i = 0; i < l->n_param; i++)
        if (w->gradient[i].id)
            outputs[n++] = w->gradient[i];
    gd_graph_optimise(w->graph, outputs, n, l->options.bf16);
    if (l->options.recompute)
        gd_graph_recompute(w->graph, w->net.out, outputs, n);
    return gd_plan_make(&w->plan, w->graph, outputs, n, gd_threads());
}

static gd_status fetch_own(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_learner *l = ctx;
    const int i = index_of(l, name);

    (void)type;
    if (i < 0)
        return gd_fail(GD_EFAILED, "the network has an unknown parameter %s", name);
    memcpy(dst, l->p + l->offset[i], (size_t)gd_param_count(&l->spec[i]) * sizeof *dst);
    return GD_OK;
}

static int64_t element_count(const network *w, gd_val v)
{
    const int64_t *d = gd_type_of(w->graph, v)->dim;
    return v.id ? d[0] * d[1] * d[2] * d[3] : 0;
}

/* Appends one parameter's pieces: its bands if it has some; only counts them where there are none
 * yet. */
static void cut(const gd_learner *l, network *w, int i)
{
    enum { PIECE = 1 << 17 };
    const int64_t count = gd_param_count(&l->spec[i]);
    const int bands = w->param[i].id ? gd_exec_bands(w->exec, w->param[i]) : 0;
    const int64_t most = bands > 0 ? count / bands : PIECE;

    for (int64_t first = 0; first < count; first += most, w->n_piece++)
        if (w->piece)
            w->piece[w->n_piece] = (piece){ .param = i,
                                            .first = first,
                                            .count = GD_MIN(most, count - first),
                                            .band = bands > 0 ? (int)(first / most) : -1 };
}

static gd_status make_pieces(gd_learner *l, network *w)
{
    for (int i = 0; i < l->n_param; i++)
        cut(l, w, i);
    w->piece = gd_alloc(l->mem, (size_t)w->n_piece * sizeof *w->piece);
    if (!w->piece)
        return gd_fail(GD_ENOMEM, "network: out of memory");
    w->n_piece = 0;
    for (int i = 0; i < l->n_param; i++)
        cut(l, w, i);
    return GD_OK;
}

static gd_status make_buffers(gd_learner *l, network *w)
{
    const size_t images = (size_t)l->options.microbatch;

    GD_TRY(gd_block_make(&w->x, (size_t)element_count(w, w->net.x) * sizeof(float), "images"));
    GD_TRY(gd_block_make(&w->out, (size_t)element_count(w, w->net.out) * sizeof(float),
                         "the network's output"));
    if (w->net.low_res.id)
        GD_TRY(gd_block_make(&w->low_res, (size_t)element_count(w, w->net.low_res) * sizeof(float),
                             "low-resolution images"));
    if (l->options.accumulate)
        GD_TRY(gd_block_make(&w->sum, (size_t)l->total * sizeof(float), "gradients"));
    w->t = gd_alloc(l->mem, images * sizeof *w->t);
    w->y = gd_alloc(l->mem, images * sizeof *w->y);
    w->keys = gd_alloc(l->mem, images * 2 * sizeof *w->keys);
    if (!w->t || !w->y || !w->keys)
        return gd_fail(GD_ENOMEM, "network: out of memory");
    return make_pieces(l, w);
}

static gd_status make_plan(gd_learner *l)
{
    network *w = gd_alloc(l->mem, sizeof *w);

    l->network = w;
    if (w) {
        w->param = gd_alloc(l->mem, (size_t)l->n_param * sizeof *w->param);
        w->gradient = gd_alloc(l->mem, (size_t)l->n_param * sizeof *w->gradient);
    }
    if (!w || !w->param || !w->gradient)
        return gd_fail(GD_ENOMEM, "network: out of memory");
    w->fresh = true;
    GD_TRY(gd_graph_make(&w->graph));
    build(l, w);
    return plan_network(l, w);
}

static size_t plan_bytes(const gd_plan *p)
{
    return gd_plan_arena_bytes(p) + gd_plan_scratch_bytes(p) + gd_plan_weights_bytes(p);
}

size_t gd_learner_bytes(const gd_learner *l)
{
    const size_t arrays = 3 + (size_t)l->options.n_ema + (l->options.accumulate ? 1 : 0);

    return plan_bytes(l->network->plan) + arrays * (size_t)l->total * sizeof(float);
}

const gd_plan *gd_learner_plan(const gd_learner *l)
{
    return l->network->plan;
}

gd_exec *gd_learner_exec(gd_learner *l)
{
    return l->network->exec;
}

/* Before any large allocation: the memory needed, the memory there is, and the microbatch that
 * would fit (activations grow with it) */
static gd_status check_memory(const gd_learner *l)
{
    const size_t machine = gd_machine_bytes();
    const size_t limit = gd_memory_limit();
    const size_t most = limit > 0 && limit < machine ? limit : machine;
    const size_t need = gd_learner_bytes(l), arena = gd_plan_arena_bytes(l->network->plan);
    int fits = l->options.microbatch;
    gd_status s;

    if (need <= most)
        return GD_OK;
    while (fits > 0 && need - arena + arena / (size_t)l->options.microbatch * (size_t)fits > most)
        fits--;
    s = gd_fail(GD_ENOMEM, "training needs %.1f MiB, there are %.1f MiB", (double)need / 1048576,
                (double)most / 1048576);
    if (fits > 0)
        gd_detail("hint: --microbatch %d would fit", fits);
    else
        gd_detail("hint: %.1f MiB are for parameters, moments and averages: a smaller network, or "
                  "fewer averages",
                  (double)(need - arena) / 1048576);
    return s;
}

/* ---- life ---- */

static gd_status make(gd_learner *l, const gd_weights *weights)
{
    const gd_weights own = { fetch_own, l };

    GD_TRY(list_params(l));
    GD_TRY(make_plan(l));
    GD_TRY(check_memory(l));
    GD_TRY(make_arrays(l));
    GD_TRY(fetch_params(l, weights));
    GD_TRY(gd_exec_make(&l->network->exec, l->network->plan, &own));
    return make_buffers(l, l->network);
}

gd_status gd_learner_make(gd_learner **out, const gd_model_config *config,
                          const gd_weights *weights, const gd_learner_options *options)
{
    gd_arena *mem;
    gd_learner *l;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    l = gd_alloc(mem, sizeof *l);
    if (!l) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "training: out of memory");
    }
    l->mem = mem;
    l->config = *config;
    l->options = *options;
    if (l->options.beta1 == 0)
        l->options.beta1 = 0.9;
    if (l->options.beta2 == 0)
        l->options.beta2 = 0.999;
    if (l->options.eps == 0)
        l->options.eps = 1e-8;
    s = make(l, weights);
    if (s != GD_OK) {
        gd_learner_free(l);
        return s;
    }
    *out = l;
    return GD_OK;
}

static void free_network(network *w)
{
    gd_exec_free(w->exec);
    gd_plan_free(w->plan);
    gd_graph_free(w->graph);
    gd_block_free(w->x);
    gd_block_free(w->out);
    gd_block_free(w->low_res);
    gd_block_free(w->sum);
}

void gd_learner_free(gd_learner *l)
{
    if (!l)
        return;
    if (l->network)
        free_network(l->network);
    gd_block_free(l->p);
    gd_block_free(l->m);
    gd_block_free(l->v);
    for (int k = 0; k < GD_MAX_EMA; k++)
        gd_block_free(l->ema[k]);
    gd_arena_free(l->mem);
}

/* ---- passes ---- */

/* The plan always runs a full microbatch: what is missing is zero, and so are its gradients. */
static void put_padded(gd_exec *exec, gd_val v, float *full, int64_t full_count, const float *data,
                       int64_t count)
{
    memcpy(full, data, (size_t)count * sizeof *full);
    memset(full + count, 0, (size_t)(full_count - count) * sizeof *full);
    gd_exec_put(exec, v, full);
}

static void put_small(gd_learner *l, const gd_pass *pass)
{
    network *w = l->network;

    for (int i = 0; i < l->options.microbatch; i++) {
        w->t[i] = i < pass->n ? pass->t[i] : 0;
        w->y[i] = i < pass->n && pass->y ? (int32_t)pass->y[i] : 0;
        for (int k = 0; k < 2; k++)
            w->keys[2 * i + k] = i < pass->n && pass->keys ? pass->keys[2 * i + k] : 0;
    }
    gd_exec_put(w->exec, w->net.t, w->t);
    if (w->net.y.id)
        gd_exec_put(w->exec, w->net.y, w->y);
    if (w->net.dropout_keys.id)
        gd_exec_put(w->exec, w->net.dropout_keys, w->keys);
}

void gd_learner_forward(gd_learner *l, const gd_pass *pass, float *out)
{
    network *w = l->network;
    const int64_t images = l->options.microbatch, x = element_count(w, w->net.x),
                  low = element_count(w, w->net.low_res), y = element_count(w, w->net.out);

    put_padded(w->exec, w->net.x, w->x, x, pass->x, x / images * pass->n);
    if (low > 0)
        put_padded(w->exec, w->net.low_res, w->low_res, low, pass->low_res, low / images * pass->n);
    put_small(l, pass);
    gd_exec_run_before(w->exec, w->net.out);
    gd_exec_get(w->exec, w->net.out, w->out);
    memcpy(out, w->out, (size_t)(y / images * pass->n) * sizeof *out);
}

static const float *last_gradient(const gd_learner *l, int i)
{
    const network *w = l->network;
    return w->gradient[i].id ? gd_exec_data(w->exec, w->gradient[i]) : NULL;
}

static void accumulate(void *ctx, int64_t i)
{
    const gd_learner *l = ctx;
    const float *from = last_gradient(l, (int)i);
    float *to = l->network->sum + l->offset[i];
    const int64_t n = from ? gd_param_count(&l->spec[i]) : 0;

    if (l->network->fresh && from)
        memcpy(to, from, (size_t)n * sizeof *to);
    for (int64_t k = 0; k < n && !l->network->fresh; k++)
        to[k] += from[k];
}

void gd_learner_backward(gd_learner *l, int n, const float *dout)
{
    network *w = l->network;
    const int64_t count = element_count(w, w->net.out);

    put_padded(w->exec, w->dout, w->out, count, dout, count / l->options.microbatch * n);
    gd_exec_run_after(w->exec, w->net.out);
    if (w->sum)
        gd_par(l->n_param, accumulate, l);
    w->fresh = false;
}

int64_t gd_learner_out_count(const gd_learner *l)
{
    return element_count(l->network, l->network->net.out) / l->options.microbatch;
}

const float *gd_learner_gradient(const gd_learner *l, int i)
{
    const network *w = l->network;
    return w->sum && w->gradient[i].id ? w->sum + l->offset[i] : last_gradient(l, i);
}

float *gd_learner_gradients(gd_learner *l)
{
    return l->network->sum;
}

/* ---- over all parameters: in pieces, each thread those in its share of the elements ---- */

typedef struct sweep {
    const gd_learner *l;
    void (*visit)(const struct sweep *s, piece *p);
    const gd_adamw *rule; /* of an update */
    int shares;
} sweep;

static void sweep_share(void *ctx, int64_t share)
{
    const sweep *s = ctx;
    const network *w = s->l->network;

    for (int64_t i = 0; i < w->n_piece; i++) {
        piece *p = &w->piece[i];
        if ((s->l->offset[p->param] + p->first) * s->shares / s->l->total == share)
            s->visit(s, p);
    }
}

static void run_sweep(const gd_learner *l, void (*visit)(const sweep *s, piece *p),
                      const gd_adamw *rule)
{
    sweep s = { l, visit, rule, gd_threads() };
    gd_par(s.shares, sweep_share, &s);
}

/* The order is that of the parameters, whatever the threads. */
static double norm_of_pieces(const network *w)
{
    double sum = 0;

    for (int64_t i = 0; i < w->n_piece; i++)
        sum += w->piece[i].square;
    return sqrt(sum);
}

static void square_gradient(const sweep *s, piece *p)
{
    const float *g = gd_learner_gradient(s->l, p->param);
    p->square = g ? gd_kernels_get()->square_sum(g + p->first, p->count) : 0;
}

double gd_learner_gradient_norm(const gd_learner *l)
{
    run_sweep(l, square_gradient, NULL);
    return norm_of_pieces(l->network);
}

/* ---- the update ---- */

void gd_learner_forget(gd_learner *l)
{
    l->network->fresh = true;
}

/* Passes the new parameters to the network. */
static gd_status refresh(const gd_learner *l, int i)
{
    const network *w = l->network;

    return w->param[i].id ? gd_exec_set_param(w->exec, w->param[i], l->p + l->offset[i]) : GD_OK;
}

/* The network packs it while the cache holds it. */
static bool is_packed_at_once(const gd_learner *l, const piece *p)
{
    return p->band >= 0 || p->count == gd_param_count(&l->spec[p->param]);
}

/* Elements of a piece, few enough that what the sum has read is in the cache for the update */
static void update_part(const sweep *s, piece *p, int64_t first, int64_t count)
{
    const gd_learner *l = s->l;
    const gd_kernels *k = gd_kernels_get();
    const float *g = gd_learner_gradient(l, p->param);
    const int64_t at = l->offset[p->param] + first;
    gd_adamw_state state = { .p = l->p + at, .m = l->m + at, .v = l->v + at };

    p->square += k->square_sum(l->p + at, count);
    if (!g)
        return;
    state.gradient = g + first;
    for (int e = 0; e < s->rule->n_ema; e++)
        state.ema[e] = l->ema[e] + at;
    k->adamw(s->rule, &state, count);
}

static void update_piece(const sweep *s, piece *p)
{
    enum { PART = 1 << 12 };
    const gd_learner *l = s->l;
    const int64_t end = p->first + p->count;

    p->square = 0;
    for (int64_t i = p->first; i < end; i += PART)
        update_part(s, p, i, GD_MIN(PART, end - i));
    if (!gd_learner_gradient(l, p->param) || !is_packed_at_once(l, p))
        return;
    if (p->band >= 0)
        gd_exec_set_band(l->network->exec, l->network->param[p->param], l->p + l->offset[p->param],
                         p->band);
    else
        p->status = refresh(l, p->param);
}

/* The parameters in several pieces that update_piece skips; failures by name, because error texts
 * belong to a thread */
static gd_status refresh_rest(const gd_learner *l)
{
    const network *w = l->network;

    for (int64_t i = 0; i < w->n_piece; i++) {
        const piece *p = &w->piece[i];
        if (p->status != GD_OK)
            return gd_fail(p->status, "%s: could not be packed for the network",
                           l->spec[p->param].name);
        if (p->first == 0 && !is_packed_at_once(l, p))
            GD_TRY(refresh(l, p->param));
    }
    return GD_OK;
}

gd_status gd_learner_update(gd_learner *l, double lr, double weight_decay, double *norm)
{
    const gd_learner_options *o = &l->options;
    const double count = (double)++l->updates;
    gd_adamw rule = { .beta1 = (float)o->beta1,
                      .rest1 = (float)(1 - o->beta1),
                      .beta2 = (float)o->beta2,
                      .rest2 = (float)(1 - o->beta2),
                      .eps = (float)o->eps,
                      .decay = (float)(1 - lr * weight_decay),
                      .step = (float)(lr / (1 - pow(o->beta1, count))),
                      .root = (float)sqrt(1 - pow(o->beta2, count)),
                      .n_ema = o->n_ema };

    for (int e = 0; e < o->n_ema; e++) {
        rule.ema_rate[e] = (float)o->ema_rate[e];
        rule.ema_rest[e] = (float)(1 - o->ema_rate[e]);
    }
    run_sweep(l, update_piece, &rule);
    *norm = norm_of_pieces(l->network);
    l->network->fresh = true;
    return refresh_rest(l);
}

gd_status gd_learner_refresh(gd_learner *l)
{
    for (int i = 0; i < l->n_param; i++)
        GD_TRY(refresh(l, i));
    return GD_OK;
}

const char *gd_learner_probe(gd_learner *l)
{
    return gd_exec_probe(l->network->exec);
}
