/* SPDX-License-Identifier: MIT */
/* error.c - the status and the message of the last failure on each thread, without heap. */
#include "base/base.h"

#include <errno.h>
#include <string.h>

enum { MESSAGE_BYTES = 4096 }; /* a one-line story of 1 KiB and a table of differences */

static _Thread_local char message[MESSAGE_BYTES];

const char *gd_error(void)
{
    return message;
}

gd_status gd_fail(gd_status status, const char *format, ...)
{
    char text[MESSAGE_BYTES]; /* the arguments may point into the old message */
    va_list ap;

    va_start(ap, format);
    vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    memcpy(message, text, sizeof message);
    return status;
}

void gd_context(const char *format, ...)
{
    char text[MESSAGE_BYTES];
    va_list ap;
    int used;

    va_start(ap, format);
    used = vsnprintf(text, sizeof text, format, ap);
    va_end(ap);
    if (used < 0 || used >= (int)sizeof text - 2)
        return;
    text[used++] = ':';
    text[used++] = ' ';
    memcpy(text + used, message, sizeof text - (size_t)used); /* what does not fit is the tail */
    text[sizeof text - 1] = '\0';
    memcpy(message, text, sizeof message);
}

void gd_detail(const char *format, ...)
{
    size_t used = strlen(message);
    va_list ap;

    if (used + 2 > sizeof message)
        return;
    message[used++] = '\n';
    va_start(ap, format);
    vsnprintf(message + used, sizeof message - used, format, ap);
    va_end(ap);
}

gd_status gd_fail_errno(int error_number, const char *what)
{
    gd_status status = GD_EIO;

    if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG)
        status = GD_ENOSPACE;
    else if (error_number == ENOMEM)
        status = GD_ENOMEM;
    return gd_fail(status, "%s: %s", what, strerror(error_number));
}

const char *gd_status_text(gd_status status)
{
    switch (status) {
#define TEXT(code, text, exit_status)                                                              \
    case code:                                                                                     \
        return text;
        GUIDED_STATUS_LIST(TEXT)
#undef TEXT
    }
    return "unknown";
}

int gd_exit_status(gd_status status)
{
    switch (status) {
#define EXIT(code, text, exit_status)                                                              \
    case code:                                                                                     \
        return exit_status;
        GUIDED_STATUS_LIST(EXIT)
#undef EXIT
    }
    return 1;
}

const char *gd_version(void)
{
    return GUIDED_VERSION;
}
