/* SPDX-License-Identifier: MIT */
/* scripts.h - the scripts of guided-diffusion and improved-diffusion: which flags each takes, and
 * with which defaults.  The one table of them: defaults, help and tests come from it. */
#ifndef GD_NN_SCRIPTS_H
#define GD_NN_SCRIPTS_H

#include "nn/config.h"

typedef struct gd_script {
    const char *project; /* "guided-diffusion", "improved-diffusion" */
    const char *name;    /* "image_sample" */
    const char *verb;    /* of guided: does the same job */
    gd_net_kind kind;    /* of its network; classifier_sample's is the diffusion model */
} gd_script;

int gd_script_count(void);
const gd_script *gd_script_at(int script);
/* Its flags with their defaults, at most `most`; how many they are */
int gd_script_flags(int script, gd_flag *out, int most);
/* A flag of any script */
bool gd_script_knows(const char *flag);
/* A flag of some script for a network of this kind */
bool gd_script_takes(gd_net_kind kind, const char *flag);
/* A flag that only guided-diffusion has */
bool gd_script_is_guided_only(const char *flag);
/* The training script of a project for a kind; improved-diffusion has no classifier: guided's */
int gd_script_of(const char *project, gd_net_kind kind);

#endif
