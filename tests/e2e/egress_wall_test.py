#!/usr/bin/env python3
"""conformance: network lockdown (group I), identity (F), C6, by containers.

First the ground: with no rules every probe gets through, so that nothing dead
counts as refused; with rules written by hand each is refused. Then the same
probes against egressd: before a run is opened, open, closed, while each of its
processes is killed, and while others take its rules away.
"""

import base64
import json
import os
import pwd
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

from lib import (ORIGIN, Control, check, cmdline, equal, finish, report,
                 wait_for)
from wall import Wall, missing

OPEN, INSIDE, NEVER, SECOND, LATE = (c * 12 for c in "abcde")
THROUGH = {"connected", "answer", "opened"}
TCP4 = {"ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH"}
TCP6 = TCP4 | {"EADDRNOTAVAIL", "EACCES"}
ANY = "any"             # what the ground says of it does not matter
PORTS = 22, 53, 80, 443, 853, 3128, 47808
UDP_PORTS = 53, 123, 443, 47808
WORD = "leak-%d" % os.getpid()      # in every name that is asked for
# A source that lies outside: who answers it there, by an error that quotes the
# packet, has carried that packet outside.
SPOOFED6 = "2001:db8::bad"
RULES = [{"host": "good.test", "cidr": ["10.99.0.0/24"]},
         {"host": "raw.test", "port": 7, "cidr": ["10.99.0.0/24"],
          "proto": "any"}]
HAND = """
table inet wall_by_hand {
    set permitted {
        type ifname . ipv4_addr . inet_service
    }
    chain closed {
        fib saddr . iif oif missing drop
        meta l4proto tcp reject with tcp reset
        reject with icmpx admin-prohibited
    }
    chain run_input {
        iifname . ip daddr . tcp dport @permitted accept
        goto closed
    }
    chain input {
        type filter hook input priority -10
        iifname "bh-*" goto run_input
    }
    chain forward {
        type filter hook forward priority -10
        iifname "bh-*" goto closed
        oifname "bh-*" goto closed
    }
}
"""


# -- the matrix ------------------------------------------------------------

def probe(kind, address=None, port=None, ground=None, **more):
    """A probe; `ground`: ANY where it need not get through without rules."""
    p = dict(kind=kind, ground=ground, **more)
    if address is not None:
        p["address"] = address
        p["timeout"] = 1
    if port is not None:
        p["port"] = port
    return p


def tcp_outside():
    return [probe("tcp", a, port) for port in PORTS for a in
            ("198.51.100.1", "203.0.113.77", "2001:db8::7")] + [
        probe("tfo", "198.51.100.2", 443), probe("mptcp", "198.51.100.2", 443,
                                                 ground=ANY),
        probe("tcp", "10.99.0.2", 443), probe("tcp", "2001:db8::8", 8443)]


def udp_outside():
    return [probe("udp", a, port, data="x" * 30) for port in UDP_PORTS[1:]
            for a in ("198.51.100.1", "203.0.113.77", "2001:db8::7")]


def icmp():
    return [probe("icmp", a) for a in
            ("198.51.100.1", "203.0.113.77", "10.99.0.2", "2001:db8::7",
             "fd99::2")]


def dns(run):
    """Each question is for a name of its own: who leaked it shows."""
    servers = ("198.51.100.53", "2001:db8::53", "10.99.0.53", "127.0.0.11",
               "203.0.113.53")
    out = [probe("dns", a, 53, qname="%s.%s.test" % (run.id, WORD),
                 wait=1, tcp=by_tcp) for a in servers
           for by_tcp in (False, True)]
    # The gateway has no name server; it must not have one because of us.
    return out + [probe("dns", run.gateway, 53, ground=ANY,
                        qname="gateway.%s.test" % WORD),
                  probe("tcp", "198.51.100.53", 853)]


def metadata():
    return [probe("tcp", a, port) for port in (80, 443)
            for a in ("169.254.169.254", "fd00:ec2::254")] + [
        probe("icmp", "169.254.169.254"),
        probe("udp", "169.254.169.254", 123)]


def host(wall, run):
    """Every address of the host, and on the own gateway every kind."""
    out = []
    for interface, address in wall.host_addresses():
        if address.startswith("fe80:"):
            if interface != run.interface or address == "fe80::1":
                continue
            address += "%eth0"
        out += [probe("tcp", address, 8080), probe("udp", address, 8080),
                probe("icmp", address)]
    for address in run.gateway, run.gateway6:
        out += [probe("tcp", address, port) for port in (22, 2375)]
    return out + [probe("tcp", run.gateway, 3129),
                  probe("udp", run.gateway, 3129),
                  probe("tcp", run.gateway, 8081, ground=ANY),
                  probe("tcp", "127.0.0.1", 8081, ground=ANY),
                  probe("abstract", path=wall.abstract, ground=ANY)]


def others(run, second):
    """Another run's container and proxy, from whatever address."""
    return [probe("tcp", second.address, 8080),
            probe("udp", second.address, 8080), probe("icmp", second.address),
            probe("tcp", second.address6, 8080),
            probe("udp", second.address6, 8080),
            probe("tcp", second.gateway, 3128),
            probe("tcp", second.gateway, 3129),
            probe("udp", second.gateway, 3129),
            probe("tcp", second.gateway, 3128, source=second.address,
                  ground=ANY),
            probe("tcp", run.gateway, 8080, source=second.address,
                  ground=ANY)]


def everybody(run):
    """On a port that the run itself does not serve: it hears them too."""
    return [probe("udp", a, 8088) for a in
            ("255.255.255.255", run.broadcast, "ff02::1%eth0")] + [
        probe("udp", "224.0.0.251", 5353)]


def forged(run):
    """What needs a right that nobody has, and sources of one's own choice."""
    return [probe("raw", ground=ANY, proto=n) for n in (1, 6, 17, 255)] + [
        probe("raw", ground=ANY, v6=True, proto=58),
        probe("packet", ground=ANY), probe("packet", ground=ANY, type=2),
        probe("sctp", "198.51.100.1", 443, ground=ANY),
        probe("tcp", "198.51.100.1", 443, ground=ANY, source="10.99.0.1"),
        probe("udp", "198.51.100.1", 443, ground=ANY, source="10.99.0.1"),
        probe("udp", "198.51.100.1", 443, ground=ANY, source=run.broadcast),
        probe("tcp", "198.51.100.1", 443, ground=ANY, source=run.broadcast),
        probe("udp", "2001:db8::7", 443, ground=ANY, source=SPOOFED6,
              data="quote-me")]


def groups(wall, run, second):
    """{name: probes}, the whole matrix of a run."""
    return {"TCP to outside": tcp_outside(),
            "UDP to outside": udp_outside(), "ICMP to outside": icmp(),
            "DNS of any server": dns(run), "metadata": metadata(),
            "the host": host(wall, run), "another run": others(run, second),
            "everybody on the link": everybody(run),
            "forged packets": forged(run)}


def refused(p, got, v6):
    """Was this probe refused in the way that its kind has? Where a run has
    IPv6 the wall hides the neighbour too, and TCP waits for it in vain."""
    result = got["result"]
    if p["kind"] in ("tcp", "tfo", "mptcp"):
        want = TCP6 if ":" in p["address"] else TCP4
        if v6 and ":" in p["address"]:
            want = want | {"timeout"}
        if "source" in p:
            want = want | {"EADDRNOTAVAIL", "EINVAL"}
        if p["kind"] == "mptcp":
            want = want | {"EPROTONOSUPPORT", "ENOPROTOOPT"}
        return result in want
    if p["kind"] in ("raw", "packet"):
        return result in ("EPERM", "EACCES", "EAFNOSUPPORT")
    if p["kind"] == "dns":
        return result in ("silence", "no record", "timeout") or \
            result.startswith("E")
    return result == "silence" or result.startswith("E")


def line(p, got):
    return "%s %s %s%s: %s" % (
        p["kind"], p.get("address", ""), p.get("port", ""),
        " from " + p["source"] if "source" in p else "", got["result"])


def try_all(wall, run, second):
    """[(group, probe, answer)], all of it at once."""
    flat = [(name, p) for name, probes in groups(wall, run, second).items()
            for p in probes]
    answers = run.probe([p for _, p in flat])
    return [(name, p, got) for (name, p), got in zip(flat, answers)]


def together(runs, what):
    """what(run) for each of them, at the same time: {id: result}."""
    out = {}

    def one(run):
        out[run.id] = what(run)
    threads = [threading.Thread(target=one, args=(r,), daemon=True)
               for r in runs]
    for t in threads:
        t.start()
    for t in threads:
        t.join(90)
    return out


def passes(wall, title, run, second):
    """The ground: every probe gets through, and is seen outside. Addresses
    and neighbours of IPv6 take a moment to be there."""
    def bad():
        return [line(p, got) for _, p, got in try_all(wall, run, second)
                if p["ground"] != ANY and got["result"] not in THROUGH]
    first = bad()
    left = first
    for _ in range(4):
        if not left:
            break
        time.sleep(0.7)
        left = bad()
    check("%s: every probe gets through" % title, not left, left)


def closed(wall, title, runs, second):
    """The matrix from each of runs: refused, and nothing outside."""
    mark = wall.mark()
    found = together(runs, lambda r: try_all(wall, r, second(r)))
    for run in runs:
        seen = {}
        for name, p, got in found.get(run.id, []):
            seen.setdefault(name, []).append((p, got))
        check("%s, %s: the matrix ran" % (title, run.title), seen, "no answer")
        for name, rows in seen.items():
            bad = [line(p, got) for p, got in rows
                   if not refused(p, got, run.v6)]
            check("%s, %s: %s, %d probes refused" %
                  (title, run.title, name, len(rows)), not bad, bad)
        late = [line(p, got) + ", %d ms" % got["ms"]
                for rows in seen.values() for p, got in rows
                if p["kind"] == "tcp" and ":" not in p["address"] and
                got["ms"] > 700]
        check("%s, %s: TCP is refused at once" % (title, run.title),
              not late, late)
    out = wall.leaked(mark, WORD)
    forged = [s for s in out if " %s " % SPOOFED6 in s]
    check(title + ": no refusal carries a packet to a forged source",
          not forged, forged)
    out = [s for s in out if s not in forged]
    check(title + ": not a packet outside, no question asked", not out,
          out[:20])


def own_proxy(wall, title, run, want):
    """The own gateway's proxy port: connected, or refused."""
    got = run.one(kind="tcp", address=run.gateway, port=3128)["result"]
    good = got == "connected" if want else got in TCP4
    return check("%s, %s: its own proxy is %s" % (
        title, run.title, "reached" if want else "refused"), good, got)


# -- the ground ------------------------------------------------------------

def nft(*words, text=None):
    return subprocess.run(["nft", *words], input=text, text=True, check=True,
                          capture_output=True).stdout


def ground(w, second):
    for run in w.runs:
        equal("ground, %s: serves" % run.title,
              run.one(kind="listen", port=8080)["result"], "listening")
    mark = w.mark()
    together(w.runs, lambda r: passes(w, "ground, no rules, " + r.title, r,
                                      second(r)))
    seen = w.leaked(mark, WORD)
    for what in ("PACKET tcp", "PACKET udp", "PACKET icmp ", "PACKET icmp6",
                 " 169.254.169.254 ", " 2001:db8::7 ", "QUERY udp",
                 "QUERY tcp", "PACKET udp " + SPOOFED6):
        check("ground, no rules: outside sees %r" % what.strip(),
              any(what in s for s in seen), "%d lines" % len(seen))


def by_hand(w, second):
    nft("-f", "-", text=HAND)
    opened = [r for r in w.runs if r.id != NEVER]
    for r in opened:
        nft("add", "element", "inet", "wall_by_hand", "permitted",
            '{ "%s" . %s . 3128 }' % (r.interface, r.gateway))
    closed(w, "by hand", w.runs, second)
    for r in w.runs:
        own_proxy(w, "by hand", r, r in opened)
    nft("delete", "table", "inet", "wall_by_hand")
    own = [r.one(kind="tcp", address="198.51.100.1", port=443)["result"]
           for r in w.runs]
    equal("by hand: open again without them", own,
          ["connected"] * len(w.runs))


# -- the daemon ------------------------------------------------------------

def request(w, kind, **words):
    with Control(w.socket) as c:
        c.hello()
        c.send(dict(words, type=kind, id=1))
        return c.recv()


def open_run(w, run, profile="dev"):
    return request(w, "run.open", run=run.id, address=run.gateway,
                   profile=profile)


def wall_config(w):
    return w.config(profiles={"dev": {"allow": RULES},
                              "none": {"allow": [], "deny": []}})


def start_and_open(w, second):
    closed(w, "at start", w.runs, second)
    for run in w.runs:
        own_proxy(w, "at start", run, False)
    for run in w.runs:
        if run.id == NEVER:
            continue
        r = open_run(w, run) or {}
        got = {k: r.get(k) for k in ("type", "interface", "listener",
                                     "canary", "enforced")}
        equal("run.open " + run.title, got, {
            "type": "run.opened", "interface": run.interface,
            "listener": run.gateway + ":3128",
            "canary": run.gateway + ":3129", "enforced": True})
    late = w.add_run(LATE, 5, internal=True, v6=False,
                     title="opened, then made")
    equal("run.open before there is a network",
          (open_run(w, late) or {}).get("type"), "run.opened")
    late.up()
    w.forget_docker()
    late.one(kind="listen", port=8080)


def opened(w, second):
    closed(w, "open", w.runs, second)
    for run in w.runs:
        own_proxy(w, "open", run, run.id != NEVER)


# -- what is meant to work -------------------------------------------------

def ask(run, authority, **more):
    return run.one(kind="proxy", address=run.gateway, port=3128,
                   authority=authority, **more)


def ended(w, mark, run, end, up=None):
    """The tunnel's record; up: the bytes that the destination got."""
    found = w.new_records(mark, "tunnel.close")
    good = [r for r in found if r["run"] == run.id and r["end"] == end and
            up in (None, r["up"])]
    return check("%s: its tunnel ends %s, on record with the run" % (
        run.title, end), good, found)


def with_proxy(w, run):
    title = "proxy, %s: " % run.title
    mark = len(w.records())
    got = ask(run, "good.test:443", tls="good.test", ca="/probe/ca.pem")
    check(title + "a listed host", got["result"] == "200" and
          "hello" in got.get("body", ""), got)
    found = w.new_records(mark, "tunnel.open")
    equal(title + "tunnel.open has the run", [r["run"] for r in found],
          [run.id])
    for authority, want in (("bad.test:443", "403 egress-host"),
                            ("good.test:22", "403 egress-port"),
                            ("198.51.100.1:443", "403 egress-ip_literal"),
                            ("[2001:db8::7]:443", "403 egress-ip_literal"),
                            ("169.254.169.254:80", "403 egress-ip_literal")):
        mark = len(w.records())
        equal(title + "CONNECT " + authority, ask(run, authority)["result"],
              want)
        found = w.new_records(mark, "deny")
        equal(title + authority + " is on record", [
            (r["run"], "403 egress-" + r["code"]) for r in found],
            [(run.id, want)])
    got = run.one(kind="run", argv=[
        "curl", "-sS", "--proxy", "http://%s:3128" % run.gateway, "--cacert",
        "/probe/ca.pem", "https://good.test/hello"])
    equal(title + "curl", (got["result"], got.get("out")),
          ("exit 0", "hello\n"))
    got = run.one(kind="run", argv=[
        "curl", "-sS", "-m", "4", "--noproxy", "*", "-k",
        "https://198.51.100.1/"])
    equal(title + "curl --noproxy", got["result"], "exit 7")


def tunnel_ends(w, run):
    """What is not TLS for the host that was asked for is cut."""
    for name, end, more in (
            ("a foreign SNI", "sni_mismatch", {"tls": "other.test"}),
            ("no SNI", "no_sni", {"tls": None}),
            ("ECH", "ech", {"send": encode(ech_hello("good.test"))}),
            ("SSH", "not_tls", {"send": encode(b"SSH-2.0-client\r\n")})):
        mark = len(w.records())
        got = ask(run, "good.test:443", ca="/probe/ca.pem", **more)
        check("proxy, %s: %s is cut" % (run.title, name),
              got["result"] == "200" and "body" not in got, got)
        ended(w, mark, run, end, up=0)


def ech_hello(name):
    """A ClientHello with that name and an encrypted one."""
    def extension(kind, data):
        return struct.pack("!HH", kind, len(data)) + data
    raw = name.encode()
    entry = b"\0" + struct.pack("!H", len(raw)) + raw
    ext = (extension(0, struct.pack("!H", len(entry)) + entry) +
           extension(0xfe0d, bytes(40)))
    body = (b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" +
            struct.pack("!H", len(ext)) + ext)
    message = b"\1" + struct.pack("!I", len(body))[1:] + body
    return b"\x16\3\1" + struct.pack("!H", len(message)) + message


def encode(raw):
    return base64.b64encode(raw).decode()


# -- requests --------------------------------------------------------------

def refusals(w, run, second):
    def code(ident, address, profile="dev"):
        r = request(w, "run.open", run=ident, address=address,
                    profile=profile) or {}
        return r.get("error", r.get("type"))
    before = nft("list", "ruleset")
    equal("run.open again: the same", (open_run(w, run) or {}).get("type"),
          "run.opened")
    new, free = "f" * 12, "10.201.200.1"
    for name, got, want in (
            ("another address", code(run.id, free), "conflict"),
            ("another profile", code(run.id, run.gateway, "none"),
             "conflict"),
            ("the address of another run", code(new, second.gateway),
             "conflict"),
            ("an address outside run_networks", code(new, "10.202.0.1"),
             "invalid"),
            ("an address of the host", code(new, "10.99.0.1"), "invalid"),
            ("no address", code(new, "10.201.0"), "invalid"),
            ("a bad run id", code("F" * 12, free), "invalid"),
            ("a run id with a slash", code("../../etc/xx", free), "invalid"),
            ("an unknown profile", code(new, free, "absent"), "invalid")):
        equal("run.open with %s" % name, got, want)
    strip = [line for line in before.splitlines() if "packets" not in line]
    after = [line for line in nft("list", "ruleset").splitlines()
             if "packets" not in line]
    equal("after these: not a rule more", after, strip)
    equal("after these: no such run", request(w, "run.status", run=new)
          .get("error"), "no_run")


def counts(w, run):
    """run.status says what this run did, and nothing of others."""
    before = request(w, "run.status", run=run.id)
    ask(run, "good.test:443", tls="good.test", ca="/probe/ca.pem")
    for _ in range(3):
        ask(run, "counted.test:443")
    run.one(kind="tcp", address="198.51.100.1", port=80)

    def grown():
        s = request(w, "run.status", run=run.id)
        return s if s["bytes_down"] > before["bytes_down"] and \
            s["packets_refused"] > before["packets_refused"] else None
    s = wait_for(grown, 5) or request(w, "run.status", run=run.id)
    equal("run.status: allowed and denied", (
        s["allowed"] - before["allowed"], s["denied"] - before["denied"]),
        (1, 3))
    check("run.status: packets and bytes", s["packets_refused"] >
          before["packets_refused"] and s["bytes_up"] > before["bytes_up"] and
          s["bytes_down"] > before["bytes_down"], (before, s))
    equal("run.status: the denials",
          s["denials"].get("counted.test:443 host"), "3")
    check("run.status: names", (s["profile"], s["interface"], s["listener"],
                                s["enforced"]) ==
          ("dev", run.interface, run.gateway + ":3128", True), s)


def foreign(w, run):
    """A run's listener is not for users of the host. Whose socket it is the
    packet rules see: root's would pass for the machine's own."""
    with open("/proc/net/tcp") as f:
        rows = [line.split() for line in f][1:]
    owners = {r[7] for r in rows if r[3] == "0A" and
              int(r[1].split(":")[1], 16) in (3128, 3129)}
    equal("no listener is root's", owners,
          {str(pwd.getpwnam("bulkhead-egress").pw_uid)})
    for name, port in ("listener", 3128), ("canary", 3129):
        try:
            socket.create_connection((run.gateway, port), 3).close()
            got = "connected"
        except OSError as e:
            got = type(e).__name__
        equal("the host's users do not reach its %s" % name, got,
              "ConnectionRefusedError")


def second_daemon(w):
    """Another egressd with the same table would undo what this one closes."""
    conf = dict(wall_config(w), socket=w.socket + "2", audit=w.audit + "2",
                interface_prefix="zz-", listeners=[])
    path = w.conf_path + "2"
    with open(path, "w") as f:
        json.dump(conf, f)
    before = nft("list", "ruleset")
    status, err = w.once("-d", "-f", path)
    equal("a second egressd with the same table leaves", status, 71)
    check("it names the table", "belongs to another egressd" in err, err)
    strip = [[line for line in text.splitlines() if "packets" not in line]
             for text in (before, nft("list", "ruleset"))]
    equal("and changed nothing", strip[1], strip[0])


def profile_gone(w, run):
    """A reload takes the profile of an open run away, and gives it back."""
    conf = wall_config(w)
    w.reload(dict(conf, profiles={"none": conf["profiles"]["none"]},
                  listeners=[]))
    got = ask(run, "good.test:443")
    check("its profile is gone: it is refused", "no_policy" in str(got), got)
    w.reload(conf)


def close_midway(w, run, second):
    """run.close while bytes flow: cut within a second, then as never open."""
    run.one(kind="flow", address=run.gateway, port=3128,
            authority="raw.test:7")
    time.sleep(0.3)
    mark, start = len(w.records()), time.monotonic()
    r = request(w, "run.close", run=run.id) or {}
    took = time.monotonic() - start
    got = run.one(kind="flow_end")
    check("run.close: the transfer is cut within a second",
          got["ended"] and took < 1 and
          time.monotonic() - start < 1.5, (took, got))
    check("run.close: it was one", got["bytes"] > 1000, got)
    check("run.close: its sums", r.get("known") and r["bytes_up"] > 0 and
          r["bytes_down"] > 0 and r["packets_refused"] > 0, r)
    ended(w, mark, run, "run_closed")
    found = w.new_records(mark, "run.close")
    equal("run.close: on record", [x["run"] for x in found], [run.id])
    closed(w, "closed", [run], second)
    own_proxy(w, "closed", run, False)
    again = request(w, "run.close", run=run.id)
    equal("run.close again", again.get("known"), False)
    equal("run.status of a closed run",
          request(w, "run.status", run=run.id).get("error"), "no_run")
    equal("opened again", open_run(w, run).get("type"), "run.opened")
    own_proxy(w, "opened again", run, True)


def sync(w, run, second):
    r = request(w, "runs.sync", runs=[run.id, "f" * 12])
    want = sorted(x.id for x in w.runs if x.id not in (run.id, NEVER))
    equal("runs.sync closes what is not listed", sorted(r["closed"]), want)
    equal("runs.sync says what is not open", r["unknown"], ["f" * 12])
    for x in w.runs:
        own_proxy(w, "after runs.sync", x, x is run)
    for x in w.runs:
        if x.id != NEVER:
            open_run(w, x)


# -- death and tampering ---------------------------------------------------

def hammer(run):
    """50 times a second what must never connect."""
    targets = [("198.51.100.1", 443), (run.gateway, 8080),
               (run.gateway, 3129)]
    run.one(kind="hammer", hz=50,
            targets=[probe("tcp", a, port) for a, port in targets])


def hammered(title, run, least):
    counts = run.one(kind="hammer_stop")["counts"]
    check(title + ": nothing connected, not once",
          all(set(c) <= TCP4 for c in counts), counts)
    tries = min((sum(c.values()) for c in counts), default=0)
    check(title + ": it was tried all the time", tries >= least, tries)


def opens_again(w, run):
    try:
        return open_run(w, run).get("type") == "run.opened"
    except (OSError, AttributeError):
        return False


def kills(w, run):
    """kill -9 of each process: closed meanwhile, and open when asked."""
    for name in sorted(w.processes()):
        mark, old = w.mark(), w.processes()
        title = "kill -9 " + name
        if name not in old:
            report("not ok", title, "no such process: %r" % old)
            continue
        hammer(run)
        start, seen = time.monotonic(), len(w.records())
        os.kill(old[name], signal.SIGKILL)
        back = w.wait_started(seen) and wait_for(w.serving, 10)
        check(title + ": back", back, "not after 20 s")
        own = run.one(kind="tcp", address=run.gateway, port=3128)["result"]
        check(title + ": the run is closed until it is opened again",
              own in TCP4, own)
        check(title + ": run.open again works",
              wait_for(lambda: opens_again(w, run), 10))
        took = time.monotonic() - start
        hammered(title, run, 10 * took)
        equal(title + ": nothing outside", w.leaked(mark, WORD), [])
        own_proxy(w, title, run, True)


def lockdowns(w, mark):
    return [r["state"] for r in w.records()[mark:] if r["type"] == "lockdown"]


def tampering(w, run, second):
    """Who flushes the rules finds them back, and on record."""
    mark, start = len(w.records()), time.monotonic()
    nft("flush", "ruleset")
    back = wait_for(lambda: "restored" in lockdowns(w, mark), 6)
    took = time.monotonic() - start
    check("nft flush ruleset: restored within 5 s", back and took < 5, took)
    equal("nft flush ruleset: on record", lockdowns(w, mark),
          ["lost", "restored"])
    closed(w, "restored", w.runs, second)
    for x in w.runs:
        own_proxy(w, "restored", x, x.id != NEVER)
    mark = len(w.records())
    table = w.config().get("nft_table", "bulkhead")
    nft("add", "element", "inet", table, "permitted",
        '{ "%s" . %s . 8080 }' % (run.interface, run.gateway))
    check("an element of somebody else's is taken out",
          wait_for(lambda: "restored" in lockdowns(w, mark), 6),
          lockdowns(w, mark))
    got = run.one(kind="tcp", address=run.gateway, port=8080)["result"]
    check("and what it permitted is refused", got in TCP4, got)


def engine_restart(w, run, second):
    """The engine killed and started, iptables -F: nothing of ours moves."""
    mark = len(w.records())
    hammer(run)
    start = time.monotonic()
    check("the engine killed: back", w.engine.kill(), w.engine.last_words())
    w.forget_docker()
    time.sleep(1.5)
    hammered("the engine restarted, iptables -F", run,
             10 * (time.monotonic() - start))
    equal("the engine restarted, iptables -F: the table is intact",
          lockdowns(w, mark), [])
    own_proxy(w, "the engine restarted", run, True)
    closed(w, "the engine restarted", [run], second)


# -- all of it -------------------------------------------------------------

def with_daemon(w, second):
    w.start(wall_config(w))
    equal("no run at first", request(w, "run.status", run=OPEN).get("error"),
          "no_run")
    run, other = w.runs[0], w.runs[3]
    start_and_open(w, second)
    opened(w, second)
    for x in w.runs[0], w.runs[1], w.runs[-1]:
        with_proxy(w, x)
    tunnel_ends(w, run)
    refusals(w, run, other)
    counts(w, run)
    foreign(w, run)
    second_daemon(w)
    profile_gone(w, run)
    close_midway(w, run, second)
    sync(w, run, second)
    kills(w, run)
    for x in w.runs:
        if x.id != NEVER:
            open_run(w, x)
    engine_restart(w, run, second)
    tampering(w, run, second)
    out = w.verify_records()
    equal("the records are one chain over all of it",
          (out.returncode, out.stderr), (0, ""))


def make_runs(w):
    """Not internal: what refuses there is not the engine's own doing."""
    for ident, number, internal, title in (
            (OPEN, 1, False, "opened"), (INSIDE, 2, True, "opened, internal"),
            (NEVER, 3, False, "never opened"), (SECOND, 4, False, "second")):
        w.add_run(ident, number, internal=internal, title=title).up()
    w.start_servers()
    w.start_stand_ins()
    w.forget_docker()


def left_behind(w):
    """What of the test is still there."""
    with open("/proc/self/mountinfo") as f:
        out = ["mount " + s.split()[4] for s in f if w.dir in s]
    out += ["namespace " + n for n in os.listdir("/run/netns")
            if n in (w.net.host, w.net.outside)]
    out += [p for p in [w.dir] + w.engine.cgroups() if os.path.exists(p)]
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if any(w.dir in word for word in cmdline(int(pid))):
            out.append("process " + pid)
    return out


def leave(signum, frame):
    sys.exit("ended by signal %d" % signum)


def main():
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        signal.signal(number, leave)
    why = missing()
    if why:
        report("skip", "the wall", why)
        finish()
    names = "good.test", "raw.test", "other.test"
    zone = {n: ["A:" + ORIGIN] for n in names}
    zone["*.%s.test" % WORD] = ["A:198.51.100.9"]
    with Wall(zone) as w:
        w.start_outsided()
        w.start_origin("good.test", "other.test")
        w.start_dns()
        try:
            w.engine.start()
        except RuntimeError as e:
            report("skip", "the wall", str(e))
            finish()
        make_runs(w)

        def second(run):
            return w.runs[3] if run is not w.runs[3] else w.runs[0]
        ground(w, second)
        by_hand(w, second)
        w.stand_ins.close()
        with_daemon(w, second)
    equal("nothing stays behind", left_behind(w), [])
    finish()


if __name__ == "__main__":
    main()
