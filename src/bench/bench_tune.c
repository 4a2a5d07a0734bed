/* SPDX-License-Identifier: MIT */
/* bench_tune.c - guided bench --tune: from how many pixels on Winograd is faster, measured
 * on this machine beside the table that the program uses (cpu/conv/choice.c). */
#include "bench/bench.h"

static const int channels[] = { 64, 192, 384, 768 }, sides[] = { 8, 16, 32, 64 };

/* What a convolution gets that Winograd does not */
static gd_conv_algo other_way(gd_conv_pass pass, gd_dtype dtype)
{
    if (pass == GD_CONV_GRAD_WEIGHTS)
        return dtype == GD_F32 ? GD_CONV_OUTER : GD_CONV_DIRECT;
    return dtype == GD_BF16 && gd_isa_used() == GD_ISA_AVX512_AMX ? GD_CONV_TILES : GD_CONV_DIRECT;
}

/* 3x3 convolutions of one size, summed over widths: by Winograd and the other way */
static gd_status measure(gd_conv_pass pass, gd_dtype dtype, int side, double seconds[2])
{
    seconds[0] = seconds[1] = 0;
    for (int i = 0; i < COUNT(channels); i++) {
        const gd_conv_desc d = { .pass = pass,
                                 .n = 1,
                                 .ci = channels[i],
                                 .h = side,
                                 .w = side,
                                 .co = channels[i],
                                 .kernel = 3,
                                 .stride = 1,
                                 .pad = 1,
                                 .dtype = dtype,
                                 .blocked = gd_isa_used() >= GD_ISA_AVX512 };
        double one;
        GD_TRY(gd_check_stop());
        GD_TRY(gd_conv_seconds(&one, &d, GD_CONV_WINOGRAD));
        seconds[0] += one;
        GD_TRY(gd_conv_seconds(&one, &d, other_way(pass, dtype)));
        seconds[1] += one;
    }
    return GD_OK;
}

static gd_status tune_pass(gd_conv_pass pass, gd_dtype dtype)
{
    static const char *const name[] = { "forward", "data", "weights" };
    const char *precision = dtype == GD_BF16 ? "bf16" : "fp32";
    const int table = gd_conv_winograd_pixels(pass, dtype);
    double seconds[2];
    int from = 0;

    for (int i = COUNT(sides) - 1; i >= 0; i--) {
        GD_TRY(measure(pass, dtype, sides[i], seconds));
        fprintf(job_out(), "%s %-8s %2dx%-2d  winograd %8.3f ms, otherwise %8.3f ms, %.2f times\n",
                precision, name[pass], sides[i], sides[i], seconds[0] * 1e3, seconds[1] * 1e3,
                seconds[1] / seconds[0]);
        if (seconds[0] <= seconds[1] && (i == COUNT(sides) - 1 || from))
            from = sides[i] * sides[i];
        else if (!from)
            break;
    }
    if (from)
        fprintf(job_out(), "%s %-8s from %d pixels; the table says %d\n", precision, name[pass],
                from, table);
    else
        fprintf(job_out(), "%s %-8s never; the table says %d\n", precision, name[pass], table);
    return GD_OK;
}

gd_status bench_tune(void)
{
    if (gd_isa_used() == GD_ISA_C)
        return gd_fail(GD_EUSAGE, "--tune: GUIDED_ISA=c has one kernel");
    fprintf(job_out(), "%s, %d threads, oneDNN %s, 3x3 with 64, 192, 384 and 768 channels\n",
            gd_isa_name(gd_isa_used()), gd_threads(), gd_onednn_version());
    for (int bf16 = 0; bf16 <= (gd_isa_used() >= GD_ISA_AVX512); bf16++)
        for (int pass = GD_CONV_FORWARD; pass <= GD_CONV_GRAD_WEIGHTS; pass++)
            GD_TRY(tune_pass((gd_conv_pass)pass, bf16 ? GD_BF16 : GD_F32));
    return GD_OK;
}
