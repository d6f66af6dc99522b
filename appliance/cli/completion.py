"""What Tab offers: names of settings, their values, and users. Never an error, never slow.

Shells ask while people type, mostly as an ordinary user: what can't be known then isn't offered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from appliance.errors import ApplianceError
from appliance.places import Places

if TYPE_CHECKING:
    from appliance.config.schema import Config
    from appliance.config.setting import Setting

_SECONDS = 1.0


def setting_names(incomplete: str) -> list[tuple[str, str]]:
    """Settings and what they mean."""
    return [
        (setting.key, setting.sentence)
        for setting in _settings(incomplete)
        if setting.key.startswith(incomplete)
    ]


def list_names(incomplete: str) -> list[tuple[str, str]]:
    """Settings that have items."""
    from appliance.config.setting import Kind

    return [
        (setting.key, setting.sentence)
        for setting in _settings(incomplete)
        if setting.key.startswith(incomplete) and setting.kind in {Kind.LIST, Kind.MAP}
    ]


def group_names(incomplete: str) -> list[str]:
    """Groups of settings, and what has a name in them."""
    names = {setting.section for setting in _settings(incomplete)}
    names |= {setting.path[0] for setting in _settings(incomplete) if setting.section}
    return sorted(name for name in names if name and name.startswith(incomplete))


def _settings(incomplete: str) -> list[Setting]:
    """What somebody may mean: every setting there is, and those of the name that is being typed."""
    from appliance.config.fields import NAME, explained, named_groups, settings_of

    config = _configuration()
    found = (
        settings_of(config) if config else [one for one in explained("") if NAME not in one.path]
    )
    group, _, rest = incomplete.partition(".")
    name, dot, _ = rest.rpartition(".")
    if group in named_groups() and dot and name:
        keys = {setting.key for setting in found}
        found += [one for one in named_groups()[group].settings(name) if one.key not in keys]
    return found


def _configuration() -> Config | None:
    """What is in force, for whoever may read it."""
    from appliance.config.rendered import read_in_force

    try:
        return read_in_force(Places.current())
    except ApplianceError:
        return None


def setting_values(ctx: typer.Context, incomplete: str) -> list[str]:
    """Values of the setting that stands before, where there are few."""
    from appliance.config.fields import find_setting

    setting = find_setting(str(ctx.params.get("key") or ""))
    return [value for value in _values_of(setting) if value.startswith(incomplete)]


def user_names(incomplete: str) -> list[str]:
    """Users, for who may ask the hub."""
    from appliance.client.hub import HubClient

    try:
        users = HubClient.of(Places.current(), timeout=_SECONDS).users()
        return [user["name"] for user in users if user["name"].startswith(incomplete)]
    except (ApplianceError, KeyError, TypeError):
        return []


def class_names(incomplete: str) -> list[str]:
    """Classes, for who may ask the hub."""
    from appliance.client.classes import ClassesClient
    from appliance.client.hub import HubClient

    try:
        classes = ClassesClient(HubClient.of(Places.current(), timeout=_SECONDS)).all()
        return [one["name"] for one in classes if one["name"].startswith(incomplete)]
    except (ApplianceError, KeyError, TypeError):
        return []


def server_names(incomplete: str) -> list[str]:
    """Servers that run, as USER or USER/NAME."""
    from appliance.client.hub import HubClient

    try:
        servers = HubClient.of(Places.current(), timeout=_SECONDS).servers()
    except (ApplianceError, TypeError):
        return []
    names = [
        f"{server['user']}/{server['server']}" if server["server"] else server["user"]
        for server in servers
    ]
    return [name for name in names if name.startswith(incomplete)]


def environment_names(incomplete: str) -> list[str]:
    """Environments that are kernels, for root."""
    folder = Places.current().settings / "environments"
    return [path.stem for path in sorted(folder.glob(f"{incomplete}*.json"))]


def log_names(incomplete: str) -> list[str]:
    """What `appliance logs` takes."""
    programs = (
        "hub", "proxy", "spawner", "preload", "upkeep", "backup", "disk", "files", "rebuild"
    )  # fmt: skip
    parts = [name for name in programs if name.startswith(incomplete)]
    config = _configuration()
    services = config.services.items() if config else ()
    parts += [name for name, one in services if one.command and name.startswith(incomplete)]
    return parts + user_names(incomplete)


def actions(incomplete: str) -> list[str]:
    """What the audit log has lines about."""
    from appliance.cli.audit_files import known_actions

    return [name for name in known_actions() if name.startswith(incomplete)]


def _values_of(setting: Setting | None) -> tuple[str, ...]:
    from appliance.config.setting import Kind

    if setting is None:
        return ()
    if setting.kind is Kind.SWITCH:
        return ("true", "false")
    return setting.choices


def backups(incomplete: str) -> list[str]:
    """Backups in the folder of the settings."""
    from appliance.backup.place import place_of

    config = _configuration()
    place = place_of(config.backup.folder if config else "", Places.current())
    names = ["latest", *(one.folder.name for one in place.all())]
    return [name for name in names if name.startswith(incomplete)]
