"""Where files for a class come in, one by one from a script or several in a form."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Final

from tornado.http1connection import HTTP1Connection
from tornado.web import stream_request_body

from appliance.access.principal import Kind, Principal
from appliance.errors import ApplianceError, BadRequest
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.uploads import FORM_MAX, FormReader, Part, PartEnd, Spool, Uploads
from appliance.hub.pages.classroom.materials import MaterialsPage
from appliance.texts import say_many
from appliance.web import xsrf
from appliance.web.failures import LoginNeeded, XsrfRefused
from appliance.web.guards import login_needed, must_change_password
from appliance.web.parts import Pattern

_FIELD_MAX: Final = 4096


@stream_request_body
class UploadHandler(MaterialsPage):
    """Takes files into a folder of the class's shared one.

    A script sends one file as the body, its place in the query; a form sends the folder, then any
    number of files, each put into its place as soon as it is there.
    """

    uploads: Uploads

    _one: ClassView
    _form: FormReader | None = None
    _xsrf_due = False
    _trouble: ApplianceError | None = None

    async def prepare(self) -> None:
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(FORM_MAX)
        self._open = ExitStack()
        self._fields: dict[str, str] = {}
        self._stored: list[str] = []
        self._part = Part("file", None)
        self._text = b""
        self._spool: Spool | None = None
        content_type = self.request.headers.get("Content-Type", "")
        if content_type.startswith("multipart/"):
            self._form = FormReader(content_type)
        await super().prepare()
        # Nobody else may fill the disk, not even for a moment.
        if self.principal is None or self.principal.kind is not Kind.USER:
            raise LoginNeeded
        if self.principal.must_change_password:
            raise must_change_password()
        self._one = self.open_class(self.path_kwargs["name"])
        if self._form is None:
            self._spool = self._open.enter_context(self.uploads.spool())

    def check_xsrf(self, principal: Principal | None) -> None:
        """In a form the token is the first field, which hasn't come yet."""
        if self._form is not None and not any(h in self.request.headers for h in xsrf.HEADERS):
            self._xsrf_due = True
        else:
            super().check_xsrf(principal)

    async def data_received(self, chunk: bytes) -> None:
        """Keep what comes. After a failure the rest is let pass, so that the answer is read."""
        if self._trouble:
            return
        try:
            if self._form is not None:
                for event in self._form.feed(chunk):
                    await self._take(event)
            elif self._spool:
                self._spool.write(chunk)
        except ApplianceError as err:
            self._trouble = err

    async def _take(self, event: Part | bytes | PartEnd) -> None:
        if isinstance(event, Part):
            self._begin(event)
        elif isinstance(event, bytes):
            if self._spool:
                self._spool.write(event)
            elif len(self._text) + len(event) <= _FIELD_MAX:
                self._text += event
            else:
                raise BadRequest("cannot read the upload", why="a field of it is too long")
        elif self._part.filename is None:
            self._fields[self._part.name] = self._text.decode("utf-8", errors="replace")
            self._check_due()
        elif self._spool:
            # A form without a file chosen has one without a name.
            if self._part.filename:
                await self._store(self._part.filename, self._spool)
            self._open.close()
            self._spool = None

    def _begin(self, part: Part) -> None:
        self._part, self._text = part, b""
        if part.filename is not None:
            if self._xsrf_due:
                raise XsrfRefused("'_xsrf' argument missing from POST")
            self._spool = self._open.enter_context(self.uploads.spool())

    def _check_due(self) -> None:
        """Check the token as soon as it is there."""
        if self._xsrf_due and xsrf.FIELD in self._fields:
            self.request.arguments[xsrf.FIELD] = [self._fields[xsrf.FIELD].encode()]
            super().check_xsrf(self.principal)
            self._xsrf_due = False

    async def _store(self, name: str, spool: Spool) -> None:
        path = "/".join(filter(None, (self._folder, name)))
        source = spool.rewind()
        self._stored.append(
            await self.materials.upload(self._one, self.user, path, source, spool.size)
        )

    @property
    def _folder(self) -> str:
        return (self._fields.get("folder") or self.get_query_argument("folder", "")).strip(" /")

    @login_needed
    async def post(self, name: str) -> None:
        if self._trouble:
            raise self._trouble
        if self._xsrf_due:
            raise XsrfRefused("'_xsrf' argument missing from POST")
        if self._form is None:
            if self._spool:
                await self._store(self.get_query_argument("name", ""), self._spool)
            self.reply({"stored": self._stored}, status=201)
            return
        if not self._form.complete:
            raise BadRequest("cannot read the upload", why="its end is missing", mend="try again")
        if self._stored:
            text = say_many(
                "One file is in the shared folder now.",
                "{count} files are in the shared folder now.",
                len(self._stored),
            )
            self.leave_note("good", text)
        else:
            self.leave_note("warn", "Choose files first.")
        self.redirect(self.materials_path(name, folder=self._folder))

    def write_error(self, status_code: int, **kwargs: object) -> None:
        """A script shows the sentences by itself."""
        if self._form is not None:
            super().write_error(status_code, **kwargs)
            return
        failure = self.failure(status_code, kwargs)
        self.reply({"message": failure.message, "mend": failure.mend}, status=failure.status)

    def on_finish(self) -> None:
        self._open.close()

    def on_connection_close(self) -> None:
        self._open.close()


handlers = [Pattern(r"/classes/(?P<name>[^/]+)/materials/upload", UploadHandler)]
