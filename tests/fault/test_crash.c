/* SPDX-License-Identifier: MIT */
/* A training run that ends at each of its system calls, after each of 30 steps, or by kill -9 at
 * random moments, and goes on from what it finds: the bits of the run that nothing disturbed
 * (reliability classes 9, 10, 17).  FAULT_ALL=1 is the long form. */
#define _GNU_SOURCE
#include "fault.h"

#include "cli/cli.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define BEGIN                                                                                      \
    "train --data images --image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1"     \
    " --attention_resolutions 8 --diffusion_steps 50 --class_cond True --batch-size 2"             \
    " --save-interval 1 --log-interval 1 --keep 2 --seed 9 --workers 1 -t 1 -q --out run"          \
    " --iterations "
#define RESUME "train --resume run --workers 1 -t 1 -q"

/* ---- what a child does, and says in memory that is shared ---- */

enum { STARTING, IN_STEP, IN_SAVE, IN_RENAME, PHASES };
typedef struct shared {
    volatile int phase;
    volatile int rows; /* of progress.csv that this process appended: steps made */
} shared;

typedef struct plan {
    const fault *fault; /* or NULL */
    int64_t k;
    int signal_after, signal; /* this many steps; 0: never */
    bool slow_renames;        /* so that a random moment can fall into one */
} plan;

static shared *now;
static plan todo;
static gd_os_table below;

static int watch_open(const char *path, int flags, mode_t mode)
{
    const int fd = below.open(path, flags, mode);

    if (strstr(path, ".safetensors.part-"))
        now->phase = IN_SAVE;
    return fd;
}

static void pause_within(void)
{
    if (todo.slow_renames)
        nanosleep(&(struct timespec){ 0, 2000000 }, NULL);
}

static int watch_rename(const char *from, const char *to)
{
    int done;

    now->phase = IN_RENAME;
    pause_within();
    done = below.rename(from, to);
    pause_within();
    now->phase = IN_STEP;
    return done;
}

/* The row of a step comes after its update and before its checkpoint. */
static ssize_t watch_write(int fd, const void *buffer, size_t bytes)
{
    const ssize_t n = below.write(fd, buffer, bytes);
    const bool row = fcntl(fd, F_GETFL) & O_APPEND && bytes > 0 && *(const char *)buffer >= '-' &&
                     *(const char *)buffer <= '9' && memchr(buffer, ',', bytes);

    if (row && ++now->rows == todo.signal_after)
        raise(todo.signal);
    if (row && now->phase == STARTING)
        now->phase = IN_STEP;
    return n;
}

static void watch(void)
{
    below = gd_os;
    gd_os.open = watch_open;
    gd_os.rename = watch_rename;
    gd_os.write = watch_write;
    if (todo.fault)
        fault_arm(todo.fault, todo.k, false);
}

static bool exists(const char *pattern)
{
    glob_t found;
    const bool any = glob(pattern, 0, NULL, &found) == 0;

    globfree(&found);
    return any;
}

static gd_status train(int iterations)
{
    char line[600];

    if (exists("run/checkpoint-*.safetensors"))
        return fault_run(RESUME);
    fault_remove("run");
    snprintf(line, sizeof line, BEGIN "%d", iterations);
    return fault_run(line);
}

static pid_t start(int iterations, plan p)
{
    pid_t pid;

    todo = p;
    *now = (shared){ STARTING, 0 };
    pid = fork();
    if (pid != 0)
        return pid;
    const int nowhere = open("/dev/null", O_WRONLY);
    dup2(nowhere, 1);
    dup2(nowhere, 2);
    cli_catch_signals(fault_context());
    watch();
    const gd_status s = train(iterations);
    _exit(s == GD_EINTERRUPTED ? 128 + cli_stopped_by() : gd_exit_status(s));
}

/* Exit status, or minus the signal */
static int end_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void hash_of_run(char text[33], int iterations)
{
    char path[64];

    snprintf(path, sizeof path, "run/checkpoint-%09d.safetensors", iterations);
    fault_hash(text, path);
}

static void undisturbed(char expected[33], int iterations)
{
    fault_remove("run");
    assert_int_equal(end_of(start(iterations, (plan){ 0 })), 0);
    hash_of_run(expected, iterations);
    assert_string_not_equal(expected, "");
    fault_remove("run");
}

static void finish_and_compare(const char expected[33], int iterations, const char *how, int64_t k)
{
    char found[33];

    if (end_of(start(iterations, (plan){ 0 })) != 0)
        fail_msg("%s %lld: the run does not go on", how, (long long)k);
    hash_of_run(found, iterations);
    if (strcmp(found, expected) != 0)
        fail_msg("%s %lld: other parameters", how, (long long)k);
    if (exists("run/*.part-*"))
        fail_msg("%s %lld: a part file is left", how, (long long)k);
}

/* ---- the tests ---- */

static void every_call_may_be_the_last(void **state)
{
    enum { STEPS = 4 };
    static const fault end = { "end", FAULT_EXIT };
    const int every = getenv("FAULT_ALL") ? 1 : 4;
    int status = FAULT_EXIT_STATUS, ends = 0;
    char expected[33];
    int64_t k = 1;

    (void)state;
    undisturbed(expected, STEPS);
    for (; status == FAULT_EXIT_STATUS; k += every) {
        fault_remove("run");
        status = end_of(start(STEPS, (plan){ .fault = &end, .k = k }));
        if (status != FAULT_EXIT_STATUS && status != 0)
            fail_msg("call %lld: exit status %d", (long long)k, status);
        ends += status == FAULT_EXIT_STATUS;
        finish_and_compare(expected, STEPS, "call", k);
    }
    print_message("ended at %d places among %lld calls\n", ends, (long long)k);
    assert_true(ends > 10);
}

/* One run of many processes: each makes one step that lasts, and is stopped. kill -9 comes after
 * the update of the step behind it, which is lost and made again. */
static void stopped_after_each_step(int signal)
{
    enum { STEPS = 30 };
    char expected[33];
    int stops = 0;

    undisturbed(expected, STEPS);
    for (int status = 1; status != 0; stops++) {
        const plan p = { .signal = signal, .signal_after = signal == SIGKILL ? 2 : 1 };
        status = end_of(start(STEPS, p));
        if (status != 0 && status != (signal == SIGKILL ? -SIGKILL : 128 + signal))
            fail_msg("stop %d: exit status %d", stops, status);
        assert_true(stops <= STEPS + 1);
    }
    assert_true(stops >= STEPS - 1);
    finish_and_compare(expected, STEPS, "stops", stops);
    print_message("signal %d: %d stops\n", signal, stops);
}

static void sigterm_after_each_step(void **state)
{
    (void)state;
    stopped_after_each_step(SIGTERM);
}

static void kill_after_each_step(void **state)
{
    (void)state;
    stopped_after_each_step(SIGKILL);
}

/* A moment up to 60 ms after the first step */
static bool kill_somewhen(pid_t pid, uint32_t draw)
{
    int status;

    while (now->phase == STARTING) {
        if (waitpid(pid, &status, WNOHANG) == pid)
            return false;
        nanosleep(&(struct timespec){ 0, 200000 }, NULL);
    }
    nanosleep(&(struct timespec){ 0, 1000L * gd_noise_below(60000, 11, draw, 0) }, NULL);
    return kill(pid, SIGKILL) == 0 && end_of(pid) == -SIGKILL;
}

static void kills_at_random_moments(void **state)
{
    enum { STEPS = 30, MOST_RUNS = 40 };
    const int wanted = getenv("FAULT_ALL") ? 200 : 24;
    int landed[PHASES] = { 0 }, kills = 0, runs = 0;
    char expected[33];
    uint32_t draw = 0;

    (void)state;
    undisturbed(expected, STEPS);
    for (; runs < MOST_RUNS * (wanted > 100 ? 4 : 1); runs++) {
        if (kills >= wanted && landed[IN_STEP] && landed[IN_SAVE] && landed[IN_RENAME])
            break;
        fault_remove("run");
        for (bool killed = true; killed; kills += killed) {
            killed = kill_somewhen(start(STEPS, (plan){ .slow_renames = true }), ++draw);
            landed[now->phase] += killed;
        }
        finish_and_compare(expected, STEPS, "run", runs);
    }
    print_message("%d kills in %d runs: %d in a step, %d in a save, %d in a rename\n", kills, runs,
                  landed[IN_STEP], landed[IN_SAVE], landed[IN_RENAME]);
    assert_true(kills >= wanted);
    assert_true(landed[IN_STEP] > 0 && landed[IN_SAVE] > 0 && landed[IN_RENAME] > 0);
}

static int prepare(void **state)
{
    now = mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return now == MAP_FAILED ? -1 : fault_make_folder(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_call_may_be_the_last),
        cmocka_unit_test(sigterm_after_each_step),
        cmocka_unit_test(kill_after_each_step),
        cmocka_unit_test(kills_at_random_moments),
    };
    return cmocka_run_group_tests(tests, prepare, fault_remove_folder);
}
