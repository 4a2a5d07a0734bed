/* SPDX-License-Identifier: MIT */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

double fixture_shift;

static uint64_t hash_name(const char *s, uint64_t h)
{
    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 0x100000001b3u;
    return h;
}

/* uniform in [-1, 1) */
static double uniform(uint64_t h, uint64_t i)
{
    uint64_t z = h + (i + 1) * 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (double)(z >> 11) / (double)(1ull << 52) - 1.0;
}

static void fill_direction(const char *name, float *out, int64_t n)
{
    uint64_t h = hash_name(name, 77);

    for (int64_t i = 0; i < n; i++)
        out[i] = (float)uniform(h, (uint64_t)i);
}

static void fill(const char *name, float *out, int64_t n)
{
    uint64_t h = hash_name(name, 1234), d = hash_name(name, 77);

    for (int64_t i = 0; i < n; i++) {
        double u = uniform(h, (uint64_t)i);
        double v = (u < 0 ? -0.1 : 0.1) + 0.9 * u;
        out[i] = (float)(v + fixture_shift * (float)uniform(d, (uint64_t)i));
    }
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    (void)ctx;
    fill(name, dst, type_count(type));
    return GD_OK;
}

void fixture_init(fixture *f)
{
    *f = (fixture){ 0 };
    assert_int_equal(gd_graph_make(&f->graph), GD_OK);
}

void fixture_find_leaves(fixture *f)
{
    const gd_graph *g = f->graph;

    f->n_leaf = 0;
    for (int i = 1; i < g->n_value; i++)
        if (g->value[i].role != GD_ROLE_NODE && g->value[i].type.dtype == GD_F32 &&
            f->n_leaf < MAX_LEAVES)
            f->leaf[f->n_leaf++] = (gd_val){ i };
}

void fixture_plan(fixture *f, const gd_val *outputs, int n)
{
    const gd_weights weights = { fetch, NULL };

    if (gd_plan_make(&f->plan, f->graph, outputs, n, gd_threads()) != GD_OK ||
        gd_exec_make(&f->exec, f->plan, &weights) != GD_OK)
        fail_msg("%s", gd_error());
}

void fixture_put_inputs(fixture *f)
{
    const gd_graph *g = f->graph;

    for (int i = 1; i < g->n_value; i++) {
        const gd_value *v = &g->value[i];
        if (v->role != GD_ROLE_INPUT)
            continue;
        int64_t n = type_count(&v->type);
        float *data = malloc((size_t)n * sizeof *data);
        fill(v->name, data, n);
        if (v->type.dtype == GD_I32)
            for (int64_t k = 0; k < n; k++)
                ((int32_t *)data)[k] = (int32_t)((3 * k + 1) % 7);
        if (v->type.dtype == GD_U8) /* 256 neighbours are all different */
            for (int64_t k = 0; k < n; k++)
                ((uint8_t *)data)[k] = (uint8_t)(101 * k + 7);
        gd_exec_put(f->exec, (gd_val){ i }, data);
        free(data);
    }
}

void fixture_run(fixture *f)
{
    fixture_put_inputs(f);
    gd_exec_run(f->exec);
}

void fixture_free(fixture *f)
{
    gd_exec_free(f->exec);
    gd_plan_free(f->plan);
    gd_graph_free(f->graph);
}

int64_t fixture_count(const fixture *f, gd_val v)
{
    return type_count(gd_type_of(f->graph, v));
}

float *fixture_get(const fixture *f, gd_val v)
{
    float *out = malloc((size_t)fixture_count(f, v) * sizeof *out);

    gd_exec_get(f->exec, v, out);
    return out;
}

void fixture_value(const fixture *f, gd_val leaf, float *out)
{
    fill(f->graph->value[leaf.id].name, out, fixture_count(f, leaf));
}

void fixture_direction(const fixture *f, gd_val leaf, float *out)
{
    fill_direction(f->graph->value[leaf.id].name, out, fixture_count(f, leaf));
}
