"""Which Unix account belongs to which user: allocated once, stored, never derived and never reused.

A name computed from the user's could be made to collide with another's, and then two users would
share home, processes and server (CVE-2020-15110 is of that kind). Numbers count up for ever for
the same reason: a new account must not own what an old one left in /srv.

Every change is stored before it is made on the machine, so that after a power cut the next
`ensure` or `finish_interrupted` carries on where it stopped.
"""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from appliance.errors import ApplianceError, SpawnFailed, SpawnRefused
from appliance.names import Username
from appliance.systemd_spawner.host import Host

# Between what people and packages use (1000 …) and what systemd keeps for itself (60001 …).
FIRST_ID: Final = 20_000
LAST_ID: Final = 59_999

_PREFIX: Final = "nb-"
_SLUG_MAX: Final = 20
_FORMAT: Final = 1


class StoreDamagedError(ApplianceError):
    """The stored mapping can't be read; an admin must look before anything is started."""


class AccountState(StrEnum):
    """How far an account's making or retirement has come."""

    PLANNED = "planned"
    READY = "ready"
    RETIRING = "retiring"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Account:
    """A user's Unix account; the group has its name and number too."""

    user: Username
    name: str
    uid: int
    state: AccountState

    @property
    def is_current(self) -> bool:
        return self.state in (AccountState.PLANNED, AccountState.READY)


class Accounts:
    """The stored mapping, and making the machine agree with it."""

    def __init__(self, store: Path, *, host: Host) -> None:
        """Read the store; raise StoreDamagedError rather than begin anew and reuse numbers."""
        self._store = store
        self._host = host
        self._lock = threading.Lock()
        self._accounts, self._next_id = _read(store)
        self._current = {account.user: account for account in self._accounts if account.is_current}

    def find(self, user: Username) -> Account | None:
        with self._lock:
            return self._current.get(user)

    def home(self, account: Account) -> Path:
        return self._host.home(account.name)

    def ensure(self, user: Username) -> Account:
        """The user's account with its home, made now if need be; raises SpawnRefused."""
        with self._lock:
            account = self._current.get(user) or self._plan(user)
            self._host.ensure_account(account.name, account.uid)
            if account.state is AccountState.READY:
                self._host.check_home(account.name, account.uid)
                return account
            self._host.ensure_home(account.name, account.uid)
            return self._change(account, AccountState.READY)

    def retire(self, user: Username) -> None:
        """Give the name up: a later user of it gets another account."""
        with self._lock:
            account = self._current.get(user)
            if account is not None:
                self._seal(self._change(account, AccountState.RETIRING))

    def rename(self, user: Username, new: Username) -> None:
        """Give the account to another name; name and number of the account itself stay.

        Nothing is left to do if this was done before, or if the user never had an account.
        """
        with self._lock:
            account = self._current.get(user)
            if account is None:
                return
            if new in self._current:
                raise SpawnRefused(
                    f"cannot rename the user '{user}'",
                    why=f"there is an account of '{new}' on this machine already",
                    mend="choose another name",
                )
            changed = replace(account, user=new)
            accounts = [changed if one is account else one for one in self._accounts]
            try:
                self._write(accounts, self._next_id)
            except SpawnRefused as err:
                # Not refused: it may be on the disk nevertheless, and must be tried again.
                raise SpawnFailed(err.what, why=err.why, mend=err.mend) from err

    def finish_interrupted(self) -> None:
        """Carry on with what a power cut or a full disk interrupted; before the first request."""
        with self._lock:
            if any(account.state is AccountState.PLANNED for account in self._accounts):
                self._host.mend_databases()
            for account in list(self._accounts):
                if account.state is AccountState.RETIRING:
                    self._seal(account)

    def _seal(self, account: Account) -> None:
        self._host.seal(account.name, account.uid)
        self._change(account, AccountState.RETIRED)

    def _plan(self, user: Username) -> Account:
        taken = {account.name for account in self._accounts}
        name = next(
            name
            for name in _candidates(user)
            if name not in taken and not self._host.is_name_taken(name)
        )
        uid = self._next_id
        while uid <= LAST_ID and self._host.is_id_taken(uid):
            uid += 1
        if uid > LAST_ID:
            raise SpawnRefused(
                f"cannot make an account for '{user}'",
                why=f"all user ids from {FIRST_ID} to {LAST_ID} have been used",
                mend="use a new machine; ids of removed users are never used again",
            )
        account = Account(user, name, uid, AccountState.PLANNED)
        self._write([*self._accounts, account], uid + 1)
        return account

    def _change(self, account: Account, state: AccountState) -> Account:
        changed = replace(account, state=state)
        accounts = [changed if one is account else one for one in self._accounts]
        self._write(accounts, self._next_id)
        return changed

    def _write(self, accounts: list[Account], next_id: int) -> None:
        """Store first, then remember: memory never runs ahead of the disk."""
        content = {
            "format": _FORMAT,
            "next_id": next_id,
            "accounts": [asdict(account) for account in accounts],
        }
        try:
            write_atomically(self._store, json.dumps(content, indent=1).encode())
        except OSError as err:
            raise SpawnRefused(
                "cannot store the Unix accounts",
                why=str(err),
                mend=f"see whether the disk of {self._store.parent} is full or read-only",
            ) from err
        self._accounts, self._next_id = accounts, next_id
        self._current = {account.user: account for account in accounts if account.is_current}


def _candidates(user: Username) -> Iterator[str]:
    """nb-ada, nb-ada-2, nb-ada-3, …: at most 32 characters, of an account's alphabet."""
    slug = re.sub(r"[^a-z0-9]+", "-", user)[:_SLUG_MAX].strip("-") or "user"
    yield _PREFIX + slug
    number = 2
    while True:
        yield f"{_PREFIX}{slug}-{number}"
        number += 1


def _read(store: Path) -> tuple[list[Account], int]:
    try:
        content = json.loads(store.read_bytes())
    except FileNotFoundError:
        return [], FIRST_ID
    except (OSError, ValueError) as err:
        raise _damaged(store, str(err)) from err
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _damaged(store, f"its format is not {_FORMAT}")
    try:
        accounts = [
            Account(
                Username(str(row["user"])),
                str(row["name"]),
                int(row["uid"]),
                AccountState(row["state"]),
            )
            for row in content["accounts"]
        ]
        highest = max((account.uid for account in accounts), default=FIRST_ID - 1)
        return accounts, max(int(content["next_id"]), highest + 1)
    except (KeyError, TypeError, ValueError) as err:
        raise _damaged(store, f"{type(err).__name__}: {err}") from err


def _damaged(store: Path, why: str) -> StoreDamagedError:
    return StoreDamagedError(
        "cannot read which Unix account belongs to whom",
        why=f"{store}: {why}",
        mend=f"restore {store} from a backup",
    )


def write_atomically(path: Path, content: bytes) -> None:
    """The whole file or the one before, whenever the power goes; for root alone."""
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
