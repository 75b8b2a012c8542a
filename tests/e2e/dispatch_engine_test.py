#!/usr/bin/env python3
"""conformance D01, D02, D03, D12, F12, F13, A21: the container engine goes
away, somebody else has his hands in it, a second dispatchd, a full disk.
"""

import json
import os
import signal
import subprocess
import sys
import time

from dispatch import DISPATCHD, Dispatch, HOST, missing
from lib import ORIGIN, SANITIZER, check, equal, finish, report, wait_for
from wall import children

STRANGER = "z" * 12
DEADLINE_S = 6
STATE_MIB = 8
STOPPED_S = 45          # twice the grace, and what taking down takes
STUBBORN = "trap '' TERM; while :; do echo on; sleep 1; done"


class Case(Dispatch):
    """Dispatch whose state directory is a small disk of its own."""

    def set_up(self):
        self.state_dir = os.path.join(self.dir, "state")
        os.mkdir(self.state_dir, 0o711)
        subprocess.run(["mount", "-t", "tmpfs", "-o",
                        "size=%dm,mode=0711" % STATE_MIB, "none",
                        self.state_dir], check=True)
        super().set_up()

    def __exit__(self, *exc):
        self.stop_dispatchd()
        subprocess.run(["umount", "-l", self.state_dir],
                       capture_output=True)
        super().__exit__(*exc)

    def running(self, text, *words):
        """A run of sh that is at work."""
        ident = self.detach(*words, text)
        if not wait_for(lambda: self.state(ident) == "RUNNING", 40):
            raise RuntimeError("does not run: %r" % self.json("show", ident))
        return ident

    def external(self, ident):
        return [r["what"] for r in self.disp_records("external")
                if r["run"] == ident]


def logged(w, text):
    with open(w.disp_log, errors="replace") as f:
        return text in f.read()


# -- the engine goes away --------------------------------------------------

COUNT = "i=0; while [ $i -lt %d ]; do i=$((i + 1)); echo $i; sleep 0.2; done"


def numbers(n):
    return "".join("%d\n" % (i + 1) for i in range(n)).encode()


def live_restore(w):
    """D01: the run does not notice; not a byte is lost."""
    ident = w.running(COUNT % 40)
    w.engine.kill()
    check("D01: the engine is back", w.engine.start())
    s = w.over(ident)
    check("D01: restarted with live-restore: the run ends well",
          s and s["class"] == "ok", s)
    equal("D01: and has printed each byte once", w.cli("logs", ident).stdout,
          numbers(40))
    equal("D01: nobody is blamed", w.external(ident), [])


def away(w):
    """D03: while nobody answers time goes on; who is overdue goes first."""
    ident = w.running(STUBBORN, "--profile", "timed")
    start = time.monotonic()
    w.engine.kill()
    check("D03: dispatchd still answers", wait_for(
        lambda: w.json("show", ident)["state"], 10))
    check("D03: doctor says that it is away", wait_for(
        lambda: b"fail  dispatchd engine_state: unreachable" in
        w.cli("doctor").stdout, 20), w.cli("status", "dispatchd"))
    queued = w.cli("run", "--detach", "echo later")
    equal("D03: a job is still accepted", queued.returncode, 0)
    wait_for(lambda: time.monotonic() - start > DEADLINE_S + 4, 20)
    check("D03: the engine is back", w.engine.start())
    back = time.monotonic()
    s = w.over(ident, 30)
    check("D03: the overdue run ends by its deadline", s and
          s["class"] == "deadline", s)
    check("D03: at once when the engine is back",
          time.monotonic() - back < 20, time.monotonic() - back)
    check("D03: and that it is back", wait_for(
        lambda: b"ok    dispatchd engine_state: reachable" in
        w.cli("doctor").stdout, 20), w.cli("status", "dispatchd"))
    s = w.over(queued.stdout.decode().split()[0])
    check("D03: the job that waited is run", s and s["class"] == "ok", s)


def no_live_restore(w, how, stop):
    """D02: the engine took the container with it. That is nobody's failure
    but the infrastructure's."""
    ident = w.running("sleep 300")
    stop()
    check("D02, %s: the engine is back" % how,
          w.engine.start(live_restore=False))
    s = w.over(ident)
    check("D02, %s: lost_infra" % how, s and s["class"] == "lost_infra", s)
    equal("D02, %s: the status of wait" % how,
          w.cli("wait", ident).returncode, 17)
    s = w.over(w.detach("echo again"))
    check("D02, %s: the next run is well" % how, s and s["class"] == "ok", s)


def without(w):
    w.engine.kill()
    w.engine.start(live_restore=False)
    w.stop_dispatchd()
    w.start_dispatchd(w.conf)
    check("D02: live-restore is off: said at the start", wait_for(
        lambda: logged(w, "set live-restore"), 10))
    no_live_restore(w, "kill -9", w.engine.kill)

    def term():
        w.engine.proc.terminate()
        w.engine.proc.wait(60)
    no_live_restore(w, "TERM", term)
    w.engine.kill()
    check("live-restore is on again", w.engine.start())


# -- somebody else ---------------------------------------------------------

def meddling(w):
    """D12: each is on record as somebody else's."""
    ident = w.running(COUNT % 50)
    name = "bulkhead-" + ident
    w.engine.docker("exec", name, "/bin/true")
    check("D12: exec is on record", wait_for(lambda: any(
        x.startswith("exec_") for x in w.external(ident)), 5),
        w.external(ident))
    w.engine.docker("pause", name)
    check("D12: pause is on record", wait_for(
        lambda: "pause" in w.external(ident), 5), w.external(ident))
    w.engine.docker("unpause", name)
    check("D12: unpause is on record", wait_for(
        lambda: "unpause" in w.external(ident), 5), w.external(ident))
    s = w.over(ident)
    check("D12: the run went on, and ended well", s and s["class"] == "ok", s)
    equal("D12: with all of its output", w.cli("logs", ident).stdout,
          numbers(50))

    ident = w.running("sleep 300")
    w.engine.docker("rm", "-f", "bulkhead-" + ident)
    s = w.over(ident)
    check("D12: rm -f: lost_infra", s and s["class"] == "lost_infra", s)
    # Its end is looked into at once; the removal may be ours by then.
    check("D12: rm -f is on record", "kill" in w.external(ident),
          w.external(ident))

    ident = w.running(COUNT % 50)
    w.engine.docker("rename", "bulkhead-" + ident, "other-name")
    check("D12: rename is on record", wait_for(
        lambda: "rename" in w.external(ident), 5), w.external(ident))
    # The list of the next start goes by names, its row by the id.
    w.stop_dispatchd()
    w.start_dispatchd(w.conf)
    s = w.over(ident)
    check("D12: renamed: it is followed to its end",
          s and s["class"] == "ok", s)
    equal("D12: renamed: with all of its output",
          w.cli("logs", ident).stdout, numbers(50))
    equal("D12: renamed: it is removed", w.engine.docker(
        "ps", "-aq", "--filter", "name=other-name").stdout, b"")
    equal("D12: renamed: its network too", w.engine.docker(
        "network", "ls", "-q", "--filter",
        "name=bulkhead-" + ident).stdout, b"")


def forged(w):
    """A21: a label that says it is ours, and no row that knows it."""
    with open(os.path.join(w.state_dir, "instance")) as f:
        instance = f.read().strip()
    labels = []
    for key, value in (("instance", instance), ("run", STRANGER),
                       ("spec", "0" * 64)):
        labels += ["--label", "bulkhead.%s=%s" % (key, value)]
    w.engine.docker("network", "create", *labels, "--internal", "forged")
    w.engine.docker("run", "-d", *labels, "--name", "bulkhead-" + STRANGER,
                    "--network", "forged", "--entrypoint", "/bin/sleep",
                    "bulkhead-agent:1", "600")
    w.stop_dispatchd()
    w.start_dispatchd(w.conf)
    check("A21: it is reported", wait_for(lambda: logged(w, STRANGER), 10))
    s = w.over(w.detach("echo beside it"))
    check("A21: work goes on", s and s["class"] == "ok", s)
    state = w.engine.docker("inspect", "-f", "{{.State.Status}}",
                            "bulkhead-" + STRANGER).stdout.strip()
    equal("A21: it is left alone", state, b"running")
    check("A21: its network too", b"forged" in w.engine.docker(
        "network", "ls", "--format", "{{.Name}}").stdout)
    w.engine.docker("rm", "-f", "bulkhead-" + STRANGER)
    w.engine.docker("network", "rm", "forged")


# -- stopped, and then ------------------------------------------------------

def stops(w):
    """R07: a stop that was acknowledged stops, whatever dies around it."""
    def restarted(old):
        return w.disp_pid() not in (None, old) and w.dispatch_serves()

    def judge(title, ident):
        s = w.over(ident, STOPPED_S)
        check("R07: %s: it ends, cancelled" % title, s and
              s["class"] == "cancelled", s or w.json("show", ident))

    ident, old = w.running("sleep 300"), w.disp_pid()
    os.kill(w.disp_processes()["runs"], signal.SIGKILL)
    wait_for(lambda: restarted(old), 20)
    p = w.cli("stop", ident)
    equal("R07: stop as soon as somebody answers again", p.returncode, 0)
    judge("stopped at once after a restart", ident)

    ident, old = w.running(STUBBORN), w.disp_pid()
    p = w.cli("stop", ident)
    os.kill(w.disp_processes()["queue"], signal.SIGKILL)
    equal("R07: stop, and kill -9 of queue", p.returncode, 0)
    wait_for(lambda: restarted(old), 20)
    judge("stopped right before a restart", ident)


# -- a second dispatchd ----------------------------------------------------

def second(w):
    """F13: one state directory, one dispatchd; another state directory, and
    what the first one runs is none of its business."""
    ident = w.running(COUNT % 40)
    conf = dict(w.conf, socket=w.disp_socket + "2", audit=w.disp_audit + "2")
    path = w.disp_conf + "2"

    def start(**change):
        with open(path, "w") as f:
            json.dump(dict(conf, **change), f)
        return subprocess.Popen([DISPATCHD, "-d", "-f", path],
                                stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True)
    p = start()
    try:
        out, _ = p.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        p.kill()
        out = "still there: " + p.communicate()[0]
    check("F13: a second one on one state directory leaves", p.returncode > 0,
          out)
    check("F13: and says what it is about", "queue" in out and
          ("use" in out or "another" in out or "lock" in out), out)
    others = w.dir + "/others"
    os.mkdir(others)
    os.chmod(others, 0o1777)
    p = start(state=others)
    out, _ = p.communicate(timeout=20)
    check("state: a directory that others may write is refused, and left as "
          "it was", p.returncode > 0 and "state: " + others in out and
          os.stat(others).st_mode & 0o7777 == 0o1777 and
          not os.listdir(others), (p.returncode, out))
    os.mkdir(w.dir + "/state2", 0o750)
    p = start(state=w.dir + "/state2", egressd=w.dir + "/none.sock")
    try:
        wait_for(lambda: os.path.exists(w.disp_socket + "2"), 20)
        time.sleep(2)
        check("F13: a second one with its own state stays", p.poll() is None)
        equal("state: one that was there keeps its mode",
              os.stat(w.dir + "/state2").st_mode & 0o7777, 0o751)
    finally:
        p.terminate()
        p.communicate(timeout=20)
    s = w.over(ident)
    check("F13: the first one's run is untouched", s and s["class"] == "ok" and
          w.cli("logs", ident).stdout == numbers(40) and
          w.external(ident) == [], s)


# -- a full disk -----------------------------------------------------------

def full_disk(w):
    """F12: nothing new is taken; what runs is supervised, and killed on
    time."""
    ident = w.running(STUBBORN, "--profile", "timed")
    start = time.monotonic()
    pid = int(w.engine.docker("inspect", "-f", "{{.State.Pid}}",
                              "bulkhead-" + ident).stdout)
    fill = os.path.join(w.state_dir, "fill")
    subprocess.run(["dd", "if=/dev/zero", "of=" + fill, "bs=4096"],
                   capture_output=True)
    equal("F12: the disk is full", os.statvfs(w.state_dir).f_bavail, 0)
    p = w.cli("run", "--detach", "echo " + "x" * 100000)
    check("F12: a new job is refused: storage", p.returncode == 4 and
          b"storage" in p.stderr, p)
    check("F12: its tool is at work", children(pid))
    wait_for(lambda: not children(pid), DEADLINE_S + 15)
    took = time.monotonic() - start
    check("F12: and is killed on time", DEADLINE_S - 1 < took <
          DEADLINE_S + 5, took)
    check("F12: dispatchd is there", wait_for(w.dispatch_serves, 20))
    os.unlink(fill)
    s = w.over(ident, 60)
    check("F12: with room again: it ended by its deadline", s and
          s["class"] == "deadline", s)
    s = w.over(w.detach("echo room"))
    check("F12: and there is a next one", s and s["class"] == "ok", s)


def leave(signum, frame):
    sys.exit("ended by signal %d" % signum)


def main():
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, leave)
    why = missing()
    if why:
        report("skip", "the engine", why)
        finish()
    with Case({HOST: ["A:" + ORIGIN]}) as w:
        conf = w.dispatch_config()
        timed = w.profile(deadline="%ds" % DEADLINE_S, hung_start="5s",
                          idle="5s")
        w.conf = dict(conf, disk_reserve=0,
                      profiles=dict(conf["profiles"], timed=timed))
        w.start_dispatchd(w.conf)
        live_restore(w)
        stops(w)
        if not SANITIZER:
            away(w)
            meddling(w)
            second(w)
            forged(w)
            without(w)
        full_disk(w)
        equal("nothing is left", (w.engine.names(),
                                  w.engine.names("network")), ([], []))
        equal("the records verify",
              w.cli("audit", "verify", w.disp_audit).returncode, 0)
    finish()


if __name__ == "__main__":
    main()
