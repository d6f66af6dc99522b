"""Telling people what changed: once when it gets worse, once when it is mended, again after a week.

Each way (mail, webhook) has a memory of its own of what was told by it, which is written when a
message has gone out. So what can't be sent is tried again in the next round with what is so by
then, and never piles up.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.client.hub import HubClient
from appliance.config.files import write_atomically
from appliance.config.notices_schema import Least
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.findings import (
    Finding,
    Severity,
    forget_finding,
    read_findings,
    write_finding,
)
from appliance.places import Places
from appliance.rollout.health import find_fault
from appliance.upkeep.delivery import ByMail, ByWebhook, Message, Way, admins_addresses

log = logging.getLogger("appliance.upkeep.notices")

TOPIC: Final = "notices"
HUB: Final = "hub"
WAITING: Final = "waiting"
DAY: Final = 86_400
_REMIND: Final = 7 * DAY
_MOST_A_DAY: Final = 6
_HUB_TRIES: Final = 3
_HUB_PAUSE: Final = 5.0
_HUB_SECONDS: Final = 10


@dataclass
class Told:
    """What somebody knows of a topic."""

    severity: str
    summary: str
    at: float
    well_since: float = 0.0
    """When it was first found mended; told in the next round, if it is so still."""
    times: list[float] = field(default_factory=list)
    """When something of it was told, during the last day."""
    step: int | None = None
    """How far a thing had come that gets worse by days, such as a certificate's end (`step` of the
    finding's details): the fewer, the worse."""


@dataclass
class Memory:
    """Of one way."""

    told: dict[str, Told] = field(default_factory=dict)
    waiting: int = 0
    """How many waited when they were last told of."""
    waiting_at: float = 0.0

    @classmethod
    def of(cls, found: Any) -> Memory:
        told = {topic: Told(**row) for topic, row in dict(found["told"]).items()}
        return cls(told, int(found["waiting"]), float(found["waiting_at"]))

    def to_json(self) -> dict[str, Any]:
        told = {
            topic: {
                "severity": one.severity, "summary": one.summary, "at": one.at,
                "well_since": one.well_since, "times": one.times, "step": one.step,
            }
            for topic, one in self.told.items()
        }  # fmt: skip
        return {"told": told, "waiting": self.waiting, "waiting_at": self.waiting_at}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to say."""

    topic: str
    state: str
    """worse, still, mended, or waiting."""
    finding: Finding

    def lines(self) -> list[str]:
        one = self.finding
        if self.state == "mended":
            return [f"Mended: {one.summary}."]
        head = "Still so" if self.state == "still" else "New"
        if self.state == "waiting":
            head = "Sign-ups"
        lines = [f"{head}: {one.summary}."]
        if one.why:
            lines.append(f"  Why: {one.why}")
        if one.mend:
            lines.append(f"  To mend: {one.mend}")
        return lines


def news(
    memory: Memory, findings: Sequence[Finding], least: Severity, now: float
) -> tuple[list[Item], Memory]:
    """What to say by one way, and its memory once it was said. Pure."""
    bad = {one.topic: one for one in findings if one.severity.rank >= max(least.rank, 1)}
    well = {one.topic: one for one in findings if one.topic not in bad}
    told = {topic: Told(**vars(one)) for topic, one in memory.told.items()}
    items = []
    for topic, one in bad.items():
        known = told.get(topic)
        times = [at for at in known.times if 0 <= now - at < DAY] if known else []
        state = _state(known, one, now)
        if known is not None:
            known.well_since = 0.0
        if not state or len(times) >= _MOST_A_DAY:
            continue
        items.append(Item(topic, state, one))
        told[topic] = Told(one.severity, one.summary, now, 0.0, [*times, now], _step(one))
    for topic, known in list(told.items()):
        if topic in bad:
            continue
        if not 0 < known.well_since < now:
            # What comes and goes isn't told each time: it must be well for two rounds.
            known.well_since = known.well_since or now
            continue
        found = well.get(topic) or Finding(topic, Severity.OK, known.summary)
        items.append(Item(topic, "mended", found))
        del told[topic]
    return items, Memory(told, memory.waiting, memory.waiting_at)


def _state(known: Told | None, found: Finding, now: float) -> str:
    if known is None or found.severity.rank > Severity(known.severity).rank:
        return "worse"
    step = _step(found)
    if step is not None and known.step is not None and step < known.step:
        return "worse"
    return "still" if not 0 <= now - known.at < _REMIND else ""


def _step(found: Finding) -> int | None:
    step = found.details.get("step")
    return step if isinstance(step, int) else None


def waiting_news(memory: Memory, waiting: int, now: float) -> tuple[list[Item], Memory]:
    """Of people who wait: when the first comes, then once a day as long as somebody does. Pure."""
    if waiting == 0:
        return [], Memory(memory.told, 0, memory.waiting_at)
    is_first = memory.waiting == 0
    if not is_first and 0 <= now - memory.waiting_at < DAY:
        return [], memory
    who = "1 person waits" if waiting == 1 else f"{waiting} people wait"
    finding = Finding(
        WAITING, Severity.WARNING, f"{who} to be let in",
        mend="the page of users, or: sudo appliance user list --waiting",
    )  # fmt: skip
    return [Item(WAITING, "waiting", finding)], Memory(memory.told, waiting, now)


def message_of(items: Sequence[Item]) -> Message:
    """One for all that there is to say in a round."""
    host = socket.gethostname()
    first = items[0].finding.summary
    more = f" (and {len(items) - 1} more)" if len(items) > 1 else ""
    mended = "mended: " if items[0].state == "mended" else ""
    subject = "".join(
        char if char.isprintable() else " " for char in f"[{host}] {mended}{first}{more}"
    )
    lines = [line for item in items for line in (*item.lines(), "")]
    lines.append("How it is now: sudo appliance status; in the browser: Users and servers, Status.")
    return Message(
        subject[:200],
        "\n".join(lines) + "\n",
        tuple(
            {
                "topic": item.topic, "state": item.state, "severity": item.finding.severity.value,
                "summary": item.finding.summary, "why": item.finding.why,
                "mend": item.finding.mend,
            }
            for item in items
        ),
    )  # fmt: skip


class Notices:
    """One round of all ways."""

    def __init__(
        self,
        config: Config,
        places: Places,
        *,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], None] = time.sleep,
        fault: Callable[[Config], str] = find_fault,
    ) -> None:
        self._config = config
        self._places = places
        self._now = now
        self._pause = pause
        self._fault = fault
        self._file = places.upkeep_state / "notices.json"
        self._kept = self._read()

    def tell(self) -> None:
        """Say what is to be said; raises nothing but OSError for the memory."""
        ways = self.ways()
        if not ways:
            forget_finding(self._places.health, TOPIC)
            return
        findings = self._findings()
        waiting = self._count_waiting()
        failures = [why for way in ways if (why := self._tell_by(way, findings, waiting))]
        self._write()
        if failures:
            finding = Finding(
                TOPIC, Severity.WARNING, "notices can't be sent", why="; ".join(failures),
                mend="sudo appliance notices test",
            )  # fmt: skip
        else:
            finding = Finding(TOPIC, Severity.OK, "notices can be sent")
        write_finding(self._places.health, finding)

    def ways(self) -> list[Way]:
        """Those that the settings allow."""
        found: list[Way] = []
        receivers = self.receivers() if self._config.mail.host else []
        if receivers:
            found.append(ByMail(self._config, receivers))
        if self._config.notices.webhook is not None:
            found.append(ByWebhook(self._config, self._places))
        return found

    def receivers(self) -> list[str]:
        """Addresses; those of admins are remembered for when the hub doesn't answer."""
        if self._config.notices.mail:
            return list(self._config.notices.mail)
        asked = float(self._kept.get("admins_at", 0))
        if 0 <= self._now() - asked < DAY / 24:
            return [str(one) for one in self._kept.get("admins", [])]
        try:
            found = admins_addresses(self._places)
        except ApplianceError as err:
            log.info("%s", err)
            return [str(one) for one in self._kept.get("admins", [])]
        self._kept |= {"admins": found, "admins_at": self._now()}
        return found

    def _tell_by(self, way: Way, findings: Sequence[Finding], waiting: int | None) -> str:
        """Why it failed, or nothing."""
        memory = self._memory(way.name)
        least = Severity(self._config.notices.least.value)
        items, after = news(memory, findings, least, self._now())
        if waiting is not None and self._config.notices.least is Least.WARNING:
            more, after = waiting_news(after, waiting, self._now())
            items += more
        if items:
            try:
                way.send(message_of(items))
            except ApplianceError as err:
                log.warning("%s", err)
                return f"{way.name}: {err.why}"
        self._kept.setdefault("ways", {})[way.name] = after.to_json()
        return ""

    def _findings(self) -> list[Finding]:
        """All topics; the hub is asked here if nobody else did, and not just once."""
        found = [one for one in read_findings(self._places.health) if one.topic != TOPIC]
        if any(one.topic == HUB for one in found):
            return found
        fault = ""
        for attempt in range(_HUB_TRIES):
            if attempt:
                self._pause(_HUB_PAUSE)
            fault = self._fault(self._config)
            if not fault:
                break
        if fault:
            mend = "sudo appliance doctor"
            hub = Finding(HUB, Severity.FAILED, "the hub doesn't answer", why=fault, mend=mend)
        else:
            hub = Finding(HUB, Severity.OK, "the hub answers")
        return [*found, hub]

    def _count_waiting(self) -> int | None:
        if not self._config.notices.waiting:
            return None
        try:
            status = HubClient.of(self._places, timeout=_HUB_SECONDS).status()
            return int(status["users"]["waiting"])
        except (ApplianceError, KeyError, TypeError, ValueError):
            return None

    def _memory(self, way: str) -> Memory:
        try:
            return Memory.of(self._kept["ways"][way])
        except (KeyError, TypeError, ValueError, AttributeError):
            return Memory()

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self) -> None:
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps(self._kept, indent=1) + "\n", mode=0o600)


def tell(config: Config, places: Places) -> None:
    """The chore; last of a round, so that it knows what the others found."""
    Notices(config, places).tell()
