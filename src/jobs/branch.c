/* SPDX-License-Identifier: MIT */
/* branch.c - a run that changes class, scale or solver at one network call.  Before that call it
 * equals the run without the branch, bit for bit. */
#include "jobs/maker.h"

static bool wanted(const job_sampling *c)
{
    return c->branch_class || c->branch_sampler || c->branch_scale >= 0;
}

static gd_status read_class(job_maker *m)
{
    const bool known = gd_model_class_count(m->model[0]) > 0;
    job_classes classes = { .n = 0 };
    gd_status s =
        job_classes_read(&classes, m->c.branch_class, known ? m->model[0] : m->classifier[0],
                         m->stack.stage[0].classes, m->c.labels);

    if (s == GD_OK && (classes.n != 1 || classes.random))
        s = gd_fail(GD_EUSAGE, "--branch-class %s: expected one class", m->c.branch_class);
    else if (s != GD_OK)
        gd_context("--branch-class");
    if (s == GD_OK)
        m->branch_label = classes.label[0];
    job_classes_free(&classes);
    return s;
}

gd_status job_branch_open(job_maker *m)
{
    const job_sampling *c = &m->c;
    const int calls = gd_stage_calls(&m->stack.stage[0]);

    m->branch_label = -1;
    if (c->branch_call == 0 && wanted(c))
        return gd_fail(GD_EUSAGE, "--branch-%s needs --branch-call",
                       c->branch_class     ? "class"
                       : c->branch_sampler ? "sampler"
                                           : "scale");
    if (c->branch_call == 0)
        return GD_OK;
    if (!wanted(c))
        return gd_fail(GD_EUSAGE,
                       "--branch-call needs --branch-class, --branch-scale or --branch-sampler");
    if (c->branch_call > calls)
        return gd_fail(GD_EUSAGE, "--branch-call %d: this run has only %d network calls",
                       c->branch_call, calls);
    if (c->branch_scale >= 0 && !m->classifier[0])
        return gd_fail(GD_EUSAGE, "--branch-scale needs a classifier");
    if (c->branch_sampler)
        GD_TRY(gd_stage_branch(&m->stack.stage[0], c->branch_call, c->branch_sampler));
    return c->branch_class ? read_class(m) : GD_OK;
}

void job_branch_begin(job_maker *m)
{
    m->branched = false;
    m->stack.stage[0].trajectory.scale = m->c.scale;
}

/* The base model runs first, so only it branches. */
void job_branch_step(job_maker *m, int n, int call)
{
    if (m->branched || call != m->c.branch_call)
        return;
    m->branched = true;
    if (m->c.branch_scale >= 0)
        m->stack.stage[0].trajectory.scale = m->c.branch_scale;
    for (int i = 0; i < n && m->branch_label >= 0; i++)
        m->labels[i] = m->branch_label;
}

int64_t job_branch_label(const job_maker *m, int64_t image)
{
    return m->branch_label >= 0 ? m->branch_label : job_class_of(&m->classes, m->c.seed, image);
}
