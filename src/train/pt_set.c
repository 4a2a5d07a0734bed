/* SPDX-License-Identifier: MIT */
/* pt_set.c - a run's state as the authors' files: modelNNNNNN.pt, ema_RATE_NNNNNN.pt,
 * optNNNNNN.pt, written so that their program resumes from them, and read as it writes them
 * (docs/reference/training.md#checkpoints). */
#define _DEFAULT_SOURCE
#include "train/train.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* ---- names ---- */

static void path_of(char out[GD_MAX_PATH], const char *folder, const char *what, int64_t step)
{
    snprintf(out, GD_MAX_PATH, "%.3900s/%.40s%06lld.pt", folder, what, (long long)step);
}

static void ema_name(char out[40], const gd_trainer *t, int k)
{
    snprintf(out, 40, "ema_%s_", t->averages.text[k]);
}

/* "model000100.pt" -> 100; -1: no such name.  The authors' program reads the number likewise. */
static int64_t step_of(const char *name)
{
    char *end;
    int64_t step;

    if (strncmp(name, "model", 5) != 0 || name[5] < '0' || name[5] > '9')
        return -1;
    step = strtoll(name + 5, &end, 10);
    return step >= 0 && strcmp(end, ".pt") == 0 ? step : -1;
}

static void split(char folder[GD_MAX_PATH], const char **name, const char *path)
{
    const char *slash = strrchr(path, '/');

    snprintf(folder, GD_MAX_PATH, "%.*s", slash ? (int)GD_MAX(slash - path, 1) : 1,
             slash ? path : ".");
    *name = slash ? slash + 1 : path;
}

bool gd_pt_set_find(char model[GD_MAX_PATH], const char *path)
{
    char folder[GD_MAX_PATH];
    const struct dirent *entry;
    const char *name;
    int64_t newest = -1;
    DIR *dir = opendir(path);

    split(folder, &name, path);
    snprintf(model, GD_MAX_PATH, "%s", path);
    if (!dir)
        return step_of(name) >= 0 && gd_path_exists(path);
    while ((entry = readdir(dir)))
        if (step_of(entry->d_name) > newest) {
            newest = step_of(entry->d_name);
            snprintf(model, GD_MAX_PATH, "%.3800s/%.255s", path, entry->d_name);
        }
    closedir(dir);
    return newest >= 0;
}

/* ---- writing ---- */

/* Arrays shaped like the parameters, with the parameters' names */
static gd_array *shapes(const gd_learner *l, gd_arena *mem)
{
    gd_array *a = gd_alloc(mem, (size_t)l->n_param * sizeof *a);

    for (int i = 0; i < l->n_param && a; i++) {
        a[i] = (gd_array){ .name = l->spec[i].name, .dtype = GD_F32, .rank = l->spec[i].rank };
        memcpy(a[i].dim, l->spec[i].dim, sizeof l->spec[i].dim);
    }
    return a;
}

static gd_pickle_node tensor(const gd_array *a)
{
    return (gd_pickle_node){ .kind = GD_PICKLE_TENSOR, .tensor = a };
}

static gd_status finish(gd_torch_writer *w, gd_status s)
{
    if (s == GD_OK)
        return gd_torch_commit(w);
    gd_torch_abort(w);
    return s;
}

static gd_status write_state_dict(const gd_learner *l, gd_arena *mem, const gd_array *a,
                                  const float *values, const char *path)
{
    gd_pickle_node *dict = gd_pickle_new(mem, GD_PICKLE_DICT, l->n_param);
    gd_torch_writer *w;
    bool ok = dict != NULL;

    for (int i = 0; i < l->n_param && ok; i++) {
        const gd_pickle_node value = tensor(&a[i]);
        ok = gd_pickle_set(mem, dict, i, a[i].name, &value);
    }
    if (!ok)
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    GD_TRY(gd_torch_begin(&w, path, GD_OWN, dict));
    return finish(w, gd_torch_add(w, values, (size_t)l->total * sizeof *values));
}

/* {0: {"step": [], "exp_avg": ..., "exp_avg_sq": ...}, 1: ...} */
static gd_pickle_node *state_tree(const gd_learner *l, gd_arena *mem, const gd_array *a)
{
    static const gd_array count = { .name = "step", .dtype = GD_F32 };
    gd_pickle_node *state = gd_pickle_new(mem, GD_PICKLE_DICT, l->n_param);
    const gd_pickle_node step = tensor(&count);
    bool ok = state != NULL;

    for (int i = 0; i < l->n_param && ok; i++) {
        const gd_pickle_node key = { .kind = GD_PICKLE_INT, .integer = i }, moment = tensor(&a[i]);
        gd_pickle_node *one = gd_pickle_new(mem, GD_PICKLE_DICT, 3);
        ok = one && gd_pickle_set(mem, one, 0, "step", &step) &&
             gd_pickle_set(mem, one, 1, "exp_avg", &moment) &&
             gd_pickle_set(mem, one, 2, "exp_avg_sq", &moment) &&
             gd_pickle_put(mem, state, 2 * i, &key) && gd_pickle_put(mem, state, 2 * i + 1, one);
    }
    return ok ? state : NULL;
}

static gd_pickle_node real(double v)
{
    return (gd_pickle_node){ .kind = GD_PICKLE_FLOAT, .real = v };
}

/* What torch.optim.AdamW keeps of its options, by its names */
static gd_pickle_node *group_tree(const gd_trainer *t, gd_arena *mem)
{
    static const gd_pickle_node none = { .kind = GD_PICKLE_NONE }, no = { .kind = GD_PICKLE_BOOL };
    const gd_learner *l = t->learner;
    const gd_pickle_node lr = real(gd_trainer_lr(t)), eps = real(l->options.eps),
                         decay = real(t->options.weight_decay), beta1 = real(l->options.beta1),
                         beta2 = real(l->options.beta2);
    gd_pickle_node *group = gd_pickle_new(mem, GD_PICKLE_DICT, 9),
                   *betas = gd_pickle_new(mem, GD_PICKLE_TUPLE, 2),
                   *params = gd_pickle_new(mem, GD_PICKLE_LIST, l->n_param),
                   *groups = gd_pickle_new(mem, GD_PICKLE_LIST, 1);
    bool ok = group && betas && params && groups && gd_pickle_put(mem, betas, 0, &beta1) &&
              gd_pickle_put(mem, betas, 1, &beta2);

    for (int i = 0; i < l->n_param && ok; i++)
        ok =
            gd_pickle_put(mem, params, i, &(gd_pickle_node){ .kind = GD_PICKLE_INT, .integer = i });
    ok = ok && gd_pickle_set(mem, group, 0, "lr", &lr) &&
         gd_pickle_set(mem, group, 1, "betas", betas) &&
         gd_pickle_set(mem, group, 2, "eps", &eps) &&
         gd_pickle_set(mem, group, 3, "weight_decay", &decay) &&
         gd_pickle_set(mem, group, 4, "amsgrad", &no) &&
         gd_pickle_set(mem, group, 5, "foreach", &none) &&
         gd_pickle_set(mem, group, 6, "maximize", &no) &&
         gd_pickle_set(mem, group, 7, "capturable", &no) &&
         gd_pickle_set(mem, group, 8, "params", params) && gd_pickle_put(mem, groups, 0, group);
    return ok ? groups : NULL;
}

static gd_status write_moments(const gd_learner *l, gd_torch_writer *w)
{
    const float step = (float)l->updates;

    for (int i = 0; i < l->n_param; i++) {
        const size_t bytes = (size_t)gd_param_count(&l->spec[i]) * sizeof(float);
        GD_TRY(gd_torch_add(w, &step, sizeof step));
        GD_TRY(gd_torch_add(w, l->m + l->offset[i], bytes));
        GD_TRY(gd_torch_add(w, l->v + l->offset[i], bytes));
    }
    return GD_OK;
}

static gd_status write_optimizer(const gd_trainer *t, gd_arena *mem, const gd_array *a,
                                 const char *path)
{
    gd_pickle_node *root = gd_pickle_new(mem, GD_PICKLE_DICT, 2),
                   *state = state_tree(t->learner, mem, a), *groups = group_tree(t, mem);
    gd_torch_writer *w;

    if (!root || !state || !groups || !gd_pickle_set(mem, root, 0, "state", state) ||
        !gd_pickle_set(mem, root, 1, "param_groups", groups))
        return gd_fail(GD_ENOMEM, "%s: out of memory", path);
    GD_TRY(gd_torch_begin(&w, path, GD_OWN, root));
    return finish(w, write_moments(t->learner, w));
}

/* The model's file last: where it is, the set is whole. */
static gd_status save(const gd_trainer *t, gd_arena *mem, const char *folder)
{
    const gd_learner *l = t->learner;
    const gd_array *a = shapes(l, mem);
    char path[GD_MAX_PATH], name[40];

    if (!a)
        return gd_fail(GD_ENOMEM, "%s: out of memory", folder);
    path_of(path, folder, "opt", t->step);
    GD_TRY(write_optimizer(t, mem, a, path));
    for (int k = 0; k < t->averages.n; k++) {
        ema_name(name, t, k);
        path_of(path, folder, name, t->step);
        GD_TRY(write_state_dict(l, mem, a, l->ema[k], path));
    }
    path_of(path, folder, "model", t->step);
    return write_state_dict(l, mem, a, l->p, path);
}

gd_status gd_pt_set_save(const gd_trainer *t, const char *folder)
{
    gd_arena *mem;
    gd_status s;

    GD_TRY(gd_arena_make(&mem));
    s = save(t, mem, folder);
    gd_arena_free(mem);
    return s;
}

void gd_pt_set_remove(const gd_trainer *t, const char *folder, int64_t step)
{
    char path[GD_MAX_PATH], name[40];

    path_of(path, folder, "model", step);
    gd_os.unlink(path);
    path_of(path, folder, "opt", step);
    gd_os.unlink(path);
    for (int k = 0; k < t->averages.n; k++) {
        ema_name(name, t, k);
        path_of(path, folder, name, step);
        gd_os.unlink(path);
    }
}

/* ---- reading ---- */

static gd_status missing(const char *path, const char *model, const char *hint)
{
    gd_status s = gd_fail(GD_EFORMAT, "%s is missing, which %s needs to continue", path, model);

    gd_detail("hint: %s--init-from %s begins a new run with its weights alone", hint, model);
    return s;
}

static gd_status read_average(gd_trainer *t, int k, const char *path)
{
    const gd_learner *l = t->learner;
    gd_bundle *b;
    gd_status s = GD_OK;

    GD_TRY(gd_bundle_open(&b, path));
    for (int i = 0; i < l->n_param && s == GD_OK; i++) {
        const gd_array *a = gd_bundle_find(b, l->spec[i].name);
        if (!a || gd_array_count(a) != gd_param_count(&l->spec[i]))
            s = gd_fail(GD_EFORMAT, "%s: %s is missing or of another shape", path, l->spec[i].name);
        else
            s = gd_bundle_read_f32(b, a, l->ema[k] + l->offset[i]);
    }
    gd_bundle_close(b);
    return s;
}

static const gd_pickle_node *numbered(const gd_pickle_node *dict, int number)
{
    for (int i = 0; i < dict->count; i++)
        if (dict->item[2 * i]->kind == GD_PICKLE_INT && dict->item[2 * i]->integer == number)
            return dict->item[2 * i + 1];
    return NULL;
}

typedef struct optimizer {
    gd_trainer *t;
    const gd_bundle *b;
    const gd_pickle_node *state;
    const char *path;
    int64_t updates; /* -1: none read yet */
} optimizer;

/* A number, or a tensor of one (from PyTorch 1.12 on) */
static gd_status read_count(optimizer *o, const gd_pickle_node *n, int number)
{
    float value = -1;

    if (n && n->kind == GD_PICKLE_INT)
        value = (float)n->integer;
    else if (n && n->kind == GD_PICKLE_TENSOR && gd_array_count(n->tensor) == 1)
        GD_TRY(gd_bundle_read_f32(o->b, n->tensor, &value));
    if (!(value >= 0 && value < 1e15f))
        return gd_fail(GD_EFORMAT, "%s: state %d: step is no count", o->path, number);
    if (o->updates >= 0 && o->updates != (int64_t)value)
        return gd_fail(GD_EFORMAT, "%s: state %d: %lld updates, those before it %lld", o->path,
                       number, (long long)value, (long long)o->updates);
    o->updates = (int64_t)value;
    return GD_OK;
}

static gd_status read_moment(const optimizer *o, const gd_pickle_node *n, const char *name,
                             int number, int64_t count, float *out)
{
    if (!n || n->kind != GD_PICKLE_TENSOR || gd_array_count(n->tensor) != count)
        return gd_fail(GD_EFORMAT, "%s: state %d: %s is missing or of another size than %lld",
                       o->path, number, name, (long long)count);
    return gd_bundle_read_f32(o->b, n->tensor, out);
}

static gd_status read_state(optimizer *o, int number, int64_t count, float *m, float *v)
{
    const gd_pickle_node *one = numbered(o->state, number);

    GD_TRY(read_count(o, gd_pickle_get(one, "step"), number));
    GD_TRY(read_moment(o, gd_pickle_get(one, "exp_avg"), "exp_avg", number, count, m));
    return read_moment(o, gd_pickle_get(one, "exp_avg_sq"), "exp_avg_sq", number, count, v);
}

/* A run without mixed precision: one state for each parameter.  PyTorch keeps none for a parameter
 * that never had a gradient. */
static gd_status read_each(optimizer *o)
{
    const gd_learner *l = o->t->learner;

    for (int i = 0; i < l->n_param; i++) {
        if (!numbered(o->state, i) && !gd_learner_gradient(l, i))
            continue;
        GD_TRY(read_state(o, i, gd_param_count(&l->spec[i]), l->m + l->offset[i],
                          l->v + l->offset[i]));
    }
    return GD_OK;
}

/* One with mixed precision: vectors and numbers flat in state 0, all other parameters in state 1
 * (docs/reference/training.md#mixed-precision) */
static gd_status read_group(optimizer *o, int number)
{
    const gd_learner *l = o->t->learner;
    int64_t count = 0;
    float *both;
    gd_status s;

    for (int i = 0; i < l->n_param; i++)
        count += (l->spec[i].rank > 1) == number ? gd_param_count(&l->spec[i]) : 0;
    GD_TRY(gd_block_make(&both, (size_t)count * 2 * sizeof *both, "moments"));
    s = read_state(o, number, count, both, both + count);
    for (int64_t i = 0, at = 0; i < l->n_param && s == GD_OK; i++) {
        const int64_t n = gd_param_count(&l->spec[i]);
        if ((l->spec[i].rank > 1) != number)
            continue;
        memcpy(l->m + l->offset[i], both + at, (size_t)n * sizeof *both);
        memcpy(l->v + l->offset[i], both + count + at, (size_t)n * sizeof *both);
        at += n;
    }
    gd_block_free(both);
    return s;
}

/* The rule must be ours; its rate and decay are this run's options, so a difference is said. */
static gd_status check_group(const optimizer *o, const gd_pickle_node *group)
{
    const gd_learner_options *own = &o->t->learner->options;
    const gd_pickle_node *betas = gd_pickle_get(group, "betas"), *lr = gd_pickle_get(group, "lr"),
                         *eps = gd_pickle_get(group, "eps"),
                         *amsgrad = gd_pickle_get(group, "amsgrad"),
                         *decay = gd_pickle_get(group, "weight_decay");

    if (!betas || betas->count != 2 || betas->item[0]->real != own->beta1 ||
        betas->item[1]->real != own->beta2 || !eps || eps->real != own->eps ||
        (amsgrad && amsgrad->integer))
        return gd_fail(GD_EFORMAT, "%s: not AdamW with betas %g and %g, eps %g, without amsgrad",
                       o->path, own->beta1, own->beta2, own->eps);
    if (lr && lr->kind == GD_PICKLE_FLOAT && lr->real != gd_trainer_lr(o->t))
        gd_log(GD_LOG_NOTE, "%s: its learning rate was %g, this run's is %g (--lr)", o->path,
               lr->real, gd_trainer_lr(o->t));
    if (decay && decay->kind == GD_PICKLE_FLOAT && decay->real != o->t->options.weight_decay)
        gd_log(GD_LOG_NOTE, "%s: its weight decay was %g, this run's is %g (--weight-decay)",
               o->path, decay->real, o->t->options.weight_decay);
    return GD_OK;
}

static gd_status read_tree(optimizer *o, const gd_pickle_node *root)
{
    const gd_pickle_node *groups = gd_pickle_get(root, "param_groups"), *params = NULL;
    const int n = o->t->learner->n_param;

    o->state = gd_pickle_get(root, "state");
    if (groups && groups->kind == GD_PICKLE_LIST && groups->count == 1)
        params = gd_pickle_get(groups->item[0], "params");
    if (!o->state || o->state->kind != GD_PICKLE_DICT || !params)
        return gd_fail(GD_EFORMAT, "%s: no optimiser's state_dict with one group", o->path);
    GD_TRY(check_group(o, groups->item[0]));
    if (params->count == n)
        return read_each(o);
    if (params->count != 2)
        return gd_fail(GD_EFORMAT, "%s: of %d parameters, the network has %d", o->path,
                       params->count, n);
    GD_TRY(read_group(o, 0));
    return read_group(o, 1);
}

static gd_status read_optimizer(gd_trainer *t, const char *path)
{
    optimizer o = { .t = t, .path = path, .updates = -1 };
    const gd_pickle_node *root;
    gd_bundle *b;
    gd_status s;

    GD_TRY(gd_pickle_open(&b, &root, path));
    o.b = b;
    s = read_tree(&o, root);
    if (s == GD_OK)
        t->learner->updates = GD_MAX(o.updates, 0);
    gd_bundle_close(b);
    return s;
}

gd_status gd_pt_set_load(gd_trainer *t, const char *model)
{
    char folder[GD_MAX_PATH], path[GD_MAX_PATH], name[40];
    const char *last;
    int64_t step;

    split(folder, &last, model);
    step = step_of(last);
    if (step < 0)
        return gd_fail(GD_EUSAGE, "%s: no file named model000000.pt", model);
    t->step = step;
    for (int k = 0; k < t->averages.n; k++) {
        ema_name(name, t, k);
        path_of(path, folder, name, step);
        if (!gd_path_exists(path))
            return missing(path, model, "--ema-rate takes the averages that are there; ");
        GD_TRY(read_average(t, k, path));
    }
    path_of(path, folder, "opt", step);
    return gd_path_exists(path) ? read_optimizer(t, path) : missing(path, model, "");
}
