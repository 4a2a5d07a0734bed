#!/bin/sh
# SPDX-License-Identifier: MIT
# The Python module by Debian's Python and numpy, as a user has it: from the source tree, from its wheel, in the documents' examples.
set -u
python=/usr/bin/python3
"$python" -c 'import numpy' 2>/dev/null || { echo "python: passed over, $python has no numpy (scripts/setup installs it)"; exit 0; }
failures=0
here=$GUIDED_SOURCE_DIR/tests/python
PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$GUIDED_SOURCE_DIR/python
export PYTHONDONTWRITEBYTECODE PYTHONPATH
"$python" "$here/test_guided.py" || failures=1
"$python" "$here/test_adapters.py" || failures=1
"$python" "$here/test_documents.py" || failures=1
"$python" "$here/test_wheel.py" || failures=1
exit $failures
