#!/usr/bin/env python3
"""Reload: what changes at once, what is refused, and what then still serves."""

import json
import os
import signal
import socket
import sys
import time

from lib import (HELPER, ORIGIN, World, ask, check, code_of, connect,
                 connect_request, equal, finish, read_all, status,
                 tunnel, wait_for)

CIDR = ["10.99.0.0/24"]
ECHO = {"host": "good.test", "port": 7, "cidr": CIDR, "proto": "any"}
GOOD, BAD = connect_request("good.test:7"), connect_request("bad.test:443")
DNS2 = "10.99.0.54"


def listener(name, port, profile="dev"):
    return {"name": name, "address": "127.0.0.1:%d" % port,
            "profile": profile}


def asked(port, raw=BAD):
    try:
        return code_of(ask(raw, port))
    except ConnectionRefusedError:
        return "closed"


def refused(w, name, r, generation, *words):
    check(name, r and not r["applied"] and r["generation"] == generation and
          all(word in r["error"] for word in words), r)


def echoes(s, data=b"echo"):
    s.sendall(data)
    return s.recv(len(data)) == data


def ended(w, mark, **want):
    def done():
        return [r for r in w.records()[mark:] if r["type"] ==
                "tunnel.close" and all(r[k] == v for k, v in want.items())]
    return wait_for(done, 5)


def listeners(w, profiles):
    def conf(*rows):
        return w.config(listeners=list(rows), profiles=profiles)

    r = w.reload(conf(listener("dev", 3128), listener("two", 3129)))
    check("added: applied", r and r["applied"], r)
    with tunnel("good.test:7", 3129) as s:
        check("added: serves", echoes(s))
        # A new name is no reason to end what is open.
        mark = len(w.records())
        r = w.reload(conf(listener("dev", 3128), listener("renamed", 3129)))
        check("renamed: applied, the tunnel lives", r and r["applied"] and
              echoes(s), r)
        equal("renamed: serves", asked(3129), ("403", "host"))
        deny = w.new_records(mark, "deny")
        equal("renamed: in records", deny[-1]["listener"], "renamed")
        # Another profile judges what is open, too.
        r = w.reload(conf(listener("dev", 3128),
                          listener("renamed", 3129, "none")))
        check("other profile: applied", r and r["applied"], r)
        equal("other profile: the tunnel is cut", read_all(s), b"")
        check("other profile: revoked", ended(w, mark, end="revoked"))
    equal("other profile: for new ones", asked(3129, GOOD), ("403", "host"))
    equal("other profile: not for the other listener",
          asked(3128, b"GET / HTTP/1.1\r\n\r\n")[0], "400")
    for i in range(8):
        w.reload(conf(listener("dev", 3128), listener("two", 3129)))
        slots = [tunnel("good.test:7", 3129) for _ in range(4)]
        w.reload(conf(listener("dev", 3128), listener("two", 3129, "none")))
        got = [read_all(s, timeout=2) for s in slots]
        if got != [b""] * 4:
            break
    equal("other profile: every tunnel, every time", got, [b""] * 4)
    w.reload(conf(listener("dev", 3128), listener("two", 3129)))
    mark = len(w.records())
    early = [connect(3129) for _ in range(4)]
    with tunnel("good.test:7", 3129) as s, tunnel("good.test:7") as t:
        r = w.reload(conf(listener("dev", 3128)))
        check("removed: applied", r and r["applied"], r)
        equal("removed: its tunnel is cut", read_all(s), b"")
        check("removed: revoked", ended(w, mark, end="revoked"))
        equal("removed: closed", asked(3129), "closed")
        check("removed: the other one lives", echoes(t))
        for s in early:
            s.sendall(GOOD)
        equal("removed: nor for whoever had connected before",
              {code_of(read_all(s)) for s in early},
              {("503", "no_policy")})
    with socket.socket() as s:
        s.bind(("127.0.0.1", 3130))
        s.listen()
        r = w.reload(conf(listener("dev", 3128), listener("two", 3129),
                          listener("three", 3130)))
        refused(w, "port taken: the whole is refused", r,
                w.generation(), "three", "3130", "in use")
        equal("port taken: nothing of it", asked(3129), "closed")
        equal("port taken: the old one serves", asked(3128),
              ("403", "host"))
    r = w.reload(conf(listener("two", 3129)))
    check("all others", r and r["applied"], r)
    equal("all others: the first is closed", asked(3128), "closed")
    equal("all others: serves", asked(3129), ("403", "host"))
    r = w.reload(conf())
    check("no listener at all", r and r["applied"], r)
    equal("no listener at all: closed", asked(3129), "closed")
    r = w.reload(w.config(listeners=[
        {"name": "six", "address": "[::1]:3131", "profile": "dev"},
        {"name": "dev", "address": "127.0.0.1:3128", "profile": "dev"},
        {"name": "low", "address": "127.0.0.1:81", "profile": "dev"}],
        profiles=profiles))
    check("v6, and a port below 1024 without being root", r and
          r["applied"], r)
    with connect(3131, "::1") as s:
        s.sendall(BAD)
        equal("v6: serves", code_of(read_all(s)), ("403", "host"))
    equal("port 81: serves", asked(81), ("403", "host"))


def fixed(w, conf):
    for key, value in (("workers", 3), ("socket", w.socket + ".2"),
                       ("audit", w.audit + ".2"),
                       ("users", {"proxy": "nobody"})):
        r = w.reload(dict(conf, **{key: value}))
        refused(w, key + ": refused", r, w.generation(), key,
                "cannot change while running")
    equal("the old one serves", asked(3128), ("403", "host"))
    # Those who may ask change at once.
    r = w.reload(dict(conf, peers=[]))
    equal("peers: none", status(w.socket).get("error"), "refused")
    w.reload(conf)
    equal("peers: again", status(w.socket)["type"], "status.answer")
    equal("status: the generation", status(w.socket)["state"]["generation"],
          str(w.generation()))


def hup(w):
    """HUP without another file; the record of it."""
    before = len(w.records())
    os.kill(w.pid(), signal.SIGHUP)
    found = w.new_records(before, "reload")
    return found[0] if found else None


def permissions(w, conf):
    """A file that only root may read."""
    for name, mode in (("0755", 0o755), ("0700", 0o700)):
        directory = os.path.join(w.dir, "etc" + name)
        os.mkdir(directory, mode)
        w.conf_path = os.path.join(directory, "egressd.conf")
        w.stop_keeper()
        os.umask(0o077)
        w.start(conf)
        os.umask(0o022)
        equal("directory %s: mode of the file" % name,
              os.stat(w.conf_path).st_mode & 0o777, 0o600)
        with open(w.conf_path, "w") as f:
            json.dump(dict(conf, profiles={"dev": {}}), f)
        r = hup(w)
        check("directory %s: changed in place" % name, r and r["applied"],
              r)
        equal("directory %s: in force" % name, asked(3128, GOOD),
              ("403", "host"))
        os.rename(w.conf_path, w.conf_path + ".old")
        os.umask(0o077)
        w.write_config(conf)
        os.umask(0o022)
        if mode == 0o700:
            os.unlink(w.conf_path + ".old")
        r = hup(w)
        refused(w, "directory %s: replaced" % name, r, 2, w.conf_path,
                "Permission denied")
        if mode == 0o755:
            os.chmod(w.conf_path, 0o644)
            r = hup(w)
            check("directory %s: readable again" % name, r and r["applied"],
                  r)
    w.stop_keeper()
    w.conf_path = os.path.join(w.dir, "egressd.conf")
    w.start(conf)
    os.unlink(w.conf_path)
    refused(w, "removed", hup(w), 1, w.conf_path, "No such file")


def burst(w, conf):
    w.write_config(conf)
    generation = w.generation()
    with tunnel("good.test:7") as s:
        for i in range(20):
            os.kill(w.pid(), signal.SIGHUP)
            time.sleep(0.01 if i % 3 == 0 else 0)
        check("20 HUPs: a tunnel lives", echoes(s))
        wait_for(lambda: w.generation() > generation, 5)
        time.sleep(0.5)
        check("20 HUPs: still", echoes(s))
    new = [r for r in w.records("reload") if r["generation"] > generation]
    check("20 HUPs: one generation behind the other", new and
          [r["generation"] for r in new] == list(range(
              generation + 1, generation + 1 + len(new))), new)
    equal("20 HUPs: serves", asked(3128), ("403", "host"))


def names(w, conf):
    """Name servers and the hosts file."""
    w.net.ip(w.net.outside, "addr add %s/24 dev %s" % (DNS2,
                                                       w.net.veth[1]))
    w.start_outside(sys.executable, os.path.join(HELPER, "dnsd.py"),
                    "--address", DNS2, "--port", "53", "--log",
                    w.dns_log + ".2", "good.test=A:10.99.0.3")
    wait_for(lambda: os.path.exists(w.dns_log + ".2"))
    w.reload(conf)
    with tunnel("good.test:7") as s:
        check("resolvers: before", echoes(s))
    r = w.reload(dict(conf, resolvers=[DNS2]))
    check("resolvers: applied", r and r["applied"], r)
    equal("resolvers: the other one is asked", asked(3128, GOOD),
          ("502", "connect_refused"))
    with open(w.dns_log + ".2") as f:
        check("resolvers: it was", "good.test" in f.read())
    hosts = os.path.join(w.dir, "hosts")
    with open(hosts, "w") as f:
        f.write("10.99.0.2 good.test\n")
    r = w.reload(dict(conf, resolvers=[DNS2], hosts_file=hosts))
    check("hosts_file: applied", r and r["applied"], r)
    with tunnel("good.test:7") as s:
        check("hosts_file: comes first", echoes(s))
    with open(hosts + ".new", "w") as f:
        f.write("10.99.0.3 good.test\n")
    os.rename(hosts + ".new", hosts)
    r = hup(w)
    check("hosts_file: changed", r and r["applied"], r)
    wait_for(lambda: w.logged("generation %d: 1 servers, 1 hosts" %
                              r["generation"]))
    equal("hosts_file: in force", asked(3128, GOOD),
          ("502", "connect_refused"))
    os.unlink(hosts)
    refused(w, "hosts_file: gone", hup(w), w.generation(), "hosts_file",
            "No such file")
    equal("hosts_file: the old one serves", asked(3128), ("403", "host"))


def leaving(w, conf):
    """HUP means nothing any more while the daemon drains."""
    w.reload(conf)
    pid, mark = w.pid(), len(w.records())
    with tunnel("good.test:7") as s:
        os.kill(pid, signal.SIGHUP)
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: asked(3128) in ("closed", ("503", "draining")), 5)
        for _ in range(5):
            os.kill(pid, signal.SIGHUP)
        time.sleep(0.3)
        check("HUP while draining: the tunnel goes on", echoes(s))
        equal("HUP while draining: closed", asked(3128), "closed")
    wait_for(lambda: w.pid() != pid, 10)
    check("HUP while draining: the stop is on record",
          w.new_records(mark, "stop"))
    check("and it starts again", w.wait_started(mark))


def main():
    with World({"good.test": ["A:" + ORIGIN]}) as w:
        w.start_origin("good.test")
        w.start_dns()
        w.generation = lambda: [
            r["generation"] for r in w.records()
            if r["type"] in ("start", "reload")][-1]
        profiles = {"dev": {"allow": [ECHO]}, "none": {}}
        conf = w.config(profiles=profiles)
        w.start(conf)
        listeners(w, profiles)
        w.reload(conf)
        fixed(w, conf)
        burst(w, conf)
        names(w, conf)
        leaving(w, conf)
        permissions(w, conf)
        w.stop_keeper()
        out = w.verify_records()
        equal("the records verify", (out.returncode, out.stderr), (0, ""))
    finish()


main()
