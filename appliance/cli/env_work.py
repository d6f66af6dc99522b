"""Changing and listing packages, and telling what became of it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from appliance import audit
from appliance.audit import Action, AuditLog
from appliance.cli.errors import UsageError
from appliance.cli.output import Output, count, size, stamp
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.environments.changes import Changer, Outcome
from appliance.environments.conda import parse_conda
from appliance.environments.network import package_network
from appliance.environments.operations import Shop, freeze, packages
from appliance.environments.records import EVERYBODY, Records
from appliance.environments.requirements import Asked, parse_file, parse_words
from appliance.environments.switching import after_switch
from appliance.errors import ApplianceError
from appliance.places import Places

_SHOWN_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a command line asks for."""

    words: list[str] = field(default_factory=list)
    requirement: Path | None = None
    conda: Path | None = None
    strict: bool = False


@dataclass(frozen=True)
class Work:
    """One command."""

    places: Places
    output: Output
    wheels: Path | None = None
    dry_run: bool = False

    def install(self, name: str, wanted: Wanted, *, build: bool) -> None:
        asked = self._read(wanted)
        if not asked.lines:
            raise ApplianceError(
                "cannot install", why="nothing of it can be had", mend="see above; name packages"
            )
        self._change(
            name,
            lambda shop: shop.install(name, asked.lines, did=_did()),
            build=asked.lines if build else [],
        )

    def create(self, name: str, wanted: Wanted, *, title: str, python: str, build: bool) -> None:
        asked = self._read(wanted)
        self._change(
            name,
            lambda shop: shop.create(
                name, asked.lines, title=title or asked.title or name, python=python, did=_did()
            ),
            build=asked.lines if build else [],
        )

    def remove(self, name: str, names: list[str]) -> None:
        self._change(name, lambda shop: shop.remove(name, names, did=_did()))

    def upgrade(self, name: str, names: list[str]) -> None:
        self._change(name, lambda shop: shop.upgrade(name, names, did=_did()))

    def rollback(self, name: str, number: int) -> None:
        self._change(name, lambda shop: shop.rollback(name, number, did=_did()))

    def repair(self, name: str) -> None:
        names = [name] if name else [EVERYBODY, *Records(self.places).names()]
        repaired, failures = [], []
        for one in names:
            try:
                outcome = self._carry_out(one, partial(Shop.repair, name=one, did=_did()))
            except ApplianceError as error:
                # It is in the way of none of the others.
                failures.append(error)
                continue
            if outcome.changed:
                repaired.append(one or "everybody's")
        if failures:
            raise failures[0]
        text = f"built again: {', '.join(repaired)}" if repaired else "all are as they should be"
        self.output.done({"repaired": repaired}, text)

    def delete(self, name: str, *, yes: bool) -> None:
        if not yes and sys.stdin.isatty():
            answer = input(f"Delete the environment '{name}'? Notebooks that use it need another. ")
            if answer.strip().lower() not in {"y", "yes"}:
                self.output.say("Nothing was changed.")
                return
        self._shop(lambda text: None).delete(name)
        self._note([f"environment {name}"])
        self.output.done({"deleted": name}, f"deleted the environment '{name}'")

    def history(self, name: str) -> None:
        shop = self._shop(lambda text: None)
        current = shop.kind(shop.changer.records.read(name)).current()
        entries = shop.changer.history.entries(name)
        # One may have been gone back to: it was in force more than once.
        latest = max(
            (at for at, one in enumerate(entries) if current and one.directory == current.name),
            default=-1,
        )
        value = [
            {
                "number": number,
                "at": entry.at,
                "did": entry.did,
                "directory": entry.directory,
                "in_force": number == latest + 1,
            }
            for number, entry in enumerate(entries, 1)
        ]
        rows = [
            [str(one["number"]), "*" if one["in_force"] else "", stamp(str(one["at"])),
             str(one["did"])]
            for one in value
        ]  # fmt: skip
        self.output.table(value, ["", "", "since", "by"], rows)
        if not rows:
            self.output.say("Nothing was changed yet.")

    def list_packages(self, name: str, *, everything: bool) -> None:
        shop = self._shop(lambda text: None)
        rows = packages(shop, name)
        shown = rows if everything else [row for row in rows if row["why"] == "asked for"]
        environments = self._environments(shop) if name == EVERYBODY else []
        if self.output.as_json:
            self.output.data({"packages": shown, "environments": environments}, "")
            return
        self.output.table(
            shown,
            ["package", "version", "why"],
            [[row["name"], row["version"], row["why"]] for row in shown],
        )
        rest = len(rows) - len(shown)
        if rest:
            head = "and" if shown else "nothing was asked for; the appliance itself has"
            self.output.say(f"{head} {count(rest, 'package')}{' more' if shown else ''}: --all")
        for one in environments:
            self.output.say(f"kernel {one['name']} ({one['title']}): {one['packages']} asked for")

    def freeze(self, name: str) -> None:
        text = freeze(self._shop(lambda text: None), name)
        self.output.data(text.splitlines(), text.rstrip("\n"))

    def _environments(self, shop: Shop) -> list[dict[str, Any]]:
        found = []
        for name in shop.changer.records.names():
            record = shop.changer.records.read(name)
            number = len([line for line in record.wanted.splitlines() if line.strip()])
            found.append({"name": name, "title": record.title, "packages": number})
        return found

    def _read(self, wanted: Wanted) -> Asked:
        asked = parse_words(wanted.words)
        if wanted.requirement:
            asked.add(parse_file(wanted.requirement))
        if wanted.conda:
            asked.add(parse_conda(wanted.conda))
        for note in asked.notes:
            self.output.say(f"note: {note}")
        for refused in asked.refused:
            print(f"not installed: {refused}", file=sys.stderr)
        if asked.refused and wanted.strict:
            raise ApplianceError(
                "cannot follow the file",
                why=f"{count(len(asked.refused), 'line')} can't be had, and --strict is given",
                mend="correct the lines above, or leave --strict out",
            )
        return asked

    def _shop(self, say: Callable[[str], None]) -> Shop:
        network = package_network(read_config(self.places), self.places)
        if self.wheels and not self.wheels.is_dir():
            raise UsageError("cannot use --wheels", why=f"there is no folder {self.wheels}")
        wheels = self.wheels.absolute() if self.wheels else None
        changer = Changer(self.places, network=network, say=say)
        return Shop(self.places, changer, wheels, dry_run=self.dry_run)

    def _change(
        self, name: str, change: Callable[[Shop], Outcome], *, build: list[str] | None = None
    ) -> None:
        self._tell(name, self._carry_out(name, change, build))

    def _carry_out(
        self, name: str, change: Callable[[Shop], Outcome], build: list[str] | None = None
    ) -> Outcome:
        with self._progress() as say:
            with self._shop(say).building(name, build or []) as shop:
                outcome = change(shop)
            if not outcome.changed or self.dry_run:
                return outcome
            self._note([*outcome.added, *outcome.moved, *outcome.removed])
            if name != EVERYBODY:
                return outcome
            say("loading what servers and kernels start from")
            return replace(outcome, notes=[*outcome.notes, *after_switch(self.places)])

    def _tell(self, name: str, outcome: Outcome) -> None:
        value = {
            "environment": name or None,
            "changed": outcome.changed and not self.dry_run,
            "added": outcome.added,
            "moved": {one: {"from": old, "to": new} for one, (old, new) in outcome.moved.items()},
            "removed": outcome.removed,
            "bytes": outcome.bytes,
            "notes": outcome.notes,
        }
        lines = [f"+ {one} {version}" for one, version in sorted(outcome.added.items())]
        lines += [f"  {one} {old} -> {new}" for one, (old, new) in sorted(outcome.moved.items())]
        lines += [f"- {one} {version}" for one, version in sorted(outcome.removed.items())]
        if len(lines) > _SHOWN_MAX:
            lines = [*lines[:_SHOWN_MAX], f"… and {len(lines) - _SHOWN_MAX} more"]
        lines.append(self._last_line(name, outcome))
        self.output.done(value, "\n".join(lines))
        for note in outcome.notes:
            self.output.say(f"note: {note}")

    def _last_line(self, name: str, outcome: Outcome) -> str:
        if not outcome.changed:
            return "nothing to do: it is so already"
        room = f" ({size(outcome.bytes)} on the disk)" if outcome.bytes else ""
        if self.dry_run:
            return f"would be installed{room}; nothing was changed"
        if name:
            return f"in force{room}: new kernels of '{name}' have it; those that run go on as ever"
        return f"in force{room}: servers and kernels that start from now on have it"

    def _note(self, names: list[str]) -> None:
        log = AuditLog(self.places.root_audit)
        log.add(audit.at_the_terminal(), Action.CHANGE_PACKAGES, names)

    @contextmanager
    def _progress(self) -> Iterator[Callable[[str], None]]:
        if self.output.quiet or self.output.as_json or not sys.stderr.isatty():
            yield lambda text: None
            return
        from rich.console import Console

        console = Console(stderr=True, highlight=False)
        with console.status("…") as status:
            yield lambda text: status.update(f"{text} …")


def read_config(places: Places) -> Config | None:
    """The settings in force; None where there are none that can be read."""
    try:
        return read_in_force(places)
    except ApplianceError:
        return None


def _did() -> str:
    """The command as it was typed, for the history."""
    return shlex.join(["appliance", *sys.argv[1:]])[:200]
