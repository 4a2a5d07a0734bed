/* SPDX-License-Identifier: MIT */
/* restore_case.h - what the cases of restoration share: operators from JSON, double results. */
#ifndef TESTS_RESTORE_CASE_H
#define TESTS_RESTORE_CASE_H

#include "golden.h"
#include "restore/restore.h"

/* [C,H,W] of a JSON list, or of a tensor of rank 2 ([C,N]: one row) or 3 */
gd_shape restore_shape(json_t *list);
/* The operator that `spec` describes; NULL: the case has failed */
gd_operator *restore_operator(golden *g, json_t *spec, gd_shape image);
/* "in.NAME" as doubles in the case's memory; NULL when `text` is no string or names nothing */
double *restore_tensor(golden *g, json_t *text, int64_t *count);
double restore_number(json_t *object, const char *key, double absent);
/* Against out64.NAME where the case has it, else out.NAME, with the allowance of out.NAME */
void restore_compare(golden *g, const char *name, const double *found, int64_t count);

#endif
