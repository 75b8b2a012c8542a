#!/usr/bin/env python3
"""conformance F10: processes of both daemons are killed again and again, at
random, while jobs come and go. Each job ends exactly once, in a class that its
own output bears out, and no tool is started twice.

SEED in the environment repeats a choice of kills; it is printed.
"""

import collections
import json
import os
import random
import re
import signal
import subprocess
import threading
import time

from dispatch import Dispatch, HOST, missing
from lib import (ORIGIN, SANITIZER, check, equal, finish, report, wait_for)

KILLS, JOBS = (40, 6) if SANITIZER else (200, 20)
PAUSE = (0.6, 3.0) if SANITIZER else (0.1, 1.0)     # seconds between kills
SETTLE = 150
STEPS = 12
EXITS = 0, 3, 0, 0      # of job n: what its tool ends with
# A start of the tool leaves two traces: a line of output, and what the origin
# logs, unless egressd is down just then.
TOOL = """
mark=$(cat /proc/sys/kernel/random/uuid)
echo "RUN $mark"
curl -s -m 2 -o /dev/null "https://%s/start/%d/$mark"
i=0
while [ $i -lt %d ]; do i=$((i + 1)); echo "line $i"; sleep 0.4; done
echo END
exit %d
"""
WHOLE = re.compile(r"RUN [0-9a-f-]{36}\n" + "".join(
    "line %d\n" % (i + 1) for i in range(STEPS)) + r"END\n\Z")


class Events:
    """What the engine says that it did; it keeps only the last few itself."""

    def __init__(self, w):
        self.path = os.path.join(w.dir, "events")
        with open(self.path, "wb") as f:
            self.proc = subprocess.Popen(
                w.engine.command("events", "--filter", "type=container",
                                 "--format", "{{json .}}"), stdout=f)
        w.procs.append(self.proc)

    def rows(self, action):
        """[(run, seconds, attributes)] of an action."""
        out = []
        with open(self.path) as f:
            for text in f:
                e = json.loads(text)
                a = e["Actor"]["Attributes"]
                if e["Action"] == action and "bulkhead.run" in a:
                    out.append((a["bulkhead.run"], e["timeNano"] / 1e9, a))
        return out


# -- jobs ------------------------------------------------------------------

def submit(w, n):
    """Ask until it is accepted: the same request each time, so that it is one
    run however often the answer was lost."""
    words = ["run", "--detach", "--id", "job-%d" % n]
    if n % 5 == 4:
        words += ["--repo", "https://%s/git/demo.git" % HOST]
    words.append(TOOL % (HOST, n, STEPS, EXITS[n % len(EXITS)]))
    end = time.monotonic() + 60
    while time.monotonic() < end:
        p = w.cli(*words)
        if p.returncode == 0:
            return p.stdout.decode().split()[0]
        time.sleep(0.1)
    raise RuntimeError("job %d is not accepted: %r" % (n, p))


class Jobs(threading.Thread):
    """All of them, spread over the kills; each accepted at once."""

    def __init__(self, w, killer):
        super().__init__(daemon=True)
        self.w, self.killer, self.idents = w, killer, []
        self.trouble = None

    def run(self):
        try:
            for n in range(JOBS):
                wait_for(lambda: self.killer.count >= n * KILLS * 0.9 // JOBS,
                         600)
                self.idents.append(submit(self.w, n))
        except (RuntimeError, subprocess.TimeoutExpired, OSError) as e:
            self.trouble = e


# -- kills -----------------------------------------------------------------

class Killer:
    def __init__(self, w, rng):
        self.w, self.rng, self.count = w, rng, 0
        self.by_role = collections.Counter()

    def processes(self):
        out = []
        for name, found in (("egressd", self.w.processes()),
                            ("dispatchd", self.w.disp_processes())):
            out += [(name + " " + role, pid) for role, pid in
                    sorted(found.items()) if pid]
        return out

    def one(self):
        there = self.processes()
        if not there:
            return
        role, pid = self.rng.choice(there)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        self.count += 1
        self.by_role[role] += 1

    def all(self, limit):
        end = time.monotonic() + limit
        while self.count < KILLS and time.monotonic() < end:
            self.one()
            time.sleep(self.rng.uniform(*PAUSE))


# -- judging ---------------------------------------------------------------

def seconds(record):
    """Of the clock that the engine's events have too."""
    day = time.strptime(record["time"].split(".")[0], "%Y-%m-%dT%H:%M:%S")
    return time.mktime(day) - time.timezone + \
        float("0." + record["time"].split(".")[1].rstrip("Z"))


def supported(n, s, output):
    """Does what is on record bear the class out?"""
    exits = EXITS[n % len(EXITS)]
    whole = WHOLE.match(output) is not None
    if s["class"] in ("ok", "no_change"):
        return exits == 0 and s["exit_code"] == 0 and whole
    if s["class"] == "agent_failed" and "RUN " in output:
        return exits != 0 and s["exit_code"] == exits and whole
    if s["class"] == "agent_failed":
        # Its way out was away just when it cloned; git says so.
        return n % 5 == 4 and output == "" and HOST in s["reason"]
    return False


def judge(w, n, ident, events):
    """One line for a job: all that must hold of it. Returns its class."""
    title = "job %d (%s)" % (n, ident)
    s = w.json("show", ident)
    output = w.cli("logs", ident).stdout.decode()
    states = [r for r in w.disp_records("run.state") if r["run"] == ident]
    done = [r for r in states if r["to"] == "DONE"]
    committed = [r for r in states if r["to"] == "COMMITTED"]
    starts = [when for run, when, _ in events.rows("start") if run == ident]
    marks = set(re.findall(r"RUN ([0-9a-f-]{36})", output))
    with open(w.origin_log) as f:
        marks.update(re.findall(r"GET /start/%d/([0-9a-f-]{36})" % n,
                                f.read()))
    check(title + ": ends exactly once", s["state"] == "DONE" and
          len(done) == 1 and done[0]["class"] == s["class"] and
          states[-1] is done[0], (s["state"], s["class"], done))
    check(title + ": its class is what its output bears out",
          supported(n, s, output), (s["class"], s["exit_code"], s["reason"],
                                    output))
    check(title + ": log adds up", s["log"]["dropped"] == 0 and
          s["log"]["bytes"] == s["log"]["kept"] == len(output), s["log"])
    check(title + ": its tool was started once", len(marks) <= 1 and
          len(committed) == 1, (marks, committed))
    late = [t for t in starts if committed and t > seconds(committed[0]) + 0.5]
    check(title + ": no container was started behind COMMITTED",
          starts and not late, (starts, committed))
    return s["class"], len(starts)


def left(w):
    """What is still there of any run."""
    out = w.engine.names() + w.engine.names("network")
    out += os.listdir(os.path.join(w.dir, "runs"))
    rules = subprocess.run(["nft", "-j", "list", "set", "inet", "bhd",
                            "permitted"], check=True, capture_output=True)
    for item in json.loads(rules.stdout)["nftables"]:
        out += item.get("set", {}).get("elem", [])
    links = subprocess.run(["ip", "-j", "link"], check=True,
                           capture_output=True).stdout
    return out + [link["ifname"] for link in json.loads(links)
                  if link["ifname"].startswith("td-")]


def all_done(w, idents):
    rows = w.cli("--json", "ps", "--all").stdout.decode().splitlines()
    state = {r["run"]: r["state"] for r in map(json.loads, rows)}
    return all(state.get(i) == "DONE" for i in idents)


def loop(w):
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    print("# seed %d, %d kills, %d jobs" % (seed, KILLS, JOBS), flush=True)
    events, start = Events(w), time.monotonic()
    killer = Killer(w, random.Random(seed))
    jobs = Jobs(w, killer)
    jobs.start()
    killer.all(400)
    took = time.monotonic() - start
    equal("as many kills as meant", killer.count, KILLS)
    jobs.join(120)
    begun = time.monotonic()
    check("every job was accepted", jobs.trouble is None and
          len(jobs.idents) == JOBS, (jobs.trouble, jobs.idents))
    equal("each is a run of its own", len(set(jobs.idents)), JOBS)
    check("all of them end", wait_for(lambda: all_done(w, jobs.idents),
                                      SETTLE), w.cli("ps").stdout.decode())
    print("# %d kills in %.0f s, settled %.0f s later: %s" % (
        killer.count, took, time.monotonic() - begun,
        dict(killer.by_role)), flush=True)
    judged = [judge(w, n, i, events) for n, i in enumerate(jobs.idents)]
    print("# classes %s, container starts %s" % (
        dict(collections.Counter(c for c, _ in judged)),
        [n for _, n in judged]), flush=True)
    runs = {r["run"] for r in w.disp_records("run.state")}
    equal("there is no run that nobody asked for", runs, set(jobs.idents))
    check("nothing is left of them", wait_for(lambda: not left(w), 20),
          left(w))


def records(w):
    out = w.cli("audit", "verify", w.disp_audit)
    equal("dispatchd's records are one chain", (out.returncode, out.stderr),
          (0, b""))
    out = w.verify_records()
    equal("egressd's records are one chain", (out.returncode, out.stderr),
          (0, ""))
    kinds = collections.Counter(r["type"] for r in w.disp_records())
    check("every start is on record", kinds["start"] > 10, kinds)


def main():
    why = missing()
    if why:
        report("skip", "kills", why)
        finish()
    with Dispatch({HOST: ["A:" + ORIGIN]}) as w:
        w.start_dispatchd()
        loop(w)
        records(w)
    finish()


if __name__ == "__main__":
    main()
