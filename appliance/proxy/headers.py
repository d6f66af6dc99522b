"""Which headers and cookies pass between browsers, users' servers and the hub.

A user's server answers whatever its user likes, on the host that is the hub's too. So here is what
it may not see, and what it may not say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from appliance.proxy.routing import quote

# A server belongs to its user: the hub's own cookies are none of its business. Browsers keep the
# log-in to the hub's path; this is for what a path doesn't hold back. The first of them is the
# log-in, which nobody but the hub may have.
HUB_COOKIES: Final = ("jupyterhub-hub-login", "jupyterhub-session-id")


def cookie_maps() -> str:
    """Maps from what a browser sends to what a server sees of it, one cookie's name at a time."""
    source = "http_cookie"
    maps = []
    for number, name in enumerate(HUB_COOKIES, 1):
        before, after = f"appliance_before_{number}", f"appliance_after_{number}"
        pattern = rf"~^(?<{before}>(?:.*;)?)\s*{name}=[^;]*;?(?<{after}>.*)$"
        result = f"appliance_cookies_{number}"
        maps.append(
            f"map ${source} ${result} {{\n"
            f"    default ${source};\n"
            f'    {quote(pattern)} "${before}${after}";\n}}'
        )
        source = result
    maps.append(_last_map(source, "appliance_server_cookie", HUB_COOKIES))
    # A service is an admin's choice; by the session's id it learns that somebody has logged out.
    maps.append(_last_map("appliance_cookies_1", "appliance_service_cookie", HUB_COOKIES[:1]))
    return "\n".join(maps)


def _last_map(source: str, result: str, names: Sequence[str]) -> str:
    """Sent twice, or nothing left: then nothing is passed on."""
    twice = quote(rf"~(?:^|;)\s*(?:{'|'.join(names)})=")
    nothing = quote(r"~^[;\s]*$")
    return (
        f"map ${source} ${result} {{\n"
        f"    default ${source};\n"
        f'    {twice} "";\n'
        f'    {nothing} "";\n}}'
    )


# Headers by which a client could pretend to be a proxy; servers and hub believe none but ours.
REMOVED: Final = (
    "Forwarded",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-User",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X-Scheme",
    "Remote-User",
    "X-Remote-User",
    "Proxy",
    "Proxy-Authorization",
    "Proxy-Connection",
)

# What a browser obeys for the whole host or for all of a window's pages. A user's server speaks for
# itself alone: with the first of them its script would stand between everybody's browser and the
# hub, with the last its pages would share a window, and so all they show, with the hub's.
NOT_FROM_SERVERS: Final = (
    "Service-Worker-Allowed",
    "Clear-Site-Data",
    "Strict-Transport-Security",
    "Alt-Svc",
    "NEL",
    "Report-To",
    "Cross-Origin-Opener-Policy",
)

# Two users' pages are of one origin, and this keeps them out of each other's windows; not
# `same-origin`, which would let them in.
SERVERS_WINDOWS: Final = 'add_header Cross-Origin-Opener-Policy "noopener-allow-popups" always;'

# nginx's own pages, and files: nobody's page may look into them in a frame or a window, because a
# document below a path can read the cookies of that path. What browsers remember of HTTPS is
# said with it (tls.py): one answer is enough for all of the host.
CLOSED_MAPS: Final = """\
map $upstream_http_cross_origin_opener_policy $appliance_opener {
    default "";
    "" same-origin;
}
map $upstream_http_content_security_policy $appliance_framing {
    default "";
    "" "frame-ancestors 'none'";
}
"""
CLOSED: Final = """\
add_header Cross-Origin-Opener-Policy $appliance_opener always;
add_header Content-Security-Policy $appliance_framing always;
add_header Strict-Transport-Security $appliance_hsts always;
"""
