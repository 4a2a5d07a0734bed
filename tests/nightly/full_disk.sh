#!/bin/sh
# SPDX-License-Identifier: MIT
# A disk that is full when the result is packed, and one that is too small from the start: status 4, nothing lost, and the run goes
# on when there is space.  Needs root for a small file system in memory.
set -u
g=$GUIDED_BINARY
dir=$(mktemp -d)
trap 'umount "$dir/disk" 2>/dev/null; rm -rf "$dir"' EXIT
cd "$dir" || exit 1
mkdir disk
mount -t tmpfs -o size=512k none disk 2>/dev/null || { echo "skipped: no right to mount"; exit 0; }
fail() { echo "FAIL: $1"; exit 1; }
export OMP_NUM_THREADS=1
sample="sample --model $GUIDED_MODELS/fashion32/base8.safetensors --steps ddim2 --seed 4 -q --resume"
# shellcheck disable=SC2086
{
    "$g" $sample -n 800 -o unbroken || fail "no unbroken run"
    head -c 400000 /dev/zero >disk/filler
    "$g" $sample -n 800 -o disk/run 2>err.txt
    [ $? = 4 ] || fail "began without space: $(cat err.txt)"
    grep -q "are free" err.txt || fail "$(cat err.txt)"
    [ -e disk/run/run.json ] && fail "a run that does not fit was begun"
    rm disk/filler
    "$g" $sample -n 800 -o disk/run 2>err.txt &
    pid=$!
    while [ ! -s disk/run/samples.records ]; do sleep 0.02; done
    cat /dev/zero >disk/filler 2>/dev/null # another takes what was free
    wait $pid
    [ $? = 4 ] || fail "packed without space: $(cat err.txt)"
    grep -q "No space left" err.txt || fail "$(cat err.txt)"
    grep -q "800 of 800 images are kept" err.txt || fail "$(cat err.txt)"
    rm disk/filler
    "$g" $sample -n 800 -o disk/run || fail "does not go on when there is space"
    cmp unbroken/samples_800x8x8x1.npz disk/run/samples_800x8x8x1.npz || fail "other bytes"
}
