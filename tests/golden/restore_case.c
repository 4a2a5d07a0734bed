/* SPDX-License-Identifier: MIT */
/* restore_case.c - operators from JSON; double results against out64 or out. */
#include "restore_case.h"

#include <math.h>
#include <string.h>

gd_shape restore_shape(json_t *list)
{
    const int n = (int)json_array_size(list);
    int d[3] = { 1, 1, 1 };

    for (int i = 0; i < n && i < 3; i++)
        d[n < 3 && i > 0 ? i + 1 : i] = (int)json_integer_value(json_array_get(list, (size_t)i));
    return (gd_shape){ d[0], d[1], d[2] };
}

double restore_number(json_t *object, const char *key, double absent)
{
    json_t *v = json_object_get(object, key);
    return json_is_number(v) ? json_number_value(v) : absent;
}

double *restore_tensor(golden *g, json_t *text, int64_t *count)
{
    const char *name = json_string_value(text);
    const gd_array *a = name ? golden_find(g, "%s", name) : NULL;

    if (a && count)
        *count = gd_array_count(a);
    return a ? golden_f64(g, name) : NULL;
}

static const char *word(json_t *spec, const char *key, const char *absent)
{
    const char *text = json_string_value(json_object_get(spec, key));
    return text ? text : absent;
}

/* ---- one operator each ---- */

static gd_status inpaint(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    uint8_t *mask = golden_u8(g, NULL, "%s", word(spec, "mask", ""));

    return mask ? gd_op_inpaint(out, image, mask) : gd_fail(GD_EFORMAT, "no mask");
}

static gd_status box_down(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    (void)g;
    return gd_op_box_down(out, image, golden_int(spec, "factor", 1));
}

static gd_status cubic_down(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    const char *edge = word(spec, "edge", "mirror");
    const bool antialias = golden_bool(spec, "antialias", strcmp(edge, "clamp") != 0);
    const gd_cubic c = { .factor = golden_int(spec, "factor", 1),
                         .edge = strcmp(edge, "renorm") == 0  ? GD_EDGE_RENORM
                                 : strcmp(edge, "clamp") == 0 ? GD_EDGE_CLAMP
                                                              : GD_EDGE_MIRROR,
                         .a = restore_number(spec, "a", antialias ? -0.5 : -0.75),
                         .antialias = antialias,
                         .sv_cut = restore_number(spec, "sv_cut", 0) };
    (void)g;
    return gd_op_cubic_down(out, image, &c);
}

static gd_status blur(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    const char *pad = word(spec, "pad", "reflect");
    const gd_array *a = golden_find(g, "%s", word(spec, "kernel", ""));

    if (!a || a->rank != 2)
        return gd_fail(GD_EFORMAT, "no kernel");
    const gd_blur b = { .kernel = golden_f64(g, a->name),
                        .h = (int)a->dim[0],
                        .w = (int)a->dim[1],
                        .pad = strcmp(pad, "zero") == 0       ? GD_PAD_ZERO
                               : strcmp(pad, "circular") == 0 ? GD_PAD_CIRCULAR
                                                              : GD_PAD_REFLECT,
                        .convolve = strcmp(word(spec, "mode", "correlate"), "convolve") == 0,
                        .factor = golden_int(spec, "factor", 1),
                        .sv_cut = restore_number(spec, "sv_cut", 0) };
    return gd_op_blur(out, image, &b);
}

static gd_status gray(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    json_t *list = json_object_get(spec, "weights");
    double weights[8] = { 0 };

    (void)g;
    for (size_t i = 0; i < 8; i++)
        weights[i] = json_number_value(json_array_get(list, i));
    if ((int)json_array_size(list) != image.c)
        return gd_fail(GD_EFORMAT, "%zu weights", json_array_size(list));
    return gd_op_gray(out, image, weights);
}

static gd_status hadamard(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    const int64_t *perm = golden_i64(g, NULL, "%s", word(spec, "perm", ""));

    return perm ? gd_op_hadamard(out, image, perm, golden_int(spec, "keep", 0))
                : gd_fail(GD_EFORMAT, "no permutation");
}

static gd_status denoise(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    (void)g, (void)spec;
    return gd_op_denoise(out, image);
}

static gd_status phase(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    (void)g;
    return gd_op_phase(out, image, restore_number(spec, "oversample", 2),
                       strcmp(word(spec, "range", "11"), "01") == 0);
}

static gd_status clip(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    (void)g;
    return gd_op_clip(out, image, restore_number(spec, "scale", 2));
}

static gd_status jpeg(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    return gd_op_jpeg(out, image, golden_int(spec, "quality", 0),
                      restore_tensor(g, json_object_get(spec, "q1"), NULL),
                      restore_tensor(g, json_object_get(spec, "q2"), NULL));
}

static gd_status make(golden *g, json_t *spec, gd_shape image, gd_operator **out);

static gd_status compose(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    enum { MOST = 8 };
    json_t *list = json_object_get(spec, "list");
    const int n = (int)json_array_size(list);
    gd_operator *part[MOST] = { NULL };
    gd_status s = n > 0 && n <= MOST ? GD_OK : gd_fail(GD_EFORMAT, "%d operators", n);

    for (int i = 0; s == GD_OK && i < n; i++) {
        s = make(g, json_array_get(list, (size_t)i), image, &part[i]);
        if (s == GD_OK)
            image = gd_operator_measurement(part[i]);
    }
    if (s == GD_OK)
        return gd_op_compose(out, part, n, strcmp(word(spec, "pinv", "exact"), "exact") == 0);
    for (int i = 0; i < n && i < MOST; i++)
        gd_operator_free(part[i]);
    return s;
}

static gd_status make(golden *g, json_t *spec, gd_shape image, gd_operator **out)
{
    static const struct {
        const char *op;
        gd_status (*make)(golden *, json_t *, gd_shape, gd_operator **);
    } table[] = {
        { "inpaint", inpaint }, { "box_down", box_down }, { "cubic_down", cubic_down },
        { "blur", blur },       { "gray", gray },         { "hadamard", hadamard },
        { "denoise", denoise }, { "phase", phase },       { "clip", clip },
        { "jpeg", jpeg },       { "compose", compose },
    };
    const char *name = word(spec, "op", "(none)");

    *out = NULL;
    for (int i = 0; i < COUNT(table); i++)
        if (strcmp(table[i].op, name) == 0)
            return table[i].make(g, spec, image, out);
    return gd_fail(GD_EFORMAT, "operator %s is not known", name);
}

gd_operator *restore_operator(golden *g, json_t *spec, gd_shape image)
{
    gd_operator *op;

    if (make(g, spec, image, &op) == GD_OK)
        return op;
    golden_fail(g, "%s", gd_error());
    gd_operator_free(op);
    return NULL;
}

/* ---- comparing ---- */

static double largest_of(const double *x, int64_t n)
{
    double largest = 0;

    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, fabs(x[i]));
    return largest;
}

void restore_compare(golden *g, const char *name, const double *found, int64_t count)
{
    char wide[100], single[100];
    double worst = 0;

    snprintf(wide, sizeof wide, "out64.%s", name);
    snprintf(single, sizeof single, "out.%s", name);
    const gd_array *truth = golden_find(g, "%s", wide), *stored = golden_find(g, "%s", single);
    const gd_array *use = truth ? truth : stored;
    if (!use || gd_array_count(use) != count) {
        golden_fail(g, "%s: the case has %lld elements, computed were %lld", name,
                    use ? (long long)gd_array_count(use) : 0LL, (long long)count);
        return;
    }
    if (truth)
        golden_saw(g, wide);
    if (stored)
        golden_saw(g, single);
    const double *want = golden_f64(g, use->name), largest = largest_of(want, count);
    json_t *listed = json_object_get(g->tolerance, single);
    const double allowed = listed ? restore_number(listed, "atol", 0)
                           : stored && stored->dtype == GD_F32
                               ? 3e-6 * largest
                               : 1e-12 * largest; /* README: tensors without an entry */
    for (int64_t i = 0; i < count; i++) {
        const double d = fabs(found[i] - want[i]);
        worst = fmax(worst, isfinite(d) ? d : INFINITY);
    }
    golden_record(g, name, worst == 0 ? 0 : worst / allowed, worst / fmax(largest, 1e-300));
}
