"""A company's way out: a proxy that wants a password, and opens TLS by an authority of its own."""

from __future__ import annotations

import base64
import ctypes
import http.client
import os
import ssl
import threading
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server, socket
from socketserver import _SocketWriter
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, urlsplit

from tests.fakes.certificates import Authority

RELEASES: Final = "downloads.test"
"""Where the appliance's own files are; everything else is fetched from where it really is."""

_CLONE_NEWNET: Final = 0x40000000
_ADDRESS: Final = ("127.0.0.1", 3128)
_OF_THIS_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "proxy-authorization", "transfer-encoding"}
)


class OpeningProxy:
    """Listens at a network's own 127.0.0.1, and goes out by this host's."""

    def __init__(self, network: Path, releases: Path, *, user: str, password: str) -> None:
        self.authority = Authority("Example Corporation")
        self.releases = releases
        self.url = f"http://{user}:{quote(password, safe='')}@{_ADDRESS[0]}:{_ADDRESS[1]}"
        self.wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        self.asked: list[str] = []
        """As "GET https://host/path", of those with the password."""
        self.refused = 0
        self.outside = ssl.create_default_context()
        self._shown: dict[str, ssl.SSLContext] = {}
        self.one_at_a_time = threading.Lock()
        self._server = ThreadingHTTPServer(
            _ADDRESS, partial(_Handler, self), bind_and_activate=False
        )
        self._server.socket.close()
        self._server.socket = _listening_in(network)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def shown_for(self, host: str) -> ssl.SSLContext:
        """With a certificate for a host that isn't ours."""
        with self.one_at_a_time:
            if host not in self._shown:
                made = self.authority.issue([host])
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                with NamedTemporaryFile("w") as file:
                    file.write(made.key_pem() + made.pem)
                    file.flush()
                    context.load_cert_chain(file.name)
                self._shown[host] = context
            return self._shown[host]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: OpeningProxy, *words: object) -> None:
        self._proxy = proxy
        self._opened = ""
        self._onward: dict[str, http.client.HTTPConnection] = {}
        super().__init__(*words)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """The list of what was asked is all that is kept."""

    def finish(self) -> None:
        for connection in self._onward.values():
            connection.close()
        with suppress(OSError):
            super().finish()
        self.connection.close()

    def do_CONNECT(self) -> None:
        if not self._has_password():
            return
        host = self.path.rpartition(":")[0]
        self.send_response(200)
        self.end_headers()
        try:
            context = self._proxy.shown_for(host)
            self.connection = context.wrap_socket(self.connection, server_side=True)
        except OSError:
            # Who doesn't know our authority leaves.
            self.close_connection = True
            return
        self.rfile = self.connection.makefile("rb")
        self.wfile = _SocketWriter(self.connection)
        self._opened = f"https://{host}"
        self.close_connection = False

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if not self._opened and not self._has_password():
            return
        address = self._opened + self.path
        self._proxy.asked.append(f"{self.command} {address}")
        parts = urlsplit(address)
        if parts.hostname == RELEASES:
            self._give(self._proxy.releases / parts.path.lstrip("/"))
        else:
            self._pass_on(f"{parts.scheme}://{parts.netloc}")

    def _has_password(self) -> bool:
        if self.headers["Proxy-Authorization"] == self._proxy.wanted:
            return True
        self._proxy.refused += 1
        self.send_response(407)
        self.send_header("Proxy-Authenticate", 'Basic realm="Example Corporation"')
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def _give(self, file: Path) -> None:
        body = file.read_bytes() if file.is_file() else b""
        self.send_response(200 if body else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _pass_on(self, site: str) -> None:
        answer = self._answer_of(site)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _OF_THIS_HOP:
                self.send_header(name, value)
        has_body = self.command != "HEAD" and answer.status not in (204, 304)
        chunked = has_body and answer.length is None
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while has_body and (data := answer.read(2**16)):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")
        answer.read()

    def _answer_of(self, site: str) -> http.client.HTTPResponse:
        """From a connection that is there already, or from a new one, as those close in time."""
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in _OF_THIS_HOP
        }
        path = self.path if self._opened else self.path.removeprefix(site)
        kept = self._onward.get(site)
        if kept:
            with suppress(OSError, http.client.HTTPException):
                kept.request(self.command, path, headers=headers)
                return kept.getresponse()
            kept.close()
        new = self._onward[site] = self._connection_to(site)
        # Name servers are known that lose questions when uv opens all its connections at once.
        with self._proxy.one_at_a_time:
            new.connect()
        new.request(self.command, path, headers=headers)
        return new.getresponse()

    def _connection_to(self, site: str) -> http.client.HTTPConnection:
        scheme, _, host = site.partition("://")
        if scheme == "https":
            return http.client.HTTPSConnection(host, timeout=60, context=self._proxy.outside)
        return http.client.HTTPConnection(host, timeout=60)


def _listening_in(network: Path) -> socket:
    """A socket stays in the network in which it was made, whoever has it later."""
    made: list[socket] = []

    def make() -> None:
        # Moves this thread alone, which ends here.
        with network.open() as there:
            if ctypes.CDLL(None, use_errno=True).setns(there.fileno(), _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        made.append(create_server(_ADDRESS))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
