#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""guided eval --dialect all beside the programs whose numbers it gives: pytorch-fid, torch-fidelity,
clean-fid (clean, legacy_pytorch, legacy_tensorflow), and the input of StyleGAN3's and EDM's detector.
The weights are synthetic and the same for both (Inception and VGG16), the pictures are the user's.

    ENV/bin/python tests/oracle/dialects.py --guided build/guided --ref PICTURES --samples PICTURES --work FOLDER

Prints one line a number: ours, theirs, the relative difference; ends with 1 if one is above its limit.
"""
import argparse, glob, json, os, subprocess, sys, warnings

import numpy as np
import scipy.linalg
import torch
import torch.nn.functional as F
from PIL import Image

warnings.filterwarnings("ignore")
LIMIT = {"fid": 1e-3, "inception_score": 1e-3, "inception_score_spread": 1e-2, "kid": 1e-3, "kid_deviation": 1e-2,
         "precision": 1e-6, "recall": 1e-6, "f_score": 1e-6}


def fill(module, seed):
    """Kaiming weights, batch normalisation with statistics of its own: features of useful size."""
    g = torch.Generator().manual_seed(seed)
    for name, p in module.state_dict().items():
        if name.endswith("running_var") or name.endswith("bn.weight"):
            p.copy_(0.75 + 0.5 * torch.rand(p.shape, generator=g))
        elif name.endswith("running_mean") or name.endswith("bias"):
            p.copy_(0.1 * torch.randn(p.shape, generator=g))
        elif p.dtype.is_floating_point:
            p.copy_(torch.randn(p.shape, generator=g) * (2 / p[0].numel()) ** 0.5)
    return module


def make_weights(work):
    inception, vgg16 = os.path.join(work, "inception.pth"), os.path.join(work, "vgg16.pth")
    import pytorch_fid.inception, torchvision
    if not os.path.exists(inception):
        net = pytorch_fid.inception._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        net.Mixed_5b = pytorch_fid.inception.FIDInceptionA(192, pool_features=32)
        net.Mixed_5c = pytorch_fid.inception.FIDInceptionA(256, pool_features=64)
        net.Mixed_5d = pytorch_fid.inception.FIDInceptionA(288, pool_features=64)
        for name, c in (("Mixed_6b", 128), ("Mixed_6c", 160), ("Mixed_6d", 160), ("Mixed_6e", 192)):
            setattr(net, name, pytorch_fid.inception.FIDInceptionC(768, channels_7x7=c))
        net.Mixed_7b = pytorch_fid.inception.FIDInceptionE_1(1280)
        net.Mixed_7c = pytorch_fid.inception.FIDInceptionE_2(2048)
        state = fill(net, 1).state_dict()
        torch.save({k: v for k, v in state.items() if "num_batches" not in k}, inception)
    if not os.path.exists(vgg16):
        torch.save(fill(torchvision.models.vgg16(weights=None), 2).state_dict(), vgg16)
    return inception, vgg16


class Detector(torch.nn.Module):
    """inception-2015-12-05.pt as a module: the resize as NVIDIA's port does it, then the same layers."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, img, return_features=True):
        n, _, height, width = img.shape
        x = img.to(torch.float32)
        theta = torch.eye(2, 3)
        theta[0, 2] += theta[0, 0] / width - theta[0, 0] / 299
        theta[1, 2] += theta[1, 1] / height - theta[1, 1] / 299
        grid = F.affine_grid(theta.unsqueeze(0).repeat([n, 1, 1]), [n, 3, 299, 299], align_corners=False)
        x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
        return self.layers((x - 128) / 128)


def files(folder):
    return sorted(glob.glob(os.path.join(folder, "*.png")))


def frechet(a, b):
    ca, cb = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    d = a.astype(np.float64).mean(0) - b.astype(np.float64).mean(0)
    root = np.sum(np.sqrt(np.maximum(scipy.linalg.eigvals(ca @ cb).real, 0)))
    return float(d @ d + np.trace(ca) + np.trace(cb) - 2 * root)


def features(folder, model, resize=None, size=16):
    rows = []
    names = files(folder)
    for i in range(0, len(names), size):
        x = [np.asarray(Image.open(f).convert("RGB")) for f in names[i : i + size]]
        x = [resize(v) if resize else v for v in x]
        with torch.no_grad():
            rows.append(model(torch.tensor(np.stack(x)).permute(0, 3, 1, 2)).reshape(len(x), -1).numpy())
    return np.concatenate(rows)


def theirs(o, inception, vgg16):
    import cleanfid.inception_pytorch, cleanfid.resize, pytorch_fid.fid_score, pytorch_fid.inception, torch_fidelity
    state = torch.load(inception)
    out = {}

    pytorch_fid.inception.load_state_dict_from_url = lambda *a, **k: state
    block = pytorch_fid.inception.InceptionV3.BLOCK_INDEX_BY_DIM[2048]
    net = pytorch_fid.inception.InceptionV3([block]).eval()
    m1, s1 = pytorch_fid.fid_score.calculate_activation_statistics(files(o.ref), net, 16, 2048, "cpu", 1)
    m2, s2 = pytorch_fid.fid_score.calculate_activation_statistics(files(o.samples), net, 16, 2048, "cpu", 1)
    out["pytorch-fid"] = {"fid": pytorch_fid.fid_score.calculate_frechet_distance(m1, s1, m2, s2)}

    n = min(1000, len(files(o.ref)), len(files(o.samples)))
    common = dict(input1=o.samples, input2=o.ref, cuda=False, verbose=False, cache=False, batch_size=16, kid_subset_size=n)
    t = torch_fidelity.calculate_metrics(isc=True, fid=True, kid=True, feature_extractor="inception-v3-compat",
                                         feature_extractor_weights_path=inception, **common)
    t |= torch_fidelity.calculate_metrics(prc=True, feature_extractor="vgg16", feature_extractor_weights_path=vgg16, **common)
    out["torch-fidelity"] = {"inception_score": t["inception_score_mean"], "inception_score_spread": t["inception_score_std"],
                             "fid": t["frechet_inception_distance"], "kid": t["kernel_inception_distance_mean"],
                             "kid_deviation": t["kernel_inception_distance_std"], "precision": t["precision"],
                             "recall": t["recall"], "f_score": t["f_score"]}
    out["adm"] = {"fid": t["frechet_inception_distance"]}  # the same input and statistic

    blocks = net.blocks
    layers = lambda x: blocks[3](blocks[2](blocks[1](blocks[0](x))))
    detector = Detector(layers)
    clean, half = cleanfid.resize.build_resizer("clean"), cleanfid.resize.build_resizer("legacy_pytorch")
    pair = lambda model, resize=None: frechet(features(o.ref, model, resize), features(o.samples, model, resize))
    out["clean-fid"] = {"fid": pair(lambda x: layers((x - 128) / 128), clean)}
    out["clean-fid-legacy-pytorch"] = {"fid": pair(lambda x: layers(2 * (x / 255) - 1), half)}
    out["edm"] = out["clean-fid-legacy-tensorflow"] = {"fid": pair(detector)}
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("guided", "ref", "samples", "work"):
        p.add_argument("--" + name, required=True)
    o = p.parse_args()
    os.makedirs(o.work, exist_ok=True)
    inception, vgg16 = make_weights(o.work)
    line = subprocess.run([o.guided, "eval", "--ref", o.ref, "--samples", o.samples, "--inception", inception, "--vgg16", vgg16,
                           "--dialect", "all", "--metrics", "is,fid,pr,kid", "--json", "-q"], check=True, stdout=subprocess.PIPE)
    ours = {d["dialect"]: d for d in json.loads(line.stdout)["dialects"]}
    bad = 0
    for dialect, values in theirs(o, inception, vgg16).items():
        for name, value in values.items():
            found = ours[dialect][name]
            error = abs(found - value) / max(abs(value), 1e-12)
            bad += error > LIMIT[name]
            print(f"{dialect:28} {name:24} {found:16.9g} {value:16.9g}  {error:.1e}{'  ABOVE' if error > LIMIT[name] else ''}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
