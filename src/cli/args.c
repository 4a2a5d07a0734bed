/* args.c - the command line by table.  Long names match exactly; --name value, --name=value,
 * --switch, --no-switch, -x value, -xvalue; -- ends the options. */
#include "cli/args.h"
#include "nn/scripts.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* ---- names ---- */

bool cli_option_is_common(const cli_option *o)
{
    return o >= cli_common_options && o < cli_common_options + cli_n_common_options;
}

static const cli_option *find_in(const cli_option *list, int n, const char *name, size_t length)
{
    for (int i = 0; i < n; i++)
        if (strlen(list[i].name) == length && strncmp(list[i].name, name, length) == 0)
            return &list[i];
    return NULL;
}

static const cli_option *find_common(const char *name, size_t length)
{
    return find_in(cli_common_options, cli_n_common_options, name, length);
}

const cli_option *cli_option_find(const cli_command *c, const char *name, size_t length)
{
    const cli_option *o = find_in(c->options, c->n_options, name, length);
    return o ? o : find_common(name, length);
}

static const cli_option *find_letter(const cli_command *c, char letter)
{
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].letter == letter)
            return &c->options[i];
    for (int i = 0; i < cli_n_common_options; i++)
        if (cli_common_options[i].letter == letter)
            return &cli_common_options[i];
    return NULL;
}

gd_status cli_unknown_option(const cli_command *c, const char *name)
{
    const char *names[128];
    int n = 0;

    for (int i = 0; i < c->n_options && n < COUNT(names); i++)
        names[n++] = c->options[i].name;
    for (int i = 0; i < cli_n_common_options && n < COUNT(names); i++)
        names[n++] = cli_common_options[i].name;
    const char *near = gd_nearest(name, names, n);
    gd_status s = gd_fail(GD_EUSAGE, "%s: unknown option --%s", c->name, name);
    if (near)
        gd_detail("hint: did you mean --%s?", near);
    else
        gd_detail("hint: guided %s --help lists the options", c->name);
    return s;
}

/* ---- what was given ---- */

gd_status cli_option_set(const cli_option *o, const char *text, void *values)
{
    const cli_option *common = find_common(o->name, strlen(o->name));

    if (common)
        GD_TRY(cli_value_set(common, text, &cli_common));
    if (common == o)
        return GD_OK;
    return cli_value_set(o, text, values);
}

const cli_given *cli_given_named(const cli_words *words, const char *name)
{
    for (int i = 0; i < words->n_given; i++)
        if (strcmp(words->given[i].option->name, name) == 0)
            return &words->given[i];
    return NULL;
}

static bool same(const cli_option *a, const cli_option *b)
{
    return a == b || (a->offset == b->offset && cli_option_is_common(a) == cli_option_is_common(b));
}

cli_given *cli_given_find(cli_words *words, const cli_option *o)
{
    for (int i = 0; i < words->n_given; i++)
        if (same(words->given[i].option, o))
            return &words->given[i];
    return NULL;
}

gd_status cli_given_add(cli_words *words, const cli_option *o, const char *text, cli_source source)
{
    cli_given *before = cli_given_find(words, o);

    if (before && before->option == o && gd_script_knows(o->name) && before->source == source) {
        before->text = text; /* as in the authors' scripts: the last one counts */
        return GD_OK;
    }
    if (before && before->source == source)
        return before->option == o ? gd_fail(GD_EUSAGE, "--%s is given twice", o->name)
                                   : gd_fail(GD_EUSAGE, "--%s and --%s are the same option",
                                             before->option->name, o->name);
    if (before && before->source > source)
        return GD_OK;
    if (!before && words->n_given == CLI_MAX_GIVEN)
        return gd_fail(GD_EUSAGE, "more than %d options", CLI_MAX_GIVEN);
    *(before ? before : &words->given[words->n_given++]) = (cli_given){ o, text, source };
    return GD_OK;
}

/* ---- the line ---- */

typedef struct parser {
    const cli_command *c;
    int argc, at;
    char **argv;
    cli_words *words;
} parser;

/* "--eta --steps 5": a value is missing. What begins like an option is given by --name=VALUE. */
static gd_status next_value(parser *p, const char *name, const char **out)
{
    const char *next = p->at < p->argc ? p->argv[p->at] : NULL;

    if (!next || (next[0] == '-' && next[1] == '-' && isalpha((unsigned char)next[2])))
        return gd_fail(GD_EUSAGE, "--%s needs a value", name);
    *out = next;
    p->at++;
    return GD_OK;
}

static gd_status author_flag(parser *p, const char *name, const char *value)
{
    cli_words *w = p->words;

    if (!value)
        GD_TRY(next_value(p, name, &value));
    for (int i = 0; i < w->n_flags; i++)
        if (strcmp(w->flag[i].name, name) == 0) { /* the last one counts */
            w->flag[i].value = value;
            return GD_OK;
        }
    if (w->n_flags == CLI_MAX_FLAGS)
        return gd_fail(GD_EUSAGE, "more than %d network flags", CLI_MAX_FLAGS);
    w->flag[w->n_flags++] = (gd_flag){ name, value };
    return GD_OK;
}

static gd_status take_switch(parser *p, const cli_option *o, const char *value, bool on)
{
    bool given = true;
    const cli_option any = { o->name, 0, CLI_SWITCH, "", "", 0 };
    const char *next = p->at < p->argc ? p->argv[p->at] : "";

    if (value) {
        GD_TRY(cli_value_set(&any, value, &given));
    } else if ((strlen(next) > 1 || gd_script_knows(o->name)) && *next &&
               cli_value_set(&any, next, &given) == GD_OK) {
        p->at++; /* the authors' "--class_cond True" */
    }
    return cli_given_add(p->words, o, on == given ? "true" : "false", CLI_FROM_LINE);
}

static gd_status take_count(parser *p, const cli_option *o)
{
    static const char *const counts[] = { "0", "1", "2" };
    cli_given *before = cli_given_find(p->words, o);

    if (!before)
        return cli_given_add(p->words, o, counts[1], CLI_FROM_LINE);
    before->text = counts[2];
    return GD_OK;
}

static gd_status long_option(parser *p, const char *text)
{
    const char *equals = strchr(text, '=');
    const size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const char *value = equals ? equals + 1 : NULL;
    const cli_option *o = cli_option_find(p->c, text, length);
    bool on = true;

    if (!o && strncmp(text, "no-", 3) == 0) {
        o = cli_option_find(p->c, text + 3, length - 3);
        on = false;
        if (o && o->type != CLI_SWITCH)
            o = NULL;
    }
    if (o && o->type == CLI_COUNT && !value)
        return take_count(p, o);
    if (o && o->type == CLI_SWITCH)
        return take_switch(p, o, value, on);
    if (!o) {
        const char *name = cli_keep(text, length);
        if (!name)
            return gd_fail(GD_ENOMEM, "out of memory");
        return gd_flag_known(name) ? author_flag(p, name, value) : cli_unknown_option(p->c, name);
    }
    if (!value && o->type == CLI_MAYBE)
        value = p->at < p->argc && p->argv[p->at][0] != '-' ? p->argv[p->at++] : "";
    if (!value)
        GD_TRY(next_value(p, o->name, &value));
    return cli_given_add(p->words, o, value, CLI_FROM_LINE);
}

static gd_status short_option(parser *p, const char *text)
{
    const cli_option *o = find_letter(p->c, text[0]);
    const char *value = text + 1;

    if (!o)
        return gd_fail(GD_EUSAGE,
                       "%s: unknown option -%c\nhint: guided %s --help lists the options",
                       p->c->name, text[0], p->c->name);
    if (o->type == CLI_SWITCH || o->type == CLI_COUNT) {
        GD_TRY(o->type == CLI_COUNT ? take_count(p, o)
                                    : cli_given_add(p->words, o, "true", CLI_FROM_LINE));
        return *value ? short_option(p, value) : GD_OK;
    }
    if (!*value)
        GD_TRY(next_value(p, o->name, &value));
    return cli_given_add(p->words, o, value, CLI_FROM_LINE);
}

static gd_status read_words(parser *p)
{
    cli_words *w = p->words;
    bool options = true;

    while (p->at < p->argc) {
        char *text = p->argv[p->at++];
        if (options && strcmp(text, "--") == 0)
            options = false;
        else if (options && strncmp(text, "--", 2) == 0)
            GD_TRY(long_option(p, text + 2));
        else if (options && text[0] == '-' && text[1])
            GD_TRY(short_option(p, text + 1));
        else if (w->n_words < CLI_MAX_WORDS)
            w->word[w->n_words++] = text;
        else
            return gd_fail(GD_EUSAGE, "%s: too many words", p->c->name);
    }
    return GD_OK;
}

/* ---- what ends the program ---- */

static void leave(void)
{
    exit(cli_report(cli_flush()));
}

void cli_help_wanted(const cli_command *c, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const bool brief = strcmp(argv[i], "-h") == 0;
        if (!brief && strcmp(argv[i], "--help") != 0)
            continue;
        (brief ? cli_print_brief : cli_print_help)(c, stdout);
        leave();
    }
}

static void print_config(const cli_command *c, const void *values, const cli_words *w)
{
    printf("# guided %s --config THIS_FILE\n", c->name);
    for (int i = 0; i < c->n_options; i++)
        if (!cli_is_alias(&c->options[i]))
            cli_value_print(&c->options[i], values, stdout);
    for (int i = 0; i < cli_n_common_options; i++) {
        const cli_option *o = &cli_common_options[i];
        if (cli_option_find(c, o->name, strlen(o->name)) == o && !strstr(o->name, "config"))
            cli_value_print(o, &cli_common, stdout);
    }
    for (int i = 0; i < w->n_flags; i++)
        printf("%s = %s\n", w->flag[i].name, w->flag[i].value);
    leave();
}

gd_status cli_parse(const cli_command *c, int argc, char **argv, void *values, cli_words *words)
{
    parser p = { c, argc, 0, argv, words };

    GD_TRY(read_words(&p));
    GD_TRY(cli_settings_read(c, values, words));
    for (int i = 0; i < words->n_given; i++)
        if (words->given[i].source == CLI_FROM_LINE)
            GD_TRY(cli_option_set(words->given[i].option, words->given[i].text, values));
    cli_set_notices();
    gd_set_max_pixels(cli_common.max_pixels);
    if (cli_common.print_config)
        print_config(c, values, words);
    return GD_OK;
}
