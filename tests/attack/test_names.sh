#!/bin/sh
# SPDX-License-Identifier: MIT
# Names that are not UTF-8, or hold what a terminal obeys: a run trains, saves, resumes and samples with them.
set -u
. "$(dirname "$0")/tiny.sh"
latin=$(printf 'caf\351') tab=$(printf 'a\tb') escape=$(printf 'x\033[31mred') right='a\x41b' bidi=$(printf 'r\342\200\256l')
# shellcheck disable=SC2086
{
    # class folders
    for name in "$latin" "$tab" "$escape" "$right" "$bidi" ok; do
        mkdir -p "classes/$name"
        cp images/00000.png images/00001.png "classes/$name"
    done
    expect 0 "" "$g" train --data classes --class_cond True $net --batch-size 2 --seed 9 --workers 1 -t 1 -q --iterations 2 --save-interval 1 --out c
    expect 0 "" "$g" train --resume c --iterations 3 -t 1 -q
    expect 0 "" "$g" sample --model c --steps ddim2 -n 6 -t 1 -q -o all.npz
    for name in "$latin" 'caf\xE9' "$tab" 'a\x09b' 'x\x1B[31mred' "$right" ok; do
        rm -f one.png
        expect 0 "" "$g" sample --model c --class "$name" --steps ddim2 -n 1 -t 1 -q -o one.png
    done
    expect 0 "" "$g" convert c c.safetensors -q
    expect 0 "" "$g" info c.safetensors

    # the folder of images, the run's folder, models, results
    cp -r images "im-$latin"
    expect 0 "" "$g" train --data "im-$latin" $net --batch-size 2 --seed 9 --workers 1 -t 1 -q --iterations 2 --save-interval 1 --out "t-$latin"
    expect 0 "" "$g" train --resume "t-$latin" --iterations 3 --save-interval 1 -t 1 -q
    expect 0 "" "$g" info --json "t-$latin"
    grep -q '"step":3' out.txt || fail "the run in a folder with such a name is not at step 3: $(cat out.txt)"
    plain="sample --steps ddim2 --seed 5 -t 1 -q"
    cp m.safetensors "m-$latin.safetensors"
    expect 0 "" "$g" info --json "m-$latin.safetensors"
    grep -qF '"file":"m-caf\\xE9.safetensors"' out.txt || fail "info --json: $(cat out.txt)"
    expect 0 "" "$g" $plain --json -n 2 --model "m-$latin.safetensors" --resume -o "r-$latin"
    grep -qF '"output":"r-caf\\xE9' out.txt || fail "sample --json: $(cat out.txt)"
    expect 0 "" "$g" $plain -n 2 --model "m-$latin.safetensors" --resume -o "r-$latin"
    expect 0 "" "$g" verify "r-$latin" -q
    expect 0 "" "$g" $plain -n 1 --model "m-$latin.safetensors" -o "p-$latin.png"
    expect 0 "" "$g" verify "p-$latin.png" -q
    expect 0 "" "$g" info "p-$latin.png"
    grep -qF "\$'m-caf\\xE9.safetensors'" out.txt || fail "the command does not name the model for a shell: $(cat out.txt)"
    "$g" info "p-$latin.png" >command.sh
    if command -v bash >/dev/null; then
        PATH=$(dirname "$g"):$PATH bash command.sh 2>err.txt || fail "the command that info prints does not run: $(cat err.txt)"
        cmp -s "p-$latin.png" p-*-again.png || fail "the command that info prints makes another picture"
    fi
}
finish "names: bytes of any kind are names"
