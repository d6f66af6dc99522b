"""The way from the browser to a cell: layer by layer, up to the first that is broken."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from appliance.client.hub import HubClient
from appliance.doctor import front, hub_layers, server_layers
from appliance.doctor.browser import Browser, Entrance
from appliance.doctor.layer import Layer, Walk
from appliance.doctor.report import Broken, Check, Fix, State, warn
from appliance.doctor.settings import best_known
from appliance.doctor.system import System
from appliance.errors import ApplianceError, ConfigError
from appliance.places import Places

LAYERS: Final[Mapping[str, Layer]] = {
    "browser": front.browser,
    "proxy": front.proxy,
    "hub": hub_layers.hub,
    "log-in": hub_layers.log_in,
    "spawner": server_layers.spawner,
    "server": server_layers.server,
    "kernel": server_layers.kernel,
}
"""In the order in which a user comes through them."""
_SETTLE_SECONDS: Final = 10.0

Tell = Callable[[str], None]


def make_walk(places: Places, system: System) -> Walk:
    """Raises ConfigError where no settings can be read at all."""
    config = best_known(places)
    return Walk(
        places, config, system, HubClient.of(places, timeout=8), Browser(Entrance.of(config))
    )


def go(places: Places, system: System, *, fixes: bool, tell: Tell) -> list[Check]:
    """Go through all layers; `tell` hears of each before it is tried."""
    try:
        walk = make_walk(places, system)
    except ConfigError as error:
        return _nothing_known(places, error)
    found: dict[str, Check] = {}
    try:
        for name, layer in LAYERS.items():
            tell(name)
            check = _try(walk, name, layer, fixes=fixes, tell=tell)
            # A layer may find that one before it is to blame.
            found[check.name] = check
            if check.state is State.FAILED:
                break
    finally:
        leaving = _leave(walk)
    blamed = next((one.name for one in found.values() if one.state is State.FAILED), "")
    order = list(LAYERS)
    rest = order[order.index(blamed) + 1 :] if blamed else []
    result = [found[name] for name in order if name in found and name not in rest]
    return [*result, *(Check(name, State.NOT_TRIED, "not tried") for name in rest), *leaving]


def _try(walk: Walk, name: str, layer: Layer, *, fixes: bool, tell: Tell) -> Check:
    """One layer; with `fixes` what can be mended safely is, once each, and it is tried again."""
    done: list[str] = []
    while True:
        began = time.monotonic()
        check = _once(walk, name, layer, began)
        fix = check.fix
        if not (fixes and fix and fix.what not in done):
            return _with(check, done)
        done.append(fix.what)
        tell(f"{name}: {fix.what}")
        failure = carry_out(fix)
        if failure:
            return _with(
                Check(
                    check.name, State.FAILED, check.summary, f"{check.why}; {failure}", check.mend,
                    check.log, check.seconds,
                ),
                done[:-1],
            )  # fmt: skip
        _settle(walk)


def carry_out(fix: Fix) -> str:
    """Do it; returns why it couldn't be done, or ""."""
    try:
        fix.do()
    except ApplianceError as error:
        return f"cannot {fix.what}: {error.why or error.what}"
    except OSError as error:
        return f"cannot {fix.what}: {error.strerror or error}"
    return ""


def _once(walk: Walk, name: str, layer: Layer, began: float) -> Check:
    walk.warnings.clear()
    try:
        summary = layer(walk)
    except Broken as error:
        found = Check.of(name, error, seconds=time.monotonic() - began)
        return _blame(found, error.layer) if error.layer else found
    except ApplianceError as error:
        return Check.of(name, error, seconds=time.monotonic() - began)
    except OSError as error:
        why = str(error.strerror or error).lower() or "no answer in time"
        broken = Broken("the connection broke", why=why, mend="sudo appliance logs")
        return Check.of(name, broken, seconds=time.monotonic() - began)
    seconds = time.monotonic() - began
    if walk.warnings:
        return Check(name, State.WARNING, summary, why="; ".join(walk.warnings), seconds=seconds)
    return Check(name, State.OK, summary, seconds=seconds)


def _blame(found: Check, layer: str) -> Check:
    return Check(
        layer, State.FAILED, found.summary, found.why, found.mend, found.log, found.seconds,
        fix=found.fix,
    )  # fmt: skip


def _with(check: Check, done: list[str]) -> Check:
    return Check(
        check.name, check.state, check.summary, check.why, check.mend, check.log, check.seconds,
        tuple(done), None if check.fix and check.fix.what in done else check.fix,
    )  # fmt: skip


def _settle(walk: Walk) -> None:
    """What was just started may need a moment until it listens."""
    until = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < until:
        try:
            if walk.browser.get(walk.path("hub/health")).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)


def _leave(walk: Walk) -> list[Check]:
    """Stop and lock what the way used; a failure of that is a warning of its own."""
    try:
        server_layers.clean_up(walk)
    except (ApplianceError, OSError) as error:
        return [
            warn(
                "tidying up", "the check user's server could not be stopped",
                why=str(error), mend="it is locked and stopped by the hub within five minutes",
            )
        ]  # fmt: skip
    return []


def _nothing_known(places: Places, error: ConfigError) -> list[Check]:
    first, *rest = LAYERS
    why = str(error.problems[0]) if error.problems else error.why
    mend = "sudo appliance config check" if not places.trial else "start the trial first"
    failed = Check(first, State.FAILED, "there are no settings to go by", why, mend)
    return [failed, *(Check(name, State.NOT_TRIED, "not tried") for name in rest)]
