# SPDX-License-Identifier: MIT
"""Files that are small and become large: pictures, IDX, zip, pickles of keys that met in one slot of an FNV-1a table.  Also:
   most COMMAND...: the most memory that the command had resident, in MiB."""
import itertools, os, struct, subprocess, sys, zipfile, zlib


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png(path, width, height, depth, colour, row_bytes):
    packer = zlib.compressobj(9)
    rows = [packer.compress(bytes(row_bytes) * min(64, height - y)) for y in range(0, height, 64)]
    rows.append(packer.flush())
    with open(path, 'wb') as f:
        f.write(b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', width, height, depth, colour, 0, 0, 0)))
        f.write(chunk(b'iTXt', b'guided.recipe\0\0\0\0\0{"command":["sample"],"seed":"1"}') + chunk(b'IDAT', b''.join(rows)) + chunk(b'IEND', b''))


def idx(path, images):
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(bytes([0, 0, 8, 3]) + struct.pack('>III', images, 8, 8))]
    for _ in range(images * 64 >> 20):
        parts.append(packer.compress(bytes(1 << 20)))
    parts.append(packer.flush())
    open(path, 'wb').write(b''.join(parts))


def members(path):
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr('good.txt', 'x')
        with z.open('a.png', 'w', force_zip64=True) as f:
            for _ in range(160):
                f.write(bytes(1 << 20))


def array(path):
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (40960, 64, 64, 1), }"
    head = head + b' ' * (117 - len(head)) + b'\n'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        with z.open('arr_0.npy', 'w') as f:
            f.write(b'\x93NUMPY\1\0' + struct.pack('<H', len(head)) + head)
            for _ in range(160):
                f.write(bytes(1 << 20))


def colliding_keys(n, slots=1 << 17, prime=16777619):
    """Keys of four blocks of four letters, each of which leaves FNV-1a modulo `slots` where it was"""
    letters = b'0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_'
    begin, inverse = 2166136261 % slots, pow(prime, -1, slots)
    middle = {}
    for a, b in itertools.product(letters, repeat=2):
        middle.setdefault(((begin ^ a) * prime ^ b) * prime % slots, []).append(bytes((a, b)))
    blocks = []
    for c, d in itertools.product(letters, repeat=2):
        back = ((begin * inverse % slots ^ d) * inverse % slots) ^ c
        blocks += [x + bytes((c, d)) for x in middle.get(back % slots, [])]
    return [b''.join(t) for t in itertools.islice(itertools.product(blocks, repeat=4), n)]


def pickle_of_keys(path, keys):
    def text(b):
        return b'X' + struct.pack('<I', len(b)) + b
    p = b'\x80\x02' + text(b'storage') + b'q\0' + b'ctorch\nFloatStorage\nq\1' + text(b'cpu') + b'q\2' + b'K\1q\3(('
    p += b'('.join(b'h\0h\1' + text(k) + b'h\2h\3tQ' for k in keys) + b't.'
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as z:
        z.writestr('m/data.pkl', p)


def edit_header(path, out, change):
    """A safetensors file with another header, without its hashes"""
    import json
    data = open(path, 'rb').read()
    n = struct.unpack('<Q', data[:8])[0]
    header = json.loads(data[8:8 + n])
    for key in ('guided.data_xxh3', 'guided.header_xxh3'):
        header['__metadata__'].pop(key, None)
    change(header)
    text = json.dumps(header).encode()
    text += b' ' * (-(8 + len(text)) % 64)
    open(out, 'wb').write(struct.pack('<Q', len(text)) + text + data[8 + n:])


def sizes(header):
    import json
    config = json.loads(header['__metadata__']['guided.config'])
    config.update(eval(sys.argv[4]))
    header['__metadata__']['guided.config'] = json.dumps(config)


def rename(header):
    header[sys.argv[5]] = header.pop(sys.argv[4])


if sys.argv[1] == 'most':
    p = subprocess.Popen(sys.argv[2:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print(os.wait4(p.pid, 0)[2].ru_maxrss >> 10)
elif sys.argv[1] == 'make':
    png('bit.png', 65500, 10000, 1, 0, 8189)
    png('rgb.png', 6000, 6000, 8, 2, 18001)
    png('small.png', 2000, 1500, 8, 2, 6001)
    idx('t-images-idx3-ubyte.gz', 1 << 22)
    members('members.zip')
    array('array.npz')
    pickle_of_keys('keys.pt', colliding_keys(20000))
elif sys.argv[1] == 'config':
    edit_header(sys.argv[2], sys.argv[3], sizes)
elif sys.argv[1] == 'rename':
    edit_header(sys.argv[2], sys.argv[3], rename)
