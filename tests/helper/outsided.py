#!/usr/bin/env python3
"""Everything outside, for the tests of the wall; standard library only.

    outsided.py --device VETH --log FILE [--own ADDRESS ...]

Runs in a network namespace of its own. There it is every address of NETS:
each TCP port takes a connection (a banner, then echo), each UDP port sends
back what it gets, port 53 answers DNS with a record for every name, and the
kernel answers pings. So a packet that gets out is answered, and seen:

    READY                                once all of it stands
    PACKET proto source port destination port
                                         a packet that came in by VETH from
                                         an address that is not --own, before
                                         anything rewrote it; "quoting" behind
                                         it: an error with a packet's bytes
    QUERY proto source name type         a question, whoever asked
    ACCEPT source destination port       a connection that came to be
    MARK word                            a packet "MARK word" from --own: all
                                         that came before it is logged

Packets from link-local and unspecified addresses are not logged: nothing of
a container can have them here, the kernel of the other side talks by them.
"""

import argparse
import ipaddress
import os
import selectors
import socket
import struct
import subprocess
import sys
import threading

NETS = ("198.51.100.0/24", "203.0.113.0/24", "10.98.0.0/24",
        "169.254.169.254/32", "2001:db8::/32", "fd00:ec2::/32")
RUNS = ("10.201.0.0/16", "10.99.0.1"), ("fd20::/16", "fd99::1")
PORT, DNS_PORT = 40000, 40053
BANNER = b"outside\r\n"
ANSWER_A = bytes([198, 51, 100, 53])
ORIGINAL_DST = 80       # SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST
ETH_P_ALL, ETH_P_IP, ETH_P_IPV6 = 3, 0x800, 0x86dd
PROTO = {1: "icmp", 2: "igmp", 6: "tcp", 17: "udp", 58: "icmp6",
         132: "sctp"}
RULES = """
table inet outsided {
    chain here {
        udp dport 53 redirect to :%d
        tcp dport 53 redirect to :%d
        meta l4proto { tcp, udp } redirect to :%d
    }
    chain arrived {
        type nat hook prerouting priority -100
        ip daddr { %s } jump here
        ip6 daddr { %s } jump here
    }
}
"""


class Log:
    def __init__(self, path):
        self.f = open(path, "a", buffering=1)
        self.lock = threading.Lock()

    def __call__(self, *words):
        with self.lock:
            self.f.write(" ".join(str(w) for w in words) + "\n")


# -- what comes in ---------------------------------------------------------

def parse(kind, data):
    """(proto, source, sport, destination, dport, payload) of a packet."""
    if kind == ETH_P_IP:
        size, proto = (data[0] & 15) * 4, data[9]
        src, dst = data[12:16], data[16:20]
    else:
        size, proto = 40, data[6]
        src, dst = data[8:24], data[24:40]
    rest = data[size:]
    sport = dport = 0
    if proto in (6, 17, 132) and len(rest) >= 4:
        sport, dport = struct.unpack("!HH", rest[:4])
    payload = rest[8:] if proto in (1, 17, 58) else b""
    return (PROTO.get(proto, proto), ipaddress.ip_address(src), sport,
            ipaddress.ip_address(dst), dport, payload)


def capture(s, own, log):
    while True:
        data, where = s.recvfrom(65536)
        kind, pkttype = where[1], where[2]
        if pkttype == 4 or kind not in (ETH_P_IP, ETH_P_IPV6):
            continue    # our own answers, ARP
        try:
            proto, src, sport, dst, dport, payload = parse(kind, data)
        except (IndexError, struct.error):
            log("PACKET torn", len(data))
            continue
        if str(src) in own:
            if payload.startswith(b"MARK "):
                log(payload.decode("ascii", "replace"))
            continue
        if src.is_unspecified or (src.is_link_local and src.version == 6):
            continue
        log("PACKET", proto, src, sport, dst, dport,
            *["quoting"] * (b"quote-me" in payload))


# -- what answers ----------------------------------------------------------

def original(conn):
    """Where the connection was going before the redirect."""
    try:
        if conn.family == socket.AF_INET:
            raw = conn.getsockopt(socket.SOL_IP, ORIGINAL_DST, 16)
            return socket.inet_ntoa(raw[4:8]), struct.unpack("!H", raw[2:4])[0]
        raw = conn.getsockopt(socket.IPPROTO_IPV6, ORIGINAL_DST, 28)
        return (socket.inet_ntop(socket.AF_INET6, raw[8:24]),
                struct.unpack("!H", raw[2:4])[0])
    except OSError:
        return conn.getsockname()[:2]


def dns_name(query):
    labels, at = [], 12
    while query[at]:
        size = query[at]
        labels.append(query[at + 1:at + 1 + size].decode("ascii", "replace"))
        at += size + 1
    return ".".join(labels) or ".", at + 5


def dns_answer(query, proto, source, log):
    """A record for every name; None for what is no query."""
    try:
        name, end = dns_name(query)
        kind = struct.unpack("!H", query[end - 4:end - 2])[0]
    except (IndexError, struct.error):
        log("QUERY", proto, source, "?", "?")
        return None
    log("QUERY", proto, source, name, kind)
    data = (b"\0\x1c", bytes(15) + b"\1") if kind == 28 else (
        b"\0\1", ANSWER_A)
    return (query[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + query[12:end] +
            b"\xc0\x0c" + data[0] + b"\0\1\0\0\0\x3c" +
            struct.pack("!H", len(data[1])) + data[1])


def echo(conn):
    conn.sendall(BANNER)
    while True:
        data = conn.recv(65536)
        if not data:
            return
        conn.sendall(data)


def dns_stream(conn, source, log):
    size = conn.recv(2, socket.MSG_WAITALL)
    if len(size) < 2:
        return
    query = conn.recv(struct.unpack("!H", size)[0], socket.MSG_WAITALL)
    answer = dns_answer(query, "tcp", source, log)
    if answer:
        conn.sendall(struct.pack("!H", len(answer)) + answer)


def talk(conn, peer, dns, log):
    with conn:
        conn.settimeout(30)
        log("ACCEPT", peer[0], *original(conn))
        try:
            if dns:
                dns_stream(conn, peer[0], log)
            else:
                echo(conn)
        except OSError:
            pass


def accept(server, dns, log):
    conn, peer = server.accept()
    threading.Thread(target=talk, args=(conn, peer, dns, log),
                     daemon=True).start()


def datagram(server, dns, log):
    data, peer = server.recvfrom(65536)
    answer = dns_answer(data, "udp", peer[0], log) if dns else data
    if answer is not None:
        try:
            server.sendto(answer, peer)
        except OSError:
            pass


def listen(family, kind, port):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind(("", port))
    if kind == socket.SOCK_STREAM:
        s.listen(256)
    return s


def servers():
    """A selector over the eight sockets; data: (what to do, is it DNS)."""
    sel = selectors.DefaultSelector()
    for family in socket.AF_INET, socket.AF_INET6:
        for port in PORT, DNS_PORT:
            for kind, take in ((socket.SOCK_STREAM, accept),
                               (socket.SOCK_DGRAM, datagram)):
                sel.register(listen(family, kind, port),
                             selectors.EVENT_READ, (take, port == DNS_PORT))
    return sel


# -- the ground ------------------------------------------------------------

def routes():
    """Every address of NETS is here; the runs are behind the host. What is
    there already stays."""
    for net in NETS:
        ip(net, "route", "replace", "local", net, "dev", "lo")
    for net, gateway in RUNS:
        ip(net, "route", "replace", net, "via", gateway)


def ip(net, *words):
    subprocess.run(["ip", "-6" if ":" in net else "-4", *words], check=True)


def redirect():
    v4 = ", ".join(n for n in NETS if ":" not in n)
    v6 = ", ".join(n for n in NETS if ":" in n)
    subprocess.run(["nft", "-f", "-"], check=True, text=True,
                   input=RULES % (DNS_PORT, DNS_PORT, PORT, v4, v6))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--device", required=True)
    p.add_argument("--log", required=True)
    p.add_argument("--own", action="append", default=[])
    args = p.parse_args()
    log = Log(args.log)
    if os.geteuid() != 0:
        sys.exit("outsided: only root can be every address")
    routes()
    redirect()
    sel = servers()
    raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM,
                        socket.htons(ETH_P_ALL))
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    raw.bind((args.device, ETH_P_ALL))
    threading.Thread(target=capture, args=(raw, set(args.own), log),
                     daemon=True).start()
    log("READY")
    while True:
        for key, _ in sel.select():
            take, dns = key.data
            try:
                take(key.fileobj, dns, log)
            except OSError:
                pass


if __name__ == "__main__":
    main()
