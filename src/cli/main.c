/* main.c - the command: which verb, exit status. */
#include "cli/cli.h"

#include <string.h>

/* For whom gave no verb: what to try, in 15 lines */
static void print_usage(FILE *out)
{
    int column = 0;

    fprintf(out,
            "guided %s - diffusion models that beat GANs, on CPUs\n\n"
            "  guided sample --class 0-9 -n 40 --steps ddim25 -o grid.png\n"
            "  guided info 64x64_diffusion.pt\n\nusage: guided VERB [options]\nverbs:",
            GUIDED_VERSION);
    for (int i = 0; i < cli_n_commands; i++) {
        if (column + (int)strlen(cli_commands[i]->name) > 60)
            column = 0 * fprintf(out, "\n      ");
        column += fprintf(out, " %s", cli_commands[i]->name);
    }
    fprintf(out, "\n\nguided --help says what they do; guided VERB -h, guided help VERB\n");
}

static void print_help(FILE *out)
{
    fprintf(out,
            "guided %s - diffusion models that beat GANs, on CPUs\n\n"
            "  guided sample --class 0-9 -n 40 --steps ddim25 -o grid.png\n"
            "  guided info 64x64_diffusion.pt\n\nusage: guided VERB [options]\n",
            GUIDED_VERSION);
    for (int i = 0; i < cli_n_commands; i++)
        fprintf(out, "  %-16s  %s\n", cli_commands[i]->name, cli_commands[i]->about);
    fprintf(out, "\nguided VERB -h       its main options; --help: all\n"
                 "guided help VERB     its manual\n"
                 "guided --version     what is built in; --json\n");
}

/* Without a verb: a status, or -1 for a verb */
static int without_verb(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";

    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
        print_help(stdout);
    else if (strcmp(word, "--version") == 0)
        return cli_report(cli_print_version(argc > 2 && strcmp(argv[2], "--json") == 0));
    else if (strcmp(word, "help") == 0 && argc == 2)
        print_help(stdout);
    else
        return -1;
    return cli_report(cli_flush());
}

int main(int argc, char **argv)
{
    int status;

    cli_open_standard_streams();
    cli_guard_terminal();
    cli_start_clock();
    cli_catch_signals();
    cli_set_notices();
    status = without_verb(argc, argv);
    if (status >= 0)
        return status;
    const cli_command *command = cli_command_find(argv[1]);
    if (command)
        cli_help_wanted(command, argc - 2, argv + 2);
    gd_status s = command ? command->run(argc - 2, argv + 2) : cli_unknown_verb(argv[1]);
    if (s == GD_OK)
        s = cli_flush();
    status = cli_report(s);
    cli_say_machine();
    cli_forget();
    return status;
}
