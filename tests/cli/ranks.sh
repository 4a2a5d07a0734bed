# SPDX-License-Identifier: MIT
# ranks.sh - what tests of several ranks share: starting them, finding them, ending one of them, comparing runs.  Sourced; goes
# into a folder of its own with a set of images, which is removed at the end.
# shellcheck shell=sh
command -v mpiexec >/dev/null || { echo "passed over: no mpiexec"; exit 0; }
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export ASAN_OPTIONS=detect_leaks=0 # Open MPI's own, in a build with sanitizers
. "$here/../cli/expect.sh"
ranks() { n=$1; shift; timeout 120 mpiexec -n "$n" --oversubscribe "$g" "$@"; }

# Pids of the ranks that work in folder $1, the lowest rank first
pids_of() {
    for p in /proc/[0-9]*; do
        cat "$p/cmdline" 2>/dev/null | tr '\0' ' ' | grep -q "^$g train.* $1 *$" || continue
        echo "$(cat "$p/environ" 2>/dev/null | tr '\0' '\n' | sed -n 's/^OMPI_COMM_WORLD_RANK=//p') ${p#/proc/}"
    done | sort -n | cut -d' ' -f2
}

# The parameters of two runs: largest difference, relative to the largest parameter
difference() {
    for r in "$1" "$2"; do
        file=$(ls $r/checkpoint-*.safetensors | tail -1)
        header=$(od -An -t u8 -N 8 "$file")
        count=$("$g" info "$r" --json | sed 's/.*"parameters":\([0-9]*\).*/\1/')
        od -An -v -w4 -t f4 -j $((8 + header)) -N $((4 * count)) "$file" >"$r.floats"
    done
    paste "$1.floats" "$2.floats" | awk '{ d = $1 - $2; if (d < 0) d = -d; if (d > most) most = d
        a = $1 < 0 ? -$1 : $1; if (a > top) top = a; n++ } END { printf "%d %.3g\n", n, most / top }'
}

make_images
net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --class_cond True
     --learn_sigma True --diffusion_steps 50 --dropout 0.1"
begin="train --data images $net --batch-size 8 --log-interval 2 --seed 9"
run="$begin --iterations 12 --save-interval 4"

# end_one RANKS SIGNAL RANK FOLDER SECONDS: a job in which a rank gets a signal after nine steps; it must end by itself in time,
# with a failure, and nothing may run on.  Sets pid; the messages are in err.txt.
end_one() {
    count=$1 signal=$2 which=$3 name=$4 most=$5
    rm -rf "$name"
    # shellcheck disable=SC2086
    ranks "$count" $begin --iterations 100000 --save-interval 3 --deadline 2 --out "$name" >out.txt 2>err.txt &
    job=$!
    while [ ! -e "$name/checkpoint-000000009.safetensors" ] && kill -0 $job 2>/dev/null; do sleep 0.02; done
    pid=$(pids_of "$name" | sed -n "$((which + 1))p")
    [ -n "$pid" ] || fail "$name: no rank $which"
    [ -z "${later:-}" ] || sleep "$later"
    began=$(date +%s)
    kill -"$signal" "$pid"
    wait $job
    found=$?
    took=$(($(date +%s) - began))
    [ $found -ne 0 ] && [ $found -ne 124 ] || fail "$name: exit $found"
    [ $took -le "$most" ] || fail "$name: $took s"
    left=$(pids_of "$name")
    [ -z "$left" ] || fail "$name: left behind: $left"
    echo "$name: rank $which of $count, $signal: ended in $took s with $found"
}
