#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make_pictures.py FOLDER: pictures of every kind that Pillow reads, and beside each what Pillow makes of it: NAME.rgb and NAME.grey, the bytes of
convert("RGB") and convert("L") behind width and height as little-endian int32.  Exits with 77 where Pillow is not there."""
import struct
import sys
from pathlib import Path

try:
    import numpy as np
    from PIL import Image, ImageSequence, TiffImagePlugin  # noqa: F401
except ImportError:
    sys.exit(77)

folder = Path(sys.argv[1])
random = np.random.default_rng(7)
W, H = 37, 22
y, x = np.mgrid[0:H, 0:W]
rgb = np.stack([x * 7 + y, 255 - x * 3, y * 11 + x * y % 5], -1).astype(np.uint8)
rgba = np.concatenate([rgb, ((x * 13 + y * 29) % 256)[..., None].astype(np.uint8)], -1)
grey = (x * 5 + y * 3).astype(np.uint8)
grey16 = (x * 17 + y * 301).astype(np.uint16)


def write(name, data):
    (folder / name).write_bytes(data)


def of(array, mode=None):
    return Image.fromarray(array, mode)


# ---- BMP ----

def bmp(name, header, masks, palette, rows, bits, compression, height=H, width=W):
    """rows: bytes of each row, in the file's order, padded here"""
    data = b"".join(row + bytes(-len(row) % 4) for row in rows)
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, len(data), 0, 0, len(palette) // 4, 0)
        head += masks[:header - 40] + bytes(max(0, header - 40 - len(masks))) if header > 40 else masks
    offset = 14 + len(head) + len(palette)
    write(name, b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + head + palette + data)


def packed(indices, bits):
    out = []
    for row in indices:
        text = "".join(format(v, f"0{bits}b") for v in row)
        text += "0" * (-len(text) % 8)
        out.append(bytes(int(text[i:i + 8], 2) for i in range(0, len(text), 8)))
    return out


def bmps():
    for mode in ("1", "L", "P", "RGB"):
        of(rgb).convert(mode).save(folder / f"pillow_{mode}.bmp")
    of(rgba).save(folder / "pillow_rgba.bmp")
    colours = random.integers(0, 256, (256, 4), dtype=np.uint8)
    for bits in (1, 4, 8):
        index = random.integers(0, 1 << bits, (H, W))
        bmp(f"palette{bits}.bmp", 40, b"", colours[:1 << bits].tobytes(), packed(index, bits), bits, 0)
        bmp(f"core{bits}.bmp", 12, b"", colours[:1 << bits, :3].tobytes(), packed(index, bits), bits, 0)
    bmp("few.bmp", 40, b"", colours[:5].tobytes(), packed(random.integers(0, 5, (H, W)), 4), 4, 0)
    word = random.integers(0, 1 << 16, (H, W), dtype=np.uint16)
    long = random.integers(0, 1 << 32, (H, W), dtype=np.uint32)
    rows16, rows32 = [r.tobytes() for r in word], [r.tobytes() for r in long]
    bmp("plain16.bmp", 40, b"", b"", rows16, 16, 0)
    bmp("plain32.bmp", 40, b"", b"", rows32, 32, 0)
    bmp("topdown.bmp", 40, b"", b"", [r.tobytes() for r in rgb], 24, 0, -H)
    bmp("core24.bmp", 12, b"", b"", [r.tobytes() for r in rgb], 24, 0)
    bmp("565.bmp", 40, struct.pack("<3I", 0xF800, 0x7E0, 0x1F), b"", rows16, 16, 3)
    bmp("555.bmp", 40, struct.pack("<3I", 0x7C00, 0x3E0, 0x1F), b"", rows16, 16, 3)
    bmp("xbgr.bmp", 40, struct.pack("<3I", 0xFF000000, 0xFF0000, 0xFF00), b"", rows32, 32, 3)
    bmp("v4.bmp", 108, struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000), b"", rows32, 32, 3)
    bmp("v5.bmp", 124, struct.pack("<4I", 0xFF, 0xFF00, 0xFF0000, 0xFF000000), b"", rows32, 32, 3)
    bmp("none.bmp", 108, struct.pack("<4I", 0, 0, 0, 0), b"", rows32, 32, 3)


# ---- PPM ----

def ppms():
    of(rgb).save(folder / "pillow.ppm")
    of(grey).save(folder / "pillow.pgm")
    of(grey).convert("1").save(folder / "pillow.pbm")
    for most in (1, 7, 100, 254, 255, 256, 1000, 65535):
        big = ">u2" if most > 255 else "u1"
        for kind, array in ((5, grey16), (6, rgb.astype(np.uint16) * 257)):
            scaled = (array.astype(np.int64) * most // 65535).astype(big)
            write(f"p{kind}_{most}.ppm", b"P%d\n# a comment\n%d %d\n%d\n" % (kind, W, H, most) + scaled.tobytes())
            text = " ".join(str(v) for v in scaled.ravel())
            write(f"p{kind - 3}_{most}.pnm", b"P%d %d %d #c\n %d\n" % (kind - 3, W, H, most) + text.encode() + b"\n")
    write("over.pgm", b"P5 %d %d 100\n" % (W, H) + grey.tobytes())
    bits = "".join("01"[v] for v in random.integers(0, 2, W * H))
    write("plain.pbm", b"P1\n%d %d\n" % (W, H) + bits.encode())
    write("bits.pbm", b"P4 %d\t%d\n" % (W, H) + random.integers(0, 256, (W + 7) // 8 * H, dtype=np.uint8).tobytes())


# ---- GIF ----

def gifs():
    of(rgb).quantize(200).save(folder / "palette.gif")
    of(rgb).quantize(7).save(folder / "straight.gif", interlace=False)
    of(grey).save(folder / "grey.gif")
    of(rgb).quantize(30).save(folder / "clear.gif", transparency=3)
    frames = [of(np.roll(rgb, k * 5, 1)).quantize(40) for k in range(3)]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:], duration=50)
    data = bytearray((folder / "clear.gif").read_bytes())
    data[6:10] = struct.pack("<HH", W + 9, H + 4)
    write("screen.gif", data)
    at = data.index(b"\x2c", 13 + 3 * (2 << (data[10] & 7)))
    data[at + 1:at + 5] = struct.pack("<HH", 5, 3)
    write("offset.gif", data)
    data[at + 1:at + 5] = struct.pack("<HH", 20, 9)
    write("beyond.gif", data)


# ---- TIFF ----

def tiff(name, tags, pieces, endian="<"):
    """A little writer for what Pillow cannot write; pieces: strips or tiles"""
    body, at = b"", 8
    offsets, counts = [], []
    for piece in pieces:
        offsets.append(at + len(body))
        counts.append(len(piece))
        body += piece + bytes(len(piece) % 2)
    tags = dict(tags)
    tiled = 322 in tags
    tags[324 if tiled else 273], tags[325 if tiled else 279] = offsets, counts
    extra, entries, directory = b"", b"", at + len(body)
    extra_at = directory + 2 + 12 * len(tags) + 4
    for tag in sorted(tags):
        values = tags[tag] if isinstance(tags[tag], (list, tuple)) else [tags[tag]]
        long = max(values) > 65535 or tag in (273, 279, 324, 325)
        raw = struct.pack(endian + ("I" if long else "H") * len(values), *values)
        if len(raw) > 4:
            entries += struct.pack(endian + "HHII", tag, 4 if long else 3, len(values), extra_at + len(extra))
            extra += raw + bytes(len(raw) % 2)
        else:
            entries += struct.pack(endian + "HHI", tag, 4 if long else 3, len(values)) + raw + bytes(4 - len(raw))
    head = (b"II*\0" if endian == "<" else b"MM\0*") + struct.pack(endian + "I", directory)
    write(name, head + body + struct.pack(endian + "H", len(tags)) + entries + bytes(4) + extra)


def tiles(array, side):
    out = []
    for top in range(0, H, side):
        for left in range(0, W, side):
            tile = np.zeros((side, side) + array.shape[2:], array.dtype)
            part = array[top:top + side, left:left + side]
            tile[:part.shape[0], :part.shape[1]] = part
            out.append(tile.tobytes())
    return out


def tiffs():
    for mode in ("1", "L", "P", "RGB", "CMYK"):
        of(rgb).convert(mode).save(folder / f"plain_{mode}.tif")
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits"):
            of(rgb).convert(mode).save(folder / f"{compression}_{mode}.tiff", compression=compression)
    of(rgba).save(folder / "rgba.tif")
    of(rgba).convert("LA").save(folder / "la.tif")
    of(grey16).save(folder / "grey16.tif")
    of(grey).convert("1").save(folder / "fax.tif", compression="group4")
    of(rgb).save(folder / "jpeg.tif", compression="jpeg", quality=90)
    of(grey).save(folder / "jpeg_grey.tif", compression="jpeg")
    for orientation in range(1, 9):
        of(rgb).save(folder / f"turned{orientation}.tif", tiffinfo={274: orientation})
    base = {256: W, 257: H, 259: 1, 278: H}
    for bits in (1, 2, 4):
        index = random.integers(0, 1 << bits, (H, W))
        rows = b"".join(packed(index, bits))
        tiff(f"dark{bits}.tif", {**base, 258: bits, 262: 1}, [rows])
        tiff(f"light{bits}.tif", {**base, 258: bits, 262: 0}, [rows])
        tiff(f"map{bits}.tif", {**base, 258: bits, 262: 3, 320: list(random.integers(0, 65536, 3 << bits))}, [rows])
    tiff("light8.tif", {**base, 258: 8, 262: 0}, [grey.tobytes()])
    tiff("big.tif", {**base, 258: [8, 8, 8], 262: 2, 277: 3}, [rgb.tobytes()], ">")
    wide = rgb.astype(np.uint16) * 251 + 13
    for endian in "<>":
        tiff(f"wide{'<>'.index(endian)}.tif", {**base, 258: [16] * 3, 262: 2, 277: 3}, [wide.astype(endian + "u2").tobytes()], endian)
        tiff(f"grey16_{'<>'.index(endian)}.tif", {**base, 258: 16, 262: 1}, [grey16.astype(endian + "u2").tobytes()], endian)
    tiff("premultiplied.tif", {**base, 258: [8] * 4, 262: 2, 277: 4, 338: 1}, [rgba.tobytes()])
    tiff("alpha.tif", {**base, 258: [8] * 4, 262: 2, 277: 4, 338: 2}, [rgba.tobytes()])
    tiff("no_extra.tif", {**base, 258: [8] * 4, 262: 2, 277: 4}, [rgba.tobytes()])
    tiff("strips.tif", {**base, 258: [8] * 3, 262: 2, 277: 3, 278: 5}, [rgb[i:i + 5].tobytes() for i in range(0, H, 5)])
    tiled = {256: W, 257: H, 259: 1, 322: 16, 323: 16}
    tiff("tiles.tif", {**tiled, 258: [8] * 3, 262: 2, 277: 3}, tiles(rgb, 16))
    tiff("tiles_grey.tif", {**tiled, 258: 8, 262: 1}, tiles(grey, 16))
    tiff("planes.tif", {**base, 258: [8] * 3, 262: 2, 277: 3, 284: 2}, [np.ascontiguousarray(rgb[..., c]).tobytes() for c in range(3)])


def webps():
    frames = [of(np.roll(rgb, k * 5, 1)) for k in range(3)]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:], lossless=True, duration=40)
    clear = [of(np.roll(np.where(rgba[..., 3:] > 0, rgba, 0), k, 0).astype(np.uint8), "RGBA") for k in range(2)]
    clear[0].save(folder / "moving_alpha.webp", save_all=True, append_images=clear[1:], lossless=True, exact=True, duration=40)


bmps()
ppms()
gifs()
tiffs()
webps()
for path in sorted(folder.iterdir()):
    with Image.open(path) as image:
        image.load()
        for mode, name in (("RGB", "rgb"), ("L", "grey")):
            made = image.convert("L") if image.mode.startswith("I;16") else image
            made = made.convert(mode)
            (folder / f"{path.name}.{name}").write_bytes(struct.pack("<ii", *made.size) + made.tobytes())
