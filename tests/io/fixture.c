/* SPDX-License-Identifier: MIT */
/* fixture.c - files for the tests of src/io. */
#define _GNU_SOURCE
#include "fixture.h"

#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zip.h>

/* Room for n more bytes and one behind, by doubling */
static void reserve(bytes *to, size_t n)
{
    size_t before = 64, after;

    while (to->data && before <= to->n)
        before *= 2;
    for (after = before; after <= to->n + n;)
        after *= 2;
    if (!to->data || after > before)
        to->data = realloc(to->data, after);
    assert_non_null(to->data);
}

void put(bytes *to, const void *data, size_t n)
{
    reserve(to, n);
    if (n > 0)
        memcpy(to->data + to->n, data, n);
    to->n += n;
}

void put_many(bytes *to, const void *data, size_t n, long times)
{
    reserve(to, n * (size_t)times);
    for (long i = 0; i < times; i++)
        put(to, data, n);
}

void put_text(bytes *to, const char *text)
{
    put(to, text, strlen(text));
}

void put_number(bytes *to, uint64_t value, int n)
{
    for (int i = 0; i < n; i++)
        put(to, &(unsigned char){ (unsigned char)(i < 8 ? value >> (8 * i) : 0) }, 1);
}

bytes read_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    unsigned char piece[4096];
    bytes content = { NULL, 0 };

    if (!f)
        fail_msg("cannot read %s", path);
    for (size_t n; (n = fread(piece, 1, sizeof piece, f)) > 0;)
        put(&content, piece, n);
    fclose(f);
    put(&content, "", 0);
    return content;
}

void write_file(const char *path, bytes content)
{
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(content.data, 1, content.n, f), content.n);
    assert_int_equal(fclose(f), 0);
}

static char folder[] = "/tmp/guided-io-XXXXXX";

static void remove_folder(void)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    if (system(command) != 0)
        fprintf(stderr, "%s is left behind\n", folder);
}

const char *temporary(const char *name)
{
    static char path[256];
    static bool made;

    if (!made) {
        assert_non_null(mkdtemp(folder));
        atexit(remove_folder);
        made = true;
    }
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

const char *reference(const char *name)
{
    static char path[4096];
    const char *base = getenv("GUIDED_SHARED"), *source = getenv("GUIDED_SOURCE_DIR");

    snprintf(path, sizeof path, "%s/%s", base ? base : "../shared", name);
    if (access(path, R_OK) != 0 && source && strncmp(name, "golden/", 7) == 0)
        snprintf(path, sizeof path, "%s/tests/golden/cases/%s", source, name + 7);
    if (access(path, R_OK) != 0) {
        print_message("no %s\n", path);
        skip();
    }
    return path;
}

static uint32_t crc32_of(const unsigned char *data, size_t n)
{
    uint32_t crc = 0xffffffff;

    for (size_t i = 0; i < n; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
    }
    return ~crc;
}

/* What the local header and the directory have in common, from "version needed" to the name's
 * length */
static void put_common(bytes *to, const char *name, uint32_t crc, size_t n)
{
    put_number(to, 20, 2);
    put_number(to, 0, 2);
    put_number(to, 0, 2);
    put_number(to, 0x00210000, 4); /* 1980-01-01 */
    put_number(to, crc, 4);
    put_number(to, n, 4);
    put_number(to, n, 4);
    put_number(to, strlen(name), 2);
    put_number(to, 0, 2);
}

void add_entry(archive *a, const char *name, const void *data, size_t n)
{
    const uint32_t crc = crc32_of(data, n);
    const size_t at = a->body.n;

    put(&a->body, "PK\3\4", 4);
    put_common(&a->body, name, crc, n);
    put_text(&a->body, name);
    put(&a->body, data, n);
    put(&a->directory, "PK\1\2", 4);
    put_number(&a->directory, 20, 2);
    put_common(&a->directory, name, crc, n);
    put_number(&a->directory, 0, 10);
    put_number(&a->directory, at, 4);
    put_text(&a->directory, name);
    a->n++;
}

bytes finish_archive(archive *a)
{
    const size_t at = a->body.n;

    put(&a->body, a->directory.data, a->directory.n);
    put(&a->body, "PK\5\6", 4);
    put_number(&a->body, 0, 4);
    put_number(&a->body, (uint64_t)a->n, 2);
    put_number(&a->body, (uint64_t)a->n, 2);
    put_number(&a->body, a->directory.n, 4);
    put_number(&a->body, at, 4);
    put_number(&a->body, 0, 2);
    free(a->directory.data);
    return a->body;
}

bytes make_safetensors(const char *header, size_t data_bytes)
{
    bytes file = { NULL, 0 };

    put_number(&file, strlen(header), 8);
    put_text(&file, header);
    for (size_t i = 0; i < data_bytes; i++)
        put_number(&file, i, 1);
    return file;
}

gd_status try_open(bytes file, bool flat)
{
    gd_bundle *b;
    gd_status s = io_bundle_open_memory(&b, file.data, file.n, "FILE", flat);

    if (s == GD_OK)
        gd_bundle_close(b);
    return s;
}

enum { NAMES, SHAPES, VALUES, HASHES };

static gd_status digest_array(const gd_bundle *b, const gd_array *a, gd_hasher *h[HASHES])
{
    const size_t n = (size_t)gd_array_count(a) * gd_dtype_bytes(a->dtype);
    void *out;
    gd_status s;

    GD_TRY(gd_block_make(&out, n, a->name));
    s = gd_bundle_read(b, a, out);
    gd_hasher_add(h[NAMES], a->name, strlen(a->name) + 1);
    gd_hasher_add(h[SHAPES], &a->dtype, sizeof a->dtype);
    gd_hasher_add(h[SHAPES], &a->rank, sizeof a->rank);
    gd_hasher_add(h[SHAPES], a->dim, (size_t)a->rank * sizeof *a->dim);
    gd_hasher_add(h[VALUES], out, n);
    gd_block_free(out);
    return s;
}

gd_status try_digest(bytes file, bool flat, digest *out)
{
    gd_bundle *b;
    gd_hasher *h[HASHES];
    gd_status s = io_bundle_open_memory(&b, file.data, file.n, "FILE", flat);

    if (s != GD_OK)
        return s;
    for (int i = 0; i < HASHES; i++)
        assert_int_equal(gd_hasher_make(&h[i]), GD_OK);
    for (int i = 0; i < gd_bundle_count(b) && s == GD_OK; i++)
        s = digest_array(b, gd_bundle_array(b, i), h);
    gd_hasher_text(h[NAMES], out->names);
    gd_hasher_text(h[SHAPES], out->shapes);
    gd_hasher_text(h[VALUES], out->values);
    for (int i = 0; i < HASHES; i++)
        gd_hasher_free(h[i]);
    gd_bundle_close(b);
    return s;
}

gd_status try_read(bytes file, bool flat)
{
    digest d;
    return try_digest(file, flat, &d);
}

bytes deflated_archive(const char *name, const void *data, size_t n)
{
    const char *path = temporary("deflated.zip");
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    zip_source_t *source = zip_source_buffer(zip, data, n, 0);

    assert_int_equal(zip_file_add(zip, name, source, 0), 0);
    assert_int_equal(zip_set_file_compression(zip, 0, ZIP_CM_DEFLATE, 9), 0);
    assert_int_equal(zip_close(zip), 0);
    return read_file(path);
}

bytes make_own(void)
{
    const gd_array arrays[] = { { "w", GD_F32, 2, { 2, 3 } },
                                { "steps", GD_I64, 1, { 2 } },
                                { "none", GD_U8, 1, { 0 } } };
    const gd_meta meta[] = { { "guided.format", "1" }, { "note", "a \"quoted\" caf\xc3\xa9" } };
    const float w[] = { 0.5f, -1, 2, 3, 4, 5 };
    const int64_t steps[] = { 7, -8 };
    const char *path = temporary("own.safetensors");
    gd_safetensors_writer *writer;

    assert_int_equal(gd_safetensors_begin(&writer, path, true, arrays, 3, meta, 2), GD_OK);
    assert_int_equal(gd_safetensors_add(writer, w, sizeof w), GD_OK);
    assert_int_equal(gd_safetensors_add(writer, steps, sizeof steps), GD_OK);
    assert_int_equal(gd_safetensors_commit(writer), GD_OK);
    return read_file(path);
}

size_t peak_bytes(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (size_t)usage.ru_maxrss * 1024;
}

double patience(void)
{
    const char *seconds = getenv("GUIDED_PATIENCE");
    return seconds ? strtod(seconds, NULL) : 1;
}
