#!/usr/bin/env python3
"""deploy/try.sh: whole, again, interrupted, killed: and nothing is left.

It is about the script and not about a build, so it has cases for one build
only, the release build; the root file system is the one that the tests of runs
share.
"""

import glob
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from dispatch import missing, root_fs
from lib import BUILD, HERE, SANITIZER, check, equal, finish, report, wait_for

TOP = os.path.dirname(os.path.dirname(HERE))
TRY = os.path.join(TOP, "deploy", "try.sh")
OURS = ("bhtry", "ty-", "veth", "docker")
FORWARDING = ("/proc/sys/net/ipv4/ip_forward",
              "/proc/sys/net/ipv4/conf/default/forwarding")


def lines(*argv):
    p = subprocess.run(argv, capture_output=True, text=True, check=False)
    return p.stdout.splitlines()


def read(path):
    try:
        with open(path, "rb") as f:
            return f.read().decode(errors="replace")
    except OSError:
        return ""


def processes(work):
    """Those of a try, and those of runs: {pid: its words}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = read("/proc/%s/cmdline" % pid).replace("\0", " ").strip()
        environ = read("/proc/%s/environ" % pid).split("\0")
        if int(pid) != os.getpid() and (
                work in words or "BULKHEAD_TRY=" + work in environ or
                any(e.startswith("BULKHEAD_RUN=") for e in environ)):
            found[pid] = words
    return found


def machine(work):
    """All of the machine that a try might leave something in."""
    docker = ["docker", "-H", "unix:///run/docker.sock"]
    state = {
        "users": lines("getent", "passwd"),
        "groups": lines("getent", "group"),
        "namespaces": [n for n in lines("ip", "netns") if n[:5] == "bhtry"],
        "interfaces": [n for n in os.listdir("/sys/class/net")
                       if n.startswith(OURS)],
        "tables": lines("nft", "list", "tables"),
        "mounts": [m for m in lines("cat", "/proc/self/mounts") if work in m],
        "processes": processes(work),
        "forwarding": [read(path) for path in FORWARDING],
        "policy-rc.d": read("/usr/sbin/policy-rc.d"),
        "directory": os.path.lexists(work),
    }
    if os.path.exists("/run/docker.sock"):
        for words in (["ps", "-aq"], ["network", "ls", "-q"],
                      ["image", "ls", "-q", "bulkhead-try"]):
            state[words[0]] = lines(*docker, *words)
    return state


class Try:
    def __init__(self, work):
        self.work = work
        self.out = work + ".out"
        self.before = machine(work)
        self.rootfs = root_fs()

    def start(self, *argv, whole=True):
        """whole: with a build and a root file system that are there."""
        if whole:
            argv = ("--build", BUILD, "--rootfs", self.rootfs) + argv
        with open(self.out, "wb") as f:
            return subprocess.Popen([TRY, "--work", self.work, *argv],
                                    stdin=subprocess.DEVNULL, stdout=f,
                                    stderr=f, start_new_session=True)

    def run(self, *argv, **kw):
        """(status, what it printed)."""
        p = self.start(*argv, **kw)
        try:
            status = p.wait(240)
        except subprocess.TimeoutExpired:
            p.terminate()
            status = p.wait(60)
        return status, read(self.out)

    def nothing_left(self, name):
        now = machine(self.work)
        bad = {k: (v, now[k]) for k, v in self.before.items() if now[k] != v}
        check(name + ": nothing is left", not bad, bad)

    def log(self, name):
        return read(os.path.join(self.work, "log", name + ".log"))

    def pid(self, name):
        words = read(os.path.join(self.work, "pid", name)).split()
        return int(words[0]) if words else None


def whole(t, name):
    status, out = t.run()
    last = out.splitlines()[-1:]
    good = status == 0 and len(last) == 1 and re.fullmatch(
        r"try: all \d+ steps showed what they must", last[0])
    check(name + ": it shows what it must", good, (status, out[-3000:]))
    names = {line[19:32].strip() for line in out.splitlines()
             if line.startswith("ok ")}
    want = {"packages", "build", "users", "engine", "image", "network", "site",
            "egressd", "dispatchd", "run", "admitted", "opened", "proof",
            "committed", "running", "tunnel", "denied", "demo-agent", "exited",
            "harvested", "bundle", "fetch", "records", "down"}
    equal(name + ": no step is missing", sorted(want - names), [])
    check(name + ": what was denied, and what did not go around",
          "unlisted.demo.internal port 443: 403 egress-host" in out and
          re.search(r"not by the proxy: errno 1?\d\d ", out), out[-3000:])
    check(name + ": the branch was fetched", '+echo "Hello, world"' in out,
          out[-2000:])
    t.nothing_left(name)


def interrupted(t, name, ready, how, *argv, **kw):
    """Begin, and send a signal when ready() is true. Its status."""
    p = t.start(*argv, **kw)
    moment = wait_for(lambda: ready() or p.poll() is not None, 120)
    if not check("%s: the moment came" % name, moment and p.poll() is None,
                 read(t.out)[-2000:]):
        p.kill()
        t.run("--down", whole=False)
        return None
    how(p)
    try:
        return p.wait(100)
    except subprocess.TimeoutExpired:
        p.kill()
        return None


def interrupts(t):
    def compiling():
        return re.search(r"^\[\d+/", t.log("build"), re.M)

    def terminate(p):
        p.terminate()

    equal("TERM while it builds: its status", interrupted(
        t, "TERM while it builds", compiling, terminate, whole=False), 143)
    t.nothing_left("TERM while it builds")

    def starting():
        return t.pid("engine") and "starting" in t.log("engine").lower()

    equal("HUP while the engine starts: its status", interrupted(
        t, "HUP while the engine starts", starting,
        lambda p: p.send_signal(signal.SIGHUP)), 129)
    t.nothing_left("HUP while the engine starts")

    def unpacking():
        return glob.glob(t.work + "/tmp/mmdebstrap.*/usr/bin")

    # As a terminal sends it, to the whole group.
    equal("Ctrl-C while the image is made: its status", interrupted(
        t, "Ctrl-C while the image is made", unpacking,
        lambda p: os.killpg(p.pid, signal.SIGINT), "--build", BUILD,
        whole=False), 130)
    t.nothing_left("Ctrl-C while the image is made")

    def running():
        return " running" in t.log("run")

    equal("TERM in the run: its status", interrupted(
        t, "TERM in the run", running, terminate), 143)
    t.nothing_left("TERM in the run")

    interrupted(t, "killed in the run", running, lambda p: p.kill())
    check("killed in the run: all of it stays up", t.pid("egressd") and
          os.path.exists("/proc/%d" % t.pid("egressd")))
    equal("--down behind it", t.run("--down", whole=False)[0], 0)
    t.nothing_left("--down behind a kill")
    equal("--down again", t.run("--down", whole=False)[0], 0)


def kept(t):
    status, out = t.run("--keep")
    equal("--keep", status, 0)
    where = re.search(r"^export BULKHEAD_RUN_DIR=(\S+)$", out, re.M)
    check("it says how to go on", where, out[-2000:])
    cli = os.path.join(BUILD, "agent-cli", "agent-cli")
    p = subprocess.run([cli, "run", "--repo", "demo/greeter", "./greet"],
                       capture_output=True, timeout=60, check=False, env=dict(
                           os.environ, BULKHEAD_RUN_DIR=where[1]))
    equal("and one can", (p.returncode, p.stdout), (0, b"Hello, wrold\n"))
    check("a second try is refused", t.run()[0] == 1, read(t.out))
    equal("--down", t.run("--down", whole=False)[0], 0)
    t.nothing_left("--down")


def refusals(t):
    equal("--help", t.run("--help", whole=False)[0], 0)
    equal("a word that it does not know", t.run("--dwon", whole=False)[0], 2)
    os.mkdir(t.work)
    try:
        status, out = t.run()
        check("a directory of somebody else is not touched", status == 1 and
              "not made by try.sh" in out and os.listdir(t.work) == [], out)
        status, out = t.run("--down", whole=False)
        check("nor by --down", status == 1 and os.path.isdir(t.work), out)
    finally:
        os.rmdir(t.work)
    with tempfile.TemporaryDirectory() as d:
        os.chmod(d, 0o755)
        shutil.copytree(os.path.join(TOP, "deploy"), d + "/deploy")
        p = subprocess.run([d + "/deploy/try.sh"], capture_output=True,
                           text=True, user=65534, group=65534,
                           extra_groups=[], check=False)
        check("without root: a sentence, and status 1", p.returncode == 1 and
              "needs root" in p.stderr and not p.stdout, p)


def main():
    if SANITIZER:
        sys.exit(0)
    why = missing()
    if why:
        report("skip", "try.sh", why)
        finish()
    t = Try("/tmp/bulkhead-try-test-%d" % os.getpid())
    try:
        refusals(t)
        whole(t, "whole")
        whole(t, "again")
        interrupts(t)
        kept(t)
    finally:
        t.run("--down", whole=False)
        os.unlink(t.out)
    finish()


if __name__ == "__main__":
    main()
