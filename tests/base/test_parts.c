/* SPDX-License-Identifier: MIT */
/* Files that are being written: what killed writers left goes, what lives or is not ours stays. */
#define _GNU_SOURCE
#include "base/base.h"

#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[64];

static int enter(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/guided-parts-XXXXXX");
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    char command[80];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static int count(const char *pattern)
{
    glob_t found;
    const int n = glob(pattern, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;

    globfree(&found);
    return n;
}

static void write_some(const char *path)
{
    gd_file *f;

    if (gd_file_create(&f, path, GD_KEEP, 0) != GD_OK || gd_file_write(f, "x", 1) != GD_OK)
        _exit(1);
}

/* A process that dies while it writes */
static void killed_writer(const char *path)
{
    const pid_t child = fork();
    int status;

    if (child == 0) {
        write_some(path);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

/* The next run in another process: each looks once. */
static void next_run(const char *path)
{
    const pid_t child = fork();
    int status;

    if (child == 0)
        _exit(gd_file_put(path, GD_OVERWRITE, "y", 1) == GD_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

static void a_killed_writers_file_goes_with_the_next(void **state)
{
    (void)state;
    killed_writer("00003.png");
    killed_writer("a.png");
    killed_writer("checkpoint-000000012.safetensors");
    assert_int_equal(count("*.part-*"), 3);
    next_run("00000.png"); /* the same command begins with the first picture */
    assert_int_equal(count("00003.png.part-*"), 0);
    assert_int_equal(count("*.part-*"), 2);
    next_run("b.png");
    assert_int_equal(count("*.part-*"), 2);
    gd_part_sweep("./checkpoint-0.safetensors");
    gd_part_sweep("none/checkpoint-0.safetensors");
    assert_int_equal(count("*.part-*"), 1);
    next_run("a.png");
    assert_int_equal(count("*.part-*"), 0);
}

static void a_living_writers_file_stays(void **state)
{
    gd_file *f;

    (void)state;
    assert_int_equal(gd_file_create(&f, "o.npz", GD_KEEP, 0), GD_OK);
    killed_writer("o.npz");
    assert_int_equal(count("o.npz.part-*"), 2);
    next_run("o.npz");
    gd_part_sweep("o.npz"); /* nor does its own process take it */
    assert_int_equal(count("o.npz.part-*"), 1);
    assert_int_equal(gd_file_commit(f), GD_EEXISTS);
    assert_int_equal(count("*.part-*"), 0);
}

static void put(const char *name)
{
    FILE *f = fopen(name, "w");

    assert_non_null(f);
    fputs("precious", f);
    fclose(f);
}

/* Names that look like ours, and ours under the name of another file */
static void files_of_others_stay(void **state)
{
    static const char *const names[] = { "film.part-1.mkv",
                                         "x.npz.part-1.1",
                                         "x.npz.part-1-0123456789abcdef",
                                         "x.npz.part--0123456789abcdef",
                                         ".part-1-0123456789abcdef",
                                         "x.npz.part-1-0123456789abcde",
                                         "x.npz.part-99999999999999999999999999-0123456789abcdef",
                                         "-0123456789abcdef" };
    char name[256];
    glob_t found;

    (void)state;
    for (int i = 0; i < COUNT(names); i++)
        put(names[i]);
    killed_writer("x.npz");
    assert_int_equal(glob("x.npz.part-*", 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc; i++)
        if (!strstr(found.gl_pathv[i], "0123456789abc") && !strstr(found.gl_pathv[i], "-1.1")) {
            snprintf(name, sizeof name, "y%s", found.gl_pathv[i] + 1);
            put(name); /* y.npz.part-..., with the check of x.npz */
        }
    globfree(&found);
    next_run("x.npz");
    next_run("y.npz");
    for (int i = 0; i < COUNT(names); i++)
        assert_true(gd_path_exists(names[i]));
    assert_true(gd_path_exists(name));
    assert_int_equal(count("x.npz.part-*"), 5);
}

static void long_names_and_links(void **state)
{
    char longest[256];

    (void)state;
    memset(longest, 'n', 255);
    longest[255] = '\0';
    killed_writer(longest);
    assert_int_equal(count("nnn*.part-*"), 1);
    next_run(longest);
    assert_int_equal(count("nnn*.part-*"), 0);
    assert_true(gd_path_exists(longest));
    /* behind a link, the part lies beside the file */
    assert_int_equal(mkdir("elsewhere", 0700), 0);
    assert_int_equal(gd_file_put("elsewhere/real", GD_KEEP, "x", 1), GD_OK);
    assert_int_equal(symlink("elsewhere/real", "link"), 0);
    assert_int_equal(gd_file_put("link", GD_OVERWRITE, "y", 1), GD_OK);
    assert_int_equal(count("*.part-*") + count("elsewhere/*.part-*"), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, enter, leave)
    const struct CMUnitTest tests[] = {
        TEST(a_killed_writers_file_goes_with_the_next),
        TEST(a_living_writers_file_stays),
        TEST(files_of_others_stay),
        TEST(long_names_and_links),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
