#!/usr/bin/env python3
"""What each process of both daemons holds while runs are in work, what it
could do if it were taken, and where the words of a prompt and the secrets of a
tool get to.
"""

import base64
import collections
import os
import pwd
import re
import secrets
import subprocess

from dispatch import DISPATCHD, Dispatch, HOST, missing
from lib import (EGRESSD, ORIGIN, SANITIZER, cmdline, check, equal, finish,
                 proc_status, report, wait_for)

NET_BIND_SERVICE, NET_ADMIN = 1 << 10, 1 << 12
USERS = {
    "egressd": {"parent": "egress", "audit": "audit", "frontend": "egress",
                "proxy": "proxy", "resolver": "resolver", "fw": "fw"},
    "dispatchd": {"parent": "dispatch", "audit": "audit",
                  "frontend": "dispatch", "queue": "queue", "runs": "runs",
                  "engine": "engine"}}
CAPABILITIES = {("egressd", "parent"): NET_BIND_SERVICE,
                ("egressd", "fw"): NET_ADMIN}

# Descriptors by kind, {kind: (at least, at most)}, with two runs in work.
# Of every child: the pipe that it dies by and the pair that wakes its loop,
# its log as 1 and 2, the loop.
CHILD = {"pipe": (3, 3), "log": (2, 2), "eventpoll": (1, 1)}
PARENT = {"/dev/null": (1, 1), "log": (2, 2), "configuration": (1, 1),
          "eventpoll": (1, 1)}
RUNS = 2
DESCRIPTORS = {
    # its links; the listener is each worker's own, of which there is none
    ("egressd", "parent"): dict(PARENT, pipe=(8, 8), unix=(6, 6)),
    ("egressd", "audit"): dict(CHILD, records=(1, 1), unix=(4, 4)),
    ("egressd", "frontend"): dict(CHILD, unix=(5, 6),
                                  **{"unix listener": (1, 1)}),
    ("egressd", "proxy"): dict(
        CHILD, unix=(4, 4), **{"tcp listener": (0, 2 * RUNS),
                               "udp": (0, RUNS)}),
    ("egressd", "resolver"): dict(CHILD, unix=(3, 3)),
    ("egressd", "fw"): dict(CHILD, unix=(2, 2), netlink=(1, 1)),
    ("dispatchd", "parent"): dict(PARENT, pipe=(7, 7), unix=(5, 5),
                                  **{"runs directory": (1, 1)}),
    ("dispatchd", "audit"): dict(CHILD, records=(1, 1), unix=(3, 3)),
    ("dispatchd", "frontend"): dict(CHILD, unix=(4, 5),
                                    **{"unix listener": (1, 1)}),
    # its links and egressd
    ("dispatchd", "queue"): dict(CHILD, unix=(6, 6), **{
        "queue directory": (1, 1), "queue file": (3, 3)}),
    # its links and each PID 1; each door
    ("dispatchd", "runs"): dict(
        CHILD, unix=(3, 3), **{
            "PID 1": (RUNS, RUNS), "unix listener": (RUNS, RUNS), "state directory": (1, 1),
            "a run's directory": (RUNS, 2 * RUNS),
            "a run's file": (RUNS, 2 * RUNS)}),
    # its links; the engine, for events and for a request
    ("dispatchd", "engine"): dict(CHILD, unix=(3, 4))}


# -- what it holds ---------------------------------------------------------

def sockets(w):
    """{inode: kind} of the sockets of this network namespace, and of those
    that a PID 1 made; the far end of a Unix socket counts where it was made.
    """
    out = {}
    for name in w.engine.names():
        with open("/proc/%d/net/unix" % pid1_of(w, name)) as f:
            out.update((text.split()[6], "PID 1")
                       for text in f.readlines()[1:])
    with open("/proc/net/unix") as f:
        for words in (text.split() for text in f.readlines()[1:]):
            listens = int(words[3], 16) & 0x10000
            out[words[6]] = "unix listener" if listens else "unix"
    for name in "tcp", "tcp6", "udp", "udp6", "raw", "raw6":
        with open("/proc/net/" + name) as f:
            for words in (text.split() for text in f.readlines()[1:]):
                listens = name.startswith("tcp") and words[3] == "0A"
                out[words[9]] = name.rstrip("6") + \
                    (" listener" if listens else "")
    for name, inode in ("netlink", 9), ("packet", 8):
        with open("/proc/net/" + name) as f:
            for words in (text.split() for text in f.readlines()[1:]):
                out[words[inode]] = name
    return out


def pid1_of(w, name):
    return int(w.engine.docker("inspect", "-f", "{{.State.Pid}}",
                               name).stdout)


def files(w):
    """[(pattern of a path, kind)]"""
    state = re.escape(w.dir) + "/state"
    return [(re.escape(w.log) + "|" + re.escape(w.disp_log), "log"),
            (re.escape(w.audit) + "|" + re.escape(w.disp_audit), "records"),
            (re.escape(w.conf_path) + "|" + re.escape(w.disp_conf),
             "configuration"),
            (re.escape(w.dir) + "/runs", "runs directory"),
            (state + "/queue", "queue directory"),
            (state + "/queue/queue.(db|db-wal|lock)", "queue file"),
            (state + "/runs", "state directory"),
            (state + "/runs/[a-z2-7]{12}", "a run's directory"),
            (state + "/runs/[a-z2-7]{12}/[a-z.0-9]+", "a run's file")]


def descriptors(w, pid, known):
    """{kind: how many}; what has no kind is its own."""
    out = collections.Counter()
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            to = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue        # a request's, which is over
        found = re.fullmatch(r"(socket|pipe|anon_inode):\[?([a-z0-9]+)\]?", to)
        if found and found.group(1) == "socket":
            to = known.get(found.group(2), "unknown " + to)
        elif found:
            to = "pipe" if found.group(1) == "pipe" else found.group(2)
        else:
            to = next((kind for pattern, kind in files(w)
                       if re.fullmatch(pattern, to)), to)
        out[to] += 1
    return out


def differs(w, pid, table):
    got = descriptors(w, pid, sockets(w))
    return {kind: (got.get(kind, 0), table.get(kind)) for kind in
            set(got) | set(table)
            if not table.get(kind, (0, 0))[0] <= got.get(kind, 0) <=
            table.get(kind, (0, 0))[1]}


def processes(w):
    """[(daemon, role, pid)], workers as proxy."""
    out = [("egressd", name.split()[0], pid)
           for name, pid in w.processes().items()]
    return out + [("dispatchd", name, pid)
                  for name, pid in w.disp_processes().items()]


def held(w):
    seen = collections.Counter()
    for daemon, role, pid in processes(w):
        title = "%s, %s: " % (daemon, role)
        seen[daemon, role] += 1
        st = proc_status(pid)
        uid = pwd.getpwnam("bulkhead-" + USERS[daemon][role]).pw_uid
        equal(title + "its own user, in every way", st["Uid"].split(),
              [str(uid)] * 4)
        groups = [str(os.stat(w.engine.socket).st_gid)] if \
            role == "engine" else []
        equal(title + "no group but its own", st.get("Groups", "").split(),
              groups)
        want = CAPABILITIES.get((daemon, role), 0)
        equal(title + "capabilities", [int(st["Cap" + k], 16) for k in
                                       ("Eff", "Prm", "Inh", "Amb")],
              [want, want, 0, 0])
        equal(title + "a filter, and nothing is gained by exec",
              (st["Seccomp"], st["NoNewPrivs"]), ("2", "1"))
        equal(title + "not to be looked into",
              os.stat("/proc/%d/mem" % pid).st_uid, 0)
        with open("/proc/%d/limits" % pid) as f:
            core = [text.split()[4:6] for text in f
                    if text.startswith("Max core file size")]
        equal(title + "leaves no core", core, [["0", "0"]])
        table = DESCRIPTORS[daemon, role]
        wait_for(lambda: not differs(w, pid, table), 5)
        equal(title + "holds what it has to, and nothing else",
              differs(w, pid, table), {})
    equal("every process was looked at", dict(seen), {
        (d, r): 2 if r == "proxy" else 1 for d in USERS for r in USERS[d]})


# -- what it could do ------------------------------------------------------

def selftests():
    """The calls that a filter must end end the process; no line is not ok."""
    for program, roles in (
            (EGRESSD, ("parent", "audit", "frontend", "proxy", "resolver",
                       "fw")),
            (DISPATCHD, ("dispatch", "audit", "frontend", "engine", "runs",
                         "queue"))):
        for role in roles:
            p = subprocess.run([program, "-d", "-x", "selftest", role],
                               capture_output=True, text=True)
            lines = p.stdout.splitlines()
            title = "%s -x selftest %s" % (os.path.basename(program), role)
            bad = [text for text in lines if not text.startswith("ok ")]
            check(title + ": nothing gets through", p.returncode == 0 and
                  not bad and len(lines) > 40, (p.returncode, bad, p.stderr))
            killed = [text for text in lines
                      if text.endswith("killed by signal 31")]
            for name in "execve", "fork", "ptrace", "io_uring_setup", "bpf", \
                    "raw socket", "link":
                check("%s: %s kills" % (title, name),
                      any(" %s: " % name in text for text in killed), lines)


# -- where words get to ----------------------------------------------------

class Canary:
    """A word that nobody else says, as it is and as base64 anywhere in a
    longer text."""

    def __init__(self, name):
        self.name = name
        self.word = secrets.token_hex(12)
        raw, self.forms = self.word.encode(), []
        self.forms.append(raw)
        self.forms.append(raw[::-1])
        self.forms.append(raw.hex().encode())
        for skip in range(3):
            # but what the neighbours have a part in
            whole = base64.b64encode(b"\0" * skip + raw)
            self.forms.append(whole[4 if skip else 0:-4])

    def seen_in(self, data):
        return any(form in data for form in self.forms)


def canary_config(w, names):
    conf = w.dispatch_config()
    env = {"API_KEY": names["the tool's environment"].word}
    tools = dict(conf["tools"], secret={
        "argv": ["/bin/sh", "-s", names["the tool's words"].word],
        "prompt": "stdin", "env": env}, hold={
            "argv": ["/bin/sh", "-c", "test -s \"$BULKHEAD_PROMPT_FILE\" && "
                     "sleep 60"], "prompt": "file"})
    dev = w.profile(env={"OTHER_KEY":
                         names["the profile's environment"].word})
    dev["tools"] = ["secret", "hold"]
    return dict(conf, tools=tools,
                profiles=dict(conf["profiles"], secret=dev))


def start_canaries(w, names):
    """Two runs that hold all of them, by standard input and by a file."""
    out = []
    for tool, name in (("secret", "a prompt by stdin"),
                       ("hold", "a prompt by file")):
        p = w.cli("run", "--detach", "--tool", tool, "--profile", "secret",
                  "-", input=(": %s\ntest ${#API_KEY} = 24 || echo bad\n"
                              "sleep 60\n" % names[name].word).encode())
        out.append(p.stdout.decode().split()[0])
    for ident in out:
        wait_for(lambda: w.state(ident) == "RUNNING", 30)
    return out


def of_processes():
    """(where, bytes) of every process that is not below a PID 1 of a run."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        status = proc_status(int(pid))
        inner = status.get("NSpid", "").split()[1:]
        if int(pid) == os.getpid() or (inner and inner[-1] != "1"):
            continue
        for what in "cmdline", "environ":
            try:
                with open("/proc/%s/%s" % (pid, what), "rb") as f:
                    yield "%s of %s" % (what, cmdline(int(pid))[0]), f.read()
            except OSError:
                pass


def of_engine(w, idents):
    for ident in idents:
        name = "bulkhead-" + ident
        yield "inspect", w.engine.docker("inspect", name).stdout
        logs = w.engine.docker("logs", name)
        yield "docker logs", logs.stdout + logs.stderr
        yield "network", w.engine.docker("network", "inspect", name).stdout
        yield "top", w.engine.docker("top", name, "-eo", "pid,comm").stdout
    yield "events", w.engine.docker("events", "--since", "10m", "--until",
                                    "0s", "--format", "{{json .}}").stdout


def of_files(w, but):
    """Every file of the test's directory, the engine's own among them."""
    skip = [os.path.join(w.dir, *part.split("/")) for part in but]
    for top, dirs, names in os.walk(w.dir):
        dirs[:] = [d for d in dirs if os.path.join(top, d) not in skip]
        for name in names:
            path = os.path.join(top, name)
            if path in skip or not os.path.isfile(path) or \
                    os.path.islink(path):
                continue
            try:
                with open(path, "rb") as f:
                    yield path[len(w.dir) + 1:], f.read()
            except OSError:
                pass    # a namespace's name, or gone


def canaries(w, names, idents):
    """The queue has a prompt until its run is over, and a configuration is
    what it is; nothing else knows."""
    but = ("state/queue", "state/runs", "dispatchd.conf", "engine/data/image",
           "engine/data/overlay2", "engine/data/containerd", "work", "git")
    places = list(of_processes()) + list(of_engine(w, idents)) + \
        list(of_files(w, but))
    places.append(("ps", w.cli("--json", "ps", "--all").stdout))
    places += [("show", w.cli("--json", "show", i).stdout) for i in idents]
    kinds = collections.Counter(where.split(" ")[0] for where, _ in places)
    check("there was something to look at", kinds["inspect"] == 2 and
          kinds["dispatchd.log"] and kinds["dispatchd.jsonl"] and
          kinds["cmdline"] > 20, kinds)
    for c in names.values():
        equal("%s is nowhere else" % c.name,
              [where for where, data in places if c.seen_in(data)], [])
    log = next(data for where, data in places if where == "dispatchd.log")
    check("the log tells of every message", b"queue -> runs: job.start" in
          log or b"job.start" in log, log[-300:])
    for path in "state/queue", "state/runs":
        equal("%s is for its process alone" % path,
              os.stat(os.path.join(w.dir, path)).st_mode & 0o777, 0o700)


def pid1(w, ident):
    """PID 1 knows them all, and lets nobody look: not the tool either."""
    pid = pid1_of(w, "bulkhead-" + ident)
    equal("PID 1: not to be looked into",
          os.stat("/proc/%d/mem" % pid).st_uid, 0)
    p = w.cli("run", "cat /proc/1/environ /proc/1/mem /proc/1/maps; "
              "ls /proc/1/fd; true")
    check("PID 1: the tool cannot read its memory or files",
          p.stdout == b"" and p.stderr.count(b"Permission denied") >= 3, p)


def main():
    if SANITIZER:
        finish()    # the other build is the one that is meant
    why = missing()
    if why:
        report("skip", "confinement", why)
        finish()
    names = {n: Canary(n) for n in
             ("a prompt by stdin", "a prompt by file", "the tool's words",
              "the tool's environment", "the profile's environment")}
    with Dispatch({HOST: ["A:" + ORIGIN]}) as w:
        w.start_dispatchd(canary_config(w, names), verbose="-vv")
        idents = start_canaries(w, names)
        held(w)
        canaries(w, names, idents)
        pid1(w, idents[0])
        for ident in idents:
            w.cli("stop", ident)
            w.over(ident)
    selftests()
    finish()


if __name__ == "__main__":
    main()
