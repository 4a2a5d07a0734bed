/* replay.c - a fuzz target over files and folders of inputs, without libFuzzer: the corpus in every
 * ordinary test run.  A target that finds something aborts. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int inputs;

/* The input in memory of just its size, which sanitizers watch */
static int run_file(const char *path, size_t bytes)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(bytes ? bytes : 1);
    const int ok = file && data && fread(data, 1, bytes, file) == bytes;

    if (ok) {
        LLVMFuzzerTestOneInput(data, bytes);
        inputs++;
    } else {
        fprintf(stderr, "%s: cannot be read\n", path);
    }
    free(data);
    if (file)
        fclose(file);
    return ok ? 0 : 1;
}

static int run_path(const char *path)
{
    struct stat info;
    struct dirent *entry;
    char inner[4096];
    int failed = 0;
    DIR *folder;

    if (stat(path, &info) != 0) {
        fprintf(stderr, "%s: cannot be read\n", path);
        return 1;
    }
    if (!S_ISDIR(info.st_mode))
        return run_file(path, (size_t)info.st_size);
    folder = opendir(path);
    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.') {
            snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            failed |= run_path(inner);
        }
    if (folder)
        closedir(folder);
    return failed;
}

int main(int argc, char **argv)
{
    int failed = 0;

    LLVMFuzzerTestOneInput((const uint8_t *)"", 0);
    for (int i = 1; i < argc; i++)
        failed |= run_path(argv[i]);
    printf("%s: %d inputs\n", argv[0], inputs);
    return failed || inputs == 0;
}
