"""One round: what is due is done, and when it was last done is remembered."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from appliance.config.files import write_atomically
from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.upkeep.chore import Chore

log = logging.getLogger("appliance.upkeep")

# The timer is a little early or late; what is due within this time is done now.
_SLACK_SECONDS: Final = 120


def do_round(
    chores: Sequence[Chore],
    config: Config,
    places: Places,
    *,
    everything: bool = False,
    now: Callable[[], float] = time.time,
) -> list[str]:
    """Do what is due, or everything; the names of chores that failed.

    A clock that was set back makes everything due: a stamp in the future is nobody's last time.
    """
    record = places.upkeep_state / "last.json"
    last = _read(record)
    failed = []
    for chore in chores:
        since = now() - last.get(chore.name, 0.0)
        if not everything and 0 <= since < chore.every_seconds - _SLACK_SECONDS:
            continue
        try:
            chore.run(config, places)
        except (ApplianceError, OSError) as error:
            log.error("%s: %s", chore.name, error)  # noqa: TRY400 - a sentence for people
            failed.append(chore.name)
        except Exception:  # an edge: a bug in one of them must not keep certificates from renewal
            log.exception("%s: a bug of the appliance", chore.name)
            failed.append(chore.name)
        last[chore.name] = now()
    known = {chore.name for chore in chores}
    text = json.dumps({name: at for name, at in last.items() if name in known}, indent=1)
    record.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(record, f"{text}\n", mode=0o600)
    return failed


def _read(record: Path) -> dict[str, float]:
    try:
        found = json.loads(record.read_text("utf-8"))
        return {str(name): float(at) for name, at in found.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}
