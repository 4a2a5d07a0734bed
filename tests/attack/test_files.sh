#!/bin/sh
# SPDX-License-Identifier: MIT
# Files made to hurt: small ones that become large, keys that meet in one slot, sizes that overflow, a packed array under another name.
set -u
python=/usr/bin/python3
[ -x $python ] || { echo "skipped: no $python"; exit 0; }
here=$(cd "$(dirname "$0")" && pwd)
. "$(dirname "$0")/tiny.sh"
export OPENBLAS_NUM_THREADS=1
$python "$here/bombs.py" make || exit 1
most=200
! grep -q __asan_init "$g" || most=100000 # a sanitizer's shadow
# little TEXT COMMAND...: refused (or passed over) with TEXT, within $most MiB
little() {
    text=$1
    shift
    "$@" >out.txt 2>&1
    [ $? -le 4 ] || fail "exit status: $*: $(cat out.txt)"
    grep -qF -- "$text" out.txt || fail "no \"$text\" in: $(cat out.txt)"
    mib=$($python "$here/bombs.py" most "$@")
    [ "$mib" -lt $most ] || fail "$mib MiB: $*"
}
# shellcheck disable=SC2086
{
    little "" "$g" info bit.png
    little "pixels in" "$g" nll --model m.safetensors --data bit.png --steps 2 -n 1 -t 1 -q
    little "--max-pixels 36000000" "$g" nll --model m.safetensors --data rgb.png --steps 2 -n 1 -t 1 -q
    expect 0 "" "$g" nll --model m.safetensors --data rgb.png --steps 2 -n 1 -t 1 -q --max-pixels 36000000
    expect 0 "" "$g" nll --model m.safetensors --data small.png --steps 2 -n 1 -t 1 -q
    little "that become" "$g" train --data t-images-idx3-ubyte.gz $net --batch-size 1 --iterations 1 -t 1 -q --out t
    little "that become" "$g" nll --model m.safetensors --data members.zip --steps 2 -n 1 -t 1 -q
    # read image by image, never as a whole
    little "bits/dim" "$g" nll --model m.safetensors --data array.npz --steps 2 -n 1 -t 1 -q
    [ ! -d t ] || fail "a set that cannot be read left a folder"

    # 3 ms for keys that do not meet; minutes if they did
    start=$(date +%s)
    expect 3 "values left on the stack" "$g" info keys.pt
    [ $(($(date +%s) - start)) -lt 20 ] || fail "keys that were chosen to meet take $(($(date +%s) - start)) s"

    # sizes
    for change in '{"image_size": 65500}' '{"image_size": 65536}' '{"num_res_blocks": 32, "channel_mult": [1]*12, "image_size": 2048}' \
        '{"image_size": 4096, "attention_ds": [1]}' '{"model_channels": 65536}' '{"num_heads": 0}' '{"diffusion_steps": 2147483647}'; do
        $python "$here/bombs.py" config m.safetensors sizes.safetensors "$change" || exit 1
        expect 3 "" "$g" info sizes.safetensors
        ! grep -q "runtime error" err.txt || fail "$change: $(cat err.txt)"
    done
    expect 2 "image_size" "$g" init --image_size 65500 --num_channels 32 --channel_mult 1 --num_res_blocks 1 big.safetensors
    [ ! -e big.safetensors ] || fail "init wrote a network that nothing can run"

    # weights packed under another name
    expect 0 "" "$g" convert m.safetensors p.safetensors --packed -q
    expect 0 "" "$g" sample --model p.safetensors --steps ddim2 -n 1 -t 1 -q --seed 1 -o p.npz
    for name in module.packed other module.module.packed; do
        $python "$here/bombs.py" rename p.safetensors q.safetensors packed $name || exit 1
        expect 3 "" "$g" sample --model q.safetensors --steps ddim2 -n 1 -t 1 -q --seed 1 -o q.npz
    done

    # refused before the folder is made
    expect 2 "schedule" "$g" $train --iterations 1 --schedule_sampler nonsense --out none
    expect 2 "ema" "$g" $train --iterations 1 --ema-rate 2 --out none
    expect 3 "" "$g" $train --iterations 1 --init-from bit.png --out none
    [ ! -e none ] || fail "a run that was refused left its folder"
}
finish "files: what is made to hurt is refused at once"
