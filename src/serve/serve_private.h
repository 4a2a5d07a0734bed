/* SPDX-License-Identifier: MIT */
/* serve_private.h - the parts of the server: state on disk, queue, events, guard, routes. */
#ifndef GD_SERVE_PRIVATE_H
#define GD_SERVE_PRIVATE_H

#include "serve/serve.h"

#include <jansson.h>
#include <microhttpd.h>
#include <pthread.h>

/* ---- http_library.c ---- */

#define MHD_FUNCTIONS(X)                                                                           \
    X(add_response_header)                                                                         \
    X(create_response_from_buffer)                                                                 \
    X(create_response_from_callback)                                                               \
    X(create_response_from_fd64)                                                                   \
    X(destroy_response)                                                                            \
    X(get_response_header)                                                                         \
    X(lookup_connection_value)                                                                     \
    X(queue_response)                                                                              \
    X(resume_connection)                                                                           \
    X(start_daemon)                                                                                \
    X(stop_daemon)                                                                                 \
    X(suspend_connection)

typedef struct mhd_functions {
#define MHD_POINTER(name) __typeof__(MHD_##name) *name;
    MHD_FUNCTIONS(MHD_POINTER)
#undef MHD_POINTER
} mhd_functions;
extern mhd_functions mhd; /* once serve_load_library was successful */
/* GD_EFAILED with the reason */
GD_CHECKED gd_status serve_load_library(void);

enum {
    SERVE_PATH = 4096,
    SERVE_MAX_FOLDERS = 32,
    SERVE_MAX_BODY = 1 << 20, /* of a request in JSON */
    SERVE_MAX_QUEUED = 1000,  /* jobs that wait */
    SERVE_MAX_RUNS = 3,       /* a job that ended the server this often is not run again */
    SERVE_MAX_FRAMES = 4096,  /* of a job */
    SERVE_MAX_LOG = 64 << 20, /* bytes of a job's events */
    SERVE_PING_SECONDS = 15   /* between comments to silent watchers */
};

typedef enum serve_state {
    SERVE_QUEUED,
    SERVE_RUNNING,
    SERVE_DONE,
    SERVE_FAILED,
    SERVE_CANCELLED
} serve_state;
const char *serve_state_name(serve_state state);

/* What is known of a job without its file */
typedef struct serve_entry {
    int64_t id;
    serve_state state;
    uint64_t version; /* the server's, at the latest change */
    int runs;         /* how often it was begun: its events start anew */
    off_t log_bytes;  /* of its events that may be read */
    int64_t done, total;
    double seconds;             /* since it was begun */
    double gflops, peak_gflops; /* a second, lately and at most; 0: not known */
    char unit[16], tag[64], kind[24];
} serve_entry;

typedef struct serve_watcher serve_watcher;

typedef struct serve {
    const serve_options *o;
    char state[SERVE_PATH], address[64], token[128];
    char folder[SERVE_MAX_FOLDERS][SERVE_PATH];
    int n_folders, port, lock_file;
    bool any_host; /* addresses of the machine are fine as Host */

    pthread_mutex_t lock; /* of all below, and of the jobs' files */
    pthread_cond_t work;
    serve_entry *entry; /* by increasing id */
    int n_entries, n_queued, space;
    uint64_t version;
    int64_t last_id;
    int64_t running;         /* its id, 0: none */
    guided_context *context; /* of the running job */
    bool cancel, stopping;
    double peak[2]; /* FLOP/s of float32 and bfloat16, of the worker; 0: not measured */
    serve_watcher *watchers;
    char *models; /* JSON */

    struct MHD_Daemon *daemon;
    pthread_t worker;
} serve;

/* ---- store.c: STATE/jobs/ID/job.json, one per job, replaced whole; call with the lock held ----
 */

/* Makes the folders, takes the lock of the state folder, reads what jobs there are: those that ran
 * when the server before was killed are queued again. */
GD_CHECKED gd_status serve_store_open(serve *s);
void serve_store_close(serve *s);
serve_entry *serve_find(serve *s, int64_t id); /* NULL: no such job */
/* Queues a job for {"kind", "options", ...}; *id is its number. */
GD_CHECKED gd_status serve_store_add(serve *s, json_t *job, int64_t *id);
GD_CHECKED gd_status serve_store_read(const serve *s, int64_t id, json_t **job);
GD_CHECKED gd_status serve_store_write(const serve *s, int64_t id, const json_t *job);
/* The job with its state in the file and in the entry; wakes watchers. */
GD_CHECKED gd_status serve_store_state(serve *s, serve_entry *e, json_t *job, serve_state state);
GD_CHECKED gd_status serve_store_remove(serve *s, int64_t id);
/* STATE/jobs/ID/NAME */
void serve_job_path(const serve *s, int64_t id, const char *name, char path[SERVE_PATH]);

/* ---- paths.c: which files a job may use ---- */

/* The folders given, resolved.  GD_EUSAGE: one that is none. */
GD_CHECKED gd_status serve_paths_open(serve *s);
/* The text of an option or a word as the job gets it, malloc'ed.  Names without / are files of the
 * job's own folder; uploads/... and jobs/ID/files/... those of the state folder; other paths must
 * lie in a given folder.  GD_EUSAGE: outside. */
GD_CHECKED gd_status serve_path_resolve(const serve *s, const char *text, char **out);
/* A regular file below `folder` by its relative path, no part of which is a link or begins with a
 * dot; -1: there is none. */
int serve_open_below(const char *folder, const char *relative);
/* A JSON array of {"name", "bytes"} of what lies below `folder`; NULL: out of memory */
json_t *serve_list_below(const char *folder);

/* ---- request.c: a client's request as a job ---- */

/* Checks the request {"kind", "options", "words", "tag"} against the library's tables and gives the
 * job as it is stored. */
GD_CHECKED gd_status serve_job_from(const serve *s, const json_t *request, json_t **job);
/* Sets everything of a stored job. */
GD_CHECKED gd_status serve_job_set_all(const serve *s, guided_job *to, const json_t *job);

/* ---- queue.c: one job at a time, in a thread of its own ---- */

GD_CHECKED gd_status serve_queue_start(serve *s);
void serve_queue_stop(serve *s); /* interrupts the job and waits for the thread */
/* Cancels a job that waits or runs; removes one that has ended. */
GD_CHECKED gd_status serve_job_delete(serve *s, int64_t id);

/* ---- frames.c: pictures of a job as it runs ---- */

typedef struct serve_run_state {
    serve *s;
    int64_t id;
    int log; /* descriptor of its events */
    int frames;
    double start, told;
    double since, flops; /* from when on the rate is taken, and operations until then */
    char *text;          /* a line of output that has not ended */
    size_t text_bytes;
} serve_run_state;
/* Writes the prediction and the gradient as PNG and adds the event "frame". */
void serve_frame(serve_run_state *run, const guided_preview *preview);

/* ---- events.c: a job's events in STATE/jobs/ID/events.jsonl, and who watches them ---- */

/* Adds {"type": ..., ...} as a line; takes `event`, NULL is passed over. */
void serve_event(serve_run_state *run, json_t *event);
/* Something about the entry changed; with the lock held. */
void serve_changed(serve *s, serve_entry *e);
/* Lets every watcher look again; ping: a comment goes to those who have nothing to read. */
void serve_wake_watchers(serve *s, bool ping);
/* Server-sent events: of one job from `last` ("RUN.OFFSET" or NULL) until it has ended; or, `all`,
 * the changes of all jobs without end, with the events of job `id` where that is not 0. */
struct MHD_Response *serve_watch(serve *s, struct MHD_Connection *connection, int64_t id, bool all,
                                 const char *last);
json_t *serve_entry_json(const serve_entry *e);

/* ---- models.c ---- */

/* Looks for models in the library and in the given folders. */
void serve_models_look(serve *s);

/* ---- guard.c: who may ask ---- */

/* 0, or the HTTP status of the refusal with its text in *why */
int serve_guard(const serve *s, struct MHD_Connection *connection, const char *method,
                const char *url, const char **why);
GD_CHECKED gd_status serve_token_make(serve *s);
bool serve_token_equal(const serve *s, const char *token);

/* ---- routes.c, reply.c ---- */

typedef struct serve_request {
    serve *s;
    struct MHD_Connection *connection;
    const char *url;
    bool get;
    char *body; /* malloc'ed, with a zero behind it */
    size_t bytes;
    bool too_large;
    gd_file *upload;
    uint64_t limit;
    char name[256];    /* of the upload */
    int64_t upload_id; /* 0: none */
    gd_status status;  /* of the upload */
    int64_t id;        /* of the job in the path */
    const char *rest;  /* of the path behind it */
} serve_request;
typedef enum MHD_Result (*serve_handler)(serve_request *r);
typedef struct serve_route {
    const char *method;  /* GET serves HEAD too */
    const char *pattern; /* "*" stands for a job's number, "**" at the end for any rest */
    serve_handler handle;
    bool upload; /* the body goes into a file */
} serve_route;
/* NULL: *status is 404, or 405 where another method is known */
const serve_route *serve_route_find(serve_request *r, const char *method, int *status);

enum MHD_Result serve_reply_json(serve_request *r, int status, json_t *json); /* takes it */
enum MHD_Result serve_reply_text(serve_request *r, int status, const char *type, const char *text);
enum MHD_Result serve_reply_error(serve_request *r, int status, const char *text);
enum MHD_Result serve_reply_failure(serve_request *r, gd_status status); /* with gd_error() */
enum MHD_Result serve_reply_file(serve_request *r, const char *folder, const char *relative);
enum MHD_Result serve_reply(serve_request *r, int status, struct MHD_Response *response);

/* ---- upload.c ---- */

GD_CHECKED gd_status serve_upload_begin(serve_request *r);
void serve_upload_take(serve_request *r, const char *data, size_t bytes);
enum MHD_Result serve_upload_end(serve_request *r);

/* ---- the page, made from page/ by cmake/embed.cmake ---- */

typedef struct serve_asset {
    const char *path, *type;
    const unsigned char *data;
    size_t bytes;
} serve_asset;
extern const serve_asset serve_assets[];
extern const int serve_n_assets;

#endif
