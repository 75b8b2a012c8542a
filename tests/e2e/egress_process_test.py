#!/usr/bin/env python3
"""Every process of the daemon is confined, and the death of any closes it."""

import os
import pwd
import signal
import socket
import subprocess
import threading
import time

from lib import (EGRESSD, ORIGIN, World, alive, ask, check,
                 cmdline, code_of, connect, connect_request, equal, finish,
                 proc_status, read_head, report, tunnel, wait_for)

CAP_BIND = 1 << 10
USER = {"parent": "egress", "frontend": "egress", "proxy": "proxy",
        "resolver": "resolver", "audit": "audit"}
RULES = [{"host": "good.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]
# The parent keeps the configuration open to read it again; only the audit
# process has the records. Links, listeners and tunnels are sockets.
KINDS = {"parent": {"socket", "pipe", "eventpoll", "log", "conf", "null"},
         "frontend": {"socket", "pipe", "eventpoll", "log"},
         "proxy": {"socket", "pipe", "eventpoll", "log"},
         "resolver": {"socket", "pipe", "eventpoll", "log"},
         "audit": {"socket", "pipe", "eventpoll", "log", "records"}}


def descriptors(w, pid):
    """[(number, kind)] of a process."""
    names = {w.log: "log", w.audit: "records", w.conf_path: "conf",
             "/dev/null": "null"}
    found = []
    for fd in os.listdir("/proc/%d/fd" % pid):
        try:
            to = os.readlink("/proc/%d/fd/%s" % (pid, fd))
        except OSError:
            continue
        kind = names.get(to, to.split(":")[0])
        if to.startswith("anon_inode:["):
            kind = to[len("anon_inode:["):-1]
        found.append((int(fd), kind))
    return found


def confined(w, name, pid):
    role = name.split()[0]
    st = proc_status(pid)
    user = pwd.getpwnam("bulkhead-" + USER[role])
    keep = CAP_BIND if role == "parent" else 0
    equal(name + ": its own user", st["Uid"].split(),
          [str(user.pw_uid)] * 4)
    equal(name + ": its own group, and no other",
          (st["Gid"].split(), st["Groups"].split()),
          ([str(user.pw_gid)] * 4, []))
    caps = {k: int(st["Cap" + k], 16) for k in
            ("Eff", "Prm", "Inh", "Amb", "Bnd")}
    equal(name + ": capabilities", caps, {
        "Eff": keep, "Prm": keep, "Inh": 0, "Amb": 0, "Bnd": keep})
    equal(name + ": no new privileges, a filter",
          (st["NoNewPrivs"], st["Seccomp"]), ("1", "2"))
    with open("/proc/%d/limits" % pid) as f:
        core = [line.split()[4:6] for line in f
                if line.startswith("Max core")]
    equal(name + ": no core", core, [["0", "0"]])
    # The files there belong to root when the process is not dumpable.
    equal(name + ": not dumpable", os.stat("/proc/%d/mem" % pid).st_uid, 0)
    equal(name + ": in /", os.readlink("/proc/%d/cwd" % pid), "/")
    kinds = {kind for _, kind in descriptors(w, pid)}
    check(name + ": only the descriptors it needs", kinds <= KINDS[role],
          descriptors(w, pid))


def processes(w):
    found = w.processes()
    equal("the processes", sorted(found), [
        "audit", "frontend", "parent", "proxy 0", "proxy 1", "resolver"])
    for name, pid in found.items():
        confined(w, name, pid)
        if name != "parent":
            want = "egressd: " + (name if " " in name else name + " 0")
            check(name + ": its name in ps", cmdline(pid)[0] == want,
                  cmdline(pid))
    with open("/proc/%d/comm" % found["resolver"]) as f:
        equal("its name in top", f.read().strip(), "egressd/resolver"[:15])


def selftests(w):
    for role in ("parent", "audit", "frontend", "proxy", "resolver"):
        p = subprocess.run([EGRESSD, "-d", "-x", "selftest", role],
                           capture_output=True, text=True, timeout=60)
        bad = [line for line in p.stdout.splitlines()
               if not line.startswith("ok ")]
        check("selftest " + role, p.returncode == 0 and not bad and
              len(p.stdout.splitlines()) > 10,
              "status %d %r %s" % (p.returncode, bad, p.stderr[-300:]))
    p = subprocess.run([EGRESSD, "-x", "selftest", "nobody"],
                       capture_output=True, text=True)
    equal("selftest of no role", p.returncode, 1)


def boot_ms():
    """The clock of the records' boot_ms."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) * 1000


class Probe(threading.Thread):
    """Ask for a tunnel all the time, until told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.passed, self.over = [], threading.Event()

    def run(self):
        while not self.over.is_set():
            try:
                with connect(timeout=3) as s:
                    s.sendall(connect_request("good.test:7"))
                    if read_head(s).startswith(b"HTTP/1.1 200"):
                        self.passed.append(boot_ms())
            except (OSError, socket.timeout):
                pass
            time.sleep(0.002)

    def stop(self):
        self.over.set()
        self.join(5)


def blamed(w, name):
    """How often the log says that it was killed, and not a bystander."""
    with open(w.log) as f:
        return f.read().count("%s killed by signal 9 (Killed): leaving\n" %
                              (name if " " in name else name + " 0"))


def killed(w, name, busy):
    """kill -9 of one process: closed at once, open again by itself."""
    title = "kill -9 %s, %s" % (name, "a tunnel open" if busy else "at rest")
    old = w.processes()
    if name not in old:
        report("not ok", title, "no such process: %r" % old)
        return
    s = tunnel("good.test:7") if busy else None
    probe = Probe()
    if not busy:
        probe.start()
        time.sleep(0.05)
    mark, before = len(w.records()), blamed(w, name)
    start = time.monotonic()
    os.kill(old[name], signal.SIGKILL)
    gone = wait_for(lambda: not any(alive(p) for p in old.values()), 5)
    closed, closed_ms = time.monotonic(), boot_ms()
    check(title + ": all are gone within 2 s", gone and closed - start < 2,
          "%.1f s %r" % (closed - start, {n: p for n, p in old.items()
                                         if alive(p)}))
    if s is not None:
        s.settimeout(2)
        try:
            got = s.recv(1)
        except ConnectionResetError:
            got = b""
        except socket.timeout:
            got = None
        equal(title + ": the tunnel is cut", got, b"")
        s.close()
    check(title + ": started again", w.wait_started(mark))
    if name != "parent":
        equal(title + ": the log says which", blamed(w, name), before + 1)
    served = wait_for(lambda: code_of(try_ask()) == ("403", "host"), 10)
    took = time.monotonic() - start
    check(title + ": serves", served, "not after %.1f s" % took)
    if not busy:
        probe.stop()
        again = [r["boot_ms"] for r in w.records()[mark:]
                 if r["type"] == "start"]
        early = [ms for ms in probe.passed
                 if closed_ms < ms < (again or [0])[0]]
        check(title + ": nothing passes meanwhile", again and not early,
              "%r %r" % (again, early))


def try_ask():
    try:
        return ask(connect_request("bad.test:443"))
    except OSError:
        return b""


def rest_and_open(w):
    for busy in False, True:
        for name in ("parent", "audit", "resolver", "proxy 0", "proxy 1",
                     "frontend"):
            killed(w, name, busy)
    verified(w, "the records are one chain over all of it")


def verified(w, name):
    out = w.verify_records()
    equal(name, (out.returncode, out.stderr), (0, ""))


def heavy(w, name):
    """kill -9 while several hundred requests wait for their records."""
    slots = []
    for i in range(400):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", 3128))
        slots.append(s)
    time.sleep(0.3)
    mark, before = len(w.records()), blamed(w, name)
    for i, s in enumerate(slots):
        try:
            s.send(connect_request("good.test:7" if i % 2 else
                                   "bad%d.test:443" % i))
        except OSError:
            pass
        if i == 250:
            os.kill(w.processes()[name], signal.SIGKILL)
    check("kill -9 %s under load: started again" % name,
          w.wait_started(mark))
    if name != "parent":
        equal("kill -9 %s under load: the log says which" % name,
              blamed(w, name), before + 1)
    for s in slots:
        s.close()
    wait_for(lambda: code_of(try_ask()) == ("403", "host"), 10)
    verified(w, "kill -9 %s under load: one chain" % name)


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        w.start(w.config(profiles={"dev": {"allow": RULES}}))
        with tunnel("good.test:7") as s:
            s.sendall(b"x")
            s.recv(1)
            processes(w)
        selftests(w)
        rest_and_open(w)
        for name in "audit", "parent", "proxy 1":
            heavy(w, name)
    finish()


main()
