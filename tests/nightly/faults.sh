#!/bin/sh
# SPDX-License-Identifier: MIT
# Every place where the system is asked for something, and every result of a network: no k is passed over (tests/fault).
set -u
failed=0
for test in memory calls crash finite; do
    FAULT_ALL=1 "$GUIDED_BUILD/tests/test_fault_$test" || failed=1
done
exit $failed
