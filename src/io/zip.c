/* zip.c - entries of an archive in memory, by libzip; where a stored entry's bytes lie, so that
 * weights are read in place.
 *
 * libzip opens, checks and lists the archive, and reads each entry once to check its CRC; it does
 * not tell where data lies, so the central directory is walked beside it and must agree in name,
 * size and order. */
#include "io/io_private.h"

#include <string.h>
#include <zip.h>

struct io_zip {
    zip_t *zip;
    gd_bundle *b;
    const unsigned char **data; /* [n] */
    int n;
};

static gd_status damaged(const gd_bundle *b, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: damaged zip: %s", b->path, what);
}

/* Fields of a zip64 extra block in their order, for those that the record says are there */
static gd_status zip64_offset(gd_cursor extra, uint32_t size, uint32_t packed, uint64_t *offset)
{
    const unsigned char *skipped;
    uint16_t id, bytes;

    while (gd_cursor_left(&extra) >= 4) {
        GD_TRY(gd_take_u16(&extra, &id));
        GD_TRY(gd_take_u16(&extra, &bytes));
        if (id != 1) {
            GD_TRY(gd_take_bytes(&extra, &skipped, bytes));
            continue;
        }
        GD_TRY(gd_take_bytes(&extra, &skipped,
                             (size == UINT32_MAX ? 8u : 0u) + (packed == UINT32_MAX ? 8u : 0u)));
        return gd_take_u64(&extra, offset);
    }
    return gd_fail(GD_EFORMAT, "%s: damaged zip: no 64-bit offset", extra.file);
}

/* Local header at `offset`: 30 bytes, name, extra, then the data */
static gd_status data_at(io_zip *z, uint64_t offset, uint64_t bytes, const unsigned char **out)
{
    gd_cursor c = { z->b->map.data, z->b->map.data, z->b->map.data + z->b->map.bytes, z->b->path };
    const unsigned char *skipped;
    uint16_t name, extra;
    uint32_t signature;

    GD_TRY(gd_take_bytes(&c, &skipped, offset));
    GD_TRY(gd_take_u32(&c, &signature));
    if (signature != 0x04034b50)
        return damaged(z->b, "no entry where the directory says");
    GD_TRY(gd_take_bytes(&c, &skipped, 22));
    GD_TRY(gd_take_u16(&c, &name));
    GD_TRY(gd_take_u16(&c, &extra));
    GD_TRY(gd_take_bytes(&c, &skipped, (uint64_t)name + extra));
    return gd_take_bytes(&c, out, bytes);
}

/* One record of the central directory against what libzip says of entry i */
static gd_status take_record(io_zip *z, gd_cursor *c, int i)
{
    const unsigned char *skipped, *name, *extra;
    uint32_t signature, packed, size, offset32;
    uint16_t name_bytes, extra_bytes, comment_bytes;
    uint64_t offset;
    zip_stat_t info;

    GD_TRY(gd_take_u32(c, &signature));
    if (signature != 0x02014b50 || zip_stat_index(z->zip, (zip_uint64_t)i, 0, &info) != 0)
        return damaged(z->b, "central directory");
    GD_TRY(gd_take_bytes(c, &skipped, 16));
    GD_TRY(gd_take_u32(c, &packed));
    GD_TRY(gd_take_u32(c, &size));
    GD_TRY(gd_take_u16(c, &name_bytes));
    GD_TRY(gd_take_u16(c, &extra_bytes));
    GD_TRY(gd_take_u16(c, &comment_bytes));
    GD_TRY(gd_take_bytes(c, &skipped, 8));
    GD_TRY(gd_take_u32(c, &offset32));
    GD_TRY(gd_take_bytes(c, &name, name_bytes));
    GD_TRY(gd_take_bytes(c, &extra, extra_bytes));
    GD_TRY(gd_take_bytes(c, &skipped, comment_bytes));
    offset = offset32;
    if (offset32 == UINT32_MAX)
        GD_TRY(zip64_offset((gd_cursor){ extra, extra, extra + extra_bytes, z->b->path }, size,
                            packed, &offset));
    if (strlen(info.name) != name_bytes || memcmp(info.name, name, name_bytes) != 0)
        return damaged(z->b, "names disagree");
    if (info.comp_method != ZIP_CM_STORE || info.encryption_method != ZIP_EM_NONE ||
        info.comp_size != info.size)
        return gd_fail(
            GD_EFORMAT,
            "%s: %.100s is compressed or encrypted; torch.save stores entries as they are",
            z->b->path, info.name);
    return data_at(z, offset, info.size, &z->data[i]);
}

/* The end record tells where the directory begins; its zip64 form stands before it. */
static gd_status find_directory(const io_zip *z, gd_cursor *c)
{
    const unsigned char *base = z->b->map.data, *skipped;
    const uint64_t bytes = z->b->map.bytes;
    uint64_t offset, at = bytes >= 22 ? bytes - 22 : 0;
    uint32_t offset32;

    while (at > 0 && bytes - at < 22 + 65536 && memcmp(base + at, "PK\5\6", 4) != 0)
        at--;
    *c = (gd_cursor){ base, base, base + bytes, z->b->path };
    GD_TRY(gd_take_bytes(c, &skipped, at + 16));
    GD_TRY(gd_take_u32(c, &offset32));
    offset = offset32;
    if (offset32 == UINT32_MAX) {
        if (at < 20 || memcmp(base + at - 20, "PK\6\7", 4) != 0)
            return damaged(z->b, "no 64-bit end record");
        c->at = base + at - 12;
        GD_TRY(gd_take_u64(c, &offset));
        c->at = base;
        GD_TRY(gd_take_bytes(c, &skipped, offset));
        GD_TRY(gd_take_bytes(c, &skipped, 48));
        GD_TRY(gd_take_u64(c, &offset));
    }
    c->at = base;
    return gd_take_bytes(c, &skipped, offset);
}

static gd_status read_directory(io_zip *z)
{
    const zip_int64_t n = zip_get_num_entries(z->zip, 0);
    gd_cursor c;

    if (n < 0 || n > GD_MAX_ZIP_ENTRIES)
        return damaged(z->b, "too many entries");
    z->n = (int)n;
    z->data = gd_alloc(z->b->mem, (size_t)GD_MAX(n, 1) * sizeof *z->data);
    if (!z->data)
        return gd_fail(GD_ENOMEM, "%s: out of memory", z->b->path);
    GD_TRY(find_directory(z, &c));
    for (int i = 0; i < z->n; i++)
        GD_TRY(take_record(z, &c, i));
    return GD_OK;
}

gd_status io_zip_open(io_zip **out, gd_bundle *b)
{
    io_zip *z = gd_alloc(b->mem, sizeof *z);
    zip_error_t error;
    zip_source_t *source;
    gd_status s;

    if (!z)
        return gd_fail(GD_ENOMEM, "%s: out of memory", b->path);
    zip_error_init(&error);
    z->b = b;
    source = zip_source_buffer_create(b->map.data, b->map.bytes, 0, &error);
    z->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    if (!z->zip) {
        s = damaged(b, zip_error_strerror(&error));
        zip_source_free(source);
        zip_error_fini(&error);
        return s;
    }
    zip_error_fini(&error);
    s = read_directory(z);
    if (s != GD_OK) {
        io_zip_close(z);
        return s;
    }
    *out = z;
    return GD_OK;
}

void io_zip_close(io_zip *z)
{
    zip_discard(z->zip);
}

int io_zip_count(const io_zip *z)
{
    return z->n;
}

const char *io_zip_name(const io_zip *z, int i)
{
    return zip_get_name(z->zip, (zip_uint64_t)i, 0);
}

int io_zip_find(const io_zip *z, const char *name)
{
    return (int)zip_name_locate(z->zip, name, 0);
}

/* Read through libzip once for the CRC, in pieces; the bytes used are those in place. */
static gd_status check_crc(const io_zip *z, int i, const char *name)
{
    static _Thread_local char piece[1 << 16];
    zip_file_t *f = zip_fopen_index(z->zip, (zip_uint64_t)i, 0);
    zip_int64_t n = -1;

    while (f && (n = zip_fread(f, piece, sizeof piece)) > 0)
        ;
    if (f && zip_fclose(f) != 0)
        n = -1;
    return n == 0 ? GD_OK
                  : gd_fail(GD_EFORMAT, "%s: damaged zip: entry %.100s does not match its checksum",
                            z->b->path, name);
}

gd_status io_zip_entry(io_entry *out, io_zip *z, int i)
{
    zip_stat_t info;

    if (zip_stat_index(z->zip, (zip_uint64_t)i, 0, &info) != 0)
        return damaged(z->b, "central directory");
    *out = (io_entry){ info.name, z->data[i], info.size };
    return check_crc(z, i, info.name);
}
