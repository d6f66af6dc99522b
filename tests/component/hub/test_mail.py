"""Mail that the hub sends, to a real mail server: forgotten passwords, addresses, tests."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from unittest import mock

import pytest
from sqlalchemy import update

from appliance.config.schema import Config
from appliance.db.models import User
from appliance.native_auth.mail import Letter
from tests.component.hub.conftest import STUDENT_PASSWORD
from tests.fakes.clock import FakeClock
from tests.fakes.hub_machine import Answer, Browser, Machine
from tests.fakes.mail_server import PASSWORD, USER, Post, mail_server, make_certificate
from tests.fakes.ports import free_port

SITE = "https://hub.example.org"
ADDRESS = "bob@example.net"


def settings(port: int, **more: object) -> Config:
    mail = {
        "host": "localhost", "port": port, "security": "none", "sender": "hub@example.org",
        "site": SITE, **more,
    }  # fmt: skip
    return Config.model_validate({"mail": mail})


@pytest.fixture
def post() -> Iterator[Post]:
    with mail_server("none") as post:
        yield post


@pytest.fixture
def config(post: Post) -> Config:
    return settings(post.port)


async def arrived(post: Post, count: int = 1) -> EmailMessage:
    """The latest of as many mails."""
    await until(lambda: len(post.letters) >= count)
    assert len(post.letters) == count
    return post.letters[-1]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(20):
        for _ in itertools.takewhile(lambda _: not holds(), itertools.count()):
            await asyncio.sleep(0.02)


def text_of(letter: EmailMessage) -> str:
    body = letter.get_body()
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def link_in(letter: EmailMessage) -> str:
    """The path of the link; it begins with the address of the configuration."""
    found = re.search(rf"^{re.escape(SITE)}(/hub/\S+)$", text_of(letter), re.MULTILINE)
    assert found
    return found[1]


async def confirm_address(bob: Browser, post: Post, address: str = ADDRESS) -> None:
    await bob.get("/hub/account")
    before = len(post.letters)
    answer = await bob.post("/hub/account", {"do": "email", "email": address})
    assert answer.status == 302
    path = link_in(await arrived(post, before + 1))
    await bob.get(path)
    token = path.partition("=")[2]
    assert (await bob.post("/hub/account/email", {"token": token})).status == 302


async def forget(machine: Machine, who: str, **more: str) -> Answer:
    browser = machine.browser()
    await browser.get("/hub/forgot")
    return await browser.post("/hub/forgot", {"who": who}, **more)


async def settled() -> None:
    """Time for what was begun after an answer."""
    for _ in range(20):
        await asyncio.sleep(0.01)


class TestForgotten:
    @pytest.mark.parametrize("who", ["bob", "BOB", ADDRESS, "Bob@Example.NET", f"  {ADDRESS} "])
    async def test_a_link_by_mail_leads_to_a_new_password(
        self, machine: Machine, bob: Browser, post: Post, who: str
    ) -> None:
        await confirm_address(bob, post)
        assert (await forget(machine, who)).status == 200
        letter = await arrived(post, 2)
        assert letter["To"] == ADDRESS
        assert letter["From"] == "Hub Appliance <hub@example.org>"
        assert letter["Auto-Submitted"] == "auto-generated"
        browser, path = machine.browser(), link_in(letter)
        await browser.get(path)
        fields = {"token": path.partition("=")[2], "password": "a-lake-in-winter"}
        assert (await browser.post("/hub/setup", fields)).status == 302
        assert (await browser.get("/hub/home")).status == 200
        assert (await bob.get("/hub/home")).status == 302
        assert (await browser.post("/hub/setup", fields)).status == 404

    async def test_the_link_ends_after_half_an_hour(
        self, machine: Machine, bob: Browser, post: Post, clock: FakeClock
    ) -> None:
        await confirm_address(bob, post)
        await forget(machine, "bob")
        path = link_in(await arrived(post, 2))
        clock.pass_time(31 * 60)
        assert (await machine.browser().get(path)).status == 404

    async def test_the_link_ends_with_the_password_it_was_made_for(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await confirm_address(bob, post)
        await forget(machine, "bob")
        path = link_in(await arrived(post, 2))
        await machine.root("PUT", "appliance/users/bob/password", {"password": "set-by-root-now"})
        assert (await machine.browser().get(path)).status == 404

    async def test_a_stranger_who_asks_ends_no_link_of_a_teacher(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await confirm_address(bob, post)
        made = await machine.root("POST", "appliance/users/bob/setup-link", {"expires_in": 3600})
        await forget(machine, "bob")
        await arrived(post, 2)
        assert (await machine.browser().get(made.json["path"])).status == 200

    async def test_the_answer_tells_nothing(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        """Nor does the time it takes: before it, nobody is looked up."""
        await confirm_address(bob, post)
        pages = []
        users = machine.hub.users
        for who in ("bob", "nobody", ADDRESS, "no@example.net", "\0", "x" * 3000, ""):
            looked_up = mock.patch.object(users, "find", wraps=users.find)
            with looked_up as find:
                browser = machine.browser()
                await browser.get("/hub/forgot")
                request = browser.post("/hub/forgot", {"who": who})
                answer = await request
            pages.append((answer.status, re.sub(r"value=\"[^\"]*\"", "", answer.body)))
            assert find.call_count <= 1
        assert len(set(pages)) == 1
        await settled()
        assert len(post.letters) == 3

    async def test_an_address_that_nobody_confirmed_gets_nothing(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        with machine.hub.db.session() as session:
            session.execute(update(User).where(User.name == "bob").values(email=ADDRESS))
        for who in ("bob", ADDRESS):
            await forget(machine, who)
        await settled()
        assert post.letters == []

    async def test_nobody_is_flooded(self, machine: Machine, bob: Browser, post: Post) -> None:
        await confirm_address(bob, post)
        for _ in range(12):
            await forget(machine, "bob")
        await settled()
        assert len(post.letters) <= 5
        assert (await forget(machine, "bob")).status == 200
        statuses = {(await forget(machine, "nobody")).status for _ in range(30)}
        assert statuses == {200, 429}

    async def test_no_header_of_a_request_gets_into_the_link(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await confirm_address(bob, post)
        await forget(machine, "bob", X_Forwarded_Host="evil.example", X_Forwarded_Proto="https")
        assert "evil" not in text_of(await arrived(post, 2))

    async def test_a_mail_is_in_the_users_language(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await bob.get("/hub/account")
        await bob.post("/hub/account", {"do": "profile", "full_name": "Bob B.", "language": "de"})
        await confirm_address(bob, post)
        with mock.patch("appliance.native_auth.letters.localized", lambda text: f"<{text}>"):
            await forget(machine, "bob")
            letter = await arrived(post, 2)
        assert letter["Subject"].startswith("<")


@pytest.mark.parametrize("config", [Config()])
async def test_without_mail_the_page_says_whom_to_ask(machine: Machine, bob: Browser) -> None:
    page = await machine.browser().get("/hub/forgot")
    assert "Ask your teacher or an admin" in page.body
    assert 'action="/hub/forgot"' not in page.body
    assert "Ask your teacher" in (await forget(machine, "bob")).body
    assert 'name="email"' not in (await bob.get("/hub/account")).body
    refused = await machine.root("POST", "appliance/mail/test", {"address": ADDRESS})
    assert (refused.status, "no mail server" in refused.json["message"]) == (400, True)


class TestAddresses:
    async def test_a_link_counts_for_the_address_it_was_sent_to(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await bob.get("/hub/account")
        await bob.post("/hub/account", {"do": "email", "email": ADDRESS})
        first = link_in(await arrived(post, 1)).partition("=")[2]
        await bob.post("/hub/account", {"do": "email", "email": "other@example.net"})
        second = link_in(await arrived(post, 2)).partition("=")[2]
        assert (await bob.post("/hub/account/email", {"token": first})).status == 404
        with machine.hub.db.session() as session:
            session.execute(update(User).where(User.name == "bob").values(email=ADDRESS))
        assert (await bob.post("/hub/account/email", {"token": second})).status == 404
        assert "Confirmed" not in (await bob.get("/hub/account")).body

    async def test_looking_at_the_link_confirms_nothing(
        self, machine: Machine, bob: Browser, post: Post
    ) -> None:
        await bob.get("/hub/account")
        await bob.post("/hub/account", {"do": "email", "email": ADDRESS})
        await machine.browser().get(link_in(await arrived(post)))
        assert "Not confirmed yet" in (await bob.get("/hub/account")).body

    async def test_a_session_that_isnt_fresh_needs_the_password(
        self, machine: Machine, bob: Browser, post: Post, clock: FakeClock
    ) -> None:
        clock.pass_time(700)
        await bob.get("/hub/account")
        fields = {"do": "email", "email": ADDRESS}
        assert (await bob.post("/hub/account", fields)).status == 403
        proof = {**fields, "email_proof": STUDENT_PASSWORD}
        assert (await bob.post("/hub/account", proof)).status == 302
        await arrived(post)

    @pytest.mark.parametrize(
        "address",
        [
            "x", "bob@", "@example.org", "bob@example.org\r\nBcc: eve@example.org",
            "bob@example.org\nSubject: x", "bob@example.org, eve@example.org", "<bob@example.org>",
            "bob bob@example.org", "bob@exa mple.org", "bób@example.org",
            "b" * 250 + "@example.org", '"a"@example.org', "bob@-example.org",
        ],
    )  # fmt: skip
    async def test_what_is_no_address(
        self, machine: Machine, bob: Browser, post: Post, address: str
    ) -> None:
        await bob.get("/hub/account")
        answer = await bob.post("/hub/account", {"do": "email", "email": address})
        assert answer.status == 400
        mailer = machine.hub.classroom.parts["mailer"]
        assert not mailer.post(Letter(address, "x", "y"))
        await settled()
        assert post.letters == []


class TestServers:
    """Each kind of mail server, and what is said of those that don't work."""

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_with_tls_and_log_in(
        self, tmp_path: Path, clock: FakeClock, security: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate = make_certificate(tmp_path / "server.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with mail_server(security, certificate=certificate) as post:
            config = settings(post.port, security=security, user=USER, password=PASSWORD)
            async with Machine(tmp_path / "hub", config=config, clock=clock) as machine:
                answer = await machine.root("POST", "appliance/mail/test", {"address": ADDRESS})
                assert answer.status == 200
        assert (len(post.letters), post.users) == (1, [USER])
        assert SITE in text_of(post.letters[0])

    @pytest.mark.parametrize("security", ["starttls", "tls"])
    async def test_a_certificate_that_nobody_vouches_for(
        self, tmp_path: Path, clock: FakeClock, security: str
    ) -> None:
        certificate = make_certificate(tmp_path / "server.pem")
        with mail_server(security, certificate=certificate) as post:
            config = settings(post.port, security=security, user=USER, password=PASSWORD)
            why = await self._why(tmp_path, config, clock)
        assert "certificate isn't trusted" in why
        assert post.users == []

    async def test_a_wrong_password(
        self, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        certificate = make_certificate(tmp_path / "server.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with mail_server("starttls", certificate=certificate) as post:
            config = settings(post.port, security="starttls", user=USER, password="wrong-one")
            assert "refuses the user name or the password" in await self._why(
                tmp_path, config, clock
            )

    async def test_no_starttls_where_it_is_asked_for(
        self, tmp_path: Path, clock: FakeClock, post: Post
    ) -> None:
        why = await self._why(tmp_path, settings(post.port, security="starttls"), clock)
        assert "STARTTLS" in why
        assert post.letters == []

    async def test_nothing_listens(self, tmp_path: Path, clock: FakeClock) -> None:
        why = await self._why(tmp_path, settings(free_port()), clock)
        assert "nothing listens" in why

    async def test_the_server_refuses(self, tmp_path: Path, clock: FakeClock, post: Post) -> None:
        post.answer = "550 5.7.1 go away"
        assert "550 5.7.1 go away" in await self._why(tmp_path, settings(post.port), clock)

    async def _why(self, folder: Path, config: Config, clock: FakeClock) -> str:
        """What root hears of a test, and admins afterwards."""
        async with Machine(folder / "hub", config=config, clock=clock) as machine:
            answer = await machine.root("POST", "appliance/mail/test", {"address": ADDRESS})
            assert (answer.status, answer.json["code"]) == (502, "mail")
            state = (await machine.root("GET", "appliance/mail")).json
            assert state["failure"]["why"] in answer.json["message"]
            return str(answer.json["message"])


async def test_a_failure_keeps_nobody_waiting_and_a_passing_one_is_tried_again(
    machine: Machine, bob: Browser, post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.native_auth.mail._PAUSES", (0.05, 0.05))
    await confirm_address(bob, post)
    post.answer = "451 come back later"
    assert (await forget(machine, "bob")).status == 200
    mailer = machine.hub.classroom.parts["mailer"]
    await until(lambda: mailer.failure is not None)
    post.answer = "250 OK"
    await arrived(post, 2)
    await settled()
    assert mailer.failure is None


async def test_students_send_no_tests(machine: Machine, bob: Browser, post: Post) -> None:
    await bob.get("/hub/account")
    assert (await bob.api("POST", "appliance/mail/test", {"address": ADDRESS})).status == 403
    assert (await bob.api("GET", "appliance/mail")).status == 403
    assert post.letters == []


class TestNews:
    @pytest.fixture
    def config(self, post: Post) -> Config:
        return settings(post.port, tell_sign_ups=True)

    async def test_who_may_approve_hears_of_who_waits(
        self, machine: Machine, ada: Browser, post: Post, clock: FakeClock
    ) -> None:
        await machine.browser().sign_up("zoe", STUDENT_PASSWORD)
        await settled()
        assert post.letters == []  # ada has confirmed no address
        await confirm_address(ada, post, "ada@example.net")
        for name in ("yan", "xia"):
            await machine.browser().sign_up(name, STUDENT_PASSWORD)
        letter = await arrived(post, 2)
        assert (letter["To"], letter["Subject"]) == ("ada@example.net", "yan waits for approval")
        assert link_in(letter) == "/hub/admin?show=waiting"
        await settled()
        clock.pass_time(16 * 60)
        await machine.browser().sign_up("wim", STUDENT_PASSWORD)
        await arrived(post, 3)
