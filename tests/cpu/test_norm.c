/* SPDX-License-Identifier: MIT */
/* Group normalisation and its gradient against double, on every ISA and layout; the same bits on
 * all of them, but with SiLU. */
#include "fixture.h"

enum { MAX_CHANNELS = 1152, MAX_IMAGES = 3 };

typedef struct norm {
    shape s;
    int groups;
    bool modulated, silu;
    float gamma[MAX_CHANNELS], beta[MAX_CHANNELS], mod[MAX_IMAGES * 2 * MAX_CHANNELS];
} norm;

static void fill_parameters(norm *m)
{
    unsigned seed = 11;

    for (int c = 0; c < m->s.c; c++) {
        m->gamma[c] = 1 + 0.5f * random_unit(&seed);
        m->beta[c] = random_unit(&seed);
    }
    for (int i = 0; i < m->s.n * 2 * m->s.c; i++)
        m->mod[i] = random_unit(&seed);
}

static const float *modulation(const norm *m)
{
    return m->modulated ? m->mod : NULL;
}

static gd_act act_of(const norm *m)
{
    return m->silu ? GD_ACT_SILU : GD_ACT_NONE;
}

/* ---- the definition, in double ---- */

static void true_stats(double *mean, double *rstd, const gd_view *x, int groups, int n, int c)
{
    const int width = x->c / groups, first = c / width * width, pixels = x->h * x->w;
    double sum = 0, squares = 0;

    for (int i = first; i < first + width; i++)
        for (int p = 0; p < pixels; p++)
            sum += value(x, n, i, p);
    *mean = sum / (width * pixels);
    for (int i = first; i < first + width; i++)
        for (int p = 0; p < pixels; p++)
            squares += pow(value(x, n, i, p) - *mean, 2);
    *rstd = 1 / sqrt(squares / (width * pixels) + 1e-5);
}

static double gain_of(const norm *m, int n, int c)
{
    return m->gamma[c] * (m->modulated ? 1 + (double)m->mod[n * 2 * m->s.c + c] : 1.0);
}

static double true_u(const norm *m, double xhat, int n, int c)
{
    const double y = xhat * m->gamma[c] + m->beta[c];
    const float *row = m->mod + n * 2 * m->s.c;

    return m->modulated ? y * (1 + (double)row[c]) + row[m->s.c + c] : y;
}

static double true_y(const norm *m, double u)
{
    return m->silu ? u / (1 + exp(-u)) : u;
}

static double slope_of(const norm *m, double u)
{
    const double s = 1 / (1 + exp(-u));
    return m->silu ? s * (1 + u * (1 - s)) : 1;
}

static gd_norm job_of(const norm *m, const gd_view *x, float *stats)
{
    return (gd_norm){ .x = x,
                      .stats = stats,
                      .groups = m->groups,
                      .eps = 1e-5f,
                      .gamma = m->gamma,
                      .beta = m->beta,
                      .modulation = modulation(m),
                      .mod_stride = 2 * m->s.c,
                      .act = act_of(m) };
}

/* ---- one case on every ISA ---- */

static void check_outputs(const norm *m, const gd_view *x, const gd_view *y, const float *stats)
{
    assert_pads_zero(y);
    for (int n = 0; n < m->s.n; n++)
        for (int c = 0; c < m->s.c; c++) {
            double mean, rstd;
            true_stats(&mean, &rstd, x, m->groups, n, c);
            assert_true(fabs(stats[n * 2 * m->s.c + c] - mean) <= 2e-7 / rstd + 1e-7 * fabs(mean));
            assert_ulps(stats[n * 2 * m->s.c + m->s.c + c], rstd, 4, rstd * 3e-7, "1 / sigma");
            for (int p = 0; p < m->s.h * m->s.w; p++) {
                const double u = true_u(m, (value(x, n, c, p) - mean) * rstd, n, c);
                /* one group of one pixel has sigma 0: 1 / sqrt(eps) = 316 multiplies rounding */
                const double error = 4e-6 + rstd * 5e-7;
                assert_true(fabs(value(y, n, c, p) - true_y(m, u)) <=
                            error + (y->dtype == GD_BF16 ? fabs(u) / 256 + 0.01 : 0));
            }
        }
}

static void check_forward(const norm *m, bool blocked, gd_dtype dtype)
{
    gd_view x = make_view(m->s, blocked, GD_F32, 3), first = make_output(m->s, blocked, dtype);
    float *stats = malloc((size_t)m->s.n * 2 * m->s.c * sizeof *stats), *first_stats = NULL;
    const size_t bytes = (size_t)m->s.n * 2 * m->s.c * sizeof *stats;

    gd_norm n = job_of(m, &x, stats);

    for (int k = 0; kernels_of(k); k++) {
        gd_view y = make_output(m->s, blocked, dtype);
        kernels_of(k)->norm(&n, &y);
        if (!first_stats) {
            first_stats = memcpy(malloc(bytes), stats, bytes);
            memcpy(first.data, y.data, (size_t)(y.n * y.image) * (dtype == GD_F32 ? 4 : 2));
        }
        assert_memory_equal(stats, first_stats, bytes);
        if (!m->silu)
            assert_same_bits(&y, &first, "norm");
        check_outputs(m, &x, &y, stats);
        if (dtype == GD_F32) {
            gd_view in_place = copy_of(&x);
            n.x = &in_place;
            kernels_of(k)->norm(&n, &in_place);
            n.x = &x;
            assert_same_bits(&in_place, &y, "norm in place");
            release(&in_place);
        }
        release(&y);
    }
    free(stats);
    free(first_stats);
    release(&x);
    release(&first);
}

/* dx of sum(dy * y) for group of c, in double */
static double true_dx(const norm *m, const gd_view *x, const gd_view *dy, int n, int c, int p)
{
    const int width = m->s.c / m->groups, group = c / width * width, pixels = m->s.h * m->s.w;
    double mean, rstd, m1 = 0, m2 = 0, mine = 0, mine_xhat = 0;

    true_stats(&mean, &rstd, x, m->groups, n, c);
    for (int i = group; i < group + width; i++)
        for (int q = 0; q < pixels; q++) {
            const double xhat = (value(x, n, i, q) - mean) * rstd;
            const double du = value(dy, n, i, q) * slope_of(m, true_u(m, xhat, n, i));
            const double g = du * gain_of(m, n, i);
            m1 += g / (width * pixels);
            m2 += g * xhat / (width * pixels);
            if (i == c && q == p) {
                mine = g;
                mine_xhat = xhat;
            }
        }
    return rstd * (mine - m1 - mine_xhat * m2);
}

static void check_sums(const norm *m, const gd_view *x, const gd_view *dy, const float *sums)
{
    for (int n = 0; n < m->s.n; n++)
        for (int c = 0; c < m->s.c; c++) {
            double mean, rstd, du_sum = 0, xhat_sum = 0, size = 1e-3;
            true_stats(&mean, &rstd, x, m->groups, n, c);
            for (int p = 0; p < m->s.h * m->s.w; p++) {
                const double xhat = (value(x, n, c, p) - mean) * rstd;
                const double du = value(dy, n, c, p) * slope_of(m, true_u(m, xhat, n, c));
                du_sum += du;
                xhat_sum += du * xhat;
                size += fabs(du) * (1 + fabs(xhat) + rstd / 10);
            }
            assert_true(fabs(sums[n * 2 * m->s.c + c] - du_sum) <= 2e-6 * size);
            assert_true(fabs(sums[n * 2 * m->s.c + m->s.c + c] - xhat_sum) <= 2e-6 * size);
        }
}

static void check_dx(const norm *m, const gd_view *x, const gd_view *dy, const gd_view *dx,
                     double rstd)
{
    assert_pads_zero(dx);
    for (int n = 0; n < m->s.n; n++)
        for (int c = 0; c < m->s.c; c += 1 + m->s.c / 8)
            for (int p = 0; p < m->s.h * m->s.w; p += 1 + m->s.h * m->s.w / 8)
                assert_true(fabs(value(dx, n, c, p) - true_dx(m, x, dy, n, c, p)) <=
                            1e-5 + 5e-6 * rstd);
}

static void check_backward(const norm *m, bool blocked)
{
    gd_view x = make_view(m->s, blocked, GD_F32, 3), dy = make_view(m->s, blocked, GD_F32, 4);
    gd_view first = make_output(m->s, blocked, GD_F32);
    const size_t bytes = (size_t)m->s.n * 2 * m->s.c * sizeof(float);
    float *stats = malloc(bytes), *sums = malloc(bytes), *first_sums = malloc(bytes);
    const gd_norm n = job_of(m, &x, stats);

    for (int k = 0; kernels_of(k); k++) {
        const gd_kernels *kernels = kernels_of(k);
        gd_view y = make_output(m->s, blocked, GD_F32);
        gd_view dx = k == 0 ? first : copy_of(&dy); /* in place from the second ISA on */
        kernels->norm(&n, &y);
        kernels->norm_grad(&n, &dx, k == 0 ? &dy : &dx, sums);
        if (k == 0)
            memcpy(first_sums, sums, bytes);
        if (!m->silu) {
            assert_memory_equal(sums, first_sums, bytes);
            assert_same_bits(&dx, &first, "norm_grad");
        }
        check_sums(m, &x, &dy, sums);
        check_dx(m, &x, &dy, &dx, stats[m->s.c]);
        if (k > 0)
            release(&dx);
        release(&y);
    }
    free(stats);
    free(sums);
    free(first_sums);
    release(&x);
    release(&dy);
    release(&first);
}

static const struct {
    shape s;
    int groups;
} cases[] = {
    { { 1, 32, 8, 8 }, 32 },   { { 2, 64, 3, 5 }, 32 },  { { 3, 192, 4, 4 }, 32 },
    { { 1, 96, 17, 19 }, 32 }, { { 1, 576, 2, 2 }, 32 }, { { 2, 6, 7, 5 }, 3 },
    { { 1, 33, 9, 9 }, 11 },   { { 2, 17, 4, 3 }, 1 },   { { 1, 1152, 1, 3 }, 32 },
};

static void each_case(void (*check)(const norm *m, bool blocked))
{
    static norm m;

    for (int i = 0; i < COUNT(cases); i++)
        for (int mode = 0; mode < 8; mode++) {
            m = (norm){
                .s = cases[i].s, .groups = cases[i].groups, .modulated = mode & 1, .silu = mode & 2
            };
            fill_parameters(&m);
            check(&m, mode & 4);
        }
}

static void check_forward_f32(const norm *m, bool blocked)
{
    check_forward(m, blocked, GD_F32);
}

static void check_forward_bf16(const norm *m, bool blocked)
{
    check_forward(m, blocked, GD_BF16);
}

static void forward_agrees_with_double(void **state)
{
    (void)state;
    each_case(check_forward_f32);
}

static void forward_rounds_to_bf16(void **state)
{
    (void)state;
    each_case(check_forward_bf16);
}

static void backward_agrees_with_double(void **state)
{
    (void)state;
    each_case(check_backward);
}

/* Sums of squares would cancel: mean 1e4 times sigma.  The mean itself is a float, so u is known to
 * half its unit, 1e4 * 2^-24, only. */
static void large_mean_does_not_cancel(void **state)
{
    static norm m = { .s = { 1, 64, 32, 32 }, .groups = 32 };
    const shape s = m.s;
    float stats[128];

    (void)state;
    fill_parameters(&m);
    for (int blocked = 0; blocked < 2; blocked++) {
        gd_view x = make_view(s, blocked, GD_F32, 9), y = make_output(s, blocked, GD_F32);
        const gd_norm n = job_of(&m, &x, stats);
        for (int c = 0; c < s.c; c++)
            for (int p = 0; p < s.h * s.w; p++)
                set_value(&x, 0, c, p, (float)value(&x, 0, c, p) + 1e4f);
        for (int k = 0; kernels_of(k); k++) {
            kernels_of(k)->norm(&n, &y);
            for (int c = 0; c < s.c; c++) {
                double mean, rstd;
                true_stats(&mean, &rstd, &x, 32, 0, c);
                assert_true(fabs(stats[c] - mean) <= 1e4 * 0x1p-24);
                assert_true(fabs(stats[s.c + c] / rstd - 1) <= 2e-6);
            }
        }
        release(&x);
        release(&y);
    }
}

/* NaN and infinity reach every output of their group, and no other */
static void nan_and_infinity_stay_in_their_group(void **state)
{
    static norm m = { .s = { 2, 64, 5, 5 }, .groups = 32, .silu = true };
    static const float bad[] = { NAN, INFINITY, -INFINITY };
    float stats[256];

    (void)state;
    fill_parameters(&m);
    for (int i = 0; i < COUNT(bad); i++)
        for (int blocked = 0; blocked < 2; blocked++)
            for (int k = 0; kernels_of(k); k++) {
                gd_view x = make_view(m.s, blocked, GD_F32, 3),
                        y = make_output(m.s, blocked, GD_F32);
                const gd_norm job = job_of(&m, &x, stats);
                set_value(&x, 1, 37, 11, bad[i]);
                kernels_of(k)->norm(&job, &y);
                for (int n = 0; n < 2; n++)
                    for (int c = 0; c < 64; c++)
                        for (int p = 0; p < 25; p++)
                            assert_int_equal(isnan(value(&y, n, c, p)), n == 1 && c / 2 == 37 / 2);
                release(&x);
                release(&y);
            }
}

static void threads_do_not_change_bits(void **state)
{
    static norm m = { .s = { 2, 192, 33, 31 }, .groups = 32, .modulated = true, .silu = true };
    const int before = gd_threads();
    gd_view x = make_view(m.s, true, GD_F32, 3), dy = make_view(m.s, true, GD_F32, 4);
    gd_view first = make_output(m.s, true, GD_F32), y = make_output(m.s, true, GD_F32);
    float stats[2 * 384], sums[2 * 384];
    const gd_norm n = job_of(&m, &x, stats);

    (void)state;
    fill_parameters(&m);
    for (int threads = 1; threads <= 16; threads += GD_MAX(threads / 2, 1)) {
        gd_view dx = make_output(m.s, true, GD_F32);
        const gd_kernels *k = gd_kernels_get();
        gd_set_threads(threads);
        k->norm(&n, &y);
        k->norm_grad(&n, threads == 1 ? &first : &dx, &dy, sums);
        if (threads > 1)
            assert_same_bits(&dx, &first, "norm and its gradient");
        release(&dx);
    }
    gd_set_threads(before);
    release(&x);
    release(&y);
    release(&dy);
    release(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_agrees_with_double),
        cmocka_unit_test(forward_rounds_to_bf16),
        cmocka_unit_test(backward_agrees_with_double),
        cmocka_unit_test(large_mean_does_not_cancel),
        cmocka_unit_test(nan_and_infinity_stay_in_their_group),
        cmocka_unit_test(threads_do_not_change_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
