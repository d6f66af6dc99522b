"""Log-in cards to print, for a while and only for who made the passwords on them."""

from __future__ import annotations

from appliance.hub.pages.shown_once import Sheet, ShownOnce
from appliance.spreadsheets import Dialect, write
from appliance.web import cards
from appliance.web.guards import login_needed
from appliance.web.handlers import PageHandler
from appliance.web.parts import Pattern


class CardsPage(PageHandler):
    """What the pages of a sheet share."""

    shown_once: ShownOnce

    @property
    def site(self) -> str:
        """The address of the appliance, as this browser knows it."""
        return f"{self.request.protocol}://{self.request.host}{self.web.base_url}"

    def find(self, key: str) -> Sheet | None:
        return self.shown_once.find_sheet(key, self.user)

    def show_gone(self) -> None:
        self.render_page("cards_gone.html", status=404)


class SheetHandler(CardsPage):
    """The cards, on the paper that is usual here or was chosen."""

    @login_needed
    async def get(self, key: str) -> None:
        sheet = self.find(key)
        if sheet is None:
            self.show_gone()
            return
        usual = cards.paper_for(self.request.headers.get("Accept-Language", ""))
        chosen = self.get_query_argument("paper", usual)
        paper = cards.Paper(chosen) if chosen in list(cards.Paper) else usual
        logins = [cards.Login(one.name, one.password, one.full_name) for one in sheet.cards]
        self.render_page(
            "cards.html",
            sheet=sheet,
            pages=cards.make_pages(logins, self.site),
            site=self.site,
            paper=paper,
            styles=cards.styles(paper),
            back=sheet.back,
        )


class SheetFileHandler(CardsPage):
    """The same as a file, for letters and labels."""

    @login_needed
    async def get(self, key: str) -> None:
        sheet = self.find(key)
        if sheet is None:
            self.show_gone()
            return
        rows = [["full name", "user name", "password", "address"]]
        rows += [[one.full_name, one.name, one.password, self.site] for one in sheet.cards]
        self.set_header("Content-Type", "text/csv; charset=utf-8")
        self.set_header("Content-Disposition", 'attachment; filename="passwords.csv"')
        self.finish(write(rows, Dialect.EXCEL))


handlers = [
    Pattern(r"/cards/(?P<key>[A-Za-z0-9_-]+)", SheetHandler),
    Pattern(r"/cards/(?P<key>[A-Za-z0-9_-]+)/csv", SheetFileHandler),
]
