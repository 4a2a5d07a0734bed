#!/bin/sh
# SPDX-License-Identifier: MIT
# The long form of the kills of tests/cli/test_large.sh.
exec sh "$GUIDED_SOURCE_DIR/tests/cli/kill_runs.sh" 50
