/* SPDX-License-Identifier: MIT */
/* follower.c - the network of an average of the parameters, without gradients: the target of
 * consistency losses. */
#include "train/train.h"

#include <string.h>

struct gd_follower {
    gd_arena *mem;
    const gd_learner *l;
    const float *values; /* [total]: the average */
    gd_graph *graph;
    gd_plan *plan;
    gd_exec *exec;
    gd_net net;
    gd_val *param; /* [n_param] */
    gd_denoiser denoiser;
    int most;       /* images of a pass */
    int64_t image;  /* elements */
    float *x, *out; /* one block: [most] */
    float *t;
    int32_t *y;            /* [most] */
    uint32_t *keys;        /* [most][2] */
    const uint32_t *given; /* [n][2] of the next pass, or NULL */
};

static int index_of(const gd_learner *l, const char *name)
{
    for (int i = 0; i < l->n_param; i++)
        if (strcmp(l->spec[i].name, name) == 0)
            return i;
    return -1;
}

static gd_status fetch(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_follower *f = ctx;
    const int i = index_of(f->l, name);

    (void)type;
    if (i < 0)
        return gd_fail(GD_EFAILED, "the network has an unknown parameter %s", name);
    memcpy(dst, f->values + f->l->offset[i], (size_t)gd_param_count(&f->l->spec[i]) * sizeof *dst);
    return GD_OK;
}

/* The plan always runs `most` images: what is missing is zero. */
static gd_status predict(void *ctx, int n, const float *x, const float *t, const int64_t *y,
                         float *out)
{
    gd_follower *f = ctx;

    memcpy(f->x, x, (size_t)(n * f->image) * sizeof *x);
    memset(f->x + n * f->image, 0, (size_t)((f->most - n) * f->image) * sizeof *x);
    for (int i = 0; i < f->most; i++) {
        f->t[i] = i < n ? t[i] : 0;
        f->y[i] = i < n && y ? (int32_t)y[i] : 0;
        for (int k = 0; k < 2; k++)
            f->keys[2 * i + k] = i < n && f->given ? f->given[2 * i + k] : 0;
    }
    gd_exec_put(f->exec, f->net.x, f->x);
    gd_exec_put(f->exec, f->net.t, f->t);
    if (f->net.y.id)
        gd_exec_put(f->exec, f->net.y, f->y);
    if (f->net.dropout_keys.id)
        gd_exec_put(f->exec, f->net.dropout_keys, f->keys);
    gd_exec_run(f->exec);
    gd_exec_get(f->exec, f->net.out, f->out);
    memcpy(out, f->out, (size_t)(n * f->image) * sizeof *out);
    return GD_OK;
}

static gd_status build(gd_follower *f)
{
    const gd_net_config *c = &f->l->config.net;
    const gd_net_size size = gd_net_natural_size(c, f->most);
    const gd_weights weights = { fetch, f };

    GD_TRY(gd_graph_make(&f->graph));
    gd_net_build(&f->net, f->graph, c, &size, true);
    for (int i = 1; i < f->graph->n_value; i++) {
        const gd_value *v = &f->graph->value[i];
        const int k = v->role == GD_ROLE_PARAM ? index_of(f->l, v->name) : -1;
        if (k >= 0)
            f->param[k] = (gd_val){ i };
    }
    gd_graph_optimise(f->graph, &f->net.out, 1, f->l->options.bf16);
    GD_TRY(gd_plan_make(&f->plan, f->graph, &f->net.out, 1, gd_threads()));
    return gd_exec_make(&f->exec, f->plan, &weights);
}

static gd_status make(gd_follower *f)
{
    const gd_net_config *c = &f->l->config.net;
    const size_t n = (size_t)f->most, image = (size_t)f->image;

    f->param = gd_alloc(f->mem, (size_t)f->l->n_param * sizeof *f->param);
    f->y = gd_alloc(f->mem, n * sizeof *f->y);
    f->t = gd_alloc(f->mem, n * sizeof *f->t);
    f->keys = gd_alloc(f->mem, 2 * n * sizeof *f->keys);
    if (!f->param || !f->y || !f->t || !f->keys)
        return gd_fail(GD_ENOMEM, "network: out of memory");
    GD_TRY(gd_block_make(&f->x, 2 * n * image * sizeof *f->x, "the target's images"));
    f->out = f->x + n * image;
    f->denoiser = (gd_denoiser){ .ctx = f,
                                 .channels = c->in_channels,
                                 .height = c->image_size,
                                 .width = c->image_size,
                                 .out_channels = c->out_channels,
                                 .predict = predict };
    return build(f);
}

gd_status gd_follower_make(gd_follower **out, const gd_learner *l, const float *values)
{
    const gd_net_config *c = &l->config.net;
    gd_arena *mem;
    gd_follower *f;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    f = gd_alloc(mem, sizeof *f);
    if (!f) {
        gd_arena_free(mem);
        return gd_fail(GD_ENOMEM, "network: out of memory");
    }
    *f = (gd_follower){ .mem = mem, .l = l, .values = values, .most = l->options.microbatch };
    f->image = (int64_t)c->in_channels * c->image_size * c->image_size;
    s = make(f);
    if (s != GD_OK) {
        gd_follower_free(f);
        return s;
    }
    *out = f;
    return GD_OK;
}

void gd_follower_free(gd_follower *f)
{
    if (!f)
        return;
    gd_exec_free(f->exec);
    gd_plan_free(f->plan);
    gd_graph_free(f->graph);
    gd_block_free(f->x);
    gd_arena_free(f->mem);
}

gd_status gd_follower_refresh(gd_follower *f)
{
    for (int i = 0; i < f->l->n_param; i++)
        if (f->param[i].id)
            GD_TRY(gd_exec_set_param(f->exec, f->param[i], f->values + f->l->offset[i]));
    return GD_OK;
}

const gd_denoiser *gd_follower_denoiser(gd_follower *f)
{
    return &f->denoiser;
}

void gd_follower_set_keys(gd_follower *f, const uint32_t *keys)
{
    f->given = keys;
}
