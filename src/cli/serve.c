/* SPDX-License-Identifier: MIT */
/* serve.c - guided serve: runs the server with the options of a job of kind "serve". */
#include "cli/cli.h"

#ifdef GUIDED_SERVE
#include "serve/serve.h"

#include <stdlib.h>

static bool stop_wanted(void)
{
    return cli_stopped_by() != 0;
}

static int number(const guided_job *job, const char *name, int otherwise)
{
    const char *text = guided_job_get(job, name);

    return text ? atoi(text) : otherwise;
}

gd_status cli_serve(const guided_job *job)
{
    const serve_options options = { .listen = guided_job_get(job, "listen"),
                                    .port = number(job, "port", 8080),
                                    .state = guided_job_get(job, "state"),
                                    .folders = guided_job_get(job, "folders"),
                                    .token = guided_job_get(job, "token"),
                                    .threads = number(job, "threads", 0),
                                    .upload_mib = number(job, "max-upload", 1024),
                                    .stop_wanted = stop_wanted };
    return serve_run(&options);
}
#else
gd_status cli_serve(const guided_job *job)
{
    (void)job;
    return gd_fail(GD_EUSAGE, "serve: built without libmicrohttpd\n"
                              "hint: scripts/setup, then build again");
}
#endif
