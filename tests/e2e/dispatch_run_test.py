#!/usr/bin/env python3
"""Runs: from the prompt to the branch, on the real engine behind the wall."""

import hashlib
import os
import shutil
import signal
import subprocess
import threading
import time

from dispatch import Dispatch, HOST, missing, static
from lib import (AGENT_CLI, ORIGIN, check, equal, finish, report, wait_for)


def plain(w):
    p = w.cli("run", "printf 'a\\0b\\377'; echo err >&2; exit 3")
    equal("a failing tool: its status", p.returncode, 1)
    equal("its output, byte for byte", p.stdout, b"a\0b\xff")
    check("its errors, and the stages", b"err\n" in p.stderr and
          b"agent_failed" in p.stderr, p.stderr)
    p = w.cli("run", "exit 0")
    equal("a tool that is content", p.returncode, 0)
    p = w.cli("run", "i=0; while [ $i -lt 3000 ]; do printf x; i=$((i+1)); "
              "done")
    equal("a tool that prints byte by byte", p.stdout, b"x" * 3000)
    ident = p.stderr.split()[1].decode()
    equal("and its log", w.cli("logs", ident).stdout, b"x" * 3000)
    p = w.cli("run", "id -u; ls -a /run/bulkhead; echo $BULKHEAD_RUN; "
              "cat /proc/1/status 2>&1 | grep -E 'CapEff|NoNewPrivs|Seccomp:';"
              " touch /x 2>&1; ps 2>/dev/null | wc -l; env")
    out = p.stdout.decode(errors="replace")
    check("it is uid 1000, with a read-only root", out.startswith("1000\n")
          and "Read-only" in out, out)
    check("no capability, no new privileges, a filter",
          "CapEff:\t0000000000000000" in out and "NoNewPrivs:\t1" in out and
          "Seccomp:\t2" in out, out)
    check("what its environment holds", all(
        word in out for word in (
            "AGENT_SANDBOX=1", "HTTPS_PROXY=http://10.201.", "NO_PROXY=local",
            "SSL_CERT_FILE=", "GIT_AUTHOR_NAME=agent")), out)


def prompts(w):
    data = os.urandom(3 * 1024 * 1024)
    path = os.path.join(w.dir, "prompt")
    with open(path, "wb") as f:
        f.write(data)
    p = w.cli("run", "--tool", "file", "--prompt-file", path)
    equal("a prompt of 3 MiB by file is whole",
          hashlib.sha256(p.stdout).hexdigest(),
          hashlib.sha256(data).hexdigest())
    p = w.cli("run", "--tool", "word", "$(id) `x` ${{ y }}")
    equal("a prompt as an argument", p.stdout, b"$(id) `x` ${{ y }}\n")
    p = w.cli("run", "-", input=b"echo end\n")
    equal("a prompt by standard input", p.stdout, b"end\n")
    with open(path, "wb") as f:
        f.write(bytes(4 * 1024 * 1024 + 1))
    p = w.cli("run", "--prompt-file", path)
    check("a prompt above 4 MiB is refused", p.returncode in (2, 4), p)


def repository(w):
    bundle = os.path.join(w.dir, "out.bundle")
    p = w.cli("run", "--repo", "https://%s/git/demo.git" % HOST, "--bundle",
              bundle, 'echo "${PWD#$HOME/}"; cat README; echo more >>README; '
              "echo new >file; git add file; git commit -qm work; git log --oneline | wc -l")
    out = p.stdout.decode()
    equal("a run on a repository", p.returncode, 0)
    check("it works in its clone", out.startswith("work/demo\na demo\n"), p)
    check("how to fetch it is said", b"git fetch" in p.stderr and
          b"agent/sh/" in p.stderr, p.stderr)
    ident = [word for word in p.stderr.decode().split() if len(word) == 12
             and word.isalnum()][0]
    branch = "agent/sh/" + ident
    run = subprocess.run(["git", "-C", w.work, "fetch", "-q", bundle, branch],
                         capture_output=True)
    equal("the bundle can be fetched", run.returncode, 0)
    got = subprocess.run(["git", "-C", w.work, "show", "FETCH_HEAD:README"],
                         capture_output=True).stdout
    equal("uncommitted work is in it", got, b"a demo\nmore\n")
    s = w.json("show", ident)
    equal("show: its class", s["class"], "ok")
    with open(bundle, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    equal("show: the bundle's hash", s["bundle"]["sha256"], digest)
    check("show: what it reached", s["egress"]["allowed"] >= 1 and
          s["egress"]["bytes_down"] > 0, s["egress"])
    check("show: the proof", len(s["proof"]) > 5, s["proof"])
    p = w.cli("run", "--repo", "https://%s/git/demo.git" % HOST, "ls")
    check("no change: says so, and is no failure", p.returncode == 0 and
          b"no_change" in p.stderr, p.stderr)
    p = w.cli("run", "--repo", "https://%s/git/absent.git" % HOST, "ls")
    check("a repository that is not there", p.returncode in (1, 17), p)
    for bad in ("../../etc", "-oProxyCommand=x", "owner/name.git;id",
                "ext::sh -c x", "http://%s/x" % HOST,
                "https://u:p@%s/x" % HOST):
        p = w.cli("run", "--repo", bad, "ls")
        check("refused: %s" % bad, p.returncode in (2, 4), p)


def denied(w):
    p = w.cli("run", "curl -sS -m 5 https://bad.test/; "
              "curl -sS -m 5 --noproxy '*' https://198.51.100.1/; true")
    check("denied hosts are told at the end", b"denied bad.test" in
          p.stderr, p.stderr)
    rows = [r for r in w.records("deny") if r["host"] == "bad.test"]
    check("and are on record with the run", rows and
          len(rows[-1]["run"] or "") == 12, rows[-1:])


def limits(w):
    p = w.cli("run", "--profile", "short", "while :; do echo x; sleep 1; done")
    equal("deadline", p.returncode, 11)
    p = w.cli("run", "--profile", "quiet", "echo x; sleep 60")
    equal("idle", p.returncode, 12)
    p = w.cli("run", "--profile", "quiet", "sleep 60")
    equal("hung start", p.returncode, 13)
    p = w.cli("run", "tail -c 500m /dev/zero | sort >/dev/null; echo $?")
    check("out of memory of a child, or of all", p.returncode in (0, 1, 10),
          p.returncode)
    p = w.cli("run", "head -c 100000000 /dev/zero >/home/agent/big; echo $?",
              timeout=60)
    check("a full workspace is an error inside", p.stdout.strip() != b"0",
          p.stdout)


def stopping(w):
    ident = w.detach("trap '' TERM; setsid sleep 300 & echo on; sleep 300")
    wait_for(lambda: w.json("show", ident)["state"] == "RUNNING", 30)
    start = time.monotonic()
    equal("stop", w.cli("stop", ident).returncode, 0)
    s = w.over(ident)
    check("stopped: cancelled", s and s["class"] == "cancelled", s)
    check("within its grace", time.monotonic() - start < 25,
          time.monotonic() - start)
    equal("wait tells the class", w.cli("wait", ident).returncode, 15)
    equal("stop again", w.cli("stop", ident).returncode, 0)
    equal("rm", w.cli("rm", ident).returncode, 0)
    check("it is gone", w.cli("show", ident).returncode == 4)


# Of the tool's own process, 0, it may: it is not the call that is refused.
PRLIMIT = """python3 -c '
import errno, resource
for pid in 0, 1:
    try:
        old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, old[1]))
        print(pid, "set")
    except OSError as e:
        print(pid, errno.errorcode[e.errno])
'"""


def spared(w):
    """PID 1 has the tool's user, and is none of its business."""
    p = w.cli("run", PRLIMIT)
    equal("a run sets its own limits, and not PID 1's", p.stdout,
          b"0 set\n1 EPERM\n")
    p = w.cli("run", "kill -TERM 1; echo $?; sleep 2; echo on; exit 7")
    equal("kill -TERM 1 in a run changes nothing", p.stdout, b"0\non\n")
    check("the run ends as its tool does", p.returncode == 1 and
          b"agent_failed" in p.stdout + p.stderr, p)


def queueing(w):
    """More than fits: they wait, and all of them end."""
    idents = [w.detach("sleep 1; echo %d" % i) for i in range(6)]
    rows = [r for r in (w.cli("--json", "ps").stdout.decode().splitlines())]
    check("ps lists them", len(rows) >= 3, rows)
    done = [w.over(i, 90) for i in idents]
    equal("all of them end well", [s and s["class"] for s in done],
          ["ok"] * 6)
    outs = [w.cli("logs", i).stdout for i in idents]
    equal("each with its own output", outs, [b"%d\n" % i for i in range(6)])


def same_request(w):
    a = w.cli("run", "--id", "r-1", "--detach", "echo one")
    b = w.cli("run", "--id", "r-1", "--detach", "echo one")
    c = w.cli("run", "--id", "r-1", "--detach", "echo two")
    equal("the same request: the same run", a.stdout.split()[:1],
          b.stdout.split()[:1])
    check("another body: conflict", c.returncode == 4 and
          b"conflict" in c.stderr, c)


def secrets(w):
    """No part of a prompt is anywhere but in the container and the queue."""
    canary = "kanarienvogel-%d" % os.getpid()
    ident = w.detach("x=%s; sleep 4" % canary)
    wait_for(lambda: w.json("show", ident)["state"] == "RUNNING", 30)
    name = w.engine.names()[0]
    text = w.engine.docker("inspect", name).stdout
    text += w.engine.docker("logs", name).stdout
    check("not in inspect or logs", canary.encode() not in text)
    seen = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for what in "cmdline", "environ":
            try:
                with open("/proc/%s/%s" % (pid, what), "rb") as f:
                    if canary.encode() in f.read() and \
                            int(pid) != os.getpid():
                        seen.append((pid, what))
            except OSError:
                pass
    equal("not in any process's words", seen, [])
    w.over(ident)


def kills(w):
    """Each process killed in the middle of a run: the run goes on, once."""
    for role in "queue", "runs", "engine", "frontend", "audit", "parent":
        ident = w.detach("echo begin; sleep 4; echo end")
        wait_for(lambda: w.json("show", ident)["state"] == "RUNNING", 30)
        before = w.disp_pid()
        os.kill(w.disp_processes()[role], signal.SIGKILL)
        back = wait_for(lambda: w.disp_pid() not in (None, before) and
                        w.dispatch_serves(), 20)
        check("kill -9 %s: back" % role, back)
        s = w.over(ident, 25)
        check("kill -9 %s: the run ended well" % role, s and
              s["class"] == "ok", s)
        equal("kill -9 %s: no byte lost or doubled" % role,
              w.cli("logs", ident).stdout, b"begin\nend\n")
    equal("no container is left", w.engine.names(), [])
    equal("no network is left", w.engine.names("network"), [])


def confinement(w):
    users = {"parent": "dispatch", "frontend": "dispatch", "queue": "queue",
             "runs": "runs", "engine": "engine", "audit": "audit"}
    import pwd
    for role, pid in w.disp_processes().items():
        with open("/proc/%d/status" % pid) as f:
            st = dict(line.rstrip("\n").split(":\t", 1) for line in f if
                      ":\t" in line)
        equal("%s: its own user" % role, int(st["Uid"].split()[0]),
              pwd.getpwnam("bulkhead-" + users[role]).pw_uid)
        equal("%s: confined" % role, (st["Seccomp"], st["NoNewPrivs"],
                                      int(st["CapEff"], 16)), ("2", "1", 0))


def anywhere(w):
    """The program of an image needs nothing of the system that it is in."""
    root = os.path.join(w.dir, "root")
    os.mkdir(root)
    shutil.copy(static(), os.path.join(root, "agent-cli"))
    for words, want in (["--help"], 0), (["doctor"], 1), (["ps"], 3), \
            (["entrypoint"], 78):
        p = subprocess.run(["chroot", root, "/agent-cli", *words],
                           capture_output=True)
        equal("in an empty root: %s" % words[0], p.returncode, want)
    p = subprocess.run([static(), "--run-dir", w.dir, "doctor"],
                       capture_output=True)
    check("where names come from elsewhere, too", p.returncode in (0, 1) and
          b"\nok    users" in p.stdout, p)


def main():
    why = missing()
    if why:
        report("skip", "runs", why)
        finish()
    with Dispatch({HOST: ["A:" + ORIGIN]}) as w:
        w.start_dispatchd()
        confinement(w)
        anywhere(w)
        plain(w)
        prompts(w)
        repository(w)
        denied(w)
        limits(w)
        stopping(w)
        spared(w)
        queueing(w)
        same_request(w)
        secrets(w)
        kills(w)
        out = w.cli("audit", "verify", w.disp_audit)
        equal("the records verify", out.returncode, 0)
        equal("each run is closed at egressd too",
              len(w.records("run.open")), len(w.records("run.close")))
    finish()


if __name__ == "__main__":
    main()
