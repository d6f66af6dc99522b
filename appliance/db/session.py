"""Opening the database, and sessions that commit or leave no trace.

SQLite with a write-ahead log and synchronous=FULL: what was acknowledged survives a power cut. The
hub is the only writer and works on the event loop, so sessions are short, without await inside.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import unicodedata
from collections.abc import Callable, Hashable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from appliance.db import migrations
from appliance.db.errors import (
    DOCTOR,
    DatabaseError,
    DatabaseGoneError,
    SchemaTooNewError,
    StorageError,
    trouble_with_disk,
)
from appliance.db.reserve import Reserve

log = logging.getLogger(__name__)

T = TypeVar("T")

_REMEMBERED: Final = 1000

_FULL: Final = "the disk is full"
# sqlite.org/rescode.html: what the disk did to us, not what we did wrong.
_STORAGE: Final = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: "the disk reports an error",
    sqlite3.SQLITE_READONLY: "the database can't be written",
    sqlite3.SQLITE_CANTOPEN: "the database can't be opened",
    sqlite3.SQLITE_BUSY: "another program keeps the database locked",
    sqlite3.SQLITE_CORRUPT: "the database file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no database",
}


class Database:
    """One database, given by URL; `open` before use."""

    def __init__(self, url: str, *, reserve: Reserve | None = None) -> None:
        """With a `reserve` it goes on for a while when the disk is full."""
        self.url = make_url(url)
        self._reserve = reserve
        self._engine: Engine = create_engine(self.url)
        self._remembered: dict[Hashable, Any] = {}
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare_connection)
            event.listen(self._engine, "begin", _begin)
        event.listen(self._engine, "commit", self._forget)

    @classmethod
    def at(cls, path: Path, *, reserve: Reserve | None = None) -> Database:
        return cls(f"sqlite:///{path}", reserve=reserve)

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"

    @property
    def path(self) -> Path | None:
        return Path(self.url.database) if self.is_sqlite and self.url.database else None

    def size(self) -> int | None:
        """In bytes, with what SQLite has in its write-ahead log; None if it isn't a file here."""
        if self.path is None or not self.path.exists():
            return None
        log = self.path.with_name(f"{self.path.name}-wal")
        return self.path.stat().st_size + (log.stat().st_size if log.exists() else 0)

    def open(self, *, may_be_new: bool = True) -> None:
        """Bring the schema up to date; raises SchemaTooNewError for a later program's database, and
        DatabaseGoneError if none is here and none may be made."""
        try:
            self._open(may_be_new=may_be_new)
        except StorageError:
            if not self._make_room():
                raise
            self._open(may_be_new=may_be_new)

    def _open(self, *, may_be_new: bool) -> None:
        with translated():
            if not may_be_new and self.path is not None and not _has_content(self.path):
                # Before SQLite is asked, which would make the file.
                raise DatabaseGoneError(self.path)
            current = self._current_revision()
            if current == migrations.HEAD:
                return
            if current is None and not may_be_new and self.path is not None:
                raise DatabaseGoneError(self.path)
            if current is not None and current not in migrations.REVISIONS:
                raise SchemaTooNewError(
                    "cannot open the database",
                    why=f"its schema {current!r} is newer than the program's {migrations.HEAD!r}",
                    mend="install the version of the appliance that made it, or a later one",
                )
            self._upgrade(current)

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """A transaction: committed at the end of the block, undone by any exception."""
        if self._reserve is not None:
            self._reserve.before_writing()
        try:
            with (
                translated(),
                Session(self._engine, expire_on_commit=False) as session,
                session.begin(),
            ):
                yield session
        except StorageError as err:
            if not self._make_room():
                raise
            # What the block did can't be done again from here, but by whoever asked for it.
            mend = "try again, that works for a while; an admin must make room on the disk"
            raise StorageError(err.what, why=err.why, mend=mend) from err

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The data as of one moment, in rows: for what is asked often, at half of a session's cost.

        Nothing that is written through it is kept.
        """
        with translated(), self._engine.connect() as connection:
            yield connection

    def remembered(self, key: Hashable, read: Callable[[], T]) -> T:
        """What `read` found since something was written last, or finds now.

        The hub is the only writer, so all is forgotten when a session that wrote is committed.
        That there is nothing isn't remembered, or strangers would fill the memory.
        """
        if key in self._remembered:
            found: T = self._remembered[key]
            return found
        found = read()
        if found is not None:
            if len(self._remembered) >= _REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = found
        return found

    def _forget(self, connection: Connection) -> None:
        """Nothing runs between this and the commit itself."""
        if self.is_sqlite:
            changes = connection.connection.driver_connection.total_changes  # type: ignore[union-attr]
            if changes == connection.info.get("changes"):
                return
            connection.info["changes"] = changes
        self._remembered.clear()

    def _make_room(self) -> bool:
        return self._reserve is not None and self._reserve.give_up()

    def _current_revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not connection.dialect.has_table(connection, "alembic_version"):
                return None
            found: str | None = connection.exec_driver_sql(
                "SELECT version_num FROM alembic_version"
            ).scalar()
            return found

    def _upgrade(self, current: str | None) -> None:
        # Alembic costs a third of the hub's start-up time, and is needed once a release.
        from appliance.db.migrations.upgrade import upgrade

        if current is not None:
            self._keep_copy(current)
        log.info("database: upgrading from %s to %s", current or "nothing", migrations.HEAD)
        upgrade(self._engine)

    def _keep_copy(self, revision: str) -> None:
        """A whole copy beside the database, so that a failed upgrade loses nothing."""
        if self.path is None:
            return
        copy = self.path.with_name(f"{self.path.name}.before-upgrade-from-{revision}")
        beside = copy.with_name(f"{copy.name}.new")
        beside.unlink(missing_ok=True)
        # By the driver itself, because this can't be done within a transaction.
        with closing(self._engine.raw_connection()) as connection:
            connection.cursor().execute("VACUUM INTO ?", (str(beside),))
        beside.chmod(0o600)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        # Who goes back to an older release finds a whole copy, or the database as it was.
        beside.replace(copy)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the disk did into StorageError, with a sentence for whoever waits for an answer."""
    try:
        yield
    except (DBAPIError, sqlite3.Error) as err:
        code = getattr(getattr(err, "orig", err), "sqlite_errorcode", None)
        why = _STORAGE.get(code & 0xFF) if code is not None else None
        if why is None:
            raise
        mend = DOCTOR
        if why == _FULL:
            mend = "an admin must make room on the disk; nothing was changed"
        what = "cannot save or read the appliance's data"
        raise StorageError(what, why=why, mend=mend) from err
    except OSError as err:
        other = DatabaseError("cannot open the database", why=str(err))
        raise (trouble_with_disk(err) or other) from err


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


def _prepare_connection(connection: sqlite3.Connection, _record: object) -> None:
    # The driver would begin transactions at INSERT but not at CREATE TABLE, and a migration that is
    # interrupted would leave half a schema: so we begin them ourselves.
    connection.isolation_level = None
    connection.create_function("fold", 1, fold, deterministic=True)
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA busy_timeout=5000")
    cursor.close()


def fold(text: str) -> str:
    """Text as searches compare it, in the database too: without case and accents."""
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text)
    plain = "".join(char for char in parts if not unicodedata.combining(char))
    return plain.casefold().translate(_STROKED)


# Letters with a stroke, a dot less or two in one aren't taken apart above.
_STROKED: Final = str.maketrans(
    {"\u0131": "i", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "æ": "ae", "œ": "oe"}
)
