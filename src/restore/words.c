/* SPDX-License-Identifier: MIT */
/* words.c - an operator's text: NAME:VALUE:KEY=VALUE. */
#include "restore/restore_private.h"

#include <string.h>

gd_status gd_words_read(gd_words *out, char *text)
{
    *out = (gd_words){ .name = text };
    for (char *at = strchr(text, ':'); at; at = strchr(at, ':')) {
        *at++ = 0;
        char *end = strchr(at, ':'), *equals = strchr(at, '=');
        if (!equals || (end && equals > end)) {
            if (out->value || out->n > 0)
                return gd_fail(GD_EUSAGE, "operator %s: \"%.*s\" is not KEY=VALUE", text,
                               (int)(end ? end - at : (long)strlen(at)), at);
            out->value = at;
            continue;
        }
        if (out->n == GD_MAX_WORDS)
            return gd_fail(GD_EUSAGE, "operator %s: at most %d settings", text, GD_MAX_WORDS);
        *equals = 0;
        out->key[out->n] = at;
        out->text[out->n++] = equals + 1;
        at = equals + 1;
    }
    return GD_OK;
}

const char *gd_words_text(gd_words *w, const char *key)
{
    for (int i = 0; i < w->n; i++)
        if (strcmp(w->key[i], key) == 0) {
            w->used[i] = true;
            return w->text[i];
        }
    return NULL;
}

static gd_status read_number(const char *key, const char *text, double least, double most,
                             gd_field_type type, void *out)
{
    return gd_field_read(&(gd_field){ key, type, least, most }, text, out);
}

gd_status gd_words_double(gd_words *w, const char *key, double absent, double least, double most,
                          double *out)
{
    const char *text = gd_words_text(w, key);

    *out = absent;
    return text ? read_number(key, text, least, most, GD_REAL, out) : GD_OK;
}

gd_status gd_words_int(gd_words *w, const char *key, int absent, int least, int most, int *out)
{
    const char *text = gd_words_text(w, key);

    *out = absent;
    return text ? read_number(key, text, least, most, GD_INT, out) : GD_OK;
}

gd_status gd_words_choice(gd_words *w, const char *key, const char *const *list, int n, int *out)
{
    const char *text = gd_words_text(w, key);

    *out = 0;
    return text ? gd_field_choose(key, text, list, n, out) : GD_OK;
}

gd_status gd_words_done(const gd_words *w)
{
    for (int i = 0; i < w->n; i++)
        if (!w->used[i])
            return gd_fail(GD_EUSAGE, "there is no setting \"%s\"", w->key[i]);
    return GD_OK;
}

gd_status gd_words_value_int(const gd_words *w, int least, int most, int *out)
{
    return w->value ? read_number("value", w->value, least, most, GD_INT, out)
                    : gd_fail(GD_EUSAGE, "needs a number, as %s:4", w->name);
}

gd_status gd_words_value_double(const gd_words *w, double absent, double least, double most,
                                double *out)
{
    *out = absent;
    return w->value ? read_number("value", w->value, least, most, GD_REAL, out) : GD_OK;
}
