#!/usr/bin/env python3
"""Origins for the end-to-end tests, standard library only.

    origind.py --address A --cert FILE --key FILE [--root DIR] [--git DIR]
               [--log FILE]

On 443 and 8443: HTTPS.
    GET /hello          "hello"
    GET /bytes/N        N bytes, a fixed sequence
    POST /digest        JSON {sha256, bytes} of the body
    GET /drip/N         N bytes, one every 100 ms
    /git/...            git over HTTP, from the bare repositories in --git
    anything else       a file of --root
On 7: echo of raw bytes. On 9: a sink that logs what it gets ("SINK n bytes").
On 22 and 2222: an SSH banner, then silence. On 99: resets at once.
Each accepted connection is one line "ACCEPT port" in --log, each answered
request one of its own, as "GET /hello".
"""

import argparse
import hashlib
import http.server
import json
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
import time


def sequence(n):
    """n bytes that repeat with a period of 251, so that a shift shows."""
    block = bytes(range(251))
    return (block * (n // 251 + 1))[:n]


class Log:
    def __init__(self, path):
        self.f = open(path, "a", buffering=1) if path else None
        self.lock = threading.Lock()

    def __call__(self, line):
        if self.f:
            with self.lock:
                self.f.write(line + "\n")


class Web(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    git = None

    def log_message(self, *args):
        pass

    def send(self, body, kind="application/octet-stream"):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                data += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_GET(self):
        if self.path == "/hello":
            self.send(b"hello\n", "text/plain")
        elif self.path.startswith("/bytes/"):
            self.send(sequence(int(self.path[7:])))
        elif self.path.startswith("/drip/"):
            self.drip(int(self.path[6:]))
        elif self.path.startswith("/git/"):
            self.backend()
        else:
            super().do_GET()

    def do_POST(self):
        if self.path.startswith("/git/"):
            self.backend()
            return
        digest, n = hashlib.sha256(), 0
        left = int(self.headers.get("Content-Length", 0))
        while left > 0:
            piece = self.rfile.read(min(left, 65536))
            if not piece:
                return
            digest.update(piece)
            n += len(piece)
            left -= len(piece)
        self.send(json.dumps({"sha256": digest.hexdigest(),
                              "bytes": n}).encode(), "application/json")

    def drip(self, n):
        self.send_response(200)
        self.send_header("Content-Length", str(n))
        self.end_headers()
        for byte in sequence(n):
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.1)

    def backend(self):
        path, _, query = self.path[4:].partition("?")
        body = self.body()
        env = dict(os.environ, GIT_PROJECT_ROOT=self.git,
                   GIT_HTTP_EXPORT_ALL="1", PATH_INFO=path,
                   QUERY_STRING=query, REQUEST_METHOD=self.command,
                   CONTENT_TYPE=self.headers.get("Content-Type", ""),
                   CONTENT_LENGTH=str(len(body)), REMOTE_ADDR="10.99.0.1",
                   GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="safe.directory",
                   GIT_CONFIG_VALUE_0="*")
        for header, name in (("Content-Encoding", "HTTP_CONTENT_ENCODING"),
                             ("Git-Protocol", "HTTP_GIT_PROTOCOL")):
            if self.headers.get(header):
                env[name] = self.headers[header]
        out = subprocess.run(["git", "http-backend"], input=body, env=env,
                             stdout=subprocess.PIPE, check=False).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1)
                  for line in head.decode("latin-1").split("\r\n")]
        status = [v for k, v in fields if k.lower() == "status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for k, v in fields:
            if k.lower() != "status":
                self.send_header(k, v)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256


def web_server(args, port, log):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(args.cert, args.key)

    class Handler(Web):
        git = args.git

        def log_request(self, *args):
            log("%s %s" % (self.command, self.path))

        def __init__(self, request, *rest):
            log("ACCEPT %d" % port)
            try:
                tls = context.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError) as e:
                log("HANDSHAKE %d %s" % (port, type(e).__name__))
                return
            try:
                super().__init__(tls, *rest, directory=args.root)
            except OSError:
                pass
            try:
                tls.unwrap().close()
            except (ssl.SSLError, OSError, ValueError):
                tls.close()

    return Server((args.address, port), Handler)


def raw_server(args, port, log, talk):
    class Handler(socketserver.BaseRequestHandler):
        def handle(self):
            log("ACCEPT %d" % port)
            try:
                talk(self.request, log)
            except OSError:
                pass

    return Server((args.address, port), Handler)


def echo(s, log):
    while True:
        data = s.recv(65536)
        if not data:
            return
        s.sendall(data)


def sink(s, log):
    n = 0
    try:
        while True:
            data = s.recv(65536)
            if not data:
                break
            n += len(data)
    finally:
        log("SINK %d bytes" % n)


def banner(s, log):
    s.sendall(b"SSH-2.0-origin\r\n")
    sink(s, log)


def reset(s, log):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--address", required=True)
    p.add_argument("--cert", required=True)
    p.add_argument("--key", required=True)
    p.add_argument("--root", default=".")
    p.add_argument("--git")
    p.add_argument("--log")
    args = p.parse_args()
    log = Log(args.log)
    servers = [web_server(args, port, log) for port in (443, 8443)]
    for port, talk in ((7, echo), (9, sink), (22, banner), (2222, banner),
                       (99, reset)):
        servers.append(raw_server(args, port, log, talk))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    log("READY")
    threading.Event().wait()


if __name__ == "__main__":
    main()
