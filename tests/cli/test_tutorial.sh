#!/bin/sh
# SPDX-License-Identifier: MIT
# Every command of docs/tutorial.md, in its order, with fewer images and updates.
set -u
. "$(dirname "$0")/expect.sh"
mkdir bin && ln -s "$g" bin/guided
PATH=$PWD/bin:$PATH
awk '/^```sh$/ { on = 1; next } /^```$/ { on = 0 } on' "$GUIDED_SOURCE_DIR/docs/tutorial.md" >commands.txt
[ "$(grep -c '^guided ' commands.txt)" -ge 10 ] || fail "few commands: $(cat commands.txt)"
sed -E 's/-n (200|300)/-n 6/; s/--iterations [0-9]+/--iterations 12/; s/--steps 10/--steps 2/; s/ddim25/ddim2/' commands.txt >short.txt
while IFS= read -r line; do
    sh -c "$line" >out.txt 2>err.txt </dev/null || fail "exit $?: $line: $(cat err.txt)"
done <short.txt
for f in plain.png guided.png garments/progress.csv garments/loss.svg judge/progress.csv; do [ -s $f ] || fail "no $f"; done
grep -q "^FID" out.txt || fail "no FID: $(cat out.txt)"
exit $((failures > 0))
