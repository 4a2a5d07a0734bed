#!/bin/sh
# SPDX-License-Identifier: MIT
# Every command of docs/faq.md runs as it stands there, in one folder, in order; and what it promises holds.
set -u
. "$(dirname "$0")/expect.sh"
mkdir bin
ln -s "$g" bin/guided
PATH=$PWD/bin:$PATH
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$GUIDED_SOURCE_DIR/docs/faq.md" >commands
[ "$(wc -l <commands)" -ge 20 ] || fail "docs/faq.md has few commands"
while IFS= read -r line; do
    sh -c "$line" >out.txt 2>err.txt </dev/null || fail "$line: $(cat err.txt)"
    case $line in
    *--dry-run*) grep -q "memory" out.txt || fail "no memory in: $(cat out.txt)" ;;
    *"info --classes"*) grep -q "ankle boot" out.txt || fail "no names in: $(cat out.txt)" ;;
    "guided eval"*) grep -qi "fid" out.txt || fail "no FID in: $(cat out.txt)" ;;
    "guided info four.png") grep -q -- "--seed 7" out.txt || fail "no recipe in: $(cat out.txt)" ;;
    esac
done <commands
for file in samples.npz grid.png pictures/00000.png pasted.png weights.png average.png few.png scale.png small.png two.png all.png random.png third.png; do
    [ -s $file ] || fail "no $file"
done
[ $failures -eq 0 ] || { echo "$failures failures"; exit 1; }
