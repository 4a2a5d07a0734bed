#!/bin/sh
# SPDX-License-Identifier: MIT
# guided eval over several ranks: the report and the statistics of one rank to the byte, also over a resume by another number of
# ranks; errors are told once, and a rank that is killed ends the job.
set -u
command -v mpiexec >/dev/null || { echo "passed over: no mpiexec"; exit 0; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=detect_leaks=0 # Open MPI's own, in a build with sanitizers
. "$(dirname "$0")/expect.sh"
said="out.txt err.txt"
f=$GUIDED_MODELS/fashion32/classifier.safetensors
ranks() { n=$1; shift; timeout 120 mpiexec -n "$n" --oversubscribe "$g" "$@"; }
"$g" sample --model fashion32 -n 37 --class 0-9 --steps ddim2 --seed 3 -q -o a || exit 1
"$g" sample --model fashion32 -n 21 --class 0-9 --steps ddim3 --seed 4 -q -o b.npz || exit 1

compare="eval --ref a --samples b.npz --features $f --metrics is,fid,pr,kid,dc --bootstrap 3"
# shellcheck disable=SC2086
{
    "$g" $compare --json one.json -q >/dev/null || fail "one rank"
    for run in "2 8" "3 5" "4 1"; do
        expect 0 "${run% *} ranks on 1 host" ranks ${run% *} $compare --batch ${run#* } --json many.json --overwrite
        [ "$(grep -c Precision out.txt)" = 1 ] || fail "not one report: $(cat out.txt)"
        cmp -s one.json many.json || fail "$run ranks: $(cat one.json many.json)"
    done
    expect 2 "many.json exists already" ranks 2 $compare --json many.json
    expect 1 "above 0" ranks 2 $compare --fail-above fid=0
}
[ "$(grep -c "above 0" err.txt)" = 1 ] || fail "not told once: $(cat err.txt)"
"$g" eval stats a --features "$f" -o one.npz -q || fail "stats of one rank"
expect 0 "37 images" ranks 2 eval stats a --features "$f" -o two.npz
cmp -s one.npz two.npz || fail "statistics of two ranks"

# Killed with a part of the rows in the cache, ended by another number of ranks
# shellcheck disable=SC2086
for signal in KILL TERM; do
    rm -rf cache
    ranks 2 $compare --batch 1 --cache cache -q >out.txt 2>err.txt &
    job=$!
    while [ -z "$(find cache -name '*.rows' -size +1k 2>/dev/null)" ] && kill -0 $job 2>/dev/null; do :; done
    for p in /proc/[0-9]*; do # other tests run guided eval, too
        [ "$(readlink "$p/cwd" 2>/dev/null)" = "$(pwd -P)" ] || continue
        tr '\0' ' ' <"$p/cmdline" 2>/dev/null | grep -q "^$g eval" && kill -$signal "${p#/proc/}" && break
    done
    wait $job && fail "$signal: a job without a rank ended well"
    ranks 3 $compare --batch 2 --cache cache --json many.json --overwrite -q >/dev/null || fail "after $signal"
    cmp -s one.json many.json || fail "$signal, then 3 ranks: $(cat many.json)"
done

# A damaged image is named once, by the rank that saw it
bad=$(ls a/*30*.png)
head -c 100 "$bad" >cut.png && mv cut.png "$bad"
# shellcheck disable=SC2086
expect 3 "$bad" ranks 2 $compare
[ "$(grep -c "$bad" err.txt)" = 1 ] || fail "not told once: $(cat err.txt)"
exit $((failures > 0))
