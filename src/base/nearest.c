/* SPDX-License-Identifier: MIT */
/* nearest.c - "did you mean": the word of a list nearest to what was typed. */
#include "base/base.h"

#include <string.h>

enum { LONGEST = 128 }; /* longer words are never suggested */

/* ASCII only, so that the result does not depend on the locale. */
static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : (unsigned char)c;
}

/* Insertions, deletions, substitutions and swaps of neighbours that turn a into b (optimal string
 * alignment), both shorter than LONGEST. */
static int distance(const char *a, int na, const char *b, int nb)
{
    int rows[3][LONGEST + 1];

    for (int j = 0; j <= nb; j++)
        rows[0][j] = j;
    for (int i = 1; i <= na; i++) {
        int *row = rows[i % 3];
        const int *above = rows[(i - 1) % 3];
        const int *two_above = rows[(i + 1) % 3];

        row[0] = i;
        for (int j = 1; j <= nb; j++) {
            bool same = lower(a[i - 1]) == lower(b[j - 1]);
            int best = above[j - 1] + !same;

            best = GD_MIN(best, above[j] + 1);
            best = GD_MIN(best, row[j - 1] + 1);
            if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) &&
                lower(a[i - 2]) == lower(b[j - 1]))
                best = GD_MIN(best, two_above[j - 2] + 1);
            row[j] = best;
        }
    }
    return rows[na % 3][nb];
}

static bool contains(const char *text, int n_text, const char *word, int n_word)
{
    for (int at = 0; at + n_word <= n_text; at++) {
        int i = 0;
        while (i < n_word && lower(text[at + i]) == lower(word[i]))
            i++;
        if (i == n_word)
            return true;
    }
    return false;
}

const char *gd_nearest(const char *word, const char *const *list, int n)
{
    const char *best = NULL, *holder = NULL;
    int best_distance = LONGEST;
    size_t n_word = strlen(word);

    if (n_word == 0 || n_word >= LONGEST)
        return NULL;
    for (int i = 0; i < n; i++) {
        size_t length = strlen(list[i]);
        if (length == 0 || length >= LONGEST)
            continue;
        int d = distance(word, (int)n_word, list[i], (int)length);
        /* a third of the letters may be wrong; in short words one, if a letter is left that is
         * right */
        int allowed = GD_MAX(1, (int)GD_MAX(n_word, length) / 3);
        if (d <= allowed && d < (int)GD_MAX(n_word, length) && d < best_distance) {
            best = list[i];
            best_distance = d;
        }
        if (!holder && n_word >= 3 && contains(list[i], (int)length, word, (int)n_word))
            holder = list[i];
    }
    return best ? best : holder;
}
