/* SPDX-License-Identifier: MIT */
/* conv_jobs.h - what the engines of src/cpu/conv ask of their kernels. */
#ifndef GD_CPU_CONV_JOBS_H
#define GD_CPU_CONV_JOBS_H

#include "cpu/cpu.h"

/* 3x3 convolution, stride 1, by minimal filtering (winograd.inc): y = conv(x) + bias + residual,
 * then max(0, y) with relu.  Channels of x and y are multiples of 16, both of the same layout; x
 * and the weights are float32 or bfloat16, y is float32, and so are the products. */
struct gd_winograd {
    gd_view x, y;
    int pad; /* 0 to 2 */
    bool relu;
    const void *weights;   /* of winograd_pack, of x's type */
    const float *bias;     /* or NULL */
    const float *residual; /* laid out as y, may be y; or NULL */
    int round;             /* patches that a thread takes through the phases together */
    int threads;           /* most that there is scratch for */
    float *scratch;        /* threads times gd_winograd_scratch(round, channels of x) */
};
/* Convolution, stride 1, kernel 1 or 3, by tiles of AMX (tiles.inc; GD_ISA_AVX512_AMX only): y
 * = conv(x) + bias + residual, then max(0, y) with relu.  x: bfloat16, channels of x and y in
 * sixteens, of the same layout; y and its sums are float32. */
struct gd_tiles {
    gd_view x, y;
    int kernel, pad;
    bool relu;
    const uint16_t *weights; /* of tiles_pack */
    const float *bias;       /* or NULL */
    const float *residual;   /* laid out as y, may be y; or NULL */
    int threads;
    int round;         /* images that there is scratch for */
    uint16_t *scratch; /* round * channels of x / 32 rounded up * gd_tiles_plane() */
};
/* Most of any ISA */
enum { GD_WINOGRAD_DEPTH = 64, GD_WINOGRAD_PANEL = 32, GD_OUTER_GROUP = 64 };

/* Filters that are packed together: they lie one after the other. */
enum { GD_BAND = 16 };
/* packed <- filters [co][ci][3][3], band by band */
struct gd_winograd_packing {
    void *packed; /* 9 * channels in * channels out rounded up to GD_WINOGRAD_PANEL */
    gd_dtype dtype;
    const float *filters;
    int co, ci;
    bool backward_data; /* the filters of backward data, which has ci channels out */
    bool stream;        /* past the caches */
};

/* packed <- filters [co][ci] as oneDNN wants them, band by band: in blocks of 16 x 16, channels in
 * sixteens both */
typedef struct gd_blocks {
    int64_t next_filters, next_channels; /* elements from one block to the next sixteen */
    bool by_channel;                     /* in a block [channel][filter], not the other way */
} gd_blocks;
struct gd_blocks_packing {
    float *packed;
    const float *filters;
    int ci, row; /* channels of a filter; from one filter to the next */
    gd_blocks blocks;
    bool stream; /* past the caches */
};

/* The gradient of a convolution's weights, dy the gradient of its result (outer.inc): kernel 1 or
 * 3, channels in sixteens, both float32 of the same layout */
struct gd_outer {
    gd_view x, dy;
    int kernel, stride, pad;
    float *dweights; /* [co][ci][kernel][kernel] */
    int threads;     /* most that there is scratch for */
    float *scratch;  /* gd_outer_scratch */
};

/* The same for 3x3 filters and stride 1 (winograd_weights.inc); x and dy may be bfloat16 */
struct gd_winograd_weights {
    gd_view x, dy;
    int pad;
    float *dweights; /* [co][ci][3][3] */
    int round;       /* patches whose transforms are held together; their number is in the bits */
    int threads;     /* most that there is scratch for */
    float *scratch;  /* gd_winograd_weights_scratch */
};

/* Elements that 32 channels of x take with padding, rows up to a multiple of 32 positions; 0: the
 * tiles read x as it is */
static inline int64_t gd_tiles_plane(const gd_view *x, int kernel, int pad)
{
    const int64_t width = x->w + 2 * pad;
    const int64_t results = (x->h + 2 * pad - kernel) * width + width - kernel + 1;

    if (kernel == 1 && pad == 0 && !gd_view_blocked(x) && x->c % 32 == 0 && results % 32 == 0)
        return 0;
    return ((results + 31) / 32 * 32 + (kernel - 1) * (width + 1)) * 32;
}
/* Floats of one point of a round's transforms; one cache line more than they fill, so that the
 * points of one patch do not fall into the same cache sets */
static inline int64_t gd_winograd_point(int round, int channels)
{
    return (int64_t)round * channels + 16;
}
static inline int64_t gd_winograd_scratch(int round, int channels)
{
    const int slices = (channels + GD_WINOGRAD_DEPTH - 1) / GD_WINOGRAD_DEPTH;

    return 36 * (slices * gd_winograd_point(round, GD_WINOGRAD_DEPTH) +
                 gd_winograd_point(round, GD_WINOGRAD_PANEL) +
                 gd_winograd_point(GD_WINOGRAD_DEPTH, GD_WINOGRAD_PANEL));
}
static inline int64_t gd_outer_scratch(int taps, int threads)
{
    return taps * threads * gd_winograd_point(GD_OUTER_GROUP, GD_WINOGRAD_PANEL);
}
static inline int64_t gd_winograd_weights_scratch(int round, int ci, int co, int threads)
{
    return 36 * (gd_winograd_point(round, ci) + gd_winograd_point(round, co)) +
           gd_outer_scratch(36, threads);
}

#endif
