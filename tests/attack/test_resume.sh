#!/bin/sh
# SPDX-License-Identifier: MIT
# Loss of power and damage leave what was finished within reach: likelihoods, records of a run, training.
set -u
. "$(dirname "$0")/tiny.sh"
# shellcheck disable=SC2086
{
    # rows are fewer than the sums count, more, cut short, or gone
    expect 0 "" "$g" $sample -n 8 -o a.npz
    nll="nll --model m.safetensors --data a.npz --steps 4 -t 1 -q"
    expect 0 "" "$g" $nll -o whole.csv --terms whole
    for rows in 0 1 3 5 cut gone; do
        rm -rf n.csv terms
        expect 0 "" "$g" $nll -n 5 -o n.csv --terms terms
        case $rows in
        gone) rm n.csv ;;
        cut) truncate -s -7 n.csv ;;
        *) head -n $((rows + 1)) n.csv >x && mv x n.csv ;;
        esac
        expect 0 "" "$g" $nll -o n.csv --terms terms --resume
        cmp -s whole.csv n.csv || fail "nll with $rows rows: the table is another"
        cmp -s whole/vb_terms.npz terms/vb_terms.npz || fail "nll with $rows rows: the sums are others"
    done

    # one damaged byte in the head of the records, in run.json, or no run.json: what is made stays made
    long="sample --model m.safetensors --steps ddim10 --seed 5 -t 1 -n 150 -q --resume -o r"
    expect 0 "" "$g" $long
    mv r/samples_150x8x8x3.npz good.npz
    for damage in head recipe gone; do
        rm -rf r
        "$g" $long & P=$!
        kill_when 10 150
        case $damage in
        head) printf X | dd of=r/samples.records bs=1 seek=3 conv=notrunc 2>/dev/null ;;
        recipe) printf X | dd of=r/run.json bs=1 seek=30 conv=notrunc 2>/dev/null ;;
        gone) rm r/run.json ;;
        esac
        "$g" verify r -q >out.txt 2>&1 || fail "verify of a run whose $damage is damaged: $(cat out.txt)"
        expect 0 "" "$g" sample --model m.safetensors --steps ddim10 --seed 5 -t 1 -n 150 --resume -o r
        grep -q "continues, " err.txt || fail "$damage: nothing was kept: $(cat err.txt)"
        cmp -s good.npz r/samples_150x8x8x3.npz || fail "$damage: the result is another"
    done

    # rows of progress.csv that nobody wrote
    expect 0 "" "$g" $train --iterations 2 --save-interval 1 --out t
    { head -1 t/progress.csv; head -c 200000 /dev/zero | tr '\0' '\n'; } >x
    mv x t/progress.csv
    expect 0 "" "$g" train --resume t --iterations 3 -t 1 -q
    { echo a; head -c 20000 /dev/zero | tr '\0' '\n'; } >t/progress.csv
    expect 0 "" "$g" train --resume t --iterations 4 -t 1 -q
}
finish "resume: what was finished is gone on with"
