"""Changing an environment: made beside it, seen to work, put in force by one rename."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from appliance.environments.clone import move_scripts
from appliance.environments.distributions import Distributions
from appliance.environments.failures import explain
from appliance.environments.history import Entry, History
from appliance.environments.kinds import Kind, is_python_there
from appliance.environments.records import Record, Records
from appliance.environments.requirements import asked_in
from appliance.environments.sandbox import run_confined
from appliance.errors import ApplianceError
from appliance.locks import held
from appliance.places import Places
from installer.cache import trusted_cache
from installer.environments import (
    COMPLETE,
    LOCKED,
    PINNED,
    WANTED,
    Environment,
    is_in_use,
    mark_complete,
)
from installer.files import remove_tree
from installer.point import LOCK
from installer.startup_code import compile_packages, startup_code_aside
from installer.uv import uv_environment

_ROOM_BYTES: Final = 200 * 2**20
_PROOF_LINES: Final = 8
_SECONDS: Final = 1800

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a change came to."""

    directory: str
    added: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    moved: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Packages with another version than before: the old and the new one."""
    bytes: int = 0
    """Of what was added, as it lies on the disk."""
    changed: bool = True
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """One change: what is asked for after it, and what does it to a directory."""

    wanted: str
    did: str
    carry_out: Callable[[Uv], None]
    keeps: str | None = None
    """The versions to record, where they are given and not found out."""


@dataclass(frozen=True)
class Uv:
    """uv for one directory, with this machine's settings."""

    program: Path
    directory: Path
    environment: Mapping[str, str]
    what: str
    pinned: Mapping[str, str]
    asked: tuple[str, ...]
    name: str

    def __call__(self, *words: str | Path) -> None:
        """Raises ApplianceError with uv's reason in plain words."""
        verb, *rest = words
        command = ["pip", verb, "--python", self.directory / "bin/python", *rest]
        with startup_code_aside(self.directory):
            done = subprocess.run(
                [str(self.program), *map(str, command)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                env={**os.environ, **self.environment},
                timeout=_SECONDS,
                check=False,
            )
        if done.returncode:
            raise explain(
                self.what, done.stdout, pinned=self.pinned, asked=self.asked, name=self.name
            )

    def again(self, *words: str | Path) -> None:
        """The same for what was there before: as it is in the cache, it needs no network."""
        try:
            self(*words, "--offline")
        except ApplianceError:
            self(*words)

    def install(self, *words: str | Path, again: bool = False) -> None:
        """What is asked for, with nothing of the appliance's own moved."""
        wanted, pins = self.directory / WANTED, self.directory / "constraints.txt"
        pins.write_text("".join(f"{name}=={v}\n" for name, v in self.pinned.items()), "utf-8")
        # Ready-made packages alone: building one would run its code as root.
        run = self.again if again else self
        run(
            "install", "--only-binary", ":all:", "-r", wanted, "--constraint", pins, *words,
        )  # fmt: skip
        compile_packages(self.directory)

    def uninstall(self, names: set[str]) -> None:
        there = sorted(names & Distributions.of(self.directory).by_name.keys())
        if there:
            self("uninstall", *there)


class Changer:
    """Changes one machine's environments, one at a time."""

    def __init__(self, places: Places, *, network: Mapping[str, str], say: Say) -> None:
        self._places = places
        self.network = network
        self.say = say
        self.records = Records(places)
        self.history = History(places.software)

    def change(
        self, kind: Kind, before: Record, plan: Plan, *, what: str, uv: Path, dry_run: bool = False
    ) -> Outcome:
        """Carry out a plan, or raise ApplianceError with nothing changed."""
        self._check_room(what)
        cache = self._places.software / "wheels/cache"
        kept = self._kept(kind, before, plan)
        if kept:
            return self._go_to(kind, before, plan, kept, dry_run=dry_run)
        work = self._places.software / "environments" / f"new-{kind.name or 'user'}-{os.getpid()}"
        with trusted_cache(cache) as trusted:
            environment = {**self.network, **uv_environment(self.network, cache=trusted)}
            run = Uv(
                uv, work, environment, what, kind.pinned(),
                tuple(asked_in(plan.wanted).values()), kind.name,
            )  # fmt: skip
            try:
                return self._make(kind, before, plan, run, dry_run=dry_run)
            except OSError as error:
                raise ApplianceError(
                    what,
                    why=f"{error.filename or work}: {error.strerror}",
                    mend="df -h /opt/appliance; nothing was changed",
                ) from error
            finally:
                remove_tree(work)

    def _kept(self, kind: Kind, before: Record, plan: Plan) -> Path | None:
        """The directory that a plan with known versions ends in, if it is there already."""
        if plan.keeps is None:
            return None
        directory = kind.directory(_record(before, plan.wanted, plan.keeps))
        whole = (directory / COMPLETE).exists() and is_python_there(directory)
        return directory if whole else None

    def _go_to(
        self, kind: Kind, before: Record, plan: Plan, directory: Path, *, dry_run: bool
    ) -> Outcome:
        current = kind.current()
        was = Distributions.of(current).versions() if current else {}
        outcome = _difference(was, Distributions.of(directory))
        after = _record(before, plan.wanted, plan.keeps or "")
        if not dry_run:
            self._put_in_force(kind, before, after, directory, plan.did)
        return replace(outcome, directory=directory.name, changed=directory != current)

    def _make(self, kind: Kind, before: Record, plan: Plan, run: Uv, *, dry_run: bool) -> Outcome:
        work = run.directory
        self.say("copying what is there")
        remove_tree(work)
        kind.seed(work)
        was = Distributions.of(work).versions()
        (work / WANTED).write_text(plan.wanted, "utf-8")
        self.say("choosing and installing packages")
        plan.carry_out(run)
        after = self._settle(kind, before, plan, run)
        outcome = _difference(was, Distributions.of(work))
        final = kind.directory(after)
        if final == kind.current():
            return replace(outcome, directory=final.name, changed=False)
        made = not (final / COMPLETE).exists()
        if made:
            self._finish(kind, work, final, run.what)
        if dry_run:
            if made:
                remove_tree(final)
            return replace(outcome, directory=final.name)
        self._put_in_force(kind, before, after, final, plan.did)
        return replace(outcome, directory=final.name)

    def _settle(self, kind: Kind, before: Record, plan: Plan, run: Uv) -> Record:
        """Take away what came along with what is no longer asked for; the record of the rest."""
        found = Distributions.of(run.directory)
        asked = asked_in(plan.wanted).values()
        kept, needed = found.reached_from(kind.needs()), found.reached_from(asked)
        if plan.keeps is None:
            run.uninstall(set(asked_in(before.locked)) - kept - needed)
            locked = found.lines(needed - set(kind.pinned()) - (kept if not kind.name else set()))
        else:
            locked = plan.keeps
        (run.directory / LOCKED).write_text(locked, "utf-8")
        return _record(before, plan.wanted, locked)

    def _finish(self, kind: Kind, work: Path, final: Path, what: str) -> None:
        kind.finish(work)
        remove_tree(final)
        work.rename(final)
        try:
            move_scripts(final, work)
            self.say("seeing whether it works")
            _prove(kind.proof(final), what)
            mark_complete(final)
        except BaseException:
            remove_tree(final)
            raise

    def _put_in_force(
        self, kind: Kind, before: Record, after: Record, final: Path, did: str
    ) -> None:
        entries = [Entry.of(final, after, did)]
        current = kind.current()
        if current and not self.history.entries(kind.name):
            entries.insert(0, Entry.of(current, before, "as it was before"))
        # Kept first, recorded second, in force last: after a power cut the installer and the next
        # change go on from the record.
        forgotten = self.history.add(kind.name, *entries)
        self.records.write(after)
        kind.activate(final, after)
        self.drop(forgotten)

    def drop(self, directories: set[str]) -> None:
        """Delete what can't be gone back to any more, unless something runs from it.

        Then, or if it is of an earlier release, the installer's tidying up will find it.
        """
        root = self._places.software / "environments"
        pins = Environment.named("user").pinned
        for name in directories:
            directory = root / name
            own = directory / PINNED
            if own.exists() and not own.read_text("utf-8").startswith(pins):
                continue
            if not is_in_use(directory):
                remove_tree(directory)

    def _check_room(self, what: str) -> None:
        free = shutil.disk_usage(self._places.software).free
        if free < _ROOM_BYTES:
            raise ApplianceError(
                what,
                why=f"only {free // 2**20} MiB are free on the disk of {self._places.software}",
                mend="free some room: df -h; sudo appliance env history says what is kept",
            )


def half_made(software: Path) -> list[Path]:
    """Directories that changes left that were killed; one under way has the process it is named
    after."""
    return [
        path
        for path in (software / "environments").glob("new-*")
        if not Path("/proc", path.name.rpartition("-")[2]).exists()
    ]


def _prove(command: list[str], what: str) -> None:
    try:
        done = run_confined(command)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ApplianceError(what, why=f"it can't be tried: {error}", mend="try again") from error
    if done.returncode:
        lines = [line for line in done.stdout.splitlines() if line.strip()]
        raise ApplianceError(
            what,
            why="with these packages " + ("\n".join(lines[-_PROOF_LINES:]) or "nothing starts"),
            mend="leave out the package that the last lines name; nothing was changed",
        )


def _record(before: Record, wanted: str, locked: str) -> Record:
    return replace(before, wanted=wanted, locked=locked if wanted.strip() else "")


def _difference(old: dict[str, str], now: Distributions) -> Outcome:
    new = now.versions()
    added = {name: version for name, version in new.items() if name not in old}
    moved = {
        name: (old[name], version)
        for name, version in new.items()
        if name in old and old[name] != version
    }
    removed = {name: version for name, version in old.items() if name not in new}
    return Outcome("", added, removed, moved, bytes=now.sizes([*added, *moved]))


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Nobody else changes environments meanwhile; SIGTERM and a closed terminal clean up."""
    path = LOCK
    if places.trial or os.geteuid() != 0:
        path = places.software / "environments.lock"
    with held(path, _refusal), _ending_tidily():
        for left in half_made(places.software):
            remove_tree(left)
        yield


def _refusal(holder: str) -> ApplianceError:
    return ApplianceError(
        "cannot change the packages now",
        why=f"somebody else is at it ({holder})",
        mend="wait until that is done",
    )


@contextmanager
def _ending_tidily() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> NoReturn:
        del frame
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
