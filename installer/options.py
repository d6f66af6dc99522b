"""What bootstrap.py hands over."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from appliance.names import Username, parse_username
from appliance.places import Places
from installer.environments import Tools
from installer.uv import uv_program


@dataclass(frozen=True, slots=True)
class Options:
    """One installation: where, with what, for whom."""

    places: Places
    tools: Tools
    admins: tuple[Username, ...] = ()
    port: int | None = None
    user_requirements: Path | None = None
    ca_file: Path | None = None
    quota: bool = False
    """Turn quotas on, where that is possible."""

    @classmethod
    def parse(cls, arguments: Sequence[str]) -> Self:
        parser = argparse.ArgumentParser(prog="python -m installer", description=__doc__)
        parser.add_argument("--wheel", type=Path, required=True)
        parser.add_argument("--python", default="/usr/bin/python3")
        parser.add_argument("--trial", type=Path)
        parser.add_argument("--admin", action="append", default=[])
        parser.add_argument("--port", type=int)
        parser.add_argument("--user-requirements", type=Path)
        parser.add_argument("--ca-file", type=Path)
        parser.add_argument("--quota", action="store_true")
        parser.add_argument("--events", action="store_true", help="tell in lines of JSON")
        found = parser.parse_args(arguments)
        places = Places.of_trial(found.trial.absolute()) if found.trial else Places.installed()
        return cls(
            places=places,
            tools=Tools(uv_program(places.software), found.wheel, found.python),
            admins=tuple(parse_username(name) for name in found.admin),
            port=found.port,
            user_requirements=found.user_requirements,
            ca_file=found.ca_file,
            quota=found.quota,
        )
