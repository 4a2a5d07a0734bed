/* The public interface as a program uses it: errors with their texts, images by number, stopping.
 */
#include <guided.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 32, SMALL = 8, CHANNELS = 3, PIXELS = SIZE * SIZE * CHANNELS };

static gd_model *open_model(const char *name)
{
    char path[4096];
    gd_model *m;

    snprintf(path, sizeof path, "%s/fashion32/%s.safetensors", getenv("GUIDED_MODELS"), name);
    assert_int_equal(gd_model_open(&m, path, NULL, 0), GD_OK);
    return m;
}

static void a_model_says_what_it_is(void **state)
{
    gd_model *m = open_model("diffusion"), *up = open_model("upsampler");
    gd_model_info info;
    char json[4096], hash[33];
    size_t needed;

    (void)state;
    gd_model_get_info(&info, m);
    assert_string_equal(info.kind, "diffusion");
    assert_int_equal(info.image_size, SIZE);
    assert_int_equal(info.classes, 10);
    assert_int_equal(info.small_size, 0);
    assert_true(info.parameters > 1000000);
    assert_string_equal(gd_model_class_name(m, 1), "trouser");
    assert_null(gd_model_class_name(m, 10));
    assert_null(gd_model_class_name(m, -1));
    assert_int_equal(gd_model_hash(m, hash), GD_OK);
    assert_int_equal(strlen(hash), 32);
    assert_int_equal(gd_model_config_json(m, NULL, 0, &needed), GD_OK);
    assert_int_equal(gd_model_config_json(m, json, needed - 1, &needed), GD_EUSAGE);
    assert_int_equal(gd_model_config_json(m, json, sizeof json, &needed), GD_OK);
    assert_int_equal(strlen(json) + 1, needed);
    assert_non_null(strstr(json, "\"image_size\""));
    gd_model_get_info(&info, up);
    assert_string_equal(info.kind, "upsampler");
    assert_int_equal(info.small_size, SMALL);
    gd_model_close(m);
    gd_model_close(up);
}

static void an_image_depends_on_its_number_alone(void **state)
{
    static uint8_t first[PIXELS], second[PIXELS], alone[PIXELS];
    gd_model *m = open_model("diffusion");
    gd_sampler_options o;
    gd_sampler *s, *again;

    (void)state;
    gd_sampler_defaults(&o, m);
    o.steps = "ddim3";
    o.eta = 1;
    o.seed = 5;
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_OK);
    assert_int_equal(gd_sampler_open(&again, m, NULL, &o), GD_OK);
    assert_int_equal(gd_sampler_steps(s), 3);
    assert_true(gd_sampler_bytes(s) > 1000000);
    assert_int_equal(gd_sampler_run(s, 0, 4, NULL, first), GD_OK);
    assert_int_equal(gd_sampler_run(s, 1, 4, NULL, second), GD_OK);
    assert_int_equal(gd_sampler_run(again, 1, 4, NULL, alone), GD_OK);
    assert_memory_not_equal(first, second, PIXELS);
    assert_memory_equal(second, alone, PIXELS);
    gd_sampler_close(s);
    gd_sampler_close(again);
    gd_model_close(m);
}

static gd_status stop_at_2(void *ctx, int64_t image, int step, int n_steps)
{
    int *calls = ctx;

    assert_int_equal(image, 9);
    assert_int_equal(n_steps, 3);
    assert_int_equal(step, ++*calls);
    return step == 2 ? GD_EINTERRUPTED : GD_OK;
}

static void progress_can_stop(void **state)
{
    static uint8_t pixels[PIXELS];
    gd_model *m = open_model("diffusion");
    gd_sampler_options o;
    gd_sampler *s;
    int calls = 0;

    (void)state;
    gd_sampler_defaults(&o, m);
    o.steps = "ddim3";
    o.progress = stop_at_2;
    o.progress_ctx = &calls;
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_OK);
    assert_int_equal(gd_sampler_run(s, 9, -5, NULL, pixels), GD_EUSAGE); /* an older text */
    assert_int_equal(gd_sampler_run(s, 9, 0, NULL, pixels), GD_EINTERRUPTED);
    assert_string_equal(gd_error(), "image 9: stopped by the caller before step 2 of 3");
    assert_int_equal(calls, 2);
    gd_sampler_close(s);
    gd_model_close(m);
}

static void an_upsampler_enlarges(void **state)
{
    static uint8_t low[SMALL * SMALL * CHANNELS], pixels[PIXELS];
    gd_model *m = open_model("upsampler");
    gd_sampler_options o;
    gd_sampler *s;

    (void)state;
    memset(low, 200, sizeof low);
    gd_sampler_defaults(&o, m);
    o.steps = "ddim3";
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_OK);
    assert_int_equal(gd_sampler_run(s, 0, 1, NULL, pixels), GD_EUSAGE);
    assert_non_null(strstr(gd_error(), "low-resolution"));
    assert_int_equal(gd_sampler_run(s, 0, 1, low, pixels), GD_OK);
    gd_sampler_close(s);
    gd_model_close(m);
}

static void what_cannot_be_is_said(void **state)
{
    static uint8_t pixels[PIXELS];
    gd_model *m = open_model("diffusion"), *up = open_model("upsampler"), *none = NULL;
    gd_sampler_options o;
    gd_sampler *s;

    (void)state;
    assert_int_equal(gd_model_open(&none, "/nonexistent.pt", NULL, 0), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), "/nonexistent.pt"));
    gd_sampler_defaults(&o, m);
    o.steps = "5000";
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_EUSAGE);
    assert_null(s);
    o.steps = "ddim3";
    o.eta = 2;
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_EUSAGE);
    o.eta = 0;
    o.scale = -1;
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_EUSAGE);
    o.scale = 1;
    assert_int_equal(gd_sampler_open(&s, m, up, &o), GD_EMISMATCH);
    assert_int_equal(gd_sampler_open(&s, m, NULL, &o), GD_OK);
    assert_int_equal(gd_sampler_run(s, 0, 10, NULL, pixels), GD_EUSAGE);
    assert_int_equal(gd_sampler_run(s, -1, 0, NULL, pixels), GD_EUSAGE);
    assert_int_equal(gd_sampler_run(s, 0, 0, pixels, pixels), GD_EUSAGE);
    gd_sampler_close(s);
    gd_sampler_close(NULL);
    gd_model_close(m);
    gd_model_close(up);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_says_what_it_is),
        cmocka_unit_test(an_image_depends_on_its_number_alone),
        cmocka_unit_test(progress_can_stop),
        cmocka_unit_test(an_upsampler_enlarges),
        cmocka_unit_test(what_cannot_be_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
