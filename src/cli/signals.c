/* SPDX-License-Identifier: MIT */
/* signals.c - signals that ask a job to stop or to save. */
#include "cli/cli.h"

#include <signal.h>
#include <unistd.h>

static volatile sig_atomic_t stopped_by;
static guided_context *cancelled;
static guided_job *volatile saving;

static void on_signal(int number)
{
    if (stopped_by)
        _exit(128 + number); /* the second signal exits at once */
    stopped_by = number;
    guided_context_cancel(cancelled, true);
}

static void on_save(int number)
{
    (void)number;
    if (saving)
        guided_job_save(saving);
}

void cli_catch_signals(guided_context *context)
{
    struct sigaction action = { .sa_handler = on_signal }, save = { .sa_handler = on_save }, before;

    cancelled = context;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 &&
        before.sa_handler != SIG_IGN) /* ignored under nohup */
        sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &save, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

void cli_signals_save(guided_job *job)
{
    saving = job;
}

int cli_stopped_by(void)
{
    return stopped_by;
}
