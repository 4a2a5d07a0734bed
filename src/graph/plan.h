/* SPDX-License-Identifier: MIT */
/* plan.h - a plan's inside, shared by plan.c (which makes it), waves.c (which steps run at the same
 * time), memory.c (which gives values their offsets) and exec.c (which runs it). */
#ifndef GD_GRAPH_PLAN_H
#define GD_GRAPH_PLAN_H

#include "graph/graph.h"

enum { GD_ALIGN = 64, GD_WAVE_STEPS = 16 /* at most */ };

typedef struct gd_step {
    const gd_node *node;
    gd_conv *conv;         /* NULL: not a convolution */
    gd_conv_desc desc;     /* of conv */
    size_t weights_offset; /* convolution with weights: its packed weights in the weights block */
    size_t scratch_bytes, scratch_offset;
    int wave, part; /* waves.c: steps of one wave run at once, those of one part by one thread */
    int parts;      /* of the wave */
    int64_t macs;   /* gd_step_macs */
    bool weights_shared; /* an earlier step has packed them there */
} gd_step;

typedef struct gd_slot {
    size_t offset, bytes; /* in the arena; parameters: in the weights block */
    bool placed;
} gd_slot;

struct gd_plan {
    gd_arena *mem;
    const gd_graph *graph;
    int threads;  /* that run it, at most */
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

/* The step after the wave of step i */
static inline int gd_wave_end(const gd_plan *plan, int i)
{
    const int wave = plan->step[i].wave;

    while (i < plan->n_step && plan->step[i].wave == wave)
        i++;
    return i;
}

/* waves.c: which steps run at once; from nodes and desc.  Then, from scratch_bytes of the steps,
 * where each has its working space; sets the plan's scratch_bytes. */
void gd_plan_waves(gd_plan *plan);
void gd_plan_place_scratch(gd_plan *plan);
/* Multiply-adds of one step; 0: it is none that multiplies */
double gd_step_macs(const gd_plan *plan, const gd_step *s);
/* memory.c: gives an offset to every value that a step makes or an input holds; sets arena_bytes.
 */
GD_CHECKED gd_status gd_plan_place(gd_plan *plan);
/* Bytes of a value in this plan's layouts */
size_t gd_plan_value_bytes(const gd_plan *plan, gd_val v);

#endif
