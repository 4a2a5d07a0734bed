/* SPDX-License-Identifier: MIT */
/* card_html.c - the page of an evaluation card.  Pictures are PNG in data URIs, curves are SVG. */
#include "eval/card.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- text ---- */

/* Text of files: nothing in it is markup. */
static void put_text(gd_buffer *p, const char *text)
{
    for (; *text; text++)
        switch (*text) {
        case '<':
            gd_buffer_print(p, "&lt;");
            break;
        case '&':
            gd_buffer_print(p, "&amp;");
            break;
        case '"':
            gd_buffer_print(p, "&quot;");
            break;
        default:
            gd_buffer_print(p, "%c", (unsigned char)*text < ' ' ? ' ' : *text);
        }
}

static void put_number(gd_buffer *p, double x)
{
    if (isfinite(x))
        gd_buffer_print(p, fabs(x) >= 0.01 ? "%.4f" : "%.4g", x);
    else
        gd_buffer_print(p, "&ndash;");
}

/* ---- pictures ---- */

static void put_base64(gd_buffer *p, const uint8_t *data, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    if (!gd_buffer_reserve(p, (n + 2) / 3 * 4))
        return;
    for (size_t i = 0; i < n; i += 3) {
        const uint32_t b = (uint32_t)data[i] << 16 | (i + 1 < n ? (uint32_t)data[i + 1] << 8 : 0) |
                           (i + 2 < n ? data[i + 2] : 0);
        p->data[p->n++] = digit[b >> 18];
        p->data[p->n++] = digit[b >> 12 & 63];
        p->data[p->n++] = i + 1 < n ? digit[b >> 6 & 63] : '=';
        p->data[p->n++] = i + 2 < n ? digit[b & 63] : '=';
    }
    p->data[p->n] = 0;
}

static gd_status put_picture(gd_buffer *p, const gd_image *image, const char *about, int width)
{
    void *png;
    size_t bytes;

    GD_TRY(gd_png_encode(&png, &bytes, image->pixels, image->width, image->height, image->channels,
                         NULL, 0));
    gd_buffer_print(p, "<img alt=\"%s\" width=\"%d\" src=\"data:image/png;base64,", about, width);
    put_base64(p, png, bytes);
    gd_buffer_print(p, "\">");
    gd_block_free(png);
    return GD_OK;
}

/* ---- sections ---- */

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1b1f24;background:#fff;max-width:62rem;"
    "margin:2rem auto;padding:0 1rem}h1{font-size:1.5rem;margin:0 0 .2rem}h2{font-size:1.1rem;"
    "margin:2rem 0 .5rem;border-bottom:1px solid #d5dae0;padding-bottom:.2rem}"
    ".wide{overflow-x:auto}th.d{white-space:normal;max-width:9rem}td.s{text-align:left}table{"
    "border-collapse:collapse}th,td{padding:.25rem .8rem .25rem 0;"
    "text-align:right;white-space:nowrap}th:first-child,td:first-child{text-align:left}"
    "thead th{border-bottom:1px solid #8a939d;font-weight:600}td .d{color:#5b6570}"
    "td.t{text-align:left;white-space:normal;overflow-wrap:anywhere}.note{color:#5b6570;"
    "font-size:.9em}.w{color:#9a3412;font-weight:600}img{image-rendering:pixelated;"
    "max-width:100%;height:auto}.pairs{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}"
    "figcaption{font-size:.8em;color:#5b6570}svg{max-width:100%;height:auto}"
    "@media print{body{margin:0;max-width:none;font-size:11px}h2{break-after:avoid}"
    "figure,tr,svg{break-inside:avoid}}";

static void put_head(gd_buffer *p, const gd_card *c)
{
    gd_buffer_print(
        p, "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
           "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    put_text(p, c->title);
    gd_buffer_print(
        p, "</title><style>%s</style></head><body>\n<h1>Evaluation card</h1><p class=\"note\">",
        style);
    put_text(p, c->title);
    gd_buffer_print(p, "</p>\n");
}

static void put_value(gd_buffer *p, double value, double deviation)
{
    gd_buffer_print(p, "<td>");
    put_number(p, value);
    if (isfinite(value) && isfinite(deviation) && deviation > 0)
        gd_buffer_print(p, " <span class=\"d\">&plusmn; %.2g</span>", deviation);
    gd_buffer_print(p, "</td>");
}

static void put_numbers(gd_buffer *p, const gd_card *c)
{
    gd_buffer_print(p, "<h2>Numbers</h2><div class=\"wide\"><table><thead><tr><th></th>");
    for (int i = 0; i < c->n_rows; i++)
        gd_buffer_print(p, "<th class=\"d\">%s</th>", c->row[i].name);
    gd_buffer_print(p, "</tr></thead>\n");
    for (int k = 0; k < c->n_columns; k++) {
        gd_buffer_print(p, "<tr><td>%s</td>", c->column[k]);
        for (int i = 0; i < c->n_rows; i++)
            put_value(p, c->row[i].value[k], c->row[i].deviation[k]);
        gd_buffer_print(p, "</tr>\n");
    }
    gd_buffer_print(p, "</table></div>\n");
    for (int i = 0; i < c->n_rows; i++) {
        gd_buffer_print(p, "<p class=\"note\"><b>%s</b>: ", c->row[i].name);
        put_text(p, c->row[i].note);
        gd_buffer_print(p, "</p>\n");
    }
}

static void put_facts(gd_buffer *p, const gd_card *c)
{
    gd_buffer_print(p, "<h2>What they rest on</h2><table>\n");
    for (int i = 0; i < c->n_facts; i++) {
        gd_buffer_print(p, "<tr><td>%s</td><td class=\"t\">", c->fact[i].name);
        put_text(p, c->fact[i].text);
        gd_buffer_print(p, "</td></tr>\n");
    }
    gd_buffer_print(p, "</table>\n");
}

static void put_findings(gd_buffer *p, const gd_card *c)
{
    static const char *const of[2] = { "samples", "reference" };

    gd_buffer_print(p, "<h2>The sets, looked at</h2><table>\n");
    for (int k = 0; k < 2; k++)
        for (int i = 0; c->lint[k] && i < c->lint[k]->n; i++) {
            const gd_lint_finding *f = &c->lint[k]->finding[i];
            gd_buffer_print(p, "<tr><td>%s</td><td class=\"s%s\">%s</td><td class=\"t\">", of[k],
                            f->warning ? " w" : "", f->warning ? "warning" : "note");
            put_text(p, f->text);
            if (f->example >= 0 && f->example2 < 0)
                gd_buffer_print(p, " (image %lld)", (long long)f->example);
            gd_buffer_print(p, "</td></tr>\n");
        }
    gd_buffer_print(p, "</table>\n");
}

static gd_status put_pairs(gd_buffer *p, const gd_card *c)
{
    enum { SHOWN = 96 };

    gd_buffer_print(
        p,
        "<h2>Samples closest to a reference image</h2><p class=\"note\">Left the sample, right "
        "the reference image nearest to it in the features. The ratio is their distance over "
        "that of the reference image to its own nearest neighbour; below 1 a sample is closer "
        "than another reference image is. %.1f %% of the samples have a ratio above 1, the "
        "median is %.3f.</p>\n",
        100 * c->memorisation->authenticity, c->memorisation->median_ratio);
    if (c->memorisation->has_held)
        gd_buffer_print(p,
                        "<p class=\"note\">%.1f %% of the samples are nearer to a reference image "
                        "than to a held-out one; the median of these two distances' ratio is "
                        "%.4f.</p>\n",
                        100 * c->memorisation->nearer_share, c->memorisation->held_ratio);
    gd_buffer_print(p, "<div class=\"pairs\">\n");
    for (int i = 0; i < c->memorisation->n_pairs; i++) {
        gd_buffer_print(p, "<figure>");
        GD_TRY(put_picture(p, &c->pair[i][0], "sample", SHOWN));
        gd_buffer_print(p, " ");
        GD_TRY(put_picture(p, &c->pair[i][1], "reference image", SHOWN));
        gd_buffer_print(p, "<figcaption>sample %lld, reference %lld: ratio %.3f",
                        (long long)c->pair_image[i][0], (long long)c->pair_image[i][1],
                        c->memorisation->pair[i].ratio);
        if (c->memorisation->has_held)
            gd_buffer_print(p, ", to the nearest held-out image %.3f",
                            c->memorisation->pair[i].held_ratio);
        gd_buffer_print(p, "</figcaption></figure>\n");
    }
    gd_buffer_print(p, "</div>\n");
    return GD_OK;
}

/* ---- curves ---- */

enum { WIDTH = 640, HEIGHT = 300, LEFT = 70, RIGHT = 20, TOP = 15, BOTTOM = 45 };

static void put_infinity(gd_buffer *p, const gd_infinity *f)
{
    double least = f->value - f->error, most = f->value + f->error;
    const double right = 1.0 / (double)f->n[0];

    for (int k = 0; k < GD_INFINITY_POINTS; k++) {
        least = fmin(least, f->distance[k]);
        most = fmax(most, f->distance[k]);
    }
    const double range = most > least ? 1.1 * (most - least) : 1, low = least - range / 22;
#define X(x) (LEFT + (WIDTH - LEFT - RIGHT) * (x) / right)
#define Y(y) (TOP + (HEIGHT - TOP - BOTTOM) * (1 - ((y)-low) / range))
    gd_buffer_print(
        p,
        "<h2>FID against the number of samples</h2><svg viewBox=\"0 0 %d %d\" width=\"%d\" "
        "role=\"img\" aria-label=\"FID against one over the number of samples\" "
        "font-size=\"12\" fill=\"#1b1f24\">\n<path d=\"M%d %dV%dH%d\" stroke=\"#8a939d\" "
        "fill=\"none\"/>\n",
        WIDTH, HEIGHT, WIDTH, LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT);
    for (int k = 0; k < 3; k++) {
        const double y = low + range * k / 2;
        gd_buffer_print(p, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n", LEFT - 8,
                        Y(y) + 4, y);
    }
    gd_buffer_print(p,
                    "<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#1d4ed8\" "
                    "stroke-dasharray=\"5 4\"/>\n",
                    LEFT, X(right), Y(f->value), Y(f->value + f->slope * right));
    gd_buffer_print(p, "<path d=\"M%d %.1fV%.1f\" stroke=\"#1d4ed8\" stroke-width=\"3\"/>\n", LEFT,
                    Y(f->value - f->error), Y(f->value + f->error));
    for (int k = 0; k < GD_INFINITY_POINTS; k++) {
        gd_buffer_print(p, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\" fill=\"#1d4ed8\"/>\n",
                        X(1.0 / (double)f->n[k]), Y(f->distance[k]));
        if (k == 0 || k == 2 || k == GD_INFINITY_POINTS - 1)
            gd_buffer_print(p, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%lld</text>\n",
                            X(1.0 / (double)f->n[k]), HEIGHT - BOTTOM + 16, (long long)f->n[k]);
    }
    gd_buffer_print(
        p,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">&#8734;</text><text x=\"%d\" y=\"%d\" "
        "text-anchor=\"middle\">samples (spaced as 1 / n)</text></svg>\n<p class=\"note\">Of "
        "infinitely many samples %.4f &plusmn; %.2g, where the line through all points meets "
        "the left edge.</p>\n",
        LEFT, HEIGHT - BOTTOM + 16, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, f->value, f->error);
#undef X
#undef Y
}

static int by_distance(const void *a, const void *b)
{
    const gd_class_scores *const *x = a, *const *y = b;
    const double dx = (*x)->distance, dy = (*y)->distance;

    return (dx < dy) - (dx > dy);
}

static void put_bar(gd_buffer *p, const gd_class_scores *c, double most, int y)
{
    enum { FROM = 90, LONGEST = 380 };
    const double length = most > 0 && isfinite(c->distance) ? LONGEST * c->distance / most : 0;

    gd_buffer_print(
        p,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"end\">class %lld</text><rect x=\"%d\" y=\"%d\" "
        "width=\"%.1f\" height=\"12\" fill=\"#1d4ed8\"/><text x=\"%.1f\" y=\"%d\">",
        FROM - 8, y + 11, (long long)c->label, FROM, y, length, FROM + length + 6, y + 11);
    put_number(p, c->distance);
    gd_buffer_print(p, "</text><text x=\"%d\" y=\"%d\">P ", FROM + LONGEST + 70, y + 11);
    put_number(p, c->precision);
    gd_buffer_print(p, ", R ");
    put_number(p, c->recall);
    gd_buffer_print(p, "</text>\n");
}

static gd_status put_classes(gd_buffer *p, const gd_card *c)
{
    enum { SHOWN = 30, STEP = 18 };
    const int n = GD_MIN(c->n_classes, SHOWN);
    const gd_class_scores **order;

    GD_TRY(gd_block_make(&order, (size_t)c->n_classes * sizeof *order, "classes"));
    for (int i = 0; i < c->n_classes; i++)
        order[i] = &c->classes[i];
    qsort(order, (size_t)c->n_classes, sizeof *order, by_distance);
    gd_buffer_print(
        p,
        "<h2>Classes</h2><p class=\"note\">FID, precision and recall of each class, largest FID "
        "first%s. Classes have few images: compare them with one another only.</p>"
        "<svg viewBox=\"0 0 720 %d\" width=\"720\" role=\"img\" aria-label=\"FID of classes\" "
        "font-size=\"12\" fill=\"#1b1f24\">\n",
        n < c->n_classes ? "; the first 30" : "", n * STEP + 6);
    for (int i = 0; i < n; i++)
        put_bar(p, order[i], order[0]->distance, i * STEP + 3);
    gd_buffer_print(p, "</svg>\n");
    gd_block_free(order);
    return GD_OK;
}

/* ---- the page ---- */

static gd_status put_all(gd_buffer *p, const gd_card *c)
{
    put_head(p, c);
    put_numbers(p, c);
    if (c->infinity)
        put_infinity(p, c->infinity);
    if (c->grid.pixels) {
        gd_buffer_print(p, "<h2>Samples</h2>");
        GD_TRY(put_picture(p, &c->grid, "samples", GD_MAX(c->grid.width, 512)));
    }
    if (c->memorisation && c->memorisation->n_pairs > 0 && c->pair[0][0].pixels)
        GD_TRY(put_pairs(p, c));
    if (c->n_classes > 0)
        GD_TRY(put_classes(p, c));
    put_findings(p, c);
    put_facts(p, c);
    gd_buffer_print(p, "</body></html>\n");
    return GD_OK;
}

gd_status gd_card_html(char **out, size_t *bytes, const gd_card *card)
{
    gd_buffer p = { 0 };
    gd_status s = put_all(&p, card);

    if (s == GD_OK && p.failed)
        s = gd_fail(GD_ENOMEM, "card: out of memory");
    if (s == GD_OK)
        s = gd_block_make(out, p.n, "card");
    if (s == GD_OK) {
        memcpy(*out, p.data, p.n);
        *bytes = p.n;
    }
    free(p.data);
    return s;
}
