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
    if (!ok(g, gd_block_make((void **)&out->pixels, (size_t)gd_array_count(a), name)))
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
static void check_decoding(golden *g, size_t i, json_t *image)
{
    const char *path =
        gd_sprintf(g->mem, "%s/%s", g->folder, json_string_value(json_object_get(image, "file")));
    gd_image found;
    int64_t n = 0;

    if (!ok(g, gd_image_open(&found, path, 3)))
        return;
    const uint8_t *stored = golden_u8(g, &n, "in.rgb.%zu", i);
    if (n != (int64_t)found.width * found.height * 3 ||
        memcmp(stored, found.pixels, (size_t)n) != 0)
        golden_fail(g, "%s is decoded to other pixels", path);
    gd_image_free(&found);
}

static void one_crop(golden *g, size_t i, json_t *run)
{
    const int size = golden_int(run, "image_size", 0);
    const bool random = strcmp(json_string_value(json_object_get(run, "mode")), "random") == 0;
    gd_image image;
    gd_status s;

    if (!stored_image(g, &image, gd_sprintf(g->mem, "in.rgb.%d", golden_int(run, "image", 0))))
        return;
    if (random) {
        json_t *bounds = json_array_get(json_object_get(run, "randrange_bounds"), 0);
        int least, most;
        gd_crop_range(size, &least, &most);
        if (least != json_integer_value(json_array_get(bounds, 0)) ||
            most + 1 != json_integer_value(json_array_get(bounds, 1)))
            golden_fail(g, "run %zu: sides %d to %d", i, least, most);
        s = gd_crop_shrink(&image, golden_int(run, "smaller_dim_size", 0));
        if (s == GD_OK)
            s = gd_crop_cut(&image, size, golden_int(run, "crop_x", 0),
                            golden_int(run, "crop_y", 0));
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

    json_array_foreach(json_object_get(g->config, "images"), i, item) check_decoding(g, i, item);
    json_array_foreach(json_object_get(g->config, "runs"), i, item) one_crop(g, i, item);
}

/* ---- resizing ---- */

void golden_pil_resize(golden *g)
{
    json_t *run;
    size_t i;

    json_array_foreach(json_object_get(g->config, "runs"), i, run)
    {
        const bool box = strcmp(json_string_value(json_object_get(run, "filter")), "BOX") == 0;
        gd_image in, out;
        if (!stored_image(g, &in, gd_sprintf(g->mem, "in.rgb.%zu", i)))
            return;
        if (ok(g, gd_resize(&out, &in, golden_int(run, "out_width", 0),
                            golden_int(run, "out_height", 0),
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
    json_t *order = json_object_get(g->config, "expected_order"),
           *classes = json_object_get(g->config, "class_names");
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
    json_t *tree = json_object_get(g->config, "tree"), *file;
    char root[] = "golden-listing-XXXXXX";
    gd_dataset *set;
    size_t i;

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
    const int size = golden_int(g->config, "image_size", 0),
              count = golden_int(g->config, "count", 0);
    int64_t *labels = golden_alloc(g, (size_t)count * sizeof *labels);
    float *x = golden_alloc(g, (size_t)(3 * size * size) * sizeof *x);
    gd_dataset *set;

    if (!ok(g, gd_dataset_open(&set, gd_sprintf(g->mem, "%s/images", g->folder), &options)))
        return;
    for (int i = 0; i < count && i < gd_dataset_count(set); i++) {
        gd_image image;
        labels[i] = gd_dataset_label(set, i);
        if (!ok(g, gd_dataset_read(set, i, &image)))
            break;
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
