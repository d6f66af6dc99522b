"""The regular look at the certificate: renewed in time, given to nginx, and reported on."""

from __future__ import annotations

import logging

from appliance.config.https_schema import HttpsMode
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.findings import forget_finding, write_finding
from appliance.https.renewing import is_due, order, sign_own
from appliance.https.state import TOPIC, finding_of, look
from appliance.https.store import Store, now_utc
from appliance.places import Places
from appliance.proxy.served import forget_served, read_original
from appliance.rollout.apply import make_applier
from appliance.rollout.render import PROXY_FILE

log = logging.getLogger("appliance.upkeep")


def keep_certificate(config: Config, places: Places) -> None:
    """Renew what is due; what can't be done now is told and tried again later."""
    if not config.https.is_on:
        forget_finding(places.health, TOPIC)
        return
    try:
        renew(config, places)
        if make_applier(places).refresh_proxy():
            log.info("certificate: the proxy has a new one; open connections go on")
    except ApplianceError as error:
        log.warning("certificate: %s", error)
    report(config, places)
    text = (places.rendered / PROXY_FILE).read_text("utf-8")
    forget_served(places, in_use=text)


def renew(config: Config, places: Places, *, force: bool = False) -> bool:
    """Get a new certificate if it is time, or if somebody says so; says whether there is one."""
    https = config.https
    if https.mode not in {HttpsMode.LETSENCRYPT, HttpsMode.OWN_CA}:
        return False
    now = now_utc()
    try:
        due = is_due(read_original(https, places), https.names, now)
    except ApplianceError:
        due = True
    if not (force or due):
        return False
    if https.mode is HttpsMode.OWN_CA:
        sign_own(places, https.names)
        return True
    tries = Store(places).tries()
    if not force and not tries.may_try(now):
        return False
    # After a failure the next try must not count against the limits if it fails, too.
    order(config, places, https, log.info, rehearse=tries.failed > 0)
    return True


def report(config: Config, places: Places) -> None:
    """Write down how it is, for pages, notices and commands."""
    finding = finding_of(look(config, places), now_utc())
    if finding is None:
        forget_finding(places.health, TOPIC)
    else:
        write_finding(places.health, finding)
