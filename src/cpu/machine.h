/* SPDX-License-Identifier: MIT */
/* machine.h - what one architecture knows of the machine it runs on: machine_x86.c,
 * machine_arm64.c, or machine_other.c, of which one is built. */
#ifndef GD_CPU_MACHINE_H
#define GD_CPU_MACHINE_H

#include "cpu/cpu.h"

/* The best ISA of this machine */
gd_isa machine_isa(void);

/* Multiply-adds in registers that do nothing but keep the machine busy (peak.c) */
enum { PEAK_CHAINS = 16 };
typedef struct machine_peak {
    float (*run)(int loops); /* the sum of its registers, so that the loop is not removed */
    double macs;             /* of one of PEAK_CHAINS chains in one loop */
} machine_peak;
/* The fastest that this ISA has for factors of this type; run is NULL where it has none */
machine_peak machine_peak_of(gd_isa isa, gd_dtype dtype);

#endif
