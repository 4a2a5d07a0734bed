/* SPDX-License-Identifier: MIT */
/* stream.c - a data set as an endless order of images, decoded ahead by threads.
 *
 * The image at a position depends on the seed and the position alone: an epoch's order is a keyed
 * bijection of its indices, so that no list is kept and any position can be read next.  A ring
 * holds the positions that come next; threads fill its slots in any order, the reader empties them
 * in order. */
#include "train/train.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WORKERS = 64, FEISTEL_ROUNDS = 6 };

/* Draws of one position, distinguished by gd_noise_below's step */
enum { DRAW_CROP_SIDE = 16, DRAW_CROP_X, DRAW_CROP_Y, DRAW_FLIP, DRAW_EPOCH };

typedef struct slot {
    bool ready;
    gd_status status;
    char error[600];
    float *image;
    int64_t label;
} slot;

struct gd_stream {
    const gd_dataset *set;
    gd_stream_options o;
    const gd_settings *settings; /* of whoever made it: its threads go by them */
    int64_t count, image;        /* of the set; elements of an image */
    pthread_mutex_t lock;
    pthread_cond_t room, filled;
    pthread_t thread[MAX_WORKERS];
    int n_threads;
    bool quit, said_small;
    slot *slot; /* [n_slot] */
    int n_slot;
    int64_t next, first;      /* turn to decode next; turn that the reader takes next */
    int64_t turn0, position0; /* what follows the last jump: a turn and its position */
    uint8_t *bad;             /* block: bit for each image */
    int64_t n_bad;
    float *pixels; /* block: all slots' images */
};

/* ---- the order ---- */

static uint32_t mix(uint32_t x)
{
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

/* A bijection of 0 .. count-1: a Feistel network on the next even power of two, walked along its
 * cycle until it comes back into the range */
static int64_t permuted(int64_t i, int64_t count, const uint32_t key[FEISTEL_ROUNDS])
{
    int half = 1;
    uint64_t x = (uint64_t)i;

    while ((1ull << 2 * half) < (uint64_t)count)
        half++;
    do {
        uint64_t left = x >> half, right = x & ((1ull << half) - 1);
        for (int r = 0; r < FEISTEL_ROUNDS; r++) {
            const uint64_t f = mix((uint32_t)right ^ key[r]) ^ mix((uint32_t)(right >> 32) + r);
            const uint64_t swapped = left ^ (f & ((1ull << half) - 1));
            left = right;
            right = swapped;
        }
        x = left << half | right;
    } while (x >= (uint64_t)count);
    return (int64_t)x;
}

/* The image at `position`, `later` positions further in its epoch, around its end */
static int64_t index_at(const gd_stream *s, int64_t position, int64_t later)
{
    const int64_t epoch = position / s->count;
    uint32_t key[FEISTEL_ROUNDS];

    for (int r = 0; r < FEISTEL_ROUNDS; r++)
        key[r] = gd_noise_below(UINT32_MAX, s->o.seed, (uint64_t)epoch, DRAW_EPOCH + (uint32_t)r);
    return permuted((position + later) % s->count, s->count, key);
}

/* ---- one image ---- */

static uint32_t draw(const gd_stream *s, int64_t position, uint32_t what, int range)
{
    return gd_noise_below((uint32_t)range, s->o.seed, (uint64_t)position, what);
}

static gd_status crop(const gd_stream *s, gd_image *image, int64_t position)
{
    const int size = s->o.size;
    int least, most;

    if (s->o.pad)
        GD_TRY(gd_crop_pad(image, size));
    if (!s->o.random_crop)
        return gd_crop_centre(image, size);
    gd_crop_range(size, &least, &most);
    GD_TRY(gd_crop_shrink(image, least + (int)draw(s, position, DRAW_CROP_SIDE, most - least + 1)));
    return gd_crop_cut(image, size, (int)draw(s, position, DRAW_CROP_X, image->width - size + 1),
                       (int)draw(s, position, DRAW_CROP_Y, image->height - size + 1));
}

static void say_small(gd_stream *s, int64_t index, const gd_image *image)
{
    char name[512];

    if (image->width >= s->o.size && image->height >= s->o.size)
        return;
    pthread_mutex_lock(&s->lock);
    if (!s->said_small && !s->o.pad) {
        gd_dataset_name(s->set, index, name, sizeof name);
        gd_log(GD_LOG_NOTE, "%s is %d x %d: images smaller than %d pixels are enlarged", name,
               image->width, image->height, s->o.size);
    }
    s->said_small = true;
    pthread_mutex_unlock(&s->lock);
}

static gd_status decode(gd_stream *s, int64_t position, int64_t index, float *out)
{
    gd_image image;
    gd_status status = gd_dataset_read(s->set, index, &image);

    if (status != GD_OK)
        return status;
    say_small(s, index, &image);
    if (image.channels != s->o.channels)
        status = gd_fail(GD_EFORMAT, "%d channels, expected %d", image.channels, s->o.channels);
    if (status == GD_OK)
        status = crop(s, &image, position);
    if (status == GD_OK)
        gd_image_floats(out, &image, s->o.random_flip && draw(s, position, DRAW_FLIP, 2) == 1);
    gd_image_free(&image);
    return status;
}

/* ---- damaged images ---- */

static bool is_bad(gd_stream *s, int64_t index)
{
    pthread_mutex_lock(&s->lock);
    const bool bad = s->bad[index / 8] >> index % 8 & 1;
    pthread_mutex_unlock(&s->lock);
    return bad;
}

static bool too_many(const gd_stream *s)
{
    return (double)s->n_bad > s->o.max_bad * (double)s->count;
}

/* Whoever found the last one may have had no reader. */
static gd_status check_share(gd_stream *s)
{
    gd_status status = GD_OK;

    pthread_mutex_lock(&s->lock);
    if (too_many(s)) {
        status = gd_fail(GD_EFORMAT, "%lld damaged images are more than %g %% of %lld",
                         (long long)s->n_bad, 100 * s->o.max_bad, (long long)s->count);
        gd_detail("hint: remove them, or allow more with --max-bad");
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* Named once; GD_EFORMAT when there are too many */
static gd_status note_bad(gd_stream *s, int64_t index)
{
    gd_status status = GD_OK;

    pthread_mutex_lock(&s->lock);
    if (!(s->bad[index / 8] >> index % 8 & 1)) {
        s->bad[index / 8] |= (uint8_t)(1 << index % 8);
        s->n_bad++;
        gd_log(GD_LOG_NOTE, "passed over: %s", gd_error());
    }
    if (too_many(s)) {
        gd_context("%lld damaged images are more than %g %% of %lld; the last", (long long)s->n_bad,
                   100 * s->o.max_bad, (long long)s->count);
        gd_detail("hint: remove them, or allow more with --max-bad");
        status = GD_EFORMAT;
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* The image of this position, or the next of the order that is not damaged */
static gd_status fill(gd_stream *s, int64_t position, float *image, int64_t *label)
{
    for (int64_t later = 0; later < s->count; later++) {
        const int64_t index = index_at(s, position, later);
        gd_status status;
        if (is_bad(s, index)) {
            GD_TRY(check_share(s));
            continue;
        }
        status = decode(s, position, index, image);
        if (status == GD_OK) {
            *label = GD_MAX(gd_dataset_label(s->set, index), 0);
            return GD_OK;
        }
        if (status != GD_EFORMAT) /* not the image's fault: passing over would change the run */
            return status;
        GD_TRY(note_bad(s, index));
    }
    return gd_fail(GD_EFORMAT, "no image of the set can be read");
}

/* ---- threads ---- */

static slot *slot_of(gd_stream *s, int64_t turn)
{
    return &s->slot[turn % s->n_slot];
}

/* Turns count by one; positions skip those that other ranks read. */
static int64_t position_of(const gd_stream *s, int64_t turn)
{
    const int64_t n = turn - s->turn0;
    return s->position0 + n / s->o.batch * s->o.stride + n % s->o.batch;
}

static void work_once(gd_stream *s)
{
    const int64_t turn = s->next++, position = position_of(s, turn);
    slot *to = slot_of(s, turn);
    gd_status status;

    to->ready = false;
    pthread_mutex_unlock(&s->lock);
    status = fill(s, position, to->image, &to->label);
    pthread_mutex_lock(&s->lock);
    to->status = status;
    snprintf(to->error, sizeof to->error, "%s", status == GD_OK ? "" : gd_error());
    to->ready = true;
    pthread_cond_broadcast(&s->filled);
}

static void *work(void *stream)
{
    gd_stream *s = stream;

    gd_use_settings(s->settings);
    pthread_mutex_lock(&s->lock);
    while (!s->quit) {
        if (s->next < s->first + s->n_slot)
            work_once(s);
        else
            pthread_cond_wait(&s->room, &s->lock);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* Another position than the next: waits for what is being decoded, drops the rest. */
static void go_to(gd_stream *s, int64_t position)
{
    for (int64_t turn = s->first; turn < s->next; turn++)
        while (!slot_of(s, turn)->ready)
            pthread_cond_wait(&s->filled, &s->lock);
    s->first = s->turn0 = s->next;
    s->position0 = position;
    pthread_cond_broadcast(&s->room);
}

static gd_status take(gd_stream *s, float *image, int64_t *label)
{
    slot *from = slot_of(s, s->first);
    gd_status status;

    while (s->next <= s->first || !from->ready)
        pthread_cond_wait(&s->filled, &s->lock);
    status = from->status;
    memcpy(image, from->image, (size_t)s->image * sizeof *image);
    *label = from->label;
    if (status != GD_OK)
        status = gd_fail(status, "%s", from->error);
    s->first++;
    pthread_cond_broadcast(&s->room);
    return status;
}

static gd_status read_images(void *ctx, int64_t position, int n, float *images, int64_t *labels)
{
    gd_stream *s = ctx;
    gd_status status = GD_OK;

    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < n && status == GD_OK; i++) {
        if (position + i != position_of(s, s->first))
            go_to(s, position + i);
        status = take(s, images + i * s->image, &labels[i]);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

gd_source gd_stream_source(gd_stream *s)
{
    return (gd_source){ read_images, s };
}

/* ---- life ---- */

static gd_status start_threads(gd_stream *s)
{
    sigset_t all, before;
    int error = 0;

    s->settings = gd_used_settings();
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all,
                    &before); /* threads inherit it: signals are the main one's */
    while (!error && s->n_threads < s->o.workers)
        error = pthread_create(&s->thread[s->n_threads++], NULL, work, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!error)
        return GD_OK;
    s->n_threads--;
    return gd_fail(GD_ENOMEM, "a thread that decodes images cannot be made");
}

static gd_status make(gd_stream *s)
{
    s->n_slot = 2 * s->o.batch;
    GD_TRY(gd_block_make(&s->pixels, (size_t)s->n_slot * (size_t)s->image * sizeof(float),
                         "images decoded ahead"));
    GD_TRY(gd_block_make(&s->bad, (size_t)(s->count / 8 + 1), "marks of damaged images"));
    GD_TRY(gd_block_make(&s->slot, (size_t)s->n_slot * sizeof *s->slot, "slots"));
    for (int i = 0; i < s->n_slot; i++)
        s->slot[i].image = s->pixels + i * s->image;
    return start_threads(s);
}

gd_status gd_stream_open(gd_stream **out, const gd_dataset *set, const gd_stream_options *options)
{
    gd_stream *s = calloc(1, sizeof *s);
    gd_status status;

    if (!s)
        return gd_fail(GD_ENOMEM, "images: out of memory");
    s->set = set;
    s->o = *options;
    s->o.stride = GD_MAX(s->o.stride, s->o.batch);
    s->o.workers = GD_MIN(GD_MAX(s->o.workers, 1), MAX_WORKERS);
    s->count = gd_dataset_count(set);
    s->image = (int64_t)s->o.channels * s->o.size * s->o.size;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->room, NULL);
    pthread_cond_init(&s->filled, NULL);
    status = make(s);
    if (status != GD_OK) {
        gd_stream_close(s);
        return status;
    }
    *out = s;
    return GD_OK;
}

void gd_stream_close(gd_stream *s)
{
    if (!s)
        return;
    pthread_mutex_lock(&s->lock);
    s->quit = true;
    pthread_cond_broadcast(&s->room);
    pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < s->n_threads; i++)
        pthread_join(s->thread[i], NULL);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->room);
    pthread_cond_destroy(&s->filled);
    gd_block_free(s->pixels);
    gd_block_free(s->bad);
    gd_block_free(s->slot);
    free(s);
}
