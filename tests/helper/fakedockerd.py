#!/usr/bin/env python3
"""A Docker engine of paper for the tests of the engine process.

It keeps networks and containers as dictionaries and answers the few calls that
dispatchd makes. `--fault OP=KIND[*TIMES]` makes an operation go wrong. Prints
READY when it listens; each request goes to --log as a line `METHOD PATH`.
"""

import argparse
import copy
import hashlib
import json
import os
import socket
import socketserver
import struct
import threading
import time
import urllib.parse

NEVER = "0001-01-01T00:00:00Z"
IMAGE = "sha256:" + "ab" * 32
MASKED = ["/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys",
          "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware"]
READONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
            "/proc/sysrq-trigger"]
PID = 4242

lock = threading.Condition()
networks, containers, events = {}, {}, []
faults = {}
dead = {"n": 0}
names = {"agent:1", IMAGE}


def new_id(name):
    return hashlib.sha256((name + str(time.time())).encode()).hexdigest()


def fault(op):
    """The kind of fault that this operation has now, or None.

    "ok" is none: it lets as many pass before the ones behind it.
    """
    with lock:
        f = faults.get(op)
        if not f:
            return None
        f[0][1] -= 1
        kind = f[0][0]
        if f[0][1] == 0:
            del f[0]
        return None if kind == "ok" else kind


def emit(c, action, **more):
    attributes = dict(c["Config"]["Labels"], name=c["Name"][1:], **more)
    with lock:
        events.append({"Type": "container", "Action": action,
                       "Actor": {"ID": c["Id"], "Attributes": attributes},
                       "time": int(time.time())})
        lock.notify_all()


def find(table, key):
    for name, o in table.items():
        if key in (name, o["Id"]):
            return name
    return None


# --- what it does ---------------------------------------------------------

def create_network(body):
    name = body["Name"]
    if name in networks:
        return 409, {"message": "network with name %s already exists" % name}
    want = body["IPAM"]["Config"][0]["Subnet"]
    for n in networks.values():
        if n["IPAM"]["Config"][0]["Subnet"] == want:
            return 403, {"message": "Pool overlaps with other one on this "
                                    "address space"}
    n = {k: v for k, v in body.items() if k != "CheckDuplicate"}
    n.update(Id=new_id(name), Scope="local", ConfigFrom={"Network": ""},
             ConfigOnly=False, Containers={})
    networks[name] = n
    return 201, {"Id": n["Id"], "Warning": ""}


def create_container(name, body):
    if name in containers:
        return 409, {"message": "Conflict. The name /%s is in use" % name}
    if body["Image"] != IMAGE:
        return 404, {"message": "No such image: " + body["Image"]}
    host = dict(body["HostConfig"], MaskedPaths=MASKED, Runtime="runc",
                ReadonlyPaths=READONLY, Binds=None, ConsoleSize=[0, 0])
    config = {k: v for k, v in body.items()
              if k not in ("HostConfig", "NetworkingConfig")}
    config["Env"] = config["Env"] + ["PATH=/usr/bin"]
    m = host["Mounts"][0]
    containers[name] = c = {
        "Id": new_id(name), "Name": "/" + name, "Image": body["Image"],
        "Config": config, "HostConfig": host, "ExecIDs": None,
        "Mounts": [{"Type": "bind", "Source": m["Source"], "RW": False,
                    "Destination": m["Target"], "Mode": "",
                    "Propagation": "private"}],
        "NetworkSettings": {
            "Networks": body["NetworkingConfig"]["EndpointsConfig"]},
        "State": {"Status": "created", "Running": False, "OOMKilled": False,
                  "Pid": 0, "ExitCode": 0, "Error": "", "StartedAt": NEVER}}
    emit(c, "create")
    return 201, {"Id": c["Id"], "Warnings": []}


def start(c):
    s = c["State"]
    if s["Running"]:
        return 304, None
    s.update(Status="running", Running=True, Pid=PID,
             StartedAt="2026-01-01T00:00:00.1Z")
    emit(c, "start")
    if args.meddle:
        emit(c, "exec_create: sh -c secret", execID="1")
    return 204, None


def kill(c):
    s = c["State"]
    if not s["Running"]:
        return 409, {"message": "Container %s is not running" % c["Id"]}
    s.update(Status="exited", Running=False, Pid=0, ExitCode=137)
    emit(c, "kill", signal="9")
    emit(c, "die", exitCode="137")
    return 204, None


def rename(c, new):
    if new in containers:
        return 409, {"message": "the name is in use"}
    del containers[c["Name"][1:]]
    containers[new] = c
    emit(c, "rename", oldName=c["Name"])
    c["Name"] = "/" + new
    return 204, None


def remove(table, key):
    name = find(table, key)
    if name is None:
        return 404, {"message": "no such thing"}
    if table is containers:
        if dead["n"] > 0:
            dead["n"] -= 1
            table[name]["State"]["Status"] = "dead"
            return 500, {"message": "driver failed to remove root filesystem"}
        emit(table[name], "destroy")
    del table[name]
    return 204, None


def shown(c):
    """An inspection without, or with another value for, what args say."""
    c = copy.deepcopy(c)
    for path in args.drop or []:
        path, _, value = path.partition("=")
        *way, last = path.split("/")
        o = c
        for w in way:
            o = o.get(w, {}) if isinstance(o, dict) else {}
        if last in o:
            if value:
                o[last] = json.loads(value)
            else:
                del o[last]
    return c


def listed_container(c):
    return {"Id": c["Id"], "Names": [c["Name"]], "State":
            c["State"]["Status"], "Labels": c["Config"]["Labels"],
            "Created": 1}


def matches(filters, name, labels):
    for one in filters.get("label", []):
        k, _, v = one.partition("=")
        if labels.get(k) != v:
            return False
    return all(n in name for n in filters.get("name", []))


# --- HTTP -----------------------------------------------------------------

class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        line = self.rfile.readline().decode().split()
        if len(line) < 2:
            return
        self.method, url = line[0], urllib.parse.urlsplit(line[1])
        length = 0
        while True:
            head = self.rfile.readline().decode().strip().lower()
            if not head:
                break
            if head.startswith("content-length:"):
                length = int(head.split(":")[1])
        self.body = self.rfile.read(length)
        with open(args.log, "a") as f:
            f.write("%s %s\n" % (self.method, line[1]))
        path = url.path
        if path.startswith("/v1."):
            path = path[path.index("/", 1):]
        self.query = urllib.parse.parse_qs(url.query)
        try:
            self.route(path)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def send(self, status, body, kind="application/json", extra=""):
        raw = b""
        if body is not None:
            raw = body if isinstance(body, bytes) else \
                json.dumps(body).encode() + b"\n"
        head = "HTTP/1.1 %d X\r\nApi-Version: %s\r\n%s" % (
            status, args.api, extra)
        if body is not None:
            head += "Content-Type: %s\r\nContent-Length: %d\r\n" % (
                kind, len(raw))
        self.wfile.write(head.encode() + b"\r\n" + raw)

    def answer(self, op, do):
        """Do it and answer, or go wrong on the way."""
        kind = fault(op)
        if kind == "cut":
            return
        if kind == "500":
            return self.send(500, {"message": "it failed"})
        if kind == "400":
            return self.send(400, {"message": "bad \x1b[31mparameter"})
        if kind == "404":
            return self.send(404, {"message": "no such thing"})
        if kind == "silence":
            time.sleep(60)
            return
        with lock:
            status, body = do()
        if kind is None:
            self.send(status, body)
        elif kind == "500-made":
            self.send(500, {"message": "it failed, but was done"})
        elif kind == "cut-made":
            return
        elif kind == "reset-made":
            self.send(status, body)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                       struct.pack("ii", 1, 0))
        elif kind == "eof":
            raw = json.dumps(body).encode()
            self.wfile.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json"
                             b"\r\nContent-Length: %d\r\n\r\n" %
                             (status, len(raw)) + raw[:len(raw) // 2])
        elif kind == "slow":
            raw = json.dumps(body).encode()
            self.wfile.write(b"HTTP/1.1 200 X\r\nContent-Type: application/"
                             b"json\r\nContent-Length: %d\r\n\r\n" % len(raw))
            for i in range(len(raw)):
                self.wfile.write(raw[i:i + 1])
                self.wfile.flush()
                time.sleep(0.1)
        elif kind == "giant":
            self.wfile.write(b"HTTP/1.1 200 X\r\nContent-Type: application/"
                             b"json\r\nContent-Length: 1073741824\r\n\r\n")
            for _ in range(16384):
                self.wfile.write(b" " * 65536)
        elif kind == "head":
            self.wfile.write(b"HTTP/1.1 200 X\r\n")
            for i in range(1000):
                self.wfile.write(b"X-%d: %s\r\n" % (i, b"y" * 100))
        elif kind == "html":
            self.send(status, b"<html>", "text/html")
        elif kind == "twice":
            raw = json.dumps(body)
            self.send(status, ('{"Id":"x",' + raw[1:]).encode())
        elif kind == "garbage":
            self.wfile.write(b"\x00\x01 not HTTP\r\n\r\n")

    def route(self, path):
        q = {k: v[0] for k, v in self.query.items()}
        filters = json.loads(q.get("filters", "{}"))
        part = path.strip("/").split("/")
        if path == "/_ping":
            if fault("ping") == "none":
                return self.send(200, b"OK", "text/plain") \
                    if args.api else None
            self.send(200, b"OK", "text/plain")
        elif path == "/version":
            self.answer("version", lambda: (200, {
                "Version": "99.0", "ApiVersion": args.api,
                "MinAPIVersion": args.min}))
        elif path == "/info":
            self.answer("info", lambda: (200, {
                "MemTotal": 1 << 33, "NCPU": 4, "LiveRestoreEnabled": False,
                "CgroupVersion": "2", "MemoryLimit": True, "SwapLimit": True,
                "PidsLimit": True, "CpuCfsQuota": True, "SecurityOptions": [
                    "name=seccomp,profile=default", "name=apparmor"]}))
        elif part[0] == "images" and self.method == "DELETE":
            names.discard(part[1])
            self.send(200, [])
        elif part[0] == "images":
            self.answer("image", lambda: (200, {
                "Id": IMAGE, "Config": {"Env": ["PATH=/usr/bin"]}})
                if part[1] in names else
                (404, {"message": "No such image"}))
        elif path == "/networks/create":
            self.answer("netcreate",
                        lambda: create_network(json.loads(self.body)))
        elif path == "/networks":
            self.answer("netlist", lambda: (200, [
                n for n in networks.values()
                if matches(filters, n["Name"], n["Labels"])]))
        elif part[0] == "networks":
            self.one(networks, part[1], "net")
        elif path == "/containers/create":
            self.answer("create", lambda: create_container(
                q["name"], json.loads(self.body)))
        elif path == "/containers/json":
            self.answer("list", lambda: (200, [
                listed_container(c) for c in containers.values()
                if matches(filters, c["Name"], c["Config"]["Labels"])]))
        elif part[0] == "containers":
            self.container(part)
        elif path == "/events":
            self.events()
        else:
            self.send(404, {"message": "page not found"})

    def one(self, table, key, op):
        if self.method == "DELETE":
            return self.answer(op + "delete", lambda: remove(table, key))

        def inspect():
            name = find(table, key)
            if name is None:
                return 404, {"message": "no such thing: " + key}
            return 200, shown(table[name])
        self.answer(op + "inspect", inspect)

    def container(self, part):
        if len(part) == 2 or part[2] == "json":
            return self.one(containers, part[1], "")
        name = find(containers, part[1])
        if name is None:
            return self.send(404, {"message": "No such container"})
        c = containers[name]
        if part[2] == "start":
            self.answer("start", lambda: start(c))
        elif part[2] == "kill":
            self.answer("kill", lambda: kill(c))
        elif part[2] == "rename":
            self.answer("rename",
                        lambda: rename(c, self.query["name"][0]))
        elif part[2] == "logs":
            text = b"agent-cli: \x1b[0mno AGENT_SANDBOX\n"
            self.send(200, b"\x01\0\0\0\0\0\0\x03out" + b"\x02\0\0\0" +
                      struct.pack(">I", len(text)) + text,
                      "application/vnd.docker.multiplexed-stream")

    def events(self):
        if fault("events") == "cut":
            return
        self.wfile.write(b"HTTP/1.1 200 X\r\nContent-Type: application/json"
                         b"\r\nTransfer-Encoding: chunked\r\n\r\n")
        at = len(events)
        while True:
            with lock:
                while at == len(events):
                    lock.wait()
                raw = json.dumps(events[at]).encode() + b"\n"
                at += 1
            self.wfile.write(b"%x\r\n%s\r\n" % (len(raw), raw))


class Server(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 128
    daemon_threads = True


def foreign(run):
    """A container and a network that have our name, but not our label."""
    name = "bulkhead-" + run
    networks[name] = {"Id": new_id(name), "Name": name, "Labels": {},
                      "IPAM": {"Config": [{"Subnet": "192.0.2.0/29"}]}}
    containers[name] = {
        "Id": new_id(name), "Name": "/" + name,
        "Config": {"Labels": {"bulkhead.instance": "zzzzzzzzzzzz",
                              "bulkhead.run": run}},
        "State": {"Status": "running", "Running": True, "OOMKilled": False,
                  "Pid": 1, "ExitCode": 0, "Error": "",
                  "StartedAt": "2026-01-01T00:00:00Z"}}


if __name__ == "__main__":
    p = argparse.ArgumentParser()
    p.add_argument("--socket", required=True)
    p.add_argument("--log", required=True)
    p.add_argument("--api", default="1.44")
    p.add_argument("--min", default="1.24")
    p.add_argument("--fault", action="append", default=[])
    p.add_argument("--drop", action="append")
    p.add_argument("--dead", type=int, default=0)
    p.add_argument("--foreign")
    p.add_argument("--meddle", action="store_true")
    args = p.parse_args()
    for one in args.fault:
        op, _, kind = one.partition("=")
        kind, _, times = kind.partition("*")
        faults.setdefault(op, []).append([kind, int(times or 1)])
    dead["n"] = args.dead
    if args.foreign:
        foreign(args.foreign)
    if os.path.exists(args.socket):
        os.unlink(args.socket)
    with Server(args.socket, Handler) as server:
        os.chmod(args.socket, 0o666)
        print("READY", flush=True)
        server.serve_forever()
