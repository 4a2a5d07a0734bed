/* SPDX-License-Identifier: MIT */
/* npy.c - NumPy's .npy arrays, versions 1 to 3, and .npz archives of them.
 *
 * A .npy file is "\x93NUMPY", version, header length, and a header that is a Python dictionary of
 * three literals: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }.  It is parsed as
 * just that; object arrays, which are pickles, are refused. */
#include "io/io_private.h"

#include <string.h>

enum { HEADER_BYTES = 4096 }; /* numpy writes 118 or little more */

/* ---- the dictionary ---- */

static gd_status wrong(const gd_cursor *c, const char *expected)
{
    return gd_fail(GD_EFORMAT, "%s: offset %llu of the .npy header: expected %s", c->file,
                   (unsigned long long)gd_cursor_offset(c), expected);
}

static void skip_spaces(gd_cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\n'))
        c->at++;
}

/* Skip spaces; is `text` next?  Then go over it. */
static bool accept(gd_cursor *c, const char *text)
{
    const size_t n = strlen(text);

    skip_spaces(c);
    if (gd_cursor_left(c) < n || memcmp(c->at, text, n) != 0)
        return false;
    c->at += n;
    return true;
}

/* '<f4': byte order, kind, bytes; '=' and '|' are this machine's, or none.  Two letters more than
 * that are 'U' and 'S' with their lengths, 'M8[ns]', 'O'. */
static gd_status take_dtype(gd_dtype *out, bool *big_endian, gd_cursor *c)
{
    static const struct {
        const char *text;
        gd_dtype dtype;
    } types[] = { { "f4'", GD_F32 },  { "f8'", GD_F64 }, { "f2'", GD_F16 }, { "i8'", GD_I64 },
                  { "i4'", GD_I32 },  { "i2'", GD_I16 }, { "i1'", GD_I8 },  { "u1'", GD_U8 },
                  { "b1'", GD_BOOL }, { "u2'", GD_U16 }, { "u4'", GD_U32 }, { "u8'", GD_U64 } };
    gd_status s;

    if (accept(c, "'") && c->at < c->end && strchr("<>|=", *c->at)) {
        *big_endian = *c->at++ == '>';
        for (int i = 0; i < COUNT(types); i++)
            if (accept(c, types[i].text)) {
                *out = types[i].dtype;
                *big_endian = *big_endian && gd_dtype_bytes(*out) > 1;
                return GD_OK;
            }
    }
    s = wrong(c, "numbers: f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 b1");
    gd_detail("hint: save the array again as numbers; objects and texts are not read");
    return s;
}

static gd_status take_size(int64_t *out, gd_cursor *c)
{
    const unsigned char *first = c->at;

    *out = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(*out, 10, out) ||
            __builtin_add_overflow(*out, *c->at - '0', out))
            return wrong(c, "a size below 2^63");
    return c->at > first ? GD_OK : wrong(c, "a size");
}

/* (), (3,), (3, 4): a tuple of one needs its comma, others may have it. */
static gd_status take_shape(gd_array *array, gd_cursor *c)
{
    bool comma = true;

    array->rank = 0;
    if (!accept(c, "("))
        return wrong(c, "a tuple");
    while (!accept(c, ")")) {
        if (!comma || array->rank == GD_MAX_RANK)
            return wrong(c, "a tuple of at most 8 sizes");
        GD_TRY(take_size(&array->dim[array->rank++], c));
        comma = accept(c, ",");
    }
    return array->rank == 1 && !comma ? wrong(c, "a comma in a tuple of one") : GD_OK;
}

static gd_status take_order(bool *fortran, gd_cursor *c)
{
    *fortran = accept(c, "True");
    return *fortran || accept(c, "False") ? GD_OK : wrong(c, "True or False");
}

static gd_status take_dictionary(gd_array *array, bool *big_endian, bool *fortran, gd_cursor *c)
{
    static const char *const key[] = { "'descr'", "'fortran_order'", "'shape'" };
    unsigned seen = 0;

    if (!accept(c, "{"))
        return wrong(c, "a dictionary");
    while (!accept(c, "}")) {
        int k = 0;
        while (k < COUNT(key) && !accept(c, key[k]))
            k++;
        if (k == COUNT(key) || seen & 1u << k || !accept(c, ":"))
            return wrong(c, "each of 'descr', 'fortran_order' and 'shape' once");
        seen |= 1u << k;
        GD_TRY(k == 0   ? take_dtype(&array->dtype, big_endian, c)
               : k == 1 ? take_order(fortran, c)
                        : take_shape(array, c));
        if (!accept(c, ",") && (c->at == c->end || *c->at != '}'))
            return wrong(c, "a comma or the end of the dictionary");
    }
    skip_spaces(c);
    return seen == 7 && gd_cursor_left(c) == 0 ? GD_OK : wrong(c, "three entries and no more");
}

/* ---- the file ---- */

/* Version and length; `c` then stands before the dictionary. */
static gd_status take_length(uint64_t *out, gd_cursor *c)
{
    const unsigned char *magic;
    uint8_t major, minor;
    uint16_t short_length;
    uint32_t length = 0;

    GD_TRY(gd_take_bytes(c, &magic, 6));
    GD_TRY(gd_take_u8(c, &major));
    GD_TRY(gd_take_u8(c, &minor));
    if (memcmp(magic, "\x93NUMPY", 6) != 0 || major < 1 || major > 3 || minor != 0)
        return gd_fail(GD_EFORMAT, "%s: no .npy file of version 1, 2 or 3", c->file);
    if (major == 1) {
        GD_TRY(gd_take_u16(c, &short_length));
        length = short_length;
    } else {
        GD_TRY(gd_take_u32(c, &length));
    }
    if (length > HEADER_BYTES)
        return gd_fail(GD_EFORMAT, "%s: a .npy header of %u bytes", c->file, length);
    *out = length;
    return GD_OK;
}

gd_status io_read_npy_header(gd_array *array, io_source *source, gd_cursor *c)
{
    const unsigned char *text;
    uint64_t length = 0;
    int64_t count;
    bool fortran = false;

    GD_TRY(take_length(&length, c));
    GD_TRY(gd_take_bytes(c, &text, length));
    gd_cursor inside = { c->base, text, text + length, c->file };
    GD_TRY(take_dictionary(array, &source->big_endian, &fortran, &inside));
    GD_TRY(io_count(&count, array, c->file));
    if (!gd_mul((uint64_t)count, gd_dtype_bytes(array->dtype), &source->storage_bytes))
        return gd_fail(GD_EFORMAT, "%s: a shape this large is not possible", c->file);
    io_row_major(source->stride, array);
    for (int64_t i = 0, step = 1; fortran && i < array->rank; step *= GD_MAX(array->dim[i], 1), i++)
        source->stride[i] = step;
    return GD_OK;
}

/* The beginning of an entry, where its header is */
static gd_status open_entry(gd_cursor *c, unsigned char *buffer, io_zip *zip, int i)
{
    const io_entry *e = io_zip_entry(zip, i);
    const uint64_t bytes = GD_MIN(e->bytes, (uint64_t)HEADER_BYTES);

    if (!e->deflated) {
        *c = (gd_cursor){ e->packed, e->packed, e->bytes > 0 ? e->packed + e->bytes : e->packed,
                          e->name };
        return GD_OK;
    }
    *c = (gd_cursor){ buffer, buffer, buffer + bytes, e->name };
    return io_zip_read(zip, i, buffer, bytes);
}

static gd_status read_entry(gd_bundle *b, int i, const char *name)
{
    const io_entry *e = io_zip_entry(b->zip, i);
    unsigned char buffer[HEADER_BYTES];
    gd_array array = { .name = name };
    io_source source = { .entry = i };
    gd_cursor c;

    GD_TRY(open_entry(&c, buffer, b->zip, i));
    GD_TRY(io_read_npy_header(&array, &source, &c));
    source.skip = gd_cursor_offset(&c);
    source.data = e->deflated ? NULL : c.at;
    if (e->bytes - source.skip != source.storage_bytes)
        return gd_fail(GD_EFORMAT, "%s: %llu bytes of data, %llu by its shape", e->name,
                       (unsigned long long)(e->bytes - source.skip),
                       (unsigned long long)source.storage_bytes);
    return io_add_array(b, &array, &source);
}

static gd_status refuse_entry(gd_bundle *b, const char *name)
{
    io_refused *r;

    if (!b->refused)
        b->refused = gd_alloc(b->mem, (size_t)io_zip_count(b->zip) * sizeof *b->refused);
    if (!b->refused)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    r = &b->refused[b->n_refused++];
    *r = (io_refused){ name, gd_strdup(b->mem, gd_error()) };
    return r->why ? GD_OK : gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
}

static gd_status read_member(gd_bundle *b, int i)
{
    const io_entry *e = io_zip_entry(b->zip, i);
    const size_t n = strlen(e->name);
    gd_status s;
    char *name;

    if (n < 5 || strcmp(e->name + n - 4, ".npy") != 0)
        return gd_fail(GD_EFORMAT, "%.100s is no .npy array", e->name);
    name = gd_strdup(b->mem, e->name);
    if (!name)
        return gd_fail(GD_ENOMEM, "out of memory");
    name[n - 4] = '\0';
    s = read_entry(b, i, name);
    return s == GD_EFORMAT ? refuse_entry(b, name) : s;
}

gd_status io_read_npz(gd_bundle *b)
{
    b->format = "npz";
    if (io_zip_count(b->zip) == 0)
        return gd_fail(GD_EFORMAT, "%s: an empty archive", b->path);
    for (int i = 0; i < io_zip_count(b->zip); i++) {
        gd_status s = read_member(b, i);
        if (s != GD_OK) {
            gd_context("%s", b->path);
            return s;
        }
    }
    if (b->n == 0)
        return gd_fail(GD_EFORMAT, "%s: %s", b->path, b->refused[0].why);
    return GD_OK;
}
