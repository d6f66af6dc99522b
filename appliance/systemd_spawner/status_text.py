"""How a server said that it was started: forked from the preload daemon, or cold.

It says so in the status text of its READY=1, which its user's own process writes. So nothing is
believed but the known form, nothing is decided by it, and it is fit for a log and a terminal.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, Final

REASON_MAX: Final = 200
_PRELOADED: Final = re.compile(r"Serving [!-~]{1,2000} \(preloaded\)")
# A reason ends with the text, and may have brackets of its own.
_COLD: Final = re.compile(r"Serving [!-~]{1,2000} \(cold: ([ -~]+)\)")


@dataclass(frozen=True, slots=True)
class StartedHow:
    """What the reply to a start says beyond that it worked."""

    preloaded: bool = False
    cold_reason: str = ""
    """Why it had to start cold; empty if it didn't, or didn't say."""

    def reply(self) -> dict[str, Any]:
        return asdict(self)


def parse_status_text(text: str) -> StartedHow:
    """Read a unit's StatusText; any other form is a cold start without a reason."""
    if _PRELOADED.fullmatch(text):
        return StartedHow(preloaded=True)
    cold = _COLD.fullmatch(text)
    return StartedHow(cold_reason=shortened(cold[1])) if cold else StartedHow()


def shortened(reason: str) -> str:
    """At most REASON_MAX characters, and three dots where some are left out."""
    reason = reason.strip()
    return reason if len(reason) <= REASON_MAX else f"{reason[: REASON_MAX - 3]}..."
