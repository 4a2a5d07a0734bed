/* progress.c - how far a run is, and signals that ask it to stop. */
#include "cli/cli.h"

#include <signal.h>
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

static bool stop_wanted(void)
{
    return stopped_by != 0;
}

void cli_catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal }, save = { .sa_handler = on_save }, before;

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    if (sigaction(SIGHUP, NULL, &before) == 0 && before.sa_handler != SIG_IGN) /* nohup */
        sigaction(SIGHUP, &action, NULL);
    sigaction(SIGUSR1, &save, NULL);
    gd_set_stop(stop_wanted);
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

static bool line_open; /* a rewritten line stands on the terminal */

void cli_progress_hide(void)
{
    if (line_open)
        cli_raw_text(stderr, "\r\033[K");
    line_open = false;
}

void cli_progress_start(cli_progress *p, int64_t total, bool quiet)
{
    *p = (cli_progress){ .total = total, .start = gd_seconds() };
    p->quiet = quiet || strcmp(cli_common.progress, "none") == 0;
    p->json = strcmp(cli_common.progress, "json") == 0;
    p->tty = cli_live();
    cli_say_ready();
}

static void show(cli_progress *p)
{
    const double spent = gd_seconds() - p->start, rate = p->done / (spent > 0 ? spent : 1e-9);
    const double left = (p->total - p->done) / rate;
    const char *unit = p->unit ? p->unit : "steps";
    const long long done = p->done, total = p->total;
    const int bar = 24, filled = (int)(bar * done / total);

    line_open = p->tty;
    if (p->tty)
        cli_raw_text(stderr, "\r%.*s%.*s %lld/%lld %s  %.1f/s  %.0f s left \033[K", filled,
                     "########################", bar - filled, "........................", done,
                     total, unit, rate, left);
    else if (p->json)
        fprintf(stderr,
                "{\"step\":%lld,\"total\":%lld,\"per_second\":%.3f,\"seconds_left\":%.1f}\n", done,
                total, rate, left);
    else
        fprintf(stderr, "%3d %%  %lld of %lld %s, %.1f/s, %.0f s left\n", (int)(100 * done / total),
                done, total, unit, rate, left);
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
    if (!p->quiet)
        cli_progress_hide();
}
