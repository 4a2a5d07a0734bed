/* SPDX-License-Identifier: MIT */
/* Every kind of PNG there is, by colours, depth, interlacing and transparency: the pixels that
 * Pillow makes of it, computed here from the samples that went in; and texts of every kind. */
#define _GNU_SOURCE
#include "fixture.h"

#include <zlib.h>

enum { GREY = 0, RGB = 2, PALETTE = 3, GREY_ALPHA = 4, RGB_ALPHA = 6 };
enum { MOST = 40, SAMPLES = 4 * MOST * MOST };

typedef struct picture {
    int width, height, colours, depth;
    bool interlaced;
    uint16_t sample[SAMPLES]; /* [height][width][channels] */
    uint8_t palette[256][3];
} picture;

static int channels_of(int colours)
{
    return colours == RGB ? 3 : colours == GREY_ALPHA ? 2 : colours == RGB_ALPHA ? 4 : 1;
}

static void put_big(bytes *to, uint32_t v)
{
    const uint32_t big = __builtin_bswap32(v);
    put(to, &big, 4);
}

static void put_chunk(bytes *to, const char *type, const void *data, size_t n)
{
    const size_t from = to->n + 4;

    put_big(to, (uint32_t)n);
    put(to, type, 4);
    put(to, data, n);
    put_big(to, (uint32_t)crc32(0, to->data + from, (uInt)(n + 4)));
}

/* The rows of every dx-th pixel from x0 of every dy-th line from y0, without filter */
static void put_pass(bytes *to, const picture *p, int x0, int y0, int dx, int dy)
{
    const int channels = channels_of(p->colours);

    for (int y = y0; y < p->height && x0 < p->width; y += dy) {
        unsigned char row[1 + 8 * MOST] = { 0 };
        int bit = 8;
        for (int x = x0; x < p->width; x += dx)
            for (int c = 0; c < channels; c++, bit += p->depth) {
                const unsigned v = p->sample[(y * p->width + x) * channels + c];
                if (p->depth == 16)
                    row[bit / 8] = (unsigned char)(v >> 8);
                row[(bit + p->depth - 1) / 8] |=
                    (unsigned char)(v << ((8 - (bit + p->depth) % 8) % 8));
            }
        put(to, row, (size_t)(bit + 7) / 8);
    }
}

static bytes encode(const picture *p, bool transparent)
{
    static const int pass[7][4] = { { 0, 0, 8, 8 }, { 4, 0, 8, 8 }, { 0, 4, 4, 8 }, { 2, 0, 4, 4 },
                                    { 0, 2, 2, 4 }, { 1, 0, 2, 2 }, { 0, 1, 1, 2 } };
    const unsigned char rest[5] = { (unsigned char)p->depth, (unsigned char)p->colours, 0, 0,
                                    p->interlaced };
    bytes png = { 0 }, head = { 0 }, rows = { 0 };
    unsigned char packed[65536];
    uLong n = sizeof packed;

    put(&png, "\x89PNG\r\n\x1a\n", 8);
    put_big(&head, (uint32_t)p->width);
    put_big(&head, (uint32_t)p->height);
    put(&head, rest, sizeof rest);
    put_chunk(&png, "IHDR", head.data, head.n);
    put_chunk(&png, "gAMA", "\0\0\xb1\x8f", 4); /* changes no pixel, as the next */
    put_chunk(&png, "acTL", "\0\0\0\x02\0\0\0\0", 8);
    if (p->colours == PALETTE)
        put_chunk(&png, "PLTE", p->palette, (size_t)3 << p->depth);
    if (transparent)
        put_chunk(&png, "tRNS", "\0\x01\0\x01\0\x01", p->colours == RGB ? 6 : 2);
    for (int i = 0; i < 7 && p->interlaced; i++)
        put_pass(&rows, p, pass[i][0], pass[i][1], pass[i][2], pass[i][3]);
    if (!p->interlaced)
        put_pass(&rows, p, 0, 0, 1, 1);
    assert_int_equal(compress(packed, &n, rows.data, rows.n), Z_OK);
    put_chunk(&png, "IDAT", packed, n / 2);
    put_chunk(&png, "IDAT", packed + n / 2, n - n / 2);
    put_chunk(&png, "IEND", "", 0);
    free(head.data);
    free(rows.data);
    return png;
}

/* Channel c of pixel i as a byte */
static unsigned expected(const picture *p, int i, int c)
{
    const int channels = channels_of(p->colours);
    const bool grey = p->colours == GREY || p->colours == GREY_ALPHA;
    const unsigned v = p->sample[i * channels + (grey || p->colours == PALETTE ? 0 : c)];

    if (p->colours == PALETTE)
        return p->palette[v][c];
    if (p->colours == GREY && p->depth == 16)
        return GD_MIN(v, 255u); /* an integer image of Pillow's: clipped */
    return p->depth == 16 ? v >> 8 : v * (255u / ((1u << p->depth) - 1));
}

static void check(const picture *p, bool transparent)
{
    bytes png = encode(p, transparent);
    gd_image image;

    if (gd_image_decode(&image, png.data, png.n, 3, "kind") != GD_OK)
        fail_msg("colours %d, depth %d: %s", p->colours, p->depth, gd_error());
    assert_int_equal(image.width, p->width);
    assert_int_equal(image.height, p->height);
    for (int i = 0; i < p->width * p->height; i++)
        for (int c = 0; c < 3; c++)
            if (image.pixels[3 * i + c] != expected(p, i, c))
                fail_msg("colours %d, depth %d, %s: pixel %d is %d, not %u", p->colours, p->depth,
                         p->interlaced ? "interlaced" : "plain", i, image.pixels[3 * i + c],
                         expected(p, i, c));
    gd_image_free(&image);
    free(png.data);
}

static void every_kind(void **state)
{
    static const struct {
        int colours, depth[5];
    } kinds[] = { { GREY, { 1, 2, 4, 8, 16 } },
                  { RGB, { 8, 16 } },
                  { PALETTE, { 1, 2, 4, 8 } },
                  { GREY_ALPHA, { 8, 16 } },
                  { RGB_ALPHA, { 8, 16 } } };
    picture *p = calloc(1, sizeof *p);
    uint64_t n = 0;

    (void)state;
    for (int k = 0; k < COUNT(kinds); k++)
        for (int d = 0; d < 5 && kinds[k].depth[d]; d++)
            for (int variant = 0; variant < 4; variant++) {
                p->colours = kinds[k].colours;
                p->depth = kinds[k].depth[d];
                p->interlaced = variant & 1;
                p->width = 1 + (int)gd_noise_below(MOST, 1, n, 0);
                p->height = 1 + (int)gd_noise_below(MOST, 1, n++, 1);
                for (uint32_t i = 0; i < SAMPLES; i++)
                    p->sample[i] = (uint16_t)gd_noise_below(1u << p->depth, 2, n, i);
                for (int i = 0; i < 256 * 3; i++)
                    p->palette[i / 3][i % 3] = (uint8_t)gd_noise_below(256, 3, n, (uint32_t)i);
                check(p, (variant & 2) && p->colours <= PALETTE);
            }
    free(p);
}

/* ---- texts ---- */

static void put_deflated(bytes *to, const char *text)
{
    unsigned char packed[1024];
    uLong n = sizeof packed;

    assert_int_equal(compress(packed, &n, (const Bytef *)text, strlen(text)), Z_OK);
    put(to, packed, n);
}

static const char *write_texts(size_t cut, size_t damage)
{
    const char *path = temporary("texts.png");
    bytes png = { 0 }, zipped = { 0 }, long_text = { 0 };

    put(&zipped, "zipped\0", 8);
    put_deflated(&zipped, "of zTXt");
    put(&long_text, "itxt\0\x01\0de\0Wort", 14);
    put(&long_text, "", 1);
    put_deflated(&long_text, "of iTXt");
    put(&png, "\x89PNG\r\n\x1a\n", 8);
    put_chunk(&png, "IHDR", "\0\0\0\x01\0\0\0\x01\x08\0\0\0\0", 13);
    put_chunk(&png, "tEXt", "plain\0of tEXt", 13);
    put_chunk(&png, "zTXt", zipped.data, zipped.n);
    put_chunk(&png, "IDAT", "not even deflated", 17);
    put_chunk(&png, "iTXt", long_text.data, long_text.n); /* behind the pixels */
    put_chunk(&png, "iTXt", "plain\0\0\0\0\0second", 16);
    put_chunk(&png, "zTXt", "bad\0\0xxxx", 9);
    put_chunk(&png, "iTXt", "short\0\0", 7);
    put_chunk(&png, "tEXt", "no zero", 7);
    put_chunk(&png, "IEND", "", 0);
    if (damage)
        png.data[damage] ^= 1;
    assert_int_equal(gd_file_put(path, true, png.data, png.n - cut), GD_OK);
    free(png.data);
    free(zipped.data);
    free(long_text.data);
    return path;
}

static void texts_of_every_kind(void **state)
{
    gd_png *png;

    (void)state;
    assert_int_equal(gd_png_open(&png, write_texts(0, 0)), GD_OK);
    assert_string_equal(gd_png_text(png, "plain"), "of tEXt"); /* the first of two */
    assert_string_equal(gd_png_text(png, "zipped"), "of zTXt");
    assert_string_equal(gd_png_text(png, "itxt"), "of iTXt");
    assert_null(gd_png_text(png, "bad"));
    assert_null(gd_png_text(png, "short"));
    assert_null(gd_png_text(png, "no zero"));
    assert_null(gd_png_text(png, "plai"));
    gd_png_close(png);
}

static void damaged_texts_are_left_out(void **state)
{
    const size_t first_text = 8 + 25 + 8 + 7;
    gd_png *png;

    (void)state;
    assert_int_equal(gd_png_open(&png, write_texts(0, first_text)), GD_OK);
    assert_string_equal(gd_png_text(png, "plain"), "second");
    gd_png_close(png);
    for (size_t cut = 1; cut < 100; cut++) {
        assert_int_equal(gd_png_open(&png, write_texts(cut, 0)), GD_EFORMAT);
        assert_non_null(strstr(gd_error(), "texts.png: "));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind),
        cmocka_unit_test(texts_of_every_kind),
        cmocka_unit_test(damaged_texts_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
