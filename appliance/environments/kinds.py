"""The two kinds of environments: everybody's, and those that are kernels beside it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from appliance.environments.clone import clone_tree, link_distributions
from appliance.environments.distributions import OWN, Distributions, site_packages
from appliance.environments.records import EVERYBODY, Record
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.singleuser.environment import show_user_packages
from installer.environment_steps import finish_environment
from installer.environments import (
    COMPLETE,
    PINNED,
    Environment,
    Tools,
    python_id,
    without_hashes,
)
from installer.files import digest_of, point_link, remove_tree, write_file
from installer.uv import uv_program

# Part of the digest of kernels' environments, as that of the installer is of everybody's.
_RECIPE: Final = "1"
_KERNEL_NEEDS: Final = ("ipykernel", "pip")
_BROKEN: Final = "run the installer again, which mends it"


class Kind(Protocol):
    """What is different about them."""

    name: str

    def current(self) -> Path | None:
        """The directory in force, if there is one that can be used."""
        ...

    def directory(self, record: Record) -> Path:
        """Where an environment belongs that is made of this."""
        ...

    def pinned(self) -> dict[str, str]:
        """The versions that nothing may move."""
        ...

    def needs(self) -> set[str]:
        """Requirements that aren't asked for and must stay."""
        ...

    def seed(self, work: Path) -> None:
        """Make a directory that is what is in force, or the beginnings of the first one."""
        ...

    def finish(self, work: Path) -> None:
        """Add what isn't a package."""
        ...

    def proof(self, directory: Path) -> list[str]:
        """The command that sees whether it works."""
        ...

    def activate(self, directory: Path, record: Record) -> None:
        """Put it in force."""
        ...


def installed_tools(places: Places) -> Tools:
    """What everybody's environment was made with; raises ApplianceError if it is broken."""
    current = (places.software / "user").resolve()
    what = "cannot change the packages"
    try:
        pins = (current / PINNED).read_text("utf-8")
        marker = (current / "pyvenv.cfg").read_text("utf-8")
    except OSError as error:
        raise ApplianceError(
            what, why=f"{current} is not complete: {error.strerror}", mend=_BROKEN
        ) from error
    wheel = next(
        (
            Path(line.split()[2].removeprefix("file://"))
            for line in pins.splitlines()
            if line.startswith(f"{OWN} @ file://")
        ),
        None,
    )
    if wheel is None or not wheel.is_file():
        raise ApplianceError(what, why=f"there is no {wheel or 'wheel of ours'}", mend=_BROKEN)
    home = next((line for line in marker.splitlines() if line.startswith("home")), "")
    python = f"{home.partition('=')[2].strip()}/python3"
    return Tools(uv_program(places.software), wheel, python)


def pinned_versions(environment: Path | None, text: str) -> dict[str, str]:
    """What is installed of a file of pins, which has lines for several releases of Python."""
    if environment is None:
        return {}
    lines = (line for line in without_hashes(text).splitlines() if line[:1].isalnum())
    names = {canonicalize_name(Requirement(line).name) for line in lines}
    versions = Distributions.of(environment).versions()
    return {name: version for name, version in versions.items() if name in names}


@dataclass
class Everybody:
    """The environment that users' servers run in."""

    places: Places
    tools: Tools
    name: str = EVERYBODY

    def current(self) -> Path | None:
        directory = (self.places.software / "user").resolve()
        return directory if (directory / COMPLETE).exists() else None

    def directory(self, record: Record) -> Path:
        return self._environment(record).directory(self.places.software, self.tools)

    def _environment(self, record: Record) -> Environment:
        locked = record.locked if record.wanted else ""
        return Environment.named("user", wanted=record.wanted, locked=locked)

    def pinned(self) -> dict[str, str]:
        return pinned_versions(self.current(), Environment.named("user").pinned)

    def needs(self) -> set[str]:
        return {OWN, *self.pinned()}

    def seed(self, work: Path) -> None:
        current = self.current()
        what = "cannot change the packages"
        if current is None:
            raise ApplianceError(what, why="the environment is not complete", mend=_BROKEN)
        pins = (current / PINNED).read_text("utf-8")
        if not pins.startswith(Environment.named("user").pinned):
            raise ApplianceError(
                what, why="users' packages are those of another release", mend=_BROKEN
            )
        check_python(current)
        clone_tree(current, work)

    def finish(self, work: Path) -> None:
        finish_environment(work)

    def proof(self, directory: Path) -> list[str]:
        return [f"{directory}/bin/python", "-I", "-m", "appliance.singleuser.proof"]

    def activate(self, directory: Path, record: Record) -> None:
        del record
        point_link(self.places.software / "user", f"environments/{directory.name}")


@dataclass
class Kernel:
    """An environment of its own that users choose as a kernel."""

    places: Places
    tools: Tools
    name: str
    python: str

    @property
    def link(self) -> Path:
        return self.places.jupyter / "environments" / self.name

    @property
    def spec(self) -> Path:
        return self.places.jupyter / "kernels" / self.name

    def current(self) -> Path | None:
        directory = self.link.resolve()
        return directory if (directory / COMPLETE).exists() else None

    def directory(self, record: Record) -> Path:
        digest = digest_of(
            _RECIPE, record.name, record.wanted, record.locked, python_id(record.python)
        )
        return self.places.software / "environments" / f"kernel-{self.name}-{digest}"

    def pinned(self) -> dict[str, str]:
        """The protocol's other end, so that it goes with the servers; nothing else."""
        versions = Everybody(self.places, self.tools).pinned()
        return {name: versions[name] for name in ("ipykernel",) if name in versions}

    def needs(self) -> set[str]:
        return set(_KERNEL_NEEDS)

    def seed(self, work: Path) -> None:
        current = self.current()
        if current is not None and is_python_there(current):
            clone_tree(current, work)
            return
        self._first(work)

    def _first(self, work: Path) -> None:
        """ipykernel and what it needs are in everybody's environment, compiled, already."""
        users = Everybody(self.places, self.tools).current()
        what = f"cannot make the environment '{self.name}'"
        if users is None:
            raise ApplianceError(what, why="everybody's is not complete", mend=_BROKEN)
        if python_id(self.python).split()[0] != python_id(self.tools.python).split()[0]:
            raise ApplianceError(
                what,
                why=f"{self.python} is another Python than the appliance's own",
                mend="leave --python out; a kernel of another Python can be added by "
                "appliance env kernel add",
            )
        words = ["venv", "--quiet", "--no-project", "--python", self.python, str(work)]
        done = subprocess.run(
            [str(self.tools.uv), *words],
            capture_output=True,
            text=True,
            check=False,
            env={"UV_NO_CONFIG": "1", "UV_PYTHON_DOWNLOADS": "never", "PATH": "/usr/bin:/bin"},
        )
        if done.returncode:
            raise ApplianceError(what, why=done.stderr.strip(), mend=_BROKEN)
        link_distributions(users, work, Distributions.of(users).reached_from(_KERNEL_NEEDS))

    def finish(self, work: Path) -> None:
        show_user_packages(work)

    def proof(self, directory: Path) -> list[str]:
        users = (self.places.software / "user").resolve()
        module = "appliance.singleuser.proof"
        return [f"{users}/bin/python", "-I", "-m", module, f"{directory}/bin/python"]

    def activate(self, directory: Path, record: Record) -> None:
        """First the link, which keeps the directory; then what servers read."""
        point_link(self.link, f"../../environments/{directory.name}")
        write_spec(self.spec, kernel_spec(directory, record.title), logos_of(directory))

    def delete(self) -> None:
        remove_tree(self.spec)
        self.link.unlink(missing_ok=True)


def kernel_spec(directory: Path, title: str) -> dict[str, Any]:
    """As Jupyter reads it. Running kernels keep their directory, so it isn't named by the link."""
    return {
        "argv": [f"{directory}/bin/python", "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": title,
        "language": "python",
        "env": {"PATH": f"{directory}/bin:${{PATH}}", "VIRTUAL_ENV": str(directory)},
        "metadata": {"debugger": True},
    }


def logos_of(directory: Path) -> list[Path]:
    return sorted(directory.glob("share/jupyter/kernels/python3/logo-*"))


def write_spec(folder: Path, spec: dict[str, Any], logos: Iterable[Path] = ()) -> None:
    for logo in logos:
        write_file(folder / logo.name, logo.read_bytes())
    write_file(folder / "kernel.json", (json.dumps(spec, indent=1) + "\n").encode())


def is_python_there(directory: Path) -> bool:
    """Whether an environment's Python is still the one that it was made for."""
    code = "import sys; print('python%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run(
            [directory / "bin/python", "-I", "-S", "-c", code],
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.stdout.strip() == site_packages(directory).parent.name


def check_python(directory: Path) -> None:
    if not is_python_there(directory):
        raise ApplianceError(
            "cannot change the packages",
            why=f"the Python that {directory} was made for is gone",
            mend=_BROKEN,
        )
