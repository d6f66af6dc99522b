"""Ports for programs that are started a moment later."""

from __future__ import annotations

import itertools
import os
import socket
from collections.abc import Iterator
from typing import Final

# Below the range from which Linux takes ports for connections (ip(7), ip_local_port_range), so that
# none is in the way by chance; a part for each of the workers that run tests side by side. Each run
# begins somewhere else there, for another's on the same machine.
_FIRST: Final = 12_000
_PER_WORKER: Final = 2_000
_WORKERS: Final = 10


def _numbers() -> Iterator[int]:
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % _WORKERS
    first = _FIRST + worker * _PER_WORKER
    begin = os.getpid() * 97 % _PER_WORKER
    return (first + number % _PER_WORKER for number in itertools.count(begin))


_ports: Final = _numbers()


def free_port() -> int:
    """A port of the loopback interface that nobody listens at, and no other test is given."""
    for port in _ports:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("itertools.count ends never")
