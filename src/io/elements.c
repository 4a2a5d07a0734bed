/* SPDX-License-Identifier: MIT */
/* elements.c - the elements of an array in an archive, one after another: a file of any size passes
 * through a buffer of the caller's. */
#include "io/io_private.h"

#include <stdlib.h>
#include <string.h>

enum { SKIP_BYTES = 4096, READ_ELEMENTS = 1024 };

struct gd_elements {
    gd_bundle *bundle;
    const gd_array *array;
    io_member *member;
    unsigned char *block; /* the whole array, where its order in the file is another; else NULL */
    uint64_t left;        /* bytes of elements */
};

static bool in_order(const gd_array *a, const io_source *source)
{
    int64_t stride[GD_MAX_RANK];
    bool same = !source->big_endian;

    io_row_major(stride, a);
    for (int i = 0; i < a->rank; i++)
        same = same && (a->dim[i] <= 1 || source->stride[i] == stride[i]);
    return same;
}

static gd_status begin(gd_elements *s, const io_source *source)
{
    unsigned char header[SKIP_BYTES];

    if (!in_order(s->array, source)) {
        GD_TRY(gd_block_make(&s->block, s->left, s->array->name));
        return gd_bundle_read(s->bundle, s->array, s->block);
    }

    GD_TRY(io_member_open(&s->member, s->bundle->zip, source->entry, &s->bundle->map));
    for (uint64_t skip = source->skip; skip > 0;) {
        const uint64_t n = GD_MIN(skip, (uint64_t)sizeof header);
        GD_TRY(io_member_read(s->member, header, n));
        skip -= n;
    }
    return GD_OK;
}

/* As a member of an .npz does; a tensor of a torch file may be a view into its entry. */
static bool fills_entry(const gd_bundle *b, const gd_array *a, const io_source *s)
{
    const uint64_t bytes = (uint64_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);

    return s->entry >= 0 && s->offset == 0 &&
           io_zip_entry(b->zip, s->entry)->bytes == s->skip + bytes;
}

gd_status gd_elements_open(gd_elements **out, gd_bundle *b, const gd_array *a)
{
    const gd_array *own = gd_bundle_find(b, a->name);
    const io_source *source = own ? &b->source[own - b->array] : NULL;
    gd_elements *s;
    gd_status status;

    if (!b->zip || !own || !fills_entry(b, own, source))
        return gd_fail(GD_EUSAGE, "%s: %s is no member of an archive", b->path, a->name);
    s = calloc(1, sizeof *s);
    if (!s)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    *s = (gd_elements){ .bundle = b, .array = own };
    s->left = (uint64_t)gd_array_count(own) * gd_dtype_bytes(own->dtype);
    status = begin(s, source);
    if (status != GD_OK) {
        gd_elements_close(s);
        return status;
    }
    *out = s;
    return GD_OK;
}

gd_status gd_elements_read(gd_elements *s, void *out, size_t bytes)
{
    if (bytes > s->left)
        return gd_fail(GD_EUSAGE, "%s: %s: read past its end", s->bundle->path, s->array->name);
    if (s->block) {
        const uint64_t whole = (uint64_t)gd_array_count(s->array) * gd_dtype_bytes(s->array->dtype);
        memcpy(out, s->block + (whole - s->left), bytes);
        s->left -= bytes;
        return GD_OK;
    }
    s->left -= bytes;
    GD_TRY(io_member_read(s->member, out, bytes));
    return s->left > 0 ? GD_OK : io_member_end(s->member);
}

gd_status gd_elements_read_f32(gd_elements *s, float *out, int64_t n)
{
    const size_t width = gd_dtype_bytes(s->array->dtype);
    unsigned char part[READ_ELEMENTS * 8];

    for (int64_t done = 0; done < n;) {
        const int64_t m = GD_MIN(n - done, (int64_t)READ_ELEMENTS);
        GD_TRY(gd_elements_read(s, part, (size_t)m * width));
        io_widen_row(out + done, part, s->array->dtype, m, 1);
        done += m;
    }
    return GD_OK;
}

/* float32 holds every number from 0 to 255 exactly. */
static gd_status narrow(const gd_elements *s, uint8_t *out, const float *in, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        if (!(in[i] >= 0 && in[i] <= 255) || in[i] != (float)(uint8_t)in[i])
            return gd_fail(
                GD_EFORMAT,
                "%s: %s holds %g, expected whole numbers from 0 to 255\nhint: floats are "
                "scaled and rounded first: (x * 255).round().astype(\"uint8\")",
                s->bundle->path, s->array->name, (double)in[i]);
        out[i] = (uint8_t)in[i];
    }
    return GD_OK;
}

gd_status gd_elements_read_u8(gd_elements *s, uint8_t *out, int64_t n)
{
    float part[READ_ELEMENTS];

    if (s->array->dtype == GD_U8)
        return gd_elements_read(s, out, (size_t)n);
    for (int64_t done = 0; done < n;) {
        const int64_t m = GD_MIN(n - done, (int64_t)READ_ELEMENTS);
        GD_TRY(gd_elements_read_f32(s, part, m));
        GD_TRY(narrow(s, out + done, part, m));
        done += m;
    }
    return GD_OK;
}

void gd_elements_close(gd_elements *s)
{
    if (!s)
        return;
    gd_block_free(s->block);
    io_member_close(s->member);
    free(s);
}

gd_status gd_bundle_fingerprint(const gd_bundle *b, const gd_array *a, gd_hasher *hasher)
{
    const gd_array *own = gd_bundle_find(b, a->name);

    if (!b->zip || !own)
        return gd_fail(GD_EUSAGE, "%s: %s lies in no archive", b->path, a->name);
    const io_entry *e = io_zip_entry(b->zip, b->source[own - b->array].entry);
    gd_hasher_add(hasher, &own->dtype, sizeof own->dtype);
    gd_hasher_add(hasher, own->dim, (size_t)own->rank * sizeof *own->dim);
    gd_hasher_add(hasher, &e->bytes, sizeof e->bytes);
    gd_hasher_add(hasher, &e->crc, sizeof e->crc);
    return GD_OK;
}
