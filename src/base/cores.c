/* SPDX-License-Identifier: MIT */
/* cores.c - how many threads the machine offers: the CPUs that this process may run on, by the
 * physical core, and the quota of its control groups.
 *
 * Two threads on the two hardware threads of one core multiply no faster than one, so a core counts
 * once.  A quota (docker --cpus, systemd CPUQuota) stops all threads for the rest of a period once
 * they have used it up, so more threads than its nearest whole number only wait. */
#include "base/base.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_BYTES = 4096, PATH_BYTES = 2 * LINE_BYTES };

/* ---- small files of the system ---- */

/* The first line, without its end; false: there is none */
static bool read_line(const char *path, char line[LINE_BYTES])
{
    FILE *f = fopen(path, "re");
    bool ok;

    if (!f)
        return false;
    ok = fgets(line, LINE_BYTES, f) != NULL;
    fclose(f);
    if (ok)
        line[strcspn(line, "\n")] = '\0';
    return ok;
}

static bool read_number(const char *folder, const char *name, double *out)
{
    char path[PATH_BYTES + 32], line[LINE_BYTES], *end;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (!read_line(path, line))
        return false;
    *out = strtod(line, &end);
    return end > line;
}

/* ---- quota ---- */

/* CPUs that one group may use; 0: it has no quota */
static double quota_of(const char *folder, bool unified)
{
    char path[PATH_BYTES + 16], line[LINE_BYTES];
    double quota = 0, period = 0;

    if (!unified)
        return read_number(folder, "cpu.cfs_quota_us", &quota) &&
                       read_number(folder, "cpu.cfs_period_us", &period) && quota > 0 && period > 0
                   ? quota / period
                   : 0;
    snprintf(path, sizeof path, "%s/cpu.max", folder); /* "max 100000" or "150000 100000" */
    if (!read_line(path, line) || sscanf(line, "%lf %lf", &quota, &period) != 2)
        return 0;
    return quota > 0 && period > 0 ? quota / period : 0;
}

/* The least of a group and those above it.  In a container the path may be the host's, which is not
 * there: then only the top counts, which is the container's own group. */
static double least_quota(const char *mount, char *group, bool unified)
{
    char folder[PATH_BYTES];
    double least = 0;

    for (;;) {
        snprintf(folder, sizeof folder, "%s%s", mount, group);
        const double q = quota_of(folder, unified);
        least = q > 0 && (least == 0 || q < least) ? q : least;
        char *slash = strrchr(group, '/');
        if (!slash)
            return least;
        *slash = '\0';
    }
}

static bool lists(const char *words, const char *word)
{
    const size_t n = strlen(word);

    for (const char *p = words; (p = strstr(p, word)); p += n)
        if ((p == words || p[-1] == ',') && (p[n] == ',' || p[n] == '\0'))
            return true;
    return false;
}

/* Where the group files of version 2, or of version 1's controller "cpu", are mounted.  A line of
 * mountinfo: ID PARENT MAJOR:MINOR ROOT MOUNT OPTIONS ... - TYPE SOURCE OPTIONS */
static bool find_mount(const char *root, bool unified, char mount[PATH_BYTES])
{
    char path[PATH_BYTES], line[LINE_BYTES], at[LINE_BYTES], type[64], options[LINE_BYTES];
    bool found = false;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/mountinfo", root);
    f = fopen(path, "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(line, "%*s %*s %*s %*s %4095s", at) != 1 ||
            sscanf(rest, " - %63s %*s %4095s", type, options) != 2)
            continue;
        found = unified ? strcmp(type, "cgroup2") == 0
                        : strcmp(type, "cgroup") == 0 && lists(options, "cpu");
    }
    if (f)
        fclose(f);
    if (found)
        snprintf(mount, PATH_BYTES, "%s%s", root, at);
    return found;
}

/* A line of /proc/self/cgroup: NUMBER:CONTROLLERS:PATH, of version 2 "0::PATH" */
double gd_cpu_quota(const char *root)
{
    char path[PATH_BYTES], line[LINE_BYTES], mount[PATH_BYTES];
    double least = 0;
    FILE *f;

    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *group = controllers;
        if (controllers)
            group = strchr(++controllers, ':');
        if (!group)
            continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        const bool unified = *controllers == '\0';
        if (!(unified || lists(controllers, "cpu")) || !find_mount(root, unified, mount))
            continue;
        const double q = least_quota(mount, group, unified);
        least = q > 0 && (least == 0 || q < least) ? q : least;
    }
    if (f)
        fclose(f);
    return least;
}

/* ---- cores ---- */

/* CPUs of one core have the same text there: the first counts. */
static bool is_first_of_core(const char *root, const int *cpu, int i)
{
    char path[PATH_BYTES], mine[LINE_BYTES], other[LINE_BYTES];
    static const char *const form = "%s/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list";

    snprintf(path, sizeof path, form, root, cpu[i]);
    if (!read_line(path, mine))
        return true;
    for (int k = 0; k < i; k++) {
        snprintf(path, sizeof path, form, root, cpu[k]);
        if (read_line(path, other) && strcmp(mine, other) == 0)
            return false;
    }
    return true;
}

int gd_physical_cores(const char *root, const int *cpu, int n)
{
    int cores = 0;

    for (int i = 0; i < n; i++)
        cores += is_first_of_core(root, cpu, i);
    return cores;
}

int gd_threads_for(int cores, double quota)
{
    const int whole = (int)GD_MIN(quota + 0.5, 1e6);

    return GD_MAX(quota > 0 ? GD_MIN(cores, whole) : cores, 1);
}

static gd_machine machine;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void find_out(void)
{
    enum { MAX_CPUS = 4096 };
    static int cpu[MAX_CPUS];
    const char *wanted = getenv("OMP_NUM_THREADS"); /* "8" or, for nested regions, "8,2" */

    machine.cpus = gd_affinity(cpu, MAX_CPUS);
    machine.cores = gd_physical_cores("", cpu, machine.cpus);
    machine.quota = gd_cpu_quota("");
    machine.threads = gd_threads_for(machine.cores, machine.quota);
    machine.by_environment = wanted && atoi(wanted) > 0;
    if (machine.by_environment)
        machine.threads = atoi(wanted);
}

const gd_machine *gd_get_machine(void)
{
    pthread_once(&once, find_out);
    return &machine;
}
