/* SPDX-License-Identifier: MIT */
/* family.h - a family of checkpoints: whose networks, under which names.  A new one is a file
 * family_NAME.c and a line in family.c's table. */
#ifndef GD_NN_FAMILY_H
#define GD_NN_FAMILY_H

#include "nn/config_private.h"
#include "nn/nn.h"

/* What there is to recognise a file by */
typedef struct nn_evidence {
    const nn_keys *keys;
    const gd_bundle *bundle;
    const gd_flag *flags;
    int n_flags;
    gd_arena *arena;
    char *assumed; /* lines */
} nn_evidence;

/* Append "FLAG VALUE (assumed; --FLAG OTHER if not)" unless the flag is given. */
void nn_assume(nn_evidence *e, const char *flag, const char *value, const char *other);

typedef struct nn_family {
    /* Do the keys have this family's names?  Asked in the order of the table. */
    bool (*claims)(const nn_evidence *e);
    /* The configuration that follows from keys, shapes and the files beside them */
    gd_status (*infer)(gd_model_config *out, nn_evidence *e);
    /* A preset's text, on top of the defaults of the family */
    gd_status (*read_text)(gd_model_config *out, const char *text);
    /* GD_EUSAGE with the reason if no such network can be built */
    gd_status (*check)(const gd_model_config *config);
    /* Nodes up to out->out; `listing` is handed to every layer */
    void (*build)(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size);
    /* Is this constant of the file what the configuration requires?  NULL: the family has none */
    gd_status (*check_constant)(const gd_model_config *config, const gd_bundle *bundle,
                                const gd_array *constant);
} nn_family;

extern const nn_family nn_family_adm, nn_family_consistency, nn_family_edm, nn_family_diffusers;

const nn_family *nn_family_of(const gd_net_config *config);
/* The family of a file, or GD_EFORMAT that names whose file it is where that is known */
GD_CHECKED gd_status nn_family_find(const nn_family **out, const nn_evidence *e);
/* Constants that stand among the parameters in the family's own files */
GD_CHECKED gd_status nn_config_constants(const gd_model_config *config, gd_arena *arena,
                                         gd_param_spec **out, int *n);

/* ---- unet.c, param_list.c, infer.c: the networks of ADM, which consistency models share ---- */

void nn_build_adm(gd_net *out, nn m, const gd_net_config *config, const gd_net_size *size);
GD_CHECKED gd_status nn_list_adm(const gd_net_config *config, gd_arena *arena, gd_param_spec **out,
                                 int *n);
GD_CHECKED gd_status nn_infer_adm(gd_model_config *out, nn_evidence *e, gd_family family);
GD_CHECKED gd_status nn_check_adm(const gd_model_config *config);
GD_CHECKED gd_status nn_read_flags_text(gd_model_config *out, const char *text);

#endif
