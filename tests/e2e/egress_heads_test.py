#!/usr/bin/env python3
"""conformance: authorities and request heads (group A), against the daemon.

Every refusal leaves exactly one deny record and no DNS query.
"""

import socket

from lib import (World, ask, check, code_of, connect, connect_request, equal,
                 finish, read_all, wait_for)

RULES = [
    {"host": "good.test", "cidr": ["10.99.0.0/24"]},
    {"host": "*.wild.test", "cidr": ["10.99.0.0/24"]},
    {"host": "exact_under.wild.test", "cidr": ["10.99.0.0/24"]},
    {"host": "bücher.test", "cidr": ["10.99.0.0/24"]},
    {"host": "port.test", "port": 8443, "cidr": ["10.99.0.0/24"]},
    {"host": "localhost", "cidr": ["10.99.0.0/24"]},
    {"host": ".".join(["a" * 63] * 3) + "." + "b" * 61,
     "cidr": ["10.99.0.0/24"]},
]
DENY = [{"host": "deny.wild.test"}]


def request(authority, host=None, line=None, fields=""):
    """A CONNECT whose bytes are just these."""
    host = authority if host is None else host
    line = line or "CONNECT %s HTTP/1.1" % authority
    return ("%s\r\nHost: %s\r\n%s\r\n" % (line, host, fields)).encode(
        "latin-1")


MALFORMED = [
    ("A1 NUL in the name", request("evil.com\0.good.test:443")),
    ("A1 NUL reversed", request("good.test\0.evil.com:443")),
    ("A2 space", request("good .test:443")),
    ("A2 tab", request("good\t.test:443")),
    ("A2 DEL", request("good\x7f.test:443")),
    ("A2 latin-1 byte", request("g\xf6\xf6d.test:443")),
    ("A2 raw UTF-8", "CONNECT bücher.test:443 HTTP/1.1\r\nHost: x\r\n\r\n"
     .encode()),
    ("A2 ideographic full stop",
     "CONNECT good\u3002test:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    ("A2 full-width full stop",
     "CONNECT good\uff0etest:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    ("A2 soft hyphen",
     "CONNECT go\u00adod.test:443 HTTP/1.1\r\nHost: x\r\n\r\n".encode()),
    ("A3 percent", request("evil%2ecom:443")),
    ("A3 percent NUL", request("evil%00.good.test:443")),
    ("A3 zone", request("[fe80::1%eth0]:443")),
    ("A3 zone trick", request("::ffff:1.2.3.4%x.good.test:443")),
    ("A4 name in brackets", request("[good.test]:443")),
    ("A4 stray brackets", request("a]b[c:443")),
    ("A4 unclosed", request("[::1:443")),
    ("A4 no colon", request("[::1]443")),
    ("A4 empty", request("[]:443")),
    ("A5 two dots", request("good.test..:443")),
    ("A5 leading dot", request(".good.test:443")),
    ("A5 inner dots", request("a..b:443")),
    ("A7 no port", request("good.test")),
    ("A7 empty port", request("good.test:")),
    ("A7 no host", request(":443")),
    ("A7 two ports", request("good.test:443:80")),
    ("A7 port 0", request("good.test:0")),
    ("A7 port 65536", request("good.test:65536")),
    ("A7 plus", request("good.test:+443")),
    ("A7 zero", request("good.test:0443")),
    ("A7 letter", request("good.test:443x")),
    ("A7 underscore", request("good.test:4_43")),
    ("A8 user", request("user@good.test:443")),
    ("A8 password", request("u:p@good.test:443")),
    ("A8 behind", request("good.test:443@evil.com")),
    ("A8 scheme", request("http://good.test:443")),
    ("A8 path", request("good.test/x:443")),
    ("A8 backslash", request("good.test\\x:443")),
    ("A8 query", request("good.test?:443")),
    ("A8 fragment", request("good.test#:443")),
    ("A9 127.1", request("127.1:443")),
    ("A9 decimal", request("2130706433:443")),
    ("A9 hex", request("0x7f.1:443")),
    ("A9 octal", request("0177.0.0.1:443")),
    ("A9 three", request("1.2.3:443")),
    ("A9 name", request("good.test.1:443")),
    ("A10 label of 64", request("a" * 64 + ".test:443")),
    ("A10 name of 254",
     request(".".join(["a" * 63] * 3) + "." + "b" * 62 + ":443")),
    ("A10 leading hyphen", request("-good.test:443")),
    ("A10 trailing hyphen", request("good-.test:443")),
    ("A16 lower case", request("", "good.test:443",
                               "connect good.test:443 HTTP/1.1")),
    ("A16 two spaces", request("", "good.test:443",
                               "CONNECT  good.test:443 HTTP/1.1")),
    ("A16 tab", request("", "good.test:443",
                        "CONNECT\tgood.test:443 HTTP/1.1")),
    ("A16 HTTP/1.2", request("", "good.test:443",
                             "CONNECT good.test:443 HTTP/1.2")),
    ("A16 no version", request("", "good.test:443",
                               "CONNECT good.test:443")),
    ("A16 bare LF", b"CONNECT good.test:443 HTTP/1.1\n"
     b"Host: good.test:443\n\n"),
    ("A16 bare CR", b"CONNECT good.test:443 HTTP/1.1\rHost: x\r\n\r\n"),
    ("A16 obs-fold", request("good.test:443", fields="X: a\r\n b\r\n")),
    ("A16 NUL in a field", request("good.test:443", fields="X: a\0b\r\n")),
    ("A16 space before the colon",
     request("good.test:443", fields="X : a\r\n")),
    ("A17 two Host", request("good.test:443",
                             fields="Host: good.test:443\r\n")),
    ("A17 other Host", request("good.test:443", "evil.com:443")),
    ("A17 Host without port is 443", request("port.test:8443", "port.test")),
    ("A17 no Host", b"CONNECT good.test:443 HTTP/1.1\r\n\r\n"),
    ("A17 CL", request("good.test:443", fields="Content-Length: 0\r\n")),
    ("A17 TE", request("good.test:443",
                       fields="Transfer-Encoding: chunked\r\n")),
    ("A19 https", request("", "good.test",
                          "GET https://good.test/ HTTP/1.1")),
    ("A19 origin-form", request("", "good.test", "GET / HTTP/1.1")),
    ("A19 TRACE", request("", "good.test",
                          "TRACE http://good.test/ HTTP/1.1")),
    ("A19 asterisk", request("", "good.test", "OPTIONS * HTTP/1.1")),
]

NOT_HTTP = [
    ("A20 TLS", bytes.fromhex("1603010200010001fc0303") + bytes(32)),
    ("A20 PROXY", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"),
    ("A20 PROXY v2", b"\r\n\r\n\0\r\nQUIT\n" + bytes(4)),
    ("A20 SOCKS5", b"\x05\x01\x00"),
    ("A20 SOCKS4", b"\x04\x01\x01\xbb\x01\x02\x03\x04\0"),
    ("A20 HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
]

TOO_LARGE = [
    ("A18 request line", b"CONNECT " + b"a" * 8192 + b":443 HTTP/1.1\r\n"),
    ("A18 head", request("good.test:443",
                         fields="X: %s\r\n" % ("y" * 4000) * 9)),
    ("A18 101 fields", request("good.test:443", fields="X: y\r\n" * 100)),
]

DENIED = [
    ("A6 unlisted", "EVIL.com:443", "host"),
    ("A12 suffix itself", "wild.test:443", "host"),
    ("A12 look-alike", "evilwild.test:443", "host"),
    ("A12 look-alike behind", "a.wild.test.evil.com:443", "host"),
    ("A6 deny rule in upper case", "DENY.wild.TEST:443", "host"),
    ("A15 deny beats allow", "deny.wild.test.:443", "host"),
    ("A10 underscore under a wildcard", "a_b.wild.test:443", "host"),
    ("A11 another A-label", "xn--fiqs8s:443", "host"),
    ("port", "good.test:22", "port"),
    ("B1 v4 literal", "93.184.216.34:443", "ip_literal"),
    ("B1 v6 literal", "[2606:2800::1]:443", "ip_literal"),
    ("B1 loopback literal", "127.0.0.1:443", "ip_literal"),
    ("B2 mapped", "[::ffff:169.254.169.254]:443", "ip_literal"),
    ("B2 NAT64", "[64:ff9b::a9fe:a9fe]:443", "ip_literal"),
]

# Allowed by policy: what comes back is about the name servers.
PASSES = [
    ("A5 trailing dot", "good.test.:443"),
    ("A6 upper case", "GOOD.TesT:443"),
    ("A12 below", "a.wild.test:443"),
    ("A12 far below", "a.b.wild.test:443"),
    ("A10 underscore spelt", "exact_under.wild.test:443"),
    ("A11 A-label of a U-label rule", "xn--bcher-kva.test:443"),
    ("A14 localhost by an exact rule", "localhost:443"),
    ("A10 name of 253", ".".join(["a" * 63] * 3) + "." + "b" * 61 + ":443"),
    ("A8443", "port.test:8443"),
]


def one_record(w, mark, code, status):
    new = w.new_records(mark, "deny")
    if len(new) != 1:
        return "%d records" % len(new)
    r = new[0]
    if (r["code"], r["status"]) != (code, status):
        return "record says %s %s" % (r["status"], r["code"])
    return None


def refused(w, name, raw, want, pieces=None, status=None):
    """want is (status, code) on the wire, (None, None) for a bare close."""
    mark = len(w.records())
    got = code_of(ask(raw, pieces=pieces))
    code = want[1] or "not_http1"
    why = one_record(w, mark, code, int(want[0] or 400))
    check(name, got == want and why is None,
          "answer %r, %s" % (got, why or "record good"))


def main():
    with World({}) as w:
        w.start_dns()
        w.start(w.config(profiles={"dev": {"allow": RULES, "deny": DENY}}))
        for name, raw in MALFORMED:
            refused(w, name, raw, ("400", "malformed"))
        for name, raw in MALFORMED[::9]:
            refused(w, name + ", a byte at a time", raw,
                    ("400", "malformed"), pieces=1)
        for name, raw in NOT_HTTP:
            refused(w, name, raw, (None, None))
        for name, raw in TOO_LARGE:
            refused(w, name, raw, ("431", "too_large"))
        for name, authority, code in DENIED:
            refused(w, name, connect_request(authority), ("403", code))
        equal("C1 no query for what was refused", w.dns_queries(), [])
        for name, authority in PASSES:
            got = code_of(ask(connect_request(authority)))
            equal(name, got, ("502", "dns_nxdomain"))
        equal("HTTP/1.0 without Host", code_of(ask(
            b"CONNECT good.test:443 HTTP/1.0\r\n\r\n")),
            ("502", "dns_nxdomain"))
        equal("Host without port", code_of(ask(request(
            "good.test:443", "good.test"))), ("502", "dns_nxdomain"))
        mark = len(w.records())
        with connect() as s:
            s.sendall(b"CONNECT good")
            s.shutdown(socket.SHUT_WR)
            read_all(s)
        check("a head that ends in the middle",
              one_record(w, mark, "malformed", 400) is None)
        mark = len(w.records())
        with connect(timeout=20) as s:
            s.sendall(b"CONNECT good.test:443 HTTP/1.1\r\n")
            equal("G2 a slow head", code_of(read_all(s)),
                  ("408", "timeout"))
        check("G2 is on record",
              one_record(w, mark, "timeout", 408) is None)
        out = w.verify_records()
        equal("the records verify", (out.returncode, out.stderr), (0, ""))
        check("it is still there", wait_for(w.pid))
    finish()


main()
