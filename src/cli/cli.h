/* cli.h - the command: a client of guided.h that turns words into a job, shows how far it is, and
 * ends with an exit status. */
#ifndef GD_CLI_H
#define GD_CLI_H

#include "base/base.h"

/* ---- terminal.c: what is said on standard error and standard output ---- */

/* Descriptors 0 to 2 that whoever started us closed are taken, so that no file gets one of them and
 * then text meant for the terminal. */
void cli_open_standard_streams(void);
/* From here on what is printed on standard output and standard error is text: names, keys and
 * recipes come from files, and no terminal obeys them.  cli_raw alone writes bytes as they are. */
void cli_guard_terminal(void);
/* Behind what was printed on `to` (stdout or stderr); false: errno says why */
bool cli_raw(FILE *to, const void *data, size_t bytes);
void cli_raw_text(FILE *to, const char *format, ...) GD_PRINTF(2, 3);

bool cli_is_terminal(void);       /* standard error, and one that can rewrite a line */
int cli_report(gd_status status); /* prints guided_error(); the exit status */
/* What printf left behind: GD_EIO, GD_ENOSPACE when standard output could not take all */
GD_CHECKED gd_status cli_flush(void);
void cli_notice(void *ctx, guided_log_level level, const char *line); /* a guided_log_fn */
void cli_start_clock(void);
void cli_say_ready(void); /* with -v: the work itself begins; seconds since cli_start_clock */
/* A picture in half blocks on standard error: a guided_events.image */
void cli_show_image(void *ctx, const guided_image *image);

/* ---- progress.c ---- */

typedef enum cli_mode { CLI_TTY, CLI_PLAIN, CLI_JSON, CLI_NONE } cli_mode;
typedef struct cli_progress {
    const guided_job *job; /* its option "progress" decides the mode */
    bool begun;
    cli_mode mode;
    double last; /* seconds: when something was shown */
    int quarter;
} cli_progress;
void cli_show_progress(void *ctx, const guided_progress *progress); /* guided_events.progress */
void cli_show_partial(void *ctx, const guided_partial *partial);    /* guided_events.partial */
void cli_progress_hide(void); /* before other text on standard error */

/* ---- signals.c ---- */

/* Signals that ask to stop cancel the context, the second ends at once; SIGUSR1 saves. */
void cli_catch_signals(guided_context *context);
void cli_signals_save(guided_job *job); /* the job that SIGUSR1 means; NULL: none */
int cli_stopped_by(void);               /* the signal that asked to stop, 0: none */

/* ---- serve.c ---- */

/* Serves as the options of a job of kind "serve", which has run, want it.  GD_EUSAGE: built without
 * libmicrohttpd. */
GD_CHECKED gd_status cli_serve(const guided_job *job);

#endif
