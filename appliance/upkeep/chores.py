"""The list of all chores, in the order in which they are done."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.upkeep.chore import Chore


def all_chores() -> Sequence[Chore]:
    """Imported here, so that nobody else pays for them."""
    from appliance.backup.schedule import look
    from appliance.disk.rounds import start_units
    from appliance.doctor.chore import look_at_machine
    from appliance.environments.care import EVERY_SECONDS
    from appliance.environments.care import look as look_at_environments
    from appliance.https.chore import keep_certificate
    from appliance.upkeep.notices import tell
    from appliance.upkeep.updates import (
        fetch_next_python,
        look_for_updates,
        mend_cut_off_upgrade,
    )

    return (
        Chore("machine", 0, look_at_machine),
        Chore("disk", 0, start_units),
        Chore("certificate", 3600, keep_certificate),
        Chore("backup", 0, look),
        Chore("environment", EVERY_SECONDS, look_at_environments),
        Chore("upgrade", 0, mend_cut_off_upgrade),
        Chore("updates", 86400, look_for_updates),
        Chore("next-python", 86400, fetch_next_python),
        # Last: it tells of what the others found.
        Chore("notices", 0, tell),
    )
