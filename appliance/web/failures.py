"""The one table from exceptions to what a client hears: status, code, sentence, mend."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final

from tornado.web import HTTPError

from appliance.db.errors import StorageError
from appliance.errors import (
    ApplianceError,
    BadRequest,
    ConfigError,
    Conflict,
    MailError,
    NotAllowed,
    NotFound,
    ProxyError,
    SpawnError,
    SpawnRefused,
    SpawnTimeout,
    TooMany,
)


class LoginNeeded(NotAllowed):
    """Nobody is identified; pages send people to log in, the API answers 403."""

    def __init__(self) -> None:
        super().__init__("Missing or invalid credentials.")


class XsrfRefused(NotAllowed):
    """A write without proof that it comes from one of our pages."""

    def __init__(self, why: str) -> None:
        super().__init__(
            "cannot accept this request",
            why=why,
            mend="go back, reload the page and try again",
        )


class TooLarge(BadRequest):
    """The body is larger than anybody needs."""


class UnusableOptions(BadRequest):
    """Options of a start that can be read, and mean nothing."""


class ServerNotRunningError(ApplianceError):
    """A request for a single-user server that doesn't run; JupyterLab knows 424 as just that."""


_STATUS: Final[dict[type[BaseException], tuple[int, str]]] = {
    LoginNeeded: (403, "login_needed"),
    XsrfRefused: (403, "xsrf"),
    NotAllowed: (403, "not_allowed"),
    NotFound: (404, "not_found"),
    Conflict: (409, "conflict"),
    TooLarge: (413, "too_large"),
    UnusableOptions: (422, "unusable"),
    BadRequest: (400, "bad_request"),
    TooMany: (429, "too_many"),
    ConfigError: (500, "config"),
    ServerNotRunningError: (424, "server_not_running"),
    SpawnRefused: (500, "spawn_refused"),
    SpawnTimeout: (504, "spawn_timeout"),
    SpawnError: (500, "spawn_failed"),
    ProxyError: (503, "proxy"),
    MailError: (502, "mail"),
    StorageError: (507, "storage"),
    ApplianceError: (500, "failed"),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, ready for a page or a JSON body."""

    status: int
    code: str
    what: str
    why: str = ""
    mend: str = ""
    bug: str = ""
    """The id under which the traceback is in the journal, if this is our fault."""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def message(self) -> str:
        return f"{self.what}: {self.why}" if self.why else self.what

    @property
    def title(self) -> str:
        """The status in words, such as "Not Found"."""
        return HTTPStatus(self.status).phrase


def failure_of(error: BaseException | None, *, status: int = 500) -> Failure:
    """Translate by the nearest class in the error's MRO; what no class there fits is a bug."""
    if isinstance(error, ApplianceError):
        found, code = next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
        headers = {}
        if isinstance(error, TooMany):
            headers["Retry-After"] = str(error.retry_after_seconds)
        return Failure(found, code, error.what, error.why, error.mend, headers=headers)
    if isinstance(error, HTTPError):
        return _of_tornado(error)
    if error is None:
        return Failure(status, "failed", _phrase(status))
    bug = secrets.token_hex(4)
    return Failure(
        500,
        "bug",
        "cannot finish this request",
        why="an error in the program stopped it",
        mend=f"try again; if it stays, tell an admin to look for {bug} in `appliance logs hub`",
        bug=bug,
    )


def _of_tornado(error: HTTPError) -> Failure:
    codes = {404: "not_found", 405: "method", 400: "bad_request", 403: "not_allowed"}
    why = error.log_message or ""
    if why and error.args:
        why = why % error.args
    return Failure(
        error.status_code, codes.get(error.status_code, "http"), why or _phrase(error.status_code)
    )


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"
