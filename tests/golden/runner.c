/* SPDX-License-Identifier: MIT */
/* runner.c - golden-runner DIR: every case below DIR, a line each; fails if any fails or none ran.
 */
#include "golden.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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
    { "vp_sampler_gmm", golden_vp_sampler_gmm },
    { "plms_gmm", golden_vp_sampler_gmm },
    { "vp_sampler_adm", golden_vp_sampler_adm },
    { "vp_sampler_fashion32", golden_vp_sampler_shipped },
    { "grids", golden_grids },
    { "diffusers_sampler_gmm", golden_diffusers_sampler_gmm },
    { "guidance_formulas", golden_guidance_formulas },
    { "guided_adm_loops", golden_guided_adm_loops },
    { "convergence", golden_convergence },
    { "sigma_sampler_gmm", golden_sigma_sampler_gmm },
    { "sigma_sampler_adm", golden_sigma_sampler_adm },
    { "sigma_sampler_fashion32", golden_sigma_sampler_shipped },
    { "timestep_embedding", golden_timestep_embedding },
    { "layer", golden_layer },
    { "cm_denoiser", golden_cm_denoiser },
    { "edm_denoiser", golden_edm_denoiser },
    { "sigma_sampler_edm", golden_sigma_sampler_edm },
    { "cm_sample", golden_cm_sample },
    { "cm_edit", golden_cm_edit },
    { "cm_losses", golden_cm_losses },
    { "training_extras", golden_training_extras },
    { "edm_pkl", golden_edm_pkl },
    { "diffusers_unet2d", golden_diffusers_unet2d },
    { "diffusers_folder", golden_diffusers_folder },
    { "onecall_state_dict", golden_onecall_state_dict },
    { "checkpoint", golden_checkpoint },
    { "checkpoint_bad", golden_checkpoint_bad },
    { "silu", golden_silu },
    { "resblock_dropout", golden_resblock_dropout },
    { "interpolate", golden_interpolate },
    { "npz", golden_npz },
    { "base_samples", golden_base_samples },
    { "training_losses_mock", golden_training_losses_mock },
    { "training_losses_unet", golden_training_losses_unet },
    { "train_loop", golden_train_loop },
    { "classifier_train", golden_classifier_train },
    { "schedule_samplers", golden_schedule_samplers },
    { "likelihood_functions", golden_likelihood_functions },
    { "calc_bpd_loop", golden_calc_bpd_loop },
    { "inception", golden_inception },
    { "vit", golden_vit },
    { "metrics", golden_metrics },
    { "image_crops", golden_image_crops },
    { "pil_resize", golden_pil_resize },
    { "dataset_listing", golden_dataset_listing },
    { "dataset_items", golden_dataset_items },
    { "restore_operator", golden_restore_operator },
    { "restore_kernel", golden_restore_kernel },
    { "restore_noise", golden_restore_noise },
    { "restore_schedule", golden_restore_schedule },
    { "restore_metric", golden_restore_metric },
    { "restore_solver", golden_restore_solver },
    { "restore_truth", golden_restore_truth },
};

static struct {
    int passed, failed, not_yet;
} total;

static void print_case(const golden *g, const char *name)
{
    const bool nothing = g->n_left_out > 0 && g->n_left_out == g->n_seen;

    if (g->failed)
        printf("%-40s %-20s FAIL     %s\n", name, g->kind, g->failure);
    else if (nothing)
        printf("%-40s %-20s not yet  %s\n", name, g->kind, g->left_out);
    else
        printf("%-40s %-20s pass     worst %.3g of what is allowed, relative %.2g%s%s%s%s\n", name,
               g->kind, g->worst, g->worst_relative, *g->worst_name ? ": " : "", g->worst_name,
               *g->left_out ? "; not yet: " : "", g->left_out);
    *(g->failed ? &total.failed : nothing ? &total.not_yet : &total.passed) += 1;
    fflush(stdout);
}

static void run_case(const char *folder)
{
    const char *slash = strrchr(folder, '/'), *name = slash ? slash + 1 : folder;
    int k = 0;
    golden g;

    if (!golden_open(&g, folder))
        golden_fail(&g, "%s", gd_error());
    while (k < COUNT(kinds) && strcmp(kinds[k].kind, g.kind) != 0)
        k++;
    if (!g.failed && k == COUNT(kinds))
        golden_fail(&g, "kind %s is not known", g.kind);
    if (!g.failed && !kinds[k].run) {
        printf("%-40s %-20s not yet\n", name, g.kind);
        total.not_yet++;
    } else {
        if (!g.failed) {
            golden_check_weights(&g);
            kinds[k].run(&g);
            golden_check_all_seen(&g);
            golden_check_all_read(&g);
        }
        print_case(&g, name);
    }
    golden_close(&g);
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Every case folder at or below `folder`, by name */
static void walk(const char *folder)
{
    struct dirent **entry;
    char path[4096];
    int n;

    snprintf(path, sizeof path, "%s/case.json", folder);
    if (gd_path_exists(path)) {
        run_case(folder);
        return;
    }
    n = scandir(folder, &entry, not_hidden, alphasort);
    for (int i = 0; i < n; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, entry[i]->d_name);
        if (is_folder(path))
            walk(path);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
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
    for (size_t n = strlen(argv[1]); n > 1 && argv[1][n - 1] == '/'; n--)
        argv[1][n - 1] = 0;
    walk(argv[1]);
    printf("%d passed, %d failed, %d not yet\n", total.passed, total.failed, total.not_yet);
    return total.failed > 0 || total.passed == 0;
}
