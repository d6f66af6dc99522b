"""After everybody's environment was switched: whoever holds the old one in memory takes the new."""

from __future__ import annotations

import os

from appliance.environments.sandbox import has_units
from appliance.places import Places
from installer.preload_steps import Preload, StalePreload


def after_switch(places: Places) -> list[str]:
    """Start the preload daemons anew; what isn't preloaded and why, a sentence each.

    Servers that run keep the environment that they were started with.
    """
    if places.trial or os.geteuid() != 0 or not has_units():
        return []
    preload = Preload(places)
    stale = StalePreload(preload)
    if stale.is_done():
        return []
    stale.apply()
    preload.apply()
    return preload.remarks
