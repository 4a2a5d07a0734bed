/* SPDX-License-Identifier: MIT */
/* loop.c - for k = 1, 2, ... until nothing fails any more: run, and check what is left. */
#define _GNU_SOURCE
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { EVERY_ONE = 20, MOST = 200000 };

typedef struct state {
    const fault_body *body;
    const fault *fault;
    bool persist;
    int64_t k, hit;
    gd_status status;
    char output[FAULT_MAX_FILES][33], kept[FAULT_MAX_FILES][33]; /* hashes of a clean run */
    char why[512];
    int files;
    size_t held;
} state;

/* ---- output of the commands is not the tests' ---- */

static int saved[2];

static void hide_output(void)
{
    const int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);

    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        saved[i] = fcntl(i + 1, F_DUPFD_CLOEXEC, 100);
        dup2(nowhere, i + 1);
    }
    close(nowhere);
}

static void show_output(void)
{
    fflush(NULL);
    for (int i = 0; i < 2; i++) {
        dup2(saved[i], i + 1);
        close(saved[i]);
    }
}

/* ---- what must hold ---- */

static int breaches;

/* The loop goes on: one look shows all there is. */
static void say(state *s)
{
    if (breaches++ < 400)
        dprintf(saved[1], "%s\n", s->why);
    s->files = fault_open_files();
    s->held = gd_memory_held();
}

int fault_breaches(void)
{
    const int n = breaches;
    breaches = 0;
    return n;
}

static bool breach(state *s, const char *format, ...)
{
    va_list ap;
    char text[400];

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    snprintf(s->why, sizeof s->why, "FAULT_BODY=%s FAULT_KIND=%s%s FAULT_FROM=%lld: %s",
             s->body->name, s->fault->name, s->persist ? " for ever" : "", (long long)s->k, text);
    return false;
}

/* A left-over is no breach where the system would not remove it. */
static bool no_part_left(state *s)
{
    const char *folder = s->body->scratch;
    DIR *dir = folder ? opendir(folder) : NULL;
    const struct dirent *entry;
    bool good = true;

    if (s->persist || strcmp(fault_last_call(), "unlink") == 0)
        good = true;
    else
        while (dir && (entry = readdir(dir)))
            if (strstr(entry->d_name, ".part-"))
                good = breach(s, "%s is left", entry->d_name);
    if (dir)
        closedir(dir);
    return good;
}

static bool check_files(state *s)
{
    char hash[33];

    for (int i = 0; i < FAULT_MAX_FILES && s->body->kept[i]; i++) {
        fault_hash(hash, s->body->kept[i]);
        if (strcmp(hash, s->kept[i]) != 0)
            return breach(s, "%s is lost or another", s->body->kept[i]);
    }
    for (int i = 0; i < FAULT_MAX_FILES && s->body->output[i]; i++) {
        fault_hash(hash, s->body->output[i]);
        if (*hash && strcmp(hash, s->output[i]) != 0)
            return breach(s, "%s is not whole", s->body->output[i]);
        if (!*hash && s->status == GD_OK)
            return breach(s, "%s is missing, and nothing was said", s->body->output[i]);
    }
    return no_part_left(s);
}

static bool is_right_status(const state *s)
{
    switch (s->fault->error) {
    case ENOMEM:
        return s->status == GD_ENOMEM;
    case ENOSPC:
    case EDQUOT:
        return s->status == GD_ENOSPACE;
    default:
        return s->status == GD_EIO;
    }
}

static bool check(state *s)
{
    const int files = fault_open_files();

    if (files != s->files)
        return breach(s, "%d files are open, %d before", files, s->files);
    if (gd_memory_held() != s->held)
        return breach(s, "%zu bytes are kept, %zu before", gd_memory_held(), s->held);
    if (s->status != GD_OK && (s->hit == 0 || s->fault->harmless))
        return breach(s, "failed: %s", gd_error());
    if (s->status == GD_OK && s->hit > 0 && s->fault->only && strcmp(s->fault->only, "fsync") == 0)
        return breach(s, "what is not durable was said to be done");
    if (s->status != GD_OK && !is_right_status(s))
        return breach(s, "status \"%s\": %s", gd_status_text(s->status), gd_error());
    if (s->status != GD_OK && !*gd_error())
        return breach(s, "no reason is given");
    return check_files(s);
}

/* ---- the loop ---- */

static void run(state *s)
{
    fault_prepare(s->body);
    fault_arm(s->fault, s->k, s->persist);
    s->status = fault_run(s->body->line);
    s->hit = fault_disarm();
}

static void run_clean(state *s)
{
    fault_prepare(s->body);
    if (fault_run(s->body->line) != GD_OK && !breach(s, "a clean run fails: %s", gd_error()))
        say(s);
}

static void note_clean_run(state *s)
{
    run_clean(s);
    for (int i = 0; i < FAULT_MAX_FILES && s->body->output[i]; i++)
        fault_hash(s->output[i], s->body->output[i]);
    for (int i = 0; i < FAULT_MAX_FILES && s->body->kept[i]; i++)
        fault_hash(s->kept[i], s->body->kept[i]);
    s->files = fault_open_files();
    s->held = gd_memory_held();
}

static bool chosen(const char *variable, const char *name)
{
    const char *text = getenv(variable);
    return !text || strcmp(text, name) == 0;
}

static int64_t first_k(void)
{
    const char *text = getenv("FAULT_FROM");
    return text ? atoll(text) : 1;
}

void fault_loop(const fault_body *body, const fault *f, bool persist, int every)
{
    state s = { .body = body, .fault = f, .persist = persist, .hit = 1 };
    int64_t runs = 0;

    if (!chosen("FAULT_BODY", body->name) || !chosen("FAULT_KIND", f->name))
        return;
    if (getenv("FAULT_ALL"))
        every = 1;
    hide_output();
    note_clean_run(&s);
    for (s.k = first_k(); s.hit > 0 && s.k < MOST; s.k += s.k < EVERY_ONE ? 1 : every) {
        run(&s);
        runs++;
        if (!check(&s))
            say(&s);
    }
    run_clean(&s);
    show_output();
    print_message("%-9s %-7s %-8s %lld runs\n", body->name, f->name, persist ? "for ever" : "once",
                  (long long)runs);
}
