"""After how long a user's server counts as idle: the settings of everybody, groups and exceptions.

Of several groups that say something, the longest time counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from appliance.config.culling_schema import Culling, GroupCulling


class Rules:
    """What the configuration says."""

    def __init__(self, settings: Culling, groups: Mapping[str, GroupCulling]) -> None:
        self.settings = settings
        self._groups = groups

    @property
    def stops_anybody(self) -> bool:
        """Whether there is anybody whose idle server is stopped."""
        return self.settings.enabled or any(one.enabled for one in self._groups.values())

    @property
    def shortest(self) -> int:
        """The shortest time that may be somebody's."""
        own = (one.timeout for one in self._groups.values() if one.timeout is not None)
        return min([self.settings.timeout, *own])

    def is_exempt(self, user: str, groups: Iterable[str]) -> bool:
        """Whether nothing stops the user's servers by itself."""
        settings = self.settings
        return user in settings.exempt_users or not set(groups).isdisjoint(settings.exempt_groups)

    def timeout(self, user: str, groups: Iterable[str]) -> int | None:
        """Seconds without use after which a server of the user's is stopped; None means never."""
        groups = list(groups)
        if self.is_exempt(user, groups):
            return None
        own = [self._groups[name] for name in groups if name in self._groups]
        enabled = [one.enabled for one in own if one.enabled is not None]
        if not (all(enabled) if enabled else self.settings.enabled):
            return None
        times = [one.timeout for one in own if one.timeout is not None]
        return max(times, default=self.settings.timeout)

    def believed_idle(self, user: str, groups: Iterable[str]) -> float:
        """How idle a user's server may seem when a hub finds it running.

        It stays so far below the limit that the server's next report comes first: after a restart,
        or a jump of the clock, nobody is stopped on old news.
        """
        timeout = self.timeout(user, groups) or self.settings.timeout
        reports = min(300, max(5, self.shortest // 4))
        return max(0.0, timeout - 1.5 * reports - 10)

    def warning(self, timeout: int) -> int:
        """How many seconds before it happens the user is told."""
        return min(self.settings.warning, timeout // 2)
