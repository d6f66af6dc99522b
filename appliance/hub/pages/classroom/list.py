"""The list of the classes that somebody may run, and the making of a new one."""

from __future__ import annotations

from appliance.errors import NotAllowed
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.rights import CLASSROOM
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class ListHandler(PageHandler):
    """The classes."""

    classes: Classes

    @login_needed
    async def get(self) -> None:
        self.render_page("classes.html", classes=self._mine())

    def _mine(self) -> list[ClassView]:
        scopes = self.principal.scopes if self.principal else None
        if scopes is None or not scopes.has(CLASSROOM):
            raise NotAllowed(
                "cannot open this page", why="it is for teachers", mend="go back to your server"
            )
        filters = scopes.filters(CLASSROOM)
        if filters is None:
            return self.classes.list_all()
        return self.classes.list_all(only=[one.value for one in filters if one.kind == "group"])


handlers = [
    Pattern(r"/classes", ListHandler),
]
