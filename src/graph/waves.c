/* SPDX-License-Identifier: MIT */
/* waves.c - small steps side by side.
 *
 * Threads that share a small step waste much of it: each reads what the other has just written, and
 * waits for the other at the end.  Steps that follow one another and do not need each other's
 * results, above all the gradients of a convolution's data and weights, may be a wave: each is run
 * by one thread.  Every step has the same bits for any number of threads, so that only time depends
 * on what is a wave; it is decided by estimates and not by a clock all the same, because the
 * memory's plan rests on it. */
#include "graph/plan.h"

/* What the estimates rest on; only ratios count. */
static const double START = 3e-6;      /* of what several threads do, in seconds */
static const double FETCHED = 15e9;    /* bytes a second of what another thread has written */
static const double READ = 20e9;       /* and of all else, one thread */
static const double MULTIPLIED = 6e10; /* multiply-adds a second of one thread */
static const double BY_WINOGRAD = 1.5e11, BY_TILES = 6e11;
static const double SAFETY = 1.125; /* a wave must be faster by so much */

typedef struct guess {
    double alone, shared; /* seconds by one thread; by all */
} guess;

static double rate_of(const gd_step *s)
{
    const gd_conv_algo algo = s->node->op->conv ? gd_conv_choose(&s->desc) : GD_CONV_DIRECT;

    return algo == GD_CONV_WINOGRAD ? BY_WINOGRAD : algo == GD_CONV_TILES ? BY_TILES : MULTIPLIED;
}

static double activation_bytes(const gd_plan *plan, gd_val v)
{
    return v.id && plan->graph->value[v.id].place == GD_PLACE_ACTIVATION
               ? (double)gd_plan_value_bytes(plan, v)
               : 0;
}

static guess guess_step(const gd_plan *plan, const gd_step *s, int threads)
{
    double bytes = activation_bytes(plan, s->node->out);

    for (int k = 0; k < s->node->n_in; k++)
        bytes += activation_bytes(plan, s->node->in[k]);
    const double alone = gd_step_macs(plan, s) / rate_of(s) + bytes / READ;
    const double shared = alone / threads + START + bytes / FETCHED * (threads - 1) / threads;
    return (guess){ alone, GD_MIN(alone, shared) };
}

static bool reads(const gd_node *n, gd_val v)
{
    for (int k = 0; k < n->n_in; k++)
        if (v.id && n->in[k].id == v.id)
            return true;
    return false;
}

static bool needs(const gd_node *n, const gd_node *earlier)
{
    return reads(n, earlier->out) || reads(n, earlier->aux);
}

/* In training the steps up to the network's output run first (gd_exec_run_before). */
static bool is_boundary(const gd_plan *plan, const gd_step *s)
{
    for (int i = 0; i < plan->n_output; i++)
        if (plan->output[i].id == s->node->out.id)
            return plan->graph->value[s->node->out.id].place == GD_PLACE_ACTIVATION;
    return false;
}

/* How many steps from `first` on do not need each other's results */
static int independent(const gd_plan *plan, int first)
{
    int n = 1;

    for (; n < GD_WAVE_STEPS && first + n < plan->n_step; n++) {
        if (is_boundary(plan, &plan->step[first + n - 1]))
            return n;
        for (int k = 0; k < n; k++)
            if (needs(plan->step[first + n].node, plan->step[first + k].node))
                return n;
    }
    return n;
}

/* Longest first, each to the thread that is free first; returns the seconds until all are done */
static double assign(gd_step *s, const guess *g, int n, int threads)
{
    double busy[GD_WAVE_STEPS] = { 0 }, most = 0;
    bool done[GD_WAVE_STEPS] = { false };

    for (int i = 0; i < n; i++) {
        int longest = -1, part = 0;
        for (int k = 0; k < n; k++)
            if (!done[k] && (longest < 0 || g[k].alone > g[longest].alone))
                longest = k;
        for (int p = 1; p < threads; p++)
            if (busy[p] < busy[part])
                part = p;
        done[longest] = true;
        busy[part] += g[longest].alone;
        most = GD_MAX(most, busy[part]);
        s[longest].part = part;
    }
    return most;
}

/* Returns how many steps the wave has that begins at `first`. */
static int make_wave(gd_plan *plan, int first, int threads)
{
    gd_step *s = &plan->step[first];
    const int n = independent(plan, first);
    guess g[GD_WAVE_STEPS];
    double shared = 0;

    for (int i = 0; i < n; i++) {
        g[i] = guess_step(plan, &s[i], threads);
        shared += g[i].shared;
    }
    if (n > 1 && assign(s, g, n, GD_MIN(threads, n)) * SAFETY + START < shared)
        return n;
    s->part = 0;
    return 1;
}

void gd_plan_waves(gd_plan *plan)
{
    const int threads = plan->threads;

    for (int i = 0, wave = 0, n; i < plan->n_step; i += n, wave++) {
        n = threads > 1 ? make_wave(plan, i, threads) : 1;
        for (int k = 0; k < n; k++) {
            plan->step[i + k].wave = wave;
            plan->step[i + k].parts = GD_MIN(threads, n);
        }
    }
}

/* Parts have working space of their own, one after the other. */
static size_t place_wave(gd_step *s, int n)
{
    size_t offset = 0;

    for (int part = 0; part < s->parts; part++) {
        size_t most = 0;
        for (int i = 0; i < n; i++)
            if (s[i].part == part) {
                s[i].scratch_offset = offset;
                most = GD_MAX(most, gd_round_up(s[i].scratch_bytes));
            }
        offset += most;
    }
    return offset;
}

void gd_plan_place_scratch(gd_plan *plan)
{
    for (int i = 0, n; i < plan->n_step; i += n) {
        n = gd_wave_end(plan, i) - i;
        plan->scratch_bytes = GD_MAX(plan->scratch_bytes, place_wave(&plan->step[i], n));
    }
}
