#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/memorisation: samples that are training pictures have distance 0, others have the distance that they have.  Passed over
# where its packages are not installed.
set -u
. "$(dirname "$0")/expect.sh"
if ! /usr/bin/python3 -c "import numpy, PIL" 2>/dev/null; then
    echo "passed over: scripts/setup --emoji was not run"
    exit 0
fi
memorisation=$GUIDED_SOURCE_DIR/scripts/memorisation
for part in train test; do mkdir -p data/$part/a data/$part/b; done
"$g" sample --model fashion32 -n 4 --steps ddim2 --seed 1 -q -o same || exit 1  # two of them are training pictures
"$g" sample --model fashion32 -n 6 --steps ddim2 --seed 2 -q -o other || exit 1
mv same/*0.png data/train/a/0-A.png && mv same/*2.png data/train/b/1-B.png && mv other/*0.png data/train/b/2-C.png
ln data/train/b/2-C.png data/train/b/2-C-1.png # a repeated picture counts once
mv other/*1.png data/test/a/3-D.png && mv other/*2.png data/test/b/4-E.png

expect 0 "" "$memorisation" --model fashion32 --data data -n 4 --seed 1 --steps ddim2 --scale 1 --work work --out out
for line in "4 samples, 3 training pictures, 2 held-out pictures" "--model fashion32 -n 4 --seed 1 --steps ddim2"; do
    grep -qF -- "$line" out/memorisation.md || fail "no $line in: $(cat out/memorisation.md)"
done
for space in features pixels; do
    grep "^| samples, in $space | 0.00 | 0.00 |" out/memorisation.md | grep -qv "0.00 | 0.00 | 0.00 |" || fail "two of four samples are training pictures: $(cat out/memorisation.md)"
    grep -q "^| held-out pictures, in $space | 0.00 |" out/memorisation.md && fail "held-out pictures in the training set"
done
grep -q '</svg>' out/memorisation.svg || fail "no histogram"

# The distance is the one that numpy finds between the two pictures.
/usr/bin/python3 - <<'EOF' || fail "distance"
import glob, re
import numpy as np
from PIL import Image
read = lambda p: np.asarray(Image.open(p), float)
train = [read(p) for p in ("data/train/a/0-A.png", "data/train/b/1-B.png", "data/train/b/2-C.png")]
far = sorted(min(((read(p) - t) ** 2).mean() ** 0.5 for t in train) for p in glob.glob("data/test/*/*.png"))
found = re.search(r"held-out pictures, in pixels \| ([0-9.]+)", open("out/memorisation.md").read())
assert abs(float(found[1]) - far[0]) < 0.006, (found[1], far)
assert Image.open("out/memorisation.png").size == (4 * 66, 3 * 66)
EOF
expect 1 "no pictures in nowhere/train" "$memorisation" --model fashion32 --data nowhere -n 2 --steps ddim2 --work work --out out
expect 2 "-n is at least 2" "$memorisation" -n 1 --work work --out out
exit $((failures > 0))
