/* serve.c - the options of guided serve.  The command is the server: a job of this kind checks
 * them, and guided_job_get gives them. */
#include "jobs/jobs.h"

typedef struct options {
    const char *listen, *state, *folders, *token;
    int port, threads, max_upload;
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    { "port", 'p', JOB_INT, "N", "0: a free one (default 8080)", AT(port), 0, 65535 },
    { "listen", 0, JOB_TEXT, "ADDRESS",
      "for other machines, too: 0.0.0.0 or an address of this one; a token is then needed",
      AT(listen) },
    { "token", 0, JOB_TEXT, "TEXT", "that clients need (default with --listen: drawn, printed)",
      AT(token) },
    { "state", 0, JOB_TEXT, "FOLDER",
      "of jobs, their files and uploads (default ~/.local/state/guided)", AT(state) },
    { "folders", 'f', JOB_TEXT, "LIST", "that jobs may read and write, too: models/,data/",
      AT(folders) },
    { "max-upload", 0, JOB_INT, "MIB", "the largest file (default 1024)", AT(max_upload), 1, 1e6 },
    { "threads", 't', JOB_INT, "N", "of a job (default: all cores that it may use)", AT(threads), 1,
      1024 },
};
#undef AT

static gd_status run(gd_job *job)
{
    options o = { .port = 8080, .max_upload = 1024 };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, &o, &w));
    if (w.n_words > 0)
        return gd_fail(GD_EUSAGE, "serve: %s: only options are taken", w.word[0]);
    return GD_OK;
}

const job_kind job_serve = {
    "serve",
    "jobs over HTTP, and a page for browsers",
    "serve [options]",
    "guided serve --port 8080",
    table,
    COUNT(table),
    run,
    "Prints the address of a page that makes pictures, shows the prediction at every network call, "
    "branches, fills sheets of scales and steps, restores, evaluates and trains; docs/http.md "
    "describes the interface behind it. One job runs at a time, the others wait; what waits or "
    "runs "
    "is kept in the state folder and goes on after a kill. Only this machine can ask, unless "
    "--listen is given. Jobs use files that were uploaded, results of other jobs, and those of "
    "--folders."
};
