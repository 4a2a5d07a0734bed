/* SPDX-License-Identifier: MIT */
/* image.c - guided invert, purify and img2img: an image to noise and back. */
#include "jobs/restore.h"
#include "jobs/option_rows.h"

#include <math.h>
#include <string.h>

#define AT(field) offsetof(restore_options, field)
#define SHARED                                                                                     \
    OPTION_MODEL(AT(model)),                                                                       \
        { "image", 'i', JOB_TEXT, "FILE", "picture (PNG, JPEG, ..) or .npy", AT(image) },          \
        { "output", 'o', JOB_TEXT, "FOLDER", "folder of results (default restored)", AT(output) }, \
        OPTION_CLASS_OF_IMAGE(AT(classes)), OPTION_CLASS_NAMES(AT(labels)),                        \
        { "seed", 0, JOB_SEED, "N", "seed of the noise (default: random)", AT(seed) },             \
        OPTION_TILE(AT(tile)), OPTION_WHOLE(AT(whole)), OPTION_OVERWRITE_FOLDER(AT(overwrite)),    \
        OPTION_THREADS(AT(threads)), OPTION_PRECISION(AT(precision)), OPTION_MEMORY(AT(memory)),   \
        OPTION_QUIET(AT(quiet)), OPTION_JSON(AT(json))
#define GUIDANCE OPTION_CLASSIFIER(AT(classifier)), OPTION_SCALE(AT(scale))
#define GRADIENT                                                                                   \
    { "cotangent",                                                                                 \
      0,                                                                                           \
      JOB_TEXT,                                                                                    \
      "FILE.npy",                                                                                  \
      "gradient of a loss with respect to the result; also writes the gradient with respect to "   \
      "the image",                                                                                 \
      AT(cotangent) },                                                                             \
        OPTION_RECOMPUTE(AT(recompute))
static const job_option invert_table[] = {
    { "steps", 's', JOB_TEXT, "SPEC", "steps in each direction: ddim20, .. (default ddim20)",
      AT(steps) },
    SHARED,
};
static const job_option purify_table[] = {
    { "t", 0, JOB_INT, "T", "training steps of noise to add (default 150)", AT(t), 2, 1e5 },
    { "steps", 's', JOB_INT, "N", "network calls over the T steps (default: T)", AT(calls), 2,
      1e5 },
    { "rounds", 0, JOB_INT, "N", "times to purify, each from the last result (default 1)",
      AT(rounds), 1, 1000 },
    OPTION_NUM_IMAGES(AT(n)),
    GUIDANCE,
    GRADIENT,
    SHARED,
};
static const job_option img2img_table[] = {
    { "strength", 0, JOB_REAL, "S", "share of the steps to noise and sample (default 0.6)",
      AT(strength), 0, 1 },
    OPTION_STEPS(AT(steps)),
    { "sampler", 0, JOB_TEXT, "ddpm|ddim", "sampler (default: ddim if --steps begins with it)",
      AT(sampler) },
    OPTION_DDIM_ETA(AT(eta)),
    OPTION_NUM_IMAGES(AT(n)),
    GUIDANCE,
    GRADIENT,
    SHARED,
};
#undef SHARED
#undef GUIDANCE
#undef GRADIENT
#undef AT

/* ---- shared by the three verbs ---- */

static gd_status open_image(restore_run *r, gd_restoration_settings *s)
{
    const char *path = r->o.image;

    if (!path)
        return gd_fail(GD_EUSAGE, "no image\nhint: --image FILE");
    GD_TRY(restore_open_models(r));
    GD_TRY(restore_settings(r, s));
    GD_TRY(restore_read(&r->y, path));
    GD_TRY(restore_channels(&r->y, gd_model_get_config(r->model)->net.in_channels, path));
    s->h = r->y.shape.h;
    s->w = r->y.shape.w;
    return GD_OK;
}

static gd_status finish(restore_run *r, gd_status s)
{
    if (r->done == 0 || (s != GD_OK && s != GD_EINTERRUPTED))
        return s;
    GD_TRY(restore_write_all(r));
    GD_TRY(restore_print(r));
    return s == GD_OK
               ? GD_OK
               : gd_fail(s, "stopped: %d of %d images are finished and kept", r->done, r->o.n);
}

static gd_status make(restore_run *r, const gd_restoration_settings *s, const job_kind *command)
{
    GD_TRY(gd_restoration_open(&r->r, r->model, r->classifier, s));
    GD_TRY(restore_recipe(r, command));
    GD_TRY(restore_folder(r, false));
    return restore_samples(r);
}

/* An attack on a classifier that sees the purified image needs this gradient.  The seed must be
 * that of the run that made the result. */
static gd_status with_gradient(restore_run *r, const gd_restoration_settings *s,
                               const job_kind *command)
{
    restore_input c = { 0 };
    gd_status status;

    if (r->o.n != 1 || r->o.rounds != 1)
        return gd_fail(GD_EUSAGE, "--cotangent needs one image and one round (-n 1, --rounds 1)");
    GD_TRY(restore_read(&c, r->o.cotangent));
    status =
        c.shape.c == r->y.shape.c && c.shape.h == r->y.shape.h && c.shape.w == r->y.shape.w
            ? GD_OK
            : gd_fail(GD_EMISMATCH, "%s: %dx%dx%d, but the image is %dx%dx%d", r->o.cotangent,
                      c.shape.c, c.shape.h, c.shape.w, r->y.shape.c, r->y.shape.h, r->y.shape.w);
    if (status == GD_OK)
        status = gd_restoration_open(&r->r, r->model, r->classifier, s);
    if (status == GD_OK)
        status = restore_recipe(r, command);
    if (status == GD_OK)
        status = restore_folder(r, false);
    if (status == GD_OK)
        status = restore_gradient(r, c.data);
    restore_input_free(&c);
    GD_TRY(status);
    GD_TRY(restore_write_npy(r, "result.npy", r->samples, r->r.shape));
    return restore_write_npy(r, "gradient.npy", r->deviation, r->r.shape);
}

static gd_status make_all(restore_run *r, const gd_restoration_settings *s, const job_kind *command)
{
    if (r->o.cotangent && r->o.classifier)
        return gd_fail(GD_EUSAGE, "--cotangent and --classifier exclude each other: the "
                                  "classifier's second derivative is not computed");
    return finish(r, r->o.cotangent ? with_gradient(r, s, command) : make(r, s, command));
}

static gd_status run_verb(gd_job *job, gd_status (*work)(restore_run *r))
{
    restore_run r = { .o = restore_defaults() };
    gd_status s;

    r.o.sampler = NULL;
    GD_TRY(job_parse(job, &r.o, &r.words));
    if (r.words.n_words > 0)
        return gd_fail(GD_EUSAGE, "%s: unexpected word %s", job->kind->name, r.words.word[0]);
    s = work(&r);
    restore_close(&r);
    return s;
}

/* ---- invert ---- */

/* |x - x'| as bytes of 127.5 |x - x'|, truncated (DIRE) */
static gd_status write_error(restore_run *r)
{
    const int64_t n = gd_shape_count(r->r.shape);

    for (int64_t i = 0; i < n; i++)
        r->deviation[i] = fabs(r->samples[i] - r->y.data[i]);
    GD_TRY(restore_write_npy(r, "error.npy", r->deviation, r->r.shape));
    for (int64_t i = 0; i < n; i++)
        r->deviation[i] -= 1; /* a picture of 0 is black */
    return restore_write_png(r, "error.png", r->deviation, r->r.shape);
}

static gd_status work_invert(restore_run *r)
{
    gd_restoration_settings s;

    GD_TRY(open_image(r, &s));
    s.solver = "invert";
    s.spacing = r->o.steps ? r->o.steps : "ddim20";
    GD_TRY(make(r, &s, &job_invert));
    GD_TRY(restore_write_npy(r, "latent.npy", r->latent, r->r.shape));
    GD_TRY(restore_write_png(r, "reconstruction.png", r->samples, r->r.shape));
    GD_TRY(restore_write_npy(r, "reconstruction.npy", r->samples, r->r.shape));
    GD_TRY(write_error(r));
    r->o.n = 1;
    return restore_print(r);
}

static gd_status run_invert(gd_job *job)
{
    return run_verb(job, work_invert);
}

static const char invert_notes[] =
    "Encodes the image by deterministic DDIM steps into the noise that generates it (latent.npy), "
    "and decodes that noise again. The residual is the root mean square of the difference; it "
    "falls with more steps. error.png is the error map of DIRE. When you report the map, state how "
    "the image was stored: JPEG compression changes the map more than the generator of the image "
    "does.";

const job_kind job_invert = { "invert",
                              "find the noise that generates an image",
                              "invert --image FILE [--model FILE] [options]",
                              "guided invert --image x.png --class 3 --steps ddim50 -o inverted/",
                              invert_table,
                              COUNT(invert_table),
                              run_invert,
                              invert_notes };

/* ---- purify ---- */

static gd_status work_purify(restore_run *r)
{
    gd_restoration_settings s;

    if (r->o.t == 0)
        r->o.t = 150;
    GD_TRY(open_image(r, &s));
    s.solver = "sdedit";
    s.below = r->o.t;
    s.spacing = NULL;
    if (r->o.calls > 0 && r->o.calls < r->o.t)
        gd_log(GD_LOG_NOTE, "%d of the %d steps below t = %d are taken", r->o.calls, r->o.t,
               r->o.t);
    return make_all(r, &s, &job_purify);
}

static gd_status run_purify(gd_job *job)
{
    return run_verb(job, work_purify);
}

static const char purify_notes[] =
    "DiffPure: adds the noise of T training steps and removes it by ancestral sampling, T network "
    "calls a round. This removes all detail smaller than the noise, adversarial perturbations "
    "first. DiffPure uses 150 of 1000 steps for ImageNet and perturbations of 4/255. --cotangent "
    "takes the gradient of a loss with respect to the result. gradient.npy is then the exact "
    "gradient with respect to the image, through all calls, and result.npy holds the result as "
    "numbers; --seed must be the seed of that result.";

const job_kind job_purify = { "purify",
                              "remove small perturbations by noising and denoising",
                              "purify --image FILE [--t T] [options]",
                              "guided purify --image x.png --class 3 --t 150 -o clean/",
                              purify_table,
                              COUNT(purify_table),
                              run_purify,
                              purify_notes };

/* ---- img2img ---- */

static gd_status work_img2img(restore_run *r)
{
    gd_restoration_settings s;
    const char *sampler = r->o.sampler, *steps = r->o.steps ? r->o.steps : "250";

    if (!sampler)
        sampler = strncmp(steps, "ddim", 4) == 0 ? "ddim" : "ddpm";
    if (strcmp(sampler, "ddpm") != 0 && strcmp(sampler, "ddim") != 0)
        return gd_fail(GD_EUSAGE, "--sampler %s: expected ddpm or ddim", sampler);
    GD_TRY(open_image(r, &s));
    s.solver = "sdedit";
    s.spacing = steps;
    s.strength = r->o.strength;
    s.ddim = strcmp(sampler, "ddim") == 0;
    s.eta = r->o.eta;
    return make_all(r, &s, &job_img2img);
}

static gd_status run_img2img(gd_job *job)
{
    return run_verb(job, work_img2img);
}

static const char img2img_notes[] =
    "SDEdit: adds the noise of a share of the steps to the image and samples from there, in "
    "another class or with classifier guidance. Strength 0 changes almost nothing, 1 almost "
    "everything.";

const job_kind job_img2img = {
    "img2img",
    "make another image with the same layout",
    "img2img --image FILE [--strength S] [--class NAME] [options]",
    "guided img2img --image x.png --strength 0.6 --class 7 -n 4 -o variants/",
    img2img_table,
    COUNT(img2img_table),
    run_img2img,
    img2img_notes
};
