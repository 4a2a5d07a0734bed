/* SPDX-License-Identifier: MIT */
/* eval.c - guided eval: how good a set of samples is beside a reference set. */
#include "jobs/eval.h"
#include "jobs/option_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AT(field) offsetof(eval_options, field)
static const job_option table[] = {
    { "ref", 0, JOB_TEXT, "PATH",
      "reference: .npz (its mu and sigma are used), folder, .zip, IDX; several: A,B", AT(ref) },
    { "samples", 0, JOB_TEXT, "PATH", "the images that are judged, likewise", AT(samples) },
    { "validation", 0, JOB_TEXT, "PATH",
      "FDr^k: distances over those of these images, mean over --features A,B,C", AT(validation) },
    { "held-out", 0, JOB_TEXT, "PATH",
      "memorization: images that were not trained on, whose distances it compares", AT(held_out) },
    { "inception", 0, JOB_TEXT, "FILE",
      "the 2015 network's weights (else GUIDED_INCEPTION, ~/.local/share/guided)", AT(inception) },
    { "features", 0, JOB_TEXT, "FILE",
      "instead: a classifier, or DINOv2, CLIP, MAE, SigLIP2, ConvNeXt V2", AT(features) },
    { "metrics", 0, JOB_TEXT, "LIST",
      "with commas; guided help metrics lists them (default: is,fid,sfid,pr)", AT(metrics) },
    { "dialect", 0, JOB_TEXT, "NAME",
      "whose resize, scaling and draws: adm, pytorch-fid, torch-fidelity, clean-fid, edm, ..; "
      "several with commas; all",
      AT(dialect) },
    { "vgg16", 0, JOB_TEXT, "FILE",
      "torchvision's VGG16, for torch-fidelity's precision and recall (else GUIDED_VGG16)",
      AT(vgg16) },
    { "per-class", 0, JOB_SWITCH, "",
      "distance, precision and recall of each class (labelled sets)", AT(per_class) },
    { "card", 0, JOB_TEXT, "FILE", "the evidence as one page, FILE.html, and as FILE.json",
      AT(card) },
    { "half", 0, JOB_SWITCH, "", "precision and recall from the authors' float16 distances",
      AT(half) },
    { "bootstrap", 0, JOB_INT, "N", "error bars from N sets drawn again", AT(bootstrap), 2, 1e6 },
    { "seed", 0, JOB_SEED, "N", "of the bootstrap (default 0)", AT(seed) },
    { "cache", 0, JOB_TEXT, "FOLDER",
      "keep features there: resumes, and later metrics take seconds", AT(cache) },
    { "crop", 0, JOB_INT, "SIZE", "shrink and crop the images as the authors' loader does",
      AT(crop), 1, 4096 },
    { "pad", 0, JOB_SWITCH, "", "a black border around images smaller than the classifier's",
      AT(pad) },
    { "grey", 0, JOB_SWITCH, "", "take grey .npz images for RGB, and RGB for grey", AT(grey) },
    { "fail-above", 0, JOB_TEXT, "LIST", "exit with 1 above these: fid=5,sfid=9", AT(fail_above) },
    { "json", 0, JOB_MAYBE, "FILE", "the report as one JSON line, also into a file", AT(json) },
    { "output", 'o', JOB_TEXT, "FILE", "eval stats: the .npz to write", AT(output) },
    { "images", 0, JOB_INT, "N", "eval stats: images that go into it (default 10000)", AT(images),
      0, 1e6 },
    OPTION_OVERWRITE(AT(overwrite)),
    { "batch", 0, JOB_INT, "N", "images at once (default 8)", AT(batch), 1, 1024 },
    OPTION_THREADS(AT(threads)),
    OPTION_MEMORY(AT(memory)),
    OPTION_QUIET(AT(quiet)),
};
#undef AT

/* ---- options ---- */

static gd_status settle(eval_run *r)
{
    eval_options *o = &r->o;

    GD_TRY(eval_dialects_read(r));
    if (o->features && (r->dialect != &gd_dialect_adm || r->n_dialects > 1))
        return gd_fail(GD_EUSAGE,
                       "--dialect %s: is a way of preparing images for the Inception network, not "
                       "for --features",
                       o->dialect);
    job_ranks_settle(r->dist, o->threads, o->memory);
    o->quiet |= !r->first;
    return GD_OK;
}

/* ---- the comparison ---- */

/* The others wait: their failures are agreed on with the first rank's. */
gd_status eval_alone(eval_run *r, gd_status (*work)(eval_run *r))
{
    const double hours = 3600; /* seconds, for all pairs of distances */

    gd_dist_allow(r->dist, hours);
    return gd_dist_agree(r->dist, r->first ? work(r) : GD_OK, NULL);
}

static gd_status survey_both(eval_run *r)
{
    int64_t total = 0;

    if (r->o.ref && eval_needs_images(r, &r->ref))
        total += gd_images_count(r->ref.images);
    if (eval_needs_images(r, &r->samples))
        total += gd_images_count(r->samples.images);
    if (r->o.held_out)
        total += gd_images_count(r->held.images);
    if (total == 0)
        return GD_OK;
    job_progress_start(&r->progress, "images", total, r->o.quiet);
    if (r->o.ref)
        GD_TRY(eval_survey(r, &r->ref));
    GD_TRY(eval_survey(r, &r->samples));
    if (r->o.held_out)
        GD_TRY(eval_survey(r, &r->held));
    job_progress_end(&r->progress);
    return GD_OK;
}

/* The Inception Score alone is of the samples. */
static bool compares(const eval_run *r)
{
    return eval_needs(r) & GD_NEED_REFERENCE;
}

static gd_status check_sides(eval_run *r)
{
    if (!r->o.samples || (compares(r) && !r->o.ref))
        return gd_fail(GD_EUSAGE,
                       "%s\nhint: --ref PATH --samples PATH; only --metrics is needs no "
                       "reference",
                       compares(r) ? "two sets are compared" : "no images to judge");
    if (!compares(r) && r->o.ref) {
        gd_log(GD_LOG_NOTE, "--ref %s: passed over, the Inception Score needs none", r->o.ref);
        r->o.ref = NULL;
    }
    return GD_OK;
}

gd_status eval_open_both(eval_run *r)
{
    if (r->o.output)
        return gd_fail(GD_EUSAGE,
                       "-o %s: a comparison writes no .npz\nhint: guided eval stats "
                       "does; --json FILE keeps the report",
                       r->o.output);
    GD_TRY(eval_network_find(r));
    GD_TRY(eval_metrics_choose(r));
    if (r->o.held_out && !eval_wants(r, &gd_metric_memorisation))
        return gd_fail(GD_EUSAGE, "--held-out: only --metrics memorization compares with it");
    GD_TRY(check_sides(r));
    GD_TRY(eval_limits_read(r));
    if (r->first)
        GD_TRY(eval_report_check(r));
    if (r->first && r->o.card)
        GD_TRY(eval_card_check(r));
    if (r->o.ref)
        GD_TRY(eval_open(r, &r->ref, r->o.ref));
    GD_TRY(eval_open(r, &r->samples, r->o.samples));
    if (r->o.held_out)
        GD_TRY(eval_open(r, &r->held, r->o.held_out));
    if (r->first)
        eval_protocol_say(r);
    return GD_OK;
}

static gd_status finish(eval_run *r)
{
    GD_TRY(eval_measure(r));
    r->seconds = gd_seconds() - r->start;
    if (r->o.card)
        GD_TRY(eval_card(r, r, 1));
    GD_TRY(eval_report(r));
    return eval_check_limits(r);
}

static gd_status compare(eval_run *r)
{
    GD_TRY(gd_dist_agree(r->dist, eval_open_both(r), NULL));
    GD_TRY(survey_both(r));
    return eval_alone(r, finish);
}

/* The authors' order of words: evaluator REF SAMPLES */
static gd_status take_words(eval_run *r)
{
    const job_words *w = &r->words;

    if (w->n_words == 0)
        return GD_OK;
    if (w->n_words != 2 || r->o.ref || r->o.samples)
        return gd_fail(GD_EUSAGE,
                       "eval: unexpected word %s\nhint: --ref PATH --samples PATH, several files "
                       "of a set with commas between them",
                       w->word[0]);
    r->o.ref = w->word[0];
    r->o.samples = w->word[1];
    return GD_OK;
}

/* The first word, where it says what is done */
typedef enum verb_kind { COMPARISON, STATS, LINT, COMPARE, VERBS } verb_kind;
static verb_kind verb(const eval_run *r)
{
    static const char *const words[VERBS] = { "", "stats", "lint", "compare" };

    for (int k = STATS; k < VERBS && r->words.n_words > 0; k++)
        if (strcmp(r->words.word[0], words[k]) == 0)
            return (verb_kind)k;
    return COMPARISON;
}

static gd_status work(eval_run *r)
{
    GD_TRY(gd_dist_agree(r->dist, settle(r), NULL));
    if (!r->o.quiet)
        job_ranks_say(r->dist, r->o.batch, "round");
    if (r->o.card && verb(r))
        return gd_fail(GD_EUSAGE, "--card: only a comparison of two sets has one");
    if (r->o.held_out && (verb(r) || r->o.validation || r->n_dialects > 1 || r->dialect->fidelity))
        return gd_fail(GD_EUSAGE, "--held-out: only a comparison of two sets in one dialect's "
                                  "features takes it");
    switch (verb(r)) {
    case STATS:
        return eval_stats(r);
    case LINT:
        return eval_alone(r, eval_lint);
    case COMPARE:
        return eval_alone(r, eval_compare);
    default:
        break;
    }
    GD_TRY(gd_dist_agree(r->dist, take_words(r), NULL));
    if (r->o.validation && (r->o.card || r->o.per_class || r->n_dialects > 1))
        return gd_fail(GD_EUSAGE,
                       "--validation: takes no --card, --per-class, or list of dialects");
    if (r->o.validation)
        return eval_ratio(r);
    return r->n_dialects > 1 || r->dialect->fidelity ? eval_all(r) : compare(r);
}

static gd_status run_eval(gd_job *job)
{
    eval_run r = { .o = { .dialect = "adm", .batch = 8, .images = 10000 }, .start = gd_seconds() };
    gd_status s;

    GD_TRY(gd_dist_open(&r.dist));
    r.first = gd_dist_rank(r.dist) == 0;
    s = gd_dist_agree(r.dist, job_parse(job, &r.o, &r.words), NULL);
    if (s == GD_OK)
        s = work(&r);
    gd_block_free(r.classes);
    eval_forget_results(&r);
    eval_close(&r.ref);
    eval_close(&r.samples);
    eval_close(&r.held);
    eval_network_close(&r.network);
    return job_ranks_leave(r.dist, s);
}

static const char notes[] =
    "Compares two sets of images in the features of a classifier, and prints one table or, with "
    "--json, one line. The same report for any number of threads. eval stats writes a reference "
    "file, eval lint looks for what is odd about a set, eval compare puts reports side by side.";

const job_kind job_eval = {
    "eval",
    "FID, sFID, Inception Score, precision and recall of samples",
    "eval --ref PATH --samples PATH [options] | eval stats PATH -o FILE [options] | "
    "eval lint PATH [--ref PATH] | eval compare A.json B.json",
    "guided eval --ref VIRTUAL_imagenet256_labeled.npz --samples samples.npz",
    table,
    COUNT(table),
    run_eval,
    notes
};
