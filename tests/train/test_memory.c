/* SPDX-License-Identifier: MIT */
/* A trainer takes its memory when it is made: nothing after the second step, all of it given back.
 */
#include "fixture.h"

static void check_kind(gd_net_kind kind, const char *flags)
{
    const size_t held = gd_memory_held();
    const gd_model_config c = fixture_config(kind, flags);
    gd_train_options o = fixture_options(kind);
    gd_trainer *t;
    uint64_t count;

    o.microbatch = 3;
    t = fixture_trainer(&c, &o);
    for (int i = 0; i < 2; i++)
        assert_int_equal(gd_trainer_step(t), GD_OK);
    count = gd_allocation_count();
    for (int i = 0; i < 5; i++)
        assert_int_equal(gd_trainer_step(t), GD_OK);
    assert_int_equal(gd_allocation_count(), count);
    gd_trainer_free(t);
    assert_int_equal(gd_memory_held(), held);
}

static void steps_allocate_nothing(void **state)
{
    (void)state;
    check_kind(GD_NET_UNET, "learn_sigma=True");
    check_kind(GD_NET_CLASSIFIER, "");
    check_kind(GD_NET_SUPERRES, "large_size=8,small_size=4");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(steps_allocate_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
