#!/usr/bin/env python3
"""The control socket: rude, slow and many clients, and who may ask."""

import json
import os
import pwd
import signal
import socket
import struct
import time

from lib import (SANITIZER, Control, World, alive, check, equal, finish,
                 report, rss_anon, status, wait_for)


def as_user(name, what):
    """what() as another user of this machine; its value by JSON."""
    r, out = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            user = pwd.getpwnam(name)
            os.setgroups([])
            os.setgid(user.pw_gid)
            os.setuid(user.pw_uid)
            os.write(out, json.dumps(what()).encode())
        finally:
            os._exit(0)
    os.close(out)
    with os.fdopen(r) as f:
        text = f.read()
    os.waitpid(child, 0)
    return json.loads(text or "null")


def served(w, name):
    start = time.monotonic()
    answer = as_user("nobody", lambda: status(w.socket))
    took = time.monotonic() - start
    check(name, answer and answer["type"] == "status.answer" and took < 2,
          "%.1f s %r" % (took, answer))


def rude(w):
    """Bad bytes end that client's connection and nothing else."""
    def frame(text):
        return struct.pack("!I", len(text)) + text

    hello = frame(b'{"type":"hello","service":"t","major":1,"version":"0"}')
    for name, raw in (
            ("garbage", os.urandom(100) + b"\xff" * 100),
            ("HTTP", b"GET / HTTP/1.1\r\n\r\n"),
            ("length 0", bytes(4)),
            ("length of 2 GiB", b"\x7f\xff\xff\xff{"),
            ("length above 64 KiB", struct.pack("!I", 65537)),
            ("a data frame", hello + b"\x80\0\0\5\0\0\0\1x"),
            ("no hello", frame(b'{"type":"status","id":1}')),
            ("another major", frame(b'{"type":"hello","service":"t",'
                                    b'"major":2,"version":"0"}')),
            ("hello twice", hello + hello),
            ("no JSON", hello + frame(b"nothing")),
            ("id twice", hello + frame(b'{"type":"status","id":1,"id":2}')),
            ("a sibling's message", hello + frame(b'{"type":"go"}')),
            ("deep JSON", hello + frame(b"[" * 60000)),
            ("an unknown message", hello + frame(b'{"type":"x","id":1}'))):
        with Control(w.socket) as c:
            c.s.sendall(raw)
            got = None
            try:
                while c.recv() is not None:
                    pass
            except (OSError, ValueError) as e:
                got = e
            check("control socket: " + name, got is None, repr(got))
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(w.socket)
        s.sendall(hello)
        socket.send_fds(s, [frame(b'{"type":"status","id":1}')], [0])
        s.settimeout(5)
        try:
            while s.recv(65536):
                pass
            got = "end"
        except ConnectionResetError:
            got = "end"
        except socket.timeout:
            got = "time-out"
        equal("control socket: a descriptor", got, "end")


def control_socket(w):
    pids = w.processes()
    rude(w)
    slow = Control(w.socket)
    slow.hello()
    slow.s.sendall(b"\0\0")
    mute = Control(w.socket)
    began = time.monotonic()
    # Asks without end and reads nothing.
    deaf = Control(w.socket)
    base = rss_anon([pids["frontend"]])
    deaf.send({"type": "hello", "service": "t", "major": 1, "version": "0"})
    deaf.s.settimeout(0.5)
    sent = 0
    try:
        while sent < 50000:
            sent += 1
            deaf.send({"type": "status", "id": sent})
    except OSError:
        pass
    more = rss_anon([pids["frontend"]]) - base
    if SANITIZER:
        report("skip", "memory for a client that never reads",
               "a sanitizer's build has its own")
    else:
        check("a client that never reads takes little memory (%d requests)"
              % sent, more < 4 << 20, more)
    served(w, "others are answered beside it")
    many = []
    for _ in range(300):
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        try:
            s.connect(w.socket)
        except OSError:
            pass
        many.append(s)
    served(w, "300 connections of one user: another one is answered")
    open_now = len(os.listdir("/proc/%d/fd" % pids["frontend"]))
    check("of which it may have 32", open_now < 64, open_now)
    for s in many:
        s.close()
    deaf.s.close()
    answer = wait_for(lambda: try_status(w), 5)
    check("and again, once they are gone", answer, answer)
    time.sleep(max(0.0, began + 5.5 - time.monotonic()))
    check("no hello: cut after 5 s", hello_end(mute))
    time.sleep(max(0.0, began + 10.5 - time.monotonic()))
    slow.s.settimeout(2)
    equal("a frame without end: cut after 10 s", slow.recv(), None)
    equal("a user whom peers does not name", as_user(
        "games", lambda: status(w.socket)).get("error"), "refused")
    check("the daemon lives", all(alive(p) for p in pids.values()) and
          w.processes() == pids)


def try_status(w):
    try:
        return status(w.socket)
    except (OSError, TypeError):
        return None


def hello_end(control):
    """The hello of the other side, and then the end."""
    control.s.settimeout(2)
    first = control.recv()
    return first["type"] == "hello" and control.recv() is None


def stopped_worker(w):
    """Counters that are not whole are told as such."""
    worker = w.processes()["proxy 1"]
    os.kill(worker, signal.SIGSTOP)
    try:
        warnings = status(w.socket)["warnings"]
        check("a worker that does not answer is told", any(
            "1 processes did not answer" in line for line in warnings),
            warnings)
    finally:
        os.kill(worker, signal.SIGCONT)


def main():
    with World() as w:
        w.start(w.config(peers=[{"user": "root", "may": ["status"]},
                                {"user": "nobody", "may": ["status"]}]))
        control_socket(w)
        stopped_worker(w)
    finish()


main()
