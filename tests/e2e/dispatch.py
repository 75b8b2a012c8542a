"""What the end-to-end scripts of dispatchd share: an engine, egressd and
dispatchd of the test's own, an image, a forge, agent-cli, and runs that try
from inside what they are told."""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

from lib import (AGENT_CLI, BUILD, CLONE_NEWNET, HELPER, LIBC, ORIGIN, World,
                 check, die_with_test, make_ca, results, run, wait_for)

DISPATCHD = os.path.join(os.path.abspath(BUILD), "dispatchd", "dispatchd")
IMAGE_SH = os.path.join(os.path.dirname(os.path.dirname(HELPER)), "deploy",
                        "image", "build.sh")
USERS = ["dispatch", "runs", "queue", "engine"]
HOST = "good.test"
CACHE = os.path.join(os.path.dirname(os.path.abspath(BUILD)), "image")
ROLES = ["parent", "audit", "engine", "runs", "queue", "frontend"]


def missing():
    """Why there can be no run here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    for program in "dockerd", "docker", "mmdebstrap", "git", "nft":
        if not shutil.which(program):
            return "no " + program
    if static() is None:
        return "no static agent-cli in any build"
    return None


def static():
    """A static agent-cli: a sanitizer cannot be linked into one."""
    here = os.path.dirname(os.path.abspath(BUILD))
    for build in os.path.basename(BUILD), "release":
        path = os.path.join(here, build, "agent-cli", "agent-cli-static")
        if os.path.exists(path):
            return path
    return None


def root_fs():
    """The image's root file system, with a Python for tests/helper/probe.py;
    made once for all scripts of a build."""
    tar = os.path.join(CACHE, "agent-python.tar")
    if os.path.exists(tar) and (os.path.getmtime(tar) >
                                os.path.getmtime(static())):
        return tar
    os.makedirs(CACHE, exist_ok=True)
    new = os.path.join(CACHE, "new.tar")
    run(IMAGE_SH, "-a", static(), "-o", new, "-p", "python3",
        stdout=subprocess.DEVNULL)
    os.rename(new, tar)
    return tar


class Engine:
    """dockerd in the namespace of the host, with directories of its own. Its
    processes are in our process namespace: dispatchd compares their ids."""

    def __init__(self, directory):
        self.dir = os.path.join(directory, "engine")
        self.socket = os.path.join(self.dir, "docker.sock")
        self.proc = None

    def start(self, live_restore=True):
        os.makedirs(self.dir, exist_ok=True)
        log = open(os.path.join(self.dir, "log"), "ab")
        self.proc = subprocess.Popen(
            ["dockerd", "--data-root", self.dir + "/data", "--exec-root",
             self.dir + "/exec", "--pidfile", self.dir + "/pid", "-H",
             "unix://" + self.socket, "--bridge=none"] +
            (["--live-restore"] if live_restore else []),
            stdout=log, stderr=log,
            preexec_fn=lambda: die_with_test(signal.SIGTERM))
        log.close()
        return wait_for(lambda: self.docker("info", check=False).returncode
                        == 0, 60)

    def kill(self):
        """kill -9 of dockerd, with which its containerd goes; the containers
        live on. Where nobody reaps orphans a containerd that is dead
        looks alive to the next dockerd, which would wait for it."""
        self.proc.kill()
        self.proc.wait()
        pidfile = os.path.join(self.dir, "exec", "containerd",
                               "containerd.pid")
        if os.path.exists(pidfile):
            os.unlink(pidfile)

    def command(self, *argv):
        docker = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") \
            else "docker"
        return [docker, "-H", "unix://" + self.socket, *argv]

    def docker(self, *argv, check=True, **kw):
        p = subprocess.run(self.command(*argv), capture_output=True, **kw)
        if check and p.returncode != 0:
            raise RuntimeError("docker %s: %d %s" % (
                " ".join(argv), p.returncode, p.stdout + p.stderr))
        return p

    def load(self, tag):
        self.docker("import", "--change", "USER 1000:1000", root_fs(), tag)

    def names(self, kind="ps"):
        words = ["ps", "-a"] if kind == "ps" else ["network", "ls"]
        text = self.docker(*words, "--format", "{{.Names}}" if kind == "ps"
                           else "{{.Name}}").stdout.decode()
        return [n for n in text.split() if n.startswith("bulkhead-")]

    def stop(self):
        if self.proc is None:
            return
        if self.proc.poll() is not None:
            self.start()        # its containers may live still
        for name in self.docker("ps", "-aq", check=False).stdout.split():
            self.docker("rm", "-f", name.decode(), check=False)
        self.proc.terminate()
        try:
            self.proc.wait(30)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        with open("/proc/self/mounts") as f:
            mounts = sorted((line.split()[1] for line in f), reverse=True)
        for path in mounts:
            if path.startswith(self.dir + "/"):
                subprocess.run(["umount", "-l", path], capture_output=True)


class Dispatch(World):
    """World with all of it running; dev is the profile, sh the tool."""

    def __enter__(self):
        root_fs()       # while packages can be had: not in the namespace
        super().__enter__()
        self.engine = Engine(self.dir)
        self.disp_conf = os.path.join(self.dir, "dispatchd.conf")
        self.disp_log = os.path.join(self.dir, "dispatchd.log")
        self.disp_audit = os.path.join(self.dir, "dispatchd.jsonl")
        self.disp_pidfile = os.path.join(self.dir, "dispatchd.pid")
        self.disp_socket = os.path.join(self.dir, "dispatchd.sock")
        self.disp = None
        self.more_users = []
        try:
            self.set_up()
        except BaseException:
            self.__exit__(RuntimeError)
            raise
        return self

    def __exit__(self, kind, *exc):
        self.stop_dispatchd()
        self.engine.stop()
        if os.path.exists(self.disp_log):
            with open(self.disp_log, errors="replace") as f:
                text = f.read()
            for word in "ERROR: AddressSanitizer", "runtime error: ":
                if word in text:
                    check("dispatchd: no report of a sanitizer", False, word)
        bad = kind or results["not ok"]
        if bad and os.path.exists(self.disp_log):
            with open(self.disp_log, errors="replace") as f:
                sys.stderr.write("".join(f.readlines()[-60:]))
        super().__exit__(kind, *exc)
        for user in self.more_users:
            subprocess.run(["userdel", user], capture_output=True)

    def set_up(self):
        for name in USERS:
            user = "bulkhead-" + name
            if subprocess.run(["id", user], capture_output=True).returncode:
                run("useradd", "--system", "--user-group",
                    "--no-create-home", "--home-dir", "/nonexistent",
                    "--shell", "/usr/sbin/nologin", user)
                self.more_users.append(user)
        self.start_dns()
        self.forge()
        if not self.engine.start():
            raise RuntimeError("dockerd does not answer")
        self.engine.load("bulkhead-agent:1")
        self.start(self.egress_config())

    # -- a repository over HTTPS ------------------------------------------

    def forge(self):
        self.git = os.path.join(self.dir, "git")
        bare = os.path.join(self.git, "demo.git")
        work = os.path.join(self.dir, "work")
        quiet = {"capture_output": True}
        os.makedirs(self.git)
        run("git", "init", "-q", "--bare", "-b", "main", bare, **quiet)
        run("git", "init", "-q", "-b", "main", work, **quiet)
        with open(os.path.join(work, "README"), "w") as f:
            f.write("a demo\n")
        ident = ["-c", "user.name=t", "-c", "user.email=t@t.invalid"]
        run("git", "-C", work, "add", ".", **quiet)
        run("git", "-C", work, *ident, "commit", "-qm", "first", **quiet)
        run("git", "-C", work, "push", "-q", bare, "main", **quiet)
        self.work = work
        self.ca, cert, key = make_ca(self.dir, [HOST])
        self.origin_log = os.path.join(self.dir, "origin.log")
        self.start_outside(
            sys.executable, os.path.join(HELPER, "origind.py"), "--address",
            ORIGIN, "--cert", cert, "--key", key, "--root", self.dir, "--git",
            self.git, "--log", self.origin_log)
        wait_for(lambda: os.path.exists(self.origin_log) and
                 "READY" in open(self.origin_log).read())

    # -- the daemons --------------------------------------------------------

    def egress_config(self):
        may = ["status", "run.open", "run.close", "runs.sync", "run.status"]
        return self.config(
            nft=True, nft_table="bhd", interface_prefix="td-",
            run_networks=["10.201.0.0/16"], listeners=[],
            peers=[{"user": "root", "may": may},
                   {"user": "bulkhead-queue", "may": may}],
            profiles={"dev": {"allow": [
                {"host": HOST, "cidr": ["10.99.0.0/24"]}]}})

    def dispatch_config(self, **change):
        conf = {
            "socket": self.disp_socket, "state": self.dir + "/state",
            "audit": self.disp_audit, "egressd": self.socket,
            "peers": [{"user": "root", "may": [
                "run", "ps", "logs", "stop", "rm", "show", "status"]}],
            "engine": {"driver": "docker", "socket": self.engine.socket},
            "network_pool": "10.201.0.0/16", "interface_prefix": "td-",
            "capacity": {"memory": "2g", "cpus": 2, "pids": 2048, "runs": 3},
            "image": "bulkhead-agent:1", "forge": "https://" + HOST,
            "tools": {"sh": {"argv": ["/bin/sh", "-s"], "prompt": "stdin"},
                      "file": {"argv": ["/bin/sh", "-c",
                                        "cat \"$BULKHEAD_PROMPT_FILE\""],
                               "prompt": "file"},
                      "word": {"argv": ["/bin/echo", "{}"],
                               "prompt": "argument"},
                      "python": {"argv": ["/usr/bin/python3", "-"]}},
            "profiles": {
                "dev": self.profile(),
                "short": self.profile(deadline="4s", hung_start="3s",
                                      idle="3s"),
                "quiet": self.profile(deadline="60s", hung_start="3s",
                                      idle="3s"),
                "probe": self.profile(tools=["python"], pids=512,
                                      deadline="10m", idle="9m")},
            "default_profile": "dev", "default_tool": "sh"}
        conf.update(change)
        return conf

    def profile(self, **change):
        return dict({"tools": ["sh", "file", "word"], "egress": "dev",
                     "memory": "256m", "cpus": 1, "pids": 128,
                     "workspace": "64m", "deadline": "5m",
                     "hung_start": "2m", "idle": "2m",
                     "ca_file": self.ca}, **change)

    def start_dispatchd(self, conf=None, wait=True, verbose="-v"):
        with open(self.disp_conf, "w") as f:
            json.dump(conf or self.dispatch_config(), f, indent=1)
        log = open(self.disp_log, "ab")
        self.disp = subprocess.Popen(
            [os.path.join(HELPER, "keep"), self.disp_pidfile, DISPATCHD,
             "-d", verbose, "-f", self.disp_conf], stdout=log, stderr=log,
            preexec_fn=lambda: die_with_test(signal.SIGTERM))
        log.close()
        if wait and not wait_for(self.dispatch_serves, 30):
            raise RuntimeError("dispatchd does not serve")

    def dispatch_serves(self):
        return self.cli("status", "dispatchd").returncode == 0

    def disp_pid(self):
        try:
            with open(self.disp_pidfile) as f:
                return int(f.read())
        except (OSError, ValueError):
            return None

    def stop_dispatchd(self):
        if self.disp is None:
            return
        self.disp.terminate()
        try:
            self.disp.wait(30)
        except subprocess.TimeoutExpired:
            self.disp.kill()
            self.disp.wait()
        self.disp = None

    def disp_processes(self):
        """{role: pid} of dispatchd."""
        parent, found = self.disp_pid(), {}
        if parent is None:
            return found
        found["parent"] = parent
        try:
            with open("/proc/%d/task/%d/children" % (parent, parent)) as f:
                pids = [int(p) for p in f.read().split()]
        except OSError:
            return found
        for pid in pids:
            try:
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    argv = f.read().split(b"\0")
            except OSError:
                continue
            found[argv[0].decode().split(": ")[-1].split()[0]] = pid
        return found

    # -- agent-cli ------------------------------------------------------------

    def cli(self, *argv, timeout=120, **kw):
        return subprocess.run([AGENT_CLI, "--run-dir", self.dir, *argv],
                              capture_output=True, timeout=timeout, **kw)

    def json(self, *argv):
        out = self.cli("--json", *argv).stdout.decode()
        return json.loads(out) if out.strip() else None

    def detach(self, *argv):
        """The id of a run that nobody follows."""
        p = self.cli("run", "--detach", *argv)
        words = (p.stdout + p.stderr).decode().split()
        for word in words:
            if len(word) == 12 and word.isalnum():
                return word
        raise RuntimeError("not accepted: %r" % (p,))

    def state(self, ident):
        s = self.json("show", ident)
        return s and s["state"]

    def over(self, ident, timeout=60):
        """What became of it: its show, once it is done."""
        def done():
            s = self.json("show", ident)
            return s if s and s["state"] == "DONE" else None
        return wait_for(done, timeout)

    def disp_records(self, kind=None):
        try:
            with open(self.disp_audit) as f:
                rows = [json.loads(line) for line in f if
                        line.endswith("}\n")]
        except OSError:
            return []
        return [r for r in rows if kind in (None, r["type"])]


# -- inside a run ----------------------------------------------------------

def in_netns(pid, what):
    """what(), with the sockets of the network namespace of pid."""
    out = []

    def enter():
        with open("/proc/%d/ns/net" % pid) as f:
            if LIBC.setns(f.fileno(), CLONE_NEWNET) == -1:
                out.append(OSError(ctypes.get_errno(), "setns"))
                return
        try:
            out.append(what())
        except OSError as e:
            out.append(e)
    t = threading.Thread(target=enter)
    t.start()
    t.join()
    if isinstance(out[0], OSError):
        raise out[0]
    return out[0]


class Prober:
    """tests/helper/probe.py in a container, and a link to it over the
    loopback of that container, which no rule of the host's is asked about."""

    PORT = 9000

    def __init__(self, w, pid, title):
        self.w, self.pid, self.title = w, pid, title
        self.link = None
        if not wait_for(self.connect, 20):
            raise RuntimeError("%s: nobody listens inside" % title)

    @classmethod
    def program(cls):
        """What a Python that reads its standard input is to run."""
        with open(os.path.join(HELPER, "probe.py")) as f:
            return "import sys\nsys.argv = ['probe', '--listen', '%d']\n" % \
                cls.PORT + f.read()

    def connect(self):
        try:
            s = in_netns(self.pid, lambda: socket.create_connection(
                ("127.0.0.1", self.PORT), 5))
        except OSError:
            return False
        s.settimeout(90)
        self.link = s.makefile("rw")
        s.close()
        return self.link.readline().startswith("hello ")

    def probe(self, probes):
        """The answers to a list of probes, all tried at once."""
        self.link.write(json.dumps(probes) + "\n")
        self.link.flush()
        line = self.link.readline()
        if not line:
            raise RuntimeError("%s: the container is gone" % self.title)
        return json.loads(line)

    def one(self, **probe):
        return self.probe([probe])[0]

    def command(self, *argv):
        """On the host, as root, in the container's network."""
        return run("nsenter", "-t", str(self.pid), "-n", *argv)


class Inside(Prober):
    """A run whose tool is the probe: nothing but what a run has."""

    def __init__(self, w, title):
        prompt = os.path.join(w.dir, "probe-prompt")
        with open(prompt, "w") as f:
            f.write(self.program())
        self.id = w.detach("--tool", "python", "--profile", "probe",
                           "--prompt-file", prompt)
        self.name = "bulkhead-" + self.id
        if not wait_for(lambda: w.state(self.id) == "RUNNING", 40):
            raise RuntimeError("%s does not run: %r" % (
                title, w.json("show", self.id)))
        self.interface = "td-" + self.id
        found = json.loads(w.engine.docker("inspect", self.name).stdout)[0]
        net = found["NetworkSettings"]["Networks"][self.name]
        self.address, self.gateway = net["IPAddress"], net["Gateway"]
        base, last = self.gateway.rsplit(".", 1)
        self.broadcast = "%s.%d" % (base, int(last) + 6)
        # It has none; what one would be is tried all the same.
        self.v6 = False
        self.address6, self.gateway6 = "fd20::2", "fd20::1"
        super().__init__(w, found["State"]["Pid"], title)
