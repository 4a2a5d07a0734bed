/* commands.c - the verbs. */
#include "cli/cli.h"

#include <string.h>

const cli_command *const cli_commands[] = {
    &cli_sample, &cli_upsample, &cli_restore,          &cli_img2img, &cli_purify,
    &cli_invert, &cli_train,    &cli_train_classifier, &cli_nll,     &cli_eval,
    &cli_sweep,  &cli_info,     &cli_convert,          &cli_init,    &cli_models,
    &cli_bench,  &cli_verify,   &cli_completion,       &cli_help
};
const int cli_n_commands = COUNT(cli_commands);

const cli_command *cli_command_find(const char *name)
{
    for (int i = 0; i < cli_n_commands; i++)
        if (strcmp(name, cli_commands[i]->name) == 0)
            return cli_commands[i];
    return NULL;
}

gd_status cli_unknown_verb(const char *name)
{
    const char *names[COUNT(cli_commands)];

    for (int i = 0; i < cli_n_commands; i++)
        names[i] = cli_commands[i]->name;
    const char *near = gd_nearest(name, names, cli_n_commands);
    gd_status s = gd_fail(GD_EUSAGE, "%s is no verb of guided", name);
    if (near)
        gd_detail("hint: did you mean guided %s?", near);
    else
        gd_detail("hint: guided --help lists the verbs");
    return s;
}
