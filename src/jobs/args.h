/* SPDX-License-Identifier: MIT */
/* args.h - shared by args.c, which reads the command line, and settings.c, which reads sources with
 * less precedence. */
#ifndef GD_JOBS_ARGS_H
#define GD_JOBS_ARGS_H

#include "jobs/jobs.h"

/* An option of the verb, else a common option; NULL: unknown */
const job_option *job_option_find(const job_kind *c, const char *name, size_t length);
bool job_option_is_common(const job_option *o);
/* Sets the field of the option, and that of the common option with the same name */
GD_CHECKED gd_status job_option_set(const job_option *o, const char *text, void *values);
/* NULL: not given.  Two names of one option are the same. */
job_given *job_given_find(job_words *words, const job_option *o);
/* Records the value in place of a lower source's; GD_EUSAGE if the same source gave it before */
GD_CHECKED gd_status job_given_add(job_words *words, const job_option *o, const char *text,
                                   job_source source);
GD_CHECKED gd_status job_unknown_option(const job_kind *c, const char *name);
/* A copy that lives as long as the running job; NULL: out of memory */
char *job_keep(const char *text, size_t n);
/* Sets and records options from the --config file and, for a command line, from the environment;
 * values of the command line have precedence */
GD_CHECKED gd_status job_settings_read(gd_job *job, void *values, job_words *words);

/* describe.c: one option without its default; NULL: out of memory */
struct json_t *job_option_json(const job_option *o);

#endif
