/* SPDX-License-Identifier: MIT */
/* test_damage.c - one small file of each format, damaged in every way that one byte allows: cut at
 * every length, every bit flipped, every byte set to 00 and to FF.
 *
 * Our own files have hashes and are refused.  Zip archives have checksums for their contents, but
 * not for an entry's name, which is an array's name in .npz only.  Other safetensors files, legacy
 * .pt and GraphDefs have none: the first keep their shapes, the others stay in bounds, which the
 * sanitisers watch.  A GraphDef may also end after any of its nodes. */
#include "graphdef_file.h"

/* What must be as before when a file opens and reads in spite of the damage */
enum { NAMES = 1, SHAPES = 2, VALUES = 4, REFUSED = 8, MAY_END = 16 };

typedef struct format {
    bytes file;
    digest before;
    unsigned kept; /* REFUSED: it may not open; MAY_END: but when cut */
    int refused, loaded;
} format;

static void check(format *f, bytes damaged, size_t at, const char *how)
{
    digest after;
    gd_status s = try_digest(damaged, false, &after);

    if (s != GD_OK) {
        assert_int_equal(s, GD_EFORMAT);
        assert_true(strlen(gd_error()) > 6 && strncmp(gd_error(), "FILE: ", 6) == 0);
        f->refused++;
        return;
    }
    f->loaded++;
    if (f->kept & REFUSED || (f->kept & NAMES && strcmp(after.names, f->before.names) != 0) ||
        (f->kept & SHAPES && strcmp(after.shapes, f->before.shapes) != 0) ||
        (f->kept & VALUES && strcmp(after.values, f->before.values) != 0))
        fail_msg("byte %d %s: not refused, and reads otherwise than before", (int)at, how);
}

static void set_byte(format *f, bytes copy, size_t at, unsigned char value, const char *how)
{
    const unsigned char before = copy.data[at];

    if (before == value)
        return;
    copy.data[at] = value;
    check(f, copy, at, how);
    copy.data[at] = before;
}

static void damage_everywhere(bytes file, unsigned kept)
{
    format f = { .file = file, .kept = kept };
    bytes copy = { malloc(file.n), file.n };

    assert_int_equal(try_digest(file, false, &f.before), GD_OK);
    memcpy(copy.data, file.data, file.n);
    for (size_t at = 0; at < file.n; at++) {
        for (int bit = 0; bit < 8; bit++)
            set_byte(&f, copy, at, (unsigned char)(file.data[at] ^ 1 << bit), "flipped");
        set_byte(&f, copy, at, 0x00, "set to 00");
        set_byte(&f, copy, at, 0xff, "set to FF");
    }
    f.kept = kept & MAY_END ? 0 : REFUSED;
    for (size_t n = 0; n < file.n; n++) {
        bytes cut = { malloc(n + 1), n }; /* of its own, so that reading beyond is seen */
        memcpy(cut.data, file.data, n);
        check(&f, cut, n, "cut");
        free(cut.data);
    }
    print_message("%d refused, %d loaded\n", f.refused, f.loaded);
    free(copy.data);
    free(file.data);
}

static void own_files(void **state)
{
    (void)state;
    damage_everywhere(make_own(), REFUSED);
}

static void foreign_safetensors(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\"},"
        "\"w\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
        "\"h\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[24,28]}}   ";
    (void)state;
    damage_everywhere(make_safetensors(header, 28), SHAPES);
}

static void torch_zip(void **state)
{
    (void)state;
    damage_everywhere(read_file(reference("golden/1050_ckpt_bad/control_good_zip.pt")),
                      NAMES | SHAPES | VALUES);
    damage_everywhere(read_file(reference("golden/1003_ckpt_fp16/zip.pt")),
                      NAMES | SHAPES | VALUES);
}

static void torch_zip_deflated(void **state)
{
    (void)state;
    damage_everywhere(read_file(reference("golden/1040_ckpt_optional/deflated.pt")),
                      NAMES | SHAPES | VALUES);
}

static void torch_legacy(void **state)
{
    (void)state;
    damage_everywhere(read_file(reference("golden/1050_ckpt_bad/control_good_legacy.pt")), 0);
}

static void npz(void **state)
{
    static const char npy[] =
        "\x93NUMPY\1\0\x3a\0{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }\n"
        "\1\0\0\0\2\0\0";
    archive a = { 0 };

    (void)state;
    add_entry(&a, "arr_0.npy", npy, sizeof npy);
    damage_everywhere(finish_archive(&a), SHAPES | VALUES);
    damage_everywhere(deflated_archive("arr_0.npy", npy, sizeof npy), SHAPES | VALUES);
}

static void graphdef(void **state)
{
    static const int64_t dim[] = { 2, 3 };
    bytes file = { NULL, 0 };

    (void)state;
    put_constant(&file, "conv/conv2d_params", make_tensor(2, dim, AS_CONTENT, 6));
    put_other_node(&file, "conv/Conv2D", "Conv2D");
    put_constant(&file, "Mul/y", make_tensor(0, dim, AS_LOOSE, 1));
    put_constant(&file, "gamma", make_tensor(2, dim, AS_PACKED, 1));
    damage_everywhere(file, MAY_END);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(own_files),    cmocka_unit_test(foreign_safetensors),
        cmocka_unit_test(torch_zip),    cmocka_unit_test(torch_zip_deflated),
        cmocka_unit_test(torch_legacy), cmocka_unit_test(npz),
        cmocka_unit_test(graphdef),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
