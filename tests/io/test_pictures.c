/* SPDX-License-Identifier: MIT */
/* Pictures made to cost more than they are: refused at once, in little memory; cut ones are named.
 */
#define _GNU_SOURCE
#include "fixture.h"

#include <stdio.h>
#include <jpeglib.h>
#include <zlib.h>

static void put_big(bytes *to, uint32_t v)
{
    const unsigned char b[4] = { (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                                 (unsigned char)(v >> 8), (unsigned char)v };
    put(to, b, 4);
}

static void put_chunk(bytes *to, const char *type, const void *data, size_t n)
{
    size_t from;

    put_big(to, (uint32_t)n);
    from = to->n;
    put(to, type, 4);
    put(to, data, n);
    put_big(to, (uint32_t)crc32(0, to->data + from, (uInt)(n + 4)));
}

/* A PNG of so many grey pixels whose rows are `packed` */
static bytes make_png(uint32_t width, uint32_t height, const void *packed, size_t n)
{
    bytes png = { 0 }, header = { 0 };

    put(&png, "\x89PNG\r\n\x1a\n", 8);
    put_big(&header, width);
    put_big(&header, height);
    put(&header, "\x08\0\0\0\0", 5);
    put_chunk(&png, "IHDR", header.data, header.n);
    put_chunk(&png, "IDAT", packed, n);
    put_chunk(&png, "IEND", "", 0);
    free(header.data);
    return png;
}

/* Refused within a second and 64 MiB */
static void refuse(bytes file, const char *text)
{
    const size_t before = peak_bytes();
    const double start = gd_seconds();
    gd_image image;

    assert_int_equal(gd_image_decode(&image, file.data, file.n, 3, "bomb"), GD_EFORMAT);
    if (!strstr(gd_error(), text))
        fail_msg("%s does not say %s", gd_error(), text);
    assert_null(image.pixels);
    assert_true(gd_seconds() - start < patience());
    assert_true(peak_bytes() - before < 64u << 20);
    free(file.data);
}

static void pixels_that_no_bytes_hold(void **state)
{
    (void)state;
    refuse(make_png(0x7fffffff, 1, "", 0), "bomb: ");
    refuse(make_png(1, 0x7fffffff, "", 0), "bomb: ");
    refuse(make_png(0x7fffffff, 0x7fffffff, "", 0), "bomb: ");
    refuse(make_png(0, 1, "", 0), "bomb: ");
    refuse(make_png(16384, 16384, "x", 1), "pixels in");
    refuse(make_png(12000, 12000, "x", 1), "hint: --max-pixels 144000000");
}

/* 64 MB of zeros in 64 KB, for a picture of one row */
static void more_rows_than_the_picture_has(void **state)
{
    const uLong n = 64 << 20;
    unsigned char *zeros = calloc(1, n), *packed;
    uLong room = compressBound(n);
    bytes png;
    gd_image image;

    (void)state;
    packed = malloc(room);
    assert_int_equal(compress2(packed, &room, zeros, n, 9), Z_OK);
    png = make_png(8, 1, packed, room);
    free(zeros);
    free(packed);
    const size_t before = peak_bytes();
    const gd_status s = gd_image_decode(&image, png.data, png.n, 3, "bomb");
    assert_true(s == GD_OK || s == GD_EFORMAT); /* what is too much is not inflated */
    assert_true(peak_bytes() - before < 64u << 20);
    if (s == GD_OK)
        gd_image_free(&image);
    free(png.data);
}

static bytes progressive_jpeg(void)
{
    struct jpeg_error_mgr errors;
    struct jpeg_compress_struct jpeg = { .err = jpeg_std_error(&errors) };
    unsigned char pixels[8 * 8] = { 0 }, *out = NULL;
    unsigned long n = 0;
    bytes file = { 0 };

    jpeg_create_compress(&jpeg);
    jpeg_mem_dest(&jpeg, &out, &n);
    jpeg.image_width = jpeg.image_height = 8;
    jpeg.input_components = 1;
    jpeg.in_color_space = JCS_GRAYSCALE;
    jpeg_set_defaults(&jpeg);
    jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < 8; y++)
        jpeg_write_scanlines(&jpeg, (JSAMPROW[]){ pixels + 8 * y }, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    put(&file, out, n);
    free(out);
    return file;
}

/* Each scan asks for a walk over the whole picture. */
static void eighty_thousand_scans(void **state)
{
    bytes jpeg = progressive_jpeg(), bomb = { 0 };
    const unsigned char *scan = memmem(jpeg.data, jpeg.n, "\xff\xda", 2);
    gd_image image;

    (void)state;
    assert_int_equal(gd_image_decode(&image, jpeg.data, jpeg.n, 1, "good"), GD_OK);
    gd_image_free(&image);
    assert_non_null(scan);
    const size_t head = (size_t)(scan - jpeg.data);
    const unsigned char *next = memmem(scan + 2, jpeg.n - head - 2, "\xff", 1);
    assert_non_null(next);
    put(&bomb, jpeg.data, head);
    put_many(&bomb, scan, (size_t)(next - scan), 80000);
    put(&bomb, "\xff\xd9", 2);
    refuse(bomb, "bomb: ");
    free(jpeg.data);
}

static void cut_pictures_are_named(void **state)
{
    const uint8_t pixels[3 * 16] = { 9 };
    bytes jpeg = progressive_jpeg();
    gd_image image;
    size_t n;
    void *png;

    (void)state;
    assert_int_equal(gd_png_encode(&png, &n, pixels, 4, 4, 3, NULL, 0), GD_OK);
    for (size_t cut = 0; cut < n - 16; cut++) { /* a checksum and an empty chunk end it */
        assert_int_equal(gd_image_decode(&image, png, cut, 3, "cut.png"), GD_EFORMAT);
        assert_memory_equal(gd_error(), "cut.png: ", 9);
    }
    for (size_t cut = 0; cut < jpeg.n - 2; cut++) {
        assert_int_equal(gd_image_decode(&image, jpeg.data, cut, 3, "cut.jpg"), GD_EFORMAT);
        assert_memory_equal(gd_error(), "cut.jpg: ", 9);
    }
    gd_block_free(png);
    free(jpeg.data);
}

static void orientations_of_cameras_are_found(void **state)
{
    /* SOI, a comment, APP1 with a directory of two entries, SOS */
    static const unsigned char little[] = "\xff\xd8\xff\xfe\0\4ab\xff\xe1\0\x2a"
                                          "Exif\0\0II*\0\10\0\0\0\2\0"
                                          "\x10\1\2\0\1\0\0\0\0\0\0\0"
                                          "\x12\1\3\0\1\0\0\0\6\0\0\0\xff\xda",
                               big[] = "\xff\xd8\xff\xe1\0\x1e"
                                       "Exif\0\0MM\0*\0\0\0\10\0\1"
                                       "\1\x12\0\3\0\0\0\1\0\10\0\0\xff\xda";
    unsigned char strange[sizeof little];

    (void)state;
    assert_int_equal(io_exif_orientation(little, sizeof little - 1), 6);
    assert_int_equal(io_exif_orientation(big, sizeof big - 1), 8);
    for (size_t n = 0; n < sizeof little - 8; n++) /* cut anywhere */
        assert_int_equal(io_exif_orientation(little, n), 1);
    memcpy(strange, little, sizeof strange);
    strange[sizeof little - 1 - 6] = 9;
    assert_int_equal(io_exif_orientation(strange, sizeof little - 1), 1);
}

static void other_files_are_named(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *text;
    } cases[] = {
        { "GIF89a..", 8, "P: " },
        { "II*\0....", 8, "P: " },
        { "BM......", 8, "P: a BMP picture\nhint: expected PNG, JPEG, " },
        { "\xef\xbb\xbf \r\n<!DOCTYPE HTML>", 21, "P: an HTML page" },
        { "<html lang", 10, "P: an HTML page" },
        { "version https://git-lfs.github.com/spec/v1\n", 43, "P: a Git LFS pointer" },
        { "\0\0\0\0\0\0\0\0\0\0", 10, "a download that was not finished" },
        { "", 0, "P: an empty file" },
        { "\x1f\x8b\10\0", 4, "P: a gzip file\nhint: unpack it first" },
        { "something else", 14, "P: no picture of a kind that is known\nhint: PNG, JPEG, " },
    };
    gd_image image;

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        assert_int_equal(gd_image_decode(&image, cases[i].bytes, cases[i].n, 3, "P"), GD_EFORMAT);
        if (!strstr(gd_error(), cases[i].text))
            fail_msg("no \"%s\" in: %s", cases[i].text, gd_error());
    }
}

/* One colour of four inks, inverted as every program writes them */
static bytes four_inks(const unsigned char ink[4])
{
    struct jpeg_compress_struct j;
    struct jpeg_error_mgr error;
    unsigned char row[8 * 4], *rows[] = { row };
    unsigned char *data = NULL;
    unsigned long n = 0;

    for (size_t i = 0; i < sizeof row; i++)
        row[i] = ink[i % 4];
    j.err = jpeg_std_error(&error);
    jpeg_create_compress(&j);
    jpeg_mem_dest(&j, &data, &n);
    j.image_width = j.image_height = 8;
    j.input_components = 4;
    j.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&j);
    jpeg_set_quality(&j, 100, TRUE);
    jpeg_start_compress(&j, TRUE);
    while (j.next_scanline < 8)
        jpeg_write_scanlines(&j, rows, 1);
    jpeg_finish_compress(&j);
    jpeg_destroy_compress(&j);
    return (bytes){ data, n };
}

/* Pillow reads inks as Adobe writes them, whether the file names Adobe or not */
static void inks_are_inverted_with_and_without_adobe(void **state)
{
    static const struct {
        unsigned char ink[4], rgb[3];
    } cases[] = { { { 255, 255, 255, 255 }, { 255, 255, 255 } },
                  { { 0, 255, 255, 255 }, { 0, 255, 255 } },
                  { { 255, 255, 0, 128 }, { 128, 128, 0 } },
                  { { 255, 255, 255, 0 }, { 0, 0, 0 } } };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        bytes file = four_inks(cases[i].ink);
        unsigned char *adobe = memmem(file.data, file.n, "Adobe", 5);

        assert_non_null(adobe);
        for (int named = 1; named >= 0; named--) {
            gd_image image;
            memcpy(adobe, named ? "Adobe" : "Other", 5);
            assert_int_equal(gd_image_decode(&image, file.data, file.n, 0, "FILE"), GD_OK);
            assert_int_equal(image.channels, 3);
            for (int k = 0; k < 8 * 8 * 3; k++)
                assert_in_range(image.pixels[k] + 1 - cases[i].rgb[k % 3], 0, 2);
            gd_image_free(&image);
        }
        free(file.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orientations_of_cameras_are_found),
        cmocka_unit_test(other_files_are_named),
        cmocka_unit_test(pixels_that_no_bytes_hold),
        cmocka_unit_test(more_rows_than_the_picture_has),
        cmocka_unit_test(eighty_thousand_scans),
        cmocka_unit_test(cut_pictures_are_named),
        cmocka_unit_test(inks_are_inverted_with_and_without_adobe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
