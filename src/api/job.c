/* SPDX-License-Identifier: MIT */
/* job.c - jobs of the public API. */
#include "api/handles.h"
#include "jobs/jobs.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct guided_job {
    guided_context *context;
    gd_job *job;
    bool has_run;
};

/* ---- tables ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char *kinds_text; /* for as long as the program runs */
static struct {
    char *kind, *text;
} described[64]; /* likewise */

const char *guided_jobs_json(void)
{
    pthread_mutex_lock(&lock);
    if (!kinds_text) {
        json_t *list = job_kinds_json();
        kinds_text = gd_json_dump(list, JSON_COMPACT);
        json_decref(list);
    }
    pthread_mutex_unlock(&lock);
    return kinds_text;
}

/* The job prints its table with the defaults that it would begin with. */
static char *describe(const char *kind)
{
    const gd_settings silent = { .log_most = GD_LOG_ERROR };
    char *text = NULL;
    gd_job *job;

    if (job_open(&job, kind) != GD_OK)
        return NULL;
    job->describe = true;
    if (job_run(job, &silent) == GD_OK && job->result)
        text = strdup(job->result);
    job_close(job);
    return text;
}

const char *guided_job_options_json(const char *kind)
{
    const char *text = NULL;
    int i = 0;

    pthread_mutex_lock(&lock);
    while (i < COUNT(described) && described[i].kind && strcmp(described[i].kind, kind) != 0)
        i++;
    if (i < COUNT(described) && !described[i].kind) {
        described[i].text = describe(kind);
        described[i].kind = described[i].text ? strdup(kind) : NULL;
    }
    if (i < COUNT(described) && described[i].kind)
        text = described[i].text;
    pthread_mutex_unlock(&lock);
    return text;
}

/* ---- life ---- */

guided_status guided_job_open(guided_job **out, guided_context *context, const char *kind)
{
    guided_job *job = calloc(1, sizeof *job);
    gd_status s;

    *out = NULL;
    if (!job)
        return gd_fail(GD_ENOMEM, "%s: out of memory", kind);
    job->context = context;
    s = job_open(&job->job, kind);
    if (s != GD_OK) {
        free(job);
        return s;
    }
    *out = job;
    return GD_OK;
}

void guided_job_close(guided_job *job)
{
    if (!job)
        return;
    job_close(job->job);
    free(job);
}

guided_status guided_job_set(guided_job *job, const char *name, const char *value)
{
    return job_set(job->job, name, value);
}

guided_status guided_job_set_line(guided_job *job, int n, char *const *words)
{
    return job_set_line(job->job, n, words);
}

const char *guided_job_get(const guided_job *job, const char *name)
{
    return job_get(job->job, name);
}

void guided_job_set_events(guided_job *job, const guided_events *events)
{
    job->job->events = *events;
}

guided_status guided_job_run(guided_job *job)
{
    if (job->has_run)
        return gd_fail(GD_EUSAGE, "%s: this job has run", job->job->kind->name);
    job->has_run = true;
    const gd_entered before = gd_enter(job->context);
    return gd_leave(&before, job_run(job->job, &job->context->settings));
}

void guided_job_save(guided_job *job)
{
    job_save(job->job);
}

const char *guided_job_result(const guided_job *job)
{
    return job->job->result ? job->job->result : "";
}
