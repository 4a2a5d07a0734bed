/* SPDX-License-Identifier: MIT */
/* Jobs as a program uses them: tables of options, values that cannot be, events, results that equal
 * the typed functions', stopping, and two contexts side by side. */
#include <guided.h>

#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { SIZE = 32, STEPS = 3, IMAGES = 2, CLASSES = 10 };

static guided_context *context;
static char folder[] = "/tmp/guided-jobs-XXXXXX";

static int set_up(void **state)
{
    (void)state;
    return !mkdtemp(folder) || chdir(folder) != 0 || guided_context_open(&context) != GUIDED_OK;
}

static int tear_down(void **state)
{
    char line[64];

    (void)state;
    guided_context_close(context);
    snprintf(line, sizeof line, "rm -rf %s", folder);
    return system(line);
}

static guided_job *open_job(guided_context *c, const char *kind)
{
    guided_job *job;

    assert_int_equal(guided_job_open(&job, c, kind), GUIDED_OK);
    return job;
}

static void set(guided_job *job, const char *name, const char *value)
{
    if (guided_job_set(job, name, value) != GUIDED_OK)
        fail_msg("%s=%s: %s", name, value, guided_error());
}

static guided_job *sampling(guided_context *c, const char *output)
{
    guided_job *job = open_job(c, "sample");

    set(job, "steps", "ddim3");
    set(job, "num", "2");
    set(job, "class", "3");
    set(job, "seed", "5");
    set(job, "output", output);
    set(job, "overwrite", "true");
    set(job, "json", "true");
    return job;
}

/* ---- tables ---- */

static const json_t *option_named(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *o = json_array_get(list, i);
        if (strcmp(json_string_value(json_object_get(o, "name")), name) == 0)
            return o;
    }
    return NULL;
}

static void every_kind_describes_its_options(void **state)
{
    json_t *kinds = json_loads(guided_jobs_json(), 0, NULL);

    (void)state;
    assert_true(json_array_size(kinds) > 15);
    for (size_t i = 0; i < json_array_size(kinds); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(kinds, i), "name"));
        const char *text = guided_job_options_json(name);
        if (!text)
            fail_msg("%s: no options: %s", name, guided_error());
        json_t *list = json_loads(text, 0, NULL);
        assert_non_null(option_named(list, "config")); /* every kind takes it */
        assert_true(json_is_true(json_object_get(option_named(list, "config"), "common")));
        json_decref(list);
        assert_ptr_equal(text, guided_job_options_json(name));
    }
    json_decref(kinds);
    assert_null(guided_job_options_json("nothing"));
}

static void a_table_has_defaults_choices_and_ranges(void **state)
{
    json_t *list = json_loads(guided_job_options_json("sample"), 0, NULL);
    const json_t *eta = option_named(list, "eta"), *precision = option_named(list, "precision");

    (void)state;
    assert_string_equal(json_string_value(json_object_get(option_named(list, "num"), "default")),
                        "1");
    assert_string_equal(json_string_value(json_object_get(precision, "default")), "fp32");
    assert_int_equal(json_array_size(json_object_get(precision, "choices")), 2);
    assert_float_equal(json_number_value(json_object_get(eta, "max")), 1, 0);
    assert_null(json_object_get(eta, "default"));
    assert_true(json_array_size(json_object_get(option_named(list, "sampler"), "choices")) > 10);
    json_decref(list);
}

/* ---- values ---- */

static void a_value_that_cannot_be_is_refused_at_once(void **state)
{
    guided_job *job, *none;

    (void)state;
    assert_int_equal(guided_job_open(&none, context, "smaple"), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "sample"));
    assert_null(none);
    job = open_job(context, "sample");
    assert_int_equal(guided_job_set(job, "stepps", "3"), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "--steps"));
    assert_int_equal(guided_job_set(job, "num", "many"), GUIDED_EUSAGE);
    assert_int_equal(guided_job_set(job, "num", "0"), GUIDED_EUSAGE);
    assert_int_equal(guided_job_set(job, "precision", "fp8"), GUIDED_EUSAGE);
    assert_int_equal(guided_job_set(job, "quiet", "perhaps"), GUIDED_EUSAGE);
    assert_int_equal(guided_job_set(job, "image_size", "64"), GUIDED_OK); /* the authors' */
    set(job, "num", "2");
    set(job, "num", "3");
    assert_int_equal(guided_job_run(job), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "given twice"));
    assert_int_equal(guided_job_run(job), GUIDED_EUSAGE);
    assert_non_null(strstr(guided_error(), "has run"));
    guided_job_close(job);
    guided_job_close(NULL);
}

static void a_word_is_no_option_whatever_it_begins_with(void **state)
{
    guided_job *job = open_job(context, "info");

    (void)state;
    set(job, "", "--no-such-file");
    assert_int_equal(guided_job_run(job), GUIDED_EFORMAT);
    assert_non_null(strstr(guided_error(), "--no-such-file"));
    guided_job_close(job);
}

static void variables_count_below_a_line_alone(void **state)
{
    char *words[] = { "--print-config" };
    guided_job *job = open_job(context, "sample");

    (void)state;
    setenv("GUIDED_NUM", "7", 1);
    assert_int_equal(guided_job_set_line(job, 1, words), GUIDED_OK);
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    assert_string_equal(guided_job_get(job, "num"), "7");
    guided_job_close(job);
    job = open_job(context, "sample");
    set(job, "print-config", "true");
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    assert_null(guided_job_get(job, "num"));
    guided_job_close(job);
    unsetenv("GUIDED_NUM");
}

/* ---- events ---- */

typedef struct seen {
    int previews, guided, images, ends;
    int64_t last_done;
    double sigma, flops;
    bool falls, right;
    uint8_t pixels[SIZE * SIZE]; /* of the last prediction */
    uint8_t image[SIZE * SIZE];
    size_t data;
    char text[4096];
} seen;

static void take_text(void *ctx, const char *text, size_t n)
{
    seen *s = ctx;
    const size_t used = strlen(s->text);

    assert_true(used + n < sizeof s->text);
    memcpy(s->text + used, text, n);
}

static void take_progress(void *ctx, const guided_progress *p)
{
    seen *s = ctx;

    assert_string_equal(p->unit, "steps");
    assert_int_equal(p->total, IMAGES * STEPS);
    s->last_done = p->done;
    assert_true(p->flops >= s->flops);
    s->flops = p->flops;
    s->ends += p->ended;
}

static void take_preview(void *ctx, const guided_preview *p)
{
    seen *s = ctx;

    s->falls = p->call == 1 || p->sigma < s->sigma;
    s->sigma = p->sigma;
    s->right = p->calls == STEPS && p->label == 3 && p->stage == 0 && p->height == SIZE &&
               p->channels == 1 && p->image < IMAGES;
    s->guided += p->gradient && p->logits && p->classes == CLASSES;
    s->previews++;
    for (int i = 0; i < SIZE * SIZE; i++)
        s->pixels[i] = (uint8_t)((p->x0[i] + 1) * 127.5f);
}

static void take_image(void *ctx, const guided_image *image)
{
    seen *s = ctx;

    s->images++;
    memcpy(s->image, image->pixels, sizeof s->image);
}

static bool take_data(void *ctx, const void *bytes, size_t n)
{
    seen *s = ctx;

    assert_memory_equal(bytes, "\x89PNG", 4);
    s->data = n;
    return true;
}

static void a_watched_job_shows_its_predictions(void **state)
{
    static seen s;
    const guided_events events = { &s, take_text, take_progress, take_preview, take_image, NULL };
    guided_job *job = sampling(context, "a.png"), *plain = sampling(context, "b.png");
    json_t *result;

    (void)state;
    guided_context_set_threads(context, 1);
    set(job, "preview", "true");
    guided_job_set_events(job, &events);
    assert_string_equal(guided_job_result(job), "");
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    assert_int_equal(s.previews, IMAGES * STEPS);
    assert_true(s.guided >= IMAGES * (STEPS - 1));
    assert_true(s.falls && s.right);
    assert_int_equal(s.images, IMAGES);
    assert_int_equal(s.last_done, IMAGES * STEPS);
    assert_int_equal(s.ends, 1);
    assert_true(s.flops > IMAGES * STEPS * 1e8 && s.flops < IMAGES * STEPS * 1e10);
    assert_true(guided_context_peak_flops(context, false) > 1e8);
    for (int i = 0; i < SIZE * SIZE; i++) /* deterministic DDIM ends in its last prediction */
        assert_in_range(abs(s.pixels[i] - s.image[i]), 0, 1);
    result = json_loads(guided_job_result(job), 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(result, "images")), IMAGES);
    assert_non_null(strstr(s.text, guided_job_result(job)));
    json_decref(result);
    guided_job_close(job);
    assert_int_equal(guided_job_run(plain), GUIDED_OK);
    guided_job_close(plain);
    assert_int_equal(system("cmp a.png b.png"), 0);
}

static void a_picture_can_be_handed_over(void **state)
{
    seen s = { .images = 0 };
    const guided_events events = { .ctx = &s, .data = take_data };
    guided_job *job = open_job(context, "sample");

    (void)state;
    set(job, "steps", "ddim2");
    set(job, "output", "-");
    assert_int_equal(guided_job_run(job), GUIDED_EUSAGE); /* nobody takes it */
    guided_job_close(job);
    job = open_job(context, "sample");
    set(job, "steps", "ddim2");
    set(job, "output", "-");
    guided_job_set_events(job, &events);
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    assert_true(s.data > 100);
    guided_job_close(job);
}

typedef struct handed {
    int partials, arrays;
    int64_t samples; /* of the latest partial result */
    bool right;
} handed;

static void take_partial(void *ctx, const guided_partial *p)
{
    handed *h = ctx;

    h->partials++;
    h->right = strcmp(p->metric, "fid") == 0 && p->total == 8 && p->samples > h->samples &&
               p->value >= 0 && isnan(p->deviation);
    h->samples = p->samples;
}

static void take_array(void *ctx, const guided_array *a)
{
    handed *h = ctx;

    h->arrays++;
    h->right = strcmp(a->name, "samples") == 0 && a->rank == 4 && a->dim[0] == 1 &&
               a->dim[1] == 1 && a->dim[2] == SIZE && a->dim[3] == SIZE;
    for (int i = 0; i < SIZE * SIZE; i++)
        h->right = h->right && a->data[i] >= -1.5f && a->data[i] <= 1.5f;
}

static void run_sample(const char *num, const char *output)
{
    guided_job *job = open_job(context, "sample");

    set(job, "num", num);
    set(job, "steps", "ddim2");
    set(job, "seed", "1");
    set(job, "output", output);
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    guided_job_close(job);
}

static void an_evaluation_shows_parts(void **state)
{
    handed h = { .samples = 0 };
    const guided_events events = { .ctx = &h, .partial = take_partial };
    guided_job *job = open_job(context, "eval");

    (void)state;
    run_sample("8", "set.npz");
    set(job, "ref", "set.npz");
    set(job, "samples", "set.npz");
    set(job, "features", "fashion32");
    set(job, "metrics", "fid");
    guided_job_set_events(job, &events);
    assert_int_equal(guided_job_run(job), GUIDED_OK);
    assert_int_equal(h.partials, 3); /* of 2, 4 and 6: one image has no covariance */
    assert_int_equal(h.samples, 6);
    assert_true(h.right);
    guided_job_close(job);
}

static void results_can_be_arrays(void **state)
{
    handed h = { .arrays = 0 };
    const guided_events events = { .ctx = &h, .array = take_array };

    (void)state;
    run_sample("1", "one.png");
    for (int taken = 0; taken < 2; taken++) {
        guided_job *job = open_job(context, "img2img");
        set(job, "image", "one.png");
        set(job, "class", "3");
        set(job, "steps", "ddim5");
        set(job, "output", "-");
        if (taken)
            guided_job_set_events(job, &events);
        assert_int_equal(guided_job_run(job), taken ? GUIDED_OK : GUIDED_EUSAGE);
        guided_job_close(job);
    }
    assert_int_equal(h.arrays, 1);
    assert_true(h.right);
    assert_int_not_equal(access("-", F_OK), 0);
}

/* ---- stopping ---- */

static void cancel_at_once(void *ctx, const guided_progress *p)
{
    (void)ctx;
    if (p->done > 0)
        guided_context_cancel(context, true);
}

static void a_cancelled_job_keeps_what_is_finished(void **state)
{
    const guided_events events = { .progress = cancel_at_once };
    guided_job *job = sampling(context, "stopped.png"), *after = sampling(context, "after.png");

    (void)state;
    guided_job_set_events(job, &events);
    assert_int_equal(guided_job_run(job), GUIDED_EINTERRUPTED);
    assert_non_null(strstr(guided_error(), "stopped"));
    guided_job_close(job);
    guided_context_cancel(context, false);
    assert_int_equal(guided_job_run(after), GUIDED_OK);
    guided_job_close(after);
}

/* ---- side by side ---- */

typedef struct beside {
    const char *output;
    char notices[2048];
    guided_status status;
} beside;

static void note(void *ctx, guided_log_level level, const char *line)
{
    beside *b = ctx;

    (void)level;
    snprintf(b->notices + strlen(b->notices), sizeof b->notices - strlen(b->notices), "%s\n", line);
}

static void *run_beside(void *ctx)
{
    beside *b = ctx;
    guided_context *own;
    guided_job *job;

    b->status = guided_context_open(&own);
    if (b->status != GUIDED_OK)
        return NULL;
    guided_context_set_threads(own, 1);
    guided_context_set_log(own, note, b, GUIDED_LOG_NOTE);
    job = sampling(own, b->output);
    b->status = guided_job_run(job);
    guided_job_close(job);
    guided_context_close(own);
    return NULL;
}

static void two_jobs_do_not_disturb_each_other(void **state)
{
    beside b[2] = { { .output = "left.png" }, { .output = "right.png" } };
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, run_beside, &b[0]), 0);
    run_beside(&b[1]);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(b[i].status, GUIDED_OK);
        assert_non_null(strstr(b[i].notices, b[i].output));
        assert_null(strstr(b[i].notices, b[1 - i].output));
    }
    assert_int_equal(system("cmp left.png right.png && cmp left.png after.png"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_describes_its_options),
        cmocka_unit_test(a_table_has_defaults_choices_and_ranges),
        cmocka_unit_test(a_value_that_cannot_be_is_refused_at_once),
        cmocka_unit_test(a_word_is_no_option_whatever_it_begins_with),
        cmocka_unit_test(variables_count_below_a_line_alone),
        cmocka_unit_test(a_watched_job_shows_its_predictions),
        cmocka_unit_test(a_picture_can_be_handed_over),
        cmocka_unit_test(an_evaluation_shows_parts),
        cmocka_unit_test(results_can_be_arrays),
        cmocka_unit_test(a_cancelled_job_keeps_what_is_finished),
        cmocka_unit_test(two_jobs_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
