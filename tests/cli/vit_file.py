#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""vit_file.py KIND OUT [KEY=VALUE ..]: a small vision network of made-up weights as safetensors.

KIND: dinov2, mae, clip, siglip2 or convnextv2.  width=, depth=: other sizes; without=KEY: leaves it
out; nan=KEY: its first element is not a number; empty=KEY: it has no rows; twice=1: student and teacher; prefix=TEXT: before every key; learned=1: MAE's
positions are not 0 at the class token; first=1: ConvNeXt of version 1; words=N: SigLIP's vocabulary;
openai=1: CLIP in the names of its authors; half=1: matrices as float16; seed=."""
import json
import random
import struct
import sys

kind, out = sys.argv[1:3]
options = dict(word.split("=", 1) for word in sys.argv[3:])
width, depth = int(options.get("width", 64)), int(options.get("depth", 1))
random.seed(int(options.get("seed", 1)))
arrays = {}


def add(name, *shape, scale=0.1, offset=0.0):
    count = 1
    for side in shape:
        count *= side
    arrays[name] = (shape, [random.gauss(offset, scale) for _ in range(count)])


def layer(name, rows, columns):
    add(name + ".weight", rows, columns, scale=columns ** -0.5)
    add(name + ".bias", rows)


def norm(name, channels=width):
    add(name + ".weight", channels, offset=1.0)
    add(name + ".bias", channels)


def original(patch, grid, scale):
    add("cls_token", 1, 1, width)
    add("pos_embed", 1, grid * grid + 1, width)
    if kind == "mae" and "learned" not in options:
        arrays["pos_embed"][1][:width] = [0.0] * width
    add("patch_embed.proj.weight", width, 3, patch, patch, scale=0.5 / patch)
    add("patch_embed.proj.bias", width)
    for i in range(depth):
        block = f"blocks.{i}."
        norm(block + "norm1")
        layer(block + "attn.qkv", 3 * width, width)
        layer(block + "attn.proj", width, width)
        norm(block + "norm2")
        layer(block + "mlp.fc1", 4 * width, width)
        layer(block + "mlp.fc2", width, 4 * width)
        if scale:
            add(block + "ls1.gamma", width, offset=0.5)
            add(block + "ls2.gamma", width, offset=0.5)
    norm("norm")


def transformers(patch, grid, clip):
    add("vision_model.embeddings.patch_embedding.weight", width, 3, patch, patch, scale=0.5 / patch)
    add("vision_model.embeddings.position_embedding.weight", grid * grid + clip, width)
    if clip:
        add("vision_model.embeddings.class_embedding", width)
        norm("vision_model.pre_layrnorm")
        add("visual_projection.weight", 32, width, scale=width ** -0.5)
        add("text_model.final_layer_norm.weight", 8)
    else:
        add("vision_model.embeddings.patch_embedding.bias", width)
        if "words" in options:
            add("text_model.embeddings.token_embedding.weight", int(options["words"]), 1)
        add("vision_model.head.probe", 1, 1, width)
        add("vision_model.head.attention.in_proj_weight", 3 * width, width, scale=width ** -0.5)
        add("vision_model.head.attention.in_proj_bias", 3 * width)
        layer("vision_model.head.attention.out_proj", width, width)
        norm("vision_model.head.layernorm")
        layer("vision_model.head.mlp.fc1", 4 * width, width)
        layer("vision_model.head.mlp.fc2", width, 4 * width)
    for i in range(depth):
        block = f"vision_model.encoder.layers.{i}."
        norm(block + "layer_norm1")
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            layer(block + "self_attn." + part, width, width)
        norm(block + "layer_norm2")
        layer(block + "mlp.fc1", 4 * width, width)
        layer(block + "mlp.fc2", width, 4 * width)
    norm("vision_model.post_layernorm")


def convnext():
    sides = (8, 12, 16, 24)
    add("downsample_layers.0.0.weight", sides[0], 3, 4, 4)
    add("downsample_layers.0.0.bias", sides[0])
    norm("downsample_layers.0.1", sides[0])
    for stage, side in enumerate(sides):
        if stage:
            norm(f"downsample_layers.{stage}.0", sides[stage - 1])
            add(f"downsample_layers.{stage}.1.weight", side, sides[stage - 1], 2, 2, scale=0.2)
            add(f"downsample_layers.{stage}.1.bias", side)
        block = f"stages.{stage}.0."
        add(block + "dwconv.weight", side, 1, 7, 7, scale=0.15)
        add(block + "dwconv.bias", side)
        norm(block + "norm", side)
        layer(block + "pwconv1", 4 * side, side)
        if "first" not in options:
            add(block + "grn.gamma", 1, 1, 1, 4 * side)
            add(block + "grn.beta", 1, 1, 1, 4 * side)
        layer(block + "pwconv2", side, 4 * side)
    norm("norm", sides[-1])


if kind == "dinov2":
    original(14, 37, True)
elif kind == "mae":
    original(16, 4, False)
elif kind == "convnextv2":
    convnext()
else:
    transformers(16, 4, kind == "clip")

OPENAI = [("vision_model.embeddings.patch_embedding", "visual.conv1"), ("vision_model.embeddings.class_embedding", "visual.class_embedding"),
          ("vision_model.embeddings.position_embedding.weight", "visual.positional_embedding"), ("vision_model.pre_layrnorm", "visual.ln_pre"),
          ("vision_model.post_layernorm", "visual.ln_post"), ("vision_model.encoder.layers.", "visual.transformer.resblocks."),
          ("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2"), ("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj"),
          ("text_model.final_layer_norm", "ln_final")]


def as_openai():
    made = {}
    for name, (shape, values) in arrays.items():
        if "self_attn" in name and "out_proj" not in name:
            block, part = name.split("self_attn.")
            name = block + "attn.in_proj_" + part[-6:].lstrip("j_.")
        for old, new in OPENAI:
            name = name.replace(old, new)
        if name == "visual_projection.weight":
            rows, columns = shape
            name, shape, values = "visual.proj", (columns, rows), [values[i * columns + k] for k in range(columns) for i in range(rows)]
        if ".in_proj_" in name and name in made:
            shape, values = (made[name][0][0] + shape[0], *shape[1:]), made[name][1] + values
        made[name] = (shape, values)
    return made


arrays.pop(options.get("without"), None)
if "openai" in options:
    arrays = as_openai()
if "empty" in options:
    arrays[options["empty"]] = ((0, *arrays[options["empty"]][0][1:]), [])
if "nan" in options:
    arrays[options["nan"]][1][0] = float("nan")
if "twice" in options:
    arrays = {f"{copy}.{name}": array for copy in ("student", "teacher") for name, array in arrays.items()}
header, data = {}, b""
for name, (shape, values) in arrays.items():
    half = "half" in options and len(shape) > 1 and "embedding" not in name
    part = struct.pack(f"<{len(values)}{'e' if half else 'f'}", *values)
    header[options.get("prefix", "") + name] = {
        "dtype": "F16" if half else "F32", "shape": list(shape), "data_offsets": [len(data), len(data) + len(part)]}
    data += part
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
with open(out, "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
