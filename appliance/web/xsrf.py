"""Tokens that prove a request comes from one of our own pages.

The token is the value of the cookie `_xsrf`: a random part and a signature over it and over what
the token is bound to: the log-in session, or for a visitor the browser's User-Agent. A page of a
student's own server may set cookies on our host, but can't sign one for somebody else's session.
Addresses are not part of it: they change under phones and behind proxies.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

COOKIE: Final = "_xsrf"
FIELD: Final = "_xsrf"
HEADERS: Final = ("X-XSRFToken", "X-CSRFToken")


class Xsrf:
    """Makes and checks tokens with one secret."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def make(self, bound_to: str) -> str:
        nonce = secrets.token_urlsafe(16)
        return f"{nonce}.{self._sign(nonce, bound_to)}"

    def check(self, token: str, bound_to: str) -> bool:
        nonce, _, signature = token.partition(".")
        # compare_digest refuses text that isn't ASCII, so bytes it is.
        expected = self._sign(nonce, bound_to).encode()
        return bool(nonce) and hmac.compare_digest(signature.encode(), expected)

    def _sign(self, nonce: str, bound_to: str) -> str:
        message = f"xsrf\0{nonce}\0{bound_to}".encode()
        return hmac.new(self._secret, message, hashlib.sha256).hexdigest()[:43]


def visitor(user_agent: str) -> str:
    """What the token of somebody who isn't logged in is bound to."""
    return "visitor:" + hashlib.sha256(user_agent.encode()).hexdigest()
