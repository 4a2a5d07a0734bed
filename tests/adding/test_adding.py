#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CONTRIBUTING.md's table is true: a solver, an operator, an image format, a data set and a metric are each one new file and a line in a table.
Every toy is compiled beside the edited table and linked into a guided of its own, which must list and use it."""
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

source, build = Path(os.environ["GUIDED_SOURCE_DIR"]), Path(os.environ["GUIDED_BUILD_DIR"])
here = source / "tests/adding"
# toy: edited files with what is replaced; the first is compiled anew
TOYS = {
    "solver": [("src/diffusion/solvers.c", r"(table\[\] = \{)", r"\1 &gd_solver_toy,"),
               (None, r"(extern const gd_solver )(gd_solver_ddpm\b)", r"\1gd_solver_toy, \2")],
    "operator": [("src/restore/operator.c", r"(kinds\[\] = \{)", r"\1 &gd_kind_toy,"),
                 ("src/restore/restore_private.h", r"(extern const gd_operator_kind )", r"\1gd_kind_toy, ")],
    "image": [("src/io/image_format.c", r"\A", ""), ("src/io/io_private.h", r"(IO_IMAGE_FORMATS\(X\)) ", r"\1 X(toy) ")],
    "metric": [("src/eval/metric.c", r"\A", ""), ("src/eval/metric.h", r"(GD_METRICS\(X\) *\\\n)", r"\1    X(toy) \\\n")],
    "dataset": [("src/data/dataset.c", r"\A", ""), ("src/data/data_private.h", r"(DATA_FORMATS\(X\)) ", r"\1 X(toy) ")],
}


def fail(text):
    sys.exit(f"FAIL: {text}")


def header_of(pattern):
    for path in sorted((source / "src").rglob("*.h")):
        if re.search(pattern, path.read_text()):
            return str(path.relative_to(source))
    fail(f"no header has {pattern}")


def compile_to(work, name, source_file, like, commands):
    words = shlex.split(commands[str(source / like)])
    while words[0].endswith("ccache"):
        words.pop(0)
    at = words.index("-o")
    words[at:at + 2] = ["-o", str(work / f"{name}.o")]
    words[words.index("-c") + 1] = str(source_file)
    words[1:1] = ["-Werror", "-I", str(work / "src")]
    subprocess.run(words, cwd=build, check=True)
    return str(work / f"{name}.o")


def main():
    commands = {e["file"]: e["command"] for e in json.loads((build / "compile_commands.json").read_text())}
    try:
        link = subprocess.run(["ninja", "-t", "commands", "guided"], cwd=build, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
    except (OSError, subprocess.CalledProcessError):
        print("adding: passed over: the link command is asked of ninja")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for edits in TOYS.values():
            for file, pattern, by in edits:
                file = file or header_of(pattern)
                copy = work / file
                copy.parent.mkdir(parents=True, exist_ok=True)
                text = (copy if copy.exists() else source / file).read_text()
                new, n = re.subn(pattern, by, text, count=1)
                if n != 1:
                    fail(f"{file} has no {pattern}")
                copy.write_text(new)
        objects = []
        for toy, edits in TOYS.items():
            objects.append(compile_to(work, toy, here / f"{toy}.c", edits[0][0], commands))
            objects.append(compile_to(work, f"{toy}-table", work / edits[0][0], edits[0][0], commands))
        guided = work / "guided"
        link = link.replace("-o guided ", f"-o {guided} {' '.join(objects)} ", 1)
        subprocess.run(["sh", "-c", link], cwd=build, check=True)
        use(guided, work)
    print("adding: a toy of each table works")
    return 0


def use(guided, work):
    def run(*words):
        done = subprocess.run([guided, *words], cwd=work, capture_output=True, text=True)
        if done.returncode:
            fail(f"{' '.join(words)}: {done.stderr}")
        return done.stdout + done.stderr

    if "a solver of a test" not in run("help", "samplers"):
        fail("guided help samplers does not list the solver")
    run("sample", "--sampler", "toy", "--steps", "3", "--seed", "1", "--class", "3", "-q", "-o", "x.png")
    run("restore", "--simulate", "x.png", "-a", "toy", "--class", "3", "--steps", "3", "--solver", "ddnm", "-q", "-o", "restored")
    (work / "p.toy").write_bytes(b"TOY" + bytes([32, 32]) + bytes(range(256)) * 4)
    (work / "set").write_text("TOYSET p.toy")
    network = "--image_size 8 --num_channels 32 --channel_mult 1 --num_res_blocks 1 --attention_resolutions 8".split()
    for name in ("p.toy", "set"):
        run("train", "--data", name, "--labels", "none", "--channels", "1", *network, "--batch-size", "1", "--iterations", "2", "--seed", "1",
            "--out", f"of-{name}", "-q")
    one, other = (work / f"of-{name}/progress.csv" for name in ("p.toy", "set"))
    if losses(one) != losses(other):
        fail("the set is not its picture")
    run.work = work
    use_metric(run)


def use_metric(run):
    """The value of a set beside itself is 0, in every place where a metric is reported."""
    for seed in "1", "2":
        run("sample", "--steps", "2", "--seed", seed, "--class", "3", "-n", "4", "-q", "-o", f"{seed}.npz")
    judge = "--features", "fashion32", "--metrics", "toy", "-q"
    if "a metric of a test" not in run("help", "metrics"):
        fail("guided help metrics does not list the metric")
    if "Toy              0.000" not in run("eval", "--ref", "1.npz", "--samples", "1.npz", *judge, "--fail-above", "toy=0"):
        fail("guided eval does not print the metric")
    for seed in "1", "2":
        run("eval", "--ref", "1.npz", "--samples", f"{seed}.npz", *judge, f"--json=of-{seed}.json", "--card", f"{seed}.html")
    if json.loads((run.work / "of-2.json").read_text())["toy_distance"] <= 0:
        fail("the metric of two sets is 0")
    if "Toy" not in (run.work / "2.html").read_text():
        fail("the card does not have the metric")
    if "Toy" not in run("eval", "compare", "of-1.json", "of-2.json"):
        fail("guided eval compare does not have the metric")


def losses(table):
    rows = [line.split(",") for line in table.read_text().splitlines()]
    return [row[rows[0].index("loss")] for row in rows]


sys.exit(main())
