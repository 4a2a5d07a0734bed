#!/bin/sh
# SPDX-License-Identifier: MIT
# Training comes to what PyTorch comes to with the same network, images and options: every mean of progress.csv, of all images
# and of each quarter of the schedule, beside tests/train/curve/curve-STEPS.csv.  With 1000 diffusion steps as everybody trains;
# with 10, where the learned variances weigh as much as the rest.  Both sides draw random numbers of their own, so a mean may be
# 5 of PyTorch's standard deviations from seed to seed off: few seeds tell the deviation within a third or so, and 32 means
# are compared at a time.  It is 6 % at least: the columns without outliers vary by 1 to 3 %.
set -u
. "$(dirname "$0")/expect.sh"
curve=$GUIDED_SOURCE_DIR/tests/train/curve

# train STEPS LR UPDATES: into run/, as make_curve.py does
train() {
    rm -rf run
    # shellcheck disable=SC2046
    expect 0 "" "$g" train --data "$curve/train-images-idx3-ubyte.gz" $(cat "$curve/flags") --diffusion_steps "$1" --lr "$2" \
        --iterations "$3" --no-random-flip --batch-size 32 --log-interval 50 --save-interval 0 --seed 1 -q --out run
}

# compare STEPS: a line for each mean that is too far off; the last one says how many were compared
compare() {
    awk -F, '
        FNR == NR { mean[$1, $2] = $3; sd[$1, $2] = $4; next }
        FNR == 1 { for (i = 1; i <= NF; i++) { name[i] = $i; if ($i == "step") step = i } next }
        {
            for (i = 1; i <= NF; i++) {
                if (!((name[i], $step) in mean))
                    continue
                n++
                m = mean[name[i], $step]
                band = 5 * sd[name[i], $step]
                if (band < 0.06 * m)
                    band = 0.06 * m
                if ($i !~ /^[0-9]/ || $i < m - band || $i > m + band)
                    printf "%s at %s: %s, not %s +- %.3g\n", name[i], $step, $i, m, band
            }
        }
        END { print n " compared" }' "$curve/curve-$1.csv" run/progress.csv
}

for steps in 1000 10; do
    train $steps 1e-3 201
    found=$(compare $steps)
    [ "$found" = "32 compared" ] || fail "$steps steps: $found"
done

# It can fail: half the learning rate
train 1000 5e-4 101
[ "$(compare 1000 | wc -l)" -gt 1 ] || fail "half the learning rate is not seen"
exit $((failures > 0))
