"""What a form says about a mistake when it is shown again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from appliance.errors import ApplianceError
from appliance.texts import say
from appliance.web.failures import failure_of
from appliance.web.formats import sentence
from appliance.web.languages import localized


@dataclass(frozen=True, slots=True)
class FormError:
    """A mistake, with the name of the field that it is about, or "" for the whole form."""

    field: str
    text: str
    mend: str
    status: int

    def __post_init__(self) -> None:
        """What handlers say in English is kept in the language of the page."""
        object.__setattr__(self, "text", localized(self.text))
        object.__setattr__(self, "mend", localized(self.mend))

    @classmethod
    def of(cls, error: ApplianceError, *, field: str = "", mend: str = "") -> Self:
        """From an error; `mend` is for errors that bring no advice of their own."""
        advice = sentence(error.mend or mend)
        return cls(field, sentence(error.why or error.what), advice, failure_of(error).status)


def told(error: ApplianceError) -> str:
    """An error as sentences, for a note."""
    return f"{sentence(joined(error))} {sentence(error.mend)}".rstrip()


def joined(error: ApplianceError) -> str:
    """What could not be done and why, in the language of the page."""
    what, why = localized(error.what), localized(error.why)
    return localized(say("{what}: {why}", what=what, why=why)) if why else what
