"""How root's own programs reach the network: what the settings under `network` come to."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.outgoing import (
    AUTHORITIES_FILE,
    SYSTEM_AUTHORITIES,
    outgoing_variables,
    proxy_url,
)
from appliance.places import Places

_SYSTEM: Final = Path(SYSTEM_AUTHORITIES)
_PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


def outgoing_environment(config: Config, places: Places) -> dict[str, str]:
    """Variables for a program that goes to the network; empty if nothing is set.

    The proxy's password is in them: give them to root's programs, show them to nobody.
    """
    return outgoing_variables(
        proxy=_proxy_url(config),
        direct=config.network.direct,
        authorities=places.rendered / AUTHORITIES_FILE if config.network.ca_file else None,
    )


def outgoing_in_shell(config: Config, places: Places, environ: Mapping[str, str]) -> dict[str, str]:
    """The same for a program that is started from somebody's shell, to lay over its variables.

    A proxy that the shell names counts more than that of the settings. Authorities don't: shells
    often name the system's file, and the settings' has those and more.
    """
    found = outgoing_environment(config, places)
    for name in _PROXIES:
        given = environ.get(name) or environ.get(name.upper())
        if given:
            found[name] = found[name.upper()] = given
    return found


def authorities_text(config: Config) -> str:
    """What authorities.pem holds, or "" if the system's own are enough; raises ApplianceError."""
    name = config.network.ca_file
    if not name:
        return ""
    what = f"cannot use network.ca_file {name}"
    mend = "give it a file of certificates in PEM form, or: sudo appliance config unset "
    mend += "network.ca_file"
    try:
        own = Path(name).read_text("ascii", errors="replace")
        ssl.create_default_context(cadata=own)
        system = _SYSTEM.read_text("ascii") if _SYSTEM.exists() else ""
    except (ssl.SSLError, ValueError) as error:
        raise ApplianceError(what, why="it holds no certificates", mend=mend) from error
    except OSError as error:
        raise ApplianceError(what, why=error.strerror or str(error), mend=mend) from error
    return f"{system.rstrip()}\n{own.rstrip()}\n".lstrip()


def _proxy_url(config: Config) -> str:
    network = config.network
    password = network.proxy_password.get_secret_value() if network.proxy_password else ""
    return proxy_url(network.proxy, network.proxy_user, password)
