/* SPDX-License-Identifier: MIT */
/* inception.c - guided info and guided convert of a file of the 2015 Inception network. */
#include "jobs/jobs.h"
#include "nn/inception.h"

#include <jansson.h>

static gd_status print_json(const char *path, const gd_inception_file *file, const char *hash)
{
    return job_print_json(json_pack("{s:o, s:s, s:s, s:I, s:s}", "file", gd_json_text(path), "kind",
                                    "inception", "format", gd_inception_file_format(file),
                                    "parameters", (json_int_t)gd_inception_file_parameters(file),
                                    "hash", hash));
}

gd_status job_inception_info(const char *path, bool json)
{
    gd_inception_file *file;
    char hash[33];
    gd_status s;

    GD_TRY(gd_inception_file_open(&file, path));
    s = gd_inception_file_hash(file, hash);
    if (s == GD_OK && json) {
        s = print_json(path, file, hash);
    } else if (s == GD_OK) {
        fprintf(job_out(), "%s\n", path);
        fprintf(job_out(),
                "kind            Inception of 2015-12-05, for guided eval --inception\n");
        fprintf(job_out(), "weights         %s\n", gd_inception_file_format(file));
        fprintf(job_out(), "parameters      %lld, batch normalisation folded in\n",
                (long long)gd_inception_file_parameters(file));
        fprintf(job_out(), "hash            %s\n", hash);
    }
    gd_inception_file_close(file);
    return s;
}

gd_status job_inception_convert(const char *from, const char *to, bool overwrite)
{
    gd_inception_file *file;
    gd_status s;

    GD_TRY(gd_inception_file_open(&file, from));
    const gd_weights weights = gd_inception_file_weights(file);
    s = gd_inception_write(to, overwrite, &weights);
    gd_inception_file_close(file);
    return s;
}

bool job_is_inception(const char *path, gd_status status)
{
    char before[1024];

    if (status != GD_EFORMAT)
        return false;
    snprintf(before, sizeof before, "%s", gd_error());
    if (gd_is_inception_file(path))
        return true;
    status = gd_fail(status, "%s", before);
    return false;
}
