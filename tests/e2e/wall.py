"""What the tests of the wall stand on: a container engine of their own inside
the namespace `host`, runs with a network and a container each, servers of the
host that a run must not reach, and an outside that answers everywhere.

Nothing here is told apart by a name that an installed Bulkhead or a running
Docker could have: the engine, its bridges and its rules are in the test's own
network, mount and process namespaces and go with them.
"""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tarfile
import threading
import time
import urllib.parse

from lib import (DNS, HELPER, World, die_with_test, proc_status,
                 wait_for)

API = 1, 44             # what this speaks; an older engine says what it can
ENGINE_START_S = 30
ENGINE_STOP_S = 15
IMAGE = "bulkhead-wall:1"
HOST_NAT = "10.99.0.9"  # what the engine masquerades as: never the host's own
OWN = "10.99.0.1", "fd99::1"
IP_PKTINFO, IPV6_RECVPKTINFO, IPV6_PKTINFO = 8, 49, 50


def missing():
    """Why there can be no engine here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in "dockerd", "nft", "iptables", "ip6tables", "unshare":
        if not shutil.which(program):
            return "no " + program
    return None


def children(pid):
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
            return [int(word) for word in f.read().split()]
    except OSError:
        return []


# -- the engine ------------------------------------------------------------

class EngineError(Exception):
    def __init__(self, status, message):
        super().__init__("%d %s" % (status, message))
        self.status = status


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """The Engine API over its Unix socket."""

    def __init__(self, path):
        self.path = path
        self.version = None

    def ping(self):
        """The newest version that both sides speak; None: nobody answers."""
        c = UnixConnection(self.path, 5)
        try:
            c.request("GET", "/_ping")
            r = c.getresponse()
            r.read()
            theirs = r.getheader("Api-Version")
        except OSError:
            return None
        finally:
            c.close()
        if r.status != 200 or not theirs:
            return None
        self.version = min(API, tuple(int(n) for n in theirs.split(".")))
        return self.version

    def call(self, method, path, body=None, kind="application/json",
             timeout=60, **query):
        """The decoded answer; EngineError unless it is 2xx or 304."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        c = UnixConnection(self.path, timeout)
        try:
            c.request(method, "/v%d.%d%s" % (*self.version, path), body,
                      {"Content-Type": kind} if body else {})
            r = c.getresponse()
            data = r.read()
        finally:
            c.close()
        if r.status >= 400:
            raise EngineError(r.status, data.decode(errors="replace").strip())
        try:
            return json.loads(data)
        except ValueError:
            return data


class Engine:
    """dockerd under tests/helper/keep, which is process 1 of a namespace:
    what it starts ends with it. Its /run is its own, so that neither locks
    nor sockets of another engine are met."""

    def __init__(self, directory, netns):
        self.dir, self.netns = directory, netns
        self.socket = os.path.join(directory, "docker.sock")
        self.log = os.path.join(directory, "log")
        self.cgroup = "bulkhead-wall-%d" % os.getpid()
        self.api = Api(self.socket)
        self.proc = None

    def command(self):
        d = self.dir
        return ["nsenter", "--net=/run/netns/" + self.netns,
                "unshare", "--mount", "--pid", "--fork", "--kill-child",
                "--mount-proc", "sh", "-c",
                'mount -t tmpfs none /run && exec "$@"', "sh",
                os.path.join(HELPER, "keep"), d + "/keep.pid", "dockerd",
                "--data-root", d + "/data", "--exec-root", d + "/exec",
                "--pidfile", d + "/dockerd.pid", "-H", "unix://" + self.socket,
                "--config-file", d + "/none.json", "--bridge=none",
                "--live-restore", "--exec-opt",
                "native.cgroupdriver=cgroupfs",
                "--cgroup-parent", "/" + self.cgroup]

    def start(self):
        os.makedirs(self.dir, mode=0o711)
        with open(self.dir + "/none.json", "w") as f:
            f.write("{}\n")
        with open(self.log, "ab") as log:
            self.proc = subprocess.Popen(self.command(), stdout=log,
                                         stderr=log, stdin=subprocess.DEVNULL,
                                         preexec_fn=die_with_test)
        if not self.wait():
            raise RuntimeError("dockerd: " + self.last_words())
        self.load()

    def wait(self):
        return wait_for(lambda: self.api.ping() or
                        self.proc.poll() is not None, ENGINE_START_S) and \
            self.proc.poll() is None

    def last_words(self):
        with open(self.log, errors="replace") as f:
            return (f.readlines() or ["says nothing"])[-1].strip()[:300]

    def load(self):
        """An image of directories and links: /usr is the host's."""
        self.api.call("POST", "/images/create", image(),
                      kind="application/x-tar", fromSrc="-",
                      repo=IMAGE.split(":")[0], tag=IMAGE.split(":")[1])

    def pid(self):
        """dockerd, as this side sees it."""
        for keep in children(self.proc.pid):
            for pid in children(keep):
                if proc_status(pid).get("Name") == "dockerd":
                    return pid
        return None

    def kill(self):
        """kill -9 of dockerd, and wait for the next one. The containers
        live on."""
        old = self.pid()
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: self.pid() not in (None, old))
        return self.wait()

    def stop(self):
        """TERM to process 1 of the namespace; with it goes all of it."""
        if self.proc is None:
            return
        for pid in children(self.proc.pid):
            os.kill(pid, signal.SIGTERM)
        try:
            self.proc.wait(ENGINE_STOP_S)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.proc = None
        self.remove_cgroups()

    def cgroups(self):
        """Where its control groups are, in either version of them."""
        top = "/sys/fs/cgroup"
        return [os.path.join(top, n, self.cgroup)
                for n in [""] + os.listdir(top)]

    def remove_cgroups(self):
        for ours in self.cgroups():
            for path, _, _ in os.walk(ours, topdown=False):
                wait_for(lambda p=path: remove_directory(p), 2)


def remove_directory(path):
    try:
        os.rmdir(path)
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def image():
    """A root file system in which the host's /usr is mounted at /usr."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in ("dev", "etc", "home", "home/agent", "probe", "proc",
                     "run", "sys", "tmp", "usr", "var"):
            member = tarfile.TarInfo(name)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        for name in "bin", "lib", "lib64", "sbin":
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, "usr/" + name
            tar.addfile(member)
        for name, text in (
                ("etc/passwd", "root:x:0:0::/:/bin/sh\n"
                               "agent:x:1000:1000::/home/agent:/bin/sh\n"),
                ("etc/group", "root:x:0:\nagent:x:1000:\n"),
                ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(text), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return out.getvalue()


# -- a run -----------------------------------------------------------------

class Run:
    """A run as dispatchd makes one: a network on an interface bh-ID and a
    hardened container, in which tests/helper/probe.py waits for work.

    internal without v6 is what dispatchd asks for; without internal only the
    wall is in the way, and with v6 there is one more way to try.
    """

    def __init__(self, wall, ident, number, internal=False, v6=True,
                 title=None):
        self.wall, self.id, self.internal = wall, ident, internal
        self.v6 = v6
        self.title = title or ident
        self.name = "bulkhead-" + ident
        self.interface = "bh-" + ident
        base = number * 8
        self.subnet = "10.201.0.%d/29" % base
        self.gateway = "10.201.0.%d" % (base + 1)
        self.address = "10.201.0.%d" % (base + 2)
        self.broadcast = "10.201.0.%d" % (base + 7)
        self.subnet6 = "fd20:0:0:%x::/64" % number
        self.gateway6 = "fd20:0:0:%x::1" % number
        self.address6 = "fd20:0:0:%x::2" % number
        self.dir = os.path.join(wall.dir, "run-" + ident)
        self.link = None

    def up(self):
        self.make_network()
        self.make_container()
        return self

    def make_network(self):
        options = {"com.docker.network.bridge.name": self.interface,
                   "com.docker.network.bridge.enable_icc": "false",
                   "com.docker.network.host_ipv4": HOST_NAT}
        pools = [{"Subnet": self.subnet, "Gateway": self.gateway}]
        if self.v6:
            pools.append({"Subnet": self.subnet6, "Gateway": self.gateway6})
        body = {"Name": self.name, "Driver": "bridge",
                "Internal": self.internal, "EnableIPv6": self.v6,
                "IPAM": {"Driver": "default", "Config": pools},
                "Options": options}
        if self.wall.api.version < (1, 44):
            body["CheckDuplicate"] = True
        self.wall.api.call("POST", "/networks/create", body)

    def host_config(self):
        return {"NetworkMode": self.name, "CapDrop": ["ALL"],
                "SecurityOpt": ["no-new-privileges:true"],
                "ReadonlyRootfs": True, "Privileged": False,
                "Tmpfs": {"/tmp": "rw,nosuid,nodev,size=16m",
                          "/home/agent":
                          "rw,nosuid,nodev,size=16m,uid=1000,gid=1000"},
                "PidsLimit": 512, "Memory": 512 << 20,
                "MemorySwap": 512 << 20, "IpcMode": "private",
                "CgroupnsMode": "private", "Init": False,
                "RestartPolicy": {"Name": "no"}, "AutoRemove": False,
                "Dns": [DNS], "DnsOptions": ["timeout:1", "attempts:1"],
                "LogConfig": {"Type": "json-file",
                              "Config": {"max-size": "1m"}},
                "Binds": ["/usr:/usr:ro", self.dir + ":/probe:ro"]}

    def make_container(self):
        """Create, start, and wait for its probe on the run's own socket."""
        os.makedirs(self.dir)
        shutil.copy(os.path.join(HELPER, "probe.py"), self.dir)
        if os.path.exists(self.wall.ca_path):
            shutil.copy(self.wall.ca_path, self.dir + "/ca.pem")
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.bind(self.dir + "/sock")
        os.chmod(self.dir + "/sock", 0o666)
        server.listen(1)
        server.settimeout(20)
        addresses = {"IPv4Address": self.address}
        if self.v6:
            addresses["IPv6Address"] = self.address6
        self.wall.api.call("POST", "/containers/create", {
            "Image": IMAGE, "User": "1000:1000", "Tty": False,
            "Env": ["HOME=/tmp", "PYTHONDONTWRITEBYTECODE=1",
                    "PATH=/usr/bin:/bin", "LANG=C.UTF-8"],
            "Cmd": ["/usr/bin/python3", "/probe/probe.py", "--connect",
                    "/probe/sock"],
            "HostConfig": self.host_config(),
            "NetworkingConfig": {"EndpointsConfig": {self.name: {
                "IPAMConfig": addresses}}}},
            name=self.name)
        self.wall.api.call("POST", "/containers/%s/start" % self.name)
        with server:
            conn, _ = server.accept()
        conn.settimeout(60)
        self.link = conn.makefile("rw")
        conn.close()
        hello = self.link.readline()
        if hello != "hello 1000\n":
            raise RuntimeError("the container says %r" % hello)

    def probe(self, probes):
        """The answers to a list of probes, all tried at once."""
        self.link.write(json.dumps(probes) + "\n")
        self.link.flush()
        line = self.link.readline()
        if not line:
            raise RuntimeError("%s: the container is gone" % self.id)
        return json.loads(line)

    def one(self, **probe):
        return self.probe([probe])[0]

    def down(self):
        """Remove both; what is not there is removed."""
        if self.link:
            self.link.close()
            self.link = None
        for path, query in (("/containers/" + self.name,
                             {"force": "1", "v": "1"}),
                            ("/networks/" + self.name, {})):
            try:
                self.wall.api.call("DELETE", path, **query)
            except EngineError as e:
                if e.status != 404:
                    raise


# -- what a run must not reach ---------------------------------------------

class HostServers:
    """Servers of the host itself, in this process. TCP: a line; UDP: echo,
    from the address that was asked."""

    def __init__(self):
        self.sockets = []

    def tcp(self, address, port):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = socket.socket(family, socket.SOCK_STREAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        s.bind((address, port))
        s.listen(64)
        self.serve(s, self.take)
        return s

    def udp(self, address, port, group=None, interfaces=()):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        s = socket.socket(family, socket.SOCK_DGRAM)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            s.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            s.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        s.bind((address, port))
        for name in interfaces if group else ():
            s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                         struct.pack("4s4si", socket.inet_aton(group),
                                     bytes(4), socket.if_nametoindex(name)))
        self.serve(s, self.answer)
        return s

    def serve(self, s, what):
        self.sockets.append(s)
        threading.Thread(target=self.loop, args=(s, what),
                         daemon=True).start()

    @staticmethod
    def loop(s, what):
        """Until it is closed: what blocks in a closed socket wakes by its
        time-out."""
        s.settimeout(0.5)
        while s.fileno() != -1:
            try:
                what(s)
            except OSError:
                pass

    @staticmethod
    def take(s):
        conn, _ = s.accept()
        with conn:
            conn.sendall(b"host\r\n")

    @staticmethod
    def answer(s):
        data, info, _, peer = s.recvmsg(65536, 256)
        back = []
        for level, kind, raw in info:
            if (level, kind) == (socket.IPPROTO_IP, IP_PKTINFO):
                back = [(level, kind, bytes(4) + raw[4:8] + bytes(4))]
            elif kind == IPV6_PKTINFO and raw[0] != 0xff:
                back = [(level, kind, raw)]
        s.sendmsg([data], back, 0, peer)

    def close(self):
        for s in self.sockets:
            s.close()
        self.sockets = []
        time.sleep(0.05)


class Wall(World):
    """World with the engine, an outside that answers everywhere, and runs."""

    def __enter__(self):
        super().__enter__()
        self.runs = []
        self.engine = None
        self.ca_path = os.path.join(self.dir, "ca.pem")
        self.outside_log = os.path.join(self.dir, "outside.log")
        self.servers, self.stand_ins = HostServers(), HostServers()
        self.marks = 0
        self.abstract = "bulkhead-wall-%d" % os.getpid()
        try:
            self.net.ip(self.net.host, "addr add %s/32 dev %s" %
                        (HOST_NAT, self.net.veth[0]))
            self.engine = Engine(os.path.join(self.dir, "engine"),
                                 self.net.host)
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *exc):
        self.servers.close()
        self.stand_ins.close()
        for r in self.runs:
            try:
                r.down()
            except (OSError, EngineError, http.client.HTTPException):
                pass    # it goes with its namespaces
        if self.engine:
            self.engine.stop()
        super().__exit__(kind, *exc)

    @property
    def api(self):
        return self.engine.api

    def config(self, **change):
        peer = {"user": "root", "may": ["run.open", "run.close", "runs.sync",
                                        "run.status", "status"]}
        conf = super().config(nft=True, run_networks=["10.201.0.0/16"],
                              proxy_port=3128, peers=[peer], listeners=[])
        conf.update(change)
        return conf

    def add_run(self, ident, number, **kw):
        r = Run(self, ident, number, **kw)
        self.runs.append(r)
        return r

    # -- outside ----------------------------------------------------------

    def start_outsided(self):
        own = [w for address in OWN for w in ("--own", address)]
        self.start_outside(sys.executable,
                           os.path.join(HELPER, "outsided.py"), "--device",
                           self.net.veth[1], "--log", self.outside_log, *own)
        if not wait_for(lambda: "READY" in self.outside_lines()):
            raise RuntimeError("nothing outside")

    def outside_lines(self):
        try:
            with open(self.outside_log) as f:
                return f.read().splitlines()
        except OSError:
            return []

    def mark(self):
        """How long the logs of outside and of the name server are, once all
        that was sent so far is in them."""
        self.marks += 1
        line = "MARK %d" % self.marks
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
            s.bind((OWN[0], 0))

            def seen():
                s.sendto(line.encode(), ("198.51.100.254", 9))
                return wait_for(lambda: line in self.outside_lines(), 0.5)
            if not wait_for(seen):
                raise RuntimeError("the capture has stopped")
        return len(self.outside_lines()), len(self.dns_queries())

    def leaked(self, mark, word):
        """What got out behind mark: packets that are not the host's own, and
        questions for names with word in them, whoever asked."""
        end = self.mark()
        out = [line for line in self.outside_lines()[mark[0]:end[0]]
               if line.startswith("PACKET ") or
               (line.startswith("QUERY ") and word in line)]
        return out + [" ".join(["QUERY", DNS] + q)
                      for q in self.dns_queries()[mark[1]:] if word in q[-1]]

    # -- the host ---------------------------------------------------------

    def host_addresses(self):
        """Every address of the host namespace: [(interface, address)]."""
        out = subprocess.run(["ip", "-j", "addr"], check=True,
                             capture_output=True, text=True).stdout
        return [(link["ifname"], a["local"]) for link in json.loads(out)
                for a in link.get("addr_info", []) if a["scope"] != "host"]

    def start_servers(self):
        for address in "0.0.0.0", "::":
            for port in 22, 8080, 2375:
                self.servers.tcp(address, port)
            for port in 8080, 8088:
                self.servers.udp(address, port)
        self.servers.tcp("127.0.0.1", 8081)
        self.servers.udp("0.0.0.0", 5353, "224.0.0.251",
                         [r.interface for r in self.runs])

        s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        s.bind("\0" + self.abstract)
        s.listen(8)
        self.servers.serve(s, self.servers.take)

    def start_stand_ins(self):
        """For the ground alone: what egressd will have on every gateway."""
        for port in 3128, 3129:
            self.stand_ins.tcp("0.0.0.0", port)
        self.stand_ins.udp("0.0.0.0", 3129)

    @staticmethod
    def forget_docker():
        """Away with the engine's own rules, so that they do not help."""
        for program in "iptables", "ip6tables":
            for words in ("-P FORWARD ACCEPT", "-P INPUT ACCEPT", "-F"):
                subprocess.run([program, *words.split()], check=True,
                               capture_output=True)
        for name in "ipv4/ip_forward", "ipv6/conf/all/forwarding":
            with open("/proc/sys/net/" + name, "w") as f:
                f.write("1\n")
