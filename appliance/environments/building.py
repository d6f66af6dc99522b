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

from appliance.environments.sandbox import has_units, run_confined
from appliance.errors import ApplianceError

_SECONDS: Final = 3600
_LINES: Final = 12
_INSIDE: Final = "/build"


@contextmanager
def build_wheels(
    python: Path, lines: Sequence[str], pinned: Mapping[str, str], network: Mapping[str, str]
) -> Iterator[Path]:
    """A folder with wheels for these requirements and all they need; raises ApplianceError."""
    what = f"cannot build {', '.join(lines[:3])}"
    with tempfile.TemporaryDirectory(prefix="appliance-build-", dir="/var/tmp") as name:
        folder = Path(name)
        # Nobody's unit must write there; its user has no number before it starts.
        folder.chmod(0o777)
        (folder / "requirements.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        pins = "".join(f"{one}=={version}\n" for one, version in pinned.items())
        (folder / "constraints.txt").write_text(pins, "utf-8")
        inside = _INSIDE if has_units() else str(folder)
        command = [
            str(python), "-I", "-m", "pip", "wheel", "--quiet", "--no-cache-dir",
            "--disable-pip-version-check", "--wheel-dir", f"{inside}/wheels",
            "--prefer-binary", "-r", f"{inside}/requirements.txt",
            "--constraint", f"{inside}/constraints.txt",
        ]  # fmt: skip
        try:
            done = run_confined(
                command, network=True, folder=folder, environment=network, seconds=_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ApplianceError(what, why=str(error), mend="try again") from error
        if done.returncode:
            said = [line for line in done.stdout.splitlines() if line.strip()]
            raise ApplianceError(
                what, why="\n".join(said[-_LINES:]), mend=_mend(done.stdout), log=tuple(said)
            )
        yield _taken_over(folder / "wheels")


def _taken_over(folder: Path) -> Path:
    """Copies of the wheels that nobody's unit can't change any more; no link is followed."""
    taken = Path(tempfile.mkdtemp(prefix="taken-", dir=folder.parent))
    taken.chmod(0o700)
    for path in folder.glob("*.whl"):
        if path.is_file() and not path.is_symlink():
            shutil.copyfile(path, taken / path.name, follow_symlinks=False)
    return taken


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
