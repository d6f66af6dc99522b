"""A newer release in the place of an older one, and back again by itself if it doesn't work.

The environments are built beside those in use, and the new program rehearses with a copy of the
database, before anything is switched. Then everything that is replaced is kept (point.py), and only
now the steps of every installation are taken. If one of them fails, the hub doesn't answer, or
somebody presses Ctrl-C, what was kept is put back. Servers of users go on all the time: they keep
the files that they were started with.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from appliance import __version__
from appliance.client.hub import HubClient
from appliance.db.migrations import HEAD, REVISIONS
from appliance.db.session import Database
from appliance.errors import ApplianceError, InstallError
from appliance.places import Places
from appliance.rollout.health import Deadline
from appliance.rollout.render import PROXY_FILE, check_nginx, render_all
from appliance.rollout.services import ask_spawner
from installer.events import Reporter
from installer.files import point_link, remove_tree
from installer.going_back import go_back
from installer.point import Point, copy_database, schema_of
from installer.service_steps import Configuration

_SPARE: Final = 64 * 2**20
_ANSWER_SECONDS: Final = 20.0


@dataclass
class Upgrade:
    """From the release that is in force to the one that this program belongs to."""

    places: Places
    reporter: Reporter
    configuration: Configuration
    older: str
    etc: Path = Path("/etc")
    back: Callable[[Point, Reporter], list[str]] = go_back

    @classmethod
    def wanted(
        cls, places: Places, hub: Path, reporter: Reporter, configuration: Configuration
    ) -> Upgrade | None:
        """None where nothing is in force yet, or the same is already."""
        link = places.software / "hub"
        if not link.is_symlink() or link.resolve() == hub.resolve():
            return None
        if not (places.rendered / "hub.json").exists():
            return None
        return cls(places, reporter, configuration, version_in(link.resolve()))

    def rehearse(self) -> None:
        """Let the new program read the settings and migrate a copy of the database."""
        self.reporter.stage(f"Rehearsing release {__version__}")
        files = render_all(
            self.configuration.in_force(),
            self.places,
            nginx_text=self.configuration.nginx_text,
        )
        check_nginx(files[self.places.rendered / PROXY_FILE].text, self.places)
        if not self.places.database.exists():
            return
        folder = self.places.upgrades / "rehearsal"
        self._check_room()
        remove_tree(folder)
        folder.mkdir(mode=0o700, parents=True)
        copy = folder / self.places.database.name
        copy_database(self.places.database, copy)
        try:
            migrate(copy)
        finally:
            remove_tree(folder)

    def _check_room(self) -> None:
        """The rehearsal, the point to go back to, and the hub's own copy before it migrates."""
        size = self.places.database.stat().st_size
        free = shutil.disk_usage(self.places.state).free
        if free < 4 * size + _SPARE:
            raise InstallError(
                f"cannot upgrade to release {__version__}",
                why=f"{free // 2**20} MB are free on the disk of {self.places.state}, and copies "
                f"of the database take {(4 * size + _SPARE) // 2**20} MB",
                mend="make room on the disk; nothing was changed",
            )

    @contextmanager
    def protected(self) -> Iterator[None]:
        """What is done inside is undone if it doesn't work out."""
        point = Point.under_way(self.places, self.etc)
        schema = schema_of(self.places.database)
        self.reporter.stage(f"Keeping release {self.older}, to go back to")
        point.take(version=self.older, newer=__version__, schema=schema)
        try:
            yield
        except BaseException as err:
            self._go_back(point, err)
            raise
        point.commit()
        self.reporter.output(f"release {self.older} is kept; schema {schema} -> {HEAD}")

    def _go_back(self, point: Point, err: BaseException) -> None:
        self.reporter.stage(f"Going back to release {self.older}")
        lost = self.back(point, self.reporter)
        why = str(err) or type(err).__name__
        if isinstance(err, ApplianceError):
            why = f"{err.what}: {err.why}" if err.why else err.what
        if lost:
            why += "\nlost, because it was done after the switch: " + "; ".join(lost)
        raise InstallError(
            f"release {__version__} does not work here; {self.older} is in force again",
            why=why,
            mend="report it with the log; nobody's server was stopped",
        ) from err


def migrate(copy: Path) -> None:
    """Bring a copy of the database to this program's schema."""
    found = schema_of(copy)
    if found and found not in REVISIONS:
        raise InstallError(
            f"cannot go to release {__version__}",
            why=f"the database has the schema {found} of a newer release; this one ends at {HEAD}",
            mend="go back with: sudo appliance upgrade --rollback",
        )
    database = Database.at(copy)
    try:
        database.open()
    except (ApplianceError, SQLAlchemyError) as err:
        raise InstallError(
            f"release {__version__} cannot migrate the database",
            why=str(err),
            mend="nothing was changed; report it with the log",
        ) from err
    finally:
        database.close()


def version_in(environment: Path) -> str:
    """The release of the appliance in an environment."""
    for found in environment.glob("lib/python3*/site-packages/hub_appliance-*.dist-info"):
        return found.name.removeprefix("hub_appliance-").removesuffix(".dist-info")
    return "unknown"


@dataclass
class HubLink:
    """The command line and the hub, from their next start on, are the new ones."""

    places: Places
    hub: Path
    wheel: Path
    title: str = "Switching to the new hub"

    def is_done(self) -> bool:
        software = self.places.software
        return (software / "hub").resolve() == self.hub.resolve() and (
            software / "wheels/installed.whl"
        ).resolve() == self.wheel.resolve()

    def apply(self) -> None:
        wheels = self.places.software / "wheels"
        with suppress(ValueError):
            point_link(wheels / "installed.whl", str(self.wheel.relative_to(wheels)))
        point_link(self.places.software / "hub", f"environments/{self.hub.name}")


@dataclass
class Answers:
    """The hub and the spawner daemon that answer are those of this release."""

    places: Places
    title: str = "Checking what answers"

    def is_done(self) -> bool:
        return False

    def apply(self) -> None:
        hub = HubClient.of(self.places, timeout=_ANSWER_SECONDS)
        version = hub.request("GET", "/")["appliance"]
        if version != __version__:
            raise InstallError(
                f"the hub that answers is of release {version}",
                why=f"release {__version__} was started",
                mend="sudo appliance logs hub",
            )
        ask_spawner(self.places, {"verb": "ping"}, Deadline.after(_ANSWER_SECONDS))
