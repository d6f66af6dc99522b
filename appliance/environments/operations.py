"""What `appliance env` can do; whatever raises ApplianceError has changed nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from packaging.requirements import Requirement
from packaging.utils import InvalidWheelFilename, canonicalize_name, parse_wheel_filename

from appliance.environments.building import build_wheels
from appliance.environments.changes import Changer, Outcome, Plan, Uv, alone
from appliance.environments.distributions import Distributions
from appliance.environments.kept_wheels import keep
from appliance.environments.kinds import Everybody, Kernel, Kind, installed_tools
from appliance.environments.records import (
    EVERYBODY,
    SYSTEM_PYTHON,
    Record,
    check_name,
)
from appliance.environments.requirements import asked_in, merged, removed
from appliance.errors import ApplianceError, NotFound
from appliance.places import Places
from installer.environments import LOCKED
from installer.startup_code import compile_packages

_INSTALL: Final = "cannot install {}"


@dataclass(frozen=True)
class Shop:
    """Everything about one machine's environments."""

    places: Places
    changer: Changer
    wheels: Path | None = None
    """A folder that packages come from, and not from the network."""
    dry_run: bool = False

    built: Path | None = None
    """Another such folder, with what was built here."""

    @contextmanager
    def building(self, name: str, lines: Sequence[str]) -> Iterator[Shop]:
        """This shop, or one that has what these requirements need, built from source."""
        if not lines:
            yield self
            return
        self.changer.say("building packages")
        users = Everybody(self.places, installed_tools(self.places))
        pinned = users.pinned() if name == EVERYBODY else {}
        python = (self.places.software / "user").resolve() / "bin/python"
        with build_wheels(python, lines, pinned, self.changer.network, self.wheels) as folder:
            yield replace(self, built=folder)

    def kind(self, record: Record) -> Kind:
        tools = installed_tools(self.places)
        if record.name == EVERYBODY:
            return Everybody(self.places, tools)
        return Kernel(self.places, tools, record.name, record.python)

    def install(self, name: str, lines: Sequence[str], *, did: str) -> Outcome:
        """Add packages, and leave the versions of all others as they are if that can be."""
        what = _INSTALL.format(", ".join(lines[:3]) + ("…" if len(lines) > 3 else ""))
        with alone(self.places):
            record = self.changer.records.read(name)
            kind = self.kind(record)
            _check_pins(what, lines, kind.pinned(), kind.needs() if not name else set())
            lines = self._keep_files(lines)
            wanted = merged(record.wanted, lines)
            return self._change(kind, record, Plan(wanted, did, self._adding), what)

    def remove(self, name: str, packages: Sequence[str], *, did: str) -> Outcome:
        """Take packages away, with what came along and nothing else needs."""
        names: set[str] = {canonicalize_name(one) for one in packages}
        what = f"cannot remove {', '.join(sorted(names))}"
        with alone(self.places):
            record = self.changer.records.read(name)
            kind = self.kind(record)
            asked = asked_in(record.wanted)
            for one in sorted(names - asked.keys()):
                raise _not_asked_for(what, one, kind)
            wanted = removed(record.wanted, names)
            return self._change(kind, record, Plan(wanted, did, lambda uv: None), what)

    def upgrade(self, name: str, packages: Sequence[str], *, did: str) -> Outcome:
        """Newer versions of the named packages, or of all that was asked for and came along."""
        names = [canonicalize_name(one) for one in packages]
        what = f"cannot upgrade {', '.join(names) or 'the packages'}"
        with alone(self.places):
            record = self.changer.records.read(name)
            kind = self.kind(record)
            pinned = kind.pinned()
            for one in names:
                if one in pinned:
                    why = f"the appliance needs {one} {pinned[one]} and brings newer ones itself"
                    raise ApplianceError(what, why=why, mend="upgrade the appliance")
                _check_can_be_newer(what, one, record)
            words = [word for one in names for word in ("--upgrade-package", one)] or ["--upgrade"]

            def carry_out(uv: Uv) -> None:
                uv.install(*words, *self._from_folder())

            if not record.wanted.strip():
                return Outcome("", changed=False)
            return self._change(kind, record, Plan(record.wanted, did, carry_out), what)

    def rollback(self, name: str, number: int, *, did: str) -> Outcome:
        """Go back to what was in force before, or to a number of the history."""
        with alone(self.places):
            record = self.changer.records.read(name)
            entries = self.changer.history.entries(name)
            kind = self.kind(record)
            current = kind.current()
            what = "cannot go back"
            if number == 0:
                earlier = [one for one in entries if not current or one.directory != current.name]
                if not earlier:
                    raise ApplianceError(
                        what, why="nothing was changed yet", mend="appliance env history"
                    )
                entry = earlier[-1]
            elif 1 <= number <= len(entries):
                entry = entries[number - 1]
            else:
                raise ApplianceError(
                    what, why=f"there is no number {number}", mend="appliance env history"
                )

            def carry_out(uv: Uv) -> None:
                uv.uninstall(set(asked_in(record.locked)) - set(asked_in(entry.locked)))
                if entry.locked.strip():
                    (uv.directory / LOCKED).write_text(entry.locked, "utf-8")
                    uv.again("install", "--no-deps", "--only-binary", ":all:",
                       "-r", uv.directory / LOCKED, *self._from_folder())  # fmt: skip
                    compile_packages(uv.directory)

            plan = Plan(entry.wanted, did, carry_out, keeps=entry.locked)
            return self._change(kind, record, plan, what)

    def create(
        self, name: str, lines: Sequence[str], *, title: str, python: str, did: str
    ) -> Outcome:
        """A new environment as a kernel, or, for a name that is there, the same made anew."""
        check_name(name)
        what = f"cannot make the environment '{name}'"
        with alone(self.places):
            if name in self.changer.records.names():
                raise ApplianceError(
                    what,
                    why="it is there already",
                    mend=f"appliance env install --env {name} PACKAGE…, or: "
                    f"appliance env delete {name}",
                )
            _check_interpreter(what, python)
            record = Record(name, title=title or name, python=python or SYSTEM_PYTHON)
            wanted = merged("", self._keep_files(lines))
            kind = self.kind(record)
            _check_pins(what, lines, kind.pinned(), set())
            return self._change(kind, record, Plan(wanted, did, self._adding), what)

    def delete(self, name: str) -> None:
        """A kernel that runs keeps its files until it ends."""
        with alone(self.places):
            record = self.changer.records.read(name)
            kind = Kernel(self.places, installed_tools(self.places), name, record.python)
            self.changer.records.delete(name)
            kind.delete()
            self.changer.drop(self.changer.history.forget(name))

    def repair(self, name: str, *, did: str) -> Outcome:
        """Build again what is asked for, if it isn't in force, or its Python has changed."""
        what = "cannot build what is asked for"
        with alone(self.places):
            record = self.changer.records.read(name)
            kind = self.kind(record)
            directory = kind.directory(record)
            if kind.current() == directory:
                kind.activate(directory, record)
                return Outcome(directory.name, changed=False)

            def carry_out(uv: Uv) -> None:
                locked = uv.directory / LOCKED
                locked.write_text(record.locked, "utf-8")
                uv.install("--constraint", locked, *self._from_folder(), again=True)

            return self._change(kind, record, Plan(record.wanted, did, carry_out), what)

    def _adding(self, uv: Uv) -> None:
        uv.install(*self._from_folder())

    def _change(self, kind: Kind, record: Record, plan: Plan, what: str) -> Outcome:
        uv = installed_tools(self.places).uv
        outcome = self.changer.change(
            kind, record, plan, what=what, uv=uv, dry_run=self.dry_run
        )  # fmt: skip
        if not self.dry_run:
            self._keep_wheels(outcome)
        return outcome

    @property
    def _own_wheels(self) -> Path:
        """Kept, so that the environment can be built anew without the folder or file."""
        return self.places.software / "wheels/own"

    def _from_folder(self) -> list[str | Path]:
        words: list[str | Path] = []
        if self.wheels:
            words += ["--no-index", "--find-links", self.wheels]
        if self.built:
            words += ["--find-links", self.built]
        if self._own_wheels.is_dir():
            words += ["--find-links", self._own_wheels]
        return words

    def _given_wheels(self) -> Iterator[Path]:
        for folder in (self.wheels, self.built):
            if folder:
                yield from folder.glob("*.whl")

    def _keep_files(self, lines: Sequence[str]) -> list[str]:
        """Requirements with wheels named by their path, copied to where they stay."""
        kept = []
        for line in lines:
            name, _, url = line.partition(" @ file://")
            if not url:
                kept.append(line)
                continue
            path = Path(url)
            place = self._own_wheels / path.name
            if not self.dry_run and path != place:
                keep(path, place)
            kept.append(f"{name} @ file://{path if self.dry_run else place}")
        return kept

    def _keep_wheels(self, outcome: Outcome) -> None:
        versions = outcome.added | {name: new for name, (_, new) in outcome.moved.items()}
        for path in self._given_wheels():
            try:
                name, version, *_ = parse_wheel_filename(path.name)
            except InvalidWheelFilename:
                continue
            if versions.get(name) == str(version):
                keep(path, self._own_wheels / path.name)


def _check_pins(
    what: str, lines: Sequence[str], pinned: Mapping[str, str], needs: set[str]
) -> None:
    """Refuse early what can't be: another version of what the appliance needs."""
    for line in lines:
        one = Requirement(line)
        name = canonicalize_name(one.name)
        version = pinned.get(name)
        if version and (one.url or not one.specifier.contains(version, prereleases=True)):
            raise ApplianceError(
                what,
                why=f"the appliance itself needs {name} {version}, which can't be moved",
                mend=f"leave the version out, or give it a kernel of its own: "
                f"sudo appliance env create NAME '{line}'",
            )
        if name in needs and not version:
            raise ApplianceError(what, why=f"{name} is the appliance's own", mend="leave it out")


def _check_can_be_newer(what: str, name: str, record: Record) -> None:
    """Of a package that was named: it is there, and no single version was asked for."""
    install = "sudo appliance env install" + (f" --env {record.name}" if record.name else "")
    if name not in asked_in(record.locked):
        raise NotFound(what, why=f"{name} is not there", mend=f"{install} {name}")
    line = asked_in(record.wanted).get(name, "")
    if "==" in line:
        raise ApplianceError(
            what, why=f"it was asked for as {line}", mend=f"{install} '{name}==VERSION'"
        )


def _not_asked_for(what: str, name: str, kind: Kind) -> ApplianceError:
    current = kind.current()
    there = current is not None and Distributions.of(current).get(name) is not None
    if name in kind.pinned():
        return ApplianceError(what, why=f"the appliance itself needs {name}", mend="leave it")
    if there:
        return ApplianceError(
            what,
            why=f"nobody asked for {name}: it came along with another package",
            mend="remove that package: appliance env list",
        )
    return NotFound(what, why=f"{name} is not there", mend="appliance env list")


def _check_interpreter(what: str, python: str) -> None:
    """Root's alone, as the packages are: others could make it another program."""
    path = Path(python or SYSTEM_PYTHON)
    if not path.is_absolute() or not path.is_file():
        raise ApplianceError(
            what, why=f"there is no {path}", mend="name a Python with its whole path"
        )
    if path.resolve().stat().st_uid != 0 or path.resolve().stat().st_mode & 0o022:
        raise ApplianceError(
            what, why=f"others than root could change {path}", mend="name the system's Python"
        )


def packages(shop: Shop, name: str) -> list[dict[str, Any]]:
    """Every package of an environment, and why it is there."""
    record = shop.changer.records.read(name)
    kind = shop.kind(record)
    current = kind.current()
    if current is None:
        raise ApplianceError(
            "cannot list the packages",
            why="the environment is not complete",
            mend="sudo appliance env repair",
        )
    found = Distributions.of(current)
    asked = asked_in(record.wanted)
    along = found.reached_from(asked.values())
    own = found.reached_from(kind.needs())
    rows = []
    for package, version in found.versions().items():
        why = "asked for" if package in asked else "appliance" if package in own else "came along"
        if why == "came along" and package not in along:
            why = "by hand"
        rows.append(
            {
                "name": package,
                "version": version,
                "why": why,
                "requirement": asked.get(package, ""),
            }
        )
    return rows


def freeze(shop: Shop, name: str) -> str:
    """What was asked for and came along, with versions: another machine gets the same by -r."""
    rows = packages(shop, name)
    return "".join(
        f"{row['name']}=={row['version']}\n" for row in rows if row["why"] != "appliance"
    )
