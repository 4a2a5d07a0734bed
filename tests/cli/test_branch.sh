#!/bin/sh
# SPDX-License-Identifier: MIT
# A branch: from one network call on another class or scale, before it the run without.
set -u
. "$(dirname "$0")/expect.sh"
same="-n 3 --seed 4 -q"

# make NAME OPTIONS...: NAME.npz, which holds pixels and labels but no recipe
# shellcheck disable=SC2086
make() {
    name=$1
    shift
    expect 0 "" "$g" sample $same --steps ddim6 -o "$name.npz" "$@"
}
equal() { cmp -s "$1.npz" "$2.npz" || fail "$1 and $2 differ"; }
different() { ! cmp -s "$1.npz" "$2.npz" || fail "$1 and $2 are equal"; }

make plain --class 3 --scale 2
make other --class 8 --scale 4
make first --class 3 --scale 2 --branch-call 1 --branch-class bag --branch-scale 4
equal first other
make nothing --class 3 --scale 2 --branch-call 4 --branch-class 3 --branch-scale 2
equal nothing plain
make late --class 3 --scale 2 --branch-call 6 --branch-scale 40
different late plain
make middle --class 3 --scale 2 --branch-call 4 --branch-class 8
different middle plain
different middle other
for solver in ddpm heun dpmpp-2m unipc-bh2-2; do
    expect 0 "" "$g" sample $same --class 8 --sampler $solver --steps 6 -o "$solver-a.npz"
    expect 0 "" "$g" sample $same --class 3 --sampler $solver --steps 6 --branch-call 1 --branch-class 8 -o "$solver-b.npz"
    equal $solver-a $solver-b
done

# Another solver: with the same one nothing changes, up to the branch nothing does, and it can be verified.
for solver in ddim ddpm; do
    expect 0 "" "$g" sample $same --class 3 --sampler $solver --steps 6 -o "$solver-c.npz"
    expect 0 "" "$g" sample $same --class 3 --sampler $solver --steps 6 --branch-call 4 --branch-sampler $solver -o "$solver-d.npz"
    equal $solver-c $solver-d
done
for pair in ddim/ddpm ddim/dpmpp-2m ddim/heun ddpm/unipc-bh2-2 dpmpp-2m/heun dpmpp-2m/dpmpp-2m-sde heun/euler-a heun/dpmpp-3m euler/lms dpm2/dpmpp-2m; do
    alone="-n 1 --seed 4 -q --class 3 --sampler ${pair%/*} --steps 6 --overwrite"
    # shellcheck disable=SC2086
    {
        expect 0 "" "$g" sample $alone -o from.png
        expect 0 "" "$g" sample $alone --branch-call 3 --branch-sampler "${pair#*/}" -o to.png
    }
    cmp -s from.png to.png && fail "$pair: nothing changes"
    expect 0 "all equal" "$g" verify to.png -t 2
done
# a later branch to a good solver stays near what the first one makes: the same noise, the same image
expect 0 "" "$g" sample $same --class 3 --steps ddim50 -o near-a.npz
expect 0 "" "$g" sample $same --class 3 --steps ddim50 --branch-call 11 --branch-sampler heun -o near-b.npz
expect 0 "" "$g" sample $same --class 3 --steps ddim50 --branch-call 11 --branch-sampler dpmpp-2m -o near-c.npz
/usr/bin/python3 - near-a.npz near-b.npz near-c.npz <<'EOF' || fail "a branch at call 11 of 50 makes another image"
import sys, zipfile
pixels = [zipfile.ZipFile(path).read("arr_0.npy")[-3 * 1024:] for path in sys.argv[1:]]
rms = [(sum((a - b) ** 2 for a, b in zip(pixels[0], other)) / len(other)) ** 0.5 for other in pixels[1:]]
print("rms of the difference:", rms)
sys.exit(max(rms) > 8 or min(rms) == 0)
EOF
expect 2 "--branch-sampler needs --branch-call" "$g" sample --branch-sampler heun
expect 2 "no step of heun begins there" "$g" sample --sampler heun --branch-call 4 --branch-sampler dpmpp-2m
expect 2 "no step of dpmpp-3s begins there" "$g" sample --sampler dpmpp-3s --branch-call 4 --branch-sampler dpmpp-2m
expect 2 "between which heun stops" "$g" sample --sampler heun --branch-call 5 --branch-sampler ddim
expect 2 "cannot start inside a run" "$g" sample --steps ddim8 --branch-call 5 --branch-sampler plms
expect 2 "did you mean heun" "$g" sample --branch-call 5 --branch-sampler huen

# The recipe holds it: the picture is made again and verified, alone and as one of a run.
expect 0 "" "$g" sample -n 1 --class 3 --steps ddim6 --seed 4 --branch-call 4 --branch-class 8 --branch-scale 3 -q -o one.png
expect 0 "all equal" "$g" verify one.png
expect 0 "" "$g" info one.png
grep -q -- "--branch-call 4" out.txt || fail "the command of a branch: $(cat out.txt)"
expect 0 "" "$g" sample -n 5 --class 3 --steps ddim6 --seed 4 --branch-call 4 --branch-class 8 -q --resume -o run
expect 0 "5 images made again, all equal" "$g" verify run

expect 2 "--branch-class needs --branch-call" "$g" sample --branch-class 3
expect 2 "--branch-scale needs --branch-call" "$g" sample --branch-scale 3
expect 2 "--branch-call needs --branch-class" "$g" sample --branch-call 3
expect 2 "only 6 network calls" "$g" sample --steps ddim6 --branch-call 7 --branch-class 3
expect 2 "expected one class" "$g" sample --branch-call 3 --branch-class 3,4
expect 2 "expected one class" "$g" sample --branch-call 3 --branch-class random
expect 2 "needs a classifier" "$g" sample --unguided --branch-call 3 --branch-scale 3
expect 2 "--branch-class" "$g" sample --branch-call 3 --branch-class nothing
exit $((failures > 0))
