#!/bin/sh
# SPDX-License-Identifier: MIT
# Each fuzz target ten minutes
scripts/fuzz 600
