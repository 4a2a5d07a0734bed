/* SPDX-License-Identifier: MIT */
/* How many threads the machine offers: quotas of both versions of control groups, cores with
 * several hardware threads, affinity. */
#define _GNU_SOURCE
#include "base/base.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* ---- a system of files below a folder of its own ---- */

static char root[64];

static int make_root(void **state)
{
    (void)state;
    strcpy(root, "/tmp/guided-cores-XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int remove_root(void **state)
{
    char command[128];

    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command);
}

static void put(const char *name, const char *text)
{
    char path[512];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", root, name);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        mkdir(path, 0777);
    }
    f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static const char v2_mount[] =
    "21 1 254:0 / / rw - ext4 /dev/root rw\n"
    "30 21 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
static const char v1_mounts[] =
    "30 21 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
    "31 21 0:27 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n";

static void no_quota(void **state)
{
    (void)state;
    assert_float_equal(gd_cpu_quota(root), 0, 0);
    put("proc/self/mountinfo", v2_mount);
    assert_float_equal(gd_cpu_quota(root), 0, 0);
    put("proc/self/cgroup", "0::/user.slice/session.scope\n");
    assert_float_equal(gd_cpu_quota(root), 0, 0);
    put("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
    assert_float_equal(gd_cpu_quota(root), 0, 0);
}

/* The least of the process's group and all above it */
static void quota_of_version_2(void **state)
{
    (void)state;
    put("proc/self/mountinfo", v2_mount);
    put("proc/self/cgroup", "0::/user.slice/session.scope\n");
    put("sys/fs/cgroup/user.slice/session.scope/cpu.max", "400000 100000\n");
    assert_float_equal(gd_cpu_quota(root), 4, 0);
    put("sys/fs/cgroup/user.slice/cpu.max", "150000 100000\n");
    assert_float_equal(gd_cpu_quota(root), 1.5, 0);
    put("sys/fs/cgroup/user.slice/session.scope/cpu.max", "20000 40000\n");
    assert_float_equal(gd_cpu_quota(root), 0.5, 0);
}

/* In a container the path may be the host's: the container's group is at the top. */
static void quota_of_a_container(void **state)
{
    (void)state;
    put("proc/self/mountinfo", v2_mount);
    put("proc/self/cgroup", "0::/docker/0123456789abcdef\n");
    put("sys/fs/cgroup/cpu.max", "250000 100000\n");
    assert_float_equal(gd_cpu_quota(root), 2.5, 0);
}

static void quota_of_version_1(void **state)
{
    const char *group = "sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us";

    (void)state;
    put("proc/self/mountinfo", v1_mounts);
    put("proc/self/cgroup", "9:cpuset:/other\n2:cpu,cpuacct:/docker\n1:name=systemd:/init\n0::/\n");
    put("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n");
    put(group, "-1\n");
    assert_float_equal(gd_cpu_quota(root), 0, 0);
    put(group, "320000\n");
    assert_float_equal(gd_cpu_quota(root), 3.2, 1e-12);
    put(group, "nonsense\n");
    assert_float_equal(gd_cpu_quota(root), 0, 0);
}

static void damaged_files_are_no_quota(void **state)
{
    static const char *const lines[] = { "",           "\n",          "100000",
                                         "0 0\n",      "-5 100000\n", "x y\n",
                                         "100000 0\n", "100000 -1\n" };

    (void)state;
    put("proc/self/mountinfo", v2_mount);
    put("proc/self/cgroup", "0::/\nnonsense\n:\n::\n");
    for (int i = 0; i < COUNT(lines); i++) {
        put("sys/fs/cgroup/cpu.max", lines[i]);
        assert_float_equal(gd_cpu_quota(root), 0, 0);
    }
}

static void siblings_are_one_core(void **state)
{
    const int cpu[] = { 0, 1, 4, 5 };

    (void)state;
    assert_int_equal(gd_physical_cores(root, cpu, 4), 4); /* the system does not tell */
    put("sys/devices/system/cpu/cpu0/topology/thread_siblings_list", "0,4\n");
    put("sys/devices/system/cpu/cpu4/topology/thread_siblings_list", "0,4\n");
    put("sys/devices/system/cpu/cpu1/topology/thread_siblings_list", "1,5\n");
    put("sys/devices/system/cpu/cpu5/topology/thread_siblings_list", "1,5\n");
    assert_int_equal(gd_physical_cores(root, cpu, 4), 2);
    assert_int_equal(gd_physical_cores(root, cpu + 2, 2), 2); /* 4 and 5: one of each core */
    assert_int_equal(gd_physical_cores(root, cpu, 1), 1);
}

static void threads_follow_cores_and_quota(void **state)
{
    (void)state;
    assert_int_equal(gd_threads_for(8, 0), 8);
    assert_int_equal(gd_threads_for(8, 64), 8);
    assert_int_equal(gd_threads_for(8, 3.2), 3);
    assert_int_equal(gd_threads_for(8, 1.5), 2);
    assert_int_equal(gd_threads_for(8, 0.1), 1);
    assert_int_equal(gd_threads_for(1, 1.5), 1);
}

/* ---- this process ---- */

static int threads_of_child(bool one_cpu, const char *variable)
{
    int status = 0;
    const pid_t pid = fork();

    if (pid == 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(sched_getcpu(), &set);
        if (one_cpu && sched_setaffinity(0, sizeof set, &set) != 0)
            _exit(0);
        unsetenv("OMP_NUM_THREADS");
        if (variable)
            setenv("OMP_NUM_THREADS", variable, 1);
        _exit(gd_threads());
    }
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void the_default_follows_affinity_and_environment(void **state)
{
    (void)state;
    assert_int_equal(threads_of_child(true, NULL), 1);
    assert_int_equal(threads_of_child(false, "3"), 3);
    assert_int_equal(threads_of_child(true, "5,2"), 5);
    assert_int_equal(threads_of_child(true, "many"), 1);
    assert_true(threads_of_child(false, NULL) >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(quota_of_version_2, make_root, remove_root),
        cmocka_unit_test_setup_teardown(quota_of_a_container, make_root, remove_root),
        cmocka_unit_test_setup_teardown(quota_of_version_1, make_root, remove_root),
        cmocka_unit_test_setup_teardown(damaged_files_are_no_quota, make_root, remove_root),
        cmocka_unit_test_setup_teardown(siblings_are_one_core, make_root, remove_root),
        cmocka_unit_test(threads_follow_cores_and_quota),
        cmocka_unit_test(the_default_follows_affinity_and_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
