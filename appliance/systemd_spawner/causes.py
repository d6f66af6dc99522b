"""Why a server ended or didn't start: systemd's result, and what only the journal knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from appliance.errors import SpawnRefused
from appliance.names import ServerId
from appliance.systemd_spawner.journal import Journal
from appliance.systemd_spawner.results import End, describe_end, was_killed
from appliance.systemd_spawner.settings import ServerSettings
from appliance.systemd_spawner.told import ToldStore
from appliance.systemd_spawner.units import UnitState

_UNWATCHED: Final = End("it ended while nobody could watch it", failed=True, cause="unseen")


class Causes:
    """Explains ends of servers to their users."""

    def __init__(
        self, *, journal: Journal, read_settings: Callable[[], ServerSettings], told: ToldStore
    ) -> None:
        self._journal = journal
        self._read_settings = read_settings
        self._told = told

    def explain(self, server: ServerId, state: UnitState | None) -> End:
        """Why it ended; without a state, that nobody saw."""
        if state is None:
            return _UNWATCHED
        out_of_memory = was_killed(state) and self._journal.ran_out_of_memory(
            server.unit, state.invocation
        )
        settings = self._settings()
        limits = settings and settings.limits.of(server.user, self._told.find(server.user))
        return describe_end(
            state,
            out_of_memory=out_of_memory,
            settings=settings,
            memory=limits.memory if limits else None,
        )

    def last_words(self, server: ServerId, lines: int) -> tuple[str, ...]:
        """What it wrote before it ended, and what systemd said."""
        return tuple(self._journal.read(server.unit, lines, sync=True))

    def _settings(self) -> ServerSettings | None:
        try:
            return self._read_settings()
        except SpawnRefused:
            # Needed for a number in a sentence only.
            return None
