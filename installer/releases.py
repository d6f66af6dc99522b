"""Which releases there are, and fetching one: bootstrap.py's own ways, asked as a program.

So releases are looked for where packages are: in the index that pip is configured with, or the one
of `updates.source`, through the proxy and with the authorities of the settings under `network`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from packaging.version import InvalidVersion, Version

from appliance import __version__
from appliance.config.schema import Config
from appliance.config.updates_schema import Channel, Updates
from appliance.errors import InstallError
from appliance.network import outgoing_in_shell
from appliance.places import Places

PYTHON: Final = "/usr/bin/python3"
_BOOTSTRAP: Final = "installer/bootstrap.py"
_LOOK_SECONDS: Final = 120
_FETCH_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for on the command line, if anything."""

    version: str = ""
    source: str = ""
    wheels: str = ""

    def words(self, updates: Updates) -> list[str]:
        """bootstrap.py's options."""
        found = ["--source", self.source] if self.source else []
        found += ["--wheels", self.wheels] if self.wheels else []
        if not self.source and updates.source and not self.wheels:
            found += ["--index", updates.source]
        return found


def own_bootstrap() -> Path:
    """bootstrap.py of this release: in the installed package, or in the checkout above it."""
    packaged = Path(str(resources.files("installer"))) / "bootstrap.py"
    return packaged if packaged.is_file() else packaged.parent.parent / "bootstrap.py"


def available(config: Config, places: Places, wanted: Wanted) -> list[str]:
    """Versions that can be had, newest first; raises InstallError when nobody can be asked."""
    words = ["--releases", *wanted.words(config.updates)]
    if config.updates.channel is Channel.BETA:
        words.append("--pre")
    said = _ask(words, config, places, _LOOK_SECONDS)
    found = json.loads(said or "[]")
    return [version for version in found if _parsed(version) is not None]


def newest(versions: Sequence[str], pin: str) -> str:
    """The newest that begins with the pin, part by part; "" if none does."""
    parts = tuple(int(part) for part in pin.split(".")) if pin else ()
    fitting = [
        version
        for version in versions
        if (found := _parsed(version)) and _padded(found)[: len(parts)] == parts
    ]
    return max(fitting, key=Version, default="")


def is_newer(version: str, than: str = __version__) -> bool:
    found, ours = _parsed(version), _parsed(than)
    return bool(found and ours and found > ours)


def fetch(wanted: Wanted, config: Config, places: Places, folder: Path) -> Path:
    """The release's own wheel; raises InstallError."""
    words = ["--fetch", str(folder), *wanted.words(config.updates)]
    words += ["--version", wanted.version] if wanted.version else []
    said = _ask(words, config, places, _FETCH_SECONDS)
    wheel = Path(said.splitlines()[-1])
    _must_be_whole(wheel)
    return wheel


def _must_be_whole(wheel: Path) -> None:
    try:
        with zipfile.ZipFile(wheel) as file:
            damaged = file.testzip() is not None
    except zipfile.BadZipFile:
        damaged = True
    if damaged:
        raise InstallError(
            f"cannot upgrade to {wheel.name}",
            why="the file is damaged",
            mend="download or copy it again",
        )


def take_bootstrap(wheel: Path, folder: Path) -> Path:
    """The bootstrap.py that belongs to a wheel: it knows what its release needs of the machine."""
    try:
        with zipfile.ZipFile(wheel) as file:
            return Path(file.extract(_BOOTSTRAP, folder))
    except (KeyError, zipfile.BadZipFile, OSError) as err:
        raise InstallError(
            f"cannot upgrade to {wheel.name}",
            why="it isn't a release of the appliance that can be upgraded to",
            mend="run that release's own bootstrap.py",
        ) from err


def version_of(wheel: Path) -> str:
    return wheel.name.split("-")[1]


def environment(config: Config, places: Places) -> dict[str, str]:
    """For bootstrap.py: with the settings' way to the network, unless the shell has a proxy."""
    return {**os.environ, **outgoing_in_shell(config, places, os.environ)}


def _ask(words: Sequence[str], config: Config, places: Places, seconds: float) -> str:
    python = PYTHON if Path(PYTHON).exists() else sys.executable
    what = "cannot look for releases" if "--releases" in words else "cannot fetch the release"
    try:
        done = subprocess.run(
            [python, "-I", str(own_bootstrap()), *words],
            env=environment(config, places), capture_output=True, text=True, check=False,
            timeout=seconds, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as err:
        raise InstallError(
            what, why=f"there was no answer within {seconds:.0f} seconds", mend=_MEND
        ) from err
    if done.returncode:
        raise InstallError(what, why=_reason(done.stderr), mend=_MEND)
    return done.stdout.strip()


_MEND: Final = (
    "see whether this machine reaches its package index (appliance config explain network.proxy), "
    "or name a file: --source, --wheels"
)


def _reason(said: str) -> str:
    """What bootstrap.py says after "why", or all of it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    whys = [line.removeprefix("why").strip() for line in lines if line.startswith("why")]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or whys or lines or ["it ended without a word"])[-1]


def _parsed(version: str) -> Version | None:
    try:
        return Version(version)
    except InvalidVersion:
        return None


def _padded(version: Version) -> tuple[int, ...]:
    return (*version.release, 0, 0, 0, 0)
