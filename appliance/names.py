"""Names of users and servers: the one place that says which are legal and how they are escaped.

A user name is what people type to log in. It is also a path segment of a URL and of a socket, so
its length is bounded by the 107 bytes of a Unix socket's path (unix(7)):
`/run/appliance/servers/` (23) + user (48) + `/` + server (30) + `/sock` (5) = 107.
The Unix account behind a user is *not* derived from it; the spawner daemon allocates one.

Standard library only: the root daemon imports this module too.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NewType

from appliance.errors import BadRequest

Username = NewType("Username", str)
ServerName = NewType("ServerName", str)

USERNAME_MAX: Final = 48
SERVER_NAME_MAX: Final = 30
GROUP_NAME_MAX: Final = 255
DISPLAY_NAME_MAX: Final = 255
FOLDER_MAX: Final = 300
FOLDER_PART_MAX: Final = 200
FULL_NAME_MAX: Final = 200

# Also in the proxy's routing (appliance/proxy): keep both to this alphabet.
USERNAME_PATTERN: Final = r"[a-z0-9][a-z0-9._@-]{0,47}"
SERVER_NAME_PATTERN: Final = r"[a-z](?:[a-z0-9]|-(?=[a-z0-9])){0,29}"
SERVICE_NAME_PATTERN: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
ARCHIVE_PATTERN: Final = r"[a-z0-9][a-z0-9-]{0,63}"

# What a class's folder in a home has besides the user's own: links to what is common.
CLASS_LINKS: Final = ("shared", "together", "drop", "collected", "drop-boxes")

# Names that read as the machine's or the appliance's own, so that no student signs up as one.
# fmt: off
RESERVED: Final = frozenset((
    "root", "admin", "administrator", "hub", "proxy", "spawner", "appliance", "system",
    "systemd", "nobody", "daemon", "service", "services", "user", "users", "group", "groups",
    "api", "login", "logout", "signup", "static", "www-data",
))
# fmt: on

# The account as which `appliance doctor` logs in. Nobody else can have the name; it isn't among the
# reserved ones, because the hub, the proxy and the daemon must take it for a user's.
CHECK_USER: Final = Username("appliance-check")
# The one beside it, whose things `appliance isolation test` tries to get at.
CHECK_NEIGHBOUR: Final = Username("appliance-neighbour")
CHECK_USERS: Final = frozenset({CHECK_USER, CHECK_NEIGHBOUR})


def parse_username(text: str) -> Username:
    """Return the canonical form (NFKC, lower case) of a user name; BadRequest says why not.

    Lower-casing follows JupyterHub's default `normalize_username`, so Ada and ada are one user.
    """
    if re.fullmatch(USERNAME_PATTERN, text) and text not in RESERVED:
        return Username(text)
    name = unicodedata.normalize("NFKC", text).strip().lower()
    why = _why_no_username(name)
    if why:
        shown = text if len(text) <= USERNAME_MAX else text[:USERNAME_MAX] + "…"
        raise BadRequest(
            f"cannot use {shown!r} as a user name",
            why=why,
            mend="choose another name"
            if name in RESERVED
            else "choose 1 to 48 of a-z, 0-9 and . _ - @, beginning with a letter or digit",
        )
    return Username(name)


def _why_no_username(name: str) -> str:
    if not name:
        return "it is empty"
    if len(name) > USERNAME_MAX:
        return f"it has {len(name)} characters, and {USERNAME_MAX} is the most"
    if name in RESERVED:
        return "the name is reserved"
    if not re.match(r"[a-z0-9]", name):
        return f"it begins with {name[0]!r}"
    for char in name:
        if not re.fullmatch(r"[a-z0-9._@-]", char):
            return f"it contains {char!r}"
    return ""


def parse_server_name(text: str) -> ServerName:
    """Return a server's name ("" is the default server), or raise BadRequest saying why not.

    The rule is JupyterHub 6's: 1 to 30 characters, a letter first, single hyphens inside.
    """
    if text and not re.fullmatch(SERVER_NAME_PATTERN, text):
        raise BadRequest(
            f"cannot use {text[:40]!r} as a server name",
            why="it has characters or a length that a server name may not have",
            mend="choose 1 to 30 of a-z, 0-9 and single '-', beginning with a letter",
        )
    return ServerName(text)


def parse_display_name(text: str) -> str:
    """Return how people call a server ("" is its name), or raise BadRequest saying why not."""
    name = unicodedata.normalize("NFC", text)
    why = ""
    if len(name) > DISPLAY_NAME_MAX:
        why = f"it has {len(name)} characters, and {DISPLAY_NAME_MAX} is the most"
    elif not name.isprintable():
        why = "it has a line break or another control character"
    elif name != name.strip() or "  " in name:
        why = "it has blanks at an end, or two of them together"
    if why:
        raise BadRequest(f"cannot use {text[:60]!r} as a server's display name", why=why)
    return name


def parse_full_name(text: str) -> str:
    """Return what people call a user ("" is the user name), or raise BadRequest saying why not."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    why = ""
    if len(name) > FULL_NAME_MAX:
        why = f"it has {len(name)} characters, and {FULL_NAME_MAX} is the most"
    elif not name.isprintable():
        why = "it has control characters in it"
    if why:
        raise BadRequest(f"cannot use {text[:60]!r} as a full name", why=why)
    return name


def likeness(name: str) -> str:
    """What two user names have in common that people take for one another: no marks between the
    letters, and one sign for those that look alike."""
    text = re.sub(r"[._@-]", "", name).replace("rn", "m").replace("vv", "w")
    return text.translate(_ALIKE)


_ALIKE: Final = str.maketrans("1i0", "llo")


def parse_group_name(text: str) -> str:
    """Return a group's name, or raise BadRequest saying why not: 1 to 255 printable characters,
    no slash and no blanks at the ends, for it is a segment of URLs and part of scopes."""
    name = unicodedata.normalize("NFC", text)
    why = ""
    if not 1 <= len(name) <= GROUP_NAME_MAX:
        why = f"it has {len(name)} characters; 1 to {GROUP_NAME_MAX} are allowed"
    elif not name.isprintable() or "/" in name or name != name.strip():
        why = "it has a slash, a control character, or blanks at an end"
    elif not name.strip("."):
        why = "it is made of dots alone"
    if why:
        raise BadRequest(f"cannot use {text[:60]!r} as a group's name", why=why)
    return name


def parse_service_name(text: str) -> str:
    """Return a service's name, or raise BadRequest saying why not."""
    if not re.fullmatch(SERVICE_NAME_PATTERN, text):
        raise BadRequest(
            f"cannot use {text[:60]!r} as a service's name",
            why="it has characters or a length that a service's name may not have",
            mend="choose 1 to 64 of A-Z, a-z, 0-9 and . _ -, beginning with a letter or digit",
        )
    return text


def parse_folder(text: str, *, may_be_empty: bool = False) -> str:
    """Return a path below a class's folder or a home, or raise BadRequest saying why not.

    Its parts are joined by single slashes, lead nowhere up and aren't hidden. They are taken as
    they are, because a file's name is what its bytes are.
    """
    why = ""
    if not text and may_be_empty:
        return ""
    if not 1 <= len(text) <= FOLDER_MAX:
        why = f"it has {len(text)} characters; 1 to {FOLDER_MAX} are allowed"
    elif not text.isprintable() or "\\" in text:
        why = "it has a backslash, a line break or another control character"
    else:
        why = next((why for part in text.split("/") if (why := _why_no_part(part))), "")
    if why:
        raise BadRequest(
            f"cannot use {text[:60]!r} as a folder",
            why=why,
            mend="write it as week1/lab, from the class's own folder on",
        )
    return text


def _why_no_part(part: str) -> str:
    if not part or part != part.strip():
        return "a name in it is empty, or has blanks at an end"
    if part.startswith("."):
        return "a name in it begins with a dot"
    if len(part.encode()) > FOLDER_PART_MAX:
        return f"a name in it has more than {FOLDER_PART_MAX} bytes"
    return ""


def parse_home_folder(text: str) -> str:
    """The same for a folder in the class's folder of a home, where some names are links."""
    folder = parse_folder(text)
    if folder.split("/", 1)[0] in CLASS_LINKS:
        raise BadRequest(
            f"cannot use {text[:60]!r} as a folder",
            why=f"the names {', '.join(CLASS_LINKS)} stand for the class's own folders",
            mend="choose another name",
        )
    return folder


def parse_archive(text: str) -> str:
    """Return the name of an archive, or raise BadRequest saying why not."""
    if not re.fullmatch(ARCHIVE_PATTERN, text):
        raise BadRequest(
            f"cannot use {text[:60]!r} as an archive's name",
            why="it has characters or a length that an archive's name may not have",
            mend="choose 1 to 64 of a-z, 0-9 and '-', beginning with a letter or digit",
        )
    return text


@dataclass(frozen=True, slots=True, order=True)
class ServerId:
    """Whose server, and which one; the name "" means the user's default server."""

    user: Username
    name: ServerName = ServerName("")

    def __str__(self) -> str:
        return f"{self.user}/{self.name}" if self.name else self.user

    @property
    def unit(self) -> str:
        """The systemd unit, injective because '-' is escaped inside the parts (systemd.unit(5))."""
        parts = [escape_for_unit(self.user)] + ([escape_for_unit(self.name)] if self.name else [])
        return f"appliance-user-{'-'.join(parts)}.service"

    @property
    def socket_path(self) -> str:
        """Where its socket is, relative to the directory of servers' sockets."""
        return f"{self.user}/{self.name}/sock" if self.name else f"{self.user}/default.sock"

    def url_path(self, base_url: str) -> str:
        """Its URL prefix below the appliance's base URL, with both slashes."""
        return f"{base_url}user/{self.user}/" + (f"{self.name}/" if self.name else "")


def escape_for_unit(text: str) -> str:
    """Escape text for one part of a unit's name: all but [a-zA-Z0-9:_.] becomes \\xNN."""
    return "".join(
        char
        if re.fullmatch(r"[a-zA-Z0-9:_.]", char)
        else "".join(f"\\x{b:02x}" for b in char.encode())
        for char in text
    )


def unescape_from_unit(text: str) -> str:
    """Undo `escape_for_unit`."""
    return re.sub(r"\\x([0-9a-f]{2})", lambda match: chr(int(match[1], 16)), text)


def server_of_unit(unit: str) -> ServerId | None:
    """The server that a unit runs, or None if the unit isn't a single-user server's."""
    match = re.fullmatch(r"appliance-user-([^-]+)(?:-([^-]+))?\.service", unit)
    if not match:
        return None
    return ServerId(
        Username(unescape_from_unit(match[1])), ServerName(unescape_from_unit(match[2] or ""))
    )


_SERVICE_UNIT: Final = "appliance-service-"


def service_unit(service: str) -> str:
    """The systemd unit of a service that the appliance runs."""
    return f"{_SERVICE_UNIT}{escape_for_unit(service)}.service"


def service_of_unit(unit: str) -> str | None:
    """The service that a unit runs, or None if the unit isn't a service's."""
    if not (unit.startswith(_SERVICE_UNIT) and unit.endswith(".service")):
        return None
    name = unescape_from_unit(unit.removeprefix(_SERVICE_UNIT).removesuffix(".service"))
    return name if re.fullmatch(SERVICE_NAME_PATTERN, name) else None
