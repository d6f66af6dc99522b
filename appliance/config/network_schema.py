"""How the appliance itself reaches the network: through a proxy, and trusting whom."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field, SecretStr

from appliance.config.kinds import Example, Means, Reload, Section, Typed

_HOST: Final = r"([A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])"

ProxyAddress = Annotated[
    str,
    Field(pattern=rf"^(https?://{_HOST}(:[0-9]{{1,5}})?/?)?$"),
    Means('a proxy\'s address, without a name and password, such as "http://proxy.school:3128"'),
]

Direct = Annotated[
    str,
    Field(pattern=r"^(\*|[A-Za-z0-9.:/_*-]{1,253})$"),
    Means('a host, domain or address such as ".school.example" or "192.0.2.0/24"'),
]

AuthoritiesFile = Annotated[
    str,
    Field(pattern=r"^(/[^\x00-\x1f]*)?$", max_length=1000),
    Means('the full path of a file in PEM form, such as "/etc/ssl/school-ca.pem"'),
]


class Network(Section):
    """How the appliance reaches the network: for packages, releases, certificates and notices."""

    proxy: Annotated[
        ProxyAddress, Reload.HUB | Reload.NEXT_START, Example("http://proxy.school.example:3128")
    ] = ""
    """The proxy on the way out, for http and https; empty means none. The installer writes here
    what it was given."""

    proxy_user: Annotated[
        str, Field(pattern=r"^[^\x00-\x1f]*$", max_length=200), Reload.HUB, Example("hub")
    ] = ""
    """The name to log in to the proxy with; empty means without logging in."""

    proxy_password: Annotated[SecretStr | None, Reload.HUB, Example("long-and-secret")] = None
    """The password for that. Users' servers are never told."""

    direct: Annotated[
        list[Direct],
        Field(max_length=100),
        Typed.SEPARATED,
        Reload.HUB | Reload.NEXT_START,
        Example([".school.example", "192.0.2.0/24"]),
    ] = []
    """What is reached without the proxy, besides this machine itself."""

    ca_file: Annotated[
        AuthoritiesFile, Reload.HUB | Reload.NEXT_START, Example("/etc/ssl/school-ca.pem")
    ] = ""
    """Certificate authorities that are trusted besides the system's own, for networks that open
    TLS."""

    for_servers: Annotated[bool, Reload.NEXT_START, Example(True)] = False  # noqa: FBT003
    """Tell users' servers of the proxy and the authorities too, so that pip and downloads in
    notebooks work."""
