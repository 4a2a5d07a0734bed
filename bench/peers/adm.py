# SPDX-License-Identifier: MIT
"""adm.py - the UNetModel of Dhariwal & Nichol (2021) in PyTorch, to compare with: parameters have the names of the
authors' files, and load() builds it from a file of `guided init` or `guided convert`, whose "guided.config" says what
it is."""
import json
import math

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


def sinusoid(t, dim):
    """Cosines first, then sines."""
    half = dim // 2
    rate = torch.exp(torch.arange(half, dtype=torch.float32, device=t.device) * (-math.log(10000) / half))
    angle = t.float()[:, None] * rate
    return F.pad(torch.cat([angle.cos(), angle.sin()], 1), (0, dim % 2))


def norm(channels):
    return nn.GroupNorm(32, channels, eps=1e-5)


def conv3(c_in, c_out, stride=1):
    return nn.Conv2d(c_in, c_out, 3, stride, padding=1)


def halve(x):
    return F.avg_pool2d(x, 2)


def double(x):
    return F.interpolate(x, scale_factor=2, mode="nearest")


class Downsample(nn.Module):
    def __init__(self, channels, conv):
        super().__init__()
        self.op = conv3(channels, channels, stride=2) if conv else None

    def forward(self, x, emb):
        return self.op(x) if self.op else halve(x)


class Upsample(nn.Module):
    def __init__(self, channels, conv):
        super().__init__()
        self.conv = conv3(channels, channels) if conv else None

    def forward(self, x, emb):
        return self.conv(double(x)) if self.conv else double(x)


class Stem(nn.Conv2d):
    def forward(self, x, emb):
        return super().forward(x)


class ResBlock(nn.Module):
    def __init__(self, c_in, c_out, emb, scale_shift, dropout, resample=None):
        super().__init__()
        self.in_layers = nn.Sequential(norm(c_in), nn.SiLU(), conv3(c_in, c_out))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(emb, 2 * c_out if scale_shift else c_out))
        self.out_layers = nn.Sequential(norm(c_out), nn.SiLU(), nn.Dropout(dropout), conv3(c_out, c_out))
        self.skip_connection = nn.Identity() if c_in == c_out else nn.Conv2d(c_in, c_out, 1)
        self.scale_shift, self.resample = scale_shift, resample

    def forward(self, x, emb):
        h = self.in_layers[:2](x)
        if self.resample:
            h, x = self.resample(h), self.resample(x)
        h = self.in_layers[2](h)
        e = self.emb_layers(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, 1)
            h = self.out_layers[1:](self.out_layers[0](h) * (1 + scale) + shift)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    def __init__(self, channels, heads, new_order):
        super().__init__()
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)
        self.heads, self.new_order = heads, new_order

    def forward(self, x, emb):
        n, c, h, w = x.shape
        rows = self.qkv(self.norm(x).reshape(n, c, h * w))
        if self.new_order:  # all queries, all keys, all values
            q, k, v = rows.reshape(n, 3, self.heads, c // self.heads, h * w).transpose(3, 4).unbind(1)
        else:  # those of a head together
            q, k, v = rows.reshape(n, self.heads, 3, c // self.heads, h * w).transpose(3, 4).unbind(2)
        a = F.scaled_dot_product_attention(q, k, v)
        return x + self.proj_out(a.transpose(2, 3).reshape(n, c, h * w)).reshape(n, c, h, w)


class Block(nn.Sequential):
    def forward(self, x, emb):
        for layer in self:
            x = layer(x, emb)
        return x


class UNet(nn.Module):
    def __init__(self, config):
        super().__init__()
        c = config
        width, emb = c["model_channels"], 4 * c["model_channels"]
        mult = [int(m * width) for m in c["channel_mult"]]
        scale_shift, dropout = c["use_scale_shift_norm"], c["dropout"]

        def res(c_in, c_out, resample=None):
            return ResBlock(c_in, c_out, emb, scale_shift, dropout, resample)

        def attention(channels, heads):
            if c["num_head_channels"] > 0:
                heads = channels // c["num_head_channels"]
            return Attention(channels, heads, c["use_new_attention_order"])

        heads = c["num_heads"]
        heads_up = c["num_heads_upsample"] if c["num_heads_upsample"] > 0 else heads
        self.width = width
        self.time_embed = nn.Sequential(nn.Linear(width, emb), nn.SiLU(), nn.Linear(emb, emb))
        if c["num_classes"]:
            self.label_emb = nn.Embedding(c["num_classes"], emb)
        ch, ds, skips = mult[0], 1, [mult[0]]
        self.input_blocks = nn.ModuleList([Block(Stem(c["in_channels"], ch, 3, padding=1))])
        for level, wide in enumerate(mult):
            for _ in range(c["num_res_blocks"]):
                block, ch = [res(ch, wide)], wide
                if ds in c["attention_ds"]:
                    block.append(attention(ch, heads))
                self.input_blocks.append(Block(*block))
                skips.append(ch)
            if level + 1 < len(mult):
                down = res(ch, ch, halve) if c["resblock_updown"] else Downsample(ch, c["conv_resample"])
                self.input_blocks.append(Block(down))
                skips.append(ch)
                ds *= 2
        self.middle_block = Block(res(ch, ch), attention(ch, heads), res(ch, ch))
        self.output_blocks = nn.ModuleList()
        for level, wide in reversed(list(enumerate(mult))):
            for i in range(c["num_res_blocks"] + 1):
                block, ch = [res(ch + skips.pop(), wide)], wide
                if ds in c["attention_ds"]:
                    block.append(attention(ch, heads_up))
                if level and i == c["num_res_blocks"]:
                    block.append(res(ch, ch, double) if c["resblock_updown"] else Upsample(ch, c["conv_resample"]))
                    ds //= 2
                self.output_blocks.append(Block(*block))
        self.out = nn.Sequential(norm(ch), nn.SiLU(), conv3(ch, c["out_channels"]))

    def forward(self, x, t, y=None):
        emb = self.time_embed(sinusoid(t, self.width).to(x.dtype))
        if y is not None:
            emb = emb + self.label_emb(y)
        skips = []
        for block in self.input_blocks:
            x = block(x, emb)
            skips.append(x)
        x = self.middle_block(x, emb)
        for block in self.output_blocks:
            x = block(torch.cat([x, skips.pop()], 1), emb)
        return self.out(x)


def load(path):
    """The model of a file, in evaluation mode, and its configuration."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["guided.config"])
    if config["kind"] != "unet":
        raise ValueError(f"{path}: {config['kind']} networks are not written here")
    model = UNet(config)
    model.load_state_dict(load_file(path), strict=True)
    return model.eval(), config
