#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cases of kind "vit" in tests/golden/cases: features of small vision networks by PyTorch.

The networks are those of timm and transformers (requirements.txt) with generated weights, the
images go through torch.nn.functional.interpolate and Pillow.  Only image bytes and features are
stored: the weights are a function of their names (golden_fill in tests/golden/weights.c).

  python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r requirements.txt
  /tmp/venv/bin/python make_cases.py ../../golden/cases
"""
import json
import math
import pathlib
import sys
import tempfile

import numpy as np
import timm
import torch
import torch.nn.functional as F
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file

SEED = 2217
WIDTH, DEPTH, HEADS = 128, 2, 2
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
CLIP = ([0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711])
HALF = ([0.5] * 3, [0.5] * 3)
CONSTANT = -100  # as e: every element is the offset


def fill(name, shape, e, offset):
    count = math.prod(shape)
    if e == CONSTANT:
        return torch.full(shape, offset)
    h = 0xCBF29CE484222325
    for byte in f"{SEED}:{name}".encode():
        h = (h ^ byte) * 0x100000001B3 % 2**64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    whole = (z >> np.uint64(40)).astype(np.int64) - (1 << 23)
    values = whole.astype(np.float32) * np.float32(2.0 ** (e - 23)) + np.float32(offset)
    return torch.from_numpy(values.reshape(shape))


def rule(name, shape):
    """Sizes that keep activations near 1"""
    if "norm" in name or ".ln_" in name or "layrnorm" in name:
        return (-2, 1.0) if name.endswith("weight") else (-3, 0.0)
    if "gamma" in name or "lambda1" in name:
        return -2, 0.5
    if name.endswith("bias"):
        return -3, 0.0
    if len(shape) >= 2 and "pos" not in name and "token" not in name and "probe" not in name:
        return round(math.log2(1.7 / math.sqrt(math.prod(shape[1:])))), 0.0
    return -1, 0.0


def listing(shapes, constants=()):
    rows = []
    for name, shape in shapes.items():
        e, offset = rule(name, shape)
        if name in constants:
            e, offset = CONSTANT, 0.0
        rows.append([name, list(shape), e, offset])
    return rows, {name: fill(name, tuple(shape), e, offset) for name, shape, e, offset in rows}


def images(count, height, width):
    """Something between a gradient and noise, all values from 0 to 255"""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    rng = np.random.RandomState(height * 1000 + width)
    out = []
    for i in range(count):
        wave = 120 * np.sin((x * (i + 1) + y * (2 - i) + 9 * c) / 7.0)
        out.append(np.clip(128 + wave + rng.randint(-60, 61, x.shape), 0, 255))
    return np.stack(out).astype(np.uint8)


def normalised(x, constants):
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in constants)
    return (x / 255 - mean) / std


def by_torch(pixels, side, constants):
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float()
    return normalised(F.interpolate(x, size=(side, side), mode="bicubic", antialias=True), constants)


def by_pillow(pixels, side, constants, resample, centre=False):
    out = []
    for image in pixels:
        im = Image.fromarray(image)
        if centre:
            w, h = im.size
            least = min(w, h)
            left, top = (w - least) // 2, (h - least) // 2
            im = im.crop((left, top, left + least, top + least))
        out.append(np.asarray(im.resize((side, side), resample)))
    x = torch.from_numpy(np.stack(out)).permute(0, 3, 1, 2).float()
    return normalised(x, constants)


def dinov2_positions(positions, side, offset, antialias):
    """DINOv2's interpolate_pos_encoding (its hub's models: offset 0.1; with registers 0, antialias)"""
    patches = positions[:, 1:]
    grid = int(math.sqrt(patches.shape[1]))
    kwargs = {"scale_factor": ((side + offset) / grid,) * 2} if offset else {"size": (side, side)}
    patches = F.interpolate(patches.reshape(1, grid, grid, -1).permute(0, 3, 1, 2), mode="bicubic",
                            antialias=antialias, **kwargs)
    assert patches.shape[-1] == side
    return torch.cat([positions[:, :1], patches.permute(0, 2, 3, 1).flatten(1, 2)], 1)


def timm_model(side, patch, scale, registers=0):
    # embed_dim etc. of a small network; class token pooling, epsilon 1e-6, exact GELU
    return timm.models.vision_transformer.VisionTransformer(
        img_size=side, patch_size=patch, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS,
        init_values=1e-5 if scale else None, num_classes=0, reg_tokens=registers,
        no_embed_class=False, global_pool="token").eval()


def generated(net, constants=()):
    """The network with generated weights, which are named as transformers writes them to files"""
    with tempfile.TemporaryDirectory() as folder:
        net.save_pretrained(folder)
        path = pathlib.Path(folder) / "model.safetensors"
        shapes = {k: tuple(v.shape) for k, v in sorted(load_file(path).items())}
        rows, state = listing(shapes, constants)
        save_file(state, path, {"format": "pt"})
        return rows, type(net).from_pretrained(folder).eval()


def dinov2_original(registers, grid, pixels):
    net = timm_model(224, 14, True, registers)
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    shapes["pos_embed"] = (1, grid * grid + 1, WIDTH)
    if registers:
        shapes["register_tokens"] = shapes.pop("reg_token")
    shapes["mask_token"] = (1, WIDTH)
    rows, state = listing(shapes)
    positions = dinov2_positions(state["pos_embed"], 16, 0 if registers else 0.1, registers > 0)
    used = {k: v for k, v in state.items() if k != "mask_token"}
    if registers:  # timm adds positions to all tokens in front: none for registers
        used["reg_token"] = used.pop("register_tokens")
        positions = torch.cat([positions[:, :1], torch.zeros(1, registers, WIDTH), positions[:, 1:]], 1)
    used["pos_embed"] = positions
    net.load_state_dict(used)
    return rows, net(by_torch(pixels, 224, IMAGENET))


def dinov2_transformers(pixels):
    config = transformers.Dinov2WithRegistersConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=10 * 14,
        patch_size=14, num_register_tokens=3)
    rows, net = generated(transformers.Dinov2WithRegistersModel(config))
    return rows, net(by_torch(pixels, 224, IMAGENET)).pooler_output


def mae_original(pixels):
    net = timm_model(64, 16, False)
    shapes = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    rows, state = listing(shapes)
    for row in rows:  # the class token has no position: MAE's mark; the others have one value here
        if row[0] == "pos_embed":
            row[2:] = [CONSTANT, 0.0]
    state["pos_embed"] = torch.zeros(shapes["pos_embed"])
    net.load_state_dict(state)
    return rows, net(by_pillow(pixels, 64, IMAGENET, Image.BICUBIC))


def mae_transformers(pixels):
    config = transformers.ViTMAEConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=64,
        patch_size=16, intermediate_size=4 * WIDTH, mask_ratio=0.0)
    rows, net = generated(transformers.ViTMAEModel(config), ["embeddings.position_embeddings"])
    noise = torch.arange(16.0).repeat(len(pixels), 1)  # keeps the order of the patches
    x = by_pillow(pixels, 64, IMAGENET, Image.BICUBIC)
    return rows, net(x, noise=noise).last_hidden_state[:, 0]


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def clip_transformers(pixels):
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=70,
        patch_size=14, intermediate_size=4 * WIDTH, projection_dim=48, hidden_act="quick_gelu")
    rows, net = generated(transformers.CLIPVisionModelWithProjection(config))
    x = by_pillow(pixels, 70, CLIP, Image.BICUBIC, centre=True)
    return rows, unit(net(x).image_embeds)


# What open_clip calls the same arrays
OPEN_CLIP = [("vision_model.embeddings.class_embedding", "visual.class_embedding"),
             ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"),
             ("vision_model.embeddings.patch_embedding", "visual.conv1"),
             ("vision_model.pre_layrnorm", "visual.ln_pre"),
             ("vision_model.post_layernorm", "visual.ln_post"),
             ("vision_model.encoder.layers", "visual.transformer.resblocks"),
             ("layer_norm", "ln_"), ("self_attn.out_proj", "attn.out_proj"),
             ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")]


def clip_open_clip(pixels):
    config = transformers.CLIPVisionConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=64,
        patch_size=16, intermediate_size=4 * WIDTH, projection_dim=80, hidden_act="quick_gelu")
    net = transformers.CLIPVisionModelWithProjection(config).eval()
    theirs = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    shapes, places = {}, {}
    for name, shape in theirs.items():
        new = name
        for old, replacement in OPEN_CLIP:
            new = new.replace(old, replacement)
        if name == "visual_projection.weight":
            new, shape = "visual.proj", shape[::-1]
        for part, letter in enumerate("qkv"):
            if f"self_attn.{letter}_proj" in name:
                new = new.replace(f"self_attn.{letter}_proj.", "attn.in_proj_")
                places[name] = (new, part)
                shape = (3 * WIDTH, *shape[1:])
        places.setdefault(name, (new, None))
        if not name.endswith("position_ids"):
            shapes[new] = shape
    rows, state = listing(shapes)
    used = {}
    for name in theirs:
        new, part = places[name]
        value = state[new]
        if part is not None:
            value = value[part * WIDTH:(part + 1) * WIDTH]
        used[name] = value.T if new == "visual.proj" else value
    net.load_state_dict(used)
    x = by_pillow(pixels, 64, CLIP, Image.BICUBIC, centre=True)
    return rows, unit(net(x).image_embeds)


def siglip_transformers(pixels):
    config = transformers.SiglipVisionConfig(
        hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=64,
        patch_size=16, intermediate_size=4 * WIDTH)
    rows, net = generated(transformers.SiglipVisionModel(config))
    x = by_pillow(pixels, 64, HALF, Image.BILINEAR)
    return rows, net(x).pooler_output


def small_convnext():
    return timm.models.convnext.ConvNeXt(
        depths=(1, 1, 2, 1), dims=(16, 24, 32, 48), use_grn=True, ls_init_value=None, num_classes=0,
        norm_eps=1e-6).eval()


# What the authors call timm's arrays
AUTHORS = [("stem.", "downsample_layers.0."), (".downsample.", "."), (".blocks.", "."), ("conv_dw", "dwconv"),
           ("mlp.fc", "pwconv"), ("mlp.grn.weight", "grn.gamma"), ("mlp.grn.bias", "grn.beta"),
           ("head.norm.", "norm.")]


def author_name(name):
    if ".downsample." in name:  # stages.1.downsample.0 -> downsample_layers.1.0
        return name.replace("stages.", "downsample_layers.").replace(".downsample.", ".")
    for old, new in AUTHORS:
        name = name.replace(old, new)
    return name


def convnext_original(pixels):
    net = small_convnext()
    theirs = {k: tuple(v.shape) for k, v in net.state_dict().items()}
    shapes = {}
    for name, shape in theirs.items():
        new = author_name(name)
        shapes[new] = (1, 1, 1, *shape) if "grn" in new else shape
    rows, state = listing(shapes)
    net.load_state_dict({name: state[author_name(name)].reshape(theirs[name]) for name in theirs})
    return rows, net(by_pillow(pixels, 224, IMAGENET, Image.BICUBIC))


def convnext_transformers(pixels):
    config = transformers.ConvNextV2Config(depths=[1, 2, 1, 1], hidden_sizes=[16, 24, 32, 48])
    rows, net = generated(transformers.ConvNextV2Model(config))
    return rows, net(by_pillow(pixels, 224, IMAGENET, Image.BICUBIC)).pooler_output


CASES = [
    ("1201_vit_dinov2", "DINOv2 in its authors' names, positions of 37 x 37 patches interpolated",
     lambda p: dinov2_original(0, 37, p), (2, 40, 52)),
    ("1202_vit_dinov2_registers", "DINOv2 with registers in its authors' names, antialiased",
     lambda p: dinov2_original(4, 37, p), (2, 40, 40)),
    ("1203_vit_dinov2_transformers", "DINOv2 with registers in transformers' names, 10 x 10 patches",
     dinov2_transformers, (2, 24, 32)),
    ("1204_vit_mae", "MAE in its authors' names", mae_original, (2, 48, 80)),
    ("1205_vit_mae_transformers", "MAE in transformers' names", mae_transformers, (2, 48, 64)),
    ("1206_vit_clip_transformers", "CLIP's image encoder in transformers' names", clip_transformers,
     (2, 60, 81)),
    ("1207_vit_clip_open_clip", "CLIP's image encoder in open_clip's names", clip_open_clip,
     (2, 81, 60)),
    ("1208_vit_siglip2", "SigLIP2's image tower in transformers' names", siglip_transformers,
     (2, 50, 70)),
    ("1209_convnextv2", "ConvNeXt V2 in its authors' names", convnext_original, (2, 30, 44)),
    ("1210_convnextv2_transformers", "ConvNeXt V2 in transformers' names", convnext_transformers,
     (2, 44, 30)),
]


def main():
    folder = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    for name, description, make, shape in CASES:
        pixels = images(*shape)
        rows, features = make(pixels)
        case = {"format": 1, "name": name, "kind": "vit", "description": description,
                "reference": "timm, transformers, torch (tests/oracle/vit)", "seed": SEED,
                "weights": [row for row in rows if not row[0].endswith("position_ids")]}
        (folder / name).mkdir(exist_ok=True)
        text = json.dumps(case, indent=1)
        head, tail = text.split('"weights": [', 1)
        lines = ",\n  ".join(json.dumps(row) for row in case["weights"])
        (folder / name / "case.json").write_text(f'{head}"weights": [\n  {lines}\n ]\n}}\n')
        save_file({"in.images": torch.from_numpy(pixels), "out.features": features.contiguous()},
                  folder / name / "tensors.safetensors")
        print(name, tuple(features.shape), float(features.std()))


main()
