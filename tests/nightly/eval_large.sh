#!/bin/sh
# guided eval of 50,000 images of 256 x 256 (9.8 GB) with 2,048 features: memory stays below 2 GiB, and a run that is killed
# again and again ends with the report of one that is not. Needs 12 GB of disk: eval_large.sh BUILD_FOLDER [FOLDER]
set -u
build=$(cd "$1" && pwd) g=$(cd "$1" && pwd)/guided
dir=$(mktemp -d "${2:-/tmp}/eval-large-XXXXXX")
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
[ "$(df -k --output=avail . | tail -1)" -gt 12000000 ] || { echo "less than 12 GB free in $dir"; exit 1; }
cmake --build "$build" --target make-npz >/dev/null || exit 1
"$build/tests/make-npz" samples.npz 50000 256 1 && "$build/tests/make-npz" ref.npz 2000 256 2 || exit 1
"$g" init --kind classifier --image_size 32 --classifier_width 32 --classifier_depth 1 --classifier_channel_mult 1,1 \
    --classifier_attention_resolutions 16 --classifier_pool spatial_v2 net.safetensors || exit 1
run() { "$g" eval --ref ref.npz --samples samples.npz --features net.safetensors --crop 32 --json --metrics is,fid,pr "$@"; }
echo "$(date +%T) without a cache"
run >whole.json 2>whole.txt || { cat whole.txt; exit 1; }
tail -1 whole.txt
echo "$(date +%T) killed every ${SECONDS_ALIVE:=20} s"
kills=0
while ! timeout -s KILL "$SECONDS_ALIVE" "$g" eval --ref ref.npz --samples samples.npz --features net.safetensors --crop 32 \
    --metrics is,fid --cache cache -q >/dev/null 2>&1; do
    kills=$((kills + 1))
    [ $kills -lt 100 ] || { echo "no end after $kills kills"; exit 1; }
done
echo "$(date +%T) from the cache, after $kills kills"
run --cache cache >killed.json 2>killed.txt || { cat killed.txt; exit 1; }
tail -1 killed.txt
cmp whole.json killed.json || exit 1
for f in whole.txt killed.txt; do
    [ "$(sed -n 's/.*peak memory \([0-9]*\) MiB/\1/p' $f)" -lt 2048 ] || { echo "more than 2 GiB: $f"; exit 1; }
done
cat whole.json
