/* SPDX-License-Identifier: MIT */
/* Every option of every verb, as `guided help --json` lists them, with values that cannot be: the
 * command refuses them with the right status, names the option, and touches nothing. */
#include <fcntl.h>
#include <jansson.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nn/scripts.h"

enum { MOST = 1024, LONG = 4096, SECONDS = 20 };

typedef struct option {
    char verb[32], name[64], type[16], argument[64];
    double min, max;
    bool alias;
} option;

static option options[MOST];
static int n_options;
static char folder[] = "/tmp/guided-options-XXXXXX";
static char long_path[LONG + 1];

/* ---- running the command ---- */

static char said[1 << 16]; /* standard error of the last run */

/* Exit status of guided VERB WORDS... in the folder; a run that takes too long is a failure */
static int guided(const char *verb, const char *a, const char *b, const char *c)
{
    const char *const argv[] = { "guided", verb, a, b, c, NULL };
    int status, ends[2];
    size_t n = 0;
    ssize_t got;

    assert_int_equal(pipe(ends), 0);
    const pid_t pid = fork();
    if (pid == 0) {
        const int null = open("/dev/null", O_RDWR);
        dup2(null, 0);
        dup2(null, 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        alarm(SECONDS); /* outlives exec */
        if (chdir(folder) == 0)
            execv(getenv("GUIDED_BINARY"), (char *const *)argv);
        _exit(127);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + n, sizeof said - 1 - n)) > 0)
        n += (size_t)got;
    said[n] = '\0';
    close(ends[0]);
    waitpid(pid, &status, 0);
    if (!WIFEXITED(status))
        fail_msg("guided %s %.80s %.80s %.80s: signal %d", verb, a ? a : "", b ? b : "", c ? c : "",
                 WTERMSIG(status));
    return WEXITSTATUS(status);
}

static void expect_usage(const option *o, const char *a, const char *b)
{
    char name[80];

    snprintf(name, sizeof name, "--%s", o->name);
    const int status = guided(o->verb, a, b, NULL);
    if (status != 2)
        fail_msg("guided %s %.80s %.80s: status %d: %s", o->verb, a, b ? b : "", status, said);
    if (!strstr(said, name))
        fail_msg("guided %s %.80s %.80s: %s is not named: %s", o->verb, a, b ? b : "", name, said);
}

/* What lies in the folder: nothing but what the tests put there */
static void expect_untouched(void)
{
    char command[256];

    snprintf(command, sizeof command, "test \"$(ls -A %s | sort | tr '\\n' ' ')\" = 'dir fifo '",
             folder);
    if (system(command) != 0)
        fail_msg("something was written");
}

/* ---- the options ---- */

static void read_option(const char *line)
{
    option *o = &options[n_options];
    json_t *j = json_loads(line, 0, NULL);

    assert_non_null(j);
    assert_in_range(n_options, 0, MOST - 1);
    snprintf(o->verb, sizeof o->verb, "%s", json_string_value(json_object_get(j, "verb")));
    snprintf(o->name, sizeof o->name, "%s", json_string_value(json_object_get(j, "name")));
    snprintf(o->type, sizeof o->type, "%s", json_string_value(json_object_get(j, "type")));
    snprintf(o->argument, sizeof o->argument, "%s",
             json_string_value(json_object_get(j, "argument")));
    o->alias = strncmp(json_string_value(json_object_get(j, "about")), "= ", 2) == 0;
    o->min = json_real_value(json_object_get(j, "min"));
    o->max = json_real_value(json_object_get(j, "max"));
    n_options++;
    json_decref(j);
}

static int set_up(void **state)
{
    char command[512], path[128], line[4096];

    (void)state;
    unsetenv("GUIDED_CONFIG");
    memset(long_path, 'a', LONG);
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/fifo", folder);
    if (mkfifo(path, 0600) != 0)
        return -1;
    snprintf(path, sizeof path, "%s/dir", folder);
    if (mkdir(path, 0700) != 0)
        return -1;
    snprintf(command, sizeof command, "%s help --json", getenv("GUIDED_BINARY"));
    FILE *f = popen(command, "r");
    while (f && fgets(line, sizeof line, f))
        read_option(line);
    return f && pclose(f) == 0 && n_options > 100 ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static bool is(const option *o, const char *type)
{
    return strcmp(o->type, type) == 0;
}

static bool is_number(const option *o)
{
    return is(o, "int") || is(o, "real") || is(o, "seed");
}

/* ---- the tests ---- */

static void numbers_that_cannot_be(void **state)
{
    static const char *const values[] = { "nan", "inf", "-1e300", "1e9999", "x", "4x", "1,5" };
    char name[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        const option *o = &options[i];
        snprintf(name, sizeof name, "--%s", o->name);
        for (size_t k = 0; k < sizeof values / sizeof *values && is_number(o); k++)
            expect_usage(o, name, values[k]);
        if (is(o, "int"))
            expect_usage(o, name, "3.5");
    }
    expect_untouched();
}

static void a_number_just_outside_its_range(void **state)
{
    char word[128];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        const option *o = &options[i];
        if (!is(o, "int") && !is(o, "real"))
            continue;
        snprintf(word, sizeof word, "--%s=%.17g", o->name,
                 is(o, "int") ? o->min - 1 : o->min - 0.001);
        expect_usage(o, word, NULL);
        snprintf(word, sizeof word, "--%s=%.17g", o->name,
                 is(o, "int") ? o->max + 1 : o->max * 1.001);
        expect_usage(o, word, NULL);
    }
    expect_untouched();
}

/* The authors' scripts take "" for these: test_flags.sh */
static bool means_none(const option *o)
{
    return strcmp(o->name, "resume_checkpoint") == 0 || strcmp(o->name, "val_data_dir") == 0 ||
           strcmp(o->name, "timestep_respacing") == 0;
}

static void a_value_that_is_missing_or_empty(void **state)
{
    char name[80], empty[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        const option *o = &options[i];
        if (is(o, "switch") || is(o, "count") || is(o, "maybe"))
            continue;
        snprintf(name, sizeof name, "--%s", o->name);
        snprintf(empty, sizeof empty, "--%s=", o->name);
        expect_usage(o, name, NULL);
        expect_usage(o, name, "--quiet");
        if (means_none(o))
            continue;
        expect_usage(o, empty, NULL);
        expect_usage(o, name, "");
    }
    expect_untouched();
}

static const char *some_value(const option *o, char *out, size_t bytes)
{
    if (is(o, "text") && strchr(o->argument, '|'))
        snprintf(out, bytes, "%.*s", (int)strcspn(o->argument, "|"), o->argument);
    else
        snprintf(out, bytes, "%.17g", is(o, "seed") ? 7 : o->min);
    return out;
}

static void an_option_given_twice(void **state)
{
    char once[160], value[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        const option *o = &options[i];
        if (is(o, "count") || gd_script_knows(o->name)) /* of the authors' the last one counts */
            continue;
        if (is(o, "switch"))
            snprintf(once, sizeof once, "--%s", o->name);
        else
            snprintf(once, sizeof once, "--%s=%s", o->name, some_value(o, value, sizeof value));
        expect_usage(o, once, once);
        assert_non_null(strstr(said, "twice"));
    }
    expect_untouched();
}

static void a_switch_that_is_neither_on_nor_off(void **state)
{
    char word[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        if (!is(&options[i], "switch"))
            continue;
        snprintf(word, sizeof word, "--%s=perhaps", options[i].name);
        expect_usage(&options[i], word, NULL);
    }
    expect_untouched();
}

static void a_word_that_is_none_of_a_list(void **state)
{
    char name[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        if (!is(&options[i], "text") || !strchr(options[i].argument, '|'))
            continue;
        snprintf(name, sizeof name, "--%s", options[i].name);
        expect_usage(&options[i], name, "nothing-of-this-kind");
    }
    expect_untouched();
}

static void a_name_with_a_letter_too_many(void **state)
{
    char name[80];

    (void)state;
    for (int i = 0; i < n_options; i++) {
        snprintf(name, sizeof name, "--%sx", options[i].name);
        expect_usage(&options[i], name, NULL); /* the nearest name is offered: contains --NAME */
    }
    expect_untouched();
}

/* A path of 4096 characters, a FIFO, a folder: a status of the list, one line that says so, nothing
 * hangs (alarm), nothing is written.  Outputs are given a place that does not exist. */
static void paths_that_cannot_be(void **state)
{
    static const char *const arguments[] = { "FILE", "FILES", "PATH", "FOLDER", "DIR" };
    const char *const values[] = { long_path, "fifo", "none/such", "dir" };

    (void)state;
    for (int i = 0; i < n_options; i++) {
        const option *o = &options[i];
        bool path = false;
        char name[80];
        for (size_t k = 0; k < sizeof arguments / sizeof *arguments; k++)
            path = path || strcmp(o->argument, arguments[k]) == 0;
        /* a server makes its folder with its parents, in any place, and then serves */
        path = path && strcmp(o->verb, "serve") != 0;
        snprintf(name, sizeof name, "--%s", o->name);
        for (size_t k = 0; path && k < sizeof values / sizeof *values; k++) {
            const int status = guided(o->verb, name, values[k], NULL);
            if (status < 1 || status > 4)
                fail_msg("guided %s %s %.40s: status %d: %s", o->verb, name, values[k], status,
                         said);
            if (strncmp(said, "guided: ", 8) != 0)
                fail_msg("guided %s %s %.40s says: %.200s", o->verb, name, values[k], said);
            expect_untouched();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_cannot_be),
        cmocka_unit_test(a_number_just_outside_its_range),
        cmocka_unit_test(a_value_that_is_missing_or_empty),
        cmocka_unit_test(an_option_given_twice),
        cmocka_unit_test(a_switch_that_is_neither_on_nor_off),
        cmocka_unit_test(a_word_that_is_none_of_a_list),
        cmocka_unit_test(a_name_with_a_letter_too_many),
        cmocka_unit_test(paths_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
