#!/bin/sh
# SPDX-License-Identifier: MIT
# guided train as a user runs it: killed, stopped and resumed to the bit; what it makes is a model; bad input is named.
set -u
. "$(dirname "$0")/expect.sh"

make_images

net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --class_cond True
     --learn_sigma True --diffusion_steps 50 --dropout 0.1 --num_head_channels 32"
begin="train --data images $net --log-interval 2 --seed 9"
run="$begin --batch-size 4 --iterations 12 --save-interval 2"

# shellcheck disable=SC2086
expect 0 "12 images, 3 classes" "$g" $run --out whole
[ "$(step_of whole)" = 12 ] || fail "step $(step_of whole)"
[ "$(ls whole/checkpoint-* | wc -l)" = 3 ] || fail "not three checkpoints: $(ls whole)"
for f in progress.csv loss.svg; do [ -s whole/$f ] || fail "no $f"; done
[ "$(grep -c . whole/progress.csv)" = 7 ] || fail "rows: $(cat whole/progress.csv)"
expect 0 "" "$g" sample --model whole --class bag --steps ddim2 -o bag.png
expect 2 "0.9999" "$g" sample --model whole --ema 0.5 --steps ddim2 -o none.png
expect 0 "" "$g" sample --model whole --ema none --steps ddim2 -o raw.png
grep -q boot whole/checkpoint-000000012.safetensors || fail "no class names in the checkpoint"

# kill -9 again and again, in steps and in saves: before a call that changes files, counted from the start; then to the end:
# the same parameters
kills=0
for call in 3 9 14 6 17 11; do
    if [ -d killed ] && ls killed/checkpoint-*.safetensors >/dev/null 2>&1; then
        LD_PRELOAD=$GUIDED_SLOW_DISK DISK_DIES=c$call "$g" train --resume killed >/dev/null 2>&1
    else
        rm -rf killed
        # shellcheck disable=SC2086
        LD_PRELOAD=$GUIDED_SLOW_DISK DISK_DIES=c$call "$g" $run --out killed >/dev/null 2>&1
    fi
    [ $? -eq 137 ] && kills=$((kills + 1))
done
[ $kills -gt 1 ] || fail "$kills kills landed in a run"
if ls killed/checkpoint-*.safetensors >/dev/null 2>&1; then expect 0 "" "$g" train --resume killed; else rm -rf killed; expect 0 "" "$g" $run --out killed; fi
[ "$(hash_of killed)" = "$(hash_of whole)" ] || fail "killed $kills times: other parameters"
ls killed/*.part-* >/dev/null 2>&1 && fail "a part is left"

# The memory that is announced is what the run takes, within 10 %
"$g" train --data images --preset small32 --batch-size 64 --seed 9 --save-interval 1 --iterations 1000 --out large >/dev/null 2>err.txt &
pid=$!
wait_for sh -c 'ls large/checkpoint-*.safetensors'
taken=$(awk '/^VmHWM/ { print $2 }' /proc/$pid/status)
kill -9 $pid
wait $pid 2>/dev/null
announced=$(sed -n 's/.* parameters, \([0-9.]*\) MiB in memory.*/\1/p' err.txt)
echo "$taken $announced" | awk '{ r = $1 / 1024 / $2; print "memory taken / announced:", r; exit !(r > 0.9 && r < 1.1) }' || fail "announced $announced MiB, taken $taken KiB"
rm -rf large

# SIGTERM saves, whatever the interval, and the run goes on from there
# shellcheck disable=SC2086
"$g" $begin --batch-size 4 --save-interval 1000 --iterations 100000 --out stopped >/dev/null 2>err.txt &
pid=$!
wait_for [ -s stopped/progress.csv ]
expect 1 "in use by pid $pid" "$g" train --resume stopped
kill -TERM $pid
wait $pid
[ $? -eq 143 ] || fail "SIGTERM: exit $?"
grep -q "which is saved" err.txt || fail "$(cat err.txt)"
at=$(step_of stopped)
expect 0 "" "$g" train --resume stopped --iterations $((at + 3))
[ "$(step_of stopped)" = $((at + 3)) ] || fail "resumed to $(step_of stopped)"

# the authors' files: written beside checkpoints, rotated with them, and a run goes on from them
# shellcheck disable=SC2086
expect 0 "" "$g" $run --save-pt --keep 2 --out both
[ "$(ls both/model*.pt both/opt*.pt both/ema_0.9999_*.pt | wc -l)" = 6 ] || fail "authors' files: $(ls both)"
[ "$(hash_of both)" = "$(hash_of whole)" ] || fail "--save-pt changed the parameters"
rm both/checkpoint-*
# shellcheck disable=SC2086
expect 0 "from step 10" "$g" $run --resume both/model000010.pt --out again
[ "$(hash_of again)" = "$(hash_of whole)" ] || fail "from the authors' files: other parameters"
# shellcheck disable=SC2086
expect 0 "from step 12" "$g" $begin --batch-size 4 --iterations 13 --resume both --out further
rm both/opt000012.pt
# shellcheck disable=SC2086
{
    expect 3 "opt000012.pt is missing" "$g" $begin --batch-size 4 --iterations 13 --resume both --out more
    grep -q -- "hint: --init-from both/model000012.pt" err.txt || fail "no remedy: $(cat err.txt)"
    mv both/ema_0.9999_000012.pt both/ema.pt
    expect 2 "--init-from" "$g" $run --resume both/ema.pt --out more
    expect 3 "ema_0.9999_000012.pt is missing" "$g" $run --resume both/model000012.pt --out more2
    expect 3 "a run of diffusion" "$g" train-classifier --data images --resume both --out more3
}
expect 0 "" "$g" convert whole whole.pt
expect 0 "" "$g" convert whole whole.safetensors
[ "$("$g" info whole.pt --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')" = \
    "$("$g" info whole.safetensors --json | sed 's/.*"hash":"\([0-9a-f]*\)".*/\1/')" ] || fail "convert: another .pt"

# another number of classes, other weights kept
mkdir two && cp -r images/boot images/bag two/
expect 0 "fresh weights for label_emb.weight" "$g" train --data two $net --batch-size 4 --iterations 2 --init-from whole --out tuned
expect 3 "--init-from whole: no parameter fits this network" "$g" train --data two --image_size 8 --num_channels 64 --channel_mult 1 --num_res_blocks 1 \
    --learn_sigma False --batch-size 4 --iterations 2 --init-from whole --out alien
expect 0 "" "$g" train-classifier --data images --image_size 8 --classifier_width 32 --classifier_depth 1 \
    --classifier_channel_mult 1 --classifier_attention_resolutions 8 --classifier_num_head_channels 16 --batch-size 4 --iterations 3 --val-data images --out crun
grep -q val_loss crun/progress.csv || fail "no validation"
expect 0 "" "$g" train --data images --super-res 4 --large_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 \
    --attention_resolutions 8 --class_cond True --batch-size 4 --iterations 2 --sample-interval 2 --out urun
ls urun/samples-*.png >/dev/null 2>&1 || fail "no sample grid"

# A grid shows the weights themselves while the average still holds its start, then the average; its file has which.
# $1: rate, $2: what info prints of it, $3: --ema of the same pixels
grid_of() {
    # shellcheck disable=SC2086
    expect 0 "" "$g" $begin --batch-size 4 --ema-rate "$1" --sample-interval 6 --iterations 6 --out "grid-$1"
    said=out.txt
    expect 0 "$2" "$g" info "grid-$1/samples-000000006.png"
    said=err.txt
    "$g" sample --model "grid-$1" --ema "$3" --unguided -n 16 --columns 4 --seed 0 --steps ddim25 -q -o "grid-$1.png" || fail "no grid of $1"
    [ "$(tail -c 900 "grid-$1.png" | cksum)" = "$(tail -c 900 "grid-$1/samples-000000006.png" | cksum)" ] || fail "the grid of rate $1 shows other weights"
}
grid_of 0.9 "step 6, weights without average: average 0.9 still has 53 % of the initial weights" none
grid_of 0.5 "step 6, average 0.5" 0.5

# less memory, the same bits
# shellcheck disable=SC2086
expect 0 "" "$g" $run --recompute --out again2
[ "$(hash_of again2)" = "$(hash_of whole)" ] || fail "--recompute changed the parameters"

# bad input
mkdir empty one
cp -r images/boot one/
# shellcheck disable=SC2086
{
    expect 2 "already contains a run" "$g" $run --out whole
    expect 3 "holds no images" "$g" train --data empty $net --out x1
    expect 3 "a classifier needs two" "$g" train-classifier --data one --preset small32 --out x2
    expect 2 "lr nan" "$g" $run --lr nan --out x3
    expect 2 "no images" "$g" train $net --out x4
    expect 3 "No such file" "$g" train --data nowhere $net --out x5
    expect 2 "cannot change the network of a run" "$g" train --resume whole --num_channels 64
    expect 3 "guided train --resume" "$g" train-classifier --resume whole
    expect 4 "training needs" "$g" $run --memory 1 --out x6
    expect 4 "--microbatch" "$g" $begin --batch-size 512 --iterations 12 --memory 100 --out x10
    expect 2 "--labels maybe" "$g" $run --labels maybe --out x7
}
printf 'damaged' >images/boot/bad.png
# shellcheck disable=SC2086
expect 3 "damaged images are more than" "$g" $run --out x8
# shellcheck disable=SC2086
expect 0 "passed over: images/boot/bad.png" "$g" $run --max-bad 0.1 --out x9
exit $((failures > 0))
