/* SPDX-License-Identifier: MIT */
/* restore_table.c - FOLDER/metrics.csv of a folder of measurements: one row per measurement in the
 * order of names, read from the measurements' own folders.  The process that finishes a measurement
 * writes the whole table again, so that killed runs and several ranks leave one complete table. */
#include "jobs/restore.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { COLUMNS = 3, ROW = 800 }; /* residual, PSNR, SSIM */

typedef struct entry {
    int samples;
    double mean[COLUMNS], of_mean[COLUMNS]; /* NAN: not known */
} entry;

/* "0,0.05,20.1,0.8": the numbers after the first comma */
static void read_numbers(const char *line, double out[COLUMNS])
{
    const char *at = strchr(line, ',');

    for (int i = 0; i < COLUMNS; i++) {
        char *end = NULL;
        out[i] = at ? strtod(at + 1, &end) : NAN;
        if (!at || end == at + 1)
            out[i] = NAN;
        at = at ? strchr(at + 1, ',') : NULL;
    }
}

static void read_entry(entry *e, char *text)
{
    char *rest, *line = strtok_r(text, "\n", &rest);

    *e = (entry){ .of_mean = { NAN, NAN, NAN } };
    while (line && (line = strtok_r(NULL, "\n", &rest))) {
        double x[COLUMNS];
        read_numbers(line, x);
        if (strncmp(line, "mean,", 5) == 0)
            memcpy(e->of_mean, x, sizeof x);
        if (*line < '0' || *line > '9')
            continue;
        for (int i = 0; i < COLUMNS; i++)
            e->mean[i] += x[i];
        e->samples++;
    }
    for (int i = 0; i < COLUMNS; i++)
        e->mean[i] /= e->samples;
}

static size_t print_number(char *text, size_t size, const char *format, double x)
{
    size_t used = (size_t)snprintf(text, size, ",");

    return isfinite(x) ? used + (size_t)snprintf(text + used, size - used, format, x) : used;
}

static size_t print_row(char *row, const char *name, const entry *e)
{
    size_t used = (size_t)snprintf(row, ROW, "\"%.255s\",%d", name, e->samples);

    used += print_number(row + used, ROW - used, "%.6g", e->mean[0]);
    used += print_number(row + used, ROW - used, "%.4f", e->mean[1]);
    used += print_number(row + used, ROW - used, "%.5f", e->mean[2]);
    used += print_number(row + used, ROW - used, "%.4f", e->of_mean[1]);
    used += print_number(row + used, ROW - used, "%.5f", e->of_mean[2]);
    return used + (size_t)snprintf(row + used, ROW - used, "\n");
}

bool restore_entry_done(const char *folder, const char *name)
{
    char path[4300];

    snprintf(path, sizeof path, "%.3900s/%.*s/run.json", folder, (int)(strrchr(name, '.') - name),
             name);
    return gd_path_exists(path);
}

/* Writes the rows of finished measurements; *rows: how many */
static gd_status write_once(const char *folder, const char *const *name, int n, int *rows)
{
    static const char head[] = "measurement,samples,residual_rms,psnr,ssim,mean_psnr,mean_ssim\n";
    char path[4300], *text, *table;
    size_t used = sizeof head - 1, bytes;
    gd_status s;

    *rows = 0;
    GD_TRY(gd_block_make(&table, sizeof head + (size_t)n * ROW, "metrics"));
    memcpy(table, head, sizeof head);
    s = GD_OK;
    for (int i = 0; i < n && s == GD_OK; i++) {
        entry e;
        if (!restore_entry_done(folder, name[i]))
            continue;
        snprintf(path, sizeof path, "%.3900s/%.*s/metrics.csv", folder,
                 (int)(strrchr(name[i], '.') - name[i]), name[i]);
        s = gd_text_read(&text, &bytes, path);
        if (s != GD_OK)
            break;
        read_entry(&e, text);
        gd_block_free(text);
        used += print_row(table + used, name[i], &e);
        ++*rows;
    }
    snprintf(path, sizeof path, "%.4000s/metrics.csv", folder);
    if (s == GD_OK)
        s = gd_file_put(path, GD_OWN, table, used);
    gd_block_free(table);
    return s;
}

gd_status restore_write_table(const char *folder, const char *const *name, int n)
{
    int rows, now;

    do { /* another process may have finished a measurement and written its table meanwhile */
        GD_TRY(write_once(folder, name, n, &rows));
        now = 0;
        for (int i = 0; i < n; i++)
            now += restore_entry_done(folder, name[i]);
    } while (now > rows);
    return GD_OK;
}
