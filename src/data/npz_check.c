/* SPDX-License-Identifier: MIT */
/* npz_check.c - which array of an .npz is a set of images, and if none is, what makes it one? */
#include "data/data.h"

#include <math.h>
#include <string.h>

/* ---- values ---- */

typedef struct range {
    float least, most;
    bool whole; /* all numbers are */
} range;

/* Of the first elements */
static gd_status look(range *r, gd_bundle *b, const gd_array *a)
{
    enum { LOOKED = 4096 };
    float part[LOOKED];
    const int64_t n = GD_MIN(gd_array_count(a), (int64_t)LOOKED);
    gd_elements *elements;
    gd_status s;

    *r = (range){ 0, 0, true };
    GD_TRY(gd_elements_open(&elements, b, a));
    s = gd_elements_read_f32(elements, part, n);
    gd_elements_close(elements);
    for (int64_t i = 0; s == GD_OK && i < n; i++) {
        r->least = fminf(r->least, part[i]);
        r->most = fmaxf(r->most, part[i]);
        r->whole = r->whole && part[i] == floorf(part[i]);
    }
    return s;
}

static gd_status check_values(gd_bundle *b, const gd_array *a)
{
    const char *hint = "bytes from 0 to 255 are compared";
    range r;

    if (a->dtype == GD_U8)
        return GD_OK;
    GD_TRY(look(&r, b, a));
    if (r.whole && r.least >= 0 && r.most <= 255)
        return GD_OK; /* what follows is checked while it is read */
    if (r.least >= -1 && r.least < 0 && r.most <= 1)
        hint = "they look like floats in [-1,1]: save "
               "((x + 1) * 127.5).round().clip(0, 255).astype(\"uint8\")";
    else if (r.least >= 0 && r.most <= 1)
        hint =
            "they look like floats in [0,1]: save (x * 255).round().clip(0, 255).astype(\"uint8\")";
    else if (r.least >= 0 && r.most <= 255)
        hint = "save x.round().astype(\"uint8\")";
    return gd_fail(GD_EFORMAT, "%s: %s is %s, expected U8 or whole numbers from 0 to 255\nhint: %s",
                   gd_bundle_path(b), a->name, gd_dtype_name(a->dtype), hint);
}

/* ---- shapes ---- */

static const char *shape_text(char out[128], const gd_array *a)
{
    size_t used = 0;

    for (int i = 0; i < a->rank; i++)
        used +=
            (size_t)snprintf(out + used, 128 - used, "%s%lld", i ? "," : "", (long long)a->dim[i]);
    out[used] = '\0';
    return out;
}

/* What numpy expression makes it [N,H,W,3] or [N,H,W,1]; NULL: none is known */
static const char *remedy(const gd_array *a)
{
    const int64_t *d = a->dim;

    if (a->rank == 4 && d[1] <= 4 && d[2] > 4 && d[3] > 4)
        return "channels come first: save x.transpose(0, 2, 3, 1)";
    if (a->rank == 4 && d[3] == 4)
        return "RGBA: save x[..., :3]";
    if (a->rank == 4 && d[3] == 2)
        return "grey with alpha: save x[..., :1]";
    if (a->rank == 3 && (d[2] == 1 || d[2] == 3))
        return "one image: save x[None]";
    if (a->rank == 3)
        return "grey images without a channel: save x[..., None]";
    return NULL;
}

static gd_status check_shape(const gd_bundle *b, const gd_array *a)
{
    const int64_t *d = a->dim;
    const char *hint = remedy(a);
    char shape[128];

    if (a->rank != 4 || (d[3] != 1 && d[3] != 3))
        return gd_fail(GD_EFORMAT, "%s: %s is [%s], expected [N,H,W,3] or [N,H,W,1]%s%s",
                       gd_bundle_path(b), a->name, shape_text(shape, a), hint ? "\nhint: " : "",
                       hint ? hint : "");
    if (d[1] < 1 || d[2] < 1 || d[1] > GD_MAX_IMAGE_SIDE || d[2] > GD_MAX_IMAGE_SIDE)
        return gd_fail(GD_EFORMAT, "%s: %s: images of %lld x %lld", gd_bundle_path(b), a->name,
                       (long long)d[2], (long long)d[1]);
    return GD_OK;
}

/* ---- names ---- */

static const char *const label_names[] = { "arr_1", "labels", "label", "y", "classes", "class" };

static bool is_any(const char *name, const char *const *list, int n)
{
    for (int i = 0; i < n; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

const char *gd_npz_label_name(const gd_bundle *b)
{
    for (int i = 0; i < COUNT(label_names); i++)
        if (gd_bundle_find(b, label_names[i]) || gd_bundle_refuses(b, label_names[i]))
            return label_names[i];
    return label_names[0];
}

static bool may_be_images(const gd_array *a)
{
    return a->rank == 4 && (a->dim[3] == 1 || a->dim[3] == 3);
}

/* Images without arr_0: the one array of their shape */
static gd_status find_images(const gd_array **out, const gd_bundle *b)
{
    const gd_array *found = NULL;

    for (int i = 0; i < gd_bundle_count(b); i++) {
        const gd_array *a = gd_bundle_array(b, i);
        if (!may_be_images(a))
            continue;
        if (found)
            return gd_fail(GD_EFORMAT,
                           "%s: has no arr_0, and %s and %s may both be the images\n"
                           "hint: save the images alone, numpy.savez(\"x.npz\", arr_0=x)",
                           gd_bundle_path(b), found->name, a->name);
        found = a;
    }
    *out = found;
    return GD_OK;
}

bool gd_npz_has_images(const gd_bundle *b)
{
    for (int i = 0; i < gd_bundle_count(b); i++)
        if (strcmp(gd_bundle_array(b, i)->name, "arr_0") == 0 ||
            may_be_images(gd_bundle_array(b, i)))
            return true;
    return gd_bundle_refuses(b, "arr_0");
}

gd_status gd_npz_images(const gd_array **out, gd_bundle *b)
{
    gd_status s = GD_OK;

    *out = NULL;
    if (!gd_bundle_find(b, "arr_0") && !gd_bundle_refuses(b, "arr_0"))
        GD_TRY(find_images(out, b));
    if (!*out)
        s = gd_bundle_need(out, b, "arr_0");
    if (s != GD_OK && !gd_bundle_refuses(b, "arr_0"))
        gd_detail("hint: images are arr_0, [N,H,W,3] of uint8; labels are arr_1");
    GD_TRY(s);
    GD_TRY(check_shape(b, *out));
    return check_values(b, *out);
}

void gd_npz_report(const gd_bundle *b, const gd_array *images)
{
    static const char *const known[] = { "mu", "sigma", "mu_s", "sigma_s" };
    const char *labels = gd_npz_label_name(b);
    char text[256] = "";
    size_t used = 0;

    if (images && strcmp(images->name, "arr_0") != 0)
        gd_log(GD_LOG_NOTE, "%s: has no arr_0; the images are %s", gd_bundle_path(b), images->name);
    if (strcmp(labels, label_names[0]) != 0)
        gd_log(GD_LOG_NOTE, "%s: has no arr_1; labels are %s", gd_bundle_path(b), labels);
    for (int i = 0; i < gd_bundle_count(b) && used < sizeof text; i++) {
        const char *name = gd_bundle_array(b, i)->name;
        if (gd_bundle_array(b, i) != images && strcmp(name, labels) != 0 &&
            !is_any(name, known, COUNT(known)))
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%.60s", used ? ", " : "",
                                     name);
    }
    if (used > 0)
        gd_log(GD_LOG_NOTE, "%s: not used: %s", gd_bundle_path(b), text);
}
