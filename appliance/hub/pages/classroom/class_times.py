"""What the class page sets a time for: keeping servers running, and exams."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from appliance.clock import Clock
from appliance.errors import BadRequest
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.exams import Exams
from appliance.hub.culling.keeps import Keeps
from appliance.hub.pages.classroom.base import ClassPage
from appliance.texts import say

VERBS: Final = frozenset({"keep", "unkeep", "exam", "exam-end"})


class ClassTimes(ClassPage):
    """Forms with times, which people write by the machine's clock and zone."""

    keeps: Keeps
    exams: Exams
    clock: Clock

    def set_times(self, verb: str, one: ClassView) -> str:
        """Do it; the answer is what to tell. Raises BadRequest for what is no time."""
        if verb == "unkeep":
            self.keeps.forget_class(one.name)
            return say("Servers are stopped as usual again when nobody uses them.")
        if verb == "exam-end":
            self.exams.end(one.name)
            return say("There is no exam any more.")
        if verb == "keep":
            until = self._today("keep-until")
            self.keeps.keep_class(one.name, until, by=self.user, unlimited=self._is_admin)
            return say(
                "The servers of the class are kept running until {time}.",
                time=f"{until.astimezone():%H:%M}",
            )
        begins = self._moment("exam-begins") if self._written("exam-begins") else None
        ends = self._moment("exam-ends")
        self.exams.set(one.name, begins, ends, by=self.user)
        return say("The exam is set.")

    @property
    def _is_admin(self) -> bool:
        return self.principal is not None and self.principal.admin

    def _written(self, field: str) -> str:
        return self.get_body_argument(field, "")[:40].strip()

    def _today(self, field: str) -> datetime:
        """A time of the day, at which it is next that time."""
        try:
            time = datetime.strptime(self._written(field), "%H:%M").time()  # noqa: DTZ007
        except ValueError as err:
            raise BadRequest(
                "cannot keep the servers running",
                why="the form needs a time such as 22:00",
                mend="write it as hours and minutes",
            ) from err
        now = self.clock.now().astimezone()
        for days in (0, 1):
            day = now.date() + timedelta(days=days)
            # Without a zone it's the machine's, by its rules on that day.
            moment = datetime.combine(day, time).astimezone()
            if moment > now:
                break
        return moment

    def _moment(self, field: str) -> datetime:
        try:
            return datetime.strptime(self._written(field), "%Y-%m-%dT%H:%M").astimezone()
        except ValueError as err:
            raise BadRequest(
                "cannot set an exam",
                why="the form needs a day and a time",
                mend="write when it ends, and when it begins unless that is now",
            ) from err
