/* SPDX-License-Identifier: MIT */
/* lint_rules.c - the findings of lint, each with its threshold.  The thresholds were set so that 20
 * clean sets give no warning and 12 planted faults give theirs (tests/eval/test_lint.c). */
#include "eval/lint.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

enum { USUAL = 50000, WIDTH = 2048, EDGE = GD_LINT_PHASES - 1 };
static const double most_unlikely = 6; /* deviations of a class count from chance */
static const float flat = 8;           /* deviations of flat images, whose detail is noise */

typedef struct judge {
    gd_lint *out;
    const gd_lint_evidence *e;
    int64_t n;
} judge;

static void find(const judge *j, const char *code, bool warning, double figure, int64_t example,
                 int64_t example2, const char *format, ...) GD_PRINTF(7, 8);
static void find(const judge *j, const char *code, bool warning, double figure, int64_t example,
                 int64_t example2, const char *format, ...)
{
    gd_lint_finding *f = &j->out->finding[j->out->n];
    va_list args;

    if (j->out->n == GD_LINT_MOST)
        return;
    *f = (gd_lint_finding){ code, warning, figure, example, example2, "" };
    va_start(args, format);
    vsnprintf(f->text, sizeof f->text, format, args);
    va_end(args);
    j->out->n++;
}

/* Images for which `is` holds; *first: the first of them */
static int64_t count_of(const judge *j, bool (*is)(const gd_lint_image *), int64_t *first)
{
    int64_t n = 0;

    *first = -1;
    for (int64_t i = 0; i < j->n; i++)
        if (is(&j->e->image[i])) {
            if (n++ == 0)
                *first = i;
        }
    return n;
}

static void judge_count(const judge *j)
{
    if (j->n < USUAL)
        find(j, "count", false, (double)j->n, -1, -1, "%lld images; published FIDs are of %d%s",
             (long long)j->n, USUAL,
             j->n <= WIDTH ? ", and with no more images than features (2,048 of Inception) it is "
                             "biased upwards"
                           : "");
}

/* ---- classes ---- */

static void judge_classes(const judge *j)
{
    const gd_labels_of *labels = j->e->labels;
    const int classes = labels->label ? labels->classes : 0;
    const double mean = (double)j->n / classes;
    int64_t *count = classes > 1 ? calloc((size_t)classes, sizeof *count) : NULL;
    double chi = 0;
    int most = 0, least = 0;
    int64_t example = -1;

    if (!count)
        return;
    for (int64_t i = 0; i < j->n; i++) {
        const int32_t c = labels->label[i];
        if (c >= 0)
            count[c]++;
    }
    for (int c = 0; c < classes; c++) {
        chi += (count[c] - mean) * (count[c] - mean) / mean;
        most = count[c] > count[most] ? c : most;
        least = count[c] < count[least] ? c : least;
    }
    for (int64_t i = 0; i < j->n && example < 0; i++)
        if (labels->label[i] == most)
            example = i;
    const double unlikely = (chi - (classes - 1)) / sqrt(2.0 * (classes - 1));
    if (count[most] - count[least] <= 1)
        find(j, "classes", false, (double)count[most], -1, -1, "%d classes of %lld images each",
             classes, (long long)count[most]);
    else
        find(j, "classes", unlikely > most_unlikely, unlikely, example, -1,
             "%d classes of %lld (class %d) to %lld images (class %d): %s", classes,
             (long long)count[least], least, (long long)count[most], most,
             unlikely > most_unlikely ? "neither balanced nor drawn at random"
                                      : "as a random draw gives");
    free(count);
}

/* ---- copies ---- */

static void judge_copies(const judge *j, const char *code, const int32_t *of, const char *kind)
{
    int64_t n = 0, first = -1;

    for (int64_t i = 0; i < j->n; i++)
        if (of[i] >= 0 && n++ == 0)
            first = i;
    if (n > 0)
        find(j, code, true, (double)n, first, of[first],
             "%lld of %lld images are %s an earlier one: image %lld is image %d", (long long)n,
             (long long)j->n, kind, (long long)first, of[first]);
}

static bool is_constant(const gd_lint_image *i)
{
    return i->deviation < 1;
}

static void judge_constant(const judge *j)
{
    int64_t first;
    const int64_t n = count_of(j, is_constant, &first);

    if (n > 0)
        find(j, "constant", true, (double)n, first, -1,
             "%lld of %lld images have one colour, or nearly (standard deviation below 1 level)",
             (long long)n, (long long)j->n);
}

/* ---- files ---- */

static bool has_alpha(const gd_lint_image *i)
{
    return i->alpha;
}

static bool is_lossy(const gd_lint_image *i)
{
    return i->lossy;
}

static bool is_grey(const gd_lint_image *i)
{
    return i->grey;
}

static bool has_border(const gd_lint_image *i)
{
    return i->border;
}

static void judge_files(const judge *j)
{
    int64_t first, n = count_of(j, has_alpha, &first);

    if (n > 0)
        find(j, "alpha", true, (double)n, first, -1,
             "%lld of %lld files have an alpha channel: it is dropped, and what it hid is seen",
             (long long)n, (long long)j->n);
    n = count_of(j, is_lossy, &first);
    if (n > 0)
        find(j, "lossy", false, (double)n, first, -1, "%lld of %lld files are JPEG or WebP",
             (long long)n, (long long)j->n);
    n = count_of(j, is_grey, &first);
    if (n > 0 && n < j->n)
        find(j, "grey", false, (double)n, first, -1, "%lld of %lld images are grey", (long long)n,
             (long long)j->n);
    n = count_of(j, has_border, &first);
    if (n > j->n / 2)
        find(j, "border", false, (double)n, first, -1,
             "%lld of %lld images have a border of one colour", (long long)n, (long long)j->n);
}

static void judge_sizes(const judge *j)
{
    const gd_lint_image *image = j->e->image;
    int64_t n = 0, first = -1;

    for (int64_t i = 1; i < j->n; i++)
        if (image[i].width != image[0].width || image[i].height != image[0].height) {
            if (n++ == 0)
                first = i;
        }
    if (n > 0)
        find(j, "sizes", true, (double)n, first, 0,
             "%lld of %lld images are not %d x %d as the first is: image %lld is %d x %d (--crop N "
             "makes all N x N)",
             (long long)n, (long long)j->n, image[0].width, image[0].height, (long long)first,
             image[first].width, image[first].height);
}

/* ---- pixels ---- */

/* By what share a phase is above the mean of its two neighbours: what changes slowly over the
 * picture does not count */
static double peak(const double *phase, int k)
{
    const double beside =
        (phase[(k + EDGE) % GD_LINT_PHASES] + phase[(k + 1) % GD_LINT_PHASES]) / 2;

    return beside > 0 ? phase[k] / beside - 1 : 0;
}

/* Blocks of 8 x 8 leave steps at their edges, which lie at multiples of 8.  Their phase has two
 * neighbours whose own peaks depend on it; the five others show what chance gives. */
static void judge_blocks(const judge *j)
{
    const double least = 0.02, least_of_one = 0.012, times = 2;
    const int others = GD_LINT_PHASES - 3;
    double edge[2], chance = 0;
    int64_t example = 0;

    for (int a = 0; a < 2; a++) {
        edge[a] = peak(j->e->sums->phase[a], EDGE);
        for (int k = 1; k <= others; k++)
            chance += fabs(peak(j->e->sums->phase[a], k)) / (2 * others);
    }
    const double both = (edge[0] + edge[1]) / 2;
    if (both < least || fmin(edge[0], edge[1]) < least_of_one || both < times * chance)
        return;
    while (example + 1 < j->n && j->e->image[example].lossy)
        example++;
    find(j, "jpeg", true, both, example, -1,
         "steps at multiples of 8 pixels are %.1f %% above those beside them: these images were "
         "JPEG files before",
         100 * both);
}

static int64_t example_of_range(const judge *j, int lowest, int highest)
{
    for (int64_t i = 0; i < j->n; i++)
        if (j->e->image[i].lowest == lowest || j->e->image[i].highest == highest)
            return i;
    return 0;
}

static void judge_levels(const judge *j)
{
    const uint64_t *level = j->e->sums->level;
    const uint64_t enough = 256 * 200; /* bytes, for every level to occur */
    uint64_t total = 0;
    int lowest = 255, highest = 0, used = 0;

    for (int v = 0; v < 256; v++) {
        total += level[v];
        used += level[v] > 0;
        if (level[v] > 0) {
            lowest = GD_MIN(lowest, v);
            highest = v;
        }
    }
    if (total < enough)
        return;
    if (lowest >= 12 || highest <= 240)
        find(j, "range", true, highest - lowest + 1, example_of_range(j, lowest, highest), -1,
             "bytes go from %d to %d only: %s", lowest, highest,
             highest <= 128 ? "floats in [-1, 1] or [0, 0.5] scaled as if in [0, 1]?"
                            : "video range, or another scaling?");
    if (used < 0.9 * (highest - lowest + 1))
        find(j, "levels", true, used, 0, -1,
             "%d of the %d levels from %d to %d occur: rounded to fewer levels, or stretched", used,
             highest - lowest + 1, lowest, highest);
}

/* Means of red and blue beside the reference's, as they are and exchanged */
static void judge_order(const judge *j)
{
    const gd_lint_sums *s = j->e->sums, *r = j->e->ref;
    const double visible = 3; /* levels */
    double as_is = 0, exchanged = 0;

    if (!r || s->pixels == 0 || r->pixels == 0)
        return;
    for (int c = 0; c < 3; c += 2) {
        const double ref = r->channel[c] / r->pixels;
        const double same = s->channel[c] / s->pixels - ref,
                     other = s->channel[2 - c] / s->pixels - ref;
        as_is += same * same;
        exchanged += other * other;
    }
    if (sqrt(as_is) > visible && exchanged < as_is / 4)
        find(j, "order", true, sqrt(as_is), 0, -1,
             "red and blue are %.1f levels from the reference's, exchanged %.1f: BGR in the place "
             "of RGB?",
             sqrt(as_is), sqrt(exchanged));
}

/* ---- detail ---- */

static int by_value(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* The median over images that are not flat of what `value` gives; NAN: there are none.  *example:
 * the first below or at it */
static double median(const judge *j, float (*value)(const gd_lint_image *), int64_t *example)
{
    float *all = malloc((size_t)j->n * sizeof *all);
    double middle = NAN;
    int64_t n = 0;

    *example = -1;
    for (int64_t i = 0; i < j->n && all; i++)
        if (j->e->image[i].deviation >= flat)
            all[n++] = value(&j->e->image[i]);
    if (n > 0) {
        qsort(all, (size_t)n, sizeof *all, by_value);
        middle = all[n / 2];
    }
    for (int64_t i = 0; i < j->n && *example < 0; i++)
        if (j->e->image[i].deviation >= flat && value(&j->e->image[i]) <= middle)
            *example = i;
    free(all);
    return middle;
}

static float fine_of(const gd_lint_image *i)
{
    return i->fine;
}

/* By how much neighbours at even positions are equal more often than those at odd ones */
static float pairs_of(const gd_lint_image *i)
{
    return i->pairs[0] > 0.97f ? i->pairs[1] - i->pairs[0] : 0;
}

/* Where detail ends far below the sampling rate, second differences grow as the square of the
 * distance: the ratio of their energies tends to 1/16.  Emoji shrunk to 96 x 96 have 0.24, the same
 * from 48 x 48 by bicubic, bilinear or Lanczos 0.11 to 0.12. */
static void judge_detail(const judge *j)
{
    const double least_fine = 0.14, repeated = -0.2;
    int64_t example;
    const double pairs = median(j, pairs_of, &example);

    if (pairs < repeated) {
        find(j, "repeated", true, -pairs, example, -1,
             "every pixel stands twice in a row: enlarged by repetition, as NEAREST does");
        return;
    }
    const double fine = median(j, fine_of, &example);
    if (fine < least_fine)
        find(
            j, "soft", true, fine, example, -1,
            "the finest detail has %.3f of the energy of that at twice the distance: enlarged from "
            "a smaller size, or blurred",
            fine);
}

void gd_lint_judge(gd_lint *out, const gd_lint_evidence *e)
{
    const judge j = { out, e, out->count };

    judge_count(&j);
    judge_classes(&j);
    judge_copies(&j, "duplicates", e->copy, "exact copies of");
    judge_copies(&j, "near-duplicates", e->near, "nearly the same as");
    judge_constant(&j);
    judge_files(&j);
    judge_sizes(&j);
    judge_blocks(&j);
    judge_levels(&j);
    judge_order(&j);
    judge_detail(&j);
}
