#!/usr/bin/env python3
"""A DNS server for tests that answers, misbehaves and counts as it is told.

dnsd.py [--address A] [--port N] [--log FILE] [--log-source] [--port-file FILE]
        [--zone FILE] [NAME=SPEC[,SPEC...] ...]

UDP and TCP on one port (0: any free one), which is printed as "PORT n" and
written to --port-file once both sockets listen. A zone file is a JSON object
{"name": ["SPEC", ...]}. A name that is not in the zone is NXDOMAIN; "*.x"
stands for every name below x, "*" for every name.

Each query is logged as it arrives, before it is answered, as one line
"QUERY proto type name" (--log-source: with the client's port behind it; "? ?"
for what is no query), so that an empty log file means that no packet came.

What a name does (a SPEC with "A/" or "AAAA/" in front is for that type only):

  A:ADDR AAAA:ADDR     an address; several of them are one answer
  CNAME:NAME           an alias; its target's records follow in the answer
  TTL:N                of all records (60)
  EMPTY                no record (so is a name without records of the type)
  NXDOMAIN SERVFAIL REFUSED FORMERR NOTIMP
  SILENCE              no answer
  DELAY:MS             the answer waits
  LOOP                 a CNAME loop of two names
  ALTERNATE:A1/A2/...  the first query gets A1, the next A2, and so on, round
                       (per type; TTL 0 is usual beside it)
  FORMERR-EDNS         FORMERR for queries with an OPT, as old servers do
  TRUNCATE             by UDP: TC and no record; by TCP the answer
  TRUNCATE-TCP         TC by TCP too
  RECORDS:N            N different addresses (by UDP: TC over 512 or the
                       client's EDNS size)
  COMPRESSION          a compression pointer that points to itself
  FORWARD              a compression pointer that points ahead
  RDLENGTH             an address whose length is one too many
  TRAILING             a byte behind the last record
  FOREIGN:ADDR         a further record of a name that nobody asked for
  GARBAGE[:N]          N random bytes instead of an answer (65507; by TCP
                       65535), with the query's id

Spoofs come at once; the name's own records come as the true answer behind
them (after DELAY), and with no record and no other answer none does:

  WRONGID:ADDR         another transaction id
  WRONGQUESTION:ADDR   another name in the question
  OTHERPORT:ADDR       from another port of this address
  EMPTYPACKET          a datagram of no bytes
"""

import argparse
import heapq
import json
import os
import select
import socket
import struct
import sys
import time

A, CNAME, AAAA, OPT = 1, 5, 28, 41
TYPES = {A: "A", AAAA: "AAAA", CNAME: "CNAME"}
RCODES = {"FORMERR": 1, "SERVFAIL": 2, "NXDOMAIN": 3, "NOTIMP": 4,
          "REFUSED": 5}
SPOOFS = ("WRONGID", "WRONGQUESTION", "OTHERPORT", "EMPTYPACKET")
PLAIN_SIZE = 512
CHAIN_MAX = 32
TCP_IDLE = 10.0


def encode_name(name):
    out = b""
    for label in name.rstrip(".").split("."):
        if label:
            raw = label.encode("ascii")
            out += bytes([len(raw)]) + raw
    return out + b"\0"


def record(owner, rtype, ttl, data):
    return (encode_name(owner) + struct.pack("!HHIH", rtype, 1, ttl,
                                             len(data)) + data)


def address(text):
    if ":" in text:
        return AAAA, socket.inet_pton(socket.AF_INET6, text)
    return A, socket.inet_pton(socket.AF_INET, text)


class Query:
    """A query; ValueError and the like when it is none."""

    def __init__(self, wire):
        (self.id, flags, questions, _, _, extra) = struct.unpack_from(
            "!6H", wire)
        if flags & 0x8000 or questions != 1:
            raise ValueError("no query")
        labels, at = [], 12
        while wire[at]:
            size = wire[at]
            if size > 63 or at + 1 + size >= len(wire):
                raise ValueError("bad name")
            labels.append(wire[at + 1:at + 1 + size].decode("latin-1"))
            at += 1 + size
        self.name = ".".join(labels).lower()
        self.type, self.rclass = struct.unpack_from("!HH", wire, at + 1)
        self.question = wire[12:at + 5]
        self.edns = None
        if extra == 1:
            rest = wire[at + 5:]
            if len(rest) >= 11 and struct.unpack_from("!H", rest, 1)[0] == OPT:
                self.edns = struct.unpack_from("!H", rest, 3)[0]


class Zone:
    def __init__(self):
        self.names = {}
        self.turns = {}

    def add(self, name, specs):
        self.names[name.lower().rstrip(".")] = list(specs)

    def find(self, name):
        if name in self.names:
            return self.names[name]
        parent = name
        while "." in parent:
            parent = parent.split(".", 1)[1]
            if "*." + parent in self.names:
                return self.names["*." + parent]
        return self.names.get("*")

    def specs(self, name, rtype):
        """(word, argument) pairs that hold for this type; None: no name."""
        found = self.find(name)
        if found is None:
            return None
        out = []
        for spec in found:
            for prefix, only in (("A/", A), ("AAAA/", AAAA)):
                if spec.startswith(prefix):
                    spec = spec[len(prefix):] if rtype == only else ""
                    break
            if spec:
                word, _, arg = spec.partition(":")
                out.append((word, arg))
        return out

    def turn(self, name, rtype):
        n = self.turns.get((name, rtype), 0)
        self.turns[(name, rtype)] = n + 1
        return n


class Answer:
    """What is sent for one query: packets with their delay and sender."""

    def __init__(self, zone, query, tcp):
        self.zone, self.query, self.tcp = zone, query, tcp
        self.specs = zone.specs(query.name, query.type)
        self.words = dict(self.specs or [("NXDOMAIN", "")])
        self.delay = int(self.words.get("DELAY", 0)) / 1000
        self.ttl = int(self.words.get("TTL", 60))

    def message(self, rcode=0, records=(), tc=False, qid=None, question=None,
                tail=b""):
        query = self.query
        extra = b""
        if query.edns is not None:
            extra = b"\0" + struct.pack("!HHIH", OPT, 4096, 0, 0)
        flags = 0x8180 | (0x0200 if tc else 0) | rcode
        return (struct.pack("!6H", query.id if qid is None else qid, flags, 1,
                            len(records), 0, 1 if extra else 0) +
                (query.question if question is None else question) +
                b"".join(records) + extra + tail)

    def own_records(self, name, specs):
        out = []
        for word, arg in specs:
            if word in ("A", "AAAA"):
                rtype, data = address(arg)
                if rtype == self.query.type:
                    out.append(record(name, rtype, self.ttl, data))
            elif word == "ALTERNATE":
                choices = arg.split("/")
                turn = self.zone.turn(name, self.query.type)
                rtype, data = address(choices[turn % len(choices)])
                if rtype == self.query.type:
                    out.append(record(name, rtype, self.ttl, data))
            elif word == "RECORDS":
                out += self.many(name, int(arg))
            elif word == "FOREIGN":
                rtype, data = address(arg)
                out.append(record("foreign.example", rtype, self.ttl, data))
        return out

    def many(self, name, n):
        if self.query.type == A:
            return [record(name, A, self.ttl, bytes([93, 184, i >> 8, i & 255]))
                    for i in range(n)]
        if self.query.type == AAAA:
            net = socket.inet_pton(socket.AF_INET6, "2606:2800:220:1::")[:14]
            return [record(name, AAAA, self.ttl, net + struct.pack("!H", i))
                    for i in range(n)]
        return []

    def records(self):
        """The whole chain from the name; the rcode of its end."""
        name, specs, out = self.query.name, self.specs, []
        for _ in range(CHAIN_MAX):
            if specs is None:
                return RCODES["NXDOMAIN"], out
            words = dict(specs)
            out += self.own_records(name, specs)
            for word in RCODES:
                if word in words:
                    return RCODES[word], out
            if "CNAME" not in words:
                return 0, out
            target = words["CNAME"].lower().rstrip(".")
            out.append(record(name, CNAME, self.ttl, encode_name(target)))
            name, specs = target, self.zone.specs(target, self.query.type)
        return 0, out

    def spoofs(self):
        """(packet, from another port) for each spoof."""
        out = []
        if self.tcp:
            return out
        name = self.query.name
        for word, arg in self.specs or ():
            if word not in SPOOFS:
                continue
            if word == "EMPTYPACKET":
                out.append((b"", False))
                continue
            rtype, data = address(arg)
            if rtype != self.query.type:
                continue
            records = [record(name, rtype, self.ttl, data)]
            if word == "WRONGID":
                out.append((self.message(records=records,
                                         qid=self.query.id ^ 0x5555), False))
            elif word == "WRONGQUESTION":
                other = encode_name("x" + name) + self.query.question[-4:]
                out.append((self.message(records=records, question=other),
                            False))
            else:
                out.append((self.message(records=records), True))
        return out

    def broken(self):
        """A malformed answer, or None."""
        words, query = self.words, self.query
        head = struct.pack("!HHIH", query.type, 1, self.ttl, 4)
        if "COMPRESSION" in words:
            at = 12 + len(query.question)
            return self.message(records=[struct.pack("!H", 0xc000 | at) +
                                         head + b"\x5d\xb8\x01\x01"])
        if "FORWARD" in words:
            at = 12 + len(query.question) + 2
            return self.message(records=[struct.pack("!H", 0xc000 | at) +
                                         head + b"\x5d\xb8\x01\x01"])
        if "RDLENGTH" in words:
            size = 5 if query.type == A else 17
            return self.message(records=[record(query.name, query.type,
                                                self.ttl, b"\x5d" * size)])
        if "LOOP" in words:
            other = "loop." + query.name
            return self.message(records=[
                record(query.name, CNAME, self.ttl, encode_name(other)),
                record(other, CNAME, self.ttl, encode_name(query.name))])
        if "GARBAGE" in words:
            most = 65535 if self.tcp else 65507
            size = int(words["GARBAGE"] or most)
            return (struct.pack("!H", query.id) +
                    os.urandom(max(size - 2, 0)))[:size]
        return None

    def packet(self):
        """The true answer, or None for silence."""
        words = self.words
        if "SILENCE" in words:
            return None
        if "FORMERR-EDNS" in words and self.query.edns is not None:
            self.query.edns = None
            return self.message(rcode=RCODES["FORMERR"])
        if ("TRUNCATE" in words and not self.tcp) or "TRUNCATE-TCP" in words:
            return self.message(tc=True)
        wire = self.broken()
        if wire is not None:
            return wire
        rcode, records = self.records()
        if not records and rcode == 0 and any(w in words for w in SPOOFS):
            return None
        wire = self.message(rcode, records,
                            tail=b"\0" if "TRAILING" in words else b"")
        if not self.tcp and len(wire) > (self.query.edns or PLAIN_SIZE):
            return self.message(rcode, tc=True)
        return wire


class Server:
    def __init__(self, args, zone):
        self.zone = zone
        self.log = open(args.log, "a", buffering=1) if args.log else None
        self.log_source = args.log_source
        family = (socket.AF_INET6 if ":" in args.address else socket.AF_INET)
        self.udp, self.tcp = self.listen(family, args.address, args.port)
        self.port = self.udp.getsockname()[1]
        self.other = socket.socket(family, socket.SOCK_DGRAM)
        self.other.bind((args.address, 0))
        self.streams = {}
        self.later = []
        self.serial = 0

    @staticmethod
    def listen(family, addr, port):
        for _ in range(50):
            udp = socket.socket(family, socket.SOCK_DGRAM)
            tcp = socket.socket(family, socket.SOCK_STREAM)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                udp.bind((addr, port))
                tcp.bind((addr, udp.getsockname()[1]))
                tcp.listen(64)
            except OSError:
                udp.close()
                tcp.close()
                if port:
                    raise
                continue
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            udp.setblocking(False)
            tcp.setblocking(False)
            return udp, tcp
        raise OSError("no port that is free for UDP and TCP")

    def note(self, proto, query, client):
        if self.log:
            what = "? ?"
            if query is not None:
                what = "%s %s" % (TYPES.get(query.type, query.type),
                                  query.name)
            line = "QUERY %s %s" % (proto, what)
            if self.log_source:
                line += " %d" % client[1]
            self.log.write(line + "\n")

    def at(self, delay, send):
        if delay <= 0:
            send()
            return
        self.serial += 1
        heapq.heappush(self.later,
                       (time.monotonic() + delay, self.serial, send))

    def answer(self, wire, proto, client, send, send_other):
        try:
            query = Query(wire)
        except (ValueError, IndexError, struct.error):
            query = None
        self.note(proto, query, client)
        if query is None:
            return
        answer = Answer(self.zone, query, proto == "tcp")
        for spoof, other in answer.spoofs():
            (send_other if other else send)(spoof)
        packet = answer.packet()
        if packet is not None:
            self.at(answer.delay, lambda: send(packet))

    def on_udp(self):
        for _ in range(256):
            try:
                wire, client = self.udp.recvfrom(65535)
            except OSError:
                return
            self.answer(wire, "udp", client,
                        lambda p, c=client: self.send_to(self.udp, p, c),
                        lambda p, c=client: self.send_to(self.other, p, c))

    @staticmethod
    def send_to(sock, packet, client):
        try:
            sock.sendto(packet, client)
        except OSError:
            pass

    def on_accept(self):
        try:
            conn, client = self.tcp.accept()
        except OSError:
            return
        # Whole answers at once; a client that does not read loses its turn.
        conn.settimeout(1.0)
        self.streams[conn] = [b"", client, time.monotonic() + TCP_IDLE]

    def on_stream(self, conn):
        state = self.streams[conn]
        try:
            got = conn.recv(65535)
        except OSError:
            got = b""
        if not got:
            self.close(conn)
            return
        state[0] += got
        while len(state[0]) >= 2:
            size = struct.unpack_from("!H", state[0])[0]
            if len(state[0]) < 2 + size:
                return
            wire, state[0] = state[0][2:2 + size], state[0][2 + size:]
            self.answer(wire, "tcp", state[1],
                        lambda p, c=conn: self.send_stream(c, p),
                        lambda p: None)

    def send_stream(self, conn, packet):
        try:
            conn.sendall(struct.pack("!H", len(packet)) + packet)
        except (OSError, ValueError):
            self.close(conn)

    def close(self, conn):
        if self.streams.pop(conn, None) is not None:
            conn.close()

    def turn(self):
        wait = 1.0
        if self.later:
            wait = min(max(self.later[0][0] - time.monotonic(), 0), wait)
        ready, _, _ = select.select([self.udp, self.tcp, *self.streams], [],
                                    [], wait)
        for sock in ready:
            if sock is self.udp:
                self.on_udp()
            elif sock is self.tcp:
                self.on_accept()
            elif sock in self.streams:
                self.on_stream(sock)
        now = time.monotonic()
        while self.later and self.later[0][0] <= now:
            heapq.heappop(self.later)[2]()
        for conn in [c for c, s in self.streams.items() if s[2] < now]:
            self.close(conn)


def main():
    parser = argparse.ArgumentParser(usage=__doc__, add_help=False)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log")
    parser.add_argument("--log-source", action="store_true")
    parser.add_argument("--port-file")
    parser.add_argument("--zone")
    parser.add_argument("names", nargs="*")
    args = parser.parse_args()
    zone = Zone()
    if args.zone:
        with open(args.zone, encoding="utf-8") as f:
            for name, specs in json.load(f).items():
                zone.add(name, specs)
    for word in args.names:
        name, _, specs = word.partition("=")
        zone.add(name, specs.split(","))
    server = Server(args, zone)
    if args.port_file:
        with open(args.port_file + ".new", "w", encoding="ascii") as f:
            f.write("%d\n" % server.port)
        os.rename(args.port_file + ".new", args.port_file)
    print("PORT %d" % server.port, flush=True)
    try:
        while True:
            server.turn()
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
