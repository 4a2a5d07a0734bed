/* SPDX-License-Identifier: MIT */
/* unipc.c - Zhao et al. 2023, UniPC, algorithms 1 and 2 in data prediction: a predictor, and a
 * corrector that reuses the next step's network call, so one call a step. */
#include "diffusion/dpmpp.h"

enum { MAX_ORDER = 3 };

/* Solves the leading n x n part of sum_j r_j^i rho_j = b_i (Gauss, pivots by size). */
static void solve_vandermonde(const double *r, const double *b, int n, double *rho)
{
    double a[MAX_ORDER][MAX_ORDER + 1];

    for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++)
            a[i][j] = pow(r[j], i);
        a[i][n] = b[i];
    }
    for (int c = 0; c < n; c++) {
        int pivot = c;
        for (int i = c + 1; i < n; i++)
            pivot = fabs(a[i][c]) > fabs(a[pivot][c]) ? i : pivot;
        for (int j = 0; j <= n; j++) {
            const double t = a[c][j];
            a[c][j] = a[pivot][j];
            a[pivot][j] = t;
        }
        for (int i = c + 1; i < n; i++)
            for (int j = n; j >= c; j--)
                a[i][j] -= a[i][c] / a[c][c] * a[c][j];
    }
    for (int i = n - 1; i >= 0; i--) {
        rho[i] = a[i][n];
        for (int j = i + 1; j < n; j++)
            rho[i] -= a[i][j] * rho[j];
        rho[i] /= a[i][i];
    }
}

/* Coefficients of one step of order p: rho of the predictor [p - 1] and of the corrector [p] */
typedef struct coefficients {
    gd_exponential_step e;
    double b; /* B(h) of the paper: bh1 -h, bh2 e^-h - 1 */
    double r[MAX_ORDER], predictor[MAX_ORDER], corrector[MAX_ORDER];
} coefficients;

static coefficients coefficients_of(const gd_level *at, int k, int p, bool bh1)
{
    coefficients c = { .e = gd_exponential_step_make(&at[k], &at[k + 1]) };
    const double z = -c.e.h;
    double g = expm1(z) / z - 1, factorial = 1, b[MAX_ORDER];

    c.b = bh1 ? z : expm1(z);
    for (int i = 0; i < p; i++) {
        c.r[i] = i + 1 < p ? (gd_lambda(&at[k - i - 1]) - gd_lambda(&at[k])) / c.e.h : 1;
        factorial *= i + 1;
        b[i] = factorial * g / c.b;
        g = g / z - 1 / (factorial * (i + 2));
    }
    if (p == 2)
        c.predictor[0] = 0.5;
    else if (p > 2)
        solve_vandermonde(c.r, b, p - 1, c.predictor);
    if (p == 1)
        c.corrector[0] = 0.5;
    else
        solve_vandermonde(c.r, b, p, c.corrector);
    return c;
}

/* out = keep x + first m_0 - alpha B (sum_j rho_j (m_j - m_0) / r_j); m[j]: j steps ago, last one
 * of a corrector: the prediction at t */
static void combine(const gd_problem *p, const coefficients *c, const double *rho, int n,
                    double *const *m, const double *m0, const double *x, double *out)
{
    for (int64_t i = 0; i < p->n; i++) {
        double sum = 0;
        for (int j = 0; j < n; j++)
            sum += rho[j] * (m[j][i] - m0[i]) / c->r[j];
        out[i] = c->e.keep * x[i] + c->e.first * m0[i] - c->e.alpha * c->b * sum;
    }
}

/* From level k to k + 1 with order p; m[0] becomes the prediction at k + 1 but for the last step.
 */
static gd_status step(gd_problem *p, int k, int order, bool bh1, double **m, double *x)
{
    const coefficients c = coefficients_of(p->grid->level, k, order, bh1);
    double *guess = p->buffer[4], *next = m[3], *terms[MAX_ORDER];

    for (int j = 0; j < order; j++)
        terms[j] = j + 1 < order ? m[j + 1] : next;
    combine(p, &c, c.predictor, order - 1, terms, m[0], x, guess);
    if (k + 1 == p->grid->steps) {
        for (int64_t i = 0; i < p->n; i++)
            x[i] = guess[i];
        return GD_OK;
    }
    GD_TRY(gd_denoise(p, &p->grid->level[k + 1], guess, next));
    combine(p, &c, c.corrector, order, terms, m[0], x, x);
    m[3] = m[2];
    m[2] = m[1];
    m[1] = m[0];
    m[0] = next;
    return GD_OK;
}

static gd_status solve(gd_problem *p, double *x, int order, bool bh1)
{
    const gd_solver_options *o = &p->run->options;
    const int n = p->grid->steps, below = o->lower_order_below ? o->lower_order_below : n + 1;
    double *m[MAX_ORDER + 1] = { p->buffer[0], p->buffer[1], p->buffer[2], p->buffer[3] };

    order = o->order ? GD_MIN(o->order, order) : order;
    gd_draw(p, 1);
    GD_TRY(gd_denoise(p, &p->grid->level[0], x, m[0]));
    for (int k = 0; k < n; k++) {
        const bool to_image = p->grid->level[k + 1].sigma == 0;
        if (k > 0)
            gd_draw(p, k + 1);
        if (to_image)
            for (int64_t i = 0; i < p->n; i++)
                x[i] = p->grid->level[k + 1].alpha * m[0][i];
        else
            GD_TRY(step(p, k, gd_multistep_order(order, k, n, below), bh1, m, x));
        GD_TRY(gd_step_done(p, k + 1, x, m[0]));
    }
    return gd_denoise_to_zero(p, x);
}

static gd_status solve_bh1_2(gd_problem *p, double *x)
{
    return solve(p, x, 2, true);
}

static gd_status solve_bh1_3(gd_problem *p, double *x)
{
    return solve(p, x, 3, true);
}

static gd_status solve_bh2_2(gd_problem *p, double *x)
{
    return solve(p, x, 2, false);
}

static gd_status solve_bh2_3(gd_problem *p, double *x)
{
    return solve(p, x, 3, false);
}

#define SOLVER(form, digit)                                                                        \
    const gd_solver gd_solver_unipc_##form##_##digit = {                                           \
        "unipc-" #form "-" #digit, "UniPC of order " #digit ", B = " #form,                        \
        solve_##form##_##digit,    .buffers = 5,                                                   \
        .grid = GD_GRID_VP,        .steps = "15"                                                   \
    }
SOLVER(bh1, 2);
SOLVER(bh1, 3);
SOLVER(bh2, 2);
SOLVER(bh2, 3);
