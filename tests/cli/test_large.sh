#!/bin/sh
# SPDX-License-Identifier: MIT
# Large runs in a folder: the bytes of one file whoever works on it; refusals; guided verify; stages; kills.
set -u
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
m=$GUIDED_MODELS/fashion32
bare="sample --model $m/base8.safetensors"
base="$bare --steps ddim2"
export OMP_NUM_THREADS=1

# shellcheck disable=SC2086
{
    # started, gone on with, all done; the bytes of a plain .npz, for other numbers of threads and processes
    expect 0 "" "$g" $base --seed 4 -n 40 -o plain.npz
    expect 0 "" "$g" $base --seed 4 -n 40 --class balanced -o run/ --resume
    cmp -s plain.npz run/samples_40x8x8x1.npz || fail "a run makes other bytes"
    expect 0 "all 40 images exist already" "$g" $base --seed 4 -n 40 -o run --resume
    expect 0 "all 40 images exist already" "$g" $base -n 40 -o run --resume # nobody chose a seed: the run's
    "$g" $base -n 40 -t 2 -o two --share --seed 4 -q & one=$!
    "$g" $base -n 40 -t 1 -o two --share --seed 4 -q || fail "the second of two processes"
    wait $one || fail "the first of two processes"
    cmp -s plain.npz two/samples_40x8x8x1.npz || fail "two processes make other bytes"
    for r in 0 1 2; do # as a launcher starts them; without --seed one of them decides it
        OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK=$r "$g" $base -n 12 -o ranks --resume -q 2>rank$r.err & eval "pid$r=\$!"
    done
    for r in 0 1 2; do eval "wait \$pid$r" || fail "rank $r: $(cat rank$r.err)"; done
    expect 0 "12 images made again, all equal" "$g" verify ranks
    OMPI_COMM_WORLD_SIZE=3 OMPI_COMM_WORLD_RANK=1 expect 2 "--resume" "$g" $base -n 12 -o ranks.npz

    # refused: another recipe, no folder, what cannot be told apart, a file that is not the run's
    expect 2 "run/run.json: made with other options" "$g" $bare --steps ddim3 --seed 4 -n 40 -o run --resume
    expect 2 'steps              the run "ddim2", now "ddim3"' "$g" $bare --steps ddim3 --seed 4 -n 40 -o run --resume
    expect 2 "seed " "$g" $base --seed 5 -n 40 -o run --resume
    expect 2 "num " "$g" $base --seed 4 -n 41 -o run --resume
    expect 2 "upsampler" "$g" $base --seed 4 -n 40 --upsampler $m/upsampler.safetensors -o run --resume
    expect 2 "-o RUN/" "$g" $base -n 4 -o x.npz --resume
    expect 2 "--overwrite" "$g" $base -n 4 -o run --resume --overwrite
    expect 0 "MiB" "$g" $base -n 4 --upsampler $m/upsampler.safetensors --stage2-steps 3 -o run5 --resume --dry-run
    [ -e run5 ] && fail "a dry run made a folder"
    expect 2 "--rng torch" "$g" $base -n 4 -o run5 --resume --rng torch
    expect 2 "--format grid" "$g" $base -n 4 -o run5 --resume --format grid
    mkdir foreign && cp plain.npz foreign/samples_40x8x8x1.npz
    expect 2 "no run.json" "$g" $base --seed 4 -n 40 -o foreign --resume
    (ulimit -f 8; "$g" $base --seed 4 -n 400 -o huge --resume) 2>err.txt # blocks of 512 or 1,024 bytes
    [ $? = 4 ] || fail "a limit of size: $(cat err.txt)"
    grep -q "File too large" err.txt || fail "a limit of size: $(cat err.txt)"
    expect 1 "No such file" "$g" $base -n 4 -o none/run --resume
    mkdir torn && echo '{"model":' >torn/run.json
    expect 3 "run.json: JSON" "$g" $base -n 4 -o torn --resume

    # two runs in one folder without sharing
    "$g" $base -n 5000 -o busy --resume -q 2>busy.err & pid=$!
    wait_for [ -s busy/samples.records ]
    expect 1 "busy: in use by pid $pid on " "$g" $base -n 5000 -o busy --resume
    expect 1 "does not share" "$g" $base -n 5000 -o busy --share
    expect 2 "--resume continues the run" "$g" $base -n 5000 -o busy
    kill $pid
    wait $pid
    [ $? = 143 ] || fail "SIGTERM: $(cat busy.err)"
    grep -q "images are kept; the same command continues the run" busy.err || fail "SIGTERM: $(cat busy.err)"
    expect 0 "all equal" "$g" verify busy --sample 3

    # a process that is stopped keeps its images: the others name it after the deadline, and end; once it is gone the run goes on
    "$g" $base -n 1000 --seed 4 -o stopped --share -q 2>one.err & pid=$!
    first_made() { od -An -tu1 -j 4096 -N 1 stopped/samples.records | grep -q 1; }
    wait_for first_made
    kill -STOP $pid
    expect 1 "stopped: no answer for 2 s from pid $pid on " "$g" $base -n 1000 --seed 4 -o stopped --share --deadline 2
    expect 1 "images are kept; the same command continues the run" "$g" $base -n 1000 --seed 4 -o stopped --share --deadline 1
    kill -KILL $pid
    wait $pid
    expect 0 "" "$g" $base -n 1000 --seed 4 -o stopped --share --deadline 1
    expect 0 "" "$g" $base -n 1000 --seed 4 -o unstopped --resume
    cmp -s unstopped/samples_1000x8x8x1.npz stopped/samples_1000x8x8x1.npz || fail "a stopped process changed the bytes"

    # verify: what was changed is found, by image
    expect 0 "40 images made again, all equal" "$g" verify run --sample 40
    expect 0 "all equal" "$g" verify plain.npz --recipe run/run.json --sample 3
    expect 0 '"compared":5,"equal":5' "$g" verify run --sample 5 --json
    size=$((8 * 8)) # arr_0 begins 39 + 128 bytes into the file
    printf '\125\252' | dd of=run/samples_40x8x8x1.npz bs=1 seek=$((39 + 128 + 7 * size + 5)) conv=notrunc
    expect 1 "image 7: " "$g" verify run --sample 40
    expect 3 "model_hash" "$g" verify run --model $m/diffusion.safetensors
    expect 3 "No such file" "$g" verify nothing
    expect 2 "--recipe" "$g" verify plain.npz
    expect 2 "one run" "$g" verify
    expect 0 "" "$g" $base -n 3 -o pictures
    expect 0 "3 images made again" "$g" verify pictures
    expect 0 "" "$g" sample --model fashion32 --steps ddim3 --seed 18446744073709551615 --class 9 --first 7 -o one.png
    expect 0 "1 images made again" "$g" verify one.png
    expect 0 "" "$g" sample --steps ddim2 -n 2 -o grid.png
    expect 2 "a grid of 2 images" "$g" verify grid.png
    expect 0 "1 images made again" "$g" verify pictures/00002.png

    # stages: each with its own options, all kept, in one command and by hand
    stages="--upsampler $m/upsampler.safetensors --stage2-steps 6 --stage2-sampler ddim --stage2-eta 0.5 --stage2-seed 9
        --stage2-classifier $m/classifier.safetensors --stage2-scale 2 --keep-stages"
    expect 0 "" "$g" $base --seed 4 -n 4 -o base.npz
    expect 0 "" "$g" upsample --model $m/upsampler.safetensors --steps 6 --sampler ddim --eta 0.5 --seed 9 \
        --classifier $m/classifier.safetensors --scale 2 --input base.npz -o hand.npz
    expect 0 "" "$g" $base --seed 4 -n 4 $stages -o stack.npz
    expect 0 "" "$g" $base --seed 4 -n 4 $stages -o stack --resume
    for f in stack.npz stack/samples_4x32x32x1.npz; do cmp -s hand.npz $f || fail "a stack makes other bytes: $f"; done
    for f in stack_stage1.npz stack/stage1_4x8x8x1.npz; do cmp -s base.npz $f || fail "a kept stage has other bytes: $f"; done
    expect 0 "all equal" "$g" verify stack
    expect 0 "" "$g" $base --seed 4 -n 4 --upsampler $m/upsampler.safetensors --stage2-steps 6 -o plainer.npz
    cmp -s hand.npz plainer.npz && fail "the options of a stage change nothing"
    expect 0 "" "$g" $base --seed 4 -n 3 $stages -o pngs --resume --format folder
    [ "$(ls pngs | tr '\n' ' ')" = "00000.png 00000_stage1.png 00001.png 00001_stage1.png 00002.png 00002_stage1.png lock run.json " ] ||
        fail "pictures: $(ls pngs)"
    expect 0 "3 images made again" "$g" verify pngs
    expect 0 "--first 1" "$g" info pngs/00001.png
    expect 0 "all 3 images" "$g" $base --seed 4 -n 3 $stages -o pngs --resume --format folder
    expect 2 "there is no stage 3" "$g" $base $stages --stage3-classifier $m/classifier.safetensors -o none.png
    expect 3 "the classifier is for 32x32" "$g" $base --classifier $m/classifier.safetensors -o none.png
} 2>/dev/null
sh "$GUIDED_SOURCE_DIR/tests/cli/kill_runs.sh" 5 || fail "kills"
exit $((failures > 0))
