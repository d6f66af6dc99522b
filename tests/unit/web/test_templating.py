"""Templates of one's own: they come first, may build on ours, and can't take a page away."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.web.templating import make_renderer

ADMIN = SimpleNamespace(name="ada", admin=True)
BOB = SimpleNamespace(name="bob", admin=False)


def page(folder: Path | None, template: str = "logout.html", **values: Any) -> str:
    render = make_renderer("/", folder=folder)
    return render(
        template, {"principal": None, "xsrf_token": "x", "path": "/", "notes": [], **values}
    )


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)


def test_a_block_of_the_frame_is_on_every_page_and_at_the_door(tmp_path: Path) -> None:
    write(
        tmp_path,
        "base.html",
        '{% extends "appliance/base.html" %}{% block announcement %}Closed on Friday{% endblock %}'
        "{% block brand %}Our School{% endblock %}",
    )
    for template, values in (
        ("logout.html", {}),
        ("signup_closed.html", {"takes_codes": False}),
        ("setup_expired.html", {}),
    ):
        html = page(tmp_path, template, **values)
        assert html.count("Closed on Friday") == 1, template
        assert html.count("Our School") == 1, template


def test_one_page_alone_can_be_built_upon(tmp_path: Path) -> None:
    text = '{% extends "appliance/logout.html" %}{% block announcement %}Bye{% endblock %}'
    write(tmp_path, "logout.html", text)
    assert "Bye" in page(tmp_path)
    assert "Bye" not in page(tmp_path, "signup_closed.html", takes_codes=False)


def test_what_pages_show_is_escaped_in_templates_of_ones_own_too(tmp_path: Path) -> None:
    write(tmp_path, "logout.html", "{{ path }}")
    assert page(tmp_path, path="<b>") == "&lt;b&gt;"


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("\n\n{% if %}", "line 3: Expected an expression"),
        ("\n{{ nothing_like_it }}", "line 2: 'nothing_like_it' is undefined"),
        ("\n\n\n{{ 1 / 0 }}", "line 4: division by zero"),
        ('{% extends "logout.html" %}', "a template uses itself"),
        ('{% extends "appliance/nowhere.html" %}', "appliance/nowhere.html"),
        ("{{ static_url('custom/none.png') }}", "No such file"),
    ],
)
def test_a_mistake_costs_the_template_and_not_the_page(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, mistake: str
) -> None:
    write(tmp_path, "logout.html", text)
    with caplog.at_level(logging.ERROR):
        shown = page(tmp_path, principal=BOB)
    assert shown == page(None, principal=BOB)
    [record] = caplog.records
    assert mistake in record.getMessage()
    assert str(tmp_path) in record.getMessage()
    if "line" in mistake:
        assert f"{tmp_path}/logout.html" in record.getMessage()


def test_bytes_that_are_no_text_cost_the_template_alone(tmp_path: Path) -> None:
    (tmp_path / "logout.html").write_bytes(b"\xff\xfe")
    assert page(tmp_path) == page(None)


def test_admins_see_what_is_wrong_and_the_log_says_it_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, "logout.html", "{{ nothing_like_it }}")
    render = make_renderer("/", folder=tmp_path)
    values = {"principal": ADMIN, "xsrf_token": "x", "path": "/", "notes": []}
    pages = [render("logout.html", values) for _ in range(3)]
    assert all("logout.html, line 1: &#39;nothing_like_it&#39;" in one for one in pages)
    assert len(caplog.records) == 1


def test_a_mended_template_is_used_at_once(tmp_path: Path) -> None:
    render = make_renderer("/", folder=tmp_path)
    values = {"principal": None, "xsrf_token": "x", "path": "/", "notes": []}
    write(tmp_path, "logout.html", "{% broken")
    assert "<html" in render("logout.html", values)
    write(tmp_path, "logout.html", "mended now")
    assert render("logout.html", values) == "mended now"


def test_a_file_of_ones_own_has_a_new_address_when_it_changes(tmp_path: Path) -> None:
    (tmp_path / "static").mkdir()
    write(tmp_path / "static", "logo.png", "one")
    write(tmp_path, "logout.html", "{{ static_url('custom/logo.png') }}")
    before = page(tmp_path)
    assert before.startswith("/hub/static/custom/logo.png?v=")
    write(tmp_path / "static", "logo.png", "three")
    assert page(tmp_path) != before


def test_a_folder_that_is_not_there_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert page(tmp_path / "none") == page(None)
    assert f"the hub sees no folder {tmp_path}/none" in caplog.text
