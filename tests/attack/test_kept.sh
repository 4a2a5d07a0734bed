#!/bin/sh
# SPDX-License-Identifier: MIT
# What belongs to the user stays: files that look like ours, links, devices, modes (tests/base/test_files.c: what killed writers left).
set -u
. "$(dirname "$0")/tiny.sh"
# shellcheck disable=SC2086
{
    # names that only look like those of part files
    mkdir d t o
    for f in film.part-1.mkv thesis.part-02.rar samples.records.part-12.1 run.json.part-77-0123456789abcdef 'x.part-1-00000000ffffffff'; do
        for folder in d t o; do echo precious >"$folder/$f"; done
    done
    expect 0 "" "$g" $sample -n 2 --resume -o d
    expect 0 "" "$g" $train --iterations 1 --out t
    expect 0 "" "$g" $sample -n 2 -o o/x.png
    for folder in d t o; do [ "$(cat $folder/*.part-* | grep -c precious)" = 5 ] || fail "$folder: files of the user are gone: $(ls $folder)"; done

    # links, devices and pipes under the name of an output; modes
    echo mine >real.png
    ln -s real.png link.png
    for suffix in png safetensors; do
        ln -s nowhere dangling.$suffix
        mkfifo pipe.$suffix
        mkdir folder.$suffix
    done
    expect 0 "" "$g" $sample -n 1 --overwrite -o link.png
    [ -L link.png ] || fail "--overwrite replaced a link"
    [ "$(head -c 4 real.png | tail -c 3)" = PNG ] || fail "--overwrite did not write to the file behind the link"
    for name in dangling pipe folder; do
        expect 2 "which is never replaced" timeout 20 "$g" $sample -n 1 --overwrite -o $name.png
        expect 2 "which is never replaced" timeout 20 "$g" convert m.safetensors $name.safetensors --overwrite -q
    done
    [ -L dangling.png ] && [ -p pipe.png ] && [ -d folder.png ] || fail "something else was replaced: $(ls -l)"
    expect 2 "which is never replaced" timeout 20 "$g" $sample -n 1 --overwrite -o /dev/null --format grid
    [ -c /dev/null ] || fail "/dev/null was replaced"
    expect 0 "" "$g" $sample -n 1 -o mode.npz
    chmod 640 mode.npz
    expect 0 "" "$g" $sample -n 1 --overwrite -o mode.npz
    [ "$(stat -c %a mode.npz)" = 640 ] || fail "--overwrite changed the mode to $(stat -c %a mode.npz)"
    expect 3 "" timeout 20 "$g" verify pipe.png
    expect 3 "" timeout 20 "$g" info pipe.png
    expect 3 "" timeout 20 "$g" nll --model m.safetensors --data pipe.png -q

    # a folder of somebody else: whatever its names lead to stays
    seq 1 2000 >victim
    cp victim victim.copy
    "$g" $train --iterations 1 --out l || fail "train"
    rm l/lock
    for link in "ln -s" "ln"; do
        rm -f l/lock
        $link "$PWD/victim" l/lock
        expect 2 "lock" "$g" train --resume l --iterations 2 -t 1 -q
        rm -rf s
        mkdir s
        $link "$PWD/victim" s/lock
        expect 2 "lock" "$g" $sample -n 2 --resume -o s
        cmp -s victim victim.copy || fail "$link victim lock: the file was written"
    done
    rm l/lock
    for name in progress.csv loss.svg checkpoint-000000003.safetensors samples-000000003.png; do
        rm -f l/$name
        ln -s "$PWD/victim" l/$name
    done
    expect 0 "" "$g" train --resume l --iterations 3 --save-interval 1 --sample-interval 1 -t 1 -q
    cmp -s victim victim.copy || fail "train --resume wrote through a link in the folder"
    mkdir v
    for name in samples.records samples_2x8x8x3.npz; do ln -sf "$PWD/victim" v/$name; done
    "$g" $sample -n 2 --resume -o v 2>/dev/null
    cmp -s victim victim.copy || fail "sample --resume wrote through a link in the folder"
}
finish "kept: what belongs to the user stays"
