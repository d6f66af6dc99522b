"""Getting certificates and knowing when it is time for the next.

A failure leaves what is in service as it is: a new pair is kept only after it has been checked, and
nginx has it only after that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import serialization

from appliance.config.https_schema import (
    LETS_ENCRYPT,
    LETS_ENCRYPT_STAGING,
    Https,
    HttpsMode,
)
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.https import own_ca
from appliance.https.preflight import Look, check_names, resolve
from appliance.https.store import Store, Tries, now_utc
from appliance.network import outgoing_environment
from appliance.places import Places
from appliance.proxy.certificates import Pair, check_pair, make_pair
from appliance.rollout.addresses import own_addresses

if TYPE_CHECKING:
    from appliance.https.orders import Server

# orders.py is imported where it is needed: its libraries are a quarter of a second of work.

STAGING: Final = {LETS_ENCRYPT: LETS_ENCRYPT_STAGING}
"""ACME servers that count every order, and their twins on which to try one before."""

_PARTS: Final = 3
"""A certificate is renewed when one of so many parts of its life is left: 30 days of 90."""
_JITTER_PARTS: Final = 60

Say = Callable[[str], None]


def renewal_time(pair: Pair) -> datetime:
    """When this certificate is renewed: machines that got theirs together don't come together."""
    life = pair.leaf.not_valid_after_utc - pair.leaf.not_valid_before_utc
    der = pair.leaf.public_bytes(serialization.Encoding.DER)
    share = int.from_bytes(hashlib.sha256(der).digest()[:4]) / 2**32
    before_end: timedelta = life / _PARTS - life / _JITTER_PARTS * share
    return pair.leaf.not_valid_after_utc - before_end


def is_due(pair: Pair, names: Sequence[str], now: datetime) -> bool:
    """Whether a certificate that the appliance gets itself must be got anew."""
    return now >= renewal_time(pair) or not set(names) <= set(pair.names)


def look_first(config: Config, places: Places, https: Https, look: Look | None = None) -> list[str]:
    """Find what would go wrong with an order; raises ApplianceError. Returns notes.

    `config` is what is in force, `https` what is wanted; `look` asks another name server than the
    system's.
    """
    from appliance.https.orders import check_clock

    store = Store(places)
    check_clock(_server(config, places, https))
    look = look or Look(resolve, public=https.directory is None)
    return check_names(https.names, config, store, look, own_addresses())


def order(config: Config, places: Places, https: Https, say: Say, *, rehearse: bool) -> None:
    """Get a certificate from the ACME server and keep it; how it went is remembered.

    `rehearse`: try at the server's staging twin before, which has no limits to run into.
    """
    from appliance.https.orders import OrderRefused, get_certificate

    store = Store(places)
    server = _server(config, places, https)
    now = now_utc()
    try:
        if rehearse and server.url in STAGING:
            twin = replace(server, url=STAGING[server.url], staging=True)
            say(f"a trial at {twin.host} first")
            get_certificate(twin, https.names, https.email, store, say)
        text = get_certificate(server, https.names, https.email, store, say)
        made = text.encode("ascii")
        check_pair(
            make_pair(made, made, certificate="what it sent", key="ours"),
            https.names,
            file=f"what {server.host} sent",
        )
    except ApplianceError as error:
        not_before = error.not_before if isinstance(error, OrderRefused) else None
        why = f"{error.what}: {error.why}" if error.why else error.what
        store.keep_tries(store.tries().with_failure(why, now, not_before=not_before))
        raise
    store.keep_pair(HttpsMode.LETSENCRYPT, text)
    store.keep_tries(Tries())


def sign_own(places: Places, names: Sequence[str], *, anew: bool = False) -> bool:
    """Sign a certificate ourselves; says whether there is a new authority."""
    return own_ca.issue(Store(places), names, now_utc(), anew=anew)


def _server(config: Config, places: Places, https: Https) -> Server:
    from appliance.https.orders import Server

    return Server(
        https.directory_url,
        Path(https.directory_ca) if https.directory_ca else None,
        outgoing_environment(config, places),
    )
