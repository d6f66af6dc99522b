"""The page of a class's materials: its shared folder, hand-outs and collections."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlencode

from appliance.errors import ApplianceError, BadRequest, NotFound
from appliance.hub.classroom.classes import ClassView
from appliance.hub.classroom.collecting import Collecting
from appliance.hub.classroom.folders import ClassFolders
from appliance.hub.classroom.git_links import GitLink, parse_git_link
from appliance.hub.classroom.materials import Materials, handed_folders
from appliance.hub.classroom.messages import Messages
from appliance.hub.classroom.nbgrader import Nbgrader
from appliance.hub.pages.classroom.base import ClassPage
from appliance.interfaces import Entry, Rule
from appliance.texts import say, say_many
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern
from appliance.web.qr_codes import qr_svg

_LISTED: Final = 50
"""Collections and hand-outs that the page shows; the API has them all."""


class MaterialsPage(ClassPage):
    """What the pages of materials share."""

    materials: Materials
    collecting: Collecting
    folders: ClassFolders
    nbgrader: Nbgrader
    tab = "materials"

    def materials_path(self, name: str, below: str = "", *, folder: str = "") -> str:
        query = f"?{urlencode({'folder': folder})}" if folder else ""
        return self.class_path(name, f"/materials{below}{query}")

    async def lab_path(self, one: ClassView, *below: str) -> str:
        """The address that opens a folder of the class in the reader's own JupyterLab; empty for
        who doesn't teach it and so hasn't the folder."""
        if self.user not in one.teachers:
            return ""
        slug = (await self.folders.folder(one.name)).slug
        path = "/".join(filter(None, (slug, *below)))
        return self.hub_path(f"user-redirect/lab/tree/{quote(path)}")


class MaterialsHandler(MaterialsPage):
    """The page, and what its buttons do."""

    @login_needed
    async def get(self, name: str) -> None:
        await self._show(self.open_class(name))

    @login_needed
    async def post(self, name: str) -> None:
        one = self.open_class(name)
        verb, _, number = self.get_body_argument("do", "").partition(" ")
        folder = self.get_body_argument("folder", "").strip().strip("/")
        back = self.get_query_argument("folder", "")
        try:
            match verb:
                case "hand-out":
                    await self._hand_out(one, folder)
                case "again":
                    self._again(one, _whole(number))
                case "forget":
                    self._forget(one, _whole(number))
                case "collect":
                    self._collect(one, folder)
                case "nbgrader-on" | "nbgrader-off":
                    await self._switch_nbgrader(one, on=verb == "nbgrader-on")
                case _:
                    raise BadRequest("cannot do this", why="there is no such action")
        except ApplianceError as err:
            self.leave_note("bad", _sentence(err))
        self.redirect(self.materials_path(name, folder=back))

    async def _hand_out(self, one: ClassView, folder: str) -> None:
        found = await self.materials.hand_out(
            one,
            self.user,
            folder,
            rule=self.get_body_argument("rule", Rule.KEEP),
            latecomers=self.get_body_argument("latecomers", "") == "1",
        )
        text = say_many(
            "“{folder}” is on its way to one student.",
            "“{folder}” is on its way to {count} students.",
            found.total,
            folder=found.folder,
        )
        self.leave_note("good", text)

    def _again(self, one: ClassView, handout_id: int) -> None:
        count = self.materials.again(one, handout_id)
        text = say_many(
            "It is tried again with one student.",
            "It is tried again with {count} students.",
            count,
        )
        self.leave_note("good", text)

    def _forget(self, one: ClassView, handout_id: int) -> None:
        found = self.materials.forget(one, handout_id)
        self.leave_note(
            "good",
            say(
                "“{folder}” is off the list. Whoever has a copy keeps it.",
                folder=found.folder,
            ),
        )

    def _collect(self, one: ClassView, folder: str) -> None:
        found = self.collecting.collect(
            one,
            self.user,
            self.materials.hand_of(one, self.user),
            folder,
            note=self.get_body_argument("note", ""),
        )
        text = say_many(
            "“{folder}” is being collected from one student.",
            "“{folder}” is being collected from {count} students.",
            len(found.people),
            folder=found.folder,
        )
        self.leave_note("good", text)

    async def _switch_nbgrader(self, one: ClassView, *, on: bool) -> None:
        await self.nbgrader.switch(one, on=on)
        self.leave_note("good", "nbgrader is on for this class." if on else "nbgrader is off.")

    async def _show(self, one: ClassView) -> None:
        folder = self.get_query_argument("folder", "").strip("/")
        entries: list[Entry] = []
        trouble: ApplianceError | None = None
        slug = ""
        try:
            slug = (await self.folders.folder(one.name)).slug
            entries = await self.materials.browse(one, self.user, folder)
        except ApplianceError as err:
            trouble = err
        handouts = self.materials.handouts(one)
        collections = self.collecting.collections(one)
        self.show_class(
            "class_materials.html",
            one,
            status=404 if isinstance(trouble, NotFound) and folder else 200,
            folder=folder,
            crumbs=_crumbs(folder),
            entries=entries,
            trouble=trouble,
            slug=slug,
            handouts=handouts[:_LISTED],
            collections=collections[:_LISTED],
            collectable=handed_folders(handouts),
            moving=any(one.waiting for one in handouts) or any(one.running for one in collections),
            lab=await self.lab_path(one, "shared", folder) if slug else "",
            nbgrader=self.nbgrader.state(one, slug),
        )


class HandoutHandler(MaterialsPage):
    """How one hand-out went with everybody."""

    @login_needed
    async def get(self, name: str, number: str) -> None:
        one = self.open_class(name)
        handout = self.materials.handout(one, _whole(number))
        self.show_class(
            "class_handout.html",
            one,
            handout=handout,
            people=self.materials.deliveries(handout.id),
            moving=handout.waiting > 0,
        )


class CollectionHandler(MaterialsPage):
    """What one collection has of whom."""

    @login_needed
    async def get(self, name: str, number: str) -> None:
        one = self.open_class(name)
        found = self.collecting.collection(one, _whole(number))
        self.show_class(
            "class_collection.html",
            one,
            collection=found,
            lab=await self.lab_path(one, "collected", found.place),
            moving=found.running,
        )


class LinksHandler(MaterialsPage):
    """Makes links that bring a Git repository into everybody's server."""

    messages: Messages

    @login_needed
    async def get(self, name: str) -> None:
        one = self.open_class(name)
        if not self.get_query_argument("repository", ""):
            self._show(one)
            return
        try:
            self._show(one, link=self._link())
        except BadRequest as err:
            self._show(one, trouble=err)

    @login_needed
    async def post(self, name: str) -> None:
        one = self.open_class(name)
        link = self._link()
        text = say(
            "Open this link to get “{folder}”: {address}",
            folder=link.folder,
            address=link.address(self._site),
        )
        self.messages.send(text, sender=self.user, group=one.name)
        self.leave_note("good", "The link was sent to the class.")
        self.redirect(self.own_uri)

    def _link(self) -> GitLink:
        return parse_git_link(
            self.get_query_argument("repository", ""),
            branch=self.get_query_argument("branch", ""),
            path=self.get_query_argument("path", ""),
            app=self.get_query_argument("app", "lab"),
        )

    @property
    def _site(self) -> str:
        return f"{self.request.protocol}://{self.request.host}{self.web.base_url}"

    def _show(
        self, one: ClassView, *, link: GitLink | None = None, trouble: BadRequest | None = None
    ) -> None:
        address = link.address(self._site) if link else ""
        self.show_class(
            "class_links.html",
            one,
            status=400 if trouble else 200,
            values={
                name: self.get_query_argument(name, "")
                for name in ("repository", "branch", "path", "app")
            },
            trouble=trouble,
            link=link,
            address=address,
            qr=qr_svg(address) if address else "",
            query=f"?{self.request.query}",
        )


def _crumbs(folder: str) -> list[tuple[str, str]]:
    """Each part of a path with the path that leads there."""
    parts = folder.split("/") if folder else []
    return [(part, "/".join(parts[: at + 1])) for at, part in enumerate(parts)]


def _whole(text: str) -> int:
    # What has more digits is beyond what the database counts with.
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise NotFound("cannot find it", why="there is no such number")
    return int(text)


def _sentence(err: ApplianceError) -> str:
    parts = [err.what, err.why, err.mend]
    return " ".join(f"{part[0].upper()}{part[1:].rstrip('.')}." for part in parts if part)


_HERE: Final = r"/classes/(?P<name>[^/]+)/materials"

handlers = [
    Pattern(_HERE, MaterialsHandler),
    Pattern(rf"{_HERE}/links", LinksHandler),
    Pattern(rf"{_HERE}/hand-outs/(?P<number>[0-9]+)", HandoutHandler),
    Pattern(rf"{_HERE}/collections/(?P<number>[0-9]+)", CollectionHandler),
]
