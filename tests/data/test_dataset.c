/* SPDX-License-Identifier: MIT */
/* Every kind of image set: what it reads, its labels, and what it refuses. */
#include "data/data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>
#include <zlib.h>
#include <cmocka.h>

enum { N = 5, SIZE = 4, IMAGE = SIZE * SIZE * 3 };

static char folder[64];
static uint8_t pixels[N * IMAGE];
static const int64_t labels[N] = { 2, 0, 1, 2, 0 };

static char *in_folder(const char *name)
{
    static char path[4][256];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[0], "%s/%s", folder, name);
    return path[turn];
}

static int set_up(void **state)
{
    (void)state;
    for (int i = 0; i < N * IMAGE; i++)
        pixels[i] = (uint8_t)(i * 37 + i / 48);
    strcpy(folder, "dataset-test-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static gd_dataset *opened(const char *path, int channels)
{
    const gd_dataset_options o = { .channels = channels };
    gd_dataset *set;

    if (gd_dataset_open(&set, path, &o) != GD_OK)
        fail_msg("%s", gd_error());
    return set;
}

static void refused(const char *path, const char *said)
{
    gd_dataset *set;

    assert_int_not_equal(gd_dataset_open(&set, path, NULL), GD_OK);
    if (!strstr(gd_error(), said))
        fail_msg("%s does not say %s", gd_error(), said);
}

static void check_images(const gd_dataset *set, bool labelled)
{
    assert_int_equal(gd_dataset_count(set), N);
    assert_int_equal(gd_dataset_classes(set), labelled ? 3 : 0);
    for (int i = 0; i < N; i++) {
        gd_image image;
        assert_int_equal(gd_dataset_read(set, i, &image), GD_OK);
        assert_int_equal(image.width * image.height * image.channels, IMAGE);
        assert_memory_equal(image.pixels, pixels + i * IMAGE, IMAGE);
        assert_int_equal(gd_dataset_label(set, i), labelled ? labels[i] : -1);
        gd_image_free(&image);
    }
}

/* ---- npz ---- */

static void write_npz(const char *path, gd_dtype dtype, int64_t n_labels)
{
    const gd_array arrays[2] = { { "arr_0", dtype, 4, { dtype == GD_U8 ? N : 1, SIZE, SIZE, 3 } },
                                 { "arr_1", GD_I64, 1, { n_labels } } };
    const void *const data[2] = { pixels, labels };

    assert_int_equal(gd_npz_write(path, true, arrays, data, n_labels ? 2 : 1), GD_OK);
}

static void npz_is_read(void **state)
{
    gd_dataset *set;

    (void)state;
    write_npz(in_folder("a.npz"), GD_U8, N);
    set = opened(in_folder("a.npz"), 3);
    check_images(set, true);
    assert_null(gd_dataset_class_name(set, 0));
    gd_dataset_close(set);
    write_npz(in_folder("b.npz"), GD_U8, 0);
    set = opened(in_folder("b.npz"), 0);
    check_images(set, false);
    gd_dataset_close(set);
    write_npz(in_folder("c.npz"), GD_F32, 0);
    refused(in_folder("c.npz"), "arr_0 is F32, expected U8");
    write_npz(in_folder("d.npz"), GD_U8, 3);
    refused(in_folder("d.npz"), "3 labels");
}

/* Labels of two widths; images and labels under other names, beside arrays of no use */
static void other_names_and_widths_are_read(void **state)
{
    static const gd_dtype types[] = { GD_U8, GD_I64 }; /* others: tests/cli/test_eval.sh */
    static const char *const names[][2] = { { "arr_0", "arr_1" },
                                            { "images", "labels" },
                                            { "x", "y" },
                                            { "samples", "label" },
                                            { "data", "classes" } };
    uint64_t narrow[N];
    gd_dataset *set;

    (void)state;
    for (int t = 0; t < COUNT(types) * COUNT(names); t++) {
        const gd_dtype type = types[t / COUNT(names)];
        const char *const *name = names[t % COUNT(names)];
        const size_t bytes = gd_dtype_bytes(type);
        const gd_array arrays[3] = { { "extra", GD_U8, 2, { 2, 2 } },
                                     { name[0], GD_U8, 4, { N, SIZE, SIZE, 3 } },
                                     { name[1], type, 1, { N } } };
        const void *const data[3] = { pixels, pixels, narrow };
        for (int i = 0; i < N; i++)
            memcpy((char *)narrow + (size_t)i * bytes, &labels[i], bytes);
        assert_int_equal(gd_npz_write(in_folder("names.npz"), true, arrays, data, 3), GD_OK);
        set = opened(in_folder("names.npz"), 3);
        check_images(set, true);
        gd_dataset_close(set);
    }
    const gd_array two[2] = { { "a", GD_U8, 4, { N, SIZE, SIZE, 3 } },
                              { "b", GD_U8, 4, { N, SIZE, SIZE, 3 } } };
    const void *const data[2] = { pixels, pixels };
    assert_int_equal(gd_npz_write(in_folder("two.npz"), true, two, data, 2), GD_OK);
    refused(in_folder("two.npz"), "has no arr_0, and a and b may both be the images");
}

static void write_floats(const char *path, const float *x, gd_array array)
{
    const void *data[1] = { x };

    array.name = "arr_0";
    array.dtype = GD_F32;
    assert_int_equal(gd_npz_write(path, true, &array, data, 1), GD_OK);
}

static void npz_of_whole_floats_is_read_and_others_get_a_remedy(void **state)
{
    static const struct {
        gd_array shape;
        const char *remedy;
    } shapes[] = {
        { { NULL, GD_F32, 3, { N, SIZE, 3 * SIZE } }, "without a channel: save x[..., None]" },
        { { NULL, GD_F32, 3, { N * SIZE, SIZE, 3 } }, "one image: save x[None]" },
        { { NULL, GD_F32, 4, { N, SIZE, 3, SIZE } }, "RGBA: save x[..., :3]" },
        { { NULL, GD_F32, 2, { N, IMAGE } }, "arr_0 is [5,48], expected [N,H,W,3]" },
    };
    const gd_array images = { NULL, GD_F32, 4, { N, SIZE, SIZE, 3 } };
    float x[N * IMAGE];
    gd_dataset *set;

    (void)state;
    for (int i = 0; i < N * IMAGE; i++)
        x[i] = pixels[i];
    write_floats(in_folder("f.npz"), x, images);
    set = opened(in_folder("f.npz"), 3);
    check_images(set, false);
    gd_dataset_close(set);
    for (int i = 0; i < COUNT(shapes); i++) {
        write_floats(in_folder("f.npz"), x, shapes[i].shape);
        refused(in_folder("f.npz"), shapes[i].remedy);
    }
    x[3] = 0.5f;
    write_floats(in_folder("f.npz"), x, images);
    refused(in_folder("f.npz"), "save x.round().astype(\"uint8\")");
    for (int i = 0; i < N * IMAGE; i++)
        x[i] = (float)pixels[i] / 255;
    write_floats(in_folder("f.npz"), x, images);
    refused(in_folder("f.npz"), "they look like floats in [0,1]");
}

/* ---- IDX ---- */

static void write_file(const char *path, const void *data, size_t bytes)
{
    assert_int_equal(gd_file_put(path, true, data, bytes), GD_OK);
}

static void write_idx(const char *images, const char *names, bool zipped, int n_labels)
{
    unsigned char head[20] = { 0, 0, 8, 4, 0, 0, 0, N, 0, 0, 0, SIZE, 0, 0, 0, SIZE, 0, 0, 0, 3 };
    unsigned char bytes[20 + N * IMAGE], tail[8 + N] = { 0, 0, 8, 1, 0, 0, 0, 0 };

    memcpy(bytes, head, sizeof head);
    memcpy(bytes + sizeof head, pixels, N * IMAGE);
    tail[7] = (unsigned char)n_labels;
    for (int i = 0; i < N; i++)
        tail[8 + i] = (unsigned char)labels[i];
    if (zipped) {
        for (size_t at = 0; at < sizeof bytes; at += sizeof bytes / 3 + 1) { /* three members */
            const size_t n = GD_MIN(sizeof bytes - at, sizeof bytes / 3 + 1);
            gzFile f = gzopen(images, at ? "ab" : "wb");
            assert_int_equal(gzwrite(f, bytes + at, (unsigned)n), n);
            gzclose(f);
        }
    } else {
        write_file(images, bytes, sizeof bytes);
    }
    write_file(names, tail, 8 + (size_t)n_labels);
}

static void idx_is_read(void **state)
{
    gd_dataset *set;
    gd_mapped map;

    (void)state;
    for (int zipped = 0; zipped < 2; zipped++) {
        const char *path = in_folder(zipped ? "z-images-idx3-ubyte.gz" : "t-images-idx3-ubyte");
        write_idx(path, in_folder(zipped ? "z-labels-idx1-ubyte" : "t-labels-idx1-ubyte"), zipped,
                  N);
        set = opened(path, 3);
        check_images(set, true);
        gd_dataset_close(set);
        assert_int_equal(gd_map_file(&map, path), GD_OK);
        write_file(in_folder("short-images-idx3"), map.data, map.bytes - 9);
        gd_unmap(&map);
        refused(in_folder("short-images-idx3"), zipped ? "gzip" : "bytes announced");
    }
    /* Kaggle's names, and its folders */
    write_idx(in_folder("k-images.idx3-ubyte"), in_folder("k-labels.idx1-ubyte"), false, N);
    set = opened(in_folder("k-images.idx3-ubyte"), 3);
    check_images(set, true);
    gd_dataset_close(set);
    assert_int_equal(mkdir(in_folder("f-images-idx3-ubyte"), 0777), 0);
    assert_int_equal(mkdir(in_folder("f-labels-idx1-ubyte"), 0777), 0);
    write_idx(in_folder("f-images-idx3-ubyte/f-images-idx3-ubyte"),
              in_folder("f-labels-idx1-ubyte/f-labels-idx1-ubyte"), false, N);
    set = opened(in_folder("f-images-idx3-ubyte/f-images-idx3-ubyte"), 3);
    check_images(set, true);
    gd_dataset_close(set);
    write_idx(in_folder("w-images-idx3-ubyte"), in_folder("w-labels-idx1-ubyte"), false, 4);
    refused(in_folder("w-images-idx3-ubyte"), "4 labels for 5 images");
}

/* ---- zip ---- */

static void write_png(const char *path, int i)
{
    void *png;
    size_t bytes;

    assert_int_equal(gd_png_encode(&png, &bytes, pixels + i * IMAGE, SIZE, SIZE, 3, NULL, 0),
                     GD_OK);
    write_file(path, png, bytes);
    gd_block_free(png);
}

static void write_zip(const char *path, const char *json)
{
    zip_t *z = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    char name[32];

    for (int i = 0; i < N; i++) {
        char *file;
        snprintf(name, sizeof name, "img%d.png", i);
        file = in_folder(name);
        write_png(file, i);
        snprintf(name, sizeof name, "00000/img%d.png", i);
        assert_true(zip_file_add(z, name, zip_source_file(z, file, 0, 0), 0) >= 0);
    }
    zip_file_add(z, "dataset.json", zip_source_buffer(z, json, strlen(json), 0), 0);
    assert_int_equal(zip_close(z), 0);
}

static void zip_is_read(void **state)
{
    static const char json[] = "{\"labels\":[[\"00000/img1.png\",0],[\"00000/img0.png\",2],"
                               "[\"00000/img2.png\",1],[\"00000/img4.png\",0],"
                               "[\"00000/img3.png\",2]]}";
    gd_dataset *set;

    (void)state;
    write_zip(in_folder("s.zip"), json);
    set = opened(in_folder("s.zip"), 3);
    check_images(set, true);
    gd_dataset_close(set);
    write_zip(in_folder("n.zip"), "{\"labels\":null}");
    set = opened(in_folder("n.zip"), 0);
    check_images(set, false);
    gd_dataset_close(set);
    write_zip(in_folder("m.zip"), "{\"labels\":[[\"00000/img1.png\",0]]}");
    refused(in_folder("m.zip"), "no label for 00000/img0.png");
    write_zip(in_folder("w.zip"), "{\"labels\":[[\"none.png\",0]]}");
    refused(in_folder("w.zip"), "names no image");
}

/* ---- pictures ---- */

static void pictures_are_converted(void **state)
{
    gd_dataset *set;
    gd_image image;

    (void)state;
    write_png(in_folder("one.png"), 1);
    set = opened(in_folder("one.png"), 1);
    assert_int_equal(gd_dataset_count(set), 1);
    assert_int_equal(gd_dataset_read(set, 0, &image), GD_OK);
    assert_int_equal(image.channels, 1);
    for (int k = 0; k < SIZE * SIZE; k++) {
        const uint8_t *p = pixels + IMAGE + 3 * k;
        assert_int_equal(image.pixels[k],
                         (p[0] * 19595 + p[1] * 38470 + p[2] * 7471 + 0x8000) >> 16);
    }
    gd_image_free(&image);
    gd_dataset_close(set);
    write_file(in_folder("text.txt"), "no images here", 14);
    refused(in_folder("text.txt"), "no set of images");
    refused(in_folder("absent"), "No such file");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(npz_is_read),
        cmocka_unit_test(other_names_and_widths_are_read),
        cmocka_unit_test(npz_of_whole_floats_is_read_and_others_get_a_remedy),
        cmocka_unit_test(idx_is_read),
        cmocka_unit_test(zip_is_read),
        cmocka_unit_test(pictures_are_converted),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
