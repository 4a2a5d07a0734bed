#!/bin/sh
# SPDX-License-Identifier: MIT
# Mutants that keep each format's structure: 10,000 of every fuzz target, other ones each day.
set -u
first=$(($(date +%s) / 86400 * 10000))
failed=0
for program in "$GUIDED_BUILD"/tests/fuzz/fuzz_*; do
    name=${program##*/fuzz_}
    [ -d "tests/fuzz/corpus/$name" ] || continue
    "$program" --mutants "$name" $first 10000 "tests/fuzz/corpus/$name" || failed=1
done
exit $failed
