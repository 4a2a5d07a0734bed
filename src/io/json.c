/* json.c - jansson with the limits that untrusted text needs. */
#include "io/io.h"

#include <jansson.h>

/* Depth is counted before parsing: jansson's own limit (2048) is far above any format's. */
static gd_status check_depth(const char *text, size_t bytes, int max_depth, const char *file)
{
    bool in_string = false;
    int depth = 0;

    for (size_t i = 0; i < bytes; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
            continue;
        }
        if (text[i] == '"')
            in_string = true;
        else if (text[i] == '{' || text[i] == '[')
            depth++;
        else if (text[i] == '}' || text[i] == ']')
            depth--;
        if (depth > max_depth)
            return gd_fail(GD_EFORMAT, "%s: JSON nested deeper than %d at byte %zu", file,
                           max_depth, i);
    }
    return GD_OK;
}

gd_status gd_json_parse(struct json_t **out, const char *text, size_t bytes, int max_depth,
                        const char *file)
{
    json_error_t error;

    GD_TRY(check_depth(text, bytes, max_depth, file));
    *out = json_loadb(text, bytes, JSON_REJECT_DUPLICATES, &error);
    if (!*out)
        return gd_fail(GD_EFORMAT, "%s: JSON line %d column %d: %s", file, error.line, error.column,
                       error.text);
    return GD_OK;
}
