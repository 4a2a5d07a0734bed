/* SPDX-License-Identifier: MIT */
/* identify.c - what a file is that none of our readers takes, and what to do about it. */
#include "io/io_private.h"

#include <ctype.h>
#include <string.h>

enum { TAR_MAGIC_AT = 257 };

typedef struct identity {
    const char *what, *remedy; /* NULL: unknown; nothing can be done */
} identity;

/* Files begin with `magic` at `offset`. */
static const struct {
    int offset, bytes;
    const char *magic, *what, *remedy;
} kinds[] = {
    { 0, 34, "version https://git-lfs.github.com", "a Git LFS pointer, not the file it stands for",
      "git lfs pull, or download the file itself" },
    { 0, 8, "\x89PNG\r\n\x1a\n", "a PNG picture", NULL },
    { 0, 3, "\xff\xd8\xff", "a JPEG picture", NULL },
    { 0, 4, "GIF8", "a GIF picture", NULL },
    { 0, 4, "II*\0", "a TIFF picture", NULL },
    { 0, 4, "MM\0*", "a TIFF picture", NULL },
    { 4, 8, "ftypavif", "an AVIF picture", "convert it to PNG" },
    { 4, 8, "ftypheic", "a HEIC picture", "convert it to PNG" },
    { 0, 4, "8BPS", "a Photoshop picture", "convert it to PNG" },
    { 0, 6, "\x93NUMPY", "a single NumPy array",
      "numpy.savez(\"x.npz\", array) makes an .npz of it" },
    { 0, 8, "\x89HDF\r\n\x1a\n", "an HDF5 file", "save its arrays as .npz or safetensors" },
    { 0, 4, "GGUF", "a GGUF file", "a .pt or safetensors file of the same model is read" },
    { 0, 4, "ARRO", "an Arrow file", NULL },
    { 0, 4, "PAR1", "a Parquet file", "save its pictures as files, .npz or zip" },
    { 0, 2, "\x1f\x8b", "a gzip file", "unpack it first" },
    { 0, 6,
      "\xfd"
      "7zXZ\0",
      "an xz file", "unpack it first" },
    { 0, 3, "BZh", "a bzip2 file", "unpack it first" },
    { 0, 4, "\x28\xb5\x2f\xfd", "a Zstandard file", "unpack it first" },
    { 0, 6, "7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "unpack it first" },
    { 0, 4, "Rar!", "a RAR archive", "unpack it first" },
    { TAR_MAGIC_AT, 5, "ustar", "a tar archive", "unpack it first" },
    { 0, 4, "%PDF", "a PDF document", NULL },
    { 0, 4,
      "\x7f"
      "ELF",
      "a program", NULL },
    { 0, 3, "P5\n", "a PGM picture", NULL },
    { 0, 3, "P6\n", "a PPM picture", NULL },
    { 0, 2, "BM", "a BMP picture", NULL },
};

/* `text` in any case, after white space and a byte order mark */
static bool begins_with_word(const unsigned char *p, size_t n, const char *text)
{
    size_t i = gd_byte_order_mark(p, n), k = 0;

    while (i < n && isspace(p[i]))
        i++;
    while (text[k] && i + k < n && tolower(p[i + k]) == text[k])
        k++;
    return !text[k];
}

static bool all_zero(const unsigned char *p, size_t n)
{
    enum { LOOKED = 4096 };

    for (size_t i = 0; i < GD_MIN(n, (size_t)LOOKED); i++)
        if (p[i])
            return false;
    return true;
}

static identity identify(const void *data, size_t n)
{
    static const char again[] = "download it again, from a link to the file itself";
    const unsigned char *p = data;

    if (n == 0)
        return (identity){ "an empty file", "download or copy it again" };
    for (int i = 0; i < COUNT(kinds); i++)
        if ((size_t)(kinds[i].offset + kinds[i].bytes) <= n &&
            memcmp(p + kinds[i].offset, kinds[i].magic, (size_t)kinds[i].bytes) == 0)
            return (identity){ kinds[i].what, kinds[i].remedy };
    if (begins_with_word(p, n, "<!doctype html") || begins_with_word(p, n, "<html"))
        return (identity){ "an HTML page, not the file: what a server showed instead of it",
                           again };
    if (begins_with_word(p, n, "<?xml") || begins_with_word(p, n, "<error>"))
        return (identity){ "an XML text, often a server's error", again };
    if (begins_with_word(p, n, "{\""))
        return (identity){ "a JSON text", NULL };
    if (all_zero(p, n))
        return (identity){ "zeros from its beginning on: a download that was not finished",
                           "download it again" };
    return (identity){ NULL, NULL };
}

gd_status gd_not_read(const void *data, size_t bytes, const char *name, const char *expected,
                      const char *remedy)
{
    const identity is = identify(data, bytes);
    gd_status s;

    s = is.what ? gd_fail(GD_EFORMAT, "%s: %s", name, is.what)
                : gd_fail(GD_EFORMAT, "%s: %s", name, expected);
    if (is.remedy || (!is.what && remedy))
        gd_detail("hint: %s", is.remedy ? is.remedy : remedy);
    else if (is.what)
        gd_detail("hint: expected %s", remedy ? remedy : expected);
    return s;
}
