/* SPDX-License-Identifier: MIT */
/* test_bombs.c - small or plain files that ask for much: decided within a second and 64 MiB. */
#include "graphdef_file.h"

#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* In a process of its own, whose peak is its own; the sanitisers' memory is not counted. */
static void decide(bytes file, gd_status expected)
{
    const pid_t child = fork();
    int result;

    if (child == 0) {
        const size_t before = peak_bytes();
        const clock_t start = clock(); /* processor time: the machine has other work */
        const gd_status s = try_open(file, false);
        const double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        const size_t held = peak_bytes() - before;
        fprintf(stderr, "%d: %.2f s, %zu KiB: %.200s\n", (int)s, seconds, held >> 10,
                s == GD_OK ? "loads" : gd_error());
#ifdef __SANITIZE_ADDRESS__
        _exit(s == expected ? 0 : 1);
#else
        _exit(s != expected ? 1 : seconds >= patience() ? 2 : held > 64 << 20 ? 3 : 0);
#endif
    }
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0); /* 1 other status, 2 too slow, 3 too much memory */
    free(file.data);
}

/* ---- safetensors ---- */

static bytes many_arrays(long n)
{
    bytes header = { NULL, 0 }, file = { NULL, 0 };
    char entry[96];

    for (long i = 0; i < n; i++) {
        snprintf(entry, sizeof entry,
                 "%c\"t%ld\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}",
                 i == 0 ? '{' : ',', i);
        put_text(&header, entry);
    }
    put_text(&header, "}");
    put_number(&file, header.n, 8);
    put(&file, header.data, header.n);
    free(header.data);
    return file;
}

static bytes header_of(const char *begin, const char *middle, size_t n, long times, const char *end)
{
    bytes header = { NULL, 0 }, file = { NULL, 0 };

    put_text(&header, begin);
    put_many(&header, middle, n, times);
    put_text(&header, end);
    put_number(&file, header.n, 8);
    put(&file, header.data, header.n);
    free(header.data);
    return file;
}

static void safetensors_headers(void **state)
{
    (void)state;
    decide(many_arrays(1000000), GD_EFORMAT);
    decide(many_arrays(38000), GD_OK);
    decide(many_arrays(GD_MAX_ARRAYS), GD_EFORMAT);
    decide(header_of("{\"a\":", "[", 1, 50000000, ""), GD_EFORMAT);
    decide(header_of("{\"a\":[", "1,", 2, 40000000, "1]}"), GD_EFORMAT);
    decide(header_of("{\"__metadata__\":{\"a\":\"", "x", 1, 90000000, "\"}}"), GD_EFORMAT);
    decide(header_of("{", "\"a\":{},", 7, 10000000, "\"b\":{}}"), GD_EFORMAT);
    decide(header_of("{", " ", 1, 90000000, "}"), GD_EFORMAT);
    decide(header_of("{\"__metadata__\":{\"a\":\"", "x", 1, 20000000, "\"}}"), GD_OK);
}

/* ---- pickles, in an archive ---- */

static bytes archive_of(bytes pickle)
{
    archive a = { 0 };

    add_entry(&a, "m/data.pkl", pickle.data, pickle.n);
    free(pickle.data);
    return finish_archive(&a);
}

static bytes repeated(const char *begin, size_t n_begin, const char *part, size_t n, long times)
{
    bytes p = { NULL, 0 };

    put(&p, begin, n_begin);
    put_many(&p, part, n, times);
    put_text(&p, ".");
    return archive_of(p);
}

static void pickles(void **state)
{
    bytes laughs = { NULL, 0 };

    (void)state;
    decide(repeated("\x80\2", 2, "]", 1, 5000000), GD_EFORMAT);            /* the stack */
    decide(repeated("\x80\2]", 3, "}a", 2, 5000000), GD_EFORMAT);          /* the values */
    decide(repeated("\x80\2]", 3, "Na", 2, 10000000), GD_EFORMAT);         /* the items */
    decide(repeated("\x80\2N", 3, "\x85", 1, 5000000), GD_EFORMAT);        /* the depth */
    decide(repeated("\x80\2N", 3, "r\x3f\x42\x0f\0", 5, 1000000), GD_OK);  /* memo 999999 */
    decide(repeated("\x80\2N", 3, "r\xff\xff\xff\xff", 5, 1), GD_EFORMAT); /* memo 2^32 - 1 */
    decide(repeated("\x80\2]", 3, "J\0\0\1\0a", 6, 3000000), GD_EFORMAT);
    put(&laughs, "\x80\2(]q\0", 6);
    for (int i = 0; i < 60; i++) { /* each list holds the one before twice */
        put(&laughs, "]q", 2);
        put_number(&laughs, (uint64_t)i + 1, 1);
        put(&laughs, "(h", 2);
        put_number(&laughs, (uint64_t)i, 1);
        put(&laughs, "h", 1);
        put_number(&laughs, (uint64_t)i, 1);
        put(&laughs, "e", 1);
    }
    put_text(&laughs, "t.");
    decide(archive_of(laughs), GD_EFORMAT);
}

/* Persistent ids, each of another storage */
static void many_storages(void **state)
{
    static const char head[] = "(X\7\0\0\0storagectorch\nFloatStorage\nX\5\0\0\0";
    bytes p = { NULL, 0 };
    char key[16];

    (void)state;
    put(&p, "\x80\2(", 3);
    for (int i = 0; i < 30000; i++) {
        snprintf(key, sizeof key, "%05d", i);
        put(&p, head, sizeof head - 1);
        put_text(&p, key);
        put(&p, "X\3\0\0\0cpuK\1tQ", 12);
    }
    put_text(&p, "t.");
    decide(archive_of(p), GD_EFORMAT);
}

/* ---- archives ---- */

static void overlapping_entries(void **state)
{
    enum { N = 1000 };
    archive a = { 0 };
    bytes pickle = { NULL, 0 };
    char name[32];
    size_t first;

    (void)state;
    put_many(&pickle, "N", 1, 100000);
    add_entry(&a, "m/data.pkl", "\x80\2N.", 4);
    first = a.body.n;
    for (int i = 0; i < N; i++) { /* every directory record points to the same bytes */
        const size_t before = a.body.n;
        snprintf(name, sizeof name, "m/data/%04d", i);
        add_entry(&a, name, pickle.data, i == 0 ? pickle.n : 0);
        if (i > 0) {
            a.body.n = before;
            const size_t record = a.directory.n - strlen(name) - 46;
            for (int k = 0; k < 4; k++) {
                a.directory.data[record + 20 + (size_t)k] = (unsigned char)(pickle.n >> 8 * k);
                a.directory.data[record + 24 + (size_t)k] = (unsigned char)(pickle.n >> 8 * k);
                a.directory.data[record + 42 + (size_t)k] = (unsigned char)(first >> 8 * k);
            }
        }
    }
    free(pickle.data);
    decide(finish_archive(&a), GD_EFORMAT);
}

static bytes many_entries(int n)
{
    archive a = { 0 };
    char name[32];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%d.npy", i);
        add_entry(&a, name, "", 0);
    }
    return finish_archive(&a);
}

static void directories(void **state)
{
    static const char npy[] = "\x93NUMPY\1\0\x76\0";
    bytes zeros = { NULL, 0 };

    (void)state;
    decide(many_entries(65000), GD_EFORMAT); /* empty entries are no arrays: refused at the first */
    put_many(&zeros, "\0", 1, 200000000);
    decide(deflated_archive("m/data.pkl", zeros.data, zeros.n), GD_EFORMAT);
    memcpy(zeros.data, npy, sizeof npy - 1);
    decide(deflated_archive("x.npy", zeros.data, zeros.n), GD_EFORMAT);
    free(zeros.data);
}

/* ---- GraphDef ---- */

static bytes repeated_field(const char *field, size_t n, long times)
{
    bytes file = { NULL, 0 };

    put_other_node(&file, "x", "Add");
    put_many(&file, field, n, times);
    return file;
}

static void graphdefs(void **state)
{
    static const int64_t much[] = { 1 << 20, 1 << 20 }, one[] = { 1 };
    bytes splat = { NULL, 0 }, many = { NULL, 0 }, loose = { NULL, 0 };
    char name[16];

    (void)state;
    decide(repeated_field("\x0a\0", 2, 20000000), GD_EFORMAT); /* empty nodes */
    decide(repeated_field("\x18\1", 2, 20000000), GD_EFORMAT); /* numbers nobody knows */
    decide(repeated_field("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", 11, 1), GD_EFORMAT);
    put_constant(&splat, "x", make_tensor(2, much, AS_LOOSE, 1)); /* 4 bytes for 4 TiB */
    decide(splat, GD_EFORMAT);
    for (int i = 0; i <= GD_MAX_ARRAYS; i++) {
        snprintf(name, sizeof name, "%d", i);
        put_constant(&many, name, make_tensor(1, one, AS_CONTENT, 1));
    }
    decide(many, GD_EFORMAT);
    put_constant(&loose, "x", make_tensor(1, (int64_t[]){ 4000000 }, AS_LOOSE, 4000000));
    decide(loose, GD_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safetensors_headers), cmocka_unit_test(pickles),
        cmocka_unit_test(many_storages),       cmocka_unit_test(overlapping_entries),
        cmocka_unit_test(directories),         cmocka_unit_test(graphdefs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
