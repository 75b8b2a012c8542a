#!/usr/bin/env python3
"""Records when the disk is full, the writer stands still, or the file is torn."""

import json
import os
import signal
import subprocess
import time

from lib import (AGENT_CLI, ORIGIN, World, ask, check, code_of,
                 connect_request, equal, finish, report, tunnel, wait_for)

RULES = [{"host": "good.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]


def denied():
    return code_of(ask(connect_request("evil.test:443")))


def serves_again():
    """Each worker finds out by itself, within AUDIT_RETRY_MS."""
    return wait_for(lambda: all(denied() == ("403", "host")
                                for _ in range(16)), 10)


def echo(s, data=b"ping"):
    s.sendall(data)
    return s.recv(len(data)) == data


def full_disk(w):
    """The record file's file system takes no byte more."""
    filler = os.path.join(w.disk, "filler")
    kept, ending = tunnel("good.test:7"), tunnel("good.test:7")
    fd = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        while True:
            os.write(fd, bytes(4096))
    except OSError:
        os.close(fd)
    # What is left of the last block goes first.
    got = wait_for(lambda: (lambda c: c if c[1] == "unrecordable" else
                            None)(denied()), 10)
    equal("G8 a denial is unrecordable", got, ("503", "unrecordable"))
    equal("G8 so is a tunnel", code_of(ask(connect_request(
        "good.test:7"))), ("503", "unrecordable"))
    check("G8 an open tunnel goes on", echo(kept))
    pid = w.pid()
    closed = len(w.records("tunnel.close"))
    ending.close()
    time.sleep(0.3)
    os.unlink(filler)
    check("G8 space again: it serves", serves_again())
    check("G8 a tunnel that ended meanwhile is on record", wait_for(
        lambda: len(w.records("tunnel.close")) == closed + 1, 5))
    equal("G8 the daemon stayed up", w.pid(), pid)
    check("G8 the torn line is taken back", w.records("recovered"))
    kept.close()


def standing_still(w):
    """SIGSTOP of the audit process."""
    s = tunnel("good.test:7")
    audit = w.processes()["audit"]
    os.kill(audit, signal.SIGSTOP)
    try:
        start = time.monotonic()
        got = code_of(ask(connect_request("good.test:7")))
        took = time.monotonic() - start
        check("a late record: unrecordable within 2 s", got ==
              ("503", "unrecordable") and took < 2.5, "%r %.1f" %
              (got, took))
        took = []
        for _ in range(24):
            start = time.monotonic()
            got = denied()
            took.append(time.monotonic() - start)
            if got != ("503", "unrecordable"):
                break
        check("from then on at once, once each worker knows", len(took) ==
              24 and sum(t > 0.5 for t in took) <= 1, "%r %r" % (got, took))
        check("the loop is not blocked", echo(s))
    finally:
        os.kill(audit, signal.SIGCONT)
    check("it serves again", serves_again())
    s.close()


def verified(w, name):
    out = w.verify_records()
    equal(name, (out.returncode, out.stderr), (0, ""))


def torn(w):
    """A last line that a power cut tore."""
    w.stop_keeper()
    with open(w.audit, "rb") as f:
        whole = f.read()
    for cut in 1, 2, 40, 300:
        with open(w.audit, "r+b") as f:
            f.truncate(len(whole) - cut)
        w.start(w.conf)
        equal("torn by %d: it serves" % cut, denied(), ("403", "host"))
        w.stop_keeper()
        verified(w, "torn by %d: verified" % cut)
        check("torn by %d: recovered" % cut, w.records("recovered"))
        with open(w.audit, "r+b") as f:
            f.truncate(0)
            f.write(whole)


def flipped(w):
    """A byte in the middle is another one: nothing is appended to that."""
    with open(w.audit, "r+b") as f:
        data = bytearray(f.read())
        data[len(data) // 2] ^= 1
        f.seek(0)
        f.write(data)
    w.write_config(w.conf)
    status, err = w.once("-d", "-f", w.conf_path)
    check("a flipped byte: it does not start, and says why",
          status == 70 and "audit verify" in err, "%r %s" % (status, err))
    with open(w.audit, "rb") as f:
        equal("a flipped byte: nothing is appended", f.read(), bytes(data))
    out = w.verify_records()
    check("verify names the line", out.returncode == 1 and
          (w.audit + ":") in out.stderr, out.stderr)


def two_daemons(w):
    """One file has one writer."""
    os.unlink(w.audit)
    w.start(w.conf)
    other = dict(w.conf, socket=w.socket + "2", listeners=[])
    path = os.path.join(w.dir, "other.conf")
    with open(path, "w") as f:
        f.write(json.dumps(other))
    status, err = w.once("-d", "-f", path)
    check("a second daemon on the file leaves with 71", status == 71,
          "%r %s" % (status, err))
    equal("the first goes on", denied(), ("403", "host"))


def moved(w):
    """The file is taken away under the daemon."""
    os.rename(w.audit, w.audit + ".1")
    with open(w.audit + ".1", "rb") as f:
        before = len(f.read())
    denied()
    with open(w.audit + ".1", "rb") as f:
        check("a renamed file gets the records still",
              len(f.read()) > before)
    os.unlink(w.audit + ".1")
    equal("an unlinked one is no record", denied(),
          ("503", "unrecordable"))


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        w.disk = os.path.join(w.dir, "disk")
        os.mkdir(w.disk)
        if subprocess.run(["mount", "-t", "tmpfs", "-o",
                           "size=256k,mode=0755", "none",
                           w.disk]).returncode:
            report("skip", "records", "no tmpfs can be mounted here")
            finish()
        try:
            w.audit = os.path.join(w.disk, "egressd.jsonl")
            w.conf = w.config(profiles={"dev": {"allow": RULES}})
            w.start(w.conf)
            full_disk(w)
            verified(w, "G8 the file verifies")
            standing_still(w)
            verified(w, "behind a pause the file verifies")
            torn(w)
            flipped(w)
            two_daemons(w)
            moved(w)
            out = subprocess.run([AGENT_CLI, "audit", "verify",
                                  w.audit], capture_output=True, text=True)
            equal("verify of no file", out.returncode, 1)
            w.stop_keeper()
        finally:
            subprocess.run(["umount", "-l", w.disk], check=False)
    finish()


main()
