#!/bin/sh
# SPDX-License-Identifier: MIT
# The command in a hostile place: few open files, little stack or memory, odd umasks, no /proc, a full disk, two at once.
set -u
. "$(dirname "$0")/expect.sh"
net="--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8 --diffusion_steps 50"
# shellcheck disable=SC2086
{
    expect 0 "" "$g" init $net m.safetensors
    s="sample --model m.safetensors --steps ddim2 --seed 5 -q"
    expect 0 "" "$g" $s -n 2 -o good.npz
    expect 0 "" "$g" $s -n 4 -o images
    run="train --data images $net --batch-size 2 --iterations 3 --save-interval 1 --seed 9 -q"
    expect 0 "" "$g" $run --out whole
}

# what it takes: eight open files, and a stack of 256 KiB; what it makes does not depend on it
# shellcheck disable=SC2086
{
    expect 0 "" sh -c 'ulimit -n 8; exec "$@"' sh "$g" $s -n 2 -o few.npz
    cmp -s good.npz few.npz || fail "with few files the images differ"
    expect 0 "" sh -c 'ulimit -n 8; exec "$@"' sh "$g" $run --out few
    cmp -s whole/checkpoint-000000003.safetensors few/checkpoint-000000003.safetensors || fail "with few files the training differs"
    expect 0 "" sh -c 'ulimit -s 256; exec "$@"' sh "$g" $s -n 2 -t 1 -o stack.npz
    cmp -s good.npz stack.npz || fail "with little stack the images differ"
}

# the user's umask is kept; one that forbids everything is no reason to fail for the owner
# shellcheck disable=SC2086
{
    (umask 000; "$g" $s -n 2 -o open.npz) || fail "umask 000"
    [ "$(stat -c %a open.npz)" = 666 ] || fail "umask 000: mode $(stat -c %a open.npz)"
    (umask 027; "$g" $s -n 2 -o group.npz) || fail "umask 027"
    [ "$(stat -c %a group.npz)" = 640 ] || fail "umask 027: mode $(stat -c %a group.npz)"
    (umask 777; "$g" $s -n 2 -o closed.npz) || fail "umask 777"
    [ "$(stat -c %a closed.npz)" = 0 ] || fail "umask 777: mode $(stat -c %a closed.npz)"
}

# little memory: refused with the reason, or done; never a crash.  A sanitizer's shadow needs far
# more than any limit.
limits="640000 1000000" sanitized=
! grep -q __asan_init "$g" || limits='' sanitized=yes
[ -z "$limits" ] || expect 0 "" timeout 60 sh -c 'ulimit -v 200000; exec "$@"' sh "$g" info m.safetensors
for kb in $limits; do
    # shellcheck disable=SC2086
    timeout 60 sh -c 'ulimit -v $0; exec "$@"' $kb "$g" $s -n 2 -t 1 -o little.npz >out.txt 2>err.txt
    case $? in
    0) cmp -s good.npz little.npz || fail "with $kb KiB the images differ" ;;
    1 | 4) [ -s err.txt ] || fail "with $kb KiB no reason is given" ;;
    *) fail "with $kb KiB: exit $?: $(cat err.txt)" ;;
    esac
    rm -f little.npz
done

# places where nothing can be written: before any work, and nothing left
# shellcheck disable=SC2086
{
    expect 1 "/proc/x.png" "$g" $s -o /proc/x.png
    expect 1 "/proc/run" "$g" $run --out /proc/run
    expect 1 "/proc/x.safetensors" "$g" convert m.safetensors /proc/x.safetensors
    expect 4 "No space left" sh -c '"$@" >/dev/full' sh "$g" $s -o -
}
if [ "$(id -u)" != 0 ]; then
    mkdir locked && chmod 555 locked
    # shellcheck disable=SC2086
    expect 1 "Permission denied" "$g" $s -o locked/x.png
    # shellcheck disable=SC2086
    expect 1 "Permission denied" "$g" $run --out locked/run
fi

# two at once: one of them makes the file, the other says that it exists
# shellcheck disable=SC2086
"$g" $s -n 40 -t 1 -o both.npz 2>first.txt &
pid=$!
# shellcheck disable=SC2086
"$g" $s -n 40 -t 1 -o both.npz 2>second.txt
second=$?
wait $pid
first=$?
[ $((first + second)) -eq 2 ] || fail "two samplers: exit $first and $second: $(cat first.txt second.txt)"
ls both.npz.part-* >/dev/null 2>&1 && fail "two samplers: a part is left"

# without /proc, and on a disk of 1 MiB: where this user may make such a place
if unshare -rm true 2>/dev/null; then
    # a sanitizer needs /proc itself
    # shellcheck disable=SC2086
    [ "$sanitized" ] || expect 0 "" unshare -rm sh -c 'mount -t tmpfs none /proc && exec "$@"' sh "$g" $s -n 2 -o noproc.npz
    [ "$sanitized" ] || cmp -s good.npz noproc.npz || fail "without /proc the images differ"
    mkdir disk
    cat >on_disk.sh <<'END'
# a run until the disk is full: the last checkpoint is whole, and the run goes on from it where there is room
g=$1 size=$2
shift 2
mount -t tmpfs -o size=$size none disk || exit 99
"$g" "$@" --out disk/run >out.txt 2>err.txt
status=$?
for f in disk/run/checkpoint-*.safetensors; do
    [ ! -e "$f" ] || "$g" info "$f" >/dev/null 2>&1 || exit 98
done
ls disk/run/*.part-* >/dev/null 2>&1 && exit 97
exit $status
END
    one=$(($(wc -c <whole/checkpoint-000000003.safetensors) / 1024))
    for tenths in 5 15 22 31 37 60; do
        # shellcheck disable=SC2086
        unshare -rm sh on_disk.sh "$g" $((one * tenths / 10))k $run --keep 2
        case $? in
        0) [ $tenths -gt 30 ] || fail "a disk of $tenths/10 checkpoints was enough" ;;
        4) grep -q "No space left\|are free" err.txt || fail "disk of $tenths/10: $(cat err.txt)" ;;
        *) fail "disk of $tenths/10: exit $?: $(cat err.txt)" ;;
        esac
    done
else
    echo "no user namespaces: not tried without /proc and on a small disk"
fi

[ $failures -eq 0 ] && echo "hostile: all passed"
exit $((failures > 0))
