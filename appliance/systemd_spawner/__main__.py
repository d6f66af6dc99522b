"""Run by `/usr/bin/python3 -I /opt/appliance/spawner`, where the installer copies it.

With the word "file-worker" it is the program that touches files for classes, of the same copy.
"""

from __future__ import annotations

import sys

if sys.argv[1:] == ["file-worker"]:
    from appliance.file_worker.worker import main
else:
    from appliance.systemd_spawner.daemon import main

sys.exit(main())
