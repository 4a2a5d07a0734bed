/* SPDX-License-Identifier: MIT */
/* progress.c - the progress of a job: a line that is rewritten, lines of text, or lines of JSON. */
#include "cli/cli.h"

#include <math.h>
#include <string.h>

static bool line_open; /* the terminal shows a line that can be rewritten */

void cli_progress_hide(void)
{
    if (line_open)
        cli_raw_text(stderr, "\r\033[K");
    line_open = false;
}

static cli_mode mode_of(const guided_job *job)
{
    const char *text = guided_job_get(job, "progress");

    if (!text || strcmp(text, "auto") == 0)
        return cli_is_terminal() ? CLI_TTY : CLI_PLAIN;
    return strcmp(text, "tty") == 0    ? CLI_TTY
           : strcmp(text, "json") == 0 ? CLI_JSON
           : strcmp(text, "none") == 0 ? CLI_NONE
                                       : CLI_PLAIN;
}

static double left_of(const guided_progress *p)
{
    return (double)(p->total - p->done) / p->per_second;
}

/* ---- training: loss and images per second ---- */

static void print_training_json(const guided_progress *p)
{
    fprintf(stderr, "{\"step\":%lld,\"total\":%lld,\"images_per_second\":%.3f", (long long)p->done,
            (long long)p->total, p->images_per_second);
    if (!isnan(p->loss))
        fprintf(stderr, ",\"loss\":%.6g", p->loss);
    fprintf(stderr, ",\"skipped\":%lld}\n", (long long)p->skipped);
}

static void print_training(const guided_progress *p)
{
    const double left = left_of(p);

    fprintf(stderr, "step %lld", (long long)p->done);
    if (p->total > 0)
        fprintf(stderr, "/%lld", (long long)p->total);
    if (!isnan(p->loss))
        fprintf(stderr, "  loss %.4f", p->loss);
    fprintf(stderr, "  %.1f images/s", p->images_per_second);
    if (p->total > 0 && left >= 5400)
        fprintf(stderr, ", %.1f h left", left / 3600);
    else if (p->total > 0)
        fprintf(stderr, ", %.0f min left", ceil(left / 60));
    if (p->skipped > 0)
        fprintf(stderr, ", %lld updates skipped", (long long)p->skipped);
}

static void show_training(cli_progress *c, const guided_progress *p)
{
    if (c->mode == CLI_JSON) {
        print_training_json(p);
        return;
    }
    if (c->mode == CLI_TTY)
        cli_raw_text(stderr, "\r");
    print_training(p);
    if (c->mode == CLI_TTY)
        cli_raw_text(stderr, " \033[K");
    if (c->mode != CLI_TTY || p->ended)
        fprintf(stderr, "\n");
    line_open = c->mode == CLI_TTY && !p->ended;
}

/* ---- other jobs: units finished of the total ---- */

static void show_count(cli_progress *c, const guided_progress *p)
{
    const long long done = p->done, total = p->total;
    const int bar = 24, filled = (int)(bar * done / total);

    line_open = c->mode == CLI_TTY;
    if (c->mode == CLI_TTY)
        cli_raw_text(stderr, "\r%.*s%.*s %lld/%lld %s  %.1f/s  %.0f s left \033[K", filled,
                     "########################", bar - filled, "........................", done,
                     total, p->unit, p->per_second, left_of(p));
    else if (c->mode == CLI_JSON)
        fprintf(stderr,
                "{\"step\":%lld,\"total\":%lld,\"per_second\":%.3f,\"seconds_left\":%.1f}\n", done,
                total, p->per_second, left_of(p));
    else
        fprintf(stderr, "%3d %%  %lld of %lld %s, %.1f/s, %.0f s left\n", (int)(100 * done / total),
                done, total, p->unit, p->per_second, left_of(p));
}

/* On a terminal ten times a second; otherwise after each quarter or 30 s */
static bool due(cli_progress *c, const guided_progress *p)
{
    const double waited = gd_seconds() - c->last;
    const int quarter = p->total > 0 ? (int)(4 * p->done / p->total) : 0;
    bool wanted;

    if (strcmp(p->unit, "updates") == 0)
        return waited > (c->mode == CLI_TTY ? 0.2 : 30);
    wanted = c->mode == CLI_TTY ? waited > 0.1 || p->done == p->total
                                : quarter > c->quarter || waited > 30;
    c->quarter = quarter;
    return wanted;
}

/* A job sends these events only with --progress json. */
void cli_show_partial(void *ctx, const guided_partial *p)
{
    (void)ctx;
    fprintf(stderr, "{\"metric\":\"%s\",\"samples\":%lld,\"total\":%lld,\"value\":%.9g", p->metric,
            (long long)p->samples, (long long)p->total, p->value);
    if (!isnan(p->deviation))
        fprintf(stderr, ",\"deviation\":%.6g", p->deviation);
    fprintf(stderr, "}\n");
}

void cli_show_progress(void *ctx, const guided_progress *p)
{
    cli_progress *c = ctx;
    const bool training = strcmp(p->unit, "updates") == 0;

    if (!c->begun) {
        cli_report_ready();
        c->mode = mode_of(c->job);
    }
    if (!c->begun || (p->done == 0 && !p->ended)) { /* a job may count several times */
        c->last = gd_seconds();
        c->quarter = 0;
    }
    c->begun = true;
    if (c->mode == CLI_NONE)
        return;
    if (p->ended && !training) {
        cli_progress_hide();
        return;
    }
    if ((p->done == 0 && !training) || (!p->ended && !due(c, p)))
        return;
    (training ? show_training : show_count)(c, p);
    c->last = gd_seconds();
}
