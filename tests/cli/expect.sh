# SPDX-License-Identifier: MIT
# expect.sh - what tests of the command share.  Sourced; goes into a folder of its own, which is removed at the end.
# shellcheck shell=sh
g=$GUIDED_BINARY
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir" || exit 1
failures=0
said=err.txt # where expect looks; a script may name out.txt too
fail() { echo "FAIL: $1"; failures=$((failures + 1)); }

# expect STATUS TEXT COMMAND...: this exit status, and TEXT in what it says; data go to out.txt, messages to err.txt
expect() {
    status=$1 text=$2
    shift 2
    "$@" >out.txt 2>err.txt
    found=$?
    [ $found -eq "$status" ] || fail "exit $found, not $status: $*: $(cat err.txt)"
    [ -z "$text" ] || grep -qF -- "$text" $said || fail "no \"$text\" in: $(cat $said)"
}

# wait_for COMMAND...: waits for what a process in the background does, until it holds or the process $pid has ended.  The machine
# may be as slow as it likes: tests wait for events, not for a time.
wait_for() {
    while ! "$@" 2>/dev/null && kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
}

# Of a training run
hash_of() { "$g" info "$1" --json | sed 's/.*"parameters_hash":"\([0-9a-f]*\)".*/\1/'; }
step_of() { "$g" info "$1" --json | sed 's/.*"step":\([0-9]*\).*/\1/'; }

# images/: 12 in three class folders, made by the built-in model
make_images() {
    "$g" sample --model fashion32 -n 12 --class 0,1,2 --steps ddim2 --unguided --seed 3 -q -o images || exit 1
    for c in boot bag coat; do mkdir images/$c; done
    n=0
    for f in images/*.png; do
        case $((n % 3)) in 0) c=boot ;; 1) c=bag ;; 2) c=coat ;; esac
        mv "$f" images/$c/
        n=$((n + 1))
    done
    rm images/run.json
}
