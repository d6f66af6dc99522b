"""A company's network in small: a proxy that wants a password, and what is behind it.

corporate.py FOLDER NAME:PASSWORD

listens at 127.0.0.1: the proxy at port 3128, and at 3129 one that asks for no password. Both lead
every name to a web server with the certificate FOLDER/site.pem. That server is a package index of
FOLDER's files, and a webhook. Each line of FOLDER/log is what a proxy was asked for, or how the web
server was asked.
"""

from __future__ import annotations

import base64
import re
import socketserver
import ssl
import sys
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import SHUT_WR, create_connection, socket

FOLDER = Path(sys.argv[1])
WANTED = b"basic " + base64.b64encode(sys.argv[2].encode())
SITE = ("127.0.0.1", 8443)


def note(text: str) -> None:
    with (FOLDER / "log").open("a") as file:
        file.write(f"{text}\n")


def copy(source: socket, target: socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(SHUT_WR)


class Proxy(socketserver.StreamRequestHandler):
    wants_password = True

    def handle(self) -> None:
        asked = self.rfile.readline().decode().strip()
        headers = dict[bytes, bytes]()
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            headers[name.lower()] = value.strip()
        scheme, _, secret = headers.get(b"proxy-authorization", b"").partition(b" ")
        if self.wants_password and scheme.lower() + b" " + secret != WANTED:
            self.wfile.write(b"HTTP/1.1 407 Who?\r\nProxy-Authenticate: Basic\r\n"
                             b"Content-Length: 0\r\n\r\n")  # fmt: skip
            return
        note(asked.rpartition(" ")[0])
        with create_connection(SITE) as site:
            self.wfile.write(b"HTTP/1.1 200 Go on\r\n\r\n")
            back = threading.Thread(target=copy, args=(site, self.connection), daemon=True)
            back.start()
            copy(self.connection, site)
            back.join()


class OpenProxy(Proxy):
    wants_password = False


class Site(BaseHTTPRequestHandler):
    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        note(f"{self.command} {self.headers['Host']} {self.path}")
        file = FOLDER / self.path.rpartition("/")[2]
        if self.path.startswith("/files/") and file.is_file():
            self.answer(200, file.read_bytes(), "application/octet-stream")
            return
        wanted = re.sub(r"[-_.]+", "_", self.path.strip("/").rpartition("/")[2])
        names = [one.name for one in FOLDER.glob(f"{wanted}-*")]
        links = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
        self.answer(200 if names else 404, links.encode(), "text/html")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        note(f"POST {self.headers['Host']} {self.path}")
        self.answer(200, b"", "text/plain")

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Proxies(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def main() -> None:
    site = ThreadingHTTPServer(SITE, Site)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(FOLDER / "site.pem")
    # Whoever connects and says nothing keeps nobody else waiting.
    site.socket = context.wrap_socket(site.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=site.serve_forever, daemon=True).start()
    open_to_all = Proxies(("127.0.0.1", 3129), OpenProxy)
    threading.Thread(target=open_to_all.serve_forever, daemon=True).start()
    Proxies(("127.0.0.1", 3128), Proxy).serve_forever()


main()
