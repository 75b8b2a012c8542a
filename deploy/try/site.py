#!/usr/bin/env python3
"""The demonstration's site: git repositories and a page, over HTTPS.

    site.py ADDRESS DIRECTORY

DIRECTORY has cert.pem, key.pem and the bare repositories below git/. What a
Host header names does not matter: which names may be reached is egressd's to
say. Each connection is a line "ACCEPT" on standard output, each request a line
"REQUEST method host path": so it shows what arrived, and what did not.
"""

import http.server
import os
import socketserver
import ssl
import subprocess
import sys

PORT = 443
BODY_MAX = 16 * 1024 * 1024
TIMEOUT = 30


def log(*words):
    print(*words, flush=True)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT
    root = None

    def log_message(self, *args):
        log("REQUEST", self.command, self.headers.get("Host", "-")
            if self.headers else "-", self.path.partition("?")[0])

    def answer(self, status, fields, body):
        self.send_response(status)
        for key, value in fields:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path.startswith("/demo/"):
            self.git(b"")
        else:
            self.answer(200, [("Content-Type", "text/plain")],
                        b"hello from a listed host\n")

    def do_POST(self):
        length = int(self.headers.get("Content-Length") or 0)
        if "chunked" in self.headers.get("Transfer-Encoding", "") or \
                not 0 <= length <= BODY_MAX:
            self.close_connection = True
            self.answer(413, [], b"")
            return
        self.git(self.rfile.read(length))

    def git(self, body):
        """git-http-backend(1), which is a CGI program; for reading only."""
        path, _, query = self.path.partition("?")
        env = {"PATH": os.environ["PATH"], "HOME": self.root + "/home",
               "GIT_PROJECT_ROOT": self.root + "/git",
               "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
               "QUERY_STRING": query, "REQUEST_METHOD": self.command,
               "CONTENT_TYPE": self.headers.get("Content-Type", ""),
               "CONTENT_LENGTH": str(len(body)),
               "REMOTE_ADDR": self.client_address[0]}
        for field, name in (("Content-Encoding", "HTTP_CONTENT_ENCODING"),
                            ("Git-Protocol", "HTTP_GIT_PROTOCOL")):
            if self.headers.get(field):
                env[name] = self.headers[field]
        out = subprocess.run(["git", "http-backend"], input=body, env=env,
                             stdout=subprocess.PIPE, check=False).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1)
                  for line in head.decode("latin-1").split("\r\n")
                  if ": " in line]
        status = [v for k, v in fields if k.lower() == "status"]
        self.answer(int(status[0].split()[0]) if status else 200,
                    [f for f in fields if f[0].lower() != "status"], rest)


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        """In a thread of the connection, its handshake too."""
        log("ACCEPT")
        request.settimeout(TIMEOUT)
        try:
            with self.context.wrap_socket(request, server_side=True) as tls:
                self.RequestHandlerClass(tls, client_address, self)
        except OSError as e:    # ssl.SSLError is one
            log("ENDED", type(e).__name__)


def main():
    address, directory = sys.argv[1:]
    Handler.root = directory
    os.chdir(directory)     # git has to be able to enter where it is started
    Server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    Server.context.load_cert_chain(directory + "/cert.pem",
                                   directory + "/key.pem")
    with Server((address, PORT), Handler) as server:
        log("READY")
        server.serve_forever()


main()
