#!/usr/bin/env python3
"""Tries from inside a container what must not work; standard library only.

    probe.py [JSON]             a list of probes (or on stdin), answers on
                                stdout, and out
    probe.py --connect SOCKET   the same for each line that comes over a Unix
                                socket, until it ends
    probe.py --listen PORT      the same for each line of a client of this port
                                on loopback, one client at a time, for ever

A probe is an object with `kind` and what that kind needs; they run all at
once. The answer to each is an object with `result`, `ms` and sometimes more:

    connected answer    it got through
    an errno's name     it was refused, by whom does not show
    timeout             TCP: nothing came for `timeout` (1 s)
    silence             the others: nothing came for `wait` (300 ms)
    no record           DNS: an answer without a record

Kinds: tcp tfo mptcp udp icmp dns raw packet sctp abstract; listen (serve TCP
and UDP here, from then on); hammer (the probes of `targets`, `hz` times a
second, until a probe hammer_stop, whose answer counts each result); flow (a
transfer to the echo server `authority`, until flow_end, which says whether
somebody cut it);
proxy (one request to the proxy, see there); run (a command).
"""

import base64
import collections
import errno
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

IP_FREEBIND, IPV6_FREEBIND = 15, 78
IP_RECVERR, IPV6_RECVERR = 11, 25
IPPROTO_MPTCP = 262


def name_of(e):
    if isinstance(e, socket.timeout):
        return "timeout"
    return errno.errorcode.get(e.errno, type(e).__name__)


def where(p, kind):
    """(family, sockaddr) of the probe's address, which is never a name."""
    info = socket.getaddrinfo(p["address"], p.get("port", 0), type=kind,
                              flags=socket.AI_NUMERICHOST)[0]
    return info[0], info[4]


def from_source(s, p):
    """Take a source address that is not ours; free binding needs no right."""
    if "source" in p:
        if s.family == socket.AF_INET:
            s.setsockopt(socket.IPPROTO_IP, IP_FREEBIND, 1)
        else:
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        s.bind((p["source"], 0))


def want_errors(s):
    """Errors reach a socket that is not connected too: it has to take an
    answer from whatever address."""
    if s.family == socket.AF_INET:
        s.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    else:
        s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)


# -- ways out --------------------------------------------------------------

def stream(p, proto=0):
    family, to = where(p, socket.SOCK_STREAM)
    s = socket.socket(family, socket.SOCK_STREAM, proto)
    s.settimeout(p.get("timeout", 1))
    from_source(s, p)
    return s, to


def tcp(p, proto=0):
    s, to = stream(p, proto)
    with s:
        s.connect(to)
        return "connected"


def mptcp(p):
    return tcp(p, IPPROTO_MPTCP)


def tfo(p):
    """Data in the first packet; it waits in the kernel, which then says
    EINPROGRESS when the time is over."""
    s, to = stream(p)
    with s:
        s.settimeout(None)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO,
                     struct.pack("ll", 1, 0))
        try:
            s.sendto(b"hello\r\n", socket.MSG_FASTOPEN, to)
        except BlockingIOError:
            return "timeout"
        s.getpeername()
        return "connected"


def await_answer(s, p):
    s.settimeout(p.get("wait", 0.3))
    try:
        return s.recvfrom(65536)[0]
    except socket.timeout:
        return None


def udp(p):
    family, to = where(p, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        want_errors(s)
        from_source(s, p)
        s.sendto(p.get("data", "probe").encode(), to)
        return "silence" if await_answer(s, p) is None else "answer"


def icmp(p):
    family, to = where(p, socket.SOCK_DGRAM)
    v6 = family == socket.AF_INET6
    proto = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
    with socket.socket(family, socket.SOCK_DGRAM, proto) as s:
        want_errors(s)
        s.sendto(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 0, 1) +
                 b"probe", to)
        return "silence" if await_answer(s, p) is None else "answer"


def question(p):
    labels = b"".join(bytes([len(label)]) + label.encode()
                      for label in p["qname"].split("."))
    return (os.urandom(2) + b"\1\0\0\1\0\0\0\0\0\0" + labels + b"\0" +
            struct.pack("!HH", p.get("qtype", 1), 1))


def has_record(answer):
    if answer is None:
        return "silence"
    if len(answer) >= 12 and struct.unpack("!H", answer[6:8])[0]:
        return "answer"
    return "no record"


def dns(p):
    """By UDP, or by TCP where the probe has `tcp`."""
    p.setdefault("port", 53)
    query = question(p)
    if p.get("tcp"):
        s, to = stream(p)
        with s:
            s.connect(to)
            s.sendall(struct.pack("!H", len(query)) + query)
            size = await_answer(s, p)
            return has_record(size and size[2:])
    family, to = where(p, socket.SOCK_DGRAM)
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        want_errors(s)
        s.sendto(query, to)
        return has_record(await_answer(s, p))


def raw(p):
    family = socket.AF_INET6 if p.get("v6") else socket.AF_INET
    with socket.socket(family, socket.SOCK_RAW, p.get("proto", 255)):
        return "opened"


def packet(p):
    with socket.socket(socket.AF_PACKET, p.get("type", socket.SOCK_RAW), 0):
        return "opened"


def sctp(p):
    family, to = where(p, socket.SOCK_STREAM)
    with socket.socket(family, socket.SOCK_STREAM,
                       socket.IPPROTO_SCTP) as s:
        s.settimeout(p.get("timeout", 1))
        s.connect(to)
        return "connected"


def abstract(p):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
        s.connect("\0" + p["path"])
        return "connected"


# -- the way that is meant to work -----------------------------------------

def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data and len(data) < 65536:
        piece = s.recv(1)
        if not piece:
            break
        data += piece
    return data


def read_all(s):
    data = b""
    try:
        while len(data) < 1 << 20:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    except ConnectionResetError:
        pass
    return data


def behind(s, p, out):
    """What goes through the tunnel: `send` (base64) and what comes back, or
    TLS for the name `tls` (null: without one) and GET `path`."""
    if "send" in p:
        s.sendall(base64.b64decode(p["send"]))
        out["back"] = base64.b64encode(read_all(s)).decode()
        return
    if "tls" not in p:
        return
    context = ssl.create_default_context(cafile=p.get("ca"))
    context.check_hostname = False
    try:
        with context.wrap_socket(s, server_hostname=p["tls"]) as t:
            t.sendall(("GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                       "\r\n" % (p.get("path", "/hello"), p["tls"])).encode())
            out["body"] = read_all(t).decode("latin-1")
    except (ssl.SSLError, OSError) as e:
        out["tls_error"] = str(e)


def proxy(p):
    """CONNECT `authority` at the proxy: result is the status and code, the
    answer has `head`, and what `behind` says."""
    s, to = stream(dict(p, timeout=p.get("timeout", 10)))
    with s:
        s.connect(to)
        s.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" %
                   (p["authority"], p["authority"])).encode())
        head = read_head(s).decode("latin-1")
        words = head.split("\r\n", 1)[0].split(" ")
        out = {"head": head, "result": " ".join(words[1:3])}
        if words[1:2] == ["200"]:
            out["result"] = "200"
            behind(s, p, out)
        else:
            out["body"] = read_all(s).decode("latin-1")
        return out


def run(p):
    done = subprocess.run(p["argv"], capture_output=True, text=True,
                          timeout=p.get("timeout", 10), check=False)
    return {"result": "exit %d" % done.returncode, "out": done.stdout,
            "err": done.stderr}


# -- things that stay ------------------------------------------------------

def serve_tcp(server):
    while True:
        s, _ = server.accept()
        with s:
            try:
                s.sendall(b"inside\r\n")
            except OSError:
                pass


def serve_udp(server):
    while True:
        try:
            data, peer = server.recvfrom(65536)
            server.sendto(data, peer)
        except OSError:
            pass


def listen(p):
    for kind, serve in ((socket.SOCK_STREAM, serve_tcp),
                        (socket.SOCK_DGRAM, serve_udp)):
        s = socket.socket(socket.AF_INET6, kind)
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind(("::", p["port"]))
        if kind == socket.SOCK_STREAM:
            s.listen(64)
        threading.Thread(target=serve, args=(s,), daemon=True).start()
    return "listening"


class Hammer:
    """The same probes again and again, each in a thread of its own."""

    def __init__(self, targets, hz):
        self.over = threading.Event()
        self.counts = [collections.Counter() for _ in targets]
        self.threads = [
            threading.Thread(target=self.strike, args=(t, hz, c), daemon=True)
            for t, c in zip(targets, self.counts)]
        for t in self.threads:
            t.start()

    def strike(self, target, hz, count):
        next_at = time.monotonic()
        while not self.over.is_set():
            count[attempt(dict(target, timeout=0.5))["result"]] += 1
            next_at = max(next_at + 1 / hz, time.monotonic())
            time.sleep(max(0, next_at - time.monotonic()))

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join(3)
        return self.counts


class Flow:
    """A transfer through the proxy that goes on until somebody ends it."""

    def __init__(self, p):
        self.bytes = 0
        self.s, to = stream(dict(p, timeout=5))
        self.s.connect(to)
        self.s.sendall(("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" % (
            p["authority"], p["authority"])).encode())
        self.head = read_head(self.s)
        self.thread = threading.Thread(target=self.flow, daemon=True)
        self.thread.start()

    def flow(self):
        try:
            while True:
                self.s.sendall(bytes(1000))
                piece = self.s.recv(65536)
                if not piece:
                    break
                self.bytes += len(piece)
        except OSError:
            pass
        self.s.close()

    def end(self):
        self.thread.join(1)
        return {"result": "flowed", "ended": not self.thread.is_alive(),
                "bytes": self.bytes}


hammers = []
flows = []


def flow(p):
    flows.append(Flow(p))
    return flows[-1].head.decode("latin-1").split("\r\n")[0]


def flow_end(p):
    return flows.pop().end()


def hammer(p):
    hammers.append(Hammer(p["targets"], p.get("hz", 50)))
    return "hammering"


def hammer_stop(p):
    return {"result": "stopped", "counts": hammers.pop().stop()}


# -- all at once -----------------------------------------------------------

KINDS = {f.__name__: f for f in
         (tcp, tfo, mptcp, udp, icmp, dns, raw, packet, sctp, abstract,
          listen, hammer, hammer_stop, flow, flow_end, proxy, run)}


def attempt(p):
    start = time.monotonic()
    try:
        got = KINDS[p["kind"]](p)
    except OSError as e:
        got = name_of(e)
    except Exception as e:
        got = "%s: %s" % (type(e).__name__, e)
    out = got if isinstance(got, dict) else {"result": got}
    out["ms"] = round((time.monotonic() - start) * 1000)
    return out


def attempt_all(probes):
    out = [{"result": "not done"} for _ in probes]

    def one(i):
        out[i] = attempt(probes[i])
    threads = [threading.Thread(target=one, args=(i,), daemon=True)
               for i in range(len(probes))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    return out


def serve(s):
    with s, s.makefile("rw") as f:
        f.write("hello %d\n" % os.getuid())
        f.flush()
        for line in f:
            f.write(json.dumps(attempt_all(json.loads(line))) + "\n")
            f.flush()


def connect(path):
    s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    s.connect(path)
    return s


def serve_clients(port):
    with socket.create_server(("127.0.0.1", port)) as server:
        print("listening", flush=True)
        while True:
            try:
                serve(server.accept()[0])
            except OSError:
                pass    # that client's affair


def main():
    threading.stack_size(256 << 10)
    if sys.argv[1:2] == ["--connect"]:
        serve(connect(sys.argv[2]))
    elif sys.argv[1:2] == ["--listen"]:
        serve_clients(int(sys.argv[2]))
    else:
        text = sys.argv[1] if len(sys.argv) > 1 else sys.stdin.read()
        print(json.dumps(attempt_all(json.loads(text))))


if __name__ == "__main__":
    main()
