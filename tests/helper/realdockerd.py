#!/usr/bin/env python3
"""A Docker engine of its own for a test, with one tiny image.

Run as root: `realdockerd.py DIR`. The engine has its own network namespace,
data and socket (DIR/docker.sock). Prints READY, or SKIP and why. It goes, with
its containers, its mounts and its namespace, when standard input ends.
"""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import time

PROGRAM = """
#include <string.h>
#include <unistd.h>
int main(void) {
	static const char text[] = "PID 1 \\033 says\\n";
	if (write(2, text, strlen(text)) < 0)
		return 1;
	for (;;)
		pause();
}
"""


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("engine", timeout=30)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self.path)


def call(path, method, url, body=None, kind="application/json"):
    c = Unix(path)
    try:
        c.request(method, url, body, {"Content-Type": kind} if body else {})
        r = c.getresponse()
        return r.status, r.read()
    finally:
        c.close()


def skip(why):
    print("SKIP " + why, flush=True)
    sys.exit(0)


def image(d):
    """A layer with the one program, as bytes of a tar."""
    with open(d + "/pid1.c", "w") as f:
        f.write(PROGRAM)
    if subprocess.call(["cc", "-static", "-o", d + "/pid1", d + "/pid1.c"],
                       stderr=subprocess.DEVNULL) != 0:
        skip("no compiler for a static program")
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as t:
        t.add(d + "/pid1", "usr/bin/agent-cli")
    return raw.getvalue()


def wait_up(sock, process):
    for _ in range(300):
        if process.poll() is not None:
            return False
        try:
            if call(sock, "GET", "/_ping")[0] == 200:
                return True
        except OSError:
            pass
        time.sleep(0.1)
    return False


def empty(sock):
    try:
        for c in json.loads(call(sock, "GET", "/containers/json?all=1")[1]):
            call(sock, "DELETE", "/containers/%s?force=1&v=1" % c["Id"])
    except (OSError, ValueError):
        pass


def unmount(d):
    with open("/proc/self/mounts") as f:
        points = [line.split()[1] for line in f]
    for p in reversed(points):
        if p.startswith(d + "/"):
            subprocess.call(["umount", "-l", p])


def main():
    d = os.path.realpath(sys.argv[1])
    sock, netns = d + "/docker.sock", "bh-test-%d" % os.getpid()
    if os.geteuid() != 0:
        skip("not root")
    if shutil.which("dockerd") is None:
        skip("no dockerd")
    layer = image(d)
    if subprocess.call(["ip", "netns", "add", netns]) != 0:
        skip("no network namespaces")
    process = None
    try:
        with open(d + "/dockerd.log", "w") as log:
            process = subprocess.Popen(
                ["nsenter", "--net=/run/netns/" + netns, "dockerd",
                 "--data-root", d + "/data", "--exec-root", d + "/exec",
                 "--pidfile", d + "/pid", "-H", "unix://" + sock,
                 "--bridge=none"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not wait_up(sock, process):
            skip("dockerd does not start here")
        call(sock, "POST", "/images/create?fromSrc=-&repo=agent&tag=1", layer,
             "application/x-tar")
        os.chmod(sock, 0o666)
        print("READY", flush=True)
        sys.stdin.read()
        empty(sock)
    finally:
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        unmount(d)
        subprocess.call(["ip", "netns", "del", netns])
        shutil.rmtree(d, ignore_errors=True)


main()
