"""What the hub asks of a spawner, and the values that go to and fro.

A spawner starts and stops single-user servers and knows which run; it knows no users' rights and no
pages. Both shipped ones (`systemd_spawner`, `local_spawner`) fulfil this Protocol, and so may a
class of your own.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol, runtime_checkable

from appliance.limits import Told
from appliance.names import ServerId, Username

UPLOAD_MAX: Final = 100 * 2**20
"""The largest file that `ClassFiles.put_file` takes, in bytes."""


@dataclass(frozen=True, slots=True)
class StartRequest:
    """What a server must be told and can't find out itself.

    The token is the server's API token and OAuth client secret; spawners keep it out of argv,
    environments that others can read, and logs.
    """

    token: str
    told: Told = field(default_factory=Told)
    """What the user's limits depend on."""


@dataclass(frozen=True, slots=True)
class Started:
    """How a server came to run: forked from what is preloaded, or cold, as any program.

    `cold_reason` is why it wasn't preloaded though it was to be, in a short sentence of printable
    ASCII; empty if that isn't so or nobody said.
    """

    preloaded: bool = False
    cold_reason: str = ""

    @property
    def how(self) -> str:
        """For statistics."""
        return "preloaded" if self.preloaded else "cold"

    def __str__(self) -> str:
        return f"{self.how}: {self.cold_reason}" if self.cold_reason else self.how


@dataclass(frozen=True, slots=True)
class Running:
    """A server that its spawner has running; `ready` once it said that it listens."""

    server: ServerId
    ready: bool
    started: datetime
    memory_bytes: int | None = None
    memory_limit_bytes: int | None = None
    cpu_seconds: float | None = None
    tasks: int | None = None
    cpu_limit: float | None = None
    """In cores; None means no limit, or that nobody knows."""
    tasks_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Exited:
    """A server ended, whoever ended it; `reason` is a sentence for its user.

    `cause` is for statistics: stopped, finished, oom, exit (with a status that says failure),
    signal, timeout, unseen (nobody could watch), or other.
    """

    server: ServerId
    reason: str
    failed: bool
    cause: str = "other"


class Spawner(Protocol):
    """Starts, stops and watches single-user servers."""

    holds_limits: bool
    """Whether servers are held to the limits; a trial's aren't."""

    async def start(self, server: ServerId, request: StartRequest) -> Started:
        """Return when the server said it is ready; raise SpawnError, with nothing left running."""
        ...

    async def stop(self, server: ServerId) -> None:
        """Return when it is gone; stopping what doesn't run is no error."""
        ...

    async def running(self) -> dict[ServerId, Running]:
        """Every server that runs now, started by this hub's process or an earlier one."""
        ...

    def exits(self) -> AsyncIterator[Exited]:
        """Ends of servers as they happen; survives a restart of whatever tells of them."""
        ...

    async def log(self, server: ServerId, *, lines: int) -> list[str]:
        """The last lines that the server wrote, oldest first."""
        ...

    async def forget_user(self, user: Username) -> None:
        """Retire the account: what it owned stays, and no later user of that name gets it."""
        ...

    async def rename_user(self, user: Username, new: Username) -> None:
        """Let the account and its home be the new name's; doing it again changes nothing.

        Raises SpawnRefused while one of the user's servers runs, or if the new name has an account.
        """
        ...

    async def apply_limits(self) -> None:
        """Read the limits anew and put them on the servers that run."""
        ...

    async def set_limits(self, people: Mapping[Username, Told]) -> None:
        """Put new limits on the servers of some users, after their groups or limits changed."""
        ...


@dataclass(frozen=True, slots=True)
class OfflineReport:
    """For whom it takes a new start of the server until the network is gone, or back."""

    open: tuple[Username, ...] = ()
    cut: tuple[Username, ...] = ()


@runtime_checkable
class NetworkKeeper(Protocol):
    """What a spawner may do besides: take the network from some users' servers."""

    async def set_offline(self, users: Sequence[Username]) -> OfflineReport:
        """Take it from the servers of these users, those that run and those that start, and give
        it back to all others; asking again changes nothing. It stays so until it is asked anew."""
        ...


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service as its runner has it, running or given up."""

    name: str
    state: str
    """running, starting (also: it ended and is about to be started again) or failed."""
    why: str
    """Why it isn't running, in a sentence."""
    token_hash: str
    """SHA-256 of the token it was started with, in hexadecimal."""
    outdated: bool
    """It was started with other settings than those of now."""
    pid: int = 0


class ServiceRunner(Protocol):
    """Runs the services of the configuration that have a command.

    Command and environment it reads from the configuration itself; it is told a name and a token.
    """

    async def start(self, service: str, token: str) -> None:
        """Return when the service was started; from then on it is started again when it ends.

        Raises SpawnError if it can't be.
        """
        ...

    async def stop(self, service: str) -> None:
        """Return when it is gone; stopping what doesn't run is no error."""
        ...

    async def services(self) -> dict[str, RunningService]:
        """Every service that was started and not stopped, by an earlier hub too."""
        ...


class Rule(StrEnum):
    """What becomes of a file that a hand-out finds in a home, and that differs from the new one."""

    KEEP = "keep"
    """The student's stays, and the new one isn't copied."""
    REPLACE = "replace"
    """The new one takes its name; the student's is kept as NAME.before-DATE."""
    BESIDE = "beside"
    """The student's stays, and the new one gets a number: NAME-2."""


class Area(StrEnum):
    """The parts of a class's folder; the values are their names there."""

    SHARED = "shared"
    """Teachers write, students read."""
    TOGETHER = "together"
    """Everybody in the class writes."""
    DROP_BOXES = "drop-boxes"
    """A folder for each student, which she and the teachers see; links call it `drop` at hers."""
    COLLECTED = "collected"
    """For teachers: what was collected."""
    EXCHANGE = "exchange"
    """For nbgrader: what teachers give out, and what students hand in."""


@dataclass(frozen=True, slots=True)
class ClassFolder:
    """Where a class's files are, and who must start their server anew to get at them."""

    slug: str
    """The name of the class's folder, in every home too: ~/SLUG."""
    needs_restart: tuple[Username, ...] = ()
    """Those whose running server was started before they came into the class or left it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a folder's listing."""

    name: str
    """For people: what isn't printable in it is replaced."""
    kind: str
    """file, folder or other (links, which nothing follows, and what programs talk through)."""
    size: int
    """Of a file, in bytes."""
    modified: datetime


@dataclass(frozen=True, slots=True)
class HandedOut:
    """What one hand-out did in one home; numbers count files."""

    copied: int = 0
    kept: int = 0
    """The student's own that stayed, by the rule or because they are the same."""
    replaced: int = 0
    beside: int = 0
    bytes: int = 0
    """What was written."""
    skipped: tuple[str, ...] = ()
    """Sentences, such as "data.fifo: it is no file"; at most 100."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What was collected from one home, or why nothing was."""

    files: int = 0
    bytes: int = 0
    skipped: tuple[str, ...] = ()
    """What wasn't taken or changed while it was read, in sentences; at most 100."""
    failure: str = ""
    """Why nothing was collected, in a sentence; then all else is empty."""

    @property
    def done(self) -> bool:
        return not self.failure


@dataclass(frozen=True, slots=True)
class Archived:
    """What an archive holds."""

    place: str
    """The folder on the machine, which only root reads."""
    bytes: int
    """Of the packed files together."""
    homes: dict[Username, int]
    """Bytes by member; 0 for one who never had a home."""
    skipped: dict[Username, tuple[str, ...]]
    """What of whose home could not be read, in sentences; only those of whom there is something."""


@runtime_checkable
class ClassFiles(Protocol):
    """Folders that classes have in common, and files that go between them and homes.

    A class is known here by its group's name, once `set_class` was called with it. Folders are
    relative: `names.parse_folder` and `parse_home_folder` say what they may be, and BadRequest is
    raised for anything else. Every other failure is a SpawnError: SpawnRefused when nothing could
    be done (no such class, or the user isn't in it; "the home is full"), and its `what`, `why` and
    `mend` are for the teacher to read.

    At most two of these jobs work at once, whoever asks; others wait for their turn. A call that
    is cancelled may still be carried out.
    """

    async def set_class(
        self,
        name: str,
        *,
        members: Sequence[Username],
        teachers: Sequence[Username],
        nbgrader: bool = False,
    ) -> ClassFolder:
        """Make the class's folder, or let these and nobody else into it.

        With `nbgrader` it is a course too: students hand in what nobody else reads but teachers,
        who have a folder for the course in common. Without, what was there is shut, and stays.

        Asking again changes nothing. Who is in both lists is a teacher. It is quick even for a
        thousand members: their accounts, drop boxes and links are made when they first start a
        server, or at the first hand-out.
        """
        ...

    async def list_folder(
        self, name: str, user: Username, folder: str, area: Area = Area.SHARED
    ) -> list[Entry]:
        """What a teacher sees in a folder of an area ("" is the area itself).

        Folders come first, then by name; at most 5000.
        """
        ...

    async def put_file(self, name: str, user: Username, path: str, source: int) -> None:
        """Write what can be read from the descriptor `source` to shared/PATH, as a teacher.

        Folders in between are made; a file of that name is replaced when all is there. `source` is
        a file opened for reading, read from where it stands, up to UPLOAD_MAX bytes; the caller
        closes it.
        """
        ...

    async def hand_out(self, name: str, user: Username, folder: str, rule: Rule) -> HandedOut:
        """Copy shared/FOLDER to ~/SLUG/FOLDER, all of it or nothing.

        With "the home is full" as SpawnRefused's `why` where that is so. Asking again copies what
        is missing.
        """
        ...

    async def collect(
        self,
        name: str,
        users: Sequence[Username],
        teacher: Username,
        folder: str,
        place: str,
        *,
        told: Callable[[Username, Collected], None] | None = None,
    ) -> dict[Username, Collected]:
        """Copy each one's ~/SLUG/FOLDER to collected/PLACE/USER, with USER.manifest.json beside it.

        `told` is called after each user. What goes wrong with one is in that one's `failure`, and
        the others go on; a place that has a folder of the user already is such a failure. Raises
        SpawnError only if nobody's can be collected (the class isn't the teacher's).
        """
        ...

    async def archive_class(
        self,
        name: str,
        archive: str,
        members: Sequence[Username],
        *,
        told: Callable[[Username], None] | None = None,
    ) -> Archived:
        """Pack the members' homes and the class's folder, each into a .tar.gz only root can read.

        `archive` is a new name (`names.parse_archive`). All or nothing: on SpawnError no archive is
        there, and the same name may be tried again. `told` is called after each member. Stop the
        members' servers first, so that what is packed is what they last saved.
        """
        ...

    async def delete_archive(self, archive: str) -> None:
        """Remove an archive, whole or half made; one that isn't there is no error."""
        ...

    async def forget_class(self, name: str) -> None:
        """Remove the class's folder and groups; what is in homes stays.

        A later class of that name gets another folder. A class that isn't known is no error.
        """
        ...
