#!/bin/sh
# SPDX-License-Identifier: MIT
# guided convert --packed: the same images from packed weights, for any number of threads; what is packed for something else, or
# damaged, is refused by name.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/expect.sh"
models=$GUIDED_MODELS/fashion32
precisions=fp32
"$g" --version | grep -q bf16 && [ -z "${GUIDED_ISA:-}" ] && precisions="fp32 bf16"

for p in $precisions; do
    for name in diffusion classifier base8 upsampler; do
        expect 0 "" env OMP_NUM_THREADS=1 "$g" convert "$models/$name.safetensors" one --packed --dtype $p --overwrite
        expect 0 "" "$g" convert "$models/$name.safetensors" $name-$p --packed --dtype $p
        cmp -s one $name-$p || fail "$name, $p: packed otherwise by one thread"
    done
    guided="--precision $p -n 4 --class 0-9 --seed 3 --steps ddim3 -q"
    # shellcheck disable=SC2086
    {
        expect 0 "" "$g" sample --model "$models/diffusion.safetensors" --classifier "$models/classifier.safetensors" $guided -o a-$p.npz
        expect 0 "" "$g" sample --model diffusion-$p --classifier classifier-$p $guided -o b-$p.npz
        expect 0 "" "$g" sample --model "$models/base8.safetensors" --upsampler "$models/upsampler.safetensors" $guided -t 1 -o c-$p.npz
        expect 0 "" "$g" sample --model base8-$p --upsampler upsampler-$p $guided -t 1 -o d-$p.npz
    }
    cmp a-$p.npz b-$p.npz || fail "guided, $p: other images"
    cmp c-$p.npz d-$p.npz || fail "stack, $p: other images"
done

# What it is; the recipe of its images names the parameters, whatever the file
said=out.txt
expect 0 "packed          for 32x32, fp32, " "$g" info diffusion-fp32
expect 0 "\"hash\":\"$("$g" info "$models/diffusion.safetensors" --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')\"" "$g" info diffusion-fp32 --json
said=err.txt

# Packed for something else
expect 3 "guided: diffusion-fp32: its weights are packed for 32x32, fp32, " env GUIDED_ISA=c "$g" sample --model diffusion-fp32 -n 1 -o x.png
expect 3 "hint: give the file that they were packed from" env GUIDED_ISA=c "$g" sample --model diffusion-fp32 -n 1 -o x.png
[ "$precisions" = fp32 ] || expect 3 "wanted here: 32x32, bf16, " "$g" sample --model diffusion-fp32 --unguided -n 1 --precision bf16 -o x.png
expect 3 "packed for sampling" "$g" convert diffusion-fp32 x.safetensors
make_images
expect 3 "packed for sampling" "$g" train --init-from base8-fp32 --data images --preset small8 --channels 1 --iterations 1 --out run
expect 3 "packed for sampling" "$g" eval --ref images --samples images --features classifier-fp32 --grey

# What cannot be written
expect 2 "--packed: " "$g" convert "$models/base8.safetensors" x.pt --packed
expect 2 "--packed: " "$g" convert "$models/base8.safetensors" x --packed --dtype fp16
expect 2 "exists" "$g" convert "$models/base8.safetensors" base8-fp32 --packed

# Damage
cp base8-fp32 damaged
printf 'x' | dd of=damaged bs=1 seek=100000 conv=notrunc 2>dd.txt
expect 3 "damaged: damaged: the data does not match its hash" "$g" sample --model damaged --unguided -n 1 -o x.png
head -c 100000 base8-fp32 >cut
expect 3 "cut: " "$g" sample --model cut --unguided -n 1 -o x.png
[ ! -e x.png ] && [ ! -e x.safetensors ] && [ ! -e x.pt ] && [ ! -e x ] || fail "something was written"

exit $((failures > 0))
