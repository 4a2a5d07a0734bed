#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""documents.py [TREE] - what documents and comments name exists: cited headings (docs/reference/networks.md#layers), linked files,
environment variables (each is read by the code, each that the code reads by its own name is documented).  Prints FILE:LINE per breach."""
import os
import re
import subprocess
import sys
from pathlib import Path

tree = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).resolve().parent.parent.parent)
breaches = []
CITED_ELSEWHERE = re.compile(r"\bspec/?[ (]?[a-z-]+\.md|(?<![\w/.-])(models|diffusion|training|few-calls|results|kernels)\.md \d|(few-calls|reliability) \d")
CODE = [p for folder in ("src", "include", "tests", "bench", "scripts", "examples", "python") for p in sorted((tree / folder).rglob("*"))
        if p.is_file() and (p.suffix in (".c", ".h", ".inc", ".sh", ".py", ".txt") or (folder in ("bench", "scripts") and not p.suffix))
        and "golden/cases" not in str(p) and p.name not in ("documents.py", "test_documents.sh")]
DOCUMENTS = sorted((tree / "docs").rglob("*.md")) + sorted((tree / "bench").rglob("*.md")) + [p for p in (tree / "README.md", tree / "CONTRIBUTING.md", tree / "SECURITY.md") if p.exists()]


def breach(path, line, text):
    breaches.append(f"{path.relative_to(tree)}:{line}: {text}")


def text_of(path):
    return path.read_text(errors="replace")


def slugs(path, known={}):
    """The anchors of a document, as GitHub forms them."""
    if path not in known:
        body = re.sub(r"(?ms)^```.*?^```", "", text_of(path))
        headings = re.findall(r"(?m)^#+ (.+)$", body)
        known[path] = {re.sub(r"[^\w\- ]", "", h.strip().lower()).replace(" ", "-") for h in headings}
    return known[path]


def heading_exists(path, line, target, anchor):
    if not target.exists():
        breach(path, line, f"{target.name} is no file")
    elif anchor and anchor not in slugs(target):
        breach(path, line, f"{target.name} has no heading #{anchor}")


def citations():
    """docs/FILE.md, docs/FILE.md#a, and what follows as ", #b"."""
    for path in CODE:
        lines = text_of(path).splitlines()
        body = "\n".join(lines)
        body = re.sub(r"\n( \*|//|#) ", "\n   ", body)  # a citation may go on in the next comment line
        for match in re.finditer(r"\b(docs/[\w/-]+\.md)((?:#[\w-]+)?(?:,\s+#[\w-]+)*)", body):
            line = body.count("\n", 0, match.start()) + 1
            anchors = re.findall(r"#([\w-]+)", match[2]) or [""]
            for anchor in anchors:
                heading_exists(path, line, tree / match[1], anchor)
        for number, line in enumerate(lines, 1):
            if CITED_ELSEWHERE.search(line):
                breach(path, number, "cites a specification that is not in the repository")


def links():
    for path in DOCUMENTS:
        for number, line in enumerate(text_of(path).splitlines(), 1):
            for target, anchor in re.findall(r"\]\(([^)#:\s]*)(?:#([\w-]+))?\)", line):
                at = (path.parent / target).resolve() if target else path
                if not at.exists():
                    breach(path, number, f"links to {target}, which is not there")
                elif anchor and at.suffix == ".md":
                    heading_exists(path, number, at, anchor)


def paths():
    """`src/cpu/par.c` exists; NAME stands for a file that a reader will add, * for any."""
    for path in DOCUMENTS:
        if path.name == "log.md":  # of its time
            continue
        for number, line in enumerate(text_of(path).splitlines(), 1):
            for name in re.findall(r"`((?:src|tests|scripts|bench|examples|include|docs)/[\w./*-]*)`", line):
                if "NAME" not in name and not list(tree.glob(name.rstrip("/"))):
                    breach(path, number, f"{name} is not there")


def variables():
    source = "\n".join(text_of(p) for p in CODE if p.is_relative_to(tree / "src"))
    read = set(re.findall(r'(?:getenv\(|variable\[\] = )"([A-Z_]+)"', source))
    python = "\n".join(text_of(p) for p in CODE if p.is_relative_to(tree / "python"))
    python_reads = set(re.findall(r"environ(?:\.get\(|\[)[\"']([A-Z_]+)[\"']", python))
    options = {"GUIDED_" + o.upper().replace("-", "_") for o in re.findall(r'\{ "([a-z][a-z0-9_-]+)",', source)}
    made = set(re.findall(r"\b(?:option|set)\((GUIDED_[A-Z_]+)", text_of(tree / "CMakeLists.txt"))) if (tree / "CMakeLists.txt").exists() else set()
    documented = ""
    for path in DOCUMENTS:
        documented += text_of(path)
        for number, line in enumerate(text_of(path).splitlines(), 1):
            for name in re.findall(r"(?<![A-Z_])(?:GUIDED|OMP|OPENBLAS)_[A-Z][A-Z_]*\b", line):
                if name not in read | python_reads | options | made | {"GUIDED_NAME"}:
                    breach(path, number, f"{name} is read by no code")
    for name in sorted(n for n in read if n.startswith("GUIDED_")):
        if name not in documented:
            breach(tree / "docs", 0, f"{name} is read by the code and documented nowhere")
    if "GUIDED_BINARY" in os.environ and "house_tree" not in os.environ:
        manual(read)


def manual(read):
    """The section ENVIRONMENT of a manual page has what the code reads."""
    page = subprocess.run([os.environ["GUIDED_BINARY"], "help", "sample"], capture_output=True, text=True, check=True).stdout
    samplers = subprocess.run([os.environ["GUIDED_BINARY"], "help", "samplers"], capture_output=True, text=True, check=True).stdout
    listed("docs/sampling.md", [line.split()[0] for line in samplers.splitlines()])
    section = re.search(r"(?ms)^ENVIRONMENT$(.*?)^\S", page)[1]
    in_manual = set(re.findall(r"(?m)^ +([A-Z]+_[A-Z_]+)\b", section))
    wanted = {n for n in read if n.startswith(("GUIDED_", "OMP_", "NO_"))} - {"GUIDED_CONFIG"}  # which CONFIGURATION has
    for name in sorted(in_manual ^ wanted):
        breach(tree / "src", 0, f"{name}: {'listed by guided help and read by no code' if name in in_manual else 'read and not listed by guided help'}")


def listed(document, names):
    text = text_of(tree / document)
    families = re.findall(r"`([\w-]+)-\*`", text)
    for name in names:
        if not re.search(rf"`{re.escape(name)}[`:\[]", text) and not any(name.startswith(f) for f in families):
            breach(tree / document, 0, f"does not list {name}")


def tables():
    """Names that the code has in a table are all in the document that describes them."""
    if (tree / "src/cpu/select.c").exists():
        listed("docs/platforms.md", re.findall(r'\[GD_ISA_\w+\] = \{ "(\w+)"', text_of(tree / "src/cpu/select.c")))
    if (tree / "src/restore/operator.c").exists():
        listed("docs/restoration.md", re.findall(r"&gd_kind_(\w+)", text_of(tree / "src/restore/operator.c").split("};")[0]))


citations()
links()
paths()
variables()
tables()
print("\n".join(breaches) if breaches else "documents: all that they name exists")
sys.exit(bool(breaches))
