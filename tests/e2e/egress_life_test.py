#!/usr/bin/env python3
"""Start, exit statuses, reload, what the service manager passes, limits."""

import json
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import sys
import time

from lib import (AGENT_CLI, EGRESSD, ORIGIN, SANITIZER, Control, World, ask,
                 check, code_of, connect, connect_request, cpu_seconds,
                 equal, finish, read_all, report, rss_anon, status, tunnel,
                 wait_for)

RULES = [{"host": "good.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]
GOOD = connect_request("good.test:7")


def written(w, name, conf):
    path = os.path.join(w.dir, name)
    with open(path, "w") as f:
        f.write(conf if isinstance(conf, str) else json.dumps(conf))
    return path


def starting(w):
    status_, err = w.once("-f", "/nonexistent/egressd.conf")
    check("no file", status_ == 1 and "No such file" in err, err)
    status_, err = w.once("-f", w.dir)
    check("a directory", status_ == 1 and w.dir in err and
          "not a regular file" in err, err)
    equal("an unknown option", w.once("-z")[0], 1)
    equal("a stray word", w.once("x")[0], 1)
    equal("-V", (w.once("-V")[0], w.stdout.split()[0]), (0, "egressd"))
    equal("-h", w.once("-h")[0], 0)
    equal("--help", w.once("--help")[0], 0)
    path = written(w, "bad.conf", """{
  "surprise": 1,
  "workers": 0,
  "nft": true,
  "listeners": [ { "name": "a", "address": "127.0.0.1", "profile": "x" } ],
  "profiles": { "dev": { "allow": [ { "host": "*.com" },
    { "host": "http://x" }, { "host": "ok.test", "port": 0 },
    { "host": "ok.test", "http": true } ] } }
}
""")
    status_, err = w.once("-t", "-f", path)
    lines = err.splitlines()
    wanted = [":2: surprise: ", ":3: workers: ", ":4: nft: ",
              ":5: listeners[0].address: ",
              ":6: profiles.dev.allow[0].host: ",
              ":7: profiles.dev.allow[1].host: ",
              ":7: profiles.dev.allow[2].port: ",
              ":8: profiles.dev.allow[3].http: "]
    check("-t tells every error with line and key", status_ == 1 and all(
        any(line.startswith(path + want) for line in lines)
        for want in wanted), err)
    check("-t: not in this version", err.count("not in this version") == 2,
          err)
    equal("-t of a good one", w.once("-t", "-f", written(
        w, "good.conf", w.conf))[0], 0)
    status_, err = w.once("-d", "-f", written(w, "users.conf", dict(
        w.conf, users={"proxy": "bulkhead-nobody-here"})))
    check("missing users", status_ == 1 and "useradd" in err and
          "bulkhead-nobody-here" in err, err)


def taken(w):
    """Addresses that somebody else listens on."""
    other = dict(w.conf, audit=w.audit + ".2", socket=w.socket + "2")
    status_, err = w.once("-d", "-f", written(w, "port.conf", other))
    check("a port in use, by another egressd", status_ == 71 and
          "Address already in use" in err, "%r %s" % (status_, err))
    other = dict(other, socket=w.socket, listeners=[])
    status_, err = w.once("-d", "-f", written(w, "sock.conf", other))
    check("a socket in use", status_ == 71 and w.socket in err,
          "%r %s" % (status_, err))
    other = dict(other, socket=w.socket + "2", audit=w.dir)
    status_, err = w.once("-d", "-f", written(w, "audit.conf", other))
    check("a record file that is none", status_ == 71 and w.dir in err,
          "%r %s" % (status_, err))


def unprivileged(w):
    """Started by another user it runs whole as that user, and says so."""
    nobody = pwd.getpwnam("nobody")
    home = os.path.join(w.dir, "nobody")
    os.mkdir(home)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    conf = dict(w.conf, audit=home + "/e.jsonl", socket=home + "/egressd.sock",
                peers=[{"user": "nobody", "may": ["status"]}, {
                    "user": "root", "may": ["status"]}],
                listeners=[{"name": "high", "address": "127.0.0.1:3129",
                            "profile": "dev"}])
    path = written(w, "nobody.conf", conf)
    with open(w.log, "ab") as log:
        p = subprocess.Popen(["setpriv", "--reuid", "nobody", "--regid",
                              str(nobody.pw_gid), "--clear-groups", EGRESSD,
                              "-d", "-f", path], stderr=log)
    try:
        check("without root: it serves", wait_for(lambda: code_of(
            try_ask(GOOD, 3129)) == ("200", "Connection established"), 10))
        answer = status(home + "/egressd.sock")
        check("without root: status warns", any(
            "root" in line for line in answer["warnings"]), answer)
        with open("/proc/%d/status" % p.pid) as f:
            seccomp = [l.split()[1] for l in f if l.startswith("Seccomp:")]
        equal("without root: confined all the same", seccomp, ["2"])
    finally:
        p.terminate()
        equal("without root: leaves", p.wait(20), 0)


def try_ask(raw, port):
    """ask, for a tunnel: only the head; nothing when it is closed."""
    try:
        with connect(port) as s:
            s.sendall(raw)
            return s.recv(4096)
    except OSError:
        return b""


PASS = """
import os, socket, sys
u = socket.socket(socket.AF_UNIX); u.bind(sys.argv[1]); u.listen()
t = socket.socket(); t.setsockopt(1, 2, 1)
t.bind(("127.0.0.1", 3130)); t.listen()
n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
os.dup2(u.fileno(), 103); os.dup2(t.fileno(), 104)
os.dup2(103, 3); os.dup2(104, 4)
for fd in 3, 4: os.set_inheritable(fd, True)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2")
os.execv(sys.argv[2], sys.argv[2:])
"""


def managed(w):
    """LISTEN_FDS and NOTIFY_SOCKET."""
    conf = dict(w.conf, audit=w.audit + ".m", socket=w.socket + ".m",
                listeners=[{"name": "given", "address": "127.0.0.1:3130",
                            "profile": "dev"}])
    path = written(w, "managed.conf", conf)
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(os.path.join(w.dir, "notify"))
    notify.settimeout(10)
    with open(w.log, "ab") as log:
        p = subprocess.Popen(
            [sys.executable, "-c", PASS, conf["socket"], EGRESSD, "-d", "-f",
             path], stderr=log, env=dict(os.environ, NOTIFY_SOCKET=os.path.join(
                 w.dir, "notify")))
    try:
        equal("NOTIFY_SOCKET: READY=1", notify.recv(100).strip(),
              b"READY=1")
        equal("LISTEN_FDS: the port", code_of(try_ask(GOOD, 3130)),
              ("200", "Connection established"))
        equal("LISTEN_FDS: the socket", status(conf["socket"])["daemon"],
              "egressd")
    finally:
        p.terminate()
        equal("NOTIFY_SOCKET: STOPPING=1", notify.recv(100).strip(),
              b"STOPPING=1")
        p.wait(20)


def verdict(port):
    return code_of(try_ask(GOOD, port))


def reloads(w):
    two = [{"name": "dev", "address": "127.0.0.1:3128", "profile": "dev"},
           {"name": "more", "address": "127.0.0.1:3131", "profile": "none"}]
    profiles = {"dev": {"allow": RULES}, "none": {}}
    r = w.reload(dict(w.conf, listeners=two, profiles=profiles))
    check("a listener is added", r["applied"] and verdict(3131) ==
          ("403", "host"), r)
    two[1] = dict(two[1], name="renamed", profile="dev")
    w.reload(dict(w.conf, listeners=two, profiles=profiles))
    check("its profile changes", verdict(3131)[0] == "200")
    mark = len(w.records())
    ask(connect_request("no.test:1"), 3131)
    equal("and its name", w.new_records(mark, "deny")[0]["listener"],
          "renamed")
    s = tunnel("good.test:7", 3131)
    w.reload(w.conf)
    equal("a tunnel of a removed listener is cut", read_all(s), b"")
    equal("a removed listener is closed", try_ask(GOOD, 3131), b"")

    busy = socket.socket()
    busy.bind(("127.0.0.1", 3132))
    busy.listen()
    r = w.reload(dict(w.conf, profiles={"dev": {}}, listeners=w.conf[
        "listeners"] + [{"name": "busy", "address": "127.0.0.1:3132",
                         "profile": "dev"}]))
    check("a listener whose port is taken refuses the whole", not
          r["applied"] and "3132" in r["error"] and
          verdict(3128)[0] == "200", r)
    busy.close()
    for key, value in (("workers", 3), ("socket", w.socket + "9"),
                       ("audit", w.audit + "9"),
                       ("users", {"proxy": "bulkhead-audit"})):
        r = w.reload(dict(w.conf, **{key: value}))
        check("a changed %s is refused" % key, not r["applied"] and
              key in r["error"], r)

    before = len(w.records("reload"))
    w.write_config(w.conf)
    for _ in range(20):
        os.kill(w.pid(), signal.SIGHUP)
    time.sleep(1)
    n = len(w.records("reload")) - before
    check("a burst of HUPs", 1 <= n <= 20 and verdict(3128)[0] == "200", n)

    hosts = written(w, "hosts", "10.99.0.2 hosted.test\n")
    rule = [dict(RULES[0], host="hosted.test")]
    w.reload(dict(w.conf, hosts_file=hosts, profiles={"dev": {
        "allow": RULES + rule}}))
    with tunnel("hosted.test:7") as s:
        s.sendall(b"x")
        equal("a hosts file takes effect", s.recv(1), b"x")
    w.reload(dict(w.conf, resolvers=["10.99.0.3"]))
    equal("so does another name server", code_of(ask(GOOD))[0], "502")
    w.reload(w.conf)


def hidden_file(w):
    """A file, in a directory, that only root may look into."""
    w.stop_keeper()
    hidden = os.path.join(w.dir, "hidden")
    os.mkdir(hidden, 0o700)
    old, w.conf_path = w.conf_path, os.path.join(hidden, "egressd.conf")
    w.start(w.conf)
    before = len(w.records())
    with open(w.conf_path, "r+") as f:
        f.truncate(0)
        f.write(json.dumps(dict(w.conf, profiles={"dev": {}})))
    os.kill(w.pid(), signal.SIGHUP)
    check("edited in place: read through the descriptor of the start",
          wait_for(lambda: verdict(3128) == ("403", "host"), 5))
    r = w.reload(w.conf)
    check("replaced: refused, with the reason", not r["applied"] and
          "ermission" in r["error"], w.records()[before:])
    w.stop_keeper()
    w.conf_path = old
    w.start(w.conf)


def many_tunnels(w):
    """Idle tunnels are cheap."""
    n = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    workers = w.children()["proxy"]
    base = rss_anon(workers)
    slots = [tunnel("good.test:7") for _ in range(n)]
    each = (rss_anon(workers) - base) // n
    if SANITIZER:
        report("skip", "memory of an idle tunnel",
               "a sanitizer build measures itself")
    else:
        check("an idle tunnel costs under 96 KiB", each < 96 * 1024, each)
    used = cpu_seconds(workers)
    time.sleep(2)
    check("%d idle tunnels cost no time" % n,
          cpu_seconds(workers) - used < 0.1, cpu_seconds(workers) - used)
    slots[7].sendall(b"alive")
    equal("and live", slots[7].recv(5), b"alive")
    for s in slots:
        s.close()
    # 500 heads that never end do not hold up a good one.
    slots = []
    for _ in range(500):
        s = connect()
        s.sendall(b"CONNECT good")
        slots.append(s)
    start = time.monotonic()
    with tunnel("good.test:7"):
        took = time.monotonic() - start
    check("slow heads hold nobody up", took < 1, took)
    for s in slots:
        s.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def few_descriptors(w):
    w.stop_keeper()
    w.start(dict(w.conf, workers=1), before=("prlimit", "--nofile=600:600"))
    slots = []
    for _ in range(400):
        s = connect(timeout=2)
        try:
            s.sendall(GOOD)
        except OSError:
            pass
        slots.append(s)
    workers = w.children()["proxy"]
    used = cpu_seconds(workers)
    time.sleep(2)
    check("out of descriptors: no spinning", cpu_seconds(workers) - used <
          (1.0 if SANITIZER else 0.4), cpu_seconds(workers) - used)
    slots[0].recv(4096)
    slots[0].sendall(b"alive")
    equal("out of descriptors: live tunnels move", slots[0].recv(5),
          b"alive")
    for s in slots:
        s.close()
    check("and it comes back", wait_for(lambda: verdict(3128)[0] == "200",
                                        10))
    w.stop_keeper()
    w.start(w.conf)


def control_socket(w):
    pid = w.pid()
    for name, raw in (("length 0", bytes(4)), ("4 GiB", b"\xff" * 4),
                      ("data frame", b"\x80\0\0\5\0\0\0\1x"),
                      ("no JSON", b"\0\0\0\3abc"),
                      ("deep", b"\0\0\x10\0" + b"[" * 4096),
                      ("not hello", b"\0\0\0\x19" + b'{"type":"status","id":1 }')):
        with Control(w.socket) as c:
            c.s.sendall(raw)
            got = read_all(c.s)
            check("control: %s ends that connection" % name,
                  got.count(b"status.answer") == 0, got)
    slow = Control(w.socket)
    slow.s.sendall(b"\0")
    many = []
    for _ in range(300):
        try:
            many.append(Control(w.socket, 1))
        except OSError:
            break
    for c in many:
        c.s.close()
    check("control: others are served", wait_for(
        lambda: try_status(w.socket), 10))
    slow.s.close()
    deaf = Control(w.socket)
    deaf.hello()
    try:
        deaf.s.settimeout(1)
        for i in range(1, 3000):
            deaf.send({"type": "status", "id": i})
    except OSError:
        pass
    equal("control: one that never reads", status(w.socket)["type"],
          "status.answer")
    deaf.s.close()
    p = subprocess.run(["setpriv", "--reuid", "nobody", "--clear-groups",
                        AGENT_CLI, "--run-dir", w.dir, "status"],
                       capture_output=True, text=True)
    check("control: a user who may not", p.returncode == 4 and
          "refused" in p.stderr, "%r %s" % (p.returncode, p.stderr))
    p = subprocess.run([AGENT_CLI, "--run-dir", w.dir, "--json", "status"],
                       capture_output=True, text=True)
    answer = json.loads(p.stdout)
    check("agent-cli --json status", p.returncode == 0 and
          answer["state"]["nft"].startswith("off"), p.stdout)
    worker = w.processes()["proxy 1"]
    os.kill(worker, signal.SIGSTOP)
    try:
        check("control: counters that are not whole are told", any(
            "1 of 2 workers" in line for line in
            status(w.socket)["warnings"]))
    finally:
        os.kill(worker, signal.SIGCONT)
    equal("control: the daemon is the same", w.pid(), pid)


def try_status(path):
    try:
        return status(path, 2)["type"] == "status.answer"
    except (OSError, TypeError):
        return False


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        w.conf = w.config(profiles={"dev": {"allow": RULES}})
        starting(w)
        stale = socket.socket(socket.AF_UNIX)
        stale.bind(w.socket)
        stale.close()
        w.start(w.conf)
        equal("a stale socket is replaced", status(w.socket)["daemon"],
              "egressd")
        taken(w)
        unprivileged(w)
        managed(w)
        control_socket(w)
        reloads(w)
        many_tunnels(w)
        few_descriptors(w)
        hidden_file(w)
        equal("the records verify", w.verify_records().returncode, 0)
    finish()


if shutil.which("setpriv") and shutil.which("prlimit"):
    main()
else:
    report("skip", "life", "util-linux's setpriv and prlimit are needed")
