/* SPDX-License-Identifier: MIT */
/* kind_data.c - crops, resizing, listings and items of image sets, exactly as the authors' loader
 * makes them. */
#include "data/data.h"
#include "golden.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool ok(golden *g, gd_status s)
{
    if (s != GD_OK)
        golden_fail(g, "%s", gd_error());
    return s == GD_OK;
}

/* A stored [H,W,3] tensor as an image of its own */
static bool stored_image(golden *g, gd_image *out, const char *name)
{
    const gd_array *a = golden_find(g, "%s", name);

    if (!a || a->rank != 3) {
        golden_fail(g, "no image %s", name);
        return false;
    }
    *out = (gd_image){ (int)a->dim[1], (int)a->dim[0], (int)a->dim[2], NULL };
    if (!ok(g, gd_block_make(&out->pixels, (size_t)gd_array_count(a), name)))
        return false;
    memcpy(out->pixels, golden_u8(g, NULL, "%s", name), (size_t)gd_array_count(a));
    return true;
}

static void compare_image(golden *g, const char *name, const gd_image *image)
{
    golden_compare_bytes(g, name, image->pixels,
                         (size_t)image->width * (size_t)image->height * (size_t)image->channels);
}

/* ---- crops ---- */

/* The decoder's pixels are what Pillow's are */
static void compare_pixels(golden *g, size_t i, const gd_image *found, const char *path)
{
    int64_t n = 0;
    const uint8_t *stored = golden_u8(g, &n, "in.rgb.%zu", i);

    if (!stored || n != (int64_t)found->width * found->height * 3 ||
        memcmp(stored, found->pixels, (size_t)n) != 0)
        golden_fail(g, "%s is decoded to other pixels", path);
}

static void check_decoding(golden *g, size_t i, json_t *image)
{
    const char *path = gd_sprintf(g->mem, "%s/%s", g->folder, golden_text(g, image, "file", ""));
    gd_image found;

    golden_remarks(g, image, "mode");
    if (!ok(g, gd_image_open(&found, path, 3)))
        return;
    golden_require(g, image, "width", found.width);
    golden_require(g, image, "height", found.height);
    compare_pixels(g, i, &found, path);
    gd_image_free(&found);
}

/* randrange_bounds after the side's: [0, most + 1) of the rows, of the columns */
static void check_offsets(golden *g, size_t i, json_t *draws, int rows, int columns)
{
    const int most[] = { rows, columns };

    for (size_t k = 0; k < COUNT(most) && k + 1 < json_array_size(draws); k++) {
        json_t *bounds = json_array_get(draws, k + 1);
        if (json_integer_value(json_array_get(bounds, 0)) != 0 ||
            json_integer_value(json_array_get(bounds, 1)) != most[k] + 1)
            golden_fail(g, "run %zu: an offset goes to %d", i, most[k]);
    }
}

static void one_crop(golden *g, size_t i, json_t *run)
{
    const int size = golden_get_int(g, run, "image_size", 0);
    static const char *const modes[] = { "center", "random" };
    const bool random = golden_word(g, run, "mode", modes, COUNT(modes), -1) == 1;
    gd_image image;
    gd_status s;

    if (!stored_image(g, &image,
                      gd_sprintf(g->mem, "in.rgb.%d", golden_get_int(g, run, "image", 0))))
        return;
    if (random) {
        json_t *draws = golden_at(g, run, "randrange_bounds"), *bounds = json_array_get(draws, 0);
        int least, most;
        gd_crop_range(size, &least, &most);
        if (least != json_integer_value(json_array_get(bounds, 0)) ||
            most + 1 != json_integer_value(json_array_get(bounds, 1)))
            golden_fail(g, "run %zu: sides %d to %d", i, least, most);
        /* then offsets from 0 to what the shrunk image leaves, of rows and columns */
        s = gd_crop_shrink(&image, golden_get_int(g, run, "smaller_dim_size", 0));
        check_offsets(g, i, draws, image.height - size, image.width - size);
        if (s == GD_OK)
            s = gd_crop_cut(&image, size, golden_get_int(g, run, "crop_x", 0),
                            golden_get_int(g, run, "crop_y", 0));
    } else {
        s = gd_crop_centre(&image, size);
    }
    if (ok(g, s))
        compare_image(g, gd_sprintf(g->mem, "out.crop.%zu", i), &image);
    gd_image_free(&image);
}

void golden_image_crops(golden *g)
{
    json_t *item;
    size_t i;

    golden_reads_all(g);
    golden_remarks(g, g->config, "pillow");
    json_array_foreach(golden_at(g, g->config, "images"), i, item) check_decoding(g, i, item);
    json_array_foreach(golden_at(g, g->config, "runs"), i, item) one_crop(g, i, item);
}

/* ---- resizing ---- */

void golden_pil_resize(golden *g)
{
    static const char *const filters[] = { "BOX", "BICUBIC" };
    json_t *run;
    size_t i;

    golden_reads_all(g);
    golden_remarks(g, g->config, "pillow");
    json_array_foreach(golden_at(g, g->config, "runs"), i, run)
    {
        const bool box = golden_word(g, run, "filter", filters, COUNT(filters), -1) == 0;
        gd_image in, out;
        if (!stored_image(g, &in, gd_sprintf(g->mem, "in.rgb.%zu", i)))
            return;
        golden_require(g, run, "width", in.width);
        golden_require(g, run, "height", in.height);
        if (ok(g, gd_resize(&out, &in, golden_get_int(g, run, "out_width", 0),
                            golden_get_int(g, run, "out_height", 0),
                            box ? GD_FILTER_BOX : GD_FILTER_BICUBIC))) {
            compare_image(g, gd_sprintf(g->mem, "out.rgb.%zu", i), &out);
            gd_image_free(&out);
        }
        gd_image_free(&in);
    }
}

/* ---- listings ---- */

/* An empty file, and the folders above it */
static void touch(char *path)
{
    FILE *f;

    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    f = fopen(path, "w");
    if (f)
        fclose(f);
}

static void remove_tree(const char *root, json_t *tree)
{
    char path[1024];
    json_t *file;
    size_t i;

    json_array_foreach(tree, i, file)
    {
        snprintf(path, sizeof path, "%s/%s", root, json_string_value(file));
        unlink(path);
    }
    json_array_foreach(tree, i, file)
    {
        snprintf(path, sizeof path, "%s/%s", root, json_string_value(file));
        for (char *slash = strrchr(path, '/'); slash && slash > path + strlen(root);
             slash = strrchr(path, '/')) {
            *slash = '\0';
            rmdir(path);
        }
    }
    rmdir(root);
}

static void compare_listing(golden *g, const gd_dataset *set, const char *root)
{
    json_t *order = golden_at(g, g->config, "expected_order"),
           *classes = golden_at(g, g->config, "class_names");
    const int64_t n = gd_dataset_count(set);
    int64_t *labels = golden_alloc(g, (size_t)n * sizeof *labels);
    char name[1024];

    if (n != (int64_t)json_array_size(order) ||
        gd_dataset_classes(set) != (int)json_array_size(classes)) {
        golden_fail(g, "%lld files in %d classes", (long long)n, gd_dataset_classes(set));
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        const char *expected = json_string_value(json_array_get(order, (size_t)i));
        gd_dataset_name(set, i, name, sizeof name);
        if (strcmp(name + strlen(root) + 1, expected) != 0)
            golden_fail(g, "file %lld is %s, expected %s", (long long)i, name, expected);
        labels[i] = gd_dataset_label(set, i);
    }
    for (int c = 0; c < gd_dataset_classes(set); c++)
        if (strcmp(gd_dataset_class_name(set, c),
                   json_string_value(json_array_get(classes, (size_t)c))) != 0)
            golden_fail(g, "class %d is %s", c, gd_dataset_class_name(set, c));
    golden_compare_bytes(g, "out.labels", labels, (size_t)n * sizeof *labels);
}

void golden_dataset_listing(golden *g)
{
    const gd_dataset_options options = { .labels = GD_LABELS_NAME, .hidden = true };
    json_t *tree = golden_at(g, g->config, "tree"), *file;
    char root[] = "golden-listing-XXXXXX";
    gd_dataset *set;
    size_t i;

    golden_reads_all(g);
    if (!mkdtemp(root)) {
        golden_fail(g, "no folder can be made here");
        return;
    }
    json_array_foreach(tree, i, file)
        touch(gd_sprintf(g->mem, "%s/%s", root, json_string_value(file)));
    if (ok(g, gd_dataset_open(&set, root, &options))) {
        compare_listing(g, set, root);
        gd_dataset_close(set);
    }
    remove_tree(root, tree);
}

/* ---- items ---- */

void golden_dataset_items(golden *g)
{
    const gd_dataset_options options = { .labels = GD_LABELS_NAME, .channels = 3 };
    const int size = golden_get_int(g, g->config, "image_size", 0),
              count = golden_get_int(g, g->config, "count", 0);
    int64_t *labels = golden_alloc(g, (size_t)count * sizeof *labels);
    float *x = golden_alloc(g, (size_t)(3 * size * size) * sizeof *x);
    gd_dataset *set;

    golden_reads_all(g);
    /* How the authors' ranks share a set: ours share the positions of one order */
    golden_remarks(g, g->config, "shards_of_2 files sizes");
    if (!ok(g, gd_dataset_open(&set, gd_sprintf(g->mem, "%s/images", g->folder), &options)))
        return;
    if (gd_dataset_count(set) != count)
        golden_fail(g, "%d images expected, %lld found", count, (long long)gd_dataset_count(set));
    for (int i = 0; i < count && i < gd_dataset_count(set); i++) {
        gd_image image;
        labels[i] = gd_dataset_label(set, i);
        if (!ok(g, gd_dataset_read(set, i, &image)))
            break;
        compare_pixels(g, (size_t)i, &image, gd_sprintf(g->mem, "image %d", i));
        if (ok(g, gd_crop_centre(&image, size)))
            for (int flip = 0; flip < 2; flip++) {
                gd_image_floats(x, &image, flip);
                golden_compare_bytes(g, gd_sprintf(g->mem, "out.x.%d.flip%d", i, flip), x,
                                     (size_t)(3 * size * size) * sizeof *x);
            }
        gd_image_free(&image);
    }
    golden_compare_bytes(g, "out.y", labels, (size_t)count * sizeof *labels);
    gd_dataset_close(set);
}
