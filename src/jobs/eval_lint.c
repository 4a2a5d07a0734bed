/* SPDX-License-Identifier: MIT */
/* eval_lint.c - guided eval lint SET: what is odd about a set, before a number is measured on it.
 */
#include "jobs/eval.h"

#include "eval/lint.h"

#include <jansson.h>
#include <string.h>

static gd_status tick(void *ctx)
{
    job_progress_step(ctx);
    return gd_stop_wanted() ? gd_fail(GD_EINTERRUPTED, "stopped") : GD_OK;
}

static void begin(void *ctx, int64_t images)
{
    job_progress *p = ctx;

    job_progress_start(p, "images", images, p->quiet);
}

gd_status eval_lint_set(gd_lint *out, const char *path, const char *ref, bool quiet)
{
    job_progress progress = { .quiet = quiet };
    const gd_lint_options o = { ref, begin, tick, &progress };

    GD_TRY(gd_lint_run(out, path, &o));
    job_progress_end(&progress);
    return GD_OK;
}

json_t *eval_lint_object(const gd_lint *lint, const char *path)
{
    json_t *list = json_array();

    for (int i = 0; i < lint->n; i++) {
        const gd_lint_finding *f = &lint->finding[i];
        json_t *j = json_object();
        json_object_set_new(j, "code", json_string(f->code));
        json_object_set_new(j, "warning", json_boolean(f->warning));
        json_object_set_new(j, "figure", json_real(f->figure));
        if (f->example >= 0)
            json_object_set_new(j, "example", json_integer(f->example));
        if (f->example2 >= 0)
            json_object_set_new(j, "copy_of", json_integer(f->example2));
        json_object_set_new(j, "text", json_string(f->text));
        json_array_append_new(list, j);
    }
    return json_pack("{s:o,s:I,s:o}", "set", gd_json_text(path), "images", (json_int_t)lint->count,
                     "findings", list);
}

static void print(const gd_lint *lint)
{
    int warnings = 0;

    for (int i = 0; i < lint->n; i++) {
        const gd_lint_finding *f = &lint->finding[i];
        warnings += f->warning;
        fprintf(job_out(), "%-8s %-16s %s", f->warning ? "warning" : "note", f->code, f->text);
        if (f->example >= 0 && f->example2 < 0)
            fprintf(job_out(), " (image %lld)", (long long)f->example);
        fprintf(job_out(), "\n");
    }
    fprintf(job_out(), "%lld images, %d warning%s\n", (long long)lint->count, warnings,
            warnings == 1 ? "" : "s");
}

gd_status eval_lint(eval_run *r)
{
    const char *path = r->words.n_words == 2 ? r->words.word[1] : r->o.samples;
    gd_lint lint;

    if (!path || r->words.n_words > 2 || (r->words.n_words == 2 && r->o.samples))
        return gd_fail(GD_EUSAGE, "eval lint: one set of images is looked at\nhint: guided eval "
                                  "lint samples.npz [--ref train/]");
    GD_TRY(eval_report_check(r));
    GD_TRY(eval_lint_set(&lint, path, r->o.ref, r->o.quiet));
    if (r->o.json)
        GD_TRY(eval_put_json(r, eval_lint_object(&lint, path)));
    if (!r->o.json || *r->o.json)
        print(&lint);
    return GD_OK;
}
