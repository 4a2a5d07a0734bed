#!/bin/sh
# SPDX-License-Identifier: MIT
# What every released version wrote is read by this one: models, a checkpoint that training goes on from, pictures with their recipe, a run's
# folder, statistics.  tests/versions/make BINARY adds a version.
set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../cli/expect.sh"
export OMP_NUM_THREADS=1
top=$dir

# Pixels of two .npz files: at most 1 apart, and nearly all equal (other kernels round otherwise)
same_pixels() {
    /usr/bin/python3 - "$1" "$2" "$3" <<'END'
import sys, numpy as np
a, b = (np.load(p)['arr_0'].astype(int) for p in sys.argv[1:3])
b = b[:int(sys.argv[3])]
sys.exit(int(a.shape != b.shape or abs(a - b).max() > 1 or (a != b).mean() > 0.02))
END
}

for version in "$here"/*/; do
    v=$(basename "$version")
    mkdir "$top/$v" && cd "$top/$v" || exit 1
    tar xf "$version/files.tar.xz" || exit 1
    sample="sample --steps ddim3 --seed 5 -t 1 -q"
    said=out.txt

    expect 0 "parameters      196835" "$g" info model.safetensors
    flags=$(sed -n 's/^flags  *//p' out.txt)
    # shellcheck disable=SC2086
    {
        expect 0 "" "$g" $sample --model model.safetensors -n 4 -o again.npz
        same_pixels again.npz samples.npz 4 || fail "$v: other images of model.safetensors"
        expect 0 "" "$g" $sample --model model.pt $flags -n 4 -o pt.npz
        same_pixels pt.npz samples.npz 4 || fail "$v: other images of model.pt"
    }

    expect 0 "guided sample --model model.safetensors --steps ddim3 -n 1 --seed 5 -o one-again.png" "$g" info one.png
    sed 's/^guided /"$g" /; s/one-again.png/one-again.npz -q/' out.txt >command.sh
    # shellcheck source=/dev/null
    . ./command.sh || fail "$v: the command of one.png"
    same_pixels one-again.npz samples.npz 1 || fail "$v: one.png is another image now"

    # The folder of a run of another version is compared, not continued with other bytes
    said=err.txt
    if GUIDED_ISA=avx2 "$g" --version 2>/dev/null | grep -q "oneDNN *2\.6\.3"; then
        expect 0 "2 images made again, all equal" env GUIDED_ISA=avx2 "$g" verify images --sample 2
    else
        echo "images of $v are not compared byte for byte: another machine or oneDNN"
    fi
    # shellcheck disable=SC2086
    GUIDED_ISA=avx2 "$g" $sample --model model.safetensors -n 4 -o images --resume --format folder >out.txt 2>err.txt
    case $? in
    0) ;;
    2) grep -q "images/run.json: made with other options" err.txt || fail "$v: $(cat err.txt)" ;;
    *) fail "$v: --resume of a finished run: $(cat err.txt)" ;;
    esac

    expect 0 "" "$g" init --preset small32_classifier --seed 1 classifier.safetensors -q
    said=out.txt
    expect 0 "FID" "$g" eval --ref statistics.npz --samples images --features classifier.safetensors --pad --metrics fid -t 1 -q
    awk '/^FID/ { exit !($2 > -0.001 && $2 < 0.001) }' out.txt || fail "$v: FID of the same images: $(cat out.txt)"
    said=err.txt

    [ "$(step_of run)" = 1 ] || fail "$v: the checkpoint is of step $(step_of run)"
    expect 0 "" "$g" train --resume run --data images --labels none --iterations 2 -t 1 -q
    [ "$(step_of run)" = 2 ] || fail "$v: training did not go on"
    [ -f run/checkpoint-000000001.safetensors ] || fail "$v: the checkpoint is gone"
    [ "$(wc -l <run/progress.csv)" -ge 3 ] || fail "$v: progress.csv: $(cat run/progress.csv)"
done

[ $failures -eq 0 ] || exit 1
echo "files of earlier versions: ok"
