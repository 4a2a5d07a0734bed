/* SPDX-License-Identifier: MIT */
/* words.c - options of a stage that people write as words, for guided sample and the public API. */
#include "sampling/sampling.h"

#include <stdlib.h>
#include <string.h>

gd_status gd_stage_interval(gd_stage_options *o, const char *text)
{
    char *end;

    o->guidance_low = strtod(text, &end);
    if (*end == ',')
        o->guidance_high = strtod(end + 1, &end);
    if (*end || !(o->guidance_low >= 0) || !(o->guidance_high > o->guidance_low))
        return gd_fail(GD_EUSAGE, "--guidance-interval %s: expected two noise levels, 0.28,1.61",
                       text);
    return GD_OK;
}

gd_status gd_stage_threshold(gd_stage_options *o, const char *word)
{
    const bool dynamic = strcmp(word, "dynamic") == 0, clip = strcmp(word, "clip") == 0;

    if (!dynamic && !clip && strcmp(word, "none") != 0)
        return gd_fail(GD_EUSAGE, "--threshold %s: expected none, clip or dynamic", word);
    if (dynamic)
        o->threshold = GD_THRESHOLD_DYNAMIC;
    else
        o->clip = clip;
    return GD_OK;
}

static const struct {
    const char *word;
    bool in_sigma_space;
    int value; /* gd_sigma_spacing, or gd_skip */
} spacings[] = {
    { "time", false, GD_SKIP_TIME },
    { "logsnr", false, GD_SKIP_LOG_SNR },
    { "quadratic", false, GD_SKIP_QUADRATIC },
    { "karras", true, GD_SIGMA_KARRAS },
    { "exponential", true, GD_SIGMA_EXPONENTIAL },
    { "vp", true, GD_SIGMA_VP },
    { "ve", true, GD_SIGMA_VE },
    { "iddpm", true, GD_SIGMA_IDDPM },
};

gd_status gd_stage_spacing(gd_stage_options *o, const char *word, const gd_solver *solver)
{
    int i = 0;

    while (i < COUNT(spacings) && strcmp(spacings[i].word, word) != 0)
        i++;
    if (i == COUNT(spacings))
        return gd_fail(GD_EUSAGE,
                       "--spacing %s: expected time, logsnr, quadratic, karras, exponential, vp, "
                       "ve or iddpm",
                       word);
    if (spacings[i].in_sigma_space
            ? solver->grid != GD_GRID_SIGMA
            : solver->grid != GD_GRID_VP && solver->grid != GD_GRID_SINGLESTEP)
        return gd_fail(GD_EUSAGE, "--spacing %s: %s does not walk such levels", word, solver->name);
    if (spacings[i].in_sigma_space)
        o->spacing = (gd_sigma_spacing)spacings[i].value;
    else
        o->skip = (gd_skip)spacings[i].value;
    return GD_OK;
}
