#!/usr/bin/env python3
"""Limits: many tunnels, slow heads, no descriptors."""

import os
import resource
import socket
import subprocess
import sys
import time

from lib import (ORIGIN, SANITIZER, World, ask, check, code_of, connect,
                 connect_request, cpu_seconds, equal, finish, read_head,
                 report, rss_anon, status, tunnel, wait_for)

CIDR = ["10.99.0.0/24"]
RULES = [{"host": "good.test", "port": port, "cidr": CIDR, "proto": "any"}
         for port in (7, 5000)]
BAD = connect_request("bad.test:443")
# Connections that nobody accepts are open all the same, and cost nothing.
HOLD = """
import socket, sys, time
s = socket.socket()
s.bind((sys.argv[1], 5000))
s.listen(4096)
print("listening", flush=True)
time.sleep(600)     # its end resets them all
"""
TUNNELS = 2000
KIB = 1024


def proxies(w):
    return w.children()["proxy"]


def echoes(s, data=b"echo"):
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = s.recv(len(data) - len(got))
        if not piece:
            return False
        got += piece
    return got == data


def busy(pids, seconds=3):
    """The share of a processor that they take together."""
    before = cpu_seconds(pids)
    time.sleep(seconds)
    return (cpu_seconds(pids) - before) / seconds


def open_tunnels(n, batch=50):
    """n tunnels, each with its 200; a batch at a time."""
    slots = []
    for i in range(0, n, batch):
        new = [connect() for _ in range(min(batch, n - i))]
        for s in new:
            s.sendall(connect_request("good.test:5000"))
        for s in new:
            if not read_head(s).startswith(b"HTTP/1.1 200 "):
                s.close()
                continue
            slots.append(s)
    return slots


def idle_tunnels(w):
    hold = w.start_outside(sys.executable, "-c", HOLD, ORIGIN,
                           stdout=subprocess.PIPE)
    hold.stdout.readline()
    pids = proxies(w)
    open_tunnels(20)    # warm
    base = rss_anon(pids)
    slots = open_tunnels(TUNNELS)
    equal("%d tunnels at once" % TUNNELS, len(slots), TUNNELS)
    if SANITIZER:
        report("skip", "memory and CPU of idle tunnels",
               "a sanitizer's build has its own")
    else:
        each = (rss_anon(pids) - base) // TUNNELS
        check("an idle tunnel takes under 96 KiB (%d)" % each,
              each < 96 * KIB, each)
        share = busy(pids)
        check("idle tunnels take no processor time", share < 0.03, share)
    start = time.monotonic()
    with tunnel("good.test:7") as s:
        check("another one beside them", echoes(s) and
              time.monotonic() - start < 1)
    state = status(w.socket)["state"]
    check("status counts them", int(state["tunnels open"]) >= TUNNELS,
          state)
    for s in slots:
        s.close()
    hold.terminate()
    hold.wait()
    check("all are gone", wait_for(lambda: int(status(w.socket)["state"]
                                               ["clients"]) == 0, 10),
          status(w.socket)["state"])
    fds = max(len(os.listdir("/proc/%d/fd" % p)) for p in pids)
    check("and their descriptors", fds < 100, fds)


def slow_heads(w):
    slots = [connect() for _ in range(500)]
    for s in slots:
        s.sendall(b"C")
    worst = 0
    for _ in range(20):
        start = time.monotonic()
        with tunnel("good.test:7") as s:
            echoes(s)
        worst = max(worst, time.monotonic() - start)
        for slow in slots[::5]:
            slow.sendall(b"O"[:1])
    check("500 slow heads do not delay a good one", worst < 0.5,
          "%.2f s" % worst)
    for s in slots:
        s.close()


def no_descriptors(w, conf):
    """So few that accept(2) fails."""
    w.stop_keeper()
    w.start(dict(conf, workers=1, listeners=conf["listeners"] + [
        {"name": "two", "address": "127.0.0.1:3129", "profile": "dev"}]),
        before=["prlimit", "--nofile=140:140"])
    pid, pids = w.pid(), proxies(w)
    live = [tunnel("good.test:7") for _ in range(10)]
    slots = []
    for i in range(400):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", 3128 + i % 2))
        slots.append(s)
    time.sleep(0.3)
    fds = len(os.listdir("/proc/%d/fd" % pids[0]))
    check("no descriptors: all in use", fds >= 138, fds)
    share = busy(pids)
    if SANITIZER:
        report("skip", "no descriptors: accept does not spin",
               "a sanitizer's build takes its own time")
    else:
        check("no descriptors: accept does not spin", share < 0.2, share)
    check("no descriptors: live tunnels go on",
          all(echoes(s) for s in live))
    equal("no descriptors: status answers", status(w.socket)["type"],
          "status.answer")
    # One that was accepted asks for a tunnel, for which there is none.
    slots[0].settimeout(10)
    slots[0].sendall(connect_request("good.test:7"))
    code = code_of(read_head(slots[0]))
    equal("no descriptors: a tunnel is refused", code,
          ("503", "overloaded"))
    with open(w.log) as f:
        lines = sum("out of descriptors" in line for line in f)
    check("no descriptors: the log is not flooded", 1 <= lines < 10, lines)
    for s in slots:
        s.close()
    start = time.monotonic()
    served = wait_for(lambda: code_of(ask(BAD)) == ("403", "host"), 10)
    took = time.monotonic() - start
    check("descriptors again: serves", served and took < 2, "%.1f s" % took)
    check("descriptors again: live tunnels", all(echoes(s) for s in live))
    with tunnel("good.test:7") as s:
        check("descriptors again: a tunnel", echoes(s))
    equal("the same daemon all the time", w.pid(), pid)
    for s in live:
        s.close()


def limit_of_clients(w, conf):
    """More clients than the limit of descriptors lets in."""
    w.stop_keeper()
    w.start(dict(conf, workers=1), before=["prlimit", "--nofile=600:600"])
    pid, pids = w.pid(), proxies(w)
    live = tunnel("good.test:7")
    slots = [connect() for _ in range(600)]
    time.sleep(0.3)
    told = 0
    for s in slots:
        s.setblocking(False)
        try:
            told += s.recv(100).startswith((b"HTTP/1.1 503 egress-overloaded",
                                            b"HTTP/1.1 429 egress-limit"))
        except BlockingIOError:
            pass
    check("too many clients: they are told", told >= 8, told)
    share = busy(pids)
    if SANITIZER:
        report("skip", "too many clients: no spinning",
               "a sanitizer's build takes its own time")
    else:
        check("too many clients: no spinning", share < 0.2, share)
    check("too many clients: a live tunnel goes on", echoes(live))
    for s in slots:
        s.close()
    check("fewer again: serves", wait_for(
        lambda: code_of(ask(BAD)) == ("403", "host"), 5))
    equal("the same daemon still", w.pid(), pid)
    live.close()


def main():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 20000:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20000, 20000))
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (20000, hard))
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        conf = w.config(profiles={"dev": {"allow": RULES}})
        w.start(conf)
        idle_tunnels(w)
        slow_heads(w)
        no_descriptors(w, conf)
        limit_of_clients(w, conf)
        w.stop_keeper()
        out = w.verify_records()
        equal("the records verify", (out.returncode, out.stderr), (0, ""))
    finish()


main()
