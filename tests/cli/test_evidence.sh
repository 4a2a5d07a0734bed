#!/bin/sh
# SPDX-License-Identifier: MIT
# scripts/evidence, shortened: each study makes its table and its plot; samples that are there are not made again; samples of another
# model are refused.  Passed over without /usr/bin/python3.
set -u
. "$(dirname "$0")/expect.sh"
[ -x /usr/bin/python3 ] || { echo "passed over: no /usr/bin/python3"; exit 0; }
evidence=$GUIDED_SOURCE_DIR/scripts/evidence
judge=$GUIDED_MODELS/fashion32/classifier.safetensors
"$g" sample --model fashion32 -n 20 --class 0-9 --steps ddim2 --seed 3 -q -o ref.npz || exit 1
few="--samples 4 --judge $judge --reference ref.npz --work work --out out --threads 1"

# shellcheck disable=SC2086
{
    expect 0 "" "$evidence" steps $few --seeds 1,2 --calls 2,4
    for line in "| 2, DDPM |" "| 4, DDIM |" "scripts/evidence steps --samples 4 --seeds 1,2 --calls 2,4" "model fashion32"; do
        grep -qF -- "$line" out/steps.md || fail "no $line in: $(cat out/steps.md)"
    done
    [ "$(grep -c '^|.*±' out/steps.md)" -eq 4 ] || fail "not four rows with deviations: $(cat out/steps.md)"
    grep -q '</svg>' out/steps.svg || fail "no plot"
    cp out/steps.md before.md && touch marker
    expect 0 "" "$evidence" steps $few --seeds 1,2 --calls 2,4
    cmp -s out/steps.md before.md || fail "another table from the same samples"
    [ -z "$(find work -name '*.npz' -newer marker)" ] || fail "samples were made again"
    # The reports are those of guided eval.
    "$g" eval --ref ref.npz --samples work/ddim4-4-2.npz --features "$judge" --grey --metrics fid,is,pr -q --json | cmp -s - work/ddim4-4-2.json ||
        fail "another report than guided eval's"

    expect 1 "holds samples of other models" "$evidence" steps $few --model "$GUIDED_MODELS/fashion32/base8.safetensors" --calls 2
    expect 1 "no nowhere: scripts/train-builtin judge makes it" "$evidence" steps --judge nowhere --reference ref.npz --work w --out o
    expect 2 "invalid choice" "$evidence" everything
}

# PSNR: of a picture beside itself, and of a known difference
/usr/bin/python3 - "$evidence" <<'EOF' || fail "PSNR"
import sys, types, zipfile
source = open(sys.argv[1], encoding="utf-8").read().rsplit("\nmain()", 1)[0]
module = types.ModuleType("evidence")
module.__file__ = sys.argv[1]
exec(compile(source, sys.argv[1], "exec"), module.__dict__)
header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1, 4), }\n"
for name, values in ("a", [0, 50, 100, 255]), ("b", [0, 50, 102, 255]):
    with zipfile.ZipFile(name + ".npz", "w") as archive:
        archive.writestr("arr_0.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(values))
assert module.psnr("a.npz", "a.npz") == float("inf")
assert abs(module.psnr("a.npz", "b.npz") - 48.1308) < 1e-3, module.psnr("a.npz", "b.npz")
assert module.ticks(0, 10) == [0, 2, 4, 6, 8, 10]
EOF
exit $((failures > 0))
