/* SPDX-License-Identifier: MIT */
/* body.c - the commands of the loops, and the folder they work in: tiny networks, a few images. */
#define _GNU_SOURCE
#include "fault.h"

#include "nn/nn.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NET                                                                                        \
    " --image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1"                        \
    " --attention_resolutions 8 --diffusion_steps 50 "
#define TRAIN                                                                                      \
    "train --data images" NET                                                                      \
    "--class_cond True --batch-size 2 --save-interval 1 --log-interval 1 "                         \
    "--keep 2 --seed 9 --workers 1 -t 1 -q --out run --iterations"
#define LAST "checkpoint-000000003.safetensors"

const fault_body fault_bodies[] = {
    { .name = "sample",
      .line = "sample --model m.safetensors --steps ddim2 --seed 5 -n 2 -t 1 -q -o out.npz",
      .output = { "out.npz" },
      .scratch = "out.npz",
      .kept = { "m.safetensors" } },
    { .name = "guided",
      .line =
          "sample --model m.safetensors --classifier c.safetensors --class 1 --steps 2 --seed 5 "
          "-n 2 -t 1 -q -o out",
      .output = { "out/00000.png", "out/00001.png", "out/run.json" },
      .scratch = "out",
      .kept = { "m.safetensors", "c.safetensors" } },
    { .name = "train",
      .line = TRAIN " 2",
      .output = { "run/checkpoint-000000001.safetensors", "run/checkpoint-000000002.safetensors" },
      .scratch = "run",
      .kept = { "images/a/00000.png" } },
    { .name = "resume",
      .line = "train --resume run --iterations 3 --workers 1 -t 1 -q",
      .output = { "run/" LAST },
      .scratch = "run",
      .begin_from = "begun",
      .kept = { "run/checkpoint-000000002.safetensors" } },
    { .name = "authors",
      .line = TRAIN " 1 --save-pt",
      .output = { "run/model000001.pt", "run/opt000001.pt", "run/ema_0.9999_000001.pt",
                  "run/checkpoint-000000001.safetensors" },
      .scratch = "run",
      .kept = { "images/a/00000.png" } },
    { .name = "eval",
      .line = "eval --ref a.npz --samples b.npz --features c.safetensors -t 1 --json",
      .kept = { "a.npz", "b.npz" } },
    { .name = "convert",
      .line = "convert m.safetensors out.safetensors --dtype bf16",
      .output = { "out.safetensors" },
      .scratch = "out.safetensors",
      .kept = { "m.safetensors" } },
    { .name = "packed",
      .line = "convert c.safetensors out.safetensors --packed",
      .output = { "out.safetensors" },
      .scratch = "out.safetensors",
      .kept = { "c.safetensors" } },
    { .name = "nll",
      .line = "nll --model m.safetensors --data a.npz -n 2 --steps 2 -t 1 -q -o out.csv",
      .scratch = "out.csv",
      .kept = { "a.npz" } },
    { .name = "upsample",
      .line = "upsample --model u.safetensors -i small.npz -n 1 --steps ddim2 --seed 5 -t 1 -q "
              "-o out.png",
      .output = { "out.png" },
      .scratch = "out.png",
      .kept = { "small.npz" } },
    { .name = "restore",
      .line =
          "restore --model m.safetensors --simulate images/a/00000.png -a box_down:2 --noise 0.1 "
          "--steps 2 --solver pigdm --seed 5 -n 2 -t 1 -q -o out",
      .output = { "out/00000.png", "out/std.npy", "out/metrics.csv", "out/run.json" },
      .scratch = "out",
      .kept = { "images/a/00000.png" } },
    { .name = "invert",
      .line =
          "invert --model m.safetensors --image images/a/00000.png --steps ddim2 --seed 5 -t 1 -q "
          "-o out",
      .output = { "out/latent.npy", "out/reconstruction.png", "out/error.png" },
      .scratch = "out",
      .kept = { "images/a/00000.png" } },
};
const int fault_body_count = COUNT(fault_bodies);

static char folder[64];

/* ---- files ---- */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info;
    (void)kind;
    (void)at;
    return remove(path);
}

void fault_remove(const char *path)
{
    if (gd_path_exists(path) && nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS) != 0)
        fail_msg("%s cannot be removed", path);
}

void fault_hash(char text[33], const char *path)
{
    gd_mapped map;
    gd_hasher *h;

    *text = '\0';
    if (!gd_path_exists(path))
        return;
    assert_int_equal(gd_map_file(&map, path), GD_OK);
    assert_int_equal(gd_hasher_make(&h), GD_OK);
    gd_hasher_add(h, map.data, map.bytes);
    gd_hasher_text(h, text);
    gd_hasher_free(h);
    gd_unmap(&map);
}

static void copy_file(const char *from, const char *to)
{
    gd_mapped map;

    assert_int_equal(gd_map_file(&map, from), GD_OK);
    FILE *out = fopen(to, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(map.data, 1, map.bytes, out), map.bytes);
    fclose(out);
    gd_unmap(&map);
}

void fault_copy(const char *from, const char *to)
{
    char source[GD_MAX_PATH], target[GD_MAX_PATH];
    const struct dirent *entry;
    DIR *dir = opendir(from);

    assert_non_null(dir);
    assert_int_equal(mkdir(to, 0777), 0);
    while ((entry = readdir(dir)))
        if (*entry->d_name != '.') {
            snprintf(source, sizeof source, "%.1000s/%.255s", from, entry->d_name);
            snprintf(target, sizeof target, "%.1000s/%.255s", to, entry->d_name);
            copy_file(source, target);
        }
    closedir(dir);
}

int fault_open_files(void)
{
    int n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* ---- running ---- */

guided_context *fault_context(void)
{
    static guided_context *context; /* for as long as the test runs */

    if (!context && guided_context_open(&context) != GUIDED_OK)
        _exit(1);
    return context;
}

gd_status fault_run(const char *line)
{
    static char text[1024];
    char *word[64], *save = NULL;
    guided_job *job;
    gd_status s;
    int n = 0;

    snprintf(text, sizeof text, "%s", line);
    for (char *at = strtok_r(text, " ", &save); at; at = strtok_r(NULL, " ", &save))
        word[n++] = at;
    GD_TRY(guided_job_open(&job, fault_context(), word[0]));
    s = guided_job_set_line(job, n - 1, word + 1);
    if (s == GD_OK)
        s = guided_job_run(job);
    guided_job_close(job);
    return s;
}

void fault_prepare(const fault_body *b)
{
    if (b->scratch)
        fault_remove(b->scratch);
    if (b->begin_from)
        fault_copy(b->begin_from, b->scratch);
}

/* ---- the folder ---- */

static void must(const char *line)
{
    if (fault_run(line) == GD_OK)
        return;
    fprintf(stderr, "%s: %s\n", line, gd_error());
    _exit(1);
}

static void make_images(void)
{
    must("sample --model m.safetensors --steps ddim2 --seed 1 -n 5 -t 1 -q -o a.npz");
    must("sample --model m.safetensors --steps ddim2 --seed 2 -n 5 -t 1 -q -o b.npz");
    must("sample --model s.safetensors --steps ddim2 --seed 2 -n 1 -t 1 -q -o small.npz");
    assert_int_equal(mkdir("images", 0777), 0);
    must("sample --model m.safetensors --steps ddim2 --seed 3 -n 2 -t 1 -q -o images/a");
    must("sample --model m.safetensors --steps ddim2 --seed 4 -n 2 -t 1 -q -o images/b");
    fault_remove("images/a/run.json");
    fault_remove("images/b/run.json");
}

static void fill_folder(void)
{
    must("init" NET "m.safetensors");
    must("init --image_size 4 --num_channels 32 --channel_mult 1 --num_res_blocks 1 "
         "--attention_resolutions 4 --diffusion_steps 50 s.safetensors");
    must("init --kind classifier --image_size 8 --classifier_width 32 --classifier_depth 1 "
         "--classifier_channel_mult 1 --classifier_attention_resolutions 8 "
         "--classifier_num_head_channels 16 c.safetensors");
    must("init --kind upsampler --large_size 8 --small_size 4 --num_channels 32 --channel_mult 1 "
         "--num_res_blocks 1 --attention_resolutions 8 --diffusion_steps 50 u.safetensors");
    make_images();
    must(TRAIN " 2");
    assert_int_equal(rename("run", "begun"), 0);
}

/* The files come from a process of their own: this one may still want to fork. */
int fault_make_folder(void **state)
{
    const char *place = getenv("TMPDIR");
    int status;
    pid_t pid;

    (void)state;
    snprintf(folder, sizeof folder, "%.40s/fault-XXXXXX", place ? place : "/tmp");
    if (!mkdtemp(folder) || chdir(folder) != 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        fill_folder();
        _exit(0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0 ? 0 : -1;
}

int fault_remove_folder(void **state)
{
    (void)state;
    if (chdir("/") != 0)
        return -1;
    fault_remove(folder);
    return 0;
}
