/* SPDX-License-Identifier: MIT */
/* store.c - jobs on disk: STATE/jobs/ID/job.json, replaced whole, so that a kill loses nothing. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const names[] = { "queued", "running", "done", "failed", "cancelled" };

const char *serve_state_name(serve_state state)
{
    return names[state];
}

void serve_job_path(const serve *s, int64_t id, const char *name, char path[SERVE_PATH])
{
    snprintf(path, SERVE_PATH, "%.3900s/jobs/%lld/%s", s->state, (long long)id, name);
}

serve_entry *serve_find(serve *s, int64_t id)
{
    int low = 0, high = s->n_entries;

    while (low < high) {
        const int middle = (low + high) / 2;
        if (s->entry[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < s->n_entries && s->entry[low].id == id ? &s->entry[low] : NULL;
}

static gd_status make_folder(const char *path)
{
    if (gd_os.mkdir(path, 0700) == 0 || errno == EEXIST)
        return GD_OK;
    return gd_fail_errno(errno, path);
}

/* With the folders above it */
static gd_status make_folders(const char *path)
{
    char part[SERVE_PATH];

    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
        GD_TRY(make_folder(part));
    }
    return make_folder(path);
}

static gd_status add_entry(serve *s, serve_entry e)
{
    if (s->n_entries == s->space) {
        const int space = s->space ? 2 * s->space : 64;
        serve_entry *more = realloc(s->entry, sizeof *more * (size_t)space);
        if (!more)
            return gd_fail(GD_ENOMEM, "the list of jobs: out of memory");
        s->entry = more;
        s->space = space;
    }
    s->entry[s->n_entries++] = e;
    s->last_id = GD_MAX(s->last_id, e.id);
    s->n_queued += e.state == SERVE_QUEUED;
    return GD_OK;
}

gd_status serve_store_read(const serve *s, int64_t id, json_t **job)
{
    char path[SERVE_PATH];
    json_error_t error;

    serve_job_path(s, id, "job.json", path);
    *job = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!*job)
        return gd_fail(GD_EFORMAT, "%s: %s", path, error.text);
    return GD_OK;
}

gd_status serve_store_write(const serve *s, int64_t id, const json_t *job)
{
    char path[SERVE_PATH];
    char *text = json_dumps(job, JSON_INDENT(1));
    gd_status status;

    if (!text)
        return gd_fail(GD_ENOMEM, "job %lld: out of memory", (long long)id);
    serve_job_path(s, id, "job.json", path);
    status = gd_file_put(path, GD_OWN, text, strlen(text));
    free(text);
    return status;
}

static void set_state(serve *s, serve_entry *e, serve_state state)
{
    s->n_queued += (state == SERVE_QUEUED) - (e->state == SERVE_QUEUED);
    e->state = state;
    serve_changed(s, e);
}

gd_status serve_store_state(serve *s, serve_entry *e, json_t *job, serve_state state)
{
    gd_status status;

    json_object_set_new(job, "state", json_string(names[state]));
    status = serve_store_write(s, e->id, job);
    set_state(s, e, state);
    return status;
}

static void name_entry(serve_entry *e, const json_t *job)
{
    const char *tag = json_string_value(json_object_get(job, "tag"));
    const char *kind = json_string_value(json_object_get(job, "kind"));

    snprintf(e->tag, sizeof e->tag, "%s", tag ? tag : "");
    snprintf(e->kind, sizeof e->kind, "%s", kind ? kind : "");
}

gd_status serve_store_add(serve *s, json_t *job, int64_t *id)
{
    serve_entry e = { .id = s->last_id + 1, .state = SERVE_QUEUED };
    char path[SERVE_PATH];

    if (s->n_queued >= SERVE_MAX_QUEUED)
        return gd_fail(GD_ENOSPACE, "%d jobs wait already", s->n_queued);
    *id = e.id;
    name_entry(&e, job);
    json_object_set_new(job, "id", json_integer(e.id));
    json_object_set_new(job, "state", json_string(names[e.state]));
    serve_job_path(s, e.id, "", path);
    GD_TRY(make_folder(path));
    serve_job_path(s, e.id, "files", path);
    GD_TRY(make_folder(path));
    serve_job_path(s, e.id, "frames", path);
    GD_TRY(make_folder(path));
    GD_TRY(serve_store_write(s, e.id, job));
    GD_TRY(add_entry(s, e));
    serve_changed(s, &s->entry[s->n_entries - 1]);
    return GD_OK;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

gd_status serve_store_remove(serve *s, int64_t id)
{
    serve_entry *e = serve_find(s, id);
    char path[SERVE_PATH];

    serve_job_path(s, id, "", path);
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0)
        return gd_fail_errno(errno, path);
    memmove(e, e + 1, sizeof *e * (size_t)(s->entry + s->n_entries - (e + 1)));
    s->n_entries--;
    return GD_OK;
}

/* ---- at the start ---- */

static serve_state state_of(const json_t *job)
{
    const char *name = json_string_value(json_object_get(job, "state"));

    for (int i = 0; i < COUNT(names); i++)
        if (name && strcmp(name, names[i]) == 0)
            return (serve_state)i;
    return SERVE_FAILED;
}

/* A folder without a whole job.json is that of a request which was never answered. */
static gd_status read_entry(serve *s, int64_t id)
{
    json_t *job = NULL;
    serve_entry e = { .id = id };
    struct stat log;
    char path[SERVE_PATH];
    gd_status status = GD_OK;

    s->last_id = GD_MAX(s->last_id, id);
    if (serve_store_read(s, id, &job) != GD_OK)
        return GD_OK;
    e.state = state_of(job);
    e.runs = (int)json_integer_value(json_object_get(job, "runs"));
    e.done = e.total = json_integer_value(json_object_get(job, "steps"));
    name_entry(&e, job);
    serve_job_path(s, id, "events.jsonl", path);
    if (stat(path, &log) == 0)
        e.log_bytes = log.st_size;
    if (e.state == SERVE_RUNNING) { /* the server before was killed */
        e.state = e.runs < SERVE_MAX_RUNS ? SERVE_QUEUED : SERVE_FAILED;
        json_object_set_new(job, "state", json_string(names[e.state]));
        if (e.state == SERVE_FAILED)
            json_object_set_new(job, "error",
                                json_string("the server ended while this job ran, every time"));
        status = serve_store_write(s, id, job);
    }
    json_decref(job);
    GD_TRY(status);
    return add_entry(s, e);
}

static int by_number(const void *a, const void *b, void *ctx)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    (void)ctx;
    return (x > y) - (x < y);
}

static gd_status read_entries(serve *s)
{
    char path[SERVE_PATH];
    int64_t *ids = NULL;
    size_t n = 0;
    gd_status status = GD_OK;

    snprintf(path, sizeof path, "%.4000s/jobs", s->state);
    DIR *folder = opendir(path);
    if (!folder)
        return gd_fail_errno(errno, path);
    for (struct dirent *d; status == GD_OK && (d = readdir(folder));) {
        char *end;
        const long long id = strtoll(d->d_name, &end, 10);
        if (*end || id < 1)
            continue;
        int64_t *more = realloc(ids, sizeof *ids * (n + 1));
        if (!more)
            status = gd_fail(GD_ENOMEM, "%s: out of memory", path);
        else
            (ids = more)[n++] = id;
    }
    closedir(folder);
    if (n > 0)
        gd_sort(ids, n, sizeof *ids, by_number, NULL);
    for (size_t i = 0; i < n && status == GD_OK; i++)
        status = read_entry(s, ids[i]);
    free(ids);
    return status;
}

/* $XDG_STATE_HOME/guided, ~/.local/state/guided where it is not set */
static gd_status find_folder(serve *s)
{
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    char path[SERVE_PATH];

    if (s->o->state)
        snprintf(path, sizeof path, "%s", s->o->state);
    else if (state && *state == '/')
        snprintf(path, sizeof path, "%s/guided", state);
    else if (home && *home == '/')
        snprintf(path, sizeof path, "%s/.local/state/guided", home);
    else
        return gd_fail(GD_EUSAGE, "no folder for jobs: HOME is not set\nhint: --state FOLDER");
    if (strlen(path) > 3000)
        return gd_fail(GD_EUSAGE, "%.60s...: a path this long cannot hold jobs", path);
    GD_TRY(make_folders(path));
    if (!realpath(path, s->state))
        return gd_fail_errno(errno, path);
    return GD_OK;
}

gd_status serve_store_open(serve *s)
{
    char path[SERVE_PATH];

    GD_TRY(find_folder(s));
    snprintf(path, sizeof path, "%.4000s/jobs", s->state);
    GD_TRY(make_folder(path));
    snprintf(path, sizeof path, "%.4000s/uploads", s->state);
    GD_TRY(make_folder(path));
    snprintf(path, sizeof path, "%.4000s/lock", s->state);
    GD_TRY(gd_lock_file_open(&s->lock_file, path));
    if (gd_os.lock(s->lock_file, F_WRLCK, 0, 1) != 0)
        return gd_fail(GD_EFAILED,
                       "%s: another guided serve uses this folder\nhint: --state FOLDER", s->state);
    return read_entries(s);
}

void serve_store_close(serve *s)
{
    if (s->lock_file >= 0)
        gd_os.close(s->lock_file);
    free(s->entry);
}
