"""Steps on the machine itself: accounts, folders, units, the spawner daemon, the command."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

import appliance
from appliance.errors import InstallError
from appliance.places import Places
from appliance.systemd_spawner.files import DAEMON_FILES
from installer.commands import run
from installer.environments import COMPLETE, mark_complete
from installer.events import Reporter
from installer.files import digest_of, point_link, remove_tree, write_file

UNIT_SUFFIXES: Final = frozenset({".service", ".socket", ".slice", ".target", ".timer", ".path"})
_ACCOUNTS: Final = ("appliance-hub", "appliance-proxy")
_GROUPS: Final = ("appliance-hub", "appliance-proxy", "appliance-users")


def units_source() -> Path:
    """The folder units/ of a checkout, or its copy in the installed package."""
    packaged = Path(str(resources.files("installer"))) / "units"
    return packaged if packaged.is_dir() else packaged.parent.parent / "units"


@dataclass
class Copied:
    """Files that are to be the same as in units/."""

    pairs: dict[Path, Path]
    """From the source to its place."""

    def differing(self) -> dict[Path, Path]:
        return {
            source: place
            for source, place in self.pairs.items()
            if not place.is_file() or place.read_bytes() != source.read_bytes()
        }

    def copy(self) -> None:
        for source, place in self.pairs.items():
            write_file(place, source.read_bytes())


def _conf_file(kind: str, etc: Path) -> Copied:
    """appliance.sysusers and .tmpfiles, where their programs look at every boot."""
    return Copied({units_source() / f"appliance.{kind}": etc / f"{kind}.d/appliance.conf"})


@dataclass
class Accounts:
    """The system's accounts for hub and proxy, and the group of all users' accounts."""

    reporter: Reporter
    etc: Path = Path("/etc")
    title: str = "Making system accounts"

    def is_done(self) -> bool:
        return not _conf_file("sysusers", self.etc).differing() and all(self._missing())

    def _missing(self) -> Iterator[bool]:
        for names, find in ((_ACCOUNTS, pwd.getpwnam), (_GROUPS, grp.getgrnam)):
            for name in names:
                try:
                    find(name)
                except KeyError:
                    yield False
                else:
                    yield True

    def apply(self) -> None:
        files = _conf_file("sysusers", self.etc)
        files.copy()
        run(
            ["systemd-sysusers", *files.pairs.values()],
            failure="cannot make the system accounts",
            reporter=self.reporter,
        )


@dataclass
class Folders:
    """State, settings and sockets' folders, with owners and modes, now and after every boot."""

    reporter: Reporter
    etc: Path = Path("/etc")
    title: str = "Making folders"

    def is_done(self) -> bool:
        # systemd-tmpfiles itself is what knows owners and modes; it is quick.
        return False

    def apply(self) -> None:
        files = _conf_file("tmpfiles", self.etc)
        files.copy()
        run(
            ["systemd-tmpfiles", "--create", *files.pairs.values()],
            failure="cannot make folders",
            reporter=self.reporter,
        )


@dataclass
class SpawnerFiles:
    """The root daemon's own copy of its few modules, in a folder named after their content."""

    places: Places
    reporter: Reporter
    python: str
    package: Path = field(default_factory=lambda: Path(str(appliance.__file__)).parent)
    title: str = "Copying the spawner daemon"

    def directory(self) -> Path:
        contents = [name.encode() + (self.package / name).read_bytes() for name in DAEMON_FILES]
        return self.places.software / "environments" / f"spawner-{digest_of(*contents)}"

    def is_done(self) -> bool:
        directory = self.directory()
        link = self.places.software / "spawner"
        return (directory / COMPLETE).exists() and link.resolve() == directory.resolve()

    def apply(self) -> None:
        directory = self.directory()
        if not (directory / COMPLETE).exists():
            remove_tree(directory)
            for source, place in DAEMON_FILES.items():
                write_file(directory / place, (self.package / source).read_bytes())
            # The daemon may not write there itself, so it would compile at every start.
            run(
                [self.python, "-I", "-m", "compileall", "-q", directory],
                failure="cannot compile the spawner daemon",
                reporter=self.reporter,
            )
            mark_complete(directory)
        point_link(self.places.software / "spawner", f"environments/{directory.name}")


@dataclass
class Units:
    """The unit files, copied as they are; systemd is told of changes."""

    reporter: Reporter
    etc: Path = Path("/etc")
    title: str = "Putting unit files in place"

    def files(self) -> Copied:
        folder = self.etc / "systemd/system"
        found = sorted(path for path in units_source().iterdir() if path.suffix in UNIT_SUFFIXES)
        if not found:
            raise InstallError("cannot find the unit files", why=f"{units_source()} has none")
        return Copied({source: folder / source.name for source in found})

    def is_done(self) -> bool:
        return not self.files().differing()

    def apply(self) -> None:
        self.files().copy()
        run(
            ["systemctl", "daemon-reload"],
            failure="systemd cannot read its units",
            reporter=self.reporter,
        )


@dataclass
class CommandLink:
    """/usr/local/bin/appliance."""

    places: Places
    link: Path = Path("/usr/local/bin/appliance")
    title: str = "Linking the command appliance"

    @property
    def target(self) -> str:
        return str(self.places.software / "hub/bin/appliance")

    def is_done(self) -> bool:
        return self.link.is_symlink() and str(self.link.readlink()) == self.target

    def apply(self) -> None:
        if self.link.exists() and not self.link.is_symlink():
            raise InstallError(
                f"cannot link {self.link}",
                why="there is another file of that name, which isn't ours",
                mend=f"move it away: mv {self.link} {self.link}.other",
            )
        point_link(self.link, self.target)
