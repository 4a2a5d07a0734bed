/* SPDX-License-Identifier: MIT */
/* metric.c - the table of metrics, and what they share. */
#include "eval/metric.h"

#include <math.h>
#include <string.h>

#define ADDRESS(name) &gd_metric_##name,
static const gd_metric *const table[] = { GD_METRICS(ADDRESS) };
#undef ADDRESS

_Static_assert(COUNT(table) <= GD_MAX_METRICS, "room for every metric");

int gd_metric_count(void)
{
    return COUNT(table);
}

const gd_metric *gd_metric_at(int i)
{
    return table[i];
}

int gd_metric_index(const gd_metric *m)
{
    int i = 0;

    while (table[i] != m)
        i++;
    return i;
}

static bool is_word(const char *name, const char *word, size_t length)
{
    return name && strlen(name) == length && strncmp(name, word, length) == 0;
}

int gd_metric_find(const char *word, size_t length)
{
    for (int i = 0; i < COUNT(table); i++)
        if (is_word(table[i]->word, word, length) || is_word(table[i]->alias, word, length))
            return i;
    return -1;
}

void gd_metric_words(char *out, size_t size)
{
    size_t used = 0;

    *out = 0;
    for (int i = 0; i < COUNT(table) && used < size; i++)
        used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "," : "", table[i]->word);
}

unsigned gd_metric_missing(const gd_metric *m, const gd_extractor_shape *shape)
{
    const unsigned has = GD_NEED_POOL | GD_NEED_FEATURES |
                         (shape->spatial > 0 ? (unsigned)GD_NEED_SPATIAL : 0) |
                         (shape->classes > 0 ? (unsigned)GD_NEED_SCORE : 0) |
                         (shape->unit_length ? (unsigned)GD_NEED_UNIT_LENGTH : 0);

    return m->needs & ~has;
}

static double share_error(double p, int64_t n)
{
    return n > 0 ? sqrt(p * (1 - p) / (double)n) : NAN;
}

double gd_figure_error(const gd_figure *f, double value, double deviation, int64_t samples,
                       int64_t ref)
{
    switch (f->bar) {
    case GD_BAR_REDRAWN:
    case GD_BAR_MEASURED:
        return deviation;
    case GD_BAR_SUBSETS: /* none where every subset is the whole set */
        return deviation > 1e-9 * fabs(value) ? deviation / 10 : NAN;
    case GD_BAR_SHARE_OF_SAMPLES:
        return share_error(value, samples);
    case GD_BAR_SHARE_OF_REFERENCE:
        return share_error(value, ref);
    default:
        return NAN;
    }
}

gd_status gd_comparison_manifold(const gd_manifold **out, gd_comparison *c)
{
    if (!c->has_manifold)
        GD_TRY(gd_manifold_measure(&c->manifold, &c->ref, &c->samples, c->half, c->tick, c->ctx));
    c->has_manifold = true;
    *out = &c->manifold;
    return GD_OK;
}

int64_t gd_image_of_row(const gd_survey *s, int64_t row)
{
    return gd_survey_place(row, s->kept, s->count);
}
