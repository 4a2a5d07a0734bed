/* args.h - shared by args.c, which reads the command line, and settings.c, which reads what stands
 * under it. */
#ifndef GD_CLI_ARGS_H
#define GD_CLI_ARGS_H

#include "cli/cli.h"

/* An option of the command, else a common one; NULL: neither has it */
const cli_option *cli_option_find(const cli_command *c, const char *name, size_t length);
bool cli_option_is_common(const cli_option *o);
/* Sets it where its table points, and the common option of the same name */
GD_CHECKED gd_status cli_option_set(const cli_option *o, const char *text, void *values);
/* NULL: not given.  Two names of one thing are the same. */
cli_given *cli_given_find(cli_words *words, const cli_option *o);
/* Enter it, over what a lower source gave; GD_EUSAGE when the same source gave it before */
GD_CHECKED gd_status cli_given_add(cli_words *words, const cli_option *o, const char *text,
                                   cli_source source);
GD_CHECKED gd_status cli_unknown_option(const cli_command *c, const char *name);
/* A copy until cli_forget; NULL: out of memory */
char *cli_keep(const char *text, size_t n);
/* The --config file and the environment, set and entered below what the line gave */
GD_CHECKED gd_status cli_settings_read(const cli_command *c, void *values, cli_words *words);

#endif
