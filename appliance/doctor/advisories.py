"""Installed versions against the list of known advisories that comes with each release.

The list is a file, so this works without the Internet; and it is as old as the release.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Final

from appliance.doctor.report import Check, fine, warn
from appliance.doctor.system import System
from appliance.places import Places

NAME: Final = "advisories"
_DISTRIBUTION: Final = ("nginx", "openssl", "systemd")
_FILE: Final = re.compile(r"([A-Za-z0-9._]+)-([0-9][^-]*)\.dist-info")


@dataclass(frozen=True, slots=True)
class Advisory:
    """A known hole: versions from `since` on and before `fixed` have it."""

    id: str
    package: str
    fixed: str
    what: str
    since: str = "0"

    def applies(self, version: str) -> bool:
        return numbers(self.since) <= numbers(version) < numbers(self.fixed)


def known() -> list[Advisory]:
    text = resources.files("appliance.doctor").joinpath("advisories.json").read_text("utf-8")
    return [Advisory(**row) for row in json.loads(text)["advisories"]]


def numbers(version: str) -> tuple[int, ...]:
    """The release part of a version, which is all that the list compares."""
    found = re.match(r"v?(\d+(?:\.\d+)*)", version)
    parts = [int(part) for part in found[1].split(".")] if found else [0]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def installed(environment: Path) -> dict[str, str]:
    """Packages of a Python environment with their versions."""
    found = {}
    for path in environment.glob("lib/python3*/site-packages/*.dist-info"):
        match = _FILE.fullmatch(path.name)
        if match:
            found[re.sub(r"[-_.]+", "-", match[1]).lower()] = match[2]
    return found


def affected(
    versions: dict[str, str], advisories: Iterable[Advisory]
) -> list[tuple[Advisory, str]]:
    return [
        (one, versions[one.package])
        for one in advisories
        if one.package in versions and one.applies(versions[one.package])
    ]


def checks(places: Places, system: System) -> Iterator[Check]:
    """One warning for each package that a known hole is in."""
    advisories = known()
    has_any = False
    for label, folder, mend in (
        ("the hub's", places.software / "hub", "upgrade the appliance"),
        ("everybody's", places.software / "user", "appliance env upgrade"),
    ):
        by_package: dict[str, list[Advisory]] = {}
        versions = installed(folder.resolve())
        for one, _ in affected(versions, advisories):
            by_package.setdefault(one.package, []).append(one)
        for package, found in by_package.items():
            has_any = True
            newest = max(found, key=lambda one: numbers(one.fixed)).fixed
            yield warn(
                NAME, f"{label} {package} {versions[package]} has known holes",
                why="; ".join(f"{one.id}: {one.what}" for one in found),
                mend=f"{mend}, to {package} {newest} or later",
            )  # fmt: skip
    older = [] if places.trial else list(_older(system))
    if older:
        has_any = True
        yield warn(
            NAME, f"the distribution has newer versions: {', '.join(older)}",
            mend="sudo apt-get update && sudo apt-get upgrade",
        )  # fmt: skip
    if not has_any:
        yield fine(NAME, f"none of {len(advisories)} known holes is in what is installed")


def _older(system: System) -> Iterator[str]:
    """Packages of the distribution that it has mended since; what apt knows without asking."""
    done = system.run("apt-cache", "policy", *_DISTRIBUTION, seconds=8)
    name = have = ""
    for line in done.out.splitlines():
        key, _, value = line.strip().partition(": ")
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif key == "Installed":
            have = value
        elif key == "Candidate" and have not in {"", "(none)"} and value not in {have, "(none)"}:
            yield f"{name} {value} (installed: {have})"
