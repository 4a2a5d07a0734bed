/* SPDX-License-Identifier: MIT */
/* init.c - weights without a file: as PyTorch would initialise them, or synthetic ones that are a
 * pure function of their names. */
#include "nn/config.h"

#include <math.h>

/* Weights must not be the noise or the labels of the images that are drawn from the same seed. */
static const uint64_t SEED_SPACE = 0x696e697477656967u; /* "initweig" */

typedef struct uniform_job {
    float *out;
    int64_t n;
    double scale;
    uint64_t seed;
    uint32_t index;
} uniform_job;

enum { CHUNK = 1 << 16 }; /* elements: whole blocks of noise */

static void fill_chunk(void *ctx, int64_t chunk)
{
    const uniform_job *job = ctx;

    const int64_t from = chunk * CHUNK, to = GD_MIN(job->n, from + CHUNK);

    gd_noise_uniform(job->out + from, to - from, job->seed, (uint64_t)from / 4, job->index);
    for (int64_t i = from; i < to; i++)
        job->out[i] = (float)((job->out[i] * 2.0 - 1.0) * job->scale);
}

void gd_init_parameter(float *out, const gd_param_spec *spec, uint64_t seed, int index)
{
    const int64_t n = gd_param_count(spec);

    seed ^= SEED_SPACE;
    switch (spec->init) {
    case GD_INIT_UNIFORM:
        gd_par((n + CHUNK - 1) / CHUNK, fill_chunk,
               &(uniform_job){ out, n, spec->init_scale, seed, (uint32_t)index });
        break;
    case GD_INIT_NORMAL:
    case GD_INIT_BUFFER:
        gd_noise_normal(out, n, seed, (uint64_t)index, 0);
        for (int64_t i = 0; i < n; i++)
            out[i] = (float)(out[i] * spec->init_scale);
        break;
    case GD_INIT_ONE:
    case GD_INIT_ZERO:
        for (int64_t i = 0; i < n; i++)
            out[i] = spec->init == GD_INIT_ONE ? 1.0f : 0.0f;
    }
}

/* ---- the rule of the full-size reference cases ---- */

static uint64_t fnv1a64(uint64_t hash, const char *text)
{
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001b3u;
    return hash;
}

/* uniform in [-1, 1): splitmix64's finaliser */
static float uniform(uint64_t hash, uint64_t i)
{
    uint64_t z = hash + i + 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return (float)(z >> 40) * (2.0f / (1 << 24)) - 1.0f;
}

void gd_init_synthetic(float *out, const gd_param_spec *spec, const char *salt)
{
    const uint64_t hash = fnv1a64(fnv1a64(0xcbf29ce484222325u, salt), spec->name);
    const int64_t n = gd_param_count(spec);
    double fan_in = 1;
    float scale, offset = 0;

    for (int d = 1; d < spec->rank; d++)
        fan_in *= (double)spec->dim[d];
    scale = spec->rank >= 2 ? (float)(0.5 * sqrt(3.0 / fan_in)) : 0.1f;
    if (spec->rank == 1 && spec->init == GD_INIT_ONE)
        offset = 1.0f;
    for (int64_t i = 0; i < n; i++)
        out[i] = offset + scale * uniform(hash, (uint64_t)i);
}
