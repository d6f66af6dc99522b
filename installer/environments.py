"""The Python environments: built beside the ones in use, and switched by one rename.

`SOFTWARE/hub` and `SOFTWARE/user` are links into `SOFTWARE/environments/`. A directory there is
named after everything that it is made from, so "is it up to date" is "does the link point there",
and a server that runs keeps its files when the link moves on. A directory without the file
`.complete` is what an interrupted build left.

Standard library only: bootstrap.py runs this straight from the wheel, with the system's Python,
before any environment exists.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from appliance.errors import InstallError
from installer.cache import trusted_cache
from installer.commands import run
from installer.events import Reporter
from installer.files import digest_of, point_link, remove_tree, sync_directory, write_file
from installer.startup_code import compile_packages, startup_code_aside
from installer.uv import fetch_uv, uv_environment

COMPLETE: Final = ".complete"
PINNED: Final = "requirements.txt"
WANTED: Final = "user-requirements.txt"
LOCKED: Final = "user-requirements.lock"
"""What an environment was made of, in files in its directory."""
OWN_WHEELS: Final = "own"
"""In the folder of wheels."""
HISTORY: Final = "history.json"
"""Earlier environments that are kept, by name; see appliance/environments."""
# Part of every digest: a new number rebuilds all environments although nothing else changed.
_RECIPE: Final = "1"

_LINES: Final = 8
_IMPORT_SERVER: Final = "import appliance.singleuser.app, ipykernel"

Finish = Callable[[Path], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """What environments are made with."""

    uv: Path
    wheel: Path
    python: str


@dataclass(frozen=True, slots=True)
class Environment:
    """One environment: its name, its pins, and what the machine's owner wants besides."""

    name: str
    pinned: str
    wanted: str = ""
    locked: str = ""
    """The versions of what is wanted and what comes along with it, where they are chosen already;
    see appliance/environments."""

    @classmethod
    def named(cls, name: str, *, wanted: str = "", locked: str = "") -> Environment:
        """The environment whose pins are in the package's file of requirements."""
        file = resources.files("installer") / "requirements" / f"{name}.txt"
        return cls(name, file.read_text("utf-8"), wanted, locked)

    def directory(self, software: Path, tools: Tools) -> Path:
        digest = digest_of(
            _RECIPE,
            self.pinned,
            self.wanted,
            tools.wheel.read_bytes(),
            python_id(tools.python),
            *([self.locked] if self.locked else []),
        )
        return software / "environments" / f"{self.name}-{digest}"

    def is_current(self, software: Path, tools: Tools) -> bool:
        directory = self.directory(software, tools)
        return (directory / COMPLETE).exists() and (software / self.name).resolve() == directory

    def ensure(self, software: Path, tools: Tools, reporter: Reporter) -> None:
        """Build what is missing, then point the link there."""
        self.switch(software, self.build(software, tools, reporter))

    def build(
        self, software: Path, tools: Tools, reporter: Reporter, finish: Finish | None = None
    ) -> Path:
        """Build what is missing beside what is in use; the directory. `finish` adds what isn't a
        package."""
        directory = self.directory(software, tools)
        if not (directory / COMPLETE).exists():
            remove_tree(directory)
            directory.parent.mkdir(parents=True, exist_ok=True)
            with trusted_cache(software / "wheels/cache") as cache:
                _Build(self, directory, tools, reporter, cache).run()
                if finish:
                    finish(directory)
            mark_complete(directory)
        return directory

    def switch(self, software: Path, directory: Path) -> None:
        """Point the link there: whoever starts from now on uses it."""
        point_link(software / self.name, f"environments/{directory.name}")


@dataclass(frozen=True, slots=True)
class _Build:
    """Filling one directory."""

    environment: Environment
    directory: Path
    tools: Tools
    reporter: Reporter
    cache: Path

    def run(self) -> None:
        failure = f"cannot build the {self.environment.name} environment"
        mend = "see whether this machine reaches a package index; behind a proxy, or without a "
        mend += "network, see bootstrap.py --help"
        self._uv("venv", "--quiet", "--python", self.tools.python, self.directory, failure=failure)
        wheel = self.tools.wheel
        own = f"hub-appliance @ {wheel.as_uri()} --hash=sha256:{_sha256(wheel)}\n"
        pins = self._write(PINNED, f"{self.environment.pinned}\n{own}")
        # The pins name every package, so there is nothing to resolve.
        words: list[str | Path] = ["--require-hashes", "--no-deps", "-r", pins]
        if self.environment.wanted:
            self._install_pinned(*words, failure=failure, mend=mend)
            self._add_wanted()
        else:
            self._install_pinned("--compile-bytecode", *words, failure=failure, mend=mend)

    def _add_wanted(self) -> None:
        """The owner's own requirements; they may add packages and may not move our pins."""
        self.reporter.detail("adding your own requirements")
        wanted = self._write(WANTED, self.environment.wanted)
        self._write(LOCKED, self.environment.locked)
        pins = without_hashes(self.environment.pinned)
        versions = self._write("constraints.txt", pins + self.environment.locked)
        with startup_code_aside(self.directory):
            self._install(
                "-r", wanted, "--constraint", versions, *self._own_wheels(),
                failure="cannot install your own requirements",
                mend="correct them (--user-requirements); what the appliance itself needs is "
                "pinned",
            )  # fmt: skip
        compile_packages(self.directory)
        self._try_wanted()

    def _try_wanted(self) -> None:
        """As nobody, like everything that others' packages bring."""
        from appliance.environments.sandbox import run_confined

        what = "with your own requirements the server of a user does not start"
        mend = "take the package that the last lines name out of your requirements"
        try:
            done = run_confined([self.directory / "bin/python", "-I", "-c", _IMPORT_SERVER])
        except (OSError, subprocess.TimeoutExpired) as err:
            raise InstallError(what, why=f"it can't be tried: {err}") from err
        if done.returncode:
            self.reporter.output(done.stdout)
            lines = [line for line in done.stdout.splitlines() if line.strip()]
            raise InstallError(what, why="\n".join(lines[-_LINES:]) or "it says nothing", mend=mend)

    def _own_wheels(self) -> list[str | Path]:
        """Those that the owner installed from files, kept for this."""
        folder = self.cache.with_name(OWN_WHEELS)
        return ["--find-links", folder] if folder.is_dir() else []

    def _write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text, "utf-8")
        return path

    def _install_pinned(self, *words: str | Path, failure: str, mend: str) -> None:
        """From the cache alone if it has all of it: then no network is needed."""
        if any(self.cache.iterdir()):
            with suppress(InstallError):
                self._install("--offline", *words, failure=failure, mend=mend)
                return
        self._install(*words, failure=failure, mend=mend)

    def _install(self, *words: str | Path, failure: str, mend: str) -> None:
        python = self.directory / "bin/python"
        self._uv("pip", "install", "--python", python, *words, failure=failure, mend=mend)

    def _uv(self, *words: str | Path, failure: str, mend: str = "") -> None:
        run(
            [self.tools.uv, *words],
            failure=failure,
            mend=mend,
            reporter=self.reporter,
            environment=uv_environment(os.environ, cache=self.cache),
        )


def without_hashes(pinned: str) -> str:
    """Pins alone, for --constraint: with hashes there uv would demand hashes of everything."""
    return re.sub(r"\s*\\\n\s+--hash=\S+", "", pinned)


def prune(software: Path, *, keep: Collection[str] = ()) -> list[str]:
    """Delete environments that nothing points to and no process uses; the names of what went.

    `keep`: names that somebody may want to go back to.
    """
    root = software / "environments"
    links = [*software.iterdir(), *(software / "jupyter/environments").glob("*")]
    current = {link.resolve() for link in links if link.is_symlink()}
    current |= {root / name for name in (*_kept(root / HISTORY), *keep)}
    gone = []
    for directory in sorted(root.iterdir() if root.is_dir() else []):
        if not directory.is_dir():
            continue
        if directory.resolve() not in current and not is_in_use(directory):
            remove_tree(directory)
            gone.append(directory.name)
    return gone


def _kept(history: Path) -> set[str]:
    """Directories that somebody may want to go back to."""
    try:
        found = json.loads(history.read_text("utf-8"))
        return {entry["directory"] for entries in found.values() for entry in entries}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def is_in_use(directory: Path) -> bool:
    """Whether a process runs from it: every Python of an environment maps some file of it."""
    inside = f"{directory}/"
    for maps in Path("/proc").glob("[0-9]*/maps"):
        try:
            if inside in maps.read_text(errors="replace") or _runs_from(maps.parent, inside):
                return True
        except OSError:
            continue
    return False


def _runs_from(process: Path, inside: str) -> bool:
    return inside.encode() in (process / "cmdline").read_bytes()


def mark_complete(directory: Path) -> None:
    """All files reach the disk before the mark that says so."""
    os.sync()
    write_file(directory / COMPLETE, b"")
    sync_directory(directory.parent)


def python_id(python: str) -> str:
    """What an environment is bound to of the Python that it is made with."""
    code = "import platform, sys; print(sys.version, platform.machine(), sys.base_prefix)"
    try:
        return subprocess.run(
            [python, "-I", "-c", code], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError) as err:
        raise InstallError(f"cannot run {python}", why=str(err)) from err


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    """bootstrap.py's way in: build the hub's environment, beside one that is in use.

    The words are WHEEL SOFTWARE PYTHON PIP...
    """
    wheel, software, python, *pip = sys.argv[1:]
    reporter = Reporter(as_json=True)
    os.umask(0o022)
    try:
        uv = fetch_uv(Path(software), pip=pip, reporter=reporter)
        tools = Tools(uv, Path(wheel), python)
        directory = Environment.named("hub").build(Path(software), tools, reporter)
        reporter.built(directory)
    except InstallError as err:
        reporter.failed(err)
        raise SystemExit(1) from err
