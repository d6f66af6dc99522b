"""Log-in cards: what a student needs for the first log-in, on paper to be cut.

The QR code opens the log-in page with the user name filled in. It never has the password: cards
lie on desks, and a phone remembers every address it was sent to.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from appliance.web.renderer import STATIC

if TYPE_CHECKING:
    from markupsafe import Markup

PER_PAGE: Final = 10
# Characters of a name that surely fit into one line of a card.
_ROOM: Final = 22
# Where people write on Letter; the rest of the world has A4.
_LETTER: Final = frozenset(["US", "CA", "MX", "PH", "CL", "CO", "VE", "GT", "CR", "PA", "DO", "PR"])


class Paper(StrEnum):
    """What is in the printer."""

    A4 = "a4"
    LETTER = "letter"


@dataclass(frozen=True, slots=True)
class Login:
    """With what somebody logs in for the first time."""

    name: str
    password: str
    full_name: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """A card as it is printed."""

    login: Login
    qr: Markup

    @property
    def is_tight(self) -> bool:
        """Whether names take two lines, so that all must be smaller to have room."""
        return len(self.login.full_name) > _ROOM or len(self.login.name) > _ROOM


def make_pages(logins: Iterable[Login], site: str) -> list[list[Card]]:
    """The cards, as many together as fit on a sheet; `site` is the appliance's address."""
    cards = [
        Card(one, _qr(f"{site}hub/login?{urlencode({'username': one.name})}")) for one in logins
    ]
    return [cards[at : at + PER_PAGE] for at in range(0, len(cards), PER_PAGE)]


def paper_for(accepted_languages: str) -> Paper:
    """The paper that is usual where a browser comes from."""
    first = accepted_languages.partition(",")[0].partition(";")[0].strip()
    return Paper.LETTER if first.partition("-")[2].upper() in _LETTER else Paper.A4


def styles(paper: Paper) -> Sequence[str]:
    """The style sheets of a page with cards, below static/."""
    return "cards.css", f"cards-{paper}.css"


def style_text(paper: Paper) -> Markup:
    """The same as text, for a file that is opened without the hub."""
    parts = [(STATIC / name).read_text("utf-8") for name in ("appliance.css", *styles(paper))]
    return _markup("\n".join(parts))


def _qr(address: str) -> Markup:
    # Loaded for the first cards, not when the hub starts.
    import segno

    code = segno.make(address, error="m", micro=False)
    return _markup(
        code.svg_inline(omitsize=True, border=2, dark="#000", light="#fff", svgclass="qr-code")
    )


def _markup(text: str) -> Markup:
    """Text of our own, or made of squares: nothing in it needs to be escaped."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704
