"""Exams of classes: setting one, looking at it, ending it."""

from __future__ import annotations

from typing import Any, Final

from appliance.clock import stamp
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.keeping import moment_of
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.exams import Exams, ExamView
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern

_WHAT: Final = "cannot set an exam"


class WantedExam(Body):
    """From when to when; without a beginning it begins now."""

    begins: str | None = None
    ends: str


class ExamHandler(HubApiHandler):
    """The exam of a class."""

    classes: Classes
    exams: Exams

    @needs_scope("classroom")
    async def get(self, group: str) -> None:
        self.reply(exam_model(self.exams.of_class(self.classes.get(group).name)))

    @needs_scope("classroom")
    async def put(self, group: str) -> None:
        name = self.classes.get(group).name
        body = self.parse_body(WantedExam)
        begins = None if body.begins is None else moment_of(_WHAT, body.begins)
        self.exams.set(name, begins, moment_of(_WHAT, body.ends), by=self.identified().name)
        self.reply(exam_model(self.exams.of_class(name)))

    @needs_scope("classroom")
    async def delete(self, group: str) -> None:
        self.exams.end(self.classes.get(group).name)
        self.reply_nothing()


def exam_model(exam: ExamView | None) -> dict[str, Any]:
    return {
        "begins": stamp(exam.begins) if exam else None,
        "ends": stamp(exam.ends) if exam else None,
        "set_by": exam.set_by if exam else None,
        "is_now": exam is not None and exam.is_now,
        "waits_for": list(exam.waits_for) if exam else [],
    }


handlers = [
    Pattern(r"/api/appliance/classes/(?P<group>[^/]+)/exam", ExamHandler),
]
