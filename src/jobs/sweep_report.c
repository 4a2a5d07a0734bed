/* SPDX-License-Identifier: MIT */
/* sweep_report.c - the table, the plot and the contact sheet of a study, of what is done so far. */
#include "jobs/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static gd_status put(gd_buffer *t, const sweep_run *r, const char *name)
{
    char path[GD_MAX_PATH];
    gd_status s;

    snprintf(path, sizeof path, "%.3000s/%s", r->output, name);
    s = t->failed ? gd_fail(GD_ENOMEM, "%s: out of memory", path)
                  : gd_file_put(path, GD_OWN, t->data, t->n);
    free(t->data);
    return s;
}

/* ---- sweep.csv ---- */

static gd_status write_table(const sweep_run *r)
{
    gd_buffer t = { 0 };

    for (int k = 0; k < r->n_axes; k++)
        gd_buffer_print(&t, "%s,", r->axis[k].name);
    gd_buffer_print(&t, "calls,frechet,inception_score,precision,recall,images,seconds\n");
    for (int i = 0; i < r->n_cells; i++) {
        const sweep_cell *c = &r->cell[i];
        if (!c->done)
            continue;
        for (int k = 0; k < r->n_axes; k++)
            gd_buffer_print(&t, "%s,", r->axis[k].value[c->at[k]]);
        gd_buffer_print(&t, "%d,%.6g,%.6g,%.6g,%.6g,%d,%.3f\n", c->calls, c->frechet, c->score,
                        c->precision, c->recall, r->choice.n, c->seconds);
    }
    return put(&t, r, "sweep.csv");
}

/* ---- sweep.svg ---- */

enum { WIDTH = 860, HEIGHT = 460, LEFT = 60, TOP = 16, RIGHT = 250, BOTTOM = 44 };

typedef struct plot {
    const sweep_run *r;
    int steps; /* the axis that a line runs along; -1: none, each cell is a point */
    double x0, x1, y0, y1;
} plot;

static double x_of(const plot *p, const sweep_cell *c)
{
    return LEFT + (WIDTH - LEFT - RIGHT) * (log2(c->calls) - p->x0) / (p->x1 - p->x0);
}

static double y_of(const plot *p, double frechet)
{
    return TOP + (HEIGHT - TOP - BOTTOM) * (p->y1 - log10(frechet)) / (p->y1 - p->y0);
}

static bool plotted(const sweep_cell *c)
{
    return c->done && c->calls > 0 && c->frechet > 0 && isfinite(c->frechet);
}

static void find_range(plot *p)
{
    p->x0 = p->y0 = INFINITY;
    p->x1 = p->y1 = -INFINITY;
    for (int i = 0; i < p->r->n_cells; i++) {
        const sweep_cell *c = &p->r->cell[i];
        if (!plotted(c))
            continue;
        p->x0 = fmin(p->x0, log2(c->calls));
        p->x1 = fmax(p->x1, log2(c->calls));
        p->y0 = fmin(p->y0, log10(c->frechet));
        p->y1 = fmax(p->y1, log10(c->frechet));
    }
    p->x1 = fmax(p->x1, p->x0 + 1);
    p->y0 = floor(4 * p->y0) / 4;
    p->y1 = fmax(ceil(4 * p->y1) / 4, p->y0 + 0.25);
}

static bool same_line(const plot *p, const sweep_cell *a, const sweep_cell *b)
{
    for (int k = 0; k < p->r->n_axes; k++)
        if (k != p->steps && a->at[k] != b->at[k])
            return false;
    return p->steps >= 0;
}

static void print_axes(const plot *p, gd_buffer *t)
{
    gd_buffer_print(t,
                    "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
                    "font-family=\"sans-serif\" font-size=\"12\">\n"
                    "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
                    WIDTH, HEIGHT);
    for (double v = p->y0; v <= p->y1 + 1e-9; v += 0.25)
        gd_buffer_print(t,
                        "<path d=\"M%d %.1fH%d\" stroke=\"#ddd\"/><text x=\"%d\" y=\"%.1f\" "
                        "text-anchor=\"end\">%.3g</text>\n",
                        LEFT, y_of(p, pow(10, v)), WIDTH - RIGHT, LEFT - 6, y_of(p, pow(10, v)) + 4,
                        pow(10, v));
    for (double v = floor(p->x0); v <= p->x1 + 1e-9; v++)
        if (v >= p->x0 - 1e-9)
            gd_buffer_print(t, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.0f</text>\n",
                            LEFT + (WIDTH - LEFT - RIGHT) * (v - p->x0) / (p->x1 - p->x0),
                            HEIGHT - BOTTOM + 18, exp2(v));
    gd_buffer_print(
        t,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">Frechet distance by network calls</text>\n",
        (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8);
}

/* Values come from the command line: marked-up text is escaped */
static void print_escaped(gd_buffer *t, const char *value)
{
    for (; *value; value++)
        if (strchr("<>&", *value))
            gd_buffer_print(t, "&#%d;", *value);
        else
            gd_buffer_print(t, "%c", *value);
}

static void print_line(const plot *p, gd_buffer *t, int first, int line)
{
    static const char *const colours[] = { "#1f5fa8", "#c0392b", "#27864a", "#8e44ad",
                                           "#d68910", "#148f9e", "#7b5c3e", "#555555" };
    const char *colour = colours[line % COUNT(colours)];
    const sweep_run *r = p->r;

    gd_buffer_print(t, "<polyline fill=\"none\" stroke=\"%s\"%s points=\"", colour,
                    line / COUNT(colours) % 2 ? " stroke-dasharray=\"5 3\"" : "");
    for (int i = first; i < r->n_cells; i++)
        if (plotted(&r->cell[i]) && (i == first || same_line(p, &r->cell[first], &r->cell[i])))
            gd_buffer_print(t, "%.1f,%.1f ", x_of(p, &r->cell[i]), y_of(p, r->cell[i].frechet));
    gd_buffer_print(t, "\"/>\n");
    for (int i = first; i < r->n_cells; i++)
        if (plotted(&r->cell[i]) && (i == first || same_line(p, &r->cell[first], &r->cell[i])))
            gd_buffer_print(t, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\" fill=\"%s\"/>\n",
                            x_of(p, &r->cell[i]), y_of(p, r->cell[i].frechet), colour);
    gd_buffer_print(t, "<text x=\"%d\" y=\"%d\" fill=\"%s\" font-size=\"11\">", WIDTH - RIGHT + 10,
                    TOP + 12 + 14 * line, colour);
    for (int k = 0; k < r->n_axes; k++)
        if (k != p->steps) {
            print_escaped(t, r->axis[k].value[r->cell[first].at[k]]);
            gd_buffer_print(t, " ");
        }
    gd_buffer_print(t, "</text>\n");
}

static gd_status write_plot(const sweep_run *r)
{
    plot p = { .r = r, .steps = -1 };
    gd_buffer t = { 0 };
    int line = 0;

    for (int k = 0; k < r->n_axes; k++)
        if (strcmp(r->axis[k].name, "steps") == 0)
            p.steps = k;
    find_range(&p);
    if (!isfinite(p.x0)) /* nothing to plot yet */
        return GD_OK;
    print_axes(&p, &t);
    for (int i = 0; i < r->n_cells; i++) {
        bool first = plotted(&r->cell[i]);
        for (int k = 0; k < i && first; k++)
            first = !(plotted(&r->cell[k]) && same_line(&p, &r->cell[k], &r->cell[i]));
        if (first)
            print_line(&p, &t, i, line++);
    }
    gd_buffer_print(&t, "</svg>\n");
    return put(&t, r, "sweep.svg");
}

/* ---- sheet.png: the first images of every cell, a row each ---- */

/* The first images of a cell's .npz beside each other; *row: block */
static gd_status read_row(const sweep_run *r, const sweep_cell *cell, gd_image *row)
{
    char path[GD_MAX_PATH];
    gd_bundle *b;
    const gd_array *a;
    uint8_t *all = NULL;
    gd_status s;

    sweep_path(r, cell, ".npz", path);
    GD_TRY(gd_bundle_open(&b, path));
    a = gd_bundle_find(b, "arr_0");
    s = a && a->rank == 4 && a->dtype == GD_U8
            ? gd_block_make(&all, (size_t)gd_array_count(a), "images")
            : gd_fail(GD_EFORMAT,
                      "%s: no images\nhint: remove its .json, and the cell is made again", path);
    if (s == GD_OK)
        s = gd_bundle_read(b, a, all);
    if (s == GD_OK) {
        const int n = (int)GD_MIN(a->dim[0], SWEEP_COLUMNS), h = (int)a->dim[1],
                  line = (int)(a->dim[2] * a->dim[3]);
        *row = (gd_image){ n * (int)a->dim[2], h, (int)a->dim[3], NULL };
        s = gd_block_make(&row->pixels, (size_t)(n * h * line), "images");
        for (int i = 0; i < n && s == GD_OK; i++)
            for (int y = 0; y < h; y++)
                memcpy(row->pixels + (size_t)((y * n + i) * line),
                       all + (size_t)((i * h + y) * line), (size_t)line);
    }
    gd_block_free(all);
    gd_bundle_close(b);
    return s;
}

/* Rows of cells with other shapes (another model) are left out. */
static gd_status write_sheet(const sweep_run *r)
{
    gd_image sheet = { 0 };
    size_t bytes = 0, size;
    char path[GD_MAX_PATH];
    void *png;
    gd_status s = GD_OK;

    for (int i = 0; i < r->n_cells && s == GD_OK; i++) {
        gd_image row = { 0 };
        if (!r->cell[i].done)
            continue;
        s = read_row(r, &r->cell[i], &row);
        const size_t n = (size_t)row.width * (size_t)row.height * (size_t)row.channels;
        if (s == GD_OK && !sheet.pixels) {
            sheet = (gd_image){ row.width, 0, row.channels, NULL };
            s = gd_block_make(&sheet.pixels, n * (size_t)r->n_cells, "sheet");
        }
        if (s == GD_OK && row.width == sheet.width && row.channels == sheet.channels) {
            memcpy(sheet.pixels + bytes, row.pixels, n);
            bytes += n;
            sheet.height += row.height;
        }
        gd_block_free(row.pixels);
    }
    if (s == GD_OK && sheet.height > 0) {
        snprintf(path, sizeof path, "%.3000s/sheet.png", r->output);
        s = gd_png_encode(&png, &size, sheet.pixels, sheet.width, sheet.height, sheet.channels,
                          NULL, 0);
        if (s == GD_OK) {
            s = gd_file_put(path, GD_OWN, png, size);
            gd_block_free(png);
        }
    }
    gd_block_free(sheet.pixels);
    return s;
}

gd_status sweep_report(const sweep_run *r)
{
    GD_TRY(write_table(r));
    GD_TRY(write_plot(r));
    return write_sheet(r);
}
