/* SPDX-License-Identifier: MIT */
/* The record file and its folder: whatever fails and whoever works, the result is the same. */
#define _GNU_SOURCE
#include "records/records.h"

#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 7, SIDE = 3, PIXELS = SIDE * SIDE * 3, SMALL = 2 * 2 * 3 };

static const char recipe[] = "{\"seed\":\"5\",\"steps\":\"250\",\"model\":\"a.pt\","
                             "\"model_hash\":\"77\"}";
static const gd_records_layout layout = {
    .n = N, .first = 10, .n_parts = 2, .part = { { 2, 2, 3 }, { SIDE, SIDE, 3 } }, .labelled = true
};
static char root[64], folder[96];

static int remove_one(const char *path, const struct stat *info, int type, struct FTW *at)
{
    (void)info, (void)type, (void)at;
    return remove(path);
}

static int setup(void **state)
{
    (void)state;
    strcpy(root, "/tmp/guided-records-XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(folder, sizeof folder, "%s/run", root);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static const char *inside(const char *name)
{
    static char path[200];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- making ---- */

static gd_status put(gd_records *r, int64_t image)
{
    uint8_t small[SMALL], large[PIXELS];
    const uint8_t *const part[] = { small, large };

    memset(small, (int)image, sizeof small);
    for (int i = 0; i < PIXELS; i++)
        large[i] = (uint8_t)(image * 31 + i);
    return gd_records_put(r, image % 4, part);
}

/* Until the result is there; any failure ends it */
static gd_status work(gd_records *r)
{
    bool finished = gd_records_finished(r);
    gd_claim what;
    int64_t image;
    int count;

    while (!finished) {
        GD_TRY(gd_records_claim(r, 2, &what, &image, &count));
        for (int i = 0; what == GD_CLAIM_IMAGE && i < count; i++)
            GD_TRY(put(r, image + i));
        if (what != GD_CLAIM_IMAGE)
            GD_TRY(gd_records_pack(r, &finished, NULL, NULL, 0));
    }
    return GD_OK;
}

static gd_status whole_run(void)
{
    gd_records *r;
    gd_status s;

    GD_TRY(gd_records_join(&r, folder, false));
    s = gd_records_begin(r, recipe, NULL, &layout);
    if (s == GD_OK)
        s = work(r);
    gd_records_leave(r);
    return s;
}

static void check_npz(const char *name, int side, int64_t bytes, bool large)
{
    gd_bundle *b;
    uint8_t pixels[N * PIXELS];
    int64_t label[N];

    assert_int_equal(gd_bundle_open(&b, inside(name)), GD_OK);
    const gd_array *a = gd_bundle_find(b, "arr_0"), *y = gd_bundle_find(b, "arr_1");
    assert_true(a->dim[0] == N && a->dim[1] == side && a->dim[2] == side && a->dim[3] == 3);
    assert_int_equal(gd_bundle_read(b, a, pixels), GD_OK);
    assert_int_equal(gd_bundle_read(b, y, label), GD_OK);
    for (int i = 0; i < N; i++) {
        assert_int_equal(label[i], (10 + i) % 4);
        for (int k = 0; k < bytes; k++)
            assert_int_equal(pixels[i * bytes + k], (uint8_t)(large ? (10 + i) * 31 + k : 10 + i));
    }
    gd_bundle_close(b);
}

static void check_result(void)
{
    check_npz("stage1_7x2x2x3.npz", 2, SMALL, false);
    check_npz("samples_7x3x3x3.npz", SIDE, PIXELS, true);
    assert_false(gd_path_exists(inside("samples.records")));
}

static gd_records *join(bool share)
{
    gd_records *r;

    assert_int_equal(gd_records_join(&r, folder, share), GD_OK);
    assert_int_equal(gd_records_begin(r, recipe, NULL, &layout), GD_OK);
    return r;
}

static void one_process(void **state)
{
    (void)state;
    assert_int_equal(whole_run(), GD_OK);
    check_result();
    assert_int_equal(whole_run(), GD_OK); /* all done */
    check_result();
}

static void pictures(void **state)
{
    gd_records_layout l = layout;
    gd_records *r;
    gd_image image;

    (void)state;
    l.result = GD_RECORDS_PNG;
    assert_int_equal(gd_records_join(&r, folder, false), GD_OK);
    assert_int_equal(gd_records_begin(r, recipe, NULL, &l), GD_OK);
    assert_int_equal(work(r), GD_OK);
    assert_true(gd_records_finished(r));
    gd_records_leave(r);
    for (int i = 0; i < N; i++) {
        char name[32];
        snprintf(name, sizeof name, "%05d.png", 10 + i);
        assert_int_equal(gd_image_open(&image, inside(name), 3), GD_OK);
        for (int k = 0; k < PIXELS; k++)
            assert_int_equal(image.pixels[k], (uint8_t)((10 + i) * 31 + k));
        gd_image_free(&image);
    }
}

/* ---- several ---- */

/* No image is claimed twice; what a process had that is gone is free at once. */
static void claims(void **state)
{
    gd_records *a, *b, *c;
    gd_claim what;
    int64_t image, other;
    bool finished;
    int count;

    (void)state;
    a = join(true);
    b = join(true);
    assert_int_equal(gd_records_claim(a, 1, &what, &image, &count), GD_OK);
    assert_int_equal(image, 10);
    for (int i = 0; i < N - 1; i++) {
        assert_int_equal(gd_records_claim(b, 1, &what, &other, &count), GD_OK);
        assert_int_equal(what, GD_CLAIM_IMAGE);
        assert_int_equal(other, 11 + i);
        assert_int_equal(put(b, other), GD_OK);
    }
    assert_int_equal(gd_records_claim(b, 1, &what, &other, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_WAIT);
    c = join(true);
    assert_int_equal(gd_records_claim(c, 1, &what, &other, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_WAIT);
    gd_records_leave(a); /* as if it died */
    assert_int_equal(gd_records_claim(c, 1, &what, &other, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_IMAGE);
    assert_int_equal(other, 10);
    assert_int_equal(put(c, other), GD_OK);
    assert_int_equal(gd_records_claim(b, 1, &what, &other, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_NONE);
    assert_int_equal(gd_records_pack(b, &finished, NULL, NULL, 0), GD_OK);
    assert_true(finished);
    assert_int_equal(gd_records_pack(c, &finished, NULL, NULL, 0), GD_OK); /* made by b */
    assert_true(finished);
    gd_records_leave(b);
    gd_records_leave(c);
    check_result();
}

/* Until GD_EFAILED, at most `most` times; how often it waited */
static int wait_long(gd_records *r, double seconds, int most, gd_records *beating)
{
    for (int i = 0; i < most; i++) {
        if (beating)
            assert_int_equal(gd_records_beat(beating), GD_OK);
        if (gd_records_wait(r, seconds) != GD_OK)
            return i;
    }
    return most;
}

/* A process that has images and makes no call is named after the deadline; one that makes calls is
 * waited for, one that only waits itself is not the one that is named. */
static void silent_process(void **state)
{
    char owner[64];
    gd_records *a, *b, *c;
    gd_claim what;
    int64_t image;
    int count;

    (void)state;
    a = join(true);
    b = join(true);
    c = join(true);
    assert_int_equal(gd_records_claim(a, N, &what, &image, &count), GD_OK);
    assert_int_equal(gd_records_claim(b, 1, &what, &image, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_WAIT);
    assert_int_equal(wait_long(b, 1.5, 60, a), 60); /* 3 s */
    assert_true(wait_long(b, 0.5, 60, NULL) < 60);
    snprintf(owner, sizeof owner, "no answer for 0 s from pid %ld on ", (long)getpid());
    assert_true(wait_long(c, 0.4, 60, NULL) < 60);
    assert_non_null(strstr(gd_error(), owner));
    assert_null(strstr(gd_error(), "more")); /* b waits */
    gd_records_leave(a);
    assert_int_equal(gd_records_claim(b, N, &what, &image, &count), GD_OK);
    assert_int_equal(what, GD_CLAIM_IMAGE);
    assert_int_equal(wait_long(c, 0.5, 8, NULL), 8); /* b's claim is a sign of work */
    gd_records_leave(b);
    assert_int_equal(work(c), GD_OK);
    gd_records_leave(c);
    check_result();
}

static void refused(bool first, bool second)
{
    gd_records *a, *b;
    char pid[32];

    a = join(first);
    snprintf(pid, sizeof pid, "in use by pid %ld on ", (long)getpid());
    assert_int_equal(gd_records_join(&b, folder, second), GD_EFAILED);
    assert_non_null(strstr(gd_error(), pid));
    gd_records_leave(a);
    b = join(second); /* free at once */
    gd_records_leave(b);
}

static void without_sharing(void **state)
{
    (void)state;
    refused(false, false);
    refused(false, true);
    refused(true, false);
}

/* ---- recipes ---- */

static gd_status begin_with(const char *other, const char *open)
{
    gd_records *r;
    gd_status s;

    assert_int_equal(gd_records_join(&r, folder, true), GD_OK);
    s = gd_records_begin(r, other, open, &layout);
    gd_records_leave(r);
    return s;
}

static void recipes(void **state)
{
    (void)state;
    assert_int_equal(begin_with(recipe, NULL), GD_OK);
    assert_int_equal(begin_with("{\"seed\":\"6\",\"steps\":\"250\",\"model\":\"a.pt\","
                                "\"model_hash\":\"77\",\"eta\":1.0}",
                                NULL),
                     GD_EEXISTS);
    assert_non_null(strstr(gd_error(), "seed               the run \"5\", now \"6\""));
    assert_non_null(strstr(gd_error(), "eta                the run without, now 1.0"));
    assert_null(strstr(gd_error(), "steps"));
    assert_int_equal(begin_with("{\"seed\":\"6\",\"steps\":\"250\",\"model\":\"b/a.pt\","
                                "\"model_hash\":\"77\"}",
                                "isa,seed"),
                     GD_OK); /* the same model elsewhere, and a seed that nobody chose */
    assert_int_equal(begin_with("{\"seed\":\"5\",\"steps\":\"250\",\"model\":\"a.pt\","
                                "\"model_hash\":\"78\"}",
                                "seed"),
                     GD_EEXISTS);
}

static void foreign_files(void **state)
{
    gd_records *r;

    (void)state;
    r = join(true);
    gd_records_leave(r);
    assert_int_equal(gd_file_put(inside("samples.records"), true, recipe, sizeof recipe), GD_OK);
    assert_int_equal(begin_with(recipe, NULL), GD_EFORMAT);
    assert_int_equal(gd_file_put(inside("run.json"), true, "[1]", 3), GD_OK);
    assert_int_equal(begin_with(recipe, NULL), GD_EFORMAT);
    assert_int_equal(unlink(inside("run.json")), 0);
    assert_int_equal(unlink(inside("samples.records")), 0);
    assert_int_equal(gd_file_put(inside("samples_7x3x3x3.npz"), true, "mine", 4), GD_OK);
    assert_int_equal(begin_with(recipe, NULL), GD_EEXISTS);
}

static void no_space(void **state)
{
    gd_records_layout l = layout;
    gd_records *r;

    (void)state;
    l.n = (int64_t)1 << 40;
    assert_int_equal(gd_records_join(&r, folder, false), GD_OK);
    assert_int_equal(gd_records_begin(r, recipe, NULL, &l), GD_ENOSPACE);
    gd_records_leave(r);
    assert_false(gd_path_exists(inside("run.json")));
    assert_false(gd_path_exists(inside("samples.records")));
}

/* ---- damage ---- */

/* Some at a time: up to the next image that another has */
static void claims_of_several(void **state)
{
    gd_records *a, *b, *c;
    gd_claim what;
    int64_t image;
    int count;

    (void)state;
    a = join(true);
    b = join(true);
    c = join(true);
    assert_int_equal(gd_records_claim(a, 4, &what, &image, &count), GD_OK);
    assert_true(image == 10 && count == 4);
    assert_int_equal(gd_records_claim(b, 1, &what, &image, &count), GD_OK);
    assert_true(image == 14 && count == 1);
    assert_int_equal(put(a, 10), GD_OK);
    assert_int_equal(put(a, 11), GD_OK);
    gd_records_leave(a); /* as if it died with two made */
    assert_int_equal(gd_records_claim(c, 4, &what, &image, &count), GD_OK);
    assert_true(image == 12 && count == 2);
    assert_int_equal(put(c, 12), GD_OK);
    assert_int_equal(put(c, 13), GD_OK);
    assert_int_equal(put(b, 14), GD_OK);
    assert_int_equal(gd_records_claim(b, 1000, &what, &image, &count), GD_OK);
    assert_true(image == 15 && count == N - 5);
    for (int i = 0; i < count; i++)
        assert_int_equal(put(b, 15 + i), GD_OK);
    assert_int_equal(work(c), GD_OK);
    gd_records_leave(b);
    gd_records_leave(c);
    check_result();
}

/* Whichever byte of a record is wrong, the record is made again, and only then is there a result.
 */
static void damaged_records(void **state)
{
    const int head = 2 * 8 + 32, stride = head + SMALL + PIXELS;
    gd_records *r;
    gd_claim what;
    int64_t image;
    bool finished;
    int count;

    (void)state;
    r = join(false);
    for (int i = 0; i < N; i++) {
        assert_int_equal(gd_records_claim(r, 1, &what, &image, &count), GD_OK);
        assert_int_equal(put(r, image), GD_OK);
    }
    for (int at = 0; at < stride; at++) {
        unsigned char byte;
        FILE *f = fopen(inside("samples.records"), "r+");
        assert_int_equal(fseek(f, 2 * 4096 + 3 * stride + at, SEEK_SET), 0);
        assert_int_equal(fread(&byte, 1, 1, f), 1);
        byte ^= 4;
        assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
        assert_int_equal(fwrite(&byte, 1, 1, f), 1);
        assert_int_equal(fclose(f), 0);
        assert_int_equal(gd_records_pack(r, &finished, NULL, NULL, 0), GD_OK);
        assert_false(finished);
        assert_int_equal(gd_records_claim(r, 1, &what, &image, &count), GD_OK);
        assert_int_equal(what, GD_CLAIM_IMAGE);
        assert_int_equal(image, 13);
        assert_int_equal(put(r, image), GD_OK);
    }
    assert_int_equal(work(r), GD_OK);
    gd_records_leave(r);
    check_result();
}

/* ---- a damaged head, recipe or end: what is whole is kept ---- */

enum { IMAGES_MADE = 5 };

static void some_images(void)
{
    gd_records *r = join(false);
    gd_claim what;
    int64_t image;
    int count;

    for (int i = 0; i < IMAGES_MADE; i++) {
        assert_int_equal(gd_records_claim(r, 1, &what, &image, &count), GD_OK);
        assert_int_equal(put(r, image), GD_OK);
    }
    gd_records_leave(r);
}

/* size < 0: one byte at `at` from the beginning is another; else the file has this size */
static void damage(const char *name, long at, long size)
{
    FILE *f = fopen(inside(name), "r+");
    unsigned char byte;

    assert_non_null(f);
    if (size >= 0) {
        assert_int_equal(ftruncate(fileno(f), size), 0);
    } else {
        assert_int_equal(fseek(f, at, SEEK_SET), 0);
        assert_int_equal(fread(&byte, 1, 1, f), 1);
        byte ^= 0x20;
        assert_int_equal(fseek(f, -1, SEEK_CUR), 0);
        assert_int_equal(fwrite(&byte, 1, 1, f), 1);
    }
    assert_int_equal(fclose(f), 0);
}

static int64_t images_kept(void)
{
    gd_records *r = join(false);
    int64_t n;

    assert_int_equal(gd_records_count(r, &n), GD_OK);
    assert_int_equal(work(r), GD_OK);
    gd_records_leave(r);
    check_result();
    return n;
}

static void another_byte(const char *name, long at)
{
    some_images();
    damage(name, at, -1);
    if (images_kept() != IMAGES_MADE)
        fail_msg("%s: byte %ld", name, at);
    assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
}

static void a_damaged_head_or_recipe(void **state)
{
    const long stride = 2 * 8 + 32 + SMALL + PIXELS, end = 2 * 4096 + N * stride;

    (void)state;
    for (long at = 0; at < 300; at += 7)
        another_byte("samples.records", at);
    another_byte("samples.records", 4095);
    for (long at = 0; at < (long)sizeof recipe - 1; at++)
        another_byte("run.json", at);
    for (long at = end; at < end + (long)sizeof recipe - 1 + 64; at += 3)
        another_byte("samples.records", at);
}

static void a_file_that_is_gone_or_cut(void **state)
{
    const long stride = 2 * 8 + 32 + SMALL + PIXELS;

    (void)state;
    some_images();
    assert_int_equal(remove(inside("run.json")), 0);
    assert_int_equal(images_kept(), IMAGES_MADE);
    assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    some_images();
    damage("run.json", 0, 0);
    assert_int_equal(images_kept(), IMAGES_MADE);
    assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    some_images();
    damage("samples.records", 0, 2 * 4096 + 3 * stride + 9); /* loss of power */
    images_kept();
    assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    some_images();
    damage("samples.records", 0, 0);
    assert_int_equal(images_kept(), 0);
}

/* The head alone is damaged, and there is no copy of the recipe: the records prove themselves. */
static void records_prove_themselves(void **state)
{
    const long stride = 2 * 8 + 32 + SMALL + PIXELS;

    (void)state;
    some_images();
    damage("samples.records", 0, 2 * 4096 + N * stride);
    for (int i = 0; i < 100; i++)
        damage("samples.records", i, -1);
    damage("samples.records", 4096 + 2, -1); /* the state of a record that is whole */
    assert_int_equal(images_kept(), IMAGES_MADE);
}

/* Records of another run are neither taken nor overwritten. */
static void another_runs_records(void **state)
{
    char other[sizeof recipe], before[4096], after[4096];
    gd_records *r;
    FILE *f;

    (void)state;
    some_images();
    strcpy(other, recipe);
    *strchr(other, '5') = '6';
    assert_int_equal(rename(inside("samples.records"), "/tmp/guided-records-other"), 0);
    assert_int_equal(remove(inside("run.json")), 0);
    assert_int_equal(gd_records_join(&r, folder, false), GD_OK);
    assert_int_equal(gd_records_begin(r, other, NULL, &layout), GD_OK);
    gd_records_leave(r);
    f = fopen("/tmp/guided-records-other", "r");
    assert_int_equal(fread(before, 1, sizeof before, f), sizeof before);
    fclose(f);
    assert_int_equal(rename("/tmp/guided-records-other", inside("samples.records")), 0);
    assert_int_equal(truncate(inside("samples.records"), 4096 * 2), 0); /* no recipe either */
    assert_int_equal(gd_records_join(&r, folder, false), GD_OK);
    assert_int_equal(gd_records_begin(r, other, NULL, &layout), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "hint: another --output"));
    gd_records_leave(r);
    f = fopen(inside("samples.records"), "r");
    assert_int_equal(fread(after, 1, sizeof after, f), sizeof after);
    fclose(f);
    assert_memory_equal(before, after, sizeof before);
}

/* ---- each call of the system fails in turn ---- */

static gd_os_table kept;
static int countdown, error_number;
static bool hit;

static bool fails(void)
{
    if (--countdown != 0)
        return false;
    hit = true;
    errno = error_number;
    return true;
}

static int bad_open(const char *path, int flags, mode_t mode)
{
    return fails() ? -1 : kept.open(path, flags, mode);
}
static ssize_t bad_pread(int fd, void *data, size_t n, off_t at)
{
    return fails() ? -1 : kept.pread(fd, data, n, at);
}
static ssize_t bad_write(int fd, const void *data, size_t n)
{
    return fails() ? -1 : kept.write(fd, data, n);
}
static ssize_t bad_pwrite(int fd, const void *data, size_t n, off_t at)
{
    return fails() ? -1 : kept.pwrite(fd, data, n, at);
}
static int bad_lock(int fd, int type, off_t at, off_t n)
{
    return fails() ? -1 : kept.lock(fd, type, at, n);
}
static int bad_fallocate(int fd, off_t at, off_t n)
{
    return fails() ? -1 : kept.fallocate(fd, at, n);
}
static int bad_fsync(int fd)
{
    return fails() ? -1 : kept.fsync(fd);
}
static int bad_link(const char *from, const char *to)
{
    return fails() ? -1 : kept.link(from, to);
}
static int bad_rename(const char *from, const char *to)
{
    return fails() ? -1 : kept.rename(from, to);
}
static int bad_unlink(const char *path)
{
    return fails() ? -1 : kept.unlink(path);
}
static int bad_mkdir(const char *path, mode_t mode)
{
    return fails() ? -1 : kept.mkdir(path, mode);
}

static ssize_t short_pwrite(int fd, const void *data, size_t n, off_t at)
{
    return kept.pwrite(fd, data, n > 5 ? 5 : n, at);
}
static ssize_t short_pread(int fd, void *data, size_t n, off_t at)
{
    return kept.pread(fd, data, n > 7 ? 7 : n, at);
}

static void arm(int k, int error)
{
    kept = gd_os;
    countdown = k;
    error_number = error;
    hit = false;
    gd_os = (gd_os_table){ .open = bad_open,
                           .close = kept.close,
                           .read = kept.read,
                           .pread = bad_pread,
                           .write = bad_write,
                           .pwrite = bad_pwrite,
                           .lock = bad_lock,
                           .fallocate = bad_fallocate,
                           .fsync = bad_fsync,
                           .rename = bad_rename,
                           .link = bad_link,
                           .unlink = bad_unlink,
                           .mkdir = bad_mkdir };
}

/* A failure is told, or did no harm; the next run in the folder makes the right result. */
static void failing_calls(void **state)
{
    static const int errors[] = { EIO, ENOSPC, EINTR };

    (void)state;
    for (int e = 0; e < COUNT(errors); e++)
        for (int k = 1;; k++) {
            arm(k, errors[e]);
            const gd_status s = whole_run();
            gd_os = kept;
            if (s == GD_OK)
                check_npz("samples_7x3x3x3.npz", SIDE, PIXELS, true);
            else
                assert_true(*gd_error());
            if (errors[e] == ENOSPC && s != GD_OK)
                assert_true(s == GD_ENOSPACE || s == GD_EFORMAT || s == GD_EIO);
            assert_int_equal(whole_run(), GD_OK);
            check_result();
            assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
            if (!hit)
                break;
            assert_true(k < 1000);
        }
}

static void short_calls(void **state)
{
    (void)state;
    kept = gd_os;
    gd_os.pwrite = short_pwrite;
    gd_os.pread = short_pread;
    const gd_status s = whole_run();
    gd_os = kept;
    assert_int_equal(s, GD_OK);
    check_result();
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(one_process),
        TEST(pictures),
        TEST(claims),
        TEST(silent_process),
        TEST(without_sharing),
        TEST(recipes),
        TEST(foreign_files),
        TEST(no_space),
        TEST(damaged_records),
        TEST(a_damaged_head_or_recipe),
        TEST(a_file_that_is_gone_or_cut),
        TEST(records_prove_themselves),
        TEST(another_runs_records),
        TEST(failing_calls),
        TEST(short_calls),
        TEST(claims_of_several),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
