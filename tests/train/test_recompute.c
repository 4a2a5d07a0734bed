/* SPDX-License-Identifier: MIT */
/* Gradient checkpointing changes memory and time, and no bit of the result. */
#include "fixture.h"

enum { STEPS = 3 };

typedef struct outcome {
    char hash[33];
    size_t bytes;
} outcome;

static outcome train(const gd_model_config *c, bool recompute, bool bf16)
{
    gd_train_options o = fixture_options(c->net.kind);
    gd_trainer *t;
    outcome out;

    o.recompute = recompute;
    o.bf16 = bf16;
    t = fixture_trainer(c, &o);
    for (int i = 0; i < STEPS; i++)
        if (gd_trainer_step(t) != GD_OK)
            fail_msg("%s", gd_error());
    fixture_hash(t, out.hash);
    out.bytes = gd_learner_bytes(t->learner);
    gd_trainer_free(t);
    return out;
}

static void check(gd_net_kind kind, const char *flags, bool bf16)
{
    const gd_model_config c = fixture_config(kind, flags);
    const outcome plain = train(&c, false, bf16), again = train(&c, true, bf16);

    assert_string_equal(again.hash, plain.hash);
    assert_true(again.bytes < plain.bytes);
}

static void same_bits_less_memory(void **state)
{
    (void)state;
    check(GD_NET_UNET, "num_res_blocks=3", false);
    check(GD_NET_UNET, "num_res_blocks=3,resblock_updown=True,use_scale_shift_norm=False", false);
    check(GD_NET_CLASSIFIER, "classifier_depth=4", false);
    check(GD_NET_UNET, "num_res_blocks=3", true);
}

/* Weights of what is computed twice are held once: only activations shrink. */
static void weights_are_held_once(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "num_res_blocks=3");
    gd_learner_options o = { .microbatch = 1 };
    size_t bytes[2];
    gd_learner *l;
    gd_model *m;

    (void)state;
    if (gd_model_create(&m, &c, 5, false) != GD_OK)
        fail_msg("%s", gd_error());
    const gd_weights w = gd_model_weights(m);
    for (int k = 0; k < 2; k++) {
        o.recompute = k;
        if (gd_learner_make(&l, &c, &w, &o) != GD_OK)
            fail_msg("%s", gd_error());
        bytes[k] = gd_learner_bytes(l);
        gd_learner_free(l);
    }
    assert_true(bytes[1] < bytes[0]);
    gd_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_less_memory),
        cmocka_unit_test(weights_are_held_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
