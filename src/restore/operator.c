/* SPDX-License-Identifier: MIT */
/* operator.c - the table of measurement operators and what is the same for all of them. */
#include "restore/restore_private.h"

#include <string.h>

static const gd_operator_kind *const kinds[] = {
    &gd_kind_denoise, &gd_kind_inpaint,  &gd_kind_box_down, &gd_kind_cubic_down, &gd_kind_blur,
    &gd_kind_gray,    &gd_kind_hadamard, &gd_kind_phase,    &gd_kind_clip,       &gd_kind_jpeg,
};

enum { MAX_PARTS = 8, MAX_TEXT = 4096 };

/* ---- making ---- */

gd_status gd_operator_make(gd_operator **out, const gd_operator_kind *kind, gd_shape image,
                           gd_shape measurement, size_t state_bytes)
{
    gd_arena *mem;
    gd_operator *op;

    *out = NULL;
    GD_TRY(gd_arena_make(&mem));
    op = gd_alloc(mem, sizeof *op);
    if (!op || !(op->state = gd_alloc(mem, state_bytes + 1))) {
        gd_arena_free(mem);
        return GD_ENOMEM;
    }
    op->kind = kind;
    op->image = image;
    op->measurement = measurement;
    op->norm = 1;
    op->linear = kind->linear;
    op->has_pinv = kind->pinv != NULL;
    op->has_spectrum = kind->spectral != NULL;
    op->mem = mem;
    *out = op;
    return GD_OK;
}

gd_status gd_operator_alloc(void *out, gd_operator *op, size_t bytes)
{
    void *p = gd_alloc(op->mem, bytes + 1);

    memcpy(out, &p, sizeof p);
    return p ? GD_OK : GD_ENOMEM;
}

void gd_operator_free(gd_operator *op)
{
    if (!op)
        return;
    if (op->kind->release)
        op->kind->release(op);
    gd_arena_free(op->mem);
}

/* ---- calling ---- */

const char *gd_operator_name(const gd_operator *op)
{
    return op->kind->name;
}

gd_shape gd_operator_image(const gd_operator *op)
{
    return op->image;
}

gd_shape gd_operator_measurement(const gd_operator *op)
{
    return op->measurement;
}

bool gd_operator_linear(const gd_operator *op)
{
    return op->linear;
}

bool gd_operator_has_pinv(const gd_operator *op)
{
    return op->has_pinv;
}

bool gd_operator_has_spectrum(const gd_operator *op)
{
    return op->has_spectrum;
}

double gd_operator_norm(const gd_operator *op)
{
    return op->norm;
}

void gd_operator_apply(const gd_operator *op, const double *x, double *y)
{
    op->kind->apply(op, x, y);
}

void gd_operator_adjoint(const gd_operator *op, const double *x, const double *w, double *g)
{
    op->kind->adjoint(op, x, w, g);
}

void gd_operator_pinv(const gd_operator *op, const double *y, double *x)
{
    op->kind->pinv(op, y, x);
}

void gd_operator_spectral(const gd_operator *op, gd_gain f, void *ctx, const double *x, double *out)
{
    op->kind->spectral(op, f, ctx, x, out);
}

const char *gd_operator_list(int i, const char **usage, const char **about)
{
    if (i < 0 || i >= COUNT(kinds))
        return NULL;
    *usage = kinds[i]->usage;
    *about = kinds[i]->about;
    return kinds[i]->name;
}

/* ---- text ---- */

static gd_status find(const gd_operator_kind **out, const char *name)
{
    const char *names[COUNT(kinds)], *nearest;

    for (int i = 0; i < COUNT(kinds); i++) {
        names[i] = kinds[i]->name;
        if (strcmp(names[i], name) == 0) {
            *out = kinds[i];
            return GD_OK;
        }
    }
    nearest = gd_nearest(name, names, COUNT(names));
    gd_status s = gd_fail(GD_EUSAGE, "there is no operator \"%s\"", name);
    if (nearest)
        gd_detail("hint: did you mean %s?", nearest);
    return s;
}

/* The parts of a list; `copy` is changed and lives as long as they do */
static gd_status split(char *part[MAX_PARTS], int *n, char *copy)
{
    *n = 0;
    for (char *at = copy;; *n += 1) {
        char *comma = strchr(at, ',');
        if (*n == MAX_PARTS)
            return gd_fail(GD_EUSAGE, "operator: at most %d in a list", MAX_PARTS);
        part[*n] = at;
        if (!comma)
            break;
        *comma = 0;
        at = comma + 1;
    }
    *n += 1;
    return GD_OK;
}

static gd_status read_text(char copy[MAX_TEXT], const char *text)
{
    if (strlen(text) >= MAX_TEXT)
        return gd_fail(GD_EUSAGE, "operator: the text is longer than %d bytes", MAX_TEXT - 1);
    strcpy(copy, text);
    return GD_OK;
}

gd_status gd_operator_factor(int *out, const char *text)
{
    char copy[MAX_TEXT], *part[MAX_PARTS];
    const gd_operator_kind *kind;
    gd_words words;
    int n, factor;

    *out = 1;
    GD_TRY(read_text(copy, text));
    GD_TRY(split(part, &n, copy));
    for (int i = 0; i < n; i++) {
        GD_TRY(gd_words_read(&words, part[i]));
        GD_TRY(find(&kind, words.name));
        factor = 1;
        if (kind->factor)
            GD_TRY(kind->factor(&factor, &words));
        *out *= factor;
    }
    return GD_OK;
}

static gd_status parse_part(gd_operator **out, char *text, gd_shape image, uint64_t seed)
{
    const gd_operator_kind *kind;
    gd_words words;
    gd_status s;

    GD_TRY(gd_words_read(&words, text));
    GD_TRY(find(&kind, words.name));
    s = kind->parse(out, &words, image, seed);
    if (s == GD_OK)
        s = gd_words_done(&words);
    if (s != GD_OK) {
        gd_operator_free(*out);
        *out = NULL;
        gd_context("operator %s", kind->name);
    }
    return s;
}

gd_status gd_operator_parse(gd_operator **out, const char *text, gd_shape image, uint64_t seed)
{
    char copy[MAX_TEXT], *part[MAX_PARTS];
    gd_operator *made[MAX_PARTS] = { NULL };
    gd_status s;
    int n;

    *out = NULL;
    GD_TRY(read_text(copy, text));
    GD_TRY(split(part, &n, copy));
    for (int i = 0; i < n; i++) {
        s = parse_part(&made[i], part[i], i ? made[i - 1]->measurement : image, seed);
        if (s != GD_OK) {
            while (i-- > 0)
                gd_operator_free(made[i]);
            return s;
        }
    }
    if (n > 1)
        return gd_op_compose(out, made, n, true);
    *out = made[0];
    return GD_OK;
}
