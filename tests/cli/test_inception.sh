#!/bin/sh
# SPDX-License-Identifier: MIT
# guided info and guided convert of a file of the 2015 Inception network.
set -u
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
expect 2 "give --synthetic" "$g" init --kind inception a.safetensors
expect 2 "without --seed" "$g" init --kind inception --synthetic --seed 3 a.safetensors
expect 0 "" "$g" init --kind inception --synthetic a.safetensors
expect 2 "exists" "$g" init --kind inception --synthetic a.safetensors
expect 0 "Inception of 2015-12-05" "$g" info a.safetensors
grep -q "parameters      23832736," out.txt || fail "another count of parameters: $(cat out.txt)"
expect 0 '"kind":"inception"' "$g" info --json a.safetensors
sed 's/.*"hash"/"hash"/' out.txt >one.txt

expect 2 "can only be converted to fp32" "$g" convert --dtype bf16 a.safetensors b.safetensors
expect 2 "can only be converted to fp32" "$g" convert --num_heads 4 a.safetensors b.safetensors
expect 0 "" "$g" convert a.safetensors b.safetensors
expect 2 "exists" "$g" convert a.safetensors b.safetensors
expect 0 "" "$g" convert --overwrite a.safetensors b.safetensors
expect 0 "" "$g" info --json b.safetensors
sed 's/.*"hash"/"hash"/' out.txt | cmp -s one.txt || fail "a copy is another network"

head -c 4000000 a.safetensors >cut.safetensors
expect 3 "cut.safetensors: " "$g" info cut.safetensors
expect 3 "cut.safetensors: " "$g" convert cut.safetensors c.safetensors
printf '\012\003abc' >bad.pb
expect 3 "bad.pb: " "$g" info bad.pb
printf '\012\010\012\001x\022\003Add' >other.pb
expect 3 "no float32 constants" "$g" info other.pb
[ ! -e c.safetensors ] || fail "a refused file was converted"

expect 2 "no --preset" "$g" bench --eval --preset 64x64_diffusion
expect 2 "--batch goes with --eval" "$g" bench --batch 4
GUIDED_ISA=c expect 2 "GUIDED_ISA=c has one kernel" "$g" bench --tune
expect 2 "--model is for --accuracy" "$g" bench --model other.pb
expect 3 "other.pb" "$g" bench --accuracy --model other.pb
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
