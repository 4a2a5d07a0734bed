#!/bin/sh
# SPDX-License-Identifier: MIT
# layers.sh accepts this tree, and refuses one with each kind of breach.
set -u
here=$(dirname "$0")
sh "$here/layers.sh" "$here/../.." || exit 1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/src/cpu" "$tree/src/base" "$tree/include"
expect_breach() {
    sh "$here/layers.sh" "$tree" >/dev/null && { echo "not refused: $1"; exit 1; }
    rm -f "$tree"/src/*/*
}
echo '#include "graph/graph.h"' >"$tree/src/cpu/a.c"; expect_breach "include to the left"
echo '#include <dnnl.h>' >"$tree/src/base/a.c"; expect_breach "oneDNN outside its file"
echo '#include <mpi.h>' >"$tree/src/base/a.c"; expect_breach "MPI outside its file"
{ echo "void f(void)"; echo "{"; yes '    g();' | head -80; echo "}"; } >"$tree/src/base/a.c"; expect_breach "long function"
mkdir -p "$tree/src/jobs"
for verb in a b; do echo '{ "tile", 0, JOB_INT, "N", "of the image", 1 },' >"$tree/src/jobs/$verb.c"; done; expect_breach "an option declared twice"
yes 'int x;' | head -601 >"$tree/src/base/a.c"; expect_breach "long file"
grep -q 'scripts/demo' "$here/../../README.md" && grep -q 'scripts/check' "$here/../../README.md" || { echo "README does not name its two commands"; exit 1; }
