#!/usr/bin/env python3
"""Start: exit statuses, messages, users, sockets of the service manager."""

import json
import os
import pwd
import re
import shutil
import socket
import stat
import subprocess
import sys
import time

from lib import (AGENT_CLI, EGRESSD, ORIGIN, World, ask, check,
                 code_of, connect_request, equal, finish, report, status,
                 tunnel)

RULES = [{"host": "good.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]
BAD = connect_request("bad.test:443")
# Becomes egressd with sockets as a service manager hands them over.
LISTEN_FDS = """
import os, socket, sys
path, port, argv = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
u = socket.socket(socket.AF_UNIX)
u.bind(path)
os.chmod(path, 0o666)
t = socket.socket()
t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
t.bind(("127.0.0.1", port))
socks = [u, t]
high = [os.dup2(s.fileno(), 50 + i, False) for i, s in enumerate(socks)]
for s in socks:
    s.listen(64)
for i, fd in enumerate(high):
    os.dup2(fd, 3 + i, True)
    os.close(fd)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="2",
                  LISTEN_FDNAMES="control:proxy")
os.execv(argv[0], argv)
"""


def verdict(w, name, text, code, *patterns):
    """-t with this file: its status, and a line for each pattern."""
    path = os.path.join(w.dir, "test.conf")
    with open(path, "w") as f:
        f.write(text if isinstance(text, str) else json.dumps(text, indent=1))
    got, err = w.once("-t", "-f", path)
    lines = err.splitlines()
    missing = [p for p in patterns if not any(
        re.fullmatch(re.escape(path) + p, line) for line in lines)]
    check("-t " + name, got == code and not missing and
          (code or w.stdout == path + ": ok\n"),
          "status %r, no line %r in %s" % (got, missing, err))


def test_config(w):
    good = w.config(profiles={"dev": {"allow": RULES}})
    verdict(w, "a good file", good, 0)
    verdict(w, "comments", "/* a */ " + json.dumps(good) + "\n// b\n", 0)
    verdict(w, "an unknown key", dict(good, surprise=1), 1,
            r":\d+: surprise: .+; .+")
    verdict(w, "the keys of runs", dict(
        good, nft_table="bulkhead", interface_prefix="bh-", nft=True,
        run_networks=["10.201.0.0/16"], proxy_port=3128), 0)
    verdict(w, "bad keys of runs", dict(
        good, nft_table="filter", interface_prefix="eth", nft=1,
        run_networks=["203.0.113.0/24"], proxy_port=65535), 1,
        r":\d+: nft_table: .+; .+", r":\d+: interface_prefix: .+; .+",
        r":\d+: nft: .+; .+", r":\d+: run_networks\[0\]: .+; .+",
        r":\d+: proxy_port: .+; .+")
    verdict(w, "http of a later version", dict(good, profiles={"dev": {
        "allow": [{"host": "good.test", "http": True}]}}), 1,
        r":\d+: profiles\.dev\.allow\[0\]\.http: .*not in this version.*")
    text = json.dumps(dict(good, workers=99, resolvers=["x"], listeners=[
        {"name": "a b", "address": "127.0.0.1", "profile": "none"}]),
        indent=1)
    line = 1 + next(i for i, row in enumerate(text.splitlines())
                    if '"workers"' in row)
    verdict(w, "every error, with its line", text, 1,
            r":%d: workers: .+; .+" % line, r":\d+: resolvers\[0\]: .+; .+",
            r":\d+: listeners\[0\]\.name: .+; .+",
            r":\d+: listeners\[0\]\.address: .+; .+")
    verdict(w, "no such profile", dict(good, listeners=[
        {"name": "a", "address": "127.0.0.1:3128", "profile": "none"}]), 1,
        r":\d+: listeners\[0\]\.profile: no such profile none; .+")
    verdict(w, "a key twice", '{"workers": 1,\n"workers": 2}', 1,
            r":2: two members of one name")
    verdict(w, "no JSON", "{ nothing", 1, r":1: .+")
    verdict(w, "an empty file", "", 1, r":1: .+")
    verdict(w, "not an object", "[]", 1, r":1: .+")
    verdict(w, "no such user", dict(good, peers=[
        {"user": "no-such-user", "may": ["status"]}]), 1,
        r":\d+: peers\[0\]\.user: .*no-such-user.*")


def arguments(w):
    for argv, code, out in ((["-V"], 0, r"egressd \d+\.\d+\.\d+\n"),
                            (["-h"], 0, r"usage: egressd (.|\n)+")):
        got, err = w.once(*argv)
        check(argv[0], got == code and re.fullmatch(out, w.stdout),
              "%r %r %r" % (got, w.stdout, err))
    for argv in (["-q"], ["surprise"], ["-f"], ["-x"], ["-x", "proxy"],
                 ["-x", "proxy", "0", "3", "0"]):
        got, err = w.once(*argv)
        check("usage: " + " ".join(argv), got == 1 and "usage:" in err,
              "%r %r" % (got, err))
    missing = os.path.join(w.dir, "missing.conf")
    for argv in (["-f", missing], ["-t", "-f", missing],
                 ["-t", "-f", w.dir]):
        got, err = w.once(*argv)
        check("no such file: " + argv[0], got == 1 and argv[-1] in err,
              "%r %r" % (got, err))
    got, err = w.once("-t", "-f", "missing.conf", cwd=w.dir)
    check("no such file, relative", got == 1 and "missing.conf" in err,
          "%r %r" % (got, err))
    w.write_config(w.config())
    got, err = w.once("-t", "-f", "egressd.conf", cwd=w.dir)
    equal("a relative file", got, 0)
    os.chmod(w.conf_path, 0o600)
    got, err = w.once("-t", "-f", w.conf_path, user="nobody")
    check("unreadable", got == 1 and "Permission denied" in err and
          w.conf_path in err, "%r %r" % (got, err))


def refused_start(w, name, conf, code, *words, at_least=0.0):
    w.write_config(conf)
    start = time.monotonic()
    got, err = w.once("-d", "-f", w.conf_path)
    took = time.monotonic() - start
    check(name, got == code and all(word in err for word in words) and
          at_least <= took < at_least + 6,
          "status %r after %.1f s: %s" % (got, took, err[-400:]))


def what_is_there(w, conf):
    users = {"egress": "bh-none-a", "proxy": "bh-none-b",
             "resolver": "bulkhead-resolver", "audit": "bh-none-a"}
    refused_start(w, "missing users: 1 and the commands",
                  dict(conf, users=users), 1, *(
                      "useradd --system --user-group --no-create-home "
                      "--home-dir /nonexistent --shell /usr/sbin/nologin " +
                      name + "\n" for name in ("bh-none-a", "bh-none-b")))
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        s.bind(("127.0.0.1", 3128))
        s.listen()
        refused_start(w, "port in use: 71 after 3 s", conf, 71,
                      "listener dev", "3128", "in use", at_least=2.5)
    os.unlink(w.socket)     # what the last one left
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(w.socket)
        s.listen()
        refused_start(w, "socket in use: 71 after 3 s", conf, 71, w.socket,
                      "in use", at_least=2.5)
    # Now nobody listens: a stale one.
    w.start(conf)
    answer = status(w.socket)
    equal("a stale socket is replaced", answer["type"], "status.answer")
    equal("mode of the socket", stat.S_IMODE(os.stat(w.socket).st_mode),
          0o666)
    st = os.stat(w.audit)
    equal("mode and owner of the records",
          (stat.S_IMODE(st.st_mode), pwd.getpwuid(st.st_uid).pw_name),
          (0o640, "bulkhead-audit"))
    refused_start(w, "port in use by another egressd", dict(
        conf, socket=w.socket + ".2", audit=w.audit + ".2"), 71,
        "in use", at_least=2.5)
    refused_start(w, "socket in use by another egressd", dict(
        conf, audit=w.audit + ".2", listeners=[]), 71, "in use",
        at_least=2.5)
    equal("and it still serves", code_of(ask(BAD)), ("403", "host"))
    w.stop_keeper()
    with open(w.socket + ".file", "w"):
        pass
    refused_start(w, "a file where the socket goes", dict(
        conf, socket=w.socket + ".file"), 71, w.socket + ".file")
    check("and it stays", os.path.exists(w.socket + ".file"))
    for name, path in (("a directory", w.dir),
                       ("no directory", w.dir + "/none/egressd.jsonl")):
        refused_start(w, "record file: " + name, dict(conf, audit=path), 71,
                      path)


def unprivileged(w):
    """As another user: whole, and it says so."""
    nobody = pwd.getpwnam("nobody")
    home = os.path.join(w.dir, "nobody")
    os.mkdir(home, 0o755)
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    audit, control = w.audit, w.socket
    w.audit = os.path.join(home, "egressd.jsonl")
    w.socket = os.path.join(home, "egressd.sock")
    program = EGRESSD
    if subprocess.run(["setpriv", "--reuid", "nobody", "test", "-x",
                       program]).returncode:
        report("skip", "started as another user", "it may not enter the "
               "directory of the program")
    else:
        w.start(w.config(profiles={"dev": {"allow": RULES}}), before=[
            "setpriv", "--reuid", "nobody", "--regid", "nogroup",
            "--clear-groups", "--no-new-privs"])
        with tunnel("good.test:7") as s:
            s.sendall(b"x")
            equal("as another user: a tunnel", s.recv(1), b"x")
        equal("as another user: a denial", code_of(ask(BAD)),
              ("403", "host"))
        answer = status(w.socket)
        check("as another user: a warning", any(
            "not started as root" in text for text in answer["warnings"]),
            answer)
        uids = {os.stat("/proc/%d/mem" % p).st_uid
                for p in w.processes().values()}
        equal("as another user: not dumpable either", uids, {0})
        r = w.reload(w.config(profiles={"dev": {}}))
        check("as another user: reload", r and r["applied"], r)
        w.stop_keeper()
        out = w.verify_records()
        equal("as another user: one chain", (out.returncode, out.stderr),
              (0, ""))
    # Where it may not write.
    os.chown(home, 0, 0)
    os.chmod(w.audit, 0o444)
    code, err = w.once("-d", "-f", w.conf_path, user="nobody")
    check("record file not writable: 71", code == 71, "%r %s" % (code, err))
    shutil.rmtree(home)
    w.audit, w.socket = audit, control


def handed_over(w, conf):
    os.unlink(w.socket)
    w.start(conf, before=[sys.executable, "-c", LISTEN_FDS, w.socket,
                          "3128"])
    inode = os.stat(w.socket).st_ino
    answer = status(w.socket)
    equal("LISTEN_FDS: the control socket", answer["type"], "status.answer")
    equal("LISTEN_FDS: a listener", {code_of(ask(BAD)) for _ in range(20)},
          {("403", "host")})
    with tunnel("good.test:7") as s:
        s.sendall(b"x")
        equal("LISTEN_FDS: a tunnel", s.recv(1), b"x")
    r = w.reload(dict(conf, profiles={"dev": {}}))
    check("LISTEN_FDS: reload", r and r["applied"], r)
    equal("LISTEN_FDS: the listener stays",
          code_of(ask(connect_request("good.test:7"))), ("403", "host"))
    equal("LISTEN_FDS: the same socket", os.stat(w.socket).st_ino, inode)
    w.stop_keeper()


def notified(w, conf):
    path = os.path.join(w.dir, "notify.sock")
    for name, address in (("path", path),
                          ("abstract", "@bulkhead-%d" % os.getpid())):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.bind(address.replace("@", "\0"))
            s.settimeout(10)
            w.start(conf, env=dict(os.environ, NOTIFY_SOCKET=address))
            equal("NOTIFY_SOCKET %s: ready" % name, s.recv(100), b"READY=1")
            w.stop_keeper()
            equal("NOTIFY_SOCKET %s: stopping" % name, s.recv(100),
                  b"STOPPING=1")


def cli(w, conf):
    if not os.path.exists(AGENT_CLI):
        report("skip", "agent-cli status", "agent-cli is not built")
        return
    w.start(conf)
    p = subprocess.run([AGENT_CLI, "--run-dir", w.dir, "--json", "status",
                        "egressd"], capture_output=True, text=True)
    check("agent-cli status", p.returncode == 0 and
          json.loads(p.stdout)["pid"] == w.pid(), p)
    w.stop_keeper()
    p = subprocess.run([AGENT_CLI, "--run-dir", w.dir, "status", "egressd"],
                       capture_output=True, text=True)
    equal("agent-cli status without a daemon", p.returncode, 3)


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        conf = w.config(profiles={"dev": {"allow": RULES}})
        test_config(w)
        arguments(w)
        what_is_there(w, conf)
        unprivileged(w)
        handed_over(w, conf)
        notified(w, conf)
        cli(w, conf)
    finish()


main()
