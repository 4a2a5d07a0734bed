# SPDX-License-Identifier: MIT
# tiny.sh - a network of 8 x 8 pixels, four images, and the commands that use them.  Sourced, behind a `cd`.
# shellcheck shell=sh
# shellcheck disable=SC2034,SC2086
. "$(dirname "$0")/../cli/expect.sh"
net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --diffusion_steps 50"
"$g" init $net m.safetensors || exit 1
"$g" sample --model m.safetensors --steps ddim2 --seed 3 -n 4 -t 1 -q -o images || exit 1
rm images/run.json
sample="sample --model m.safetensors --steps ddim2 --seed 5 -t 1 -q"
train="train --data images $net --batch-size 2 --seed 9 --workers 1 -t 1 -q"
finish() {
    [ $failures -eq 0 ] && echo "$1"
    exit $failures
}
# kill -9 of a command that has at least $1 images in r/samples.records
kill_when() {
    tries=0
    until [ "$(tail -c +4097 r/samples.records 2>/dev/null | head -c "$2" | tr -d '\0' | wc -c)" -ge "$1" ] || [ $tries -ge 600 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    kill -9 "$P" 2>/dev/null
    wait "$P" 2>/dev/null
}
