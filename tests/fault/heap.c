/* SPDX-License-Identifier: MIT */
/* heap.c - malloc and its friends in front of the C library's (or a sanitizer's): requests of our
 * own code and of the libraries that read and write files may be made to fail.  The compute
 * libraries' own memory is left alone: they have no promise to keep. */
#define _GNU_SOURCE
#include "fault.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <jansson.h>
#include <link.h>
#include <pthread.h>
#include <sys/mman.h>

typedef struct range {
    uintptr_t begin, end;
} range;

static range ranges[64];
static int n_ranges = -1;

static bool is_ours(const char *name)
{
    static const char *const libraries[] = { "libjansson", "libzip", "libpng", "libz.", "libjpeg" };

    for (int i = 0; i < COUNT(libraries); i++)
        if (strstr(name, libraries[i]))
            return true;
    return *name == '\0'; /* the program itself */
}

static int note_ranges(struct dl_phdr_info *info, size_t size, void *ctx)
{
    (void)size;
    (void)ctx;
    for (int i = 0; i < info->dlpi_phnum && is_ours(info->dlpi_name); i++) {
        const ElfW(Phdr) *h = &info->dlpi_phdr[i];
        if (h->p_type == PT_LOAD && (h->p_flags & PF_X) && n_ranges < COUNT(ranges))
            ranges[n_ranges++] =
                (range){ info->dlpi_addr + h->p_vaddr, info->dlpi_addr + h->p_vaddr + h->p_memsz };
    }
    return 0;
}

__attribute__((constructor)) static void find_ranges(void)
{
    n_ranges = 0;
    dl_iterate_phdr(note_ranges, NULL);
}

/* jansson's parser has no promise to keep either (src/io/json.c). */
static _Thread_local int parsing;

static bool strikes(const void *caller)
{
    for (int i = 0; i < n_ranges && !parsing; i++)
        if ((uintptr_t)caller >= ranges[i].begin && (uintptr_t)caller < ranges[i].end)
            return fault_strikes_heap(caller);
    return false;
}

#define CALLER __builtin_return_address(0)
/* The next definition behind this program's, looked up once */
#define NEXT(function)                                                                             \
    static __typeof__(&function) next;                                                             \
    if (!next)                                                                                     \
    next = (__typeof__(&function))dlsym(RTLD_NEXT, #function)

void *malloc(size_t bytes)
{
    NEXT(malloc);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(bytes);
}

void *calloc(size_t n, size_t bytes)
{
    NEXT(calloc);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(n, bytes);
}

void *realloc(void *old, size_t bytes)
{
    NEXT(realloc);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(old, bytes);
}

char *strdup(const char *text)
{
    NEXT(strdup);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(text);
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    NEXT(mmap);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return next(at, bytes, protection, flags, fd, offset);
}

DIR *opendir(const char *path)
{
    NEXT(opendir);
    if (strikes(CALLER)) {
        errno = ENOMEM;
        return NULL;
    }
    return next(path);
}

json_t *json_loadb(const char *text, size_t bytes, size_t flags, json_error_t *error)
{
    NEXT(json_loadb);
    parsing++;
    json_t *json = next(text, bytes, flags, error);
    parsing--;
    return json;
}

json_t *json_loads(const char *text, size_t flags, json_error_t *error)
{
    NEXT(json_loads);
    parsing++;
    json_t *json = next(text, flags, error);
    parsing--;
    return json;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *ctx)
{
    NEXT(pthread_create);
    return strikes(CALLER) ? EAGAIN : next(thread, attr, start, ctx);
}
