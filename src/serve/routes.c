/* SPDX-License-Identifier: MIT */
/* routes.c - what can be asked for: docs/http.md. */
#include "serve/serve_private.h"

#include <stdlib.h>
#include <string.h>

static const char *query(const serve_request *r, const char *name)
{
    return mhd.lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND, name);
}

/* A whole number of the query, `otherwise` where it is not given or none */
static int64_t query_number(const serve_request *r, const char *name, int64_t otherwise)
{
    const char *text = query(r, name);
    char *end;
    const long long n = text ? strtoll(text, &end, 10) : 0;

    return text && *text && !*end && n >= 0 ? n : otherwise;
}

static bool job_exists(const serve_request *r)
{
    bool exists;

    pthread_mutex_lock(&r->s->lock);
    exists = serve_find(r->s, r->id) != NULL;
    pthread_mutex_unlock(&r->s->lock);
    return exists;
}

static enum MHD_Result no_job(serve_request *r)
{
    return serve_reply_error(r, MHD_HTTP_NOT_FOUND, "there is no such job");
}

/* ---- the page ---- */

static enum MHD_Result page(serve_request *r)
{
    const char *path = strcmp(r->url, "/") == 0 ? "/index.html" : r->url;

    for (int i = 0; i < serve_n_assets; i++) {
        const serve_asset *a = &serve_assets[i];
        if (strcmp(path, a->path) == 0) {
            struct MHD_Response *response = mhd.create_response_from_buffer(
                a->bytes, (void *)(uintptr_t)a->data, MHD_RESPMEM_PERSISTENT);
            if (response)
                mhd.add_response_header(response, "Content-Type", a->type);
            return serve_reply(r, MHD_HTTP_OK, response);
        }
    }
    return serve_reply_error(r, MHD_HTTP_NOT_FOUND, "there is no such page");
}

/* ---- what the library offers ---- */

static enum MHD_Result get_server(serve_request *r)
{
    json_t *folders = json_array();

    for (int i = 0; i < r->s->n_folders; i++)
        json_array_append_new(folders, json_string(r->s->folder[i]));
    return serve_reply_json(r, MHD_HTTP_OK,
                            json_pack("{s:s, s:s, s:o, s:I}", "version", guided_version(), "state",
                                      r->s->state, "folders", folders, "upload_bytes",
                                      (json_int_t)r->s->o->upload_mib << 20));
}

static enum MHD_Result get_kinds(serve_request *r)
{
    const char *text = guided_jobs_json();

    return text ? serve_reply_text(r, MHD_HTTP_OK, "application/json", text) : MHD_NO;
}

static enum MHD_Result get_options(serve_request *r)
{
    const char *kind = query(r, "kind"), *text = kind ? guided_job_options_json(kind) : NULL;

    if (!text)
        return serve_reply_error(r, MHD_HTTP_NOT_FOUND,
                                 "?kind=KIND is expected: GET /api/kinds lists them");
    return serve_reply_text(r, MHD_HTTP_OK, "application/json", text);
}

static enum MHD_Result get_solvers(serve_request *r)
{
    return serve_reply_text(r, MHD_HTTP_OK, "application/json", guided_solvers_json());
}

static enum MHD_Result get_models(serve_request *r)
{
    enum MHD_Result result;

    pthread_mutex_lock(&r->s->lock);
    result =
        serve_reply_text(r, MHD_HTTP_OK, "application/json", r->s->models ? r->s->models : "[]");
    pthread_mutex_unlock(&r->s->lock);
    return result;
}

/* ---- jobs ---- */

static enum MHD_Result post_job(serve_request *r)
{
    const char *type = mhd.lookup_connection_value(r->connection, MHD_HEADER_KIND, "Content-Type");
    json_error_t error;
    json_t *request, *job = NULL;
    int64_t id;
    gd_status status;

    if (!type || strncmp(type, "application/json", 16) != 0)
        return serve_reply_error(r, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE,
                                 "Content-Type: application/json is expected");
    request = json_loadb(r->body ? r->body : "", r->bytes, JSON_REJECT_DUPLICATES, &error);
    if (!request)
        return serve_reply_error(r, MHD_HTTP_BAD_REQUEST, error.text);
    status = serve_job_from(r->s, request, &job);
    json_decref(request);
    if (status != GD_OK)
        return serve_reply_failure(r, status);
    pthread_mutex_lock(&r->s->lock);
    status = serve_store_add(r->s, job, &id);
    pthread_cond_signal(&r->s->work);
    pthread_mutex_unlock(&r->s->lock);
    if (status != GD_OK) {
        json_decref(job);
        return serve_reply_failure(r, status);
    }
    return serve_reply_json(r, MHD_HTTP_CREATED, job);
}

/* The latest `limit` before job `before`, the newest first */
static enum MHD_Result get_jobs(serve_request *r)
{
    const int64_t limit = GD_MIN(query_number(r, "limit", 50), 1000);
    const int64_t before = query_number(r, "before", INT64_MAX);
    json_t *all = json_array();

    pthread_mutex_lock(&r->s->lock);
    for (int i = r->s->n_entries - 1; i >= 0 && (int64_t)json_array_size(all) < limit; i--)
        if (r->s->entry[i].id < before)
            json_array_append_new(all, serve_entry_json(&r->s->entry[i]));
    pthread_mutex_unlock(&r->s->lock);
    return serve_reply_json(r, MHD_HTTP_OK, all);
}

/* The stored job with what is known of it now; NULL: there is none */
static json_t *whole_job(const serve_request *r)
{
    json_t *job = NULL, *now = NULL;

    pthread_mutex_lock(&r->s->lock);
    const serve_entry *e = serve_find(r->s, r->id);
    if (e && serve_store_read(r->s, r->id, &job) == GD_OK) {
        now = serve_entry_json(e);
        if (e->state > SERVE_RUNNING)
            json_object_del(now, "seconds"); /* the file has them */
        json_object_update(job, now);
    }
    pthread_mutex_unlock(&r->s->lock);
    json_decref(now);
    return job;
}

static enum MHD_Result get_job(serve_request *r)
{
    json_t *job = whole_job(r);

    return job ? serve_reply_json(r, MHD_HTTP_OK, job) : no_job(r);
}

static enum MHD_Result delete_job(serve_request *r)
{
    gd_status status;

    if (!job_exists(r))
        return no_job(r);
    status = serve_job_delete(r->s, r->id);
    if (status != GD_OK)
        return serve_reply_failure(r, status);
    return serve_reply_json(r, MHD_HTTP_OK, json_pack("{s:I}", "id", (json_int_t)r->id));
}

static enum MHD_Result watch(serve_request *r, int64_t id, bool all)
{
    const char *last = mhd.lookup_connection_value(r->connection, MHD_HEADER_KIND, "Last-Event-ID");

    return serve_reply(r, MHD_HTTP_OK, serve_watch(r->s, r->connection, id, all, last));
}

static enum MHD_Result get_job_events(serve_request *r)
{
    return job_exists(r) ? watch(r, r->id, false) : no_job(r);
}

static enum MHD_Result get_events(serve_request *r)
{
    return watch(r, query_number(r, "job", 0), true);
}

static enum MHD_Result get_files(serve_request *r)
{
    char folder[SERVE_PATH];

    serve_job_path(r->s, r->id, "files", folder);
    return job_exists(r) ? serve_reply_json(r, MHD_HTTP_OK, serve_list_below(folder)) : no_job(r);
}

static enum MHD_Result get_file(serve_request *r)
{
    char folder[SERVE_PATH];

    serve_job_path(r->s, r->id, "files", folder);
    return job_exists(r) ? serve_reply_file(r, folder, r->rest) : no_job(r);
}

static enum MHD_Result get_frame(serve_request *r)
{
    char folder[SERVE_PATH];

    serve_job_path(r->s, r->id, "frames", folder);
    return job_exists(r) ? serve_reply_file(r, folder, r->rest) : no_job(r);
}

/* ---- the table ---- */

static const serve_route routes[] = {
    { "GET", "/api/server", get_server },
    { "GET", "/api/kinds", get_kinds },
    { "GET", "/api/options", get_options },
    { "GET", "/api/solvers", get_solvers },
    { "GET", "/api/models", get_models },
    { "GET", "/api/events", get_events },
    { "POST", "/api/uploads", serve_upload_end, .upload = true },
    { "POST", "/api/jobs", post_job },
    { "GET", "/api/jobs", get_jobs },
    { "GET", "/api/jobs/*", get_job },
    { "DELETE", "/api/jobs/*", delete_job },
    { "GET", "/api/jobs/*/events", get_job_events },
    { "GET", "/api/jobs/*/files", get_files },
    { "GET", "/api/jobs/*/files/**", get_file },
    { "GET", "/api/jobs/*/frames/**", get_frame },
    { "GET", "/**", page },
};

static bool matches(serve_request *r, const char *pattern)
{
    const char *at = r->url;

    for (; *pattern; pattern++) {
        if (strcmp(pattern, "**") == 0) {
            r->rest = at;
            return true;
        }
        if (*pattern == '*') {
            const size_t n = strspn(at, "0123456789");
            if (n == 0 || n > 15)
                return false;
            r->id = strtoll(at, NULL, 10);
            at += n;
        } else if (*at++ != *pattern) {
            return false;
        }
    }
    return *at == 0;
}

const serve_route *serve_route_find(serve_request *r, const char *method, int *status)
{
    const bool head = strcmp(method, "HEAD") == 0;

    *status = MHD_HTTP_NOT_FOUND;
    for (int i = 0; i < COUNT(routes); i++) {
        if (!matches(r, routes[i].pattern))
            continue;
        if (strcmp(head ? "GET" : method, routes[i].method) == 0)
            return &routes[i];
        *status = MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    return NULL;
}
