#!/bin/sh
# SPDX-License-Identifier: MIT
# guided sample --sampler: every solver of the table makes pictures, the same bytes for any threads and again from its recipe;
# guidance options; what cannot be is refused by name.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/expect.sh"

"$g" help samplers >samplers.txt || fail "guided help samplers"
[ "$(wc -l <samplers.txt)" -ge 12 ] || fail "few samplers: $(cat samplers.txt)"
while read -r name _; do
    [ "$name" = consistency ] && continue # of another kind of model: test_few_calls.sh
    expect 0 "" "$g" sample --sampler "$name" --steps 4 -n 2 --class 3,7 --seed 5 -t 1 -q -o "$name.npz"
    expect 0 "" "$g" sample --sampler "$name" --steps 4 -n 1 --class 3 --seed 5 -q -o "$name.png"
    expect 0 "" "$g" sample --sampler "$name" --steps 4 -n 2 --class 3,7 --seed 5 -t 2 -q -o "$name-2.npz"
    cmp -s "$name.npz" "$name-2.npz" || fail "$name: other bytes with two threads"
    again=$("$g" info "$name.png" | sed -n 's/^guided sample /sample /p' | sed 's/ -o .*/ -q -o again.png/')
    # shellcheck disable=SC2086
    expect 0 "" "$g" $again --overwrite
    cmp -s "$name.png" again.png || fail "$name: its recipe makes another picture: $again"
done <samplers.txt

# every solver on networks of other families: a run in a folder ends, and verify makes its images again with other threads; what a
# network cannot do is refused
cases=$(cd "$here" && cd ../golden/cases && pwd)
"$g" init --preset small32 --synthetic adm.safetensors -q || fail "no network of ADM's"
for model in "$cases/201_edm_pkl/tiny_control.pkl" "$cases/203_diffusers_folder/sub_safetensors" adm.safetensors; do
    made=0
    while read -r name _; do
        rm -rf run
        "$g" sample --model "$model" --sampler "$name" --steps 3 -n 2 --seed 5 -t 1 -q --resume -o run/ >out.txt 2>err.txt
        case $? in
            0) made=$((made + 1)) && expect 0 "" "$g" verify run -t 2 -q ;;
            2) grep -q "discrete steps\|no consistency model" err.txt || fail "$model, $name: $(cat err.txt)" ;;
            *) fail "$model, $name: $(cat err.txt)" ;;
        esac
    done <samplers.txt
    [ $made -ge 15 ] || fail "$model: only $made samplers"
done

# options of solvers and guidance change the picture, are in the recipe, and come back from it
s="--sampler dpmpp-2m --steps 5 -n 2 --class 3,7 --seed 5 -q"
# shellcheck disable=SC2086
{
    expect 0 "" "$g" sample $s -o plain.npz
    for o in "--spacing logsnr" "--threshold dynamic" "--threshold none" "--guidance-interval 0.5,20" \
        "--gradient-every 2" "--gradient-every 2 --hold-gradient"; do
        expect 0 "" "$g" sample $s $o -o other.npz --overwrite
        cmp -s plain.npz other.npz && fail "$o changes nothing"
        expect 0 "" "$g" sample $s $o -o other.png --overwrite
        again=$("$g" info other.png | sed -n 's/^guided sample /sample /p' | sed 's/ -o .*/ -q -o again.png/')
        expect 0 "" "$g" $again --overwrite
        cmp -s other.png again.png || fail "$o: the recipe makes another picture: $again"
    done
    expect 0 "" "$g" sample $s --gradient-every 1 -o other.npz --overwrite
    cmp -s plain.npz other.npz || fail "--gradient-every 1 changes something"
    # a pair of networks at scale 1 is the first alone
    expect 0 "" "$g" sample $s --null-class 9 --guidance-scale 1 -o other.npz --overwrite
    cmp -s plain.npz other.npz || fail "guidance at scale 1 changes something"
    expect 0 "" "$g" sample $s --null-class 9 --guidance-scale 2 -o other.npz --overwrite
    cmp -s plain.npz other.npz && fail "guidance at scale 2 changes nothing"
    expect 0 "" "$g" sample --sampler heun --sigma-max 60 --churn 3 --steps 3 --spacing exponential -q -o levels.npz
}

expect 2 "did you mean dpmpp-2m" "$g" sample --sampler dpmpp2m -o none.png
expect 2 "takes 1 to 1000" "$g" sample --sampler dpmpp-2m --steps 0 -o none.png
expect 2 "does not walk such levels" "$g" sample --sampler heun --spacing logsnr -o none.png
expect 2 "reads no eta" "$g" sample --sampler dpmpp-2m --eta 1 -o none.png
expect 2 "needs a second model" "$g" sample --guidance-scale 2 -o none.png
expect 2 "two noise levels" "$g" sample --guidance-interval 3,1 -o none.png
expect 2 "there is no classifier" "$g" sample --unguided --gradient-every 2 -o none.png
expect 2 "--scale 2: there is no classifier" "$g" sample --unguided --scale 2 -o none.png
expect 3 "class-conditional" "$g" sample --uncond-model "$GUIDED_MODELS/fashion32/diffusion.safetensors" --guidance-scale 2 -o none.png
expect 3 "is for 8 x 8" "$g" sample --weaker-model "$GUIDED_MODELS/fashion32/base8.safetensors" --guidance-scale 2 -o none.png
[ ! -e none.png ] || fail "something was written"
exit $((failures > 0))
