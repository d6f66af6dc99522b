"""What is installed in an environment, told without running its Python."""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final, Self

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from appliance.errors import ApplianceError

OWN: Final = "hub-appliance"


def site_packages(environment: Path) -> Path:
    """Where an environment's packages are; raises ApplianceError for one that is none."""
    found = sorted(environment.glob("lib/python3*/site-packages"))
    if not found:
        raise ApplianceError(
            f"cannot use the environment {environment}",
            why="there are no packages in it",
            mend="run the installer again, which builds it anew",
        )
    return found[-1]


@dataclass(frozen=True)
class Distributions:
    """The packages of one environment by their canonical names."""

    by_name: dict[str, Distribution]

    @classmethod
    def of(cls, environment: Path) -> Self:
        found: dict[str, Distribution] = {}
        for one in distributions(path=[str(site_packages(environment))]):
            # What a broken uninstallation left has no name.
            name = one.metadata["Name"] if one.metadata else None
            if name:
                found.setdefault(canonicalize_name(name), one)
        return cls(found)

    def get(self, name: str) -> Distribution | None:
        return self.by_name.get(canonicalize_name(name))

    def versions(self) -> dict[str, str]:
        return {name: one.version for name, one in sorted(self.by_name.items())}

    def line(self, name: str) -> str:
        """The one requirement that is just what is installed."""
        one = self.by_name[name]
        url = _direct_url(one)
        return f"{name} @ {url}" if url else f"{name}=={one.version}"

    def lines(self, names: Iterable[str]) -> str:
        return "".join(f"{self.line(name)}\n" for name in sorted(names))

    def reached_from(self, requirements: Iterable[str]) -> set[str]:
        """Everything that is installed of what these requirements need, themselves included."""
        python = {"python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
                  "platform_machine": platform.machine()}  # fmt: skip
        reached: set[str] = set()
        done: set[tuple[str, str]] = set()
        waiting = [(canonicalize_name(one.name), one.extras) for one in _parsed(requirements)]
        while waiting:
            name, extras = waiting.pop()
            one = self.by_name.get(name)
            if one is None:
                continue
            reached.add(name)
            for extra in ("", *extras):
                if (name, extra) in done:
                    continue
                done.add((name, extra))
                waiting += [
                    (canonicalize_name(needed.name), needed.extras)
                    for needed in _parsed(one.requires or ())
                    if needed.marker is None
                    or needed.marker.evaluate({**python, "extra": extra})
                ]  # fmt: skip
        return reached

    def sizes(self, names: Iterable[str]) -> int:
        """Bytes of the files of packages."""
        total = 0
        for name in names:
            one = self.by_name.get(name)
            for file in (one.files if one else None) or ():
                total += file.size or 0
        return total


def _parsed(requirements: Iterable[str]) -> Iterator[Requirement]:
    for text in requirements:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            continue


def _direct_url(one: Distribution) -> str:
    """Where a package came from that was given as a file or an address."""
    text = one.read_text("direct_url.json")
    try:
        found = json.loads(text or "{}")
        url = found.get("url", "")
        vcs = found.get("vcs_info")
    except (ValueError, AttributeError):
        return ""
    if vcs:
        return f"{vcs['vcs']}+{url}@{vcs['commit_id']}"
    return str(url)
