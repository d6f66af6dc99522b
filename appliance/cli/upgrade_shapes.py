"""What `--json` prints for upgrades and for uninstalling; part of shapes.py."""

from __future__ import annotations

from typing import Final

UPGRADE_SHAPES: Final[dict[str, str]] = {
    "upgrade": """\
{"from": "1.4.0", "to": "1.5.0", "schema": {"from": "0006", "to": "0007", "migrates": true},
 "possible": true, "packages": {"hub": ["tornado 6.5 -> 6.6"], "user": []},
 "units": ["appliance-hub.service"],
 "restarts": ["appliance-spawner.service", "appliance-hub.service"],
 "reloads": ["appliance-proxy.service"], "disk": {"free": 9000000000, "needed": 90000000},
 "stays": ["accounts, homes and class files"], "done": true}""",
    "uninstall": """\
{"purge": false, "removes": ["/opt/appliance"], "accounts": [], "unmasks": ["nginx.service"],
 "stays": ["/etc/appliance: settings and their history"],
 "servers": ["appliance-user-ada.service"], "done": true}""",
}
