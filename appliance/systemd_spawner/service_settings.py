"""What a managed service runs as: its settings from spawner.json, and the environment they make.

The environment is JupyterHub's for services, so that programs written for it find what they look
for. All of it may be secret (the token, keys of other systems), so it travels in a file that only
root can read and never as a unit's `Environment=`, which anybody may ask systemd for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from appliance.errors import SpawnRefused
from appliance.places import Places
from appliance.systemd_spawner.environment import local_host

# Changed when services that run should be started anew because of a new version of the appliance.
_FORMAT: Final = 1
# What systemd takes a backslash before within double quotes, in environment files.
_ESCAPED: Final = '"\\`$'


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """One service, as the configuration has it."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    memory: int | None
    url: str
    client_id: str
    redirect_uri: str
    allowed_scopes: tuple[str, ...]
    base_url: str
    http_address: str
    http_port: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str) -> Self:
        """Pick from the configuration's JSON; raises KeyError, TypeError or ValueError."""
        service = config["services"][name]
        memory = service["memory"]
        return cls(
            name=name,
            command=tuple(str(word) for word in service["command"]),
            environment={str(key): str(value) for key, value in service["environment"].items()},
            memory=None if memory is None else int(memory),
            url=service["url"] or "",
            client_id=service["oauth_client_id"] or f"service-{name}",
            redirect_uri=service["oauth_redirect_uri"] or "",
            allowed_scopes=tuple(service["oauth_client_allowed_scopes"]),
            base_url=config["base_url"],
            http_address=config["http"]["address"],
            http_port=int(config["http"]["port"]),
        )

    @property
    def prefix(self) -> str:
        return f"{self.base_url}services/{self.name}/"


def read_service(path: Path, name: str) -> ServiceSettings | None:
    """A managed service of spawner.json, None if there is none of that name.

    Raises SpawnRefused for a file that says nothing.
    """
    try:
        config = json.loads(path.read_bytes())
        if not config["services"].get(name, {}).get("command"):
            return None
        return ServiceSettings.from_config(config, name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        raise SpawnRefused(
            "cannot read the settings of services",
            why=f"{path}: {type(err).__name__}: {err}",
            mend="sudo appliance config reload --force",
        ) from err


def service_environment(
    settings: ServiceSettings, *, token: str, home: str, account: str, places: Places
) -> dict[str, str]:
    """Everything that the service must know, the token among it."""
    api = (
        f"http://{local_host(settings.http_address)}:{settings.http_port}{settings.base_url}hub/api"
    )
    scopes = json.dumps(["access:services", f"access:services!service={settings.name}"])
    environment = {
        "HOME": home,
        "USER": account,
        "LOGNAME": account,
        "SHELL": "/bin/sh",
        "LANG": "C.UTF-8",
        "PATH": f"{places.user_environment}/bin:/usr/local/bin:/usr/bin:/bin",
        # Lines are in the log when they are written, not when there are 8192 bytes of them.
        "PYTHONUNBUFFERED": "1",
        **settings.environment,
        "JUPYTERHUB_SERVICE_NAME": settings.name,
        "JUPYTERHUB_API_TOKEN": token,
        "JUPYTERHUB_API_URL": api,
        "JUPYTERHUB_BASE_URL": settings.base_url,
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_USER": "",
        "JUPYTERHUB_SERVER_NAME": "",
        "JUPYTERHUB_CLIENT_ID": settings.client_id,
        "JUPYTERHUB_OAUTH_CALLBACK_URL": settings.redirect_uri
        or f"{settings.prefix}oauth_callback",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        "JUPYTERHUB_OAUTH_SCOPES": scopes,
        "JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES": json.dumps(list(settings.allowed_scopes)),
        "JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED": "0",
    }
    if settings.url:
        environment["JUPYTERHUB_SERVICE_URL"] = settings.url
        environment["JUPYTERHUB_SERVICE_PREFIX"] = settings.prefix
    return environment


def digest_of(settings: ServiceSettings, places: Places) -> str:
    """What tells two settings of a service apart; one that runs with another is outdated."""
    environment = service_environment(settings, token="", home="", account="", places=places)
    content = [_FORMAT, settings.command, settings.memory, sorted(environment.items())]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def environment_file(environment: Mapping[str, str], *, digest: str, token: str) -> str:
    """The text of an EnvironmentFile= (systemd.exec(5)), and in comments what it was made from."""
    head = [f"# settings {digest}", f"# token {hashlib.sha256(token.encode()).hexdigest()}"]
    lines = [f'{name}="{_escaped(value)}"' for name, value in environment.items()]
    return "\n".join([*head, *lines]) + "\n"


def made_from(text: str) -> tuple[str, str]:
    """The digest of the settings, and the hash of the token, that a file was made from."""
    found = dict(
        line.removeprefix("# ").split(" ", 1)
        for line in text.splitlines()[:2]
        if line.startswith("# ") and line.count(" ") > 1
    )
    return found.get("settings", ""), found.get("token", "")


def _escaped(value: str) -> str:
    return "".join(f"\\{char}" if char in _ESCAPED else char for char in value)
