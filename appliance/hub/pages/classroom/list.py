"""The list of the classes that somebody may run, and the making of a new one."""

from __future__ import annotations

from appliance.access.principal import Principal
from appliance.errors import ApplianceError, NotAllowed
from appliance.hub.classroom.archives import Archives
from appliance.hub.classroom.class_care import ClassCare
from appliance.hub.classroom.classes import Classes, ClassView
from appliance.hub.classroom.rights import CLASSROOM
from appliance.hub.classroom.terms import Terms
from appliance.hub.new_accounts import Created
from appliance.hub.pages.shown_once import Card, Sheet, ShownOnce
from appliance.hub.users import Users
from appliance.names import Username
from appliance.texts import say
from appliance.web.forms import FormError
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class ClassesPage(PageHandler):
    """What the pages beside those of one class share."""

    classes: Classes
    archives: Archives
    class_care: ClassCare
    terms: Terms
    shown_once: ShownOnce
    users: Users

    @property
    def asker(self) -> Principal:
        return self.identified()

    def check_admin(self) -> None:
        """Raise NotAllowed for who is no admin."""
        if not self.asker.admin:
            raise NotAllowed(
                "cannot open this page", why="it is for admins", mend="go back to your server"
            )


def sheet_path(keeper: ShownOnce, owner: Username, made: Created) -> str:
    """Keep new passwords for their maker; the page that shows them, or "" if there are none."""
    cards = tuple(Card(new.name, new.password) for new in made.created if new.password)
    if not cards:
        return ""
    return f"cards/{keeper.put(owner, Sheet(cards, tuple(made.skipped), back='classes'))}"


class ListHandler(ClassesPage):
    """The classes."""

    @login_needed
    async def get(self) -> None:
        classes = self._mine()
        past = [] if self.asker.admin else self.archives.of_teacher(self.user)
        moving = {one.name: one for one in self.archives.list_all() if one.moving}
        self.render_page(
            "classes.html",
            classes=classes,
            moving={name: (self.terms.progress(one), one) for name, one in moving.items()},
            past=[one for one in past if not one.moving],
            archived=len(self.archives.list_all()) if self.asker.admin else 0,
        )

    def _mine(self) -> list[ClassView]:
        scopes = self.asker.scopes
        if not scopes.has(CLASSROOM) and not self.archives.of_teacher(self.user):
            raise NotAllowed(
                "cannot open this page", why="it is for teachers", mend="go back to your server"
            )
        filters = scopes.filters(CLASSROOM)
        if filters is None:
            return self.classes.list_all()
        return self.classes.list_all(only=[one.value for one in filters if one.kind == "group"])


class NewHandler(ClassesPage):
    """Makes a class, and an account for its teacher if need be."""

    @login_needed
    async def get(self) -> None:
        self.check_admin()
        self._show()

    @login_needed
    async def post(self) -> None:
        self.check_admin()
        title = self.get_body_argument("title", "")
        name = self.get_body_argument("name", "")
        teacher = self.get_body_argument("teacher", "")
        try:
            one, made = await self.class_care.create(
                self.asker, title=title, name=name, teacher=teacher
            )
        except ApplianceError as error:
            self._show(title=title, name=name, teacher=teacher, error=FormError.of(error))
            return
        self.leave_note("good", say("The class “{title}” is there.", title=one.title))
        sheet = sheet_path(self.shown_once, self.user, made) if made else ""
        self.redirect(self.hub_path(sheet or "classes"))

    def _show(
        self, *, title: str = "", name: str = "", teacher: str = "", error: FormError | None = None
    ) -> None:
        self.render_page(
            "class_new.html", status=error.status if error else 200,
            title=title[:300], name=name[:300], teacher=teacher[:100], error=error,
        )  # fmt: skip


handlers = [
    Pattern(r"/classes", ListHandler),
    # Not below /classes/, where a class may be of any name.
    Pattern(r"/new-class", NewHandler),
]
