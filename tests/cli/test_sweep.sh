#!/bin/sh
# SPDX-License-Identifier: MIT
# guided sweep: every combination once, judged as guided eval judges; a study that was cut off goes on; what cannot be a study.
set -u
. "$(dirname "$0")/expect.sh"
judge=$GUIDED_MODELS/fashion32/classifier.safetensors
"$g" sample --model fashion32 -n 12 --steps ddim4 --seed 99 -q -o ref.npz || exit 1
s="sweep sampler=ddim,dpmpp-2m steps=2,3 scale=0.5 -n 8 --seed 4 --ref ref.npz -o study"

# shellcheck disable=SC2086
{
    expect 0 "4 of 4: sampler=dpmpp-2m,steps=3,scale=0.5: 3 calls" "$g" $s
    [ "$(sed -n 1p study/sweep.csv)" = "sampler,steps,scale,calls,frechet,inception_score,precision,recall,images,seconds" ] ||
        fail "table: $(sed -n 1p study/sweep.csv)"
    [ "$(wc -l <study/sweep.csv)" -eq 5 ] || fail "rows: $(cat study/sweep.csv)"
    [ "$(grep -c '<polyline' study/sweep.svg)" -eq 2 ] || fail "lines of the plot"
    grep -q '</svg>' study/sweep.svg || fail "no end of the plot"
    # a cell is what guided sample makes and guided eval says of it
    cell="study/cells/sampler=ddim,steps=3,scale=0.5"
    expect 0 "" "$g" sample --sampler ddim --steps 3 --scale 0.5 -n 8 --seed 4 -q -o same.npz
    "$g" eval --ref same.npz --samples "$cell.npz" --features "$judge" --metrics fid -q --json >same.json || fail "eval of a cell"
    "$g" eval --ref ref.npz --samples "$cell.npz" --features "$judge" --metrics fid,is,pr -q --json >eval.json || fail "eval"
    table=$(sed -n 's/^ddim,3,0.5,3,\([^,]*\),.*/\1/p' study/sweep.csv)
    value=$(sed 's/.*"fid": *\([0-9.e+-]*\).*/\1/' eval.json)
    awk "BEGIN { exit !(($table - $value) ^ 2 <= (1e-4 * $value) ^ 2) }" || fail "distance $table, guided eval says $value"
    value=$(sed 's/.*"fid": *\([0-9.e+-]*\).*/\1/' same.json)
    awk "BEGIN { exit !($value ^ 2 < 1e-8) }" || fail "other images than guided sample's: $value"
    # cut off: the cell without numbers is made again, the others stay
    cp study/sweep.csv before.csv && rm "$cell.json" && touch -d 2001-01-01 study/cells/*.npz
    expect 0 "2 of 4: sampler=ddim,steps=3" "$g" $s
    [ "$(grep -c ' of 4:' err.txt)" -eq 1 ] || fail "more than the missing cell was made: $(cat err.txt)"
    [ "$(find study/cells -name '*.npz' -newermt 2002-01-01 | wc -l)" -eq 1 ] || fail "images were made again"
    cut -d, -f1-9 before.csv >a.csv && cut -d, -f1-9 study/sweep.csv >b.csv
    cmp -s a.csv b.csv || fail "another table after going on: $(cat study/sweep.csv)"
    # the same numbers for any threads; more values add their cells
    expect 0 "" "$g" $s -t 2 -q
    expect 0 "" "$g" sweep sampler=ddim,dpmpp-2m steps=2,3,4 scale=0.5 -n 8 --seed 4 --ref ref.npz -o study --json -q
    [ "$(grep -c '"cell":' out.txt)" -eq 2 ] || fail "not two new cells: $(cat out.txt)"
    expect 2 "another -o" "$g" $s --class 3
}
expect 2 "no option varies" "$g" sweep --ref ref.npz -o none
expect 2 "no reference images" "$g" sweep steps=2 -o none
expect 2 "OPTION=VALUE" "$g" sweep steps --ref ref.npz -o none
expect 2 "not an option of guided sample" "$g" sweep stepz=2 --ref ref.npz -o none
expect 2 "all cells share" "$g" sweep seed=1,2 --ref ref.npz -o none
[ ! -e none ] || fail "something was written"
expect 2 "cell sampler=ddmi" "$g" sweep sampler=ddmi steps=2 --ref ref.npz -n 8 -o bad
expect 3 "" "$g" sweep steps=2 --ref missing.npz -o none
exit $((failures > 0))
