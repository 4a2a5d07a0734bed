/* guided.h - diffusion models of the ADM family on ordinary CPUs.
 *
 * Public interface of libguided: open a checkpoint, sample from it, read what it is.  Every
 * fallible function returns a gd_status; the text of the last failure on the calling thread is
 * gd_error().  The library never exits and never prints: progress and notices go to callbacks.
 *
 * Networks, guidance and samplers: Dhariwal & Nichol, "Diffusion Models Beat GANs on Image
 * Synthesis", NeurIPS 2021. */
#ifndef GUIDED_H
#define GUIDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GUIDED_VERSION "0.1.0"

/* X(code, text, exit status of the command) */
#define GD_STATUS_LIST(X)                                                                          \
    X(GD_OK, "done", 0)                                                                            \
    X(GD_EFAILED, "failed", 1)         /* NaN met, lock held by another, verify mismatch */        \
    X(GD_EIO, "input/output error", 1) /* the system refused to write, rename, create */           \
    X(GD_EUSAGE, "usage", 2)           /* the caller asked for what cannot be */                   \
    X(GD_EEXISTS, "output exists", 2)  /* and overwriting was not allowed */                       \
    X(GD_EFORMAT, "bad or unsupported file", 3)                                                    \
    X(GD_EMISMATCH, "files do not fit each other", 3)                                              \
    X(GD_ENOMEM, "out of memory", 4)                                                               \
    X(GD_ENOSPACE, "out of space", 4)                                                              \
    X(GD_EINTERRUPTED, "interrupted", 130)

typedef enum gd_status {
#define GD_STATUS_CODE(code, text, exit_status) code,
    GD_STATUS_LIST(GD_STATUS_CODE)
#undef GD_STATUS_CODE
} gd_status;

#if defined(__GNUC__)
#define GD_CHECKED __attribute__((warn_unused_result))
#else
#define GD_CHECKED
#endif

/* The last failure on this thread: one line "file: place: what was expected and found", then
 * optional lines (a table, "hint: ...").  Valid until the next failing call on the same thread; ""
 * before the first. */
const char *gd_error(void);

const char *gd_status_text(gd_status status);
int gd_exit_status(gd_status status);
const char *gd_version(void);

#ifdef __cplusplus
}
#endif
#endif
