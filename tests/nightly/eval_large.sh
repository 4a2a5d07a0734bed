#!/bin/sh
# SPDX-License-Identifier: MIT
# guided eval of 50,000 images of 256 x 256 (9.8 GB) with 2,048 features: memory stays below 2 GiB, and a run that is killed
# again and again ends with the report of one that is not. Needs 12 GB of disk: eval_large.sh BUILD_FOLDER [FOLDER]
# What lies in FOLDER from an earlier call is not made again; all is removed in the end.
set -u
build=$(cd "$1" && pwd)
g=$build/guided
dir=${2:-/tmp/guided-eval-large}
mkdir -p "$dir" && cd "$dir" || exit 1
say() { echo "$(date +%T) $*"; }
if [ ! -s ref.npz ]; then
    [ "$(df -k --output=avail . | tail -1)" -gt 12000000 ] || { echo "less than 12 GB free in $dir"; exit 1; }
    cmake --build "$build" --target make-npz >/dev/null || exit 1
    say "making the images"
    "$build/tests/make-npz" samples.npz 50000 256 1 && "$build/tests/make-npz" ref.npz 2000 256 2 || exit 1
fi
[ -s net.safetensors ] || "$g" init --kind classifier --image_size 32 --classifier_width 32 --classifier_depth 1 \
    --classifier_channel_mult 1,1 --classifier_attention_resolutions 16 --classifier_num_head_channels 32 \
    --classifier_pool spatial_v2 net.safetensors || exit 1
run() { "$g" eval --ref ref.npz --samples samples.npz --features net.safetensors --crop 32 --json "$@"; }
if [ ! -s whole.json ]; then
    say "without a cache"
    run >made.json 2>whole.txt && mv made.json whole.json || { cat whole.txt; exit 1; }
fi
say "killed every ${SECONDS_ALIVE:=30} s"
touch kills
while ! timeout -s KILL "$SECONDS_ALIVE" "$g" eval --ref ref.npz --samples samples.npz --features net.safetensors --crop 32 \
    --metrics is,fid --cache cache -q >/dev/null 2>&1; do
    echo >>kills
    [ "$(wc -l <kills)" -lt 100 ] || { echo "no end after 100 kills"; exit 1; }
done
say "from the cache, after $(wc -l <kills) kills"
run --cache cache >killed.json 2>killed.txt || { cat killed.txt; exit 1; }
cmp whole.json killed.json || exit 1
for f in whole.txt killed.txt; do
    tail -1 $f
    [ "$(sed -n 's/.*peak memory \([0-9]*\) MiB/\1/p' $f)" -lt 2048 ] || { echo "more than 2 GiB: $f"; exit 1; }
done
cat whole.json
cd / && rm -r "$dir"
