"""What appliance-upkeep.service runs."""

from __future__ import annotations

import logging
import os
import sys

from appliance.config.rendered import read_in_force
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.upkeep.chores import all_chores
from appliance.upkeep.round import do_round


def main() -> int:
    """Do what is due, or with --all everything; 1 if something could not be done."""
    os.umask(0o022)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    places = Places.current()
    try:
        config = read_in_force(places)
        failed = do_round(all_chores(), config, places, everything="--all" in sys.argv[1:])
    except ApplianceError as error:
        logging.getLogger("appliance.upkeep").error("%s", error)  # noqa: TRY400 - a sentence
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
