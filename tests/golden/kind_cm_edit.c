/* SPDX-License-Identifier: MIT */
/* kind_cm_edit.c - inpainting, colourisation and super-resolution by a consistency model, by the
 * solver that `guided restore --solver consistency` runs. */
#include "restore_case.h"

#include <math.h>
#include <string.h>

typedef struct edit {
    golden *g;
    gd_prior prior;        /* of the network, with the case's noise */
    const gd_prior *inner; /* the network's own */
    gd_shape shape;
    int64_t count;     /* elements of an image */
    int images, every; /* every `every`-th of them is stored */
    int image;         /* whose noise is drawn */
    gd_restore_options options;
    const float *picture, *start, *noise, *mask; /* [n][count], noise [steps][n][count] */
} edit;

static gd_status predict(void *ctx, const gd_level *at, const double *x, double *eps, double *v)
{
    const edit *e = ctx;

    return e->inner->predict(e->inner->ctx, at, x, eps, v);
}

/* The start is stored at its noise level, the others as unit noise */
static void draw(void *ctx, int k, int64_t n, double *z)
{
    const edit *e = ctx;
    const float *from = k == 0 ? e->start + e->image * e->count
                               : e->noise + ((k - 1) * e->images + e->image) * e->count;

    for (int64_t i = 0; i < n; i++)
        z[i] = k == 0 ? from[i] / e->options.sigma_max : from[i];
}

/* ---- what is known of an image ---- */

static gd_status inpainting(gd_operator **op, const edit *e)
{
    const int64_t plane = e->count / e->shape.c;
    const float *m = e->mask + e->image * e->count;
    uint8_t *known = golden_alloc(e->g, (size_t)plane);

    for (int64_t i = 0; i < e->count; i++)
        if (m[i] != m[i % plane])
            return gd_fail(GD_EUSAGE, "the mask differs between channels");
    for (int64_t i = 0; i < plane; i++)
        known[i] = m[i] == 1;
    return gd_op_inpaint(op, e->shape, known);
}

static gd_status colorization(gd_operator **op, const edit *e)
{
    static const double luma[] = { 0.2989, 0.5870, 0.1140 };

    return gd_op_gray(op, e->shape, luma);
}

static gd_status superres(gd_operator **op, const edit *e)
{
    return gd_op_box_down(op, e->shape, golden_int(e->g->config, "patch_size", 8));
}

static const struct {
    const char *name;
    gd_status (*make)(gd_operator **op, const edit *e);
} forms[] = {
    { "inpainting", inpainting },
    { "colorization", colorization },
    { "superres", superres },
};

/* The degraded image: A^+ A of it; unknown pixels of inpainting are black */
static void degrade(const edit *e, const gd_operator *op, const double *y, float *out)
{
    const uint8_t *mask = gd_operator_mask(op);
    const int64_t plane = e->count / e->shape.c;
    double *x = golden_alloc(e->g, (size_t)e->count * sizeof *x);

    gd_operator_pinv(op, y, x);
    for (int64_t i = 0; i < e->count; i++)
        out[i] = mask && !mask[i % plane] ? -1 : (float)x[i];
}

/* ---- runs ---- */

static gd_status restore(edit *e, const gd_operator *op, float *reference, float *final)
{
    const float *picture = e->picture + e->image * e->count;
    double *x = golden_alloc(e->g, (size_t)e->count * sizeof *x),
           *y = golden_alloc(e->g, (size_t)gd_shape_count(gd_operator_measurement(op)) * sizeof *y);
    const gd_restorer *solver;

    for (int64_t i = 0; i < e->count; i++)
        x[i] = picture[i];
    gd_operator_apply(op, x, y);
    degrade(e, op, y, reference);
    GD_TRY(gd_restorer_find(&solver, "consistency"));
    GD_TRY(gd_restorer_run(solver, &e->prior, op, y, &e->options, x, NULL));
    for (int64_t i = 0; i < e->count; i++)
        final[i] = (float)x[i];
    return GD_OK;
}

static void run_form(edit *e, int k)
{
    golden *g = e->g;
    const gd_array *stored = golden_find(g, "out.final.%s", forms[k].name);
    const int n = stored ? (int)stored->dim[0] : 0;
    float *reference = golden_alloc(g, (size_t)(n * e->count) * sizeof *reference),
          *final = golden_alloc(g, (size_t)(n * e->count) * sizeof *final);

    e->every = n > 0 ? (e->images + n - 1) / n : 1;
    for (int i = 0; i < n && !g->failed; i++) {
        gd_operator *op = NULL;
        e->image = i * e->every;
        if (forms[k].make(&op, e) != GD_OK ||
            restore(e, op, reference + i * e->count, final + i * e->count) != GD_OK)
            golden_fail(g, "%s: %s", forms[k].name, gd_error());
        gd_operator_free(op);
    }
    if (n == 0)
        return;
    golden_compare(g, gd_sprintf(g->mem, "out.reference.%s", forms[k].name), reference,
                   n * e->count);
    golden_compare(g, gd_sprintf(g->mem, "out.final.%s", forms[k].name), final, n * e->count);
}

static bool read_case(edit *e, golden *g)
{
    const gd_array *x = golden_find(g, "in.images");
    json_t *ts = json_object_get(g->config, "ts");
    int *at = golden_alloc(g, (json_array_size(ts) + 1) * sizeof *at);

    if (!x || x->rank != 4 || json_array_size(ts) < 2) {
        golden_fail(g, "no in.images, or no ts");
        return false;
    }
    for (size_t i = 0; i < json_array_size(ts); i++)
        at[i] = (int)json_integer_value(json_array_get(ts, i));
    e->images = (int)x->dim[0];
    e->shape = (gd_shape){ (int)x->dim[1], (int)x->dim[2], (int)x->dim[3] };
    e->count = gd_shape_count(e->shape);
    e->picture = golden_f32(g, NULL, "in.images");
    e->start = golden_f32(g, NULL, "in.x");
    e->noise = golden_f32(g, NULL, "in.noise");
    e->mask = golden_f32(g, NULL, "in.mask");
    e->options = (gd_restore_options){ .ts = at,
                                       .n_ts = (int)json_array_size(ts),
                                       .points = golden_int(g->config, "steps", 0),
                                       .clip = golden_bool(g->config, "clip_denoised", true),
                                       .sigma_min = restore_number(g->config, "sigma_min", 0.002),
                                       .sigma_max = restore_number(g->config, "sigma_max", 80),
                                       .rho = restore_number(g->config, "rho", 7) };
    return !g->failed;
}

static void run(edit *e, gd_model_config *c)
{
    golden_weights source = { e->g, "model", NULL };
    const gd_weights weights = golden_source(&source);
    const gd_network_options o = { .h = e->shape.h, .w = e->shape.w, .label = -1 };
    gd_network_prior *network = NULL;
    gd_model *model = NULL;

    if (gd_model_wrap(&model, c, &weights) != GD_OK ||
        gd_network_prior_make(&network, model, NULL, NULL, &o) != GD_OK) {
        golden_fail(e->g, "%s", gd_error());
    } else {
        e->inner = gd_network_prior_get(network);
        e->prior = (gd_prior){ .ctx = e, .shape = e->shape, .predict = predict, .noise = draw };
        for (int k = 0; k < COUNT(forms); k++)
            run_form(e, k);
    }
    gd_network_prior_free(network);
    gd_model_close(model);
}

void golden_cm_edit(golden *g)
{
    edit e = { .g = g };
    gd_model_config c;

    if (!golden_cm_config(g, &c) || !read_case(&e, g))
        return;
    c.diffusion.precond = golden_bool(g->config, "distillation", true) ? GD_PRECOND_CONSISTENCY
                                                                       : GD_PRECOND_CONSISTENCY_EDM;
    run(&e, &c);
}
