#!/bin/sh
# SPDX-License-Identifier: MIT
# guided nll: the same numbers for any thread count and after a resume; bad input is named.
set -u
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
export GUIDED_MODEL=fashion32 # what the lines below mean without --model
"$g" sample -n 5 --class 0-9 --steps ddim5 --seed 3 -q -o images.npz || exit 1
nll="nll --data images.npz --steps 10"

# shellcheck disable=SC2086
{
    expect 0 "bits/dim over 5 images" "$g" $nll -o all.csv
    cp out.txt all.txt
    [ "$(wc -l <all.csv)" = 6 ] || fail "rows: $(cat all.csv)"
    expect 0 "" "$g" $nll -t 1 -o one.csv
    cmp -s all.csv one.csv || fail "one thread gives other numbers"
    head -c $(($(wc -c <all.csv) - 40)) all.csv >cut.csv # a row is cut short
    expect 0 "" "$g" $nll --resume -o cut.csv
    cmp -s all.csv cut.csv || fail "a resumed table differs"
    cmp -s all.txt out.txt || fail "a resumed total differs: $(cat all.txt out.txt)"
    expect 0 "" "$g" $nll -o all.json # the same numbers as lines of JSON, resumed too
    [ "$(grep -c '^{"image":.*"total_bpd":.*}$' all.json)" = 5 ] || fail "lines: $(cat all.json)"
    cmp -s all.txt out.txt || fail "JSON gives another total"
    [ "$(sed 's/.*"total_bpd":\([^,]*\).*/\1/' all.json)" = "$(sed 1d all.csv | cut -d, -f4)" ] || fail "JSON has other numbers"
    head -c $(($(wc -c <all.json) - 40)) all.json >cut.json
    expect 0 "" "$g" $nll --resume -o cut.json
    cmp -s all.json cut.json || fail "resumed lines differ"

    # the authors' files: a mean over the images for each step; stopped, broken between row and sums, gone on with
    expect 0 "" "$g" $nll -o whole.csv --terms whole
    expect 0 "" "$g" $nll -n 2 -o parts.csv --terms parts
    sed -n 4p whole.csv >>parts.csv
    expect 0 "" "$g" $nll --resume -o parts.csv --terms parts
    cmp -s whole.csv parts.csv || fail "resumed rows differ"
    for f in vb mse xstart_mse; do cmp -s whole/${f}_terms.npz parts/${f}_terms.npz || fail "resumed $f terms differ"; done
    grep -q "(10,)" whole/vb_terms.npz || fail "no term for each step"
    mean=$(sed 1d whole.csv | cut -d, -f6 | awk '{ s += $1 } END { printf "%.5f", s / NR / 10 }')
    found=$(tail -c +$((1 + 39 + 128)) whole/vb_terms.npz | head -c 40 | od -An -tf4 -v | awk '{ for (i = 1; i <= NF; i++) s += $i } END { printf "%.5f", s / 10 }')
    [ "$mean" = "$found" ] || fail "terms: mean $found, rows say $mean"
    expect 2 "exists already" "$g" $nll -o other.csv --terms whole
    head -n 3 whole.csv >short.csv
    cp -r whole again
    expect 0 "over 5 images" "$g" $nll --resume -o short.csv --terms again # from the smaller count
    cmp -s whole.csv short.csv || fail "rows lost beside their sums differ"
    expect 3 "do not have 5 steps" "$g" nll --data images.npz --steps 5 --resume -o whole.csv --terms whole
    expect 0 "bits/dim over 5" "$g" $nll --random-flip
    cmp -s all.txt out.txt && fail "flips change nothing"
    expect 0 '"images":3' "$g" $nll -n 3 --json
    expect 2 "exists already" "$g" $nll -o all.csv
    expect 2 "--data" "$g" nll
    expect 2 "--resume needs" "$g" $nll --resume
    expect 3 "not a table" "$g" $nll --resume -o images.npz
    expect 3 "has no likelihood" "$g" $nll --model "$GUIDED_MODELS/fashion32/classifier.safetensors"
    expect 3 "has no labels" "$g" $nll --labels none
    expect 2 "steps 5000" "$g" nll --data images.npz --steps 5000
}
exit $((failures > 0))
