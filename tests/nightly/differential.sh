#!/bin/sh
# SPDX-License-Identifier: MIT
# 2,000 files of each format, whole and mutated: our readers beside numpy, PyTorch and Pillow, those that PYTHON (default /usr/bin/python3) has.
ninja -C "$GUIDED_BUILD" read-files >/dev/null || exit 1
"${PYTHON:-/usr/bin/python3}" -B tests/differential/compare.py "$GUIDED_BUILD/tests/read-files" 2000
