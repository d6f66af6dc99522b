"""The point that an upgrade goes back to: whole or not there, wherever the power goes away."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from appliance.audit import Action, AuditLog, at_the_terminal
from appliance.places import Places
from installer import going_back
from installer.events import Reporter
from installer.files import point_link, write_file
from installer.point import Point, copy_database, schema_of
from installer.rebuild import go_back_from_what_was_cut_off
from tests.fakes.clock import FakeClock


class PowerCut(BaseException):
    """Nothing after this is done, and nothing catches it."""


@dataclass
class Machine:
    """Files of an installed appliance, of release 1 or 2."""

    places: Places
    etc: Path

    @classmethod
    def make(cls, folder: Path) -> Machine:
        places = replace(
            Places.installed(),
            software=folder / "opt",
            state=folder / "var",
            settings=folder / "etc/appliance",
        )
        machine = cls(places, folder / "etc")
        for release in ("1", "2"):
            for name in ("hub", "user", "spawner"):
                (places.software / f"environments/{name}-{release}").mkdir(parents=True)
        for path in (places.rendered, places.hub_state, folder / "etc/systemd/system"):
            path.mkdir(parents=True)
        (places.software / "wheels").mkdir()
        machine.switch_to("1")
        with closing(sqlite3.connect(places.database)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
            connection.execute("CREATE TABLE users (name TEXT)")
            connection.execute("INSERT INTO alembic_version VALUES ('0001')")
            connection.execute("INSERT INTO users VALUES ('ada')")
            connection.commit()
        return machine

    @property
    def unit(self) -> Path:
        return self.etc / "systemd/system/appliance-hub.service"

    @property
    def added(self) -> Path:
        return self.etc / "systemd/system/appliance-more.service"

    def switch_to(self, release: str) -> None:
        write_file(self.unit, f"unit {release}".encode())
        write_file(self.places.rendered / "hub.json", f"settings {release}".encode(), mode=0o640)
        if release == "2":
            write_file(self.added, b"a unit of the newer release")
        for name in ("hub", "user", "spawner"):
            point_link(self.places.software / name, f"environments/{name}-{release}")
        point_link(self.places.software / "wheels/installed.whl", f"{release}/hub.whl")

    def migrate(self) -> None:
        """As the newer hub does: a whole copy, and then all in one transaction."""
        database = self.places.database
        if schema_of(database) == "0002":
            return
        copy = database.with_name(f"{database.name}.before-upgrade-from-0001")
        copy_database(database, copy.with_name(f"{copy.name}.new"))
        copy.with_name(f"{copy.name}.new").replace(copy)
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("UPDATE alembic_version SET version_num = '0002'")
            connection.execute("INSERT INTO users VALUES ('new')")
            connection.commit()

    def upgrade(self) -> None:
        point = Point.under_way(self.places, self.etc)
        point.take(version="1", newer="2", schema="0001")
        self.switch_to("2")
        self.migrate()
        point.commit()

    def look(self) -> tuple[object, ...]:
        with closing(sqlite3.connect(self.places.database)) as connection:
            users = [name for (name,) in connection.execute("SELECT name FROM users")]
        return (
            self.unit.read_text(),
            self.added.exists(),
            (self.places.rendered / "hub.json").read_text(),
            [(self.places.software / name).readlink().name for name in ("hub", "user", "spawner")],
            schema_of(self.places.database),
            users,
        )


OLD = ("unit 1", False, "settings 1", ["hub-1", "user-1", "spawner-1"], "0001", ["ada"])
NEW = ("unit 2", True, "settings 2", ["hub-2", "user-2", "spawner-2"], "0002", ["ada", "new"])
_CALLS = ("rename", "replace", "unlink", "symlink", "fsync", "mkdir", "chmod")


@contextmanager
def power_for(calls: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let so many calls that change the disk through; the list has how many there were."""
    count = [0]

    def counting(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*words: Any, **more: Any) -> Any:
            if count[0] >= calls:
                raise PowerCut
            count[0] += 1
            return real(*words, **more)

        return call

    with monkeypatch.context() as patch:
        for name in _CALLS:
            patch.setattr(os, name, counting(getattr(os, name)))
        yield count


def _calls_of_an_upgrade(folder: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    machine = Machine.make(folder)
    with power_for(10**6, monkeypatch) as count:
        machine.upgrade()
    assert machine.look() == NEW
    return count[0]


def test_wherever_the_power_goes_away_it_is_one_release_or_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = _calls_of_an_upgrade(tmp_path / "whole", monkeypatch)
    assert total > 20
    outcomes = []
    for calls in range(total):
        machine = Machine.make(tmp_path / str(calls))
        with power_for(calls, monkeypatch), pytest.raises(PowerCut):
            machine.upgrade()
        go_back_from_what_was_cut_off(machine.places, machine.etc)
        assert machine.look() in (OLD, NEW), f"cut after {calls} of {total}"
        assert not Point.under_way(machine.places, machine.etc).exists
        outcomes.append(machine.look())
    assert outcomes[0] == OLD
    assert outcomes[-1] == NEW, "the last call is after the moment that completes it"
    assert outcomes == sorted(outcomes, key=lambda one: one == NEW), "complete stays complete"


def test_going_back_can_be_cut_off_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut_off_at_the_end(folder: Path) -> Machine:
        machine = Machine.make(folder)
        Point.under_way(machine.places, machine.etc).take(version="1", newer="2", schema="0001")
        machine.switch_to("2")
        machine.migrate()
        return machine

    whole = cut_off_at_the_end(tmp_path / "whole")
    with power_for(10**6, monkeypatch) as count:
        assert go_back_from_what_was_cut_off(whole.places, whole.etc)
    assert whole.look() == OLD
    for calls in range(count[0]):
        machine = cut_off_at_the_end(tmp_path / str(calls))
        with power_for(calls, monkeypatch), pytest.raises(PowerCut):
            go_back_from_what_was_cut_off(machine.places, machine.etc)
        go_back_from_what_was_cut_off(machine.places, machine.etc)
        assert machine.look() == OLD, f"cut after {calls} of {count[0]}"


def test_without_a_migration_nothing_that_was_written_since_is_lost(tmp_path: Path) -> None:
    machine = Machine.make(tmp_path)
    point = Point.under_way(machine.places, machine.etc)
    point.take(version="1", newer="2", schema="0001")
    machine.switch_to("2")
    with closing(sqlite3.connect(machine.places.database)) as connection:
        connection.execute("INSERT INTO users VALUES ('meanwhile')")
        connection.commit()
    assert not point.changes_schema()
    assert go_back_from_what_was_cut_off(machine.places, machine.etc)
    assert machine.look() == (*OLD[:-1], ["ada", "meanwhile"])


def test_the_newer_database_is_kept_beside(tmp_path: Path) -> None:
    machine = Machine.make(tmp_path)
    machine.upgrade()
    point = Point.previous(machine.places, machine.etc)
    assert point.changes_schema()
    point.restore_files()
    aside = point.restore_database()
    assert machine.look() == OLD
    assert aside is not None
    assert schema_of(aside) == "0002"


def test_going_back_says_what_was_done_since_and_stops_the_hub_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine, clock = Machine.make(tmp_path), FakeClock()
    machine.places.root_audit.mkdir(parents=True)
    log = AuditLog(machine.places.root_audit, clock=clock)
    seen: dict[str, object] = {}

    def systemctl(*words: str) -> bool:
        seen[" ".join(words[1:])] = schema_of(machine.places.database)
        return True

    monkeypatch.setattr(going_back, "succeeds", systemctl)
    clock.wall = datetime.now(UTC) - timedelta(hours=1)
    log.add(at_the_terminal(), Action.CREATE_USER, ["amy"])
    machine.upgrade()
    clock.wall = datetime.now(UTC) + timedelta(hours=1)
    log.add(at_the_terminal(), Action.CREATE_USER, ["dora"])
    point = Point.previous(machine.places, machine.etc)
    (lost,) = going_back.go_back(point, Reporter(as_json=False))
    assert lost.startswith("user.create dora by ")
    assert machine.look() == OLD
    assert seen["stop appliance-more.service"] == "0002"
    assert [seen[one] for one in seen if one.endswith(" appliance-hub.service")] == ["0002", "0001"]


def test_an_installer_that_was_killed_is_gone_back_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the unit that the upkeep starts."""
    machine = Machine.make(tmp_path)
    point = Point.under_way(machine.places, machine.etc)
    monkeypatch.setattr(Point, "under_way", lambda _: point)
    monkeypatch.setattr(going_back, "exclusively", nullcontext)
    monkeypatch.setattr(going_back, "succeeds", lambda *_: True)
    assert going_back.main() == 0
    assert machine.look() == OLD
    point.take(version="1", newer="2", schema="0001")
    machine.switch_to("2")
    machine.migrate()
    assert going_back.main() == 0
    assert machine.look() == OLD
    assert not point.exists


def test_nobody_but_root_reads_a_point(tmp_path: Path) -> None:
    machine = Machine.make(tmp_path)
    machine.upgrade()
    folder = Point.previous(machine.places, machine.etc).folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "hub.sqlite").stat().st_mode & 0o777 == 0o600
