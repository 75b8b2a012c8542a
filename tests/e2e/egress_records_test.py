#!/usr/bin/env python3
"""Records: what cannot be recorded is not done, and the chain survives."""

import json
import os
import signal
import subprocess
import time

from lib import (ORIGIN, World, ask, check, code_of, connect_request, equal,
                 finish, run, status, tunnel, wait_for)

RULES = [{"host": "good.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]
GOOD, BAD = connect_request("good.test:7"), connect_request("bad.test:443")
REFUSED = ("503", "unrecordable")


def verified(w, name):
    out = w.verify_records()
    equal(name, (out.returncode, out.stderr), (0, ""))


def moves(s, data=b"moves"):
    start = time.monotonic()
    s.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = s.recv(len(data) - len(got))
        if not piece:
            break
        got += piece
    return got == data and time.monotonic() - start < 1


def serves(w, name):
    """Both workers do: each has its own view of the records. Which of them
    gets a connection is chance, and one is asked again for seconds: so few
    questions would now and then all reach the one that serves already."""
    def codes():
        return {code_of(ask(BAD)) for _ in range(60)}
    check(name, wait_for(lambda: codes() == {("403", "host")}, 5), codes())


def paired(w, name, mark=0):
    def ids(kind):
        return sorted(r["id"] for r in w.records(kind) if r["seq"] > mark)
    wait_for(lambda: ids("tunnel.open") == ids("tunnel.close"), 5)
    equal(name, sorted(set(ids("tunnel.open")) ^ set(ids("tunnel.close"))),
          [])


def fill(path):
    with open(path, "wb", buffering=0) as f:
        try:
            while True:
                f.write(bytes(4096))
        except OSError:
            pass


def full_disk(w):
    pid = w.pid()
    stays, ends = tunnel("good.test:7"), tunnel("good.test:7")
    filler = os.path.join(os.path.dirname(w.audit), "fill")
    fill(filler)
    # The last page of the file still takes some.
    full = wait_for(lambda: code_of(ask(BAD)) == REFUSED, 10)
    check("full disk: a denial", full, code_of(ask(BAD)))
    equal("full disk: a tunnel", code_of(ask(GOOD)), REFUSED)
    check("full disk: an open tunnel goes on", moves(stays))
    answer = status(w.socket)
    check("full disk: status says so",
          int(answer["state"].get("unrecordable", 0)) > 0, answer)
    ends.close()
    time.sleep(2.5)
    equal("full disk: still refused", code_of(ask(GOOD)), REFUSED)
    check("full disk: still moves", moves(stays))
    before = len(w.records("tunnel.close"))
    os.unlink(filler)
    serves(w, "space again: serves")
    closed = wait_for(lambda: w.records("tunnel.close")[before:], 5)
    check("space again: the tunnel that ended meanwhile has its record",
          closed and closed[0]["end"] == "done", closed)
    with tunnel("good.test:7") as s:
        check("space again: a tunnel", moves(s))
    stays.close()
    equal("full disk: the same daemon all the time", w.pid(), pid)
    paired(w, "full disk: each tunnel has both its records")
    check("full disk: the cut line was taken up", w.records("recovered"))
    verified(w, "full disk: one chain")


def stopped(w):
    """The audit process does not answer."""
    audit = w.processes()["audit"]
    mark = w.records()[-1]["seq"]
    stays = tunnel("good.test:7")
    os.kill(audit, signal.SIGSTOP)
    try:
        start = time.monotonic()
        with_tunnel = code_of(ask(GOOD))
        took = time.monotonic() - start
        check("audit stopped: a tunnel is refused after a second",
              with_tunnel == REFUSED and 0.8 < took < 2.5,
              "%r after %.1f s" % (with_tunnel, took))
        # Both workers notice for themselves.
        codes = [code_of(ask(BAD)) for _ in range(8)]
        equal("audit stopped: denials", codes, [REFUSED] * 8)
        start = time.monotonic()
        codes = [code_of(ask(GOOD)) for _ in range(20)]
        took = time.monotonic() - start
        check("audit stopped: then at once", codes == [REFUSED] * 20 and
              took < 1.5, "%.1f s %r" % (took, set(codes)))
        check("audit stopped: an open tunnel goes on", moves(stays) and
              moves(stays, bytes(100000)))
        answer = status(w.socket)
        check("audit stopped: status answers",
              answer["type"] == "status.answer" and
              int(answer["state"]["unrecordable"]) > 0, answer)
    finally:
        os.kill(audit, signal.SIGCONT)
    serves(w, "audit goes on: serves")
    with tunnel("good.test:7") as s:
        check("audit goes on: a tunnel", moves(s))
    stays.close()
    paired(w, "audit goes on: each tunnel has both its records", mark)
    verified(w, "audit goes on: one chain")


def torn(w, conf):
    w.stop_keeper()
    with open(w.audit, "ab") as f:
        f.write(b'{"seq":99,"time":"2026-')
    w.start(conf)
    back = w.records("recovered")[-1]
    equal("torn bytes at the end", back["bytes"], 23)
    verified(w, "torn bytes: one chain")
    w.stop_keeper()
    os.truncate(w.audit, os.path.getsize(w.audit) - 10)
    w.start(conf)
    check("a torn record at the end", w.records("recovered")[-1]["bytes"] >
          100 and w.records()[-1]["type"] == "start")
    verified(w, "a torn record: one chain")


def broken(w, conf):
    """A byte in the middle: no start, and not a byte more."""
    w.stop_keeper()
    with open(w.audit, "rb") as f:
        good = f.read()
    lines = good.split(b"\n")
    for name, bad in (
            ("a changed byte", good.replace(b"tunnel.open", b"tunnel.opem",
                                            1)),
            ("a missing line", b"\n".join(lines[:2] + lines[3:])),
            ("a line twice", b"\n".join(lines[:2] + lines[1:]))):
        with open(w.audit, "wb") as f:
            f.write(bad)
        code, err = w.once("-d", "-f", w.conf_path)
        with open(w.audit, "rb") as f:
            same = f.read() == bad
        check("%s: no start, with the line" % name, code == 70 and
              "the record file is bad in line " in err, "%r %s" % (code, err))
        check("%s: nothing appended" % name, same)
    with open(w.audit, "wb") as f:
        f.write(good)
    w.start(conf)
    verified(w, "put back: one chain")


def renamed(w, conf):
    """By rename the same file goes on."""
    old, moved = w.audit, w.audit + ".1"
    os.rename(w.audit, moved)
    w.audit = moved
    equal("renamed: serves", code_of(ask(BAD)), ("403", "host"))
    equal("renamed: written there", w.records()[-1]["type"], "deny")
    verified(w, "renamed: one chain")
    check("renamed: no new file by itself", not os.path.exists(old))
    w.stop_keeper()
    verified(w, "renamed: to the end")
    w.audit = old
    w.start(conf)
    equal("renamed: the next start makes a new one", w.records()[0]["seq"],
          1)
    os.unlink(moved)


def taken_away(w, conf):
    """What is done to the file behind our back stops new work."""
    def removed():
        os.unlink(w.audit)

    def truncated():
        os.truncate(w.audit, 0)

    def written():
        with open(w.audit, "ab") as f:
            f.write(b"{}\n")

    for change, why in ((removed, "the record file was removed"),
                        (truncated, "the record file was truncated"),
                        (written, "somebody else wrote to the record file")):
        name = change.__name__
        pid = w.pid()
        with tunnel("good.test:7") as s:
            change()
            # Each worker is told no once, then says so by itself.
            wait_for(lambda: code_of(ask(GOOD)) == REFUSED, 5)
            equal(name + ": refused", (code_of(ask(GOOD)),
                                       code_of(ask(BAD))), (REFUSED,) * 2)
            check(name + ": an open tunnel goes on", moves(s))
        check(name + ": the log says why", w.logged(why))
        equal(name + ": the daemon is up", w.pid(), pid)
        os.kill(pid, signal.SIGTERM)    # and once more: do not drain
        time.sleep(0.2)
        w.stop_keeper()
        if os.path.exists(w.audit):
            os.unlink(w.audit)
        w.start(conf)
        serves(w, name + ": serves after a start")
        verified(w, name + ": a new chain")


def two_daemons(w, conf):
    """A second one, with everything else its own, on our record file."""
    other = dict(conf, socket=w.socket + ".2", listeners=[
        {"name": "dev", "address": "127.0.0.1:3999", "profile": "dev"}])
    path = w.conf_path + ".2"
    with open(path, "w") as f:
        json.dump(other, f)
    start = time.monotonic()
    code, err = w.once("-d", "-f", path)
    took = time.monotonic() - start
    check("two daemons, one file: the second leaves with 71", code == 71 and
          "in use by another instance" in err, "%r %s" % (code, err))
    check("two daemons, one file: after it waited for 3 s",
          2.5 < took < 8, "%.1f s" % took)
    serves(w, "two daemons, one file: the first serves")
    verified(w, "two daemons, one file: one chain")


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        small = os.path.join(w.dir, "small")
        os.mkdir(small, 0o755)
        run("mount", "-t", "tmpfs", "-o", "size=256k,mode=755", "bulkhead",
            small)
        try:
            w.audit = os.path.join(small, "egressd.jsonl")
            conf = w.config(profiles={"dev": {"allow": RULES}})
            w.start(conf)
            full_disk(w)
        finally:
            w.stop_keeper()
            subprocess.run(["umount", small], check=False)
        w.audit = os.path.join(w.dir, "egressd.jsonl")
        conf = w.config(profiles={"dev": {"allow": RULES}})
        w.start(conf)
        stopped(w)
        torn(w, conf)
        broken(w, conf)
        renamed(w, conf)
        two_daemons(w, conf)
        taken_away(w, conf)
    finish()


main()
