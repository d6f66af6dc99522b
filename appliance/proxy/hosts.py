"""Two host names: one for the hub, one for all that users' servers send.

Browsers keep what pages may do apart by host. With a name of their own, pages of users' servers can
neither act for whoever looks at them on the hub's pages nor see the hub's cookies. nginx sends each
request to the name where it belongs; hub and servers know nothing of it but which name a form may
lead to.

What stays on either name: our own static files, what proves our names to certificate authorities,
and requests to servers with an API token in a header, which no page makes a browser send.
"""

from __future__ import annotations

import re

from appliance.config.schema import Config
from appliance.proxy.routing import quote


def host_maps(config: Config) -> str:
    """The other name that a request must go to, or nothing."""
    http = config.http
    cookies = "map $host $appliance_hub_cookie {\n    default $http_cookie;\n"
    if not http.content_host:
        return f"{cookies}}}\n"
    base = re.escape(config.base_url)
    # JupyterLab on the other name tells its user what the hub says, by a key and not by the hub's
    # cookie; and its scripts must hear from the hub itself that their server is gone.
    messages = rf"~^content api {base}hub/api/appliance/(?:messages|visits)(?:[/?]|\s)"
    gone = rf"~^content hub {base}hub/user/\S* \S+ (?:cors|same-origin|no-cors|websocket)$"
    own = (
        "server|lab|notebook|extensions|shared_lab|shared_notebook|hub_static|challenge|own_ca|bad"
    )
    return f"""\
{cookies}    {quote(http.content_host)} "";
}}
map $host $appliance_side {{
    default hub;
    {quote(http.content_host)} content;
}}
map $http_authorization $appliance_has_token {{
    default token;
    "" none;
}}
map "$appliance_side $appliance_route $request_uri $appliance_has_token $http_sec_fetch_mode" \
$appliance_other_host {{
    default "";
    {quote(messages)} "";
    {quote(gone)} "";
    "~^content (?!(?:{own}) )" {quote(http.host)};
    "~^hub server \\S+ none " {quote(http.content_host)};
}}
map $http_host $appliance_typed_port {{
    default "";
    "~(?<appliance_port>:[0-9]{{1,5}})$" $appliance_port;
}}
"""


def to_other_host(config: Config) -> str:
    """What stands in the public server, before its locations; the method is kept."""
    if not config.http.content_host:
        return ""
    there = "$appliance_scheme://$appliance_other_host$appliance_typed_port$request_uri"
    return f"if ($appliance_other_host) {{\n    return 307 {quote(there)};\n}}\n"
