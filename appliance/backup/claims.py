"""What a backup may say of accounts, groups and folders: names and numbers of ours, no others.

Whoever can write to the folder of backups can write a manifest. Root makes accounts and moves
folders by it, so what isn't the appliance's own is refused, whatever it says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from appliance.backup.errors import Hostile
from appliance.backup.manifest import Part
from appliance.backup.merge import Merged
from appliance.backup.sources import CLASS, HOME, SERVICE
from appliance.names import ARCHIVE_PATTERN, SERVICE_NAME_PATTERN, USERNAME_PATTERN

_ACCOUNT: Final = r"nb-[a-z0-9][a-z0-9-]{0,28}"
_SERVICE_ACCOUNT: Final = r"svc-[a-z0-9][a-z0-9-]{0,27}"


def check_stores(stores: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise Hostile unless the spawner daemon could have written these."""
    try:
        for row in stores["accounts"].get("accounts", []):
            _expect(USERNAME_PATTERN, str(row["user"]), "user")
            _expect(_ACCOUNT, str(row["name"]), "account")
            int(row["uid"])
        for row in stores["classes"].get("classes", []):
            _expect(ARCHIVE_PATTERN, str(row["slug"]), "class folder")
            int(row["students_group"]), int(row["teachers_group"])
        for service, account in dict(stores["services"].get("accounts", {})).items():
            _expect(SERVICE_NAME_PATTERN, str(service), "service")
            _expect(_SERVICE_ACCOUNT, str(account), "account")
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise _not_ours(f"its list of accounts is damaged: {type(err).__name__}: {err}") from err


def check_part(part: Part, merged: Merged) -> None:
    """Raise Hostile unless a folder and the account that unpacks it belong together."""
    if part.name.startswith(HOME):
        account = part.name.removeprefix(HOME)
        known = {(str(row["name"]), int(row["uid"])) for row in merged.accounts["accounts"]}
        if part.account != account or (account, part.uid) not in known:
            raise _not_ours(f"{part.name} is said to be of the account {part.account!r}")
    elif part.name.startswith(SERVICE):
        service = part.name.removeprefix(SERVICE)
        if not part.account or merged.services["accounts"].get(service) != part.account:
            raise _not_ours(f"{part.name} is said to be of the account {part.account!r}")
    elif part.name.startswith(CLASS):
        _expect(ARCHIVE_PATTERN, part.name.removeprefix(CLASS), "class folder")


def _expect(pattern: str, text: str, kind: str) -> None:
    if not re.fullmatch(pattern, text):
        raise _not_ours(f"{text[:60]!r} is no name that a {kind} has here")


def _not_ours(why: str) -> Hostile:
    return Hostile(
        "cannot use this backup",
        why=why,
        mend="somebody else made or changed it; choose another one",
    )
