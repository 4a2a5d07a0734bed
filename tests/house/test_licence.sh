#!/bin/sh
# SPDX-License-Identifier: MIT
# licence.py accepts this tree, and refuses one with each kind of breach.
set -u
here=$(cd "$(dirname "$0")" && pwd)
/usr/bin/python3 -B "$here/licence.py" "$here/../.." || exit 1
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/src/page" "$tree/scripts" "$tree/tests/fuzz/corpus"
line="SPDX-License-Identifier: MIT"
expect() { # STATUS NAME TEXT
    printf "$3" >"$tree/$2"
    /usr/bin/python3 -B "$here/licence.py" "$tree" >"$tree/out.txt"
    [ $? -eq "$1" ] || { echo "licence.py: status is not $1: $2"; exit 1; }
    [ "$1" -eq 0 ] || grep -q "^$2:1: no line" "$tree/out.txt" || { echo "licence.py: does not name $2"; exit 1; }
    [ "$1" -eq 0 ] || rm "$tree/$2"
}
expect 0 src/a.c "/* $line */\n/* a.c */\n"
expect 1 src/b.c "/* b.c */\n/* $line */\n"
expect 1 src/empty.h ""
expect 0 scripts/run "#!/bin/sh\n# $line\n"
expect 1 scripts/walk "#!/bin/sh\n# walks\n# $line\n"
expect 0 scripts/notes "no program\n"
expect 0 src/page/page.html "<!doctype html>\n<!-- $line -->\n"
expect 1 src/page/page.js "// page\n"
expect 1 CMakeLists.txt "project(x)\n"
expect 0 tests/fuzz/corpus/a.py "input\n"
