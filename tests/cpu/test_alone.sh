#!/bin/sh
# SPDX-License-Identifier: MIT
# Every .inc of src/cpu/kernels compiles by itself: it includes what it uses.
set -u
cc=${CC:-cc}
cd "$GUIDED_SOURCE_DIR" || exit 2
bad=0
n=0
for f in src/cpu/kernels/*.inc; do
    flags="-DGD_VECTOR_LANES=4 -DGD_PANEL_VECTORS=2"
    case $f in
    *all.inc) continue ;;
    *amx.inc | *bf16.inc | *pairs.inc | *tiles.inc | *few.inc)
        case $("$cc" -dumpmachine) in x86_64*) ;; *) continue ;; esac
        flags="-DGD_VECTOR_LANES=16 -DGD_PANEL_VECTORS=4 -mavx512f -mavx512bw -mavx512vl -mavx512dq -mfma -mavx512bf16 -mamx-tile -mamx-bf16"
        ;;
    esac
    # shellcheck disable=SC2086
    if ! "$cc" -std=gnu17 -fsyntax-only -Wno-psabi -Werror=implicit-function-declaration -Wno-unused -x c $flags -Isrc -Iinclude "$f"; then
        echo "FAIL: $f does not include what it uses"
        bad=1
    fi
    n=$((n + 1))
done
[ "$n" -gt 10 ] || { echo "FAIL: only $n files"; bad=1; }
echo "alone: $n files"
exit $bad
