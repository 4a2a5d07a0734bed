#!/bin/sh
# SPDX-License-Identifier: MIT
# Files of other families through the command: info, convert, sample, refusals.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/expect.sh"
cases=$here/../golden/cases
pickle=$cases/201_edm_pkl/tiny_control.pkl
generator=$cases/202_onecall_state_dict/pytorch_model.bin
folder=$cases/203_diffusers_folder/sub_safetensors

expect 0 "" "$g" info "$pickle"
grep -q "family *edm: SongUNet" out.txt && grep -q "preconditioner *edm" out.txt || fail "info of a pickle"
expect 0 "" "$g" info "$generator"
grep -q "a generator: one call at sigma 80" out.txt && grep -q "precond edm (assumed" out.txt || fail "info of a state dict of DMD2"
expect 0 "" "$g" info "$folder"
grep -q "family *diffusers: UNet2DModel" out.txt || fail "info of a folder"

# A converted file needs no flags and gives the same images
for file in "$pickle" "$folder"; do
    expect 0 "" "$g" convert "$file" c.safetensors --overwrite
    expect 0 "" "$g" sample --model "$file" --sampler dpmpp-2m --steps 5 -n 2 --seed 3 -o a.npz --overwrite
    expect 0 "" "$g" sample --model c.safetensors --sampler dpmpp-2m --steps 5 -n 2 --seed 3 -o b.npz --overwrite
    cmp -s a.npz b.npz || fail "$file: another image after conversion"
done

# What the authors sample with is the default: Heun's method, one call of a generator
expect 0 "" "$g" sample --model "$pickle" --seed 3 -o h.npz
expect 0 "" "$g" sample --model "$pickle" --sampler heun --steps 18 --seed 3 -o e.npz
cmp -s h.npz e.npz || fail "an EDM network is not sampled by 18 steps of Heun's method"
expect 0 "1 of 1 steps" "$g" sample --model "$generator" --class 2 --seed 3 -o g.npz --progress plain
expect 2 "a generator of one call" "$g" sample --model "$generator" --sampler consistency --steps 3 -o x.png

# What a network without discrete steps cannot do
expect 2 "discrete steps" "$g" sample --model "$pickle" --sampler ddim --steps 5 -o x.png
expect 2 "written as safetensors only" "$g" convert "$pickle" x.pt
expect 3 "only UNetModels" "$g" convert "$pickle" x --diffusers
cp "$pickle" y.pkl
printf 'more' >>y.pkl
expect 3 "4 bytes after the pickle" "$g" info y.pkl
mkdir -p d && cp "$folder/unet/config.json" d/
expect 3 "without scheduler_config.json" "$g" info d

# Fresh networks of every family
for preset in cd_imagenet64_lpips edm-cifar10-32x32-uncond-ve ddpm-cifar10-32; do
    expect 0 "" "$g" init --preset "$preset" --synthetic f.safetensors --overwrite
    expect 0 "" "$g" info f.safetensors
    grep -q "preset $preset" out.txt || fail "$preset: not in its own file"
done
[ $failures -eq 0 ]
