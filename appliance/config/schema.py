"""Every setting of the appliance, once: name, type, bounds, default, who reloads, and a sentence.

Everything else about settings is derived from these classes: checks (load.py), edits (edit.py),
the reference page, the JSON Schema and the commented example (reference.py), and what
`appliance config set` reloads (appliance/rollout/apply.py).

A validator that has its own sentence raises ValueError with it, beginning "must be"; for all other
refusals load.py makes the sentence from the type, the bounds and the `Means` marker.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from appliance.config.access_schema import (
    CustomScope,
    CustomScopeName,
    Role,
    RoleName,
    ServiceName,
)
from appliance.config.backup_schema import Backup
from appliance.config.culling_schema import Culling, GroupCulling, GroupName
from appliance.config.disk_schema import Disk
from appliance.config.https_schema import HostName, Https
from appliance.config.kinds import (
    DAY,
    Address,
    BaseUrl,
    Duration,
    Example,
    Extensions,
    LabExtensionName,
    Means,
    ModuleName,
    Network,
    Reload,
    Section,
    Typed,
)
from appliance.config.limits_schema import (
    LimitedGroup,
    LimitedUser,
    Limits,
    OwnLimits,
    PageLimits,
)
from appliance.config.mail_schema import Mail
from appliance.config.name_patterns import NamePattern
from appliance.config.network_schema import Network as NetworkAccess
from appliance.config.notices_schema import Notices
from appliance.config.service_schema import ApiSecret, Service, Url
from appliance.config.updates_schema import Updates
from appliance.texts import LanguageCode

Folder = Annotated[
    str,
    Field(pattern=r"^/[^\x00-\x1f]*$", max_length=1000),
    Means('the full path of a folder, such as "/srv/appliance/templates"'),
]

JOIN_CODE_MIN: Final = 6
"""Shorter codes are guessed within the throttle's patience."""


class SignupMode(StrEnum):
    """Who may make an account on the sign-up page."""

    OPEN = "open"
    APPROVAL = "approval"
    CODE = "code"
    CLOSED = "closed"


class FrontEnd(StrEnum):
    """Where a user's server opens."""

    LAB = "lab"
    NOTEBOOK = "notebook"


class ServerProgram(StrEnum):
    """What runs as a user's server."""

    APPLIANCE = "appliance"
    JUPYTERHUB = "jupyterhub-singleuser"


class ProxyProgram(StrEnum):
    """What stands in front of everything."""

    NGINX = "nginx"
    CONFIGURABLE = "configurable-http-proxy"


class Http(Section):
    """Where the appliance listens."""

    address: Annotated[Address, Reload.PROXY, Example("192.0.2.10")] = ""
    """Address to listen on; empty means every address, IPv4 and IPv6."""

    port: Annotated[int, Field(ge=1, le=65535), Reload.PROXY | Reload.NEXT_START, Example(8080)] = (
        80
    )
    """Port to listen on."""

    trusted_proxies: Annotated[
        list[Network], Typed.SEPARATED, Reload.PROXY, Example(["10.0.0.0/8"])
    ] = []
    """Addresses or networks of web servers in front, whose X-Forwarded-For and -Proto are
    believed."""

    socket: Annotated[bool, Reload.PROXY, Example(True)] = False  # noqa: FBT003
    """Listen at the unix socket /run/appliance/front/http.sock as well, for a web server in front
    on this machine, which is believed as trusted_proxies are."""

    host: Annotated[HostName, Reload.HUB | Reload.PROXY, Example("hub.school.example")] = ""
    """The host name of the hub's pages, where content_host is set."""

    content_host: Annotated[HostName, Reload.HUB | Reload.PROXY, Example("nb.school.example")] = ""
    """A second host name, for all that users' servers send. Their pages then can't act on the hub's
    for whoever looks at them. Empty: everything has the same name."""

    @model_validator(mode="after")
    def _both_names_or_none(self) -> Http:
        if self.content_host and not self.host:
            raise PydanticCustomError(
                "rule",
                "http.content_host: can't be set while there is no http.host; set the hub's own "
                "name first: sudo appliance config set http.host NAME",
            )
        if self.content_host and self.content_host == self.host:
            raise PydanticCustomError(
                "rule", "http.content_host: must be another name than http.host"
            )
        return self


class Signup(Section):
    """Who may make an account."""

    mode: Annotated[SignupMode, Field(strict=False), Reload.HUB, Example("code")] = (
        SignupMode.APPROVAL
    )
    """open: anybody; approval: an admin lets each in; code: whoever knows the join code; closed:
    nobody. A join code that a teacher or an admin made on a page works whatever the mode."""

    code: Annotated[SecretStr | None, Reload.HUB, Example("blue-tree-42")] = None
    """The join code for the mode `code`, at least 6 characters; capitals don't matter."""

    allowed_names: Annotated[
        list[NamePattern], Typed.SEPARATED, Reload.HUB, Example(["*@school.example"])
    ] = []
    """User names under which people may sign up, as patterns for the whole name: * stands for any
    characters, ? for one. Empty means any."""

    refused_names: Annotated[
        list[NamePattern], Typed.SEPARATED, Reload.HUB, Example(["teacher*", "*@mail.example"])
    ] = []
    """User names under which nobody may sign up, even if they are allowed; patterns like those."""

    approved_names: Annotated[
        list[NamePattern], Typed.SEPARATED, Reload.HUB, Example(["*@staff.school.example"])
    ] = []
    """User names that needn't wait for approval; patterns like those. Nobody checks that a name or
    an address is the person's own."""

    @model_validator(mode="after")
    def _code_is_there_when_needed(self) -> Signup:
        if self.code is None and self.mode is SignupMode.CODE:
            raise PydanticCustomError(
                "rule",
                "signup.mode: can't be code while there is no signup.code; set signup.code first",
            )
        if self.code is not None and len(self.code.get_secret_value().strip()) < JOIN_CODE_MIN:
            raise PydanticCustomError(
                "rule",
                "signup.code: must have at least {least} characters",
                {"least": JOIN_CODE_MIN},
            )
        return self


class Passwords(Section):
    """Rules for passwords that users choose."""

    min_length: Annotated[int, Field(ge=1, le=72), Reload.HUB, Example(12)] = 8
    """Fewest characters of a password."""

    refuse_common: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Refuse passwords from the list of the most common ones, and those that contain the user's
    name."""

    second_factor_roles: Annotated[
        list[RoleName], Typed.SEPARATED, Reload.HUB, Example(["admin", "teacher"])
    ] = []
    """Roles whose holders must prove who they are by more than a password: by an app's code, or a
    passkey. Who has none sets one up at the next log-in and can do nothing else before."""

    passkeys: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Let people log in with passkeys, where the address is https (or localhost)."""


class Servers(Section):
    """How single-user servers start."""

    front_end: Annotated[FrontEnd, Field(strict=False), Reload.NEXT_START, Example("notebook")] = (
        FrontEnd.LAB
    )
    """Where a server opens: lab (JupyterLab) or notebook (Notebook); the other stays at /lab or
    /tree."""

    start_timeout: Annotated[Duration, Field(ge=5, le=3600), Reload.HUB, Example("2m")] = 60
    """Longest time a server may take to start before it is stopped and the user told why."""

    program: Annotated[
        ServerProgram,
        Field(strict=False),
        Reload.NEXT_START | Reload.PRELOAD,
        Example("jupyterhub-singleuser"),
    ] = ServerProgram.APPLIANCE
    """What runs as a server: appliance (its own, which is light), or jupyterhub-singleuser from the
    package jupyterhub of the users' Python."""

    named_limit: Annotated[int, Field(ge=0, le=1000), Reload.HUB, Example(0)] = 3
    """Most servers that a user may have by name, besides the default one."""

    extensions: Annotated[Extensions, Reload.NEXT_START, Example({"jupyter_lsp": True})] = {}
    """Server extensions to switch on or off by name. For all others it stays as the appliance and
    the package have it."""

    lab_extensions_off: Annotated[
        list[LabExtensionName],
        Field(max_length=100),
        Reload.NEXT_START,
        Example(["@jupyterlab/git"]),
    ] = []
    """Extensions of JupyterLab, or single plugins of one as NAME:PLUGIN, that are switched off for
    everybody."""

    start_at_login: Annotated[bool, Reload.HUB, Example(False)] = True  # noqa: FBT003
    """Start a user's server as soon as the user logs in, while the browser is still on its way."""

    concurrent_starts: Annotated[int | None, Field(ge=1, le=1000), Reload.HUB, Example(8)] = None
    """Most servers that start at the same time; the next ones wait in a queue. Null means what the
    machine's processors can do."""


class Preload(Section):
    """Servers and kernels that start from what is in memory already."""

    servers: Annotated[bool, Reload.PRELOAD | Reload.NEXT_START, Example(False)] = True  # noqa: FBT003
    """Fork servers from a process that has loaded everything, which takes a tenth of the time."""

    kernels: Annotated[bool, Reload.PRELOAD | Reload.NEXT_START, Example(False)] = True  # noqa: FBT003
    """The same for Python kernels."""

    packages: Annotated[
        list[ModuleName],
        Field(max_length=100),
        Typed.SEPARATED,
        Reload.PRELOAD,
        Example(["numpy", "pandas", "matplotlib"]),
    ] = []
    """Modules that kernels find imported, and share the memory of."""


class Tokens(Section):
    """API tokens that users make."""

    max_age: Annotated[Duration | None, Field(ge=60, le=3650 * DAY), Reload.HUB, Example("90d")] = (
        None
    )
    """Longest life of a new token; null means that tokens without an end are allowed."""


class Metrics(Section):
    """Numbers for Prometheus at /hub/metrics."""

    public: Annotated[bool, Reload.HUB, Example(True)] = False  # noqa: FBT003
    """Show the numbers to everybody, not only to whoever has the scope read:metrics."""


class Pages(Section):
    """How the hub's pages look."""

    templates: Annotated[Folder | None, Reload.HUB, Example("/srv/appliance/templates")] = None
    """A folder of templates that take the place of the appliance's own of the same name."""

    language: Annotated[LanguageCode | None, Field(strict=False), Reload.HUB, Example("de")] = None
    """The language of pages for everybody who has chosen none: en, de, fr or es. If it is null, the
    one that the browser asks for."""


class ProxyChoice(Section):
    """What stands in front of the hub and the servers."""

    program: Annotated[
        ProxyProgram,
        Field(strict=False),
        Reload.HUB | Reload.PROXY,
        Example("configurable-http-proxy"),
    ] = ProxyProgram.NGINX
    """nginx: the appliance's own; configurable-http-proxy: one that you run, whose routes the hub
    keeps by its API."""

    api_url: Annotated[Url, Reload.HUB | Reload.PROXY, Example("http://192.0.2.10:8001")] = (
        "http://127.0.0.1:8001"
    )
    """Where configurable-http-proxy's API listens."""

    api_token: Annotated[
        ApiSecret | None, Reload.HUB | Reload.PROXY, Example("0123456789abcdef")
    ] = None
    """The token of that API: what configurable-http-proxy has in CONFIGPROXY_AUTH_TOKEN."""


class Config(Section):
    """The whole configuration."""

    base_url: Annotated[
        BaseUrl, Reload.HUB | Reload.PROXY | Reload.NEXT_START, Example("/jupyter/")
    ] = "/"
    """Path below which everything lives, with a slash at both ends."""

    http: Http = Http()
    https: Https = Https()
    signup: Signup = Signup()
    passwords: Passwords = Passwords()
    limits: Limits = Limits()
    group_limits: dict[LimitedGroup, OwnLimits] = {}
    """Limits of the servers of a group's or class's members; of several groups, the largest."""

    user_limits: dict[LimitedUser, OwnLimits] = {}
    """Limits of single users' servers, which go before those of groups."""

    page_limits: PageLimits = PageLimits()
    servers: Servers = Servers()
    preload: Preload = Preload()
    culling: Culling = Culling()
    group_culling: dict[GroupName, GroupCulling] = {}
    """When servers of a group's members are stopped, where it differs."""

    tokens: Tokens = Tokens()
    roles: dict[RoleName, Role] = {}
    """Sets of permissions, and who has them."""

    custom_scopes: dict[CustomScopeName, CustomScope] = {}
    """Permissions of your own, which services ask for."""

    services: dict[ServiceName, Service] = {}
    """Programs beside the hub, which use its API, its log-in, or both."""

    metrics: Metrics = Metrics()
    pages: Pages = Pages()
    proxy: ProxyChoice = ProxyChoice()
    mail: Mail = Mail()
    network: NetworkAccess = NetworkAccess()
    updates: Updates = Updates()
    notices: Notices = Notices()
    backup: Backup = Backup()
    disk: Disk = Disk()
