"""Run by `/usr/bin/python3 -I /opt/appliance/spawner`, where the installer copies it."""

from __future__ import annotations

import sys

from appliance.systemd_spawner.daemon import main

sys.exit(main())
