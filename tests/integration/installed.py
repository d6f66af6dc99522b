"""A disk on which the real install ran once, so that most tests start from "just installed".

The install is the user's own: `curl … | sudo python3 -` on a fresh machine, with the wheel of this
checkout. The disk is kept for as long as wheel, bootstrap.py and base image stay the same.
"""

from __future__ import annotations

import functools
import re
import shutil
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.integration import images
from tests.integration.images import Debian
from tests.integration.machine import Machine

CHECKOUT: Final = Path(__file__).parents[2]

_INSTALL_SECONDS: Final = 1500
_SETUP_PATH: Final = re.compile(r"https?://[^/\s]+(/\S*/setup\?token=[\w.~-]+)")


class InstallError(Exception):
    """The install did not end as it promises to."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a user downloads: a folder with bootstrap.py and the wheel."""

    folder: Path

    @property
    def wheel(self) -> Path:
        return next(self.folder.glob("*.whl"))

    def install(self, machine: Machine, options: str = "--admin ada --yes") -> str:
        """Install on a machine with the one command; returns what it printed."""
        url = machine.serve(self.folder)
        source = f"{url}/{self.wheel.name}"
        # This host has no certificate.
        trusted = f"PIP_TRUSTED_HOST={urlsplit(url).hostname}"
        return machine.execute(
            f"set -o pipefail; curl -fsS {url}/bootstrap.py"
            f" | sudo {trusted} python3 - --source {source} {options} 2>&1",
            timeout=_INSTALL_SECONDS,
        )


@dataclass(frozen=True, slots=True)
class Installed:
    """An installed disk, what was installed, and what the install said."""

    image: Path
    release: Release
    output: str

    def setup_link(self, base: str) -> str:
        """The first admin's link, on the machine that now runs from this disk."""
        found = _SETUP_PATH.search(self.output)
        if found is None:
            raise InstallError(f"the install printed no set-up link:\n{self.output}")
        return f"{base}{found[1]}"

    def install_again(self, machine: Machine) -> str:
        """Run the same command on a machine that has it already."""
        return self.release.install(machine)


@functools.cache
def installed_image(debian: Debian, source_tree: Path = CHECKOUT) -> Installed:
    """The installed disk of a checkout; takes minutes when the checkout has changed."""
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        release = make_release(source_tree, Path(folder))
        base = images.base_image(debian)
        name = f"installed-{debian}-{images.digest([base.name, _digest_of(release)])}"
        images.forget_unused(f"installed-{debian}-*")
        kept = images.make_once(name, lambda target: _install(debian, release, target))
    output = (kept / "output.txt").read_text()
    return Installed(kept / "disk", Release(kept / "release"), output)


def make_release(source_tree: Path, folder: Path) -> Release:
    """Put the wheel of a checkout and its bootstrap.py into a folder."""
    images.run(
        sys.executable, "-m", "uv", "build", "--quiet", "--wheel",
        "--out-dir", str(folder), str(source_tree), timeout=300,
    )  # fmt: skip
    (folder / ".gitignore").unlink(missing_ok=True)
    shutil.copy(source_tree / "bootstrap.py", folder)
    return Release(folder)


def _install(debian: Debian, release: Release, target: Path) -> None:
    target.mkdir()
    shutil.copytree(release.folder, target / "release")
    disk = target / "disk"
    images.copy_sparse(images.base_image(debian), disk)
    with Machine(debian, disk=disk) as machine:
        output = release.install(machine)
        (target / "output.txt").write_text(output)
        machine.check()
        # What a test finds in the journal shall be its own.
        machine.execute("journalctl --rotate && journalctl --vacuum-time=1s")
        machine.power_off()


def _digest_of(release: Release) -> str:
    """A hash of what is installed, deaf to the README that a wheel carries in its metadata."""
    parts: list[str | bytes] = [(release.folder / "bootstrap.py").read_bytes()]
    with zipfile.ZipFile(release.wheel) as wheel:
        for name in sorted(wheel.namelist()):
            if name.endswith(".dist-info/RECORD"):
                continue
            content = wheel.read(name)
            if name.endswith(".dist-info/METADATA"):
                content = content.partition(b"\n\n")[0]
            parts += [name, content]
    return images.digest(parts)
