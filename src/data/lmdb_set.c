/* SPDX-License-Identifier: MIT */
/* lmdb_set.c - LSUN's sets: an LMDB file whose values are image files
 * (docs/reference/training.md#images).
 *
 * Read here and not by liblmdb, which trusts the file: a damaged page makes it read anywhere, a
 * truncated file ends in SIGBUS.  Here the whole tree is walked once, every offset checked.  The
 * format: pages of one size, two meta pages first (the one of the later transaction counts), then
 * branch and leaf pages of nodes, and runs of overflow pages for large values. */
#include "data/data_private.h"

#include <stdlib.h>
#include <string.h>

enum {
    PAGE_HEADER = 16,
    NODE_HEADER = 8,
    IS_BRANCH = 1,
    IS_LEAF = 2,
    IS_OVERFLOW = 4,
    VALUE_ELSEWHERE = 1, /* a node's flag: the value is the number of its overflow page */
    MAX_DEPTH = 32,
    MAX_VALUES = 1 << 28
};
static const uint32_t lmdb_magic = 0xbeefc0de;
static const uint64_t no_page = UINT64_MAX;

typedef struct value {
    uint64_t key, data; /* offsets in the file */
    uint32_t key_bytes, bytes;
} value;

typedef struct lmdb {
    gd_mapped map;
    uint64_t page_bytes, pages, root, entries;
    uint64_t visited; /* pages walked: more than there are means a circle */
    value *value;
    int64_t n, capacity;
} lmdb;

static gd_status damaged(const gd_dataset *set, uint64_t page, const char *what)
{
    return gd_fail(GD_EFORMAT, "%s: damaged LMDB: page %llu: %s", set->path,
                   (unsigned long long)page, what);
}

/* Reads within `bytes` bytes from `offset`; the file holds them */
static gd_cursor window(const gd_dataset *set, const lmdb *l, uint64_t offset, uint64_t bytes)
{
    const unsigned char *at = l->map.data + offset;
    return (gd_cursor){ at, at, at + bytes, set->path };
}

/* ---- the two meta pages ---- */

typedef struct meta {
    uint64_t page_bytes, root, entries, last_page, transaction;
} meta;

/* Offsets as in LMDB 0.9's MDB_meta on 64-bit machines */
static gd_status read_meta(const gd_dataset *set, const lmdb *l, uint64_t offset, meta *out)
{
    enum { META_BYTES = PAGE_HEADER + 136 };
    gd_cursor c;
    const unsigned char *skipped;
    uint32_t magic, version, page_bytes;

    if (offset + META_BYTES > l->map.bytes)
        return damaged(set, 0, "no meta page");
    c = window(set, l, offset, META_BYTES);
    GD_TRY(gd_take_bytes(&c, &skipped, PAGE_HEADER));
    GD_TRY(gd_take_u32(&c, &magic));
    GD_TRY(gd_take_u32(&c, &version));
    if (magic != lmdb_magic || version != 1)
        return damaged(set, offset > 0, "no meta page of version 1");
    GD_TRY(gd_take_bytes(&c, &skipped, 16)); /* address, map size */
    GD_TRY(gd_take_u32(&c, &page_bytes));
    GD_TRY(gd_take_bytes(&c, &skipped, 44 + 32)); /* the free list; sizes of the main tree */
    GD_TRY(gd_take_u64(&c, &out->entries));
    GD_TRY(gd_take_u64(&c, &out->root));
    GD_TRY(gd_take_u64(&c, &out->last_page));
    GD_TRY(gd_take_u64(&c, &out->transaction));
    out->page_bytes = page_bytes;
    if (page_bytes < 256 || page_bytes > 65536 || (page_bytes & (page_bytes - 1)) != 0)
        return damaged(set, offset > 0, "an impossible page size");
    return GD_OK;
}

static gd_status read_metas(const gd_dataset *set, lmdb *l)
{
    meta m, second;
    uint64_t need;

    GD_TRY(read_meta(set, l, 0, &m));
    GD_TRY(read_meta(set, l, m.page_bytes, &second));
    if (second.page_bytes != m.page_bytes)
        return damaged(set, 1, "another page size than page 0");
    if (second.transaction > m.transaction)
        m = second;
    if (!gd_add(m.last_page, 1, &need) || !gd_mul(need, m.page_bytes, &need) || need > l->map.bytes)
        return gd_fail(GD_EFORMAT, "%s: cut short: page %llu is the last, %zu bytes are there",
                       set->path, (unsigned long long)m.last_page, l->map.bytes);
    l->page_bytes = m.page_bytes;
    l->pages = l->map.bytes / m.page_bytes;
    l->root = m.root;
    l->entries = m.entries;
    return GD_OK;
}

/* ---- the tree ---- */

typedef struct page {
    uint64_t number, offset;
    uint16_t flags, lower; /* lower: where the list of nodes ends */
} page;

static gd_status open_page(const gd_dataset *set, const lmdb *l, uint64_t number, page *out)
{
    gd_cursor c;
    uint64_t own;
    uint16_t pad;

    if (number >= l->pages)
        return damaged(set, number, "beyond the end of the file");
    *out = (page){ .number = number, .offset = number * l->page_bytes };
    c = window(set, l, out->offset, PAGE_HEADER);
    GD_TRY(gd_take_u64(&c, &own));
    GD_TRY(gd_take_u16(&c, &pad));
    GD_TRY(gd_take_u16(&c, &out->flags));
    GD_TRY(gd_take_u16(&c, &out->lower));
    return own == number ? GD_OK : damaged(set, number, "has another number");
}

static gd_status add_value(gd_dataset *set, lmdb *l, const value *v)
{
    if (l->n == l->capacity) {
        const int64_t capacity = l->capacity ? 2 * l->capacity : 1024;
        void *wider =
            capacity > MAX_VALUES ? NULL : realloc(l->value, (size_t)capacity * sizeof *l->value);
        if (!wider)
            return gd_fail(GD_ENOMEM, "%s: too many images", set->path);
        l->value = wider;
        l->capacity = capacity;
    }
    l->value[l->n++] = *v;
    return GD_OK;
}

/* The value in a run of overflow pages */
static gd_status find_overflow(const gd_dataset *set, const lmdb *l, uint64_t number, value *v)
{
    page p;
    uint64_t end;

    GD_TRY(open_page(set, l, number, &p));
    v->data = p.offset + PAGE_HEADER;
    if (p.flags != IS_OVERFLOW || !gd_add(v->data, v->bytes, &end) || end > l->map.bytes)
        return damaged(set, number, "no room for the value that begins here");
    return GD_OK;
}

static gd_status walk(gd_dataset *set, lmdb *l, uint64_t number, int depth);

/* Node at `offset` of the page: a child of a branch, or a key with its value */
static gd_status visit_node(gd_dataset *set, lmdb *l, const page *p, uint16_t offset, int depth)
{
    uint16_t low, high, flags, key_bytes;
    const unsigned char *key;
    gd_cursor c;
    uint64_t elsewhere;
    value v;

    if (offset < p->lower || offset > l->page_bytes)
        return damaged(set, p->number, "a node outside the page");
    c = window(set, l, p->offset + offset, l->page_bytes - offset);
    GD_TRY(gd_take_u16(&c, &low));
    GD_TRY(gd_take_u16(&c, &high));
    GD_TRY(gd_take_u16(&c, &flags));
    GD_TRY(gd_take_u16(&c, &key_bytes));
    if (p->flags == IS_BRANCH)
        return walk(set, l, low | (uint64_t)high << 16 | (uint64_t)flags << 32, depth + 1);
    GD_TRY(gd_take_bytes(&c, &key, key_bytes));
    v = (value){ .key = (uint64_t)(key - l->map.data),
                 .key_bytes = key_bytes,
                 .bytes = low | (uint32_t)high << 16,
                 .data = (uint64_t)(c.at - l->map.data) };
    if (flags & ~VALUE_ELSEWHERE)
        return gd_fail(GD_EFORMAT, "%s: an LMDB with databases inside: no set of images",
                       set->path);
    if (flags) {
        GD_TRY(gd_take_u64(&c, &elsewhere));
        GD_TRY(find_overflow(set, l, elsewhere, &v));
    } else {
        GD_TRY(gd_take_bytes(&c, &key, v.bytes));
    }
    return add_value(set, l, &v);
}

static gd_status walk(gd_dataset *set, lmdb *l, uint64_t number, int depth)
{
    gd_cursor list;
    uint16_t offset;
    page p;

    GD_TRY(open_page(set, l, number, &p));
    if (depth > MAX_DEPTH || ++l->visited > l->pages)
        return damaged(set, number, "pages in a circle");
    if ((p.flags != IS_BRANCH && p.flags != IS_LEAF) || p.lower < PAGE_HEADER ||
        p.lower > l->page_bytes)
        return damaged(set, number, "neither branch nor leaf");
    list = window(set, l, p.offset + PAGE_HEADER, p.lower - PAGE_HEADER);
    while (gd_cursor_left(&list) >= sizeof offset) {
        GD_TRY(gd_take_u16(&list, &offset));
        GD_TRY(visit_node(set, l, &p, offset, depth));
    }
    return GD_OK;
}

/* ---- reading ---- */

static void name_of(const gd_dataset *set, int64_t i, char *out, size_t size)
{
    const lmdb *l = set->state;
    const value *v = &l->value[i];
    char key[64];
    int n = 0;

    for (; n < (int)v->key_bytes && n < (int)sizeof key - 1; n++) {
        const unsigned char c = l->map.data[v->key + (uint64_t)n];
        key[n] = c > ' ' && c < 0x7f ? (char)c : '?';
    }
    snprintf(out, size, "%s: %.*s", set->path, n, key);
}

static gd_status read_value(const gd_dataset *set, int64_t i, gd_image *out)
{
    const lmdb *l = set->state;
    const value *v = &l->value[i];
    char name[4096];

    name_of(set, i, name, sizeof name);
    return gd_image_decode(out, l->map.data + v->data, v->bytes, set->options.channels, name);
}

static void close_lmdb(gd_dataset *set)
{
    lmdb *l = set->state;

    gd_unmap(&l->map);
    free(l->value);
}

static bool is_lmdb(const gd_mapped *map)
{
    gd_cursor c = { map->data, map->data, map->data + map->bytes, "" };
    const unsigned char *header;
    uint32_t magic;

    return map->bytes > PAGE_HEADER + sizeof magic &&
           gd_take_bytes(&c, &header, PAGE_HEADER) == GD_OK && gd_take_u32(&c, &magic) == GD_OK &&
           magic == lmdb_magic;
}

gd_status data_open_lmdb(gd_dataset *set)
{
    static const data_kind kind = { read_value, name_of, close_lmdb };
    lmdb *l = gd_alloc(set->mem, sizeof *l);

    if (!l)
        return gd_fail(GD_ENOMEM, "%s: out of memory", set->path);
    if (set->options.labels == GD_LABELS_FOLDER || set->options.labels == GD_LABELS_NAME)
        return gd_fail(GD_EUSAGE, "%s: an LMDB has no labels\nhint: --labels none", set->path);
    GD_TRY(gd_map_file(&l->map, set->path));
    set->kind = &kind;
    set->state = l;
    GD_TRY(read_metas(set, l));
    if (l->root != no_page)
        GD_TRY(walk(set, l, l->root, 0));
    if ((uint64_t)l->n != l->entries)
        return gd_fail(GD_EFORMAT, "%s: damaged LMDB: %llu values announced, %lld found", set->path,
                       (unsigned long long)l->entries, (long long)l->n);
    set->count = l->n;
    return GD_OK;
}

const data_format data_format_lmdb = { "LMDB", is_lmdb, data_open_lmdb };
