"""Start a single-user server: `python -I -m appliance.singleuser`, its socket as standard input."""

from __future__ import annotations

import sys

from .start import main

if __name__ == "__main__":
    sys.exit(main())
