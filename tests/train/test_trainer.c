/* SPDX-License-Identifier: MIT */
/* Whole updates: they learn, do not depend on threads, and refuse what is not finite. */
#include "fixture.h"

#include <math.h>

static void steps(gd_trainer *t, int n)
{
    for (int i = 0; i < n; i++)
        if (gd_trainer_step(t) != GD_OK)
            fail_msg("%s", gd_error());
}

static double mean_of(gd_trainer *t, const char *name, int n)
{
    t->means = (gd_means){ 0 };
    steps(t, n);
    return gd_means_get(&t->means, name);
}

static void a_diffusion_model_learns(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "learn_sigma=True");
    gd_train_options o = fixture_options(GD_NET_UNET);
    gd_trainer *t = fixture_trainer(&c, &o);
    double first, last;

    (void)state;
    first = mean_of(t, "mse", 10);
    steps(t, 150);
    last = mean_of(t, "mse", 40);
    if (!(last < 0.35 * first))
        fail_msg("mse fell from %g to %g only", first, last);
    assert_false(isnan(gd_means_get(&t->means, "vb")));
    gd_trainer_free(t);
}

static void a_classifier_learns(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_CLASSIFIER, "");
    gd_train_options o = fixture_options(GD_NET_CLASSIFIER);
    gd_trainer *t = fixture_trainer(&c, &o);
    double first, last;

    (void)state;
    first = mean_of(t, "train_loss", 10);
    steps(t, 100);
    last = mean_of(t, "train_loss", 40);
    if (!(last < 0.7 * first))
        fail_msg("loss fell from %g to %g only", first, last);
    t->validation = fixture_source();
    assert_int_equal(gd_trainer_validate(t), GD_OK);
    assert_false(isnan(gd_means_get(&t->means, "val_acc@5")));
    gd_trainer_free(t);
}

static void an_upsampler_learns(void **state)
{
    const gd_model_config c = fixture_config(
        GD_NET_SUPERRES, "large_size=8,small_size=4,learn_sigma=True,noise_schedule=linear");
    gd_train_options o = fixture_options(GD_NET_SUPERRES);
    gd_trainer *t = fixture_trainer(&c, &o);
    double first;

    (void)state;
    first = mean_of(t, "mse", 10);
    steps(t, 100);
    assert_true(mean_of(t, "mse", 30) < 0.5 * first);
    gd_trainer_free(t);
}

static void hash_after(char text[33], int n, const gd_train_options *o, int threads)
{
    const gd_model_config c =
        fixture_config(GD_NET_UNET, "learn_sigma=True,use_scale_shift_norm=True");
    const int before = gd_threads();
    gd_trainer *t;

    gd_set_threads(threads);
    t = fixture_trainer(&c, o);
    steps(t, n);
    fixture_hash(t, text);
    gd_trainer_free(t);
    gd_set_threads(before);
}

static void threads_do_not_change_a_bit(void **state)
{
    static const int threads[] = { 2, 3, 5, 16 };
    gd_train_options o = fixture_options(GD_NET_UNET);
    char one[33], other[33];

    (void)state;
    for (int bf16 = 0; bf16 < (gd_isa_used() >= GD_ISA_AVX512 ? 2 : 1); bf16++)
        for (o.batch_size = 4; o.batch_size <= 16; o.batch_size *= 4) {
            o.bf16 = bf16;
            hash_after(one, 3, &o, 1);
            for (int t = 0; t < COUNT(threads); t++) {
                hash_after(other, 3, &o, threads[t]);
                assert_string_equal(one, other);
            }
        }
}

static void microbatches_sum_to_the_batch(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_CLASSIFIER, "");
    gd_train_options o = fixture_options(GD_NET_CLASSIFIER);
    gd_trainer *whole = fixture_trainer(&c, &o), *split;

    (void)state;
    o.microbatch = 3; /* 3 and 1 */
    split = fixture_trainer(&c, &o);
    steps(whole, 1);
    steps(split, 1);
    for (int64_t i = 0; i < whole->learner->total; i++)
        assert_true(fabs(whole->learner->m[i] - split->learner->m[i]) < 1e-5);
    gd_trainer_free(whole);
    gd_trainer_free(split);
}

/* Adam's divisor is below 1e-8 at once, so a parameter that is infinite makes everything so */
static void what_is_not_finite_makes_no_update(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "");
    gd_train_options o = fixture_options(GD_NET_UNET);
    gd_trainer *t = fixture_trainer(&c, &o);
    char before[33], after[33];
    gd_status s = GD_OK;
    int n = 0;

    (void)state;
    steps(t, 2);
    t->learner->p[t->learner->offset[4]] = INFINITY;
    assert_int_equal(gd_learner_refresh(t->learner), GD_OK);
    fixture_hash(t, before);
    for (; s == GD_OK && n < 20; n++)
        s = gd_trainer_step(t);
    fixture_hash(t, after);
    assert_int_equal(s, GD_EFAILED);
    assert_int_equal(n, 10);
    assert_int_equal(t->learner->updates, 2);
    assert_int_equal(t->step, 12);
    assert_string_equal(before, after);
    assert_non_null(strstr(gd_error(), t->learner->spec[4].name) ? gd_error()
                                                                 : strstr(gd_error(), "layer"));
    gd_trainer_free(t);
}

static void bad_options_are_named(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "");
    const gd_source source = fixture_source();
    gd_train_options o[5];
    static const char *const said[] = { "lr is nan", "batch_size is 0", "ema_rate 1.5",
                                        "anneal_lr needs iterations", "schedule sampler best" };
    gd_model *m = NULL;
    gd_trainer *t;

    (void)state;
    assert_int_equal(gd_model_create(&m, &c, 5, false), GD_OK);
    const gd_weights w = gd_model_weights(m);
    for (int i = 0; i < COUNT(o); i++)
        o[i] = fixture_options(GD_NET_UNET);
    o[0].lr = NAN;
    o[1].batch_size = 0;
    strcpy(o[2].ema_rate, "1.5");
    o[3].anneal_lr = true;
    strcpy(o[4].schedule_sampler, "best");
    for (int i = 0; i < COUNT(o); i++) {
        assert_int_equal(gd_trainer_make(&t, &c, &w, &o[i], &source, NULL, NULL), GD_EUSAGE);
        if (!strstr(gd_error(), said[i]))
            fail_msg("%s does not say %s", gd_error(), said[i]);
    }
    gd_model_close(m);
}

/* One batch with fixed noise: the network can learn it by heart */
static void one_batch_is_learnt_by_heart(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "dropout=0");
    gd_train_options o = fixture_options(GD_NET_UNET);
    gd_trainer *t;
    double mse = 1;
    int n = 0;

    (void)state;
    o.lr = 2e-3;
    t = fixture_trainer(&c, &o);
    for (; n < 1500 && mse >= 1e-3; n++) {
        t->step = 0; /* the same positions, so the same images, noise and timesteps */
        mse = mean_of(t, "mse", 1);
    }
    if (mse >= 1e-3)
        fail_msg("mse is %g after %d updates", mse, n);
    gd_trainer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_diffusion_model_learns),
        cmocka_unit_test(a_classifier_learns),
        cmocka_unit_test(an_upsampler_learns),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(microbatches_sum_to_the_batch),
        cmocka_unit_test(what_is_not_finite_makes_no_update),
        cmocka_unit_test(bad_options_are_named),
        cmocka_unit_test(one_batch_is_learnt_by_heart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
