#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Inputs of the 2015 network as the reference programs make them, at 40 places of pictures that a formula gives, and numpy's
legacy permutations: the table of tests/eval/dialect_cases.h.

    ENV/bin/python tests/oracle/dialect_cases.py > tests/eval/dialect_cases.h
"""
import warnings

import cleanfid.resize
import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torchvision import transforms

from dialects import Detector

warnings.filterwarnings("ignore")
SIZES = [(24, 24), (96, 80), (299, 299), (301, 512), (1, 3)]
PLACES = [(i * 6703 + 17) % (3 * 299 * 299) for i in range(40)]


def picture(height, width):
    y, x, c = np.mgrid[0:height, 0:width, 0:3]
    return ((x * 7 + y * 13 + c * 29 + (x * y) % 31 * 3 + (x ^ y) * 5) & 255).astype(np.uint8)


def chw(x):
    return torch.tensor(x.transpose(2, 0, 1)[None].copy())


def pytorch_fid(x):
    t = transforms.ToTensor()(Image.fromarray(x))[None]
    return 2 * F.interpolate(t, size=(299, 299), mode="bilinear", align_corners=False) - 1


def clean_fid(x):
    return (chw(cleanfid.resize.build_resizer("clean")(x)) - 128) / 128


def clean_fid_pytorch(x):
    return 2 * (chw(cleanfid.resize.build_resizer("legacy_pytorch")(x)) / 255) - 1


def edm(x):
    return Detector(lambda v: v)(chw(x))


def torch_fidelity(x):
    t = chw(x).float()
    return (interpolate_bilinear_2d_like_tensorflow1x(t, size=(299, 299), align_corners=False) - 128) / 128


def main():
    print("/* dialect_cases.h - made by tests/oracle/dialect_cases.py from the reference programs; not edited. */\n")
    print("static const int case_sizes[][2] = {", ", ".join("{ %d, %d }" % s for s in SIZES), "};")
    print("static const struct {\n    const char *dialect;\n    float value[%d][%d];\n} dialect_cases[] = {" % (len(SIZES), len(PLACES)))
    for name, f in (("pytorch-fid", pytorch_fid), ("clean-fid", clean_fid), ("clean-fid-legacy-pytorch", clean_fid_pytorch), ("edm", edm)):
        print('    { "%s", {' % name)
        for s in SIZES:
            flat = f(picture(*s)).numpy().reshape(-1)
            print("        {", ", ".join("%.9gf" % flat[p] if "." in "%.9g" % flat[p] or "e" in "%.9g" % flat[p] else "%.9g" % flat[p] for p in PLACES), "},")
        print("    } },")
    print("};")
    r = np.random.RandomState(2020)
    first, second = r.permutation(12), r.permutation(1000)
    print("static const int permutation_12[] = {", ", ".join(map(str, first)), "};")
    print("static const int permutation_1000[] = { /* its first 20 */", ", ".join(map(str, second[:20])), "};")


if __name__ == "__main__":
    main()
