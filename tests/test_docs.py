"""The documentation: links lead somewhere, and what it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Final

import pytest

from appliance.audit import Action
from appliance.cli.reference import command_names
from appliance.config.edit import set_value
from appliance.config.fields import find_setting, is_group, named_groups, sections
from appliance.config.reference import example_text

ROOT: Final = Path(__file__).resolve().parent.parent
PAGES: Final = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")]


def _text(page: Path) -> str:
    return re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)


def _anchors(page: Path) -> set[str]:
    """Headings as forges turn them into anchors."""
    headings = re.findall(r"^#+ (.*)$", _text(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", one.lower()).strip().replace(" ", "-") for one in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_pages_and_headings(page: Path) -> None:
    wrong = []
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", _text(page)):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            wrong.append(link)
    assert not wrong


def test_every_page_is_named_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    missing = [page.name for page in ROOT.glob("docs/*.md") if f"(docs/{page.name})" not in readme]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_and_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    groups = "|".join([*sections(), *named_groups()])
    keys = re.findall(rf"(?:`|config (?:set|get|add|unset) )((?:{groups})\.[\w.:-]*\w)\b", text)
    keys = [key for key in keys if not key.endswith((".md", ".html", ".yaml", ".json"))]
    actions = set(Action)
    keys = [key for key in keys if key not in actions]
    assert [key for key in keys if not find_setting(key) and not is_group(key)] == []
    names = command_names()
    known = {*names, *(name.rpartition(" ")[0] for name in names)}
    groups = "|".join(sorted({name.split()[0] for name in names if " " in name}))
    commands = re.findall(rf"(?:sudo |`|bin/)appliance ((?:{groups}) [a-z-]+)", text)
    assert [command for command in commands if command not in known] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_can_be_set_as_printed(page: Path) -> None:
    """Lines of shell, one after the other; what people have to fill in first is left out."""
    shell = re.compile(r"^ *```(?:sh|bash)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
    for block in shell.findall(page.read_text("utf-8")):
        text = example_text()
        for line in re.findall(r"appliance config set ([^\n;]*)", block.replace("\\\n", " ")):
            if "--stdin" in line or re.search(r"…|\b[A-Z]{3,}\b", line):
                continue
            key, *words = shlex.split(line, comments=True)
            # Without a value a secret is asked for.
            text = set_value(
                text, key, words or ["https://asked.example/for"], name=f"{page.name}: {key}"
            )
