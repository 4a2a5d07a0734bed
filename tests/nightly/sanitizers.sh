#!/bin/sh
# SPDX-License-Identifier: MIT
# All tests under AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer; the threads of data and training under
# ThreadSanitizer.
set -u
failed=0
for preset in asan tsan; do
    cmake --preset $preset >/dev/null && cmake --build --preset $preset >/dev/null || exit 1
done
ctest --preset asan || failed=1
ctest --preset tsan -R 'test_(base|data|train|dist)' || failed=1
exit $failed
