#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""10,000 requests that no client would send: the server answers or hangs up, and goes on."""
import random
import socket
import sys

from server import Server, check, finish

METHODS = ["GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "get", "", "G\0T", "X" * 300]
PATHS = ["/", "/api/jobs", "/api/jobs/1", "/api/jobs/1/events", "/api/jobs/1/files/samples.png", "/api/jobs/99999999999999999999", "/api/uploads?name=x",
         "/api/options?kind=sample", "/api/events?job=1", "//", "/%", "/%00", "/%zz", "/api/jobs/-1", "/" + "a" * 20000, "*", "http://x/", "", "/?&&=&token"]
HEADERS = ["Host: 127.0.0.1:{port}", "Host:", "Host: \xff", "Content-Length: -1", "Content-Length: 99999999999999999999", "Content-Length: 5",
           "Transfer-Encoding: chunked", "Transfer-Encoding: \0", "Connection: close", "Connection: keep-alive", "Content-Type: application/json",
           "Last-Event-ID: 1.5", "Cookie: guided_token=" + "x" * 5000, "Expect: 100-continue", "X" * 9000, ": x", "Authorization: Bearer", "Upgrade: h2c",
           "Range: bytes=5-2"]
BODIES = ["", "{}", '{"kind":"sample"', '{"kind":"sample","options":{"steps":"ddim2","model":"x"}}', "5\r\nhello\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "\0" * 50,
          "[" * 3000, '{"kind":' + '"a' * 500, '{"kind":"info","words":["\\u0000"]}']


def request(rng, port):
    lines = [f"{rng.choice(METHODS)} {rng.choice(PATHS)} HTTP/{rng.choice(['1.1', '1.0', '9.9', '', '1.1'])}"]
    lines += [rng.choice(HEADERS) for _ in range(rng.randrange(6))]
    if rng.random() < 0.7:
        lines.insert(1, HEADERS[0])
    data = bytearray("\r\n".join(lines).replace("{port}", str(port)).encode("latin-1") + b"\r\n\r\n" + rng.choice(BODIES).encode())
    for _ in range(rng.choice([0, 0, 1, 5])):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.2:
        data = data[:rng.randrange(len(data) + 1)]
    return bytes(data)


def send(port, data, listen):
    with socket.create_connection(("127.0.0.1", port), timeout=20) as s:
        s.settimeout(0.004 if listen else 20)
        try:
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            if listen:
                s.recv(4096)
        except OSError:
            pass


def main():
    server = Server()
    server.wait(server.sample())
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    rng = random.Random(seed)
    for i in range(10000):
        send(server.port, request(rng, server.port), i % 4 == 0)
        if i % 1000 == 999:
            check(server.process.poll() is None, f"the server lives after {i + 1} requests (seed {seed})")
            check(server.ask("GET", "/api/server")[0] == 200, f"and answers (seed {seed})")
    for job in server.ask("GET", "/api/jobs?limit=1000")[1]:
        server.ask("DELETE", f"/api/jobs/{job['id']}")
    check(server.wait(server.sample())["state"] == "done", "a job runs afterwards")
    check(server.stop() == 0, "the server ends with status 0")


main()
finish()
