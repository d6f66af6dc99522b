"""Classes' files in a trial: the same folders and the same program, without accounts and groups.

Everything belongs to whoever started the trial, so nobody is kept out of anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import appliance
from appliance.names import Username
from appliance.places import Places
from appliance.systemd_spawner.class_files import ClassFilesKeeper
from appliance.systemd_spawner.class_folders import ClassFolders
from appliance.systemd_spawner.class_store import ClassStore
from appliance.systemd_spawner.file_jobs import (
    FileJob,
    Person,
    ended_without_report,
    handed_over,
    read_report,
    took_too_long,
)

# With -I the program doesn't see the folder that this package was imported from.
_PROGRAM: Final = """
import sys
sys.path.insert(0, sys.argv[1])
from appliance.file_worker.worker import main
sys.exit(main())
"""


class LocalMachine:
    """Fulfils `class_files.Machine` where everybody is the same Unix user."""

    def __init__(self, homes: Path) -> None:
        self._homes = homes

    def person(self, user: Username, groups: tuple[int, ...]) -> Person:
        home = self._homes / user
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Person(user, os.getuid(), str(home), groups)

    def known_person(self, user: Username, groups: tuple[int, ...]) -> Person | None:
        return self.person(user, groups) if (self._homes / user).is_dir() else None

    def account_of(self, user: Username) -> str:
        return user if (self._homes / user).is_dir() else ""

    def ensure_groups(self, groups: Mapping[str, int]) -> None:
        """There are none."""

    def remove_groups(self, groups: Mapping[str, int]) -> None:
        """There are none."""

    def groups_of_running(self) -> dict[Username, list[set[int]]]:
        """Nothing depends on groups, so no server is started with the wrong ones."""
        return {}


class ChildRunner:
    """Fulfils `file_jobs.Runner` with child processes."""

    def run(self, job: FileJob) -> dict[str, Any]:
        root = str(Path(str(appliance.__file__)).parent.parent)
        with handed_over(job) as (channel, report):
            try:
                done = subprocess.run(
                    [sys.executable, "-I", "-X", "utf8", "-c", _PROGRAM, root],
                    check=False,
                    stdin=channel.fileno(),
                    stdout=report.fileno(),
                    stderr=subprocess.PIPE,
                    text=True,
                    errors="replace",
                    timeout=job.seconds,
                )
            except subprocess.TimeoutExpired as err:
                raise took_too_long(job) from err
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
                raise ended_without_report(job, last[:300])
            return read_report(job, report)


def local_keeper(places: Places) -> ClassFilesKeeper:
    """All classes' files of a trial."""
    folders = ClassFolders(places.class_files, has_groups=False)
    places.spawner_state.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = ClassStore(
        places.spawner_state / "classes.json",
        is_slug_taken=folders.is_taken,
        is_id_taken=lambda _number: False,
    )
    return ClassFilesKeeper(
        store=store,
        folders=folders,
        machine=LocalMachine(places.homes),
        runner=ChildRunner(),
    )
