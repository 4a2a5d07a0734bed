/* SPDX-License-Identifier: MIT */
/* authors.c - command lines of the authors' scripts: the combined meaning of their options of steps
 * and sampler, and the table of all their flags. */
#include "jobs/jobs.h"
#include "nn/scripts.h"

#include <string.h>

/* ---- sampling ---- */

static bool network_flag_given(const job_words *w)
{
    for (int i = 0; i < w->n_flags; i++)
        if (gd_script_knows(w->flag[i].name) && strstr(w->flag[i].name, "fp16") == NULL &&
            strcmp(w->flag[i].name, "use_checkpoint") != 0 && *w->flag[i].value)
            return true;
    return false;
}

static gd_status check_agreement(const char *sampler, bool given, bool use_ddim)
{
    if (given && (strcmp(sampler, "ddpm") == 0 || strcmp(sampler, "ddim") == 0) &&
        (strcmp(sampler, "ddim") == 0) != use_ddim)
        return gd_fail(GD_EUSAGE,
                       "--sampler %s and --use_ddim %s contradict each other: give one of them",
                       sampler, use_ddim ? "True" : "False");
    return GD_OK;
}

gd_status job_authors_sampling(const job_words *w, bool upsampler, bool use_ddim,
                               const char **steps, const char **sampler)
{
    const bool ddim_given = job_given_named(w, "use_ddim") != NULL,
               spacing_given = job_given_named(w, "timestep_respacing") != NULL;

    if (!*steps && network_flag_given(w)) {
        gd_log(GD_LOG_NOTE, "uses all steps, because the authors' flags are given without "
                            "timestep_respacing; --steps 250 is faster");
        *steps = "";
    }
    if (*sampler)
        return upsampler ? GD_OK : check_agreement(*sampler, ddim_given, use_ddim);
    if (upsampler && use_ddim)
        gd_log(GD_LOG_NOTE, "--use_ddim True: passed over, as in super_res_sample.py; --sampler "
                            "ddim samples by DDIM");
    if (ddim_given)
        *sampler = use_ddim && !upsampler ? "ddim" : "ddpm";
    else if (spacing_given && *steps && strncmp(*steps, "ddim", 4) == 0) {
        *sampler = "ddpm";
        gd_log(GD_LOG_NOTE,
               "ancestral sampling over the steps of %s, because use_ddim is False by default; %s "
               "samples by DDIM",
               *steps, upsampler ? "--sampler ddim" : "--use_ddim True, or --steps instead,");
    }
    return GD_OK;
}

/* ---- the table ---- */

static void print_script(int script, FILE *out)
{
    enum { MOST = 64, WIDTH = 96 };
    const gd_script *s = gd_script_at(script);
    gd_flag flags[MOST];
    const int n = GD_MIN(gd_script_flags(script, flags, MOST), MOST);
    int column = 0;

    fprintf(out, "%s, %s.py: guided %s\n", s->project, s->name, s->verb);
    for (int i = 0; i < n; i++) {
        const char *value = *flags[i].value ? flags[i].value : "\"\"";
        const int width = (int)(strlen(flags[i].name) + strlen(value) + 4);
        if (column > 0 && column + width > WIDTH) {
            fprintf(out, "\n");
            column = 0;
        }
        column += fprintf(out, "%s--%s %s", column ? " " : "  ", flags[i].name, value);
    }
    fprintf(out, "\n\n");
}

void job_print_flags(FILE *out)
{
    fprintf(out,
            "The authors' scripts, the equivalent verbs of guided, and the flags of the scripts\n"
            "with the defaults that apply when a command line omits them.\n\n");
    for (int i = 0; i < gd_script_count(); i++)
        print_script(i, out);
}
