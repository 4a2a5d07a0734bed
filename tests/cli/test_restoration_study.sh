#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/restoration-study: its table, twice the calls, and that what was measured is not measured again.  Passed over where its
# packages are not installed.
set -u
. "$(dirname "$0")/expect.sh"
if ! /usr/bin/python3 -c "import numpy, PIL" 2>/dev/null; then
    echo "passed over: scripts/setup --emoji was not run"
    exit 0
fi
study=$GUIDED_SOURCE_DIR/scripts/restoration-study
mkdir mnist
/usr/bin/python3 - <<'P'
import gzip
rows = b"".join(bytes([(37 * i + 5 * j + j // 28) % 256 for j in range(784)]) for i in range(4))
gzip.open("mnist/t10k-images-idx3-ubyte.gz", "wb").write(b"\0\0\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (4, 28, 28)) + rows)
gzip.open("mnist/t10k-labels-idx1-ubyte.gz", "wb").write(b"\0\0\x08\x01" + (4).to_bytes(4, "big") + bytes([3, 1, 3, 0]))
P
words="--guided $g --models fashion32 --fashion mnist --images 2 --samples 2 --solvers ddrm@4,ddrm@4/2 --work work --out out"
expect 0 "" "$study" $words
for line in "## fashion32, \`box_down:4\`: A+ y" "| \`ddrm@4\` | 4 | 2 |" "| \`ddrm@4\` | 8 | 2 |"; do
    grep -qF -- "$line" out/restoration.md || fail "no $line in: $(cat out/restoration.md)"
done
[ "$(ls work/results | wc -l)" = 12 ] || fail "results: $(ls work/results)"
cp out/restoration.md first.md
expect 0 "" "$study" $words --guided /bin/false
cmp -s out/restoration.md first.md || fail "results were measured again"
[ $failures -eq 0 ]
