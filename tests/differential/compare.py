# SPDX-License-Identifier: MIT
"""compare READER COUNT [FORMAT...]: COUNT files of each format, whole and mutated, read by READER (read_files.c) and by the reader that people use:
npz by numpy, torch by PyTorch, pictures by Pillow.  Both give the same values, or ours refuses; a damaged file that
ours alone reads has the values that it had before the damage.
A format whose other reader is not installed is passed over with a message."""
import io, os, random, subprocess, sys, tempfile, warnings, zipfile
import numpy as np
warnings.simplefilter('ignore')

TYPES = {'f4': 'F32', 'f8': 'F64', 'f2': 'F16', 'i8': 'I64', 'i4': 'I32', 'i2': 'I16', 'i1': 'I8', 'u1': 'U8', 'b1': 'BOOL', 'u2': 'U16', 'u4': 'U32', 'u8': 'U64'}


def array(rng):
    kind = rng.choice(list(TYPES))
    shape = tuple(rng.randint(0, 4) for _ in range(rng.randint(0, 4)))
    data = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, int(np.prod(shape)) * np.dtype(kind).itemsize, dtype=np.uint8).tobytes()
    a = np.frombuffer(data, rng.choice('<>') + kind) if kind != 'b1' else np.frombuffer(bytes(b & 1 for b in data), '?')
    return np.asarray(a.reshape(shape), order=rng.choice('CF'))


def mutated(data, rng):
    """a few edits of the bytes, of a header's text mostly"""
    data = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(data), rng.choice((16, 130, 100000))))
        how = rng.randrange(4)
        if how == 0:
            data[at] ^= 1 << rng.randrange(8)
        elif how == 1:
            data[at] = rng.choice(b"0123456789<>|='(),: \n{}TFfiub")
        elif how == 2:
            del data[at]
        else:
            data.insert(at, rng.choice(b"0123456789<>|='(),: \n{}"))
        if not data:
            return b''
    return bytes(data)


def damage(path, rng, share):
    """that share of the files; PATH.whole is then what it was"""
    if rng.random() < share:
        data = open(path, 'rb').read()
        open(path + '.whole', 'wb').write(data)
        open(path, 'wb').write(mutated(data, rng))


def make_npz(path, rng):
    with zipfile.ZipFile(path, 'w', rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as z:
        for i in range(rng.randint(1, 3)):
            out = io.BytesIO()
            np.lib.format.write_array(out, array(rng), version=rng.choice(((1, 0), (2, 0), (3, 0))))
            data = out.getvalue()
            data = mutated(data, rng) if rng.random() < 0.5 else data
            with z.open(zipfile.ZipInfo('a%d.npy' % i), 'w', force_zip64=rng.random() < 0.3) as member:
                member.write(data)
    damage(path, rng, 0.3)


def read_npz(path):
    found = {}
    with np.load(path, allow_pickle=False) as z:
        for name in z.files:
            try:
                a = np.asarray(z[name])
                kind = a.dtype.str[1:]
                data = np.ascontiguousarray(a).astype(a.dtype.newbyteorder("=")).tobytes()
                found[name] = (TYPES[kind], a.shape, bytes(b != 0 for b in data) if kind == "b1" else data)
            except Exception:
                pass
    return found or None


def make_torch(path, rng):
    import torch
    kinds = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    state, base = {}, torch.arange(64)
    for i in range(rng.randint(1, 4)):
        t = (base * rng.randint(1, 5)).to(rng.choice(kinds)).reshape(4, 16)
        t = t.t() if rng.random() < 0.3 else t[rng.randint(0, 2):, rng.randint(0, 3)::rng.randint(1, 3)]
        state['layer%d.weight' % i] = t
    torch.save(state, path, _use_new_zipfile_serialization=rng.random() < 0.5)
    damage(path, rng, 0.5)


def read_torch(path):
    import torch
    names = {torch.float32: 'F32', torch.float16: 'F16', torch.bfloat16: 'BF16', torch.float64: 'F64', torch.int64: 'I64', torch.int32: 'I32',
             torch.int16: 'I16', torch.int8: 'I8', torch.uint8: 'U8', torch.bool: 'BOOL'}

    def numbers(t):
        data = t.contiguous().flatten().view(torch.uint8).numpy().tobytes() if t.numel() else b''
        return bytes(b != 0 for b in data) if t.dtype == torch.bool else data

    state = torch.load(path, weights_only=True)
    return {k: (names[t.dtype], tuple(t.shape), numbers(t)) for k, t in state.items()}


def make_picture(path, rng):
    from PIL import Image
    mode = rng.choice({'png': ('L', 'RGB', 'P', 'LA', 'RGBA', '1', 'I;16'), 'jpg': ('L', 'RGB', 'CMYK')}[path[-3:]])
    w, h = rng.randint(1, 20), rng.randint(1, 20)
    noise = np.random.default_rng(rng.getrandbits(32)).integers(0, 256, (h, w, 4), dtype=np.uint8)
    if mode == 'I;16':
        image = Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    else:
        image = Image.fromarray(noise if mode in ('RGBA', 'CMYK') else noise[..., :3], mode if mode in ('RGBA', 'CMYK') else 'RGB').convert(mode)
    image.save(path, **({'quality': rng.randint(20, 100), 'progressive': rng.random() < 0.3} if path.endswith('jpg') else {}))
    damage(path, rng, 0.5)


def read_picture(path):
    from PIL import Image
    image = Image.open(path)
    image.load()
    image = image.convert('L' if image.mode in ('1', 'L', 'LA', 'I;16', 'I') else 'RGB')
    return {'': ('U8', (image.height, image.width, len(image.getbands())), image.tobytes())}


FORMATS = {'npz': ('npz', make_npz, read_npz, 'numpy'), 'torch': ('pt', make_torch, read_torch, 'torch'), 'png': ('png', make_picture, read_picture, 'PIL'),
           'jpeg': ('jpg', make_picture, read_picture, 'PIL')}


def ours(line):
    """{name: (type, shape, bytes)} of a line of READER's; None: refused"""
    w = line.split()
    if w[0] == 'refused':
        return None
    raw = lambda text: b'' if text == '-' else bytes.fromhex(text)
    if w[0] == 'picture':
        return {'': ('U8', (int(w[2]), int(w[1]), int(w[3])), raw(w[4]))}
    shape = lambda text: tuple(int(d) for d in text.split(',') if d not in ('', '-'))
    found = {raw(w[i]).decode(): (w[i + 1], shape(w[i + 2]), raw(w[i + 3])) for i in range(1, len(w), 4)}
    return {k: (t, d, bytes(x != 0 for x in b) if t == 'BOOL' else b) for k, (t, d, b) in found.items()}


def try_read(read, path):
    try:
        return read(path)
    except Exception:
        return None


def main():
    reader, count = sys.argv[1], int(sys.argv[2])
    failed = 0
    for name in sys.argv[3:] or FORMATS:
        suffix, make, read, module = FORMATS[name]
        try:
            __import__(module)
        except ImportError:
            print('%s: passed over, %s is not installed' % (name, module))
            continue
        equal = alone = refused = both = 0
        with tempfile.TemporaryDirectory() as folder:
            paths = [os.path.join(folder, '%d.%s' % (i, suffix)) for i in range(count)]
            for i, path in enumerate(paths):
                make(path, random.Random('%s %d' % (name, i)))
            lines = subprocess.run([reader], input='\n'.join(paths) + '\n', stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
            for path, line in zip(paths, lines):
                mine = ours(line)
                theirs = try_read(read, path)
                if mine is None:
                    refused, both = refused + (theirs is not None), both + (theirs is None)
                    continue
                whole = None if theirs and set(mine) <= set(theirs) else try_read(read, path + '.whole')
                wrong = [k for k in mine if mine[k] != (theirs or {}).get(k, (whole or {}).get(k))]
                equal, alone = equal + (not wrong and whole is None), alone + (not wrong and whole is not None)
                for k in wrong:
                    failed += 1
                    other = (theirs or {}).get(k)
                    print('%s %s, array "%s": ours %s, theirs %s' % (name, os.path.basename(path), k, mine[k][:2] + (mine[k][2][:8].hex(),),
                                                                      other[:2] + (other[2][:8].hex(),) if other else 'refuses'))
        print('%s: %d files: %d the same, %d refused by both, %d by ours alone, %d damaged ones read by ours alone as before the damage' %
              (name, count, equal, both, refused, alone))
    sys.exit(failed > 0)


main()
