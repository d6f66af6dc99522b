"""One file with all that an installation needs, for machines without any network.

`python3 bootstrap.py --make-bundle FILE` runs this straight from the wheel, with the system's
Python, on a machine that has a network; `bootstrap.py --bundle FILE` installs from it. Inside are
bootstrap.py, wheels for each Python asked for, and Debian packages of the release that the bundle
is made on, as a small repository for apt, with everything that they need.

Standard library only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import Final

from appliance import __version__
from appliance.errors import InstallError
from appliance.outgoing import apt_options
from installer.commands import run
from installer.events import Reporter
from installer.files import remove_tree

MANIFEST: Final = "bundle.json"
_LISTS: Final = ("hub", "user")
_PYTHON_MARKER: Final = re.compile(r";.*python_(full_)?version")
_MARKER: Final = re.compile(r"\s*;[^\\\n]*(\\?)")
_DOWNLOAD: Final = 'cd "$1" && shift && exec apt-get -q download "$@"'
_PLATFORMS: Final = ("manylinux_2_28", "manylinux_2_17", "manylinux2014", "linux")


def make(
    file: Path,
    wheel: Path,
    *,
    pythons: Sequence[str],
    debs: Sequence[str],
    pip: Sequence[str],
    reporter: Reporter,
) -> None:
    """Write the bundle; it appears whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="bundle-", dir=file.parent) as name:
        folder = Path(name) / "bundle"
        (folder / "wheels").mkdir(parents=True)
        shutil.copy(wheel, folder / "wheels")
        bootstrap = resources.files("installer") / "bootstrap.py"
        (folder / "bootstrap.py").write_bytes(bootstrap.read_bytes())
        for python in pythons:
            _fetch_wheels(folder / "wheels", python, pip, reporter)
        if debs:
            _fetch_debs(folder / "debs", debs, reporter)
        _describe(folder, pythons)
        beside = file.with_name(f".{file.name}.new")
        with tarfile.open(beside, "w") as archive:
            archive.add(folder, "bundle")
        beside.replace(file)


def _fetch_wheels(folder: Path, python: str, pip: Sequence[str], reporter: Reporter) -> None:
    reporter.stage(f"Fetching packages for Python {python}")
    machine = _output("uname", "-m").strip()
    tag = python.replace(".", "")
    command: list[str | Path] = [
        *pip, "download", "-q", "--no-cache-dir", "--no-deps", "--require-hashes",
        "--only-binary", ":all:", "--python-version", python,
        # The pins are for this Python; pip takes 3.11 for 3.11.0 and refuses some.
        "--ignore-requires-python",
        *[word for one in _PLATFORMS for word in ("--platform", f"{one}_{machine}")],
        "--abi", f"cp{tag}", "--abi", "abi3", "--abi", "none", "-d", folder,
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "pins.txt"
        for pins in (*_LISTS, "uv"):
            text = (resources.files("installer") / "requirements" / f"{pins}.txt").read_text()
            always, sometimes = by_marker(text)
            path.write_text(always)
            run(
                [*command, "-r", path],
                failure=f"cannot fetch packages for Python {python}",
                mend="see whether this machine reaches a package index",
                reporter=reporter,
            )
            for one in sometimes:
                path.write_text(one)
                with suppress(InstallError):
                    run([*command, "-r", path], failure="not for this Python", reporter=reporter)


def by_marker(pins: str) -> tuple[str, list[str]]:
    """Pins for every Python, and each of those for some alone, with its condition taken out.

    pip would judge the condition by its own Python, and which of the patch releases the machine
    has nobody knows: so whatever can be had of these is taken.
    """
    entries = re.split(r"\n(?=\S)", pins.strip())
    sometimes = [entry for entry in entries if _PYTHON_MARKER.search(entry)]
    always = [entry for entry in entries if entry not in sometimes]
    return "\n".join(always) + "\n", [_MARKER.sub(r" \1", one) + "\n" for one in sometimes]


def _fetch_debs(folder: Path, packages: Sequence[str], reporter: Reporter) -> None:
    """With all that they need, as on a machine that has nothing: which has what, nobody knows."""
    reporter.stage("Fetching Debian packages")
    (folder / "partial").mkdir(parents=True)
    network = apt_options(os.environ)
    command = ["apt-get", "-qq", "--print-uris", "--no-install-recommends", *network]
    # Not even those that were fetched before are passed over.
    command += ["-o", "Dir::State::status=/dev/null", "-o", f"Dir::Cache::archives={folder}"]
    command += ["install", *packages]
    files = re.findall(r"^'\S+' (\S+?)_(\S+?)_\S+\.deb ", _output(*command), re.MULTILINE)
    if not files:
        raise InstallError(
            "cannot find the Debian packages", why="apt knows none", mend="sudo apt-get update"
        )
    wanted = [f"{name}={version.replace('%3a', ':')}" for name, version in files]
    # apt fetches as a user of its own, who must be able to write there.
    subprocess.run(["chmod", "0777", folder], check=True)
    run(
        ["sh", "-c", _DOWNLOAD, "sh", folder, *network, *wanted],
        failure="cannot fetch the Debian packages",
        mend="see whether `apt-get download nginx` works",
        reporter=reporter,
    )
    folder.chmod(0o755)
    remove_tree(folder / "partial")
    entries = []
    for path in sorted(folder.glob("*.deb")):
        control = _output("dpkg-deb", "-f", str(path)).strip()
        entries.append(
            f"{control}\nFilename: ./{path.name}\nSize: {path.stat().st_size}\n"
            f"SHA256: {_sha256(path)}\n"
        )
    (folder / "Packages").write_text("\n".join(entries), "utf-8")


def _describe(folder: Path, pythons: Sequence[str]) -> None:
    """What is in it, and the sums by which an installation knows that it arrived whole."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = {str(path.relative_to(folder)): _sha256(path) for path in files}
    found = {"version": __version__, "pythons": list(pythons), "files": sums}
    (folder / MANIFEST).write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as err:
        said = getattr(err, "stderr", "") or str(err)
        raise InstallError(f"cannot run {command[0]}", why=said.strip()[-400:]) from err


def main() -> None:
    """bootstrap.py's way in."""
    parser = argparse.ArgumentParser()
    parser.add_argument("wheel", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--python", nargs="+", required=True)
    parser.add_argument("--debs", nargs="*", default=[])
    parser.add_argument("--pip", nargs=argparse.REMAINDER)
    found = parser.parse_args(sys.argv[1:])
    reporter = Reporter(as_json=True)
    try:
        make(
            found.file, found.wheel,
            pythons=found.python, debs=found.debs, pip=found.pip, reporter=reporter,
        )  # fmt: skip
    except InstallError as err:
        reporter.failed(err)
        raise SystemExit(1) from err
