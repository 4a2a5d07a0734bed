/* version.c - guided --version: what this program is and what it chose on this machine. */
#include "cli/cli.h"

#include <jansson.h>
#include <string.h>

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

/* "openmp bf16 ...": what the build has, by CMake, and what this machine adds */
static gd_status print_json(const char *features)
{
    json_t *list = json_array();
    char word[64];
    json_t *j;

    for (const char *at = features; *at;) {
        const int n = (int)strcspn(at, " ");
        snprintf(word, sizeof word, "%.*s", n, at);
        json_array_append_new(list, json_string(word));
        at += n + (at[n] == ' ');
    }
    j = json_pack("{s:s, s:s, s:s, s:s, s:i, s:o}", "version", gd_version(), "compiler", COMPILER,
                  "onednn", gd_onednn_version(), "isa", gd_isa_name(gd_isa_used()), "threads",
                  gd_threads(), "features", list);
    GD_TRY(cli_print_json(j));
    return cli_flush();
}

gd_status cli_print_version(bool json)
{
    if (json)
        return print_json(GUIDED_FEATURES);
    printf("guided %s\ncompiler  %s\noneDNN    %s\nISA       %s, %d thread%s\nfeatures  %s\n",
           gd_version(), COMPILER, gd_onednn_version(), gd_isa_name(gd_isa_used()), gd_threads(),
           gd_threads() == 1 ? "" : "s", GUIDED_FEATURES);
    return cli_flush();
}
