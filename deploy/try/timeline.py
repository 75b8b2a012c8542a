#!/usr/bin/env python3
"""What a demonstration run did, and whether each step is what it must be.

    timeline.py WORK RUN CONNECTIONS LISTED UNLISTED

Reads WORK/show.json, the records of both daemons and what the tool printed.
Prints a line a step in the order of time, with tabs between: "ok" or "not ok",
seconds from the acceptance of the run, a name, what was seen.
"""

import datetime
import errno
import json
import sys

TOOL = "demo-agent"
PROOF_HOST = "bulkhead.invalid"     # asked for to see that the proxy denies
GOOD_ERRNO = ("ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EACCES",
              "EPERM")


def seconds(record):
    return datetime.datetime.fromisoformat(
        record["time"].replace("Z", "+00:00")).timestamp()


def read_records(path, run):
    with open(path, encoding="utf-8") as f:
        records = [json.loads(line) for line in f]
    return [r for r in records if r.get("run") == run]


def read_tool(path):
    """What the tool said: {word: (time, text)}."""
    said = {}
    with open(path, encoding="utf-8", errors="replace") as f:
        for line in f:
            if line.startswith(TOOL + " "):
                _, when, word, *text = line.rstrip("\n").split(" ", 3)
                said[word] = int(when) / 1000, text[0] if text else ""
    return said


class Timeline:
    def __init__(self):
        self.steps = []

    def add(self, when, name, good, seen):
        """A step; when is None if it never was."""
        self.steps.append((when, name, good and when is not None, seen))

    def print(self, zero):
        self.steps.sort(key=lambda s: (s[0] is None, s[0] or 0))
        for when, name, good, seen in self.steps:
            print("ok" if good else "not ok",
                  "-" if when is None else "+%.3f" % (when - zero), name,
                  " ".join(str(seen).split()), sep="\t")


def states(t, show, records):
    """The run's states, as dispatchd recorded each before its effect."""
    meaning = {
        "ADMITTED": "memory, processors and a network are its own",
        "OPENED": "its way out is open at egressd",
        "CREATED": "its container is made, and is as the template says",
        "GATED": "started; the tool waits for the proof",
        "COMMITTED": "proved: from here on it is never started again",
        "RUNNING": "the tool has begun",
        "EXITED": "exit status %s" % show["exit_code"],
        "HARVESTED": "output and branch are stored",
        "CLOSED": "container, network and way out are gone",
        "DONE": "class %s" % show["class"],
    }
    at = {r["to"]: seconds(r) for r in records if r["type"] == "run.state"}
    for state, text in meaning.items():
        good = (state != "EXITED" or show["exit_code"] == 0) and \
            (state != "DONE" or show["class"] == "ok")
        t.add(at.get(state), state.lower(), good, text)


def proof(t, records):
    proofs = [r for r in records if r["type"] == "proof"]
    if not proofs:
        t.add(None, "proof", False, "there is no record of it")
    for r in proofs[-1:]:
        for name, value in r["checks"].items():
            t.add(seconds(r), "proof", r["ok"], "%s: %s" % (name, value))


def tunnels(t, records, listed, unlisted, connections):
    opened = [r for r in records if r["type"] == "tunnel.open"]
    for r in opened:
        t.add(seconds(r), "tunnel", r["host"] != unlisted,
              "to %s port %d, %s, by its rule %s" %
              (r["host"], r["port"], r["address"], r["rule"]))
    if not any(r["host"] == listed for r in opened):
        t.add(None, "tunnel", False, "there is none to %s" % listed)
    denied = [r for r in records if r["type"] == "deny"]
    for r in denied:
        t.add(seconds(r), "proof" if r["host"] == PROOF_HOST else "denied",
              r["code"] == "host" and r["host"] in (unlisted, PROOF_HOST),
              "%s port %d: %d egress-%s" %
              (r["host"], r["port"], r["status"], r["code"]))
    if not any(r["host"] == unlisted for r in denied):
        t.add(None, "denied", False, "%s was not" % unlisted)
    t.add(max((seconds(r) for r in records), default=None), "arrived",
          connections == len(opened) and connections > 0,
          "%d connections at the site, for %d tunnels: nothing came by "
          "another way" % (connections, len(opened)))


def tool(t, said):
    """What the tool met inside, in its own words."""
    def told(word, good, text="%s"):
        when, seen = said.get(word, (None, "it said nothing"))
        t.add(when, TOOL, when is not None and good(seen),
              word + ": " + text % seen)

    def refused(seen):
        return errno.errorcode.get(int(seen.split()[0])) in GOOD_ERRNO

    told("begin", lambda s: "not an AI" in s)
    told("clone", lambda s: s.endswith("A greeter"))
    told("edit", lambda s: s == "Hello, world", "greet now says: %s")
    told("commit", lambda s: s.endswith("Spell the world right"))
    told("listed", lambda s: s == "hello from a listed host",
         "it answers: %s")
    told("unlisted", lambda s: s == "403", "the proxy answers %s")
    told("direct", refused, "the same host, not by the proxy: errno %s")
    told("lookup", lambda s: s == "none", "addresses of its name: %s")


def bundle(t, show, records):
    b = show["bundle"] or {}
    at = [seconds(r) for r in records
          if r["type"] == "run.state" and r["to"] == "HARVESTED"]
    t.add(at[0] if at and b else None, "bundle", bool(b),
          "%s, %s bytes" % (b.get("path"), b.get("bytes")))


def main():
    work, run, connections, listed, unlisted = sys.argv[1:]
    with open(work + "/show.json", encoding="utf-8") as f:
        show = json.load(f)
    egress = read_records(work + "/audit/egressd.jsonl", run)
    dispatch = read_records(work + "/audit/dispatchd.jsonl", run)
    t = Timeline()
    proof(t, dispatch)
    states(t, show, dispatch)
    tunnels(t, egress, listed, unlisted, int(connections))
    tool(t, read_tool(work + "/log/agent.log"))
    bundle(t, show, dispatch)
    t.print(min(seconds(r) for r in dispatch))


main()
