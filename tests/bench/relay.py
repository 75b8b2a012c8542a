#!/usr/bin/env python3
"""How fast egressd is, as a ratio against a named peer in the same run.

    BUILD=build/release tests/bench/relay.py [--rounds N]

Needs root (network namespaces), a release build and Debian's tinyproxy-bin
(apt-get install tinyproxy-bin): a small CONNECT proxy in C, which copies in
one thread a connection, writes no record and looks at no byte of a tunnel.
The third way is the direct connection. All three go over the same link
between two namespaces of this script, on an otherwise idle machine.

    down, up        one tunnel, 256 MiB, MiB/s
    tunnels         CONNECT, ClientHello, an answer of 7 bytes, close: by
                    four clients at once, tunnels a second
    cpu bulk, cpu tunnels
                    the same, by the processor time of the proxy alone. The
                    clients are slow (Python) and the machine small, so this
                    is the better measure of the proxy.
    idle            anonymous memory of the proxy by each of 500 tunnels that
                    sent their hello and wait; bytes

In every round each way has its turn, and who begins changes. A ratio is one
of two values of one round; above 1 egressd is the better one, for times and
memory too. The table gives the lowest, the median and the highest one.

Absolute numbers are printed for orientation; they tell about the machine.
"""

import argparse
import os
import selectors
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                os.pardir, "e2e"))

from lib import EGRESSD, ORIGIN, World, connect_request, wait_for  # noqa

NAME = "bench.test"
ANSWER, HOLD, DOWN, UP = 443, 8443, 9001, 9002
PORTS = {"egressd": 3128, "tinyproxy": 3129, "direct": None}
MIB = 1 << 20
BULK = 256 * MIB
CLIENTS, TUNNELS = 4, 500
IDLE = 500
ALERT = bytes.fromhex("15030300020100")
PIECE = 4 * MIB
TIMEOUT = 60


def hello():
    """A ClientHello that names NAME."""
    raw = NAME.encode()
    entry = struct.pack("!BH", 0, len(raw)) + raw
    ext = struct.pack("!HHH", 0, len(entry) + 2, len(entry)) + entry
    # About what clients with a post-quantum key share send.
    ext += struct.pack("!HH", 0x33, 1216) + bytes(1216)
    body = (b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" +
            struct.pack("!H", len(ext)) + ext)
    message = b"\1" + struct.pack("!I", len(body))[1:] + body
    return struct.pack("!BHH", 22, 0x301, len(message)) + message


# -- both ends of a bulk transfer: no copy that can be had without ---------------

def noise():
    fd = os.memfd_create("noise")
    os.write(fd, os.urandom(PIECE))
    return fd


def pour(s, fd, n):
    s.settimeout(None)      # sendfile wants it so
    while n > 0:
        n -= os.sendfile(s.fileno(), fd, 0, min(n, PIECE))


def drain(s, n):
    """Read n bytes; the kernel throws them away instead of copying."""
    while n > 0:
        got = s.recv_into(SCRATCH, min(n, len(SCRATCH)), socket.MSG_TRUNC)
        if got == 0:
            raise RuntimeError("ends %d bytes early" % n)
        n -= got


SCRATCH = bytearray(1 << 20)


# -- the origin -----------------------------------------------------------------

def bulk_server(port):
    fd = noise()

    def serve(s):
        try:
            if port == DOWN:
                s.recv(1)
                pour(s, fd, BULK)
            else:
                drain(s, BULK)
                s.sendall(b"x")
        except (OSError, RuntimeError):
            pass
        s.close()

    listener = socket.create_server((ORIGIN, port))
    while True:
        s, _ = listener.accept()
        threading.Thread(target=serve, args=(s,), daemon=True).start()


def origin():
    for port in DOWN, UP:
        threading.Thread(target=bulk_server, args=(port,),
                         daemon=True).start()
    sel = selectors.EpollSelector()
    for port in ANSWER, HOLD:
        listener = socket.create_server((ORIGIN, port), backlog=512)
        sel.register(listener, selectors.EVENT_READ, (True, port))
    print("READY", flush=True)
    while True:
        for key, _ in sel.select():
            listens, port = key.data
            s = key.fileobj
            if listens:
                s, _ = s.accept()
                sel.register(s, selectors.EVENT_READ, (False, port))
                continue
            try:
                data = s.recv(65536)
                if data and port == ANSWER:
                    s.sendall(ALERT)
                    data = b""
            except OSError:
                data = b""
            if not data:
                sel.unregister(s)
                s.close()


# -- the ways --------------------------------------------------------------------

def start_egressd(w):
    hosts = os.path.join(w.dir, "hosts")
    cidr = ["10.99.0.0/24"]
    rules = [{"host": NAME, "port": p, "cidr": cidr} for p in (ANSWER, HOLD)]
    rules += [{"host": NAME, "port": p, "cidr": cidr, "proto": "any"}
              for p in (DOWN, UP)]
    w.write_config(w.config(hosts_file=hosts,
                            profiles={"dev": {"allow": rules}}))
    w.records_before = 0
    log = open(w.log, "ab")
    p = subprocess.Popen([EGRESSD, "-d", "-f", w.conf_path], stderr=log)
    w.procs.append(p)
    with open(w.pidfile, "w") as f:
        f.write(str(p.pid))
    if not wait_for(w.serving, 10):
        raise RuntimeError("egressd does not serve")
    return [p.pid] + sum(w.children().values(), [])


def start_tinyproxy(w):
    """tinyproxy, with the hosts file that egressd has."""
    conf = os.path.join(w.dir, "tinyproxy.conf")
    ports = "".join("ConnectPort %d\n" % p
                    for p in (ANSWER, HOLD, DOWN, UP))
    with open(conf, "w") as f:
        f.write("Port %d\nListen 127.0.0.1\nTimeout 600\nMaxClients 2000\n"
                "LogLevel Critical\nUser nobody\n%s" %
                (PORTS["tinyproxy"], ports))
    p = w.net.popen(w.net.host, "sh", "-c",
                    "mount --bind %s/hosts /etc/hosts && "
                    "exec tinyproxy -d -c %s" % (w.dir, conf),
                    stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    w.procs.append(p)

    def serves():
        try:
            socket.create_connection(("127.0.0.1", PORTS["tinyproxy"]),
                                     1).close()
            return True
        except OSError:
            return False
    if not wait_for(serves, 10):
        raise RuntimeError("tinyproxy does not serve")
    return [p.pid]


def processor(pids):
    ticks = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def anonymous(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/status" % pid) as f:
            total += sum(int(line.split()[1]) * 1024 for line in f
                         if line.startswith("RssAnon"))
    return total


def reach(way, port):
    """A connection to the origin's port."""
    if PORTS[way] is None:
        return socket.create_connection((ORIGIN, port), TIMEOUT)
    s = socket.create_connection(("127.0.0.1", PORTS[way]), TIMEOUT)
    s.sendall(connect_request("%s:%d" % (NAME, port)))
    head = b""
    while b"\r\n\r\n" not in head:
        got = s.recv(4096)
        if not got:
            raise RuntimeError("%s: no tunnel: %r" % (way, head))
        head += got
    if b" 200 " not in head.split(b"\r\n")[0]:
        raise RuntimeError("%s: no tunnel: %r" % (way, head))
    return s


# -- what is measured ---------------------------------------------------------------

def bulk(way, port, fd):
    with reach(way, port) as s:
        start = time.monotonic()
        if port == DOWN:
            s.sendall(b"x")
            drain(s, BULK)
        else:
            pour(s, fd, BULK)
            s.recv(1)
        return BULK / MIB / (time.monotonic() - start)


def tunnels(way):
    def client():
        for _ in range(TUNNELS):
            with reach(way, ANSWER) as s:
                s.sendall(HELLO)
                if s.recv(64) != ALERT:
                    raise RuntimeError("%s: a wrong answer" % way)

    start = time.monotonic()
    pids = []
    for _ in range(CLIENTS):
        pid = os.fork()
        if pid == 0:
            try:
                client()
            except BaseException as e:
                sys.stderr.write("%s: %r\n" % (way, e))
                os._exit(1)
            os._exit(0)
        pids.append(pid)
    if any([os.waitpid(pid, 0)[1] for pid in pids]):
        raise RuntimeError("%s: a client failed" % way)
    return CLIENTS * TUNNELS / (time.monotonic() - start)


def idle(way, pids):
    before = anonymous(pids)
    held = []
    for _ in range(IDLE):
        s = reach(way, HOLD)
        s.sendall(HELLO)
        held.append(s)
    time.sleep(1)
    each = (anonymous(pids) - before) / IDLE
    for s in held:
        s.close()
    time.sleep(0.5)
    return each


def measure(way, pids, fd):
    got, spent = {}, processor(pids)
    got["down"] = bulk(way, DOWN, fd)
    got["up"] = bulk(way, UP, fd)
    got["cpu bulk"] = processor(pids) - spent
    spent = processor(pids)
    got["tunnels"] = tunnels(way)
    got["cpu tunnels"] = processor(pids) - spent
    return got


LESS_IS_BETTER = ("cpu bulk", "cpu tunnels", "idle")


def table(rounds):
    print("\n%-12s %-22s %6s %6s %6s" %
          ("", "egressd against", "min", "median", "max"))
    for what in ("down", "up", "cpu bulk", "tunnels", "cpu tunnels", "idle"):
        for peer in "tinyproxy", "direct":
            if peer == "direct" and what in LESS_IS_BETTER:
                continue
            ratios = []
            for r in rounds:
                mine, its = r["egressd"].get(what), r[peer].get(what)
                if not mine or not its:
                    continue
                ratios.append(its / mine if what in LESS_IS_BETTER
                              else mine / its)
            if ratios:
                print("%-12s %-22s %6.2f %6.2f %6.2f" % (
                    what, peer, min(ratios), statistics.median(ratios),
                    max(ratios)))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=7)
    p.add_argument("--origin", action="store_true", help=argparse.SUPPRESS)
    args = p.parse_args()
    if args.origin:
        origin()
    if not shutil.which("tinyproxy"):
        sys.exit("relay.py: tinyproxy is not installed")
    with World() as w:
        with open(os.path.join(w.dir, "hosts"), "w") as f:
            f.write("%s %s\n" % (ORIGIN, NAME))
        o = w.start_outside(sys.executable, os.path.abspath(__file__),
                            "--origin", stdout=subprocess.PIPE)
        o.stdout.readline()
        pids = {"egressd": start_egressd(w),
                "tinyproxy": start_tinyproxy(w), "direct": []}
        fd, rounds, ways = noise(), [], list(PORTS)
        for n in range(args.rounds):
            result = {}
            for way in ways[n % 3:] + ways[:n % 3]:
                got = result[way] = measure(way, pids[way], fd)
                # A second time costs nothing: the memory is there already.
                if n == 0 and pids[way]:
                    got["idle"] = idle(way, pids[way])
                print("%d %-10s %s" % (n + 1, way, ", ".join(
                    "%s %.4g" % pair for pair in got.items())), flush=True)
            rounds.append(result)
        table(rounds)


HELLO = hello()

if __name__ == "__main__":
    main()
