/* SPDX-License-Identifier: MIT */
/* server.c - the port: one thread for all clients, none of which is waited for. */
#define _GNU_SOURCE
#include "serve/serve_private.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 512, IDLE_SECONDS = 60, CONNECTION_BYTES = 32 << 10 };

/* ---- one request ---- */

typedef struct exchange {
    serve_request r;
    const serve_route *route;
    int refusal; /* HTTP status; 0: none */
    const char *why;
    char *url;
} exchange;

/* http://HOST/?token=TOKEN: the browser keeps the token as a cookie, and the address loses it. */
static enum MHD_Result take_token(exchange *x)
{
    struct MHD_Response *response =
        mhd.create_response_from_buffer(0, (void *)(uintptr_t) "", MHD_RESPMEM_PERSISTENT);
    char cookie[256];

    if (!response)
        return MHD_NO;
    snprintf(cookie, sizeof cookie, "guided_token=%s; HttpOnly; SameSite=Strict; Path=/",
             x->r.s->token);
    mhd.add_response_header(response, "Set-Cookie", cookie);
    mhd.add_response_header(response, "Location", "/");
    return serve_reply(&x->r, MHD_HTTP_SEE_OTHER, response);
}

static bool brings_token(const exchange *x)
{
    return *x->r.s->token && x->refusal == MHD_HTTP_UNAUTHORIZED && strcmp(x->url, "/") == 0 &&
           serve_token_equal(x->r.s, mhd.lookup_connection_value(x->r.connection,
                                                                 MHD_GET_ARGUMENT_KIND, "token"));
}

/* With the headers alone: what is refused is refused before its body is taken. */
static void begin(exchange *x, const char *method)
{
    serve_request *r = &x->r;
    const char *length =
        mhd.lookup_connection_value(r->connection, MHD_HEADER_KIND, "Content-Length");

    r->limit = SERVE_MAX_BODY;
    x->refusal = serve_guard(r->s, r->connection, method, x->url, &x->why);
    if (x->refusal)
        return;
    x->route = serve_route_find(r, method, &x->refusal);
    x->why = x->refusal == MHD_HTTP_NOT_FOUND ? "there is nothing of this name"
                                              : "this method is not for it";
    if (!x->route)
        return;
    x->refusal = 0;
    if (x->route->upload)
        r->limit = (uint64_t)r->s->o->upload_mib << 20;
    r->too_large = length && strtoull(length, NULL, 10) > r->limit;
    if (x->route->upload && !r->too_large)
        r->status = serve_upload_begin(r);
}

static void take_body(exchange *x, const char *data, size_t bytes)
{
    serve_request *r = &x->r;
    char *more;

    if (x->refusal || r->too_large)
        return;
    if (x->route->upload) {
        serve_upload_take(r, data, bytes);
        return;
    }
    r->too_large = r->bytes + bytes > r->limit;
    more = r->too_large ? NULL : realloc(r->body, r->bytes + bytes + 1);
    if (!more) {
        r->too_large = true;
        return;
    }
    r->body = more;
    memcpy(more + r->bytes, data, bytes);
    r->bytes += bytes;
    more[r->bytes] = 0;
}

static enum MHD_Result answer(exchange *x)
{
    if (brings_token(x))
        return take_token(x);
    if (x->refusal)
        return serve_reply_error(&x->r, x->refusal, x->why);
    if (x->r.too_large)
        return serve_reply_error(&x->r, MHD_HTTP_CONTENT_TOO_LARGE, "the body is too large");
    return x->route->handle(&x->r);
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *data,
                                  size_t *bytes, void **state)
{
    exchange *x = *state;

    (void)version;
    if (!x) {
        x = *state = calloc(1, sizeof *x);
        if (!x || !(x->url = strdup(url)))
            return MHD_NO;
        x->r.s = ctx;
        x->r.connection = connection;
        x->r.url = x->url;
        begin(x, method);
        return MHD_YES;
    }
    if (*bytes > 0) {
        take_body(x, data, *bytes);
        *bytes = 0;
        return MHD_YES;
    }
    return answer(x);
}

static void on_end(void *ctx, struct MHD_Connection *connection, void **state,
                   enum MHD_RequestTerminationCode code)
{
    exchange *x = *state;

    (void)ctx;
    (void)connection;
    (void)code;
    if (!x)
        return;
    gd_file_abort(x->r.upload);
    free(x->r.body);
    free(x->url);
    free(x);
    *state = NULL;
}

/* ---- the port ---- */

static gd_status find_address(serve *s, struct sockaddr_storage *out)
{
    const char *name = s->o->listen ? s->o->listen : "127.0.0.1";
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;

    memset(out, 0, sizeof *out);
    if (inet_pton(AF_INET, name, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)s->o->port);
    } else if (inet_pton(AF_INET6, name, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)s->o->port);
    } else {
        return gd_fail(GD_EUSAGE,
                       "--listen %s: no address\nhint: 0.0.0.0 or :: for all of this machine",
                       name);
    }
    snprintf(s->address, sizeof s->address, "%s", name);
    s->any_host = s->o->listen != NULL;
    return GD_OK;
}

static void quiet(void *ctx, const char *format, va_list args)
{
    (void)ctx;
    (void)format;
    (void)args;
}

/* A listening socket: its port is known before the first request. */
static gd_status listen_at(serve *s, const struct sockaddr_storage *address, int *out)
{
    const bool v6 = address->ss_family == AF_INET6;
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof bound;
    const int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    *out = fd;
    if (fd < 0)
        return gd_fail_errno(errno, s->address);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (bind(fd, (const struct sockaddr *)address,
             v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in)) != 0 ||
        listen(fd, SOMAXCONN) != 0 || getsockname(fd, (struct sockaddr *)&bound, &bytes) != 0)
        return gd_fail(GD_EIO, "%s port %d: %s\nhint: --port 0 takes a free one", s->address,
                       s->o->port, strerror(errno));
    s->port = ntohs(v6 ? ((struct sockaddr_in6 *)&bound)->sin6_port
                       : ((struct sockaddr_in *)&bound)->sin_port);
    return GD_OK;
}

static gd_status open_port(serve *s)
{
    struct sockaddr_storage address;
    int fd = -1;
    gd_status status;

    GD_TRY(find_address(s, &address));
    status = listen_at(s, &address, &fd);
    if (status == GD_OK)
        s->daemon = mhd.start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ITC |
                MHD_USE_ERROR_LOG,
            0, NULL, NULL, on_request, s, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
            MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_NOTIFY_COMPLETED, on_end, NULL,
            MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
            (unsigned)IDLE_SECONDS, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES,
            MHD_OPTION_END);
    if (status == GD_OK && !s->daemon)
        status = gd_fail(GD_EIO, "%s port %d: cannot serve", s->address, s->port);
    if (status != GD_OK && fd >= 0)
        close(fd);
    return status;
}

static void print_address(const serve *s)
{
    const bool v6 = strchr(s->address, ':') != NULL;

    printf("http://%s%s%s:%d/%s%s\n", v6 ? "[" : "", s->address, v6 ? "]" : "", s->port,
           *s->token ? "?token=" : "", s->token);
    fflush(stdout);
}

static void wait_for_end(serve *s)
{
    for (int second = 1; !s->o->stop_wanted(); second++) {
        nanosleep(&(struct timespec){ .tv_sec = 1 }, NULL); /* a signal ends it */
        if (second % SERVE_PING_SECONDS == 0) {
            pthread_mutex_lock(&s->lock);
            serve_wake_watchers(s, true);
            pthread_mutex_unlock(&s->lock);
        }
    }
}

static gd_status run(serve *s)
{
    GD_TRY(serve_paths_open(s));
    GD_TRY(serve_token_make(s));
    GD_TRY(serve_store_open(s));
    serve_models_look(s);
    if (chdir(s->state) != 0)
        return gd_fail_errno(errno, s->state);
    GD_TRY(open_port(s));
    GD_TRY(serve_queue_start(s));
    print_address(s);
    wait_for_end(s);
    serve_queue_stop(s);
    return GD_OK;
}

/* Relative names in the environment keep their meaning when jobs change the folder. */
static gd_status keep_environment(void)
{
    const char *models = getenv("GUIDED_MODELS");
    char path[SERVE_PATH];

    if (models && *models && *models != '/' && realpath(models, path) &&
        setenv("GUIDED_MODELS", path, 1) != 0)
        return gd_fail_errno(errno, "GUIDED_MODELS");
    return GD_OK;
}

gd_status serve_run(const serve_options *options)
{
    serve *s;
    gd_status status;

    GD_TRY(serve_load_library());
    s = calloc(1, sizeof *s);
    if (!s)
        return gd_fail(GD_ENOMEM, "the server: out of memory");
    s->o = options;
    s->lock_file = -1;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->work, NULL);
    status = keep_environment();
    if (status == GD_OK)
        status = run(s);
    if (s->daemon)
        mhd.stop_daemon(s->daemon);
    serve_store_close(s);
    free(s->models);
    pthread_cond_destroy(&s->work);
    pthread_mutex_destroy(&s->lock);
    free(s);
    return status;
}
