#!/usr/bin/env python3
"""conformance: inside the tunnel (group D), the relay, limits of groups F, G."""

import hashlib
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

from lib import (HELPER, ORIGIN, World, ask, check, code_of, connect,
                 connect_request, equal, finish, make_ca, read_all,
                 read_head, tls, tunnel, wait_for)

CIDR = ["10.99.0.0/24"]
ZONE = {n: ["A:" + ORIGIN] for n in
        ("good.test", "other.test", "optional.test", "ech.test",
         "any.test", "budget.test")}
RULES = [
    {"host": "good.test", "cidr": CIDR},
    {"host": "good.test", "port": 9, "cidr": CIDR},
    {"host": "good.test", "port": 9443, "cidr": CIDR},
    {"host": "good.test", "port": 22, "cidr": CIDR},
    {"host": "other.test", "cidr": CIDR},
    {"host": "optional.test", "port": 9, "cidr": CIDR, "sni": "optional"},
    {"host": "ech.test", "port": 9, "cidr": CIDR, "ech": "allow"},
    {"host": "any.test", "port": 7, "cidr": CIDR, "proto": "any"},
    {"host": "any.test", "port": 99, "cidr": CIDR, "proto": "any"},
    {"host": "any.test", "port": 2222, "cidr": CIDR, "proto": "any"},
    {"host": "budget.test", "port": 9, "cidr": CIDR, "proto": "any",
     "bytes_up": "1m"},
    {"cidr": CIDR, "port": 9},
]
MIB = 1 << 20


def sni(name, kind=0):
    raw = name.encode("latin-1")
    entry = struct.pack("!BH", kind, len(raw)) + raw
    return struct.pack("!HHH", 0, len(entry) + 2, len(entry)) + entry


def hello(*extensions, random=bytes(32)):
    ext = b"".join(extensions)
    body = (b"\3\3" + random + b"\0" + b"\0\4\x13\1\x13\2" + b"\1\0" +
            struct.pack("!H", len(ext)) + ext)
    return b"\1" + struct.pack("!I", len(body))[1:] + body


def extension(kind, data=b""):
    return struct.pack("!HH", kind, len(data)) + data


def records(message, size=16384, kind=22):
    return b"".join(struct.pack("!BHH", kind, 0x301, len(p)) + p
                    for p in (message[i:i + size]
                              for i in range(0, len(message), size)))


def settled(w):
    """Every tunnel so far has its close record; the mark behind them."""
    wait_for(lambda: len(w.records("tunnel.open")) ==
             len(w.records("tunnel.close")), 10)
    return len(w.records())


def ended(w, mark, port=None):
    """The close record of the tunnel (to that port) behind the mark."""
    def done():
        return [r for r in w.records()[mark:] if r["type"] ==
                "tunnel.close" and port in (None, r["port"])]
    closed = wait_for(done, 15)
    return closed[0] if closed else {"end": None}


def talk(w, authority, data, pieces=None, early=False):
    """Open a tunnel, send data; the close record."""
    mark = settled(w)
    with connect() as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if early:
            s.sendall(connect_request(authority) + data)
            read_head(s)
        else:
            s.sendall(connect_request(authority))
            read_head(s)
            try:
                for i in range(0, len(data), pieces or max(len(data), 1)):
                    s.sendall(data[i:i + (pieces or len(data))])
            except OSError:
                pass
        if not pieces and not early:
            s.shutdown(socket.SHUT_WR)
        try:
            if pieces or early:
                s.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        read_all(s)
    return ended(w, mark)


def sink_bytes(w):
    with open(w.origin_log) as f:
        return [int(line.split()[1]) for line in f
                if line.startswith("SINK")]


def cut(w, name, authority, data, end, **kw):
    before = len(sink_bytes(w))
    r = talk(w, authority, data, **kw)
    wait_for(lambda: len(sink_bytes(w)) > before, 3)
    up = sum(sink_bytes(w)[before:])
    check(name, r["end"] == end and r["up"] == 0 and up == 0,
          "ended %r, %d bytes reached the origin" % (r, up))


def passes(w, name, authority, data, **kw):
    before = len(sink_bytes(w))
    r = talk(w, authority, data, **kw)
    wait_for(lambda: len(sink_bytes(w)) > before, 3)
    up = sum(sink_bytes(w)[before:])
    check(name, r["end"] in ("done", "peer_reset") and up == len(data) and
          r["up"] == up, "ended %r, %d of %d bytes" % (r, up, len(data)))


def hellos(w):
    good = hello(sni("good.test"))
    big = hello(sni("good.test"), extension(0x33, bytes(40000)))
    cut(w, "D2 another allowed name", "good.test:9",
        records(hello(sni("other.test"))), "sni_mismatch")
    cut(w, "D3 no SNI", "good.test:9", records(hello()), "no_sni")
    cut(w, "D3 an address as SNI", "good.test:9",
        records(hello(sni("10.99.0.2"))), "no_sni")
    passes(w, "D3 sni optional: none", "optional.test:9",
           records(hello()))
    cut(w, "D3 sni optional: foreign", "optional.test:9",
        records(hello(sni("other.test"))), "sni_mismatch")
    passes(w, "D3 a rule for addresses needs none", ORIGIN + ":9",
           records(hello()))
    cut(w, "D4 SSH", "good.test:9", b"SSH-2.0-x\r\n", "not_tls")
    cut(w, "D4 HTTP", "good.test:9", b"GET / HTTP/1.1\r\n\r\n", "not_tls")
    cut(w, "D4 random", "good.test:9", bytes(range(7, 200)), "not_tls")
    passes(w, "D5 whole", "good.test:9", records(good))
    passes(w, "D5 byte by byte", "good.test:9", records(good), pieces=1)
    passes(w, "D5 records of a byte", "good.test:9", records(good, 1))
    passes(w, "D5 40 KiB", "good.test:9", records(big))
    passes(w, "D5 upper case", "good.test:9",
           records(hello(sni("GOOD.test"))))
    cut(w, "D6 over 64 KiB", "good.test:9", records(
        hello(sni("good.test"), extension(0x33, bytes(65000)),
              extension(0x34, bytes(500)))), "malformed_hello")
    cut(w, "D6 twice the extension", "good.test:9",
        records(hello(sni("good.test"), sni("good.test"))),
        "malformed_hello")
    cut(w, "D6 name_type 1", "good.test:9",
        records(hello(sni("good.test", 1))), "malformed_hello")
    cut(w, "D6 NUL in the name", "good.test:9",
        records(hello(sni("good.test\0.evil.com"))), "malformed_hello")
    lying = bytearray(records(good))
    lying[-len(sni("good.test")) - 1] ^= 0x7f
    cut(w, "D6 lying length", "good.test:9", bytes(lying),
        "malformed_hello")
    for kind in 0xfe0d, 0xfe09, 0xffce:
        cut(w, "D7 %x refused" % kind, "good.test:9", records(
            hello(sni("good.test"), extension(kind, bytes(40)))), "ech")
    passes(w, "D7 allowed by rule", "ech.test:9", records(
        hello(sni("ech.test"), extension(0xfe0d, bytes(40)))))
    cut(w, "D7 the outer name must match", "ech.test:9", records(
        hello(sni("good.test"), extension(0xfe0d, bytes(40)))),
        "sni_mismatch")
    passes(w, "D9 hello before the 200", "good.test:9", records(good),
           early=True)
    cut(w, "D9 foreign hello before the 200", "good.test:9",
        records(hello(sni("other.test"))), "sni_mismatch", early=True)
    first = records(good)
    r = talk(w, "good.test:9", first + records(hello(sni("other.test"))))
    check("D8 a second hello behind the first", r["end"] == "second_hello"
          and r["up"] <= len(first), r)
    ccs = struct.pack("!BHHB", 20, 0x303, 1, 1)
    passes(w, "D8 CCS and the same name again", "good.test:9",
           first + ccs + first)


def silent(w):
    mark = settled(w)
    start = time.monotonic()
    slots = [tunnel("good.test:22"), tunnel("good.test:9")]
    slots[1].sendall(records(hello(sni("good.test")))[:20])
    got = read_all(slots[0])
    took = time.monotonic() - start
    check("D10 a silent client never sees the banner", got == b"", got)
    closed = w.new_records(mark, "tunnel.close", 2)
    check("D10 no_hello at 10 s", 8 < took < 13 and
          [r["end"] for r in closed] == ["no_hello"] * 2,
          "%.1f s %r" % (took, closed))
    for s in slots:
        s.close()


def web(w):
    s = tls(tunnel("good.test:443"), w.ca, "good.test")
    s.sendall(b"GET /bytes/%d HTTP/1.1\r\nHost: good.test\r\n"
              b"Connection: close\r\n\r\n" % (64 * MIB))
    head = b""
    while b"\r\n\r\n" not in head:
        head += s.recv(1)
    digest, n = hashlib.sha256(), 0
    while True:
        piece = s.recv(1 << 16)
        if not piece:
            break
        digest.update(piece)
        n += len(piece)
    want = hashlib.sha256((bytes(range(251)) * (64 * MIB // 251 + 1))
                          [:64 * MIB]).hexdigest()
    check("64 MiB down, byte-exact", n == 64 * MIB and
          digest.hexdigest() == want, n)
    s.close()

    body = os.urandom(MIB) * 64
    s = tls(tunnel("good.test:443"), w.ca, "good.test")
    s.sendall(b"POST /digest HTTP/1.1\r\nHost: good.test\r\n"
              b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
    s.sendall(body)
    answer = read_all(s)
    got = json.loads(answer.split(b"\r\n\r\n", 1)[1])
    check("64 MiB up, byte-exact", got == {
        "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()},
        got)
    s.close()

    context = ssl.create_default_context(cafile=w.ca)
    context.check_hostname = False
    raw = tunnel("good.test:443")
    try:
        context.wrap_socket(raw, server_hostname="other.test")
        check("D2 the client sees an alert", False, "handshake passed")
    except ssl.SSLError as e:
        check("D2 the client sees an alert", "ALERT" in str(e).upper() or
              "UNRECOGNIZED_NAME" in str(e).upper(), e)
    except OSError as e:
        check("D2 the client sees an alert", False, repr(e))


def retry_request(w):
    """A server that wants another group than the client's first one."""
    w.start_outside("openssl", "s_server", "-accept", ORIGIN + ":9443",
                    "-cert", w.cert, "-key", w.key, "-groups", "P-384",
                    "-www", "-quiet", stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    p = subprocess.run(
        ["openssl", "s_client", "-proxy", "127.0.0.1:3128", "-connect",
         "good.test:9443", "-servername", "good.test", "-groups",
         "X25519:P-384", "-CAfile", w.ca, "-verify_return_error", "-msg"],
        input="GET / HTTP/1.0\r\n\r\n", capture_output=True, text=True,
        timeout=20)
    hellos = sum("ClientHello" in line and line.startswith(">>>")
                 for line in p.stdout.splitlines())
    check("D8 HelloRetryRequest: two hellos, and the tunnel holds",
          hellos == 2 and "Verify return code: 0" in p.stdout, p.stdout +
          p.stderr)


def half_close(w):
    mark = settled(w)
    data = os.urandom(3 * MIB)
    got = bytearray()
    with tunnel("any.test:7") as s:
        def reader():
            while True:
                piece = s.recv(65536)
                if not piece:
                    return
                got.extend(piece)
        t = threading.Thread(target=reader)
        t.start()
        s.sendall(data)
        s.shutdown(socket.SHUT_WR)
        t.join(20)
    r = ended(w, mark)
    check("G4 half-close loses no byte", bytes(got) == data and
          r["end"] == "done" and r["up"] == r["down"] == len(data), r)
    # It may come before the proxy has seen that it is connected: 502.
    for _ in range(20):
        mark = settled(w)
        try:
            s = tunnel("any.test:99")
            break
        except RuntimeError:
            pass
    read_all(s)
    s.close()
    equal("G4 a reset", ended(w, mark)["end"], "peer_reset")
    with tunnel("any.test:2222") as s:
        equal("D4 proto any: the banner comes", s.recv(100),
              b"SSH-2.0-origin\r\n")


def rss(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/status" % pid) as f:
            for line in f:
                if line.startswith("RssAnon"):
                    total += int(line.split()[1]) * 1024
    return total


def stalled(w):
    """Many readers that stall: the memory that each costs the worker."""
    if "san" in os.environ.get("BUILD", ""):
        return
    n, request = 40, (b"GET /bytes/%d HTTP/1.1\r\nHost: good.test\r\n\r\n" %
                      (8 * MIB))
    base = rss(w.children()["proxy"])
    slots = []
    for _ in range(n):
        raw = tunnel("good.test:443")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        s = tls(raw, w.ca, "good.test")
        s.sendall(request)
        slots.append(s)
    time.sleep(2)
    each = (rss(w.children()["proxy"]) - base) // n
    check("G7 a stalled reader costs under 128 KiB", each < 128 * 1024,
          "%d bytes" % each)
    for s in slots:
        s.close()


def budget(w):
    before = len(sink_bytes(w))
    mark = settled(w)
    with tunnel("budget.test:9") as s:
        try:
            for _ in range(64):
                s.sendall(bytes(65536))
        except OSError:
            pass
    wait_for(lambda: len(sink_bytes(w)) > before, 5)
    r = ended(w, mark)
    up = sum(sink_bytes(w)[before:])
    check("G6 cut within 64 KiB of the budget", r["end"] == "budget" and
          MIB <= up <= MIB + 65536 and r["up"] == up, "%r, %d" % (r, up))


def reloading(w, conf):
    # F5: the tunnel of a rule that goes is cut, the other loses nothing.
    mark = settled(w)
    doomed, kept = tunnel("any.test:7"), tunnel("any.test:2222")
    kept.recv(100)
    fewer = [r for r in RULES if r.get("port") != 7]
    start = time.monotonic()
    r = w.reload(w.config(profiles={"dev": {"allow": fewer}}))
    check("F5 the reload is on record", r and r["applied"] and
          r["generation"] == 2, r)
    got = read_all(doomed)
    took = time.monotonic() - start
    check("F5 cut within a second", got == b"" and took < 2.5, took)
    equal("F5 revoked", ended(w, mark, 7)["end"], "revoked")
    kept.sendall(b"x")
    check("F5 the other one lives", kept.fileno() != -1 and not
          [c for c in w.records()[mark:] if c["type"] == "tunnel.close" and
           c["port"] == 2222])
    kept.close()
    equal("F5 and is refused from now on", code_of(ask(connect_request(
        "any.test:7"))), ("403", "port"))
    # F7: what is wrong changes nothing.
    for name, text in (("truncated", json.dumps(conf)[:200]),
                       ("empty", ""), ("unknown key", json.dumps(
                           dict(conf, surprise=1))),
                       ("A13 rule", json.dumps(w.config(profiles={
                           "dev": {"allow": [{"host": "*.com"}]}})))):
        r = w.reload(text)
        check("F7 " + name, r and not r["applied"] and r["error"] and
              r["generation"] == 2, r)
    equal("F7 the old one serves", code_of(ask(connect_request(
        "other.test:9"))), ("403", "port"))
    # F4: nothing allowed.
    w.reload(w.config(profiles={"dev": {}}))
    equal("F4 an empty policy denies all", code_of(ask(connect_request(
        "good.test:443"))), ("403", "host"))
    # F6: a rule that comes lets the next one pass.
    w.reload(conf)
    with tunnel("any.test:7") as s:
        s.sendall(b"again")
        equal("F6 added back", s.recv(5), b"again")


def listeners(w, conf):
    # F5: a listener goes, its profile stays.
    dev = conf["listeners"][0]
    w.reload(dict(conf, listeners=[dev, {
        "name": "extra", "address": "127.0.0.1:3130", "profile": "dev"}]))
    mark = settled(w)
    kept, doomed = tunnel("any.test:7"), tunnel("any.test:2222", 3130)
    doomed.recv(100)
    late = connect(3130)
    request = connect_request("any.test:7")
    late.sendall(request[:20])
    time.sleep(0.2)
    w.reload(conf)
    equal("F5 a tunnel of a listener that went", (read_all(doomed), ended(
        w, mark, 2222)["end"]), (b"", "revoked"))
    late.sendall(request[20:])
    late.shutdown(socket.SHUT_WR)
    equal("F5 no new one there", code_of(read_all(late)),
          ("503", "no_policy"))
    # Its profile gets another name: nothing is closed.
    w.reload(w.config(profiles={"new": {"allow": RULES}},
                      listeners=[dict(dev, profile="new")]))
    kept.sendall(b"still")
    equal("F5 another name of the profile", kept.recv(5), b"still")
    for s in kept, doomed, late:
        s.close()
    w.reload(conf)


def late_record(w):
    # G8, H5: an audit process that is stuck, and writes after all.
    mark = settled(w)
    audit = w.children()["audit"][0]
    os.kill(audit, signal.SIGSTOP)
    answer = code_of(ask(connect_request("any.test:7")))
    os.kill(audit, signal.SIGCONT)
    equal("G8 a stuck record", answer, ("503", "unrecordable"))
    ends = [r["end"] for r in w.new_records(mark, "tunnel.close")]
    equal("H5 an open record that came too late is closed",
          (len(w.new_records(mark, "tunnel.open")), ends), (1, ["shutdown"]))


def tightened(w, conf):
    """A reload that takes an exception away binds what is open, too."""
    def without(key):
        return w.config(profiles={"dev": {"allow": [
            {k: v for k, v in r.items() if k != key} for r in RULES]}})
    mark = settled(w)
    raw, waiting = tunnel("any.test:7"), tunnel("ech.test:9")
    w.reload(without("proto"))
    equal("F5 proto any taken away: cut", read_all(raw), b"")
    equal("F5 proto any: revoked", ended(w, mark, 7)["end"], "revoked")
    w.reload(without("ech"))
    waiting.sendall(records(hello(sni("ech.test"),
                                  extension(0xfe0d, bytes(40)))))
    read_all(waiting)
    equal("F5 ech taken away before the hello: refused",
          ended(w, mark, 9)["end"], "ech")
    w.reload(conf)
    mark = settled(w)
    passed = tunnel("ech.test:9")
    passed.sendall(records(hello(sni("ech.test"),
                                 extension(0xfe0d, bytes(40)))))
    time.sleep(0.3)
    w.reload(without("ech"))
    read_all(passed)
    equal("F5 ech taken away behind the hello: revoked",
          ended(w, mark, 9)["end"], "revoked")
    w.reload(conf)


def leaving(w):
    mark = settled(w)
    pid = w.pid()
    s = tunnel("any.test:7")
    os.kill(pid, signal.SIGTERM)
    time.sleep(0.3)
    s.sendall(b"still")
    equal("TERM: an open tunnel goes on", s.recv(5), b"still")
    os.kill(pid, signal.SIGTERM)
    read_all(s)
    wait_for(lambda: w.pid() != pid, 10)
    equal("second TERM: cut", ended(w, mark)["end"], "shutdown")
    check("the stop is on record", w.new_records(mark, "stop"))
    wait_for(lambda: len(w.new_records(mark, "start", 0)) > 0, 10)
    s.close()


def share(w, conf):
    """G1: with 1,024 descriptors a worker has 144 clients, 72 of them of one
    listener; those that stay silent count too."""
    w.stop_keeper()
    w.start(dict(conf, workers=1, listeners=conf["listeners"] + [
        {"name": "extra", "address": "127.0.0.1:3130", "profile": "dev"}]),
        nofile=1024)
    silent = [connect() for _ in range(72)]
    time.sleep(0.3)
    mark = len(w.records())
    equal("G1 one more", code_of(ask(connect_request("any.test:7"))),
          ("429", "limit"))
    equal("G1 is a denial", [r["code"] for r in
                             w.new_records(mark, "deny")], ["limit"])
    silent += [connect() for _ in range(400)]
    time.sleep(0.3)
    with tunnel("any.test:7", 3130) as s:
        s.sendall(b"still")
        equal("G1 others have their share", s.recv(5), b"still")
    for s in silent:
        s.close()

    def again():
        return code_of(ask(connect_request("nothing.test:7")))[1] == "host"
    check("G1 served again when they are gone", wait_for(again, 15))
    # F12: all that wait in the queue get an answer.
    os.kill(w.children()["proxy"][0], signal.SIGSTOP)
    waiting = [connect() for _ in range(64)]
    os.kill(w.pid(), signal.SIGTERM)
    time.sleep(0.3)
    os.kill(w.children()["proxy"][0], signal.SIGCONT)
    codes = [code_of(read_all(s))[1] for s in waiting]
    check("F12 no connection in the queue is reset", set(codes) ==
          {"draining"}, {c: codes.count(c) for c in codes})
    for s in waiting:
        s.close()


def main():
    with World(ZONE) as w:
        w.ca, w.cert, w.key = make_ca(w.dir, ["good.test", "other.test"])
        w.origin_log = os.path.join(w.dir, "origin.log")
        w.start_outside(sys.executable, os.path.join(HELPER, "origind.py"),
                        "--address", ORIGIN, "--cert", w.cert, "--key",
                        w.key, "--root", w.dir, "--log", w.origin_log)
        w.start_dns()
        conf = w.config(profiles={"dev": {"allow": RULES}})
        w.start(conf)
        wait_for(lambda: os.path.exists(w.origin_log) and
                 "READY" in open(w.origin_log).read())
        hellos(w)
        silent(w)
        web(w)
        retry_request(w)
        half_close(w)
        stalled(w)
        budget(w)
        reloading(w, conf)
        listeners(w, conf)
        late_record(w)
        tightened(w, conf)
        leaving(w)
        share(w, conf)
        opened = [r["id"] for r in w.records("tunnel.open")]
        closed = [r["id"] for r in w.records("tunnel.close")]
        check("H5 each tunnel has one open and one close record",
              sorted(opened) == sorted(closed) and
              len(set(opened)) == len(opened),
              set(opened) ^ set(closed))
        out = w.verify_records()
        equal("the records verify", (out.returncode, out.stderr), (0, ""))
    finish()


main()
