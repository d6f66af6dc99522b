"""What goes to and fro between the OAuth provider and its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

TOKEN_DAYS: Final = 14
"""How long a client may act for a user who agreed."""


@dataclass(frozen=True, slots=True)
class Client:
    """An OAuth client, and whose server or which service it is."""

    id: int
    client_id: str
    description: str
    redirect_uri: str
    allowed_scopes: tuple[str, ...]
    confirm: bool
    owner: str
    server: str
    service: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What a client that sent a browser here wants."""

    client: Client
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ask:
    """The user must be asked whether the client may know who they are."""

    client: Client
    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Go:
    """The browser goes back to the client, with a code or an error."""

    location: str
