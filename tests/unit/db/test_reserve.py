"""Room that is kept back for the database, on a disk whose fullness the test decides."""

from __future__ import annotations

import errno
import os
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import event, select

from appliance.db.errors import StorageError
from appliance.db.models import User
from appliance.db.reserve import Reserve
from appliance.db.session import Database

SIZE = 64 * 1024


class Disk:
    """How much is free on it."""

    def __init__(self) -> None:
        self.free = 100 * SIZE

    def statvfs(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(f_bavail=self.free, f_frsize=1)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr("appliance.db.reserve.os.statvfs", disk.statvfs)
    return disk


@pytest.fixture
def reserve(tmp_path: Path, disk: Disk) -> Reserve:
    return Reserve(tmp_path / "reserve", size=SIZE)


def test_it_takes_blocks_and_not_only_a_length(reserve: Reserve, tmp_path: Path) -> None:
    reserve.take()
    reserve.take()
    found = (tmp_path / "reserve").stat()
    assert found.st_blocks * 512 >= SIZE
    assert os.listdir(tmp_path) == ["reserve"]  # noqa: PTH208 - the names alone


def test_it_is_given_up_once_and_only_when_the_disk_is_full(
    reserve: Reserve, disk: Disk, tmp_path: Path
) -> None:
    reserve.take()
    assert not reserve.give_up()
    disk.free = 0
    assert reserve.give_up()
    assert not reserve.give_up()
    reserve.take()
    assert not (tmp_path / "reserve").exists()
    disk.free = 100 * SIZE
    reserve.take()
    assert (tmp_path / "reserve").exists()


def test_what_cannot_be_kept_is_no_failure(tmp_path: Path, disk: Disk) -> None:
    Reserve(tmp_path / "missing" / "reserve", size=SIZE).take()


def test_a_database_on_a_full_disk_opens_in_the_reserve(
    reserve: Reserve, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve.take()
    disk.free = 0
    tries: list[bool] = []

    def refuse_at_first(_: object) -> str | None:
        tries.append((tmp_path / "reserve").exists())
        if tries[-1]:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error
        return None

    monkeypatch.setattr(Database, "_current_revision", refuse_at_first)
    Database.at(tmp_path / "hub.sqlite", reserve=reserve).open()
    assert tries == [True, False]


def test_the_first_to_write_on_a_full_disk_finds_room(
    reserve: Reserve, disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = Database.at(tmp_path / "hub.sqlite", reserve=reserve)
    db.open()
    reserve.take()
    disk.free = 0
    with db.session() as session:
        session.add(_user(1))
    # The file system lets the hub have what it keeps for root: nothing had to be given up.
    assert sorted(path.name for path in tmp_path.glob("reserve*")) == ["reserve"]

    def refuse(descriptor: int, offset: int, size: int) -> None:
        del descriptor, offset, size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("appliance.db.reserve.os.posix_fallocate", refuse)
    with db.session() as session:
        assert session.scalar(select(User.name)) == "user1"
        assert not list(tmp_path.glob("reserve*"))


def test_who_meets_the_full_disk_first_is_asked_to_try_again(
    reserve: Reserve, disk: Disk, tmp_path: Path
) -> None:
    db = Database.at(tmp_path / "hub.sqlite", reserve=reserve)
    db.open()
    reserve.take()
    disk.free = 0

    def fill(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA max_page_count=1")

    event.listen(db._engine, "connect", fill)
    db._engine.dispose()
    with pytest.raises(StorageError, match="try again"), db.session() as session:
        session.add_all([_user(number) for number in range(500)])
    with pytest.raises(StorageError) as refused, db.session() as session:
        session.add_all([_user(number) for number in range(500)])
    assert "try again" not in refused.value.mend
    with db.session() as session:
        assert session.scalar(select(User)) is None


def _user(number: int) -> User:
    return User(name=f"user{number}", state="active", created=datetime(2026, 9, 1, tzinfo=UTC))
