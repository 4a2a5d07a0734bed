/* SPDX-License-Identifier: MIT */
/* zip_records.c - what writers of zip archives share: little-endian fields, and the records that
 * end an archive (PKWARE's APPNOTE 6.3.3, sections 4.3.14 to 4.3.16). */
#include "io/io_private.h"

static const uint64_t max_16 = 0xffff;

void io_put(io_fields *f, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        f->byte[f->n++] = (unsigned char)(value >> 8 * i);
}

bool io_zip_is_large(uint64_t entries, uint64_t end)
{
    return end >= IO_MAX_32 || entries >= max_16;
}

void io_put_zip_end(io_fields *f, uint64_t entries, uint64_t directory, uint64_t directory_bytes)
{
    const uint64_t end = directory + directory_bytes;

    if (io_zip_is_large(entries, end)) {
        io_put(f, 0x06064b50, 4); /* zip64 end of the directory */
        io_put(f, IO_ZIP_END64 - 20 - 12, 8);
        io_put(f, IO_ZIP_VERSION_64, 2);
        io_put(f, IO_ZIP_VERSION_64, 2);
        io_put(f, 0, 8); /* disks */
        io_put(f, entries, 8);
        io_put(f, entries, 8);
        io_put(f, directory_bytes, 8);
        io_put(f, directory, 8);
        io_put(f, 0x07064b50, 4); /* and where it is */
        io_put(f, 0, 4);
        io_put(f, end, 8);
        io_put(f, 1, 4);
    }
    io_put(f, 0x06054b50, 4);
    io_put(f, 0, 4); /* disks */
    io_put(f, GD_MIN(entries, max_16), 2);
    io_put(f, GD_MIN(entries, max_16), 2);
    io_put(f, GD_MIN(directory_bytes, IO_MAX_32), 4);
    io_put(f, GD_MIN(directory, IO_MAX_32), 4);
    io_put(f, 0, 2); /* comment */
}
