"""Switching HTTPS on, off and over: one change of the settings, taken back if it doesn't work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from appliance.config.edit import set_value, unset
from appliance.config.https_schema import Https
from appliance.config.load import check_text
from appliance.config.schema import Config
from appliance.places import Places
from appliance.rollout.apply import Outcome, make_applier

Wanted = Mapping[str, Sequence[str]]
"""Words for settings below `https`; without words a setting gets its default."""


def wanted_https(config: Config, wanted: Wanted) -> Https:
    """The settings as they would be; raises ConfigError for what can't be."""
    text = _edited("", {"port": [str(config.https.port)], **wanted}, name="https")
    return check_text(text, name="https").https


def switch(places: Places, wanted: Wanted) -> Outcome:
    """Make the settings so, all at once; they are as before if the appliance doesn't answer."""
    name = str(places.config_file)

    def change(text: str) -> str:
        new = _edited(text, wanted, name=name)
        site = _moved_site(check_text(new, name=name))
        return set_value(new, "mail.site", [site], name=name) if site else new

    return make_applier(places).change(change)


def _edited(text: str, wanted: Wanted, *, name: str) -> str:
    """Off while the rest changes: halfway, settings needn't fit the mode that was."""
    text = set_value(text, "https.mode", ["off"], name=name)
    for key, words in sorted(wanted.items(), key=lambda one: one[0] == "mode"):
        if words:
            text = set_value(text, f"https.{key}", words, name=name)
        else:
            text = unset(text, f"https.{key}", name=name)
    return text


def _moved_site(config: Config) -> str:
    """The address in mails if it must change its beginning, else ""."""
    site, https = urlsplit(config.mail.site), config.https
    if not config.mail.site or site.hostname not in https.names:
        return ""
    port = "" if https.port == 443 else f":{https.port}"
    plain = "" if config.http.port == 80 else f":{config.http.port}"
    now = f"https://{site.hostname}{port}" if https.is_on else f"http://{site.hostname}{plain}"
    return now if now != config.mail.site.rstrip("/") else ""
