"""Whether there is anything to do for quotas: asked whenever an account is made, so it must be
quick.

Standard library only.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from appliance.disk.file_systems import find
from appliance.places import Places

# Where a server can write: the private /tmp of a server is on the machine's.
_TEMPORARY: Final = (Path("/var/tmp"), Path("/tmp"))  # noqa: S108 - looked at, not used


def memory_file(places: Places) -> Path:
    """Which quotas were set."""
    return places.disk_state / "quotas.json"


def writable_folders(places: Places) -> list[Path]:
    """One folder of each kind that a user's files may lie in."""
    return [places.homes, places.class_files, *_TEMPORARY]


def watched_files(places: Places) -> list[Path]:
    """What says who may keep how much; appliance-quota.path looks at their folders."""
    return [
        places.spawner_state / "accounts.json",
        places.spawner_state / "classes.json",
        places.rendered / "hub.json",
    ]


def is_needed(places: Places) -> bool:
    """Whether a limit is wanted, or was, and some file system counts by user."""
    try:
        config = json.loads((places.rendered / "hub.json").read_bytes())
    except (OSError, ValueError):
        # Whoever reads it next says what is wrong.
        return True
    return (_has_limits(config) or _were_given(places)) and any(
        one.quota.users_counted or one.quota.projects_counted
        for one in find(writable_folders(places))
    )


def _has_limits(config: dict[str, Any]) -> bool:
    everybody = config.get("disk", {})
    own = [
        one.get("disk")
        for group in ("group_limits", "user_limits")
        for one in config.get(group, {}).values()
    ]
    return any(
        size is not None
        for size in (
            everybody.get("home"),
            everybody.get("home_files"),
            everybody.get("class_folder"),
            *own,
        )
    )


def _were_given(places: Places) -> bool:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return bool(json.loads(memory_file(places).read_bytes())["given"])
    return False
