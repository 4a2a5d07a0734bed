/* SPDX-License-Identifier: MIT */
/* curve.c - loss.svg: a column of progress.csv over the steps, on a logarithmic scale. */
#include "train/train_private.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 720, HEIGHT = 400, LEFT = 64, TOP = 16, RIGHT = 16, BOTTOM = 40, MAX_POINTS = 2000 };

typedef struct plot {
    const double *step, *value;
    int n;
    double low, high; /* log10 of the value */
    gd_buffer text;
} plot;

static double x_of(const plot *p, double step)
{
    const double last = fmax(p->step[p->n - 1], 1);
    return LEFT + (WIDTH - LEFT - RIGHT) * step / last;
}

static double y_of(const plot *p, double log_value)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (p->high - log_value) / (p->high - p->low);
}

static bool find_range(plot *p)
{
    p->low = INFINITY;
    p->high = -INFINITY;
    for (int i = 0; i < p->n; i++)
        if (p->value[i] > 0 && isfinite(p->value[i])) {
            p->low = fmin(p->low, log10(p->value[i]));
            p->high = fmax(p->high, log10(p->value[i]));
        }
    p->low = floor(4 * p->low) / 4;
    p->high = ceil(4 * p->high + 1e-9) / 4;
    return p->high > p->low && isfinite(p->high - p->low);
}

static void print_axes(plot *p, const char *name)
{
    gd_buffer_print(&p->text,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                    WIDTH, HEIGHT);
    for (double v = p->low; v <= p->high + 1e-9; v += 0.25)
        gd_buffer_print(&p->text,
                        "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                        "text-anchor=\"end\">%.3g</text>\n",
                        LEFT, y_of(p, v), WIDTH - RIGHT, LEFT - 6, y_of(p, v) + 4, pow(10, v));
    for (int i = 0; i <= 4; i++) {
        const double step = p->step[p->n - 1] * i / 4;
        gd_buffer_print(&p->text, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                        x_of(p, step), HEIGHT - BOTTOM + 18, step);
    }
    gd_buffer_print(&p->text, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">%s by step</text>\n",
                    WIDTH / 2, HEIGHT - 6, name);
}

static void print_line(plot *p)
{
    const int every = GD_MAX(1, p->n / MAX_POINTS);

    gd_buffer_print(&p->text, "<polyline fill=\"none\" stroke=\"#1f5fa8\" points=\"");
    for (int i = 0; i < p->n; i += every)
        if (p->value[i] > 0 && isfinite(p->value[i]))
            gd_buffer_print(&p->text, "%.1f,%.1f ", x_of(p, p->step[i]),
                            y_of(p, log10(p->value[i])));
    gd_buffer_print(&p->text, "\"/>\n</svg>\n");
}

gd_status train_curve_write(const train_csv *csv, const char *folder, const char *name)
{
    char path[GD_MAX_PATH];
    double *step = NULL, *value = NULL;
    plot p = { 0 };
    int n = 0;
    gd_status s = train_csv_column(csv, "step", &step, &n);

    if (s == GD_OK)
        s = train_csv_column(csv, name, &value, &p.n);
    p.step = step;
    p.value = value;
    p.n = GD_MIN(n, p.n);
    if (s == GD_OK && p.n > 1 && find_range(&p)) {
        print_axes(&p, name);
        print_line(&p);
        snprintf(path, sizeof path, "%.4000s/loss.svg", folder);
        s = p.text.failed ? gd_fail(GD_ENOMEM, "%s: out of memory", path)
                          : gd_file_put(path, GD_OWN, p.text.data, p.text.n);
    }
    free(step);
    free(value);
    free(p.text.data);
    return s;
}
