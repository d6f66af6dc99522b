"""Whether people reach the appliance: its health page, asked for through the proxy's own address.

A port that was taken by another program is why this isn't a plain "something answers": nginx's
reload logs that it can't bind and goes on as before, so only an answer of *our* hub on the new
address counts.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import socket
import ssl
import subprocess
import time
from dataclasses import dataclass
from typing import Final

from appliance.config.schema import Config
from appliance.errors import ApplianceError

VERSION_HEADER: Final = "X-Appliance-Version"
"""Every answer of the hub carries it."""

_PAUSE_SECONDS: Final = 0.15
_REQUEST_SECONDS: Final = 3.0


class Unhealthy(ApplianceError):
    """The appliance doesn't answer with this configuration; `log` is what its units said last."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment after which nobody waits any more."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(time.monotonic() + seconds)

    @property
    def left(self) -> float:
        """Seconds left, never less than a tenth, so that what takes a time limit gets one."""
        return max(self.at - time.monotonic(), 0.1)

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.at


def listening(config: Config) -> tuple[str, int]:
    """Address and port at which this machine reaches its own proxy by plain HTTP."""
    address = config.http.address
    if address in {"", "0.0.0.0"}:  # noqa: S104 - read here, bound nowhere
        return _loopback(), config.http.port
    return ("::1" if address == "::" else address), config.http.port


def _loopback() -> str:
    """The usual one, or IPv6's on a machine that has no IPv4 address at all."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
    except OSError:
        return "::1"
    return "127.0.0.1"


def health_url(config: Config, scheme: str = "http") -> str:
    address, port = listening(config)
    host = f"[{address}]" if ":" in address else address
    port = config.https.port if scheme == "https" else port
    return f"{scheme}://{host}:{port}{config.base_url}hub/health"


def wait_for_health(config: Config, deadline: Deadline) -> None:
    """Return when our hub answers through the proxy; Unhealthy with the last reason otherwise."""
    while True:
        why = find_fault(config)
        if not why:
            return
        if deadline.over:
            raise Unhealthy(
                "cannot reach the hub through the proxy",
                why=why,
                mend="sudo appliance logs hub; sudo appliance logs proxy",
            )
        time.sleep(min(_PAUSE_SECONDS, deadline.left))


def find_fault(config: Config) -> str:
    """Ask once, by plain HTTP and by HTTPS if it is on; "" when our hub answers, else what is
    wrong."""
    address, port = listening(config)
    plain = http.client.HTTPConnection(address, port, timeout=_REQUEST_SECONDS)
    fault = _fault(config, plain, "http")
    if fault or not config.https.is_on:
        return fault
    encrypted = http.client.HTTPSConnection(
        address, config.https.port, timeout=_REQUEST_SECONDS, context=_any_certificate()
    )
    return _fault(config, encrypted, "https")


def _any_certificate() -> ssl.SSLContext:
    """For asking ourselves by address: the certificate has the public name, and is looked at by
    the upkeep. OpenSSL must not read the system's authorities for it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _fault(config: Config, connection: http.client.HTTPConnection, scheme: str) -> str:
    url = health_url(config, scheme)
    try:
        connection.request("GET", f"{config.base_url}hub/health", headers={"Connection": "close"})
        answer = connection.getresponse()
        content = answer.read(4096)
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer ({_reason(error)})"
    finally:
        connection.close()
    if answer.status == http.client.SERVICE_UNAVAILABLE and (excuse := _excuse(content)):
        return excuse
    if answer.status in {502, 503, 504}:
        return f"the proxy answers at {url}, the hub behind it does not ({answer.status})"
    if answer.getheader(VERSION_HEADER) is None:
        return f"another program answers at {url} ({answer.status})"
    if answer.status != http.client.OK:
        return f"the hub answers {answer.status} at {url}"
    return ""


def _excuse(content: bytes) -> str:
    """What a hub says that can't start; "" for any other answer."""
    try:
        said = json.loads(content)
        return f"{said['message']} (to mend: {said['mend']})"
    except (ValueError, KeyError, TypeError):
        return ""


def check_port(config: Config, *, held: Config | None) -> None:
    """Raise when nginx could not listen at the configured address, before anything is changed.

    `held` is the configuration in force, whose ports are nginx's own.
    """
    for port in sorted(ports(config) - (ports(held) if held else set())):
        _check_port(config, port)


def ports(config: Config) -> set[int]:
    """The ports that people come to."""
    return {config.http.port} | ({config.https.port} if config.https.is_on else set())


def _check_port(config: Config, port: int) -> None:
    address = config.http.address
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            raise _cannot_listen(config, port, error) from error


def check_address(config: Config) -> None:
    """Raise when the configured address isn't one of this machine's."""
    address = config.http.address
    if not address:
        return
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            raise _cannot_listen(config, config.http.port, error) from error


def _cannot_listen(config: Config, port: int, error: OSError) -> ApplianceError:
    setting = "http.port" if port == config.http.port else "https.port"
    what = f"cannot listen at {config.http.address or 'every address'}, port {port}"
    if error.errno == errno.EADDRINUSE:
        owner = _owner_of(port)
        return ApplianceError(
            what,
            why=f"the port is taken by {owner or 'another program'}",
            mend=f"choose another {setting}, or stop that program",
        )
    if error.errno == errno.EACCES:
        return ApplianceError(
            what,
            why="ports below 1024 need root",
            mend=f"choose another {setting}, from 1024 to 65535",
        )
    if error.errno in {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}:
        return ApplianceError(
            what,
            why="this machine has no such address",
            mend="appliance config unset http.address, or one of the addresses in `ip address`",
        )
    return ApplianceError(
        what, why=_reason(error), mend=f"choose another http.address or {setting}"
    )


def _owner_of(port: int) -> str:
    """The program that listens at a port, as far as `ss` can tell."""
    try:
        done = subprocess.run(
            ["ss", "-Hltnp", f"sport = :{port}"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return ""
    _, found, rest = done.stdout.partition('users:(("')
    name, _, rest = rest.partition('",pid=')
    return f"{name} (process {rest.partition(',')[0]})" if found else ""


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return "the answer is not HTTPS"
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else "the answer is not HTTP"
