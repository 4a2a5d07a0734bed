#!/bin/sh
# SPDX-License-Identifier: MIT
# guided upsample, and stacks in guided sample: one command equals the stages by hand; labels are kept; bad input is named.
set -u
. "$(dirname "$0")/expect.sh"
m=$GUIDED_MODELS/fashion32
base="--model $m/base8.safetensors --steps ddim5 --seed 2"
up="--model $m/upsampler.safetensors --steps 6 --seed 2"

# a stack in one command, and its stages by hand
# shellcheck disable=SC2086
{
    expect 0 "6 images" "$g" sample $base -n 6 -o base.npz
    expect 0 "6 images" "$g" upsample $up --input base.npz -o hand.npz
    expect 0 "6 images" "$g" sample $base -n 6 --upsampler $m/upsampler.safetensors --stage2-steps 6 -o stack.npz
    cmp -s hand.npz stack.npz || fail "a stack makes other bytes than its stages"
    for t in 1 2; do
        expect 0 "" "$g" upsample $up --input base.npz -t $t -o threads$t.npz
        cmp -s hand.npz threads$t.npz || fail "$t threads make other bytes"
    done
    expect 0 "" "$g" upsample $up --input base.npz -n 8 --low-res-noise 0.1 -o more.npz # the input is repeated
}

# pictures in folders: labels by folder, by --class, missing
# shellcheck disable=SC2086
{
    expect 0 "" "$g" sample $base -n 2 -o flat
    expect 0 "" "$g" upsample $up --input flat/00000.png --class 3 -o one.png
    expect 3 "has no labels" "$g" upsample $up --input flat/00000.png -o none.png
    expect 0 "" "$g" upsample $up --input flat --class 3,4 -o two
    [ -s two/00001.png ] || fail "no folder of pictures"
    expect 3 "enlarges 8 x 8" "$g" upsample $up --input two --class 1 -o none.png
    expect 3 "not an upsampler" "$g" upsample --model $m/base8.safetensors --input base.npz -o none.png
    expect 3 "guided upsample" "$g" sample --model $m/upsampler.safetensors --steps 4 -o none.png
    expect 3 "not 32 x 32" "$g" sample --steps 4 --upsampler $m/upsampler.safetensors -o none.png
    expect 2 "--input" "$g" upsample -o none.png
    expect 3 "No such file" "$g" upsample $up --input nothing.npz -o none.png
    expect 2 "exists already" "$g" upsample $up --input base.npz -o hand.npz
}
[ -e none.png ] && fail "a picture after an error"
exit $((failures > 0))
