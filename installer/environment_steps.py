"""The environment of everybody's notebooks, built while the other steps go on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

from appliance.errors import ApplianceError, InstallError
from appliance.places import Places
from appliance.proxy.static_files import precompress
from appliance.singleuser.environment import prepare_environment
from installer.environments import LOCKED, WANTED, Environment, Tools
from installer.events import Reporter
from installer.files import write_file


def own_requirements(places: Places, given: Path | None) -> str:
    """What the machine's owner wants besides: given now, or kept from an earlier run."""
    path = given or kept_requirements(places)
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as err:
        raise InstallError(f"cannot read {path}", why=str(err)) from err


def kept_requirements(places: Places) -> Path:
    return places.settings / WANTED


def kept_versions(places: Places) -> Path:
    """The versions that `appliance env` chose for them."""
    return places.settings / LOCKED


def own_versions(places: Places) -> str:
    try:
        return kept_versions(places).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        # They are chosen anew.
        return ""


@dataclass
class UserEnvironment:
    """JupyterLab, Notebook and the rest; `start` builds in the background, `apply` waits for it."""

    places: Places
    tools: Tools
    reporter: Reporter
    wanted: str = ""
    hold: bool = False
    """Leave the link where it is: UserLink switches, when all else is ready."""
    title: str = "Building the environment for notebooks"
    built: Path | None = None
    _thread: threading.Thread | None = None
    _failure: list[BaseException] = field(default_factory=list)

    @property
    def environment(self) -> Environment:
        locked = own_versions(self.places) if self.wanted else ""
        return Environment.named("user", wanted=self.wanted, locked=locked)

    def is_done(self) -> bool:
        return self._thread is None and self.environment.is_current(
            self.places.software, self.tools
        )

    def start(self) -> None:
        """Downloads wait for the network and other steps for systemd: do both at once."""
        if not self.is_done():
            self._thread = threading.Thread(target=self._build, daemon=True)
            self._thread.start()

    def apply(self) -> None:
        if self._thread is None:
            self.start()
        if self._thread:
            self._thread.join()
        for failure in self._failure:
            raise failure

    def _build(self) -> None:
        try:
            self._ensure()
            if not self.hold:
                UserLink(self).apply()
            if self.wanted:
                # Only now: what can't be installed must not fail the next run too.
                write_file(kept_requirements(self.places), self.wanted.encode())
        except (ApplianceError, OSError) as err:
            self._failure.append(err)

    def _ensure(self) -> None:
        """With the versions that are in force, if those go with what the appliance needs now."""
        environment, software = self.environment, self.places.software
        try:
            self.built = environment.build(
                software, self.tools, self.reporter, finish=finish_environment
            )
        except InstallError:
            if not environment.locked:
                raise
            self.reporter.detail("choosing new versions of your own requirements")
            environment = replace(environment, locked="")
            self.built = environment.build(
                software, self.tools, self.reporter, finish=finish_environment
            )
            kept_versions(self.places).unlink(missing_ok=True)


@dataclass
class UserLink:
    """What starts from now on starts from the environment that was built."""

    users: UserEnvironment
    title: str = "Switching to the new environment for notebooks"

    def is_done(self) -> bool:
        link = self.users.places.software / "user"
        return self.users.built is None or link.resolve() == self.users.built.resolve()

    def apply(self) -> None:
        if self.users.built is not None:
            self.users.environment.switch(self.users.places.software, self.users.built)


def finish_environment(directory: Path) -> None:
    """Let kernels see what users install; compress files, so that nginx needn't each time."""
    prepare_environment(directory)
    precompress(directory)
