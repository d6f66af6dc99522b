"""What the pages of a class share: which class it is, and that whoever asks may run it."""

from __future__ import annotations

from urllib.parse import quote

from appliance.access.principal import Principal
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.rights import Rights
from appliance.web.handlers import PageHandler


class ClassPage(PageHandler):
    """A page below /hub/classes/NAME/; its template extends class_base.html."""

    classes: Classes
    rights: Rights
    tab = ""
    """Which of the tabs is the current one."""

    @property
    def asker(self) -> Principal:
        return self.identified()

    def open_class(self, name: str) -> ClassView:
        """The class, if who asks may run it; NotFound if there is none, or it isn't theirs."""
        self.rights.check_may_run(self.asker, name)
        return self.classes.get(name)

    def class_path(self, name: str, below: str = "") -> str:
        """The address of a page of the class."""
        return self.hub_path(f"classes/{quote(name, safe='')}{below}")

    def show_class(
        self, template: str, one: ClassView, *, status: int = 200, **values: object
    ) -> None:
        """Finish with a page of the class."""
        self.render_page(
            template,
            status=status,
            school_class=one,
            class_url=self.class_path(one.name),
            tab=self.tab,
            **values,
        )
