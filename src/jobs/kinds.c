/* SPDX-License-Identifier: MIT */
/* kinds.c - the table of job kinds, which are the verbs of the command. */
#include "jobs/jobs.h"

#include <string.h>

const job_kind *const job_kinds[] = {
    &job_sample,     &job_upsample, &job_restore, &job_img2img,
    &job_purify,     &job_invert,   &job_train,   &job_train_classifier,
    &job_nll,        &job_eval,     &job_info,    &job_convert,
    &job_init,       &job_models,   &job_bench,   &job_verify,
    &job_completion, &job_help,     &job_version, &job_sweep,
    &job_serve
};
const int job_n_kinds = COUNT(job_kinds);

const job_kind *job_kind_find(const char *name)
{
    for (int i = 0; i < job_n_kinds; i++)
        if (strcmp(name, job_kinds[i]->name) == 0)
            return job_kinds[i];
    return NULL;
}

gd_status job_unknown_kind(const char *name)
{
    const char *names[COUNT(job_kinds)];

    for (int i = 0; i < job_n_kinds; i++)
        names[i] = job_kinds[i]->name;
    const char *near = gd_nearest(name, names, job_n_kinds);
    gd_status s = gd_fail(GD_EUSAGE, "%s is not a verb of guided", name);
    if (near)
        gd_detail("hint: did you mean guided %s?", near);
    else
        gd_detail("hint: guided --help lists the verbs");
    return s;
}
