"""Options of a start, which clients choose and spawners may heed: from JSON, links and forms.

From links and forms each option is a list of texts, as in JupyterHub.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from tornado.httputil import HTTPFile

from appliance.hub.kept_json import check_kept
from appliance.web.failures import UnusableOptions

# They are kept, and read again with every list of servers.
_BYTES: Final = 16 * 1024
_PREFIX: Final = "opt-"
# Arguments of the spawn pages themselves.
_OURS: Final = frozenset({"next", "display_name", "_xsrf", "redirects"})


def check_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options; BadRequest if they would make lists of servers long, or are no JSON."""
    check_kept(options, name="user_options", most_bytes=_BYTES)
    return dict(options)


def options_of(
    arguments: Mapping[str, Sequence[bytes]],
    files: Mapping[str, Sequence[HTTPFile]] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """The options in a link's query or in a form with its files; None if there are none.

    Names begin with `opt-`, which is cut off; without that they count only if no name has it.
    """
    texts: dict[str, list[Any]] = {
        name: [value.decode(errors="replace") for value in values]
        for name, values in arguments.items()
        if name not in _OURS
    }
    texts |= {f"{name}_file": [_file(one) for one in sent] for name, sent in files.items()}
    prefixed = {name.removeprefix(_PREFIX): v for name, v in texts.items() if name[:4] == _PREFIX}
    if "" in prefixed:
        raise UnusableOptions(
            "cannot start the server with these options",
            why=f"an option is called {_PREFIX!r} and nothing more",
            mend=f"name options {_PREFIX}NAME",
        )
    found = prefixed or texts
    return check_options(found) if found else None


def _file(sent: HTTPFile) -> dict[str, str]:
    return {
        "filename": sent.filename,
        "content_type": sent.content_type,
        "body": sent.body.decode(errors="replace"),
    }
