/* SPDX-License-Identifier: MIT */
/* The public interface as a program uses it: errors with their texts, images by number, stopping,
 * gradients, and contexts side by side. */
#include <guided.h>

#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 32, SMALL = 8, CHANNELS = 3, PIXELS = SIZE * SIZE * CHANNELS };

static guided_context *context;

static guided_model *open_in(guided_context *c, const char *name)
{
    char path[4096];
    guided_model *m;

    snprintf(path, sizeof path, "%s/fashion32/%s.safetensors", getenv("GUIDED_MODELS"), name);
    assert_int_equal(guided_model_open(&m, c, path, NULL, 0), GUIDED_OK);
    return m;
}

static int set_up(void **state)
{
    (void)state;
    return guided_context_open(&context);
}

static int tear_down(void **state)
{
    (void)state;
    guided_context_close(context);
    return 0;
}

static void a_model_says_what_it_is(void **state)
{
    guided_model *m = open_in(context, "diffusion"), *up = open_in(context, "upsampler");
    guided_model_info info;
    char json[4096], hash[33];
    size_t needed;

    (void)state;
    guided_model_get_info(&info, m);
    assert_string_equal(info.kind, "diffusion");
    assert_int_equal(info.image_size, SIZE);
    assert_int_equal(info.classes, 10);
    assert_int_equal(info.small_size, 0);
    assert_true(info.parameters > 1000000);
    assert_string_equal(guided_model_class_name(m, 1), "trouser");
    assert_null(guided_model_class_name(m, 10));
    assert_null(guided_model_class_name(m, -1));
    assert_int_equal(guided_model_hash(m, hash), GUIDED_OK);
    assert_int_equal(strlen(hash), 32);
    assert_int_equal(guided_model_config_json(m, NULL, 0, &needed), GUIDED_OK);
    assert_int_equal(guided_model_config_json(m, json, needed - 1, &needed), GUIDED_EUSAGE);
    assert_int_equal(guided_model_config_json(m, json, sizeof json, &needed), GUIDED_OK);
    assert_int_equal(strlen(json) + 1, needed);
    assert_non_null(strstr(json, "\"image_size\""));
    guided_model_get_info(&info, up);
    assert_string_equal(info.kind, "upsampler");
    assert_int_equal(info.small_size, SMALL);
    guided_model_close(m);
    guided_model_close(up);
}

static void classes_are_read_as_the_command_reads_them(void **state)
{
    guided_model *m = open_in(context, "diffusion"), *up = open_in(context, "upsampler");
    int64_t labels[5], again[5];

    (void)state;
    assert_int_equal(guided_model_read_classes(m, "ankle boot,2-3,#7", NULL, 0, 1, 5, labels),
                     GUIDED_OK);
    assert_memory_equal(labels, ((int64_t[]){ 2, 3, 7, 9, 2 }), sizeof labels);
    assert_int_equal(guided_model_read_classes(m, NULL, NULL, 0, 8, 3, labels), GUIDED_OK);
    assert_memory_equal(labels, ((int64_t[]){ 8, 9, 0 }), 3 * sizeof *labels);
    assert_int_equal(guided_model_read_classes(m, "random", NULL, 5, 0, 5, labels), GUIDED_OK);
    assert_int_equal(guided_model_read_classes(m, "random", NULL, 5, 2, 3, again), GUIDED_OK);
    assert_memory_equal(labels + 2, again, 3 * sizeof *labels);
    assert_int_equal(guided_model_read_classes(m, "trousr", NULL, 0, 0, 1, labels), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "did you mean"));
    assert_int_equal(guided_model_read_classes(m, "0", "none.txt", 0, 0, 1, labels),
                     GUIDED_EFORMAT);
    guided_model_close(m);
    guided_model_close(up);
}

static void an_image_depends_on_its_number_alone(void **state)
{
    static const guided_option options[] = {
        { "steps", "ddim3" }, { "eta", "1" }, { "seed", "5" }, { "batch", "2" }
    };
    static const int64_t labels[] = { 4, 4 };
    static uint8_t both[2 * PIXELS], alone[PIXELS];
    static float images[PIXELS];
    guided_model *m = open_in(context, "diffusion");
    guided_sampler *s, *again;

    (void)state;
    assert_int_equal(guided_sampler_open(&s, m, NULL, options, 4), GUIDED_OK);
    assert_int_equal(guided_sampler_open(&again, m, NULL, options, 3), GUIDED_OK);
    assert_int_equal(guided_sampler_steps(s), 3);
    assert_true(guided_sampler_bytes(s) > 1000000);
    assert_int_equal(guided_sampler_run(s, 0, 2, labels, NULL, both), GUIDED_OK);
    assert_int_equal(guided_sampler_run(again, 1, 1, labels, NULL, alone), GUIDED_OK);
    assert_memory_not_equal(both, both + PIXELS / CHANNELS, PIXELS / CHANNELS);
    assert_memory_equal(both + PIXELS / CHANNELS, alone, PIXELS / CHANNELS); /* grey */
    assert_int_equal(guided_sampler_run_float(again, 1, 1, labels, NULL, images), GUIDED_OK);
    for (int i = 0; i < SIZE * SIZE; i++)
        assert_int_equal((int)((images[i] + 1) * 127.5f), alone[i]);
    guided_sampler_close(s);
    guided_sampler_close(again);
    guided_model_close(m);
}

static guided_status stop_at_2(void *ctx, int64_t first, int n, int step, int n_steps)
{
    int *calls = ctx;

    assert_int_equal(first, 9);
    assert_int_equal(n, 1);
    assert_int_equal(n_steps, 3);
    assert_int_equal(step, ++*calls);
    return step == 2 ? GUIDED_EINTERRUPTED : GUIDED_OK;
}

static void progress_and_cancelling_stop(void **state)
{
    static const guided_option options[] = { { "steps", "ddim3" } };
    static uint8_t pixels[PIXELS];
    const int64_t label = 0;
    guided_model *m = open_in(context, "diffusion");
    guided_sampler *s;
    int calls = 0;

    (void)state;
    assert_int_equal(guided_sampler_open(&s, m, NULL, options, 1), GUIDED_OK);
    guided_sampler_set_progress(s, stop_at_2, &calls);
    assert_int_equal(guided_sampler_run(s, -1, 1, &label, NULL, pixels), GUIDED_EUSAGE);
    assert_int_equal(guided_sampler_run(s, 9, 1, &label, NULL, pixels), GUIDED_EINTERRUPTED);
    assert_string_equal(guided_error(), "image 9: stopped by the caller before step 2 of 3");
    assert_int_equal(calls, 2);
    guided_sampler_set_progress(s, NULL, NULL);
    guided_context_cancel(context, true);
    assert_int_equal(guided_sampler_run(s, 9, 1, &label, NULL, pixels), GUIDED_EINTERRUPTED);
    assert_string_equal(guided_error(), "cancelled");
    guided_context_cancel(context, false);
    assert_int_equal(guided_sampler_run(s, 9, 1, &label, NULL, pixels), GUIDED_OK);
    guided_sampler_close(s);
    guided_model_close(m);
}

static void an_upsampler_enlarges(void **state)
{
    static const guided_option options[] = { { "steps", "ddim3" } };
    static uint8_t low[SMALL * SMALL * CHANNELS], pixels[PIXELS];
    const int64_t label = 1;
    guided_model *m = open_in(context, "upsampler");
    guided_sampler *s;

    (void)state;
    memset(low, 200, sizeof low);
    assert_int_equal(guided_sampler_open(&s, m, NULL, options, 1), GUIDED_OK);
    assert_int_equal(guided_sampler_run(s, 0, 1, &label, NULL, pixels), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "low-resolution"));
    assert_int_equal(guided_sampler_run(s, 0, 1, &label, low, pixels), GUIDED_OK);
    guided_sampler_close(s);
    guided_model_close(m);
}

/* J^T v by the library and by differences of the denoiser along u: v . J u = u . J^T v */
static void the_vjp_is_the_transposed_jacobian(void **state)
{
    enum { N = SIZE * SIZE };
    static float x[N], u[N], v[N], low[N], high[N], gradient[N];
    guided_model *m = open_in(context, "diffusion");
    guided_denoiser *d;
    double forward = 0, backward = 0;
    const double sigma = 2, step = 1e-2;

    (void)state;
    for (int i = 0; i < N; i++) {
        x[i] = (float)sin(0.7 * i) * 2;
        u[i] = (float)cos(1.3 * i);
        v[i] = (float)sin(2.1 * i + 1);
    }
    assert_int_equal(guided_denoiser_open(&d, m, false, true), GUIDED_OK);
    assert_int_equal(guided_denoise_vjp(d, v, gradient), GUIDED_EUSAGE);
    assert_int_equal(guided_denoise(d, x, sigma, 3, low), GUIDED_OK);
    assert_int_equal(guided_denoise_vjp(d, v, gradient), GUIDED_OK);
    for (int i = 0; i < N; i++)
        x[i] += (float)(step * u[i]);
    assert_int_equal(guided_denoise(d, x, sigma, 3, high), GUIDED_OK);
    for (int i = 0; i < N; i++)
        x[i] -= (float)(2 * step * u[i]);
    assert_int_equal(guided_denoise(d, x, sigma, 3, low), GUIDED_OK);
    for (int i = 0; i < N; i++) {
        forward += v[i] * ((double)high[i] - low[i]) / (2 * step);
        backward += (double)u[i] * gradient[i];
    }
    if (!(fabs(forward - backward) < 0.02 * fabs(forward) + 0.02))
        fail_msg("%g by differences, %g by the library", forward, backward);
    assert_int_equal(guided_denoise(d, x, 0, 3, low), GUIDED_EUSAGE);
    assert_int_equal(guided_denoise(d, x, sigma, 10, low), GUIDED_EUSAGE);
    guided_denoiser_close(d);
    guided_model_close(m);
}

static void what_cannot_be_is_refused(void **state)
{
    static uint8_t pixels[PIXELS];
    static const int64_t ten = 10, zero = 0;
    guided_model *m = open_in(context, "diffusion"), *up = open_in(context, "upsampler"),
                 *none = NULL;
    guided_sampler *s;

    (void)state;
    assert_int_equal(guided_model_open(&none, context, "/nonexistent.pt", NULL, 0), GUIDED_EFORMAT);
    assert_non_null(strstr(guided_error(), "/nonexistent.pt"));
    const guided_option bad[] = { { "steps", "5000" },       { "eta", "2" },
                                  { "scale", "-1" },         { "stepz", "3" },
                                  { "precision", "fp16" },   { "threshold", "hard" },
                                  { "spacing", "karras" },   { "gradient_every", "1.5" },
                                  { "guidance_scale", "2" }, { "bf16", "maybe" },
                                  { "seed", "-3" } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(guided_sampler_open(&s, m, NULL, &bad[i], 1), GUIDED_EUSAGE);
        assert_null(s);
    }
    assert_int_equal(guided_sampler_open(&s, m, NULL, &bad[3], 1), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "did you mean steps"));
    assert_int_equal(guided_sampler_open(&s, m, up, NULL, 0), GUIDED_EMISMATCH);
    const guided_option few = { "steps", "ddim3" };
    assert_int_equal(guided_sampler_open(&s, m, NULL, &few, 1), GUIDED_OK);
    assert_int_equal(guided_sampler_run(s, 0, 1, &ten, NULL, pixels), GUIDED_EUSAGE);
    assert_int_equal(guided_sampler_run(s, 0, 1, NULL, NULL, pixels), GUIDED_EUSAGE);
    assert_int_equal(guided_sampler_run(s, -1, 1, &zero, NULL, pixels), GUIDED_EUSAGE);
    assert_int_equal(guided_sampler_run(s, 0, 1, &zero, pixels, pixels), GUIDED_EUSAGE);
    guided_sampler_close(s);
    guided_sampler_close(NULL);
    guided_model_close(m);
    guided_model_close(up);
    assert_non_null(strstr(guided_sampler_options_json(), "\"name\":\"steps\""));
    assert_non_null(strstr(guided_solvers_json(), "\"name\":\"dpmpp-2m\""));
}

/* ---- contexts side by side ---- */

typedef struct side {
    int threads, notices;
    uint8_t pixels[PIXELS];
    guided_status status;
} side;

static void count(void *ctx, guided_log_level level, const char *line)
{
    (void)level;
    (void)line;
    ((side *)ctx)->notices++;
}

static void *work(void *ctx)
{
    static const guided_option options[] = { { "steps", "ddim10" }, { "seed", "3" } };
    const int64_t label = 2;
    side *me = ctx;
    guided_context *c;
    guided_model *m;
    guided_sampler *s = NULL;

    me->status = guided_context_open(&c);
    guided_context_set_threads(c, me->threads);
    guided_context_set_log(c, count, me, GUIDED_LOG_INFO);
    m = open_in(c, "diffusion");
    if (me->status == GUIDED_OK)
        me->status = guided_sampler_open(&s, m, NULL, options, 2);
    if (me->status == GUIDED_OK)
        me->status = guided_sampler_run(s, 0, 1, &label, NULL, me->pixels);
    guided_sampler_close(s);
    guided_model_close(m);
    guided_context_close(c);
    return NULL;
}

static void two_contexts_do_not_disturb_each_other(void **state)
{
    static side alone, pair[2];
    pthread_t thread[2];

    (void)state;
    alone.threads = 1;
    work(&alone);
    assert_int_equal(alone.status, GUIDED_OK);
    assert_true(alone.notices > 0);
    for (int k = 0; k < 2; k++) {
        pair[k].threads = k + 1;
        assert_int_equal(pthread_create(&thread[k], NULL, work, &pair[k]), 0);
    }
    for (int k = 0; k < 2; k++) {
        pthread_join(thread[k], NULL);
        assert_int_equal(pair[k].status, GUIDED_OK);
        assert_int_equal(pair[k].notices, alone.notices);
        assert_memory_equal(pair[k].pixels, alone.pixels, PIXELS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_says_what_it_is),
        cmocka_unit_test(classes_are_read_as_the_command_reads_them),
        cmocka_unit_test(an_image_depends_on_its_number_alone),
        cmocka_unit_test(progress_and_cancelling_stop),
        cmocka_unit_test(an_upsampler_enlarges),
        cmocka_unit_test(the_vjp_is_the_transposed_jacobian),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(two_contexts_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
