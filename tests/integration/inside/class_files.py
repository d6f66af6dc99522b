"""Asks the spawner daemon for classes' files, as the hub does.

class_files.py  <calls     a list of [method, arguments, keywords] in JSON

Prints a list of what came back; what was raised is {"error": its sentence}. The calls are made one
after the other. A file for put_file is given by its path.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from appliance.errors import ApplianceError
from appliance.systemd_spawner.spawner import SystemdSpawner


async def call(spawner: SystemdSpawner, method: str, arguments: list[Any], words: Any) -> Any:
    if method == "put_file":
        arguments = [*arguments[:-1], os.open(arguments[-1], os.O_RDONLY)]
    try:
        found = await getattr(spawner, method)(*arguments, **words)
    except ApplianceError as err:
        return {"error": str(err)}
    if isinstance(found, dict):
        return {user: dataclasses.asdict(one) for user, one in found.items()}
    if isinstance(found, list):
        return [dataclasses.asdict(one) for one in found]
    return dataclasses.asdict(found) if found is not None else None


async def main() -> None:
    spawner = SystemdSpawner(Path("/run/appliance/spawner.sock"))
    answers = [await call(spawner, *one) for one in json.load(sys.stdin)]
    print(json.dumps(answers, default=str))


asyncio.run(main())
