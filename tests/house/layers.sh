#!/bin/sh
# SPDX-License-Identifier: MIT
# The layering rule and the size limits of docs/architecture.md, on the tree given ($1). Prints FILE:LINE for each breach.
set -u
cd "$1" || exit 2
bad=0
say() { echo "$1"; bad=1; }

# What a layer may include besides its own headers
allowed() {
    case $1 in
    base) echo "base" ;;
    dist) echo "dist base" ;;
    io) echo "io base" ;;
    cpu) echo "cpu base" ;;
    graph) echo "graph cpu base" ;;
    nn) echo "nn graph cpu base io" ;;
    diffusion) echo "diffusion nn graph cpu base" ;;
    restore) echo "restore diffusion nn graph cpu base io" ;;
    data) echo "data base io" ;;
    sampling) echo "sampling data diffusion nn graph cpu base io" ;;
    train) echo "train dist data diffusion nn graph cpu base io" ;;
    eval) echo "eval dist data diffusion nn graph cpu base io" ;;
    records) echo "records base io" ;;
    jobs) echo "jobs records sampling train dist eval restore data diffusion nn graph cpu base io" ;;
    bench) echo "bench jobs records sampling train dist eval data diffusion nn graph cpu base io" ;;
    api) echo "api jobs sampling train eval dist data diffusion nn graph cpu base io" ;;
    serve) echo "serve base" ;;
    cli) echo "cli serve base" ;;
    esac
}
for layer in base dist io cpu graph nn diffusion restore data sampling train eval records jobs bench api cli serve; do
    [ -d "src/$layer" ] || continue
    for line in $(grep -rnoE '#include "[a-z]+(/[a-z0-9_]+)+\.(h|inc)"' "src/$layer" | tr ' ' '~'); do
        target=$(echo "$line" | sed 's/.*"\([a-z]*\)\/.*/\1/')
        case " $(allowed "$layer") " in *" $target "*) ;; *) say "${line%%~*}: $layer may not include $target/" ;; esac
        case $line in
        *'"cpu/conv/'* | *'"cpu/kernels/'*) [ "$layer" = cpu ] || say "${line%%~*}: a header of src/cpu's own" ;;
        *_private.h*) [ "$target" = "$layer" ] || say "${line%%~*}: a private header of another layer" ;;
        esac
    done
done
for f in $(grep -rlE '#include <(dnnl|oneapi)' src); do
    [ "$f" = src/cpu/conv/onednn_versions.h ] || say "$f:1: only src/cpu/conv/onednn_versions.h includes oneDNN's header"
done
for f in $(grep -rl '"cpu/conv/onednn_versions.h"' src); do
    [ "$f" = src/cpu/conv/onednn.c ] || say "$f:1: only src/cpu/conv/onednn.c knows oneDNN"
done
for f in $(grep -rl '#include <mpi' src); do
    [ "$f" = src/dist/mpi.c ] || say "$f:1: only src/dist/mpi.c includes MPI's header"
done
for f in $(find src include -name '*.[ch]' -o -name '*.inc'); do
    awk -v f="$f" '
        length($0) > 100 { print f ":" NR ": line of " length($0) " characters"; e = 1 }
        /^{/ { start = NR }
        /^}/ { if (start && NR - start > 70) { print f ":" start ": function of " NR - start " lines"; e = 1 } start = 0 }
        END { if (NR > 600) { print f ":600: file of " NR " lines"; e = 1 } exit e }' "$f" || bad=1
done
twice=$(cat src/jobs/*.c src/jobs/*.inc src/bench/*.c 2>/dev/null | tr -s ' \n\\' ' ' |
    grep -o '{ "[a-z-]*", [^{}"]*JOB_[A-Z]*, "[^"]*", "[^"]*"' | sort | uniq -d)
[ -z "$twice" ] || say "src/jobs/option_rows.h:1: what tables of two verbs have alike belongs here: $twice"
exit $bad
