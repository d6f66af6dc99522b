"""configurable-http-proxy in front of our nginx: looked at before it is relied on.

Only what the machine's admin runs can be in front, so it isn't started or stopped here, and a
configuration that names one is refused while it doesn't answer with the token that is set.
"""

from __future__ import annotations

import asyncio
from typing import Final

from appliance.config.schema import Config, ProxyProgram
from appliance.errors import ApplianceError
from appliance.proxy.chp import ChpClient

MOVES_NGINX: Final = frozenset({"http.address", "http.port"})
"""Settings that change where the program in front finds nginx."""


def has_front(config: Config) -> bool:
    """Whether people come by another program than our nginx."""
    return config.proxy.program is ProxyProgram.CONFIGURABLE


def check_front(config: Config) -> None:
    """Raise when the program in front can't be used, before anything is changed."""
    if not has_front(config):
        return
    secret = config.proxy.api_token
    client = ChpClient(config.proxy.api_url, secret.get_secret_value() if secret else None)
    asyncio.run(_check(client))


async def _check(client: ChpClient) -> None:
    await client.routes(retry=False)
    if await client.is_open():
        raise ApplianceError(
            f"cannot use configurable-http-proxy's API at {client.api_url}",
            why="it obeys anybody, so every user of this machine could lead others astray",
            mend="start it with a CONFIGPROXY_AUTH_TOKEN, and set proxy.api_token to the same",
        )
