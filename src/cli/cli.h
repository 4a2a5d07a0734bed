/* SPDX-License-Identifier: MIT */
/* cli.h - the command: a client of guided.h that runs a command line as a job, shows its progress
 * and returns an exit status. */
#ifndef GD_CLI_H
#define GD_CLI_H

#include "base/base.h"

/* ---- terminal.c: standard error and standard output ---- */

/* Opens descriptors 0 to 2 if they are closed at the start.  Otherwise a file could get one of
 * these numbers and receive text meant for the terminal. */
void cli_open_standard_streams(void);
/* From here on standard output and standard error escape control characters, because names, keys
 * and recipes come from files and must not control the terminal.  Only cli_raw writes bytes
 * unchanged. */
void cli_guard_terminal(void);
/* Writes bytes after the text already printed on `to` (stdout or stderr); false: errno is set */
bool cli_raw(FILE *to, const void *data, size_t bytes);
void cli_raw_text(FILE *to, const char *format, ...) GD_PRINTF(2, 3);

bool cli_is_terminal(void);       /* standard error is a terminal that can rewrite a line */
int cli_report(gd_status status); /* prints guided_error(); returns the exit status */
/* Flushes standard output; GD_EIO, GD_ENOSPACE: not all of it could be written */
GD_CHECKED gd_status cli_flush(void);
void cli_notice(void *ctx, guided_log_level level, const char *line); /* a guided_log_fn */
void cli_start_clock(void);
/* With -v: reports the seconds from cli_start_clock to the start of the work */
void cli_report_ready(void);
/* guided_events.image: prints the picture in half blocks on standard error */
void cli_show_image(void *ctx, const guided_image *image);

/* ---- progress.c ---- */

typedef enum cli_mode { CLI_TTY, CLI_PLAIN, CLI_JSON, CLI_NONE } cli_mode;
typedef struct cli_progress {
    const guided_job *job; /* the job's option "progress" decides the mode */
    bool begun;
    cli_mode mode;
    double last; /* gd_seconds of the last output */
    int quarter;
} cli_progress;
void cli_show_progress(void *ctx, const guided_progress *progress); /* guided_events.progress */
void cli_show_partial(void *ctx, const guided_partial *partial);    /* guided_events.partial */
void cli_progress_hide(void); /* call before printing other text on standard error */

/* ---- signals.c ---- */

/* The first SIGINT, SIGTERM or SIGHUP cancels the context, the second exits at once; SIGUSR1 saves.
 */
void cli_catch_signals(guided_context *context);
void cli_signals_save(guided_job *job); /* the job that SIGUSR1 saves; NULL: none */
int cli_stopped_by(void);               /* the number of the first of those signals; 0: none */

/* ---- serve.c ---- */

/* Runs the server with the options of a job of kind "serve" that has run.  GD_EUSAGE: built without
 * libmicrohttpd. */
GD_CHECKED gd_status cli_serve(const guided_job *job);

#endif
