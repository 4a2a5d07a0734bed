#!/bin/sh
# SPDX-License-Identifier: MIT
# arm64: cross build with Debian's compiler, then the unit tests and the compact reference cases under qemu; plain C gives the
# bits of this machine.  Needs gcc-aarch64-linux-gnu and qemu-user (scripts/setup --arm64); the libraries go to build-arm64-root.
set -u
cd "$GUIDED_SOURCE_DIR" || exit 1
scripts/setup --arm64 && scripts/arm64-sysroot build-arm64-root || exit 1
root=$PWD/build-arm64-root build=$PWD/build-arm64
{
    cmake -S . -B "$build" -G Ninja -D CMAKE_TOOLCHAIN_FILE="$PWD/cmake/arm64.cmake" -D GUIDED_SYSROOT="$root" -D GUIDED_MPI=OFF &&
        ninja -C "$build" guided golden-runner $(ninja -C "$build" -t targets all | sed -n 's/^\(test_\(base\|io\|cpu\|graph\|data\|diffusion\|nn\)_[a-z0-9_]*\): phony.*/\1/p')
} >"$build.log" 2>&1 || { tail -20 "$build.log"; exit 1; }
grep -n "warning:" "$build.log" && exit 1
failed=0
# qemu is 10 to 30 times slower than the machine; tests that start the command as a program of this machine are left out
export GUIDED_PATIENCE=60
ctest --test-dir "$build" --timeout 7200 --output-on-failure -R '^(test_(base|io|cpu|graph|data|diffusion|nn)_.*|golden_compact_auto)$' \
    -E '^test_io_(bombs|pictures)$|^test_base_(memory|par)$' || failed=1
# Two tests see the emulator: its memory is in /proc/self/statm, and qemu 7.2 ends a forked child that starts threads.  All others must pass
for program in memory par; do
    qemu-aarch64 -L "$root" "$build/tests/test_base_$program" >"$build/$program.txt" 2>&1
    grep -q '^\[=*\] [0-9]* test(s) run' "$build/$program.txt" || { echo "test_base_$program did not end"; failed=1; }
    grep '^\[  FAILED  \] [a-z]' "$build/$program.txt" | grep -v -e large_blocks_begin_at_a_huge_page -e a_forked_child_computes && failed=1
done
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
sample="sample -n 2 --steps ddim3 --seed 3 -q"
# shellcheck disable=SC2086
{
    GUIDED_ISA=c qemu-aarch64 -L "$root" "$build/guided" $sample -o "$dir/arm64.npz" || failed=1
    GUIDED_ISA=c "$GUIDED_BINARY" $sample -o "$dir/here.npz" || failed=1
}
cmp "$dir/arm64.npz" "$dir/here.npz" || { echo "plain C: other images than here"; failed=1; }
exit $failed
