/* SPDX-License-Identifier: MIT */
/* exec.c - running a plan: one arena, one scratch, the packed weights; nothing is allocated after
 * gd_exec_make. */
#include "graph/ops.h"
#include "graph/plan.h"

#include <limits.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

struct gd_exec {
    const gd_plan *plan;
    gd_arena *mem;
    unsigned char *arena, *scratch, *weights; /* blocks */
    bool weights_borrowed;
    gd_call *call;                     /* [n_step], all pointers resolved */
    _Atomic int64_t *macs;             /* counter of whoever made it; NULL: none */
    int *first_packing, *next_packing; /* [value], [n_step]: a step and 1, or 0 for none */
};

/* ---- binding ---- */

static gd_view view_of(const gd_exec *e, gd_val v)
{
    const gd_plan *plan = e->plan;
    const gd_value *value = &plan->graph->value[v.id];
    const int64_t *d = value->type.dim;
    unsigned char *base = value->role == GD_ROLE_PARAM ? e->weights : e->arena;
    gd_view view = {
        .dtype = value->type.dtype, .n = (int)d[0], .h = (int)d[1], .w = (int)d[2], .c = (int)d[3]
    };

    if (!v.id || !plan->slot[v.id].placed)
        return view;
    view.data = base + plan->slot[v.id].offset;
    if (value->place != GD_PLACE_ACTIVATION)
        return view;
    view.pixel = plan->blocked ? 16 : d[3];
    view.block = plan->blocked ? 16 * d[1] * d[2] : 16;
    view.image = d[1] * d[2] * (plan->blocked ? (d[3] + 15) / 16 * 16 : d[3]);
    return view;
}

/* x, y and weights are other inputs in each pass */
static gd_status bind_conv(gd_exec *e, const gd_step *s, gd_call *c)
{
    gd_conv_buffers b = { .scratch = e->scratch + s->scratch_offset,
                          .weights = e->weights + s->weights_offset };

    switch (s->desc.pass) {
    case GD_CONV_FORWARD: /* x, w, bias?, residual? */
        b.x = c->in[0].data;
        b.y = c->out.data;
        b.bias = c->in[2].data;
        b.residual = c->in[3].data;
        break;
    case GD_CONV_GRAD_DATA: /* dy, w */
        b.y = c->in[0].data;
        b.x = c->out.data;
        break;
    case GD_CONV_GRAD_WEIGHTS: /* x, dy */
        b.x = c->in[0].data;
        b.y = c->in[1].data;
        b.dweights = c->out.data;
    }
    return gd_conv_bind(&c->conv, s->conv, &b);
}

static gd_status bind(gd_exec *e)
{
    for (int i = 0; i < e->plan->n_step; i++) {
        const gd_step *s = &e->plan->step[i];
        gd_call *c = &e->call[i];
        *c = (gd_call){ .k = gd_kernels_get(),
                        .attr = &s->node->attr,
                        .scratch = e->scratch + s->scratch_offset };
        for (int k = 0; k < GD_MAX_IN; k++)
            c->in[k] = view_of(e, s->node->in[k]);
        c->out = view_of(e, s->node->out);
        c->aux = view_of(e, s->node->aux);
        if (s->conv)
            GD_TRY(bind_conv(e, s, c));
    }
    return GD_OK;
}

/* ---- weights ---- */

static size_t largest_param(const gd_plan *plan)
{
    const gd_graph *g = plan->graph;
    size_t most = 0;

    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role == GD_ROLE_PARAM)
            most = GD_MAX(most, gd_plan_value_bytes(plan, (gd_val){ i }));
    return most;
}

static bool packs(const gd_step *s)
{
    return s->conv && s->desc.pass != GD_CONV_GRAD_WEIGHTS && !s->weights_shared;
}

/* Which steps pack a parameter: the first, and after each the next */
static gd_status list_packing(gd_exec *e)
{
    const gd_plan *plan = e->plan;

    e->first_packing = gd_alloc(e->mem, (size_t)plan->graph->n_value * sizeof *e->first_packing);
    e->next_packing = gd_alloc(e->mem, (size_t)GD_MAX(plan->n_step, 1) * sizeof *e->next_packing);
    if (!e->first_packing || !e->next_packing)
        return gd_fail(GD_ENOMEM, "executor: out of memory");
    for (int i = plan->n_step - 1; i >= 0; i--) {
        const gd_step *s = &plan->step[i];
        if (!packs(s))
            continue;
        e->next_packing[i] = e->first_packing[s->node->in[1].id];
        e->first_packing[s->node->in[1].id] = i + 1;
    }
    return GD_OK;
}

/* One parameter for all steps that pack it */
typedef struct packing {
    gd_exec *e;
    int first; /* a step and 1 */
    const float *data;
    bool stream; /* no cache holds all weights */
} packing;

/* By all steps, so that the band is read once */
static void pack_band(void *ctx, int64_t band)
{
    const packing *p = ctx;

    for (int i = p->first; i > 0; i = p->e->next_packing[i - 1]) {
        const gd_step *s = &p->e->plan->step[i - 1];
        gd_conv_pack_band(s->conv, p->e->weights + s->weights_offset, p->data, (int)band,
                          p->stream);
    }
}

static gd_status pack_whole(const packing *p)
{
    for (int i = p->first; i > 0; i = p->e->next_packing[i - 1]) {
        const gd_step *s = &p->e->plan->step[i - 1];
        GD_TRY(gd_conv_pack(s->conv, p->e->weights + s->weights_offset, p->data));
    }
    return GD_OK;
}

static packing packing_of(gd_exec *e, gd_val param, const float *data)
{
    enum { CACHED = 256 << 20 };

    return (packing){ e, e->first_packing[param.id], data, e->plan->weights_bytes > CACHED };
}

/* All steps that pack the parameter in bands have the same ones: they go by its filters. */
int gd_exec_bands(const gd_exec *e, gd_val param)
{
    const bool reordered = e->plan->graph->value[param.id].interleaved > 0,
               packed = e->first_packing[param.id] && !e->plan->slot[param.id].placed;
    int bands = packed && !reordered ? INT_MAX : 0;

    for (int i = e->first_packing[param.id]; i > 0; i = e->next_packing[i - 1])
        bands = GD_MIN(bands, gd_conv_pack_bands(e->plan->step[i - 1].conv));
    return bands;
}

void gd_exec_set_band(gd_exec *e, gd_val param, const float *data, int band)
{
    packing p = packing_of(e, param, data);

    pack_band(&p, band);
}

static gd_status set_rows(gd_exec *e, gd_val param, const float *data)
{
    const gd_slot *slot = &e->plan->slot[param.id];
    packing p = packing_of(e, param, data);
    const int bands = gd_exec_bands(e, param);

    if (bands > 0)
        gd_par(bands, pack_band, &p);
    else
        GD_TRY(pack_whole(&p));
    if (slot->placed)
        memcpy(e->weights + slot->offset, data,
               (size_t)type_count(gd_type_of(e->plan->graph, param)) * sizeof *data);
    return GD_OK;
}

/* Rows head * 3ch + channel * 3 + part become head * 3ch + part * ch + channel. */
static void reorder_rows(float *out, const float *in, const gd_value *v)
{
    const int64_t rows = v->type.dim[0] > 1 ? v->type.dim[0] : v->type.dim[3];
    const int64_t width = type_count(&v->type) / rows, ch = rows / (3 * v->interleaved);

    for (int64_t row = 0; row < rows; row++) {
        const int64_t head = row / (3 * ch), part = row / ch % 3, channel = row % ch;
        memcpy(out + row * width, in + (head * 3 * ch + channel * 3 + part) * width,
               (size_t)width * sizeof *out);
    }
}

gd_status gd_exec_set_param(gd_exec *e, gd_val param, const float *data)
{
    const gd_value *v = &e->plan->graph->value[param.id];
    void *reordered;
    gd_status s;

    if (v->interleaved == 0)
        return set_rows(e, param, data);
    GD_TRY(gd_block_make(&reordered, (size_t)type_count(&v->type) * sizeof *data, v->name));
    reorder_rows(reordered, data, v);
    s = set_rows(e, param, reordered);
    gd_block_free(reordered);
    return s;
}

/* One parameter at a time through a staging block: the unpacked weights are never held together. */
static gd_status load_weights(gd_exec *e, const gd_weights *weights)
{
    const gd_graph *g = e->plan->graph;
    void *staged = NULL;
    gd_status s = gd_block_make(&staged, GD_MAX(largest_param(e->plan), GD_ALIGN), "one parameter");

    for (int i = 1; i < g->n_value && s == GD_OK; i++) {
        if (g->value[i].role != GD_ROLE_PARAM)
            continue;
        s = weights->fetch(weights->ctx, g->value[i].name, &g->value[i].type, staged);
        if (s == GD_OK)
            s = gd_exec_set_param(e, (gd_val){ i }, staged);
    }
    gd_block_free(staged);
    return s;
}

/* ---- life ---- */

static gd_status make_blocks(gd_exec *e)
{
    const gd_plan *plan = e->plan;

    if (!e->weights_borrowed)
        GD_TRY(gd_block_make(&e->weights, GD_MAX(plan->weights_bytes, GD_ALIGN), "packed weights"));
    GD_TRY(gd_block_make(&e->arena, GD_MAX(plan->arena_bytes, GD_ALIGN), "activations"));
    return gd_block_make(&e->scratch, GD_MAX(plan->scratch_bytes, GD_ALIGN),
                         "kernels' working space");
}

/* weights NULL: `packed` ones, which are only read */
static gd_status make(gd_exec **out, const gd_plan *plan, const gd_weights *weights,
                      const void *packed)
{
    gd_arena *mem;
    gd_exec *e;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    e = gd_alloc(mem, sizeof *e);
    if (e) {
        e->mem = mem;
        e->plan = plan;
        e->weights_borrowed = !weights;
        e->weights = (unsigned char *)packed;
        e->macs = gd_used_settings() ? gd_used_settings()->macs : NULL;
        e->call = gd_alloc(mem, (size_t)GD_MAX(plan->n_step, 1) * sizeof *e->call);
    }
    if (!e || !e->call) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "executor: out of memory");
    }
    s = make_blocks(e);
    if (s == GD_OK)
        s = bind(e);
    if (s == GD_OK)
        s = list_packing(e);
    if (s == GD_OK && weights)
        s = load_weights(e, weights);
    if (s != GD_OK) {
        gd_exec_free(e);
        return s;
    }
    *out = e;
    return GD_OK;
}

gd_status gd_exec_make(gd_exec **out, const gd_plan *plan, const gd_weights *weights)
{
    return make(out, plan, weights, NULL);
}

gd_status gd_exec_make_beside(gd_exec **out, const gd_exec *of)
{
    return make(out, of->plan, NULL, of->weights);
}

gd_status gd_exec_make_packed(gd_exec **out, const gd_plan *plan, const void *packed)
{
    return make(out, plan, NULL, packed);
}

const void *gd_exec_weights(const gd_exec *e)
{
    return e->weights;
}

void gd_exec_free(gd_exec *e)
{
    if (!e)
        return;
    for (int i = 0; i < e->plan->n_step; i++)
        gd_conv_call_free(e->call[i].conv);
    gd_block_free(e->arena);
    gd_block_free(e->scratch);
    if (!e->weights_borrowed)
        gd_block_free(e->weights);
    gd_arena_free(e->mem);
}

size_t gd_exec_bytes(const gd_exec *e)
{
    return (e->weights_borrowed ? 0 : e->plan->weights_bytes) + e->plan->arena_bytes +
           e->plan->scratch_bytes;
}

/* ---- inputs and outputs ---- */

void gd_exec_put(gd_exec *e, gd_val input, const void *data)
{
    const gd_view v = view_of(e, input);
    const int64_t pixels = (int64_t)v.h * v.w;
    const float *from = data;

    if (e->plan->graph->value[input.id].place != GD_PLACE_ACTIVATION) {
        memcpy(v.data, data, (size_t)(v.n * pixels * v.c) * gd_dtype_bytes(v.dtype));
        return;
    }
    memset(v.data, 0, (size_t)(v.n * v.image) * sizeof(float));
    for (int64_t n = 0; n < v.n; n++)
        for (int64_t c = 0; c < v.c; c++)
            for (int64_t p = 0; p < pixels; p++)
                *at_element(&v, n, c, p) = *from++;
}

void gd_exec_get(const gd_exec *e, gd_val output, void *data)
{
    const gd_view v = view_of(e, output);
    const int64_t pixels = (int64_t)v.h * v.w;
    float *to = data;

    if (e->plan->graph->value[output.id].place != GD_PLACE_ACTIVATION) {
        memcpy(data, v.data, (size_t)(v.n * pixels * v.c) * gd_dtype_bytes(v.dtype));
        return;
    }
    for (int64_t n = 0; n < v.n; n++)
        for (int64_t c = 0; c < v.c; c++)
            for (int64_t p = 0; p < pixels; p++)
                *to++ = *at_element(&v, n, c, p);
}

const void *gd_exec_data(const gd_exec *e, gd_val output)
{
    return view_of(e, output).data;
}

/* Bytes that hold values: an activation's slot may end in alignment that nobody writes */
static size_t content_bytes(const gd_exec *e, gd_val v, const gd_view *view)
{
    const gd_value *value = &e->plan->graph->value[v.id];
    const int64_t *d = value->type.dim;
    const int64_t count =
        value->place == GD_PLACE_ACTIVATION ? view->n * view->image : d[0] * d[1] * d[2] * d[3];

    return (size_t)count * gd_dtype_bytes(value->type.dtype);
}

/* ---- a step whose result a test sets ---- */

static struct {
    uint64_t left; /* steps until the one that the test sets; 0: none */
    float value;
    const gd_node *node; /* that step's */
    char name[256];
} fault;

static void name_node(char *out, size_t bytes, const gd_node *n)
{
    snprintf(out, bytes, "%s (%s)", n->scope, n->op->name);
}

void gd_fail_node(uint64_t k, float value)
{
    fault.left = k;
    fault.value = value;
    fault.node = NULL;
    *fault.name = '\0';
}

const char *gd_failed_node(void)
{
    return fault.name;
}

static void spoil(gd_exec *e, int i)
{
    const gd_node *n = e->plan->step[i].node;
    const gd_view *out = &e->call[i].out;
    const size_t bytes = content_bytes(e, n->out, out);
    uint32_t bits;

    memcpy(&bits, &fault.value, sizeof bits);
    if (fault.left > 0 && --fault.left == 0) {
        fault.node = n;
        name_node(fault.name, sizeof fault.name, n);
    }
    for (size_t k = 0; n == fault.node && k < bytes / 4 && out->dtype == GD_F32; k++)
        ((float *)out->data)[k] = fault.value;
    for (size_t k = 0; n == fault.node && k < bytes / 2 && out->dtype == GD_BF16; k++)
        ((uint16_t *)out->data)[k] = (uint16_t)(bits >> 16);
}

/* ---- running ---- */

/* Some or all steps of a wave */
typedef struct wave {
    gd_exec *e;
    int first, end;
    double *seconds; /* [end - first]: time of each step; or NULL */
} wave;

static void run_part(void *ctx, int64_t part)
{
    const wave *w = ctx;

    for (int i = w->first; i < w->end; i++) {
        const double start = w->seconds ? gd_seconds() : 0;
        if (w->e->plan->step[i].part != part)
            continue;
        w->e->plan->step[i].node->op->run(&w->e->call[i]);
        if (w->seconds)
            w->seconds[i - w->first] = gd_seconds() - start;
    }
}

static wave wave_at(gd_exec *e, int first, int end)
{
    return (wave){ e, first, GD_MIN(gd_wave_end(e->plan, first), end), NULL };
}

static void run_wave(wave *w)
{
    gd_par(w->e->plan->step[w->first].parts, run_part, w);
    for (int i = w->first; i < w->end && (fault.left > 0 || fault.node); i++)
        spoil(w->e, i);
}

static void run_steps(gd_exec *e, int first, int end)
{
    int64_t macs = 0;

    for (int i = first; e->macs && i < end; i++)
        macs += e->plan->step[i].macs;
    for (wave w; first < end; first = w.end) {
        w = wave_at(e, first, end);
        run_wave(&w);
    }
    if (e->macs)
        atomic_fetch_add(e->macs, macs);
}

void gd_exec_run(gd_exec *e)
{
    run_steps(e, 0, e->plan->n_step);
}

void gd_exec_run_before(gd_exec *e, gd_val boundary)
{
    run_steps(e, 0, e->plan->graph->value[boundary.id].node + 1);
}

void gd_exec_run_after(gd_exec *e, gd_val boundary)
{
    run_steps(e, e->plan->graph->value[boundary.id].node + 1, e->plan->n_step);
}

/* Attribute a wave's wall time to its steps in proportion to their thread time. */
static void time_wave(wave *w, double *seconds)
{
    double own[GD_WAVE_STEPS], all = 0;
    const double start = gd_seconds();

    w->seconds = own;
    run_wave(w);
    const double taken = gd_seconds() - start;
    for (int i = w->first; i < w->end; i++)
        all += own[i - w->first];
    for (int i = w->first; i < w->end && all > 0; i++)
        seconds[i] = GD_MIN(seconds[i], taken * own[i - w->first] / all);
}

void gd_exec_profile(gd_exec *e, double *seconds)
{
    enum { RUNS = 5 };
    const int end = e->plan->n_step;

    for (int i = 0; i < end; i++)
        seconds[i] = INFINITY;
    for (int r = 0; r < RUNS; r++)
        for (wave w = { .end = 0 }; w.end < end;) {
            w = wave_at(e, w.end, end);
            time_wave(&w, seconds);
        }
}

static bool all_finite(const gd_view *v, size_t bytes)
{
    const uint16_t *half = v->data;
    const float *full = v->data;

    if (v->dtype == GD_BF16) {
        for (size_t i = 0; i < bytes / 2; i++)
            if ((half[i] & 0x7f80) == 0x7f80)
                return false;
        return true;
    }
    for (size_t i = 0; i < bytes / 4; i++)
        if (!isfinite(full[i]))
            return false;
    return true;
}

const char *gd_exec_probe(gd_exec *e)
{
    static _Thread_local char text[256];

    for (int i = 0; i < e->plan->n_step; i++) {
        const gd_node *n = e->plan->step[i].node;
        run_steps(e, i, i + 1);
        if (all_finite(&e->call[i].out, content_bytes(e, n->out, &e->call[i].out)))
            continue;
        name_node(text, sizeof text, n);
        return text;
    }
    return "";
}

void gd_exec_poison(gd_exec *e)
{
    float *p = (float *)e->arena;

    for (size_t i = 0; i < e->plan->arena_bytes / sizeof *p; i++)
        p[i] = NAN;
}
