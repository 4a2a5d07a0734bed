/* SPDX-License-Identifier: MIT */
/* read_files.c - what our readers make of files, for the comparison with other readers.  Paths come
 * by standard input, one a line; each gives one line: "refused", or "arrays NAME TYPE DIM,DIM HEX
 * ..." with the names in hexadecimal and the elements in the byte order of this machine, or
 * "picture WIDTH HEIGHT CHANNELS HEX". */
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 1 << 20 };

static void put_hex(const void *data, size_t bytes)
{
    const unsigned char *p = data;

    for (size_t i = 0; i < bytes; i++)
        printf("%02x", p[i]);
    if (bytes == 0)
        printf("-");
}

/* An array that opens and cannot be read is left out: it is refused too */
static void put_array(const gd_bundle *b, const gd_array *a)
{
    const size_t bytes = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    void *data = bytes <= MAX_BYTES ? malloc(bytes + 1) : NULL;

    if (data && gd_bundle_read(b, a, data) == GD_OK) {
        printf(" ");
        put_hex(a->name, strlen(a->name));
        printf(" %s ", gd_dtype_name(a->dtype));
        for (int i = 0; i < a->rank; i++)
            printf("%lld,", (long long)a->dim[i]);
        printf("%s", a->rank == 0 ? "- " : " ");
        put_hex(data, bytes);
    }
    free(data);
}

static void read_file(const char *path)
{
    const char *suffix = strrchr(path, '.');
    gd_image image;
    gd_bundle *b;

    if (suffix && gd_image_named(path)) {
        if (gd_image_open(&image, path, 0) != GD_OK) {
            puts("refused");
            return;
        }
        printf("picture %d %d %d ", image.width, image.height, image.channels);
        put_hex(image.pixels, (size_t)image.width * (size_t)image.height * (size_t)image.channels);
        gd_image_free(&image);
    } else {
        if (gd_bundle_open(&b, path) != GD_OK) {
            puts("refused");
            return;
        }
        printf("arrays");
        for (int i = 0; i < gd_bundle_count(b); i++)
            put_array(b, gd_bundle_array(b, i));
        gd_bundle_close(b);
    }
    puts("");
}

int main(void)
{
    char path[4096];

    while (fgets(path, sizeof path, stdin)) {
        path[strcspn(path, "\n")] = '\0';
        read_file(path);
    }
    return 0;
}
