"""The parts of people's own accounts, joined: second factors, profiles, mail."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from appliance.access.roles import Roles
from appliance.clock import Clock
from appliance.config.schema import Config
from appliance.db.session import Database
from appliance.hub.forgotten import Forgotten
from appliance.hub.links import Links
from appliance.hub.news import News
from appliance.hub.profiles import Profiles
from appliance.hub.required_factor import RequiredFactor
from appliance.hub.secrets import ensure_secret
from appliance.hub.users import Users
from appliance.native_auth.letters import Letters
from appliance.native_auth.mail import Mailer
from appliance.native_auth.sealing import Sealer
from appliance.native_auth.second_factor import SecondFactor
from appliance.native_auth.throttle import Throttle
from appliance.places import Places


def make_own_accounts(
    *,
    config: Config,
    places: Places,
    clock: Clock,
    db: Database,
    roles: Roles,
    throttle: Throttle,
    users: Users,
    links: Links,
    hub_url: str,
    run: Callable[[str, Coroutine[None, None, None]], object],
) -> dict[str, Any]:
    """The parts by name; `run` begins a task that nobody waits for."""
    profiles = Profiles(db=db, clock=clock)
    mailer = Mailer(config.mail, clock=clock, run=run)
    letters = Letters(config.mail, hub_url=hub_url)
    required = RequiredFactor(db=db, roles=roles, wanted=config.passwords.second_factor_roles)
    news = News(db=db, clock=clock, mailer=mailer, letters=letters, hub_url=hub_url)
    return {
        "profiles": profiles,
        "news": news,
        "mailer": mailer,
        "letters": letters,
        "second_factor": SecondFactor(
            db=db, clock=clock, throttle=throttle, is_required=required.of,
            sealer=Sealer(ensure_secret(places.hub_state / "factors.secret")),
            has_passkeys=config.passwords.passkeys,
        ),
        "forgotten": Forgotten(
            users=users, profiles=profiles, links=links, mailer=mailer, letters=letters,
            throttle=throttle, run=run,
        ),
    }  # fmt: skip
