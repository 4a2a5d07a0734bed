/* SPDX-License-Identifier: MIT */
/* fuzz_csv.c - progress.csv of a run that is gone on with: read, written again with one more column
 * and row, drawn. */
#define _GNU_SOURCE
#include "fuzz_folder.h"
#include "train/train_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    gd_means means = { 0 };
    double *values = NULL;
    train_csv *csv;
    int n;

    need_folder();
    put_file("progress.csv", data, bytes);
    require(train_csv_open(&csv, fuzz_folder, bytes % 7) == GD_OK);
    gd_means_add(&means, "step", (double)(bytes % 7));
    gd_means_add(&means, "loss", 0.5);
    gd_means_add(&means, "new", 0.25);
    require(train_csv_add(csv, &means) == GD_OK);
    require(train_csv_column(csv, "loss", &values, &n) == GD_OK && n >= 0);
    free(values);
    require(train_curve_write(csv, fuzz_folder, "loss") == GD_OK);
    train_csv_close(csv);
    return 0;
}
