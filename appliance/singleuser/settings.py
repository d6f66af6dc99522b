"""What the spawner tells a server: environment variables and one secret, read and checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlsplit

# One minute is the longest that a log-out, or a right taken away, may go unnoticed.
FRESH_SECONDS: Final = 60
# While the hub restarts, an answer of at most this age stands in for it.
STALE_SECONDS: Final = 300
# Of the reason why a server wasn't preloaded, in the one line of its status.
REASON_MAX: Final = 200
# What is on and off unless a user says otherwise in ~/.jupyter/jupyter_server_config.d.
EXTENSIONS: Final = {
    "jupyter_server_terminals": True,
    "jupyterlab": True,
    "nbgitpuller": True,
    "notebook": True,
    # Language servers: none are installed, and looking for them costs each start.
    "jupyter_lsp": False,
    # Extensions of the classic Notebook 6, which isn't here.
    "notebook_shim": False,
}


class SettingsError(Exception):
    """The environment doesn't describe a server; the message holds every problem."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A server's identity, where the hub is, and how to behave."""

    user: str
    server: str
    prefix: str
    base_url: str
    hub_host: str
    client_id: str
    api_socket: str
    api_path: str
    activity_path: str
    callback_path: str
    access_scopes: frozenset[str]
    activity_seconds: float
    front_end: str
    count_busy: bool
    token: str
    count_terminals: bool = True
    # Server extensions that the administrator turned on or off.
    extensions: Mapping[str, bool] = field(default_factory=dict)
    # Extensions of JupyterLab that the administrator turned off.
    lab_extensions_off: tuple[str, ...] = ()
    # Where the proxy has the environment's static files for all servers; empty: nowhere.
    static_url: str = ""
    # "preloaded", "cold: " and the reason, or nothing where nobody asked for a preloaded process.
    how_started: str = ""

    @property
    def hub_prefix(self) -> str:
        return f"{self.base_url}hub/"

    @property
    def cookie_name(self) -> str:
        """The client's id as in JupyterHub, spelled in characters that a cookie's name may have."""
        return quote(self.client_id, safe="%")

    @property
    def cookie_secret(self) -> bytes:
        """Lives as long as the server's token, so that a stopped server's cookies are worthless."""
        return hashlib.sha256(b"single-user cookies:" + self.token.encode()).digest()


def read_settings(environ: Mapping[str, str]) -> Settings:
    """Read the environment and the credential, or raise SettingsError with all that is wrong."""
    reader = _Reader(environ)
    base_url = reader.slashed("JUPYTERHUB_BASE_URL", "/")
    user = reader.required("JUPYTERHUB_USER")
    prefix = reader.slashed("JUPYTERHUB_SERVICE_PREFIX")
    api_path = urlsplit(reader.required("JUPYTERHUB_API_URL")).path.rstrip("/")
    activity = environ.get("JUPYTERHUB_ACTIVITY_URL", "")
    settings = Settings(
        user=user,
        server=environ.get("JUPYTERHUB_SERVER_NAME", ""),
        prefix=prefix,
        base_url=base_url,
        hub_host=environ.get("JUPYTERHUB_HOST", ""),
        client_id=reader.required("JUPYTERHUB_CLIENT_ID"),
        api_socket=reader.required("APPLIANCE_API_SOCKET"),
        api_path=api_path,
        activity_path=urlsplit(activity).path or f"{api_path}/users/{quote(user)}/activity",
        callback_path=environ.get("JUPYTERHUB_OAUTH_CALLBACK_URL") or f"{prefix}oauth_callback",
        access_scopes=reader.scopes("JUPYTERHUB_OAUTH_ACCESS_SCOPES"),
        activity_seconds=reader.seconds("JUPYTERHUB_ACTIVITY_INTERVAL", 300),
        front_end=reader.choice("APPLIANCE_FRONT_END", ("lab", "notebook")),
        count_busy=environ.get("APPLIANCE_COUNT_BUSY", "1") != "0",
        count_terminals=environ.get("APPLIANCE_COUNT_TERMINALS", "1") != "0",
        token=reader.token(),
        static_url=environ.get("APPLIANCE_STATIC_URL", ""),
        extensions=reader.switches("APPLIANCE_EXTENSIONS"),
        lab_extensions_off=reader.names("APPLIANCE_LAB_EXTENSIONS_OFF"),
        how_started=_how_started(environ),
    )
    reader.finish()
    return settings


def _how_started(environ: Mapping[str, str]) -> str:
    if environ.get("APPLIANCE_PRELOADED") == "1":
        return "preloaded"
    reason = " ".join(environ.get("APPLIANCE_COLD_START", "").split())
    return f"cold: {reason[:REASON_MAX]}" if reason else ""


class _Reader:
    """Reads variables and remembers what was wrong, to tell it all at once."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._problems: list[str] = []

    def required(self, name: str) -> str:
        value = self._environ.get(name, "")
        if not value:
            self._problems.append(f"{name} is not set")
        return value

    def slashed(self, name: str, default: str = "") -> str:
        value = self._environ.get(name, "") or default
        if not (value.startswith("/") and value.endswith("/")):
            self._problems.append(f"{name} must begin and end with '/', found {value!r}")
        return value

    def seconds(self, name: str, default: float) -> float:
        text = self._environ.get(name, "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = 0.0
        if not 1 <= value <= 86400:
            self._problems.append(
                f"{name} must be a number of seconds from 1 to 86400, found {text!r}"
            )
        return value

    def choice(self, name: str, choices: tuple[str, ...]) -> str:
        value = self._environ.get(name, choices[0])
        if value not in choices:
            self._problems.append(f"{name} must be one of {', '.join(choices)}, found {value!r}")
        return value

    def scopes(self, name: str) -> frozenset[str]:
        try:
            value = json.loads(self.required(name) or "[]")
        except ValueError:
            value = None
        if not isinstance(value, list) or not all(isinstance(scope, str) for scope in value):
            self._problems.append(f"{name} must be a JSON list of scopes")
            return frozenset()
        return frozenset(value)

    def switches(self, name: str) -> dict[str, bool]:
        try:
            value = json.loads(self._environ.get(name, "") or "{}")
        except ValueError:
            value = None
        if not isinstance(value, dict) or not all(isinstance(on, bool) for on in value.values()):
            self._problems.append(f"{name} must be a JSON object of names and true or false")
            return {}
        return value

    def names(self, name: str) -> tuple[str, ...]:
        try:
            value = json.loads(self._environ.get(name, "") or "[]")
        except ValueError:
            value = None
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            self._problems.append(f"{name} must be a JSON list of names")
            return ()
        return tuple(value)

    def token(self) -> str:
        folder = self.required("CREDENTIALS_DIRECTORY")
        if not folder:
            return ""
        path = Path(folder, "token")
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as err:
            self._problems.append(f"the server's token cannot be read from {path}: {err}")
            return ""
        if not token:
            self._problems.append(f"the server's token in {path} is empty")
        return token

    def finish(self) -> None:
        if self._problems:
            raise SettingsError("\n".join(self._problems))
