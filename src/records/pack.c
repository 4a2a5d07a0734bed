/* SPDX-License-Identifier: MIT */
/* pack.c - the result: the authors' .npz, or PNGs, drawn from the records one by one. */
#include "records/records_private.h"

#include <fcntl.h>
#include <string.h>

const char *gd_records_path(gd_records *r, int part, int64_t image)
{
    const gd_records_layout *l = &r->layout;
    const bool last = part == l->n_parts - 1;
    char name[160], stage[24] = "";

    if (l->result == GD_RECORDS_PNG) {
        if (!last)
            snprintf(stage, sizeof stage, "_stage%d", part + 1);
        snprintf(name, sizeof name, "%05lld%s.png", (long long)image, stage);
    } else {
        snprintf(stage, sizeof stage, last ? "samples" : "stage%d", part + 1);
        snprintf(name, sizeof name, "%s_%lldx%dx%dx%d.npz", stage, (long long)l->n,
                 l->part[part].height, l->part[part].width, l->part[part].channels);
    }
    return records_path(r, name);
}

/* The last file that packing makes; of PNGs, some may stand while the records are still there */
bool gd_records_finished(gd_records *r)
{
    const gd_records_layout *l = &r->layout;

    if (l->result == GD_RECORDS_PNG && gd_path_exists(records_path(r, "samples.records")))
        return false;
    return gd_path_exists(gd_records_path(r, l->n_parts - 1, l->first + l->n - 1));
}

typedef struct packing {
    gd_records *r;
    int part;
    uint64_t before, bytes; /* of a record: in front of the part, of the part */
    gd_status (*wish)(void);
    bool damaged;    /* a record was, and is marked to be made again */
    int64_t *labels; /* block: [n] */
} packing;

/* Record i into r->record, whole, or the packing ends */
static gd_status take(packing *p, int64_t i)
{
    record_head head;
    bool whole;

    if (p->r->loaded == i)
        return GD_OK;
    if (p->wish)
        GD_TRY(p->wish());
    GD_TRY(gd_records_beat(p->r));
    GD_TRY(records_load(p->r, i, &whole));
    if (!whole) {
        p->damaged = true;
        gd_log(GD_LOG_NOTE, "%s: the record of image %lld is damaged, it is made again",
               p->r->folder, (long long)(p->r->layout.first + i));
        GD_TRY(records_mark(p->r, i, 0));
        return gd_fail(GD_EFAILED, "%s: image %lld has no whole record", p->r->folder,
                       (long long)(p->r->layout.first + i));
    }
    memcpy(&head, p->r->record, sizeof head);
    p->labels[i] = head.label;
    return GD_OK;
}

static void begin_part(packing *p, int part)
{
    const gd_records_layout *l = &p->r->layout;

    p->before = part == 0 ? 0 : p->before + p->bytes;
    p->part = part;
    p->bytes = (uint64_t)l->part[part].width * (uint64_t)l->part[part].height *
               (uint64_t)l->part[part].channels;
    p->r->loaded = -1; /* from the file: what was written is what counts */
}

/* The pixels of one part of every record, then the labels, all known by then */
static gd_status write_arrays(packing *p, gd_npz_writer *w)
{
    const gd_records_layout *l = &p->r->layout;
    const gd_array pixels = { "arr_0",
                              GD_U8,
                              4,
                              { l->n, l->part[p->part].height, l->part[p->part].width,
                                l->part[p->part].channels } },
                   labels = { "arr_1", GD_I64, 1, { l->n } };

    GD_TRY(gd_npz_array(w, &pixels));
    for (int64_t i = 0; i < l->n; i++) {
        GD_TRY(take(p, i));
        GD_TRY(gd_npz_add(w, p->r->record + sizeof(record_head) + p->before, p->bytes));
    }
    if (!l->labelled)
        return GD_OK;
    GD_TRY(gd_npz_array(w, &labels));
    return gd_npz_add(w, p->labels, (size_t)l->n * sizeof *p->labels);
}

static gd_status write_npz(packing *p, const char *path)
{
    const uint64_t n = (uint64_t)p->r->layout.n;
    gd_npz_writer *w;
    gd_status s;

    GD_TRY(gd_npz_begin(&w, path, GD_KEEP, n * p->bytes));
    s = write_arrays(p, w);
    if (s == GD_OK)
        return gd_npz_commit(w);
    gd_npz_abort(w);
    return s;
}

static gd_status pack_npz(packing *p)
{
    char path[RECORDS_PATH];

    for (int k = 0; k < p->r->layout.n_parts; k++) { /* the result last: it means that all are */
        begin_part(p, k);
        snprintf(path, sizeof path, "%s", gd_records_path(p->r, k, 0));
        if (!gd_path_exists(path))
            GD_TRY(write_npz(p, path));
    }
    return GD_OK;
}

enum { MAX_TEXTS = 4 };

static gd_status put_png(packing *p, int64_t i, const gd_text *texts, int n_texts)
{
    const gd_records_layout *l = &p->r->layout;
    const unsigned char *pixels = p->r->record + sizeof(record_head) + p->before;
    gd_text all[MAX_TEXTS + 1];
    char number[24];
    void *png;
    size_t bytes;
    gd_status s;

    n_texts = GD_MIN(n_texts, MAX_TEXTS);
    for (int k = 0; k < n_texts; k++)
        all[k] = texts[k];
    if (p->part == l->n_parts - 1) { /* the recipe's command makes this image, not its stages */
        snprintf(number, sizeof number, "%lld", (long long)(l->first + i));
        all[n_texts++] = (gd_text){ "guided.image", number };
    }
    GD_TRY(gd_png_encode(&png, &bytes, pixels, l->part[p->part].width, l->part[p->part].height,
                         l->part[p->part].channels, all, n_texts));
    s = gd_file_put(gd_records_path(p->r, p->part, l->first + i), GD_OWN, png, bytes);
    gd_block_free(png);
    return s;
}

static gd_status pack_png(packing *p, const gd_text *texts, int n_texts)
{
    for (int64_t i = 0; i < p->r->layout.n; i++)
        for (int k = 0; k < p->r->layout.n_parts; k++) {
            begin_part(p, k);
            GD_TRY(take(p, i));
            GD_TRY(put_png(p, i, texts, n_texts));
        }
    return GD_OK;
}

static gd_status pack(packing *p, const gd_text *texts, int n_texts)
{
    gd_records *r = p->r;
    gd_status s;

    GD_TRY(gd_block_make(&p->labels, (size_t)r->layout.n * sizeof *p->labels, "labels"));
    s = r->layout.result == GD_RECORDS_PNG ? pack_png(p, texts, n_texts) : pack_npz(p);
    gd_block_free(p->labels);
    if (s == GD_OK && gd_os.unlink(records_path(r, "samples.records")) != 0)
        return records_fail(r, "samples.records");
    r->unsynced = r->unsynced && s != GD_OK;
    return s;
}

gd_status gd_records_pack(gd_records *r, bool *finished, gd_status (*wish)(void),
                          const gd_text *texts, int n_texts)
{
    packing p = { .r = r, .wish = wish };
    bool mine;
    gd_status s = GD_OK;

    *finished = gd_records_finished(r);
    if (*finished)
        return GD_OK;
    GD_TRY(records_try_lock(r, RECORDS_PACKING, &mine));
    if (!mine)
        return GD_OK;
    *finished = gd_records_finished(r); /* by the process that held the lock until now */
    if (!*finished) {
        s = records_work_begins(r);
        if (s == GD_OK)
            s = pack(&p, texts, n_texts);
        *finished = s == GD_OK;
    }
    records_unlock(r, RECORDS_PACKING);
    return p.damaged ? GD_OK : s;
}
