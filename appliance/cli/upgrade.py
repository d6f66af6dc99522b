"""What `appliance upgrade` does: look, propose, upgrade, go back.

The upgrade itself is an installation by the newer release's own bootstrap.py; see installer/.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance import __version__
from appliance.cli.errors import Exit, UsageError
from appliance.cli.output import Output, count, size
from appliance.config.rendered import read_in_force
from appliance.config.schema import Config
from appliance.errors import ApplianceError, Conflict, InstallError
from appliance.places import Places
from installer.events import Reporter
from installer.going_back import done_since, go_back
from installer.point import Point, exclusively
from installer.proposal import Proposal
from installer.releases import (
    PYTHON,
    Wanted,
    available,
    environment,
    fetch,
    is_newer,
    newest,
    take_bootstrap,
    version_of,
)


@dataclass
class Upgrading:
    """One command line."""

    places: Places
    output: Output
    wanted: Wanted
    yes: bool = False

    def __post_init__(self) -> None:
        if self.places.trial:
            raise Conflict(
                "cannot upgrade a trial by this command",
                why="its own program installs it",
                mend="run the newer release's bootstrap.py --trial in the same folder",
            )

    @property
    def config(self) -> Config:
        return read_in_force(self.places)

    # Looking

    def check(self) -> int:
        """Say whether there is a newer release."""
        config = self.config
        found = newest(available(config, self.places, self.wanted), config.updates.pin)
        said = {
            "installed": __version__,
            "newest": found or None,
            "newer": is_newer(found),
            "channel": config.updates.channel.value,
            "pin": config.updates.pin,
        }
        text = f"{__version__} is installed, and there is no newer release"
        if is_newer(found):
            text = f"{__version__} is installed; {found} is there: sudo appliance upgrade"
        pinned = f" that begins with {config.updates.pin}" if config.updates.pin else ""
        self.output.data(said, text + pinned)
        return 0

    def propose(self) -> int:
        """--dry-run."""
        with tempfile.TemporaryDirectory() as folder:
            wheel = self._fetch(Path(folder))
            if wheel is None:
                return 0
            facts = Proposal(self.places, wheel).facts()
        self.output.data(facts, _proposal_text(facts))
        return 0 if facts["possible"] else int(Exit.FAILED)

    def _fetch(self, folder: Path) -> Path | None:
        """The wheel to go to; None if there is nothing newer, which is said."""
        config, wanted = self.config, self.wanted
        if not wanted.version and not wanted.source:
            found = newest(available(config, self.places, wanted), config.updates.pin)
            if not is_newer(found):
                said = {"from": __version__, "to": None}
                self.output.data(said, f"{__version__} is installed; there is no newer release")
                return None
            wanted = Wanted(found, wanted.source, wanted.wheels)
        wheel = fetch(wanted, config, self.places, folder)
        if is_newer(__version__, version_of(wheel)):
            raise Conflict(
                f"cannot go from {__version__} to {version_of(wheel)}",
                why="it is older, and an older program may not read the newer's data",
                mend="to go back to the release before: sudo appliance upgrade --rollback",
            )
        return wheel

    # Doing

    def upgrade(self) -> int:
        with tempfile.TemporaryDirectory(prefix="appliance-upgrade-") as name:
            folder = Path(name)
            wheel = self._fetch(folder)
            if wheel is None:
                return 0
            facts = Proposal(self.places, wheel).facts()
            if not facts["possible"]:
                raise Conflict(
                    f"cannot upgrade to {facts['to']}",
                    why=f"the database has the schema {facts['schema']['from']} of another release",
                )
            if not self.yes:
                self.output.say(_proposal_text(facts))
                if not _agreed(f"Upgrade to {facts['to']}? [y/N] "):
                    self.output.say("Nothing was changed.")
                    return int(Exit.FAILED)
            return self._install(wheel, folder, facts)

    def _install(self, wheel: Path, folder: Path, facts: dict[str, Any]) -> int:
        """The newer release's own installer does all of it, and goes back if it must."""
        command = [PYTHON, "-I", str(take_bootstrap(wheel, folder)), "--source", str(wheel)]
        command += ["--yes", *(["--wheels", self.wanted.wheels] if self.wanted.wheels else [])]
        is_quiet = self.output.quiet or self.output.as_json
        command += ["--quiet"] if is_quiet else []
        sys.stdout.flush()
        done = subprocess.run(
            command,
            env=environment(self.config, self.places),
            stdout=subprocess.DEVNULL if is_quiet else None,
            check=False,
        )
        if done.returncode:
            return int(Exit.FAILED)
        text = f"upgraded from {facts['from']} to {facts['to']}"
        self.output.done({**facts, "done": True}, text)
        return 0

    # Going back

    def roll_back(self) -> int:
        """To the release before, once; what is lost is told, and must be agreed to."""
        point = Point.previous(self.places)
        if not point.exists:
            raise Conflict(
                "cannot go back",
                why="no earlier release is kept",
                mend="an upgrade keeps the release before it; a first installation has none",
            )
        manifest = point.manifest()
        _check_environments(point)
        lost = done_since(self.places, manifest.taken) if point.changes_schema() else []
        if point.changes_schema():
            self.output.say(_loss_text(manifest.version, manifest.taken, lost))
            if not self.yes and not _agreed("Go back all the same? [y/N] "):
                self.output.say("Nothing was changed.")
                return int(Exit.FAILED)
        with exclusively():
            go_back(point, reporter_of(self.output))
        text = f"{manifest.version} is in force again, instead of {manifest.newer}"
        self.output.done({"from": manifest.newer, "to": manifest.version, "lost": lost}, text)
        return 0


class _Silent(Reporter):
    """For --quiet and --json."""

    def __init__(self) -> None:
        super().__init__(as_json=True)

    def _write(self, text: str) -> None:
        """Nobody asked for it."""


def reporter_of(output: Output) -> Reporter:
    """Plain lines for people."""
    return _Silent() if output.quiet or output.as_json else Reporter(as_json=False)


def _check_environments(point: Point) -> None:
    software = point.places.software
    for name, target in point.manifest().links.items():
        if not (software / name).parent.joinpath(target).exists():
            raise InstallError(
                f"cannot go back to {point.manifest().version}",
                why=f"{target} isn't there any more",
                mend=f"install that release: bootstrap.py --version {point.manifest().version}",
            )


def _loss_text(version: str, taken: str, lost: list[str]) -> str:
    lines = [
        f"{version} cannot read the database as it is now.",
        f"It gets the copy from before the upgrade ({taken}).",
        "Lost are accounts, passwords, classes and messages that were made or changed since;",
        "homes and class files stay. In the audit log since then:",
        *(f"  {one}" for one in lost or ["nothing"]),
        "The database of now is kept beside it.",
    ]
    return "\n".join(lines)


def _proposal_text(facts: dict[str, Any]) -> str:
    schema, disk = facts["schema"], facts["disk"]
    moved = [one for packages in facts["packages"].values() for one in packages]
    rows = [
        ("release", f"{facts['from']} -> {facts['to']}"),
        ("database", _schema_text(schema, possible=facts["possible"])),
        ("restarts", ", ".join(facts["restarts"]) + "; the proxy reloads"),
        ("packages", count(len(moved), "change") if moved else "the same versions"),
        ("units", ", ".join(facts["units"]) or "the same"),
        ("disk", f"about {size(disk['needed'])} more of {size(disk['free'])} free"),
        ("stays", "; ".join(facts["stays"])),
    ]
    return "\n".join(f"{label:<9} {text}" for label, text in rows)


def _schema_text(schema: dict[str, Any], *, possible: bool) -> str:
    if not possible:
        return f"cannot be read: its schema {schema['from']} is of another release"
    if not schema["migrates"]:
        return f"stays as it is (schema {schema['to']})"
    return f"is migrated ({schema['from']} -> {schema['to']}), after a rehearsal on a copy"


def _agreed(question: str) -> bool:
    """Ask on the terminal; without one, --yes is the answer that is wanted."""
    if not sys.stdin.isatty():
        raise UsageError("cannot ask", why="this is no terminal", mend="add --yes")
    sys.stderr.write(question)
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def run(upgrading: Upgrading, *, check: bool, dry_run: bool, rollback: bool) -> int:
    if sum((check, dry_run, rollback)) > 1:
        raise UsageError(
            "cannot do that",
            why="--check, --dry-run and --rollback are different things",
            mend="give one of them",
        )
    if check:
        return upgrading.check()
    if dry_run:
        return upgrading.propose()
    if rollback:
        return upgrading.roll_back()
    try:
        return upgrading.upgrade()
    except OSError as error:
        raise ApplianceError("cannot upgrade", why=str(error)) from error
