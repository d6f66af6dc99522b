"""The Unix accounts of services: one each, made once and remembered, so that what one wrote is
never another's."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance.errors import SpawnRefused
from appliance.systemd_spawner.accounts import StoreDamagedError, write_atomically
from appliance.systemd_spawner.host import Host

_PREFIX: Final = "svc-"
_SLUG_MAX: Final = 20
_FORMAT: Final = 1


class ServiceAccounts:
    """Which account runs which service."""

    def __init__(self, store: Path, *, host: Host) -> None:
        """Raises StoreDamagedError rather than give an account to another service."""
        self._store = store
        self._host = host
        self._lock = threading.Lock()
        self._accounts = _read(store)

    def ensure(self, service: str, home: Path) -> str:
        """The service's account, made now if need be; raises SpawnRefused."""
        with self._lock:
            account = self._accounts.get(service)
            if account is None:
                account = self._plan(service)
            self._host.ensure_system_account(account, home)
            return account

    def _plan(self, service: str) -> str:
        """Stored before it is made: after a power cut the next `ensure` carries on."""
        taken = set(self._accounts.values())
        account = next(
            name
            for name in _candidates(service)
            if name not in taken and not self._host.is_name_taken(name)
        )
        accounts = {**self._accounts, service: account}
        content = json.dumps({"format": _FORMAT, "accounts": accounts}, indent=1)
        try:
            write_atomically(self._store, content.encode())
        except OSError as err:
            raise SpawnRefused(
                "cannot store the accounts of services",
                why=str(err),
                mend=f"see whether the disk of {self._store.parent} is full or read-only",
            ) from err
        self._accounts = accounts
        return account


def _candidates(service: str) -> Iterator[str]:
    slug = re.sub(r"[^a-z0-9]+", "-", service.lower())[:_SLUG_MAX].strip("-") or "service"
    yield _PREFIX + slug
    number = 2
    while True:
        yield f"{_PREFIX}{slug}-{number}"
        number += 1


def _read(store: Path) -> dict[str, str]:
    try:
        content = json.loads(store.read_bytes())
        accounts = {str(service): str(name) for service, name in content["accounts"].items()}
        known = content["format"] == _FORMAT
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise _damaged(store, str(err)) from err
    if not known:
        raise _damaged(store, f"its format is not {_FORMAT}")
    return accounts


def _damaged(store: Path, why: str) -> StoreDamagedError:
    return StoreDamagedError(
        "cannot read which Unix account belongs to which service",
        why=f"{store}: {why}",
        mend=f"restore {store} from a backup",
    )
