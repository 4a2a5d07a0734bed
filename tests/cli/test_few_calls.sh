#!/bin/sh
# SPDX-License-Identifier: MIT
# Consistency models and generators of one call: sampling, editing, and what they refuse.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/expect.sh"
generator=$here/../golden/cases/202_onecall_state_dict/pytorch_model.bin

expect 0 "" "$g" init --preset cd_imagenet64_lpips --image_size 16 --num_channels 32 --num_res_blocks 1 --channel_mult 1,2 \
    --attention_resolutions 8 --class_cond False --num_head_channels 32 --seed 3 cm.safetensors
s="sample --model cm.safetensors -n 2 --seed 5 -q"
# shellcheck disable=SC2086
{
    # a file of this family is sampled by its own sampler: one call, or as many as asked for
    expect 0 "1 of 1 steps" "$g" sample --model cm.safetensors --seed 5 -o one.npz --progress plain
    expect 0 "2 of 2 steps" "$g" sample --model cm.safetensors --seed 5 --steps 2 -o two.npz --progress plain
    # levels by number: those of two calls are 0, 20, 39 of 40
    expect 0 "" "$g" $s --steps 2 -o a.npz
    expect 0 "" "$g" $s --steps 0,20,39/40 -o b.npz
    cmp -s a.npz b.npz || fail "two calls are not at 0,20,39/40"
    expect 0 "" "$g" $s --steps 0,22,39/40 -t 1 -o c.npz
    cmp -s a.npz c.npz && fail "other levels make the same image"
    # the same bytes for any threads and again from the recipe
    expect 0 "" "$g" $s --steps 0,22,39/40 -t 2 -o d.npz
    cmp -s c.npz d.npz || fail "other bytes with two threads"
    expect 0 "" "$g" $s --steps 0,22,39/40 -o d.png
    again=$("$g" info d.png | sed -n 's/^guided sample /sample /p' | sed 's/ -o .*/ -q -o again.png/')
    expect 0 "" "$g" $again
    cmp -s d.png again.png || fail "the recipe makes another picture: $again"
}
for steps in 25 0 0,22 22,0/40 0,39,40/40 0,1/ x/40; do
    expect 2 "" "$g" sample --model cm.safetensors --steps $steps -o none.png
done
expect 2 "takes 1 to 20 calls" "$g" sample --model cm.safetensors --steps 25 -o none.png
expect 2 "no consistency model" "$g" sample --sampler consistency -o none.png
expect 2 "a generator of one call" "$g" sample --model "$generator" --steps 25 --class 0 -o none.png
expect 2 "a generator of one call" "$g" sample --model "$generator" --sampler heun --class 0 -o none.png
expect 0 "is a consistency model: heun expects" "$g" sample --model cm.safetensors --sampler heun --steps 3 --seed 1 -o heun.png
[ ! -e none.png ] || fail "something was written"

# --fast: what is not said of solver and levels; other families have few calls already
expect 0 "15 of 15 steps" "$g" sample --fast --class 3 --seed 5 -o fast.npz --progress plain
expect 0 "" "$g" sample --sampler dpmpp-2m-sde --steps 15 --spacing time --threshold clip --class 3 --seed 5 -q -o said.npz
cmp -s fast.npz said.npz || fail "--fast is another solver than documented"
expect 0 "" "$g" sample --fast --steps 3 --sampler heun --class 3 --seed 5 -q -o fast.png
again=$("$g" info fast.png | sed -n 's/^guided sample /sample /p' | sed 's/ -o .*/ -q -o fast2.png/')
# shellcheck disable=SC2086
expect 0 "" "$g" $again
cmp -s fast.png fast2.png || fail "--fast: the recipe makes another picture: $again"
expect 0 "" "$g" sample --model cm.safetensors --fast --seed 5 -q -o fast1.npz
cmp -s one.npz fast1.npz || fail "--fast: a consistency model is not sampled by one call"

# editing: the result gives the measurement exactly
expect 0 "" "$g" sample --model cm.safetensors --seed 7 -q -o truth.png
for op in box_down:4 gray inpaint:box=6 cubic_down:2; do
    expect 0 "" "$g" restore --simulate truth.png -a $op --model cm.safetensors --seed 1 -o "e-$op" --json
    grep -q '"solver":"consistency"' out.txt || fail "$op: not by the consistency model's solver"
    sed 's/.*"residual_rms":\([0-9.e-]*\).*/\1/' out.txt | awk '{ exit !($1 < 1e-9) }' || fail "$op: residual $(cat out.txt)"
done
expect 0 "" "$g" sample --class 3 --steps ddim5 --seed 5 -q -o grey.png
expect 2 "is no consistency model" "$g" restore --simulate grey.png -a box_down:4 --class 3 --solver consistency -o none
expect 0 "" "$g" restore --simulate truth.png -a gray --model cm.safetensors --solver ddnm --steps 4 -q -o steps
expect 0 "" "$g" restore --simulate truth.png -a gray --model cm.safetensors --noise 0.1 --steps 4 -q -o noisy
expect 2 "measurement as exact" "$g" restore --simulate truth.png -a gray --model cm.safetensors --noise 0.1 --solver consistency -o none
expect 2 "gives no score" "$g" restore --simulate truth.png -a clip:2 --model cm.safetensors -o none
expect 2 "takes 1 to 20 calls" "$g" restore --simulate truth.png -a gray --model cm.safetensors --steps 30 -o none
[ ! -e none ] || fail "something was written"
exit $((failures > 0))
