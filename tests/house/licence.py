#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""licence.py [TREE] - every source file names its licence in its first line, or its second after #! or a doctype.  Prints FILE:1 per breach."""
import re
import sys
from pathlib import Path

tree = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent.parent)
FOLDERS = (".ci", "bench", "cmake", "examples", "include", "python", "scripts", "src", "tests")
SOURCES = {".c", ".cpp", ".h", ".inc", ".py", ".sh", ".cmake", ".toml", ".html", ".css", ".js"}
NAMED = {"CMakeLists.txt", "Makefile", "Containerfile", "CITATION.cff", "guided-config.cmake.in"}
LINE = "SPDX-License-Identifier: MIT"
breaches = 0
files = [p for folder in FOLDERS for p in sorted((tree / folder).rglob("*"))] + sorted(tree.glob("*"))
for path in files:
    if not path.is_file() or {"corpus", "cases", "__pycache__"} & set(path.parts):
        continue
    with path.open("rb") as file:
        first, second = (file.readline(200).decode(errors="replace") for _ in range(2))
    if path.suffix not in SOURCES and path.name not in NAMED and not first.startswith("#!"):
        continue
    if LINE not in (second if re.match(r"#!|<!doctype", first, re.I) else first):
        print(f"{path.relative_to(tree)}:1: no line {LINE}")
        breaches += 1
if not breaches:
    print("licence: every source file names it")
sys.exit(bool(breaches))
