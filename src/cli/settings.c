/* settings.c - what stands under the command line: GUIDED_NAME variables, and under them the lines
 * "name = value" of the --config file. */
#include "cli/args.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

cli_settings cli_common = { .progress = "auto" };

#define AT(field) offsetof(cli_settings, field)
const cli_option cli_common_options[] = {
    { "config", 0, CLI_TEXT, "FILE", "options from a file of lines: name = value", AT(config) },
    { "max-pixels", 0, CLI_WIDE, "N",
      "read pictures of up to N pixels, however small their file (default: Pillow's limit)",
      AT(max_pixels), 1, 1e12 },
    { "print-config", 0, CLI_SWITCH, "", "print what all options come to, as such a file, and stop",
      AT(print_config) },
    { "progress", 0, CLI_TEXT, "auto|tty|plain|json|none", "how progress is shown", AT(progress) },
    { "quiet", 'q', CLI_SWITCH, "", "errors only", AT(quiet) },
    { "verbose", 'v', CLI_COUNT, "", "timings, ISA, threads; -vv: every layer too", AT(verbose) },
};
#undef AT
const int cli_n_common_options = COUNT(cli_common_options);

static gd_arena *texts;

char *cli_keep(const char *text, size_t n)
{
    char *copy = NULL;

    if (texts || gd_arena_make(&texts) == GD_OK)
        copy = gd_alloc(texts, n + 1);

    if (copy)
        memcpy(copy, text, n);
    return copy;
}

void cli_forget(void)
{
    gd_arena_free(texts);
    texts = NULL;
}

/* ---- one entry ---- */

static gd_status enter(const cli_option *o, const char *text, void *values, cli_words *words,
                       cli_source source)
{
    GD_TRY(cli_option_set(o, text, values));
    return cli_given_add(words, o, text, source);
}

static gd_status enter_flag(cli_words *words, const char *name, const char *text)
{
    for (int i = 0; i < words->n_flags; i++)
        if (strcmp(words->flag[i].name, name) == 0) /* the command line stands above */
            return GD_OK;
    if (words->n_flags == CLI_MAX_FLAGS)
        return gd_fail(GD_EUSAGE, "more than %d network flags", CLI_MAX_FLAGS);
    words->flag[words->n_flags++] = (gd_flag){ name, text };
    return GD_OK;
}

/* ---- the file ---- */

static const char *trimmed(const char *from, const char *to)
{
    while (from < to && isspace((unsigned char)*from))
        from++;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    return cli_keep(from, (size_t)(to - from));
}

static gd_status read_line(const cli_command *c, const char *line, const char *end, void *values,
                           cli_words *words)
{
    const char *equals = memchr(line, '=', (size_t)(end - line));
    const char *name = trimmed(line, equals ? equals : end),
               *text = equals ? trimmed(equals + 1, end) : "";
    const cli_option *o;

    if (!name || !text)
        return gd_fail(GD_ENOMEM, "out of memory");
    if (!*name || *name == '#')
        return *name || !equals ? GD_OK : gd_fail(GD_EUSAGE, "no name before =");
    if (!equals || !*text)
        return gd_fail(GD_EUSAGE, "%s: expected %s = value", name, name);
    o = cli_option_find(c, name, strlen(name));
    if (o && cli_option_is_common(o) && strstr("config print-config", name))
        return gd_fail(GD_EUSAGE, "%s has no place in a configuration file", name);
    if (o)
        return enter(o, text, values, words, CLI_FROM_FILE);
    return gd_flag_known(name) ? enter_flag(words, name, text) : cli_unknown_option(c, name);
}

static gd_status read_file(const cli_command *c, const char *path, void *values, cli_words *words)
{
    gd_status s = GD_OK;
    size_t bytes;
    char *text;
    int number = 0;

    GD_TRY(gd_text_read(&text, &bytes, path));
    const char *at = text, *end = text + bytes;
    while (at < end && s == GD_OK) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        number++;
        s = read_line(c, at, stop ? stop : end, values, words);
        at = stop ? stop + 1 : end;
    }
    if (s != GD_OK)
        gd_context("%s:%d", path, number);
    gd_block_free(text);
    return s;
}

/* ---- the environment ---- */

static void variable_of(char *out, size_t bytes, const char *name)
{
    snprintf(out, bytes, "GUIDED_%s", name);
    for (char *at = out; *at; at++)
        *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
}

static gd_status read_variables(const cli_option *option, int n, void *values, cli_words *words)
{
    char name[80];

    for (int i = 0; i < n; i++) {
        variable_of(name, sizeof name, option[i].name);
        const char *text = cli_is_alias(&option[i]) ? NULL : getenv(name);
        if (!text || !*text)
            continue;
        const gd_status s = enter(&option[i], text, values, words, CLI_FROM_ENVIRONMENT);
        if (s != GD_OK) {
            gd_context("%s", name);
            return s;
        }
    }
    return GD_OK;
}

gd_status cli_settings_read(const cli_command *c, void *values, cli_words *words)
{
    const cli_given *config = cli_given_find(words, &cli_common_options[0]);
    const char *path = config ? config->text : getenv("GUIDED_CONFIG");

    if (path && *path)
        GD_TRY(read_file(c, path, values, words));
    GD_TRY(read_variables(c->options, c->n_options, values, words));
    return read_variables(cli_common_options, cli_n_common_options, &cli_common, words);
}
