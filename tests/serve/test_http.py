#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""guided serve by HTTP: jobs, files, events, refusals, kills."""
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from server import Server, check, failures, finish

MEBI = 1 << 20


def refused(server, status, text, method, path, body=None, headers=None):
    found, answer = server.ask(method, path, body, headers)
    said = answer.get("error", "") if isinstance(answer, dict) else answer
    check(found == status and text in said, f"{method} {path} {str(body)[:80]}: {found} {str(said)[:200]}, not {status} with {text!r}")


def describes(server):
    kinds = [k["name"] for k in server.ask("GET", "/api/kinds")[1]]
    check("sample" in kinds and "restore" in kinds, f"kinds: {kinds}")
    options = {o["name"]: o for o in server.ask("GET", "/api/options?kind=sample")[1]}
    check(options["scale"]["max"] == 1000, f"the table of options: {options.get('scale')}")
    models = {m["name"]: m for m in server.ask("GET", "/api/models")[1]}
    check(models["fashion32"]["class_names"][9] == "ankle boot", f"models: {list(models)}")
    check(any(s["name"] == "heun" for s in server.ask("GET", "/api/solvers")[1]), "solvers")
    status, page = server.ask("GET", "/")
    check(status == 200 and b"<title>guided</title>" in page, "the page")
    with urllib.request.urlopen(server.url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        check("default-src 'none'" in policy and "script-src 'self';" in policy and "unsafe" not in policy, f"the policy of the page: {policy}")
        check(answer.headers["X-Content-Type-Options"] == "nosniff" and answer.headers["Cache-Control"] == "no-store", "headers")
    for name in ("app.js", "style.css"):
        check(server.ask("GET", f"/{name}")[0] == 200, name)
    check(server.ask("HEAD", "/api/jobs")[0] == 200, "HEAD")


def equals_the_command(server):
    job = server.sample(num=3, **{"class": "1,2,3"}, scale=2)
    state = server.wait(job)
    check(state["state"] == "done" and state["result"]["images"] == 3, f"the job: {state}")
    path = server.folder + "/command.png"
    subprocess.run(state["command"].replace("guided", os.environ["GUIDED_BINARY"], 1) + f" -q -o {path}", shell=True, check=True)
    with open(path, "rb") as f:
        command = f.read()
    check(server.ask("GET", f"/api/jobs/{job}/files/samples.png")[1] == command, "the command that the job shows gives the same bytes")
    again = server.sample(num=3, **{"class": "1,2,3"}, scale=2)
    server.wait(again)
    check(server.ask("GET", f"/api/jobs/{again}/files/samples.png")[1] == command, "a replay gives the same bytes")
    # of other kinds too, from any folder
    for kind, options, written in (("restore", {"measurement": f"jobs/{job}/files/samples.png", "operator": "denoise", "noise": 0.2, "class": 1, "steps": 3}, "00000.png"),
                                   ("img2img", {"image": f"jobs/{job}/files/samples.png", "class": 2, "steps": "ddim5"}, "00000.png")):
        made = server.ask("POST", "/api/jobs", {"kind": kind, "options": options})[1]
        state = server.wait(made["id"])
        folder = f"{server.folder}/{kind}"
        found = subprocess.run(state["command"].replace("guided", os.environ["GUIDED_BINARY"], 1) + f" -q -o {folder}", shell=True, capture_output=True, text=True)
        check(state["state"] == "done" and found.returncode == 0, f"{kind}: {state} {found.stderr}")
        with open(f"{folder}/{written}", "rb") as f:
            check(server.ask("GET", f"/api/jobs/{made['id']}/files/restored/{written}")[1] == f.read(), f"the command of {kind} gives the same bytes")
    one = server.sample()
    verify = server.ask("POST", "/api/jobs", {"kind": "verify", "words": [f"jobs/{one}/files/samples.png"]})[1]["id"]
    state = server.wait(verify)
    check(state.get("result", {}).get("equal") == 1, f"verified: {state}")


def refuses(server):
    def job(status, text, kind="sample", options=None, **more):
        refused(server, status, text, "POST", "/api/jobs", {"kind": kind, "options": options or {}, **more})

    job(400, "sample", kind="smaple")
    job(400, "steps", options={"stesp": 3})
    job(400, "scale", options={"scale": -1})
    job(400, "a text, a number", options={"scale": None})
    job(400, '"kind", "options"', seed=3)
    job(400, "tag", tag="x" * 64)
    job(400, "words", words=[1])
    refused(server, 400, "kind", "POST", "/api/jobs", {"options": {}})
    json = {"Content-Type": "application/json"}
    for body in ("", "{", "[]", "null", '{"kind":"sample","kind":"sample"}', "[" * 100000, '"\\ud800"'):
        refused(server, 400, "", "POST", "/api/jobs", body, json)
    refused(server, 415, "application/json", "POST", "/api/jobs", "{}", {"Content-Type": "text/plain"})
    refused(server, 413, "too large", "POST", "/api/jobs", " " * (2 * MEBI), json)
    refused(server, 413, "too large", "POST", "/api/uploads?name=x.png", b"x" * (3 * MEBI))
    refused(server, 404, "", "GET", "/api/jobs/999999")
    refused(server, 404, "", "GET", "/api/nothing")
    refused(server, 405, "", "PUT", "/api/jobs")
    refused(server, 405, "", "DELETE", "/")


def keeps_paths_inside(server):
    secret = server.folder + "/secret.safetensors"
    with open(secret, "wb") as f:
        f.write(b"secret")
    given = server.folder + "/given"
    os.symlink(server.folder, given + "/out")
    os.symlink("/etc", server.folder + "/state/uploads/link")
    job = server.sample()
    server.wait(job)
    for value in (secret, "/etc/passwd", "../../../secret.safetensors", f"{given}/../secret.safetensors", f"{given}/out/secret.safetensors",
                  "uploads/../../secret.safetensors", "uploads/link/passwd", f"jobs/{job}/job.json", "a/b", f"{given}/x,/etc/passwd", "//etc/passwd",
                  f"{given}/x:../../secret.safetensors", given + "2/x"):
        for option in ("model", "labels", "output", "config"):
            refused(server, 400, "", "POST", "/api/jobs", {"kind": "sample", "options": {option: value}})
        refused(server, 400, "", "POST", "/api/jobs", {"kind": "info", "words": [value]})
    for path in ("files/../job.json", "files/..%2fjob.json", "files/%2e%2e/job.json", "files//etc/passwd", "files/", "frames/../job.json",
                 "files/samples.png/", "files/.hidden"):
        check(server.ask("GET", f"/api/jobs/{job}/{path}")[0] == 404, f"GET {path} is not found")
    for name in ("", "../x", "a/b", ".x", "-x", "a,b", "x" * 200, "a%00b/..", "a%0ab"):
        status = server.ask("POST", f"/api/uploads?name={name}", "x")[0]
        check(status == 400 or (name == "a%00b/.." and status == 201), f"upload as {name!r}: {status}")


def takes_uploads(server):
    job = server.sample()
    server.wait(job)
    picture = server.ask("GET", f"/api/jobs/{job}/files/samples.png")[1]
    status, answer = server.ask("POST", "/api/uploads?name=my%20picture.png", picture)
    check(status == 201 and answer["bytes"] == len(picture), f"upload: {answer}")
    info = server.ask("POST", "/api/jobs", {"kind": "info", "words": [answer["file"]]})[1]["id"]
    check(server.wait(info)["state"] == "done", "a job reads what was uploaded")


def guards():
    server = Server()
    own = f"127.0.0.1:{server.port}"
    for host in ("evil.example", f"evil.example:{server.port}", "127.0.0.1:1", "192.168.0.1", "[::1", ""):
        refused(server, 403 if host else 403, "", "GET", "/api/jobs", None, {"Host": host})
    for origin in ("http://evil.example", "null", f"https://{own}", f"http://localhost:{server.port}"):
        refused(server, 403, "origin", "GET", "/api/jobs", None, {"Origin": origin})
    refused(server, 403, "origin", "POST", "/api/jobs", {"kind": "models"}, {"Sec-Fetch-Site": "cross-site"})
    check(server.ask("GET", "/", None, {"Sec-Fetch-Site": "cross-site"})[0] == 200, "a link from elsewhere opens the page")
    check(server.ask("GET", "/api/jobs", None, {"Host": f"localhost:{server.port}", "Origin": f"http://localhost:{server.port}"})[0] == 200, "our own origin")
    server.stop()

    server = Server("--listen", "127.0.0.1")
    token = server.url.split("token=")[1]
    refused(server, 401, "token", "GET", "/api/jobs")
    refused(server, 401, "token", "GET", "/", None, {"Authorization": "Bearer " + "0" * len(token)})
    refused(server, 401, "token", "GET", "/?token=" + token[:-1])
    check(server.ask("GET", "/api/jobs", None, {"Authorization": "Bearer " + token})[0] == 200, "the token as a header")
    check(server.ask("GET", "/api/jobs", None, {"Cookie": "guided_token=" + token})[0] == 200, "the token as a cookie")
    check(server.ask("GET", "/?token=" + token)[0] == 303, "the address with the token sets the cookie")
    server.stop()


def read_events(server, job, last=None, end=b"", wait=0):
    with socket.create_connection(("127.0.0.1", server.port), timeout=120) as s:
        header = f"Last-Event-ID: {last}\r\n" if last else ""
        s.sendall(f"GET /api/jobs/{job}/events HTTP/1.0\r\nHost: 127.0.0.1:{server.port}\r\n{header}\r\n".encode())
        data = b""
        time.sleep(wait)
        while not end or end not in data:
            part = s.recv(1 << 16)
            if not part:
                break
            data += part
    return data


def streams_events(server):
    job = server.sample(steps="ddim50", num=2)
    results = [None] * 100
    slow = socket.create_connection(("127.0.0.1", server.port))
    slow.sendall(f"GET /api/events?job={job} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n".encode())  # never ends its request, never reads

    def watch(i):
        results[i] = read_events(server, job, wait=2 if i % 10 == 0 else 0)

    threads = [threading.Thread(target=watch, args=(i,)) for i in range(len(results))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    slow.close()
    lines = [[part for part in r.split(b"\n\n") if b"event: line" in part] for r in results]
    check(all(len(part) == len(lines[0]) for part in lines), f"100 watchers see the same lines: {sorted({len(p) for p in lines})}")
    check(sum(b'"type":"frame"' in part for part in lines[0]) == 100, "a frame for each call of two images")
    check(all(b'"state":"done"' in r for r in results), "and the end")
    ids = [part.split(b"id: ")[1].split(b"\n")[0].decode() for part in lines[0]]
    rest = [part for part in read_events(server, job, ids[len(ids) // 2]).split(b"\n\n") if b"event: line" in part]
    check(len(rest) == len(ids) - len(ids) // 2 - 1, "after a reconnection only what was missed")
    for last in ("x", "1.99999999999", "-1.0", "1.-5", "99999999999999999999.1", "7.0"):
        check(b'"type":"begin"' in read_events(server, job, last), f"Last-Event-ID {last}: from the beginning")


def cancels(server):
    job = server.sample(steps="1000", num=500)
    waiting = server.sample()
    read_events(server, job, end=b'"unit":"steps"')
    check(server.ask("DELETE", f"/api/jobs/{waiting}")[0] == 200, "a waiting job is cancelled")
    check(server.wait(waiting)["state"] == "cancelled", "at once")
    check(server.ask("DELETE", f"/api/jobs/{job}")[0] == 200, "a running job is cancelled")
    check(server.wait(job)["state"] == "cancelled", "soon")
    check(server.ask("DELETE", f"/api/jobs/{job}")[0] == 200, "one that has ended is removed")
    check(server.ask("GET", f"/api/jobs/{job}")[0] == 404, "with its files")


def survives_kills(server):
    job = server.sample(steps="250", num=4, seed=5)
    after = server.sample(seed=6)
    read_events(server, job, end=b'"unit":"steps"')
    server.stop(signal.SIGKILL)
    server.start()
    read_events(server, job, end=b'"unit":"steps"')
    check(server.stop(signal.SIGTERM) == 0, "SIGTERM ends the server with status 0")
    server.start()
    state = server.wait(job)
    check(state["state"] == "done" and state["runs"] == 3, f"the job ran again: {state}")
    check(server.wait(after)["state"] == "done", "the job behind it ran, too")
    path = server.folder + "/again.png"
    subprocess.run(state["command"].replace("guided", os.environ["GUIDED_BINARY"], 1) + f" -q -o {path}", shell=True, check=True)
    with open(path, "rb") as f:
        check(server.ask("GET", f"/api/jobs/{job}/files/samples.png")[1] == f.read(), "kills do not change the picture")
    second = subprocess.run([os.environ["GUIDED_BINARY"], "serve", "--port", "0", "--state", server.folder + "/state"], capture_output=True, text=True, check=False)
    check(second.returncode == 1 and "another guided serve" in second.stderr, f"two servers on one folder: {second}")


def memory_stays(server):
    def some(n):
        for job in [server.sample(steps="ddim2", seed=i) for i in range(n)]:
            server.wait(job)
        return server.memory_kib()

    before = some(20)
    after = some(60)
    check(after < before + 8 * 1024, f"memory after 60 more jobs: {before} KiB, then {after} KiB")


def main():
    folder = tempfile.TemporaryDirectory()
    os.mkdir(folder.name + "/given")
    server = Server("--folders", folder.name + "/given", "--max-upload", "2", folder=folder.name)
    for part in (describes, equals_the_command, refuses, keeps_paths_inside, takes_uploads, streams_events, cancels, survives_kills, memory_stays):
        print(part.__name__, flush=True)
        part(server)
    check(server.stop() == 0, "the server ends with status 0")
    guards()
    folder.cleanup()


try:
    main()
except (AssertionError, TimeoutError, OSError, KeyError) as error:
    failures.append(repr(error))
    print("FAIL:", repr(error))
    raise
finish()
