/* SPDX-License-Identifier: MIT */
/* restore.c - guided restore: samples images that are consistent with a measurement. */
#include "jobs/restore.h"
#include "jobs/option_rows.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(restore_options, field)
static const job_option table[] = {
    OPTION_MODEL(AT(model)),
    { "measurement", 'y', JOB_TEXT, "FILE", "the measurement: a picture, a .npy or a folder",
      AT(measurement) },
    { "operator", 'a', JOB_TEXT, "NAME:..",
      "operator that measured it: box_down:4, inpaint:mask.png, ..", AT(op) },
    { "noise", 0, JOB_REAL, "S", "standard deviation of its noise (default 0)", AT(noise), 0, 255 },
    { "noise-scale", 0, JOB_TEXT, "pm1|01|255",
      "range of images for --noise: [-1,1], [0,1], [0,255]", AT(noise_scale) },
    { "poisson", 0, JOB_REAL, "RATE", "rate of Poisson noise, in place of --noise", AT(poisson), 0,
      1e6 },
    { "solver", 0, JOB_TEXT, "NAME:..", "solver: ddnm, diffpir, dps:scale=0.5, .. (default: auto)",
      AT(solver) },
    { "steps", 's', JOB_INT, "N", "network calls (default: the solver's)", AT(calls), 1, 1e5 },
    { "num", 'n', JOB_INT, "K",
      "number of samples; above 1 also their mean and deviation (default 1)", AT(n), 1, 1e5 },
    { "output", 'o', JOB_TEXT, "FOLDER", "folder of the results (default restored)", AT(output) },
    { "truth", 0, JOB_TEXT, "FILE", "the original image, for PSNR and SSIM", AT(truth) },
    { "simulate", 0, JOB_TEXT, "FILE", "first measure this image or folder", AT(simulate) },
    { "as-published", 0, JOB_SWITCH, "", "use the authors' parameters where ours differ",
      AT(as_published) },
    OPTION_CLASS_OF_IMAGE(AT(classes)),
    OPTION_CLASS_NAMES(AT(labels)),
    OPTION_CLASSIFIER(AT(classifier)),
    OPTION_SCALE(AT(scale)),
    { "seed", 0, JOB_SEED, "N", "seed of noise and random masks (default: random)", AT(seed) },
    OPTION_TILE(AT(tile)),
    OPTION_WHOLE(AT(whole)),
    OPTION_RECOMPUTE(AT(recompute)),
    OPTION_OVERWRITE_FOLDER(AT(overwrite)),
    { "resume", 0, JOB_SWITCH, "", "restore only the unfinished ones of a folder of measurements",
      AT(resume) },
    OPTION_THREADS(AT(threads)),
    OPTION_PRECISION(AT(precision)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
    OPTION_JSON(AT(json)),
};
#undef AT

/* ---- the measurement ---- */

/* The image's size, computed from the measurement's where the operator determines it */
static gd_status image_size(const restore_run *r, const restore_input *y,
                            gd_restoration_settings *s)
{
    int factor;

    GD_TRY(gd_operator_factor(&factor, r->o.op));
    if (factor > 0) {
        s->h = y->shape.h * factor;
        s->w = y->shape.w * factor;
    }
    return GD_OK;
}

static gd_status check_shape(restore_run *r)
{
    const gd_shape want = gd_operator_measurement(r->r.op);

    GD_TRY(restore_channels(&r->y, want.c, r->o.measurement));
    if (r->y.shape.h == want.h && r->y.shape.w == want.w)
        return GD_OK;
    /* [C,N] arrays of transforms are read as [N] rows */
    if (gd_shape_count(r->y.shape) == gd_shape_count(want) && !r->y.bytes) {
        r->y.shape = want;
        return GD_OK;
    }
    return gd_fail(GD_EMISMATCH,
                   "%s: %dx%d, but %s makes %dx%d from an image of %dx%d\nhint: give the "
                   "measurement at the size at which it was measured",
                   r->o.measurement, r->y.shape.w, r->y.shape.h, r->o.op, want.w, want.h,
                   r->r.shape.w, r->r.shape.h);
}

/* Unknown pixels are zero */
static void mask_measurement(restore_run *r)
{
    if (gd_operator_mask(r->r.op))
        gd_operator_apply(r->r.op, r->y.data, r->y.data);
}

/* y = A x + noise, saved as floats, because 8 bits would add rounding noise and clip */
static gd_status measure(restore_run *r)
{
    enum { MEASUREMENT = 0x7ffffffd }; /* a draw number that no solver uses */
    const gd_shape m = gd_operator_measurement(r->r.op);
    const int64_t n = gd_shape_count(m);
    float *z;

    r->y.shape = m;
    GD_TRY(gd_block_make(&r->y.data, (size_t)n * sizeof(double), "measurement"));
    gd_operator_apply(r->r.op, r->truth.data, r->y.data);
    if (r->o.poisson > 0)
        gd_poisson_noise(r->y.data, n, r->o.poisson, r->o.seed, 0);
    GD_TRY(gd_block_make(&z, (size_t)n * sizeof *z, "measurement"));
    gd_noise_normal(z, n, r->o.seed, 0, MEASUREMENT);
    for (int64_t i = 0; i < n && r->o.poisson == 0; i++)
        r->y.data[i] += r->r.options.sigma_y * z[i];
    gd_block_free(z);
    for (int64_t i = 0; i < n; i++)
        r->y.data[i] = (float)r->y.data[i]; /* as stored in its file */
    mask_measurement(r);
    return GD_OK;
}

/* ---- the run ---- */

static gd_status check_options(const restore_options *o)
{
    if (!o->op) {
        gd_status s =
            gd_fail(GD_EUSAGE,
                    "no operator\nhint: --operator NAME:.. describes how the image was measured");
        const char *usage, *about;
        for (int i = 0; gd_operator_list(i, &usage, &about); i++)
            gd_detail("  %s", usage);
        return s;
    }
    if (!o->measurement && !o->simulate)
        return gd_fail(GD_EUSAGE, "no measurement\nhint: --measurement FILE, or --simulate FILE to "
                                  "measure a clean image");
    if (o->measurement && o->simulate)
        return gd_fail(GD_EUSAGE, "--measurement and --simulate exclude each other");
    return GD_OK;
}

static gd_status open_inputs(restore_run *r, gd_restoration_settings *s)
{
    const restore_options *o = &r->o;
    const char *known = o->truth ? o->truth : o->simulate;
    const int channels = gd_model_get_config(r->model)->net.in_channels;

    if (o->measurement) {
        GD_TRY(restore_read(&r->y, o->measurement));
        GD_TRY(image_size(r, &r->y, s));
    }
    if (known) {
        GD_TRY(restore_read(&r->truth, known));
        GD_TRY(restore_channels(&r->truth, channels, known));
    }
    if (o->simulate) {
        s->h = r->truth.shape.h;
        s->w = r->truth.shape.w;
    }
    return GD_OK;
}

static gd_status prepare(restore_run *r)
{
    gd_restoration_settings s;

    GD_TRY(restore_settings(r, &s));
    GD_TRY(open_inputs(r, &s));
    GD_TRY(gd_restoration_open(&r->r, r->model, r->classifier, &s));
    if (r->truth.data && (r->truth.shape.h != r->r.shape.h || r->truth.shape.w != r->r.shape.w))
        return gd_fail(GD_EMISMATCH, "%s: %dx%d, but the restored image is %dx%d",
                       r->o.truth ? r->o.truth : r->o.simulate, r->truth.shape.w, r->truth.shape.h,
                       r->r.shape.w, r->r.shape.h);
    if (r->o.simulate)
        return measure(r);
    GD_TRY(check_shape(r));
    mask_measurement(r);
    return GD_OK;
}

static gd_status restore_one(restore_run *r)
{
    gd_status s;

    GD_TRY(prepare(r));
    GD_TRY(restore_recipe(r, &job_restore));
    GD_TRY(restore_folder(r, false));
    if (r->o.simulate) {
        GD_TRY(restore_write_png(r, "measurement.png", r->y.data, r->y.shape));
        GD_TRY(restore_write_npy(r, "measurement.npy", r->y.data, r->y.shape));
    }
    s = restore_samples(r);
    if (r->done == 0 || (s != GD_OK && s != GD_EINTERRUPTED))
        return s;
    restore_judge(r);
    GD_TRY(restore_write_all(r));
    GD_TRY(restore_print(r));
    return s == GD_OK
               ? GD_OK
               : gd_fail(s, "stopped: %d of %d images are finished and kept", r->done, r->o.n);
}

/* ---- a folder of measurements: a folder of results each ---- */

static int is_input(const struct dirent *entry)
{
    static const char *const ends[] = { ".png", ".jpg", ".jpeg", ".webp", ".npy" };

    for (int i = 0; i < COUNT(ends); i++)
        if (entry->d_name[0] != '.' && gd_ends_with(entry->d_name, ends[i]))
            return 1;
    return 0;
}

/* One file of the folder, into OUTPUT/NAME without its suffix */
static gd_status restore_entry(restore_run *r, const char *name)
{
    const restore_options whole = r->o;
    const char *const *given = whole.simulate ? &whole.simulate : &whole.measurement;
    char input[4200], output[4200], truth[4200];
    gd_status s = GD_OK;

    snprintf(input, sizeof input, "%.3900s/%.255s", *given, name);
    snprintf(output, sizeof output, "%.3900s/%.*s", whole.output, (int)(strrchr(name, '.') - name),
             name);
    snprintf(truth, sizeof truth, "%.3900s/%.255s", whole.truth ? whole.truth : "", name);
    *(whole.simulate ? &r->o.simulate : &r->o.measurement) = input;
    r->o.truth = whole.truth ? truth : NULL;
    r->o.output = output;
    r->o.overwrite =
        whole.overwrite || whole.resume; /* an unfinished one is restored from the start */
    s = restore_one(r);
    restore_release(r);
    r->o = whole;
    return s;
}

/* This rank's share of the measurements, and the table of all */
static gd_status restore_share(restore_run *r, const char *const *name, int n)
{
    const gd_launch launch = gd_dist_launched();

    for (int i = launch.rank; i < n; i += launch.ranks) {
        if (r->o.resume && restore_entry_done(r->o.output, name[i]))
            continue;
        GD_TRY(restore_entry(r, name[i]));
        GD_TRY(restore_write_table(r->o.output, name, n));
    }
    return r->o.resume ? restore_write_table(r->o.output, name, n) : GD_OK;
}

static gd_status restore_all(restore_run *r, const char *folder)
{
    const bool several = gd_dist_launched().ranks > 1;
    struct dirent **entry;
    const char **name = NULL;
    const int n = scandir(folder, &entry, is_input, alphasort);
    gd_status s = GD_OK;

    if (n < 0)
        return gd_fail_errno(errno, folder);
    if (strcmp(r->o.output, "-") == 0)
        s = gd_fail(GD_EUSAGE, "-o -: %s is a folder of measurements\nhint: -o FOLDER", folder);
    else if (n == 0)
        s = gd_fail(GD_EFORMAT, "%s: contains no picture and no .npy", folder);
    else if (!gd_path_exists(r->o.output) || !(r->o.resume || several))
        s = restore_folder(r, several);
    if (s == GD_OK)
        s = gd_block_make(&name, (size_t)n * sizeof *name, "names");
    for (int i = 0; i < n && s == GD_OK; i++)
        name[i] = entry[i]->d_name;
    if (s == GD_OK)
        s = restore_share(r, name, n);
    gd_block_free(name);
    for (int i = 0; i < n; i++)
        free(entry[i]);
    free(entry);
    return s;
}

/* Ranks share a folder of measurements by index; all must use the same seed. */
static gd_status check_ranks(const restore_run *r, const char *given)
{
    const int ranks = gd_dist_launched().ranks;

    if (ranks == 1)
        return GD_OK;
    if (!gd_path_is_folder(given))
        return gd_fail(GD_EUSAGE,
                       "a launcher started %d ranks for one measurement\nhint: ranks can share a "
                       "folder of measurements",
                       ranks);
    if (!r->o.seed_given)
        return gd_fail(GD_EUSAGE, "--seed: ranks that share a folder need the same one");
    return GD_OK;
}

static gd_status work(restore_run *r)
{
    const char *given = r->o.simulate ? r->o.simulate : r->o.measurement;

    GD_TRY(check_options(&r->o));
    if (r->o.truth && gd_path_is_folder(given) && !gd_path_is_folder(r->o.truth))
        return gd_fail(GD_EUSAGE, "--truth %s: must be a folder, because --measurement is a folder",
                       r->o.truth);
    if (r->o.resume && !gd_path_is_folder(given))
        return gd_fail(GD_EUSAGE, "--resume: %s is not a folder of measurements", given);
    GD_TRY(check_ranks(r, given));
    GD_TRY(restore_open_models(r));
    return gd_path_is_folder(given) ? restore_all(r, given) : restore_one(r);
}

static gd_status run_restore(gd_job *job)
{
    restore_run r = { .o = restore_defaults() };
    gd_status s;

    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "restore: unexpected word %s", r.words.word[0]);
    s = work(&r);
    restore_close(&r);
    return s;
}

static const char notes[] =
    "Draws images that are likely under the model and consistent with the measurement. The "
    "measurement is used as it is, at its own size, and not degraded again; --simulate makes a "
    "measurement from a clean image. Operators: denoise; inpaint:MASK.png (white is known), "
    "inpaint:box=N, "
    "inpaint:random=SHARE; box_down:N; cubic_down:N; blur:KERNEL.png, blur:gauss=S, "
    "blur:uniform=N with pad=, mode=, factor=; gray; hadamard:SHARE; phase; clip:S; jpeg:Q. Commas "
    "compose several operators, from left to right. Solvers: ddnm, ddrm, diffpir, daps, repaint "
    "and ilvr "
    "need no gradients; dps, mcg and pigdm take three times as long per call; reddiff finds one "
    "most likely image. Parameters follow the name: diffpir:lambda=7:zeta=0.3. The folder gets the "
    "samples, metrics.csv, run.json and, with more than one sample, their mean and standard "
    "deviation (PNG and .npy). The residual is compared with the noise: a residual far above it "
    "means that the problem is not solved, far below it that noise was fitted. Only an unbiased "
    "solver samples the posterior: see docs/restoration.md.";

const job_kind job_restore = { "restore",
                               "inpaint, deblur, enlarge or colourise images",
                               "restore --measurement FILE --operator NAME:.. [options]",
                               "guided restore -y small.png -a box_down:4 --class 3 -n 4 -o out/",
                               table,
                               COUNT(table),
                               run_restore,
                               notes };
