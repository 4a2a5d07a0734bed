/* SPDX-License-Identifier: MIT */
/* A run moves to the authors' files and back: from them it continues to the bit as from a
 * checkpoint of ours; what is missing or damaged in them is refused with a remedy. */
#include "fixture.h"

#include <sys/stat.h>
#include <unistd.h>

static char model[GD_MAX_PATH];

static void steps(gd_trainer *t, int n)
{
    for (int i = 0; i < n; i++)
        if (gd_trainer_step(t) != GD_OK)
            fail_msg("%s", gd_error());
}

/* A trainer that begins with the weights of `model`, before the rest of the set is read */
static gd_trainer *beginning(const gd_train_options *o, const gd_model_config *c)
{
    const gd_source source = fixture_source();
    gd_trainer *t;
    gd_model *m;

    if (gd_model_open(&m, model, NULL, 0) != GD_OK)
        fail_msg("%s", gd_error());
    const gd_weights w = gd_model_weights(m);
    if (gd_trainer_make(&t, c, &w, o, &source, NULL, NULL) != GD_OK)
        fail_msg("%s", gd_error());
    gd_model_close(m);
    return t;
}

static void check_continuing(gd_net_kind kind)
{
    const gd_model_config c = fixture_config(kind, "");
    const gd_train_options o = fixture_options(kind);
    char expected[33], found[33];
    gd_trainer *t = fixture_trainer(&c, &o), *again;

    steps(t, 3);
    if (gd_pt_set_save(t, fixture_folder) != GD_OK)
        fail_msg("%s", gd_error());
    steps(t, 3);
    fixture_hash(t, expected);
    assert_true(gd_pt_set_find(model, fixture_folder));
    again = beginning(&o, &c);
    if (gd_pt_set_load(again, model) != GD_OK)
        fail_msg("%s", gd_error());
    assert_int_equal(again->step, 3);
    assert_int_equal(again->learner->updates, 3);
    steps(again, 3);
    fixture_hash(again, found);
    assert_string_equal(found, expected);
    gd_trainer_free(t);
    gd_trainer_free(again);
}

static void a_run_continues_to_the_bit(void **state)
{
    (void)state;
    check_continuing(GD_NET_CLASSIFIER); /* no averages */
    check_continuing(GD_NET_UNET);
}

static void the_largest_number_counts(void **state)
{
    char path[GD_MAX_PATH + 32], found[GD_MAX_PATH];

    (void)state;
    for (int n = 1; n <= 1000001; n += 1000000 / 4) {
        snprintf(path, sizeof path, "%s/model%06d.pt", fixture_folder, n);
        assert_int_equal(link(model, path), 0);
        assert_true(gd_pt_set_find(found, fixture_folder));
        assert_string_equal(found, n > 3 ? path : model);
    }
    for (int n = 1; n <= 1000001; n += 1000000 / 4) {
        snprintf(path, sizeof path, "%s/model%06d.pt", fixture_folder, n);
        unlink(path);
    }
    assert_false(gd_pt_set_find(found, "."));
    assert_false(gd_pt_set_find(found, "nowhere/model000001.pt"));
}

static void refused(const char *file, const char *hint)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "");
    const gd_train_options o = fixture_options(GD_NET_UNET);
    gd_trainer *t = beginning(&o, &c);

    assert_int_equal(gd_pt_set_load(t, model), GD_EFORMAT);
    assert_non_null(strstr(gd_error(), file));
    if (!strstr(gd_error(), hint))
        fail_msg("no \"%s\" in: %s", hint, gd_error());
    gd_trainer_free(t);
}

/* Without it, with another file in its place, cut short, with another shape */
static void check_damage(const char *name, const char *hint)
{
    char path[GD_MAX_PATH], away[GD_MAX_PATH + 8];
    struct stat info;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", fixture_folder, name);
    snprintf(away, sizeof away, "%s.away", path);
    assert_int_equal(rename(path, away), 0);
    refused(name, hint);
    f = fopen(path, "w");
    fputs("not a file of tensors", f);
    fclose(f);
    refused(name, "");
    unlink(path);
    assert_int_equal(stat(away, &info), 0);
    assert_int_equal(rename(away, path), 0);
    assert_int_equal(truncate(path, info.st_size - 9), 0);
    refused(name, "");
}

static void what_is_missing_or_damaged_is_refused(void **state)
{
    (void)state;
    check_continuing(GD_NET_UNET);
    check_damage("ema_0.99_000003.pt", "--ema-rate");
    check_continuing(GD_NET_UNET); /* the set is whole again */
    check_damage("opt000003.pt", "--init-from");
    check_continuing(GD_NET_UNET);
}

/* ---- optimisers of mixed-precision runs: two flat groups ---- */

static gd_pickle_node real(double v)
{
    return (gd_pickle_node){ .kind = GD_PICKLE_FLOAT, .real = v };
}

/* Moments of the flat groups, and an integer count as PyTorch before 1.12 has it */
static gd_status write_flat(const gd_learner *l, gd_arena *mem, const char *path, double eps)
{
    gd_array flat[2] = { { "flat", GD_F32, 1, { 0 } }, { "flat", GD_F32, 2, { 1, 0 } } };
    gd_pickle_node *root = gd_pickle_new(mem, GD_PICKLE_DICT, 2),
                   *state = gd_pickle_new(mem, GD_PICKLE_DICT, 2),
                   *groups = gd_pickle_new(mem, GD_PICKLE_LIST, 1),
                   *group = gd_pickle_new(mem, GD_PICKLE_DICT, 3),
                   *betas = gd_pickle_new(mem, GD_PICKLE_TUPLE, 2),
                   *params = gd_pickle_new(mem, GD_PICKLE_LIST, 2);
    const gd_pickle_node step = { .kind = GD_PICKLE_INT, .integer = l->updates }, beta1 = real(0.9),
                         beta2 = real(0.999), e = real(eps);
    gd_torch_writer *w;

    for (int i = 0; i < l->n_param; i++)
        flat[l->spec[i].rank > 1].dim[l->spec[i].rank > 1] += gd_param_count(&l->spec[i]);
    for (int k = 0; k < 2; k++) {
        const gd_pickle_node key = { .kind = GD_PICKLE_INT, .integer = k },
                             moment = { .kind = GD_PICKLE_TENSOR, .tensor = &flat[k] };
        gd_pickle_node *one = gd_pickle_new(mem, GD_PICKLE_DICT, 3);
        assert_true(gd_pickle_set(mem, one, 0, "step", &step) &&
                    gd_pickle_set(mem, one, 1, "exp_avg", &moment) &&
                    gd_pickle_set(mem, one, 2, "exp_avg_sq", &moment) &&
                    gd_pickle_put(mem, state, 2 * k, &key) &&
                    gd_pickle_put(mem, state, 2 * k + 1, one) &&
                    gd_pickle_put(mem, params, k, &key));
    }
    assert_true(
        gd_pickle_put(mem, betas, 0, &beta1) && gd_pickle_put(mem, betas, 1, &beta2) &&
        gd_pickle_set(mem, group, 0, "betas", betas) && gd_pickle_set(mem, group, 1, "eps", &e) &&
        gd_pickle_set(mem, group, 2, "params", params) && gd_pickle_put(mem, groups, 0, group) &&
        gd_pickle_set(mem, root, 0, "state", state) &&
        gd_pickle_set(mem, root, 1, "param_groups", groups));
    GD_TRY(gd_torch_begin(&w, path, true, root));
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < l->n_param; i++)
            if ((l->spec[i].rank > 1) == k / 2)
                GD_TRY(gd_torch_add(w, (k % 2 ? l->v : l->m) + l->offset[i],
                                    (size_t)gd_param_count(&l->spec[i]) * sizeof(float)));
    return gd_torch_commit(w);
}

static void mixed_precision_runs_continue_too(void **state)
{
    const gd_model_config c = fixture_config(GD_NET_UNET, "");
    const gd_train_options o = fixture_options(GD_NET_UNET);
    char path[GD_MAX_PATH], expected[33], found[33];
    gd_trainer *t = fixture_trainer(&c, &o), *again;
    gd_arena *mem;

    (void)state;
    steps(t, 3);
    fixture_hash(t, expected);
    snprintf(path, sizeof path, "%s/opt000003.pt", fixture_folder);
    assert_int_equal(gd_arena_make(&mem), GD_OK);
    if (gd_pt_set_save(t, fixture_folder) != GD_OK ||
        write_flat(t->learner, mem, path, 1e-8) != GD_OK)
        fail_msg("%s", gd_error());
    again = beginning(&o, &c);
    if (gd_pt_set_load(again, model) != GD_OK)
        fail_msg("%s", gd_error());
    fixture_hash(again, found);
    assert_string_equal(found, expected);
    assert_int_equal(again->learner->updates, 3);
    assert_int_equal(write_flat(t->learner, mem, path, 1e-6), GD_OK);
    refused("opt000003.pt", "not AdamW");
    gd_arena_free(mem);
    gd_trainer_free(t);
    gd_trainer_free(again);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_continues_to_the_bit),
        cmocka_unit_test(the_largest_number_counts),
        cmocka_unit_test(what_is_missing_or_damaged_is_refused),
        cmocka_unit_test(mixed_precision_runs_continue_too),
    };
    return cmocka_run_group_tests(tests, fixture_folder_make, fixture_folder_remove);
}
