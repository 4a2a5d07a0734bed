/* SPDX-License-Identifier: MIT */
/* serve.c - the options of guided serve.  The command is the server: a job of this kind checks the
 * options, and guided_job_get returns them. */
#include "jobs/jobs.h"

typedef struct options {
    const char *listen, *state, *folders, *token;
    int port, threads, max_upload;
} options;

#define AT(field) offsetof(options, field)
static const job_option table[] = {
    { "port", 'p', JOB_INT, "N", "port; 0: any free port (default 8080)", AT(port), 0, 65535 },
    { "listen", 0, JOB_TEXT, "ADDRESS",
      "address to listen on for other machines, 0.0.0.0: all; clients then need a token",
      AT(listen) },
    { "token", 0, JOB_TEXT, "TEXT",
      "token that clients send (default with --listen: drawn and printed)", AT(token) },
    { "state", 0, JOB_TEXT, "FOLDER",
      "folder of jobs, their files and uploads (default ~/.local/state/guided)", AT(state) },
    { "folders", 'f', JOB_TEXT, "LIST", "more folders that jobs may read and write: models/,data/",
      AT(folders) },
    { "max-upload", 0, JOB_INT, "MIB", "largest uploaded file (default 1024)", AT(max_upload), 1,
      1e6 },
    { "threads", 't', JOB_INT, "N", "threads of a job (default: all allowed cores)", AT(threads), 1,
      1024 },
};
#undef AT

static gd_status run(gd_job *job)
{
    options o = { .port = 8080, .max_upload = 1024 };
    job_words w = { .n_words = 0 };

    GD_TRY(job_parse(job, &o, &w));
    if (w.n_words > 0)
        return gd_fail(GD_EUSAGE, "serve: unexpected word %s", w.word[0]);
    return GD_OK;
}

const job_kind job_serve = {
    "serve",
    "run jobs over HTTP, with a page for browsers",
    "serve [options]",
    "guided serve --port 8080",
    table,
    COUNT(table),
    run,
    "Prints the address of a page that makes pictures, shows the prediction at every network call, "
    "branches, fills sheets of scales and steps, restores, evaluates and trains; docs/http.md "
    "describes its HTTP interface. One job runs at a time, the others wait. Waiting and running "
    "jobs are kept in the state folder and continue after a kill. Only this machine can connect, "
    "unless --listen is given. Jobs can use uploaded files, results of other jobs, and files in "
    "--folders."
};
