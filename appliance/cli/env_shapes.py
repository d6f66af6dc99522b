"""What `--json` prints for `appliance env …`."""

from __future__ import annotations

from typing import Final

_CHANGED: Final = """\
{"environment": null, "changed": true, "added": {"pandas": "3.0.1", "pytz": "2030.1"},
 "moved": {"numpy": {"from": "2.4.0", "to": "2.5.1"}}, "removed": {}, "bytes": 61000000,
 "notes": []}

`environment` is null for everybody's. With `--dry-run` `changed` is false, and the rest says what
would be."""

_SWITCHED: Final = """\
{"changes": [{"key": "servers.lab_extensions_off", "old": "[]", "new": "[@jupyterlab/git]"}],
 "effects": ["servers get it when they are started next"], "notes": [], "healed": "",
 "in_force": true}"""

ENV_SHAPES: Final[dict[str, str]] = {
    "env install": _CHANGED,
    "env remove": _CHANGED,
    "env upgrade": _CHANGED,
    "env rollback": _CHANGED,
    "env create": _CHANGED,
    "env repair": '{"repaired": ["data"]}',
    "env delete": '{"deleted": "data"}',
    "env freeze": '["numpy==2.5.1", "pandas==3.0.1"]',
    "env extension on": _SWITCHED,
    "env extension off": _SWITCHED,
    "env kernel add": '{"added": "bash"}',
    "env kernel remove": '{"removed": "bash"}',
    "env history": """\
[{"number": 1, "at": "2030-01-01T08:00:00+00:00", "did": "appliance env install pandas",
  "directory": "user-0123456789ab", "in_force": true}]""",
    "env list": """\
{"packages": [{"name": "pandas", "version": "3.0.1", "why": "asked for",
   "requirement": "pandas>=2"}],
 "environments": [{"name": "data", "title": "Data science", "packages": 4}]}

`why` is `asked for`, and with `--all` also `came along`, `appliance`, or `by hand`.""",
    "env extensions": """\
[{"name": "@jupyterlab/git", "part": "lab", "version": "0.51.0", "on": true, "why": "installed"}]

`part` is `lab` or `server`.""",
    "env kernel list": """\
[{"name": "data", "title": "Data science", "language": "python",
  "command": "/opt/appliance/environments/kernel-data-0123456789ab/bin/python",
  "origin": "environment", "works": true}]

`origin` is `environment`, `added`, `package` or `system`.""",
}
