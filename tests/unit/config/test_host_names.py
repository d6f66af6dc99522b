"""The two host names: both or none, different, in the certificate, and nginx's alone."""

from __future__ import annotations

import pytest

from appliance.config.load import check_text
from appliance.errors import ConfigError
from appliance.places import Places
from appliance.rollout.addresses import root_urls

BOTH = "http: {host: hub.school.example, content_host: nb.school.example}\n"


def test_two_names() -> None:
    config = check_text(BOTH.replace("nb.", "NB."), name="f")
    assert (config.http.host, config.http.content_host) == (
        "hub.school.example", "nb.school.example",
    )  # fmt: skip
    assert root_urls(config, Places.installed()) == ["http://hub.school.example"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http: {content_host: nb.school.example}", "there is no http.host"),
        ("http: {host: a.example, content_host: a.example}", "must be another name"),
        ("http: {host: http://a.example}", "must be a host name"),
        ("http: {host: 192.0.2.1}", "must be a host name"),
        ("http: {host: 'a.example:8080'}", "must be a host name"),
        (
            BOTH + "https: {mode: own-ca, names: [hub.school.example]}",
            "must be one of https.names, which are hub.school.example",
        ),
        (
            BOTH + "proxy: {program: configurable-http-proxy, api_token: 0123456789abcdef}",
            "another proxy.program than nginx",
        ),
    ],
)
def test_what_cannot_work_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_text(text, name="f")
    assert any(words in problem.text for problem in caught.value.problems), caught.value.problems


def test_the_printed_address_is_the_hubs() -> None:
    https = "https: {mode: own-ca, names: [nb.school.example, hub.school.example]}"
    config = check_text(BOTH + https, name="f")
    assert root_urls(config, Places.installed()) == ["https://hub.school.example"]
