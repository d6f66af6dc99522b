"""The differences from JupyterHub that are meant, each with its reason; docs show this table."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Explained:
    """Steps and what differs in them (regular expressions), and why that is better or harmless."""

    title: str
    steps: str
    differs: str
    reason: str

    def explains(self, step: str, difference: str) -> bool:
        return bool(re.search(self.steps, step) and re.fullmatch(self.differs, difference))


EXPLAINED: Final[tuple[Explained, ...]] = ()
