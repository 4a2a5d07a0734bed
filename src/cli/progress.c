/* progress.c - how far a run is, and signals that ask it to stop. */
#include "cli/cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stopped_by, save_wish;

static void on_signal(int number)
{
    if (stopped_by)
        _exit(128 + number); /* the second: at once */
    stopped_by = number;
}

static void on_save(int number)
{
    (void)number;
    save_wish = 1;
}

void cli_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal }, save = { .sa_handler = on_save };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGUSR1, &save, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
}

int cli_stopped_by(void)
{
    return stopped_by;
}

bool cli_take_save_wish(void)
{
    const bool wish = save_wish;
    save_wish = 0;
    return wish;
}

void cli_progress_start(cli_progress *p, int64_t total, bool quiet)
{
    const char *term = getenv("TERM");

    *p = (cli_progress){ .total = total, .quiet = quiet, .start = gd_seconds() };
    p->tty = isatty(STDERR_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

static void show(cli_progress *p)
{
    const double spent = gd_seconds() - p->start, rate = p->done / (spent > 0 ? spent : 1e-9);
    const int bar = 24, filled = (int)(bar * p->done / p->total);
    const char *unit = p->unit ? p->unit : "steps";

    if (p->tty)
        fprintf(stderr, "\r%.*s%.*s %lld/%lld %s  %.1f/s  %.0f s left \033[K", filled,
                "########################", bar - filled, "........................",
                (long long)p->done, (long long)p->total, unit, rate, (p->total - p->done) / rate);
    else
        fprintf(stderr, "%3d %%  %lld of %lld %s, %.1f/s, %.0f s left\n",
                (int)(100 * p->done / p->total), (long long)p->done, (long long)p->total, unit,
                rate, (p->total - p->done) / rate);
    p->last = gd_seconds();
}

/* A terminal line ten times a second; otherwise a line every quarter, or every 30 s */
void cli_progress_step(cli_progress *p)
{
    const int quarter = (int)(4 * ++p->done / p->total);
    const double waited = gd_seconds() - (p->last > 0 ? p->last : p->start);

    if (p->quiet)
        return;
    if (p->tty ? waited > 0.1 || p->done == p->total : quarter > p->quarter || waited > 30)
        show(p);
    p->quarter = quarter;
}

void cli_progress_end(cli_progress *p)
{
    if (!p->quiet && p->tty && p->last > 0)
        fprintf(stderr, "\r\033[K");
}
