"""How the appliance and its machine are, for admins, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from appliance import __version__
from appliance.access.scopes import Target
from appliance.config.schema import Config, SignupMode
from appliance.db.session import Database
from appliance.errors import NotAllowed
from appliance.findings import Finding, Severity
from appliance.hub.health import Health
from appliance.hub.pages.admin import AdminPage
from appliance.hub.routes import Routes
from appliance.hub.states import ServerState
from appliance.texts import Text, say
from appliance.web.guards import login_needed
from appliance.web.parts import Pattern

_TITLES: Final[Mapping[str, Text]] = {
    "backup": say("Backup"),
    "certificate": say("Certificate"),
    "clock": say("Clock"),
    "disk": say("Disk"),
    "environment": say("Packages"),
    "hub": say("Hub"),
    "isolation": say("Isolation"),
    "machine": say("Machine"),
    "notices": say("Notices"),
    "rebuild": say("After an upgrade of the system"),
    "updates": say("Updates"),
    "upkeep": say("Upkeep"),
}
_SIGNUP: Final[Mapping[SignupMode, Text]] = {
    SignupMode.OPEN: say("Open to everybody"),
    SignupMode.APPROVAL: say("With approval"),
    SignupMode.CODE: say("With a code"),
    SignupMode.CLOSED: say("Closed"),
}
# A command begins a part of the sentence, and ends before the next one.
_COMMAND: Final = re.compile(r"`([^`]+)`|((?:\bsudo |(?:^|(?<=[;:] ))appliance )[^;,()]*[^;,() .])")
_STATES: Final = {Severity.OK: "ready", Severity.WARNING: "starting", Severity.FAILED: "failed"}


@dataclass(frozen=True, slots=True)
class Topic:
    """A finding, as the page shows it."""

    finding: Finding
    title: Text | str
    state: str
    checked: datetime | None

    @property
    def mend(self) -> list[tuple[bool, str]]:
        """What mends it, in parts; true: a command."""
        return list(mend_parts(self.finding.mend))


@dataclass(frozen=True, slots=True)
class Gauge:
    """Something of which there is so much and no more."""

    name: str
    used: int
    total: int

    @property
    def percent(self) -> int:
        return min(100, round(100 * self.used / self.total)) if self.total else 0


class StatusHandler(AdminPage):
    """The page."""

    health: Health
    db: Database
    config: Config
    routes: Routes
    started: datetime

    @login_needed
    async def get(self) -> None:
        if not self.asker.scopes.allows("read:hub", Target()):
            raise NotAllowed("cannot open this page", why="it is for admins of the appliance")
        topics = [_topic(finding) for finding in self.health.findings()]
        active = self.servers.active()
        machine = self.health.machine
        self.render_page(
            "status.html",
            version=__version__,
            started=self.started,
            worst=self.health.worst,
            to_do=[one for one in topics if one.finding.severity is not Severity.OK],
            topics=topics,
            people=self.users.counts(),
            running=sum(view.ready for view in active),
            starting=sum(view.state is ServerState.STARTING for view in active),
            database_bytes=self.db.size(),
            signup=_SIGNUP[self.config.signup.mode],
            sudo="" if self.health.is_trial else "sudo ",
            proxy_fault=await self.routes.fault(),
            memory=_memory(machine.details) if machine else None,
            disks=_disks(machine.details) if machine else [],
            units=_units(machine.details) if machine else [],
        )


def mend_parts(mend: str) -> Iterator[tuple[bool, str]]:
    """Tell the commands in it from the words between them."""
    end = 0
    for match in _COMMAND.finditer(mend):
        if match.start() > end:
            yield False, mend[end : match.start()]
        yield True, match[1] or match[2]
        end = match.end()
    if mend[end:]:
        yield False, mend[end:]


def _topic(finding: Finding) -> Topic:
    try:
        checked = datetime.fromisoformat(finding.checked)
    except ValueError:
        checked = None
    title = _TITLES.get(finding.topic, finding.topic)
    return Topic(finding, title, _STATES[finding.severity], checked)


def _memory(details: Mapping[str, Any]) -> Gauge | None:
    match details.get("memory"):
        case {"total": int(total), "available": int(available)}:
            return Gauge("memory", total - available, total)
        case _:
            return None


def _disks(details: Mapping[str, Any]) -> list[Gauge]:
    found = []
    for disk in details.get("disks", ()):
        match disk:
            case {"path": str(path), "total": int(total), "free": int(free)}:
                found.append(Gauge(path, total - free, total))
    return found


def _units(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each unit's name, without what all have in common, and its state."""
    units = details.get("units")
    if not isinstance(units, dict):
        return []
    return sorted(
        (str(name).removeprefix("appliance-").removesuffix(".service"), str(state))
        for name, state in units.items()
    )


handlers = [Pattern(r"/admin/status", StatusHandler)]
