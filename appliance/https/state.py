"""How HTTPS is: which certificate nginx has, for whom, until when, and what is wrong with it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from appliance.config.https_schema import HttpsMode
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.findings import Finding, Severity
from appliance.https.own_ca import read_authority
from appliance.https.renewing import renewal_time
from appliance.https.store import Store, Tries
from appliance.places import Places
from appliance.proxy.certificates import Pair, covers, fingerprint, make_pair
from appliance.proxy.served import read_original
from appliance.rollout.render import PROXY_FILE

TOPIC: Final = "certificate"
STEPS: Final = (3, 14, 30)
"""Days before the end at which people are told, in ever more urgent words."""
_AUTHORITY_WARNING: Final = timedelta(days=400)
_LIFE_PARTS: Final = 4
_ANEW: Final = (
    "get a new certificate and put it into the same files (sudo appliance config show https), "
    "then: sudo appliance https renew"
)


@dataclass(frozen=True, slots=True)
class State:
    """What there is to know."""

    mode: HttpsMode
    names: list[str]
    pair: Pair | None = None
    """What nginx has."""
    original_fault: ApplianceError | None = None
    """Why what the settings name can't be used."""
    tries: Tries = field(default_factory=Tries)
    authority_ends: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        pair = self.pair
        return {
            "mode": self.mode.value,
            "names": self.names,
            "certificate_names": pair.names if pair else [],
            "issuer": pair.issuer if pair else None,
            "starts": pair.starts.isoformat() if pair else None,
            "expires": pair.ends.isoformat() if pair else None,
            "renews": renewal_time(pair).isoformat() if pair and self.is_renewed else None,
            "sha256": fingerprint(pair.leaf) if pair else None,
            "notes": list(pair.notes) if pair and self.mode is HttpsMode.FILES else [],
            "failed_tries": self.tries.failed,
            "last_try": self.tries.last or None,
            "next_try": self.tries.after or None,
            "why": self.tries.why or (self.original_fault.why if self.original_fault else ""),
            "authority_expires": self.authority_ends.isoformat() if self.authority_ends else None,
        }

    @property
    def is_renewed(self) -> bool:
        """Whether the appliance gets its certificates itself."""
        return self.mode in {HttpsMode.LETSENCRYPT, HttpsMode.OWN_CA}


def look(config: Config, places: Places) -> State:
    """How it is with the settings in force."""
    https = config.https
    if not https.is_on:
        return State(https.mode, list(https.names))
    original: Pair | None = None
    fault: ApplianceError | None = None
    try:
        original = read_original(https, places)
    except ApplianceError as error:
        fault = error
    served = _served(places)
    if served and original and original.leaf == served.leaf:
        # The original's notes are about the file that people can mend.
        served = original
    ends = None
    if https.mode is HttpsMode.OWN_CA and Store(places).authority_file.exists():
        ends = read_authority(Store(places)).not_valid_after_utc
    tries = Store(places).tries() if https.mode is HttpsMode.LETSENCRYPT else Tries()
    return State(https.mode, list(https.names), served, fault, tries, ends)


def _served(places: Places) -> Pair | None:
    """The pair in the file that nginx.conf names."""
    try:
        text = (places.rendered / PROXY_FILE).read_text("utf-8")
        found = re.search(r'^\s*ssl_certificate "([^"]+)";$', text, re.MULTILINE)
        if found is None:
            return None
        data = Path(found[1]).read_bytes()
        return make_pair(data, data, certificate=found[1], key=found[1])
    except (OSError, ApplianceError):
        return None


def finding_of(state: State, now: datetime) -> Finding | None:
    """What people are told; None where there is no HTTPS."""
    if state.mode is HttpsMode.OFF:
        return None
    severity, summary, why, mend = _judge(state, now)
    pair = state.pair
    left = (pair.ends - now) / timedelta(days=1) if pair else 0.0
    details = {
        "mode": state.mode.value,
        "expires": pair.ends.isoformat() if pair else None,
        "days_left": round(left, 1),
        "step": next((step for step in STEPS if left <= step), None),
        "names": state.names or (pair.names if pair else []),
        "issuer": pair.issuer if pair else None,
    }
    return Finding(TOPIC, severity, summary, why, mend, details=details)


def _judge(state: State, now: datetime) -> tuple[Severity, str, str, str]:
    pair, fault = state.pair, state.original_fault
    renew = f"sudo appliance https {'renew' if state.is_renewed else 'files'}"
    anew = renew if state.is_renewed else _ANEW
    if pair is None:
        why = fault.why if fault else "the proxy has none"
        return (Severity.FAILED, "HTTPS is on and there is no certificate", why, renew)
    missing = [name for name in state.names if not covers(pair.names, name)]
    if missing:
        return (
            Severity.FAILED,
            f"the certificate is not for {missing[0]}",
            f"it is for {', '.join(pair.names[:5])}",
            renew,
        )
    if pair.ends <= now:
        why = state.tries.why or (fault.why if fault else "it was not renewed in time")
        return Severity.FAILED, f"the certificate ended on {pair.ends:%Y-%m-%d}", why, anew
    ending = f"the certificate ends {_in_days(pair.ends - now)}, on {pair.ends:%Y-%m-%d}"
    if fault:
        summary = f"the new certificate can't be used; the old one {ending[16:]}"
        return Severity.WARNING, summary, f"{fault.what}: {fault.why}", fault.mend or renew
    if state.tries.failed:
        return (
            Severity.WARNING,
            f"the certificate could not be renewed; it {ending[16:]}",
            state.tries.why,
            "sudo appliance https renew",
        )
    life = pair.leaf.not_valid_after_utc - pair.leaf.not_valid_before_utc
    early = not state.is_renewed or pair.ends - now < life / _LIFE_PARTS
    if early and pair.ends - now <= timedelta(days=STEPS[-1]):
        urgent = "browsers will refuse the appliance then"
        return Severity.WARNING, ending, urgent, anew
    if state.authority_ends and state.authority_ends - now < _AUTHORITY_WARNING:
        return (
            Severity.WARNING,
            f"the appliance's own authority ends on {state.authority_ends:%Y-%m-%d}",
            "a new one must be installed on everybody's computers before",
            "sudo appliance https own-ca --new",
        )
    return Severity.OK, f"the certificate is good until {pair.ends:%Y-%m-%d}", "", ""


def _in_days(left: timedelta) -> str:
    days = left // timedelta(days=1)
    if days < 1:
        return "within a day"
    return "in 1 day" if days == 1 else f"in {days} days"
