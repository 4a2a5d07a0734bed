#!/bin/sh
# SPDX-License-Identifier: MIT
# The built-in models are what they are described as: grey or in colour, named, small together; what they make is told apart by their own classifier.
set -u
. "$(dirname "$0")/expect.sh"
m=$GUIDED_MODELS/fashion32

for name in diffusion classifier base8 upsampler; do
    "$g" info "$m/$name.safetensors" --json >info.txt || fail "no $name"
    grep -q '"in_channels":1,' info.txt || fail "$name is not grey"
    grep -q '"classes":10,' info.txt || fail "$name has not ten classes"
done
for name in diffusion classifier; do
    "$g" info "$GUIDED_MODELS/emoji/$name.safetensors" --json >info.txt || fail "no emoji $name"
    grep -q '"in_channels":3,' info.txt || fail "emoji $name is not in colour"
    grep -q '"classes":9,' info.txt || fail "emoji $name has not nine classes"
done
grep -q "SIL OPEN FONT LICENSE" "$GUIDED_MODELS/emoji/OFL.txt" || fail "emoji come without their licence"
total=$(cat "$GUIDED_MODELS"/*/*.safetensors | wc -c)
[ "$total" -le $((40 * 1024 * 1024)) ] || fail "the models are $total bytes"
"$g" sample --model fashion32 --class "ankle boot" --steps ddim2 --seed 1 -q -o boot.png || fail "class names"

# Their names stand for their files, in every verb that takes a model; a file of the same name has precedence.
pixels() { tail -c 400 "$1" | cksum; } # of a PNG, without its recipe
# same_pixels NAME OPTIONS... -- OPTIONS...: both make the same picture
same_pixels() {
    what=$1 left=""
    shift
    while [ "$1" != -- ]; do left="$left $1" && shift; done
    shift
    # shellcheck disable=SC2086
    "$g" sample $left --steps ddim2 -n 2 --seed 1 -q --overwrite -o left.png && "$g" sample "$@" --steps ddim2 -n 2 --seed 1 -q --overwrite -o right.png &&
        [ "$(pixels left.png)" = "$(pixels right.png)" ] || fail "$what"
}
same_pixels "a name and its files" --model fashion32 -- --model "$m/diffusion.safetensors" --classifier "$m/classifier.safetensors"
same_pixels "a name, unguided" --model fashion32 --unguided -- --model "$m/diffusion.safetensors"
same_pixels "a name, in colour" --model emoji --class flags -- --model "$GUIDED_MODELS/emoji/diffusion.safetensors" --classifier emoji --class 2
same_pixels "a stack's name" --model fashion8-32 -- --model "$m/base8.safetensors" --upsampler fashion8-32
same_pixels "another classifier" --model fashion32 --classifier "$m/classifier.safetensors" -- --model "$m/diffusion.safetensors" --classifier fashion32
said=out.txt
for name in fashion32 emoji fashion8-32; do expect 0 "$name  " "$g" models; done
expect 0 '"default":true,"installed":true' "$g" models --json
[ "$("$g" models | grep -c '(default)')" -eq 1 ] || fail "not one default"
expect 0 "preset small32" "$g" info fashion32
GUIDED_MODELS=$dir "$g" models >out.txt || fail "models of another folder"
odd=$(printf 'odd\377') # bytes that are no UTF-8
ln -s "$GUIDED_MODELS" "$odd"
GUIDED_MODELS=$odd "$g" models --json >out.txt || fail "models of an odd folder"
grep -q '"model":"odd[^"]*/fashion32/diffusion.safetensors"' out.txt || fail "a path that is no UTF-8 is left out"
rm "$odd"
said=err.txt
expect 3 "hint: did you mean fashion32?" "$g" sample --model fashion
expect 3 "built-in models are fashion32" "$g" nll --model fashion --data .
expect 3 "nowhere.pt: No such file" "$g" sample --model nowhere.pt
expect 2 "the built-in fashion32 has no upsampler" "$g" upsample --model fashion32 --input left.png
expect 2 "the built-in fashion8-32 has no classifier" "$g" sample --model fashion32 --classifier fashion8-32
expect 2 "guided info fashion32 shows one" "$g" models fashion32
mkdir fashion32
expect 3 "uses the file or folder of this name" "$g" sample --model fashion32
rmdir fashion32

# score NAME LEAST OPTIONS...: the Inception Score, 10 if the classifier were sure of every image, 1 for noise
score() {
    name=$1 least=$2
    shift 2
    "$g" sample "$@" -n 40 --class 0-9 --seed 1 -q -o "$name.npz" || fail "no $name"
    "$g" eval --ref "$name.npz" --samples "$name.npz" --features "$m/classifier.safetensors" --metrics is -q --json >"$name.txt"
    awk -v least="$least" -F'"inception_score":' '{ split($2, v, /[,}]/); exit !(v[1] > least) }' "$name.txt" ||
        fail "the score of $name is not above $least: $(cat "$name.txt")"
}
score guided 4 --model fashion32 --steps ddim10
score stack 3 --model "$m/base8.safetensors" --upsampler "$m/upsampler.safetensors" --steps ddim10
exit $((failures > 0))
