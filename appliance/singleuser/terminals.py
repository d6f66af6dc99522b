"""Terminals whose names nobody can guess.

A page of another user's server is of the same origin, so a websocket that it opens here carries the
visitor's cookie, and a websocket can carry no XSRF token. What keeps such a page from a kernel is
the kernel's random id; a terminal called "1" would be a shell for everybody.
"""

from __future__ import annotations

import secrets
from typing import Any, Final

from jupyter_server_terminals.terminalmanager import TerminalManager

_LETTERS: Final = "abcdefghjkmnpqrstuvwxyz23456789"
_LENGTH: Final = 10


class UnguessableTerminals(TerminalManager):  # type: ignore[misc]
    """A terminal manager that chooses every name itself."""

    def new_named_terminal(self, **options: Any) -> tuple[str, Any]:
        """A name that was asked for isn't taken: a link to …/terminals/1 asks for one, too."""
        name = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
        made: tuple[str, Any] = super().new_named_terminal(**{**options, "name": name})
        return made
