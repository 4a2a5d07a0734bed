/* SPDX-License-Identifier: MIT */
/* formats.c - the parts of each format, and what must agree in it. */
#define _GNU_SOURCE
#include "mutate.h"

#include <ctype.h>
#include <string.h>
#include <zlib.h>

static uint64_t little(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

static uint64_t big(const uint8_t *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v = v << 8 | p[i];
    return v;
}

static void put_little(uint8_t *p, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* ---- text: JSON, CSV, headers ---- */

static bool is_word(uint8_t c)
{
    return isalnum(c) || c == '_' || c == '.' || c == '-' || c == '+' || c == '|' || c == '<' ||
           c == '>';
}

static void split_tokens(mutate_parts *p, const uint8_t *data, size_t from, size_t to)
{
    for (size_t at = from, n; at < to; at += n) {
        n = 1;
        if (data[at] == '"' || data[at] == '\'') {
            while (at + n < to && data[at + n] != data[at])
                n += data[at + n] == '\\' ? 2 : 1;
            n = at + n < to ? n + 1 : to - at;
        } else if (is_word(data[at])) {
            while (at + n < to && is_word(data[at + n]))
                n++;
        } else if (isspace(data[at])) {
            continue;
        }
        mutate_add(p, at, n, MUTATE_TEXT);
    }
}

static void split_text(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    size_t line = 0;

    split_tokens(p, data, 0, bytes);
    for (size_t at = 0; at < bytes; at++)
        if (data[at] == '\n') {
            mutate_add(p, line, at + 1 - line, MUTATE_BLOCK);
            line = at + 1;
        }
}

/* ---- safetensors: a length, a JSON header, data ---- */

static void split_safetensors(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    const uint64_t n = bytes >= 8 ? little(data, 8) : 0;

    if (n > 0 && n <= bytes - 8)
        split_tokens(p, data, 8, 8 + (size_t)n);
    mutate_add(p, 0, bytes >= 8 ? 8 : 0, MUTATE_LITTLE);
}

/* Edits of the header move the data: its length follows.  An edit of the length itself stays. */
static void mend_safetensors(uint8_t *data, size_t bytes, int64_t grown)
{
    if (bytes >= 8 && grown != 0)
        put_little(data, little(data, 8) + (uint64_t)grown, 8);
}

/* ---- npy: magic, version, a length of two bytes, a header of text ---- */

static void split_npy(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    const size_t n = bytes >= 10 ? (size_t)little(data + 8, 2) : 0;

    if (n > 0 && n <= bytes - 10)
        split_tokens(p, data, 10, 10 + n);
    mutate_add(p, 6, bytes >= 10 ? 2 : 0, MUTATE_LITTLE);
    mutate_add(p, 8, bytes >= 10 ? 2 : 0, MUTATE_LITTLE);
}

static void mend_npy(uint8_t *data, size_t bytes, int64_t grown)
{
    if (bytes >= 10 && grown != 0)
        put_little(data + 8, little(data + 8, 2) + (uint64_t)grown, 2);
}

/* ---- pictures ---- */

enum { SIGNATURE = 8 };

static void split_png(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    for (size_t at = SIGNATURE; at + 12 <= bytes;) {
        const uint64_t n = big(data + at, 4);
        if (n > bytes - at - 12)
            return;
        mutate_add(p, at, (size_t)n + 12, MUTATE_BLOCK);
        mutate_add(p, at, 4, MUTATE_BIG);
        if (memcmp(data + at + 4, "IHDR", 4) == 0) {
            mutate_add(p, at + 8, 4, MUTATE_BIG);
            mutate_add(p, at + 12, 4, MUTATE_BIG);
            for (size_t k = 16; k < 21; k++)
                mutate_add(p, at + k, 1, MUTATE_BIG);
        }
        mutate_add(p, at + 8, (size_t)n, MUTATE_BLOCK);
        at += (size_t)n + 12;
    }
}

static void mend_png(uint8_t *data, size_t bytes, int64_t grown)
{
    (void)grown;
    for (size_t at = SIGNATURE; at + 12 <= bytes;) {
        const uint64_t n = big(data + at, 4);
        if (n > bytes - at - 12)
            return;
        const uint64_t sum = crc32(0, data + at + 4, (uInt)n + 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 8 + n + i] = (uint8_t)(sum >> (24 - 8 * i));
        at += (size_t)n + 12;
    }
}

static void split_jpeg(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    for (size_t at = 2; at + 4 <= bytes && data[at] == 0xff && data[at + 1] != 0xda;) {
        const size_t n = (size_t)big(data + at + 2, 2) + 2;
        if (n > bytes - at)
            return;
        mutate_add(p, at, n, MUTATE_BLOCK);
        mutate_add(p, at + 1, 1, MUTATE_BIG);
        mutate_add(p, at + 2, 2, MUTATE_BIG);
        for (size_t k = 4; k + 2 <= n && k < 24; k += 1 + (data[at + 1] == 0xc0))
            mutate_add(p, at + k, 1 + (k == 5 || k == 7), MUTATE_BIG);
        at += n;
    }
    for (size_t at = 2; at + 1 < bytes; at++)
        if (data[at] == 0xff && data[at + 1] == 0xda)
            mutate_add(p, at, bytes - at, MUTATE_BLOCK);
}

static void split_webp(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    for (size_t at = 12; at + 8 <= bytes;) {
        const size_t n = (size_t)little(data + at + 4, 4);
        const size_t whole = 8 + n + n % 2;
        if (n > bytes || whole > bytes - at)
            return;
        mutate_add(p, at, whole, MUTATE_BLOCK);
        mutate_add(p, at + 4, 4, MUTATE_LITTLE);
        for (size_t k = 8; k + 3 <= whole && k < 24; k++)
            mutate_add(p, at + k, 1 + k % 3, MUTATE_LITTLE);
        at += whole;
    }
}

/* Fields of the headers of 14 and 40 bytes, masks or palette, rows */
static void split_bmp(mutate_parts *p, size_t bytes)
{
    for (size_t k = 10; k + 4 <= bytes && k < 66; k += 4)
        mutate_add(p, k, 4, MUTATE_LITTLE);
    for (size_t k = 18; k + 2 <= bytes && k < 32; k += 2)
        mutate_add(p, k, 2, MUTATE_LITTLE);
    for (size_t k = 54; k + 16 <= bytes; k += 16)
        mutate_add(p, k, 16, MUTATE_BLOCK);
}

/* The header's numbers are text; the samples of a plain one, too */
static void split_ppm(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    split_tokens(p, data, 0, data[1] <= '3' || bytes < 20 ? bytes : 20);
    mutate_add(p, bytes / 2, bytes - bytes / 2, MUTATE_BLOCK);
}

/* The screen, then extensions and frames with their sub-blocks */
static void split_gif(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    size_t at = 13 + (data[10] & 0x80 ? (size_t)6 << (data[10] & 7) : 0);

    for (size_t k = 6; k < 13; k++)
        mutate_add(p, k, 1 + (k < 9), MUTATE_LITTLE);
    mutate_add(p, 13, at < bytes ? at - 13 : 0, MUTATE_BLOCK);
    while (at + 11 <= bytes && (data[at] == '!' || data[at] == ',')) {
        const bool is_frame = data[at] == ',';
        size_t end = at + (is_frame ? 11 : 2);
        if (is_frame && data[at + 9] & 0x80)
            end += (size_t)6 << (data[at + 9] & 7);
        for (size_t k = 1; is_frame && k < 11; k++)
            mutate_add(p, at + k, k < 9 && k % 2 ? 2 : 1, MUTATE_LITTLE);
        while (end < bytes && data[end]) {
            mutate_add(p, end, 1, MUTATE_LITTLE);
            end += data[end] + 1u;
        }
        if (end >= bytes)
            return;
        mutate_add(p, at, end + 1 - at, MUTATE_BLOCK);
        at = end + 1;
    }
}

/* The directory's entries: tag, type, count, value */
static void split_tiff(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    const bool is_little = data[0] == 'I';
    const mutate_kind kind = is_little ? MUTATE_LITTLE : MUTATE_BIG;
    const uint64_t at = is_little ? little(data + 4, 4) : big(data + 4, 4);

    mutate_add(p, 4, 4, kind);
    if (at > bytes || bytes - at < 2)
        return;
    const uint64_t n = is_little ? little(data + at, 2) : big(data + at, 2);
    mutate_add(p, (size_t)at, 2, kind);
    for (size_t i = 0; i < n && at + 14 + 12 * i <= bytes; i++) {
        const size_t entry = (size_t)at + 2 + 12 * i;
        mutate_add(p, entry, 12, MUTATE_BLOCK);
        mutate_add(p, entry, 2, kind);
        mutate_add(p, entry + 2, 2, kind);
        mutate_add(p, entry + 4, 4, kind);
        mutate_add(p, entry + 8, 4, kind);
        mutate_add(p, entry + 8, 2, kind);
    }
    mutate_add(p, 8, at > 8 ? (size_t)at - 8 : 0, MUTATE_BLOCK);
}

static void split_image(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    if (bytes > 12 && data[0] == 0x89)
        split_png(p, data, bytes);
    else if (bytes > 12 && data[0] == 0xff)
        split_jpeg(p, data, bytes);
    else if (bytes > 12 && data[0] == 'R')
        split_webp(p, data, bytes);
    else if (bytes > 13 && data[0] == 'B')
        split_bmp(p, bytes);
    else if (bytes > 13 && data[0] == 'P')
        split_ppm(p, data, bytes);
    else if (bytes > 13 && data[0] == 'G')
        split_gif(p, data, bytes);
    else if (bytes > 13 && (data[0] == 'I' || data[0] == 'M'))
        split_tiff(p, data, bytes);
}

static void mend_image(uint8_t *data, size_t bytes, int64_t grown)
{
    if (bytes > 12 && data[0] == 0x89)
        mend_png(data, bytes, grown);
    else if (bytes > 12 && data[0] == 'R')
        put_little(data + 4, bytes - 8, 4);
}

/* ---- pickle: opcodes ---- */

/* Bytes of the opcode at data[0] with its argument; 0: none that is known */
static size_t opcode(const uint8_t *data, size_t bytes)
{
    static const char newline[] = "cgp";
    const uint8_t op = data[0];
    size_t n = 1;

    if (op == 'K' || op == 'q' || op == 'h' || op == 0x80)
        n = 2;
    else if (op == 'M')
        n = 3;
    else if (op == 'J' || op == 'r' || op == 'j')
        n = 5;
    else if (op == 'G' || op == 0x95)
        n = 9;
    else if ((op == 'X' || op == 'T') && bytes >= 5)
        n = 5 + (size_t)little(data + 1, 4);
    else if ((op == 0x8c || op == 0x8a || op == 'U') && bytes >= 2)
        n = 2 + data[1];
    else if (strchr(newline, op) && op) {
        for (int lines = op == 'c' ? 2 : 1; lines > 0 && n < bytes; n++)
            lines -= data[n] == '\n';
    }
    return n <= bytes ? n : 0;
}

static void split_opcodes(mutate_parts *p, const uint8_t *data, size_t from, size_t to)
{
    for (size_t at = from, n; at < to; at += n) {
        n = opcode(data + at, to - at);
        if (n == 0)
            return;
        mutate_add(p, at, n, MUTATE_BLOCK);
        if (n > 1 && n <= 9)
            mutate_add(p, at + 1, n - 1, MUTATE_LITTLE);
        if (data[at] == 'X' && n > 5)
            mutate_add(p, at + 5, n - 5, MUTATE_BLOCK);
    }
}

static void split_pickle(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    split_opcodes(p, data, 0, bytes);
}

/* ---- zip: members, directory, end; a stored member by its own format ---- */

static bool is_record(const uint8_t *data, size_t bytes, size_t at, uint8_t c, uint8_t d)
{
    return at + 22 <= bytes && data[at] == 'P' && data[at + 1] == 'K' && data[at + 2] == c &&
           data[at + 3] == d;
}

static void split_member(mutate_parts *p, const uint8_t *data, size_t bytes, size_t at)
{
    const size_t name = (size_t)little(data + at + 26, 2),
                 extra = (size_t)little(data + at + 28, 2),
                 packed = (size_t)little(data + at + 18, 4), from = at + 30 + name + extra;

    for (size_t k = 4; k < 30; k += k < 14 || k > 24 ? 2 : 4)
        mutate_add(p, at + k, k < 14 || k > 24 ? 2 : 4, MUTATE_LITTLE);
    mutate_add(p, at + 30, name, MUTATE_BLOCK);
    if (from > bytes || packed > bytes - from || packed == 0)
        return;
    if (data[at + 8] == 0 && data[from] == 0x80)
        split_opcodes(p, data, from, from + packed);
    else if (data[at + 8] == 0 && packed > 10 && data[from] == 0x93)
        split_tokens(p, data, from + 10, from + (packed < 128 ? packed : 128));
    else
        mutate_add(p, from, packed, MUTATE_BLOCK);
}

static void split_zip(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    for (size_t at = 0; at + 22 <= bytes; at++) {
        if (is_record(data, bytes, at, 3, 4) && at + 30 <= bytes)
            split_member(p, data, bytes, at);
        else if (is_record(data, bytes, at, 1, 2) && at + 46 <= bytes)
            for (size_t k = 4; k < 46; k += k >= 16 && k < 28 ? 4 : k == 42 ? 4 : 2)
                mutate_add(p, at + k, (k >= 16 && k < 28) || k == 42 ? 4 : 2, MUTATE_LITTLE);
        else if (is_record(data, bytes, at, 5, 6))
            for (size_t k = 4; k < 22; k += k == 12 || k == 16 ? 4 : 2)
                mutate_add(p, at + k, k == 12 || k == 16 ? 4 : 2, MUTATE_LITTLE);
    }
}

/* The directory's entry whose name is that of the member */
static uint8_t *entry_of(uint8_t *data, size_t bytes, const uint8_t *name, size_t n)
{
    for (size_t at = 0; at + 46 + n <= bytes; at++)
        if (is_record(data, bytes, at, 1, 2) && little(data + at + 28, 2) == n &&
            memcmp(data + at + 46, name, n) == 0)
            return data + at;
    return NULL;
}

/* Of stored members the checksums; where lengths changed, places too */
static void mend_zip(uint8_t *data, size_t bytes, int64_t grown)
{
    size_t directory = 0;

    for (size_t at = 0; at + 30 <= bytes; at++) {
        if (!is_record(data, bytes, at, 3, 4))
            continue;
        const size_t name = (size_t)little(data + at + 26, 2),
                     from = at + 30 + name + (size_t)little(data + at + 28, 2);
        size_t packed = (size_t)little(data + at + 18, 4), next = from;
        if (name > bytes - at - 30 || from > bytes || data[at + 8] != 0)
            continue;
        while (next + 4 <= bytes && !(data[next] == 'P' && data[next + 1] == 'K' &&
                                      data[next + 2] < 8 && data[next + 3] < 9))
            next++;
        if (grown != 0 && next + 4 <= bytes)
            packed = next - from;
        if (packed > bytes - from)
            continue;
        uint8_t *entry = entry_of(data, bytes, data + at + 30, name);
        const uint64_t sum = crc32(0, data + from, (uInt)packed);
        put_little(data + at + 14, sum, 4);
        put_little(data + at + 18, packed, 4);
        put_little(data + at + 22, packed, 4);
        if (entry) {
            put_little(entry + 16, sum, 4);
            put_little(entry + 20, packed, 4);
            put_little(entry + 24, packed, 4);
            put_little(entry + 42, at, 4);
        }
    }
    for (size_t at = 0; at + 22 <= bytes && grown != 0; at++) {
        if (!directory && is_record(data, bytes, at, 1, 2))
            directory = at;
        if (is_record(data, bytes, at, 5, 6) && directory) {
            put_little(data + at + 12, at - directory, 4);
            put_little(data + at + 16, directory, 4);
        }
    }
}

/* ---- IDX, LMDB, GraphDef, records ---- */

static void split_idx(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    if (bytes > 1 && data[0] == 0x1f)
        return; /* gzip: bytes */
    for (size_t at = 0; at + 4 <= bytes && at < 20; at += 4)
        mutate_add(p, at, 4, MUTATE_BIG);
    mutate_add(p, 2, bytes > 4, MUTATE_BIG);
    mutate_add(p, 3, bytes > 4, MUTATE_BIG);
}

static void split_lmdb(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    enum { PAGE = 4096, HEAD = 160 };

    for (size_t page = 0; page < bytes; page += PAGE) {
        mutate_add(p, page, bytes - page < PAGE ? bytes - page : PAGE, MUTATE_BLOCK);
        for (size_t at = page; at + 8 <= bytes && at < page + HEAD; at += 2)
            mutate_add(p, at, at % 8 ? 2 : 8, MUTATE_LITTLE);
    }
    (void)data;
}

static size_t varint(const uint8_t *data, size_t at, size_t bytes, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; at < bytes && shift < 64; shift += 7) {
        *v |= (uint64_t)(data[at] & 127) << shift;
        if (data[at++] < 128)
            return at;
    }
    return 0;
}

/* Messages of the outermost level are blocks: nothing counts them; numbers within keep their
 * length. */
static void split_protobuf(mutate_parts *p, const uint8_t *data, size_t from, size_t to, int depth)
{
    for (size_t at = from; at < to;) {
        uint64_t tag, v;
        size_t next = varint(data, at, to, &tag);
        const size_t begin = at;
        if (!next)
            return;
        at = next;
        if ((tag & 7) == 2) {
            next = varint(data, at, to, &v);
            if (!next || v > to - next)
                return;
            mutate_add(p, at, next - at, MUTATE_LITTLE);
            if (depth < 4)
                split_protobuf(p, data, next, next + (size_t)v, depth + 1);
            at = next + (size_t)v;
        } else if ((tag & 7) == 0) {
            next = varint(data, at, to, &v);
            if (!next)
                return;
            mutate_add(p, at, next - at, MUTATE_LITTLE);
            at = next;
        } else {
            at += (tag & 7) == 5 ? 4 : 8;
        }
        if (depth == 0 && at <= to)
            mutate_add(p, begin, at - begin, MUTATE_BLOCK);
    }
}

static void split_graphdef(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    split_protobuf(p, data, 0, bytes, 0);
}

/* A page of text, a page of states, records, the recipe */
static void split_records(mutate_parts *p, const uint8_t *data, size_t bytes)
{
    enum { PAGE = 4096, HEAD = 300 };

    split_tokens(p, data, 0, bytes < HEAD ? bytes : HEAD);
    for (size_t at = PAGE; at + 8 <= bytes; at += at < 2 * PAGE ? 512 : 8)
        mutate_add(p, at, 8, MUTATE_LITTLE);
    if (bytes > 2 * PAGE)
        split_tokens(p, data, bytes - 300, bytes);
}

static const mutate_format formats[] = {
    { "safetensors", split_safetensors, mend_safetensors },
    { "checkpoint", split_safetensors, mend_safetensors },
    { "npy", split_npy, mend_npy },
    { "pickle", split_pickle, NULL },
    { "zip", split_zip, mend_zip },
    { "torch", split_zip, mend_zip },
    { "image", split_image, mend_image },
    { "json", split_text, NULL },
    { "config", split_text, NULL },
    { "recipe", split_text, NULL },
    { "csv", split_text, NULL },
    { "idx", split_idx, NULL },
    { "lmdb", split_lmdb, NULL },
    { "graphdef", split_graphdef, NULL },
    { "records", split_records, NULL },
};

const mutate_format *mutate_find(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}
