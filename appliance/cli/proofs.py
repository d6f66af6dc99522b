"""What the commands about proofs, sessions and mail do: they ask the hub."""

from __future__ import annotations

from urllib.parse import quote

from appliance.cli.output import Output, age, count, stamp
from appliance.client.hub import HubClient
from appliance.names import parse_username
from appliance.places import Places

# Connecting to a mail server that doesn't answer takes its time.
_MAIL_SECONDS = 90.0


def reset_factors(places: Places, output: Output, name: str) -> None:
    user = parse_username(name)
    HubClient.of(places).request("DELETE", f"/appliance/users/{quote(user)}/factors")
    output.done({"name": user}, f"{user}: the password alone lets in again")


def allow_tries(places: Places, output: Output, name: str) -> None:
    user = parse_username(name)
    HubClient.of(places).request("DELETE", f"/appliance/users/{quote(user)}/throttle")
    output.done({"name": user}, f"{user}: may try to log in at once")


def sessions(places: Places, output: Output, name: str, *, end: bool) -> None:
    user, hub = parse_username(name), HubClient.of(places)
    path = f"/appliance/users/{quote(user)}/sessions"
    if end:
        ended = hub.request("DELETE", path)["ended"]
        output.done({"ended": ended}, f"{user}: {count(ended, 'browser')} logged out")
        return
    names = ("id", "device", "address", "created", "last_seen")
    found = [{key: one[key] for key in names} for one in hub.request("GET", path)]
    rows = [
        [one["device"], one["address"], stamp(one["created"]), age(one["last_seen"])]
        for one in found
    ]
    output.table(found, ["browser", "address", "since", "last seen"], rows)
    if not found:
        output.say(f"{user} is logged in nowhere")


def test_mail(places: Places, output: Output, address: str) -> None:
    hub = HubClient.of(places, timeout=_MAIL_SECONDS)
    hub.request("POST", "/appliance/mail/test", {"address": address})
    output.done({"sent_to": address}, f"the mail server has taken a mail to {address}")


def mail_status(places: Places, output: Output) -> None:
    found = HubClient.of(places).request("GET", "/appliance/mail")
    if not found["set_up"]:
        text = "no mail is sent: appliance config set mail.host NAME"
    elif found["failure"]:
        text = f"failed {age(found['failure']['at'])}: {found['failure']['why']}"
    else:
        text = "set up, and nothing failed since the hub began"
    output.data(found, text)
