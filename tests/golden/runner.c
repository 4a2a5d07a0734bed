/* runner.c - golden-runner DIR: every case below DIR, a line each; fails if any fails or none ran.
 */
#include "golden.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *kind;
    golden_fn run; /* NULL: not yet */
} kinds[] = {
    { "schedule", golden_schedule },
    { "spaced_schedule", golden_spaced_schedule },
    { "space_timesteps", golden_space_timesteps },
    { "scale_timesteps", golden_scale_timesteps },
    { "forward_process", golden_forward_process },
    { "reverse_process", golden_reverse_process },
    { "unet", golden_network },
    { "superres", golden_network },
    { "classifier", golden_classifier },
    { "fullsize", golden_fullsize },
    { "trajectory", golden_trajectory },
    { "timestep_embedding", golden_timestep_embedding },
    { "layer", NULL },
    { "checkpoint", golden_checkpoint },
    { "checkpoint_bad", golden_checkpoint_bad },
    { "silu", NULL },
    { "resblock_dropout", NULL },
    { "interpolate", NULL },
    { "npz", NULL },
    { "base_samples", NULL },
    { "training_losses_mock", NULL },
    { "training_losses_unet", NULL },
    { "train_loop", NULL },
    { "classifier_train", NULL },
    { "schedule_samplers", NULL },
    { "likelihood_functions", NULL },
    { "calc_bpd_loop", NULL },
    { "inception", NULL },
    { "metrics", NULL },
    { "image_crops", NULL },
    { "pil_resize", NULL },
    { "dataset_listing", NULL },
    { "dataset_items", NULL },
};

static struct {
    int passed, failed, not_yet;
} total;

static bool open_case(golden *g, const char *folder)
{
    char path[4200];
    json_error_t error;

    *g = (golden){ .folder = folder };
    snprintf(path, sizeof path, "%s/case.json", folder);
    g->json = json_load_file(path, 0, &error);
    if (!g->json || gd_arena_make(&g->mem) != GD_OK)
        return false;
    g->kind = json_string_value(json_object_get(g->json, "kind"));
    g->config = json_object_get(g->json, "config");
    g->tolerance = json_object_get(json_object_get(g->json, "tolerance"), "per_tensor");
    snprintf(path, sizeof path, "%s/tensors.safetensors", folder);
    if (gd_path_exists(path) && gd_bundle_open(&g->tensors, path) != GD_OK)
        golden_fail(g, "%s", gd_error());
    return g->kind != NULL;
}

static void close_case(golden *g)
{
    gd_bundle_close(g->tensors);
    json_decref(g->json);
    gd_arena_free(g->mem);
}

static void run_case(const char *folder)
{
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    int k = 0;
    golden g;

    if (!open_case(&g, folder)) {
        printf("%-40s FAIL  case.json cannot be read\n", name);
        total.failed++;
        return;
    }
    while (k < COUNT(kinds) && strcmp(kinds[k].kind, g.kind) != 0)
        k++;
    if (k < COUNT(kinds) && !kinds[k].run) {
        printf("%-40s %-20s not yet\n", name, g.kind);
        total.not_yet++;
    } else {
        if (k == COUNT(kinds))
            golden_fail(&g, "kind %s is not known", g.kind);
        else if (!g.failed)
            kinds[k].run(&g);
        if (!(g.worst <= 1))
            g.failed = true;
        printf("%-40s %-20s %-5s worst %.3g of what is allowed, relative %.2g%s%s\n", name, g.kind,
               g.failed ? "FAIL" : "pass", g.worst, g.worst_relative, *g.detail ? "; " : "",
               g.failed ? g.detail : "");
        g.failed ? total.failed++ : total.passed++;
    }
    fflush(stdout);
    close_case(&g);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void walk(const char *folder)
{
    enum { MAX = 4096 };
    char path[4096], *names[MAX];
    struct dirent *entry;
    DIR *dir;
    int n = 0;

    snprintf(path, sizeof path, "%s/case.json", folder);
    if (gd_path_exists(path)) {
        run_case(folder);
        return;
    }
    dir = opendir(folder);
    while (dir && n < MAX && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && entry->d_type == DT_DIR)
            names[n++] = strdup(entry->d_name);
    if (dir)
        closedir(dir);
    qsort(names, (size_t)n, sizeof *names, by_name);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        walk(path);
        free(names[i]);
    }
}

int main(int argc, char **argv)
{
    const char *mode;

    if (argc != 2) {
        fprintf(stderr, "usage: golden-runner DIR\n");
        return 2;
    }
    if (gd_conv_mode(&mode) != GD_OK) {
        fprintf(stderr, "%s\n", gd_error());
        return 2;
    }
    printf("kernels: %s, convolutions %s, oneDNN %s, %d threads\n", gd_isa_name(gd_isa_used()),
           mode, gd_onednn_version(), gd_threads());
    walk(argv[1]);
    printf("%d passed, %d failed, %d not yet\n", total.passed, total.failed, total.not_yet);
    return total.failed > 0 || total.passed == 0;
}
