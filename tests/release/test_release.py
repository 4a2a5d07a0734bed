#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What scripts/release makes without a build: the tarball, twice with the same bytes, and the bill of materials; and the files that
name the version.  tests/nightly/packages.sh makes whole releases."""
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

tree = Path(os.environ["GUIDED_SOURCE_DIR"])
version = re.search(r"(?m)^project\(guided VERSION ([0-9.]+)", (tree / "CMakeLists.txt").read_text())[1]
failures = 0


def check(what, holds):
    global failures
    if not holds:
        print(f"FAIL: {what}")
        failures += 1


def run(*words, **more):
    return subprocess.run([str(w) for w in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def tarball(folder):
    if run("git", "-C", tree, "rev-parse", "--verify", "HEAD").returncode:
        print("release: the tarball is passed over: no git, or no repository")
        return
    name = f"guided-{version}"
    for which in "one", "two":
        made = run(tree / "scripts/release", "--tarball", folder / which, umask=0o077 if which == "two" else 0o022)
        check(f"release --tarball: {made.stderr}", made.returncode == 0)
    one, two = ((folder / which / f"{name}.tar.gz").read_bytes() for which in ("one", "two"))
    check("two tarballs of one commit are the same", one == two)
    check("the sums", (folder / "one/SHA256SUMS").read_text() == f"{hashlib.sha256(one).hexdigest()}  {name}.tar.gz\n")
    tracked = run("git", "-C", tree, "ls-tree", "-r", "--name-only", "-z", "HEAD").stdout.strip("\0").split("\0")
    with tarfile.open(folder / f"one/{name}.tar.gz") as archive:
        members = archive.getmembers()
    check("the tarball has each file of the commit, and no other", sorted(m.name for m in members if not m.isdir()) == sorted(f"{name}/{t}" for t in tracked))
    check("owners and modes do not depend on who made it", all(m.uid == 0 and not m.mode & 0o022 for m in members))
    again = run(tree / "scripts/release", "--tarball", folder / "one")
    check(f"a folder with files is refused: {again.stderr}", again.returncode == 2 and "has files" in again.stderr)
    check("what was there stays", (folder / f"one/{name}.tar.gz").read_bytes() == one)
    check("no folder is refused", run(tree / "scripts/release").returncode == 2 and run(tree / "scripts/release", "--quick").returncode == 2)


def source_package(name):
    return run("dpkg-query", "-W", "-f=${source:Package}\n", name).stdout.split()[:1]


def bill_of_materials():
    if not os.path.exists("/usr/bin/dpkg-query"):
        print("release: the bill of materials is passed over: no dpkg")
        return
    made = [run(tree / "scripts/sbom", version, env={**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}) for _ in range(2)]
    check(f"sbom: {made[0].stderr}", made[0].returncode == 0)
    check("two bills are the same", made[0].stdout == made[1].stdout)
    bill = json.loads(made[0].stdout)
    # SPDX 2.3, sections 6 to 11: what a document must have
    check("the document", bill["spdxVersion"] == "SPDX-2.3" and bill["dataLicense"] == "CC0-1.0" and bill["SPDXID"] == "SPDXRef-DOCUMENT")
    check("the namespace", re.fullmatch(r"https://[^\s#]+", bill["documentNamespace"]))
    check("the time", bill["creationInfo"]["created"] == "2023-11-14T22:13:20Z" and bill["creationInfo"]["creators"])
    ids = [p["SPDXID"] for p in bill["packages"]]
    check("names of packages are SPDX's and of one package", len(set(ids)) == len(ids) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids))
    check("fields of packages", all({"name", "versionInfo", "downloadLocation", "licenseDeclared", "copyrightText"} <= p.keys() for p in bill["packages"]))
    check("relations are between packages", all({r["spdxElementId"], r["relatedSpdxElement"]} <= {"SPDXRef-DOCUMENT", *ids} for r in bill["relationships"]))
    check("each package has a relation", {i for r in bill["relationships"] for i in (r["spdxElementId"], r["relatedSpdxElement"])} >= set(ids))
    # the command's own list of libraries: each is of a source package that the bill has
    listed = {s for p in bill["packages"] for ref in p.get("externalRefs", [])
              for s in source_package(re.match(r"pkg:deb/debian/([^@]+)@[^+:]+\?arch=", ref["referenceLocator"])[1])}
    needed = re.findall(r"NEEDED.*\[(.*)\]", run("readelf", "-d", os.environ["GUIDED_BINARY"], env={**os.environ, "LC_ALL": "C"}).stdout)
    check("readelf lists libraries", needed)
    found = run("dpkg-query", "-S", *(f"*/{library}" for library in needed)).stdout
    for library in needed:
        owners = re.findall(rf"(?m)^([^:\s]+(?::\w+)?): .*/{re.escape(library)}$", found)
        check(f"the bill has the package of {library}: {owners}", not owners or any(s in listed for o in owners for s in source_package(o)))
    check("no version is refused", run(tree / "scripts/sbom").returncode != 0)


def version_everywhere():
    citation = (tree / "CITATION.cff").read_text()
    fields = dict(re.findall(r"(?m)^([a-z-]+): *(.*)$", citation))
    check("fields of CITATION.cff", {"cff-version", "message", "title", "authors"} <= fields.keys() and fields["cff-version"] == "1.2.0")
    check("the version of CITATION.cff", fields["version"] == version)
    check("the licence of CITATION.cff", fields["license"] == "MIT" and "MIT" in (tree / "LICENSE").read_text())
    check("the version of guided.h", f'#define GUIDED_VERSION "{version}"' in (tree / "include/guided.h").read_text())
    for template in (tree / ".github/ISSUE_TEMPLATE").glob("*.md"):
        check(f"{template.name} begins with its name and what it is about", re.match(r"---\nname: .+\nabout: .+\n---\n", template.read_text()))


with tempfile.TemporaryDirectory() as temporary:
    tarball(Path(temporary))
bill_of_materials()
version_everywhere()
if not failures:
    print("release: all passed")
sys.exit(bool(failures))
