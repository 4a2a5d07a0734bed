/* SPDX-License-Identifier: MIT */
/* handles.h - what stands behind the handles of guided.h. */
#ifndef GD_API_HANDLES_H
#define GD_API_HANDLES_H

#include "jobs/jobs.h"
#include "nn/nn.h"

#include <stdatomic.h>

struct guided_context {
    gd_settings settings;
    _Atomic bool cancelled;
    int threads; /* 0: as many as the machine offers */
};
struct guided_model {
    guided_context *context;
    gd_model *model;
    job_names names; /* of its classes; n 0: it has none */
};

/* Between entering and leaving, the calling thread uses the context's settings.  gd_leave passes
 * `status` through. */
typedef struct gd_entered {
    const gd_settings *settings;
    int threads;
} gd_entered;
gd_entered gd_enter(guided_context *context);
gd_status gd_leave(const gd_entered *before, gd_status status);

#endif
