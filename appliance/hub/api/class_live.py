"""A class as it is now: one look, a stream of looks, and starting and stopping its servers."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any, ClassVar, Final, Literal

from pydantic import Field
from tornado.iostream import StreamClosedError

from appliance.access.scopes import Target
from appliance.clock import stamp
from appliance.errors import TooMany
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.messages import check_members
from appliance.hub.classroom.class_servers import ClassServers
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.live import Counts, LiveClasses, Student
from appliance.hub.classroom.visits import Visits
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_EACH_SECONDS: Final = 2.5
# What changes nothing is told now and then, so that a connection that broke is noticed.
_SILENT_LOOKS: Final = 6
_VIEWERS: Final = 300
# Nobody takes all of them.
_VIEWERS_OF_ONE: Final = 10


class Chosen(Body):
    """What to do with the servers of some students; without names with those of all."""

    do: Literal["start", "stop"]
    users: list[str] | None = Field(default=None, max_length=2000)


class ClassLive(HubApiHandler):
    """What a look at a class is made of."""

    classes: Classes
    live: LiveClasses
    visits: Visits

    def visits_of_asker(self) -> dict[str, dict[str, Any]]:
        """Which students the one who asks visits, or has asked."""
        return {
            one.owner: {"state": str(one.state), "until": stamp(one.until)}
            for one in self.visits.of_visitor(self.identified().name)
            if not one.server.name
        }


class LiveHandler(ClassLive):
    """One look."""

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        one = self.classes.get(group)
        students = await self.live.students(one.name)
        visits = self.visits_of_asker()
        self.reply(
            {
                "counts": asdict(Counts.of(students)),
                "frozen": one.frozen,
                "students": [
                    {**student.model, "visit": visits.get(student.name)} for student in students
                ],
            }
        )


class LiveStreamHandler(ClassLive):
    """One look after the other: first all students, then those who are not as they were.

    Whoever may not run the class any more is told nothing more.
    """

    _viewers: ClassVar[Counter[str]] = Counter()

    def initialize(self, **parts: Any) -> None:
        super().initialize(**parts)
        self._left = asyncio.Event()

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        name = self.classes.get(group).name
        who, viewers = self.identified().name, self._viewers
        if viewers.total() >= _VIEWERS or viewers[who] >= _VIEWERS_OF_ONE:
            raise TooMany(
                "cannot follow the class",
                why="too many follow classes now",
                mend="try again in a minute",
                retry_after_seconds=60,
            )
        viewers[who] += 1
        try:
            self.set_header("Content-Type", "text/event-stream")
            self.set_header("Cache-Control", "no-cache")
            self.set_header("X-Accel-Buffering", "no")
            await self._follow(name)
        except StreamClosedError:
            return
        finally:
            viewers -= Counter([who])

    def on_connection_close(self) -> None:
        self._left.set()

    async def _follow(self, name: str) -> None:
        known: dict[str, object] = {}
        silent = 0
        while not self._left.is_set() and self._may_still(name):
            found = self.classes.find(name)
            if found is None:
                return
            students = await self.live.students(name)
            visits = self.visits_of_asker()
            now = _models(students, visits)
            changed = [model for key, model in now.items() if known.get(key) != model]
            gone = [key for key in known if key not in now]
            if changed or gone or not known or silent >= _SILENT_LOOKS:
                silent = 0
                event = {
                    "counts": asdict(Counts.of(students)), "frozen": found.frozen,
                    "changed": changed, "gone": gone,
                }  # fmt: skip
                self.write(f"data: {json.dumps(event)}\n\n")
                await self.flush()
            silent += 1
            known = now
            with suppress(TimeoutError):
                async with asyncio.timeout(_EACH_SECONDS):
                    await self._left.wait()

    def _may_still(self, name: str) -> bool:
        """Whether the log-in or token is good, and for this class, at this moment."""
        token = self._token()
        who = self.identify_root() or (
            self.web.identify.by_token(token) if token else self.identify_cookie()
        )
        return who is not None and who.scopes.allows("classroom", Target(group=name))


def _models(
    students: tuple[Student, ...], visits: Mapping[str, Mapping[str, Any]]
) -> dict[str, object]:
    return {one.name: {**one.model, "visit": visits.get(one.name)} for one in students}


class ClassServersHandler(HubApiHandler):
    """Starts or stops servers of a class; those that start wait in line for their turn."""

    classes: Classes
    class_servers: ClassServers

    @needs_scope("classroom")
    async def post(self, group: str) -> None:
        body = self.parse_body(Chosen)
        name = self.classes.get(group).name
        if body.users is not None:
            check_members(self.classes, name, body.users)
        done = await self.class_servers.do(body.do, name, body.users)
        self.reply(
            {
                "done": list(done.names),
                "failed": [{"name": user, "why": str(why)} for user, why in done.failed],
            }
        )


_CLASS: Final = r"/api/appliance/classes/(?P<group>[^/]+)"

handlers = [
    Pattern(rf"{_CLASS}/live", LiveHandler),
    Pattern(rf"{_CLASS}/live/stream", LiveStreamHandler),
    Pattern(rf"{_CLASS}/servers", ClassServersHandler),
]
