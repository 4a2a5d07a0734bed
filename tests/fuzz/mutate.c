/* SPDX-License-Identifier: MIT */
/* mutate.c - one to four edits of an input's parts. */
#include "mutate.h"

#include <stdio.h>
#include <string.h>

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return below ? (state >> 33) % below : 0;
}

void mutate_add(mutate_parts *p, size_t at, size_t bytes, mutate_kind kind)
{
    if (p->n < MUTATE_MAX_PARTS && bytes > 0)
        p->part[p->n++] = (mutate_part){ at, bytes, kind };
}

/* ---- bytes ---- */

typedef struct input {
    uint8_t *data;
    size_t bytes;
} input;

/* `n` bytes at `at` become `with` */
static void replace(input *in, size_t at, size_t n, const void *with, size_t with_bytes)
{
    static uint8_t copy[MUTATE_ROOM];

    if (at > in->bytes || n > in->bytes - at || in->bytes - n + with_bytes > MUTATE_ROOM)
        return;
    memcpy(copy, with, with_bytes); /* it may lie in the input */
    memmove(in->data + at + with_bytes, in->data + at + n, in->bytes - at - n);
    memcpy(in->data + at, copy, with_bytes);
    in->bytes += with_bytes - n;
}

/* ---- one part ---- */

static uint64_t interesting(uint64_t old)
{
    switch (draw(12)) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return ~(uint64_t)0;
    case 3:
        return (uint64_t)1 << draw(64);
    case 4:
        return ((uint64_t)1 << draw(64)) - 1;
    case 5:
        return old + 1;
    case 6:
        return old - 1;
    case 7:
        return old * 2;
    case 8:
        return old / 2;
    case 9:
        return old ^ (uint64_t)1 << draw(64);
    default:
        return draw(300);
    }
}

static void edit_number(input *in, const mutate_part *p)
{
    uint8_t *at = in->data + p->at;
    uint64_t value = 0;

    if (p->bytes > 8 || p->at + p->bytes > in->bytes)
        return;
    for (size_t i = 0; i < p->bytes; i++)
        value = value << 8 | at[p->kind == MUTATE_BIG ? i : p->bytes - 1 - i];
    value = interesting(value);
    for (size_t i = 0; i < p->bytes; i++)
        at[p->kind == MUTATE_BIG ? p->bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static void edit_text(input *in, const mutate_parts *all, const mutate_part *p)
{
    static const char *const words[] = { "0",
                                         "-1",
                                         "1e400",
                                         "18446744073709551616",
                                         "9223372036854775807",
                                         "-9223372036854775808",
                                         "2147483648",
                                         "NaN",
                                         "null",
                                         "true",
                                         "false",
                                         "\"\"",
                                         "\"\\u0000\"",
                                         "\"\\u001b[2J\"",
                                         "[]",
                                         "{}",
                                         ",",
                                         ":",
                                         "1.5",
                                         "65500",
                                         "4096",
                                         "\"F32\"",
                                         "\"U8\"",
                                         "\"BF16\"",
                                         "(",
                                         ")",
                                         "'<f8'",
                                         "'|O'" };
    const mutate_part *other = &all->part[draw((uint64_t)all->n)];
    const char *word = words[draw(sizeof words / sizeof *words)];

    if (draw(3) == 0 && other->at + other->bytes <= in->bytes && other->kind == MUTATE_TEXT)
        replace(in, p->at, p->bytes, in->data + other->at, other->bytes);
    else if (draw(6) == 0)
        replace(in, p->at, p->bytes, "", 0);
    else
        replace(in, p->at, p->bytes, word, strlen(word));
}

static void swap_blocks(input *in, const mutate_part *a, const mutate_part *b)
{
    static uint8_t first[MUTATE_ROOM], second[MUTATE_ROOM];

    if (a->at + a->bytes > b->at || b->at + b->bytes > in->bytes)
        return;
    memcpy(first, in->data + a->at, a->bytes);
    memcpy(second, in->data + b->at, b->bytes);
    replace(in, b->at, b->bytes, first, a->bytes);
    replace(in, a->at, a->bytes, second, b->bytes);
}

static void edit_block(input *in, const mutate_parts *all, const mutate_part *p)
{
    const mutate_part *other = &all->part[draw((uint64_t)all->n)];

    if (p->at + p->bytes > in->bytes)
        return;
    switch (draw(6)) {
    case 0:
        replace(in, p->at, p->bytes, "", 0);
        break;
    case 1:
        replace(in, p->at, 0, in->data + p->at, p->bytes);
        break;
    case 2:
        swap_blocks(in, p, other);
        break;
    case 3:
        if (other->at + other->bytes <= in->bytes)
            replace(in, p->at, p->bytes, in->data + other->at, other->bytes);
        break;
    case 4:
        in->data[p->at + draw(p->bytes)] ^= (uint8_t)(1u << draw(8));
        break;
    default:
        in->data[p->at + draw(p->bytes)] = (uint8_t)interesting(draw(256));
    }
}

/* ---- all ---- */

static void edit_byte(input *in)
{
    if (in->bytes > 0)
        in->data[draw(in->bytes)] ^= (uint8_t)(1u << draw(8));
}

size_t mutate(uint8_t *data, size_t bytes, const mutate_format *format, uint64_t seed)
{
    static mutate_parts parts;
    input in = { data, bytes };

    state = seed * 0x9e3779b97f4a7c15u + 1;
    draw(1);
    for (uint64_t edits = 1 + draw(4); edits > 0; edits--) {
        const size_t before = in.bytes;
        parts.n = 0;
        if (format)
            format->split(&parts, in.data, in.bytes);
        if (parts.n == 0) {
            edit_byte(&in);
            continue;
        }
        const mutate_part *p = &parts.part[draw((uint64_t)parts.n)];
        if (p->kind == MUTATE_TEXT)
            edit_text(&in, &parts, p);
        else if (p->kind == MUTATE_BLOCK)
            edit_block(&in, &parts, p);
        else
            edit_number(&in, p);
        if (draw(10) > 0 && format->mend)
            format->mend(in.data, in.bytes, (int64_t)in.bytes - (int64_t)before);
    }
    return draw(40) == 0 ? draw(in.bytes + 1) : in.bytes; /* cut short */
}
