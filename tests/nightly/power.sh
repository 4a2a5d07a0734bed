#!/bin/sh
# SPDX-License-Identifier: MIT
# 1,000 losses of power for each command
FAULT_ALL=1 "$1/tests/test_fault_power"
