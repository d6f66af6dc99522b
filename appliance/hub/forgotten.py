"""Forgotten passwords: a link by mail, to the address that the user has shown to be their own.

Who asks learns nothing: the answer is the same and takes as long whether or not anybody is meant,
because all the work is done after it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Final

from appliance.db.models import UserState
from appliance.errors import BadRequest, TooMany
from appliance.hub.links import MAIL_LIFETIME, Links, Purpose
from appliance.hub.profiles import Profiles
from appliance.hub.users import Users
from appliance.names import Username
from appliance.native_auth.letters import Letters
from appliance.native_auth.mail import Mailer
from appliance.native_auth.throttle import Throttle, network_of

log = logging.getLogger(__name__)

# Who teaches may have several accounts with one address.
_MOST_ACCOUNTS: Final = 5


class Forgotten:
    """Sends links to people who forgot their passwords."""

    def __init__(
        self,
        *,
        users: Users,
        profiles: Profiles,
        links: Links,
        mailer: Mailer,
        letters: Letters,
        throttle: Throttle,
        run: Callable[[str, Coroutine[None, None, None]], object],
    ) -> None:
        """`run` begins a task that nobody waits for."""
        self._users = users
        self._profiles = profiles
        self._links = links
        self._mailer = mailer
        self._letters = letters
        self._throttle = throttle
        self._run = run

    @property
    def is_possible(self) -> bool:
        """Whether there is mail to send links by."""
        return self._mailer.is_set_up

    def ask(self, who: str, *, address: str) -> None:
        """Send a link to whoever is meant, if anybody is; raises TooMany for asking too often."""
        self._throttle.attempt([f"forgot:{network_of(address)}"])
        self._run("forgotten password", self._answer(who.strip()[:300]))

    async def _answer(self, who: str) -> None:
        for user in self._meant(who)[:_MOST_ACCOUNTS]:
            profile = self._profiles.get(user)
            try:
                self._throttle.attempt([f"mails:{user}"])
            except TooMany:
                log.info("no more mails to %s for now", user)
                continue
            made = self._links.make(user, lifetime=MAIL_LIFETIME, purpose=Purpose.MAIL)
            self._mailer.post(
                self._letters.forgotten(
                    profile.email, name=user, path=made.path, works=MAIL_LIFETIME,
                    language=profile.language,
                )
            )  # fmt: skip

    def _meant(self, who: str) -> list[Username]:
        """The accounts of that name or address which a mail can be sent to."""
        if "@" in who:
            found = self._profiles.find_by_email(who)
            if found:
                return found
        try:
            person = self._users.find(who)
        except BadRequest:
            return []
        if person is None or person.state != UserState.ACTIVE:
            return []
        return [person.name] if self._profiles.get(person.name).email_verified else []
