/* SPDX-License-Identifier: MIT */
/* fixture.h - build, plan and run a small graph with reproducible random inputs and parameters. */
#ifndef TESTS_GRAPH_FIXTURE_H
#define TESTS_GRAPH_FIXTURE_H

#include "graph/ops.h"

enum { MAX_LEAVES = 64 };

typedef struct fixture {
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_val leaf[MAX_LEAVES]; /* float inputs and parameters, in order of appearance */
    int n_leaf;
} fixture;

/* How far leaves are moved along their random directions: for directional derivatives */
extern double fixture_shift;

void fixture_init(fixture *f);
void fixture_find_leaves(fixture *f);
/* Plan and bind with these outputs; asserts success. */
void fixture_plan(fixture *f, const gd_val *outputs, int n);
void fixture_put_inputs(fixture *f);
void fixture_run(fixture *f); /* put inputs, run */
void fixture_free(fixture *f);

int64_t fixture_count(const fixture *f, gd_val v);
/* Malloc'ed row-major content of an output */
float *fixture_get(const fixture *f, gd_val v);
/* The leaf's random value, at least 0.1 away from zero, and the direction it is moved along */
void fixture_value(const fixture *f, gd_val leaf, float *out);
void fixture_direction(const fixture *f, gd_val leaf, float *out);

#endif
