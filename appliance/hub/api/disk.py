"""What is used of the disks, all together; what one home takes is in its user's model."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from appliance.clock import stamp
from appliance.disk.report import Room
from appliance.hub.api.handler import HubApiHandler
from appliance.hub.disk_use import DiskUse
from appliance.web.guards import needs_scope
from appliance.web.parts import Pattern


class DiskHandler(HubApiHandler):
    """File systems, classes' folders, and how many homes are full."""

    disk_use: DiskUse

    @needs_scope("read:hub")
    async def get(self) -> None:
        report = self.disk_use.report()
        homes = [self.disk_use.of_user(name) for name in report.users]
        classes = {name: self.disk_use.of_class(name) for name in report.classes}
        self.reply(
            {
                "measured": stamp(datetime.fromtimestamp(report.at, UTC)) if report.at else None,
                "warn_percent": report.warn_percent,
                "file_systems": [_room(room) for room in report.rooms],
                "homes": {
                    "measured": len(homes),
                    "bytes": sum(one.used.bytes for one in homes if one),
                    "near": sum(one.is_near for one in homes if one),
                    "full": sum(one.is_full for one in homes if one),
                },
                "classes": {name: one.model for name, one in classes.items() if one},
            }
        )


def _room(room: Room) -> dict[str, Any]:
    return {**asdict(room), "holds": list(room.holds)}


handlers = [Pattern(r"/api/appliance/disk", DiskHandler)]
