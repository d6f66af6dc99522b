"""Ways for the proxy to services whose address it can't have in its configuration.

nginx knows the services of the configuration that have an address in numbers. For one made through
the API, or known by a host's name, there is a socket in a folder that only hub and proxy may enter;
what comes there goes on to the service byte for byte, and the name is looked up each time.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from appliance.hub.services import HubService, Services

log = logging.getLogger(__name__)

_CONNECT_SECONDS: Final = 10.0
# Amazon's, which is not link-local.
_METADATA: Final = ipaddress.ip_address("fd00:ec2::254")
_BLOCK: Final = 64 * 1024


class ServiceRelays:
    """The sockets, one for each such service."""

    def __init__(self, folder: Path, *, services: Services) -> None:
        self._folder = folder
        self._services = services
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()

    async def open_all(self) -> None:
        """Open those that are needed; what an earlier hub left is removed."""
        try:
            self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
            for left in self._folder.glob("*.sock"):
                left.unlink(missing_ok=True)
            for service in self._services.all().values():
                await self.open(service)
        except OSError as err:
            log.warning("some services can't be reached: %s", err)

    async def open(self, service: HubService) -> None:
        """Let the proxy reach a service, if it needs help with that."""
        if not service.url or (not service.by_api and is_fixed(service.url)):
            return

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            if task is not None:
                self._connections.add(task)
                task.add_done_callback(self._connections.discard)
            await _relay(service, reader, writer)

        path = relay_socket(self._folder, service.name)
        path.unlink(missing_ok=True)
        server = await asyncio.start_unix_server(serve, path, backlog=1024)
        # The folder keeps everybody else out.
        path.chmod(0o666)
        self._servers[service.name] = server

    async def close(self, name: str) -> None:
        """Take no more requests for a service; those under way go on."""
        server = self._servers.pop(name, None)
        if server is not None:
            server.close()
            relay_socket(self._folder, name).unlink(missing_ok=True)

    async def close_all(self) -> None:
        for name in list(self._servers):
            await self.close(name)
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)


def relay_socket(folder: Path, name: str) -> Path:
    return folder / f"{name}.sock"


def is_fixed(url: str) -> bool:
    """Whether a service's address can stand in the proxy's configuration: it needs no look-up."""
    parts = urlsplit(url)
    if parts.scheme == "http+unix":
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_off_limits(host: str) -> bool:
    """Whether an address is none where a service made through the API can be.

    At link-local addresses clouds tell each machine its secrets.
    """
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    address = mapped or address
    return address.is_link_local or address.is_multicast or address == _METADATA


async def _relay(
    service: HubService, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    try:
        async with asyncio.timeout(_CONNECT_SECONDS):
            there, back = await _connect(service)
    except (OSError, TimeoutError, ValueError) as err:
        log.info("service %s: cannot reach %s: %s", service.name, service.url, err)
        # Closed without an answer, which the proxy takes for what it is.
        writer.close()
        return
    ways = {asyncio.create_task(_copy(reader, back)), asyncio.create_task(_copy(there, writer))}
    try:
        # Neither nginx nor a service goes on once it has closed its own side.
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        for end in (writer, back):
            end.close()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while block := await source.read(_BLOCK):
            sink.write(block)
            await sink.drain()


async def _connect(service: HubService) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = urlsplit(service.url)
    if parts.scheme == "http+unix":
        return await asyncio.open_unix_connection(unquote(parts.netloc))
    secure = ssl.create_default_context() if parts.scheme == "https" else None
    port = parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(parts.hostname, port, ssl=secure)
    # Only now it is known where a host's name leads.
    if service.by_api and is_off_limits(writer.get_extra_info("peername")[0]):
        writer.close()
        raise ValueError("that address is for the machine itself")
    return reader, writer
