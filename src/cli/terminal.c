/* SPDX-License-Identifier: MIT */
/* terminal.c - notices, errors and pictures in half blocks on standard error; write errors of
 * standard output. */
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* ---- the terminal ---- */

/* Opened with the opposite access, so that reading or writing fails as on a closed descriptor. */
void cli_open_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF)
            (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
}

bool cli_is_terminal(void)
{
    const char *term = getenv("TERM");
    return isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

/* The terminal has colours and NO_COLOR is not set */
static bool has_colours(void)
{
    const char *no = getenv("NO_COLOR"); /* no-color.org: any value that is not empty */
    return cli_is_terminal() && !(no && *no);
}

void cli_guard_terminal(void)
{
    FILE *out = gd_plain_stream(STDOUT_FILENO, true), *err = gd_plain_stream(STDERR_FILENO, false);

    if (!out || !err) { /* safe to print unescaped: no file has been read yet */
        fprintf(stderr, "guided: out of memory\n");
        exit(4);
    }
    stdout = out;
    stderr = err;
}

bool cli_raw(FILE *to, const void *data, size_t bytes)
{
    return fflush(to) == 0 && gd_write(to == stdout ? STDOUT_FILENO : STDERR_FILENO, data, bytes);
}

void cli_raw_text(FILE *to, const char *format, ...)
{
    char text[512];
    va_list ap;
    int n;

    va_start(ap, format);
    n = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (n > 0)
        (void)!cli_raw(to, text, GD_MIN((size_t)n, sizeof text - 1));
}

/* ---- notices and errors ---- */

void cli_notice(void *ctx, guided_log_level level, const char *line)
{
    const bool hint = strncmp(line, "hint: ", 6) == 0;

    (void)ctx;
    (void)level;
    cli_progress_hide();
    fprintf(stderr, "%s%s\n", hint ? "" : "guided: ", line);
}

static bool reader_left; /* the reader of the pipe has exited (head, a pager): no error message */

int cli_report(gd_status status)
{
    const bool colour = has_colours();

    if (status != GD_OK && !reader_left && *guided_error()) { /* rank 0 reports */
        cli_progress_hide();
        cli_raw_text(stderr, "%sguided:%s", colour ? "\033[1;31m" : "", colour ? "\033[0m" : "");
        fprintf(stderr, " %s\n", guided_error());
    }
    if (status == GD_EINTERRUPTED)
        return 128 +
               (cli_stopped_by() ? cli_stopped_by() : SIGTERM); /* another rank got the signal */
    return guided_exit_status(status);
}

gd_status cli_flush(void)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return GD_OK;
    reader_left = errno == EPIPE;
    return gd_fail_errno(errno ? errno : EIO, "standard output");
}

static double begun; /* gd_seconds when the program started */

void cli_start_clock(void)
{
    begun = gd_seconds();
}

void cli_report_ready(void)
{
    gd_log(GD_LOG_INFO, "ready after %.2f s", gd_seconds() - begun);
}

/* ---- pictures ---- */

/* The mean colour of the source pixels of cell (x, y) in a picture reduced by the factor `by` */
static void cell(const uint8_t *pixels, int width, int height, int channels, int by, int x, int y,
                 int rgb[3])
{
    int sum[3] = { 0 }, n = 0;

    for (int v = y * by; v < GD_MIN((y + 1) * by, height); v++)
        for (int u = x * by; u < GD_MIN((x + 1) * by, width); u++, n++)
            for (int c = 0; c < 3; c++)
                sum[c] += pixels[(v * width + u) * channels + (channels < 3 ? 0 : c)];
    for (int c = 0; c < 3; c++)
        rgb[c] = n ? sum[c] / n : 0;
}

/* U+2580, the upper half block: the foreground colours the upper pixel, the background the lower */
void cli_show_image(void *ctx, const guided_image *image)
{
    const int width = image->width, height = image->height, channels = image->channels;
    struct winsize size;
    int columns = 80, by = 1, up[3], low[3];

    (void)ctx;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    while ((width + by - 1) / by > columns)
        by++;
    const int w = (width + by - 1) / by, h = (height + by - 1) / by;
    cli_progress_hide();
    for (int y = 0; y < h; y += 2) {
        for (int x = 0; x < w; x++) {
            cell(image->pixels, width, height, channels, by, x, y, up);
            cell(image->pixels, width, height, channels, by, x, y + 1, low);
            cli_raw_text(stderr, "\033[38;2;%d;%d;%d;48;2;%d;%d;%dm\xe2\x96\x80", up[0], up[1],
                         up[2], low[0], low[1], low[2]);
        }
        cli_raw_text(stderr, "\033[0m\n");
    }
}
