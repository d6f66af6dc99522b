"""The environment of a single-user server: one pure function for every spawner.

Anybody on the machine may read a unit's environment over D-Bus (CVE-2020-26261), so nothing here
is secret; the token travels as a file in $CREDENTIALS_DIRECTORY. Names and values are JupyterHub's
where it has them, so that code written for its servers finds what it looks for.
"""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import quote

from appliance.limits import Effective
from appliance.names import ServerId
from appliance.outgoing import AUTHORITIES_FILE, outgoing_variables
from appliance.places import Places
from appliance.systemd_spawner.settings import ServerSettings


def client_id(server: ServerId) -> str:
    """The server's OAuth client id, which is also the name of its cookie."""
    named = f"-{quote(server.name, safe='')}" if server.name else ""
    return f"jupyterhub-user-{quote(server.user, safe='')}{named}"


def access_scopes(server: ServerId) -> list[str]:
    """Whoever has one of these may use the server."""
    return [
        f"access:servers!server={server.user}/{server.name}",
        f"access:servers!user={server.user}",
    ]


def activity_interval(settings: ServerSettings) -> int:
    """Seconds between two reports: often enough that a server in use never looks idle."""
    return min(300, max(5, settings.culling_timeout // 4))


def servers_authorities(places: Places) -> Path:
    """Where users' servers find the authorities' file: the rendered folder is hidden from them."""
    folder = places.rendered if places.trial else places.run
    return folder / AUTHORITIES_FILE


def server_environment(
    server: ServerId,
    *,
    account: str,
    home: str,
    runtime_directory: str,
    settings: ServerSettings,
    places: Places,
    limits: Effective | None = None,
) -> dict[str, str]:
    """Everything that the server must know and that is no secret; a trial has no limits."""
    prefix = server.url_path(settings.base_url)
    api_url = (
        f"http://{local_host(settings.http_address)}:{settings.http_port}{settings.base_url}hub/api"
    )
    scopes = json.dumps(access_scopes(server))
    environment = {
        **outgoing_variables(
            proxy=settings.network_proxy,
            direct=settings.network_direct,
            authorities=servers_authorities(places) if settings.network_ca_file else None,
        ),
        "JUPYTERHUB_USER": server.user,
        "JUPYTERHUB_SERVER_NAME": server.name,
        "JUPYTERHUB_SERVICE_PREFIX": prefix,
        "JUPYTERHUB_BASE_URL": settings.base_url,
        "JUPYTERHUB_HOST": "",
        "JUPYTERHUB_CLIENT_ID": client_id(server),
        "JUPYTERHUB_API_URL": api_url,
        "JUPYTERHUB_ACTIVITY_URL": f"{api_url}/users/{quote(server.user, safe='@')}/activity",
        "JUPYTERHUB_ACTIVITY_INTERVAL": str(activity_interval(settings)),
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{prefix}oauth_callback",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": scopes,
        "JUPYTERHUB_OAUTH_SCOPES": scopes,
        "APPLIANCE_API_SOCKET": str(places.api_socket),
        "APPLIANCE_FRONT_END": settings.servers_front_end,
        "APPLIANCE_COUNT_BUSY": "0" if settings.culling_busy_kernels else "1",
        "APPLIANCE_COUNT_TERMINALS": "1" if settings.culling_terminals else "0",
        "JUPYTER_RUNTIME_DIR": runtime_directory,
        "HOME": home,
        "USER": account,
        "LOGNAME": account,
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": f"{places.user_environment}/bin:/usr/local/bin:/usr/bin:/bin",
        "JUPYTER_PATH": str(places.jupyter),
    }
    if settings.proxy_program == "nginx":
        # Where it has the environment's static files: the same address for all users.
        environment["APPLIANCE_STATIC_URL"] = f"{settings.base_url}hub/static/"
    if settings.servers_extensions:
        environment["APPLIANCE_EXTENSIONS"] = json.dumps(dict(settings.servers_extensions))
    if settings.servers_lab_extensions_off:
        environment["APPLIANCE_LAB_EXTENSIONS_OFF"] = json.dumps(
            list(settings.servers_lab_extensions_off)
        )
    if settings.forks_kernels and not places.trial:
        environment["APPLIANCE_KERNEL_SOCKET"] = str(places.preload_sockets / "kernel.sock")
    if limits is not None:
        environment["MEM_LIMIT"] = str(limits.memory)
    if limits is not None and limits.cpu is not None:
        environment["CPU_LIMIT"] = f"{limits.cpu:g}"
    if limits is not None and limits["memory_guarantee"]:
        environment["MEM_GUARANTEE"] = str(limits.whole("memory_guarantee"))
    return environment


def local_host(address: str) -> str:
    """How scripts on this machine reach the proxy: by loopback if it listens there."""
    if address in ("", "0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address
