"""The family of errors that people may see: what could not be done, why, and how to mend it.

Nothing here knows HTTP statuses or exit codes; the edges (`web/failures.py`, `cli/__main__.py`,
`installer/__main__.py`) translate by class.
"""

from __future__ import annotations

from dataclasses import dataclass

from appliance.texts import say


class ApplianceError(Exception):
    """A failure with three parts, of which `why` and `mend` may be empty.

    `log` holds the last lines of the program that failed, if it was one; they are for admins.
    """

    def __init__(
        self, what: str, *, why: str = "", mend: str = "", log: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.mend = mend
        self.log = log

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}" if self.why else self.what
        return f"{text} (to mend: {self.mend})" if self.mend else text


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration file, and where: lines and columns count from 1."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}  {self.text}" if self.place else self.text


class ConfigError(ApplianceError):
    """The configuration can't be used; carries every problem found, not the first alone."""

    def __init__(self, problems: list[Problem], *, mend: str = "") -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("cannot use the configuration", why=count, mend=mend)
        self.problems = problems


class NotFound(ApplianceError):
    """Nothing of that name exists."""


class NoSuchUser(NotFound):
    """There is no user of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"cannot find the user {name[:60]!r}", why="no such user", mend="appliance user list"
        )


class NoSuchClass(NotFound):
    """There is no class of that short name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            say("cannot find the class {name!r}", name=name[:60]),
            why="classes go by their short names",
            mend="appliance class list",
        )


class Conflict(ApplianceError):
    """It exists already, or is in a state that forbids the change."""


class BadRequest(ApplianceError):
    """The request itself is wrong; sending it again won't help."""


class NotAllowed(ApplianceError):
    """The caller is known and may not do this."""


class TooMany(ApplianceError):
    """Refused for now; `retry_after_seconds` says when to come back."""

    def __init__(
        self, what: str, *, retry_after_seconds: int, why: str = "", mend: str = ""
    ) -> None:
        super().__init__(what, why=why, mend=mend)
        self.retry_after_seconds = retry_after_seconds


class SpawnError(ApplianceError):
    """A single-user server did not start or stop; `log` holds its last lines."""


class SpawnRefused(SpawnError):
    """Policy or systemd said no before anything ran."""


class SpawnTimeout(SpawnError):
    """The server did not say that it is ready in time."""


class SpawnFailed(SpawnError):
    """The server's process ended before it was ready, or could not be started."""


class ProxyError(ApplianceError):
    """The proxy could not be told, or asked, over its API."""


class MailError(ApplianceError):
    """A mail could not be sent."""


class InstallError(ApplianceError):
    """An installer's step failed."""
