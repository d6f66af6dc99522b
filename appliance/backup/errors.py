"""How backups and restores fail."""

from __future__ import annotations

from appliance.errors import ApplianceError


class BackupError(ApplianceError):
    """A backup could not be made, read or brought back."""


class NoRoom(BackupError):
    """The place for backups has too little room left."""


class WrongKey(BackupError):
    """The passphrase or key doesn't open the backup, or there is none."""


class Hostile(BackupError):
    """No backup of ours can be like that."""
