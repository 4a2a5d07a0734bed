/* SPDX-License-Identifier: MIT */
/* solvers.c - the table of solvers: --sampler's help, its errors and the tests read it. */
#include "diffusion/solver.h"

#include <string.h>

static const gd_solver *const table[] = {
    &gd_solver_ddpm,         &gd_solver_ddim,
    &gd_solver_dpmpp_2m,     &gd_solver_dpmpp_3m,
    &gd_solver_dpmpp_2s,     &gd_solver_dpmpp_3s,
    &gd_solver_dpmpp_2m_sde, &gd_solver_unipc_bh2_2,
    &gd_solver_unipc_bh2_3,  &gd_solver_unipc_bh1_2,
    &gd_solver_unipc_bh1_3,  &gd_solver_plms,
    &gd_solver_heun,         &gd_solver_euler,
    &gd_solver_dpm2,         &gd_solver_euler_ancestral,
    &gd_solver_lms,          &gd_solver_dpmpp_2s_ancestral,
    &gd_solver_dpmpp_3m_sde, &gd_solver_consistency,
};

int gd_solver_count(void)
{
    return COUNT(table);
}

const gd_solver *gd_solver_at(int i)
{
    return table[i];
}

const char *gd_solver_name(const gd_solver *solver)
{
    return solver->name;
}

const char *gd_solver_about(const gd_solver *solver)
{
    return solver->about;
}

const char *gd_solver_steps(const gd_solver *solver)
{
    return solver->steps ? solver->steps : "250";
}

gd_status gd_solver_find(const gd_solver **out, const char *name)
{
    const char *names[COUNT(table)], *near;
    gd_status s;

    *out = NULL;
    for (int i = 0; i < COUNT(table); i++) {
        names[i] = table[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = table[i];
            return GD_OK;
        }
    }
    near = gd_nearest(name, names, COUNT(names));
    s = gd_fail(GD_EUSAGE, "sampler %s: unknown%s%s", name, near ? "; did you mean " : "",
                near ? near : "");
    gd_detail("hint: one of");
    for (int i = 0; i < COUNT(table); i++)
        gd_detail("  %-12s %s", table[i]->name, table[i]->about);
    return s;
}
