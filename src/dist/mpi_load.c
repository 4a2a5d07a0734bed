/* SPDX-License-Identifier: MIT */
/* mpi_load.c - finds and loads the module that knows MPI, once a launcher started this process as
 * one of several. */
#define _GNU_SOURCE
#include "dist/mpi_module.h"

#include <dlfcn.h>
#include <string.h>

/* Where the module may be, seen from the file that this code is in: build/guided, lib/libguided.so,
 * bin/guided.  An installation can be moved; the last is for one whose folders lie elsewhere. */
static const char *const folders[] = { ".", "guided", GUIDED_MODULE_FROM_BIN, GUIDED_MODULE_DIR };

static bool find(char *path, size_t bytes)
{
    char own[4096] = "";

    for (int i = 0; i < COUNT(folders); i++) {
        if (folders[i][0] == '/')
            snprintf(path, bytes, "%s/%s", folders[i], DIST_MODULE_FILE);
        else if (gd_own_folder(own, sizeof own))
            snprintf(path, bytes, "%s/%s/%s", own, folders[i], DIST_MODULE_FILE);
        else
            continue;
        if (gd_path_exists(path))
            return true;
    }
    return false;
}

/* Never unloaded: MPI leaves threads and handlers behind.  Its own plugins look for its symbols
 * among the global ones. */
static gd_status load(const dist_module **out, int launched, const char *variable)
{
    char path[4096 + 256];
    void *handle;

    if (!find(path, sizeof path))
        return gd_fail(GD_EUSAGE,
                       "%s says %d ranks, but %s is neither beside this program nor in %s\nhint: "
                       "install guided as a whole (cmake --install), or unset %s to run it alone",
                       variable, launched, DIST_MODULE_FILE, GUIDED_MODULE_DIR, variable);
    handle = dlopen(path, RTLD_NOW | RTLD_GLOBAL);
    *out = handle ? dlsym(handle, DIST_MODULE_SYMBOL) : NULL;
    if (!*out)
        return gd_fail(GD_EUSAGE,
                       "%s says %d ranks, but MPI cannot be loaded: %s\nhint: install Open MPI "
                       "(Debian: openmpi-bin), or unset %s to run it alone",
                       variable, launched, dlerror(), variable);
    if (strncmp((*out)->version, GUIDED_VERSION, sizeof(*out)->version) != 0)
        return gd_fail(GD_EUSAGE, "%s is of guided %.31s, this is %s\nhint: install both anew",
                       path, (*out)->version, GUIDED_VERSION);
    return GD_OK;
}

/* gd_fail as a pointer: it may be a macro */
static gd_status fail_for_module(gd_status status, const char *format, ...)
{
    char text[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return gd_fail(status, "%s", text);
}

gd_status dist_mpi_open(gd_dist **out, int launched, const char *variable)
{
    static const dist_host host = { fail_for_module, gd_seconds };
    const dist_module *module;
    dist_joined joined;

    GD_TRY(load(&module, launched, variable));
    GD_TRY(module->join(&joined, &host, launched, variable));
    return dist_make(out, joined.carrier, joined.ctx, joined.rank, joined.ranks);
}
