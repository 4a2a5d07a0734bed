/* SPDX-License-Identifier: MIT */
/* enlarge.c - bicubic enlargement, the counterpart of op_cubic.c. */
#include "restore/restore_private.h"

#include "cpu/linear.h"

gd_status gd_enlarge_make(gd_enlarge *e, gd_shape from, gd_shape to, gd_edge edge, gd_arena *mem)
{
    const gd_cubic cubic = { .edge = edge, .a = edge == GD_EDGE_CLAMP ? -0.75 : -0.5 };

    GD_TRY(gd_linear_ready());
    *e = (gd_enlarge){ .from = from, .to = to };
    e->h = gd_alloc(mem, (size_t)to.h * (size_t)from.h * sizeof(double));
    e->w = gd_alloc(mem, (size_t)to.w * (size_t)from.w * sizeof(double));
    e->work = gd_alloc(mem, (size_t)to.h * (size_t)from.w * sizeof(double));
    if (!e->h || !e->w || !e->work)
        return GD_ENOMEM;
    gd_cubic_matrix(e->h, to.h, from.h, &cubic);
    gd_cubic_matrix(e->w, to.w, from.w, &cubic);
    return GD_OK;
}

void gd_enlarge_apply(const gd_enlarge *e, const double *in, double *out)
{
    for (int c = 0; c < e->to.c; c++) {
        gd_matrix_product(e->work, e->h, in + (int64_t)c * e->from.h * e->from.w, false, e->to.h,
                          e->from.w, e->from.h);
        gd_matrix_product(out + (int64_t)c * e->to.h * e->to.w, e->work, e->w, true, e->to.h,
                          e->to.w, e->from.w);
    }
}
