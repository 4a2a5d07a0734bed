/* SPDX-License-Identifier: MIT */
/* records.h - the folder of a large run: images become fixed records in one file as they are made,
 * by one process or many, and at the end one .npz (or PNGs).  Sees io and base; knows no networks.
 *
 * Promises (docs/large-runs.md has the format):
 * - A record counts when it is whole: a hash over the run, the image's number, label and pixels
 *   tells it from one that was cut short.  A process that dies loses the images it was making.
 * - An image is claimed by a lock of the system on its state byte.  The lock dies with its owner,
 *   so a claim is free at once; no claim is ever stolen from a living process.
 * - The result appears whole under its name or not at all, and depends on the records' content
 *   alone: the same bytes whichever process made which image in which order.
 * - After a loss of power at most the images of the last 30 seconds are made again: records are
 *   synced that often, and each is checked when it is packed.
 *
 * One thread of a process uses a gd_records. */
#ifndef GD_RECORDS_H
#define GD_RECORDS_H

#include "io/io.h"

enum { GD_RECORDS_PARTS = 6 };
typedef enum gd_records_result { GD_RECORDS_NPZ, GD_RECORDS_PNG } gd_records_result;
typedef struct gd_records_layout {
    int64_t n, first; /* images first .. first + n - 1; n >= 1 */
    int n_parts;      /* pictures of one image: kept stages, then the result */
    struct {
        int width, height, channels;
    } part[GD_RECORDS_PARTS];
    bool labelled; /* the result has labels */
    gd_records_result result;
} gd_records_layout;

typedef struct gd_records gd_records;

/* ---- folder.c: who works here, and on what ---- */

/* Make the folder if need be and enter it: alone, or beside others that share.  GD_EFAILED "in use
 * by pid P on HOST" at once when those who are there do not allow it.  Free with gd_records_leave
 * whatever happens afterwards. */
GD_CHECKED gd_status gd_records_join(gd_records **out, const char *folder, bool share);
/* Settle the run: `recipe` (a flat JSON object that decides every byte) is written to run.json, or
 * compared with the one that is there, as gd_records_compare does.  Then the record file is made,
 * with its whole space reserved, or opened; GD_ENOSPACE when record file and result do not fit. */
GD_CHECKED gd_status gd_records_begin(gd_records *r, const char *recipe, const char *open,
                                      const gd_records_layout *layout);
/* The run's own recipe, after gd_records_begin or gd_records_view */
const char *gd_records_recipe(const gd_records *r);
/* Leaves the folder; claimed images are free again.  NULL is fine. */
void gd_records_leave(gd_records *r);
/* The text of FOLDER/run.json, a block; GD_EFORMAT when there is none */
GD_CHECKED gd_status gd_records_read_recipe(char **out, const char *folder);
/* Look at a run without joining: `recipe` is that of gd_records_read_recipe.  Where the record file
 * is gone (the run is finished), gd_records_get finds no image. */
GD_CHECKED gd_status gd_records_view(gd_records **out, const char *folder, const char *recipe,
                                     const gd_records_layout *layout);

/* ---- recipe.c ---- */

/* GD_EEXISTS with a row for each key that `now` has otherwise than the run.  A KEY beside a
 * KEY_hash is a name only; the keys of the list `open` ("seed,isa", or NULL) may differ: the run's
 * values hold.  `path` is for messages. */
GD_CHECKED gd_status gd_records_compare(const char *path, const char *run, const char *now,
                                        const char *open);

/* ---- file.c: images ---- */

typedef enum gd_claim {
    GD_CLAIM_IMAGE, /* *n images from *image on are the caller's until they are put, in their order,
                       or gd_records_leave */
    GD_CLAIM_WAIT,  /* others make what is left: ask again in a moment, they may die */
    GD_CLAIM_NONE   /* every image has its record */
} gd_claim;
/* At most `most` images */
GD_CHECKED gd_status gd_records_claim(gd_records *r, int most, gd_claim *what, int64_t *image,
                                      int *n);
/* The first claimed image: part[k] is [height][width][channels] of part k */
GD_CHECKED gd_status gd_records_put(gd_records *r, int64_t label, const uint8_t *const *part);
/* How many images have their record */
GD_CHECKED gd_status gd_records_count(gd_records *r, int64_t *done);
/* The k-th image, from 0, of those that have their record; k below gd_records_count's */
GD_CHECKED gd_status gd_records_made(gd_records *r, int64_t k, int64_t *image);
/* False: there is no record file, the run is finished or has not begun */
bool gd_records_has_file(const gd_records *r);
/* Pixels of the parts of image first <= i < first + n behind one another, valid until the next
 * call; NULL when it has no whole record. */
GD_CHECKED gd_status gd_records_get(gd_records *r, int64_t image, int64_t *label,
                                    const uint8_t **pixels);

/* ---- alive.c: whether those who are waited for still work ---- */

/* This process works.  Called at each network call; of a run that is shared, FOLDER/lock shows it
 * to the others, once a second. */
GD_CHECKED gd_status gd_records_beat(gd_records *r);
/* Nothing to claim: waits a moment.  GD_EFAILED names a process that has images and has made no
 * network call for `seconds`, and neither has any other: it is stopped, or its host is gone. */
GD_CHECKED gd_status gd_records_wait(gd_records *r, double seconds);

/* ---- pack.c: the result ---- */

/* True when the result is there: nothing is left to do. */
bool gd_records_finished(gd_records *r);
/* Make the result when every image has its record, then remove the record file.  *finished false
 * without failure: another process is at it, or a record was damaged and is to be made again; go on
 * with gd_records_claim.  `wish` (may be NULL) is called repeatedly; a status other than GD_OK
 * stops.  texts: of PNGs, at most 4; guided.image, its number, is added. */
GD_CHECKED gd_status gd_records_pack(gd_records *r, bool *finished, gd_status (*wish)(void),
                                     const gd_text *texts, int n_texts);
/* FOLDER/samples_NxHxWxC.npz, or stage1_... for a kept stage, or the PNG of an image; valid until
 * the next call */
const char *gd_records_path(gd_records *r, int part, int64_t image);

#endif
