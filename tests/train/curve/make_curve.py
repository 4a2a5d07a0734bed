# SPDX-License-Identifier: MIT
"""make_curve.py GUIDED - what training should come to, by PyTorch: the network of `flags` from weights of
`guided init`, trained on the images beside this script with the hybrid loss (docs/reference/diffusion.md#training-losses) and AdamW. Writes
curve-1000.csv and curve-10.csv, for so many diffusion steps: for every 50 updates the mean over the seeds of
mse and vb by quarters of the schedule, as progress.csv has them, and the standard deviation from seed to seed:
relative to the mean, and taken over a column's whole length, as few seeds tell little. Left out is vb of the last
quarter, and so of all: it hangs on how often the very last step is drawn, whose vb is hundreds of times the others'."""
import gzip
import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "../../../bench/peers"))
import adm  # noqa: E402

EVERY, UPDATES, BATCH, LR = 50, 200, 32, 1e-3
SEEDS = {1000: 3, 10: 6}  # for so many diffusion steps; with few of them runs differ more
NAMES = ["mse", "mse_q0", "mse_q1", "mse_q2", "mse_q3", "vb_q0", "vb_q1", "vb_q2"]


def read_set():
    pixels = np.frombuffer(gzip.decompress((HERE / "train-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((HERE / "train-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    grey = torch.from_numpy(pixels.reshape(-1, 1, 16, 16) / np.float32(127.5) - 1)
    return grey.expand(-1, 3, -1, -1), torch.from_numpy(labels.astype(np.int64))


class Process:
    """The cosine schedule, and the loss of learned-range variances; formulas and names are the specification's."""

    def __init__(self, steps):
        level = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
        beta = np.array([min(1 - level[i + 1] / level[i], 0.999) for i in range(steps)])
        bar = np.cumprod(1 - beta)
        prev = np.append(1.0, bar[:-1])
        variance = beta * (1 - prev) / (1 - bar)
        tables = {
            "signal": np.sqrt(bar), "noise": np.sqrt(1 - bar), "coef1": beta * np.sqrt(prev) / (1 - bar),
            "coef2": (1 - prev) * np.sqrt(1 - beta) / (1 - bar), "log_beta": np.log(beta),
            "log_var": np.log(np.append(variance[1], variance[1:])), "recip": np.sqrt(1 / bar),
            "recip_m1": np.sqrt(1 / bar - 1),
        }
        self.tables = {name: torch.from_numpy(table.astype(np.float32)) for name, table in tables.items()}

    def losses(self, model, x0, y, t, noise):
        """mse and vb of each image; the gradient of vb reaches only the variances."""
        a = {name: table[t][:, None, None, None] for name, table in self.tables.items()}
        x = a["signal"] * x0 + a["noise"] * noise
        eps, v = model(x, t, y).chunk(2, 1)
        mse = ((noise - eps) ** 2).mean((1, 2, 3))
        f = (v + 1) / 2
        log_var = f * a["log_beta"] + (1 - f) * a["log_var"]
        mean = a["coef1"] * (a["recip"] * x - a["recip_m1"] * eps.detach()) + a["coef2"] * x
        true_mean = a["coef1"] * x0 + a["coef2"] * x
        kl = 0.5 * (-1 + log_var - a["log_var"] + torch.exp(a["log_var"] - log_var)
                    + (true_mean - mean) ** 2 * torch.exp(-log_var))
        vb = torch.where(t[:, None, None, None] == 0, decoder_nll(x0, mean, log_var / 2), kl)
        return mse, vb.mean((1, 2, 3)) / math.log(2)


def decoder_nll(x, mean, log_scale):
    def cdf(z):
        return 0.5 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z ** 3)))

    upper = cdf(torch.exp(-log_scale) * (x - mean + 1 / 255))
    lower = cdf(torch.exp(-log_scale) * (x - mean - 1 / 255))
    p = torch.where(x < -0.999, upper, torch.where(x > 0.999, 1 - lower, upper - lower))
    return -torch.log(p.clamp(min=1e-12))


def batches(images, labels):
    while True:
        order = torch.randperm(len(images))
        for chosen in order.split(BATCH):
            if len(chosen) == BATCH:
                yield images[chosen], labels[chosen]


def train(guided, seed, steps):
    """The columns of NAMES for every EVERY updates after the first one, as in the rows of progress.csv."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/begin.safetensors"
        flags = (HERE / "flags").read_text().split()
        subprocess.run([guided, "init", *flags, "--seed", str(seed), "-q", path], check=True)
        model = adm.load(path)[0].train()
    torch.manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters(), LR, weight_decay=0.0)
    process, log, feed = Process(steps), [], batches(*read_set())
    for _ in range(UPDATES + 1):
        x0, y = next(feed)
        t, noise = torch.randint(steps, (BATCH,)), torch.randn_like(x0)
        mse, vb = process.losses(model, x0, y, t, noise)
        optimiser.zero_grad()
        (mse + vb).mean().backward()
        optimiser.step()
        log.append(torch.stack([mse, vb, 4 * t // steps]).detach().numpy())
    return np.array([columns(np.concatenate(log[k + 1:k + 1 + EVERY], 1)) for k in range(0, UPDATES, EVERY)])


def columns(images):
    mse, vb, quarter = images
    parts = [mse, *(mse[quarter == q] for q in range(4)), *(vb[quarter == q] for q in range(3))]
    return [part.mean() for part in parts]


def main(guided):
    for steps, seeds in SEEDS.items():
        curves = np.array([train(guided, seed, steps) for seed in range(1, seeds + 1)])
        write(HERE / f"curve-{steps}.csv", curves)


def write(path, curves):
    mean = curves.mean(0)
    spread = mean * np.sqrt(((curves / mean - 1) ** 2).sum((0, 1)) / ((len(curves) - 1) * len(mean)))
    with open(path, "w", encoding="ascii") as out:
        out.write("column,step,mean,sd\n")
        for c, name in enumerate(NAMES):
            for k in range(len(mean)):
                out.write(f"{name},{(k + 1) * EVERY},{mean[k, c]:.4g},{spread[k, c]:.3g}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
