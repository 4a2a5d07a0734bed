/* SPDX-License-Identifier: MIT */
/* train_private.h - what a run's folder holds besides checkpoints; for this folder alone. */
#ifndef GD_TRAIN_PRIVATE_H
#define GD_TRAIN_PRIVATE_H

#include "train/train.h"

/* ---- level_setup.c ---- */
/* Before the learner is made; teacher NULL: none.  Sets t->levels and t->objective.levels where the
 * loss is at noise levels. */
GD_CHECKED gd_status train_levels_make(gd_trainer *t, const gd_model *teacher);
/* After it: the target network */
GD_CHECKED gd_status train_levels_follow(gd_trainer *t);
GD_CHECKED gd_status train_levels_updated(gd_trainer *t); /* the averages have changed */
void train_levels_free(gd_trainer *t);
GD_CHECKED gd_status train_loss_check(const gd_train_options *o);
gd_snr_weight train_snr_weight(const gd_train_options *o);

/* ---- csv.c ---- */
typedef struct train_csv train_csv;
/* FOLDER/progress.csv; rows from `step` on, of an attempt that was lost, are dropped. */
GD_CHECKED gd_status train_csv_open(train_csv **out, const char *folder, int64_t step);
void train_csv_close(train_csv *csv); /* NULL is fine */
GD_CHECKED gd_status train_csv_add(train_csv *csv, const gd_means *means);
/* The rows so far become durable. */
GD_CHECKED gd_status train_csv_sync(const train_csv *csv);
/* free(*values) */
GD_CHECKED gd_status train_csv_column(const train_csv *csv, const char *name, double **values,
                                      int *n);

/* ---- events.c ---- */
/* A new event file of this attempt: its path */
GD_CHECKED gd_status train_events_open(char path[GD_MAX_PATH], const char *folder);
GD_CHECKED gd_status train_events_add(const char *path, const gd_means *means, int64_t step);

/* ---- curve.c ---- */
/* FOLDER/loss.svg of the column `name`; nothing where there are fewer than two points */
GD_CHECKED gd_status train_curve_write(const train_csv *csv, const char *folder, const char *name);

#endif
