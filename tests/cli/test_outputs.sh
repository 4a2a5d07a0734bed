#!/bin/sh
# SPDX-License-Identifier: MIT
# What a name of an output means: its suffix in any case, and no other format for a suffix that is unknown. And images with
# PyTorch's numbers: whole batches, labels before noise (faults P1, P2).
set -u
. "$(dirname "$0")/expect.sh"
export GUIDED_THREADS=1
s="sample --steps ddim2 --seed 1 -q"

# ---- suffixes ----
# shellcheck disable=SC2086
{
    expect 0 "" "$g" $s -o a.png
    expect 0 "" "$g" $s -o b.PNG
    cmp -s a.png b.PNG || fail "b.PNG is no picture"
    expect 0 "" "$g" $s -o b.Npz
    [ -f b.Npz ] || fail "b.Npz is no file"
    expect 0 "" "$g" info b.PNG
    for name in x.jpg x.JPEG x.gif x.tar x.pngg x.5; do
        expect 2 "is not written here" "$g" $s -o $name
        [ -e $name ] && fail "$name was made"
        expect 2 "" "$g" upsample --input a.png --class 0 -o $name
        [ -e $name ] && fail "$name was made"
    done
    expect 0 "" "$g" $s -o plain
    expect 0 "" "$g" $s -o v1.5/
    [ -f plain/00000.png ] && [ -f v1.5/00000.png ] || fail "folders: $(ls)"
    expect 0 "" "$g" $s --overwrite -o v1.5
    expect 2 "need a folder" "$g" $s -o x.PNG --resume
    expect 2 "need a folder" "$g" $s -o x.jpg --resume
}
small="--image_size 8 --channel_mult 1 --num_channels 32 --num_res_blocks 1 --attention_resolutions 8"
for name in m.onnx m.pth m.h5 m.bin; do
    # shellcheck disable=SC2086
    expect 2 "is not written here" "$g" init --kind diffusion $small $name
    [ -e $name ] && fail "$name was made"
done
# shellcheck disable=SC2086
expect 0 "" "$g" init --kind diffusion $small m.safetensors
for name in x.onnx x.ckpt x.gguf; do
    expect 2 "is not written here" "$g" convert m.safetensors $name
    [ -e $name ] && fail "$name was made"
done
expect 0 "" "$g" convert m.safetensors x.PT
expect 0 "" "$g" convert m.safetensors x.pt
cmp -s x.PT x.pt || fail "x.PT is another format than x.pt"
expect 0 "" "$g" convert m.safetensors nosuffix
cmp -s nosuffix m.safetensors || fail "a name without suffix"
expect 2 "is not written here" "$g" nll --data a.png --steps ddim2 -o terms.xlsx
expect 0 "" "$g" nll --data a.png --labels name --steps ddim2 --model m.safetensors -o terms.JSON
head -c 1 terms.JSON | grep -q '{' || fail "terms.JSON: $(cat terms.JSON)"
"$g" init --preset small32_classifier --seed 1 -q c32.safetensors 2>/dev/null || "$g" init --preset small32_classifier c32.safetensors
expect 2 "is not written here" "$g" eval stats plain --features c32.safetensors -o stats.pkl
expect 2 "a run is a folder" "$g" train --data plain --labels none --preset small8 --out run.pt

# ---- --rng torch ----
cat >labels.py <<'END'
import struct, sys, zipfile
def read(path, name):
    b = zipfile.ZipFile(path).read(name)
    return b[10 + struct.unpack('<H', b[8:10])[0]:]
b = read(sys.argv[1], 'arr_1.npy')
print(*struct.unpack('<%dq' % (len(b) // 8), b))
END
net="--image_size 10 --channel_mult 1,2 --num_channels 32 --num_res_blocks 1 --num_heads 4 --attention_resolutions 5"
torch="sample --rng torch --seed 5 --batch_size 3 --timestep_respacing 6 -q"
# shellcheck disable=SC2086
{
    expect 0 "" "$g" init --kind diffusion $net --class_cond True c.safetensors
    expect 0 "" "$g" init --kind diffusion $net u.safetensors
    # the authors' labels after torch.manual_seed(5): three, the noise of 3x10x10 at 6 steps, three more
    expect 0 "" "$g" $torch --model c.safetensors --class random --num_samples 6 -o p2.npz
    [ "$(/usr/bin/python3 labels.py p2.npz)" = "411 814 767 674 216 848" ] || fail "labels by PyTorch's numbers: $(/usr/bin/python3 labels.py p2.npz)"
    for n in 4 5; do # a batch that is not wanted whole is drawn whole
        expect 0 "" "$g" $torch --model u.safetensors --num_samples $n -o p1.npz --overwrite
        expect 0 "" "$g" $torch --model u.safetensors --num_samples 6 -o p0.npz --overwrite
        /usr/bin/python3 - $n <<'END' || fail "--num_samples $n of batches of 3 differs from the first $n of 6"
import struct, sys, zipfile
def read(path):
    b = zipfile.ZipFile(path).read('arr_0.npy')
    return b[10 + struct.unpack('<H', b[8:10])[0]:]
a, b, n = read('p1.npz'), read('p0.npz'), int(sys.argv[1])
sys.exit(len(a) != n * 300 or a != b[:len(a)])
END
    done
    expect 2 "depend on earlier images" "$g" $torch --model u.safetensors --first 2 -o no.npz
}
faults=${GUIDED_SHARED:-../shared}/faults/P1_P2
if [ -d "$faults" ]; then
    flags="--image_size 10 --channel_mult 1,2 --num_heads 4 --num_heads_upsample 2 --use_new_attention_order True"
    # shellcheck disable=SC2086
    {
        expect 0 "" "$g" $torch --model_path "$faults/m0.pt" $flags --class_cond False --num_samples 5 -o r1.npz
        expect 0 "" "$g" $torch --model_path "$faults/m1.pt" $flags --class_cond True --class random --num_samples 6 -o r2.npz
    }
    /usr/bin/python3 - "$faults" <<'END' || fail "other pixels than the authors' program"
import struct, sys, zipfile
def read(path, name='arr_0.npy'):
    b = zipfile.ZipFile(path).read(name)
    return b[10 + struct.unpack('<H', b[8:10])[0]:]
for mine, theirs in (('r1.npz', 'ref0_partial.npz'), ('r2.npz', 'ref1_full.npz')):
    a, b = read(mine), read(sys.argv[1] + '/' + theirs)
    if len(a) != len(b) or max(abs(x - y) for x, y in zip(a, b)) > 1 or sum(x != y for x, y in zip(a, b)) > len(a) // 500:
        sys.exit(1)
END
else
    echo "no $faults: pixels are not compared with the authors' program"
fi

[ $failures -eq 0 ] || exit 1
echo "names of outputs, PyTorch's numbers: ok"
