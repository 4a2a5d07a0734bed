/* SPDX-License-Identifier: MIT */
/* schedule.c - noise schedules and timestep respacing.  Source:
 * docs/reference/diffusion.md#schedules, #respacing; Nichol & Dhariwal 2021. */
#include "diffusion/diffusion.h"
#include "nn/config.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 1 << 20 };

/* ---- respacing: which original steps are kept ---- */

static gd_status cannot(const char *spacing, int n_train, const char *why)
{
    gd_status s = gd_fail(GD_EUSAGE, "steps %s: %s of %d training steps", spacing, why, n_train);

    gd_detail("hint: a count from 2 to %d, ddimN where %d / N is a whole stride (ddim25, ddim50, "
              "...), or a list such as 10,10,20",
              n_train, n_train);
    return s;
}

/* The number at *text, which moves behind it; what is above MAX_STEPS becomes MAX_STEPS + 1 */
static bool take_number(const char **text, int *out)
{
    int n = 0, digits = 0;

    for (; **text >= '0' && **text <= '9'; (*text)++, digits++)
        n = GD_MIN(n * 10 + (**text - '0'), MAX_STEPS + 1);
    *out = n;
    return digits > 0;
}

/* The count nearest to `wanted` that a whole stride gives; 0 if there is no stride */
static int nearest_count(int n_train, int wanted)
{
    int best = 0;

    for (int stride = 1; stride < n_train; stride++) {
        const int count = (n_train + stride - 1) / stride;
        if (best == 0 || abs(count - wanted) < abs(best - wanted))
            best = count;
    }
    return best;
}

/* The first stride i with exactly `wanted` steps in 0, i, 2i, ... */
static gd_status ddim_steps(bool *kept, int n_train, const char *spacing)
{
    const char *text = spacing + 4;
    int wanted;
    gd_status s;

    if (!take_number(&text, &wanted) || *text)
        return cannot(spacing, n_train, "not ddim and a number");
    for (int stride = 1; stride < n_train; stride++) {
        if ((n_train + stride - 1) / stride != wanted)
            continue;
        for (int i = 0; i < n_train; i += stride)
            kept[i] = true;
        return GD_OK;
    }
    s = cannot(spacing, n_train, "no whole stride takes so many");
    gd_detail("hint: the nearest is ddim%d", nearest_count(n_train, wanted));
    return s;
}

/* Multiples of floor(n_train / N) from 0 on: diffusers' "leading" spacing, which restoration's
 * programs use too */
static gd_status leading_steps(bool *kept, int n_train, const char *spacing)
{
    const char *text = spacing + strlen("leading");
    int n;

    if (!take_number(&text, &n) || *text || n < 1 || n > n_train)
        return cannot(spacing, n_train, "not leading and a number");
    for (int i = 0; i < n; i++)
        kept[i * (n_train / n)] = true;
    return GD_OK;
}

/* `count` steps spread over [start, start + size): a sum of double strides, rounded half to even,
 * as the authors do */
static void spread(bool *kept, int start, int size, int count)
{
    const double stride = count <= 1 ? 1.0 : (double)(size - 1) / (count - 1);
    double at = 0;

    for (int i = 0; i < count; i++, at += stride)
        kept[start + (int)nearbyint(at)] = true;
}

static gd_status section_steps(bool *kept, int n_train, const char *spacing)
{
    const char *text = spacing;
    int sections = 1, start = 0, count;

    for (const char *p = spacing; *p; p++)
        sections += *p == ',';
    for (int i = 0; i < sections; i++) {
        const int size = n_train / sections + (i < n_train % sections);
        while (*text == ' ')
            text++;
        if (!take_number(&text, &count))
            return cannot(spacing, n_train, "not a count or a list of counts");
        while (*text == ' ')
            text++;
        if (*text && *text++ != ',')
            return cannot(spacing, n_train, "not a count or a list of counts");
        if (count > size)
            return cannot(spacing, n_train, "more steps than the section has,");
        spread(kept, start, size, count);
        start += size;
    }
    return GD_OK;
}

static gd_status mark_steps(bool *kept, int n_train, const char *spacing)
{
    if (!spacing || !*spacing) {
        memset(kept, true, (size_t)n_train);
        return GD_OK;
    }
    if (strncmp(spacing, "leading", 7) == 0)
        return leading_steps(kept, n_train, spacing);
    return strncmp(spacing, "ddim", 4) == 0 ? ddim_steps(kept, n_train, spacing)
                                            : section_steps(kept, n_train, spacing);
}

gd_status gd_space_timesteps(int **steps, int *n, int n_train, const char *spacing)
{
    bool *kept;
    gd_status s;

    if (n_train < 1 || n_train > MAX_STEPS)
        return gd_fail(GD_EUSAGE, "%d training steps: expected 1 to %d", n_train, MAX_STEPS);
    GD_TRY(gd_block_make(&kept, (size_t)n_train, "timesteps"));
    s = mark_steps(kept, n_train, spacing);
    if (s == GD_OK)
        s = gd_block_make(steps, (size_t)n_train * sizeof **steps, "timesteps");
    *n = 0;
    for (int i = 0; i < n_train && s == GD_OK; i++)
        if (kept[i])
            (*steps)[(*n)++] = i;
    gd_block_free(kept);
    return s;
}

/* ---- betas ---- */

/* f(u) of the cosine schedule */
static double cosine_alpha_bar(double u)
{
    const double c = cos((u + 0.008) / 1.008 * M_PI / 2);
    return c * c;
}

/* Lin et al. 2023, algorithm 1: sqrt(alpha_bar) shifted to 0 at the last step, scaled to stay as it
 * is at the first */
static void remove_last_signal(double *beta, int n)
{
    double alpha_bar = 1, first = 0, last, before = 1;

    for (int i = 0; i < n; i++) {
        alpha_bar *= 1 - beta[i];
        first = i == 0 ? sqrt(alpha_bar) : first;
    }
    last = sqrt(alpha_bar);
    alpha_bar = 1;
    for (int i = 0; i < n; i++) {
        alpha_bar *= 1 - beta[i];
        const double root = i == n - 1 ? 0 : (sqrt(alpha_bar) - last) * first / (first - last);
        beta[i] = 1 - root * root / before;
        before = root * root;
    }
}

static bool is_schedule(const char *kind)
{
    for (int i = 0; i < GD_N_NOISE_SCHEDULES; i++)
        if (strcmp(kind, gd_noise_schedules[i]) == 0)
            return true;
    return false;
}

static gd_status train_betas(double *beta, const char *kind, int n)
{
    const double scale = 1000.0 / n;

    if (strncmp(kind, "linear", 6) == 0 && is_schedule(kind)) {
        const double first = scale * 0.0001, last = scale * 0.02,
                     step = n > 1 ? (last - first) / (n - 1) : 0;
        for (int i = 0; i < n; i++)
            beta[i] = i == n - 1 && n > 1 ? last : first + i * step;
    } else if (is_schedule(kind)) {
        for (int i = 0; i < n; i++)
            beta[i] = fmin(
                1 - cosine_alpha_bar((double)(i + 1) / n) / cosine_alpha_bar((double)i / n), 0.999);
    } else {
        const char *near = gd_nearest(kind, gd_noise_schedules, GD_N_NOISE_SCHEDULES);
        return gd_fail(GD_EUSAGE, "noise schedule %s: expected linear or cosine%s%s", kind,
                       near ? "; did you mean " : "", near ? near : "");
    }
    if (gd_ends_with(kind, "-zero-snr"))
        remove_last_signal(beta, n);
    for (int i = 0; i < n; i++)
        if (!(beta[i] > 0 && beta[i] <= 1))
            return gd_fail(GD_EUSAGE, "%s schedule with %d steps: beta %d is %g, outside (0, 1]",
                           kind, n, i, beta[i]);
    return GD_OK;
}

/* Betas of the kept steps: 1 - alpha_bar / alpha_bar of the step kept before */
static gd_status kept_betas(gd_schedule *s, const char *kind)
{
    double *train, alpha_bar = 1, last = 1;
    gd_status status;
    int k = 0;

    GD_TRY(gd_block_make(&train, (size_t)s->n_train * sizeof *train, "schedule"));
    status = train_betas(train, kind, s->n_train);
    for (int i = 0; i < s->n_train && status == GD_OK; i++) {
        alpha_bar *= 1 - train[i];
        if (k >= s->n || s->original[k] != i)
            continue;
        s->beta[k++] = s->n == s->n_train ? train[i] : 1 - alpha_bar / last;
        last = alpha_bar;
    }
    gd_block_free(train);
    return status;
}

static void derive(gd_schedule *s)
{
    double alpha_bar = 1;

    for (int i = 0; i < s->n; i++) {
        s->alpha_bar_prev[i] = alpha_bar;
        s->alpha_bar[i] = alpha_bar *= 1 - s->beta[i];
    }
    for (int i = 0; i < s->n; i++) {
        const double a = s->alpha_bar[i], prev = s->alpha_bar_prev[i], b = s->beta[i];
        s->alpha_bar_next[i] = i + 1 < s->n ? s->alpha_bar[i + 1] : 0;
        s->sqrt_alpha_bar[i] = sqrt(a);
        s->sqrt_one_minus_alpha_bar[i] = sqrt(1 - a);
        s->log_one_minus_alpha_bar[i] = log(1 - a);
        s->sqrt_recip_alpha_bar[i] = sqrt(1 / a);
        s->sqrt_recipm1_alpha_bar[i] = sqrt(1 / a - 1);
        s->posterior_variance[i] = b * (1 - prev) / (1 - a);
        s->posterior_mean_coef1[i] = b * sqrt(prev) / (1 - a);
        s->posterior_mean_coef2[i] = (1 - prev) * sqrt(1 - b) / (1 - a);
    }
    for (int i = 0; i < s->n; i++)
        s->posterior_log_variance[i] = log(s->posterior_variance[i == 0 && s->n > 1 ? 1 : i]);
}

static void place_tables(gd_schedule *s, double *memory)
{
    double **const table[] = { &s->beta,
                               &s->alpha_bar,
                               &s->alpha_bar_prev,
                               &s->alpha_bar_next,
                               &s->sqrt_alpha_bar,
                               &s->sqrt_one_minus_alpha_bar,
                               &s->log_one_minus_alpha_bar,
                               &s->sqrt_recip_alpha_bar,
                               &s->sqrt_recipm1_alpha_bar,
                               &s->posterior_variance,
                               &s->posterior_log_variance,
                               &s->posterior_mean_coef1,
                               &s->posterior_mean_coef2 };

    for (int i = 0; i < COUNT(table); i++)
        *table[i] = memory + (int64_t)i * s->n;
}

/* Takes over `steps` [n] */
static gd_status make_of(gd_schedule **out, const char *kind, int n_train, int *steps, int n,
                         bool rescale_timesteps)
{
    enum { TABLES = 13 };
    gd_schedule *s;
    double *memory;
    gd_status status;

    status = gd_block_make(&s, sizeof *s + (size_t)n * TABLES * sizeof *memory, "schedule");
    if (status != GD_OK) {
        gd_block_free(steps);
        return status;
    }
    memory = (double *)(s + 1);
    *s = (gd_schedule){
        .n = n, .n_train = n_train, .rescale_timesteps = rescale_timesteps, .original = steps
    };
    place_tables(s, memory);
    status = kept_betas(s, kind);
    if (status != GD_OK) {
        gd_schedule_free(s);
        return status;
    }
    derive(s);
    *out = s;
    return GD_OK;
}

gd_status gd_schedule_make(gd_schedule **out, const char *kind, int n_train, const char *spacing,
                           bool rescale_timesteps)
{
    int *steps, n;

    GD_TRY(gd_space_timesteps(&steps, &n, n_train, spacing));
    if (n < 2) { /* entry 1 of the variances is read */
        gd_block_free(steps);
        return cannot(spacing ? spacing : "", n_train, "fewer than 2 steps");
    }
    return make_of(out, kind, n_train, steps, n, rescale_timesteps);
}

gd_status gd_schedule_make_kept(gd_schedule **out, const char *kind, int n_train, const int *kept,
                                int n, bool rescale_timesteps)
{
    int *steps;

    if (n_train < 1 || n_train > MAX_STEPS || n < 2 || n > n_train)
        return gd_fail(GD_EUSAGE, "%d kept steps of %d", n, n_train);
    for (int i = 0; i < n; i++)
        if (kept[i] < 0 || kept[i] >= n_train || (i > 0 && kept[i] <= kept[i - 1]))
            return gd_fail(GD_EUSAGE, "kept step %d is %d: not ascending below %d", i, kept[i],
                           n_train);
    GD_TRY(gd_block_make(&steps, (size_t)n * sizeof *steps, "timesteps"));
    memcpy(steps, kept, (size_t)n * sizeof *steps);
    return make_of(out, kind, n_train, steps, n, rescale_timesteps);
}

void gd_schedule_free(gd_schedule *s)
{
    if (!s)
        return;
    gd_block_free(s->original);
    gd_block_free(s);
}

float gd_schedule_model_t(const gd_schedule *s, int i)
{
    return s->rescale_timesteps ? (float)s->original[i] * (float)(1000.0 / s->n_train)
                                : (float)s->original[i];
}
