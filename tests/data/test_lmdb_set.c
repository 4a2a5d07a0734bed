/* SPDX-License-Identifier: MIT */
/* LSUN's kind of set, made by liblmdb and libwebp: every image in the order of its key; whatever is
 * damaged is refused or reads within the file. */
#define _GNU_SOURCE
#include "data/data.h"

#include <lmdb.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <webp/encode.h>
#include <cmocka.h>

enum { N = 700, MOST_SIDE = 48 };

static char folder[64];

static char *in_folder(const char *name)
{
    static char path[4][128];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[0], "%s/%s", folder, name);
    return path[turn];
}

/* Small ones lie in leaf pages, large ones in overflow pages */
static int side_of(int i)
{
    return i % 7 == 0 ? MOST_SIDE : 4;
}

static uint8_t pixel_of(int i, int k)
{
    return (uint8_t)((uint32_t)(i * 7919 + k + 1) * 2654435761u >> 21);
}

static size_t encode(uint8_t **out, int i)
{
    static uint8_t pixels[MOST_SIDE * MOST_SIDE * 3];
    const int side = side_of(i);

    for (int k = 0; k < side * side * 3; k++)
        pixels[k] = pixel_of(i, k);
    return WebPEncodeLosslessRGB(pixels, side, side, 3 * side, out);
}

static void put(MDB_txn *txn, MDB_dbi dbi, int i)
{
    char key[48];
    uint8_t *data;
    const size_t bytes = encode(&data, i);
    MDB_val k = { (size_t)snprintf(key, sizeof key, "%040d", i), key }, v = { bytes, data };

    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    WebPFree(data);
}

static void make_lmdb(const char *path, int n)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi dbi;

    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_mapsize(env, 64 << 20), 0);
    assert_int_equal(mdb_env_open(env, path, 0, 0666), 0);
    for (int half = 0; half < 2; half++) { /* two transactions: both meta pages are written */
        assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
        assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
        for (int i = half; i < n; i += 2)
            put(txn, dbi, i);
        assert_int_equal(mdb_txn_commit(txn), 0);
    }
    mdb_env_close(env);
}

static int set_up(void **state)
{
    (void)state;
    strcpy(folder, "lmdb-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    make_lmdb(in_folder("many"), N);
    make_lmdb(in_folder("few"), 9);
    make_lmdb(in_folder("none"), 0);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void check_image(const gd_dataset *set, int i)
{
    const int side = side_of(i);
    gd_image image;

    if (gd_dataset_read(set, i, &image) != GD_OK)
        fail_msg("%s", gd_error());
    assert_int_equal(image.width, side);
    assert_int_equal(image.channels, 3);
    for (int k = 0; k < side * side * 3; k++)
        if (image.pixels[k] != pixel_of(i, k))
            fail_msg("image %d, byte %d", i, k);
    gd_image_free(&image);
}

static void every_image_in_order(void **state)
{
    const char *const paths[] = { in_folder("many"), in_folder("many/data.mdb") };
    char name[256];
    gd_dataset *set;

    (void)state;
    for (int p = 0; p < COUNT(paths); p++) {
        if (gd_dataset_open(&set, paths[p], NULL) != GD_OK)
            fail_msg("%s", gd_error());
        assert_int_equal(gd_dataset_count(set), N);
        assert_int_equal(gd_dataset_classes(set), 0);
        for (int i = 0; i < N; i++)
            check_image(set, i);
        gd_dataset_name(set, 12, name, sizeof name);
        assert_non_null(strstr(name, "many/data.mdb: 00000000000"));
        gd_dataset_close(set);
    }
}

static void refused(const char *path, const gd_dataset_options *o, const char *said)
{
    gd_dataset *set;

    assert_int_not_equal(gd_dataset_open(&set, path, o), GD_OK);
    if (!strstr(gd_error(), said))
        fail_msg("no \"%s\" in: %s", said, gd_error());
}

static void wrong_uses_are_refused(void **state)
{
    const gd_dataset_options by_name = { .labels = GD_LABELS_NAME };

    (void)state;
    refused(in_folder("none"), NULL, "holds no images");
    refused(in_folder("few"), &by_name, "has no labels");
}

/* ---- damage ---- */

static uint8_t *load(const char *path, size_t *bytes)
{
    struct stat info;
    FILE *f = fopen(path, "rb");
    uint8_t *data;

    assert_int_equal(stat(path, &info), 0);
    data = malloc((size_t)info.st_size);
    *bytes = fread(data, 1, (size_t)info.st_size, f);
    fclose(f);
    return data;
}

static void store(const char *path, const uint8_t *data, size_t bytes)
{
    FILE *f = fopen(path, "wb");
    assert_int_equal(fwrite(data, 1, bytes, f), bytes);
    fclose(f);
}

/* Refused, or every value can be asked for */
static bool survives(const char *path)
{
    gd_dataset *set;
    gd_image image;

    if (gd_dataset_open(&set, path, NULL) != GD_OK)
        return false;
    for (int64_t i = 0; i < gd_dataset_count(set); i++)
        if (gd_dataset_read(set, i, &image) == GD_OK)
            gd_image_free(&image);
    gd_dataset_close(set);
    return true;
}

static void truncated_files_are_refused(void **state)
{
    size_t bytes;
    uint8_t *data = load(in_folder("few/data.mdb"), &bytes);
    const char *cut = in_folder("cut.mdb");

    (void)state;
    for (size_t n = 1; n < bytes; n += 509) {
        store(cut, data, n);
        if (survives(cut))
            fail_msg("accepted: %zu of %zu bytes", n, bytes);
    }
    free(data);
}

/* Bytes of page headers and nodes all, others here and there, set to 00, to FF and with one bit
 * turned.  Pages that earlier transactions left do not count, so damage there is none. */
static void damaged_bytes_never_read_outside(void **state)
{
    enum { PAGE = 4096, SLOW = 61, MAGIC = 16, VERSION_END = 24 };
    size_t bytes;
    uint8_t *data = load(in_folder("few/data.mdb"), &bytes);
    const char *path = in_folder("bad.mdb");
    int in_tree = 0;

    (void)state;
    for (size_t at = 0; at < bytes; at += at % PAGE < 160 ? 1 : SLOW) {
        const uint8_t old = data[at], turned[] = { 0, 0xff, old ^ 4 };
        for (int k = 0; k < COUNT(turned); k++) {
            data[at] = turned[k];
            store(path, data, bytes);
            const bool meta = at < 2 * PAGE && at % PAGE >= MAGIC && at % PAGE < VERSION_END;
            const bool whole = survives(path);
            if (whole && meta && turned[k] != old)
                fail_msg("accepted: byte %zu set to %d", at, turned[k]);
            in_tree += !whole && at >= 2 * PAGE;
        }
        data[at] = old;
    }
    assert_true(in_tree > 0);
    free(data);
}

static void a_damaged_image_is_named(void **state)
{
    size_t bytes;
    uint8_t *data = load(in_folder("few/data.mdb"), &bytes);
    gd_dataset *set;
    gd_image image;
    int bad = 0;

    (void)state;
    for (uint8_t *at; (at = memmem(data, bytes, "WEBPVP8L", 8));) /* old copies of a page too */
        memcpy(at, "JUNK", 4);
    store(in_folder("junk.mdb"), data, bytes);
    free(data);
    assert_int_equal(gd_dataset_open(&set, in_folder("junk.mdb"), NULL), GD_OK);
    for (int64_t i = 0; i < gd_dataset_count(set); i++) {
        if (gd_dataset_read(set, i, &image) == GD_OK) {
            gd_image_free(&image);
            continue;
        }
        bad++;
        assert_non_null(strstr(gd_error(), "junk.mdb: 0000"));
    }
    assert_int_equal(bad, 9);
    gd_dataset_close(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_image_in_order),
        cmocka_unit_test(wrong_uses_are_refused),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(damaged_bytes_never_read_outside),
        cmocka_unit_test(a_damaged_image_is_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
