#!/usr/bin/env python3
"""conformance: real clients through a listener (D1, H3), and their storms.

Each client gets the proxy by its environment and nothing else: the names of
the test do not resolve for it. What it did is proved from both ends: every
connection that the origin took is a tunnel on record. A client that is not
installed is skipped.
"""

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile

from lib import (HELPER, ORIGIN, World, ask, check, code_of, connect,
                 connect_request, equal, finish, make_ca, read_all,
                 read_head, report, tls, wait_for)

HOST, UNLISTED = "good.test", "unlisted.test"
ZONE = {HOST: ["A:" + ORIGIN], UNLISTED: ["A:" + ORIGIN]}
RULES = [{"host": HOST, "cidr": ["10.99.0.0/24"]}]
PROXY = "http://127.0.0.1:3128"
KIB, MIB = 1 << 10, 1 << 20
SLACK = 64 * KIB        # what handshakes and heads of one client may add
STORM = 132             # CONNECTs that a real agent sent in four seconds
SANITIZED = "san" in os.environ.get("BUILD", "")

# Handshake and heads of the smallest exchange.
LEAST = 200


# -- what the clients fetch -----------------------------------------------------

def make_wheel(directory):
    """A wheel of one module with 100 KB of noise; its file name."""
    name = "bulkhead_probe-1.0-py3-none-any.whl"
    files = {
        "bulkhead_probe.py": b"NOISE = %r\n" % os.urandom(50000).hex(),
        "bulkhead_probe-1.0.dist-info/METADATA":
            b"Metadata-Version: 2.1\nName: bulkhead-probe\nVersion: 1.0\n",
        "bulkhead_probe-1.0.dist-info/WHEEL":
            b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
            b"Tag: py3-none-any\n",
    }
    record = "bulkhead_probe-1.0.dist-info/RECORD"
    rows = []
    for path, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
        rows.append("%s,sha256=%s,%d" % (path, digest.rstrip(b"=").decode(),
                                         len(data)))
    files[record] = ("\n".join(rows + [record + ",,"]) + "\n").encode()
    with zipfile.ZipFile(os.path.join(directory, name), "w") as z:
        for path, data in files.items():
            z.writestr(path, data)
    return name


def make_python_index(root):
    """PEP 503: /simple/PROJECT/ links to the files."""
    directory = os.path.join(root, "simple", "bulkhead-probe")
    os.makedirs(directory)
    wheel = make_wheel(directory)
    with open(os.path.join(directory, wheel), "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    with open(os.path.join(directory, "index.html"), "w") as f:
        f.write('<!DOCTYPE html><html><body><a href="%s#sha256=%s">%s</a>'
                '</body></html>\n' % (wheel, digest, wheel))


def make_npm_registry(root):
    """/npm/PACKAGE is its metadata, beside the tarball."""
    directory = os.path.join(root, "npm")
    package = os.path.join(root, "npm-package")
    os.makedirs(directory)
    os.makedirs(package)
    manifest = {"name": "bulkhead-probe", "version": "1.0.0",
                "main": "index.js"}
    with open(os.path.join(package, "package.json"), "w") as f:
        json.dump(manifest, f)
    with open(os.path.join(package, "index.js"), "w") as f:
        f.write("module.exports = '%s';\n" % os.urandom(50000).hex())
    tarball = os.path.join(directory, "bulkhead-probe-1.0.0.tgz")
    with tarfile.open(tarball, "w:gz") as t:
        t.add(package, "package")
    with open(tarball, "rb") as f:
        digest = base64.b64encode(hashlib.sha512(f.read()).digest()).decode()
    manifest["dist"] = {
        "tarball": "https://%s/npm/bulkhead-probe-1.0.0.tgz" % HOST,
        "integrity": "sha512-" + digest}
    with open(os.path.join(directory, "bulkhead-probe"), "w") as f:
        json.dump({"name": "bulkhead-probe",
                   "dist-tags": {"latest": "1.0.0"},
                   "versions": {"1.0.0": manifest}}, f)


def make_repository(w):
    repo = os.path.join(w.git, "probe.git")
    os.makedirs(w.git)
    quiet = {"check": True, "capture_output": True}
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", repo],
                   **quiet)
    subprocess.run(["git", "-C", repo, "config", "http.receivepack", "true"],
                   **quiet)


# -- one client -----------------------------------------------------------------

def environment(w, **more):
    """What a client gets: the proxy in both cases, and no other way."""
    env = {"PATH": os.environ["PATH"], "HOME": w.home, "LANG": "C.UTF-8",
           "TMPDIR": w.home, "HTTPS_PROXY": PROXY, "https_proxy": PROXY}
    env.update(more)
    return env


def call(w, argv, env, cwd=None):
    """(status, output); status None is a client that did not end."""
    try:
        p = subprocess.run(argv, env=env, cwd=cwd or w.home,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, timeout=90, check=False)
        return p.returncode, p.stdout.decode(errors="replace")
    except subprocess.TimeoutExpired as e:
        return None, "no end: %r" % e.output


def accepts(w):
    with open(w.origin_log) as f:
        return f.read().count("ACCEPT 443\n")


class Seen:
    """What the records tell of the clients since it was made."""

    def __init__(self, w):
        self.w, self.mark, self.accepted = w, len(w.records()), accepts(w)

    def kind(self, kind):
        return [r for r in self.w.records()[self.mark:] if r["type"] == kind]

    def settle(self):
        wait_for(lambda: len(self.kind("tunnel.open")) ==
                 len(self.kind("tunnel.close")))

    def passed(self, up, down):
        """None, or why these are not the tunnels of a client that moved at
        least so many bytes, and not many more."""
        self.settle()
        opened, closed = self.kind("tunnel.open"), self.kind("tunnel.close")
        if not opened or {r["id"] for r in opened} != {r["id"]
                                                       for r in closed}:
            return "%d opened, %d closed" % (len(opened), len(closed))
        for r in opened:
            if (r["host"], r["port"], r["address"]) != (HOST, 443, ORIGIN):
                return "a tunnel elsewhere: %r" % r
        if any(r["sni"] != HOST for r in closed):
            return "another name: %r" % closed
        took = accepts(self.w) - self.accepted
        if took != len(opened):
            return "%d tunnels, %d connections" % (len(opened), took)
        for name, want in (("up", up), ("down", down)):
            got = sum(r[name] for r in closed)
            if not want <= got <= want + SLACK * len(opened):
                return "%s: %d bytes, want about %d" % (name, got, want)
        return None

    def denied(self):
        """None, or why this is not a denial of the unlisted host."""
        wait_for(lambda: self.kind("deny"), 5)
        got = self.kind("deny")
        want = (UNLISTED, 443, "host", 403)
        if not got or any((r["host"], r["port"], r["code"], r["status"]) !=
                          want for r in got):
            return "records %r" % got
        if self.kind("tunnel.open"):
            return "a tunnel opened"
        return None


def works(w, name, argv, env, up=LEAST, down=LEAST, cwd=None, proof=None):
    seen = Seen(w)
    status, output = call(w, argv, env, cwd)
    why = None
    if status != 0:
        why = "status %s: %s" % (status, output[-600:])
    elif proof is not None and not proof():
        why = "the result is wrong: %s" % output[-600:]
    else:
        why = seen.passed(up, down)
    check(name, why is None, why)


def shows(w, name, argv, env, cwd=None):
    """H3: the client fails, and its output leads to the reason."""
    seen = Seen(w)
    status, output = call(w, argv, env, cwd)
    why = seen.denied()
    if status in (0, None):
        why = "status %s" % status
    elif "403" not in output and "egress-host" not in output:
        why = "no reason in it: %s" % output[-600:]
    check("H3 %s shows the denial" % name, why is None, why)


def missing(name):
    if shutil.which(name):
        return False
    report("skip", name, "not installed")
    return True


def same(path, other):
    with open(path, "rb") as a, open(other, "rb") as b:
        return a.read() == b.read()


# -- the clients ------------------------------------------------------------------

def no_other_way(w):
    env = environment(w, RES_OPTIONS="timeout:1 attempts:1")
    status, output = call(w, ["getent", "ahosts", HOST], env)
    check("the name does not resolve here", status not in (0, None), output)
    if not missing("curl"):
        for key in "HTTPS_PROXY", "https_proxy":
            del env[key]
        status, output = call(w, ["curl", "-sS", "--cacert", w.ca,
                                  "https://%s/hello" % HOST], env)
        check("without the proxy there is no way", status in (6, 28), output)


def curl(w):
    if missing("curl"):
        return
    out = os.path.join(w.home, "curl.out")
    argv = ["curl", "-q", "-sS", "-f", "--cacert", w.ca, "-o", out]
    works(w, "curl downloads", argv + ["https://%s/blob" % HOST],
          environment(w), down=4 * MIB, proof=lambda: same(out, w.blob))
    works(w, "curl uploads", argv + ["--data-binary", "@" + w.blob,
                                     "https://%s/digest" % HOST],
          environment(w), up=4 * MIB, proof=lambda: json.load(
              open(out)) == {"bytes": 4 * MIB, "sha256": w.digest})
    for key in "HTTPS_PROXY", "https_proxy":
        env = environment(w)
        del env[key]
        works(w, "curl without " + key, argv + ["https://%s/hello" % HOST],
              env)
    shows(w, "curl", argv + ["https://%s/hello" % UNLISTED], environment(w))


def wget(w):
    if missing("wget"):
        return
    out = os.path.join(w.home, "wget.out")
    argv = ["wget", "--no-config", "--no-hsts", "-nv", "-t", "1",
            "--ca-certificate=" + w.ca, "-O", out]
    works(w, "wget downloads", argv + ["https://%s/blob" % HOST],
          environment(w), down=4 * MIB, proof=lambda: same(out, w.blob))
    shows(w, "wget", argv + ["https://%s/hello" % UNLISTED], environment(w))


def git(w):
    if missing("git"):
        return
    env = environment(
        w, GIT_SSL_CAINFO=w.ca, GIT_TERMINAL_PROMPT="0",
        GIT_CONFIG_GLOBAL="/dev/null", GIT_CONFIG_NOSYSTEM="1",
        GIT_AUTHOR_NAME="agent", GIT_AUTHOR_EMAIL="agent@bulkhead.invalid",
        GIT_COMMITTER_NAME="agent",
        GIT_COMMITTER_EMAIL="agent@bulkhead.invalid")
    url = "https://%s/git/probe.git" % HOST
    one, two = (os.path.join(w.home, n) for n in ("one", "two"))

    def local(*argv):
        call(w, ["git"] + list(argv), env, one)

    works(w, "git clones", ["git", "clone", "-q", url, one], env)
    shutil.copy(w.blob, os.path.join(one, "blob"))
    local("checkout", "-q", "-B", "main")
    local("add", "blob")
    local("commit", "-q", "-m", "blob")
    works(w, "git pushes", ["git", "push", "-q", "origin", "main"], env,
          up=4 * MIB, cwd=one)
    works(w, "git clones what was pushed", ["git", "clone", "-q", url, two],
          env, down=4 * MIB,
          proof=lambda: same(os.path.join(two, "blob"), w.blob))
    with open(os.path.join(one, "more"), "w") as f:
        f.write("more\n")
    local("add", "more")
    local("commit", "-q", "-m", "more")
    works(w, "git pushes again", ["git", "push", "-q", "origin", "main"],
          env, cwd=one)
    works(w, "git fetches", ["git", "fetch", "-q", "origin"], env, cwd=two,
          proof=lambda: call(w, ["git", "show", "origin/main:more"], env,
                             two) == (0, "more\n"))
    shows(w, "git", ["git", "clone", "-q", url.replace(HOST, UNLISTED),
                     os.path.join(w.home, "three")], env)


def python(w):
    program = ("import sys, urllib.request as r\n"
               "sys.stdout.write(str(len(r.urlopen(sys.argv[1]).read())))\n")
    env = environment(w, SSL_CERT_FILE=w.ca)
    works(w, "Python's urllib downloads",
          [sys.executable, "-I", "-c", program, "https://%s/blob" % HOST],
          env, down=4 * MIB)
    shows(w, "Python's urllib",
          [sys.executable, "-I", "-c", program,
           "https://%s/blob" % UNLISTED], env)


def pip(w):
    name = "pip3" if shutil.which("pip3") else "pip"
    if missing(name):
        return
    env = environment(w, PIP_CERT=w.ca, PIP_CONFIG_FILE="/dev/null",
                      PIP_NO_CACHE_DIR="1", PIP_NO_INPUT="1",
                      PIP_DISABLE_PIP_VERSION_CHECK="1")
    out = os.path.join(w.home, "wheels")
    # pip tells why a connection failed only where it tries once more.
    argv = [name, "download", "--no-deps", "--retries", "1",
            "--timeout", "20", "--dest", out]
    wheel = os.path.join("simple", "bulkhead-probe",
                         "bulkhead_probe-1.0-py3-none-any.whl")
    works(w, "pip downloads a wheel",
          argv + ["--index-url", "https://%s/simple/" % HOST,
                  "bulkhead-probe"], env, down=100000,
          proof=lambda: same(os.path.join(w.root, wheel), os.path.join(
              out, os.path.basename(wheel))))
    shows(w, "pip", argv + ["--index-url", "https://%s/simple/" % UNLISTED,
                            "bulkhead-probe"], env)


def npm(w):
    if missing("npm"):
        return
    project = os.path.join(w.home, "project")
    os.mkdir(project)
    with open(os.path.join(project, "package.json"), "w") as f:
        json.dump({"name": "project", "version": "1.0.0"}, f)
    settings = {"cafile": w.ca, "cache": os.path.join(w.home, "npm-cache"),
                "userconfig": "/dev/null", "globalconfig": "/dev/null/none",
                "update_notifier": "false", "audit": "false",
                "fund": "false", "ignore_scripts": "true",
                "fetch_retries": "0", "loglevel": "http"}
    env = environment(w, NODE_EXTRA_CA_CERTS=w.ca, **{
        "npm_config_" + k: v for k, v in settings.items()})

    def argv(host):
        return ["npm", "install", "--registry", "https://%s/npm/" % host,
                "bulkhead-probe"]

    installed = os.path.join(project, "node_modules", "bulkhead-probe")
    works(w, "npm installs a package", argv(HOST), env, down=50000,
          cwd=project, proof=lambda: same(
              os.path.join(installed, "index.js"),
              os.path.join(w.root, "npm-package", "index.js")))
    shutil.rmtree(os.path.join(project, "node_modules"), ignore_errors=True)
    os.remove(os.path.join(project, "package-lock.json"))
    with open(os.path.join(project, "package.json"), "w") as f:
        json.dump({"name": "project", "version": "1.0.0"}, f)
    shutil.rmtree(settings["cache"], ignore_errors=True)
    shows(w, "npm", argv(UNLISTED), env, cwd=project)


# -- heads as agents send them ------------------------------------------------------

HEADS = [
    ("undici: Host without port",
     "CONNECT {h}:443 HTTP/1.1\r\nhost: {h}\r\nconnection: close\r\n\r\n"),
    ("Bun: Proxy-Connection",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\n"
     "Proxy-Connection: Keep-Alive\r\n\r\n"),
    ("Java: Proxy-Connection, Accept with quotes and stars",
     "CONNECT {h}:443 HTTP/1.1\r\nUser-Agent: Java/17.0.15\r\nHost: {h}\r\n"
     "Accept: text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2\r\n"
     "Proxy-Connection: keep-alive\r\n\r\n"),
    ("Java: HTTP/1.0",
     "CONNECT {h}:443 HTTP/1.0\r\nUser-Agent: Java/1.4\r\n"
     "Proxy-Connection: keep-alive\r\n\r\n"),
    ("Python: HTTP/1.0 without any field",
     "CONNECT {h}:443 HTTP/1.0\r\n\r\n"),
    ("Go",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\n"
     "User-Agent: Go-http-client/1.1\r\n\r\n"),
    ("git",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\nUser-Agent: git/2.39.5"
     "\r\nProxy-Connection: Keep-Alive\r\n\r\n"),
    ("Proxy-Authorization that nobody asked for",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\n"
     "Proxy-Authorization: Basic dTpw\r\n\r\n"),
    ("an empty field and a tab in a value",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\nX-Empty:\r\n"
     "User-Agent: a\tb \r\n\r\n"),
    ("31 KiB of cookies",
     "CONNECT {h}:443 HTTP/1.1\r\nHost: {h}:443\r\n" +
     "".join("Cookie: %d=%s\r\n" % (i, "c" * 1000) for i in range(31)) +
     "\r\n"),
]


def heads(w):
    for name, head in HEADS:
        seen, body = Seen(w), b""
        with connect() as s:
            s.sendall(head.format(h=HOST).encode())
            answer = read_head(s)
            if answer.startswith(b"HTTP/1.1 200 "):
                s = tls(s, w.ca, HOST)
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: good.test\r\n"
                          b"Connection: close\r\n\r\n")
                body = read_all(s)
                s.close()
        why = seen.passed(LEAST, LEAST)
        check("head of " + name, body.endswith(b"\r\n\r\nhello\n") and
              why is None, "%r %s" % (answer[:80], why))
        equal("head of %s, denied" % name, code_of(ask(
            head.format(h=UNLISTED).encode())), ("403", "host"))


# -- storms ------------------------------------------------------------------------

def processor(w):
    """Seconds of processor time that the daemon has used so far."""
    ticks = 0
    for pid in [w.pid()] + sum(w.children().values(), []):
        with open("/proc/%d/stat" % pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def storm(w):
    """132 at once, and 132 one behind the other."""
    for name in "at once", "in a row":
        seen, spent, answers = Seen(w), processor(w), []
        request = connect_request(UNLISTED + ":443")

        def one():
            answers.append(code_of(ask(request)))

        start = time.monotonic()
        threads = [threading.Thread(target=one) for _ in range(STORM)]
        for t in threads:
            t.start()
            if name == "in a row":
                t.join()
        for t in threads:
            t.join()
        took = time.monotonic() - start
        spent = processor(w) - spent
        equal("storm %s: each has its answer" % name, answers,
              [("403", "host")] * STORM)
        wait_for(lambda: len(seen.kind("deny")) >= STORM)
        equal("storm %s: each has its record" % name,
              [(r["host"], r["code"]) for r in seen.kind("deny")],
              [(UNLISTED, "host")] * STORM)
        check("storm %s: it costs little" % name,
              spent < (2.0 if SANITIZED else 0.5) and took < 10,
              "%.2f s of processor time, %.2f s" % (spent, took))
        seen = Seen(w)
        s = connect()
        s.sendall(connect_request(HOST + ":443"))
        head = read_head(s)
        check("storm %s: it starts no other limit" % name,
              head.startswith(b"HTTP/1.1 200 "), head)
        s.close()
        seen.settle()


def prepare(w):
    w.home, w.root, w.git = (os.path.join(w.dir, n)
                             for n in ("home", "root", "git"))
    os.mkdir(w.home)
    os.mkdir(w.root)
    w.blob = os.path.join(w.root, "blob")
    data = os.urandom(4 * MIB)
    with open(w.blob, "wb") as f:
        f.write(data)
    w.digest = hashlib.sha256(data).hexdigest()
    make_python_index(w.root)
    make_npm_registry(w.root)
    if shutil.which("git"):
        make_repository(w)
    w.ca, cert, key = make_ca(w.dir, [HOST, UNLISTED])
    w.origin_log = os.path.join(w.dir, "origin.log")
    w.start_outside(sys.executable, os.path.join(HELPER, "origind.py"),
                    "--address", ORIGIN, "--cert", cert, "--key", key,
                    "--root", w.root, "--git", w.git, "--log", w.origin_log)
    w.start_dns()
    w.start(w.config(profiles={"dev": {"allow": RULES}}))
    wait_for(lambda: os.path.exists(w.origin_log) and
             "READY" in open(w.origin_log).read())


def main():
    with World(ZONE) as w:
        prepare(w)
        no_other_way(w)
        for client in curl, wget, git, python, pip, npm:
            client(w)
        heads(w)
        storm(w)
        equal("C1 no query for the unlisted name",
              [q for q in w.dns_queries() if q[2] != HOST], [])
        out = w.verify_records()
        equal("the records verify", (out.returncode, out.stderr), (0, ""))
    finish()


main()
