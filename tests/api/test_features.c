/* SPDX-License-Identifier: MIT */
/* guided_features_open: a network of features by the keys of its file, images of any size, and
 * files that are none. */
#include "guided.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { WIDTH = 32, N = 11, H = 20, W = 28, IMAGE = H * W * 3 };
static char folder[] = "/tmp/guided-features-XXXXXX", weights[64], text[64];
static guided_context *context;

static int set_up(void **state)
{
    const char *source = getenv("GUIDED_SOURCE_DIR");
    char command[600];
    FILE *file;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(weights, sizeof weights, "%s/clip.safetensors", folder);
    snprintf(text, sizeof text, "%s/text.pth", folder);
    snprintf(command, sizeof command, "/usr/bin/python3 %.400s/tests/cli/vit_file.py clip %s",
             source ? source : ".", weights);
    assert_int_equal(system(command), 0);
    file = fopen(text, "w");
    assert_non_null(file);
    fputs("no weights\n", file);
    fclose(file);
    return guided_context_open(&context) == GUIDED_OK ? 0 : 1;
}

static int tear_down(void **state)
{
    (void)state;
    guided_context_close(context);
    unlink(weights);
    unlink(text);
    return rmdir(folder);
}

/* Alone and among others, CLIP's features have length 1 and the same bits. */
static void rows_depend_on_their_image_alone(void **state)
{
    static uint8_t pixels[N * IMAGE];
    static float all[N * WIDTH];
    float one[WIDTH];
    guided_features *f;

    (void)state;
    for (int i = 0; i < N * IMAGE; i++)
        pixels[i] = (uint8_t)(i * 2654435761u >> 24);
    assert_int_equal(guided_features_open(&f, context, weights, H, W), GUIDED_OK);
    assert_int_equal(guided_features_width(f), WIDTH);
    assert_int_equal(guided_features_run(f, N, pixels, all), GUIDED_OK);
    for (int i = 0; i < N; i++) {
        double squares = 0;
        assert_int_equal(guided_features_run(f, 1, pixels + i * IMAGE, one), GUIDED_OK);
        assert_memory_equal(one, all + i * WIDTH, sizeof one);
        for (int k = 0; k < WIDTH; k++)
            squares += (double)one[k] * (double)one[k];
        assert_float_equal(squares, 1, 1e-6);
    }
    guided_features_close(f);
}

static void what_cannot_be_is_refused(void **state)
{
    guided_features *f;

    (void)state;
    assert_int_equal(guided_features_open(&f, context, text, H, W), GUIDED_EFORMAT);
    assert_non_null(strstr(guided_error(), "text.pth"));
    assert_null(f);
    assert_int_equal(guided_features_open(&f, context, weights, 0, W), GUIDED_EUSAGE);
}

/* A copy, a class and a set worth two rows, from arrays */
static void metrics_from_arrays(void **state)
{
    enum { ROWS = 40, COLUMNS = 6 };
    static float ref[ROWS * COLUMNS], samples[ROWS * COLUMNS], two[4 * COLUMNS];
    static int32_t label[ROWS];
    uint32_t random = 1;
    guided_class_scores scores[2];
    guided_copies copies;
    double value, error;
    int n;

    (void)state;
    for (int i = 0; i < ROWS * COLUMNS; i++) {
        random = random * 1664525u + 1013904223u;
        ref[i] = (float)(random >> 24);
        samples[i] = (float)(random >> 16 & 255);
        label[i / COLUMNS] = i / COLUMNS % 3;
    }
    for (int k = 0; k < COLUMNS; k++)
        samples[7 * COLUMNS + k] = ref[21 * COLUMNS + k];
    assert_int_equal(guided_find_copies(context, &copies, ref, ROWS, samples, ROWS, COLUMNS),
                     GUIDED_OK);
    assert_int_equal(copies.nearest[0].sample, 7);
    assert_int_equal(copies.nearest[0].ref, 21);
    assert_true(copies.nearest[0].distance == 0 && copies.authenticity < 1);
    assert_int_equal(guided_compare_classes(context, scores, 2, &n, ref, label, ROWS, samples,
                                            label, ROWS, COLUMNS),
                     GUIDED_OK);
    assert_int_equal(n, 3);
    assert_true(scores[0].label == 0 && scores[1].n_ref == 13 && scores[1].distance > 0);
    two[0] = two[COLUMNS] = two[2 * COLUMNS + 1] = two[3 * COLUMNS + 1] = 3;
    assert_int_equal(guided_vendi(context, &value, two, 4, COLUMNS), GUIDED_OK);
    assert_float_equal(value, 2, 1e-9);
    assert_int_equal(
        guided_frechet_infinity(context, &value, &error, ref, ROWS, samples, ROWS, COLUMNS, 1),
        GUIDED_OK);
    assert_true(error > 0);
    assert_int_equal(
        guided_frechet_infinity(context, &value, &error, ref, ROWS, samples, 8, COLUMNS, 1),
        GUIDED_EUSAGE);
    guided_features *f = NULL;
    assert_int_equal(guided_features_dialect(&f, context, weights, "none", H, W), GUIDED_EUSAGE);
    assert_null(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_from_arrays),
        cmocka_unit_test(rows_depend_on_their_image_alone),
        cmocka_unit_test(what_cannot_be_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
