"""Packages that aren't ready-made: built from their source as nobody, in a closed-off unit.

Building runs what the package's authors wrote. That must not be root: root takes only the wheels
that come out, and their code then runs as any other package's.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from appliance.environments.sandbox import Folder, run_confined, shared_folder
from appliance.errors import ApplianceError
from appliance.outgoing import AUTHORITIES_FILE, AUTHORITY_VARIABLES

_SECONDS: Final = 3600
_LINES: Final = 12


@contextmanager
def build_wheels(
    python: Path,
    lines: Sequence[str],
    pinned: Mapping[str, str],
    network: Mapping[str, str],
    given: Path | None,
) -> Iterator[Path]:
    """A folder with wheels for these requirements and all they need; raises ApplianceError.

    With `given`, a folder of packages, nothing comes from the network.
    """
    what = f"cannot build {', '.join(lines[:3])}"
    with shared_folder() as folder, tempfile.TemporaryDirectory(prefix="built-") as taken:
        pins = "".join(f"{one}=={version}\n" for one, version in pinned.items())
        (folder.outside / "requirements.txt").write_text("\n".join(lines), "utf-8")
        (folder.outside / "constraints.txt").write_text(pins, "utf-8")
        command = _command(python, folder)
        if given:
            # A link in it stays one: root would copy for others what they may not read.
            shutil.copytree(given, folder.outside / "given", symlinks=True)
            command += ["--no-index", "--find-links", str(folder.inside / "given")]
        try:
            variables = _with_readable_authorities(network, folder)
            done = run_confined(command, folder=folder, environment=variables, seconds=_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ApplianceError(what, why=str(error), mend="try again") from error
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if line.strip()]
            raise ApplianceError(
                what, why="\n".join(said[-_LINES:]), mend=_mend(done.stdout), log=tuple(said)
            )
        _take_over(folder.outside / "wheels", Path(taken))
        yield Path(taken)


def _command(python: Path, folder: Folder) -> list[str]:
    return [
        str(python), "-I", "-m", "pip", "wheel", "--quiet", "--no-cache-dir",
        "--disable-pip-version-check", "--prefer-binary", "--wheel-dir",
        str(folder.inside / "wheels"), "-r", str(folder.inside / "requirements.txt"),
        "--constraint", str(folder.inside / "constraints.txt"),
    ]  # fmt: skip


def _with_readable_authorities(network: Mapping[str, str], folder: Folder) -> dict[str, str]:
    """The same variables, with a copy of the authorities: nobody may not read where they are."""
    given = network.get("PIP_CERT") or network.get("SSL_CERT_FILE")
    if not given:
        return dict(network)
    shutil.copyfile(given, folder.outside / AUTHORITIES_FILE)
    copied = str(folder.inside / AUTHORITIES_FILE)
    return {**network, **dict.fromkeys(AUTHORITY_VARIABLES, copied)}


def _take_over(folder: Path, taken: Path) -> None:
    """Copies of the wheels that nobody's unit can't change any more; no link is followed."""
    for path in sorted(folder.glob("*.whl")):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, taken / path.name, follow_symlinks=False)


def _mend(said: str) -> str:
    missing = [
        package
        for sign, package in (
            ("gcc", "build-essential python3-dev"),
            ("Python.h", "python3-dev"),
            ("cmake", "cmake"),
            ("gfortran", "gfortran"),
            ("cargo", "cargo"),
        )
        if sign in said
    ]
    if missing:
        return f"it may need: sudo apt-get install {' '.join(dict.fromkeys(missing))}"
    return "see what its authors say about building it"
