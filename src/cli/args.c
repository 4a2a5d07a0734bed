/* args.c - parsing by table. Long names match exactly; --name value, --name=value, --switch,
 * --no-switch. */
#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- values ---- */

static gd_status bad_value(const cli_option *o, const char *value, const char *expected)
{
    return gd_fail(GD_EUSAGE, "--%s %s: expected %s", o->name, value, expected);
}

static gd_status set_number(const cli_option *o, const char *value, void *place)
{
    char *end, range[64];
    const double v = strtod(value, &end);

    snprintf(range, sizeof range, "a number from %g to %g", o->min, o->max);
    if (!*value || *end || !(v >= o->min && v <= o->max) ||
        (o->type == CLI_INT && v != (double)(int)v) ||
        (o->type == CLI_WIDE && v != (double)(int64_t)v))
        return bad_value(o, value, range);
    if (o->type == CLI_INT)
        *(int *)place = (int)v;
    else if (o->type == CLI_WIDE)
        *(int64_t *)place = (int64_t)v;
    else
        *(double *)place = v;
    return GD_OK;
}

static gd_status set_seed(const cli_option *o, const char *value, void *place)
{
    char *end;

    errno = 0;
    const unsigned long long v = strtoull(value, &end, 10);
    if (!*value || *end || errno || *value == '-')
        return bad_value(o, value, "a number from 0 to 2^64 - 1");
    *(uint64_t *)place = v;
    *(bool *)((uint64_t *)place + 1) = true; /* "given", which stands behind it */
    return GD_OK;
}

static gd_status set_value(const cli_option *o, const char *value, void *values)
{
    void *place = (char *)values + o->offset;

    switch (o->type) {
    case CLI_INT:
    case CLI_WIDE:
    case CLI_REAL:
        return set_number(o, value, place);
    case CLI_SEED:
        return set_seed(o, value, place);
    default:
        *(const char **)place = value;
        return GD_OK;
    }
}

/* ---- names ---- */

static const cli_option *find(const cli_command *c, const char *name, size_t length)
{
    for (int i = 0; i < c->n_options; i++)
        if (strlen(c->options[i].name) == length && strncmp(c->options[i].name, name, length) == 0)
            return &c->options[i];
    return NULL;
}

static const cli_option *find_letter(const cli_command *c, char letter)
{
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].letter == letter)
            return &c->options[i];
    return NULL;
}

static gd_status unknown(const cli_command *c, const char *name)
{
    const char *names[128];
    int n = 0;

    for (int i = 0; i < c->n_options && n < COUNT(names); i++)
        names[n++] = c->options[i].name;
    const char *near = gd_nearest(name, names, n);
    gd_status s = gd_fail(GD_EUSAGE, "%s: unknown option --%s", c->name, name);
    if (near)
        gd_detail("hint: did you mean --%s?", near);
    else
        gd_detail("hint: guided %s --help lists the options", c->name);
    return s;
}

typedef struct parser {
    const cli_command *c;
    int argc, at;
    char **argv;
    void *values;
    cli_words *words;
} parser;

static gd_status next_value(parser *p, const char *name, const char **out)
{
    if (p->at >= p->argc)
        return gd_fail(GD_EUSAGE, "--%s needs a value", name);
    *out = p->argv[p->at++];
    return GD_OK;
}

static gd_status author_flag(parser *p, const char *name, const char *value)
{
    if (p->words->n_flags == CLI_MAX_FLAGS)
        return gd_fail(GD_EUSAGE, "more than %d network flags", CLI_MAX_FLAGS);
    if (!value)
        GD_TRY(next_value(p, name, &value));
    p->words->flag[p->words->n_flags++] = (gd_flag){ name, value };
    return GD_OK;
}

/* Words that mean true and false to the authors' scripts: their switches take a value */
static bool truth(const char *word, bool *out)
{
    static const char *const yes[] = { "True", "true", "yes", "1" }, *const no[] = { "False",
                                                                                     "false", "no",
                                                                                     "0" };

    for (int i = 0; word && i < COUNT(yes); i++) {
        if (strcmp(word, yes[i]) == 0 || strcmp(word, no[i]) == 0) {
            *out = strcmp(word, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static void set_switch(parser *p, const cli_option *o, const char *value, bool on)
{
    bool given;

    if (truth(value, &given))
        on = on == given;
    else if (!value && p->at < p->argc && strlen(p->argv[p->at]) > 1 &&
             truth(p->argv[p->at], &given)) {
        on = on == given;
        p->at++;
    }
    *(bool *)((char *)p->values + o->offset) = on;
}

static gd_status long_option(parser *p, char *text)
{
    char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const char *value = equals ? equals + 1 : NULL;
    const cli_option *o = find(p->c, text, length);
    bool on = true;

    if (!o && strncmp(text, "no-", 3) == 0) {
        o = find(p->c, text + 3, length - 3);
        on = false;
        if (o && o->type != CLI_SWITCH)
            o = NULL;
    }
    if (o && o->type == CLI_SWITCH) {
        set_switch(p, o, value, on);
        return GD_OK;
    }
    if (equals)
        *equals = '\0';
    if (!o)
        return gd_flag_known(text) ? author_flag(p, text, value) : unknown(p->c, text);
    if (!value && o->type == CLI_MAYBE)
        value = p->at < p->argc && p->argv[p->at][0] != '-' ? p->argv[p->at++] : "";
    if (!value)
        GD_TRY(next_value(p, o->name, &value));
    return set_value(o, value, p->values);
}

static gd_status short_option(parser *p, const char *text)
{
    const cli_option *o = find_letter(p->c, text[0]);
    const char *value = text + 1;

    if (!o)
        return gd_fail(GD_EUSAGE, "%s: unknown option -%c", p->c->name, text[0]);
    if (o->type == CLI_SWITCH) {
        *(bool *)((char *)p->values + o->offset) = true;
        return *value ? short_option(p, value) : GD_OK;
    }
    if (!*value)
        GD_TRY(next_value(p, o->name, &value));
    return set_value(o, value, p->values);
}

gd_status cli_parse(const cli_command *c, int argc, char **argv, void *values, cli_words *words)
{
    parser p = { c, argc, 0, argv, values, words };

    while (p.at < p.argc) {
        char *text = p.argv[p.at++];
        if (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0) {
            words->help = true;
            return GD_OK;
        }
        if (strncmp(text, "--", 2) == 0 && text[2]) {
            GD_TRY(long_option(&p, text + 2));
        } else if (text[0] == '-' && text[1] && text[1] != '-') {
            GD_TRY(short_option(&p, text + 1));
        } else if (words->n_words < CLI_MAX_WORDS) {
            words->word[words->n_words++] = text;
        } else {
            return gd_fail(GD_EUSAGE, "%s: too many words", c->name);
        }
    }
    return GD_OK;
}

void cli_print_help(const cli_command *c, FILE *out)
{
    fprintf(out, "guided %s - %s\n\n  %s\n\nusage: guided %s\n", c->name, c->about, c->example,
            c->usage);
    for (int i = 0; i < c->n_options; i++) {
        const cli_option *o = &c->options[i];
        char left[64];
        if (!o->about)
            continue;
        snprintf(left, sizeof left, "%s%c%s --%s%s%s%s", o->letter ? "-" : " ",
                 o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                 o->type == CLI_SWITCH  ? ""
                 : o->type == CLI_MAYBE ? " ["
                                        : " ",
                 o->type == CLI_SWITCH ? "" : o->argument, o->type == CLI_MAYBE ? "]" : "");
        fprintf(out, "  %-28s %s\n", left, o->about);
    }
    fprintf(out, "The authors' flags (--image_size 64 --num_channels 192 ...) override what the "
                 "file says.\n");
}
