# SPDX-License-Identifier: MIT
"""server.py - guided serve in a folder of its own, for tests.  GUIDED_BINARY is the command."""
import atexit
import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

failures = []
signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(1))  # so that servers end with the test


def check(holds, text):
    if not holds:
        failures.append(text)
        print(f"FAIL: {text}", flush=True)


def finish():
    sys.exit(1 if failures else 0)


class Server:
    def __init__(self, *options, folder=None):
        self.own = None if folder else tempfile.TemporaryDirectory()
        self.folder = folder or self.own.name
        self.options = options
        self.port = 0
        self.start()

    def start(self):
        command = [os.environ["GUIDED_BINARY"], "serve", "--port", str(self.port), "--state", self.folder + "/state", *self.options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        atexit.register(self.process.kill)
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://"), "guided serve printed no address"
        self.port = int(self.url.split(":")[2].split("/")[0])

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.process.wait(timeout=180)

    def ask(self, method, path, body=None, headers=None):
        """(status, JSON or bytes)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=180)
        headers = dict(headers or {})
        if isinstance(body, dict):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if data and answer.getheader("Content-Type", "").startswith("application/json"):
            data = json.loads(data)
        return answer.status, data

    def sample(self, **options):
        options = {"class": "#3", "steps": "ddim5", "seed": 1, **options}
        status, job = self.ask("POST", "/api/jobs", {"kind": "sample", "options": options})
        check(status == 201, f"a job is taken: {status} {job}")
        return job["id"]

    def wait(self, job, until=("done", "failed", "cancelled"), timeout=300):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            state = self.ask("GET", f"/api/jobs/{job}")[1]
            if state["state"] in until:
                return state
            time.sleep(0.05)
        raise TimeoutError(f"job {job} is {state['state']}")

    def memory_kib(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1])
