#!/bin/sh
# SPDX-License-Identifier: MIT
# A set of 10,000 pictures of which one in a hundred is damaged (cut short, empty, text, another type, a bomb): every one is named once,
# the run goes on, and the result does not depend on the number of workers.
set -u
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
g=$GUIDED_BINARY
/usr/bin/python3 - <<'END' || exit 1
import os, struct, zlib
def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))
def png(i):
    rows = b''.join(b'\0' + bytes((i * 7 + x * 3 + y * 11 + c) % 256 for x in range(8) for c in range(3)) for y in range(8))
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', 8, 8, 8, 2, 0, 0, 0)) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')
os.mkdir('set')
for i in range(10000):
    data = png(i)
    if i % 100 == 37:
        kind = i // 100 % 5
        data = (data[:len(data) // 2], b'', b'not a picture\n', b'GIF89a' + data, data.replace(struct.pack('>II', 8, 8), struct.pack('>II', 60000, 60000)))[kind]
    open('set/%05d.png' % i, 'wb').write(data)
END
net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --diffusion_steps 50"
for workers in 1 3; do
    # shellcheck disable=SC2086
    "$g" train --data set --labels none $net --batch-size 100 --iterations 120 --save-interval 120 --seed 3 --max-bad 0.02 -t 1 --workers $workers \
        --out run$workers 2>err$workers.txt || { echo "$workers workers: $(tail -3 err$workers.txt)"; exit 1; }
    named=$(grep -o 'set/[0-9]*\.png' err$workers.txt | sort | uniq -c | awk '$1 == 1' | wc -l)
    [ "$named" = 100 ] || { echo "$workers workers: $named of 100 damaged pictures are named once"; exit 1; }
done
cmp run1/checkpoint-000000120.safetensors run3/checkpoint-000000120.safetensors || { echo "the result depends on the workers"; exit 1; }
# shellcheck disable=SC2086
"$g" train --data set --labels none $net --batch-size 100 --iterations 120 --seed 3 --max-bad 0.005 -t 1 -q --out few 2>err.txt && { echo "--max-bad 0.005: went on"; exit 1; }
echo "10,000 pictures, 100 of them damaged: each named once, the same parameters by 1 and 3 workers"
