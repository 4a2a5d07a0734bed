#!/bin/sh
# Each fuzz target ten minutes
scripts/fuzz 600
