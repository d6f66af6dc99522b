"""Materials of a class: its shared folder, hand-outs, collections, and whether it has nbgrader."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final, Literal

from pydantic import Field
from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from appliance.access.scopes import Target
from appliance.clock import stamp
from appliance.errors import ApplianceError
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.collecting import Collecting, CollectionView
from appliance.hub.classroom.folders import ClassFolders
from appliance.hub.classroom.materials import HandoutView, Materials
from appliance.hub.classroom.nbgrader import Nbgrader
from appliance.hub.classroom.uploads import FORM_MAX, Spool, Uploads
from appliance.web.guards import check_access, needs_scope
from appliance.web.parts import Pattern

_SCOPE: Final = "classroom"


class NewHandout(Body):
    """A folder to hand out."""

    folder: str
    rule: Literal["keep", "replace", "beside"] = "keep"
    latecomers: bool = True


class NewCollection(Body):
    """A folder to collect."""

    folder: str
    note: str = Field("", max_length=200)


class NbgraderSwitch(Body):
    """Whether the class has nbgrader."""

    on: bool


class MaterialModels(HubApiHandler):
    """Hand-outs and collections as models."""

    classes: Classes
    materials: Materials
    collecting: Collecting
    folders: ClassFolders

    @property
    def asker(self) -> str:
        return self.identified().name

    def handout_model(self, one: HandoutView) -> dict[str, Any]:
        return {
            "id": one.id,
            "folder": one.folder,
            "rule": one.rule,
            "created": stamp(one.created),
            "created_by": one.created_by,
            "latecomers": one.latecomers,
            "done": one.done,
            "waiting": one.waiting,
            "failed": one.failed,
        }

    def with_people(self, one: HandoutView) -> dict[str, Any]:
        people = {
            found.user: {"state": found.state, "at": stamp(found.at)}
            | {name: value for name, value in found.report.items() if name != "state"}
            for found in self.materials.deliveries(one.id)
        }
        return {**self.handout_model(one), "people": people}

    def collection_model(self, one: CollectionView) -> dict[str, Any]:
        counts = one.counts
        return {
            "id": one.id,
            "folder": one.folder,
            "place": one.place,
            "created": stamp(one.created),
            "created_by": one.created_by,
            "note": one.note,
            "collected": counts["collected"],
            "waiting": counts["waiting"],
            "failed": counts["failed"],
        }


class MaterialsHandler(MaterialModels):
    """All that was handed out and collected."""

    @needs_scope(_SCOPE)
    async def get(self, group: str) -> None:
        one = self.classes.get(group)
        self.reply(
            {
                "folder": (await self.folders.folder(one.name)).slug,
                "handouts": [self.handout_model(x) for x in self.materials.handouts(one)],
                "collections": [self.collection_model(x) for x in self.collecting.collections(one)],
            }
        )


class FilesHandler(MaterialModels):
    """A folder below the shared one."""

    @needs_scope(_SCOPE)
    async def get(self, group: str) -> None:
        one = self.classes.get(group)
        folder = self.get_query_argument("folder", "")
        entries = await self.materials.browse(one, self.asker, folder)
        self.reply(
            [
                {
                    "name": entry.name,
                    "kind": entry.kind,
                    "size": entry.size,
                    "modified": stamp(entry.modified),
                }
                for entry in entries
            ]
        )


@stream_request_body
class FileHandler(MaterialModels):
    """One file below the shared folder, as it is in the request's body."""

    uploads: Uploads

    _spool: Spool | None = None
    _trouble: ApplianceError | None = None

    async def prepare(self) -> None:
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(FORM_MAX)
        self._open = ExitStack()
        await super().prepare()
        # Before the body comes: nobody else may fill the disk, not even for a moment.
        check_access(self.identified(), (_SCOPE,), Target(group=self.path_kwargs["group"]))
        self._spool = self._open.enter_context(self.uploads.spool())

    async def data_received(self, chunk: bytes) -> None:
        """Keep what comes. After a failure the rest is let pass, so that the answer is read."""
        try:
            if self._spool and self._trouble is None:
                self._spool.write(chunk)
        except ApplianceError as err:
            self._trouble = err

    @needs_scope(_SCOPE)
    async def put(self, group: str, path: str) -> None:
        if self._trouble:
            raise self._trouble
        one = self.classes.get(group)
        if self._spool:
            source, size = self._spool.rewind(), self._spool.size
            stored = await self.materials.upload(one, self.asker, path, source, size)
            self.reply({"path": stored, "size": size}, status=201)

    def on_finish(self) -> None:
        self._open.close()

    def on_connection_close(self) -> None:
        self._open.close()


class HandoutsHandler(MaterialModels):
    """Hands out."""

    @needs_scope(_SCOPE)
    async def post(self, group: str) -> None:
        body = self.parse_body(NewHandout)
        made = await self.materials.hand_out(
            self.classes.get(group), self.asker, body.folder,
            rule=body.rule, latecomers=body.latecomers,
        )  # fmt: skip
        self.reply(self.handout_model(made), status=201)


class HandoutHandler(MaterialModels):
    """One hand-out, with how it went with everybody."""

    @needs_scope(_SCOPE)
    async def get(self, group: str, number: str) -> None:
        self.reply(self.with_people(self.materials.handout(self.classes.get(group), int(number))))

    @needs_scope(_SCOPE)
    async def delete(self, group: str, number: str) -> None:
        self.materials.forget(self.classes.get(group), int(number))
        self.reply_nothing()


class AgainHandler(MaterialModels):
    """Tries a hand-out again with those for whom it failed."""

    @needs_scope(_SCOPE)
    async def post(self, group: str, number: str) -> None:
        one = self.classes.get(group)
        self.materials.again(one, int(number))
        self.reply(self.handout_model(self.materials.handout(one, int(number))))


class CollectionsHandler(MaterialModels):
    """Collects."""

    @needs_scope(_SCOPE)
    async def post(self, group: str) -> None:
        body = self.parse_body(NewCollection)
        one = self.classes.get(group)
        hand = self.materials.hand_of(one, self.asker)
        made = self.collecting.collect(one, self.asker, hand, body.folder, note=body.note)
        self.reply(self.collection_model(made), status=201)


class CollectionHandler(MaterialModels):
    """One collection, with what it has of everybody."""

    @needs_scope(_SCOPE)
    async def get(self, group: str, number: str) -> None:
        found = self.collecting.collection(self.classes.get(group), int(number))
        self.reply({**self.collection_model(found), "people": found.people})


class NbgraderHandler(MaterialModels):
    """Whether a class has nbgrader."""

    nbgrader: Nbgrader

    @needs_scope(_SCOPE)
    async def get(self, group: str) -> None:
        await self._reply_state(self.classes.get(group))

    @needs_scope(_SCOPE)
    async def put(self, group: str) -> None:
        body = self.parse_body(NbgraderSwitch)
        await self._reply_state(await self.nbgrader.switch(self.classes.get(group), on=body.on))

    async def _reply_state(self, one: ClassView) -> None:
        state = self.nbgrader.state(one, (await self.folders.folder(one.name)).slug)
        self.reply({"on": state.on, "version": state.version, "course": state.course})


_CLASS: Final = r"/api/appliance/classes/(?P<group>[^/]+)"
# What has more digits is beyond what the database counts with.
_NUMBER: Final = r"(?P<number>[0-9]{1,18})"

handlers = [
    Pattern(rf"{_CLASS}/materials", MaterialsHandler),
    Pattern(rf"{_CLASS}/files", FilesHandler),
    Pattern(rf"{_CLASS}/files/(?P<path>.+)", FileHandler),
    Pattern(rf"{_CLASS}/handouts", HandoutsHandler),
    Pattern(rf"{_CLASS}/handouts/{_NUMBER}", HandoutHandler),
    Pattern(rf"{_CLASS}/handouts/{_NUMBER}/again", AgainHandler),
    Pattern(rf"{_CLASS}/collections", CollectionsHandler),
    Pattern(rf"{_CLASS}/collections/{_NUMBER}", CollectionHandler),
    Pattern(rf"{_CLASS}/nbgrader", NbgraderHandler),
]
