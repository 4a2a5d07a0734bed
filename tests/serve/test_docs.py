#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every example of docs/http.md, in order, with the server that its first one starts."""
import json
import os
import re
import subprocess
import tempfile

from server import Server, check, finish


def main():
    with open(os.environ["GUIDED_SOURCE_DIR"] + "/docs/http.md", encoding="utf-8") as f:
        blocks = re.findall(r"```sh\n(.*?)```", f.read(), re.S)
    check(blocks[0].startswith("guided serve --port 8080 --state state --folders images/"), "the first example starts the server")
    with tempfile.TemporaryDirectory() as folder:
        os.mkdir(folder + "/images")
        server = Server("--folders", folder + "/images", folder=folder)
        for block in blocks[1:]:
            for command in block.replace("\\\n", "").strip().split("\n"):
                command = command.replace("localhost:8080", f"localhost:{server.port}")
                run = subprocess.run(command, shell=True, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
                check(run.returncode == 0 and not run.stdout.startswith('{"error"'), f"{command}: {run.returncode} {run.stdout[:300]} {run.stderr[:300]}")
                if "events" not in command and "-o" not in command.split():
                    json.loads(run.stdout)
                if "jobs/1/events" in command or "jobs/2/events" in command:
                    check('"state":"done"' in run.stdout, f"{command}: {run.stdout[-400:]}")
        with open(folder + "/boot.png", "rb") as f:
            check(f.read(4) == b"\x89PNG", "the picture of the example")
        server.stop()


main()
finish()
