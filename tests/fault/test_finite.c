/* SPDX-License-Identifier: MIT */
/* A result that is not finite, put into each step of each network: found at once, the step named,
 * nothing made of it (reliability class 14). */
#include "fault.h"

#include "graph/graph.h"
#include "io/io.h"

#include <math.h>

static const float values[] = { NAN, INFINITY, -INFINITY };
static const char train[] =
    "train --data images --image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1"
    " --attention_resolutions 8 --diffusion_steps 50 --class_cond True --batch-size 2"
    " --microbatch 1 --iterations 1 --seed 9 --workers 1 -t 1 --out run";

static char last_log[1024];

static void note(void *ctx, gd_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    if (!strstr(line, "parameters") && !strstr(line, "from step")) /* how a training begins */
        snprintf(last_log, sizeof last_log, "%s", line);
}

/* x sigmoid(x) of minus infinity is -0: an infinity right before it may be no fault at all.  Minus
 * infinity as the logarithm of a probability is a probability of 0. */
static bool is_absorbed(float value)
{
    const char *node = gd_failed_node();

    return isinf(value) &&
           (strstr(node, "time_embed") ||
            (value < 0 && (strstr(node, "label_emb") || strstr(node, "log_softmax"))));
}

/* NaN at every step, infinities at some of them; FAULT_ALL=1: at every one */
static bool choose(int64_t n, uint64_t *k, float *value)
{
    const int64_t every = getenv("FAULT_ALL") ? 1 : 5;

    *k = (uint64_t)(n / COUNT(values) + 1);
    *value = values[n % COUNT(values)];
    return isnan(*value) || n / COUNT(values) % every == 0;
}

static void check_sampling(const char *line)
{
    int steps = 0, absorbed = 0, missed = 0;
    float value;
    uint64_t k;

    for (int64_t n = 0;; n++) {
        if (!choose(n, &k, &value))
            continue;
        fault_remove("out.npz");
        gd_fail_node(k, value);
        const gd_status s = fault_run(line);
        if (!*gd_failed_node())
            break;
        steps++;
        if (s == GD_OK && is_absorbed(value)) {
            absorbed++;
        } else if (s != GD_EFAILED || !strstr(gd_error(), gd_failed_node())) {
            print_message("%s, %g: %s\n", gd_failed_node(), value, s ? gd_error() : "not found");
            missed++;
        }
        if (gd_path_exists("out.npz") && s != GD_OK)
            fail_msg("%s: an image after all", gd_failed_node());
    }
    gd_fail_node(0, 0);
    fault_remove("out.npz");
    assert_int_equal(fault_run(line), GD_OK);
    fault_remove("out.npz");
    print_message("%d results of networks, %d absorbed\n", steps, absorbed);
    assert_true(steps > 20 && absorbed < steps / 4);
    assert_int_equal(missed, 0);
}

static void sampling_names_the_step(void **state)
{
    (void)state;
    check_sampling("sample --model m.safetensors --steps ddim2 --seed 5 -t 1 -q -o out.npz");
}

static void guided_sampling_names_the_step(void **state)
{
    (void)state;
    check_sampling("sample --model m.safetensors --classifier c.safetensors --class 1 --steps ddim2"
                   " --seed 5 -t 1 -q -o out.npz");
}

/* Every value of the file is finite. */
static bool all_finite(const char *path)
{
    bool finite = true;
    gd_bundle *b;

    assert_int_equal(gd_bundle_open(&b, path), GD_OK);
    for (int i = 0; i < gd_bundle_count(b); i++) {
        const gd_array *a = gd_bundle_array(b, i);
        const int64_t n = gd_array_count(a);
        float *x;
        if (a->dtype != GD_F32)
            continue;
        assert_int_equal(gd_block_make(&x, (size_t)n * sizeof *x, "test"), GD_OK);
        assert_int_equal(gd_bundle_read(b, a, x), GD_OK);
        for (int64_t k = 0; k < n; k++)
            finite = finite && isfinite(x[k]);
        gd_block_free(x);
    }
    gd_bundle_close(b);
    return finite;
}

/* Forward and backward: every skipped update leaves the same parameters, moments and averages. */
static void no_update_is_made_of_it(void **state)
{
    char first[33] = "", hash[33];
    int steps = 0, missed = 0;
    float value;
    uint64_t k;

    (void)state;
    guided_context_set_log(fault_context(), note, NULL, GUIDED_LOG_NOTE);
    for (int64_t n = 0;; n++) {
        if (!choose(n, &k, &value))
            continue;
        *last_log = '\0';
        fault_remove("run");
        gd_fail_node(k, value);
        const gd_status s = fault_run(train);
        if (!*gd_failed_node())
            break;
        steps++;
        fault_hash(hash, "run/checkpoint-000000001.safetensors");
        if (!*first)
            strcpy(first, hash);
        if (s == GD_OK && ((strstr(last_log, "no update") && strstr(last_log, gd_failed_node()) &&
                            strcmp(hash, first) == 0) ||
                           (is_absorbed(value) && !*last_log)))
            continue;
        missed++;
        print_message("%s, %g: %s; %s\n", gd_failed_node(), value,
                      s == GD_OK ? last_log : gd_error(),
                      strcmp(hash, first) == 0 ? "no update" : "an update");
    }
    gd_fail_node(0, 0);
    guided_context_set_log(fault_context(), NULL, NULL, GUIDED_LOG_NOTE);
    print_message("%d results of a training pass\n", steps);
    assert_true(steps > 40);
    assert_int_equal(missed, 0);
}

/* Finite, but too large for the squares of AdamW */
static void a_huge_gradient_spoils_no_moment(void **state)
{
    const int every = getenv("FAULT_ALL") ? 1 : 7;
    int spoilt = 0;

    (void)state;
    for (uint64_t k = 1;; k += every) {
        fault_remove("run");
        gd_fail_node(k, 1e25f);
        const gd_status s = fault_run(train);
        if (!*gd_failed_node())
            break;
        if (s == GD_OK && all_finite("run/checkpoint-000000001.safetensors"))
            continue;
        spoilt++;
        print_message("%s: %s\n", gd_failed_node(), s == GD_OK ? "not finite" : gd_error());
    }
    gd_fail_node(0, 0);
    assert_int_equal(spoilt, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampling_names_the_step),
        cmocka_unit_test(guided_sampling_names_the_step),
        cmocka_unit_test(no_update_is_made_of_it),
        cmocka_unit_test(a_huge_gradient_spoils_no_moment),
    };
    return cmocka_run_group_tests(tests, fault_make_folder, fault_remove_folder);
}
