"""What can go wrong with the database that somebody must hear about."""

from __future__ import annotations

from appliance.errors import ApplianceError


class DatabaseError(ApplianceError):
    """The database can't be used."""


class StorageError(DatabaseError):
    """Nothing was saved: the disk is full, read-only or failing. Nothing half-written remains."""


class SchemaTooNewError(DatabaseError):
    """A later version of the program made this database."""
