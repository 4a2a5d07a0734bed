/* SPDX-License-Identifier: MIT */
/* http_library.c - libmicrohttpd, loaded by guided serve alone: it brings ten other libraries,
 * which every start of the command would otherwise load. */
#include "serve/serve_private.h"

#include <dlfcn.h>

mhd_functions mhd;

gd_status serve_load_library(void)
{
    static const char library[] = "libmicrohttpd.so.12";
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    const char *why;

#define MHD_FIND(name)                                                                             \
    if (handle)                                                                                    \
        mhd.name = (__typeof__(mhd.name))dlsym(handle, "MHD_" #name);                              \
    if (handle && !mhd.name)                                                                       \
        handle = NULL;
    MHD_FUNCTIONS(MHD_FIND)
#undef MHD_FIND
    if (handle)
        return GD_OK;
    why = dlerror();
    return gd_fail(GD_EFAILED,
                   "serve: %s cannot be loaded: %s\nhint: install libmicrohttpd (Debian: "
                   "libmicrohttpd12)",
                   library, why ? why : "it lacks a function");
}
