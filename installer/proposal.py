"""What an upgrade would do, found out without doing it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from appliance import __version__
from appliance.errors import InstallError
from appliance.places import Places
from appliance.rollout.services import HUB_UNIT, PROXY_UNIT, SPAWNER_UNIT
from installer.environments import without_hashes
from installer.machine_steps import units_source
from installer.point import schema_of
from installer.releases import version_of

_SCHEMA_CODE: Final = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from appliance.db.migrations import HEAD, REVISIONS; print(HEAD, *REVISIONS)"
)
_STAYS: Final = (
    "accounts, homes and class files",
    "config.yaml and its history",
    "servers that run, with their kernels",
    "this release, to go back to: appliance upgrade --rollback",
)


@dataclass(frozen=True, slots=True)
class Proposal:
    """From the installed release to a wheel."""

    places: Places
    wheel: Path

    def facts(self) -> dict[str, Any]:
        """Everything that --dry-run says."""
        schema, known = self._schema()
        now = schema_of(self.places.database)
        return {
            "from": __version__,
            "to": version_of(self.wheel),
            "schema": {"from": now, "to": schema, "migrates": now != schema},
            "possible": not now or now in known,
            "packages": self._packages(),
            "units": self._units(),
            "restarts": [SPAWNER_UNIT, HUB_UNIT],
            "reloads": [PROXY_UNIT],
            "disk": {
                "free": shutil.disk_usage(self.places.software).free,
                "needed": self._needed(),
            },
            "stays": list(_STAYS),
        }

    def _schema(self) -> tuple[str, list[str]]:
        """By the newer program itself, which alone knows; nothing of it is written anywhere."""
        done = subprocess.run(
            [sys.executable, "-I", "-B", "-c", _SCHEMA_CODE, str(self.wheel)],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        words = done.stdout.split()
        if done.returncode or not words:
            raise InstallError(
                f"cannot read {self.wheel.name}",
                why=(done.stderr.strip().splitlines() or ["it says nothing of its database"])[-1],
                mend="report it",
            )
        return words[0], words[1:]

    def _needed(self) -> int:
        """What is in use is an estimate of what comes beside it; equal files are shared."""
        sizes = 0
        for name in ("hub", "user"):
            link = self.places.software / name
            for path in link.resolve().rglob("*") if link.exists() else ():
                if path.suffix == ".pyc" or "hub_appliance" in str(path):
                    sizes += path.lstat().st_size
        database = self.places.database
        return sizes + (4 * database.stat().st_size if database.exists() else 0)

    def _packages(self) -> dict[str, list[str]]:
        """Pinned packages of hub and users that change, as "name old -> new"."""
        found = {}
        for name in ("hub", "user"):
            kept = self.places.software / name / "requirements.txt"
            old = _pins(kept.read_text("utf-8") if kept.exists() else "")
            new = _pins(self._read(f"installer/requirements/{name}.txt").decode())
            found[name] = [
                f"{package} {old.get(package, 'nothing')} -> {new.get(package, 'nothing')}"
                for package in sorted(old.keys() | new.keys())
                if old.get(package) != new.get(package)
            ]
        return found

    def _units(self) -> list[str]:
        """Unit files that are new, gone or different."""
        ours = {path.name: path.read_bytes() for path in units_source().glob("appliance*.*")}
        with zipfile.ZipFile(self.wheel) as file:
            theirs = {
                name.rpartition("/")[2]: file.read(name)
                for name in file.namelist()
                if name.startswith("installer/units/appliance")
            }
        names = sorted(ours.keys() | theirs.keys())
        return [name for name in names if ours.get(name) != theirs.get(name)]

    def _read(self, name: str) -> bytes:
        with zipfile.ZipFile(self.wheel) as file:
            return file.read(name)


def _pins(text: str) -> dict[str, str]:
    lines = (line.partition(";")[0].strip() for line in without_hashes(text).splitlines())
    pairs = (line.partition("==") for line in lines if "==" in line)
    return {name: version.strip(" \\") for name, _, version in pairs}
