"""How much each user and each class may keep: of the settings, and of who is in which group."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from appliance.client.hub import HubClient
from appliance.config.schema import Config
from appliance.disk.people import ClassFolder, Owner
from appliance.errors import ApplianceError, NotFound
from appliance.places import Places

log = logging.getLogger("appliance.disk")

_HUB_SECONDS: Final = 10.0

MembersOf = Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class Limit:
    """What one may keep; 0 is no limit."""

    bytes: int = 0
    files: int = 0


def home_limits(config: Config, people: Iterable[Owner], members_of: MembersOf) -> dict[int, Limit]:
    """The limit of each by the number of the account.

    A user's own goes before those of groups, of which the most generous counts, and those before
    everybody's.
    """
    by_group: dict[str, int] = {}
    for group, limits in config.group_limits.items():
        if limits.disk is not None:
            for user in members_of(group):
                by_group[user] = max(limits.disk, by_group.get(user, 0))
    found = {}
    for one in people:
        own = config.user_limits.get(one.user)
        size = own.disk if own else None
        if size is None:
            size = by_group.get(one.user, config.disk.home)
        found[one.uid] = Limit(size or 0, config.disk.home_files or 0)
    return found


def with_classes(
    limits: Mapping[int, Limit],
    people: Iterable[Owner],
    classes: Iterable[ClassFolder],
    config: Config,
) -> dict[int, Limit]:
    """The same where homes and classes' folders lie on one file system, which counts by user.

    What a teacher collects is the teacher's there, so a class's room comes on top of the home's.
    """
    room = config.disk.class_folder
    if room is None:
        return dict(limits)
    taught = Counter(teacher for one in classes for teacher in one.teachers)
    return {
        one.uid: Limit(
            limits[one.uid].bytes and limits[one.uid].bytes + taught[one.user] * room,
            limits[one.uid].files,
        )
        for one in people
    }


class HubGroups:
    """Who is in a group: asked of the hub, and while it doesn't answer as it was before."""

    def __init__(self, places: Places, before: Mapping[str, Collection[str]]) -> None:
        self._hub = HubClient.of(places, timeout=_HUB_SECONDS)
        self._before = before
        self.known: dict[str, list[str]] = {}

    def members_of(self, group: str) -> Collection[str]:
        try:
            answer = self._hub.request("GET", f"/groups/{quote(group, safe='')}")
            self.known[group] = sorted(map(str, answer["users"]))
        except NotFound:
            self.known[group] = []
        except (ApplianceError, KeyError, TypeError) as error:
            log.warning("cannot ask who is in the group %s: %s", group, error)
            self.known[group] = sorted(self._before.get(group, ()))
        return self.known[group]
