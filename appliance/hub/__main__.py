"""`python -m appliance.hub`: the hub's program, see `program.py`.

Almost nothing of what imports make is ever garbage, but looking through it again and again would
be a fourth of the time that the hub takes to start. So the collector waits until all is there.
"""

from __future__ import annotations

import gc
import sys

if __name__ == "__main__":
    gc.disable()
    from appliance.hub.program import main

    sys.exit(main())
