"""`/usr/bin/python3 -I /opt/appliance/spawner`: the installer copies this file there beside `appliance/`."""

from __future__ import annotations

import sys

from appliance.systemd_spawner.daemon import main

sys.exit(main())
