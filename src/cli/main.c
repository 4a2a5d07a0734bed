/* main.c - the command: which verb, exit status, messages. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>

static const cli_command *const commands[] = {
    &cli_sample, &cli_upsample, &cli_train, &cli_train_classifier,
    &cli_nll,    &cli_eval,     &cli_info,  &cli_convert,
    &cli_init,   &cli_bench,    &cli_verify
};

static void print_usage(FILE *out)
{
    fprintf(
        out,
        "guided %s - diffusion models that beat GANs, on CPUs\n\nusage: guided VERB [options]\n\n",
        GUIDED_VERSION);
    for (int i = 0; i < COUNT(commands); i++)
        fprintf(out, "  %-16s %s\n", commands[i]->name, commands[i]->about);
    fprintf(
        out,
        "\n  guided sample --class 0-9 -n 40 --steps ddim25 -o grid.png\n"
        "  guided info 64x64_diffusion.pt\n\nguided VERB --help tells more; guided --version\n");
}

static void print_version(void)
{
    printf("guided %s, %s, oneDNN %s, ISA %s\n", GUIDED_VERSION, "gcc " __VERSION__,
           gd_onednn_version(), gd_isa_name(gd_isa_used()));
}

static int report(gd_status status)
{
    if (status != GD_OK && *gd_error()) /* of several ranks one speaks */
        fprintf(stderr, "guided: %s\n", gd_error());
    if (status == GD_EINTERRUPTED)
        return 128 + (cli_stopped_by() ? cli_stopped_by() : SIGTERM); /* another rank was told */
    return gd_exit_status(status);
}

static gd_status unknown_verb(const char *verb)
{
    const char *names[COUNT(commands)];

    for (int i = 0; i < COUNT(commands); i++)
        names[i] = commands[i]->name;
    const char *near = gd_nearest(verb, names, COUNT(names));
    gd_status s = gd_fail(GD_EUSAGE, "%s is no verb of guided", verb);
    if (near)
        gd_detail("hint: did you mean guided %s?", near);
    else
        gd_detail("hint: guided --help lists the verbs");
    return s;
}

/* Notices of the library: what was passed over, what was assumed */
static void print_notice(void *ctx, gd_log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    fprintf(stderr, "guided: %s\n", line);
}

int main(int argc, char **argv)
{
    const bool help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
                                   strcmp(argv[1], "help") == 0);
    const char *verb = help && argc > 2 ? argv[2] : argc > 1 ? argv[1] : NULL;

    cli_catch_signals();
    gd_set_log(print_notice, NULL, GD_LOG_NOTE);
    if (argc < 2 || (help && argc == 2)) {
        print_usage(help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (strcmp(verb, "--version") == 0) {
        print_version();
        return 0;
    }
    for (int i = 0; i < COUNT(commands); i++)
        if (strcmp(verb, commands[i]->name) == 0) {
            if (!help)
                return report(commands[i]->run(argc - 2, argv + 2));
            cli_print_help(commands[i], stdout);
            return 0;
        }
    return report(unknown_verb(verb));
}
