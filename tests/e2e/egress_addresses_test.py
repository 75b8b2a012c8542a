#!/usr/bin/env python3
"""conformance: addresses and SSRF (group B), DNS (group C), dialling."""

import os
import sys
import time

from lib import (DNS, HELPER, ORIGIN, World, ask, check, code_of,
                 connect_request, equal, finish, make_ca, tunnel, wait_for)

PROHIBITED = {
    "meta4": "A:169.254.169.254", "loop4": "A:127.0.0.1",
    "loop6": "AAAA:::1", "zero4": "A:0.0.0.0", "any6": "AAAA:::",
    "multi4": "A:224.0.0.1", "multi6": "AAAA:ff02::1",
    "bcast": "A:255.255.255.255", "ll6": "AAAA:fe80::1",
    "meta6": "AAAA:fd00:ec2::254", "doc4": "A:198.51.100.7",
    "doc6": "AAAA:2001:db8::1", "bench": "A:198.18.0.1",
    "mapped": "AAAA:::ffff:10.99.0.2", "nat64": "AAAA:64:ff9b::a63:2",
    "sixtofour": "AAAA:2002:a63:2::", "teredo": "AAAA:2001::1",
    "class-e": "A:240.0.0.1", "site": "AAAA:fec0::1",
    "azure": "A:168.63.129.16", "alibaba": "A:100.100.100.200",
}

ZONE = {
    "good.test": ["A:10.99.0.2"],
    "private.test": ["A:10.98.0.2"],
    "cgn.test": ["A:100.64.1.1"],
    "ula.test": ["AAAA:fd00::5"],
    "mixed.test": ["A:10.99.0.2", "A:10.98.0.2"],
    "self.test": ["A:10.99.0.1"],
    "self6.test": ["AAAA:fd99::1"],
    "rebind.test": ["ALTERNATE:10.99.0.2/10.98.0.2", "TTL:0"],
    "refused.test": ["A:10.99.0.3"],
    "second.test": ["A:10.99.0.3", "A:10.99.0.2"],
    "v6first.test": ["AAAA:fd99::77", "A:10.99.0.2"],
    "unreachable.test": ["A:10.97.0.1"],
    "blackhole.test": ["A:10.96.0.1"],
    "servfail.test": ["SERVFAIL"], "silent.test": ["SILENCE"],
    "empty.test": ["EMPTY"], "looping.test": ["LOOP"],
    "compress.test": ["COMPRESSION"], "many.test": ["RECORDS:500"],
    "garbage.test": ["GARBAGE"], "truncated.test": ["TRUNCATE",
                                                    "A:10.99.0.2"],
    "spoofed.test": ["WRONGID:10.98.0.2", "WRONGQUESTION:10.98.0.2",
                     "OTHERPORT:10.98.0.2", "DELAY:200", "A:10.99.0.2"],
    "alias.test": ["CNAME:good.test"],
    "alias-bad.test": ["CNAME:private.test"],
}
ZONE.update({name + ".test": [spec] for name, spec in PROHIBITED.items()})

NAMES = sorted(ZONE) + ["hosted.test", "absent.test"]
OPEN = ["10.99.0.0/24", "10.97.0.0/24", "10.96.0.0/24", "fd99::/64"]


def config(w):
    allow = [{"host": n, "port": 7, "proto": "any", "cidr": OPEN}
             for n in NAMES if not n.startswith(("self", "hosted"))]
    allow += [{"host": n, "port": 7, "proto": "any",
               "cidr": OPEN} for n in ("self.test", "self6.test",
                                       "hosted.test")]
    allow += [{"cidr": ["10.99.0.0/24"], "port": 7, "proto": "any"},
              {"cidr": ["93.184.216.0/24"], "port": 7, "proto": "any"}]
    deny = [{"cidr": "10.99.0.66/32"}]
    return w.config(profiles={"dev": {"allow": allow, "deny": deny}},
                    hosts_file=os.path.join(w.dir, "hosts"))


def verdict(name):
    return code_of(ask(connect_request(name + ":7")))


def main():
    with World(ZONE) as w:
        cert = make_ca(w.dir, ["good.test"])
        with open(os.path.join(w.dir, "hosts"), "w") as f:
            f.write("10.99.0.2 hosted.test # a comment\n")
        w.start_outside(sys.executable, os.path.join(HELPER, "origind.py"),
                        "--address", ORIGIN, "--cert", cert[1], "--key",
                        cert[2], "--log", os.path.join(w.dir, "origin.log"))
        w.net.ip(w.net.outside, "route add blackhole 10.96.0.0/24")
        w.net.ip(w.net.outside, "route add unreachable 10.97.0.0/24")
        w.start_dns()
        w.start(config(w))
        wait_for(lambda: os.path.exists(os.path.join(w.dir, "origin.log")))
        time.sleep(0.2)

        for name in sorted(PROHIBITED):
            equal("B3 %s %s" % (name, PROHIBITED[name]),
                  verdict(name + ".test"), ("403", "address_prohibited"))
        for name in "private", "cgn", "ula", "mixed", "alias-bad":
            mark = len(w.records())
            equal("B4 B6 " + name, verdict(name + ".test"),
                  ("403", "address_private"))
            new = w.new_records(mark, "deny")
            check("B6 %s: every address on record" % name,
                  len(new) == 1 and len(new[0]["addresses"]) ==
                  (2 if name == "mixed" else 1), new)
        for name in "self", "self6":
            equal("B8 " + name, verdict(name + ".test"), ("403", "self"))
        equal("B8 self as a literal", code_of(ask(connect_request(
            "10.99.0.1:7"))), ("403", "self"))
        equal("a literal that its rule opens", code_of(ask(
            connect_request("10.99.0.3:7"))), ("502", "connect_refused"))
        equal("a literal on another port", code_of(ask(connect_request(
            "10.99.0.2:8"))), ("403", "port"))
        equal("a denied prefix", code_of(ask(connect_request(
            "10.99.0.66:7"))), ("403", "host"))
        equal("B2 a mapped literal matches no v4 prefix", code_of(ask(
            connect_request("[::ffff:10.99.0.2]:7"))),
            ("403", "ip_literal"))

        before = len(w.dns_queries())
        with tunnel("rebind.test:7") as s:
            s.sendall(b"x")
            check("B7 the vetted address is dialled", s.recv(1) == b"x")
        queries = [q[-1] for q in w.dns_queries()[before:]]
        equal("B7 one lookup", queries, ["rebind.test"] * 2)
        equal("B7 the second lookup is judged again",
              verdict("rebind.test"), ("403", "address_private"))

        for name in ("good", "hosted", "second", "v6first", "truncated",
                     "spoofed", "alias"):
            mark = len(w.records())
            try:
                with tunnel(name + ".test:7") as s:
                    s.sendall(b"ping")
                    good = s.recv(4) == b"ping"
            except RuntimeError as e:
                good = False
                print("#", e)
            opened = w.new_records(mark, "tunnel.open")
            check("B9 C4 C5 tunnel to " + name, good and
                  len(opened) == 1 and
                  opened[0]["address"] == "10.99.0.2", opened)
            if name == "alias":
                equal("C5 the chain is on record", opened[0].get("chain"),
                      ["good.test"])
        check("hosts file: no query", not any(
            "hosted.test" in q for q in w.dns_queries()))

        for name, want in (("absent", ("502", "dns_nxdomain")),
                           ("servfail", ("502", "dns_failed")),
                           ("empty", ("502", "dns_empty")),
                           ("silent", ("504", "dns_timeout")),
                           ("looping", ("502", "dns_failed")),
                           ("compress", ("502", "dns_failed")),
                           ("many", ("502", "dns_failed")),
                           ("refused", ("502", "connect_refused")),
                           ("unreachable", ("502", "connect_failed")),
                           ("blackhole", ("504", "connect_timeout"))):
            start = time.monotonic()
            mark = len(w.records())
            answer = ask(connect_request(name + ".test:7"))
            took = time.monotonic() - start
            equal("C3 C4 B9 " + name, code_of(answer), want)
            check("C3 %s: no denial on record, within 12 s" % name,
                  took < 12 and not w.new_records(mark, "deny", 0) and
                  len(w.new_records(mark, "tunnel.fail")) == 1, took)
        got = verdict("garbage.test")
        check("C4 garbage", got in (("502", "dns_failed"),
                                    ("504", "dns_timeout")), got)

        before = len(w.dns_queries())
        for i in range(200):
            ask(connect_request("x%d.denied.test:443" % i))
        equal("C1 denied names send no query",
              w.dns_queries()[before:], [])
        equal("the records verify", w.verify_records().returncode, 0)
    finish()


main()
