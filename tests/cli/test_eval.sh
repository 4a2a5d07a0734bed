#!/bin/sh
# guided eval: a set beside itself is perfect, the same report for any thread count, bad input is named.
set -u
g=$GUIDED_BINARY
f=$GUIDED_MODELS/fashion32/classifier.safetensors
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
fail() { echo "FAIL: $1"; failures=$((failures + 1)); }
expect() {
    status=$1 text=$2
    shift 2
    "$@" >out.txt 2>err.txt
    found=$?
    [ $found -eq "$status" ] || fail "exit $found, not $status: $*: $(cat err.txt)"
    [ -z "$text" ] || grep -qF -- "$text" out.txt err.txt || fail "no \"$text\" in: $(cat out.txt err.txt)"
}
"$g" sample -n 30 --class 0-9 --steps ddim2 --seed 3 -q -o a.npz || exit 1
"$g" sample -n 20 --class 0-9 --steps ddim3 --seed 4 -q -o b.npz || exit 1
"$g" sample -n 3 --class 0-9 --steps ddim2 --seed 4 -q -o few.npz || exit 1
"$g" sample --model "$GUIDED_MODELS/fashion32/base8.safetensors" -n 8 --steps ddim2 -q -o small.npz || exit 1

expect 0 '"precision":1.0' "$g" eval --ref a.npz --samples a.npz --features "$f" --json
grep -q '"recall":1.0' out.txt || fail "a set does not recall itself: $(cat out.txt)"
awk -F'"fid":' '{ split($2, v, ","); exit !(v[1] < 1e-6 && v[1] > -1e-6) }' out.txt || fail "a set is far from itself: $(cat out.txt)"
expect 0 "the FID is biased" "$g" eval --ref a.npz --samples b.npz --features "$f" --json
cp out.txt two.txt
expect 0 "" "$g" eval --ref a.npz --samples b.npz --features "$f" --json -t 1
cmp -s out.txt two.txt || fail "one thread reports otherwise"
expect 0 "Precision" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics pr
grep -q FID out.txt && fail "a metric that was not asked for"
expect 1 "above 0" "$g" eval --ref a.npz --samples b.npz --features "$f" --fail-above fid=0
expect 0 "" "$g" eval --ref a.npz --samples small.npz --features "$f" --pad
expect 3 "hint: --pad" "$g" eval --ref a.npz --samples small.npz --features "$f"
expect 3 "at least 4" "$g" eval --ref a.npz --samples few.npz --features "$f"
expect 3 "no classifier" "$g" eval --ref a.npz --samples b.npz --features "$GUIDED_MODELS/fashion32/base8.safetensors"
expect 2 "--features" "$g" eval --ref a.npz --samples b.npz
expect 2 "two sets" "$g" eval --ref a.npz
expect 2 "--metrics best" "$g" eval --ref a.npz --samples b.npz --features "$f" --metrics best
expect 2 "--fail-above" "$g" eval --ref a.npz --samples b.npz --features "$f" --fail-above is=3
expect 3 "No such file" "$g" eval --ref none --samples b.npz --features "$f"
exit $((failures > 0))
