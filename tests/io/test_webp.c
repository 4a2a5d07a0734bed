/* SPDX-License-Identifier: MIT */
/* WebP: lossless pixels to the byte, alpha dropped, grey by Pillow's rule; damage is refused. */
#include "io/io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <webp/encode.h>
#include <cmocka.h>

enum { W = 13, H = 9 };

static uint8_t rgba[W * H * 4];

static void fill(void)
{
    for (int i = 0; i < W * H * 4; i++)
        rgba[i] = (uint8_t)(i * 37 + i / 52);
}

static void lossless_pixels_are_exact(void **state)
{
    uint8_t *data;
    const size_t bytes = WebPEncodeLosslessRGBA(rgba, W, H, 4 * W, &data);
    const int channels[] = { 0, 3, 1 };
    gd_image image;

    (void)state;
    for (int k = 0; k < COUNT(channels); k++) {
        if (gd_image_decode(&image, data, bytes, channels[k], "x.webp") != GD_OK)
            fail_msg("%s", gd_error());
        assert_int_equal(image.width, W);
        assert_int_equal(image.height, H);
        assert_int_equal(image.channels, channels[k] ? channels[k] : 3);
        for (int i = 0; i < W * H; i++) {
            const uint8_t *p = rgba + 4 * i;
            const unsigned luma = (p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000) >> 16;
            if (p[3] == 0) /* the encoder may give transparent pixels any colour */
                continue;
            if (channels[k] == 1)
                assert_int_equal(image.pixels[i], luma);
            else
                assert_memory_equal(image.pixels + 3 * i, p, 3);
        }
        gd_image_free(&image);
    }
    WebPFree(data);
}

static void damage_is_refused(void **state)
{
    uint8_t *data;
    const size_t bytes = WebPEncodeRGBA(rgba, W, H, 4 * W, 75, &data);
    gd_image image;

    (void)state;
    for (size_t n = 0; n < bytes; n++)
        assert_int_equal(gd_image_decode(&image, data, n, 3, "x.webp"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "x.webp"));
    assert_int_equal(gd_image_decode(&image, data, 20, 3, "x.webp"), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "ends too early"));
    for (size_t at = 0; at < bytes; at++) {
        data[at] ^= 0x40;
        if (gd_image_decode(&image, data, bytes, 3, "x.webp") == GD_OK)
            gd_image_free(&image);
        data[at] ^= 0x40;
    }
    memcpy(data + 8, "WAVE", 4);
    assert_int_equal(gd_image_decode(&image, data, bytes, 3, "x.webp"), GD_EFORMAT);
    WebPFree(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lossless_pixels_are_exact),
        cmocka_unit_test(damage_is_refused),
    };

    fill();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
