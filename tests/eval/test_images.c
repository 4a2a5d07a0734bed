/* SPDX-License-Identifier: MIT */
/* Sets of images: the same pixels however they are stored and cut into shards, and mistakes that
 * are named before anything is computed. */
#include "eval/eval.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>
#include <cmocka.h>

enum { N = 23, SIZE = 10, CHANNELS = 3, BYTES = SIZE * SIZE * CHANNELS };
static uint8_t pixels[N * BYTES];
static char folder[] = "/tmp/guided-images-XXXXXX";
static const gd_images_options plain = { .channels = CHANNELS };

static const char *path_of(const char *name)
{
    static char path[4][256];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", folder, name);
    return path[next];
}

static void write_array(const char *name, const char *array_name, gd_dtype dtype, int64_t n,
                        int64_t height, int64_t channels, const void *data)
{
    const gd_array array = { array_name, dtype, 4, { n, height, SIZE, channels } };

    assert_int_equal(gd_npz_write(path_of(name), true, &array, &data, 1), GD_OK);
}

static void write_images(const char *name, int64_t first, int64_t n)
{
    write_array(name, "arr_0", GD_U8, n, SIZE, CHANNELS, pixels + first * BYTES);
}

/* The same members, deflated */
static void deflate_file(const char *from, const char *to)
{
    zip_t *in = zip_open(path_of(from), ZIP_RDONLY, NULL);
    zip_t *out = zip_open(path_of(to), ZIP_CREATE | ZIP_TRUNCATE, NULL);

    for (int i = 0; i < zip_get_num_entries(in, 0); i++) {
        zip_stat_t info;
        zip_file_t *file = zip_fopen_index(in, (zip_uint64_t)i, 0);
        assert_int_equal(zip_stat_index(in, (zip_uint64_t)i, 0, &info), 0);
        void *data = malloc(info.size);
        assert_int_equal(zip_fread(file, data, info.size), info.size);
        zip_fclose(file);
        zip_source_t *member = zip_source_buffer(out, data, info.size, 1); /* frees data */
        assert_int_equal(zip_file_add(out, zip_get_name(in, (zip_uint64_t)i, 0), member, 0), i);
        zip_set_file_compression(out, (zip_uint64_t)i, ZIP_CM_DEFLATE, 6);
    }
    assert_int_equal(zip_close(out), 0);
    zip_discard(in);
}

static int make_files(void **state)
{
    char name[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < N * BYTES; i++)
        pixels[i] = (uint8_t)gd_noise_below(256, 1, (uint64_t)i, 0);
    write_images("all.npz", 0, N);
    deflate_file("all.npz", "deflated.npz");
    mkdir(path_of("shards"), 0777);
    write_images("shards/0.npz", 0, 7);
    write_images("shards/1.npz", 7, 1);
    write_images("shards/2.npz", 8, N - 8);
    mkdir(path_of("png"), 0777);
    for (int i = 0; i < N; i++) {
        void *png;
        size_t bytes;
        snprintf(name, sizeof name, "png/%03d.png", i);
        assert_int_equal(
            gd_png_encode(&png, &bytes, pixels + i * BYTES, SIZE, SIZE, CHANNELS, NULL, 0), GD_OK);
        assert_int_equal(gd_file_put(path_of(name), true, png, bytes), GD_OK);
        gd_block_free(png);
    }
    return 0;
}

static int remove_files(void **state)
{
    char command[256];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- the same pixels ---- */

static void assert_all(const char *paths, int64_t piece)
{
    uint8_t found[N * BYTES];
    gd_images *s;

    assert_int_equal(gd_images_open(&s, paths, &plain), GD_OK);
    assert_int_equal(gd_images_count(s), N);
    assert_int_equal(gd_images_height(s), SIZE);
    for (int again = 0; again < 2; again++) {
        memset(found, 0, sizeof found);
        gd_images_rewind(s);
        for (int64_t i = 0; i < N; i += piece)
            assert_int_equal(gd_images_read(s, GD_MIN(piece, N - i), found + i * BYTES), GD_OK);
        assert_memory_equal(found, pixels, sizeof found);
    }
    gd_images_rewind(s);
    assert_int_equal(gd_images_skip(s, 9), GD_OK);
    assert_int_equal(gd_images_read(s, N - 9, found), GD_OK);
    assert_memory_equal(found, pixels + 9 * BYTES, (N - 9) * BYTES);
    gd_images_close(s);
}

static void containers_and_shards_hold_the_same_images(void **state)
{
    char listed[1024];

    (void)state;
    snprintf(listed, sizeof listed, "%s,%s,%s", path_of("shards/0.npz"), path_of("shards/1.npz"),
             path_of("shards/2.npz"));
    for (int64_t piece = 1; piece <= N; piece += 5) {
        assert_all(path_of("all.npz"), piece);
        assert_all(path_of("deflated.npz"), piece);
        assert_all(path_of("png"), piece);
        assert_all(path_of("shards"), piece);
        assert_all(listed, piece);
    }
}

static void fingerprint(const char *paths, char text[33])
{
    gd_images *s;
    gd_hasher *h;

    assert_int_equal(gd_images_open(&s, paths, &plain), GD_OK);
    assert_int_equal(gd_hasher_make(&h), GD_OK);
    assert_int_equal(gd_images_fingerprint(s, h), GD_OK);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    gd_images_close(s);
}

static void fingerprints_tell_sets_apart(void **state)
{
    char a[33], b[33];

    (void)state;
    fingerprint(path_of("all.npz"), a);
    pixels[BYTES]++;
    write_images("other.npz", 0, N);
    pixels[BYTES]--;
    write_images("same.npz", 0, N);
    fingerprint(path_of("other.npz"), b);
    assert_string_not_equal(a, b);
    fingerprint(path_of("same.npz"), b);
    assert_string_equal(a, b);
    fingerprint(path_of("png"), a);
    assert_int_equal(unlink(path_of("png/022.png")), 0);
    fingerprint(path_of("png"), b);
    assert_string_not_equal(a, b);
}

static void images_are_cropped_padded_and_converted(void **state)
{
    const gd_images_options crop = { .channels = 3, .crop = 4 };
    const gd_images_options pad = { .channels = 1, .grey = true, .pad = 12 };
    uint8_t found[12 * 12 * 3];
    gd_images *s;

    (void)state;
    assert_int_equal(gd_images_open(&s, path_of("all.npz"), &crop), GD_OK);
    assert_int_equal(gd_images_height(s), 4);
    assert_int_equal(gd_images_read(s, 1, found), GD_OK);
    gd_images_close(s);
    assert_int_equal(gd_images_open(&s, path_of("all.npz"), &pad), GD_OK);
    assert_int_equal(gd_images_width(s), 12);
    assert_int_equal(gd_images_read(s, 1, found), GD_OK);
    assert_int_equal(found[0], 0);
    assert_int_equal(found[13],
                     (pixels[0] * 19595 + pixels[1] * 38470 + pixels[2] * 7471 + 0x8000) >> 16);
    gd_images_close(s);
}

/* ---- refusals ---- */

static void refuse(const char *paths, gd_status status, const char *text)
{
    gd_images *s;

    assert_int_equal(gd_images_open(&s, paths, &plain), status);
    if (!strstr(gd_error(), text))
        fail_msg("no \"%s\" in: %s", text, gd_error());
}

static void ranges_and_types_are_named(void **state)
{
    static float x[N * BYTES];
    static double wide[N * BYTES];
    static uint8_t cast[N * BYTES];

    (void)state;
    for (int i = 0; i < N * BYTES; i++) {
        x[i] = pixels[i] / 255.f;
        wide[i] = pixels[i] / 127.5 - 1;
        cast[i] = (uint8_t)x[i];
    }
    write_array("bad.npz", "arr_0", GD_F32, N, SIZE, CHANNELS, x);
    refuse(path_of("bad.npz"), GD_EFORMAT, "floats in [0,1]");
    write_array("bad.npz", "arr_0", GD_F64, N, SIZE, CHANNELS, wide);
    refuse(path_of("bad.npz"), GD_EFORMAT, "floats in [-1,1]");
    write_array("bad.npz", "arr_0", GD_U8, N, SIZE, CHANNELS, cast);
    refuse(path_of("bad.npz"), GD_EFORMAT, "no byte of the 23 images is above 1");
    write_array("bad.npz", "arr_0", GD_U8, N, SIZE, 2, pixels);
    refuse(path_of("bad.npz"), GD_EFORMAT, "x[..., :1]");
    write_array("bad.npz", "arr_0", GD_U8, N, CHANNELS, SIZE, pixels);
    refuse(path_of("bad.npz"), GD_EFORMAT, "channels come first: save x.transpose(0, 2, 3, 1)");
    write_array("bad.npz", "arr_0", GD_U8, N, SIZE, 1, pixels);
    refuse(path_of("bad.npz"), GD_EFORMAT, "grey images");
    write_array("bad.npz", "images", GD_U8, N, SIZE, 4, pixels);
    refuse(path_of("bad.npz"), GD_EFORMAT, "has no arr_0");
}

static void empty_and_uneven_sets_are_refused(void **state)
{
    char both[600];

    (void)state;
    write_array("empty.npz", "arr_0", GD_U8, 0, SIZE, CHANNELS, pixels);
    refuse(path_of("empty.npz"), GD_EFORMAT, "holds no images");
    mkdir(path_of("nothing"), 0777);
    refuse(path_of("nothing"), GD_EFORMAT, "holds no images");
    write_array("flat.npz", "arr_0", GD_U8, N, SIZE / 2, CHANNELS, pixels);
    snprintf(both, sizeof both, "%s,%s", path_of("all.npz"), path_of("flat.npz"));
    refuse(both, GD_EFORMAT, "flat.npz: image 0 is 10 x 5, the first image of the set 10 x 10");
    refuse("", GD_EUSAGE, "names no file");
    refuse(path_of("absent.npz"), GD_EFORMAT, "absent.npz");
}

static void pictures_of_several_sizes_are_refused(void **state)
{
    uint8_t found[4 * BYTES];
    gd_images *s;
    void *png;
    size_t bytes;

    (void)state;
    mkdir(path_of("mixed"), 0777);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(gd_png_encode(&png, &bytes, pixels, SIZE - i, SIZE, CHANNELS, NULL, 0),
                         GD_OK);
        assert_int_equal(gd_file_put(path_of(i ? "mixed/b.png" : "mixed/a.png"), true, png, bytes),
                         GD_OK);
        gd_block_free(png);
    }
    assert_int_equal(gd_images_open(&s, path_of("mixed"), &plain), GD_OK);
    assert_int_equal(gd_images_read(s, 2, found), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "mixed/b.png is 9 x 10"));
    gd_images_close(s);
}

/* Truncated anywhere: refused when opened.  A flipped byte of the pixels: with the last of them. */
static void damage_is_found(void **state)
{
    static uint8_t found[N * BYTES];
    gd_mapped map;
    gd_images *s;
    unsigned char *copy;

    (void)state;
    assert_int_equal(gd_map_file(&map, path_of("all.npz")), GD_OK);
    copy = malloc(map.bytes);
    memcpy(copy, map.data, map.bytes);
    for (size_t n = 0; n < map.bytes; n += 97) {
        assert_int_equal(gd_file_put(path_of("cut.npz"), true, copy, n), GD_OK);
        assert_int_equal(gd_images_open(&s, path_of("cut.npz"), &plain), GD_EFORMAT);
    }
    copy[map.bytes / 2] ^= 4;
    assert_int_equal(gd_file_put(path_of("flipped.npz"), true, copy, map.bytes), GD_OK);
    assert_int_equal(gd_images_open(&s, path_of("flipped.npz"), &plain), GD_OK);
    assert_int_equal(gd_images_read(s, N, found), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "checksum"));
    gd_images_close(s);
    free(copy);
    gd_unmap(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(containers_and_shards_hold_the_same_images),
        cmocka_unit_test(fingerprints_tell_sets_apart),
        cmocka_unit_test(images_are_cropped_padded_and_converted),
        cmocka_unit_test(ranges_and_types_are_named),
        cmocka_unit_test(empty_and_uneven_sets_are_refused),
        cmocka_unit_test(pictures_of_several_sizes_are_refused),
        cmocka_unit_test(damage_is_found),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
