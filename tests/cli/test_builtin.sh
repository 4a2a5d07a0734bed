#!/bin/sh
# The built-in models are what they say: grey, named, small together; what they make is told apart by their own classifier.
set -u
. "$(dirname "$0")/expect.sh"
m=$GUIDED_MODELS/fashion32

for name in diffusion classifier base8 upsampler; do
    "$g" info "$m/$name.safetensors" --json >info.txt || fail "no $name"
    grep -q '"in_channels":1,' info.txt || fail "$name is not grey"
    grep -q '"classes":10,' info.txt || fail "$name has not ten classes"
done
total=$(cat "$m"/*.safetensors | wc -c)
[ "$total" -le $((24 * 1024 * 1024)) ] || fail "the models are $total bytes"
"$g" sample --class "ankle boot" --steps ddim2 --seed 1 -q -o boot.png || fail "class names"

# score NAME LEAST OPTIONS...: the Inception Score, 10 if the classifier were sure of every image, 1 for noise
score() {
    name=$1 least=$2
    shift 2
    "$g" sample "$@" -n 40 --class 0-9 --seed 1 -q -o "$name.npz" || fail "no $name"
    "$g" eval --ref "$name.npz" --samples "$name.npz" --features "$m/classifier.safetensors" --metrics is -q --json >"$name.txt"
    awk -v least="$least" -F'"inception_score":' '{ split($2, v, /[,}]/); exit !(v[1] > least) }' "$name.txt" ||
        fail "the score of $name is not above $least: $(cat "$name.txt")"
}
score guided 4 --steps ddim10
score stack 3 --model "$m/base8.safetensors" --upsampler "$m/upsampler.safetensors" --steps ddim10
exit $((failures > 0))
