"""Jobs for the program that touches files, each in a unit of its own, as the user concerned.

The unit has the sandbox of a server, less memory and no network. What the program says comes from a
process that its user could tamper with, so it is taken for no more than that user's word.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Protocol

from appliance.errors import SpawnFailed, SpawnRefused, SpawnTimeout
from appliance.places import Places
from appliance.systemd_spawner.properties import (
    MS_REC,
    SANDBOX,
    SLICE,
    USERS_GROUP,
    Property,
)
from appliance.systemd_spawner.units import FILES_PATTERN, SystemdError, Units, UnitState

log = logging.getLogger(__name__)

# Of the fullest folder with the longest names.
_REPORT_MAX: Final = 8 * 2**20
_MEMORY_MAX: Final = 256 * 2**20
_STOP_SECONDS: Final = 5
# What systemd may need beyond a job's own time.
_SLACK_SECONDS: Final = 60
_CAP_DAC_READ_SEARCH: Final = 1 << 2
_UNLIMITED: Final = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Person:
    """The Unix account that a job runs as, with the numbers of its classes' groups."""

    account: str
    uid: int
    home: str
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class FileJob:
    """What the program is told, and what it may use up."""

    cannot: str
    """What a failure is called: "cannot hand out lab1"."""
    task: dict[str, Any]
    person: Person | None
    """None is root, who may read everything then and change nothing."""
    seconds: int
    data: int = -1
    """The descriptor of a file that it reads or writes."""
    most_written: int = _UNLIMITED
    """Bytes that one file may get."""


class Runner(Protocol):
    """Runs jobs."""

    def run(self, job: FileJob) -> dict[str, Any]:
        """The program's report; raises SpawnError when it couldn't do it."""
        ...


class UnitRunner:
    """Runs each job in a transient unit and waits for it."""

    def __init__(self, units: Units, places: Places) -> None:
        self._units = units
        self._places = places

    def run(self, job: FileJob) -> dict[str, Any]:
        unit = f"appliance-files-{secrets.token_hex(8)}.service"
        with handed_over(job) as (channel, report):
            properties = job_properties(
                job, places=self._places, stdin=channel.fileno(), stdout=report.fileno()
            )
            self._run_unit(unit, properties, job)
            return read_report(job, report)

    def _run_unit(self, unit: str, properties: Sequence[Property], job: FileJob) -> None:
        state = None
        try:
            result = self._units.start(unit, properties, timeout=job.seconds + _SLACK_SECONDS)
            state = self._units.state(unit)
        except TimeoutError:
            result = "timeout"
        except SystemdError as err:
            raise SpawnFailed(job.cannot, why=f"systemd: {err}", mend="try again") from err
        finally:
            with suppress(SystemdError, TimeoutError):
                if state is None or not state.ended:
                    self._units.stop(unit, timeout=_STOP_SECONDS + _SLACK_SECONDS)
                self._units.release(unit)
        if result != "done":
            _raise_ended(job, state, result)


def stop_file_jobs(units: Units) -> None:
    """End the jobs of a daemon that died: nobody waits for them any more."""
    try:
        for unit in units.listing(FILES_PATTERN):
            units.stop(unit, timeout=_STOP_SECONDS + _SLACK_SECONDS)
    except (SystemdError, TimeoutError) as err:
        log.warning("cannot stop the jobs of an earlier daemon: %s", err)


def job_properties(job: FileJob, *, places: Places, stdin: int, stdout: int) -> list[Property]:
    """The whole unit of a job."""
    program = str(places.software / "spawner")
    # Names of files are UTF-8 here as they are for servers, whatever the machine's language is.
    command = ["/usr/bin/python3", "-I", "-X", "utf8", program, "file-worker"]
    return [
        Property("Description", "s", f"Files of {job.person.account if job.person else 'a class'}"),
        Property("Slice", "s", SLICE),
        Property("AddRef", "b", value=True),
        Property("CollectMode", "s", "inactive-or-failed"),
        Property("Type", "s", "oneshot"),
        Property("ExecStart", "a(sasb)", [(command[0], command, False)]),
        Property("StandardInputFileDescriptor", "h", stdin),
        Property("StandardOutputFileDescriptor", "h", stdout),
        Property("StandardError", "s", "journal"),
        Property("SyslogIdentifier", "s", "appliance-files"),
        Property("UMask", "u", 0o077),
        Property("TimeoutStartUSec", "t", job.seconds * 1_000_000),
        Property("TimeoutStopUSec", "t", _STOP_SECONDS * 1_000_000),
        Property("MemoryMax", "t", _MEMORY_MAX),
        Property("MemorySwapMax", "t", 0),
        Property("TasksMax", "t", 16),
        # Lessons go on while folders are copied.
        Property("CPUWeight", "t", 50),
        Property("IOWeight", "t", 50),
        Property("OOMScoreAdjust", "i", 500),
        Property("LimitFSIZE", "t", job.most_written),
        Property("PrivateNetwork", "b", value=True),
        *_identity(job, places),
    ]


def _identity(job: FileJob, places: Places) -> list[Property]:
    hidden = [f"-{places.settings}", f"-{places.state}"]
    common = [
        Property("ProtectSystem", "s", "strict"),
        Property("ProtectHome", "s", "tmpfs"),
        Property("PrivateTmp", "b", value=True),
        Property("TemporaryFileSystem", "a(ss)", [(str(places.run), "ro")]),
        Property("InaccessiblePaths", "as", hidden),
    ]
    person = job.person
    if person is None:
        # It reads what its user may not, and that is all that is left of root.
        sandbox = [one for one in SANDBOX if one.name != "CapabilityBoundingSet"]
        return [*common, *sandbox, Property("CapabilityBoundingSet", "t", _CAP_DAC_READ_SEARCH)]
    home = person.home
    return [
        *common,
        *SANDBOX,
        Property("User", "s", person.account),
        Property("Group", "s", person.account),
        Property("SupplementaryGroups", "as", [USERS_GROUP, *map(str, person.groups)]),
        Property("BindPaths", "a(ssbt)", [(home, home, False, MS_REC)]),
        Property("ReadWritePaths", "as", [home, f"-{places.class_files / 'classes'}"]),
    ]


@contextmanager
def handed_over(job: FileJob) -> Iterator[tuple[socket.socket, BinaryIO]]:
    """The program's descriptors 0 and 1: its task waits in one, its report goes to the other."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, tempfile.TemporaryFile() as report:
        message = json.dumps(job.task).encode()
        socket.send_fds(ours, [message], [job.data] if job.data >= 0 else [])
        yield theirs, report


def read_report(job: FileJob, report: BinaryIO) -> dict[str, Any]:
    """What it says of itself; raises SpawnRefused with its own words when it refused."""
    content = os.pread(report.fileno(), _REPORT_MAX + 1, 0)
    try:
        said = json.loads(content)
    except (ValueError, RecursionError):
        said = None
    if len(content) > _REPORT_MAX or not isinstance(said, dict):
        raise ended_without_report(job, "it said nothing that makes sense")
    if said.get("ok") is True:
        return said
    why, mend = str(said.get("why", ""))[:500], str(said.get("mend", ""))[:500]
    raise SpawnRefused(job.cannot, why=why, mend=mend)


def ended_without_report(job: FileJob, how: str) -> SpawnFailed:
    return SpawnFailed(
        job.cannot,
        why=f"the program that works on files failed: {how}",
        mend="try again; sudo journalctl -t appliance-files",
    )


def took_too_long(job: FileJob) -> SpawnTimeout:
    return SpawnTimeout(
        job.cannot,
        why=f"it took longer than {job.seconds // 60} minutes",
        mend="try again with less, or when less is going on",
    )


def _raise_ended(job: FileJob, state: UnitState | None, result: str) -> None:
    how = state.result if state else ""
    if "timeout" in (result, how):
        raise took_too_long(job)
    if how == "oom-kill":
        raise ended_without_report(job, "it needed too much memory")
    raise ended_without_report(job, f"systemd says {how or result}")
