# SPDX-License-Identifier: MIT
"""make_images.py - the images of the test of the loss curve: the first 2,000 of Fashion-MNIST's training images, 28 x
28 in a black border of 2, each 2 x 2 averaged: 16 x 16. Writes beside itself."""
import gzip
from pathlib import Path

import numpy as np

SOURCE = Path("/usr/share/datasets/fashion-mnist")
HERE = Path(__file__).parent
N = 2000


def write(name, head, values):
    count = len(values).to_bytes(4, "big")
    (HERE / name).write_bytes(gzip.compress(head[:4] + count + head[8:] + values.tobytes(), 9, mtime=0))


images = gzip.decompress((SOURCE / "train-images-idx3-ubyte.gz").read_bytes())
labels = gzip.decompress((SOURCE / "train-labels-idx1-ubyte.gz").read_bytes())
pixels = np.frombuffer(images, np.uint8, N * 784, 16).reshape(N, 28, 28)
pixels = np.pad(pixels, ((0, 0), (2, 2), (2, 2))).reshape(N, 16, 2, 16, 2).astype(np.int32)
small = ((pixels.sum((2, 4)) + 2) // 4).astype(np.uint8)
size = (16).to_bytes(4, "big")
write("train-images-idx3-ubyte.gz", images[:8] + size + size, small)
write("train-labels-idx1-ubyte.gz", labels[:8], np.frombuffer(labels, np.uint8, N, 8))
