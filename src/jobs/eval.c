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
    { "inception", 0, JOB_TEXT, "FILE",
      "the 2015 network's weights (else GUIDED_INCEPTION, ~/.local/share/guided)", AT(inception) },
    { "features", 0, JOB_TEXT, "FILE",
      "instead: a classifier, or DINOv2, CLIP, MAE, SigLIP2, ConvNeXt V2", AT(features) },
    { "metrics", 0, JOB_TEXT, "LIST",
      "of is,fid (fd),sfid,pr,kid,dc,cmmd, fid-inf,memorization,vendi (default: is,fid,sfid,pr)",
      AT(metrics) },
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

const char *const eval_metric_names[EVAL_METRICS] = { "is",           "fid",  "sfid", "pr",
                                                      "kid",          "dc",   "cmmd", "fid-inf",
                                                      "memorization", "vendi" };

/* ---- options ---- */

/* The metric of `length` letters; EVAL_METRICS: none */
static int metric_of(const char *word, int length)
{
    int k = 0;

    if (length == 2 && strncmp(word, "fd", 2) == 0) /* what it is called in other features */
        return EVAL_FID;
    while (k < EVAL_METRICS && (strncmp(eval_metric_names[k], word, (size_t)length) != 0 ||
                                eval_metric_names[k][length]))
        k++;
    return k;
}

static gd_status choose_metrics(eval_run *r)
{
    for (const char *at = r->o.metrics; at && *at;) {
        const int n = (int)strcspn(at, ","), k = metric_of(at, n);
        if (k == EVAL_METRICS)
            return gd_fail(
                GD_EUSAGE,
                "--metrics %.*s: expected some of is,fid,sfid,pr,kid,dc,cmmd,fid-inf,memorization,"
                "vendi\nhint: is: Inception Score; pr: precision and recall; dc: density "
                "and coverage; fid-inf: FID of infinitely many samples",
                n, at);
        r->wanted[k] = true;
        at += n + (at[n] == ',');
    }
    r->wanted[EVAL_FID] |= r->wanted[EVAL_INFINITY]; /* which needs the reference's statistics */
    return eval_network_metrics(r);
}

static gd_status read_limits(eval_run *r)
{
    for (int k = 0; k < EVAL_METRICS; k++)
        r->limit[k] = INFINITY;
    for (const char *at = r->o.fail_above; at && *at;) {
        const int n = (int)strcspn(at, "="), k = metric_of(at, n);
        char *end = (char *)at;
        if ((k == EVAL_FID || k == EVAL_SFID || k == EVAL_KID || k == EVAL_CMMD) && at[n] == '=')
            r->limit[k] = strtod(at + n + 1, &end);
        if (end == at || end == at + n + 1 || (*end && *end != ',') || !isfinite(r->limit[k]))
            return gd_fail(GD_EUSAGE, "--fail-above %s: expected fid=NUMBER, sfid=, kid=, cmmd=",
                           r->o.fail_above);
        if (!r->wanted[k])
            return gd_fail(GD_EUSAGE, "--fail-above %s: %s is not among --metrics", r->o.fail_above,
                           eval_metric_names[k]);
        at = end + (*end == ',');
    }
    return GD_OK;
}

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

static gd_status measure_frechet(eval_run *r)
{
    const gd_statistics *a[2], *b[2];
    double *place[2], value[2];
    int n = 0;

    if (r->has_frechet)
        return GD_OK;
    if (r->wanted[EVAL_FID]) {
        a[n] = &r->samples.pool;
        b[n] = &r->ref.pool;
        place[n++] = &r->fid;
    }
    if (r->wanted[EVAL_SFID]) {
        a[n] = &r->samples.spatial;
        b[n] = &r->ref.spatial;
        place[n++] = &r->sfid;
    }
    GD_TRY(gd_frechet_all(value, a, b, n));
    for (int i = 0; i < n; i++)
        *place[i] = value[i];
    return GD_OK;
}

gd_features eval_features(const eval_run *r, const eval_side *side)
{
    return (gd_features){ side->survey.features, side->survey.kept, r->network.shape.width };
}

static gd_status tick_draw(void *ctx)
{
    eval_run *r = ctx;

    job_progress_step(&r->progress);
    return gd_stop_wanted() ? gd_fail(GD_EINTERRUPTED, "stopped in the bootstrap") : GD_OK;
}

static gd_status measure_deviations(eval_run *r)
{
    const gd_bootstrap b = { .samples = &r->samples.survey,
                             .shape = &r->network.shape,
                             .pool = r->wanted[EVAL_FID] ? &r->ref.pool : NULL,
                             .spatial = r->wanted[EVAL_SFID] ? &r->ref.spatial : NULL,
                             .score = r->wanted[EVAL_IS],
                             .draws = r->o.bootstrap,
                             .seed = r->o.seed,
                             .tick = tick_draw,
                             .ctx = r };

    job_progress_start(&r->progress, "draws", b.draws, r->o.quiet);
    GD_TRY(gd_bootstrap_run(&r->deviations, &b));
    job_progress_end(&r->progress);
    return GD_OK;
}

static void tick_distances(void *ctx, double share)
{
    eval_run *r = ctx;

    while ((double)r->progress.done < share * (double)r->progress.total)
        job_progress_step(&r->progress);
}

static gd_status measure_manifold(eval_run *r, const gd_features *ref, const gd_features *samples)
{
    const int64_t few = 100000000; /* seconds */
    const bool quiet = r->o.quiet || ref->count * samples->count < few;

    job_progress_start(&r->progress, "parts of the distances", 64, quiet);
    GD_TRY(gd_manifold_measure(&r->manifold, ref, samples, r->o.half, tick_distances, r));
    job_progress_end(&r->progress);
    return GD_OK;
}

gd_status eval_measure(eval_run *r)
{
    const gd_features ref = eval_features(r, &r->ref), samples = eval_features(r, &r->samples);

    GD_TRY(measure_frechet(r));
    if (r->wanted[EVAL_PR] || r->wanted[EVAL_DC])
        GD_TRY(measure_manifold(r, &ref, &samples));
    if (r->wanted[EVAL_KID])
        GD_TRY(gd_kid_measure(&r->kid, &ref, &samples, r->dialect->fidelity));
    if (r->wanted[EVAL_CMMD])
        GD_TRY(gd_cmmd_measure(&r->cmmd, &ref, &samples));
    GD_TRY(eval_measure_extra(r));
    return r->o.bootstrap > 0 ? measure_deviations(r) : GD_OK;
}

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
    if (total == 0)
        return GD_OK;
    job_progress_start(&r->progress, "images", total, r->o.quiet);
    if (r->o.ref)
        GD_TRY(eval_survey(r, &r->ref));
    GD_TRY(eval_survey(r, &r->samples));
    job_progress_end(&r->progress);
    return GD_OK;
}

gd_status eval_check_limits(const eval_run *r)
{
    const double value[EVAL_METRICS] = {
        [EVAL_FID] = r->fid, [EVAL_SFID] = r->sfid, [EVAL_KID] = r->kid.mean, [EVAL_CMMD] = r->cmmd
    };

    for (int k = 0; k < EVAL_METRICS; k++)
        if (isfinite(r->limit[k]) && !(value[k] <= r->limit[k]))
            return gd_fail(GD_EFAILED, "%s is %g, above %g", eval_metric_names[k], value[k],
                           r->limit[k]);
    return GD_OK;
}

/* The Inception Score alone is of the samples */
static bool compares(const eval_run *r)
{
    for (int k = 0; k < EVAL_METRICS; k++)
        if (r->wanted[k] && k != EVAL_IS)
            return true;
    return false;
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
    GD_TRY(choose_metrics(r));
    GD_TRY(check_sides(r));
    GD_TRY(read_limits(r));
    if (r->first)
        GD_TRY(eval_report_check(r));
    if (r->first && r->o.card)
        GD_TRY(eval_card_check(r));
    if (r->o.ref)
        GD_TRY(eval_open(r, &r->ref, r->o.ref));
    GD_TRY(eval_open(r, &r->samples, r->o.samples));
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
    eval_close(&r.ref);
    eval_close(&r.samples);
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
