"""Which releases of the appliance are looked for, and where."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from appliance.config.kinds import Example, Means, Reload, Section


class Channel(StrEnum):
    """What counts as a release."""

    STABLE = "stable"
    BETA = "beta"


Pin = Annotated[
    str,
    Field(pattern=r"^([0-9]{1,6}(\.[0-9]{1,6}){0,3})?$"),
    Means('the beginning of a version, such as "1" or "1.4"'),
]

ReleaseSource = Annotated[
    str,
    Field(pattern=r"^((https?://|/)[^\x00-\x20]+)?$", max_length=1000),
    Means('the address of a package index, or a folder, such as "/srv/releases"'),
]


class Updates(Section):
    """New releases of the appliance."""

    check: Annotated[bool, Reload.UPKEEP, Example(False)] = True  # noqa: FBT003
    """Look once a day whether there is a newer release, and say so on the status page. Nothing is
    installed by that."""

    channel: Annotated[Channel, Field(strict=False), Reload.UPKEEP, Example("beta")] = (
        Channel.STABLE
    )
    """stable, or beta: releases that are still being tried out, too."""

    pin: Annotated[Pin, Reload.UPKEEP, Example("1.4")] = ""
    """Stay with releases that begin so: "1.4" takes 1.4.2 and not 1.5.0; empty means any."""

    source: Annotated[ReleaseSource, Reload.UPKEEP, Example("/srv/releases")] = ""
    """Where releases are: the address of a package index, or a folder of wheels; empty means the
    index that pip uses."""

    next_python: Annotated[bool, Reload.UPKEEP, Example(False)] = True  # noqa: FBT003
    """Fetch the packages for the system's next Python in advance, so that the appliance survives
    an upgrade of the system without a network."""
