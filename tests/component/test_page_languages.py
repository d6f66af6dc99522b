"""In which language pages come, and what stays English whatever a browser asks for."""

from __future__ import annotations

import pytest

from appliance.config.schema import Config
from appliance.errors import SpawnFailed
from appliance.names import ServerId, Username
from tests.component.test_pages import logged_in
from tests.fakes.front_door import PASSWORD, machine_with_people

GERMAN = {"Accept_Language": "de-DE,de;q=0.9,en;q=0.8"}
HEADINGS = {"en": "<h1>Log in</h1>", "de": "<h1>Anmelden</h1>", "fr": "<h1>Se connecter</h1>"}


async def test_a_browser_gets_the_language_that_it_asks_for() -> None:
    async with machine_with_people() as machine:
        page = await machine.browser().get("/hub/login", **GERMAN)
        assert '<html lang="de">' in page.body
        assert HEADINGS["de"] in page.body
        assert HEADINGS["en"] in (await machine.browser().get("/hub/login")).body


async def test_what_is_chosen_at_the_door_is_kept_and_leads_back() -> None:
    async with machine_with_people() as machine:
        browser = machine.browser()
        await browser.get("/hub/login?next=/hub/token", **GERMAN)
        chosen = await browser.post(
            "/hub/language", {"language": "fr", "next": "/hub/login?next=/hub/token"}
        )
        assert chosen.location == "/hub/login?next=/hub/token"
        assert HEADINGS["fr"] in (await browser.get("/hub/login", **GERMAN)).body
        for code in ("xx", "../de", ""):
            refused = await browser.post("/hub/language", {"language": code}, **GERMAN)
            assert refused.status == 400
        away = await browser.post("/hub/language", {"language": "de", "next": "//evil.example/"})
        assert away.location == "/hub/login"
        unproven = await browser.post("/hub/language", {"language": "en", "_xsrf": "x"})
        assert unproven.status == 403
        assert HEADINGS["de"] in (await browser.get("/hub/login")).body


@pytest.mark.parametrize("code", ["en", "de"])
async def test_a_school_sets_the_language_for_all_who_chose_none(code: str) -> None:
    config = Config.model_validate({"pages": {"language": code}})
    async with machine_with_people(config) as machine:
        page = await machine.browser().get("/hub/login", Accept_Language="fr")
        assert HEADINGS[code] in page.body


async def test_the_language_of_the_account_goes_before_the_browsers() -> None:
    async with machine_with_people() as machine:
        with machine.hub.db.session() as session:
            session.connection().exec_driver_sql("UPDATE users SET language='fr' WHERE name='bob'")
        bob = machine.browser()
        assert (await bob.log_in("bob", PASSWORD)).status == 302
        home = await bob.get("/hub/home", **GERMAN)
        assert "Bonjour bob" in home.body
        gone = await bob.get("/hub/nowhere", **GERMAN)
        assert gone.status == 404
        assert "Il n’y a rien à cette adresse" in gone.body  # noqa: RUF001


async def test_mistakes_and_notes_are_told_in_it() -> None:
    async with machine_with_people() as machine:
        browser = machine.browser()
        await browser.get("/hub/login", **GERMAN)
        wrong = await browser.post("/hub/login", {"username": "bob", "password": "no"}, **GERMAN)
        assert "Der Name oder das Passwort ist falsch." in wrong.body
        bob = await logged_in(machine, "bob")
        await bob.post("/hub/logout", {}, **GERMAN)
        assert "Sie sind abgemeldet." in (await bob.get("/hub/login")).body


async def test_what_the_spawner_says_is_recognized() -> None:
    async with machine_with_people() as machine:
        machine.spawner.failure = SpawnFailed(
            "cannot start the server of 'bob'", why="the spawner daemon was restarted meanwhile"
        )
        bob = await logged_in(machine, "bob")
        with pytest.raises(SpawnFailed):
            await machine.hub.servers.start(ServerId(Username("bob")), wait=5.0)
        page = await bob.get("/hub/home", **GERMAN)
        assert "Der Spawner-Daemon wurde inzwischen neu gestartet." in page.body
        assert "restarted meanwhile" in (await bob.get("/hub/home")).body


async def test_the_api_speaks_english() -> None:
    async with machine_with_people() as machine:
        bob = await logged_in(machine, "bob")
        answer = await bob.api("GET", "users/carol", **GERMAN)
        assert answer.status in {403, 404}
        assert answer.json["message"].isascii()
        assert "No access" in answer.json["message"] or "not authorized" in answer.json["message"]


async def test_messages_in_jupyterlab_are_in_the_readers_language() -> None:
    async with machine_with_people() as machine:
        parts = machine.hub.classroom.parts
        parts["messages"].send("Guten Morgen", sender="carol", users=["bob"])
        bob = await logged_in(machine, "bob")
        german = await bob.api("GET", "appliance/messages", **GERMAN)
        english = await bob.api("GET", "appliance/messages")
        assert german.json["title"] == "Nachrichten"
        assert english.json["title"] == "Messages"
        assert german.json["cards"][0]["text"] == "Guten Morgen"
