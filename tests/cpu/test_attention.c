/* SPDX-License-Identifier: MIT */
/* Attention and its gradient against plain sums in double: both head orders, any number of channels
 * and tokens, sharp and flat softmax, every ISA. */
#include "fixture.h"

typedef struct problem {
    int n, heads, ch, h, w;
    gd_head_order order;
    double gain; /* of q and k: 12 makes logits of about +-1000 */
} problem;

static int tokens_of(const problem *p)
{
    return p->h * p->w;
}

static int channel(const problem *p, int part, int head, int c)
{
    return p->order == GD_HEADS_NEW ? (part * p->heads + head) * p->ch + c
                                    : (head * 3 + part) * p->ch + c;
}

static gd_view make_qkv(const problem *p, bool blocked)
{
    gd_view v = make_view((shape){ p->n, 3 * p->heads * p->ch, p->h, p->w }, blocked, GD_F32, 5);

    for (int n = 0; n < p->n; n++)
        for (int i = 0; i < 2 * p->heads * p->ch; i++)
            for (int t = 0; t < tokens_of(p); t++) {
                const int c = channel(p, i % 2, i / 2 / p->ch, i / 2 % p->ch);
                set_value(&v, n, c, t, (float)(p->gain * value(&v, n, c, t)));
            }
    return v;
}

/* ---- the definition, in double ---- */

/* p[s] of token t, and the log of its sum */
static double softmax_of(double *w, const problem *p, const gd_view *qkv, int n, int head, int t)
{
    double most = -INFINITY, sum = 0;

    for (int s = 0; s < tokens_of(p); s++) {
        w[s] = 0;
        for (int c = 0; c < p->ch; c++)
            w[s] += value(qkv, n, channel(p, 0, head, c), t) *
                    value(qkv, n, channel(p, 1, head, c), s) / sqrt(p->ch);
        most = fmax(most, w[s]);
    }
    for (int s = 0; s < tokens_of(p); s++)
        sum += w[s] = exp(w[s] - most);
    for (int s = 0; s < tokens_of(p); s++)
        w[s] /= sum;
    return most + log(sum);
}

typedef struct truth {
    double *out, *lse;    /* [n][heads][ch][T], [n][heads][T] */
    double *dq, *dk, *dv; /* [n][heads][ch][T] */
} truth;

static truth true_attention(const problem *p, const gd_view *qkv, const gd_view *dout)
{
    const int T = tokens_of(p);
    const size_t count = (size_t)p->n * p->heads * p->ch * T;
    truth y = { calloc(count, 8), calloc(count, 8), calloc(count, 8), calloc(count, 8),
                calloc(count, 8) };
    double *w = calloc((size_t)T, 8), *dw = calloc((size_t)T, 8);

    for (int n = 0; n < p->n; n++)
        for (int h = 0; h < p->heads; h++)
            for (int t = 0; t < T; t++) {
                const size_t base = (size_t)(n * p->heads + h) * p->ch * T;
                double delta = 0;
                y.lse[(n * p->heads + h) * T + t] = softmax_of(w, p, qkv, n, h, t);
                for (int s = 0; s < T; s++) {
                    dw[s] = 0;
                    for (int c = 0; c < p->ch; c++) {
                        const double v = value(qkv, n, channel(p, 2, h, c), s);
                        const double d = value(dout, n, h * p->ch + c, t);
                        y.out[base + c * T + t] += w[s] * v;
                        y.dv[base + c * T + s] += w[s] * d;
                        dw[s] += v * d;
                    }
                    delta += w[s] * dw[s];
                }
                for (int s = 0; s < T; s++)
                    for (int c = 0; c < p->ch; c++) {
                        const double ds = w[s] * (dw[s] - delta) / sqrt(p->ch);
                        y.dq[base + c * T + t] += ds * value(qkv, n, channel(p, 1, h, c), s);
                        y.dk[base + c * T + s] += ds * value(qkv, n, channel(p, 0, h, c), t);
                    }
            }
    free(w);
    free(dw);
    return y;
}

static void free_truth(truth *y)
{
    free(y->out);
    free(y->lse);
    free(y->dq);
    free(y->dk);
    free(y->dv);
}

/* Largest difference between channels of a view and a double array, relative to its largest value
 */
static double worst(const problem *p, const gd_view *v, int part, const double *expected)
{
    const int T = tokens_of(p);
    double most = 1e-30, diff = 0;

    for (int n = 0; n < p->n; n++)
        for (int h = 0; h < p->heads; h++)
            for (int c = 0; c < p->ch; c++)
                for (int t = 0; t < T; t++) {
                    const double e = expected[((size_t)(n * p->heads + h) * p->ch + c) * T + t];
                    const int at = part < 0 ? h * p->ch + c : channel(p, part, h, c);
                    const double d = fabs(value(v, n, at, t) - e);
                    most = fmax(most, fabs(e));
                    diff = d <= diff ? diff : d; /* NaN counts */
                }
    return diff / most;
}

typedef struct result {
    gd_view out, dqkv;
    float *lse;
} result;

/* dtype: of the products and of out.  Scratch is of exactly the promised size, full of
 * NaN, between guards */
static void run(result *r, const gd_kernels *k, const problem *p, const gd_view *qkv,
                const gd_view *dout, bool blocked, gd_dtype dtype)
{
    const size_t bytes = gd_attention_scratch(p->heads, p->ch, tokens_of(p), true);
    const size_t forward = gd_attention_scratch(p->heads, p->ch, tokens_of(p), false);
    unsigned char *scratch = aligned_alloc(64, (bytes + 127) / 64 * 64);
    const shape s = { p->n, p->heads * p->ch, p->h, p->w };
    gd_view out32 = make_output(s, blocked, GD_F32);

    const bool bf16 = dtype == GD_BF16;

    r->out = make_output(s, blocked, dtype);
    r->dqkv = make_output((shape){ p->n, 3 * s.c, p->h, p->w }, blocked, GD_F32);
    r->lse = malloc((size_t)p->n * p->heads * tokens_of(p) * sizeof *r->lse);
    memset(scratch, 0xff, (bytes + 127) / 64 * 64);
    for (int wide = 0; wide < 2; wide++)
        (bf16 ? k->attention_bf16 : k->attention)(wide ? &out32 : &r->out, wide ? r->lse : NULL,
                                                  qkv, p->heads, p->order, scratch);
    for (size_t i = forward; i < forward + 16; i++)
        assert_int_equal(scratch[i], 0xff);
    memset(scratch, 0xff, (bytes + 127) / 64 * 64);
    (bf16 ? k->attention_grad_bf16 : k->attention_grad)(&r->dqkv, dout, &out32, qkv, r->lse,
                                                        p->heads, p->order, scratch);
    for (size_t i = bytes; i < bytes + 16; i++)
        assert_int_equal(scratch[i], 0xff);
    assert_pads_zero(&r->out);
    assert_pads_zero(&r->dqkv);
    release(&out32);
    free(scratch);
}

static void release_result(result *r)
{
    release(&r->out);
    release(&r->dqkv);
    free(r->lse);
}

static void check(const problem *p, double tolerance)
{
    for (int blocked = 0; blocked < 2; blocked++) {
        const shape s = { p->n, p->heads * p->ch, p->h, p->w };
        gd_view qkv = make_qkv(p, blocked), dout = make_view(s, blocked, GD_F32, 6);
        truth y = true_attention(p, &qkv, &dout);
        for (int k = 0; kernels_of(k); k++) {
            result r;
            run(&r, kernels_of(k), p, &qkv, &dout, blocked, GD_F32);
            assert_true(worst(p, &r.out, -1, y.out) <= tolerance);
            assert_true(worst(p, &r.dqkv, 0, y.dq) <= tolerance || tokens_of(p) == 1);
            assert_true(worst(p, &r.dqkv, 1, y.dk) <= tolerance || tokens_of(p) == 1);
            assert_true(worst(p, &r.dqkv, 2, y.dv) <= tolerance);
            for (int i = 0; i < p->n * p->heads * tokens_of(p); i++)
                assert_true(fabs(r.lse[i] - y.lse[i]) <= 2e-6 + 5e-7 * fabs(y.lse[i]));
            release_result(&r);
        }
        free_truth(&y);
        release(&qkv);
        release(&dout);
    }
}

static void agrees_with_double(void **state)
{
    static const int sizes[][5] = { /* n, heads, ch, h, w */
                                    { 2, 1, 32, 4, 4 },   { 3, 4, 16, 3, 3 },  { 2, 2, 64, 3, 11 },
                                    { 1, 3, 8, 1, 1 },    { 1, 2, 32, 4, 5 },  { 1, 2, 64, 8, 8 },
                                    { 2, 3, 1, 5, 5 },    { 1, 5, 3, 7, 11 },  { 1, 2, 24, 5, 13 },
                                    { 1, 1, 96, 13, 10 }, { 1, 2, 48, 1, 23 }, { 1, 1, 17, 6, 25 },
                                    { 1, 1, 192, 5, 5 }
    };
    (void)state;
    for (int i = 0; i < COUNT(sizes); i++)
        for (int order = 0; order < 2; order++) {
            const int *s = sizes[i];
            const problem p = { s[0], s[1], s[2], s[3], s[4], (gd_head_order)order, 1 };
            check(&p, 3e-6);
        }
}

/* Logits of hundreds: their own rounding, half a unit of about 500, is what remains */
static void sharp_softmax(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        const problem p = { 2, 2, 32, 4, 5, (gd_head_order)order, 12 };
        const problem longer = { 1, 1, 64, 10, 13, (gd_head_order)order, 12 };
        check(&p, 4e-4);
        check(&longer, 4e-4);
    }
}

/* One gradient by central differences of the kernel itself: sum(out * dout) along a direction */
static void gradient_is_the_slope_of_the_forward(void **state)
{
    const problem p = { 1, 2, 16, 6, 6, GD_HEADS_NEW, 1 };
    gd_view qkv = make_qkv(&p, true), dout = make_view((shape){ 1, 32, 6, 6 }, true, GD_F32, 6);
    gd_view direction = make_view((shape){ 1, 96, 6, 6 }, true, GD_F32, 7);
    double slope = 0, loss[2] = { 0, 0 };
    result r;

    (void)state;
    run(&r, gd_kernels_get(), &p, &qkv, &dout, true, GD_F32);
    for (int c = 0; c < 96; c++)
        for (int t = 0; t < 36; t++)
            slope += value(&r.dqkv, 0, c, t) * value(&direction, 0, c, t);
    release_result(&r);
    for (int side = 0; side < 2; side++) {
        gd_view moved = copy_of(&qkv);
        for (int c = 0; c < 96; c++)
            for (int t = 0; t < 36; t++)
                set_value(&moved, 0, c, t,
                          (float)(value(&qkv, 0, c, t) +
                                  (side ? 1e-2 : -1e-2) * value(&direction, 0, c, t)));
        run(&r, gd_kernels_get(), &p, &moved, &dout, true, GD_F32);
        for (int c = 0; c < 32; c++)
            for (int t = 0; t < 36; t++)
                loss[side] += value(&r.out, 0, c, t) * value(&dout, 0, c, t);
        release_result(&r);
        release(&moved);
    }
    assert_true(fabs((loss[1] - loss[0]) / 2e-2 - slope) <= 2e-3 * fabs(slope));
    release(&qkv);
    release(&dout);
    release(&direction);
}

static void check_threads_and_images(gd_dtype dtype, int h, int w)
{
    const int before = gd_threads();
    const problem p = { 3, 3, 32, h, w, GD_HEADS_LEGACY, 1 };
    const shape s = { 3, 96, h, w };
    gd_view qkv = make_qkv(&p, true), dout = make_view(s, true, GD_F32, 6);
    result first, r;

    gd_set_threads(1);
    run(&first, gd_kernels_get(), &p, &qkv, &dout, true, dtype);
    for (int threads = 2; threads <= 16; threads += GD_MAX(threads / 2, 1)) {
        gd_set_threads(threads);
        run(&r, gd_kernels_get(), &p, &qkv, &dout, true, dtype);
        assert_same_bits(&r.out, &first.out, "attention");
        assert_same_bits(&r.dqkv, &first.dqkv, "attention_grad");
        release_result(&r);
    }
    gd_set_threads(before);

    const problem alone = { 1, 3, 32, h, w, GD_HEADS_LEGACY, 1 };
    gd_view third = qkv, third_dout = dout;
    third.n = third_dout.n = 1;
    third.data = (float *)qkv.data + 2 * qkv.image;
    third_dout.data = (float *)dout.data + 2 * dout.image;
    run(&r, gd_kernels_get(), &alone, &third, &third_dout, true, dtype);
    const size_t out_bytes = (size_t)first.out.image * gd_dtype_bytes(dtype);
    assert_memory_equal(r.out.data, (char *)first.out.data + 2 * out_bytes, out_bytes);
    assert_memory_equal(r.dqkv.data, (float *)first.dqkv.data + 2 * first.dqkv.image,
                        (size_t)first.dqkv.image * 4);
    release_result(&r);
    release_result(&first);
    release(&qkv);
    release(&dout);
}

static void threads_and_images_do_not_change_bits(void **state)
{
    (void)state;
    for (int bf16 = 0; bf16 < 2; bf16++) {
        check_threads_and_images(bf16 ? GD_BF16 : GD_F32, 10, 15);
        check_threads_and_images(bf16 ? GD_BF16 : GD_F32, 8, 8);
        check_threads_and_images(bf16 ? GD_BF16 : GD_F32, 16, 16);
    }
}

/* Products of 8 bits each, or float32 ones whose result is rounded */
static void bf16_is_within_its_rounding(void **state)
{
    static const int sizes[][5] = { /* n, heads, ch, h, w */
                                    { 2, 3, 24, 5, 5 }, { 1, 2, 64, 8, 8 },  { 1, 1, 64, 10, 13 },
                                    { 2, 3, 1, 5, 5 },  { 1, 5, 3, 7, 11 },  { 1, 1, 96, 13, 10 },
                                    { 1, 3, 8, 1, 1 },  { 1, 1, 192, 5, 5 }, { 1, 1, 17, 6, 25 },
                                    { 1, 2, 48, 9, 32 }
    };

    (void)state;
    for (int i = 0; i < 2 * COUNT(sizes); i++)
        for (int blocked = 0; blocked < 2; blocked++)
            for (int k = 0; kernels_of(k); k++) {
                const int *s = sizes[i / 2];
                const problem p = { s[0], s[1], s[2], s[3], s[4], (gd_head_order)(i % 2), 1 };
                gd_view qkv = make_qkv(&p, blocked);
                gd_view dout =
                    make_view((shape){ s[0], s[1] * s[2], s[3], s[4] }, blocked, GD_F32, 6);
                truth y = true_attention(&p, &qkv, &dout);
                result r;
                run(&r, kernels_of(k), &p, &qkv, &dout, blocked, GD_BF16);
                assert_true(worst(&p, &r.out, -1, y.out) <= 1.0 / 128);
                for (int part = 0; part < 3; part++)
                    assert_true(worst(&p, &r.dqkv, part,
                                      part == 0   ? y.dq
                                      : part == 1 ? y.dk
                                                  : y.dv) <= 1.0 / 64 ||
                                (part < 2 && tokens_of(&p) == 1));
                free_truth(&y);
                release_result(&r);
                release(&qkv);
                release(&dout);
            }
}

/* A NaN in one token's q spoils that token of that head, in its v all tokens of the head */
static void nan_spreads_as_far_as_it_must(void **state)
{
    const problem p = { 1, 2, 32, 6, 15, GD_HEADS_NEW, 1 };

    (void)state;
    for (int i = 0; i < 6; i++)
        for (int k = 0; kernels_of(k); k++) {
            const int part = i / 2;
            gd_view qkv = make_qkv(&p, true),
                    dout = make_view((shape){ 1, 64, 6, 15 }, true, GD_F32, 6);
            result r;
            set_value(&qkv, 0, channel(&p, part, 1, 5), 70, NAN);
            run(&r, kernels_of(k), &p, &qkv, &dout, true, i % 2 ? GD_BF16 : GD_F32);
            for (int c = 0; c < 64; c++)
                for (int t = 0; t < 90; t++) {
                    const bool spoiled = c >= 32 && (part == 0   ? t == 70
                                                     : part == 1 ? true
                                                                 : c == 32 + 5);
                    assert_int_equal(isnan(value(&r.out, 0, c, t)), spoiled);
                }
            release_result(&r);
            release(&qkv);
            release(&dout);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_double),
        cmocka_unit_test(sharp_softmax),
        cmocka_unit_test(gradient_is_the_slope_of_the_forward),
        cmocka_unit_test(threads_and_images_do_not_change_bits),
        cmocka_unit_test(bf16_is_within_its_rounding),
        cmocka_unit_test(nan_spreads_as_far_as_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
