# SPDX-License-Identifier: MIT
"""inception.py - the time of one batch through the 2015 Inception network of FID by guided and by ONNX Runtime,
float32, in turn: each sleeps while the other works. A turn of ONNX Runtime is one pass untimed and the median of three;
one of guided is `guided bench --eval`, which has its own median and also resizes the images and computes the 1008
logits. The table has the median over the rounds, and how far ONNX Runtime's features are from PyTorch's (largest
difference / largest value; above 1e-4 nothing is timed)."""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import torch
from torch import nn
from torch.nn import functional as F

from peers import PASSES, onnxruntime_peer, timed

SIDE, FEATURES, LIMIT = 299, 2048, 1e-4


# The network: parameters have the names of the PyTorch ports, with batch normalisation folded into weight and bias.

class Conv(nn.Conv2d):
    """With ReLU. Padded so that stride 1 keeps the size, unless valid."""

    def __init__(self, c_in, c_out, kh, kw, stride=1, valid=False):
        super().__init__(c_in, c_out, (kh, kw), stride, padding=0 if valid else (kh // 2, kw // 2))

    def forward(self, x):
        return F.relu(super().forward(x))


def valid(c_in, c_out, stride):
    return Conv(c_in, c_out, 3, 3, stride, valid=True)


def halve(x):
    return F.max_pool2d(x, 3, 2)


def mean(x):
    """Of the pixels there are: padding does not count."""
    return F.avg_pool2d(x, 3, 1, padding=1, count_include_pad=False)


def largest(x):
    return F.max_pool2d(x, 3, 1, padding=1)


class BlockA(nn.Module):
    def __init__(self, c_in, pooled):
        super().__init__()
        self.branch1x1 = Conv(c_in, 64, 1, 1)
        self.branch5x5_1, self.branch5x5_2 = Conv(c_in, 48, 1, 1), Conv(48, 64, 5, 5)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(c_in, 64, 1, 1), Conv(64, 96, 3, 3)
        self.branch3x3dbl_3 = Conv(96, 96, 3, 3)
        self.branch_pool = Conv(c_in, pooled, 1, 1)

    def forward(self, x):
        five = self.branch5x5_2(self.branch5x5_1(x))
        three = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch1x1(x), five, three, self.branch_pool(mean(x))], 1)


class BlockB(nn.Module):
    def __init__(self, c_in):
        super().__init__()
        self.branch3x3 = valid(c_in, 384, 2)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(c_in, 64, 1, 1), Conv(64, 96, 3, 3)
        self.branch3x3dbl_3 = valid(96, 96, 2)

    def forward(self, x):
        twice = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return torch.cat([self.branch3x3(x), twice, halve(x)], 1)


class BlockC(nn.Module):
    def __init__(self, c_in, c7):
        super().__init__()
        self.branch1x1 = Conv(c_in, 192, 1, 1)
        self.branch7x7_1, self.branch7x7_2 = Conv(c_in, c7, 1, 1), Conv(c7, c7, 1, 7)
        self.branch7x7_3 = Conv(c7, 192, 7, 1)
        self.branch7x7dbl_1, self.branch7x7dbl_2 = Conv(c_in, c7, 1, 1), Conv(c7, c7, 7, 1)
        self.branch7x7dbl_3, self.branch7x7dbl_4 = Conv(c7, c7, 1, 7), Conv(c7, c7, 7, 1)
        self.branch7x7dbl_5 = Conv(c7, 192, 1, 7)
        self.branch_pool = Conv(c_in, 192, 1, 1)

    def forward(self, x):
        seven = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return torch.cat([self.branch1x1(x), seven, twice, self.branch_pool(mean(x))], 1)


class BlockD(nn.Module):
    def __init__(self, c_in):
        super().__init__()
        self.branch3x3_1, self.branch3x3_2 = Conv(c_in, 192, 1, 1), valid(192, 320, 2)
        self.branch7x7x3_1, self.branch7x7x3_2 = Conv(c_in, 192, 1, 1), Conv(192, 192, 1, 7)
        self.branch7x7x3_3, self.branch7x7x3_4 = Conv(192, 192, 7, 1), valid(192, 192, 2)

    def forward(self, x):
        three = self.branch3x3_2(self.branch3x3_1(x))
        seven = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return torch.cat([three, seven, halve(x)], 1)


class BlockE(nn.Module):
    def __init__(self, c_in, pool):
        super().__init__()
        self.branch1x1 = Conv(c_in, 320, 1, 1)
        self.branch3x3_1 = Conv(c_in, 384, 1, 1)
        self.branch3x3_2a, self.branch3x3_2b = Conv(384, 384, 1, 3), Conv(384, 384, 3, 1)
        self.branch3x3dbl_1, self.branch3x3dbl_2 = Conv(c_in, 448, 1, 1), Conv(448, 384, 3, 3)
        self.branch3x3dbl_3a, self.branch3x3dbl_3b = Conv(384, 384, 1, 3), Conv(384, 384, 3, 1)
        self.branch_pool = Conv(c_in, 192, 1, 1)
        self.pool = pool

    def forward(self, x):
        three, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return torch.cat([self.branch1x1(x), self.branch3x3_2a(three), self.branch3x3_2b(three),
                          self.branch3x3dbl_3a(twice), self.branch3x3dbl_3b(twice),
                          self.branch_pool(self.pool(x))], 1)


class Inception(nn.Module):
    """[N,3,299,299], scaled to [-1, 1) -> [N,2048], the features of FID."""

    def __init__(self):
        super().__init__()
        self.Conv2d_1a_3x3, self.Conv2d_2a_3x3 = valid(3, 32, 2), valid(32, 32, 1)
        self.Conv2d_2b_3x3 = Conv(32, 64, 3, 3)
        self.Conv2d_3b_1x1, self.Conv2d_4a_3x3 = Conv(64, 80, 1, 1), valid(80, 192, 1)
        self.Mixed_5b, self.Mixed_5c, self.Mixed_5d = BlockA(192, 32), BlockA(256, 64), BlockA(288, 64)
        self.Mixed_6a = BlockB(288)
        self.Mixed_6b, self.Mixed_6c = BlockC(768, 128), BlockC(768, 160)
        self.Mixed_6d, self.Mixed_6e = BlockC(768, 160), BlockC(768, 192)
        self.Mixed_7a = BlockD(768)
        self.Mixed_7b, self.Mixed_7c = BlockE(1280, mean), BlockE(2048, largest)

    def forward(self, x):
        x = halve(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = halve(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x)))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(self.Mixed_6a(x)))))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        return x.mean((2, 3))


def random_model():
    """Weights that keep the size of what goes through them."""
    torch.manual_seed(0)
    model = Inception().eval()
    for layer in model.modules():
        if isinstance(layer, Conv):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.normal_(layer.bias, std=0.1)
    return model


# The two that are timed

def onnxruntime_pass(args, folder):
    """A function that computes the features, and their deviation from PyTorch's."""
    torch.set_num_threads(args.threads)
    model, x = random_model(), torch.rand(args.batch, 3, SIDE, SIDE) * 2 - 1
    with torch.no_grad():
        want = model(x)
        if want.shape != (args.batch, FEATURES):
            raise ValueError(f"PyTorch's features have the shape {tuple(want.shape)}")
        job = SimpleNamespace(threads=args.threads, onnx=str(folder / "inception.onnx"), inputs=[x])
        torch.onnx.export(model, (x,), job.onnx, dynamo=True, external_data=True, verbose=False)
    run = onnxruntime_peer(job)
    got = torch.from_numpy(run())
    if got.shape != want.shape:
        raise ValueError(f"ONNX Runtime's features have the shape {tuple(got.shape)}")
    deviation = ((got - want).abs().max() / want.abs().max()).item()
    if not deviation <= LIMIT:
        raise ValueError(f"ONNX Runtime's features are {deviation:.1e} from PyTorch's")
    return run, deviation


def onnxruntime_turn(run):
    run()
    return statistics.median(timed(run) for _ in range(PASSES))


def guided_turn(args):
    command = [args.guided, "bench", "--eval", "--json", "--batch", str(args.batch), "--threads", str(args.threads)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)["forward_s"]


def print_table(args, seconds, deviation):
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"Inception, batch {args.batch}, threads {args.threads}, median of {args.rounds} rounds\n")
    print("| | batch, s | images / s | / guided | deviation |\n| --- | --- | --- | --- | --- |")
    for name, batch in median.items():
        far = f"{deviation:.1e}" if name == "onnxruntime" else "-"
        print(f"| {name} | {batch:.4f} | {args.batch / batch:.1f} | {batch / median['guided']:.2f} | {far} |")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--guided", default=str(Path(__file__).resolve().parents[2] / "build/guided"))
    args = parser.parse_args()
    if min(args.batch, args.threads, args.rounds) < 1:
        parser.error("at least one image, one thread, one round")
    return args


def main():
    args = arguments()
    seconds = {"guided": [], "onnxruntime": []}
    with tempfile.TemporaryDirectory() as name:
        run, deviation = onnxruntime_pass(args, Path(name))
        for _ in range(args.rounds):
            seconds["guided"].append(guided_turn(args))
            seconds["onnxruntime"].append(onnxruntime_turn(run))
    print_table(args, seconds, deviation)


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        sys.exit(f"inception.py: {error}")
