/* SPDX-License-Identifier: MIT */
/* The hash that a file of ours brings along is the one that reading its parameters gives. */
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static void hash_by_reading(const gd_model *m, char text[33])
{
    const gd_weights weights = gd_model_weights(m);
    gd_model *copy;

    assert_int_equal(gd_model_wrap(&copy, gd_model_get_config(m), &weights), GD_OK);
    assert_int_equal(gd_model_hash(copy, text), GD_OK);
    gd_model_close(copy);
}

static void check(const char *path, bool brings_it)
{
    char known[33], read[33];
    gd_bundle *b;
    gd_model *m;

    assert_int_equal(gd_bundle_open(&b, path), GD_OK);
    assert_int_equal(gd_bundle_f32_hash(b) != NULL, brings_it);
    gd_bundle_close(b);
    assert_int_equal(gd_model_open(&m, path, NULL, 0), GD_OK);
    assert_int_equal(gd_model_hash(m, known), GD_OK);
    hash_by_reading(m, read);
    assert_string_equal(known, read);
    gd_model_close(m);
}

/* A model written as `dtype` */
static void check_written(gd_dtype dtype, bool brings_it)
{
    char from[4096], path[] = "/tmp/guided-hash-XXXXXX";
    gd_model *m;

    close(mkstemp(path));
    snprintf(from, sizeof from, "%s/fashion32/base8.safetensors", getenv("GUIDED_MODELS"));
    assert_int_equal(gd_model_open(&m, from, NULL, 0), GD_OK);
    assert_int_equal(gd_model_save(m, path, true, dtype, NULL, 0), GD_OK);
    gd_model_close(m);
    check(path, brings_it);
    unlink(path);
}

static void a_file_of_floats_brings_its_hash(void **state)
{
    (void)state;
    check_written(GD_F32, true);
}

/* In bfloat16 the data's hash is of other bytes. */
static void a_narrow_file_does_not(void **state)
{
    (void)state;
    check_written(GD_BF16, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_of_floats_brings_its_hash),
        cmocka_unit_test(a_narrow_file_does_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
