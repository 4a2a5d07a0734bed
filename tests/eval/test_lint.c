/* SPDX-License-Identifier: MIT */
/* Lint: 12 planted faults are found, each by its code, and 20 clean sets give no warning.
 *
 * Pictures are dead leaves (Lee, Mumford & Huang 2001): discs of random size and colour over one
 * another, with grain, which have the statistics of photographs. */
#include "eval/lint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <zlib.h>

enum { MOST = 120, SIDE = 40, BYTES = 64 * 64 * 3 };
static char folder[] = "/tmp/guided-lint-XXXXXX", path[128];

typedef struct pictures {
    int n, side, channels;
    uint8_t (*pixels)[BYTES];
    int64_t label[MOST];
    bool labelled;
} pictures;

static uint32_t below(uint32_t range, uint64_t seed, uint64_t image, uint32_t step)
{
    return gd_noise_below(range, seed, image, step);
}

/* A disc after another; colours warm, so that red and blue are told apart */
static void draw(uint8_t *out, int side, int channels, uint64_t seed, uint64_t image)
{
    uint32_t step = 0;

    memset(out, 128, (size_t)(side * side * channels));
    for (int disc = 0; disc < 60; disc++) {
        const double u = (below(10000, seed, image, step) + 1) / 10000.0;
        const double radius = fmin(1.5 / sqrt(u), side / 2.0);
        const int cx = (int)below((uint32_t)side, seed, image, step + 1),
                  cy = (int)below((uint32_t)side, seed, image, step + 2);
        const int light = (int)below(256, seed, image, step + 3),
                  tint = (int)below(60, seed, image, step + 4);
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++) {
                if ((x - cx) * (x - cx) + (y - cy) * (y - cy) > radius * radius)
                    continue;
                for (int c = 0; c < channels; c++) {
                    const int grain =
                        (int)below(13, seed, image, 1000 + (uint32_t)((y * side + x) * 3 + c)) - 6;
                    const int v = light + grain + (c == 0 ? tint : c == 2 ? -tint : 0);
                    out[(y * side + x) * channels + c] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
                }
            }
        step += 5;
    }
}

static pictures make(int n, int side, int channels, uint64_t seed)
{
    pictures p = { .n = n, .side = side, .channels = channels };

    p.pixels = calloc((size_t)n, sizeof *p.pixels);
    for (int i = 0; i < n; i++)
        draw(p.pixels[i], side, channels, seed, (uint64_t)i);
    return p;
}

static void write_npz(const pictures *p)
{
    const gd_array array[2] = { { "arr_0", GD_U8, 4, { p->n, p->side, p->side, p->channels } },
                                { "arr_1", GD_I64, 1, { p->n } } };
    const size_t image = (size_t)(p->side * p->side * p->channels);
    uint8_t *all = malloc((size_t)p->n * image);
    const void *data[2] = { all, p->label };

    for (int i = 0; i < p->n; i++)
        memcpy(all + (size_t)i * image, p->pixels[i], image);
    snprintf(path, sizeof path, "%s/set.npz", folder);
    assert_int_equal(gd_npz_write(path, GD_OVERWRITE, array, data, p->labelled ? 2 : 1), GD_OK);
    free(all);
}

static gd_lint lint_of(const char *set, const char *ref)
{
    const gd_lint_options o = { .ref = ref };
    gd_lint lint;

    assert_int_equal(gd_lint_run(&lint, set, &o), GD_OK);
    return lint;
}

static const gd_lint_finding *warning(const gd_lint *lint, const char *code)
{
    for (int i = 0; i < lint->n; i++)
        if (lint->finding[i].warning && strcmp(lint->finding[i].code, code) == 0)
            return &lint->finding[i];
    return NULL;
}

/* This warning and no other, with this example (-1: whichever) */
static void expect_alone(const gd_lint *lint, const char *code, int64_t example)
{
    for (int i = 0; i < lint->n; i++)
        if (lint->finding[i].warning && strcmp(lint->finding[i].code, code) != 0)
            fail_msg("%s: also %s: %s", code, lint->finding[i].code, lint->finding[i].text);
    if (!warning(lint, code))
        fail_msg("%s: not found", code);
    if (example >= 0)
        assert_int_equal(warning(lint, code)->example, example);
}

/* ---- clean sets ---- */

static void clean_sets_give_no_warning(void **state)
{
    (void)state;
    for (int k = 0; k < 20; k++) {
        static const int sides[] = { 16, 24, 28, 32, 40, 48, 56, 64 };
        pictures p = make(40 + k, sides[k % 8], k % 3 ? 3 : 1, 100 + (uint64_t)k);
        p.labelled = k % 2;
        for (int i = 0; i < p.n; i++)
            p.label[i] = k % 4 == 1 ? i % 8 : below(8, 7, (uint64_t)(i + 1000 * k), 0);
        write_npz(&p);
        const gd_lint lint = lint_of(path, path);
        for (int i = 0; i < lint.n; i++)
            if (lint.finding[i].warning)
                fail_msg("clean set %d (%d x %d): %s: %s", k, p.side, p.side, lint.finding[i].code,
                         lint.finding[i].text);
        free(p.pixels);
    }
}

/* ---- planted faults ---- */

static void plant_classes(pictures *p)
{
    p->labelled = true;
    for (int i = 0; i < p->n; i++)
        p->label[i] = i % 4 ? 0 : i % 5;
}

static void plant_duplicate(pictures *p)
{
    memcpy(p->pixels[17], p->pixels[3], sizeof p->pixels[3]);
}

/* Re-encoded: every byte off by at most one */
static void plant_near(pictures *p)
{
    for (int i = 0; i < p->side * p->side * p->channels; i++) {
        const int v = p->pixels[5][i] + (int)below(3, 9, (uint64_t)i, 0) - 1;
        p->pixels[21][i] = (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
    }
}

static void plant_constant(pictures *p)
{
    memset(p->pixels[11], 77, sizeof p->pixels[11]);
}

/* [-1, 1] taken for [0, 1] after a clip: only the lower half of the levels */
static void plant_range(pictures *p)
{
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->side * p->side * p->channels; k++)
            p->pixels[i][k] /= 2;
}

static void plant_levels(pictures *p)
{
    for (int i = 0; i < p->n; i++)
        for (int k = 0; k < p->side * p->side * p->channels; k++)
            p->pixels[i][k] = (uint8_t)(p->pixels[i][k] / 4 * 255 / 63);
}

static void plant_repeated(pictures *p)
{
    const int side = p->side, c = p->channels;

    for (int i = 0; i < p->n; i++)
        for (int y = 0; y < side; y++)
            for (int x = 0; x < side; x++)
                memcpy(&p->pixels[i][(y * side + x) * c],
                       &p->pixels[i][(y / 2 * 2 * side + x / 2 * 2) * c], (size_t)c);
}

/* Half the size and back by bicubic interpolation */
static void plant_soft(pictures *p)
{
    for (int i = 0; i < p->n; i++) {
        const gd_image whole = { p->side, p->side, p->channels, p->pixels[i] };
        gd_image half, back;
        assert_int_equal(gd_resize(&half, &whole, p->side / 2, p->side / 2, GD_FILTER_BICUBIC),
                         GD_OK);
        assert_int_equal(gd_resize(&back, &half, p->side, p->side, GD_FILTER_BICUBIC), GD_OK);
        memcpy(p->pixels[i], back.pixels, (size_t)(p->side * p->side * p->channels));
        gd_image_free(&half);
        gd_image_free(&back);
    }
}

/* Blocks of 8 x 8 whose cosine coefficients are rounded, as JPEG of quality about 75 does */
static void round_block(uint8_t *at, int row, int channels)
{
    double f[8][8] = { { 0 } };

    for (int u = 0; u < 8; u++)
        for (int v = 0; v < 8; v++) {
            const double step = 8 + 3.0 * (u + v);
            for (int y = 0; y < 8; y++)
                for (int x = 0; x < 8; x++)
                    f[u][v] += at[y * row + x * channels] * cos((2 * y + 1) * u * M_PI / 16) *
                               cos((2 * x + 1) * v * M_PI / 16);
            f[u][v] *= (u ? 0.5 : sqrt(0.125)) * (v ? 0.5 : sqrt(0.125));
            f[u][v] = round(f[u][v] / step) * step;
        }
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++) {
            double sum = 0;
            for (int u = 0; u < 8; u++)
                for (int v = 0; v < 8; v++)
                    sum += f[u][v] * (u ? 0.5 : sqrt(0.125)) * (v ? 0.5 : sqrt(0.125)) *
                           cos((2 * y + 1) * u * M_PI / 16) * cos((2 * x + 1) * v * M_PI / 16);
            at[y * row + x * channels] = (uint8_t)fmin(fmax(round(sum), 0), 255);
        }
}

static void plant_jpeg(pictures *p)
{
    for (int i = 0; i < p->n; i++)
        for (int y = 0; y + 8 <= p->side; y += 8)
            for (int x = 0; x + 8 <= p->side; x += 8)
                for (int c = 0; c < p->channels; c++)
                    round_block(&p->pixels[i][(y * p->side + x) * p->channels + c],
                                p->side * p->channels, p->channels);
}

static void planted_faults_are_found(void **state)
{
    static const struct {
        const char *code;
        void (*plant)(pictures *p);
        int64_t example;
    } faults[] = {
        { "classes", plant_classes, -1 },
        { "duplicates", plant_duplicate, 17 },
        { "near-duplicates", plant_near, 21 },
        { "constant", plant_constant, 11 },
        { "range", plant_range, -1 },
        { "levels", plant_levels, -1 },
        { "repeated", plant_repeated, -1 },
        { "soft", plant_soft, -1 },
        { "jpeg", plant_jpeg, -1 },
    };

    (void)state;
    for (int k = 0; k < COUNT(faults); k++) {
        pictures p = make(80, SIDE, 3, 5);
        faults[k].plant(&p);
        write_npz(&p);
        const gd_lint lint = lint_of(path, NULL);
        expect_alone(&lint, faults[k].code, faults[k].example);
        free(p.pixels);
    }
}

static void exchanged_channels_are_found(void **state)
{
    pictures ref = make(80, SIDE, 3, 6), p = make(80, SIDE, 3, 5);
    char other[160];

    (void)state;
    write_npz(&ref);
    snprintf(other, sizeof other, "%s/ref.npz", folder);
    assert_int_equal(rename(path, other), 0);
    for (int i = 0; i < p.n; i++)
        for (int k = 0; k < SIDE * SIDE; k++) {
            const uint8_t red = p.pixels[i][3 * k];
            p.pixels[i][3 * k] = p.pixels[i][3 * k + 2];
            p.pixels[i][3 * k + 2] = red;
        }
    write_npz(&p);
    const gd_lint lint = lint_of(path, other);
    expect_alone(&lint, "order", -1);
    free(ref.pixels);
    free(p.pixels);
}

/* ---- files ---- */

static void put_32(unsigned char *at, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* Picture i of the folder; transparent: with a tRNS chunk behind the header */
static void write_png(const pictures *p, int i, int side, bool transparent)
{
    enum { BEFORE = 33, CHUNK = 18 };
    unsigned char chunk[CHUNK] = { 0, 0, 0, 6, 't', 'R', 'N', 'S', 0, 1, 0, 2, 0, 3 };
    char name[160];
    void *png;
    size_t bytes;
    FILE *f;

    assert_int_equal(gd_png_encode(&png, &bytes, p->pixels[i], side, side, 3, NULL, 0), GD_OK);
    put_32(chunk + 14, (uint32_t)crc32(0, chunk + 4, 10));
    snprintf(name, sizeof name, "%s/pngs/%03d.png", folder, i);
    f = fopen(name, "wb");
    fwrite(png, 1, BEFORE, f);
    if (transparent)
        fwrite(chunk, 1, CHUNK, f);
    fwrite((char *)png + BEFORE, 1, bytes - BEFORE, f);
    fclose(f);
    gd_block_free(png);
}

static void sizes_and_alpha_are_found(void **state)
{
    pictures p = make(40, SIDE, 3, 8);
    char command[200];

    (void)state;
    for (int fault = 0; fault < 2; fault++) {
        snprintf(command, sizeof command, "mkdir -p %s/pngs", folder);
        assert_int_equal(system(command), 0);
        for (int i = 0; i < p.n; i++)
            write_png(&p, i, fault == 0 && i == 7 ? SIDE - 2 : SIDE, fault == 1 && i == 9);
        snprintf(path, sizeof path, "%s/pngs", folder);
        const gd_lint lint = lint_of(path, NULL);
        expect_alone(&lint, fault ? "alpha" : "sizes", fault ? 9 : 7);
    }
    free(p.pixels);
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : 1;
}

static int remove_folder(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_sets_give_no_warning),
        cmocka_unit_test(planted_faults_are_found),
        cmocka_unit_test(exchanged_channels_are_found),
        cmocka_unit_test(sizes_and_alpha_are_found),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
