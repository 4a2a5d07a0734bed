/* SPDX-License-Identifier: MIT */
/* stream.c - a stream for people: what would control their terminal is written as \xHH, whoever
 * printed it. */
#define _GNU_SOURCE
#include "base/base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 4096, TAIL = 4 };

typedef struct stream {
    bool (*put)(void *ctx, const char *text, size_t n); /* NULL: to fd, escaped */
    void *ctx;
    int fd;
    bool buffered;   /* its buffer may end inside a character, which waits here for the rest */
    char tail[TAIL]; /* n_tail bytes */
    size_t n_tail;
} stream;

/* Bytes at the end that begin a UTF-8 character and are not the whole of it */
static size_t unfinished(const char *text, size_t bytes)
{
    for (size_t n = 1; n <= 3 && n <= bytes; n++) {
        const unsigned char c = (unsigned char)text[bytes - n];
        if ((c & 0xc0) == 0x80)
            continue;
        return (c >= 0xf0 && n < 4) || (c >= 0xe0 && n < 3) || (c >= 0xc0 && n < 2) ? n : 0;
    }
    return 0;
}

static bool put(stream *s, const char *text, size_t bytes)
{
    char plain[4 * CHUNK + 1];

    while (bytes > 0) {
        size_t n = GD_MIN(bytes, (size_t)CHUNK);
        if (n < bytes && n > unfinished(text, n))
            n -= unfinished(text, n);
        if (!gd_write(s->fd, plain, gd_escape(plain, sizeof plain, text, n, "\n\t")))
            return false;
        text += n;
        bytes -= n;
    }
    return true;
}

static ssize_t on_write(void *cookie, const char *text, size_t bytes)
{
    stream *s = cookie;
    const size_t rest = s->buffered ? unfinished(text, bytes) : 0;
    size_t begin = 0;

    if (s->put)
        return s->put(s->ctx, text, bytes) ? (ssize_t)bytes : 0;
    if (s->n_tail > 0) { /* the character that was cut: up to where it ends */
        while (begin < bytes && s->n_tail < TAIL && ((unsigned char)text[begin] & 0xc0) == 0x80)
            s->tail[s->n_tail++] = text[begin++];
        const size_t n = s->n_tail;
        s->n_tail = 0;
        if (!put(s, s->tail, n))
            return 0;
    }
    if (begin + rest > bytes)
        return (ssize_t)bytes;
    if (!put(s, text + begin, bytes - begin - rest))
        return 0;
    memcpy(s->tail, text + bytes - rest, rest);
    s->n_tail = rest;
    return (ssize_t)bytes;
}

static int on_close(void *cookie)
{
    free(cookie);
    return 0;
}

#if defined(__APPLE__) || defined(__FreeBSD__)
static int on_bsd_write(void *cookie, const char *text, int bytes)
{
    return (int)on_write(cookie, text, (size_t)bytes);
}

static FILE *open_cookie(stream *s)
{
    return funopen(s, NULL, on_bsd_write, NULL, on_close);
}
#else
static FILE *open_cookie(stream *s)
{
    return fopencookie(s, "w", (cookie_io_functions_t){ .write = on_write, .close = on_close });
}
#endif

FILE *gd_plain_stream(int fd, bool buffered)
{
    stream *s = calloc(1, sizeof *s); /* for as long as the program runs */
    FILE *f;

    if (!s)
        return NULL;
    *s = (stream){ .fd = fd, .buffered = buffered };
    f = open_cookie(s);
    if (!f)
        free(s);
    else
        setvbuf(f, NULL, !buffered ? _IONBF : isatty(fd) ? _IOLBF : _IOFBF, BUFSIZ);
    return f;
}

FILE *gd_text_stream(bool (*text)(void *ctx, const char *text, size_t n), void *ctx)
{
    stream *s = calloc(1, sizeof *s);
    FILE *f = NULL;

    if (!s)
        return NULL;
    *s = (stream){ .put = text, .ctx = ctx };
    f = open_cookie(s);
    if (!f)
        free(s);
    return f;
}
