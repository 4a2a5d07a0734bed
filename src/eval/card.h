/* SPDX-License-Identifier: MIT */
/* card.h - the evidence of an evaluation as one page of HTML: no outside request, readable in
 * print. */
#ifndef GD_EVAL_CARD_H
#define GD_EVAL_CARD_H

#include "eval/extra.h"
#include "eval/lint.h"

enum { GD_CARD_COLUMNS = 16, GD_CARD_FACTS = 32, GD_CARD_CAUTIONS = 12 };

typedef struct gd_card_row {
    const char *name, *note; /* a dialect, and what it does; all texts are borrowed */
    double value[GD_CARD_COLUMNS], deviation[GD_CARD_COLUMNS]; /* NAN: none */
} gd_card_row;

typedef struct gd_card {
    char title[512];
    const char *column[GD_CARD_COLUMNS]; /* names of numbers */
    int n_columns;
    gd_card_row row[GD_MOST_VIEWS];
    int n_rows;
    struct {
        const char *name;
        char text[512];
    } fact[GD_CARD_FACTS]; /* protocol, hashes */
    int n_facts;
    const gd_lint *lint[2];              /* of samples, of the reference; NULL: not looked at */
    gd_image grid;                       /* of samples; pixels NULL: none */
    gd_image pair[GD_PAIRS][2];          /* sample, reference image */
    const gd_memorisation *memorisation; /* NULL: not measured */
    int64_t pair_image[GD_PAIRS][2];     /* their numbers in the sets */
    const gd_infinity *infinity;         /* NULL: not measured */
    const gd_class_scores *classes;
    int n_classes;
} gd_card;

/* The page, a block of *bytes.  GD_ENOMEM only */
GD_CHECKED gd_status gd_card_html(char **out, size_t *bytes, const gd_card *card);

#endif
