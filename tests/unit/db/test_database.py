"""The database: schema, durability settings, upgrades, and words for a full disk."""

from __future__ import annotations

import sqlite3
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, delete, select, text
from sqlalchemy.exc import IntegrityError

from appliance.db import migrations
from appliance.db.errors import SchemaTooNewError, StorageError
from appliance.db.migrations.upgrade import alembic_config
from appliance.db.models import Password, User, UserState
from appliance.db.session import Database

NOW = datetime(2026, 9, 1, tzinfo=UTC)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    db = Database.at(tmp_path / "hub.sqlite")
    db.open()
    return db


def test_the_known_revisions_are_those_in_the_folder() -> None:
    folder = ScriptDirectory.from_config(alembic_config())
    assert [one.revision for one in reversed(list(folder.walk_revisions()))] == list(
        migrations.REVISIONS
    )


def test_migrations_make_what_the_models_say(tmp_path: Path) -> None:
    Database.at(tmp_path / "x.sqlite").open()
    engine = create_engine(f"sqlite:///{tmp_path}/x.sqlite")
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)


def test_commits_wait_for_the_disk(db: Database) -> None:
    with db.session() as session:
        found = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_a_failure_inside_a_session_leaves_no_trace(db: Database) -> None:
    with pytest.raises(IntegrityError), db.session() as session:
        session.add_all([User(name="ada", state="active", created=NOW) for _ in range(2)])
    with db.session() as session:
        assert session.scalar(select(User)) is None


def test_its_size_counts_what_is_in_the_log(db: Database) -> None:
    before = db.size() or 0
    with db.session() as session:
        session.add_all(
            User(name=f"student{number}", state="active", created=NOW) for number in range(2_000)
        )
    grown = (db.size() or 0) - before
    assert grown > 2_000 * len("student1000")
    assert db.path
    assert db.path.stat().st_size < grown, "it is in the log"


def test_times_come_back_as_they_were_in_utc(db: Database) -> None:
    moment = datetime(2026, 9, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with db.session() as session:
        session.add(User(name="ada", state="active", created=moment))
    with db.session() as session:
        found = session.scalars(select(User)).one().created
    assert found == moment
    assert found.utcoffset() == timedelta(0)


def test_deleting_a_user_takes_the_password_along(db: Database) -> None:
    with db.session() as session:
        user = User(name="ada", state="active", created=NOW)
        user.password = Password(hash="x", changed=NOW)
        session.add(user)
    with db.session() as session:
        session.delete(session.scalars(select(User)).one())
    with db.session() as session:
        assert session.scalar(select(Password)) is None


def test_a_database_of_a_later_program_is_left_alone(db: Database, tmp_path: Path) -> None:
    with db.session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    db.close()
    with pytest.raises(SchemaTooNewError) as refused:
        Database.at(tmp_path / "hub.sqlite").open()
    assert "9999" in refused.value.why
    assert refused.value.mend


def test_before_an_upgrade_there_is_a_copy(
    db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with db.session() as session:
        session.add(User(name="ada", state="active", created=NOW))
    db.close()
    real = migrations.HEAD
    monkeypatch.setattr(migrations, "HEAD", "9999")
    upgraded: list[object] = []
    monkeypatch.setattr("appliance.db.migrations.upgrade.upgrade", upgraded.append)
    Database.at(tmp_path / "hub.sqlite").open()
    assert len(upgraded) == 1
    copy = tmp_path / f"hub.sqlite.before-upgrade-from-{real}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    names = sqlite3.connect(copy).execute("SELECT name FROM users").fetchall()
    assert names == [("ada",)]


def test_a_migration_that_is_interrupted_leaves_no_half_schema(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.runtime.migration.HeadMaintainer.update_to_step", fail)
    with pytest.raises(KeyboardInterrupt):
        Database.at(tmp_path / "hub.sqlite").open()
    monkeypatch.undo()
    tables = sqlite3.connect(tmp_path / "hub.sqlite").execute("SELECT name FROM sqlite_master")
    assert tables.fetchall() == []
    Database.at(tmp_path / "hub.sqlite").open()


def test_a_full_disk_is_said_in_words(db: Database) -> None:
    with db.session() as session:
        pages = session.execute(text("PRAGMA page_count")).scalar()
        session.connection().exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageError) as refused, db.session() as session:
        session.add_all(
            [User(name=f"user{number}", state="active", created=NOW) for number in range(500)]
        )
    assert refused.value.why == "the disk is full"
    with db.session() as session:
        assert session.scalar(select(User)) is None


def test_a_file_that_is_no_database_is_said_in_words(tmp_path: Path) -> None:
    path = tmp_path / "hub.sqlite"
    path.write_bytes(b"not a database at all, not even close" * 100)
    with pytest.raises(StorageError) as refused:
        Database.at(path).open()
    assert "no database" in refused.value.why


def test_what_is_remembered_is_forgotten_when_something_is_written(db: Database) -> None:
    reads: list[int] = []

    def read() -> int:
        reads.append(1)
        return len(reads)

    def add(name: str) -> None:
        with db.session() as session:
            session.add(User(name=name, state=UserState.ACTIVE, created=NOW))
            session.flush()
            before = len(reads)
            assert db.remembered("one", read) == before

    with db.session():
        pass
    assert [db.remembered("one", read), db.remembered("one", read)] == [1, 1]
    assert db.remembered("another", read) == 2
    with db.session() as session:
        session.scalars(select(User)).all()
    assert db.remembered("another", read) == 2
    assert db.remembered("one", read) == 1
    reads[:] = [1]
    add("ada")
    assert db.remembered("one", read) == 2
    # By statements, too, and what they take along.
    with db.session() as session:
        session.execute(delete(User))
    assert db.remembered("one", read) == 3


def test_that_there_is_nothing_is_not_remembered_and_memory_is_bounded(db: Database) -> None:
    found = iter([None, "there"])
    assert [db.remembered("late", lambda: next(found)) for _ in range(2)] == [None, "there"]
    for number in range(5000):
        db.remembered(number, lambda: "x")
    assert len(db._remembered) <= 1000


def test_moments_come_back_as_they_went(db: Database) -> None:
    late = NOW.replace(microsecond=123456)
    with db.session() as session:
        session.add(User(name="ada", state="active", created=NOW, last_activity=late))
        session.add(User(name="bob", state="active", created=NOW))
    with db.reading() as connection:
        found = connection.execute(select(User.created, User.last_activity).order_by(User.id)).all()
    assert [tuple(row) for row in found] == [(NOW, late), (NOW, None)]
    assert found[0][0].tzinfo is UTC
