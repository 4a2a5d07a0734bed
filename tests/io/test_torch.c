/* SPDX-License-Identifier: MIT */
/* test_torch.c - the reference checkpoints, good and bad. */
#include "fixture.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- good files hold what PyTorch put into them ---- */

static json_t *open_case(const char *folder)
{
    char path[4200];
    bytes text;
    json_t *root;

    snprintf(path, sizeof path, "golden/%s/case.json", folder);
    text = read_file(reference(path));
    assert_int_equal(gd_json_parse(&root, (char *)text.data, text.n, 16, path), GD_OK);
    free(text.data);
    return root;
}

static double *read_doubles(const gd_bundle *b, const gd_array *a)
{
    const int64_t n = gd_array_count(a);
    double *out = calloc((size_t)n + 1, sizeof *out);
    int64_t *integers = calloc((size_t)n + 1, sizeof *integers);
    float *floats = calloc((size_t)n + 1, sizeof *floats);

    if (a->dtype == GD_F64) {
        assert_int_equal(gd_bundle_read(b, a, out), GD_OK);
    } else if (a->dtype == GD_I64) {
        assert_int_equal(gd_bundle_read(b, a, integers), GD_OK);
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)integers[i];
    } else {
        assert_int_equal(gd_bundle_read_f32(b, a, floats), GD_OK);
        for (int64_t i = 0; i < n; i++)
            out[i] = (double)floats[i];
    }
    free(integers);
    free(floats);
    return out;
}

static gd_dtype dtype_of(const char *torch)
{
    static const char *const names[] = { "float32", "bfloat16", "float16", "float64", "int64",
                                         "int32",   "int16",    "int8",    "uint8",   "bool" };

    for (int i = 0; i < COUNT(names); i++)
        if (strcmp(names[i], torch) == 0)
            return (gd_dtype)i;
    fail_msg("%s?", torch);
    return GD_F32;
}

/* What a test compares: a checkpoint with the tensors that PyTorch says are in it */
typedef struct pair {
    const gd_bundle *file, *expected;
    int tensors;
} pair;

static void compare_tensor(pair *p, const gd_array *a, json_t *expected)
{
    const char *name = json_string_value(json_object_get(expected, "tensor"));
    const gd_array *e = gd_bundle_find(p->expected, name);
    json_t *shape = json_object_get(expected, "shape");
    double *x, *y;

    assert_non_null(e);
    assert_int_equal(a->dtype,
                     dtype_of(json_string_value(json_object_get(expected, "torch_dtype"))));
    assert_int_equal(a->rank, json_array_size(shape));
    for (int i = 0; i < a->rank; i++) {
        assert_int_equal(a->dim[i], json_integer_value(json_array_get(shape, (size_t)i)));
        assert_int_equal(a->dim[i], e->dim[i]);
    }
    x = read_doubles(p->file, a);
    y = read_doubles(p->expected, e);
    for (int64_t i = 0; i < gd_array_count(a); i++)
        if (x[i] != y[i] && !(isnan(x[i]) && isnan(y[i])))
            fail_msg("%s[%d]: %g and not %g", name, (int)i, x[i], y[i]);
    free(x);
    free(y);
    gd_bundle_release(p->file, a);
    p->tensors++;
}

static void compare_node(pair *p, const gd_pickle_node *n, json_t *expected);

static void compare_items(pair *p, const gd_pickle_node *n, gd_pickle_kind kind, json_t *items)
{
    assert_int_equal(n->kind, kind);
    assert_int_equal(n->count, json_array_size(items));
    for (int i = 0; i < n->count; i++) {
        json_t *item = json_array_get(items, (size_t)i);
        if (kind != GD_PICKLE_DICT) {
            compare_node(p, n->item[i], item);
            continue;
        }
        compare_node(p, n->item[2 * i], json_array_get(item, 0));
        compare_node(p, n->item[2 * i + 1], json_array_get(item, 1));
    }
}

static void compare_node(pair *p, const gd_pickle_node *n, json_t *expected)
{
    json_t *part;

    if ((part = json_object_get(expected, "dict"))) {
        compare_items(p, n, GD_PICKLE_DICT, part);
    } else if ((part = json_object_get(expected, "list"))) {
        compare_items(p, n, GD_PICKLE_LIST, part);
    } else if ((part = json_object_get(expected, "tuple"))) {
        compare_items(p, n, GD_PICKLE_TUPLE, part);
    } else if (json_is_object(expected)) {
        assert_int_equal(n->kind, GD_PICKLE_TENSOR);
        compare_tensor(p, n->tensor, expected);
    } else if (json_is_string(expected)) {
        assert_int_equal(n->kind, GD_PICKLE_STRING);
        assert_string_equal(n->text, json_string_value(expected));
    } else if (json_is_integer(expected)) {
        assert_int_equal(n->kind, GD_PICKLE_INT);
        assert_int_equal(n->integer, json_integer_value(expected));
    } else if (json_is_real(expected)) {
        assert_int_equal(n->kind, GD_PICKLE_FLOAT);
        assert_true(n->real == json_real_value(expected));
    } else if (json_is_boolean(expected)) {
        assert_int_equal(n->kind, GD_PICKLE_BOOL);
        assert_int_equal(n->integer, json_is_true(expected));
    } else {
        assert_true(json_is_null(expected));
        assert_int_equal(n->kind, GD_PICKLE_NONE);
    }
}

/* As a tree, and as a state dict when it is a flat one */
static void compare_file(const char *path, const gd_bundle *expected, json_t *config)
{
    const bool may_refuse =
        strcmp(json_string_value(json_object_get(config, "expect")), "load") != 0;
    json_t *structure = json_object_get(config, "structure");
    const gd_pickle_node *root;
    gd_bundle *file;
    pair p = { NULL, expected, 0 };
    gd_status s = gd_pickle_open(&file, &root, path);

    if (s != GD_OK && may_refuse) {
        assert_int_equal(s, GD_EFORMAT);
        print_message("%s\n", gd_error());
        return;
    }
    if (s != GD_OK)
        fail_msg("%s", gd_error());
    p.file = file;
    compare_node(&p, root, structure);
    assert_int_equal(p.tensors, gd_bundle_count(file));
    gd_bundle_close(file);

    json_t *pairs = json_object_get(structure, "dict");
    s = gd_bundle_open(&file, path);
    for (size_t i = 0; i < json_array_size(pairs); i++)
        if (!json_object_get(json_array_get(json_array_get(pairs, i), 1), "tensor")) {
            assert_int_equal(s, GD_EFORMAT); /* an optimiser's */
            return;
        }
    assert_int_equal(s, GD_OK);
    p.file = file;
    assert_int_equal(gd_bundle_count(file), json_array_size(pairs));
    for (int i = 0; i < gd_bundle_count(file); i++) {
        json_t *entry = json_array_get(pairs, (size_t)i);
        const gd_array *a = gd_bundle_array(file, i);
        assert_string_equal(a->name, json_string_value(json_array_get(entry, 0)));
        assert_ptr_equal(gd_bundle_find(file, a->name), a);
        compare_tensor(&p, a, json_array_get(entry, 1));
    }
    gd_bundle_close(file);
}

static void compare_case(const char *folder)
{
    json_t *root = open_case(folder), *config = json_object_get(root, "config"), *name;
    gd_bundle *expected;
    char path[4200];
    size_t i;

    snprintf(path, sizeof path, "golden/%s/tensors.safetensors", folder);
    assert_int_equal(gd_bundle_open(&expected, reference(path)), GD_OK);
    json_array_foreach(json_object_get(config, "files"), i, name)
    {
        snprintf(path, sizeof path, "golden/%s/%s", folder, json_string_value(name));
        compare_file(reference(path), expected, config);
    }
    gd_bundle_close(expected);
    json_decref(root);
}

static void good_files_load(void **state)
{
    DIR *d = opendir(reference("golden"));
    int n = 0;

    (void)state;
    for (struct dirent *e; (e = readdir(d));)
        if (strncmp(e->d_name, "10", 2) == 0 && strlen(e->d_name) > 5 && e->d_name[4] == '_' &&
            strncmp(e->d_name, "1050", 4) != 0) {
            compare_case(e->d_name);
            n++;
        }
    closedir(d);
    assert_true(n >= 17);
}

/* ---- bad files are refused at once, with a reason, and nothing of them runs ---- */

static void refuse(const char *path)
{
    const size_t before = peak_bytes();
    const double start = gd_seconds();
    bytes content = read_file(path);
    gd_bundle *b;
    gd_status s = gd_bundle_open(&b, path);

    if (s == GD_OK)
        fail_msg("%s is not refused", path);
    assert_int_equal(s, GD_EFORMAT);
    assert_true(strncmp(gd_error(), path, strlen(path)) == 0);
    assert_true(strlen(gd_error()) > strlen(path) + 10);
    assert_true(gd_seconds() - start < patience());
    assert_true(peak_bytes() - before < content.n + (64 << 20));
    free(content.data);
}

static void bad_files_are_refused(void **state)
{
    json_t *root = open_case("1050_ckpt_bad"), *config = json_object_get(root, "config"), *entry;
    char path[4200];
    size_t i;

    (void)state;
    json_array_foreach(json_object_get(config, "files"), i, entry)
    {
        snprintf(path, sizeof path, "golden/1050_ckpt_bad/%s",
                 json_string_value(json_object_get(entry, "file")));
        refuse(reference(path));
    }
    assert_true(i >= 50);
    assert_int_not_equal(access(json_string_value(json_object_get(config, "must_not_exist")), F_OK),
                         0);
    json_decref(root);
}

static void controls_load(void **state)
{
    static const char *const names[] = { "control_good_zip.pt", "control_good_legacy.pt" };
    float expected[12], found[12];
    gd_bundle *b;

    (void)state;
    assert_int_equal(gd_bundle_open(&b, reference("golden/1050_ckpt_bad/tensors.safetensors")),
                     GD_OK);
    assert_int_equal(gd_bundle_read(b, gd_bundle_find(b, "out.control.w"), expected), GD_OK);
    gd_bundle_close(b);
    for (int i = 0; i < COUNT(names); i++) {
        char path[64];
        snprintf(path, sizeof path, "golden/1050_ckpt_bad/%s", names[i]);
        assert_int_equal(gd_bundle_open(&b, reference(path)), GD_OK);
        assert_int_equal(gd_bundle_count(b), 1);
        assert_int_equal(gd_bundle_read(b, gd_bundle_array(b, 0), found), GD_OK);
        assert_memory_equal(found, expected, sizeof expected);
        gd_bundle_close(b);
    }
}

/* ---- what opcodes may do: tiny pickles in an archive with one storage of 4 floats ---- */

static gd_status open_pickle(const char *pickle, size_t n, bool flat)
{
    archive a = { 0 };
    bytes file;
    gd_status s;

    add_entry(&a, "m/data.pkl", pickle, n);
    add_entry(&a, "m/data/0", "0123456789abcdef", 16);
    file = finish_archive(&a);
    s = try_read(file, flat);
    free(file.data);
    return s;
}

/* A state dict {"w": tensor} with these bytes between the storage and the tensor's last arguments
 */
static gd_status open_tensor(const char *arguments, size_t n, int count)
{
    bytes p = { NULL, 0 };
    gd_status s;

    put(&p, "\x80\2}X\1\0\0\0w", 9);
    put_text(&p, "ctorch._utils\n_rebuild_tensor_v2\n((");
    put(&p, "X\7\0\0\0storage", 12);
    put_text(&p, "ctorch\nFloatStorage\n");
    put(&p,
        "X\1\0\0\0"
        "0X\3\0\0\0cpuK",
        15);
    put_number(&p, (uint64_t)count, 1);
    put_text(&p, "tQ");
    put(&p, arguments, n);
    put_text(&p, "\x89"
                 "ccollections\nOrderedDict\n)RtRs.");
    s = open_pickle((char *)p.data, p.n, true);
    free(p.data);
    return s;
}

#define TENSOR_IS(status, count, arguments)                                                        \
    assert_int_equal(open_tensor(arguments, sizeof arguments - 1, count), status)

static void views_must_lie_in_their_storage(void **state)
{
    (void)state;
    TENSOR_IS(GD_OK, 4, "K\0K\4\x85K\1\x85");                    /* [4] */
    TENSOR_IS(GD_OK, 4, "K\0K\2K\2\x86K\1K\2\x86");              /* transposed [2,2] */
    TENSOR_IS(GD_OK, 4, "K\3))");                                /* the last, as a scalar */
    TENSOR_IS(GD_OK, 4, "K\0K\xc8K\4\x86K\0K\1\x86");            /* 200 times the same row */
    TENSOR_IS(GD_OK, 4, "K\4K\0\x85K\1\x85");                    /* empty, at the end */
    TENSOR_IS(GD_OK, 4, "K\0K\1K\4\x86J\0\0\0\x7fK\1\x86");      /* a stride that nobody uses */
    TENSOR_IS(GD_EFORMAT, 3, "K\0K\3\x85K\1\x85");               /* storage of another size */
    TENSOR_IS(GD_EFORMAT, 4, "K\1K\4\x85K\1\x85");               /* one beyond */
    TENSOR_IS(GD_EFORMAT, 4, "K\5K\0\x85K\1\x85");               /* empty, but outside */
    TENSOR_IS(GD_EFORMAT, 4, "K\4))");                           /* scalar outside */
    TENSOR_IS(GD_EFORMAT, 4, "K\0K\4\x85J\xff\xff\xff\xff\x85"); /* stride -1 */
    TENSOR_IS(GD_EFORMAT, 4, "J\xff\xff\xff\xffK\1\x85K\1\x85"); /* offset -1 */
    TENSOR_IS(GD_EFORMAT, 4, "K\0J\0\0\0\x7f\x85K\0\x85");       /* expanded to 8 GiB */
    TENSOR_IS(GD_EFORMAT, 4, "K\0K\2K\2\x86K\2\x85");            /* two sizes, one stride */
    TENSOR_IS(GD_EFORMAT, 4, "K\0(K\1K\1K\1K\1K\1K\1K\1K\1K\1t(K\1K\1K\1K\1K\1K\1K\1K\1K\1t");
    TENSOR_IS(GD_EFORMAT, 4, "K\0\x88\x85K\1\x85"); /* a bool is no size */
    TENSOR_IS(GD_EFORMAT, 4, "NK\4\x85K\1\x85");    /* None is no offset */
    TENSOR_IS(GD_EFORMAT, 4, "K\0K\4K\1\x85");      /* a number is no tuple */
}

#define PICKLE_IS(status, flat, text)                                                              \
    assert_int_equal(open_pickle(text, sizeof text - 1, flat), status)

static void opcodes_are_checked(void **state)
{
    (void)state;
    PICKLE_IS(GD_OK, false, "\x80\2K\1.");
    PICKLE_IS(GD_OK, false, "\x80\2N.");
    PICKLE_IS(GD_OK, false, "\x80\2}q\0.");
    PICKLE_IS(GD_OK, false,
              "\x80\2](K\1M\1\1J\xff\xff\xff\xff\x8a\2\xff\x7fG?\xf0\0\0\0\0\0\0\x88\x89Ne.");
    PICKLE_IS(GD_EFORMAT, true, "\x80\2}.");         /* an empty mapping is no model */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2K\1K\2.");   /* something is left */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2.");         /* nothing is there */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2(.");        /* only a mark */
    PICKLE_IS(GD_EFORMAT, false, "\x80\6N.");        /* protocol 6 */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2]h\0a.");    /* memo never written */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2]q\0h\0a."); /* a list in itself */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}K\1a.");    /* append to a mapping */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2]K\1K\2s."); /* set in a list */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}(K\1u.");   /* a key without value */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}NK\1s.");   /* None as a key */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2K\1}b.");    /* BUILD on a number */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}K\1b.");    /* BUILD with a number */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2K\1)R.");    /* a number called */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ctorch\nFloatStorage\n)R.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ctorch\nFloatStorage\n.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ccollections\nOrderedDict\nK\1\x85R.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ctorch._utils\n_rebuild_tensor_v2\n)R.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ctorch._utils\n_rebuild_parameter\nNNN\x87R.");
    /* overlong UTF-8, an escape for the terminal: no key */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}X\2\0\0\0\xc0\x80Ns.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2}X\1\0\0\0\x1bNs.");
    PICKLE_IS(GD_EFORMAT, false,
              "\x80\2X\xff\xff\xff\xff"
              "a.");
    PICKLE_IS(GD_EFORMAT, false,
              "\x80\2\x8a\x09"
              "123456789.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2N"); /* no STOP */
}

/* Objects become records with a name and a state; nothing is imported. */
static void objects_are_inert_records(void **state)
{
    (void)state;
    PICKLE_IS(GD_OK, false, "\x80\2cargparse\nNamespace\n)\x81}X\1\0\0\0aK\1sb.");
    PICKLE_IS(GD_OK, false, "\x80\4\x95\3\0\0\0\0\0\0\0}\x94.");
    PICKLE_IS(GD_OK, false,
              "\x80\4\x8c\x08"
              "argparse\x8c\x09Namespace\x93)\x81}b.");
    PICKLE_IS(GD_OK, false, "\x80\4\x8f(K\1K\2\x90.");                /* a set */
    PICKLE_IS(GD_OK, false, "\x80\2c__builtin__\nset\n](K\1e\x85R."); /* the same */
    PICKLE_IS(GD_OK, false,
              "\x80\4"
              "C\3\0\1\2."); /* bytes */
    PICKLE_IS(GD_OK, false, "\x80\2c_codecs\nencode\nX\3\0\0\0\xc3\xbf\1X\6\0\0\0latin1\x86R.");
    PICKLE_IS(GD_EFORMAT, false,
              "\x80\2c_codecs\nencode\nX\3\0\0\0\xe2\x82\xacX\6\0\0\0latin1\x86R.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2cargparse\nNamespace\n)\x81K\1b.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2cargparse\nNamespace\n)\x81}b}b."); /* two states */
    PICKLE_IS(GD_EFORMAT, false, "\x80\2cargparse\nNamespace\nK\1\x85\x81.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2cargparse\nNamespace\n)R."); /* called */
    PICKLE_IS(GD_EFORMAT, false, "\x80\4\x8c\2os\x8c\6system\x93.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\4K\1\x8c\6system\x93.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\4\x95\xff\0\0\0\0\0\0\0}."); /* a frame too long */
    PICKLE_IS(GD_EFORMAT, false, "\x80\4\x8e\xff\xff\xff\xff\xff\xff\xff\x7f.");
    PICKLE_IS(GD_EFORMAT, false, "\x80\2ctorch.storage\n_load_from_bytes\nC\1a\x85R.");
}

static void messages_name_opcode_and_place(void **state)
{
    (void)state;
    PICKLE_IS(GD_EFORMAT, false, "\x80\2Ncos\nsystem\n.");
    assert_non_null(strstr(gd_error(), "offset 3"));
    assert_non_null(strstr(gd_error(), "0x63"));
    assert_non_null(strstr(gd_error(), "os.system"));
    PICKLE_IS(GD_EFORMAT, false, "\x80\2N0.");
    assert_non_null(strstr(gd_error(), "opcode 0x30"));
}

/* ---- damage to the containers ---- */

static void archives_must_be_whole(void **state)
{
    static const char good[] = "\x80\2N.";
    struct {
        const char *name[3];
        gd_status expected;
    } cases[] = { { { "m/data.pkl", "m/version" }, GD_OK },
                  { { "data.pkl" }, GD_EFORMAT },
                  { { "m/data.pkl", "n/data.pkl" }, GD_EFORMAT },
                  { { "m/data.pkl", "m/x", "m/x" }, GD_EFORMAT },
                  { { "m/data.pkl", "m/byteorder" }, GD_EFORMAT } };

    (void)state;
    for (int i = 0; i < COUNT(cases); i++) {
        archive a = { 0 };
        bytes file;
        for (int k = 0; k < 3 && cases[i].name[k]; k++)
            add_entry(&a, cases[i].name[k], good, sizeof good - 1);
        file = finish_archive(&a);
        assert_int_equal(try_open(file, false), cases[i].expected);
        free(file.data);
    }
}

/* ---- memory: a big file read array by array holds little more than one array ---- */

enum { ARRAYS = 6, ELEMENTS = 4 << 20 };

/* In a process of its own, whose peak is its own */
static void read_one_by_one(const char *path)
{
    const pid_t child = fork();
    int result;

    if (child == 0) {
        const size_t before = peak_bytes();
        float *data = malloc(ELEMENTS * sizeof *data);
        gd_bundle *b;
        if (gd_bundle_open(&b, path) != GD_OK || gd_bundle_count(b) != ARRAYS)
            _exit(1);
        for (int i = 0; i < ARRAYS; i++) {
            if (gd_bundle_read_f32(b, gd_bundle_array(b, i), data) != GD_OK)
                _exit(2);
            gd_bundle_release(b, gd_bundle_array(b, i));
        }
        gd_bundle_close(b);
        free(data);
        /* the array, its pages in the file, and the pieces that a checksum is made of */
        _exit(peak_bytes() - before < (16 + 16 + 20) << 20 ? 0 : 3);
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void safetensors_are_read_one_by_one(void **state)
{
    gd_safetensors_writer *w;
    gd_array arrays[ARRAYS];
    char names[ARRAYS][16];
    float *data = calloc(ELEMENTS, sizeof *data);
    char path[256];

    (void)state;
    snprintf(path, sizeof path, "%s", temporary("big.safetensors"));
    for (int i = 0; i < ARRAYS; i++) {
        snprintf(names[i], sizeof names[i], "a%d", i);
        arrays[i] = (gd_array){ names[i], GD_F32, 1, { ELEMENTS } };
    }
    assert_int_equal(gd_safetensors_begin(&w, path, false, arrays, ARRAYS, NULL, 0), GD_OK);
    for (int i = 0; i < ARRAYS; i++)
        assert_int_equal(gd_safetensors_add(w, data, ELEMENTS * sizeof *data), GD_OK);
    assert_int_equal(gd_safetensors_commit(w), GD_OK);
    free(data);
    read_one_by_one(path);
}

static void archives_are_read_one_by_one(void **state)
{
    static const char head[] =
        "ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\n"
        "X\1\0\0\0";
    static const char tail[] = "X\3\0\0\0cpuJ\0\0\x40\0tQK\0J\0\0\x40\0\x85K\1\x85\x89"
                               "ccollections\nOrderedDict\n)RtRs";
    bytes pickle = { NULL, 0 }, file;
    float *data = calloc(ELEMENTS, sizeof *data);
    archive a = { 0 };
    char name[32];
    char path[256];

    (void)state;
    put(&pickle, "\x80\2}", 3);
    for (int i = 0; i < ARRAYS; i++) {
        put(&pickle, "X\1\0\0\0", 5);
        put_number(&pickle, 'a' + (uint64_t)i, 1);
        put(&pickle, head, sizeof head - 1);
        put_number(&pickle, '0' + (uint64_t)i, 1);
        put(&pickle, tail, sizeof tail - 1);
        snprintf(name, sizeof name, "m/data/%d", i);
        add_entry(&a, name, data, ELEMENTS * sizeof *data);
    }
    put_text(&pickle, ".");
    add_entry(&a, "m/data.pkl", pickle.data, pickle.n);
    file = finish_archive(&a);
    snprintf(path, sizeof path, "%s", temporary("big.pt"));
    write_file(path, file);
    free(file.data);
    free(pickle.data);
    free(data);
    read_one_by_one(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_load),
        cmocka_unit_test(bad_files_are_refused),
        cmocka_unit_test(controls_load),
        cmocka_unit_test(views_must_lie_in_their_storage),
        cmocka_unit_test(opcodes_are_checked),
        cmocka_unit_test(objects_are_inert_records),
        cmocka_unit_test(messages_name_opcode_and_place),
        cmocka_unit_test(archives_must_be_whole),
        cmocka_unit_test(safetensors_are_read_one_by_one),
        cmocka_unit_test(archives_are_read_one_by_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
