/* SPDX-License-Identifier: MIT */
/* Networks of every family as priors: their noise is what the sampling engine predicts, their
 * gradients are those of finite differences, every solver runs on them or refuses; a classifier
 * guides all of them alike. */
#include "nn/nn.h"
#include "restore/restore.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { SIDE = 16, MOST = 3 * SIDE * SIDE };

static void flagged(gd_model_config *c, const gd_flag *flags, int n)
{
    gd_config_defaults(c, GD_NET_UNET);
    if (gd_flags_apply(c, flags, n) != GD_OK)
        fail_msg("%s", gd_error());
}

#define SMALL                                                                                      \
    { "image_size", "16" }, { "num_channels", "32" }, { "num_res_blocks", "1" },                   \
        { "channel_mult", "1,2" }, { "num_head_channels", "32" },                                  \
    {                                                                                              \
        "attention_resolutions", "8"                                                               \
    }

static void guided_diffusion(gd_model_config *c)
{
    static const gd_flag flags[] = {
        SMALL, { "learn_sigma", "True" }, { "class_cond", "True" }, { "num_classes", "4" }
    };
    flagged(c, flags, COUNT(flags));
}

static void improved_diffusion(gd_model_config *c)
{
    static const gd_flag flags[] = { SMALL,
                                     { "diffusion_steps", "4000" },
                                     { "noise_schedule", "cosine" },
                                     { "rescale_timesteps", "True" } };
    flagged(c, flags, COUNT(flags));
}

static void predicts_x0(gd_model_config *c)
{
    static const gd_flag flags[] = { SMALL, { "predict_xstart", "True" } };
    flagged(c, flags, COUNT(flags));
}

static void velocity(gd_model_config *c)
{
    static const gd_flag flags[] = { SMALL };
    flagged(c, flags, COUNT(flags));
    c->diffusion.predict_v = true;
}

static void consistency_of(gd_model_config *c, gd_precond precond)
{
    static const gd_flag flags[] = { SMALL, { "class_cond", "True" }, { "num_classes", "4" } };

    flagged(c, flags, COUNT(flags));
    c->net.family = GD_FAMILY_CONSISTENCY;
    c->diffusion.precond = precond;
    c->diffusion.sigma_data = 0.5;
    c->diffusion.sigma_min = 0.002;
    c->diffusion.sigma_max = 80;
}
static void consistency(gd_model_config *c)
{
    consistency_of(c, GD_PRECOND_CONSISTENCY);
}
static void consistency_teacher(gd_model_config *c)
{
    consistency_of(c, GD_PRECOND_CONSISTENCY_EDM);
}

static void read_edm(gd_model_config *c, const char *precond, const char *network)
{
    char text[600];

    snprintf(text, sizeof text,
             "{\"class_name\":\"%s\",\"init_kwargs\":{\"img_resolution\":16,\"img_channels\":3,%s,"
             "\"num_blocks\":1,\"attn_resolutions\":[8]}}",
             precond, network);
    if (gd_config_from_text(c, GD_FAMILY_EDM, GD_NET_UNET, text) != GD_OK)
        fail_msg("%s", gd_error());
}

static const char song[] = "\"model_type\":\"SongUNet\",\"model_channels\":16,\"channel_mult\":"
                           "[1,2]",
                  dhariwal[] = "\"model_type\":\"DhariwalUNet\",\"model_channels\":64,"
                               "\"channel_mult\":[1,1],\"label_dim\":4";

static void edm(gd_model_config *c)
{
    read_edm(c, "EDMPrecond", dhariwal);
}
static void vp(gd_model_config *c)
{
    read_edm(c, "VPPrecond", song);
}
static void ve(gd_model_config *c)
{
    read_edm(c, "VEPrecond", song);
}
static void iddpm(gd_model_config *c)
{
    read_edm(c, "iDDPMPrecond", dhariwal);
}

static void diffusers(gd_model_config *c)
{
    static const char text[] =
        "{\"_class_name\":\"UNet2DModel\",\"sample_size\":16,\"in_channels\":3,\"out_channels\":3,"
        "\"block_out_channels\":[32,64],\"layers_per_block\":1,\"down_block_types\":["
        "\"DownBlock2D\","
        "\"AttnDownBlock2D\"],\"up_block_types\":[\"AttnUpBlock2D\",\"UpBlock2D\"],"
        "\"norm_num_groups\":32}";
    if (gd_config_from_text(c, GD_FAMILY_DIFFUSERS, GD_NET_UNET, text) != GD_OK)
        fail_msg("%s", gd_error());
}

static const struct network {
    const char *name;
    void (*config)(gd_model_config *c);
    bool no_score;
} networks[] = {
    { "guided-diffusion", guided_diffusion, false },
    { "improved-diffusion", improved_diffusion, false },
    { "x0", predicts_x0, false },
    { "edm", edm, false },
    { "vp", vp, false },
    { "ve", ve, false },
    { "iddpm", iddpm, false },
    { "consistency", consistency, true },
    { "consistency's teacher", consistency_teacher, false },
    { "diffusers", diffusers, false },
    { "velocity", velocity, false },
};

static gd_model *make(const struct network *n)
{
    gd_model_config c;
    gd_model *m;

    n->config(&c);
    if (gd_model_create(&m, &c, 3, true) != GD_OK)
        fail_msg("%s: %s", n->name, gd_error());
    return m;
}

static gd_restoration_settings settings(const gd_model *m, const char *op, const char *solver)
{
    return (gd_restoration_settings){ .op = op,
                                      .solver = solver,
                                      .sigma_y = 0.05,
                                      .label = gd_model_class_count(m) > 0 ? 1 : -1,
                                      .scale = 1,
                                      .seed = 1,
                                      .steps = 4 };
}

static void open(gd_restoration *r, const struct network *n, const gd_model *m,
                 const gd_restoration_settings *s)
{
    if (gd_restoration_open(r, m, NULL, s) != GD_OK)
        fail_msg("%s, %s: %s", n->name, s->solver, gd_error());
}

static void fill(double *x, int n, double scale, int seed)
{
    float z[MOST];

    gd_noise_normal(z, n, 4, (uint64_t)seed, 0);
    for (int i = 0; i < n; i++)
        x[i] = scale * z[i];
}

/* ---- predictions ---- */

/* The noise at x by the sampling engine, which is another way to the same network */
static void by_engine(const gd_model *m, const gd_level *at, const double *x, int n, double *eps)
{
    static float in[MOST], out[2 * MOST];
    static double x0[MOST];
    const int64_t label = 1, *y = gd_model_class_count(m) > 0 ? &label : NULL;
    const float t = (float)at->time;
    gd_engine *e;

    assert_int_equal(gd_engine_make(&e, m, NULL, false, 1), GD_OK);
    const gd_denoiser *d = gd_engine_denoiser(e);
    if (d->denoise) {
        assert_int_equal(d->denoise(d->ctx, 1, x, at, y, x0), GD_OK);
    } else {
        for (int i = 0; i < n; i++)
            in[i] = (float)x[i];
        assert_int_equal(d->predict(d->ctx, 1, in, &t, y, out), GD_OK);
        for (int i = 0; i < n; i++)
            x0[i] = gd_prediction_x0(gd_model_mean_type(m), at->alpha, at->sigma, x[i], out[i]);
    }
    for (int i = 0; i < n; i++)
        eps[i] = (x[i] - at->alpha * x0[i]) / at->sigma;
    gd_engine_free(e);
}

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* d <c, eps> along d by central differences of h */
static double slope_of(gd_prior *p, const gd_level *at, const double *x, const double *c,
                       const double *d, int n, double h)
{
    static double moved[MOST], eps[MOST], v[MOST];
    double slope = 0;

    for (int side = -1; side <= 1; side += 2) {
        for (int i = 0; i < n; i++)
            moved[i] = x[i] + side * h * d[i];
        assert_int_equal(p->predict(p->ctx, at, moved, eps, v), GD_OK);
        slope += side * dot(c, eps, n) / (2 * h);
    }
    return slope;
}

/* <J^T c, d> is that slope, extrapolated to h = 0 */
static void gradient_holds(const char *name, gd_prior *p, const gd_level *at, const double *x,
                           int n)
{
    static double c[MOST], d[MOST], g[MOST], eps[MOST], v[MOST];
    const double h = 1e-2;
    double slope, found;

    fill(c, n, 1, 2);
    fill(d, n, 1, 3);
    assert_int_equal(p->predict(p->ctx, at, x, eps, v), GD_OK);
    assert_int_equal(p->vjp(p->ctx, at, c, NULL, g), GD_OK);
    found = dot(g, d, n);
    slope = (4 * slope_of(p, at, x, c, d, n, h) - slope_of(p, at, x, c, d, n, 2 * h)) / 3;
    if (fabs(slope - found) > 5e-3 * (fabs(slope) + 1))
        fail_msg("%s: J^T c is off, %g and by differences %g", name, found, slope);
}

static void noise_and_gradient_are_the_networks(void **state)
{
    static double x[MOST], eps[MOST], want[MOST], v[MOST];

    (void)state;
    for (int k = 0; k < COUNT(networks); k++) {
        gd_model *m = make(&networks[k]);
        gd_restoration_settings s = settings(m, "box_down:4", "dps");
        gd_restoration r;
        open(&r, &networks[k], m, &s);
        const int n = (int)gd_shape_count(r.shape);
        for (int level = 0; level < 3; level++) {
            const double sigma = (double[]){ 0.1, 0.5, 0.95 }[level];
            const gd_level at = { sqrt(1 - sigma * sigma), sigma, 10 + 300 * level, -1, 0 };
            double largest = 0, error = 0;
            fill(x, n, 1, level);
            assert_int_equal(r.prior->predict(r.prior->ctx, &at, x, eps, v), GD_OK);
            by_engine(m, &at, x, n, want);
            for (int i = 0; i < n; i++) {
                largest = fmax(largest, fabs(want[i]));
                error = fmax(error, fabs(eps[i] - want[i]));
            }
            if (error > 2e-5 * (largest + 1 / sigma))
                fail_msg("%s at %g: off by %g of %g", networks[k].name, sigma, error, largest);
            gradient_holds(networks[k].name, r.prior, &at, x, n);
        }
        gd_restoration_close(&r);
        gd_model_close(m);
    }
}

/* Above the levels that it was made for a preconditioned network still removes noise */
static void levels_beyond_the_range_are_scaled(void **state)
{
    static double x[MOST], eps[MOST], v[MOST];
    gd_model *m = make(&networks[3]);
    gd_restoration_settings s = settings(m, "box_down:4", "ddrm");
    const double most = 1 / sqrt(1 + 200. * 200);
    const gd_level at = { most, 200 * most, 999, -1, 0 };
    gd_restoration r;

    (void)state;
    open(&r, &networks[3], m, &s);
    fill(x, MOST, 1, 1);
    assert_int_equal(r.prior->predict(r.prior->ctx, &at, x, eps, v), GD_OK);
    for (int i = 0; i < MOST; i++) /* x is noise, but for x0 / 200 */
        assert_true(fabs(eps[i] - x[i]) < 0.1);
    gd_restoration_close(&r);
    gd_model_close(m);
}

/* ---- solvers ---- */

static const struct {
    const char *solver, *op;
    bool of_score;
} runs[] = { { "ddnm", "inpaint:box=6", false },
             { "ddrm", "box_down:2", false },
             { "diffpir", "blur:gauss=1", true },
             { "daps:mcmc_steps=2", "clip:2", true },
             { "dps", "box_down:2", false },
             { "mcg", "inpaint:box=6", false },
             { "pigdm:weight=code", "gray", true },
             { "reddiff", "jpeg:50", true },
             { "repaint:jump_length=2:jump_repeat=2", "inpaint:box=6", false },
             { "blended", "inpaint:box=6", false },
             { "sdedit", "denoise", false },
             { "invert", "denoise", true } };

static void every_solver_runs_or_refuses(void **state)
{
    static double x[MOST], y[MOST];

    (void)state;
    for (int k = 0; k < COUNT(networks); k++) {
        gd_model *m = make(&networks[k]);
        const int channels = gd_model_get_config(m)->net.in_channels;
        for (int i = 0; i < COUNT(runs); i++) {
            gd_restoration_settings s = settings(m, runs[i].op, runs[i].solver);
            gd_restoration r;
            if (strcmp(runs[i].op, "gray") == 0 && channels == 1)
                s.op = "denoise";
            s.strength = 0.5;
            if (networks[k].no_score && runs[i].of_score) {
                assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_EUSAGE);
                assert_non_null(strstr(gd_error(), "consistency model"));
                gd_restoration_close(&r);
                continue;
            }
            open(&r, &networks[k], m, &s);
            fill(y, (int)gd_shape_count(gd_operator_measurement(r.op)), 0.5, 7);
            if (gd_restoration_run(&r, 0, y, x, NULL) != GD_OK)
                fail_msg("%s, %s: %s", networks[k].name, runs[i].solver, gd_error());
            gd_restoration_close(&r);
        }
        gd_model_close(m);
    }
}

/* DDIM steps are of the score, too; a generator of one call, an upsampler are no priors */
static void what_is_no_prior_is_refused(void **state)
{
    gd_model *m = make(&networks[7]);
    gd_restoration_settings s = settings(m, "denoise", "sdedit");
    gd_model_config c;
    gd_restoration r;

    (void)state;
    s.ddim = true;
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_EUSAGE);
    gd_restoration_close(&r);
    gd_model_close(m);

    edm(&c);
    c.diffusion.one_call_sigma = 80;
    assert_int_equal(gd_model_create(&m, &c, 3, true), GD_OK);
    s = settings(m, "box_down:2", "ddnm");
    assert_int_equal(gd_restoration_open(&r, m, NULL, &s), GD_EMISMATCH);
    assert_non_null(strstr(gd_error(), "one call"));
    gd_restoration_close(&r);
    gd_model_close(m);
}

/* ---- a classifier ---- */

static gd_model *make_classifier(void)
{
    static const gd_flag flags[] = { { "image_size", "16" },
                                     { "classifier_width", "32" },
                                     { "classifier_depth", "1" },
                                     { "classifier_channel_mult", "1,2" },
                                     { "classifier_attention_resolutions", "8" },
                                     { "num_classes", "4" } };
    gd_model_config c;
    gd_model *m = NULL;

    gd_config_defaults(&c, GD_NET_CLASSIFIER);
    if (gd_flags_apply(&c, flags, COUNT(flags)) != GD_OK ||
        gd_model_create(&m, &c, 3, true) != GD_OK)
        fail_msg("%s", gd_error());
    return m;
}

/* eps - sigma scale grad log p(y | x): another scale, another image; scale 0 is none */
static void a_classifier_guides_every_family(void **state)
{
    static double x[3][MOST], y[MOST];
    gd_model *classifier = make_classifier();

    (void)state;
    for (int k = 0; k < COUNT(networks); k++) {
        gd_model *m = make(&networks[k]);
        for (int guided = 0; guided < 3; guided++) {
            gd_restoration_settings s = settings(m, "box_down:2", "ddnm:steps=3");
            gd_restoration r;
            s.label = 1;
            s.scale = guided == 2 ? 50 : 0;
            if (gd_restoration_open(&r, m, guided ? classifier : NULL, &s) != GD_OK)
                fail_msg("%s: %s", networks[k].name, gd_error());
            fill(y, MOST / 4, 0.5, 7);
            assert_int_equal(gd_restoration_run(&r, 0, y, x[guided], NULL), GD_OK);
            gd_restoration_close(&r);
        }
        assert_memory_equal(x[0], x[1], sizeof x[0]);
        assert_memory_not_equal(x[1], x[2], sizeof x[0]);
        gd_model_close(m);
    }
    gd_model_close(classifier);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(noise_and_gradient_are_the_networks),
        cmocka_unit_test(levels_beyond_the_range_are_scaled),
        cmocka_unit_test(every_solver_runs_or_refuses),
        cmocka_unit_test(what_is_no_prior_is_refused),
        cmocka_unit_test(a_classifier_guides_every_family),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
