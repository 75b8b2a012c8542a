"""What the end-to-end scripts share: a network of their own, the daemon under
test, its records, and a client for raw bytes.

Everything runs in two network namespaces that the script makes and removes:

    host        egressd and the clients; 10.99.0.1
    outside     origins, name server and every address that must not be
                reached; 10.99.0.2 and up. It answers and logs whatever gets
                there, so that a leak connects and is seen.

A script prints one line a case, `ok NAME`, `not ok NAME: why` or
`skip NAME: why`, and ends with status 1 if one was not ok.
"""

import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HELPER = os.path.join(os.path.dirname(HERE), "helper")
BUILD = os.environ.get("BUILD", "build/release")
EGRESSD = os.path.join(os.path.abspath(BUILD), "egressd", "egressd")
AGENT_CLI = os.path.join(os.path.abspath(BUILD), "agent-cli", "agent-cli")
USERS = ["egress", "proxy", "resolver", "fw", "audit"]
ORIGIN = "10.99.0.2"
DNS = "10.99.0.53"
SANITIZER = "san" in os.path.basename(os.path.abspath(BUILD))
CLONE_NEWNET = 0x40000000
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None, use_errno=True)

results = {"ok": 0, "not ok": 0, "skip": 0}


def report(verdict, name, why=""):
    results[verdict] += 1
    print(verdict, name + (": " + why if why else ""), flush=True)


def check(name, good, why=""):
    """One case: good is its outcome, why says what was seen instead."""
    report("ok" if good else "not ok", name, "" if good else str(why))
    return bool(good)


def equal(name, got, want):
    return check(name, got == want, "got %r, want %r" % (got, want))


def wait_for(what, timeout=10.0):
    """Poll what() until it is true; its last value."""
    end = time.monotonic() + timeout
    while True:
        value = what()
        if value or time.monotonic() > end:
            return value
        time.sleep(0.02)


def run(*argv, **kw):
    return subprocess.run(argv, check=True, **kw)


def die_with_test(signum=signal.SIGKILL):
    """In a new process: get this signal when the test is no more."""
    LIBC.prctl(PR_SET_PDEATHSIG, signum)


class Net:
    """The two namespaces and the link between them."""

    def __init__(self):
        tag = "bh%x" % (os.getpid() % 0xffff)
        self.host, self.outside = tag + "h", tag + "o"
        self.veth = tag + "a", tag + "b"

    def __enter__(self):
        run("ip", "netns", "add", self.host)
        run("ip", "netns", "add", self.outside)
        a, b = self.veth
        run("ip", "link", "add", a, "netns", self.host, "type", "veth",
            "peer", "name", b, "netns", self.outside)
        self.ip(self.host, "link set lo up")
        self.ip(self.outside, "link set lo up")
        self.ip(self.host, "addr add 10.99.0.1/24 dev " + a)
        self.ip(self.host, "addr add fd99::1/64 nodad dev " + a)
        self.ip(self.host, "link set %s up" % a)
        for addr in ("10.99.0.254/24", "10.99.0.2/24", "10.99.0.3/24",
                     "10.99.0.53/24"):
            self.ip(self.outside, "addr add %s dev %s" % (addr, b))
        self.ip(self.outside, "addr add fd99::2/64 nodad dev " + b)
        self.ip(self.outside, "link set %s up" % b)
        for net in ("198.51.100.0/24", "203.0.113.0/24", "10.98.0.0/24",
                    "169.254.169.254/32"):
            self.ip(self.outside, "route add local %s dev lo" % net)
        run("ip", "netns", "exec", self.outside, "sysctl", "-q", "-w",
            "net.ipv4.ip_forward=1")
        self.ip(self.host, "route add default via 10.99.0.254")
        self.ip(self.host, "-6 route add default via fd99::2")
        return self

    def __exit__(self, *exc):
        for ns in self.host, self.outside:
            subprocess.run(["ip", "netns", "del", ns], check=False)

    @staticmethod
    def ip(ns, words):
        run("ip", "-n", ns, *words.split())

    def enter_host(self):
        """This process's own sockets are made in host from here on."""
        with open("/run/netns/" + self.host) as f:
            if LIBC.setns(f.fileno(), CLONE_NEWNET) == -1:
                raise OSError(ctypes.get_errno(), "setns")

    def popen(self, ns, *argv, **kw):
        return subprocess.Popen(["ip", "netns", "exec", ns] + list(argv),
                                preexec_fn=die_with_test, **kw)


def make_users():
    """The daemon's users; returns those that were made here."""
    made = []
    for user in USERS:
        name = "bulkhead-" + user
        if subprocess.run(["id", name], capture_output=True).returncode:
            run("useradd", "--system", "--user-group", "--no-create-home",
                "--home-dir", "/nonexistent", "--shell", "/usr/sbin/nologin",
                name)
            made.append(name)
    return made


def make_ca(directory, names):
    """A root and a certificate for names; paths (ca, cert, key)."""
    ca, cakey, cert, key, csr, ext = (
        os.path.join(directory, n) for n in
        ("ca.pem", "ca.key", "cert.pem", "key.pem", "csr.pem", "ext"))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", cakey, "-out", ca,
        "-days", "2", "-subj", "/CN=Bulkhead test root", **quiet)
    run("openssl", "req", "-newkey", "ec", "-pkeyopt",
        "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", csr,
        "-subj", "/CN=origin", **quiet)
    with open(ext, "w") as f:
        f.write("subjectAltName=" + ",".join("DNS:" + n for n in names))
    run("openssl", "x509", "-req", "-in", csr, "-CA", ca, "-CAkey", cakey,
        "-CAcreateserial", "-days", "2", "-extfile", ext, "-out", cert,
        **quiet)
    return ca, cert, key


class World:
    """Net, a directory, the name server, and egressd with a configuration."""

    def __init__(self, zone=None):
        self.zone = zone or {}
        self.procs = []
        self.keeper = None

    def __enter__(self):
        self.made_users = make_users() if os.geteuid() == 0 else []
        self.dir = tempfile.mkdtemp(prefix="bulkhead-e2e-")
        os.chmod(self.dir, 0o755)
        self.net = Net()
        self.net.__enter__()
        self.net.enter_host()
        self.conf_path = os.path.join(self.dir, "egressd.conf")
        self.audit = os.path.join(self.dir, "egressd.jsonl")
        self.socket = os.path.join(self.dir, "egressd.sock")
        self.log = os.path.join(self.dir, "egressd.log")
        self.pidfile = os.path.join(self.dir, "egressd.pid")
        self.dns_log = os.path.join(self.dir, "dns.log")
        return self

    def __exit__(self, kind, *exc):
        self.stop_keeper()
        for p in self.procs:
            if p.poll() is None:
                p.terminate()
                try:
                    p.wait(5)
                except subprocess.TimeoutExpired:
                    p.kill()
        self.net.__exit__()
        for word in "ERROR: AddressSanitizer", "runtime error: ":
            if os.path.exists(self.log) and self.logged(word):
                check("no report of a sanitizer", False, word)
        bad = results["not ok"] or kind
        if bad and os.path.exists(self.log):
            with open(self.log, errors="replace") as f:
                sys.stderr.write("".join(f.readlines()[-60:]))
        shutil.rmtree(self.dir, ignore_errors=True)
        for user in self.made_users:
            subprocess.run(["userdel", user], capture_output=True)

    # -- the other side ---------------------------------------------------

    def start_outside(self, *argv, **kw):
        p = self.net.popen(self.net.outside, *argv, **kw)
        self.procs.append(p)
        return p

    def start_dns(self):
        """The name server of tests/helper/dnsd.py with self.zone."""
        zone = os.path.join(self.dir, "zone.json")
        with open(zone, "w") as f:
            json.dump(self.zone, f)
        self.start_outside(sys.executable, os.path.join(HELPER, "dnsd.py"),
                           "--address", DNS, "--port", "53", "--zone", zone,
                           "--log", self.dns_log)
        wait_for(lambda: os.path.exists(self.dns_log))

    def start_origin(self, *names):
        """tests/helper/origind.py on ORIGIN with a certificate of names."""
        self.ca, cert, key = make_ca(self.dir, names)
        self.origin_log = os.path.join(self.dir, "origin.log")
        self.start_outside(sys.executable, os.path.join(HELPER, "origind.py"),
                           "--address", ORIGIN, "--cert", cert, "--key", key,
                           "--root", self.dir, "--log", self.origin_log)

        def ready():
            try:
                with open(self.origin_log) as f:
                    return "READY" in f.read()
            except OSError:
                return False
        if not wait_for(ready):
            raise RuntimeError("no origin")

    def dns_queries(self):
        with open(self.dns_log) as f:
            return [line.split()[1:] for line in f
                    if line.startswith("QUERY ")]

    # -- the daemon ---------------------------------------------------------

    def config(self, **change):
        conf = {
            "socket": self.socket, "audit": self.audit,
            "resolvers": [DNS], "workers": 2, "nft": False,
            "peers": [{"user": "root", "may": ["status"]}],
            "listeners": [{"name": "dev", "address": "127.0.0.1:3128",
                           "profile": "dev"}],
            "profiles": {"dev": {"allow": [], "deny": []}},
        }
        conf.update(change)
        return conf

    def write_config(self, conf):
        text = conf if isinstance(conf, str) else json.dumps(conf, indent=1)
        with open(self.conf_path + ".new", "w") as f:
            f.write(text)
        os.rename(self.conf_path + ".new", self.conf_path)

    def start(self, conf, wait=True, env=None, before=(), nofile=None):
        """Start egressd under tests/helper/keep; wait until it serves.
        before: a command and its arguments that run it; nofile: descriptors
        that it may have."""
        def prepare():
            die_with_test(signal.SIGTERM)
            if nofile:
                resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))
        self.write_config(conf)
        self.records_before = len(self.records())
        log = open(self.log, "ab")
        self.keeper = subprocess.Popen(
            [os.path.join(HELPER, "keep"), self.pidfile, *before, EGRESSD,
             "-d", "-v", "-f", self.conf_path], stdout=log, stderr=log,
            env=env, preexec_fn=prepare)
        log.close()
        if wait and not wait_for(self.serving, 20):
            raise RuntimeError("egressd does not serve")

    def serving(self):
        new = self.records()[self.records_before:]
        return any(r["type"] == "start" for r in new) and self.pid()

    def pid(self):
        try:
            with open(self.pidfile) as f:
                return int(f.read())
        except (OSError, ValueError):
            return None

    def stop_keeper(self):
        if self.keeper is None:
            return
        self.keeper.terminate()
        try:
            self.keeper.wait(30)
        except subprocess.TimeoutExpired:
            pid = self.pid()
            if pid:
                os.kill(pid, signal.SIGKILL)
            self.keeper.kill()
            self.keeper.wait()
        self.keeper = None

    def reload(self, conf):
        """Write conf, HUP, wait for the record of it, and for the effect:
        the record comes first. Returns that record."""
        before = len(self.records())
        self.write_config(conf)
        os.kill(self.pid(), signal.SIGHUP)

        def done():
            return [r for r in self.records()[before:]
                    if r["type"] == "reload"]
        found = wait_for(done)
        if found and found[0]["applied"]:
            line = "reloaded, generation %d\n" % found[0]["generation"]
            wait_for(lambda: self.logged(line))
            time.sleep(0.1)     # the workers swap it in at once
        return found[0] if found else None

    def logged(self, text):
        with open(self.log, errors="replace") as f:
            return text in f.read()

    def children(self):
        """{role: [pid, ...]} of the daemon, by their own argv[0]."""
        found = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                with open("/proc/%s/stat" % entry) as f:
                    ppid = int(f.read().rsplit(")", 1)[1].split()[1])
                with open("/proc/%s/cmdline" % entry, "rb") as f:
                    argv = f.read().split(b"\0")
            except (OSError, IndexError, ValueError):
                continue
            if ppid == self.pid():
                role = argv[0].decode().split(": ")[-1].split()[0]
                found.setdefault(role, []).append(int(entry))
        return found

    def processes(self):
        """{"parent": pid, "proxy 1": pid, ...} of the daemon."""
        found = {"parent": self.pid()}
        for role, pids in self.children().items():
            for pid in sorted(pids):
                words = cmdline(pid)[0].split()
                found[role if len(pids) == 1 else " ".join(words[-2:])] = pid
        return found

    def wait_started(self, mark):
        """Wait for a start record behind mark, and to be served."""
        return wait_for(lambda: any(r["type"] == "start"
                                    for r in self.records()[mark:]), 20)

    def once(self, *argv, timeout=20, **kw):
        """Run egressd until it ends by itself: (status, stderr). It ends
        with status None when it was still there in the end."""
        program = EGRESSD
        if "user" in kw:
            # The tree may be where nobody but root comes: a copy is run.
            program = os.path.join(self.dir, "egressd-copy")
            shutil.copy(EGRESSD, program)
            os.chmod(program, 0o755)
            kw.setdefault("cwd", "/")
        p = subprocess.Popen([program, *argv], stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True, **kw)
        try:
            out, err = p.communicate(timeout=timeout)
            self.stdout = out
            return p.returncode, err
        except subprocess.TimeoutExpired:
            p.kill()
            return None, p.communicate()[1]

    # -- records --------------------------------------------------------------

    def records(self, kind=None):
        """Every whole line of the record file."""
        try:
            with open(self.audit, "rb") as f:
                lines = f.read().split(b"\n")[:-1]
        except OSError:
            return []
        out = []
        for line in lines:
            try:
                r = json.loads(line)
            except ValueError:
                continue
            if kind is None or r["type"] == kind:
                out.append(r)
        return out

    def new_records(self, mark, kind, count=1):
        """Records behind mark (a length of records()), once count came."""
        def done():
            new = [r for r in self.records()[mark:] if r["type"] == kind]
            return new if len(new) >= count else None
        return wait_for(done, 5) or [r for r in self.records()[mark:]
                                     if r["type"] == kind]

    def verify_records(self):
        return subprocess.run([AGENT_CLI, "audit", "verify", self.audit],
                              capture_output=True, text=True)


# -- processes -------------------------------------------------------------------

def cmdline(pid):
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as f:
            return f.read().decode().rstrip("\0").split("\0")
    except OSError:
        return [""]


def proc_status(pid):
    """/proc/PID/status as {key: text}; empty when it is gone."""
    try:
        with open("/proc/%d/status" % pid) as f:
            return dict(line.rstrip("\n").split(":\t", 1) for line in f
                        if ":\t" in line)
    except OSError:
        return {}


def alive(pid):
    return proc_status(pid).get("State", "Z")[0] not in "ZX"


def cpu_seconds(pids):
    total = 0
    for pid in pids:
        with open("/proc/%d/stat" % pid) as f:
            total += sum(map(int, f.read().rsplit(")", 1)[1].split()[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


def rss_anon(pids):
    return sum(int(proc_status(pid)["RssAnon"].split()[0]) * 1024
               for pid in pids)


# -- a client of the control socket ----------------------------------------------

class Control:
    """libcommon/PROTOCOL.md, as a client speaks it."""

    def __init__(self, path, timeout=10):
        self.s = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.s.settimeout(timeout)
        self.s.connect(path)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.s.close()

    def send(self, message):
        text = json.dumps(message).encode()
        self.s.sendall(struct.pack("!I", len(text)) + text)

    def hello(self):
        self.send({"type": "hello", "service": "test", "major": 1,
                   "version": "0"})
        return self.recv()

    def recv(self):
        """A message; None at the end."""
        word = self.exactly(4)
        if word is None:
            return None
        return json.loads(self.exactly(struct.unpack("!I", word)[0]))

    def exactly(self, n):
        data = b""
        while len(data) < n:
            try:
                piece = self.s.recv(n - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                return None
            data += piece
        return data


def status(path, timeout=10):
    """The answer to a status request, or the error."""
    with Control(path, timeout) as c:
        c.hello()
        c.send({"type": "status", "id": 1})
        return c.recv()


# -- a client for raw bytes ------------------------------------------------------

def connect(port=3128, address="127.0.0.1", timeout=20):
    s = socket.create_connection((address, port), timeout)
    s.settimeout(timeout)
    return s


def read_all(s, limit=1 << 20, timeout=None):
    """What comes until the end; a reset counts as the end."""
    data = b""
    if timeout is not None:
        s.settimeout(timeout)
    try:
        while len(data) < limit:
            piece = s.recv(65536)
            if not piece:
                break
            data += piece
    except ConnectionResetError:
        pass
    except socket.timeout:
        if timeout is None:
            raise
        data += b"...time-out"
    return data


def read_head(s):
    data = b""
    while b"\r\n\r\n" not in data:
        piece = s.recv(1)
        if not piece:
            break
        data += piece
    return data


def ask(raw, port=3128, pieces=None):
    """Send raw, return the whole answer; "" when it just closes."""
    with connect(port) as s:
        try:
            if pieces is None:
                s.sendall(raw)
            else:
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for i in range(0, len(raw), pieces):
                    s.sendall(raw[i:i + pieces])
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(s)


def code_of(answer):
    """("403", "host") of an answer; (None, None) of a bare close."""
    line = answer.split(b"\r\n", 1)[0].split(b" ", 2)
    if len(line) < 3:
        return None, None
    reason = line[2].decode()
    if reason.startswith("egress-"):
        reason = reason[len("egress-"):]
    return line[1].decode(), reason


def connect_request(authority, host=None):
    host = authority if host is None else host
    return ("CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n" %
            (authority, host)).encode("latin-1")


def tunnel(authority, port=3128):
    """A CONNECT that must succeed: the socket behind the 200."""
    s = connect(port)
    s.sendall(connect_request(authority))
    head = read_head(s)
    if not head.startswith(b"HTTP/1.1 200 "):
        s.close()
        raise RuntimeError("no tunnel: %r" % head[:200])
    return s


def tls(s, ca, name):
    context = ssl.create_default_context(cafile=ca)
    return context.wrap_socket(s, server_hostname=name)


def finish():
    sys.exit(1 if results["not ok"] else 0)
