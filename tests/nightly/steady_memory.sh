#!/bin/sh
# SPDX-License-Identifier: MIT
# Resident memory of a run after 100 and after 2,000 images differs by 1 % at most.
set -u
g=$GUIDED_BINARY
dir=$(mktemp -d)
trap 'kill $pid 2>/dev/null; rm -rf "$dir"' EXIT
pid=
cd "$dir" || exit 1
"$g" sample --steps ddim2 --seed 4 -n 2100 -q --resume -o run &
pid=$!
# resident KiB once so many images are done: their state bytes are 1
memory_at() {
    for _ in $(seq 6000); do
        done=$(tail -c +4097 run/samples.records 2>/dev/null | head -c 2100 | tr -d '\0' | wc -c)
        [ "$done" -ge "$1" ] && break
        sleep 0.05
    done
    awk '/^Rss:/ { print $2 }' /proc/$pid/smaps_rollup # status counts in batches of pages
}
early=$(memory_at 100)
late=$(memory_at 2000)
wait $pid || exit 1
echo "resident after 100 images: $early KiB, after 2,000: $late KiB"
awk -v a="$early" -v b="$late" 'BEGIN { exit !(a > 0 && b <= 1.01 * a && b >= 0.99 * a) }'
