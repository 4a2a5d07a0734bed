/* SPDX-License-Identifier: MIT */
/* base.h - the foundation of every other layer: status and messages, memory, files, threads, noise,
 * hashes, logs.
 *
 * Layer contract: includes nothing of the project but <guided.h>.  Every system call goes through
 * the gd_os table, so that tests can make any call fail. */
#ifndef GD_BASE_H
#define GD_BASE_H

#include <guided.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/types.h>

/* ---- the public statuses and levels by the library's own names ---- */

typedef guided_status gd_status;
#define GD_OK GUIDED_OK
#define GD_EFAILED GUIDED_EFAILED
#define GD_EIO GUIDED_EIO
#define GD_EUSAGE GUIDED_EUSAGE
#define GD_EEXISTS GUIDED_EEXISTS
#define GD_EFORMAT GUIDED_EFORMAT
#define GD_EMISMATCH GUIDED_EMISMATCH
#define GD_ENOMEM GUIDED_ENOMEM
#define GD_ENOSPACE GUIDED_ENOSPACE
#define GD_EINTERRUPTED GUIDED_EINTERRUPTED
#define GD_CHECKED GUIDED_CHECKED

typedef guided_log_level gd_log_level;
typedef guided_log_fn gd_log_fn;
#define GD_LOG_ERROR GUIDED_LOG_ERROR
#define GD_LOG_NOTE GUIDED_LOG_NOTE
#define GD_LOG_INFO GUIDED_LOG_INFO
#define GD_LOG_DEBUG GUIDED_LOG_DEBUG

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
#define GD_MIN(a, b) ((a) < (b) ? (a) : (b))
#define GD_MAX(a, b) ((a) > (b) ? (a) : (b))
#define GD_PRINTF(f, a) __attribute__((format(printf, f, a)))

/* ---- error.c: status and message ---- */

/* Run a fallible call; on failure return its status from the current function. */
#define GD_TRY(call)                                                                               \
    do {                                                                                           \
        gd_status gd_try_status = (call);                                                          \
        if (gd_try_status != GD_OK)                                                                \
            return gd_try_status;                                                                  \
    } while (0)

/* The last failure on this thread, as guided_error() */
const char *gd_error(void);
const char *gd_status_text(gd_status status);
int gd_exit_status(gd_status status);
const char *gd_version(void);
/* Record a failure (replaces the message) and return `status`. */
GD_CHECKED gd_status gd_fail(gd_status status, const char *format, ...) GD_PRINTF(2, 3);
#ifdef __clang_analyzer__ /* it cannot see that the status comes back */
#define gd_fail(status, ...) ((void)gd_fail(status, __VA_ARGS__), (status))
#endif
/* Put "TEXT: " before the message: each caller adds its context.  Keeps the message's later lines
 * where they are. */
void gd_context(const char *format, ...) GD_PRINTF(1, 2);
/* Append a line to the message: rows of a table, then "hint: ..." (the caller writes the word). */
void gd_detail(const char *format, ...) GD_PRINTF(1, 2);
/* GD_ENOSPACE, GD_ENOMEM or GD_EIO for an errno, with its text: "WHAT: No space left on device". */
GD_CHECKED gd_status gd_fail_errno(int error_number, const char *what);

/* ---- element types ---- */

typedef enum gd_dtype {
    GD_F32,
    GD_BF16,
    GD_F16,
    GD_F64,
    GD_I64,
    GD_I32,
    GD_I16,
    GD_I8,
    GD_U8,
    GD_BOOL,
    GD_U16, /* from here on: read from .npz only */
    GD_U32,
    GD_U64
} gd_dtype;
size_t gd_dtype_bytes(gd_dtype dtype);
const char *gd_dtype_name(gd_dtype dtype); /* "F32", "BF16", ... as safetensors writes them */

/* ---- checked sizes ---- */

/* false on overflow, *out then unspecified */
static inline bool gd_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}
static inline bool gd_add(uint64_t a, uint64_t b, uint64_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

/* ---- arena.c: memory ---- */

/* A growing arena for small structures that die together.  All memory is zeroed and 16-byte
 * aligned. */
typedef struct gd_arena gd_arena;
GD_CHECKED gd_status gd_arena_make(gd_arena **out);
void gd_arena_free(gd_arena *arena); /* NULL is fine */
/* NULL and a recorded GD_ENOMEM when memory is out. */
void *gd_alloc(gd_arena *arena, size_t bytes);
char *gd_strdup(gd_arena *arena, const char *text);
char *gd_sprintf(gd_arena *arena, const char *format, ...) GD_PRINTF(2, 3);

/* One big zeroed block, 64-byte aligned, owned by the caller: activations, weights, images.  NULL
 * and a recorded GD_ENOMEM, which names `what` and the size; checked against gd_set_memory_limit()
 * first. */
void *gd_block(size_t bytes, const char *what);
GD_CHECKED static inline gd_status gd_block_status(const void *block)
{
    return block ? GD_OK : GD_ENOMEM;
}
/* *out <- a block or NULL; out: the address of a pointer of any type */
#define gd_block_make(out, bytes, what) gd_block_status(*(out) = gd_block(bytes, what))
void gd_block_free(void *block); /* NULL is fine; returns the memory to the system */

/* Fail with GD_ENOMEM rather than hold more than this many bytes; 0: no limit, as at the start */
void gd_set_memory_limit(size_t bytes);
size_t gd_memory_limit(void);
/* Allocations made since the process started: tests hold "none after the second step" with it. */
uint64_t gd_allocation_count(void);
/* Bytes that blocks and arenas hold now: tests hold "nothing is kept" with it. */
size_t gd_memory_held(void);
/* Tests only: make allocation number k from now fail (0 = off), once or for ever.  How many failed
 * since the call before. */
uint64_t gd_fail_allocation(uint64_t k, bool persist);

/* ---- os.c: every system call, replaceable ---- */

typedef struct gd_os_table {
    int (*open)(const char *path, int flags, mode_t mode);
    int (*close)(int fd);
    ssize_t (*read)(int fd, void *buffer, size_t bytes);
    ssize_t (*pread)(int fd, void *buffer, size_t bytes, off_t offset);
    ssize_t (*write)(int fd, const void *buffer, size_t bytes);
    ssize_t (*pwrite)(int fd, const void *buffer, size_t bytes, off_t offset);
    /* F_WRLCK, F_RDLCK or F_UNLCK of [at, at + bytes) for this open file, without waiting: EAGAIN
     * when another has it.  The system frees it when the file is closed or its owner dies. */
    int (*lock)(int fd, int type, off_t at, off_t bytes);
    int (*fallocate)(int fd, off_t offset, off_t bytes);
    int (*fsync)(int fd);
    int (*rename)(const char *from, const char *to);
    int (*link)(const char *from, const char *to);
    int (*unlink)(const char *path);
    int (*mkdir)(const char *path, mode_t mode);
} gd_os_table;
extern gd_os_table gd_os;
/* Calls of the table that a signal does not end.  false, -1: errno has the reason.  Writing is
 * whole; reading ends where the file does: how many bytes that were. */
int gd_open(const char *path, int flags, mode_t mode);
bool gd_write(int fd, const void *data, size_t bytes);
bool gd_pwrite(int fd, const void *data, size_t bytes, off_t at);
ssize_t gd_pread(int fd, void *out, size_t bytes, off_t at);
bool gd_fsync(int fd);

/* FOLDER/lock, made where there is none: a regular file with one name that holds nothing but what
 * our processes write there ("pid P on HOST").  Anything else of that name, a link above all, is
 * GD_EEXISTS and stays as it is. */
GD_CHECKED gd_status gd_lock_file_open(int *fd, const char *path);

/* A whole file mapped for reading.  Regular files only (a FIFO or a folder is GD_EFORMAT, as is a
 * path that leads nowhere; what the system refuses or cannot do is GD_EIO).  The
 * mapping is private: a file that another process truncates meanwhile can still fault, so readers
 * validate sizes first and copy soon. */
typedef struct gd_mapped {
    const unsigned char *data;
    size_t bytes;
} gd_mapped;
GD_CHECKED gd_status gd_map_file(gd_mapped *out, const char *path);
void gd_unmap(gd_mapped *map);
/* Drop pages of [offset, offset+bytes) from resident memory; a hint. */
void gd_unmap_pages(const gd_mapped *map, size_t offset, size_t bytes);

/* ---- text_file.c ---- */

/* A text file in a block with a zero behind it and a space for every other zero: without a UTF-8
 * byte order mark, and with "\n" for each "\r\n".  GD_EFORMAT for UTF-16. */
GD_CHECKED gd_status gd_text_read(char **out, size_t *bytes, const char *path);
/* The same two for text that is in memory: bytes of its mark, 0 or 3; GD_EFORMAT for UTF-16 */
size_t gd_byte_order_mark(const void *text, size_t bytes);
GD_CHECKED gd_status gd_text_check(const void *text, size_t bytes, const char *file);

double gd_seconds(void);        /* monotonic clock */
double gd_thread_seconds(void); /* that the calling thread has run */
bool gd_path_exists(const char *path);
bool gd_path_is_folder(const char *path); /* or a link to one; NULL is none */
/* Bytes that a user may still write in this folder's file system */
GD_CHECKED gd_status gd_free_bytes(uint64_t *out, const char *folder);
/* The CPUs that this process may run on: their numbers, at most `max`; returns how many, 1 at least
 */
int gd_affinity(int *cpu, int max);
/* The calling thread sleeps while *word is `value`, until gd_wake(word); it may wake earlier, so
 * the caller looks again. */
void gd_sleep_on(const _Atomic uint32_t *word, uint32_t value);
void gd_wake(const _Atomic uint32_t *word); /* all threads that sleep on it */
size_t gd_peak_bytes(void);                 /* the most memory that was resident in this process */
/* Random bytes from the system, for seeds that no option gives; false when it gives none */
bool gd_random(void *out, size_t bytes);
size_t gd_machine_bytes(void); /* of memory that this machine has */
/* A mapping whose pages may be larger ones; a hint */
void gd_prefer_huge_pages(void *base, size_t bytes);
/* Size, and seconds and nanoseconds of the last change; false when there is no such file */
bool gd_file_facts(int64_t facts[3], const char *path);
/* qsort with a context */
void gd_sort(void *base, size_t n, size_t size,
             int (*compare)(const void *a, const void *b, void *ctx), void *ctx);
/* The folder of the file that this code is in: the program's, or that of libguided.so */
bool gd_own_folder(char *out, size_t bytes);

/* ---- atomic.c: durable whole-file write ---- */

/* What may exist under a name that is to be written.  Folders, devices, pipes and sockets are
 * GD_EEXISTS always. */
typedef enum gd_replace {
    GD_KEEP,      /* nothing: a path that exists is GD_EEXISTS */
    GD_OVERWRITE, /* as the user allowed: the file, or the one that a link leads to, is replaced and
                     keeps its mode */
    GD_OWN        /* a file of a folder that this program keeps: a link is replaced, not followed */
} gd_replace;
/* Before any work: may `path` be written? */
GD_CHECKED gd_status gd_file_check(const char *path, gd_replace replace);

/* Write a part file beside `path` (part.c), then fsync, rename, fsync of the folder.  Nothing
 * appears under `path` before gd_file_commit returns GD_OK; with GD_KEEP an existing path is found
 * at the start and, by link(), at the end.  `expected_bytes` > 0 reserves the space first, so that
 * a full disk is found before work is spent. */
typedef struct gd_file gd_file;
GD_CHECKED gd_status gd_file_create(gd_file **out, const char *path, gd_replace replace,
                                    uint64_t expected_bytes);
GD_CHECKED gd_status gd_file_write(gd_file *file, const void *data, size_t bytes);
GD_CHECKED gd_status gd_file_write_at(gd_file *file, uint64_t offset, const void *data,
                                      size_t bytes);
GD_CHECKED gd_status gd_file_commit(gd_file *file); /* frees `file` whatever happens */
void gd_file_abort(gd_file *file);                  /* removes the part file, frees; NULL is fine */
/* Behind what the file holds, which is made where there is none; links are followed with
 * GD_OVERWRITE only.  Not `durable`: when the system writes it. */
GD_CHECKED gd_status gd_file_append(const char *path, gd_replace replace, const void *data,
                                    size_t bytes, bool durable);
/* What was appended to `path` becomes durable; no file: nothing to do */
GD_CHECKED gd_status gd_file_sync(const char *path);
/* One call for what is already in memory. */
GD_CHECKED gd_status gd_file_put(const char *path, gd_replace replace, const void *data,
                                 size_t bytes);

/* ---- part.c ---- */

/* Remove what killed writers of `path`, or of a name beside it that differs in numbers only, left
 * behind.  gd_file_create does it by itself; a folder that is entered again asks for every kind of
 * file that it may hold.  Files of living writers, and of other programs, stay. */
void gd_part_sweep(const char *path);

/* ---- cores.c: how many threads the machine offers ---- */

typedef struct gd_machine {
    int cpus;            /* that this process may run on */
    int cores;           /* physical ones among them */
    double quota;        /* CPUs that its control groups grant; 0: no quota */
    int threads;         /* the default of gd_threads() */
    bool by_environment; /* OMP_NUM_THREADS set `threads` */
} gd_machine;
const gd_machine *gd_get_machine(void); /* found out once */

/* Its parts, for tests: the files of the system are looked for below `root` ("" for the system).
 * cpu: [n] numbers of CPUs. */
double gd_cpu_quota(const char *root);
int gd_physical_cores(const char *root, const int *cpu, int n);
int gd_threads_for(int cores, double quota); /* the quota's nearest whole number, 1 at least */

/* ---- par.c: threads ---- */

void gd_set_threads(int n); /* of the calling thread's computations, n >= 1 */
int gd_threads(void);

/* fn(ctx, i) for i in [0, n), spread over gd_threads() threads.  Each thread begins with a
 * contiguous range of its own, the same in every call with the same n, and takes from the others'
 * what they have not begun when it is done.  No nesting: inside, gd_threads() is 1.  Results must
 * not depend on which thread runs which i. */
void gd_par(int64_t n, void (*fn)(void *ctx, int64_t i), void *ctx);
/* How long work would take with gd_threads() threads where there are fewer cores: from now on the
 * calling thread runs the chunks of every region by itself, one after the other, and their times
 * are laid out on that many threads.  Contention between threads, above all for memory bandwidth,
 * is not modelled.  NULL: no longer. */
typedef struct gd_forecast {
    int64_t regions;
    double spent;     /* seconds in regions, as they were run */
    double work;      /* of their chunks */
    double predicted; /* of regions with all threads */
} gd_forecast;
void gd_set_forecast(gd_forecast *forecast);
/* Threads that a library with OpenMP inside (oneDNN, OpenBLAS) takes when the calling thread calls
 * it; returns the number before.  Such calls are made with 1, on threads of gd_par. */
int gd_set_openmp_threads(int n);

/* ---- noise.c: counter-based noise (a format for ever) ---- */

/* n standard normal floats keyed by (seed, image, step): Philox4x32-10, key = seed, counter =
 * (element / 4, step, image low, image high); each pair of words by Box-Muller in double, rounded
 * to float.  step 0 is x_T; step k is the k-th step's noise. */
void gd_noise_normal(float *out, int64_t n, uint64_t seed, uint64_t image, uint32_t step);
/* The same for `images` images of n floats one after the other, from image `first` on */
void gd_noise_images(float *out, int64_t n, uint64_t seed, int64_t first, int images, int step);
/* Uniform integer in [0, range) of the same family, for random labels. */
uint32_t gd_noise_below(uint32_t range, uint64_t seed, uint64_t image, uint32_t step);

/* n uniform floats in [0, 1) of 24 bits, four to a block of the same family: those of blocks
 * `block`, block + 1, ... of (seed, step), for weights */
void gd_noise_uniform(float *out, int64_t n, uint64_t seed, uint64_t block, uint32_t step);

/* PyTorch's CPU generator: mt19937 with its randint and randn
 * (docs/reference/diffusion.md#random-numbers). */
typedef struct gd_torch_rng {
    uint32_t state[624];
    int index;
    double cached;
    bool has_cached;
} gd_torch_rng;
void gd_torch_seed(gd_torch_rng *rng, uint64_t seed);
void gd_torch_randn(gd_torch_rng *rng, float *out, int64_t n);
void gd_torch_randint(gd_torch_rng *rng, int64_t *out, int64_t n, uint32_t range);

/* ---- hash.c: XXH3-128 ---- */

/* For tables of this process alone: XXH3-64 with a secret seed */
uint64_t gd_seeded_hash(const void *data, size_t bytes);

typedef struct gd_hasher gd_hasher;
GD_CHECKED gd_status gd_hasher_make(gd_hasher **out);
void gd_hasher_add(gd_hasher *hasher, const void *data, size_t bytes);
void gd_hasher_text(const gd_hasher *hasher,
                    char text[33]); /* 32 hex digits of what was added so far, high half first */
void gd_hasher_free(gd_hasher *hasher);

/* ---- settings.c: a thread's settings in place of the process's ---- */

typedef struct gd_settings {
    size_t memory_limit;
    int64_t max_pixels; /* of a picture that is read; 0: io.h's limit */
    gd_log_fn log;
    void *log_ctx;
    gd_log_level log_most;
    _Atomic bool *cancelled; /* gd_check_stop fails when true */
    _Atomic int64_t *macs;   /* multiply-adds of networks are added here; NULL: nowhere */
} gd_settings;
/* The calling thread's settings from now on, NULL: the process's; returns those before */
const gd_settings *gd_use_settings(const gd_settings *settings);
const gd_settings *gd_used_settings(void);

/* ---- log.c: notices to the log of the thread's settings; none = silence ---- */

bool gd_log_wanted(gd_log_level level);
void gd_log(gd_log_level level, const char *format, ...) GD_PRINTF(2, 3);

/* ---- stop.c: whoever set the thread's settings wants its work to end (Ctrl-C) ---- */

bool gd_stop_wanted(void);
GD_CHECKED gd_status gd_check_stop(void); /* GD_EINTERRUPTED when it does */

/* ---- small.c ---- */

bool gd_ends_with(const char *path, const char *suffix); /* in any case: x.PNG ends with .png */
/* The last dot of a path's name and what follows; "" for a name without, or one that ends with / */
const char *gd_suffix(const char *path);
/* A path that is to be written has one of these suffixes ("png npz"), in any case, or none.
 * GD_EUSAGE with `hint` for another: what it asks for is not what would be written. */
GD_CHECKED gd_status gd_suffix_check(const char *path, const char *known, const char *hint);
double gd_median(double *values, int n); /* n >= 1; sorts them; of an even number the upper one */

/* ---- text.c ---- */

/* `text` with \xHH for every byte that a terminal would obey instead of showing it (controls but
 * for those of `allowed`, marks of writing direction) and for what is not UTF-8; as much as fits,
 * with a zero at the end: how many bytes before that.  allowed NULL: a form that gd_unescape takes
 * back, whatever the bytes; a "\x" of the text itself is then written so too. */
size_t gd_escape(char *out, size_t size, const char *text, size_t bytes, const char *allowed);
void gd_unescape(char *text);
char *gd_escaped(gd_arena *arena, const char *text); /* with allowed NULL; NULL: out of memory */

/* ---- stream.c ---- */

/* A stream to `fd` that writes what gd_escape makes of everything but line ends and tabs; not
 * buffered: each call of printf at once.  For the life of the program.  NULL: out of memory. */
FILE *gd_plain_stream(int fd, bool buffered);
/* A stream whose text goes to put(ctx, ..), which is false where it cannot be taken (errno);
 * fclose.  NULL: out of memory */
FILE *gd_text_stream(bool (*put)(void *ctx, const char *text, size_t n), void *ctx);

/* ---- buffer.c ---- */

/* Text that grows; all zero: empty.  data ends with a zero once something was printed; free(data).
 */
typedef struct gd_buffer {
    char *data;
    size_t n, room;
    bool failed; /* out of memory: nothing more is added */
} gd_buffer;
void gd_buffer_print(gd_buffer *buffer, const char *format, ...) GD_PRINTF(2, 3);
/* Room for so many bytes and a zero behind n; false: failed */
bool gd_buffer_reserve(gd_buffer *buffer, size_t more);

/* ---- field.c ---- */

typedef enum gd_field_type {
    GD_INT,
    GD_WIDE, /* int64_t */
    GD_REAL, /* double */
    GD_SWITCH,
    GD_SEED, /* uint64_t */
    GD_TEXT  /* const char *: the text itself, not a copy */
} gd_field_type;
typedef struct gd_field {
    const char *name; /* for messages */
    gd_field_type type;
    double min, max; /* of numbers, both included */
} gd_field;
/* GD_EUSAGE "NAME TEXT: expected ..", and *to is unchanged.  Switches are true, yes, t, y, 1 and
 * their opposites in any case. */
GD_CHECKED gd_status gd_field_read(const gd_field *f, const char *text, void *to);
/* Of the types INT, WIDE and REAL */
double gd_field_number(gd_field_type type, const void *of);
/* *out: the index of `text` in the list.  GD_EUSAGE names all words and the nearest. */
GD_CHECKED gd_status gd_field_choose(const char *name, const char *text, const char *const *list,
                                     int n, int *out);

/* ---- nearest.c ---- */

/* The word of the list nearest to `word`, for "did you mean": few letters wrong or swapped, any
 * case; else the first that holds it.  NULL when nothing is close. */
const char *gd_nearest(const char *word, const char *const *list, int n);

#endif
