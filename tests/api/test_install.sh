#!/bin/sh
# SPDX-License-Identifier: MIT
# What `make install` puts down is whole: a program and a C++ program build against it alone by pkg-config, the shared library
# and the static one export what guided.h declares and nothing else, manual pages and completions are in their places.
set -u
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
failures=0
fail() { echo "FAIL: $1"; failures=$((failures + 1)); }

cmake --install "$GUIDED_BUILD_DIR" --prefix "$root" >"$root/log" 2>&1 || { cat "$root/log"; exit 1; }
library=$(find "$root" -name 'libguided.so' | head -1)
libdir=$(dirname "$library")
export PKG_CONFIG_PATH="$libdir/pkgconfig" LD_LIBRARY_PATH="$libdir" PKG_CONFIG_ALLOW_SYSTEM_CFLAGS=1
flags=$(pkg-config --cflags --libs guided) || fail "pkg-config does not know guided"
case $flags in *"$root"*) ;; *) fail "guided.pc does not follow the installation: $flags" ;; esac

# exports: the functions that the header declares
nm -D --defined-only "$library" | awk '{ print $3 }' | grep -v '^_' | sort >"$root/exported"
grep -oE '\bguided_[a-z0-9_]+\(' "$GUIDED_SOURCE_DIR/include/guided.h" | tr -d '(' | sort -u >"$root/declared"
grep -E 'GUIDED_API' "$GUIDED_SOURCE_DIR/include/guided.h" >/dev/null || fail "guided.h exports nothing"
cmp -s "$root/exported" "$root/declared" || { fail "exported and declared differ"; diff "$root/exported" "$root/declared"; }

# the static library has those and no other: a program may call its own functions as ours are called inside
nm -g --defined-only "$libdir/libguided.a" | awk 'NF == 3 { print $3 }' | sort >"$root/static"
cmp -s "$root/static" "$root/declared" || { fail "libguided.a and guided.h differ"; diff "$root/static" "$root/declared"; }
echo 'int gd_error(void); int gd_error(void) { return 7; }' >"$root/own.c"
# shellcheck disable=SC2046,SC2086
${CC:-cc} "$GUIDED_SOURCE_DIR/examples/frechet.c" "$root/own.c" $(pkg-config --cflags guided) "$libdir/libguided.a" \
    $(pkg-config --static --libs guided | tr ' ' '\n' | grep -v '^-lguided$') $GUIDED_LINK_FLAGS -o "$root/static-program" ||
    fail "no program links with libguided.a"
LC_ALL=C readelf -d "$root/static-program" | grep -q 'NEEDED.*libguided' && fail "libguided.a is not what was linked"
"$root/static-program" "$GUIDED_MODELS/fashion32/classifier.safetensors" >"$root/static.txt" || fail "a program with libguided.a does not run"

# programs, as their own comments say; in strict C too
here=$GUIDED_SOURCE_DIR/tests/api
for example in sample gradient frechet train; do
    # shellcheck disable=SC2086
    ${CC:-cc} -std=c99 -pedantic-errors -Wall -Wextra -Werror "$GUIDED_SOURCE_DIR/examples/$example.c" $flags $GUIDED_LINK_FLAGS -o "$root/$example" ||
        fail "examples/$example.c does not build"
    [ "$(wc -l <"$GUIDED_SOURCE_DIR/examples/$example.c")" -le 120 ] || fail "examples/$example.c is long"
done
models=$GUIDED_MODELS/fashion32
"$root/gradient" "$models/diffusion.safetensors" >"$root/gradient.txt" || fail "examples/gradient.c does not run"
awk '{ mean[NR] = $NF } END { exit !(NR == 3 && mean[2] < mean[1] && mean[1] < mean[3]) }' "$root/gradient.txt" ||
    fail "the gradient does not pull: $(cat "$root/gradient.txt")"
"$root/frechet" "$models/classifier.safetensors" >"$root/frechet.txt" || fail "examples/frechet.c does not run"
cmp -s "$root/frechet.txt" "$root/static.txt" || fail "libguided.a and libguided.so compute other distances"
awk '{ exit !($2 + 0 > 0 && $4 > 2 * $2) }' "$root/frechet.txt" || fail "the distances: $(cat "$root/frechet.txt")"
"$root/train" "$root/trained.safetensors" 3 >"$root/train.txt" || fail "examples/train.c does not run: $(cat "$root/train.txt")"
"$root/bin/guided" sample -q --steps ddim2 --model "$root/trained.safetensors" --class 1 -o "$root/trained.png" || fail "what was trained does not sample"
"$root/sample" "$models/diffusion.safetensors" "$models/classifier.safetensors" >"$root/example.ppm" 2>"$root/example.txt" ||
    fail "the example does not run: $(cat "$root/example.txt")"
grep -q "diffusion, 32 x 32" "$root/example.txt" && grep -q "image 3: step 5 of 5" "$root/example.txt" || fail "the example says: $(cat "$root/example.txt")"
"$root/sample" /nonexistent.pt >/dev/null 2>"$root/example.txt"
[ $? -eq 3 ] || fail "a missing file is not status 3"
grep -q "nonexistent.pt" "$root/example.txt" || fail "the message does not name the file"

# the same pixels as the command makes
"$root/bin/guided" sample -q --steps ddim5 --seed 7 -n 4 --model "$models/diffusion.safetensors" --classifier "$models/classifier.safetensors" \
    -o "$root/four.npz" || fail "the installed command does not sample"
tail -c 12288 "$root/example.ppm" | od -An -v -tu1 -w1 >"$root/by_library"
tail -c +$((1 + 39 + 128)) "$root/four.npz" | head -c 4096 | od -An -v -tu1 -w1 |
    awk '{ print; print; print }' >"$root/by_command" # grey
cmp -s "$root/by_library" "$root/by_command" || fail "the library makes other pixels than the command"

# MPI is loaded under a launcher only, and found where it was installed
module=$(find "$root" -name 'libguided-mpi.so')
if [ -n "$module" ]; then
    "$root/bin/guided" --version | grep -q '^features.* mpi' || fail "the version does not name mpi"
    for file in "$library" "$root/bin/guided"; do
        LC_ALL=C readelf -d "$file" | grep -q 'NEEDED.*libmpi' && fail "$file needs libmpi"
    done
    nobody="train --data nowhere --preset small32 --batch-size 4 --out $root/none"
    # shellcheck disable=SC2086
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 PMI_SIZE=2 "$root/bin/guided" $nobody 2>"$root/mpi.txt"
    [ $? -eq 2 ] && grep -q "each would be alone" "$root/mpi.txt" || fail "MPI is not loaded: $(cat "$root/mpi.txt")"
    rm "$module"
    # shellcheck disable=SC2086
    PMI_SIZE=2 "$root/bin/guided" $nobody 2>"$root/mpi.txt"
    [ $? -eq 2 ] && grep -q "libguided-mpi.so is neither beside" "$root/mpi.txt" || fail "without the module: $(cat "$root/mpi.txt")"
fi

# An installation finds what came with it, wherever it lies
cp "$root/share/guided/models/fashion32/classifier.safetensors" "$root/taken.safetensors"
rm "$root/share/guided/models/fashion32/diffusion.safetensors"
ln -s "$root/taken.safetensors" "$root/share/guided/models/fashion32/diffusion.safetensors"
(unset GUIDED_MODELS; "$root/bin/guided" sample --steps ddim2 -q -o "$root/none.png" 2>"$root/own.txt") && fail "not the installed model"
grep -q "$root/.*share/guided/models/fashion32" "$root/own.txt" || fail "another model than the installed one: $(cat "$root/own.txt")"

# find_package finds the same library, and only a version with the same interface
mkdir "$root/project"
project() { # VERSION
    printf 'cmake_minimum_required(VERSION 3.25)\nproject(p C)\nfind_package(guided %s REQUIRED)\nadd_executable(p %s)\ntarget_link_libraries(p guided::guided)\n' \
        "$1" "$GUIDED_SOURCE_DIR/examples/sample.c" >"$root/project/CMakeLists.txt"
    rm -rf "$root/project/build"
    cmake -S "$root/project" -B "$root/project/build" -D CMAKE_PREFIX_PATH="$root" -D CMAKE_EXE_LINKER_FLAGS="$GUIDED_LINK_FLAGS" >"$root/cmake.txt" 2>&1
}
version=$(pkg-config --modversion guided)
project "${version%.*}" && cmake --build "$root/project/build" >>"$root/cmake.txt" 2>&1 || fail "find_package: $(cat "$root/cmake.txt")"
LC_ALL=C readelf -d "$root/project/build/p" | grep -q 'NEEDED.*libguided\.so\.0' || fail "a program by CMake has another soname"
"$root/project/build/p" "$models/diffusion.safetensors" "$models/classifier.safetensors" >"$root/cmake.ppm" 2>/dev/null &&
    cmp -s "$root/cmake.ppm" "$root/example.ppm" || fail "a program by CMake makes other pixels"
project 99.0 && fail "find_package accepts version 99"

if command -v c++ >/dev/null; then
    # shellcheck disable=SC2086
    c++ -std=c++11 -pedantic-errors -Wall -Wextra -Werror "$here/header.cpp" $flags $GUIDED_LINK_FLAGS -o "$root/header" || fail "guided.h is no C++"
    "$root/header" || fail "a C++ program does not run"
fi

[ "$(cd / && "$root/bin/guided" --version | head -1)" = "guided $(pkg-config --modversion guided)" ] || fail "versions differ"
verbs=$("$root/bin/guided" help --json | sed 's/.*"verb":"\([^"]*\)".*/\1/' | sort -u)
[ "$(echo "$verbs" | wc -l)" -ge 12 ] || fail "verbs: $verbs"
for verb in $verbs; do
    [ -s "$root/share/man/man1/guided-$verb.1" ] || fail "no manual page of $verb"
done
for page in "$root"/share/man/man1/*.1; do
    command -v man >/dev/null && { LC_ALL=C.UTF-8 MANWIDTH=80 man --warnings -l "$page" 2>&1 >/dev/null | grep . && fail "$page: man complains"; }
done
for file in bash-completion/completions/guided zsh/site-functions/_guided fish/vendor_completions.d/guided.fish; do
    [ -s "$root/share/$file" ] || fail "no $file"
done
[ $failures -eq 0 ] && echo "install: all passed"
exit $failures
