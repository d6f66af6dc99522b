"""An ACME server that gives nobody anything, for what is said then.

refusing_acme.py CERTIFICATE KEY

listens at 127.0.0.1:14001. /dir is the directory of one that was asked too often; that at /late/dir
lives three days later.
"""

from __future__ import annotations

import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BASE = "https://127.0.0.1:14001"
WORDS = ("newNonce", "newAccount", "newOrder", "revokeCert", "keyChange")
RATE_LIMITED = {
    "type": "urn:ietf:params:acme:error:rateLimited",
    "detail": "too many certificates already issued",
    "status": 429,
}


class Handler(BaseHTTPRequestHandler):
    def date_time_string(self, timestamp: float | None = None) -> str:
        days = 3 if self.path.startswith("/late/") else 0
        return super().date_time_string((timestamp or time.time()) + days * 86400)

    def do_HEAD(self) -> None:
        self.answer(200, {})

    def do_GET(self) -> None:
        self.answer(200, {word: f"{BASE}/{word}" for word in WORDS})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(429, RATE_LIMITED)

    def answer(self, status: int, said: dict[str, object] | dict[str, str]) -> None:
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Replay-Nonce", "bm9uY2U")
        self.send_header("Content-Type", f"application/{'problem+' if status > 400 else ''}json")
        self.send_header("Content-Length", str(len(body)))
        if status == 429:
            self.send_header("Retry-After", "7200")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(*sys.argv[1:])
server = ThreadingHTTPServer(("127.0.0.1", 14001), Handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
