/* SPDX-License-Identifier: MIT */
/* BMP, PPM, GIF, TIFF and animated WebP: pixel for pixel what Pillow makes of 126 pictures of all
 * kinds (make_pictures.py, passed over where python3-pil is not installed); bombs and cut files are
 * refused. */
#define _GNU_SOURCE
#include "fixture.h"

#include <dirent.h>

static char folder[] = "/tmp/guided-formats-XXXXXX";
static bool made;

static int make(void **state)
{
    char command[1024];
    const char *source = getenv("GUIDED_SOURCE_DIR");

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(command, sizeof command, "/usr/bin/python3 '%s/tests/io/make_pictures.py' %s",
             source ? source : ".", folder);
    const int status = system(command);
    made = status == 0;
    if (!made && status >> 8 != 77)
        fail_msg("make_pictures.py failed");
    return 0;
}

static int remove_all(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

static bytes load(const char *name, const char *suffix)
{
    char path[512];
    bytes out = { 0 };
    gd_mapped map;

    snprintf(path, sizeof path, "%s/%s%s", folder, name, suffix);
    assert_int_equal(gd_map_file(&map, path), GD_OK);
    put(&out, map.data, map.bytes);
    gd_unmap(&map);
    return out;
}

static bool is_built(const char *name)
{
    bool tiff = false, gif = false;

#ifdef GUIDED_TIFF
    tiff = true;
#endif
#ifdef GUIDED_GIF
    gif = true;
#endif
    return (tiff || !strstr(name, ".tif")) && (gif || !strstr(name, ".gif"));
}

static void compare(const char *name, const char *suffix, int channels)
{
    bytes file = load(name, ""), truth = load(name, suffix);
    gd_image image;
    int32_t size[2];

    memcpy(size, truth.data, sizeof size);
    if (gd_image_decode(&image, file.data, file.n, channels, name) != GD_OK)
        fail_msg("%s", gd_error());
    if (image.width != size[0] || image.height != size[1])
        fail_msg("%s: %d x %d", name, image.width, image.height);
    assert_int_equal(truth.n - sizeof size,
                     (size_t)image.width * (size_t)image.height * (size_t)channels);
    for (size_t i = 0; i < truth.n - sizeof size; i++)
        if (image.pixels[i] != truth.data[sizeof size + i])
            fail_msg("%s: byte %zu of %s: %d, Pillow's is %d", name, i, suffix, image.pixels[i],
                     truth.data[sizeof size + i]);
    gd_image_free(&image);
    free(file.data);
    free(truth.data);
}

static bool is_picture(const char *name)
{
    return name[0] != '.' && !gd_ends_with(name, ".rgb") && !gd_ends_with(name, ".grey");
}

static int for_each(void (*check)(const char *name))
{
    DIR *d = opendir(folder);
    int n = 0;

    for (struct dirent *e; (e = readdir(d));)
        if (is_picture(e->d_name) && is_built(e->d_name)) {
            assert_true(gd_image_named(e->d_name));
            check(e->d_name);
            n++;
        }
    closedir(d);
    return n;
}

static void check_pixels(const char *name)
{
    compare(name, ".rgb", 3);
    compare(name, ".grey", 1);
}

static void pixels_are_pillows(void **state)
{
    (void)state;
    if (!made)
        skip();
    assert_true(for_each(check_pixels) >= 60);
}

/* Cut anywhere, or with a byte changed: refused, or a picture; its memory is bounded. */
static void check_damage(const char *name)
{
    bytes file = load(name, "");
    gd_image image;

    for (size_t k = 0; k < 40; k++) {
        unsigned char *copy = malloc(file.n);
        const size_t cut = file.n * k / 40;
        memcpy(copy, file.data, cut);
        if (gd_image_decode(&image, copy, cut, 3, name) == GD_OK)
            gd_image_free(&image);
        else if (cut > 20)
            assert_non_null(strstr(gd_error(), name));
        memcpy(copy, file.data, file.n);
        copy[(k * 7919 + 3) % file.n] ^= (unsigned char)(1 << k % 8);
        if (gd_image_decode(&image, copy, file.n, 3, name) == GD_OK)
            gd_image_free(&image);
        free(copy);
    }
    free(file.data);
}

static void damage_is_refused_or_a_picture(void **state)
{
    (void)state;
    if (!made)
        skip();
    for_each(check_damage);
}

/* ---- bombs ---- */

static void refuse(const void *data, size_t n, const char *text)
{
    const double start = gd_seconds();
    const size_t before = peak_bytes();
    gd_image image;

    assert_int_equal(gd_image_decode(&image, data, n, 3, "bomb"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "bomb: "));
    if (!strstr(gd_error(), text))
        fail_msg("%s does not have %s", gd_error(), text);
    assert_true(gd_seconds() - start < 1);
    assert_true(peak_bytes() - before < 64u << 20);
}

static void sizes_that_no_bytes_hold(void **state)
{
    static const unsigned char bmp[] = "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"
                                       "\0\0\1\0\0\0\1\0\1\0\x18\0\0\0\0\0"
                                       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                               rle[] = "BM\0\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0"
                                       "\4\0\0\0\4\0\0\0\1\0\x08\0\1\0\0\0"
                                       "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                               gif[] = "GIF89a\xff\xff\xff\xff\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\2";

    (void)state;
    refuse(bmp, sizeof bmp - 1, "--max-pixels");
    refuse(rle, sizeof rle - 1, "hint: only uncompressed");
    refuse("P6 65000 65000 255\n", 19, "--max-pixels");
    refuse("P6 99999999999 1 255\n", 21, "no number");
    refuse("P6 12 12 255\nabc", 16, "432 bytes needed");
    refuse("P2 2 2 9\n1 2 3 10\n", 18, "a sample of 10");
    refuse("P1 2 2\n0 1 2 0\n", 15, "neither 0 nor 1");
    if (is_built(".gif"))
        refuse(gif, sizeof gif - 1, "--max-pixels");
}

/* ---- EXIF ---- */

static void put_little(bytes *to, uint32_t v)
{
    put(to, &v, 4);
}

static void put_big(bytes *to, uint32_t v)
{
    v = __builtin_bswap32(v);
    put(to, &v, 4);
}

static void orientations_in_png_and_webp(void **state)
{
    static const char tiff[] = "MM\0*\0\0\0\x08\0\1\x01\x12\0\3\0\0\0\1\0\x08\0\0\0\0\0\0";
    const uint32_t n = sizeof tiff - 1;
    bytes png = { 0 }, webp = { 0 };

    (void)state;
    put(&png, "\x89PNG\r\n\x1a\n", 8);
    put_big(&png, 3);
    put(&png, "tEXta\0b\0\0\0\0", 11);
    put_big(&png, n);
    put(&png, "eXIf", 4);
    put(&png, tiff, n);
    assert_int_equal(io_exif_orientation(png.data, png.n), 8);
    assert_int_equal(io_exif_orientation(png.data, png.n - 9), 1);
    put(&webp, "RIFF\0\0\0\0WEBPVP8X", 16);
    put_little(&webp, 3);
    put(&webp, "abc\0EXIF", 8);
    put_little(&webp, n + 6);
    put(&webp, "Exif\0\0", 6);
    put(&webp, tiff, n);
    assert_int_equal(io_exif_orientation(webp.data, webp.n), 8);
    free(png.data);
    free(webp.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_pillows),
        cmocka_unit_test(damage_is_refused_or_a_picture),
        cmocka_unit_test(sizes_that_no_bytes_hold),
        cmocka_unit_test(orientations_in_png_and_webp),
    };

    return cmocka_run_group_tests(tests, make, remove_all);
}
