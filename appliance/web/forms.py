"""What a form says about a mistake when it is shown again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from appliance.errors import ApplianceError
from appliance.web.failures import failure_of
from appliance.web.formats import sentence


@dataclass(frozen=True, slots=True)
class FormError:
    """A mistake, with the name of the field that it is about, or "" for the whole form."""

    field: str
    text: str
    mend: str
    status: int

    @classmethod
    def of(cls, error: ApplianceError, *, field: str = "", mend: str = "") -> Self:
        """From an error; `mend` is for errors that bring no advice of their own."""
        advice = sentence(error.mend or mend)
        return cls(field, sentence(error.why or error.what), advice, failure_of(error).status)


def told(error: ApplianceError) -> str:
    """An error as sentences, for a note."""
    what = sentence(f"{error.what}: {error.why}" if error.why else error.what)
    return f"{what} {sentence(error.mend)}".rstrip()
