#!/bin/sh
# SPDX-License-Identifier: MIT
# documents.py accepts this tree, and refuses one with each kind of breach.
set -u
here=$(cd "$(dirname "$0")" && pwd)
check() { /usr/bin/python3 "$here/documents.py" "$1"; }
check "$here/../.." || exit 1
export house_tree=toy # whose variables are not those of the program
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
expect_breach() { # WHAT TEXT
    check "$tree" >"$tree/out" && { echo "not refused: $1"; exit 1; }
    grep -qF -- "$2" "$tree/out" || { echo "$1: no \"$2\" in $(cat "$tree/out")"; exit 1; }
    rm -rf "$tree/src" "$tree/docs"
    begin
}
begin() {
    mkdir -p "$tree/src" "$tree/docs"
    printf '# A\n\n## Two words\n\nGUIDED_ISA is read.\n' >"$tree/docs/a.md"
    echo 'x = getenv("GUIDED_ISA"); /* docs/a.md#two-words */' >"$tree/src/a.c"
}
begin
check "$tree" >/dev/null || { echo "a tree without breaches is refused"; exit 1; }
echo '/* docs/a.md#three */' >>"$tree/src/a.c"; expect_breach "a heading" "src/a.c:2: a.md has no heading #three"
printf '/* docs/a.md#two-words,\n * #four */\n' >>"$tree/src/a.c"; expect_breach "a second heading in the next line" "no heading #four"
echo '/* docs/b.md */' >>"$tree/src/a.c"; expect_breach "a file" "b.md is no file"
echo '/* spec models.md 3 */' >>"$tree/src/a.c"; expect_breach "a specification" "src/a.c:2: cites a specification"
echo 'GUIDED_SPEED' >>"$tree/docs/a.md"; expect_breach "a variable" "docs/a.md:6: GUIDED_SPEED is read by no code"
echo 'y = getenv("GUIDED_SPEED");' >>"$tree/src/a.c"; expect_breach "a variable without a document" "GUIDED_SPEED is read by the code and documented nowhere"
echo '[x](c.md)' >>"$tree/docs/a.md"; expect_breach "a link" "links to c.md"
echo 'See `src/b.c`.' >>"$tree/docs/a.md"; expect_breach "a path" "docs/a.md:6: src/b.c is not there"
