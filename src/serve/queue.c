/* SPDX-License-Identifier: MIT */
/* queue.c - the jobs, one after the other, in a thread of its own. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- what the job reports ---- */

static void line_of_text(serve_run_state *run, const char *line, size_t n)
{
    char *text = malloc(4 * n + 1);

    if (text) {
        gd_escape(text, 4 * n + 1, line, n, "\t");
        serve_event(run, json_pack("{s:s, s:s}", "type", "text", "text", text));
    }
    free(text);
}

static void on_text(void *ctx, const char *text, size_t n)
{
    serve_run_state *run = ctx;

    for (size_t i = 0; i < n; i++) {
        char *more = text[i] == '\n' ? run->text : realloc(run->text, run->text_bytes + 1);
        if (text[i] == '\n') {
            line_of_text(run, run->text ? run->text : "", run->text_bytes);
            run->text_bytes = 0;
        } else if (more && run->text_bytes < SERVE_MAX_BODY) {
            run->text = more;
            run->text[run->text_bytes++] = text[i];
        }
    }
}

static void on_log(void *ctx, guided_log_level level, const char *line)
{
    serve_run_state *run = ctx;

    serve_event(run, json_pack("{s:s, s:s, s:b}", "type", "notice", "text", line, "error",
                               level == GUIDED_LOG_ERROR));
}

/* Of the latest half second or more; until then since the networks began */
static void take_rate(serve_run_state *run, serve_entry *e, double flops, double now)
{
    const double spent = now - run->since;

    if (run->since > 0 && spent > 0 && flops > run->flops && (spent >= 0.5 || e->gflops == 0))
        e->gflops = 1e-9 * (flops - run->flops) / spent;
    if (run->since > 0 && spent < 0.5)
        return;
    run->since = now;
    run->flops = flops;
}

/* At most ten times a second, and the last */
static void on_progress(void *ctx, const guided_progress *p)
{
    serve_run_state *run = ctx;
    serve *s = run->s;
    const double now = gd_seconds();

    if (now - run->told < 0.1 && !p->ended)
        return;
    run->told = now;
    pthread_mutex_lock(&s->lock);
    serve_entry *e = serve_find(s, run->id);
    e->done = p->done;
    e->total = p->total;
    e->seconds = now - run->start;
    take_rate(run, e, p->flops, now);
    snprintf(e->unit, sizeof e->unit, "%s", p->unit ? p->unit : "");
    serve_changed(s, e);
    pthread_mutex_unlock(&s->lock);
}

static void on_preview(void *ctx, const guided_preview *preview)
{
    serve_frame(ctx, preview);
}

static void on_partial(void *ctx, const guided_partial *p)
{
    json_t *event =
        json_pack("{s:s, s:s, s:I, s:I, s:f}", "type", "partial", "metric", p->metric, "samples",
                  (json_int_t)p->samples, "total", (json_int_t)p->total, "value", p->value);

    if (event && isfinite(p->deviation))
        json_object_set_new(event, "deviation", json_real(p->deviation));
    serve_event(ctx, event);
}

/* ---- one job ---- */

/* What this job's networks can reach, measured when it is first needed and nothing else runs */
static void measure_peak(const serve_run_state *run, const json_t *stored)
{
    serve *s = run->s;
    const json_t *options = json_object_get(stored, "options");
    const char *precision = json_string_value(json_object_get(options, "precision"));
    const bool bf16 = precision && strcmp(precision, "bf16") == 0;

    if (s->peak[bf16] == 0)
        s->peak[bf16] = guided_context_peak_flops(s->context, bf16);
    pthread_mutex_lock(&s->lock);
    serve_find(s, run->id)->peak_gflops = 1e-9 * s->peak[bf16];
    pthread_mutex_unlock(&s->lock);
}

/* A job that was interrupted and begins again may replace what it had written; a training goes on
 * from its checkpoint. */
static gd_status set_again(guided_job *job, const json_t *stored)
{
    const char *kind = json_string_value(json_object_get(stored, "kind"));
    const json_t *options = json_object_get(stored, "options");
    const char *table = guided_job_options_json(kind);

    if (json_integer_value(json_object_get(stored, "runs")) < 2 || !table)
        return GD_OK;
    const char *out = json_string_value(json_object_get(options, "out"));
    if (strncmp(kind, "train", 5) == 0 && gd_path_is_folder(out))
        return guided_job_set(job, "resume", out);
    if (strstr(table, "\"overwrite\"") && !json_object_get(options, "resume"))
        return guided_job_set(job, "overwrite", "true");
    return GD_OK;
}

static gd_status work(serve_run_state *run, const json_t *stored, char **result)
{
    const guided_events events = { run, on_text, on_progress, on_preview, NULL, NULL, on_partial };
    guided_job *job = NULL;
    gd_status status;

    if (run->s->o->threads > 0)
        guided_context_set_threads(run->s->context, run->s->o->threads);
    measure_peak(run, stored);
    guided_context_set_log(run->s->context, on_log, run, GUIDED_LOG_NOTE);
    GD_TRY(
        guided_job_open(&job, run->s->context, json_string_value(json_object_get(stored, "kind"))));
    status = serve_job_set_all(run->s, job, stored);
    if (status == GD_OK)
        status = set_again(job, stored);
    guided_job_set_events(job, &events);
    if (status == GD_OK)
        status = guided_job_run(job);
    *result = strdup(guided_job_result(job));
    guided_job_close(job);
    return status;
}

/* The fields of job.json that the run decides */
static void add_outcome(json_t *stored, gd_status status, const char *result, double seconds)
{
    json_t *json = result && *result ? json_loads(result, JSON_DECODE_ANY, NULL) : NULL;

    if (json)
        json_object_set_new(stored, "result", json);
    if (status != GD_OK) {
        char text[4000];
        gd_escape(text, sizeof text, guided_error(), strlen(guided_error()), "\n\t");
        json_object_set_new(stored, "error", json_string(text));
        json_object_set_new(stored, "status", json_integer(guided_exit_status(status)));
    }
    json_object_set_new(stored, "seconds", json_real(seconds));
    json_object_set_new(stored, "ended", json_integer(time(NULL)));
}

/* The state folder's files of this job, and the folder that plain names mean */
static gd_status enter(serve_run_state *run, int runs)
{
    char path[SERVE_PATH];

    serve_job_path(run->s, run->id, "events.jsonl", path);
    run->log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (run->log < 0)
        return gd_fail_errno(errno, path);
    serve_job_path(run->s, run->id, "files", path);
    if (chdir(path) != 0)
        return gd_fail_errno(errno, path);
    serve_event(run, json_pack("{s:s, s:i}", "type", "begin", "run", runs));
    return GD_OK;
}

/* Takes job `id`; the lock is held.  NULL: it cannot be read, and is marked as failed in memory. */
static json_t *take(serve *s, serve_entry *e)
{
    json_t *stored = NULL;

    if (serve_store_read(s, e->id, &stored) != GD_OK) {
        e->state = SERVE_FAILED;
        s->n_queued--;
        serve_changed(s, e);
        return NULL;
    }
    e->runs++;
    e->log_bytes = 0;
    e->done = e->total = 0;
    e->gflops = 0;
    json_object_set_new(stored, "runs", json_integer(e->runs));
    json_object_set_new(stored, "started", json_integer(time(NULL)));
    json_object_del(stored, "error");
    if (serve_store_state(s, e, stored, SERVE_RUNNING) != GD_OK)
        gd_log(GD_LOG_ERROR, "%s", gd_error());
    s->running = e->id;
    s->cancel = false;
    return stored;
}

static serve_state state_after(const serve *s, gd_status status)
{
    if (status == GD_OK)
        return SERVE_DONE;
    if (status == GD_EINTERRUPTED && s->cancel)
        return SERVE_CANCELLED;
    return status == GD_EINTERRUPTED && s->stopping ? SERVE_QUEUED : SERVE_FAILED;
}

static void leave(serve *s, int64_t id, json_t *stored, gd_status status)
{
    pthread_mutex_lock(&s->lock);
    serve_entry *e = serve_find(s, id);
    const serve_state state = state_after(s, status);
    json_object_set_new(stored, "steps", json_integer(e->total));
    s->running = 0;
    if (serve_store_state(s, e, stored, state) != GD_OK)
        gd_log(GD_LOG_ERROR, "%s", gd_error());
    guided_context_close(s->context);
    s->context = NULL;
    pthread_mutex_unlock(&s->lock);
    json_decref(stored);
}

static void run_job(serve *s, int64_t id, int runs, json_t *stored)
{
    serve_run_state run = { .s = s, .id = id, .log = -1, .start = gd_seconds() };
    char *result = NULL;
    gd_status status = enter(&run, runs);

    if (status == GD_OK)
        status = work(&run, stored, &result);
    add_outcome(stored, status, result, gd_seconds() - run.start);
    if (run.text_bytes > 0)
        line_of_text(&run, run.text, run.text_bytes);
    if (run.log >= 0) {
        close(run.log);
        run.log = -1;
    }
    if (chdir(s->state) != 0)
        gd_log(GD_LOG_ERROR, "%s: %s", s->state, strerror(errno));
    leave(s, id, stored, status);
    free(run.text);
    free(result);
}

/* ---- the thread ---- */

/* Waits for the oldest job of the queue; false: the server stops.  The lock is held. */
static bool wait_for_job(serve *s, serve_entry **next)
{
    while (!s->stopping) {
        for (int i = 0; i < s->n_entries && s->n_queued > 0; i++)
            if (s->entry[i].state == SERVE_QUEUED) {
                *next = &s->entry[i];
                return true;
            }
        pthread_cond_wait(&s->work, &s->lock);
    }
    return false;
}

static void *run_queue(void *ctx)
{
    serve *s = ctx;
    serve_entry *e;

    pthread_mutex_lock(&s->lock);
    while (wait_for_job(s, &e)) {
        const int64_t id = e->id;
        const int runs = e->runs + 1;
        if (guided_context_open(&s->context) != GD_OK) {
            gd_log(GD_LOG_ERROR, "%s", gd_error());
            break;
        }
        json_t *stored = take(s, e);
        if (!stored) {
            guided_context_close(s->context);
            s->context = NULL;
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        run_job(s, id, runs, stored);
        serve_models_look(s);
        pthread_mutex_lock(&s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

gd_status serve_queue_start(serve *s)
{
    const int error = pthread_create(&s->worker, NULL, run_queue, s);

    return error ? gd_fail_errno(error, "the thread of jobs") : GD_OK;
}

void serve_queue_stop(serve *s)
{
    pthread_mutex_lock(&s->lock);
    s->stopping = true;
    if (s->running)
        guided_context_cancel(s->context, true);
    serve_wake_watchers(s, false);
    pthread_cond_broadcast(&s->work);
    pthread_mutex_unlock(&s->lock);
    pthread_join(s->worker, NULL);
}

/* ---- cancelling ---- */

static gd_status delete_locked(serve *s, int64_t id)
{
    serve_entry *e = serve_find(s, id);
    json_t *stored = NULL;
    gd_status status;

    if (e->state == SERVE_RUNNING) {
        s->cancel = true;
        guided_context_cancel(s->context, true);
        return GD_OK;
    }
    if (e->state != SERVE_QUEUED)
        return serve_store_remove(s, id);
    GD_TRY(serve_store_read(s, id, &stored));
    json_object_set_new(stored, "ended", json_integer(time(NULL)));
    status = serve_store_state(s, e, stored, SERVE_CANCELLED);
    json_decref(stored);
    return status;
}

gd_status serve_job_delete(serve *s, int64_t id)
{
    gd_status status;

    pthread_mutex_lock(&s->lock);
    status = serve_find(s, id) ? delete_locked(s, id)
                               : gd_fail(GD_EUSAGE, "job %lld: there is none", (long long)id);
    pthread_mutex_unlock(&s->lock);
    return status;
}
