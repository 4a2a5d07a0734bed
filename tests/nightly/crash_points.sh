#!/bin/sh
# SPDX-License-Identifier: MIT
# A run of 3 images dies before every call that changes a file, one after the other: the next command makes the same bytes.
set -u
g=$GUIDED_BINARY
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
export OMP_NUM_THREADS=1
sample="sample --model $GUIDED_MODELS/fashion32/base8.safetensors --steps ddim2 --seed 4 -n 3 -q --resume"
# shellcheck disable=SC2086
"$g" $sample -o unbroken || exit 1
k=0 status=137
while [ $status = 137 ]; do
    k=$((k + 1))
    # shellcheck disable=SC2086
    LD_PRELOAD=$GUIDED_BUILD/tests/libslow_disk.so DISK_DIES=c$k "$g" $sample -o run 2>err.txt
    status=$?
    case $status in 0 | 137) ;; *) echo "FAIL: call $k: exit $status: $(cat err.txt)"; exit 1 ;; esac
    # shellcheck disable=SC2086
    "$g" $sample -o run || { echo "FAIL: not gone on with after call $k"; exit 1; }
    diff -r -x lock unbroken run || { echo "FAIL: other files after call $k"; exit 1; }
    rm -rf run
done
echo "$((k - 1)) crash points"
[ $k -gt 15 ]
