"""The disk: what one home, and the folder of one class, may hold, and how much must stay free."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from appliance.config.kinds import Example, Reload, Section, Size

HOME_MIN: Final = 16 * 2**20
"""Of a smaller home, what servers and kernels write by themselves is the most."""
_MOST: Final = 2**60

HomeSize = Annotated[Size | None, Field(ge=HOME_MIN, le=_MOST)]
"""What a home may hold, for the sections of groups and users too."""


class Disk(Section):
    """What people may keep on the machine's disks."""

    home: Annotated[HomeSize, Reload.UPKEEP, Example("5G")] = None
    """Most that the files of one user may take; null means no limit. With quotas the file system
    refuses more; without, the appliance measures, warns and tells the teacher."""

    home_files: Annotated[int | None, Field(ge=1000, le=10**9), Reload.UPKEEP, Example(200_000)] = (
        None
    )
    """Most files of one user; null means no limit."""

    class_folder: Annotated[HomeSize, Reload.UPKEEP, Example("20G")] = None
    """Most that the folder of one class may hold: what is shared, drop boxes and what was collected
    together; null means no limit."""

    warn_percent: Annotated[int, Field(ge=50, le=99), Reload.UPKEEP, Example(80)] = 90
    """From this much on, of a home or of a whole disk, people are warned."""

    keep_free: Annotated[Size, Field(ge=0, le=_MOST), Reload.UPKEEP, Example("5G")] = 2**30
    """A disk with less room than this counts as full, and an admin is told; of a small disk, with
    less than a twentieth."""
