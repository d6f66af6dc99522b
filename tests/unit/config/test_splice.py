"""Edits of YAML text say what they should and leave every other line as it was."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.splice import add_item, put, remove_item, take
from appliance.config.yaml_text import emit, read_yaml
from appliance.errors import Conflict, NotFound

FILE = """\
# Our classroom.

http:            # where it listens
  port: 8080     # not 80
  trusted_proxies:
    - 10.0.0.0/8  # the school
    - 192.0.2.1
  # end of http
limits:
  # memory: 1G
"signup": {mode: open, code: }   # for now
"""


def values(text: str) -> dict[str, Any]:
    return read_yaml(text, name="f").values()


def changed_lines(old: str, new: str) -> tuple[list[str], list[str]]:
    """Lines that only the old, and only the new text has."""
    before, after = old.splitlines(), new.splitlines()
    return [x for x in before if x not in after], [x for x in after if x not in before]


@pytest.mark.parametrize(
    ("key", "value", "gone", "new"),
    [
        ("http.port", 81, ["  port: 8080     # not 80"], ["  port: 81     # not 80"]),
        ("http.address", "::1", [], ['  address: "::1"']),
        ("limits.memory", "600M", [], ["  memory: 600M"]),
        ("limits.cpu", 1.5, [], ["  cpu: 1.5"]),
        ("culling.enabled", False, [], ["culling:", "  enabled: false"]),
        ("base_url", "/x/", [], ["base_url: /x/"]),
        (
            "signup.code",
            "blue tree",
            ['"signup": {mode: open, code: }   # for now'],
            ['"signup": {mode: open, code: "blue tree" }   # for now'],
        ),
        (
            "http.trusted_proxies",
            ["192.0.2.2"],
            ["  trusted_proxies:", "    - 10.0.0.0/8  # the school", "    - 192.0.2.1"],
            ["  trusted_proxies: [192.0.2.2]"],
        ),
    ],
)
def test_put_changes_one_place(key: str, value: object, gone: list[str], new: list[str]) -> None:
    assert changed_lines(FILE, put(FILE, key, value, name="f")) == (gone, new)


def test_a_value_comes_after_the_comment_that_shows_it() -> None:
    assert "  # memory: 1G\n  memory: 600M\n" in put(FILE, "limits.memory", "600M", name="f")


@pytest.mark.parametrize(
    "text", ["", "# c\n", "# c", "---\n", "{}", "{limits: {}}", "limits:", "a: 1\n...\n"]
)
def test_put_works_in_small_files(text: str) -> None:
    assert values(put(text, "limits.memory", "2G", name="f"))["limits"] == {"memory": "2G"}


@pytest.mark.parametrize(
    ("key", "gone", "new"),
    [
        ("http.port", ["  port: 8080     # not 80"], []),
        (
            "signup.code",
            ['"signup": {mode: open, code: }   # for now'],
            ['"signup": {mode: open }   # for now'],
        ),
        (
            "signup.mode",
            ['"signup": {mode: open, code: }   # for now'],
            ['"signup": {code: }   # for now'],
        ),
        ("limits.cpu", [], []),
    ],
)
def test_take_removes_one_place(key: str, gone: list[str], new: list[str]) -> None:
    assert changed_lines(FILE, take(FILE, key, name="f")) == (gone, new)


def test_items_are_added_and_removed_where_the_list_is() -> None:
    key = "http.trusted_proxies"
    longer = add_item(FILE, key, "::1", name="f")
    assert changed_lines(FILE, longer) == ([], ['    - "::1"'])
    assert remove_item(longer, key, "::1", name="f") == FILE
    assert values(remove_item("http: {trusted_proxies: [a]}", key, "a", name="f")) == {
        "http": {"trusted_proxies": []}
    }
    assert add_item("", key, "a", name="f") == "http:\n  trusted_proxies: [a]\n"
    with pytest.raises(NotFound, match="not in the list"):
        remove_item(FILE, key, "203.0.113.9", name="f")


def test_a_form_that_cannot_be_edited_is_refused() -> None:
    with pytest.raises(Conflict, match="appliance config edit"):
        put("limits: 5\n", "limits.memory", "2G", name="f")


def test_windows_line_ends_stay() -> None:
    text = "http:\r\n  port: 80\r\n# end\r\n"
    assert put(text, "limits.cpu", 2, name="f") == text + "limits:\r\n  cpu: 2\r\n"
    assert put(text, "http.port", 81, name="f") == text.replace("80", "81")
    assert put(text, "http.address", "", name="f") == text.replace(
        "80\r\n", '80\r\n  address: ""\r\n'
    )


SCALARS = st.one_of(
    st.integers(-(10**9), 10**9),
    st.booleans(),
    st.text(max_size=20),
    st.sampled_from(["600M", "null", "~", "yes", "1e3", "0o7", "2020-01-01", "a#b", "a: b", "- x"]),
)
NAMES = st.sampled_from(["port", "memory", "cpu", "mode"])
GROUPS = st.dictionaries(NAMES, SCALARS | st.lists(SCALARS, max_size=3), max_size=4)
COMMENTS = st.sampled_from(["", "  # why", "   "])


@st.composite
def files(draw: st.DrawFn) -> str:
    """Files as people write them: block and bracket groups, lists both ways, comments, empty
    lines."""
    lines: list[str] = []
    for section, group in draw(st.dictionaries(st.sampled_from("abc"), GROUPS, max_size=3)).items():
        if draw(st.booleans()):
            inside = ", ".join(f"{name}: {emit(value)}" for name, value in group.items())
            lines.append(f"{section}: {{{inside}}}{draw(COMMENTS)}")
            continue
        lines.append(f"{section}:{draw(COMMENTS)}")
        for name, value in group.items():
            if isinstance(value, list) and value and draw(st.booleans()):
                lines.append(f"  {name}:{draw(COMMENTS)}")
                lines += [f"  - {emit(item)}{draw(COMMENTS)}" for item in value]
            else:
                lines.append(f"  {name}: {emit(value)}{draw(COMMENTS)}")
            lines += draw(st.sampled_from([[], ["", "# a comment"], ["  # another: one"]]))
    end = draw(st.sampled_from(["\n", ""]))
    text = "\n".join(lines) + end
    return text.replace("\n", "\r\n") if draw(st.booleans()) else text


@given(files(), st.sampled_from("abcd"), NAMES, SCALARS | st.lists(SCALARS, max_size=3))
def test_put_then_read_gives_the_value_and_nothing_else_changes(
    text: str, section: str, name: str, value: object
) -> None:
    before = values(text)
    after = values(put(text, f"{section}.{name}", value, name="f"))
    assert after[section][name] == value
    before.setdefault(section, {})[name] = value
    assert after == before


@given(files(), st.sampled_from("abc"), NAMES)
def test_take_keeps_comments_and_all_other_lines(text: str, section: str, name: str) -> None:
    key = f"{section}.{name}"
    entry = read_yaml(text, name="f").find(key)
    after = take(text, key, name="f")
    assert read_yaml(after, name="f").find(key) is None
    if entry is None:
        assert after == text
    assert after.count("# a comment") == text.count("# a comment")


@given(files(), st.sampled_from("abc"), NAMES, SCALARS)
def test_put_and_take_of_a_new_setting_is_nothing(
    text: str, section: str, name: str, value: object
) -> None:
    key = f"{section}.{name}"
    group = read_yaml(text, name="f").values().get(section)
    if group and name not in group and text.endswith("\n") and ": {" not in text:
        assert take(put(text, key, value, name="f"), key, name="f") == text


@given(files(), st.sampled_from("abc"), NAMES, SCALARS)
def test_add_then_remove_an_item(text: str, section: str, name: str, item: object) -> None:
    key = f"{section}.{name}"
    entry = read_yaml(text, name="f").find(key)
    old = values(text).get(section, {}).get(name) if entry else None
    if isinstance(old, list) and item not in old:
        added = add_item(text, key, item, name="f")
        assert values(added)[section][name] == [*old, item]
        assert values(remove_item(added, key, item, name="f"))[section][name] == old
