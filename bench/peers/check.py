# SPDX-License-Identifier: MIT
"""check.py FOLDER... - adm.py against reference cases of kind "unet" (outputs of the authors' code, stored): the
largest difference beside the largest value is at most 1e-5 in each call, or the exit status is 1."""
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

import adm

LIMIT = 1e-5


def fill(seed, name, shape, e, offset):
    """The weights of the reference set: numbers of a counter."""
    h = 0xCBF29CE484222325
    for byte in f"{seed}:{name}".encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    z = np.uint64(h) + np.arange(1, np.prod(shape) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    w = ((z >> np.uint64(40)).astype(np.int64) - 2**23).astype(np.float32) * np.float32(2.0 ** (e - 23))
    return torch.from_numpy((w + np.float32(offset)).reshape(shape))


def model_of(case):
    flags, resolved = case["config"], case["resolved"]
    config = {**flags, **resolved, "model_channels": flags["num_channels"], "conv_resample": True}
    model = adm.UNet(config).eval()
    weights = case["weights"]["model"]
    model.load_state_dict({name: fill(weights["seed"], name, *rest) for name, *rest in weights["table"]}, strict=True)
    return model


def largest_error(folder):
    case = json.loads((folder / "case.json").read_text())
    if case["kind"] != "unet":
        raise ValueError(f"{folder}: kind {case['kind']}, not unet")
    stored = load_file(folder / "tensors.safetensors")
    model = model_of(case)
    worst = 0
    for i in range(case["num_calls"]):
        with torch.no_grad():
            out = model(stored[f"in.x.{i}"], stored[f"in.t.{i}"], stored.get(f"in.y.{i}"))
        want = stored[f"out.y.{i}"]
        worst = max(worst, ((out - want).abs().max() / want.abs().max()).item())
    return worst


def main(folders):
    bad = False
    for folder in map(Path, folders):
        error = largest_error(folder)
        bad |= not error <= LIMIT
        print(f"{folder.name:32} {error:.2e} {'ok' if error <= LIMIT else 'WRONG'}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]) if len(sys.argv) > 1 else __doc__)
