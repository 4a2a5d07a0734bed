#!/bin/sh
# SPDX-License-Identifier: MIT
# Beside busy processes a command takes little longer than its fair share of the cores. On a machine that is idle otherwise.
set -u
cd "$(dirname "$0")/../.." || exit 1
cores=$(nproc)
table=$(WHAT="one many" ROUNDS=7 bench/loaded 0 1 4) || exit 1
echo "$table"
# one image beside one process: 2.1 times; many: 1.5; beside four: 1.3 times the fair share, (threads + 4) / cores
echo "$table" | awk -v cores="$cores" '
    $1 == 1 { most = $3 == "one" ? 2.1 : 1.5 }
    $1 == 4 { most = 1.3 * (cores + 4) / cores }
    $1 > 0 { lines++ }
    $1 > 0 && $6 > most { print "FAIL: " $0 ": at most " most; bad = 1 }
    END { exit bad || lines != 4 }'
