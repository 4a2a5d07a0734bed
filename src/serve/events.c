/* SPDX-License-Identifier: MIT */
/* events.c - a job's events as lines of a file, and server-sent events from it.  A watcher keeps an
 * offset into the file and the latest version it has seen, so a slow one costs no memory: it skips
 * what progress it missed and reads every line. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

struct serve_watcher {
    serve *s;
    struct MHD_Connection *connection;
    serve_watcher *next;
    int64_t id; /* the job whose lines are read; 0: none */
    bool all, ended, suspended, ping;
    uint64_t seen; /* version */
    int log, run;
    off_t at;
    char *pending; /* malloc'ed: text that did not fit yet */
    size_t pending_bytes, pending_at;
};

/* ---- writing ---- */

void serve_changed(serve *s, serve_entry *e)
{
    e->version = ++s->version;
    serve_wake_watchers(s, false);
}

void serve_event(serve_run_state *run, json_t *event)
{
    serve *s = run->s;
    char *text = event ? json_dumps(event, JSON_COMPACT) : NULL;
    serve_entry *e;

    json_decref(event);
    if (!text)
        return;
    const size_t n = strlen(text);
    text[n] = '\n'; /* in place of the zero */
    pthread_mutex_lock(&s->lock);
    e = serve_find(s, run->id);
    if (e->log_bytes + (off_t)n < SERVE_MAX_LOG && gd_pwrite(run->log, text, n + 1, e->log_bytes)) {
        e->log_bytes += (off_t)n + 1;
        serve_changed(s, e);
    }
    pthread_mutex_unlock(&s->lock);
    free(text);
}

void serve_wake_watchers(serve *s, bool ping)
{
    for (serve_watcher *w = s->watchers; w; w = w->next) {
        w->ping = w->ping || ping;
        if (w->suspended) {
            w->suspended = false;
            mhd.resume_connection(w->connection);
        }
    }
}

json_t *serve_entry_json(const serve_entry *e)
{
    json_t *json = json_pack("{s:I, s:s, s:s, s:I, s:I, s:s, s:f, s:s}", "id", (json_int_t)e->id,
                             "kind", e->kind, "state", serve_state_name(e->state), "done",
                             (json_int_t)e->done, "total", (json_int_t)e->total, "unit", e->unit,
                             "seconds", e->seconds, "tag", e->tag);

    if (json && e->gflops > 0) {
        json_object_set_new(json, "gflops", json_real(e->gflops));
        json_object_set_new(json, "peak_gflops", json_real(e->peak_gflops));
    }
    return json;
}

/* ---- reading; all with the lock held ---- */

static void hold(serve_watcher *w, char *text, size_t bytes)
{
    free(w->pending);
    w->pending = text;
    w->pending_bytes = bytes;
    w->pending_at = 0;
}

/* The next line of the job's file as an event with its "RUN.OFFSET"; false: none yet */
static bool next_line(serve_watcher *w, const serve_entry *e)
{
    char path[SERVE_PATH], *line, *text = NULL;
    ssize_t n;
    size_t space = CHUNK;

    if (w->run != e->runs || w->log < 0) {
        serve_job_path(w->s, e->id, "events.jsonl", path);
        if (w->log >= 0)
            close(w->log);
        w->log = open(path, O_RDONLY | O_CLOEXEC);
        w->at = w->run == e->runs ? w->at : 0;
        w->run = e->runs;
    }
    if (w->log < 0 || w->at >= e->log_bytes)
        return false;
    for (;; space *= 4) {
        line = malloc(space);
        n = line ? gd_pread(w->log, line, space, w->at) : -1;
        char *end = n > 0 ? memchr(line, '\n', (size_t)n) : NULL;
        if (end) {
            *end = 0;
            n = end - line;
            break;
        }
        free(line);
        if (n < (ssize_t)space)
            return false;
    }
    w->at += n + 1;
    n = asprintf(&text, "id: %d.%lld\nevent: line\ndata: %s\n\n", w->run, (long long)w->at, line);
    free(line);
    if (n > 0)
        hold(w, text, (size_t)n);
    return n > 0;
}

/* The oldest change that the watcher has not seen */
static bool next_change(serve_watcher *w)
{
    const serve_entry *next = NULL;
    char *text = NULL;

    for (int i = 0; i < w->s->n_entries; i++) {
        const serve_entry *e = &w->s->entry[i];
        if (e->version > w->seen && (w->all || e->id == w->id) &&
            (!next || e->version < next->version))
            next = e;
    }
    if (!next)
        return false;
    json_t *json = serve_entry_json(next);
    char *state = json ? json_dumps(json, JSON_COMPACT) : NULL;
    const int n = state ? asprintf(&text, "event: job\ndata: %s\n\n", state) : -1;
    w->seen = next->version;
    json_decref(json);
    free(state);
    if (n > 0)
        hold(w, text, (size_t)n);
    return n > 0;
}

/* More text for the watcher; false: it has to wait, or has seen the end */
static bool more(serve_watcher *w)
{
    const serve_entry *e = w->id ? serve_find(w->s, w->id) : NULL;

    if (e && next_line(w, e))
        return true;
    if (next_change(w))
        return true;
    if (!w->all && (!e || e->state > SERVE_RUNNING)) {
        w->ended = true;
        return false;
    }
    if (w->ping) {
        char *text = strdup(": still here\n\n");
        w->ping = false;
        if (text)
            hold(w, text, strlen(text));
        return text != NULL;
    }
    return false;
}

static ssize_t read_events(void *ctx, uint64_t at, char *buffer, size_t space)
{
    serve_watcher *w = ctx;
    size_t n = 0;

    (void)at;
    pthread_mutex_lock(&w->s->lock);
    while (n < space && (w->pending_at < w->pending_bytes || more(w))) {
        const size_t part = GD_MIN(space - n, w->pending_bytes - w->pending_at);
        memcpy(buffer + n, w->pending + w->pending_at, part);
        w->pending_at += part;
        n += part;
    }
    if (n == 0 && !w->ended && !w->s->stopping) {
        w->suspended = true;
        mhd.suspend_connection(w->connection);
    }
    const bool end = n == 0 && (w->ended || w->s->stopping);
    pthread_mutex_unlock(&w->s->lock);
    return end ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

static void stop_watching(void *ctx)
{
    serve_watcher *w = ctx;

    pthread_mutex_lock(&w->s->lock);
    for (serve_watcher **at = &w->s->watchers; *at; at = &(*at)->next)
        if (*at == w) {
            *at = w->next;
            break;
        }
    pthread_mutex_unlock(&w->s->lock);
    if (w->log >= 0)
        close(w->log);
    free(w->pending);
    free(w);
}

/* "RUN.OFFSET" of the latest line that the client has */
static void go_on_from(serve_watcher *w, const char *last)
{
    char *end;
    const long run = last ? strtol(last, &end, 10) : 0;

    if (run <= 0 || run > 1000000 || *end != '.')
        return;
    const long long at = strtoll(end + 1, &end, 10);
    const serve_entry *e = serve_find(w->s, w->id);
    if (*end || !e || run != e->runs || at < 0 || at > e->log_bytes)
        return;
    w->run = (int)run;
    w->at = at;
}

struct MHD_Response *serve_watch(serve *s, struct MHD_Connection *connection, int64_t id, bool all,
                                 const char *last)
{
    serve_watcher *w = calloc(1, sizeof *w);
    struct MHD_Response *response;

    if (!w)
        return NULL;
    *w = (serve_watcher){ .s = s, .connection = connection, .id = id, .all = all, .log = -1 };
    response =
        mhd.create_response_from_callback(MHD_SIZE_UNKNOWN, CHUNK, read_events, w, stop_watching);
    if (!response) {
        free(w);
        return NULL;
    }
    pthread_mutex_lock(&s->lock);
    go_on_from(w, last);
    w->next = s->watchers;
    s->watchers = w;
    pthread_mutex_unlock(&s->lock);
    mhd.add_response_header(response, "Content-Type", "text/event-stream");
    return response;
}
