/* SPDX-License-Identifier: MIT */
/* Model files that are whole but do not fit: a key too few, one too many, another shape, another
 * type. Refused by name, and nothing is written. */
#include "nn/nn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/guided-models-XXXXXX";

static int enter(void **state)
{
    static const gd_flag flags[] = { { "image_size", "8" },
                                     { "num_channels", "32" },
                                     { "channel_mult", "1" },
                                     { "num_res_blocks", "1" },
                                     { "attention_resolutions", "8" } };
    gd_model_config c;
    gd_model *m;
    (void)state;

    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    gd_config_defaults(&c, GD_NET_UNET);
    if (gd_flags_apply(&c, flags, COUNT(flags)) != GD_OK ||
        gd_model_create(&m, &c, 1, false) != GD_OK)
        return -1;
    const gd_status s = gd_model_save(m, "good.safetensors", false, GD_F32, NULL, 0);
    gd_model_close(m);
    return s == GD_OK ? 0 : -1;
}

static int leave(void **state)
{
    char command[64];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return chdir("/") == 0 ? system(command) : -1;
}

enum change { NO_CHANGE, LEFT_OUT, ONE_MORE, OTHER_SHAPE };

/* good.safetensors once more, hashes and all, with its k-th array changed */
static void write_changed(const char *path, enum change change, int k)
{
    static const char *const keys[] = { "guided.format", "guided.kind", "guided.config" };
    static float block[1 << 16];
    gd_array list[512];
    gd_meta meta[COUNT(keys)];
    gd_safetensors_writer *w;
    gd_bundle *b;
    int n = 0;

    assert_int_equal(gd_bundle_open(&b, "good.safetensors"), GD_OK);
    for (int i = 0; i < COUNT(keys); i++)
        meta[i] = (gd_meta){ keys[i], gd_bundle_meta(b, keys[i]) };
    for (int i = 0; i < gd_bundle_count(b); i++) {
        list[n] = *gd_bundle_array(b, i);
        if (i == k && change == OTHER_SHAPE)
            list[n].dim[0]++;
        n += i != k || change != LEFT_OUT;
    }
    if (change == ONE_MORE)
        list[n++] = (gd_array){ "intruder.weight", GD_F32, 1, { 3 } };
    assert_int_equal(gd_safetensors_begin(&w, path, true, list, n, meta, COUNT(keys)), GD_OK);
    for (int i = 0; i < n; i++) {
        const size_t bytes = (size_t)gd_array_count(&list[i]) * sizeof(float);
        assert_true(bytes <= sizeof block);
        assert_int_equal(gd_safetensors_add(w, block, bytes), GD_OK);
    }
    assert_int_equal(gd_safetensors_commit(w), GD_OK);
    gd_bundle_close(b);
}

static void refuse(enum change change, const char *name)
{
    gd_model *m;

    write_changed("bad.safetensors", change, 2);
    assert_int_equal(gd_exit_status(gd_model_open(&m, "bad.safetensors", NULL, 0)), 3);
    assert_memory_equal(gd_error(), "bad.safetensors: ", 17);
    if (!strstr(gd_error(), name))
        fail_msg("%s does not name %s", gd_error(), name);
}

static void an_unchanged_copy_opens(void **state)
{
    gd_model *m;

    (void)state;
    write_changed("copy.safetensors", NO_CHANGE, 0);
    if (gd_model_open(&m, "copy.safetensors", NULL, 0) != GD_OK)
        fail_msg("%s", gd_error());
    gd_model_close(m);
}

static void a_missing_key_is_named(void **state)
{
    (void)state;
    refuse(LEFT_OUT, "time_embed.2.weight");
}

static void an_extra_key_is_named(void **state)
{
    (void)state;
    refuse(ONE_MORE, "intruder.weight");
}

static void a_wrong_shape_is_named(void **state)
{
    (void)state;
    refuse(OTHER_SHAPE, "time_embed.2.weight");
}

static void files_of_another_type_are_refused(void **state)
{
    static const char *const content[] = {
        "",       "x",        "not a model, but a text of some length\n",
        "PK\3\4", "\x80\2}q", "\x89PNG\r\n\x1a\n"
    };
    gd_model *m;

    (void)state;
    for (int i = 0; i < COUNT(content); i++) {
        assert_int_equal(gd_file_put("other.pt", true, content[i], strlen(content[i])), GD_OK);
        assert_int_equal(gd_model_open(&m, "other.pt", NULL, 0), GD_EFORMAT);
        assert_memory_equal(gd_error(), "other.pt: ", 10);
    }
}

/* packed.safetensors once more with another array or other texts; a text may be NULL: left out */
typedef struct packed_change {
    const char *array, *packed_for, *config, *layout, *classes;
    gd_dtype dtype;
    int64_t less;     /* bytes */
    const char *says; /* what is said of it; NULL: it is good */
} packed_change;

static void write_packed(const char *path, const packed_change *change)
{
    const char *const key[] = { "guided.packed", "guided.config", "guided.layout",
                                "guided.classes" };
    const char *const text[] = { change->packed_for, change->config, change->layout,
                                 change->classes };
    gd_meta meta[COUNT(key) + 1] = { { "guided.format", "1" } };
    gd_safetensors_writer *w;
    gd_bundle *b;
    int n = 1;

    assert_int_equal(gd_bundle_open(&b, "packed.safetensors"), GD_OK);
    for (int i = 0; i < COUNT(key); i++) {
        const char *found = gd_bundle_meta(b, key[i]);
        const char *value = text[i] && !strcmp(text[i], "same") ? found : text[i];
        if (value)
            meta[n++] = (gd_meta){ key[i], value };
    }
    const gd_array *from = gd_bundle_array(b, 0);
    gd_array array = { change->array, change->dtype, 1, { from->dim[0] - change->less } };
    const size_t bytes = (size_t)array.dim[0];
    array.dim[0] /= (int64_t)gd_dtype_bytes(change->dtype);
    assert_int_equal(gd_safetensors_begin(&w, path, true, &array, 1, meta, n), GD_OK);
    assert_int_equal(gd_safetensors_add(w, gd_bundle_view(b, from), bytes), GD_OK);
    assert_int_equal(gd_safetensors_commit(w), GD_OK);
    gd_bundle_close(b);
}

/* Opened and made ready, or the first refusal */
static gd_status use(const char *path)
{
    const gd_net_size size = { 1, 8, 8, 0, 0 };
    gd_runner *r = NULL;
    gd_model *m = NULL;
    gd_status s = gd_model_open(&m, path, NULL, 0);

    if (s == GD_OK)
        s = gd_runner_make(&r, m, &size, false, false, gd_threads());
    gd_runner_free(r);
    gd_model_close(m);
    return s;
}

static void damaged_packed_files_are_refused(void **state)
{
    static const packed_change change[] = {
        { "packed", "x", "same", "same", NULL, GD_U8, 0, NULL },
        { "other", "x", "same", "same", NULL, GD_U8, 0, "expected one array" },
        { "packed", "x", "same", "same", NULL, GD_F32, 0, "expected one array" },
        { "packed", "x\033[2J", "same", "same", NULL, GD_U8, 0, "expected one array" },
        { "packed", "x", NULL, "same", NULL, GD_U8, 0, "without guided.config" },
        { "packed", "x", "same", NULL, NULL, GD_U8, 0, "packed for x; wanted here: 8x8, fp32" },
        { "packed", "x", "same", "0123456789abcdef0123456789abcdef", NULL, GD_U8, 0,
          "packed for x; wanted here: 8x8, fp32" },
        { "packed", "x", "same", "same", NULL, GD_U8, 64, "packed for x; wanted here: 8x8, fp32" },
        { "packed", "x", "same", "same", "[\"\\u001b[2J\"]", GD_U8, 0, "is not a name" },
    };
    gd_model *m;
    (void)state;

    assert_int_equal(gd_model_open(&m, "good.safetensors", NULL, 0), GD_OK);
    assert_int_equal(gd_model_pack(m, "packed.safetensors", false, false, NULL, 0), GD_OK);
    gd_model_close(m);
    for (int i = 0; i < COUNT(change); i++) {
        write_packed("bad.safetensors", &change[i]);
        const gd_status s = use("bad.safetensors");
        const char *says = change[i].says;
        if (gd_exit_status(s) != (says ? 3 : 0) || (says && !strstr(gd_error(), says)))
            fail_msg("%d: %s", i, gd_error());
        if (strchr(gd_error(), '\033'))
            fail_msg("%d: control characters are shown", i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unchanged_copy_opens),
        cmocka_unit_test(a_missing_key_is_named),
        cmocka_unit_test(an_extra_key_is_named),
        cmocka_unit_test(a_wrong_shape_is_named),
        cmocka_unit_test(damaged_packed_files_are_refused),
        cmocka_unit_test(files_of_another_type_are_refused),
    };
    return cmocka_run_group_tests(tests, enter, leave);
}
