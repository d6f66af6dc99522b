"""Notices on their way: by a mail server, by a webhook, through a proxy, and when nothing works."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from appliance.config.schema import Config
from appliance.errors import ApplianceError
from appliance.findings import Finding, Severity, read_findings, write_finding
from appliance.places import Places
from appliance.upkeep.delivery import ByWebhook, Message
from appliance.upkeep.notices import Notices
from tests.fakes.hub_api import FakeHubApi
from tests.fakes.mail_server import Post, mail_server
from tests.fakes.ports import free_port

HOUR = 3600
BAD = Finding("disk", Severity.FAILED, "the disk is full", "too many files", "remove some")
GOOD = Finding("disk", Severity.OK, "there is room")


@dataclass
class Hook:
    """What was posted; `status` is the answer to the next."""

    port: int
    posts: list[tuple[str, Any]] = field(default_factory=list)
    status: int = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/very-secret"


@contextmanager
def hook() -> Iterator[Hook]:
    found = Hook(0)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posts.append((self.path, json.loads(body)))
            self.send_response(found.status)
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, *_words: Any) -> None:
            """Quietly."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def places(tmp_path: Path) -> Places:
    made = Places.of_trial(tmp_path)
    for folder in (made.state, made.run, made.rendered):
        folder.mkdir(exist_ok=True)
    return made


def settings(**sections: Any) -> Config:
    return Config.model_validate(sections)


def mail(post: Post) -> dict[str, Any]:
    return {
        "host": "127.0.0.1", "port": post.port, "security": "none",
        "sender": "hub@example.org", "site": "https://hub.example.org",
    }  # fmt: skip


class Rounds:
    """Rounds of one appliance, a quarter of an hour apart."""

    def __init__(self, config: Config, places: Places) -> None:
        self.config = config
        self.places = places
        self.now = 1e9
        self.fault = ""

    def go(self, *findings: Finding) -> None:
        for one in findings:
            write_finding(self.places.health, one)
        self.now += HOUR / 4
        Notices(
            self.config, self.places,
            now=lambda: self.now, pause=lambda _seconds: None, fault=lambda _config: self.fault,
        ).tell()  # fmt: skip

    @property
    def own(self) -> Finding:
        return next(one for one in read_findings(self.places.health) if one.topic == "notices")


def test_mail_to_those_that_are_named(places: Places) -> None:
    with mail_server("none") as post:
        receivers = ["a@example.org", "b@example.org"]
        rounds = Rounds(settings(mail=mail(post), notices={"mail": receivers}), places)
        rounds.go(GOOD)
        assert post.letters == []
        rounds.go(BAD)
        rounds.go(BAD)
        assert [letter["To"] for letter in post.letters] == receivers
        assert "the disk is full" in post.letters[0]["Subject"]
        text = post.letters[0].get_content()
        assert "Why: too many files" in text
        assert "To mend: remove some" in text
        assert post.letters[0]["Auto-Submitted"] == "auto-generated"
        rounds.go(GOOD)
        rounds.go(GOOD)
        assert len(post.letters) == 4
        assert "mended: there is room" in post.letters[-1]["Subject"]
        assert rounds.own.severity is Severity.OK


def test_admins_with_an_address_are_asked_of_the_hub_and_remembered(places: Places) -> None:
    with mail_server("none") as post:
        hub = FakeHubApi(places)
        hub.add("ada", admin=True)
        hub.add("bob")
        hub.add("eve", admin=True)
        hub.users["ada"]["appliance"]["email"] = "ada@example.org"
        hub.users["bob"]["appliance"]["email"] = "bob@example.org"
        rounds = Rounds(settings(mail=mail(post)), places)
        rounds.go()
        hub.close()
        # The hub is what is broken.
        rounds.now += 2 * HOUR
        rounds.fault = "nothing listens"
        rounds.go()
        assert [letter["To"] for letter in post.letters] == ["ada@example.org"]
        assert "the hub doesn't answer" in post.letters[0]["Subject"]
        rounds.fault = ""
        rounds.go()
        rounds.go()
        assert "mended: the hub answers" in post.letters[-1]["Subject"]


def test_what_cannot_be_sent_is_tried_again_and_never_piles_up(
    places: Places, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with mail_server("none") as post, hook() as found:
        notices = {"mail": ["a@example.org"], "webhook": found.url}
        rounds = Rounds(settings(mail=mail(post), notices=notices), places)
        post.answer, found.status = "550 no", 500
        for _ in range(5):
            rounds.go(BAD)
        assert post.letters == []
        assert rounds.own.severity is Severity.WARNING
        assert "it answered 500" in rounds.own.why
        post.answer = "250 OK"
        rounds.go(BAD)
        assert len(post.letters) == 1
        found.status = 200
        tried = len(found.posts)
        rounds.go(BAD)
        rounds.go(BAD)
        assert len(post.letters) == 1
        assert len(found.posts) == tried + 1
        assert rounds.own.severity is Severity.OK
    assert "very-secret" not in caplog.text
    assert "very-secret" not in (places.upkeep_state / "notices.json").read_text()
    for finding in read_findings(places.health):
        assert "very-secret" not in finding.to_json()


def test_the_webhook_gets_words_for_a_chat_and_fields_for_programs(places: Places) -> None:
    with hook() as found:
        rounds = Rounds(settings(notices={"webhook": found.url}), places)
        rounds.go(BAD)
        ((path, body),) = found.posts
        assert path == "/hooks/very-secret"
        assert "the disk is full" in body["text"]
        (item,) = body["appliance"]["items"]
        assert item == {
            "topic": "disk", "state": "worse", "severity": "failed",
            "summary": "the disk is full", "why": "too many files", "mend": "remove some",
        }  # fmt: skip


def test_a_name_in_a_notice_calls_nobody(places: Places) -> None:
    words = "the class <!channel> @all & <https://evil.example|here> is full, ada@allmail"
    with hook() as found:
        config = settings(notices={"webhook": found.url})
        ByWebhook(config, places).send(Message("full", words))
        text = found.posts[0][1]["text"]
    assert "<" not in text
    assert "@all " not in text
    assert "&lt;!channel&gt; @\u2060all &amp; " in text
    assert "ada@allmail" in text


def test_it_goes_through_the_proxy_of_the_settings_and_nowhere_else(places: Places) -> None:
    message = Message("subject", "text")
    with hook() as proxy, hook() as direct:
        by_proxy = settings(
            network={"proxy": f"http://127.0.0.1:{proxy.port}"},
            notices={"webhook": "http://chat.example.org/hooks/1"},
        )
        assert ByWebhook(by_proxy, places).send(message) == ["the webhook"]
        assert proxy.posts[0][0] == "http://chat.example.org/hooks/1"
        beside = settings(
            network={"proxy": f"http://127.0.0.1:{proxy.port}"}, notices={"webhook": direct.url}
        )
        ByWebhook(beside, places).send(message)
        assert len(direct.posts) == 1
        direct.status = 302
        with pytest.raises(ApplianceError, match="it answered 302"):
            ByWebhook(beside, places).send(message)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://127.0.0.1:{port}/very-secret", "nothing listens at that port"),
        ("http://no-such-host.invalid/very-secret", "its name isn't known"),
        ("https://127.0.0.1:{hook}/very-secret", "can't be reached|connection broke"),
    ],
)
def test_why_it_cannot_be_sent_without_the_secret(places: Places, url: str, words: str) -> None:
    with hook() as found:
        whole = url.format(port=free_port(), hook=found.port)
        config = settings(notices={"webhook": whole})
        with pytest.raises(ApplianceError, match=words) as caught:
            ByWebhook(config, places).send(Message("subject", "text"))
    assert "very-secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_people_who_wait(places: Places) -> None:
    with hook() as found:
        hub = FakeHubApi(places)
        hub.add("bob", state="waiting")
        rounds = Rounds(settings(notices={"webhook": found.url}), places)
        rounds.go()
        rounds.go()
        assert [body["text"].count("1 person waits") for _, body in found.posts] == [2]
        off = Rounds(settings(notices={"webhook": found.url, "waiting": False}), places)
        off.now = rounds.now + 48 * HOUR
        off.go()
        assert len(found.posts) == 1
        hub.close()


def test_where_nobody_is_to_be_told_nothing_is_asked(places: Places) -> None:
    rounds = Rounds(settings(), places)
    rounds.fault = "down"
    rounds.go(BAD)
    assert [one.topic for one in read_findings(places.health)] == ["disk"]
    assert not (places.upkeep_state / "notices.json").exists()
