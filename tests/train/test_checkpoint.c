/* SPDX-License-Identifier: MIT */
/* A run continues from its checkpoint to the bit, whenever it stopped; what is damaged is refused.
 */
#include "fixture.h"

#include <sys/stat.h>
#include <unistd.h>

enum { STEPS = 30 };

static const gd_class_names names = { (const char *const[]){ "a", "b", "c", "d" }, 4 };
static gd_trainer *resumed(const char *path)
{
    const gd_source source = fixture_source();
    gd_train_options o;
    gd_model_config c;
    gd_model *m = NULL;
    gd_bundle *b;
    gd_trainer *t;

    if (gd_checkpoint_open(&b, path, &o, &c) != GD_OK || gd_model_create(&m, &c, 1, false) != GD_OK)
        fail_msg("%s", gd_error());
    const gd_weights w = gd_model_weights(m);
    if (gd_trainer_make(&t, &c, &w, &o, &source, NULL, NULL) != GD_OK ||
        gd_checkpoint_load(t, b) != GD_OK)
        fail_msg("%s", gd_error());
    gd_model_close(m);
    gd_bundle_close(b);
    return t;
}

static void step(gd_trainer *t)
{
    if (gd_trainer_step(t) != GD_OK)
        fail_msg("%s", gd_error());
}

/* Saved and loaded after every one of 30 steps */
static void check_resume(const char *sampler)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "learn_sigma=True");
    gd_train_options o = fixture_options(GD_NET_UNET);
    char path[GD_MAX_PATH], expected[33], found[33];
    gd_trainer *t;

    strcpy(o.schedule_sampler, sampler);
    o.anneal_lr = true;
    o.iterations = STEPS;
    o.microbatch = 3;
    t = fixture_trainer(&c, &o);
    for (int i = 0; i < STEPS; i++)
        step(t);
    fixture_hash(t, expected);
    gd_trainer_free(t);
    t = fixture_trainer(&c, &o);
    for (int i = 0; i < STEPS; i++) {
        step(t);
        gd_run_path(path, fixture_folder, t->step);
        if (gd_checkpoint_save(t, path, &names) != GD_OK)
            fail_msg("%s", gd_error());
        gd_trainer_free(t);
        t = resumed(path);
        assert_int_equal(t->step, i + 1);
    }
    fixture_hash(t, found);
    assert_string_equal(found, expected);
    gd_trainer_free(t);
}

static void resume_is_exact(void **state)
{
    (void)state;
    check_resume("uniform");
    check_resume("loss-second-moment");
}

static void a_run_is_a_model(void **state)
{
    char newest[GD_MAX_PATH], last[GD_MAX_PATH], hash[2][33];
    const gd_flag none = { "ema", "none" }, other = { "ema", "0.5" };
    gd_model *m;

    (void)state;
    gd_run_path(last, fixture_folder, STEPS);
    assert_int_equal(gd_run_newest(newest, fixture_folder), GD_OK);
    assert_string_equal(newest, last);
    for (int k = 0; k < 2; k++) {
        if (gd_model_open(&m, fixture_folder, &none, k) != GD_OK)
            fail_msg("%s", gd_error());
        assert_string_equal(gd_model_class_name(m, 3), "d");
        assert_int_equal(gd_model_hash(m, hash[k]), GD_OK);
        gd_model_close(m);
    }
    assert_string_not_equal(hash[0], hash[1]); /* the first average, and the parameters */
    assert_int_equal(gd_model_open(&m, fixture_folder, &other, 1), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "0.9,0.99"));
}

static void flip(const char *path, long at)
{
    FILE *f = fopen(path, "r+b");
    int c;

    fseek(f, at, SEEK_SET);
    c = fgetc(f);
    fseek(f, at, SEEK_SET);
    fputc(c ^ 1, f);
    fclose(f);
}

static void a_damaged_checkpoint_is_passed_over(void **state)
{
    char newest[GD_MAX_PATH], last[GD_MAX_PATH], before[GD_MAX_PATH];
    struct stat info;

    (void)state;
    gd_run_path(last, fixture_folder, STEPS);
    gd_run_path(before, fixture_folder, STEPS - 1);
    assert_int_equal(stat(last, &info), 0);
    flip(last, info.st_size - 100);
    assert_int_equal(gd_run_newest(newest, fixture_folder), GD_OK);
    assert_string_equal(newest, before);
    assert_int_equal(truncate(before, info.st_size / 2), 0);
    gd_run_path(before, fixture_folder, STEPS - 2);
    assert_int_equal(gd_run_newest(newest, fixture_folder), GD_OK);
    assert_string_equal(newest, before);
}

static void a_model_file_is_no_checkpoint(void **state)
{
    char path[256];
    gd_train_options o;
    gd_model_config c;
    gd_bundle *b;

    (void)state;
    snprintf(path, sizeof path, "%s/fashion32/classifier.safetensors", getenv("GUIDED_MODELS"));
    assert_int_equal(gd_checkpoint_open(&b, path, &o, &c), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "no training checkpoint"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resume_is_exact),
        cmocka_unit_test(a_run_is_a_model),
        cmocka_unit_test(a_damaged_checkpoint_is_passed_over),
        cmocka_unit_test(a_model_file_is_no_checkpoint),
    };
    return cmocka_run_group_tests(tests, fixture_folder_make, fixture_folder_remove);
}
