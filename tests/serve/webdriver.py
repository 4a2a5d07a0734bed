# SPDX-License-Identifier: MIT
"""webdriver.py - as much of W3C WebDriver as the browser test needs, spoken to chromedriver."""
import base64
import http.client
import json
import os
import shutil
import subprocess
import time

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def installed():
    return shutil.which("chromedriver") and (shutil.which("chromium") or shutil.which("google-chrome"))


class Browser:
    def __init__(self, width=1100, height=900):
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = ""
        while "successfully on port" not in line:
            line = self.driver.stdout.readline()
            assert line, "chromedriver did not start"
        self.port = int(line.rstrip(".\n ").split()[-1])
        arguments = ["--headless=new", f"--window-size={width},{height}", "--disable-gpu", "--disable-dev-shm-usage", "--force-color-profile=srgb"]
        if os.geteuid() == 0:
            arguments.append("--no-sandbox")
        options = {"browserName": "chrome", "goog:chromeOptions": {"args": arguments}, "goog:loggingPrefs": {"browser": "ALL"}}
        self.session = ""
        self.session = "/session/" + self.send("POST", "/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def send(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        connection.request(method, self.session + path, None if body is None else json.dumps(body))
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise RuntimeError(f"{path}: {value['error']}: {value['message'].splitlines()[0]}")
        return value

    def close(self):
        self.send("DELETE", "")
        self.driver.terminate()
        self.driver.wait()
        self.driver.stdout.close()

    def open(self, url):
        self.send("POST", "/url", {"url": url})
        self.wait("document.body && document.body.dataset.ready === 'true'")

    def run(self, script, *arguments):
        return self.send("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def wait(self, condition, timeout=120):
        """Waits until the expression is true in the page; gives its value."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            value = self.run(f"return {condition};")
            if value:
                return value
            time.sleep(0.05)
        raise TimeoutError(f"never true: {condition}")

    def find(self, selector):
        return self.send("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.send("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        element = self.find(selector)
        if self.run("return arguments[0].type !== 'file'", {ELEMENT: element}):
            self.send("POST", f"/element/{element}/clear", {})
        self.send("POST", f"/element/{element}/value", {"text": text})

    def choose(self, selector, value):
        self.run("const s = document.querySelector(arguments[0]); s.value = arguments[1]; s.dispatchEvent(new Event('change', {bubbles: true}));",
                 selector, value)

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0]).textContent", selector)

    def keys(self, text):
        """Key by key, to whatever has the focus"""
        actions = [{"type": kind, "value": c} for c in text for kind in ("keyDown", "keyUp")]
        self.send("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def size(self, width, height):
        self.send("POST", "/window/rect", {"width": width, "height": height})

    def tabs(self):
        return self.send("GET", "/window/handles")

    def new_tab(self):
        return self.send("POST", "/window/new", {"type": "tab"})["handle"]

    def switch(self, handle):
        self.send("POST", "/window", {"handle": handle})

    def picture(self, path):
        with open(path, "wb") as f:
            f.write(base64.b64decode(self.send("GET", "/screenshot")))

    def complaints(self):
        """What the page wrote as errors"""
        return [entry["message"] for entry in self.send("POST", "/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]
