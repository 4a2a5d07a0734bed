/* SPDX-License-Identifier: MIT */
/* The 2015 network as extractor: rows that depend on their image alone, pytorch-fid's input, and
 * the command with a file of weights. */
#include "eval/eval.h"
#include "nn/inception_private.h"

#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

enum { N = 4, SIZE = 24, BYTES = SIZE * SIZE * 3, SIDE = GD_INCEPTION_SIDE };
static uint8_t pixels[N * BYTES];
static char folder[] = "/tmp/guided-inception-XXXXXX", weights[64];

/* ---- a file of weights ---- */

static void write_weights(const inception_net *net)
{
    static char name[2 * INCEPTION_LAYERS + 1][96];
    static gd_array array[2 * INCEPTION_LAYERS + 1];
    gd_safetensors_writer *w;
    int n = 0;

    for (int i = 0; i < net->n_layer; i++) {
        const inception_layer *l = &net->layer[i];
        snprintf(name[n], sizeof name[n], "%s.weight", l->scope);
        array[n] = (gd_array){ name[n], GD_F32, 4, { l->co, l->ci, l->kh, l->kw } };
        n++;
        snprintf(name[n], sizeof name[n], "%s.bias", l->scope);
        array[n] = (gd_array){ name[n], GD_F32, 1, { l->co } };
        n++;
    }
    array[n++] =
        (gd_array){ "output.weight", GD_F32, 2, { GD_INCEPTION_CLASSES, GD_INCEPTION_POOL } };
    assert_int_equal(gd_safetensors_begin(&w, weights, true, array, n, NULL, 0), GD_OK);
    for (int a = 0; a < n; a++) {
        const int64_t count = gd_array_count(&array[a]);
        const double fan_in = (double)count / (double)array[a].dim[0];
        float *data = malloc((size_t)count * sizeof *data);
        for (int64_t i = 0; i < count; i++) /* of variance 2 / fan in; biases small */
            data[i] =
                array[a].rank == 1
                    ? 0.1f
                    : (float)(sqrt(6 / fan_in) *
                              (gd_noise_below(65536, (uint64_t)a, (uint64_t)i, 0) / 32768. - 1));
        assert_int_equal(gd_safetensors_add(w, data, (size_t)count * sizeof *data), GD_OK);
        free(data);
    }
    assert_int_equal(gd_safetensors_commit(w), GD_OK);
}

static int make(void **state)
{
    inception_net net;

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(weights, sizeof weights, "%s/w.safetensors", folder);
    assert_int_equal(inception_build(&net, 1, 1, 1), GD_OK);
    write_weights(&net);
    gd_graph_free(net.graph);
    for (int i = 0; i < N * BYTES; i++)
        pixels[i] = (uint8_t)gd_noise_below(256, 1, (uint64_t)(i / 50), 0);
    return 0;
}

static int remove_all(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

/* ---- rows ---- */

static float *rows_of(const gd_dialect *dialect, int batch, int piece)
{
    const int row = gd_extractor_row(&gd_inception_shape);
    float *rows = malloc((size_t)(N * row) * sizeof *rows);
    gd_extractor *e;

    assert_int_equal(gd_extractor_inception(&e, weights, dialect, NULL, batch, SIZE, SIZE), GD_OK);
    for (int i = 0; i < N; i += piece)
        assert_int_equal(
            gd_extractor_run(e, GD_MIN(piece, N - i), pixels + i * BYTES, rows + i * row), GD_OK);
    gd_extractor_free(e);
    return rows;
}

/* Two dialects of prepared images, one network, sets of two sizes */
static void a_shared_network_gives_the_same_rows(void **state)
{
    const size_t bytes = (size_t)gd_extractor_row(&gd_inception_shape) * sizeof(float);
    float *alone = malloc(bytes), *shared = malloc(bytes);
    gd_extractor *first, *second;

    (void)state;
    assert_int_equal(
        gd_extractor_inception(&first, weights, &gd_dialect_pytorch_fid, NULL, 1, SIZE, SIZE),
        GD_OK);
    assert_int_equal(gd_extractor_run(first, 1, pixels, alone), GD_OK);
    assert_int_equal(
        gd_extractor_inception(&second, weights, &gd_dialect_clean_fid, first, 1, SIZE, SIZE),
        GD_OK);
    assert_int_equal(gd_extractor_run(second, 1, pixels, shared), GD_OK);
    assert_memory_not_equal(alone, shared, bytes);
    assert_int_equal(gd_extractor_run(first, 1, pixels, shared), GD_OK);
    assert_memory_equal(alone, shared, bytes);
    gd_extractor_free(first); /* the other goes on */
    assert_true(gd_extractor_set_size(second, SIZE / 2, 2 * SIZE));
    assert_int_equal(gd_extractor_run(second, 1, pixels, shared), GD_OK);
    gd_extractor_free(second);
    assert_int_equal(
        gd_extractor_inception(&first, weights, &gd_dialect_clean_fid, NULL, 1, SIZE / 2, 2 * SIZE),
        GD_OK);
    assert_int_equal(gd_extractor_run(first, 1, pixels, alone), GD_OK);
    assert_memory_equal(alone, shared, bytes);
    gd_extractor_free(first);
    free(alone);
    free(shared);
}

static void rows_depend_on_their_image_alone(void **state)
{
    const size_t bytes = (size_t)(N * gd_extractor_row(&gd_inception_shape)) * sizeof(float);

    (void)state;
    for (int d = 0; d < 2; d++) { /* resized by the network, and before it */
        const gd_dialect *dialect = d ? &gd_dialect_clean_fid : &gd_dialect_adm;
        float *one = rows_of(dialect, 1, 1), *many = rows_of(dialect, 2, 4);
        double sum = 0;
        assert_memory_equal(one, many, bytes);
        for (int i = 0; i < GD_INCEPTION_CLASSES; i++)
            sum += one[GD_INCEPTION_POOL + GD_INCEPTION_SPATIAL + i];
        assert_float_equal(sum, 1, 1e-4); /* probabilities */
        free(one);
        free(many);
    }
}

/* ---- pytorch-fid's resize, in double from its definition ---- */

static double at(const uint8_t *image, int height, int width, double y, double x, int c)
{
    const double py = fmax(y, 0), px = fmax(x, 0);
    const int y0 = GD_MIN((int)py, height - 1), x0 = GD_MIN((int)px, width - 1);
    const int y1 = GD_MIN(y0 + 1, height - 1), x1 = GD_MIN(x0 + 1, width - 1);
    const double fy = py - y0, fx = px - x0;
#define V(Y, X) (image[((Y)*width + (X)) * 3 + c] / 255.0)
    return (1 - fy) * ((1 - fx) * V(y0, x0) + fx * V(y0, x1)) +
           fy * ((1 - fx) * V(y1, x0) + fx * V(y1, x1));
#undef V
}

static void half_pixel_resize_is_its_definition(void **state)
{
    static const int sizes[][2] = { { 24, 24 }, { 299, 299 }, { 512, 400 }, { 1, 3 } };
    float *found = malloc(sizeof *found * 3 * SIDE * SIDE);

    (void)state;
    for (int k = 0; k < COUNT(sizes); k++) {
        const int h = sizes[k][0], w = sizes[k][1];
        uint8_t *image = malloc((size_t)(h * w * 3));
        double worst = 0;
        for (int i = 0; i < h * w * 3; i++)
            image[i] = (uint8_t)gd_noise_below(256, 3, (uint64_t)i, 0);
        gd_resize_half_pixel(found, image, h, w);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < SIDE; y++)
                for (int x = 0; x < SIDE; x++) {
                    const double v =
                        at(image, h, w, (y + 0.5) * h / SIDE - 0.5, (x + 0.5) * w / SIDE - 0.5, c);
                    worst = fmax(worst, 2 * fabs(v - found[(c * SIDE + y) * SIDE + x]));
                }
        assert_true(worst < 1e-4); /* float32 places of up to 512, differences of up to 2 */
        free(image);
    }
    free(found);
}

/* ---- the command ---- */

static json_t *report(const char *options, int expected)
{
    char command[1024], path[64];
    json_t *j;

    snprintf(path, sizeof path, "%s/report.json", folder);
    snprintf(command, sizeof command,
             "cd %s && \"$GUIDED_BINARY\" eval --ref a.npz --samples b.npz --json report.json "
             "--overwrite -q %s >/dev/null 2>err.txt",
             folder, options);
    unlink(path);
    assert_int_equal(system(command) >> 8, expected);
    j = json_load_file(path, 0, NULL);
    assert_true((j != NULL) == (expected == 0));
    return j;
}

/* The first n of these: a distance takes seconds */
enum { NO_DISTANCE = 3, ALL_FIVE = 5 };
static void assert_equal_values(json_t *a, json_t *b, int n)
{
    static const char *const keys[ALL_FIVE] = { "inception_score", "precision", "recall", "fid",
                                                "sfid" };

    for (int i = 0; i < n; i++) {
        assert_true(json_is_real(json_object_get(a, keys[i])));
        assert_true(json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i])));
    }
}

static void write_sets(void)
{
    const gd_array array = { "arr_0", GD_U8, 4, { N, SIZE, SIZE, 3 } };
    const void *data = pixels;
    char path[64];

    snprintf(path, sizeof path, "%s/a.npz", folder);
    assert_int_equal(gd_npz_write(path, true, &array, &data, 1), GD_OK);
    for (int i = 0; i < N * BYTES; i++)
        pixels[i] ^= (uint8_t)(i / 333 % 3 << 5);
    snprintf(path, sizeof path, "%s/b.npz", folder);
    assert_int_equal(gd_npz_write(path, true, &array, &data, 1), GD_OK);
}

static void the_command_reports_all_five(void **state)
{
    json_t *first, *second, *other;
    char err[256] = "", path[64];

    (void)state;
    write_sets();
    first = report("--inception w.safetensors -t 1 --batch 2", 0);
    second = report("--inception w.safetensors -t 2 --batch 4 --cache c", 0);
    assert_equal_values(first, second, ALL_FIVE);
    assert_string_equal(json_string_value(json_object_get(first, "network")), "inception");
    json_decref(second);
    setenv("GUIDED_INCEPTION", "w.safetensors", 1);
    second = report("--cache c --metrics is,pr", 0);
    assert_equal_values(first, second, NO_DISTANCE);
    other = report("--cache c --metrics is --dialect pytorch-fid", 0);
    assert_false(json_equal(json_object_get(first, "inception_score"),
                            json_object_get(other, "inception_score")));
    setenv("GUIDED_INCEPTION", "a.npz", 1);
    report("", 3);
    snprintf(path, sizeof path, "%s/err.txt", folder);
    FILE *f = fopen(path, "r");
    assert_non_null(fgets(err, sizeof err, f));
    fclose(f);
    assert_non_null(strstr(err, "a.npz"));
    json_decref(first);
    json_decref(second);
    json_decref(other);
}

static void assert_equal_members(json_t *a, json_t *b)
{
    static const char *const keys[] = { "fid", "inception_score", "inception_score_spread",
                                        "precision" };

    for (int k = 0; k < COUNT(keys); k++) {
        json_t *x = json_object_get(a, keys[k]), *y = json_object_get(b, keys[k]);
        assert_true((x == NULL) == (y == NULL) && (!x || json_equal(x, y)));
    }
}

static void assert_equal_reports(json_t *list, int index, const char *options)
{
    json_t *one = report(options, 0);

    assert_equal_members(json_array_get(list, (size_t)index), one);
    json_decref(one);
}

/* Several dialects in one pass are those dialects one by one, with a cache that holds the rows of
 * some of them, too. */
static void several_dialects_are_each_of_them(void **state)
{
    json_t *all, *cached, *list;

    (void)state;
    setenv("GUIDED_INCEPTION", "w.safetensors", 1);
    all = report("--dialect adm,torch-fidelity,clean-fid --metrics is,fid,pr", 0);
    list = json_object_get(all, "dialects");
    assert_int_equal(json_array_size(list), 3);
    assert_equal_reports(list, 2, "--cache c --dialect clean-fid --metrics is,fid,pr");
    json_decref(all);
    all = report("--dialect adm,torch-fidelity,clean-fid,pytorch-fid,clean-fid-legacy-pytorch "
                 "--metrics is,pr",
                 0);
    list = json_object_get(all, "dialects");
    cached = report("--dialect adm,torch-fidelity,clean-fid,pytorch-fid,clean-fid-legacy-pytorch "
                    "--metrics is,pr --cache c --batch 3 -t 1",
                    0);
    assert_equal_reports(list, 1, "--cache c --dialect torch-fidelity --metrics is,pr");
    assert_true(json_equal(list, json_object_get(cached, "dialects")));
    assert_equal_members(json_array_get(list, 3), json_array_get(list, 4)); /* one input */
    json_decref(all);
    json_decref(cached);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_depend_on_their_image_alone),
        cmocka_unit_test(a_shared_network_gives_the_same_rows),
        cmocka_unit_test(half_pixel_resize_is_its_definition),
        cmocka_unit_test(the_command_reports_all_five),
        cmocka_unit_test(several_dialects_are_each_of_them),
    };
    return cmocka_run_group_tests(tests, make, remove_all);
}
