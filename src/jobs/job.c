/* SPDX-License-Identifier: MIT */
/* job.c - one job: its words, output, progress and end. */
#define _GNU_SOURCE
#include "jobs/args.h"
#include "cpu/conv.h"

#include <errno.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local gd_job *running;

gd_job *job_now(void)
{
    return running;
}

gd_job *job_use(gd_job *job)
{
    gd_job *before = running;

    running = job;
    return before;
}

/* ---- output ---- */

static bool take_text(void *ctx, const char *text, size_t n)
{
    const gd_job *job = ctx;

    if (job->events.text)
        job->events.text(job->events.ctx, text, n);
    return true;
}

FILE *job_out(void)
{
    return running->out;
}

bool job_data(const void *data, size_t bytes)
{
    const guided_events *e = &running->events;

    if (e->data)
        return e->data(e->ctx, data, bytes);
    errno = EPIPE;
    return false;
}

bool job_takes_data(void)
{
    return running->events.data != NULL;
}

void job_show_image(const guided_image *image)
{
    const guided_events *e = &running->events;

    if (e->image)
        e->image(e->ctx, image);
}

bool job_takes_arrays(void)
{
    return running->events.array != NULL;
}

gd_status job_show_array(const char *name, int rank, const int64_t *dim, const double *data)
{
    const guided_events *e = &running->events;
    guided_array a = { .name = name, .rank = rank };
    int64_t n = 1;
    float *single;

    if (!e->array)
        return GD_OK;
    for (int i = 0; i < rank; i++)
        n *= a.dim[i] = dim[i];
    GD_TRY(gd_block_make(&single, (size_t)n * sizeof(float), "array"));
    for (int64_t i = 0; i < n; i++)
        single[i] = (float)data[i];
    a.data = single;
    e->array(e->ctx, &a);
    gd_block_free(single);
    return GD_OK;
}

bool job_wants_previews(void)
{
    return running->events.preview != NULL;
}

void job_show_preview(const guided_preview *preview)
{
    running->events.preview(running->events.ctx, preview);
}

bool job_wants_partial(void)
{
    return running->events.partial &&
           (!running->by_line || strcmp(running->settings.progress, "json") == 0);
}

void job_show_partial(const guided_partial *partial)
{
    running->events.partial(running->events.ctx, partial);
}

gd_status job_print_line(const char *format, ...)
{
    char *line = NULL;
    va_list ap;
    int n;

    va_start(ap, format);
    n = vasprintf(&line, format, ap);
    va_end(ap);
    if (n < 0)
        return gd_fail(GD_ENOMEM, "standard output: out of memory");
    fprintf(job_out(), "%s\n", line);
    free(running->result);
    running->result = line;
    return GD_OK;
}

gd_status job_print_json(json_t *json)
{
    char *text = gd_json_dump(json, JSON_COMPACT);
    gd_status s;

    json_decref(json);
    if (!text)
        return gd_fail(GD_ENOMEM, "standard output: out of memory");
    s = job_print_line("%s", text);
    free(text);
    return s;
}

gd_status job_flush(void)
{
    if (fflush(running->out) == 0 && !ferror(running->out))
        return GD_OK;
    return gd_fail_errno(errno ? errno : EIO, "standard output");
}

void job_limit_memory(size_t bytes)
{
    running->own.memory_limit = bytes;
}

/* ---- requests ---- */

bool job_take_save_request(void)
{
    return atomic_exchange(&running->save, false);
}

void job_save(gd_job *job)
{
    atomic_store(&job->save, true);
}

/* ---- progress ---- */

void job_show_progress(const guided_progress *progress)
{
    const guided_events *e = &running->events;
    guided_progress p = *progress;

    p.flops = 2 * (double)atomic_load(&running->macs);
    if (e->progress)
        e->progress(e->ctx, &p);
}

static void report_progress(const job_progress *p, bool ended)
{
    const double spent = gd_seconds() - p->start;
    const guided_progress progress = { .unit = p->unit,
                                       .done = p->done,
                                       .total = p->total,
                                       .per_second = (double)p->done / (spent > 0 ? spent : 1e-9),
                                       .ended = ended,
                                       .images_per_second = NAN,
                                       .loss = NAN };

    if (!p->quiet)
        job_show_progress(&progress);
}

void job_progress_start(job_progress *p, const char *unit, int64_t total, bool quiet)
{
    *p = (job_progress){ .unit = unit, .total = total, .start = gd_seconds(), .quiet = quiet };
    report_progress(p, false);
}

void job_progress_step(job_progress *p)
{
    p->done++;
    report_progress(p, false);
}

void job_progress_end(job_progress *p)
{
    report_progress(p, true);
}

/* ---- words ---- */

static gd_status add_word(gd_job *job, const char *text, bool plain)
{
    job_word *words = realloc(job->word, sizeof *words * (size_t)(job->n_words + 1));
    char *copy = strdup(text);

    if (words)
        job->word = words;
    if (!words || !copy) {
        free(copy);
        return gd_fail(GD_ENOMEM, "%s: out of memory", job->kind->name);
    }
    job->word[job->n_words++] = (job_word){ copy, plain };
    return GD_OK;
}

gd_status job_set_line(gd_job *job, int n, char *const *words)
{
    job->by_line = true;
    for (int i = 0; i < n; i++)
        GD_TRY(add_word(job, words[i], false));
    return GD_OK;
}

/* Holds a value of any type, to check its text without setting the option */
typedef union value {
    bool on;
    int i;
    int64_t wide;
    struct {
        uint64_t seed;
        bool given;
    } seed;
    double real;
    const char *text;
} value;

gd_status job_set(gd_job *job, const char *name, const char *text)
{
    const job_option *o = job_option_find(job->kind, name, strlen(name));
    job_option alone;
    char *both;
    value v;
    gd_status s;

    if (!*name)
        return add_word(job, text, true);
    if (!o && !gd_flag_known(name))
        return job_unknown_option(job->kind, name);
    if (o) {
        alone = *o;
        alone.offset = 0;
        GD_TRY(job_value_set(&alone, text, &v));
    }
    if (asprintf(&both, "--%s=%s", name, text) < 0)
        return gd_fail(GD_ENOMEM, "%s: out of memory", job->kind->name);
    s = add_word(job, both, false);
    free(both);
    return s;
}

/* ---- life ---- */

gd_status job_open(gd_job **out, const char *kind)
{
    const job_kind *k = job_kind_find(kind);
    gd_job *job;

    *out = NULL;
    if (!k)
        return job_unknown_kind(kind);
    job = calloc(1, sizeof *job);
    if (!job)
        return gd_fail(GD_ENOMEM, "%s: out of memory", kind);
    job->kind = k;
    job->settings.progress = "auto";
    job->out = gd_text_stream(take_text, job);
    if (!job->out) {
        free(job);
        return gd_fail(GD_ENOMEM, "%s: out of memory", kind);
    }
    *out = job;
    return GD_OK;
}

void job_close(gd_job *job)
{
    if (!job)
        return;
    fclose(job->out);
    for (int i = 0; i < job->n_words; i++)
        free(job->word[i].text);
    free(job->word);
    free(job->result);
    gd_arena_free(job->texts);
    free(job);
}

/* ---- with -v ---- */

/* The origin of the number of threads: "2 cores", "8 cores, 16 CPUs; quota of 1.5 CPUs" */
static const char *offered(void)
{
    static char text[128];
    const gd_machine *m = gd_get_machine();
    int n = snprintf(text, sizeof text, "%d core%s", m->cores, m->cores == 1 ? "" : "s");

    if (m->cpus != m->cores)
        n += snprintf(text + n, sizeof text - (size_t)n, ", %d CPUs", m->cpus);
    if (m->quota > 0)
        n += snprintf(text + n, sizeof text - (size_t)n, "; quota of %.3g CPUs", m->quota);
    if (m->by_environment)
        snprintf(text + n, sizeof text - (size_t)n, "; OMP_NUM_THREADS=%d", m->threads);
    return text;
}

static void report_machine(double seconds)
{
    gd_log(GD_LOG_INFO, "%.2f s, %.1f MiB at most; %d thread%s (%s), %s, oneDNN %s", seconds,
           (double)gd_peak_bytes() / 1048576, gd_threads(), gd_threads() == 1 ? "" : "s", offered(),
           gd_isa_name(gd_isa_used()), gd_onednn_version());
}

/* While the job runs, the calling thread's notices, limits and stop request are the job's. */
gd_status job_run(gd_job *job, const gd_settings *settings)
{
    const gd_settings *before = gd_use_settings(&job->own);
    const double start = gd_seconds();
    gd_job *outer = job_use(job);
    gd_status s;

    job->own = *settings;
    job->own.macs = &job->macs;
    job->log_most = settings->log_most;
    job->own.log_most = GD_MIN(job->log_most, GD_LOG_NOTE); /* until job_parse has read -q and -v */
    s = job->kind->run(job);
    if (gd_log_wanted(GD_LOG_INFO))
        report_machine(gd_seconds() - start);
    if (job->ended)
        s = GD_OK;
    if (s == GD_OK)
        s = job_flush();
    else
        (void)!fflush(job->out);
    job_use(outer);
    gd_use_settings(before);
    return s;
}
