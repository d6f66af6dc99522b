"""HTTPS settings as a whole: what can't be, and what changes with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.https_schema import LETS_ENCRYPT, Https
from appliance.config.load import check_text
from appliance.config.schema import Config
from appliance.errors import ConfigError
from appliance.https.snippets import Front, settings_for, snippet
from appliance.https.switching import _edited, _moved_site, wanted_https

OWN_CA = {"mode": ["own-ca"], "names": ["Hub.School.Test."]}


def test_wanted_settings_are_taken_together_and_the_rest_goes() -> None:
    https = wanted_https(Config(), OWN_CA)
    assert https == Https.model_validate({"mode": "own-ca", "names": ["hub.school.test"]})
    text = "https:\n  mode: files\n  certificate: /a\n  key: /b\n  names: [x.test]\n"
    new = _edited(text, {**OWN_CA, "certificate": [], "key": []}, name="f")
    assert check_text(new, name="f").https == https


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"mode": ["letsencrypt"], "names": ["hub.test"]}, "while there is no https.email"),
        (
            {"mode": ["letsencrypt"], "names": ["192.0.2.1"], "email": ["a@b.test"]},
            "found the address",
        ),
        (
            {"mode": ["letsencrypt"], "names": ["hub"], "email": ["a@b.test"]},
            "must be public names",
        ),
        ({"names": ["*.school.test"]}, 'must be whole names such as "hub.school.test"'),
        ({"names": ["schüle.test"]}, 'must be written in ASCII, "xn--schle-mva.test"'),
        ({"names": ["http://hub.test"]}, "must be a host name such as"),
        ({"mode": ["files"], "certificate": ["/a"]}, "while there is no https.key"),
        ({**OWN_CA, "port": ["80"]}, "must differ from http.port"),
    ],
)
def test_what_can_not_be_is_refused(wanted: dict[str, list[str]], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        wanted_https(Config(), wanted)
    assert said in str(caught.value.problems[0])


def test_configurable_proxy_in_front_does_https_itself() -> None:
    with pytest.raises(ConfigError) as caught:
        check_text(
            "proxy: {program: configurable-http-proxy}\nhttps: {mode: own-ca, names: [a.test]}\n",
            name="f",
        )
    assert "https.mode: must be off while" in str(caught.value.problems[0])


@pytest.mark.parametrize(
    ("site", "https", "moved"),
    [
        ("http://hub.test", {"mode": "own-ca"}, "https://hub.test"),
        ("http://hub.test/", {"mode": "own-ca", "port": 8443}, "https://hub.test:8443"),
        ("https://hub.test", {"mode": "own-ca"}, ""),
        ("https://hub.test", {"mode": "off"}, "http://hub.test"),
        ("http://elsewhere.test", {"mode": "own-ca"}, ""),
        ("", {"mode": "own-ca"}, ""),
    ],
)
def test_address_in_mails_goes_along(site: str, https: dict[str, object], moved: str) -> None:
    config = Config.model_validate(
        {"mail": {"site": site}, "https": {"names": ["hub.test"], **https}}
    )
    assert _moved_site(config) == moved


def test_directory_is_lets_encrypts_unless_another_is_named() -> None:
    assert Https().directory_url == LETS_ENCRYPT
    assert Https(directory="https://ca.test/acme").directory_url == "https://ca.test/acme"


@pytest.mark.parametrize("front", Front)
def test_snippet_passes_to_the_appliance(front: Front) -> None:
    socket = Path("/run/appliance/front/http.sock")
    elsewhere, here = (snippet(front, "hub.test", to=to) for to in ("192.0.2.1:80", socket))
    assert "192.0.2.1:80" in elsewhere
    assert f"{socket}" in here
    for text in (elsewhere, here):
        assert "hub.test" in text
        assert "{name}" not in text
        assert "{{" not in text
    assert dict(settings_for("192.0.2.7")) == {"http.trusted_proxies": "192.0.2.7"}
    assert dict(settings_for(""))["http.socket"] == "true"
