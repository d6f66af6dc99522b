"""Materials of classes in the hub's REST API."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from appliance.client.hub import HubClient


class MaterialsClient:
    """Asks the hub about what is handed out and collected."""

    def __init__(self, hub: HubClient) -> None:
        self._hub = hub

    def all(self, name: str) -> dict[str, Any]:
        """A class's `handouts` and `collections`, the last ones first; raises NotFound."""
        return self._ask("GET", name, "/materials")

    def hand_out(self, name: str, folder: str, *, rule: str, latecomers: bool) -> dict[str, Any]:
        """Begin to give everybody a copy of a folder."""
        wanted = {"folder": folder, "rule": rule, "latecomers": latecomers}
        return self._ask("POST", name, "/handouts", wanted)

    def handout(self, name: str, number: int) -> dict[str, Any]:
        """A hand-out, with how it went with everybody in `people`."""
        return self._ask("GET", name, f"/handouts/{number}")

    def collect(self, name: str, folder: str, *, note: str = "") -> dict[str, Any]:
        """Begin to collect a folder from everybody."""
        return self._ask("POST", name, "/collections", {"folder": folder, "note": note})

    def collection(self, name: str, number: int) -> dict[str, Any]:
        """A collection, with what it has of everybody in `people`."""
        return self._ask("GET", name, f"/collections/{number}")

    def switch_nbgrader(self, name: str, *, on: bool) -> dict[str, Any]:
        return self._ask("PUT", name, "/nbgrader", {"on": on})

    def _ask(self, method: str, name: str, below: str, body: object = None) -> dict[str, Any]:
        path = f"/appliance/classes/{quote(name, safe='')}{below}"
        return dict(self._hub.request(method, path, body))
