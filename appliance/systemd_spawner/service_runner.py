"""The hub's side of services that the spawner daemon runs."""

from __future__ import annotations

from typing import Final

from appliance.interfaces import RunningService
from appliance.systemd_spawner.spawner import ConnectionBrokeError, SystemdSpawner

# A start waits for its account, its files and its program; a stop for the program's end.
_SECONDS: Final = 90.0


class SystemdServices:
    """Fulfils `interfaces.ServiceRunner` with the root daemon of this package."""

    def __init__(self, spawner: SystemdSpawner) -> None:
        self._spawner = spawner

    async def start(self, service: str, token: str) -> None:
        message = {"verb": "start_service", "service": service, "token": token}
        await self._spawner.ask(message, seconds=_SECONDS)

    async def stop(self, service: str) -> None:
        message = {"verb": "stop_service", "service": service}
        try:
            await self._spawner.ask(message, seconds=_SECONDS)
        except ConnectionBrokeError:
            # Asking again is harmless, and the new daemon takes it up.
            await self._spawner.ask(message, seconds=_SECONDS)

    async def services(self) -> dict[str, RunningService]:
        reply = await self._spawner.ask({"verb": "list_services"})
        rows = [
            RunningService(
                name=str(row["service"]),
                state=str(row["state"]),
                why=str(row["why"]),
                token_hash=str(row["token_hash"]),
                outdated=bool(row["outdated"]),
                pid=int(row["pid"]),
            )
            for row in reply["services"]
        ]
        return {row.name: row for row in rows}
