#!/usr/bin/env python3
"""conformance L01, L04: what a run prints, in amounts: 1 GiB of it, readers
that do not read, and a daemon that is away.

Every 16 bytes of the output say where they are, so that a byte which is lost,
doubled or in another place shows.
"""

import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from dispatch import Dispatch, HOST, missing
from lib import (AGENT_CLI, ORIGIN, SANITIZER, Control, check, equal, finish,
                 proc_status, report, wait_for)

MIB = 1 << 20
BLOCK, LINE = 65536, 16
LOG_LIMIT = 4 * MIB
RUNS_MAX_KIB = 16 * 1024
RING = 4 * MIB          # what PID 1 keeps while nobody takes it
CHUNK_MAX, CHUNK_HEAD = 32768, 8
OUT, ERR, GAP = 1, 2, 3
# Prints blocks, as fast as it can or with a pause behind each.
TOOL = """
import os, time
lines = b"".join(b"BBBBBBB.%%07d\\n" %% i for i in range(%d))
for i in range(BLOCKS):
    data = lines.replace(b"BBBBBBB", b"%%07d" %% i)
    while data:
        data = data[os.write(1, data):]
    time.sleep(PAUSE)
""" % (BLOCK // LINE)


def at(offset, n):
    """The bytes that the tool printed there."""
    first, out = offset // LINE, []
    for i in range(first, (offset + n + LINE - 1) // LINE + 1):
        out.append(b"%07d.%07d\n" % divmod(i, BLOCK // LINE))
    skip = offset - first * LINE
    return b"".join(out)[skip:skip + n]


def begin(w, blocks, pause=0, profile="probe"):
    path = os.path.join(w.dir, "print-prompt")
    with open(path, "w") as f:
        f.write(TOOL.replace("BLOCKS", str(blocks))
                .replace("PAUSE", str(pause)))
    return w.detach("--tool", "python", "--profile", profile,
                    "--prompt-file", path)


# -- a reader of logs ------------------------------------------------------

class Reader(Control):
    """The request logs, as PROTOCOL.md has it."""

    def __init__(self, w, ident, since=0, follow=False, credit=262144):
        super().__init__(w.disp_socket, 120)
        self.hello()
        self.send({"type": "logs", "id": 1, "run": ident, "since": since,
                   "follow": follow, "stream": 7})
        self.window(credit)
        self.at, self.pieces, self.gaps = since, [], []
        self.answer = None

    def window(self, n):
        self.send({"type": "stream.window", "stream": 7, "bytes": n})

    def read(self):
        """To the end: pieces [(offset, kind, bytes)], gaps [(from, to)], and
        the answer."""
        raw, ended = b"", False
        while not (ended and self.answer):
            word = struct.unpack("!I", self.exactly(4))[0]
            body = self.exactly(word & 0x7fffffff)
            if not word >> 31:
                m = json.loads(body)
                ended = ended or m["type"] == "stream.end"
                if m["type"] in ("logs.answer", "error"):
                    self.answer = m
                continue
            raw = self.chunks(raw + body[4:])
            self.window(len(body) - 4)
        return self

    def chunks(self, raw):
        while len(raw) >= CHUNK_HEAD:
            kind, n = raw[0], struct.unpack("!I", raw[4:8])[0]
            if len(raw) < CHUNK_HEAD + n:
                break
            data, raw = raw[CHUNK_HEAD:CHUNK_HEAD + n], raw[CHUNK_HEAD + n:]
            if kind == GAP:
                n = struct.unpack("!Q", data)[0]
                self.gaps.append((self.at, self.at + n))
            else:
                self.pieces.append((self.at, kind, data))
            self.at += n
        return raw

    def wrong(self):
        """The first piece that is not what was printed there, or None."""
        for offset, kind, data in self.pieces:
            if kind != OUT or data != at(offset, len(data)):
                return offset, kind, data[:40], at(offset, 40)
        return None

    def kept(self):
        return sum(len(data) for _, _, data in self.pieces)

    def missing(self):
        return sum(b - a for a, b in self.gaps)


def adds_up(title, w, ident, total):
    """show, the reader and agent-cli agree on what was printed and kept."""
    log = w.json("show", ident)["log"]
    check(title + ": bytes, kept and dropped add up", log["bytes"] == total and
          log["kept"] + log["dropped"] == total, (log, total))
    with Reader(w, ident) as r:
        r.read()
    equal(title + ": each byte is at its offset", r.wrong(), None)
    equal(title + ": the log is as long as was printed", r.at, total)
    equal(title + ": what can be read is what is counted",
          (r.kept(), r.missing()), (log["kept"], log["dropped"]))
    p = w.cli("logs", ident)
    data = b"".join(d for _, _, d in r.pieces)
    check(title + ": agent-cli logs prints just that", p.stdout == data,
          (len(p.stdout), len(data)))
    told = [(int(n), int(to)) for n, to in re.findall(
        rb"(\d+) bytes of output are missing here, up to offset (\d+)",
        p.stderr)]
    equal(title + ": and says where bytes are missing", told,
          [(b - a, b) for a, b in r.gaps])
    return log, r


# -- one GiB ---------------------------------------------------------------

class Peak(threading.Thread):
    """The most that a process had in memory, by its own account."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids, self.most, self.over = pids, {}, threading.Event()

    def look(self):
        for name, pid in self.pids.items():
            st = proc_status(pid)
            if "VmHWM" in st:
                self.most[name] = int(st["VmHWM"].split()[0])

    def run(self):
        while not self.over.wait(0.2):
            self.look()


def gigabyte(w):
    blocks = 1024 * MIB // BLOCK
    total = blocks * BLOCK
    title = "%d MiB printed" % (total // MIB)
    peak = Peak(w.disp_processes())
    peak.start()
    start = time.monotonic()
    ident = begin(w, blocks)
    s = w.over(ident, 120)
    took = time.monotonic() - start
    peak.look()
    peak.over.set()
    check(title + ": the run ends well", s and s["class"] == "ok", s)
    log, r = adds_up(title, w, ident, total)
    print("# %s in %.1f s; peak KiB %s; log %s; %d gaps" % (
        title, took, peak.most, log, len(r.gaps)), flush=True)
    check("runs stays under 16 MiB", peak.most["runs"] < RUNS_MAX_KIB,
          peak.most)
    check("what is kept is within log_limit, and most of it",
          LOG_LIMIT * 5 // 8 <= log["kept"] <= LOG_LIMIT, log)
    head = [offset + len(d) for offset, _, d in r.pieces]
    check("the head is kept", r.pieces[0][0] == 0 and
          sum(len(d) for o, _, d in r.pieces[:len(r.pieces) // 2]) >=
          LOG_LIMIT // 4, head[:3])
    check("and the tail", r.pieces[-1][0] + len(r.pieces[-1][2]) == total,
          r.pieces[-1][0])
    middle = r.pieces[len(r.pieces) // 2][0] + 5
    with Reader(w, ident, since=middle) as part:
        part.read()
    equal("from an offset on: nothing wrong", part.wrong(), None)
    equal("from an offset on: the rest, to the byte",
          b"".join(d for _, _, d in part.pieces),
          b"".join(d[max(0, middle - o):] for o, _, d in r.pieces
                   if o + len(d) > middle))


def crumbs(w):
    """Many small pieces are far less than the credit of a reader; still each
    of them comes, and the end."""
    ident = w.detach("i=0; while [ $i -lt 100 ]; do i=$((i + 1)); echo $i; "
                     "sleep 0.02; done")
    s = w.over(ident)
    want = "".join("%d\n" % (i + 1) for i in range(100)).encode()
    check("100 lines, one at a time: the run ends well", s and
          s["class"] == "ok", s)
    equal("100 lines, one at a time: logs has them", w.cli(
        "logs", ident, timeout=20).stdout, want)
    equal("100 lines, one at a time: logs -f too", w.cli(
        "logs", "-f", ident, timeout=20).stdout, want)


# -- readers ---------------------------------------------------------------

def stopped_reader(w):
    """One that follows and stops reading: neither the run nor another reader
    notices. Nothing is kept for it, so it need not be dropped."""
    blocks = 16 * MIB // BLOCK
    ident = begin(w, blocks, 0.01)
    wait_for(lambda: w.state(ident) == "RUNNING", 30)
    stuck = subprocess.Popen([AGENT_CLI, "--run-dir", w.dir, "logs", "-f",
                              ident], stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL)
    try:
        with Reader(w, ident, follow=True) as r:
            wait_for(lambda: r.s.recv(1, socket.MSG_PEEK), 10)
            os.kill(stuck.pid, signal.SIGSTOP)
            frontend = w.disp_processes()["frontend"]
            before = int(proc_status(frontend)["VmRSS"].split()[0])
            r.read()
        s = w.over(ident)
        check("one reader stopped: the run ends well", s and
              s["class"] == "ok", s)
        equal("one reader stopped: another one gets it all",
              (r.wrong(), r.at, r.missing()), (None, blocks * BLOCK, 0))
        grown = int(proc_status(frontend)["VmRSS"].split()[0]) - before
        check("one reader stopped: nothing piles up for it", grown < 2048,
              grown)
        os.kill(stuck.pid, signal.SIGCONT)
        out, _ = stuck.communicate(timeout=60)
        equal("it goes on: status", stuck.returncode, 0)
        check("it goes on: and gets what is still kept", len(out) >=
              LOG_LIMIT // 2, len(out))
    finally:
        if stuck.poll() is None:
            stuck.kill()
            stuck.wait()


def greedy_reader(w):
    """One that says it has room and reads nothing is dropped at the cap."""
    ident = begin(w, 32 * MIB // BLOCK, 0.005)
    wait_for(lambda: w.state(ident) == "RUNNING", 30)
    with Reader(w, ident, follow=True, credit=MIB) as greedy, \
            Reader(w, ident, follow=True) as r:
        other = threading.Thread(target=r.read)
        other.start()
        dropped = False
        for _ in range(300):
            try:
                greedy.window(MIB)
            except OSError:
                dropped = True
                break
            time.sleep(0.02)
        other.join(60)
        check("who takes credit and does not read is dropped", dropped)
        got = 0
        try:
            while True:
                piece = greedy.s.recv(65536)
                if not piece:
                    break
                got += len(piece)
        except OSError:
            pass
        check("at a cap: it was sent little", got < 4 * MIB, got)
    s = w.over(ident)
    check("the run and the other reader are unaffected", s and
          s["class"] == "ok" and r.wrong() is None and
          r.at == 32 * MIB and not r.gaps, (s, r.at, r.gaps))


# -- a daemon that is away -------------------------------------------------

def tool_of(w, ident):
    """Whether the tool of a run is there: a child of its PID 1."""
    pid = int(w.engine.docker("inspect", "-f", "{{.State.Pid}}",
                              "bulkhead-" + ident).stdout)
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return f.read().split()


def away(w):
    """Nobody takes what the tool prints: it ends all the same, in its own
    time, and what did not fit is counted."""
    blocks = 96 * MIB // BLOCK
    ident = begin(w, blocks, 0.002)
    wait_for(lambda: w.cli("logs", ident).stdout, 30)
    old = w.disp_pid()
    w.disp.kill()       # first: who would start it again
    w.disp.wait()
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: not os.path.exists("/proc/%d" % old))
    check("dispatchd is away: the tool still prints", tool_of(w, ident))
    check("dispatchd is away: the tool ends in its own time",
          wait_for(lambda: not tool_of(w, ident), 40))
    w.start_dispatchd(w.conf)
    s = w.over(ident)
    check("back: the run ends well", s and s["class"] == "ok" and
          s["exit_code"] == 0, s)
    log, r = adds_up("back", w, ident, blocks * BLOCK)
    check("back: drops were counted where they are", log["dropped"] >=
          blocks * BLOCK - LOG_LIMIT and len(r.gaps) >= 1, log)
    print("# away: log %s, %d gaps" % (log, len(r.gaps)), flush=True)


def main():
    if SANITIZER:
        finish()    # the other build is the one that is meant
    why = missing()
    if why:
        report("skip", "output", why)
        finish()
    with Dispatch({HOST: ["A:" + ORIGIN]}) as w:
        w.conf = w.dispatch_config(log_limit=LOG_LIMIT)
        w.start_dispatchd(w.conf)
        crumbs(w)
        gigabyte(w)
        stopped_reader(w)
        greedy_reader(w)
        away(w)
        equal("the records verify",
              w.cli("audit", "verify", w.disp_audit).returncode, 0)
    finish()


if __name__ == "__main__":
    main()
