"""A copy of the database as of one moment, while the hub goes on writing.

It is made by a process with the hub's own account, because the hub owns the folder: root neither
follows what could lie there nor leaves files that the hub can't write.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, Final

from appliance.backup.errors import BackupError
from appliance.backup.sources import HUB_ACCOUNT
from appliance.db import migrations
from appliance.places import Places

_PROGRAM: Final = Path(__file__).with_name("copy_program.py")


@contextmanager
def copied(places: Places) -> Iterator[IO[bytes]]:
    """The stream with the copy; raises BackupError at its end if it isn't whole."""
    command = [
        *as_account("" if places.trial else HUB_ACCOUNT),
        sys.executable, "-I", str(_PROGRAM), str(places.database),
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd="/", env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    with process:
        assert process.stdout is not None  # noqa: S101 - they are pipes
        assert process.stderr is not None  # noqa: S101
        try:
            yield process.stdout
        except BaseException:
            process.kill()
            raise
        said = process.stderr.read(4096).decode(errors="replace").strip().splitlines()
    if process.returncode:
        raise BackupError(
            "cannot copy the database",
            why=said[-1] if said else f"the program ended with {process.returncode}",
            mend="sudo appliance logs hub; is the disk full?",
        )


def as_account(account: str) -> list[str]:
    """What goes before a command so that it is a system account's, not root's."""
    if not account or os.geteuid() != 0:
        return []
    return [
        "setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups",
        "--inh-caps=-all", "--no-new-privs", "--",
    ]  # fmt: skip


def check(path: Path) -> str:
    """Open a copy and have SQLite look at all of it; its schema's revision.

    Raises BackupError for what isn't a sound database.
    """
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if said != "ok":
                raise BackupError("the copy of the database is damaged", why=str(said))
            if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
                raise BackupError(
                    "the copy of the database is damaged", why="rows refer to others that are gone"
                )
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as err:
        raise BackupError("the copy of the database is damaged", why=str(err)) from err
    return str(row[0]) if row else ""


def check_revision(revision: str, *, what: str) -> None:
    """Raise BackupError unless this version of the appliance can go on from that revision."""
    if revision not in migrations.REVISIONS:
        raise BackupError(
            f"cannot use {what}",
            why=f"its database has the schema {revision}; this version of the appliance knows "
            f"schemas up to {migrations.HEAD}",
            mend="install the version that made it, or a later one, and try again",
        )
