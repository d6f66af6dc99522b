"""Accounts, groups and running servers, as far as classes need them."""

from __future__ import annotations

from collections.abc import Mapping

from appliance.names import Username, server_of_unit
from appliance.systemd_spawner.accounts import Accounts
from appliance.systemd_spawner.file_jobs import Person
from appliance.systemd_spawner.host import Host
from appliance.systemd_spawner.units import Units


class ClassMachine:
    """Fulfils `class_files.Machine` with Unix accounts and systemd's units."""

    def __init__(self, *, accounts: Accounts, host: Host, units: Units) -> None:
        self._accounts = accounts
        self._host = host
        self._units = units

    def person(self, user: Username, groups: tuple[int, ...]) -> Person:
        account = self._accounts.ensure(user)
        return Person(account.name, account.uid, str(self._accounts.home(account)), groups)

    def known_person(self, user: Username, groups: tuple[int, ...]) -> Person | None:
        return self.person(user, groups) if self._accounts.find(user) else None

    def account_of(self, user: Username) -> str:
        account = self._accounts.find(user)
        return account.name if account else ""

    def ensure_groups(self, groups: Mapping[str, int]) -> None:
        for name, number in groups.items():
            self._host.ensure_group(name, number)

    def remove_groups(self, groups: Mapping[str, int]) -> None:
        for name, number in groups.items():
            self._host.remove_group(name, number)

    def groups_of_running(self) -> dict[Username, list[set[int]]]:
        found: dict[Username, list[set[int]]] = {}
        for unit, active in self._units.listing().items():
            server = server_of_unit(unit)
            if server is not None and active not in ("inactive", "failed"):
                groups = {int(group) for group in self._units.groups(unit) if group.isdigit()}
                found.setdefault(server.user, []).append(groups)
        return found
