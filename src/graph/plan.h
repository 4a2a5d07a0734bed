/* plan.h - a plan's inside, shared by plan.c (which makes it), memory.c (which places values) and
 * exec.c (which runs it). */
#ifndef GD_GRAPH_PLAN_H
#define GD_GRAPH_PLAN_H

#include "graph/graph.h"

enum { GD_ALIGN = 64 };

typedef struct gd_step {
    const gd_node *node;
    gd_conv *conv;         /* NULL: not a convolution */
    gd_conv_desc desc;     /* of conv */
    size_t weights_offset; /* convolution with weights: its packed weights in the weights block */
    size_t scratch_bytes;
    bool weights_shared; /* an earlier step has packed them there */
} gd_step;

typedef struct gd_slot {
    size_t offset, bytes; /* in the arena; parameters: in the weights block */
    bool placed;
} gd_slot;

struct gd_plan {
    gd_arena *mem;
    const gd_graph *graph;
    bool blocked; /* activations are nChw16c */
    gd_step *step;
    int n_step;
    gd_slot *slot; /* [value] */
    const gd_val *output;
    int n_output;
    size_t arena_bytes, scratch_bytes, weights_bytes;
};

static inline size_t gd_round_up(size_t bytes)
{
    return (bytes + GD_ALIGN - 1) / GD_ALIGN * GD_ALIGN;
}

/* memory.c: places every value that a step makes or an input holds; sets arena_bytes. */
GD_CHECKED gd_status gd_plan_place(gd_plan *plan);
/* Bytes of a value in this plan's layouts */
size_t gd_plan_value_bytes(const gd_plan *plan, gd_val v);

#endif
