#!/bin/sh
# SPDX-License-Identifier: MIT
# kill_runs.sh KILLS: runs of 200 images by one process and by two, each broken KILLS times (kill -9 at a random moment, in the
# middle of a record, in the middle of the result; SIGTERM; a disk that is full), end in the bytes of an unbroken run.
# Fails too when no kill came while an image was made, while a record was written, or while the result was packed.
set -u
kills=$1
g=$GUIDED_BINARY
dir=$(mktemp -d)
trap 'kill -9 $a $b 2>/dev/null; rm -rf "$dir"' EXIT
a='' b=''
cd "$dir" || exit 1
disk=${GUIDED_SLOW_DISK:-$GUIDED_BUILD/tests/libslow_disk.so}
export OMP_NUM_THREADS=1
sample="sample --model $GUIDED_MODELS/fashion32/base8.safetensors --steps ddim2 --seed 4 -n 200 -q --resume"
in_image=0 in_record=0 in_packing=0 by_term=0 by_disk=0
fail() { echo "FAIL: $1"; exit 1; }

# shellcheck disable=SC2086
"$g" $sample -o unbroken || fail "no unbroken run"
result=samples_200x8x8x1.npz

seed=${KILL_SEED:-1}
random() { # random MOST: 0 .. MOST - 1
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    echo $((seed / 65536 % $1))
}
# A random moment after the first image was begun
moment() {
    while case $(phase a) in '' | -) true ;; *) false ;; esac && kill -0 $a 2>/dev/null; do sleep 0.01; done
    sleep "$(printf '0.%03d' "$(random 200)")"
}

# start NAME DIES: a process in the background; its phase in NAME.phase
start() {
    rm -f "$1.phase"
    # shellcheck disable=SC2086
    LD_PRELOAD=$disk DISK_PHASE=$1.phase DISK_DIES=$2 "$g" $sample $share -o run 2>"$1.err" &
}
phase() { head -c 1 "$1.phase" 2>/dev/null; }

# break_by WAY: start, break; true when it was broken
break_by() {
    dies=
    case $1 in
    record) dies=r$((1 + $(random 20))) ;;
    packing) dies=p$((1 + $(random 8))) ;;
    esac
    start a "$dies"; a=$!
    [ -z "$share" ] || { start b "$dies"; b=$!; }
    case $1 in
    image) moment; kill -9 $a 2>/dev/null ;;
    term) moment; kill $a 2>/dev/null ;;
    disk) moment; prlimit --pid $a --fsize=100 2>/dev/null ;;
    esac
    wait $a; status=$?
    [ -z "$share" ] || { # the other dies too, or goes on alone: what the first had claimed is free at once
        [ "$(random 2)" = 0 ] && kill -9 $b 2>/dev/null
        wait $b; other=$?
        case $other in 0|137) ;; *) [ "$1" = disk ] || fail "exit $other: $(cat b.err)" ;; esac
    }
    case $1:$status:$(phase a) in
    image:137:i) in_image=$((in_image + 1)) ;;
    image:137:* | term:143:-) return 1 ;; # before the first image, or between two
    record:137:r) in_record=$((in_record + 1)) ;;
    packing:137:p) in_packing=$((in_packing + 1)) ;;
    term:143:*) by_term=$((by_term + 1)); grep -q "the same command continues\|stopped" a.err || fail "term: $(cat a.err)" ;;
    disk:4:*) by_disk=$((by_disk + 1)); grep -q "File too large" a.err || fail "disk: $(cat a.err)" ;;
    *:0:*) return 1 ;; # it was quicker
    *:137:*) [ -n "$share" ] && [ "$1" = packing ] && return 1; fail "$1: killed in phase $(phase a)" ;;
    *) fail "$1: exit $status: $(cat a.err)" ;;
    esac
}

check_run() {
    # shellcheck disable=SC2086
    "$g" $sample $share -o run || fail "a broken run does not go on"
    cmp unbroken/$result run/$result || fail "other bytes after a kill"
    [ "$(ls run)" = "$(ls unbroken)" ] || fail "left behind: $(ls run)"
    rm -rf run
}

for share in "" --share; do
    done=0 tries=0
    while [ $done -lt "$kills" ]; do
        tries=$((tries + 1))
        [ $tries -lt $((20 * kills)) ] || fail "$done kills in $tries tries"
        case $((done % 5)) in
        0) way=record ;; 1) way=image ;; 2) way=term ;; 3) way=disk ;; 4) way=packing ;;
        esac
        if break_by $way; then done=$((done + 1)); fi
        [ -e run/$result ] && check_run
    done
    check_run
done
echo "$((2 * kills)) kills: $in_image in an image, $in_record in a record, $in_packing while packing; $by_term SIGTERM, $by_disk full disks"
[ $in_image -gt 0 ] && [ $in_record -gt 0 ] && [ $in_packing -gt 0 ] && [ $by_term -gt 0 ] && [ $by_disk -gt 0 ] ||
    fail "a kind of kill never came"
