/* SPDX-License-Identifier: MIT */
/* Loss of power: what was written and not synced is dropped, torn at 512 bytes, or comes in another
 * order; names that were not synced are lost.  The next run goes on from what is left to the bits
 * of an undisturbed run, and what was reported as durable is there (reliability class 11).
 * FAULT_ALL=1: 1,000 losses for each command. */
#define _GNU_SOURCE
#include "fault.h"

#include "nn/nn.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NET                                                                                        \
    " --image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 "                       \
    "--attention_resolutions 8 --diffusion_steps 50 "

/* ---- the journal: what a process asked of the system, in memory that outlives it ---- */

enum { OPEN, WRITE, SYNC, NAME, UNNAME, MAKE_FOLDER, MAX_EVENTS = 20000 };
static const size_t data_room = (size_t)1 << 28;

typedef struct event {
    int kind, fd;
    bool directory, create;
    size_t at, bytes,
        data; /* of a write: where in the file, how much, where in the journal's data */
    char path[96], from[96]; /* from: the name that a NAME takes the file from, or that it stays
                                under (link) */
    bool stays;
} event;

typedef struct journal {
    event event[MAX_EVENTS];
    int n;
    int64_t calls, last_call; /* the process ends at this call; 0: never */
    size_t data_bytes;
} journal;

static journal *log_of;
static char *log_data;
static gd_os_table below;

static event *add(int kind)
{
    log_of->calls++;
    if (log_of->last_call > 0 && log_of->calls >= log_of->last_call)
        _exit(FAULT_EXIT_STATUS);
    assert_true(log_of->n < MAX_EVENTS);
    event *e = &log_of->event[log_of->n];
    *e = (event){ .kind = kind };
    return e;
}

static void done(void)
{
    log_of->n++;
}

static bool is_watched(const char *path)
{
    return strncmp(path, "run/", 4) == 0 || strcmp(path, "run") == 0 || strcmp(path, ".") == 0;
}

static int journal_open(const char *path, int flags, mode_t mode)
{
    event *e = add(OPEN);
    const int fd = below.open(path, flags, mode);

    if (fd < 0 || !is_watched(path))
        return fd;
    e->fd = fd;
    e->directory = (flags & O_DIRECTORY) != 0;
    e->create = (flags & O_CREAT) != 0;
    snprintf(e->path, sizeof e->path, "%s", path);
    done();
    return fd;
}

static void note_write(event *e, int fd, const void *data, ssize_t n, off_t at)
{
    if (n <= 0)
        return;
    assert_true(log_of->data_bytes + (size_t)n <= data_room);
    e->fd = fd;
    e->at = (size_t)at;
    e->bytes = (size_t)n;
    e->data = log_of->data_bytes;
    memcpy(log_data + e->data, data, (size_t)n);
    log_of->data_bytes += (size_t)n;
    done();
}

static ssize_t journal_write(int fd, const void *data, size_t bytes)
{
    event *e = add(WRITE);
    const off_t at =
        fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_END) : lseek(fd, 0, SEEK_CUR);
    const ssize_t n = below.write(fd, data, bytes);

    note_write(e, fd, data, n, at);
    return n;
}

static ssize_t journal_pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    event *e = add(WRITE);
    const ssize_t n = below.pwrite(fd, data, bytes, at);

    note_write(e, fd, data, n, at);
    return n;
}

static int journal_fsync(int fd)
{
    event *e = add(SYNC);
    const int status = below.fsync(fd);

    e->fd = fd;
    done();
    return status;
}

static int note_name(event *e, int status, const char *from, const char *to, bool stays)
{
    if (status != 0 || !is_watched(to))
        return status;
    snprintf(e->path, sizeof e->path, "%s", to);
    snprintf(e->from, sizeof e->from, "%s", from);
    e->stays = stays;
    done();
    return status;
}

static int journal_rename(const char *from, const char *to)
{
    event *e = add(NAME);
    return note_name(e, below.rename(from, to), from, to, false);
}

static int journal_link(const char *from, const char *to)
{
    event *e = add(NAME);
    return note_name(e, below.link(from, to), from, to, true);
}

static int journal_unlink(const char *path)
{
    event *e = add(UNNAME);
    return note_name(e, below.unlink(path), "", path, false);
}

static int journal_mkdir(const char *path, mode_t mode)
{
    event *e = add(MAKE_FOLDER);
    return note_name(e, below.mkdir(path, mode), "", path, false);
}

static void keep_journal(void)
{
    below = gd_os;
    gd_os.open = journal_open;
    gd_os.write = journal_write;
    gd_os.pwrite = journal_pwrite;
    gd_os.fsync = journal_fsync;
    gd_os.rename = journal_rename;
    gd_os.link = journal_link;
    gd_os.unlink = journal_unlink;
    gd_os.mkdir = journal_mkdir;
}

/* ---- a disk: files, and names of them; what is durable, and what waits ---- */

enum { MAX_FILES = 400, MAX_NAMES = 200, MAX_WAITING = 4000, MAX_FDS = 1024 };

typedef struct file {
    char *data;
    size_t bytes;
    int waiting[MAX_WAITING]; /* writes, by event */
    int n_waiting;
} file;

typedef struct name {
    char path[96];
    int file; /* -1: none */
} name;

typedef struct names {
    name of[MAX_NAMES];
    int n;
} names;

static file *files;
static int n_files, fd_file[MAX_FDS];
static bool fd_folder[MAX_FDS];
static names live, durable;
static int waiting_name[MAX_WAITING], n_waiting_names; /* events that are not in `durable` yet */
static int named_file[MAX_EVENTS];
static uint64_t random_state;

static uint32_t draw(uint32_t below_this)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33) % below_this;
}

static int *lookup(names *in, const char *path)
{
    for (int i = 0; i < in->n; i++)
        if (strcmp(in->of[i].path, path) == 0)
            return &in->of[i].file;
    assert_true(in->n < MAX_NAMES);
    snprintf(in->of[in->n].path, sizeof in->of[0].path, "%s", path);
    in->of[in->n].file = -1;
    return &in->of[in->n++].file;
}

static void put(file *f, const event *e, size_t bytes)
{
    if (e->at + bytes > f->bytes) {
        f->data = realloc(f->data, e->at + bytes);
        assert_non_null(f->data);
        memset(f->data + f->bytes, 0, e->at + bytes - f->bytes);
        f->bytes = e->at + bytes;
    }
    memcpy(f->data + e->at, log_data + e->data, bytes);
}

static void apply_name(names *in, int i)
{
    const event *e = &log_of->event[i];

    *lookup(in, e->path) = named_file[i];
    if (e->kind == NAME && !e->stays)
        *lookup(in, e->from) = -1;
}

static void name_event(int i, int to)
{
    named_file[i] = to;
    apply_name(&live, i);
    assert_true(n_waiting_names < MAX_WAITING);
    waiting_name[n_waiting_names++] = i;
}

static void sync_folder(void)
{
    for (int i = 0; i < n_waiting_names; i++)
        apply_name(&durable, waiting_name[i]);
    n_waiting_names = 0;
}

static void sync_file(file *f)
{
    for (int i = 0; i < f->n_waiting; i++)
        put(f, &log_of->event[f->waiting[i]], log_of->event[f->waiting[i]].bytes);
    f->n_waiting = 0;
}

static void replay_open(int i, const event *e)
{
    int *there = lookup(&live, e->path);

    assert_true(e->fd < MAX_FDS);
    fd_folder[e->fd] = e->directory;
    fd_file[e->fd] = -1;
    if (e->directory)
        return;
    if (*there < 0 && e->create) {
        assert_true(n_files < MAX_FILES);
        name_event(i, n_files++);
        there = lookup(&live, e->path);
    }
    fd_file[e->fd] = *there;
}

static void replay_sync(const event *e, int i)
{
    const event *opened = NULL;

    if (fd_file[e->fd] >= 0) {
        sync_file(&files[fd_file[e->fd]]);
        return;
    }
    for (int k = i - 1; k >= 0 && !opened; k--)
        if (log_of->event[k].kind == OPEN && log_of->event[k].fd == e->fd)
            opened = &log_of->event[k];
    if (opened && strcmp(opened->path, "run") == 0)
        sync_folder();
}

static void replay(void)
{
    for (int i = 0; i < log_of->n; i++) {
        const event *e = &log_of->event[i];
        if (e->kind == OPEN)
            replay_open(i, e);
        else if (e->kind == WRITE && fd_file[e->fd] >= 0) {
            file *f = &files[fd_file[e->fd]];
            if (f->n_waiting == MAX_WAITING)
                sync_file(f);
            f->waiting[f->n_waiting++] = i;
        } else if (e->kind == SYNC)
            replay_sync(e, i);
        else if (e->kind == NAME)
            name_event(i, *lookup(&live, e->from));
        else if (e->kind == UNNAME)
            name_event(i, -1);
    }
}

/* ---- the loss ---- */

/* Of what waits each write is dropped, torn, or whole, in any order */
static void lose_writes(file *f)
{
    for (int i = f->n_waiting - 1; i > 0; i--) {
        const int k = (int)draw((uint32_t)i + 1), event_i = f->waiting[i];
        f->waiting[i] = f->waiting[k];
        f->waiting[k] = event_i;
    }
    for (int i = 0; i < f->n_waiting; i++) {
        const event *e = &log_of->event[f->waiting[i]];
        const uint32_t how = draw(3);
        if (how == 1)
            put(f, e, e->bytes);
        else if (how == 2)
            put(f, e, GD_MIN(e->bytes, (size_t)512 * draw((uint32_t)(e->bytes / 512) + 1)));
    }
    f->n_waiting = 0;
}

/* Half the time the names that come first stay, as with a journal of names; else any of them */
static void lose_names(void)
{
    const bool in_order = draw(2) == 0;
    const int first = (int)draw((uint32_t)n_waiting_names + 1);

    for (int i = 0; i < n_waiting_names; i++)
        if (in_order ? i < first : draw(2) == 0)
            apply_name(&durable, waiting_name[i]);
    n_waiting_names = 0;
}

static void write_disk(void)
{
    fault_remove("run");
    assert_int_equal(mkdir("run", 0777), 0);
    for (int i = 0; i < durable.n; i++) {
        const int k = durable.of[i].file;
        if (k < 0)
            continue;
        FILE *out = fopen(durable.of[i].path, "wb");
        assert_non_null(out);
        assert_int_equal(fwrite(files[k].data, 1, files[k].bytes, out), files[k].bytes);
        assert_int_equal(fclose(out), 0);
    }
}

static void lose_power(uint64_t seed)
{
    random_state = seed;
    draw(2);
    files = calloc(MAX_FILES, sizeof *files);
    assert_non_null(files);
    n_files = n_waiting_names = live.n = durable.n = 0;
    for (int i = 0; i < MAX_FDS; i++)
        fd_file[i] = -1;
    replay();
    for (int i = 0; i < n_files; i++)
        lose_writes(&files[i]);
    lose_names();
    write_disk();
    for (int i = 0; i < n_files; i++)
        free(files[i].data);
    free(files);
}

/* ---- commands ---- */

typedef struct command {
    const char *name, *line,
        *again;        /* again: where the folder holds something already; NULL: line */
    const char *needs; /* a file without which it begins anew */
    const char *result[2];
} command;

static const command commands[] = {
    { "train",
      "train --data images" NET
      "--class_cond True --batch-size 2 --save-interval 1 --log-interval 1 --keep 2 --seed 9"
      " --workers 1 -t 1 -q --out run --iterations 4",
      "train --resume run --workers 1 -t 1 -q",
      "checkpoint",
      { "run/checkpoint-000000004.safetensors", "run/checkpoint-000000003.safetensors" } },
    { "sample",
      "sample --model m.safetensors --steps ddim2 --seed 5 -n 6 -t 1 -q --resume -o run",
      NULL,
      NULL,
      { "run/samples_6x8x8x3.npz" } },
    { "nll",
      "nll --model m.safetensors --data a.npz -n 4 --steps 2 -t 1 -q -o run/n.csv --terms run "
      "--resume",
      NULL,
      NULL,
      { "run/n.csv", "run/vb_terms.npz" } },
};

static bool holds(const char *part)
{
    DIR *dir = opendir("run");
    const struct dirent *entry;
    bool found = false;

    while (dir && !found && (entry = readdir(dir)))
        found = strncmp(entry->d_name, part, strlen(part)) == 0 && !strstr(entry->d_name, ".part-");
    if (dir)
        closedir(dir);
    return found;
}

/* last_call < 0: without a journal.  The exit status */
static int run(const command *c, int64_t last_call)
{
    const char *line = c->again && holds(c->needs) ? c->again : c->line;
    int status;
    pid_t pid;

    if (line == c->line && c->again)
        fault_remove("run");
    *log_of = (journal){ .last_call = GD_MAX(last_call, 0) };
    pid = fork();
    if (pid == 0) {
        const int nowhere = open("/dev/null", O_WRONLY);
        dup2(nowhere, 1);
        dup2(nowhere, 2);
        if (last_call >= 0)
            keep_journal();
        if (strcmp(c->name, "nll") == 0 && !gd_path_exists("run") && mkdir("run", 0777) != 0)
            _exit(1);
        _exit(gd_exit_status(fault_run(line)));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Steps whose checkpoint was reported: its folder was synced after it had its name */
static int64_t reported_step(void)
{
    int64_t named = -1, reported = -1;

    for (int i = 0; i < log_of->n; i++) {
        const event *e = &log_of->event[i];
        long long step;
        if (e->kind == NAME && sscanf(e->path, "run/checkpoint-%lld", &step) == 1)
            named = step;
        if (e->kind == SYNC && i > 0 && log_of->event[i - 1].kind == OPEN &&
            log_of->event[i - 1].directory)
            reported = named;
    }
    return reported;
}

static int64_t newest_step(void)
{
    char path[GD_MAX_PATH];
    const char *at;

    if (!holds("checkpoint") || gd_run_newest(path, "run") != GD_OK)
        return -1;
    at = strstr(path, "checkpoint-");
    return at ? atoll(at + strlen("checkpoint-")) : -1;
}

static void one_loss(const command *c, char expected[2][33], uint64_t seed, int64_t call)
{
    char found[33];
    int status;

    fault_remove("run");
    status = run(c, call);
    if (status != FAULT_EXIT_STATUS && status != 0)
        fail_msg("%s: seed %llu, call %lld: exit status %d", c->name, (unsigned long long)seed,
                 (long long)call, status);
    const int64_t reported = reported_step();
    lose_power(seed);
    if (c->again && newest_step() < reported)
        fail_msg("%s: seed %llu, call %lld: step %lld was saved and is lost", c->name,
                 (unsigned long long)seed, (long long)call, (long long)reported);
    status = run(c, -1);
    if (status != 0)
        fail_msg("%s: seed %llu, call %lld: the next run fails with %d", c->name,
                 (unsigned long long)seed, (long long)call, status);
    for (int i = 0; i < 2 && c->result[i]; i++) {
        fault_hash(found, c->result[i]);
        if (strcmp(found, expected[i]) != 0)
            fail_msg("%s: seed %llu, call %lld: another %s", c->name, (unsigned long long)seed,
                     (long long)call, c->result[i]);
    }
}

static void losses_of(const command *c, int losses)
{
    char expected[2][33];
    const char *only = getenv("POWER_SEED");
    int64_t calls;

    fault_remove("run");
    assert_int_equal(run(c, 0), 0);
    calls = log_of->calls;
    for (int i = 0; i < 2 && c->result[i]; i++) {
        fault_hash(expected[i], c->result[i]);
        assert_string_not_equal(expected[i], "");
    }
    for (int i = 0; i < losses; i++) {
        const uint64_t seed = only ? (uint64_t)atoll(only) : (uint64_t)i + 1;
        random_state = seed * 77;
        draw(2);
        one_loss(c, expected, seed, 1 + (int64_t)draw((uint32_t)calls + 1));
        if (only)
            break;
    }
    print_message("%s: %d losses at %lld calls\n", c->name, losses, (long long)calls);
}

static void power_is_lost(void **state)
{
    const int losses = getenv("FAULT_ALL") ? 1000 : 25;

    (void)state;
    for (int i = 0; i < COUNT(commands); i++)
        losses_of(&commands[i], losses);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(power_is_lost) };

    log_of = mmap(NULL, sizeof *log_of, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    log_data = mmap(NULL, data_room, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (log_of == MAP_FAILED || log_data == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, fault_make_folder, fault_remove_folder);
}
