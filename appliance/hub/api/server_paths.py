"""Where the resources of servers are: the default server has addresses with and without a name."""

from __future__ import annotations

from typing import Final

USER: Final = r"/users/(?P<user>[^/]+)"
# The empty group makes the default server's name.
DEFAULT: Final = rf"{USER}/server(?P<server>)"
NAMED: Final = rf"{USER}/servers/(?P<server>[^/]*)"
