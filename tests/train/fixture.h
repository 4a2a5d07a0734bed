/* SPDX-License-Identifier: MIT */
/* fixture.h - a tiny network and reproducible images to train it on. */
#ifndef TESTS_TRAIN_FIXTURE_H
#define TESTS_TRAIN_FIXTURE_H

#include "train/train.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* 8x8 pixels, 32 channels, 4 classes, dropout 0.1: some 100,000 parameters.  flags: further ones,
 * "learn_sigma=True,class_cond=True" */
gd_model_config fixture_config(gd_net_kind kind, const char *flags);
/* Four patterns with noise that the position decides; the label is the pattern's number */
gd_source fixture_source(void);
gd_train_options fixture_options(gd_net_kind kind);
/* Fresh weights of seed 5; asserts success */
gd_trainer *fixture_trainer(const gd_model_config *config, const gd_train_options *options);
/* One hash over parameters, averages and moments */
void fixture_hash(const gd_trainer *t, char text[33]);

/* A folder of the test program's own: set-up and tear-down of a group */
extern char fixture_folder[64];
int fixture_folder_make(void **state);
int fixture_folder_remove(void **state);

#endif
