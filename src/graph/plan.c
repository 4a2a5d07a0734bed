/* SPDX-License-Identifier: MIT */
/* plan.c - from a graph to steps: layout, convolution primitives, parameters, memory. */
#include "graph/plan.h"

#include <stdlib.h>
#include <string.h>

/* ---- making ---- */

static size_t take_weights(gd_plan *plan, size_t bytes)
{
    size_t offset = plan->weights_bytes;

    plan->weights_bytes += gd_round_up(bytes);
    return offset;
}

static bool same_desc(const gd_conv_desc *a, const gd_conv_desc *b)
{
    return a->pass == b->pass && a->n == b->n && a->ci == b->ci && a->h == b->h && a->w == b->w &&
           a->co == b->co && a->kernel == b->kernel && a->stride == b->stride && a->pad == b->pad &&
           a->kernel_w == b->kernel_w && a->pad_w == b->pad_w && a->dtype == b->dtype;
}

/* What is computed twice (recompute.c) has its weights once. */
static void place_weights(gd_plan *plan, gd_step *s)
{
    for (const gd_step *o = plan->step; o < s; o++)
        if (o->conv && o->desc.pass != GD_CONV_GRAD_WEIGHTS &&
            o->node->in[1].id == s->node->in[1].id && same_desc(&o->desc, &s->desc) &&
            o->desc.bias == s->desc.bias && o->desc.accumulate == s->desc.accumulate) {
            s->weights_offset = o->weights_offset;
            s->weights_shared = true;
            return;
        }
    s->weights_offset = take_weights(plan, gd_conv_weights_bytes(s->conv));
}

static void describe_conv(gd_plan *plan, gd_step *s)
{
    const gd_type *in[GD_MAX_IN];

    gd_input_types(plan->graph, s->node, in);
    s->node->op->conv(&s->desc, &s->node->attr, in, gd_type_of(plan->graph, s->node->out));
    s->desc.blocked = plan->blocked;
}

static gd_status prepare_conv(gd_plan *plan, gd_step *s)
{
    const gd_value *w = &plan->graph->value[s->node->in[1].id];
    gd_status status = gd_conv_make(&s->conv, &s->desc);

    if (status != GD_OK) {
        gd_context("%s", s->node->scope);
        return status;
    }
    s->scratch_bytes = gd_conv_scratch_bytes(s->conv);
    if (s->desc.pass == GD_CONV_GRAD_WEIGHTS)
        return GD_OK;
    if (w->role != GD_ROLE_PARAM)
        return gd_fail(GD_EUSAGE, "%s: a convolution's weights must be a parameter",
                       s->node->scope);
    place_weights(plan, s);
    return GD_OK;
}

/* Input k is read only in its packed form */
static bool is_packed(const gd_step *s, int k)
{
    return s->conv && s->desc.pass != GD_CONV_GRAD_WEIGHTS && k == 1;
}

/* Parameters that some step reads as they are */
static void place_params(gd_plan *plan)
{
    for (int i = 0; i < plan->n_step; i++) {
        const gd_node *n = plan->step[i].node;
        for (int k = 0; k < n->n_in; k++) {
            gd_slot *slot = &plan->slot[n->in[k].id];
            if (plan->graph->value[n->in[k].id].role != GD_ROLE_PARAM ||
                is_packed(&plan->step[i], k) || slot->placed)
                continue;
            slot->bytes = gd_plan_value_bytes(plan, n->in[k]);
            slot->offset = take_weights(plan, slot->bytes);
            slot->placed = true;
        }
    }
}

static gd_status prepare_step(gd_plan *plan, gd_step *s)
{
    const gd_type *in[GD_MAX_IN];

    if (s->node->op->conv)
        return prepare_conv(plan, s);
    if (s->node->op->scratch) {
        gd_input_types(plan->graph, s->node, in);
        s->scratch_bytes =
            s->node->op->scratch(&s->node->attr, in, gd_type_of(plan->graph, s->node->out));
    }
    return GD_OK;
}

static gd_status prepare(gd_plan *plan)
{
    const gd_graph *g = plan->graph;

    for (int i = 0; i < g->n_node; i++) {
        gd_step *s = &plan->step[plan->n_step++];
        s->node = &g->node[i];
        if (s->node->op->conv)
            describe_conv(plan, s);
    }
    gd_plan_waves(plan);
    for (int i = 0; i < plan->n_step; i++)
        plan->step[i].desc.threads = plan->step[i].parts > 1 ? 1 : plan->threads;
    for (int i = 0; i < plan->n_step; i++) {
        GD_TRY(prepare_step(plan, &plan->step[i]));
        plan->step[i].macs = (int64_t)gd_step_macs(plan, &plan->step[i]);
    }
    gd_plan_place_scratch(plan);
    place_params(plan);
    return gd_plan_place(plan);
}

static gd_status copy_outputs(gd_plan *plan, const gd_val *outputs, int n)
{
    gd_val *copy = gd_alloc(plan->mem, (size_t)GD_MAX(n, 1) * sizeof *copy);

    if (!copy)
        return gd_fail(GD_ENOMEM, "plan: out of memory");
    memcpy(copy, outputs, (size_t)n * sizeof *copy);
    plan->output = copy;
    plan->n_output = n;
    return GD_OK;
}

gd_status gd_plan_make(gd_plan **out, const gd_graph *g, const gd_val *outputs, int n_outputs,
                       int threads)
{
    gd_arena *mem;
    gd_plan *plan;
    gd_status s;

    GD_TRY(gd_graph_check(g));
    GD_TRY(gd_arena_make(&mem));
    plan = gd_alloc(mem, sizeof *plan);
    if (plan) {
        plan->mem = mem;
        plan->graph = g;
        plan->threads = threads;
        plan->blocked =
            gd_isa_used() >=
            GD_ISA_AVX512; /* oneDNN's AVX-512 kernels want 16 lanes, all others run in nhwc */
        plan->step = gd_alloc(mem, (size_t)GD_MAX(g->n_node, 1) * sizeof *plan->step);
        plan->slot = gd_alloc(mem, (size_t)g->n_value * sizeof *plan->slot);
    }
    if (!plan || !plan->step || !plan->slot) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "plan: out of memory");
    }
    s = copy_outputs(plan, outputs, n_outputs);
    if (s == GD_OK)
        s = prepare(plan);
    if (s != GD_OK) {
        gd_plan_free(plan);
        return s;
    }
    *out = plan;
    return GD_OK;
}

void gd_plan_free(gd_plan *plan)
{
    if (!plan)
        return;
    for (int i = 0; i < plan->n_step; i++)
        gd_conv_free(plan->step[i].conv);
    gd_arena_free(plan->mem);
}

/* ---- a plan's description of itself ---- */

size_t gd_plan_arena_bytes(const gd_plan *plan)
{
    return plan->arena_bytes;
}

size_t gd_plan_scratch_bytes(const gd_plan *plan)
{
    return plan->scratch_bytes;
}

size_t gd_plan_weights_bytes(const gd_plan *plan)
{
    return plan->weights_bytes;
}

int gd_plan_steps(const gd_plan *plan)
{
    return plan->n_step;
}

double gd_step_macs(const gd_plan *plan, const gd_step *s)
{
    const gd_type *in[GD_MAX_IN];

    if (s->node->op->conv)
        return gd_conv_macs(&s->desc);
    if (!s->node->op->macs)
        return 0;
    gd_input_types(plan->graph, s->node, in);
    return s->node->op->macs(&s->node->attr, in, gd_type_of(plan->graph, s->node->out));
}

double gd_plan_macs(const gd_plan *plan)
{
    double sum = 0;

    for (int i = 0; i < plan->n_step; i++)
        sum += gd_step_macs(plan, &plan->step[i]);
    return sum;
}

double gd_plan_attention_macs(const gd_plan *plan)
{
    double sum = 0;

    for (int i = 0; i < plan->n_step; i++)
        if (!plan->step[i].conv)
            sum += gd_step_macs(plan, &plan->step[i]);
    return sum;
}

int gd_plan_convs(const gd_plan *plan, gd_conv_desc *desc, int *count, int max)
{
    int n = 0;

    for (int i = 0; i < plan->n_step; i++) {
        gd_conv_desc d;
        int k = 0;
        if (!plan->step[i].conv)
            continue;
        d = plan->step[i].desc;
        d.bias = d.accumulate = d.relu = false;
        d.threads = 0;
        while (k < n && !same_desc(&desc[k], &d))
            k++;
        if (k == n && n < max) {
            desc[n] = d;
            count[n++] = 0;
        }
        if (k < n)
            count[k]++;
    }
    return n;
}

void gd_plan_log(const gd_plan *plan)
{
    for (int i = 0; i < plan->n_step && gd_log_wanted(GD_LOG_DEBUG); i++) {
        const gd_step *s = &plan->step[i];
        const int64_t *d = gd_type_of(plan->graph, s->node->out)->dim;
        const gd_slot *slot = &plan->slot[s->node->out.id];
        gd_log(GD_LOG_DEBUG, "%4d %-18s %lldx%lldx%lldx%lld at %zu, %zu bytes%s%s%s%s  %s", i,
               s->node->op->name, (long long)d[0], (long long)d[1], (long long)d[2],
               (long long)d[3], slot->offset, slot->bytes, s->conv ? "  " : "",
               s->conv ? gd_conv_algo_name(gd_conv_algo_of(s->conv)) : "", s->conv ? " " : "",
               s->conv ? gd_conv_kernel_name(s->conv) : "", s->node->scope);
    }
}

/* ---- the profile: steps of one kind and shape together ---- */

typedef struct profile_row {
    const gd_step *step; /* the first of its kind */
    double seconds;
    int calls;
} profile_row;

static bool same_kind(const gd_plan *plan, const gd_step *a, const gd_step *b)
{
    const gd_type *x = gd_type_of(plan->graph, a->node->out),
                  *y = gd_type_of(plan->graph, b->node->out);

    if (a->node->op != b->node->op || memcmp(x->dim, y->dim, sizeof x->dim) != 0)
        return false;
    return !a->conv || same_desc(&a->desc, &b->desc);
}

/* Read and written at least once: inputs, output, packed weights; 0 where the inputs are parts of
 * the output already */
static double step_bytes(const gd_plan *plan, const gd_step *s)
{
    const gd_slot *out = &plan->slot[s->node->out.id];
    double bytes = (double)out->bytes;

    if (s->node->op->joins && plan->slot[s->node->in[0].id].offset == out->offset)
        return 0;
    for (int k = 0; k < s->node->n_in; k++)
        bytes += (double)plan->slot[s->node->in[k].id].bytes;
    return bytes + (s->conv ? (double)gd_conv_weights_bytes(s->conv) : 0);
}

static bool is_linear(const gd_step *s)
{
    return s->conv && s->desc.h * s->desc.w == 1;
}

static void print_row(const gd_plan *plan, const profile_row *r, double total, FILE *out)
{
    const gd_step *s = r->step;
    const int64_t *d = gd_type_of(plan->graph, s->node->out)->dim;
    const double macs = gd_step_macs(plan, s) * r->calls;
    char shape[64];

    if (s->conv)
        snprintf(shape, sizeof shape, "%d -> %d, %dx%d, %dx%d/%d", s->desc.ci, s->desc.co,
                 s->desc.h, s->desc.w, s->desc.kernel, gd_conv_kernel_w(&s->desc), s->desc.stride);
    else
        snprintf(shape, sizeof shape, "%lldx%lldx%lld", (long long)d[1], (long long)d[2],
                 (long long)d[3]);
    fprintf(out, "%-19s %-30s %-16s %4d x %9.3f ms %5.1f %%", s->node->op->name, shape,
            s->conv ? gd_conv_algo_name(gd_conv_algo_of(s->conv)) : "", r->calls,
            r->seconds / r->calls * 1e3, 100 * r->seconds / total);
    if (macs > 0 && !is_linear(s))
        fprintf(out, " %7.0f GFLOP/s", 2e-9 * macs / r->seconds);
    else if (step_bytes(plan, s) > 0)
        fprintf(out, " %7.1f GB/s", 1e-9 * step_bytes(plan, s) * r->calls / r->seconds);
    fputc('\n', out);
}

static int by_seconds(const void *a, const void *b)
{
    const profile_row *x = a, *y = b;

    return x->seconds < y->seconds ? 1 : x->seconds > y->seconds ? -1 : 0;
}

gd_status gd_plan_print_times(const gd_plan *plan, const double *seconds, FILE *out)
{
    profile_row *row;
    double total = 0;
    int n = 0;

    GD_TRY(gd_block_make(&row, (size_t)GD_MAX(plan->n_step, 1) * sizeof *row, "profile"));
    for (int i = 0; i < plan->n_step; i++) {
        int k = 0;
        while (k < n && !same_kind(plan, row[k].step, &plan->step[i]))
            k++;
        if (k == n)
            row[n++].step = &plan->step[i];
        row[k].seconds += seconds[i];
        row[k].calls++;
        total += seconds[i];
    }
    qsort(row, (size_t)n, sizeof *row, by_seconds);
    for (int k = 0; k < n; k++)
        print_row(plan, &row[k], total, out);
    gd_block_free(row);
    return GD_OK;
}
