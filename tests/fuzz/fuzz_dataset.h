/* SPDX-License-Identifier: MIT */
/* fuzz_dataset.h - the input as a file, since sets of images are opened by their path: on a disk in
 * memory where the system has one; and every image of a set of reasonable size. */
#ifndef FUZZ_DATASET_H
#define FUZZ_DATASET_H

#include "data/data.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_IMAGES = 32, MOST_PIXELS = 1 << 20, MOST_PATH = 128 };

/* ---- files ---- */

static char fuzz_folder[64];

static const char *in_folder(char path[MOST_PATH], const char *name)
{
    snprintf(path, MOST_PATH, "%s/%s", fuzz_folder, name);
    return path;
}

/* A folder of this process, since several run at once; removed at the end by `tidy` */
static void make_folder(void (*tidy)(void))
{
    static const char *const places[] = { "/dev/shm", "/tmp" };

    for (int i = 0; i < COUNT(places) && !fuzz_folder[0]; i++) {
        snprintf(fuzz_folder, sizeof fuzz_folder, "%s/guided-fuzz-XXXXXX", places[i]);
        if (!mkdtemp(fuzz_folder))
            fuzz_folder[0] = 0;
    }
    if (!fuzz_folder[0] || atexit(tidy) != 0)
        abort();
}

static void put_file(const char *name, const uint8_t *data, size_t bytes)
{
    char path[MOST_PATH];
    const int fd = open(in_folder(path, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    if (fd < 0 || !gd_write(fd, data, bytes))
        abort();
    close(fd);
}

static void drop_file(const char *name)
{
    char path[MOST_PATH];
    unlink(in_folder(path, name));
}

/* ---- memory of just its size, which sanitizers watch: the linker gives the readers these ---- */

gd_status __real_gd_map_file(gd_mapped *out, const char *path);
void __real_gd_unmap(gd_mapped *map);
gd_status __wrap_gd_map_file(gd_mapped *out, const char *path);
void __wrap_gd_unmap(gd_mapped *map);
void *__wrap_gd_block(size_t bytes, const char *what);
void __wrap_gd_block_free(void *block);

static int fuzz_held; /* mapped files and blocks */

static void *make_exactly(size_t bytes)
{
    enum { ALIGN = 64 }; /* as gd_block promises */
    void *out;

    if (posix_memalign(&out, ALIGN, GD_MAX(bytes, 1)) != 0)
        abort();
    fuzz_held++;
    return out;
}

static void free_exactly(const void *data)
{
    fuzz_held -= data != NULL;
    free((void *)data);
}

gd_status __wrap_gd_map_file(gd_mapped *out, const char *path)
{
    gd_mapped map;

    *out = (gd_mapped){ 0 };
    GD_TRY(__real_gd_map_file(&map, path));
    if (map.bytes > 0)
        *out = (gd_mapped){ memcpy(make_exactly(map.bytes), map.data, map.bytes), map.bytes };
    __real_gd_unmap(&map);
    return GD_OK;
}

void __wrap_gd_unmap(gd_mapped *map)
{
    free_exactly(map->data);
    *map = (gd_mapped){ 0 };
}

void *__wrap_gd_block(size_t bytes, const char *what)
{
    if (bytes > gd_memory_limit()) {
        (void)!gd_fail(GD_ENOMEM, "%s: no memory for %zu bytes", what, bytes);
        return NULL;
    }
    return memset(make_exactly(bytes), 0, bytes);
}

void __wrap_gd_block_free(void *block)
{
    free_exactly(block);
}

/* ---- images ---- */

static int64_t read_pixels(const gd_dataset *set, int64_t i, int channels)
{
    unsigned sum = 0;
    int64_t bytes;
    gd_image image;

    if (gd_dataset_read(set, i, &image) != GD_OK)
        return 0;
    if (image.width < 1 || image.height < 1 || (channels && image.channels != channels))
        abort();
    bytes = (int64_t)image.width * image.height * image.channels;
    for (int64_t k = 0; k < bytes; k++)
        sum += image.pixels[k];
    gd_image_free(&image);
    (void)sum; /* every pixel was read */
    return bytes;
}

static void read_image(const gd_dataset *set, int64_t i, int channels, int64_t *pixels)
{
    const int64_t label = gd_dataset_label(set, i);
    char name[256];

    gd_dataset_name(set, i, name, sizeof name);
    if (label < -1 || label >= GD_MAX(gd_dataset_classes(set), 1) || !name[0])
        abort();
    if (*pixels < MOST_PIXELS)
        *pixels += read_pixels(set, i, channels);
}

/* Every image; of a set of many some, the first and the last among them */
static void read_images(const gd_dataset *set, int channels)
{
    const int64_t n = gd_dataset_count(set), step = 1 + (n - 1) / MOST_IMAGES;
    int64_t pixels = 0;

    for (int64_t i = 0; i < n - 1; i += step)
        read_image(set, i, channels, &pixels);
    read_image(set, n - 1, channels, &pixels);
}

/* False: refused with a message.  Else every image can be asked for; nothing is kept */
static bool open_and_read(const char *path, const gd_dataset_options *options)
{
    const size_t held = gd_memory_held();
    gd_dataset *set;
    const bool opened = gd_dataset_open(&set, path, options) == GD_OK;

    if (opened ? gd_dataset_count(set) < 1 : !gd_error()[0])
        abort();
    if (opened) {
        read_images(set, options->channels);
        gd_dataset_close(set);
    }
    if (gd_memory_held() != held || fuzz_held != 0)
        abort();
    return opened;
}

#endif
