/* SPDX-License-Identifier: MIT */
/* Whole files: under their name whole or not at all, never over another's unasked; what cannot be
 * read or written is named with its reason. */
#define _GNU_SOURCE
#include "base/base.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/guided-files-XXXXXX";

static int enter(void **state)
{
    (void)state;
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

static void expect_content(const char *path, const char *text)
{
    gd_mapped map;

    if (gd_map_file(&map, path) != GD_OK)
        fail_msg("%s", gd_error());
    assert_int_equal(map.bytes, strlen(text));
    assert_memory_equal(map.data, text, map.bytes);
    gd_unmap(&map);
}

static void expect_no_part(void)
{
    glob_t found;

    assert_int_equal(glob("*.part-*", 0, NULL, &found), GLOB_NOMATCH);
    globfree(&found);
}

static void a_file_appears_when_it_is_whole(void **state)
{
    gd_file *f;

    (void)state;
    assert_int_equal(gd_file_create(&f, "a", GD_KEEP, 11), GD_OK);
    assert_int_equal(gd_file_write(f, "hallo ", 6), GD_OK);
    assert_int_equal(gd_file_write(f, "world", 5), GD_OK);
    assert_int_equal(gd_file_write_at(f, 1, "e", 1), GD_OK);
    assert_int_equal(gd_file_write(f, "!", 1), GD_OK); /* behind the end, not behind the place */
    assert_false(gd_path_exists("a"));
    assert_int_equal(gd_file_commit(f), GD_OK);
    expect_content("a", "hello world!");
    expect_no_part();
}

static void an_aborted_file_leaves_nothing(void **state)
{
    gd_file *f;

    (void)state;
    assert_int_equal(gd_file_create(&f, "b", GD_KEEP, 0), GD_OK);
    assert_int_equal(gd_file_write(f, "lost", 4), GD_OK);
    gd_file_abort(f);
    gd_file_abort(NULL);
    assert_false(gd_path_exists("b"));
    expect_no_part();
}

static void what_exists_is_not_replaced_unasked(void **state)
{
    gd_file *f;

    (void)state;
    assert_int_equal(gd_file_put("c", GD_KEEP, "one", 3), GD_OK);
    assert_int_equal(gd_file_put("c", GD_KEEP, "two", 3), GD_EEXISTS);
    assert_non_null(strstr(gd_error(), "--overwrite"));
    expect_content("c", "one");
    assert_int_equal(gd_file_put("c", GD_OVERWRITE, "two", 3), GD_OK);
    expect_content("c", "two");
    /* somebody else was quicker */
    assert_int_equal(gd_file_create(&f, "d", GD_KEEP, 0), GD_OK);
    assert_int_equal(gd_file_write(f, "mine", 4), GD_OK);
    assert_int_equal(gd_file_put("d", GD_KEEP, "theirs", 6), GD_OK);
    assert_int_equal(gd_file_commit(f), GD_EEXISTS);
    expect_content("d", "theirs");
    expect_no_part();
}

static int no_links(const char *from, const char *to)
{
    (void)from;
    (void)to;
    errno = EPERM;
    return -1;
}

/* FAT and some network file systems */
static void a_file_system_without_links_will_do(void **state)
{
    const gd_os_table before = gd_os;

    (void)state;
    gd_os.link = no_links;
    assert_int_equal(gd_file_put("linkless", GD_KEEP, "one", 3), GD_OK);
    assert_int_equal(gd_file_put("linkless", GD_KEEP, "two", 3), GD_EEXISTS);
    gd_os = before;
    expect_content("linkless", "one");
    expect_no_part();
}

static void rows_are_appended(void **state)
{
    (void)state;
    assert_int_equal(gd_file_append("rows", GD_OWN, "1\n", 2, false), GD_OK);
    assert_int_equal(gd_file_append("rows", GD_OWN, "2\n", 2, true), GD_OK);
    expect_content("rows", "1\n2\n");
    assert_int_equal(gd_file_append("none/rows", GD_OWN, "1\n", 2, false), GD_EIO);
    assert_non_null(strstr(gd_error(), "none/rows: No such file"));
}

static void a_full_disk_is_told(void **state)
{
    const struct rlimit little = { 1000, RLIM_INFINITY };
    struct rlimit before;
    char text[3000];
    gd_status s;

    (void)state;
    memset(text, 'x', sizeof text);
    assert_int_equal(gd_file_put("e", GD_KEEP, "old", 3), GD_OK);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ little.rlim_cur, before.rlim_max }),
                     0);
    s = gd_file_put("e", GD_OVERWRITE, text, sizeof text);
    assert_int_equal(s, GD_ENOSPACE);
    assert_non_null(strstr(gd_error(), "e: File too large"));
    s = gd_file_append("long", GD_OWN, text, sizeof text, false);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(s, GD_ENOSPACE);
    expect_content("e", "old");
    expect_no_part();
}

static void what_is_no_file_is_named(void **state)
{
    gd_mapped map;

    (void)state;
    assert_int_equal(gd_map_file(&map, "nowhere"), GD_EFORMAT);
    assert_string_equal(gd_error(), "nowhere: No such file or directory");
    assert_int_equal(gd_map_file(&map, "."), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "a folder"));
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(gd_map_file(&map, "pipe"), GD_EFORMAT); /* and does not wait */
    assert_int_equal(gd_map_file(&map, "/dev/zero"), GD_EFORMAT);
    assert_int_equal(gd_file_put("empty", GD_KEEP, "", 0), GD_OK);
    assert_int_equal(gd_map_file(&map, "empty"), GD_OK);
    assert_int_equal(map.bytes, 0);
    gd_unmap(&map);
    gd_unmap(&map);
    assert_int_equal(gd_file_append("pipe", GD_OVERWRITE, "x", 1, false), GD_EIO); /* no reader */
    assert_int_equal(gd_file_append("/dev/null", GD_OVERWRITE, "x", 1, false), GD_EEXISTS);
}

/* Whoever starts us may have closed them: text meant for the terminal must not go into a file. */
static void files_are_above_the_standard_streams(void **state)
{
    const int before = dup(STDIN_FILENO);
    int fd;

    (void)state;
    close(STDIN_FILENO);
    fd = gd_open("streams", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd > STDERR_FILENO);
    assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
    close(fd);
    dup2(before, STDIN_FILENO);
    close(before);
}

/* A link under the name that users give is followed, one in a folder of ours is not. */
static void links_and_modes(void **state)
{
    struct stat info;

    (void)state;
    assert_int_equal(gd_file_put("real", GD_KEEP, "one", 3), GD_OK);
    assert_int_equal(chmod("real", 0604), 0);
    assert_int_equal(symlink("real", "link"), 0);
    assert_int_equal(symlink("nothing", "dangling"), 0);
    assert_int_equal(gd_file_put("link", GD_KEEP, "two", 3), GD_EEXISTS);
    assert_non_null(strstr(gd_error(), "--overwrite"));
    assert_int_equal(gd_file_put("link", GD_OVERWRITE, "two", 3), GD_OK);
    expect_content("real", "two");
    assert_int_equal(lstat("link", &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    assert_int_equal(stat("real", &info), 0);
    assert_int_equal(info.st_mode & 0777, 0604);
    assert_int_equal(gd_file_append("link", GD_OWN, "x", 1, false), GD_EIO);
    assert_int_equal(gd_file_append("link", GD_OVERWRITE, "x", 1, false), GD_OK);
    expect_content("real", "twox");
    assert_int_equal(gd_file_put("link", GD_OWN, "three", 5), GD_OK);
    expect_content("link", "three");
    expect_content("real", "twox");
    assert_int_equal(gd_file_put("dangling", GD_OVERWRITE, "x", 1), GD_EEXISTS);
    assert_int_equal(gd_file_put("dangling", GD_OWN, "x", 1), GD_OK);
    assert_int_equal(mkdir("folder", 0700), 0);
    for (gd_replace how = GD_KEEP; how <= GD_OWN; how++) {
        assert_int_equal(gd_file_put("folder", how, "x", 1), GD_EEXISTS);
        assert_int_equal(gd_file_put("pipe", how, "x", 1), GD_EEXISTS);
        assert_int_equal(gd_file_check("/dev/null", how), GD_EEXISTS);
    }
    expect_no_part();
}

static void locks_are_files_of_ours(void **state)
{
    int fd;

    (void)state;
    assert_int_equal(gd_lock_file_open(&fd, "lock"), GD_OK);
    assert_true(gd_write(fd, "pid 1 on h\n", 11));
    close(fd);
    assert_int_equal(gd_lock_file_open(&fd, "lock"), GD_OK);
    close(fd);
    assert_int_equal(link("lock", "lock2"), 0);
    assert_int_equal(gd_lock_file_open(&fd, "lock"), GD_EEXISTS);
    assert_int_equal(unlink("lock2"), 0);
    assert_int_equal(symlink("lock", "lock2"), 0);
    assert_int_equal(gd_lock_file_open(&fd, "lock2"), GD_EEXISTS);
    assert_int_equal(gd_lock_file_open(&fd, "pipe"), GD_EEXISTS);
    assert_int_equal(gd_lock_file_open(&fd, "folder"), GD_EEXISTS);
    assert_int_equal(gd_lock_file_open(&fd, "real"), GD_EEXISTS); /* text of somebody */
    expect_content("real", "twox");
}

static void errors_of_the_system_have_their_status(void **state)
{
    static const struct {
        int error;
        gd_status status;
    } of[] = { { ENOSPC, GD_ENOSPACE }, { EDQUOT, GD_ENOSPACE }, { EFBIG, GD_ENOSPACE },
               { ENOMEM, GD_ENOMEM },   { EIO, GD_EIO },         { EACCES, GD_EIO } };

    (void)state;
    for (int i = 0; i < COUNT(of); i++) {
        assert_int_equal(gd_fail_errno(of[i].error, "x"), of[i].status);
        assert_non_null(strstr(gd_error(), strerror(of[i].error)));
    }
}

static void messages_keep_their_lines(void **state)
{
    char longest[5000];

    (void)state;
    assert_int_equal(gd_fail(GD_EIO, "inner %d", 1), GD_EIO);
    gd_detail("hint: look");
    gd_context("outer");
    assert_string_equal(gd_error(), "outer: inner 1\nhint: look");
    assert_int_equal(gd_fail(GD_EIO, "again: %s", gd_error()), GD_EIO); /* from the old message */
    assert_string_equal(gd_error(), "again: outer: inner 1\nhint: look");
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(gd_fail(GD_EIO, "%s", longest), GD_EIO);
    gd_context("%s", longest);
    gd_context("short");
    gd_detail("%s", longest);
    assert_true(strlen(gd_error()) < 4096);
    assert_memory_equal(gd_error(), "short: ", 7);
}

static void text_of_other_systems_is_read(void **state)
{
    static const struct {
        const char *file, *text;
    } cases[] = { { "a\nb\n", "a\nb\n" },
                  { "\xef\xbb\xbf"
                    "a\r\nb\r\n",
                    "a\nb\n" },
                  { "\xef\xbb\xbf", "" },
                  { "a\rb\r\n\r\nc\r", "a\rb\n\nc\r" } };
    size_t bytes;
    char *text;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_equal(gd_file_put("t", true, cases[i].file, strlen(cases[i].file)), GD_OK);
        assert_int_equal(gd_text_read(&text, &bytes, "t"), GD_OK);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(bytes, strlen(cases[i].text));
        gd_block_free(text);
    }
    assert_int_equal(gd_file_put("t", true,
                                 "\xff\xfe"
                                 "a\0",
                                 4),
                     GD_OK);
    assert_int_equal(gd_text_read(&text, &bytes, "t"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "t: text in UTF-16\nhint: save it as UTF-8"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_when_it_is_whole),
        cmocka_unit_test(an_aborted_file_leaves_nothing),
        cmocka_unit_test(what_exists_is_not_replaced_unasked),
        cmocka_unit_test(a_file_system_without_links_will_do),
        cmocka_unit_test(rows_are_appended),
        cmocka_unit_test(a_full_disk_is_told),
        cmocka_unit_test(what_is_no_file_is_named),
        cmocka_unit_test(files_are_above_the_standard_streams),
        cmocka_unit_test(links_and_modes),
        cmocka_unit_test(locks_are_files_of_ours),
        cmocka_unit_test(errors_of_the_system_have_their_status),
        cmocka_unit_test(messages_keep_their_lines),
        cmocka_unit_test(text_of_other_systems_is_read),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
