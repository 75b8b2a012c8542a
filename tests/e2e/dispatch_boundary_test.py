#!/usr/bin/env python3
"""What a run can reach: nothing, but listed hosts through its own proxy.

The probes of egress_wall_test.py, from the tools of two real runs that live at
the same time. First a container that is no run, for which all of it gets
through; then the runs as they are; then the runs with a route out that the
engine did not give them and without one rule of the engine's, so that nothing
but our own refuses; at last with each process of both daemons killed.
"""

import base64
import json
import os
import signal
import subprocess
import time

from dispatch import Dispatch, HOST, Inside, Prober, missing
from egress_wall_test import (ANY, THROUGH, WORD, closed, dns, ech_hello,
                              host, icmp, leave, line, metadata, own_proxy,
                              probe, tcp_outside, udp_outside)
from lib import (ORIGIN, SANITIZER, check, equal, finish, report, wait_for)
from wall import HOST_NAT, HostServers, Wall

FOREIGN = "other.test"
NEVER = "td-" + "z" * 12        # has the name of a run's, and none opened it
DOCKER_RULES = {"iptables": ("filter", "raw", "mangle"),
                "ip6tables": ("filter", "raw", "mangle")}


class Boundary(Dispatch):
    """Dispatch, with an outside that answers everywhere and servers on every
    address of the host."""

    host_addresses = Wall.host_addresses
    leaked = Wall.leaked
    mark = Wall.mark
    outside_lines = Wall.outside_lines
    start_outsided = Wall.start_outsided
    start_servers = Wall.start_servers

    def __enter__(self):
        self.runs, self.marks, self.servers = [], 0, HostServers()
        self.abstract = "bulkhead-boundary-%d" % os.getpid()
        super().__enter__()
        self.net.ip(self.net.host, "addr add %s/32 dev %s" %
                    (HOST_NAT, self.net.veth[0]))
        self.outside_log = os.path.join(self.dir, "outside.log")
        self.start_outsided()
        return self

    def __exit__(self, *exc):
        self.servers.close()
        super().__exit__(*exc)


class Stranger(Prober):
    """A container on a network of the engine's that no daemon of ours knows,
    with all that a run lacks: a route, IPv6, masquerading."""

    id = "stranger"
    v6 = False

    def __init__(self, w, name, interface, number):
        self.interface = interface
        self.gateway, self.address = ("10.202.%d.%d" % (number, n)
                                      for n in (1, 2))
        self.gateway6, self.address6 = ("fd20:0:0:%d::%d" % (number, n)
                                        for n in (1, 2))
        self.broadcast = "10.202.%d.255" % number
        bridge = "com.docker.network.bridge."
        w.engine.docker(
            "network", "create", "--ipv6", "--subnet",
            "10.202.%d.0/24" % number, "--subnet", self.gateway6 + "/64",
            "-o", bridge + "name=" + interface, "-o",
            "com.docker.network.host_ipv4=" + HOST_NAT, name)
        w.engine.docker(
            "run", "-i", "-d", "--name", name, "--network", name, "--dns",
            "10.99.0.53", "--ip", self.address, "--entrypoint",
            "/usr/bin/python3", "bulkhead-agent:1", "-c", self.program())
        pid = int(w.engine.docker("inspect", "-f", "{{.State.Pid}}",
                                  name).stdout)
        super().__init__(w, pid, name)


def ground(w):
    """A probe that fails by itself proves nothing: here they do not."""
    s = Stranger(w, "ground", "gnd0", 1)
    probes = tcp_outside() + udp_outside() + icmp() + dns(s) + metadata() + \
        host(w, s)
    probes = [p for p in probes if p["ground"] != ANY and
              p.get("port") != 3129]
    mark = w.mark()
    bad = ["not tried"]
    for _ in range(6):      # neighbours of IPv6 take a moment to be there
        bad = [line(p, got) for p, got in zip(probes, s.probe(probes))
               if got["result"] not in THROUGH]
        if not bad:
            break
        time.sleep(0.5)
    check("a container that is no run: %d probes get through" % len(probes),
          not bad, bad)
    seen = w.leaked(mark, WORD)
    for what in "PACKET tcp", "PACKET udp", "PACKET icmp", \
            " 169.254.169.254 ", " 2001:db8::7 ", "QUERY":
        check("outside sees its %s" % what.strip(),
              any(what in text for text in seen), len(seen))
    w.engine.docker("rm", "-f", "ground")
    w.engine.docker("network", "rm", "ground")


def runs(w):
    a, b = Inside(w, "a run"), Inside(w, "another run")
    for r in a, b:
        equal(r.title + " serves on 8080",
              r.one(kind="listen", port=8080)["result"], "listening")
        w.runs.append(r)
    w.start_servers()
    return a, b


def neighbours(w, a, b):
    """Its sockets are not in a directory that another run has."""
    for r in a, b:
        got = r.one(kind="run", argv=["/bin/ls", "-A", "/run/bulkhead"])
        equal(r.title + ": the host's files that it sees", got["out"].split(),
              ["dispatchd.sock"])
    host_side = os.path.join(w.dir, "runs", b.id, "dispatchd.sock")
    check("the other's socket is there", os.path.exists(host_side), host_side)
    got = a.one(kind="run", argv=["/bin/ls", host_side])
    check("and not for a run", got["result"] == "exit 2", got)


# -- the proxy -------------------------------------------------------------

CONNECTS = (
    ("198.51.100.1:443", "403", "ip_literal"),
    ("10.99.0.2:443", "403", "ip_literal"),
    ("[2001:db8::7]:443", "403", "ip_literal"),
    ("169.254.169.254:80", "403", "ip_literal"),
    ("127.0.0.1:8081", "403", "ip_literal"),
    ("bad.test:443", "403", "host"),
    ("localhost:443", "403", "host"),
    ("x.%s:443" % HOST, "403", "host"),
    (HOST + ":22", "403", "port"),
    (HOST + ":80", "403", "port"),
    ("0x7f.1:443", "400", "malformed"))


# What the proxy says itself: a fatal alert, access_denied.
ALERT = base64.b64encode(b"\x15\3\3\0\2\2\x31").decode()


def ask(r, authority, **more):
    return r.one(kind="proxy", address=r.gateway, port=3128,
                 authority=authority, **more)


def connects(w, r):
    ca = r.one(kind="run", argv=["/bin/sh", "-c", "echo $SSL_CERT_FILE"])
    ca = ca["out"].strip()
    got = ask(r, HOST + ":443", tls=HOST, ca=ca)
    check("CONNECT to a listed host", got["result"] == "200" and
          "hello" in got.get("body", ""), got)
    for authority, status, code in CONNECTS:
        mark = len(w.records())
        got = ask(r, authority)
        equal("CONNECT %s" % authority, got["result"],
              "%s egress-%s" % (status, code))
        body = json.loads(got.get("body") or "{}")
        equal("CONNECT %s: the body says so" % authority,
              (body.get("error"), body.get("run")), (code, r.id))
        found = w.new_records(mark, "deny")
        equal("CONNECT %s: on record" % authority,
              [(f["run"], f["code"], f["status"]) for f in found],
              [(r.id, code, int(status))])
    return ca


def tunnels(w, r, ca):
    """What is not TLS for the host that was asked for does not get there."""
    hello = ech_hello(HOST)
    ssh = b"SSH-2.0-OpenSSH_9.2\r\n"
    for name, end, more in (
            ("a foreign SNI", "sni_mismatch", {"tls": FOREIGN}),
            ("no SNI", "no_sni", {"tls": None}),
            ("ECH", "ech", {"send": base64.b64encode(hello).decode()}),
            ("SSH on 443", "not_tls",
             {"send": base64.b64encode(ssh).decode()}),
            ("HTTP on 443", "not_tls",
             {"send": base64.b64encode(b"GET / HTTP/1.1\r\n\r\n")
              .decode()})):
        mark = len(w.records())
        got = ask(r, HOST + ":443", ca=ca, **more)
        check("%s is cut" % name, got["result"] == "200" and
              "body" not in got and got.get("back", "") in ("", ALERT), got)
        found = w.new_records(mark, "tunnel.close")
        equal("%s: ends so, on record, with no byte up" % name,
              [(f["run"], f["end"], f["up"]) for f in found],
              [(r.id, end, 0)])


# -- without the engine's own rules ----------------------------------------

def docker_rules():
    """Rules of the engine's that can drop or refuse: {program table: n}."""
    found = {}
    for program, tables in DOCKER_RULES.items():
        for table in tables:
            text = subprocess.run([program, "-t", table, "-S"], check=True,
                                  capture_output=True, text=True).stdout
            n = sum(" DROP" in s or "REJECT" in s for s in text.splitlines())
            if n:
                found[program + " " + table] = n
    return found


def without_docker(w, a, b):
    before = docker_rules()
    check("the engine has rules of its own", before, before)
    Wall.forget_docker()
    for program, tables in DOCKER_RULES.items():
        for table in tables:
            subprocess.run([program, "-t", table, "-F"], check=True)
    equal("they are gone", docker_rules(), {})
    for r in a, b:
        r.command("ip", "route", "replace", "default", "via", r.gateway)
    closed(w, "a route out, none of the engine's rules", [a, b],
           lambda r: b if r is a else a)
    for r in a, b:
        own_proxy(w, "none of the engine's rules", r, True)
    mark = w.mark()
    got = a.command("python3", "-c", FORGE % (a.gateway, b.address))
    equal("forged by root in its network: tried", got.returncode, 0)
    equal("and not a packet outside", w.leaked(mark, WORD), [])


# What only root could send, with the run's address and with others.
FORGE = """
import socket
for proto in 1, 2, 17, 47, 132:
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, proto)
    for to in "198.51.100.1", "169.254.169.254", "10.99.0.2", "%s", "%s":
        try:
            s.sendto(bytes(64), (to, 0))
        except OSError:
            pass
"""


# -- death -----------------------------------------------------------------

def targets(r):
    return [probe("tcp", "198.51.100.1", 443), probe("udp", "198.51.100.1",
                                                     443, wait=0.001),
            probe("tcp", r.gateway, 8080), probe("tcp", r.gateway, 3129),
            dict(kind="proxy", address=r.gateway, port=3128, timeout=0.5,
                 authority="bad.test:443")]


OPENED = THROUGH | {"200"}


def hammered(title, r, seconds):
    """What the hammer hit meanwhile: nothing that let it in."""
    counts = r.one(kind="hammer_stop")["counts"]
    got = [k for c in counts for k in c if k in OPENED]
    tries = sum(sum(c.values()) for c in counts)
    check("%s: %s: %s" % (title, r.title, "nothing opened"), not got, counts)
    check("%s: %s: it was tried all the time" % (title, r.title),
          tries > 200 * seconds, (tries, seconds))
    return tries


def at_rest(w, a, never):
    """kill -9 of each process of each daemon while nothing goes on."""
    mark, start, tries = w.mark(), time.monotonic(), 0
    daemons = (("egressd", w.processes, w.pid, lambda: w.serving()),
               ("dispatchd", w.disp_processes, w.disp_pid, w.dispatch_serves))
    for daemon, processes, parent, serves in daemons:
        for role in sorted(processes()):
            title = "kill -9 %s, %s" % (daemon, role)
            for r in a, never:
                r.one(kind="hammer", targets=targets(r), hz=200)
            w.records_before = len(w.records())
            begun, old = time.monotonic(), parent()
            os.kill(processes()[role], signal.SIGKILL)
            back = wait_for(lambda: parent() not in (None, old) and serves(),
                            20)
            check(title + ": back", back, parent())
            check(title + ": the run's own proxy is open again", wait_for(
                lambda: a.one(kind="tcp", address=a.gateway,
                              port=3128)["result"] == "connected", 20))
            took = time.monotonic() - begun
            tries += sum(hammered(title, r, took) for r in (a, never))
    equal("at rest: not a packet outside, no question", w.leaked(mark, WORD),
          [])
    print("# %d tries in %.0f s" % (tries, time.monotonic() - start))
    equal("the run runs through all of it", w.state(a.id), "RUNNING")


def end(w, a, b):
    s = w.over(w.detach("echo next"))
    check("the next run is well", s and s["class"] == "ok", s)
    for r in a, b:
        equal("stop %s" % r.title, w.cli("stop", r.id).returncode, 0)
        s = w.over(r.id)
        equal("%s ends cancelled" % r.title, s and s["class"], "cancelled")
    s = w.json("show", a.id)
    check("show counts what was denied", s["egress"]["denied"] >=
          len(CONNECTS), s["egress"])
    equal("nothing of the two is left", (w.engine.names(),
                                         w.engine.names("network")), ([], []))
    equal("dispatchd's records verify",
          w.cli("audit", "verify", w.disp_audit).returncode, 0)
    equal("egressd's records verify", w.verify_records().returncode, 0)


def main():
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, leave)
    if SANITIZER:
        finish()    # the other build is the one that is meant
    why = missing()
    if why:
        report("skip", "the boundary of a run", why)
        finish()
    zone = {n: ["A:" + ORIGIN] for n in (HOST, FOREIGN)}
    zone["*.%s.test" % WORD] = ["A:198.51.100.9"]
    with Boundary(zone) as w:
        # Room for a third one beside the two.
        w.start_dispatchd(w.dispatch_config(capacity={
            "memory": "2g", "cpus": 3, "pids": 2048, "runs": 3}))
        a, b = runs(w)
        ground(w)
        closed(w, "as it is", [a, b], lambda r: b if r is a else a)
        neighbours(w, a, b)
        tunnels(w, a, connects(w, a))
        without_docker(w, a, b)
        never = Stranger(w, "never", NEVER, 2)
        at_rest(w, a, never)
        end(w, a, b)
    finish()


if __name__ == "__main__":
    main()
