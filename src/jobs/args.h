/* args.h - shared by args.c, which reads the command line, and settings.c, which reads what stands
 * under it. */
#ifndef GD_JOBS_ARGS_H
#define GD_JOBS_ARGS_H

#include "jobs/jobs.h"

/* An option of the command, else a common one; NULL: neither has it */
const job_option *job_option_find(const job_kind *c, const char *name, size_t length);
bool job_option_is_common(const job_option *o);
/* Sets it where its table points, and the common option of the same name */
GD_CHECKED gd_status job_option_set(const job_option *o, const char *text, void *values);
/* NULL: not given.  Two names of one thing are the same. */
job_given *job_given_find(job_words *words, const job_option *o);
/* Enter it, over what a lower source gave; GD_EUSAGE when the same source gave it before */
GD_CHECKED gd_status job_given_add(job_words *words, const job_option *o, const char *text,
                                   job_source source);
GD_CHECKED gd_status job_unknown_option(const job_kind *c, const char *name);
/* A copy for as long as the running job; NULL: out of memory */
char *job_keep(const char *text, size_t n);
/* The --config file and, below a command line, the environment, set and entered below what the line
 * gave */
GD_CHECKED gd_status job_settings_read(gd_job *job, void *values, job_words *words);

/* describe.c: one option without its default; NULL: out of memory */
struct json_t *job_option_json(const job_option *o);

#endif
