"""The worked examples of docs/pages.md, in a hub that has them as its own templates."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.config.schema import Config
from tests.component.test_pages import logged_in
from tests.fakes.front_door import machine_with_people

DOCS = Path(__file__).parents[2] / "docs" / "pages.md"


def examples() -> list[tuple[str, str]]:
    """File names and texts, in the order of the page."""
    found = re.findall(r"```html\n<!-- (\S+) -->\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert [name for name, _ in found] == ["base.html", "login.html", "base.html"]
    return found


def hub_with(folder: Path) -> Config:
    return Config.model_validate({"pages": {"templates": str(folder)}})


async def test_an_announcement_is_on_every_page(tmp_path: Path) -> None:
    name, text = examples()[0]
    (tmp_path / name).write_text(text)
    async with machine_with_people(hub_with(tmp_path)) as machine:
        pages = [await machine.browser().get(f"/hub/{path}") for path in ("login", "signup")]
        ada = await logged_in(machine, "ada")
        pages += [await ada.get(f"/hub/{path}") for path in ("home", "admin", "token", "nowhere")]
        for page in pages:
            assert page.body.count("Friday from 18:00") == 1
            assert '<div class="note warn" role="note">' in page.body
        (tmp_path / name).unlink()
        assert "Friday" not in (await ada.get("/hub/home")).body


async def test_one_page_alone_says_more(tmp_path: Path) -> None:
    name, text = examples()[1]
    (tmp_path / name).write_text(text)
    async with machine_with_people(hub_with(tmp_path)) as machine:
        page = await machine.browser().get("/hub/login")
        assert "in front of the @" in page.body
        assert 'name="password"' in page.body
        assert "in front of the @" not in (await machine.browser().get("/hub/signup")).body


async def test_a_schools_own_name_logo_and_colours(tmp_path: Path) -> None:
    name, text = examples()[2]
    (tmp_path / name).write_text(text)
    [css] = re.findall(r"```css\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / "school.css").write_text(css)
    (tmp_path / "static" / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    async with machine_with_people(hub_with(tmp_path)) as machine:
        bob = await logged_in(machine, "bob")
        page = await bob.get("/hub/home")
        assert "Lake School</title>" in page.body
        assert "live.js" in page.body
        addresses = re.findall(r'"(/hub/static/custom/[^"]+)"', page.body)
        assert len(addresses) == 2
        for address in addresses:
            assert (await bob.get(address)).status == 200
        assert (await bob.get("/hub/static/custom/none.css")).status == 404
        assert (await bob.get("/hub/static/appliance.css")).status == 200


@pytest.mark.parametrize(
    "path", ["../base.html", "%2e%2e/base.html", "..%2fbase.html", "/etc/passwd", ""]
)
async def test_only_files_of_the_static_folder_are_served(tmp_path: Path, path: str) -> None:
    (tmp_path / "static").mkdir()
    (tmp_path / "base.html").write_text("{% broken")
    async with machine_with_people(hub_with(tmp_path)) as machine:
        answer = await machine.browser().get(f"/hub/static/custom/{path}")
        assert answer.status in {403, 404}
        assert "broken" not in answer.body


async def test_a_mistake_keeps_nobody_from_working(tmp_path: Path) -> None:
    (tmp_path / "base.html").write_text("{% extends 'appliance/base.html' %}\n{% block x %}")
    async with machine_with_people(hub_with(tmp_path)) as machine:
        visitor = await machine.browser().get("/hub/login")
        assert visitor.status == 200
        assert str(tmp_path) not in visitor.body
        bob, ada = [await logged_in(machine, name) for name in ("bob", "ada")]
        assert str(tmp_path) not in (await bob.get("/hub/home")).body
        assert f"{tmp_path}/base.html, line 2" in (await ada.get("/hub/home")).body
