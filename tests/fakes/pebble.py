"""Debian's pebble: a real ACME server for tests, with a name server whose answers tests choose."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.fakes.certificates import Authority, write_pair
from tests.fakes.ports import free_port

_SECONDS = 15.0


@dataclass
class NameServer:
    """pebble-challtestsrv: what pebble finds where it looks for a name."""

    port: int
    management: int

    def set_address(self, name: str, address: str) -> None:
        self._post("add-a", {"host": f"{name}.", "addresses": [address]})

    def set_default(self, address: str) -> None:
        self._post("set-default-ipv4", {"ip": address})

    def fail(self, name: str) -> None:
        """The name has no address any more."""
        self._post("set-servfail", {"host": f"{name}."})

    def mend(self, name: str) -> None:
        self._post("clear-servfail", {"host": f"{name}."})

    def _post(self, what: str, body: dict[str, object]) -> None:
        url = f"http://127.0.0.1:{self.management}/{what}"
        with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=5) as answer:
            answer.read()


@dataclass
class Pebble:
    """A running ACME server."""

    port: int
    management: int
    authority_file: Path
    log: Path
    process: subprocess.Popen[bytes]

    @property
    def directory(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    def root(self) -> str:
        """The certificate that all of its certificates lead to."""
        context = ssl.create_default_context(cafile=str(self.authority_file))
        url = f"https://127.0.0.1:{self.management}/roots/0"
        with urllib.request.urlopen(url, context=context, timeout=5) as answer:
            return answer.read().decode()  # type: ignore[no-any-return]

    def orders(self) -> int:
        """How many orders it has had."""
        return self.log.read_text().count(" orders in the db")


@contextlib.contextmanager
def name_server(folder: Path) -> Iterator[NameServer]:
    program = _program("pebble-challtestsrv")
    made = NameServer(free_port(), free_port())
    command = [
        program, "-management", f"127.0.0.1:{made.management}", "-dns01", f"127.0.0.1:{made.port}",
        "-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", "",
        "-defaultIPv4", "127.0.0.1",
    ]  # fmt: skip
    with _running(command, folder / "challtestsrv.log"):
        _wait(lambda: made.set_default("127.0.0.1"))
        yield made


@contextlib.contextmanager
def pebble(folder: Path, names: NameServer, *, http_port: int) -> Iterator[Pebble]:
    """Run one that looks for proofs at that port."""
    program = _program("pebble")
    folder.mkdir(parents=True)
    authority = Authority(f"Of {folder.name}")
    certificate, key = write_pair(folder, authority.issue(["127.0.0.1", "localhost"]))
    (folder / "authority.pem").write_text(authority.pem)
    port, management = free_port(), free_port()
    settings = {
        "listenAddress": f"127.0.0.1:{port}",
        "managementListenAddress": f"127.0.0.1:{management}",
        "certificate": str(certificate),
        "privateKey": str(key),
        "httpPort": http_port,
        "tlsPort": free_port(),
        "ocspResponderURL": "",
        "externalAccountBindingRequired": False,
    }
    (folder / "pebble.json").write_text(json.dumps({"pebble": settings}))
    command = [program, "-config", str(folder / "pebble.json"), "-strict"]
    command += ["-dnsserver", f"127.0.0.1:{names.port}"]
    log = folder / "pebble.log"
    # Else it refuses one nonce in twenty by chance, and now and then two in a row.
    chance = {"PEBBLE_WFE_NONCEREJECT": "0"}
    environment = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", **chance}
    with _running(command, log, environment) as process:
        made = Pebble(port, management, folder / "authority.pem", log, process)
        _wait(made.root)
        yield made


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"needs {name}: apt-get install pebble")
    return found


@contextlib.contextmanager
def _running(
    command: list[str], log: Path, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)


def _wait(ask: object) -> None:
    until = time.monotonic() + _SECONDS
    while True:
        try:
            ask()  # type: ignore[operator]
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)
        else:
            return
