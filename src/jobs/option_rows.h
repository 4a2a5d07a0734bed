/* SPDX-License-Identifier: MIT */
/* option_rows.h - rows that the tables of several verbs share, so that an option with one meaning
 * is declared once.  `at`: the offset of its field in the verb's structure. */
#ifndef GD_JOBS_OPTION_ROWS_H
#define GD_JOBS_OPTION_ROWS_H

#include "jobs/jobs.h"

#define OPTION_MODEL(at)                                                                           \
    {                                                                                              \
        "model", 'm', JOB_TEXT, "FILE", "diffusion model (default: the built-in one)", at          \
    }
#define OPTION_IMAGE_SET(at)                                                                       \
    {                                                                                              \
        "data", 'd', JOB_TEXT, "PATH", "images: a folder, .npz, .zip or IDX file", at              \
    }
#define OPTION_LABELS_OF_SET(at)                                                                   \
    {                                                                                              \
        "labels", 0, JOB_TEXT, "HOW",                                                              \
            "source of labels: folder, name, none (default: the set's own)", at                    \
    }
#define OPTION_SEED(at)                                                                            \
    {                                                                                              \
        "seed", 0, JOB_SEED, "N", "random seed (default: drawn and printed)", at                   \
    }
#define OPTION_STEPS(at)                                                                           \
    {                                                                                              \
        "steps", 's', JOB_TEXT, "SPEC", "sampling steps: 250, ddim25, 10,10,20 (default 250)", at  \
    }
#define OPTION_NUM_IMAGES(at)                                                                      \
    {                                                                                              \
        "num", 'n', JOB_INT, "K", "number of images (default 1)", at, 1, 1e5                       \
    }
#define OPTION_TILE(at)                                                                            \
    {                                                                                              \
        "tile", 0, JOB_INT, "N", "tile size for larger images (default: the model's)", at, 8, 4096 \
    }
#define OPTION_WHOLE(at)                                                                           \
    {                                                                                              \
        "whole", 0, JOB_SWITCH, "", "process a larger image whole, not in tiles", at               \
    }
#define OPTION_THREADS(at)                                                                         \
    {                                                                                              \
        "threads", 't', JOB_INT, "N", "number of threads (default: all allowed cores)", at, 1,     \
            1024                                                                                   \
    }
#define OPTION_MEMORY(at)                                                                          \
    {                                                                                              \
        "memory", 0, JOB_INT, "MIB", "memory limit; a run that needs more fails", at, 1, 1e9       \
    }
#define OPTION_PRECISION(at)                                                                       \
    {                                                                                              \
        "precision", 0, JOB_TEXT, "fp32|bf16",                                                     \
            "precision of products, convolutions (default fp32)", at                               \
    }
#define OPTION_QUIET(at)                                                                           \
    {                                                                                              \
        "quiet", 'q', JOB_SWITCH, "", "print errors only", at                                      \
    }
#define OPTION_JSON(at)                                                                            \
    {                                                                                              \
        "json", 0, JOB_SWITCH, "", "print the result as one JSON line", at                         \
    }
#define OPTION_OVERWRITE(at)                                                                       \
    {                                                                                              \
        "overwrite", 0, JOB_SWITCH, "", "replace existing files", at                               \
    }
#define OPTION_OVERWRITE_FOLDER(at)                                                                \
    {                                                                                              \
        "overwrite", 0, JOB_SWITCH, "", "write into an existing folder", at                        \
    }
#define OPTION_DRY_RUN(at)                                                                         \
    {                                                                                              \
        "dry-run", 0, JOB_SWITCH, "", "print parameters, memory, estimated time; then stop", at    \
    }
#define OPTION_PREVIEW(at)                                                                         \
    {                                                                                              \
        "preview", 0, JOB_SWITCH, "", "show the images in the terminal", at                        \
    }
#define OPTION_CLASSIFIER(at)                                                                      \
    {                                                                                              \
        "classifier", 'c', JOB_TEXT, "FILE", "noisy classifier for guidance", at                   \
    }
#define OPTION_SCALE(at)                                                                           \
    {                                                                                              \
        "scale", 'g', JOB_REAL, "S", "guidance scale (default: the preset's)", at, 0, 1000         \
    }
#define OPTION_UNGUIDED(at)                                                                        \
    {                                                                                              \
        "unguided", 0, JOB_SWITCH, "", "do not guide a built-in model", at                         \
    }
#define OPTION_CLIP_DENOISED(at)                                                                   \
    {                                                                                              \
        "clip-denoised", 0, JOB_SWITCH, "",                                                        \
            "clip the predicted image to [-1,1] (on; --no-clip-denoised)", at                      \
    }
#define OPTION_DDIM_ETA(at)                                                                        \
    {                                                                                              \
        "eta", 0, JOB_REAL, "E", "DDIM noise: 0 deterministic, 1 ancestral", at, 0, 1              \
    }
#define OPTION_CLASS_OF_IMAGE(at)                                                                  \
    {                                                                                              \
        "class", 0, JOB_TEXT, "NAME", "class of the image: a number or a name", at                 \
    }
#define OPTION_CLASS_NAMES(at)                                                                     \
    {                                                                                              \
        "labels", 0, JOB_TEXT, "FILE", "file of class names, one per line", at                     \
    }
#define OPTION_FORMAT(at)                                                                          \
    {                                                                                              \
        "format", 0, JOB_TEXT, "grid|folder|npz", "output format, whatever the suffix", at         \
    }
#define OPTION_COLUMNS(at)                                                                         \
    {                                                                                              \
        "columns", 0, JOB_INT, "N", "columns of the grid", at, 1, 10000                            \
    }
#define OPTION_RECOMPUTE(at)                                                                       \
    {                                                                                              \
        "recompute", 0, JOB_SWITCH, "", "compute gradients with less memory, more slowly", at      \
    }

#endif
