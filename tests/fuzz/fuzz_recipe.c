/* fuzz_recipe.c - run.json, and the recipe of a picture: read with options that are given, or
 * refused with a message; printed as text. */
#include "cli/maker.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char *text = malloc(bytes + 1);
    cli_recipe recipe = { 0 };
    static FILE *nowhere;

    if (!nowhere && !(nowhere = freopen("/dev/null", "w", stdout)))
        abort();
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    if (cli_recipe_read(&recipe, text, "run.json") == GD_OK) {
        if (!recipe.choice.model || recipe.choice.n < 1)
            abort();
        if (gd_records_compare("run.json", text, text, NULL) != GD_OK)
            abort();
    } else if (!*gd_error()) {
        abort();
    }
    cli_recipe_close(&recipe);
    if (cli_recipe_print(text, "3", "picture.png") != GD_OK && !*gd_error())
        abort();
    free(text);
    return 0;
}
