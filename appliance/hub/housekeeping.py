"""Small chores: deleting what is out of date, finishing what was left undone."""

from __future__ import annotations

import asyncio
from typing import Final

from appliance.db.reserve import Reserve
from appliance.hub.check_user import CheckUser
from appliance.hub.classroom.invites import Invites
from appliance.hub.disk_use import DiskUse
from appliance.hub.sessions import Sessions
from appliance.hub.share_codes import ShareCodes
from appliance.hub.users import Users
from appliance.native_auth.throttle import Throttle

_PAUSE_SECONDS: Final = 60.0
_PURGE_EVERY: Final = 10


class Housekeeping:
    """Does the chores, some each minute and the others every ten."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        throttle: Throttle,
        users: Users,
        codes: ShareCodes,
        invites: Invites,
        check_user: CheckUser,
        disk_use: DiskUse,
        reserve: Reserve | None = None,
    ) -> None:
        self._sessions = sessions
        self._throttle = throttle
        self._users = users
        self._codes = codes
        self._invites = invites
        self._check_user = check_user
        self._disk_use = disk_use
        self._reserve = reserve

    async def run(self) -> None:
        """Do the chores for ever."""
        while True:
            self.purge()
            for _ in range(_PURGE_EVERY):
                await self._check_user.close_if_left()
                self._disk_use.tell()
                await self._users.finish_renames()
                await self._users.finish_departures()
                if self._reserve:
                    self._reserve.take()
                await asyncio.sleep(_PAUSE_SECONDS)

    def purge(self) -> None:
        """Delete ended sessions, expired tokens and codes, faded throttles."""
        self._sessions.purge()
        self._codes.purge()
        self._invites.purge()
        self._throttle.forget_old()
