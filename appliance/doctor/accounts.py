"""Unix accounts that somebody changed by hand: told, and never given a new owner blindly."""

from __future__ import annotations

import json
import pwd
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.doctor.hub_layers import account_files
from appliance.doctor.report import Check, State, fail, fine
from appliance.findings import first_few
from appliance.places import Places

NAME: Final = "accounts"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """One way in which an account or home is no longer as it was made."""

    state: State
    what: str
    why: str
    mend: str

    def told_of(self, those: Sequence[str]) -> Check:
        return Check(NAME, self.state, f"{self.what}: {first_few(those)}", self.why, self.mend)


_REUSED: Final = _Trouble(
    State.FAILED,
    "numbers of users' accounts were given to others",
    why="who has a user's number owns that user's files",
    mend="give the other account another number: sudo usermod --uid NUMBER NAME",
)
_OTHER_NUMBER: Final = _Trouble(
    State.FAILED,
    "accounts have other numbers than they were made with",
    why="their servers don't start, so that nobody gets another's files",
    mend="sudo usermod --uid NUMBER NAME, with the number that it had",
)
_FOREIGN: Final = _Trouble(
    State.FAILED,
    "homes belong to somebody else",
    why="somebody copied or changed them by hand; their servers don't start",
    mend="look whose files they are; only if they are that user's: sudo chown -hR",
)
_GONE: Final = _Trouble(
    State.WARNING,
    "accounts were removed by hand",
    why="they are made again, with the same number, when their servers start",
    mend="appliance user remove NAME, if the users have left",
)
_HOMELESS: Final = _Trouble(
    State.WARNING,
    "homes are missing",
    why="is a disk not mounted? Their servers don't start without",
    mend="findmnt --target /home; appliance backup list",
)
_WORST_FIRST: Final = (_REUSED, _OTHER_NUMBER, _FOREIGN, _GONE, _HOMELESS)


def checks(places: Places) -> Iterator[Check]:
    """Compare what the daemon noted with the machine's accounts and homes."""
    store = account_files(places)
    try:
        rows = json.loads(store.read_bytes())["accounts"]
    except FileNotFoundError:
        yield fine(NAME, "no server has run yet, so there are none")
        return
    except (OSError, ValueError, KeyError, TypeError) as error:
        yield fail(
            NAME, "which Unix account belongs to whom can't be read", why=f"{store}: {error}",
            mend=f"restore {store} from a backup; appliance backup list",
        )  # fmt: skip
        return
    made = [row for row in rows if row.get("state") == "ready"]
    found = list(_compare(made, {entry.pw_name: entry for entry in pwd.getpwall()}, places.homes))
    for trouble in _WORST_FIRST:
        those = [text for kind, text in found if kind is trouble]
        if those:
            yield trouble.told_of(those)
    if not found:
        yield fine(NAME, f"as they were made, each with its home: {len(made)}")


def _compare(
    rows: Iterable[dict[str, object]], accounts: Mapping[str, pwd.struct_passwd], homes: Path
) -> Iterator[tuple[_Trouble, str]]:
    owners = {entry.pw_uid: name for name, entry in accounts.items()}
    for row in rows:
        name, uid, user = str(row["name"]), int(str(row["uid"])), str(row["user"])
        entry = accounts.get(name)
        if entry is None:
            yield _GONE, f"{name} of {user}"
            if uid in owners:
                yield _REUSED, f"{uid} of {name} is {owners[uid]}'s now"
        elif entry.pw_uid != uid:
            yield _OTHER_NUMBER, f"{name} has {entry.pw_uid}, not {uid}"
        yield from _look_at_home(homes / name, uid)


def _look_at_home(home: Path, uid: int) -> Iterator[tuple[_Trouble, str]]:
    try:
        owner = home.lstat().st_uid
    except OSError:
        yield _HOMELESS, str(home)
        return
    if owner != uid:
        yield _FOREIGN, f"{home} belongs to the id {owner}, not {uid}"
