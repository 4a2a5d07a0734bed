/* SPDX-License-Identifier: MIT */
/* manual.c - prints help and manual pages from the tables of options. */
#include "jobs/jobs.h"

#include <ctype.h>
#include <string.h>

enum {
    WIDTH = 79,
    BRIEF_LINES = 24,
    COLUMN = 31
}; /* COLUMN: where descriptions of options begin */

/* ---- lines ---- */

/* Prints `text` in lines of up to WIDTH characters; lines after the first are indented by `indent`;
 * the caller has written `column` characters.  out NULL: only counts.  Returns the number of lines.
 */
static int wrap(FILE *out, const char *text, int indent, int column)
{
    int lines = 1;

    for (const char *at = text; *at;) {
        const int n = (int)strcspn(at, " ");
        if (column > indent && column + 1 + n > WIDTH) {
            if (out)
                fprintf(out, "\n%*s", indent, "");
            column = indent;
            lines++;
        } else if (at != text) {
            if (out)
                fputc(' ', out);
            column++;
        }
        if (out)
            fprintf(out, "%.*s", n, at);
        column += n;
        at += n + (at[n] == ' ');
    }
    if (out)
        fputc('\n', out);
    return lines;
}

/* " FILE", " [FILE]", or nothing */
static const char *argument_of(char *out, size_t bytes, const job_option *o)
{
    snprintf(out, bytes, o->type == JOB_MAYBE ? " [%s]" : " %s", o->argument);
    return job_takes_value(o) ? out : "";
}

static int print_option(FILE *out, const job_option *o)
{
    char left[128], argument[64];
    int n = snprintf(left, sizeof left, "  %s%c%s --%s%s", o->letter ? "-" : " ",
                     o->letter ? o->letter : ' ', o->letter ? "," : " ", o->name,
                     argument_of(argument, sizeof argument, o));

    if (out)
        fprintf(out, "%s", left);
    if (n < COLUMN - 1) {
        if (out)
            fprintf(out, "%*s", COLUMN - n, "");
        return wrap(out, o->about, COLUMN, COLUMN);
    }
    if (out)
        fprintf(out, "\n%*s", COLUMN, "");
    return 1 + wrap(out, o->about, COLUMN, COLUMN);
}

/* Returns the number of lines. */
static int print_head(FILE *out, const job_kind *c)
{
    enum { INDENT = 14 }; /* "usage: guided " */

    if (out)
        fprintf(out, "guided %s - %s\n\n  %s\n\nusage: guided ", c->name, c->about, c->example);
    return 4 + wrap(out, c->usage, INDENT, INDENT);
}

/* The verb has its own option of this name */
static bool hidden(const job_kind *c, const job_option *common)
{
    for (int i = 0; i < c->n_options; i++)
        if (strcmp(c->options[i].name, common->name) == 0)
            return true;
    return false;
}

/* ---- -h ---- */

/* Selects options with a letter first, then the others in order, as many as fit into 24 lines */
void job_print_brief(const job_kind *c, FILE *out)
{
    enum { MOST = 128, LAST_LINE = 1 };
    bool chosen[MOST] = { false };
    int left = BRIEF_LINES - LAST_LINE - print_head(NULL, c), more = 0;

    for (int round = 0; round < 2; round++)
        for (int i = 0; i < GD_MIN(c->n_options, MOST); i++) {
            const job_option *o = &c->options[i];
            if (chosen[i] || !o->about || job_is_alias(o) || (round == 0 && !o->letter))
                continue;
            const int lines = print_option(NULL, o);
            chosen[i] = lines <= left;
            left -= chosen[i] ? lines : 0;
            more += round == 1 && !chosen[i];
        }
    print_head(out, c);
    for (int i = 0; i < GD_MIN(c->n_options, MOST); i++)
        if (chosen[i])
            print_option(out, &c->options[i]);
    if (more > 0)
        fprintf(out, "%d more", more);
    else
        fprintf(out, "options of every verb");
    fprintf(out, ": --help; the manual: guided help %s\n", c->name);
}

/* ---- --help ---- */

void job_print_help(const job_kind *c, FILE *out)
{
    int aliases = 0;

    print_head(out, c);
    if (c->n_options > 0)
        fprintf(out, "\n");
    for (int i = 0; i < c->n_options; i++) {
        if (job_is_alias(&c->options[i]))
            aliases++;
        else if (c->options[i].about)
            print_option(out, &c->options[i]);
    }
    fprintf(out, "\nOptions of every verb:\n");
    for (int i = 0; i < job_n_common_options; i++)
        if (!hidden(c, &job_common_options[i]))
            print_option(out, &job_common_options[i]);
    fprintf(out, "  -h, --help                   -h prints the main options, --help all\n");
    if (aliases > 0)
        fprintf(out, "\nThe authors' names of options:\n");
    for (int i = 0; i < c->n_options; i++)
        if (job_is_alias(&c->options[i]))
            print_option(out, &c->options[i]);
    fprintf(out, "\n");
    wrap(out,
         "The authors' flags of a network (--image_size 64 --num_channels 192 ...) override the "
         "configuration in its file. Options come from the command line, then from GUIDED_NAME "
         "variables, then from the --config file.",
         0, 0);
}

/* ---- the manual, as roff or as text ---- */

typedef struct page {
    FILE *out;
    bool roff;
} page;

static void escaped(const page *p, const char *text)
{
    if (*text == '.' || *text == '\'')
        fprintf(p->out, "\\&");
    for (; *text; text++) {
        if (*text == '\\')
            fprintf(p->out, "\\e");
        else if (*text == '-')
            fprintf(p->out, "\\-");
        else
            fputc(*text, p->out);
    }
}

static void heading(const page *p, const char *text)
{
    fprintf(p->out, p->roff ? ".SH %s\n" : strcmp(text, "NAME") == 0 ? "%s\n" : "\n%s\n", text);
}

static void paragraph(const page *p, const char *text)
{
    if (p->roff) {
        fprintf(p->out, ".PP\n");
        escaped(p, text);
        fprintf(p->out, "\n");
        return;
    }
    fprintf(p->out, "    ");
    wrap(p->out, text, 4, 4);
}

static void line(const page *p, const char *text)
{
    if (!p->roff) {
        fprintf(p->out, "    %s\n", text);
        return;
    }
    fprintf(p->out, ".nf\n");
    escaped(p, text);
    fprintf(p->out, "\n.fi\n");
}

static void item(const page *p, const char *left, const char *text)
{
    if (p->roff) {
        fprintf(p->out, ".TP\n.B ");
        escaped(p, left);
        fprintf(p->out, "\n");
        escaped(p, text);
        fprintf(p->out, "\n");
        return;
    }
    fprintf(p->out, "    %s\n        ", left);
    wrap(p->out, text, 8, 8);
}

static void option_item(const page *p, const job_option *o)
{
    char left[160], letter[8] = "", text[512], argument[64];

    if (o->letter)
        snprintf(letter, sizeof letter, "-%c, ", o->letter);
    snprintf(left, sizeof left, "%s--%s%s", letter, o->name,
             argument_of(argument, sizeof argument, o));
    snprintf(text, sizeof text, "%s", o->about);
    if (o->type == JOB_REAL && !job_is_alias(o))
        snprintf(text + strlen(text), sizeof text - strlen(text), "; from %g to %g", o->min,
                 o->max);
    if ((o->type == JOB_INT || o->type == JOB_WIDE) && !job_is_alias(o))
        snprintf(text + strlen(text), sizeof text - strlen(text), "; from %.0f to %.0f", o->min,
                 o->max);
    item(p, left, text);
}

static void options_page(const page *p, const job_kind *c)
{
    heading(p, "OPTIONS");
    for (int i = 0; i < c->n_options; i++)
        if (c->options[i].about && !job_is_alias(&c->options[i]))
            option_item(p, &c->options[i]);
    for (int i = 0; i < job_n_common_options; i++)
        if (!hidden(c, &job_common_options[i]))
            option_item(p, &job_common_options[i]);
    item(p, "-h, --help", "-h prints the main options on one screen, --help all options");
    paragraph(p, "--name value and --name=value are the same; --no-name turns a switch off. Names "
                 "must match exactly, and each option can be given once.");
    heading(p, "THE AUTHORS' FLAGS");
    paragraph(p, "Flags of a network in the authors' spelling (--image_size 64 --num_channels 192 "
                 "--class_cond True ...) override the configuration in its file, so command lines "
                 "of their README work unchanged.");
    for (int i = 0; i < c->n_options; i++)
        if (job_is_alias(&c->options[i]))
            option_item(p, &c->options[i]);
}

static void settings_page(const page *p)
{
    char isas[GD_ISA_NAMES], text[GD_ISA_NAMES + 64];

    heading(p, "CONFIGURATION");
    paragraph(
        p,
        "The value of an option comes from the command line; else from the variable GUIDED_NAME, "
        "where NAME is the option's long name in capitals with _ for - (GUIDED_STEPS=ddim25); else "
        "from the file of --config (or GUIDED_CONFIG) with lines \"name = value\", where # starts "
        "a comment; else from the model's preset. --print-config prints such a file.");
    heading(p, "ENVIRONMENT");
    item(p, "GUIDED_MODELS", "folder of the built-in models");
    gd_isa_names(isas);
    snprintf(text, sizeof text, "%s: highest instruction set that kernels may use", isas);
    item(p, "GUIDED_ISA", text);
    item(p, "GUIDED_CONV", "auto or direct: direct does not use Winograd convolutions");
    item(p, "GUIDED_INCEPTION", "weights of the 2015 Inception network, for eval");
    item(p, "OMP_NUM_THREADS", "number of threads, if --threads is not given");
    item(p, "NO_COLOR", "print no colours");
}

static void status_page(const page *p)
{
    heading(p, "EXIT STATUS");
    item(p, "0", "done");
    item(p, "1",
         "failed: a result is not finite, another process holds a lock, a threshold was exceeded, "
         "or an input or output error");
    item(p, "2", "usage: an invalid option or value, or an existing output");
    item(p, "3", "a damaged or unsupported input file, or files that do not fit each other");
    item(p, "4", "out of memory or out of disk space");
    item(p, "129, 130, 143",
         "stopped by SIGHUP, SIGINT or SIGTERM after saving finished results; a second signal "
         "stops at once");
}

static void title(const page *p, const char *name, const char *about)
{
    char text[160];

    if (p->roff) {
        fprintf(p->out, ".TH ");
        for (const char *at = name; *at; at++)
            fputc(toupper((unsigned char)*at), p->out);
        fprintf(p->out, " 1 \"\" \"guided %s\"\n", gd_version());
    }
    heading(p, "NAME");
    snprintf(text, sizeof text, "%s - %s", name, about);
    if (p->roff)
        fprintf(p->out, "%s \\- %s\n", name, about); /* the form that mandb reads */
    else
        line(p, text);
}

static void print_main_page(const page *p)
{
    char name[80];

    title(p, "guided", "diffusion models that beat GANs, on CPUs");
    heading(p, "SYNOPSIS");
    line(p, "guided VERB [options]");
    heading(p, "EXAMPLES");
    line(p, "guided sample --class 0-9 -n 40 --steps ddim25 -o grid.png");
    line(p, "guided info 64x64_diffusion.pt");
    heading(p, "DESCRIPTION");
    paragraph(p, "ADM networks, classifier guidance, DDPM and DDIM sampling, upsampling, "
                 "likelihoods, training and evaluation as in Dhariwal and Nichol, \"Diffusion "
                 "Models Beat GANs on Image Synthesis\" (2021), on ordinary CPUs. Results go to "
                 "standard output or to files, notices and errors to standard error.");
    heading(p, "VERBS");
    for (int i = 0; i < job_n_kinds; i++) {
        snprintf(name, sizeof name, "guided-%s(1)", job_kinds[i]->name);
        item(p, name, job_kinds[i]->about);
    }
    settings_page(p);
    status_page(p);
}

void job_print_manual(const job_kind *c, bool roff, FILE *out)
{
    const page p = { out, roff };
    char text[256];

    if (!c) {
        print_main_page(&p);
        return;
    }
    snprintf(text, sizeof text, "guided-%s", c->name);
    title(&p, text, c->about);
    heading(&p, "EXAMPLE");
    line(&p, c->example);
    heading(&p, "SYNOPSIS");
    snprintf(text, sizeof text, "guided %s", c->usage);
    line(&p, text);
    if (c->notes) {
        heading(&p, "DESCRIPTION");
        paragraph(&p, c->notes);
    }
    options_page(&p, c);
    settings_page(&p);
    status_page(&p);
    heading(&p, "SEE ALSO");
    line(&p, "guided(1)");
}
