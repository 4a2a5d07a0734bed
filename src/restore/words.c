/* words.c - an operator's text: NAME:VALUE:KEY=VALUE. */
#include "restore/restore_private.h"

#include <math.h>
#include <stdlib.h>
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

gd_status gd_words_number(const char *key, const char *text, double least, double most, bool whole,
                          double *out)
{
    char *end;

    *out = strtod(text, &end);
    if (end == text || *end || !isfinite(*out) || (whole && *out != floor(*out)))
        return gd_fail(GD_EUSAGE, "%s: \"%s\" is not a %snumber", key, text, whole ? "whole " : "");
    if (*out < least || *out > most)
        return gd_fail(GD_EUSAGE, "%s: %s is not between %g and %g", key, text, least, most);
    return GD_OK;
}

gd_status gd_words_double(gd_words *w, const char *key, double absent, double least, double most,
                          double *out)
{
    const char *text = gd_words_text(w, key);

    *out = absent;
    return text ? gd_words_number(key, text, least, most, false, out) : GD_OK;
}

gd_status gd_words_int(gd_words *w, const char *key, int absent, int least, int most, int *out)
{
    const char *text = gd_words_text(w, key);
    double value = absent;

    if (text)
        GD_TRY(gd_words_number(key, text, least, most, true, &value));
    *out = (int)value;
    return GD_OK;
}

gd_status gd_words_index(const char *key, const char *text, const char *const *list, int n,
                         int *out)
{
    char all[200] = "";
    size_t used = 0;

    for (*out = 0; *out < n; *out += 1)
        if (strcmp(list[*out], text) == 0)
            return GD_OK;
    for (int i = 0; i < n; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", list[i]);
    return gd_fail(GD_EUSAGE, "%s: \"%s\" is none of %s", key, text, all);
}

gd_status gd_words_choice(gd_words *w, const char *key, const char *const *list, int n, int *out)
{
    const char *text = gd_words_text(w, key);

    *out = 0;
    return text ? gd_words_index(key, text, list, n, out) : GD_OK;
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
    double value;

    if (!w->value)
        return gd_fail(GD_EUSAGE, "needs a number, as %s:4", w->name);
    GD_TRY(gd_words_number(w->name, w->value, least, most, true, &value));
    *out = (int)value;
    return GD_OK;
}

gd_status gd_words_value_double(const gd_words *w, double absent, double least, double most,
                                double *out)
{
    *out = absent;
    return w->value ? gd_words_number(w->name, w->value, least, most, false, out) : GD_OK;
}
