/* SPDX-License-Identifier: MIT */
/* machine_other.c - an architecture that has plain C alone. */
#include "cpu/machine.h"

gd_isa machine_isa(void)
{
    return GD_ISA_C;
}

machine_peak machine_peak_of(gd_isa isa, gd_dtype dtype)
{
    (void)isa;
    (void)dtype;
    return (machine_peak){ 0 };
}
