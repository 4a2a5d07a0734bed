/* SPDX-License-Identifier: MIT */
/* json.c - jansson with the limits that untrusted text needs. */
#include "io/io.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What jansson holds for a part of a text, by the sizes of its structures and some more; and the
 * most for one text: 38,000 arrays of a safetensors header, which then take 60 MiB in all. */
enum {
    OBJECT_BYTES = 350,
    ARRAY_BYTES = 110,
    MEMBER_BYTES = 90,
    ITEM_BYTES = 40,
    MAX_BYTES = 44 << 20
};

static uint64_t cost_of(char c)
{
    switch (c) {
    case '{':
        return OBJECT_BYTES;
    case '[':
        return ARRAY_BYTES;
    case ':':
        return MEMBER_BYTES;
    case ',':
        return ITEM_BYTES;
    default:
        return 2; /* spaces cost time */
    }
}

/* Depth and memory are counted before parsing: jansson's own depth limit (2048) is far above any
 * format's, and a text of 100 MB can ask for gigabytes. */
static gd_status check_limits(uint64_t *needed, const char *text, size_t bytes, int max_depth,
                              const char *file)
{
    bool in_string = false;
    int depth = 0;
    uint64_t held = 0;

    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        if (c == '"') {
            in_string = !in_string;
        } else if (in_string) {
            held += 2; /* the parser's copy and the reader's */
            i += c == '\\';
        } else {
            held += cost_of(c);
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        }
        if (depth > max_depth)
            return gd_fail(GD_EFORMAT, "%s: JSON nested deeper than %d at byte %zu", file,
                           max_depth, i);
        if (held > MAX_BYTES)
            return gd_fail(GD_EFORMAT, "%s: JSON that needs more than %d MiB, at byte %zu", file,
                           MAX_BYTES >> 20, i);
    }
    *needed = held;
    return GD_OK;
}

/* jansson 2.14 takes a failed allocation for the end of a text, or stops the process: there must be
 * room before it begins. */
static gd_status check_room(uint64_t needed, const char *file)
{
    void *room = malloc((size_t)needed + 1);

    if (!room)
        return gd_fail(GD_ENOMEM, "%s: no memory for its JSON", file);
    free(room);
    return GD_OK;
}

gd_status gd_json_parse(struct json_t **out, const char *text, size_t bytes, int max_depth,
                        const char *file)
{
    json_error_t error;
    uint64_t needed;
    const size_t mark = gd_byte_order_mark(text, bytes);

    GD_TRY(gd_text_check(text, bytes, file));
    text += mark;
    bytes -= mark;
    GD_TRY(check_limits(&needed, text, bytes, max_depth, file));
    GD_TRY(check_room(needed, file));
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return GD_OK;
    for (char *c = error.text; *c; c++) /* it quotes the text */
        *c = *c < ' ' || *c > '~' ? '?' : *c;
    return gd_fail(GD_EFORMAT, "%s: JSON line %d column %d: %s", file, error.line, error.column,
                   error.text);
}

/* ---- texts of any bytes ---- */

json_t *gd_json_number(double x)
{
    return isfinite(x) ? json_real(x) : json_null();
}

json_t *gd_json_text(const char *text)
{
    const size_t bytes = strlen(text), size = 4 * bytes + 1;
    char *plain = malloc(size);
    json_t *json = NULL;

    if (plain) {
        gd_escape(plain, size, text, bytes, NULL);
        json = json_string(plain);
    }
    free(plain);
    return json;
}

void gd_json_decode_texts(json_t *object)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        const char *text = json_string_value(value);
        char *copy = text && strstr(text, "\\x") ? strdup(text) : NULL;
        if (copy) {
            gd_unescape(copy);
            json_string_set_nocheck(value, copy);
        }
        free(copy);
    }
}

char *gd_json_dump(const json_t *json, size_t flags)
{
    char *text = json ? json_dumps(json, flags | JSON_ENSURE_ASCII) : NULL, *out, *to;
    size_t deletes = 0;

    for (const char *at = text; at && *at; at++)
        deletes += *at == 127; /* the one control that jansson leaves */
    if (!text || deletes == 0)
        return text;
    to = out = malloc(strlen(text) + 5 * deletes + 1);
    for (const char *at = text; out && *at; at++)
        to += *at == 127 ? sprintf(to, "\\u007f") : sprintf(to, "%c", *at);
    if (out)
        *to = '\0';
    free(text);
    return out;
}
