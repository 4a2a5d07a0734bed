/* SPDX-License-Identifier: MIT */
/* The 2015 Inception network: every format gives the same weights, an image's features depend on
 * nothing but the image, wrong files are refused with a table. */
#include "inception_files.h"

#include "io/io.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[] = "/tmp/guided-nn-XXXXXX";

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static int turn;
    char *p = path[turn++ & 3];

    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const name[] = { "pytorch", "port", "script", "graphdef",
                                        "own",     "flat", "few" };

    (void)state;
    for (int i = 0; i < COUNT(name); i++)
        unlink(in_folder(name[i]));
    return rmdir(folder);
}

enum { SIDE = 40, IMAGES = 5, PIXELS = SIDE * SIDE * 3 };

typedef struct features {
    float pool[IMAGES][GD_INCEPTION_POOL], spatial[IMAGES][GD_INCEPTION_SPATIAL],
        probabilities[IMAGES][GD_INCEPTION_CLASSES];
} features;

static const uint8_t *images(void)
{
    static uint8_t pixels[IMAGES * PIXELS];

    for (int i = 0; i < IMAGES * PIXELS; i++)
        pixels[i] = (uint8_t)(i * 7 + i / PIXELS * 40 + i % 997);
    return pixels;
}

static gd_inception *opened(const char *path, int batch)
{
    gd_inception *net;

    if (gd_inception_open(&net, path, batch, SIDE, SIDE) != GD_OK)
        fail_msg("%s", gd_error());
    return net;
}

/* Images [first, first + n) into the rows of `out` */
static void run(gd_inception *net, int first, int n, features *out)
{
    if (gd_inception_run(net, n, images() + first * PIXELS, out->pool[first], out->spatial[first],
                         out->probabilities[first]) != GD_OK)
        fail_msg("%s", gd_error());
}

static void convert(const char *from, const char *to)
{
    gd_inception_file *file;

    assert_int_equal(gd_inception_file_open(&file, from), GD_OK);
    const gd_weights weights = gd_inception_file_weights(file);
    assert_int_equal(gd_inception_write(to, false, &weights), GD_OK);
    assert_int_equal(gd_inception_write(to, false, &weights), GD_EEXISTS);
    gd_inception_file_close(file);
}

/* The archive that NVIDIA publishes */
static void write_script(const char *from, const char *to)
{
    const char *source = getenv("GUIDED_SOURCE_DIR");
    char command[1024];
    int used;

    used =
        snprintf(command, sizeof command, "/usr/bin/python3 %.400s/tests/nn/torchscript_file.py %s",
                 source ? source : ".", in_folder(from));
    snprintf(command + used, sizeof command - (size_t)used, " %s", in_folder(to));
    assert_int_equal(system(command), 0);
}

static void every_format_is_the_same_network(void **state)
{
    static const struct {
        const char *file, *format;
    } formats[] = { { "pytorch", "pytorch-fid" },
                    { "port", "NVIDIA port" },
                    { "script", "NVIDIA port" },
                    { "graphdef", "GraphDef" },
                    { "own", "safetensors" } };
    static features first, other;
    char expected[33], found[33];

    (void)state;
    write_pytorch_file(in_folder("pytorch"));
    write_port_file(in_folder("port"));
    write_script("port", "script");
    write_graphdef(in_folder("graphdef"), (graphdef_file){ 0 });
    convert(in_folder("graphdef"), in_folder("own"));
    for (int i = 0; i < COUNT(formats); i++) {
        const char *path = in_folder(formats[i].file);
        assert_true(gd_is_inception_file(path));
        gd_inception *net = opened(path, 1);
        assert_string_equal(gd_inception_format(net), formats[i].format);
        assert_int_equal(gd_inception_hash(net, i == 0 ? expected : found), GD_OK);
        run(net, 0, 1, i == 0 ? &first : &other);
        gd_inception_close(net);
        if (i == 0)
            continue;
        assert_string_equal(found, expected);
        assert_memory_equal(&other, &first, sizeof first);
    }
    gd_inception_file *file;
    assert_int_equal(gd_inception_file_open(&file, in_folder("own")), GD_OK);
    assert_int_equal(gd_inception_file_hash(file, found), GD_OK);
    assert_string_equal(found, expected);
    gd_inception_file_close(file);
}

/* Alone, among others, at every place of a batch, in batches that are not full, on more threads */
static void features_depend_on_the_image_alone(void **state)
{
    static features alone, together;
    const int threads = gd_threads();

    (void)state;
    gd_inception *one = opened(in_folder("own"), 1);
    for (int i = 0; i < IMAGES; i++)
        run(one, i, 1, &alone);
    gd_inception_close(one);
    for (int t = 1; t <= 3; t++) {
        gd_set_threads(t);
        gd_inception *net = opened(in_folder("own"), t == 1 ? 2 : t == 2 ? 8 : 3);
        memset(&together, 0, sizeof together);
        run(net, 0, IMAGES, &together);
        assert_memory_equal(&together, &alone, sizeof alone);
        run(net, 3, 2, &together);
        assert_memory_equal(&together, &alone, sizeof alone);
        gd_inception_close(net);
    }
    gd_set_threads(threads);
}

static void features_are_features(void **state)
{
    static features f;
    double sum = 0, difference = 0;

    (void)state;
    gd_inception *net = opened(in_folder("own"), 2);
    run(net, 0, 2, &f);
    assert_int_equal(gd_inception_run(net, 1, images(), f.pool[4], NULL, NULL), GD_OK);
    assert_memory_equal(f.pool[4], f.pool[0], sizeof f.pool[0]);
    for (int i = 0; i < GD_INCEPTION_CLASSES; i++)
        sum += f.probabilities[0][i];
    for (int i = 0; i < GD_INCEPTION_POOL; i++) {
        assert_true(f.pool[0][i] >= 0);
        difference += f.pool[0][i] != f.pool[1][i];
    }
    assert_true(sum > 0.9999 && sum < 1.0001);
    assert_true(difference > 100); /* the images differ, so do they */
    assert_true(gd_inception_bytes(net) > (size_t)90 << 20);
    gd_inception_close(net);
}

static gd_status fetch_with_nan(void *ctx, const char *name, const gd_type *type, float *dst)
{
    const gd_weights made_up = gd_inception_synthetic();

    (void)ctx;
    GD_TRY(made_up.fetch(made_up.ctx, name, type, dst));
    if (strcmp(name, "output.weight") == 0)
        dst[7] = NAN;
    return GD_OK;
}

static void features_that_are_not_finite_are_no_result(void **state)
{
    static features f;
    const gd_weights weights = { fetch_with_nan, NULL };
    gd_inception *net;

    (void)state;
    assert_int_equal(gd_inception_make(&net, &weights, 1, SIDE, SIDE), GD_OK);
    assert_int_equal(gd_inception_run(net, 2, images(), f.pool[0], NULL, NULL), GD_EFAILED);
    assert_non_null(strstr(gd_error(), "image 0"));
    gd_inception_close(net);
}

/* ---- wrong files ---- */

static void refuses(const char *name, const char *const *says, int n)
{
    gd_inception *net;

    assert_int_equal(gd_inception_open(&net, in_folder(name), 1, SIDE, SIDE), GD_EFORMAT);
    for (int i = 0; i < n; i++)
        if (!strstr(gd_error(), says[i]))
            fail_msg("\"%s\" does not say: %s", gd_error(), says[i]);
}

/* A GraphDef cut after a node is a whole GraphDef: its keys tell. */
static void missing_keys_are_listed(void **state)
{
    static const char *const says[] = { "flat: 397 keys expected, 296 missing or of another shape",
                                        "mixed_2/tower_1/conv_1/batchnorm/beta",
                                        "expected [96]",
                                        "missing",
                                        "... and 276 more",
                                        "in the names of GraphDef" };

    (void)state;
    write_graphdef(in_folder("flat"), (graphdef_file){ .flat = true, .n_constants = 101 });
    refuses("flat", says, COUNT(says));
    assert_true(gd_is_inception_file(in_folder("flat")));
}

static void write_few(const gd_array *array, int n)
{
    static const float zeros[32 * 3 * 9];
    gd_safetensors_writer *out;

    assert_int_equal(gd_safetensors_begin(&out, in_folder("few"), true, array, n, NULL, 0), GD_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(
            gd_safetensors_add(out, zeros, (size_t)gd_array_count(&array[i]) * sizeof *zeros),
            GD_OK);
    assert_int_equal(gd_safetensors_commit(out), GD_OK);
}

static void other_networks_are_refused(void **state)
{
    static const gd_array shape[] = {
        { .name = "Conv2d_1a_3x3.conv.weight", .dtype = GD_F32, .rank = 4, .dim = { 32, 1, 3, 3 } },
        { .name = "Conv2d_1a_3x3.bn.bias", .dtype = GD_F32, .rank = 1, .dim = { 32 } },
    };
    static const gd_array foreign[] = {
        { .name = "time_embed.0.bias", .dtype = GD_F32, .rank = 1, .dim = { 4 } }
    };
    static const char *const wrong_shape[] = { "471 keys expected, 470 missing or of another shape",
                                               "expected [32, 3, 3, 3]", "found [32, 1, 3, 3]",
                                               "torchvision's inception_v3 is another network" };
    static const char *const no_keys[] = { "holds no weights of the 2015 Inception network",
                                           "hint: it is called classify_image_graph_def.pb" };

    (void)state;
    write_few(shape, 2);
    refuses("few", wrong_shape, COUNT(wrong_shape));
    write_few(foreign, 1);
    refuses("few", no_keys, COUNT(no_keys));
    assert_false(gd_is_inception_file(in_folder("few")));
    assert_false(gd_is_inception_file(in_folder("none")));
}

static void weights_must_be_finite(void **state)
{
    static const char *const says[] = { "flat: mixed.tower_1.conv_2.weight: not finite" };
    gd_inception *net;

    (void)state;
    write_graphdef(in_folder("flat"), (graphdef_file){ .flat = true, .variance = -2 });
    refuses("flat", says, COUNT(says));
    write_graphdef(in_folder("flat"),
                   (graphdef_file){ .flat = true, .no_gamma = true, .variance = 1 });
    net = opened(in_folder("flat"), 1); /* a scale that is not given is 1 */
    gd_inception_close(net);
}

static void hash_of(char out[33], graphdef_file how)
{
    gd_inception_file *file;

    write_graphdef(in_folder("flat"), how);
    if (gd_inception_file_open(&file, in_folder("flat")) != GD_OK ||
        gd_inception_file_hash(file, out) != GD_OK)
        fail_msg("%s", gd_error());
    gd_inception_file_close(file);
}

/* What a graph tells its batch normalisations is what is computed: the epsilon, and whether gamma
 * counts at all. */
static void attributes_of_the_graph_are_read(void **state)
{
    char plain[33], same[33], other[33], unscaled[33], no_gamma[33];

    (void)state;
    hash_of(plain, (graphdef_file){ .flat = true, .variance = 1 });
    hash_of(same, (graphdef_file){ .flat = true, .variance = 1, .epsilon = 0.001f });
    assert_string_equal(plain, same);
    hash_of(other, (graphdef_file){ .flat = true, .variance = 1, .epsilon = 0.01f });
    assert_string_not_equal(plain, other);
    hash_of(unscaled,
            (graphdef_file){ .flat = true, .variance = 1, .epsilon = 0.001f, .unscaled = true });
    hash_of(no_gamma, (graphdef_file){ .flat = true, .variance = 1, .no_gamma = true });
    assert_string_equal(unscaled, no_gamma);
    assert_string_not_equal(unscaled, plain);
    static const char *const says[] = { "variance_epsilon of conv is 2" };
    write_graphdef(in_folder("flat"), (graphdef_file){ .flat = true, .variance = 1, .epsilon = 2 });
    refuses("flat", says, COUNT(says));
}

static void impossible_sizes(void **state)
{
    static const int sizes[][3] = { { 0, 8, 8 }, { 1, 0, 8 }, { 1, 8, -1 }, { 1, 70000, 8 } };
    gd_inception *net;

    (void)state;
    for (int i = 0; i < COUNT(sizes); i++)
        assert_int_equal(
            gd_inception_open(&net, in_folder("own"), sizes[i][0], sizes[i][1], sizes[i][2]),
            GD_EUSAGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_is_the_same_network),
        cmocka_unit_test(features_depend_on_the_image_alone),
        cmocka_unit_test(features_are_features),
        cmocka_unit_test(features_that_are_not_finite_are_no_result),
        cmocka_unit_test(impossible_sizes),
        cmocka_unit_test(missing_keys_are_listed),
        cmocka_unit_test(other_networks_are_refused),
        cmocka_unit_test(weights_must_be_finite),
        cmocka_unit_test(attributes_of_the_graph_are_read),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
