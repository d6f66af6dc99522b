"""Roles, custom scopes and services in the file: what is wrong with them is told at its place."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config.fields import named_groups, path_of, setting_at
from appliance.config.load import check_text
from appliance.config.reference import EXAMPLE_NAMES, example_text
from appliance.config.rendered import dump_json, read_rendered
from appliance.config.rules import find_faults
from appliance.config.schema import Config
from appliance.config.setting import dotted
from appliance.config.splice import add_item, put, remove_item, take
from appliance.config.yaml_text import emit, read_yaml
from appliance.errors import ConfigError


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_text(text, name="f")
    return [str(problem) for problem in caught.value.problems]


BAD: list[tuple[str, str]] = [
    # Names that people choose.
    ("roles: {T: {}}", 'f:1:9  roles: must have a role\'s name such as "teachers"'),
    ("roles: {ab: {}}", "f:1:9  roles: must have a role's name"),
    ("services: {a/b: {}}", 'f:1:12  services: must have a service\'s name such as "culler"'),
    ("services: {'..': {}}", "f:1:12  services: must have a service's name"),
    ("services: {a%20b: {}}", "f:1:12  services: must have a service's name"),
    (f"services: {{{'a' * 65}: {{}}}}", "f:1:12  services: must have a service's name"),
    ("services: {é: {}}", "f:1:12  services: must have a service's name"),
    ("services: {7: {}}", "f:1:12  services: here must be a service's name"),
    ("services: {? [a] : {}}", "f:1:14  services: here must be a service's name"),
    ("custom_scopes: {grades: {}}", "f:1:17  custom_scopes: must have a name such as"),
    ("custom_scopes: {custom:x: {}}", "f:1:17  custom_scopes: must have a name such as"),
    ("custom_scopes: {custom:Grades: {}}", "f:1:17  custom_scopes: must have a name such as"),
    ("services:\n  a: {}\n  a: {}", "f:3:3  services.a: is here a second time"),
    # Forms.
    ("services: []", "f:1:11  services: must be a group of names"),
    ("services: culler", 'each on a line of its own, found "culler"'),
    ("services:\n- name: culler", "f:2:1  services: must be a group of names"),
    ("services: {a: 5}", "f:1:15  services.a: must be a group of settings (url, command, "),
    (
        "services: {a: {ulr: x}}",
        "f:1:16  services.a.ulr: no such setting; did you mean services.a.url?",
    ),
    ("services: {a: {5: x}}", "f:1:16  services.a: here must be the name of a setting, found 5"),
    (
        "services: {my.svc: {ulr: x}}",
        "f:1:21  services.my.svc.ulr: no such setting; did you mean services.my.svc.url?",
    ),
    (
        "services.a.url: x",
        'f:1:1  services.a.url: no such setting; write "services:" and below it, indented, "a:"',
    ),
    ("service: {a: {}}", "f:1:1  service: no such group or setting; did you mean services?"),
    # Values.
    (
        "services: {a: {url: ftp://x}}",
        'f:1:21  services.a.url: must be a URL such as "http://127.0.0.1:9001"',
    ),
    ("services: {a: {url: 'http://x y/'}}", "f:1:21  services.a.url: must be a URL"),
    ("services: {a: {url: 'http://x;}'}}", "f:1:21  services.a.url: must be a URL"),
    ('services: {a: {url: "http://x/\\n"}}', "f:1:21  services.a.url: must be a URL"),
    ("services: {a: {url: 'http://u:p@x/'}}", "f:1:21  services.a.url: must be a URL"),
    ("services: {a: {url: 'http://x/?a=b'}}", "f:1:21  services.a.url: must be a URL"),
    (
        "services: {a: {url: 'http://x:70000'}}",
        "f:1:21  services.a.url: must have a port from 1 to 65535",
    ),
    ("services: {a: {url: 'http+unix:///srv/x'}}", "f:1:21  services.a.url: must be a URL"),
    ("services: {a: {command: python3 -m x}}", 'found "python3 -m x"; write [python3, -m, x]'),
    (
        "services: {a: {command: [a, 5]}}",
        'f:1:29  services.a.command[1]: must be text, found 5; write "5" in quotes',
    ),
    (
        "services: {a: {command: [a, [b]]}}",
        "f:1:29  services.a.command[1]: must be text, found a list",
    ),
    (
        "services: {a: {environment: [A=b]}}",
        "f:1:29  services.a.environment: must be a group of variables",
    ),
    (
        "services: {a: {environment: {A: 1}}}",
        'f:1:33  services.a.environment.A: must be text, found 1; write "1" in quotes',
    ),
    (
        "services: {a: {environment: {A-B: x}}}",
        "f:1:30  services.a.environment: must have a variable's name",
    ),
    (
        "services: {a: {environment: {1: x}}}",
        "f:1:30  services.a.environment: here must be a variable's name",
    ),
    (
        'services: {a: {environment: {A: "\\0"}}}',
        "services.a.environment.A: must not have the character U+0000",
    ),
    ("services: {a: {info: 5}}", "f:1:22  services.a.info: must be a group of anything"),
    (
        "services: {a: {info: {x: .inf}}}",
        "f:1:22  services.a.info: must be of values that JSON has",
    ),
    (
        "services: {a: {info: {x: [{1: a}]}}}",
        "f:1:28  services.a.info: here must be a name, found 1",
    ),
    (
        f"services: {{a: {{info: {{x: {'9' * 40}}}}}}}",
        "services.a.info: must be of values that JSON has",
    ),
    (
        "services: {a: {oauth_client_id: grades}}",
        'services.a.oauth_client_id: must be "service-" and then',
    ),
    (
        "services: {a: {oauth_redirect_uri: 'javascript:x'}}",
        "services.a.oauth_redirect_uri: must be a URL",
    ),
    (
        "services: {a: {oauth_redirect_uri: 'http://x/#a'}}",
        "services.a.oauth_redirect_uri: must be a URL",
    ),
    (
        "services: {a: {admin: yes}}",
        'services.a.admin: must be true or false, found "yes"; write true',
    ),
    (
        "services: {a: {memory: 1}}",
        "services.a.memory: must be a size such as 512M or 2G, from 16M",
    ),
    (
        "services: {a: {api_token: hushhus}}",
        "f:1:27  services.a.api_token: must be 8 to 64 characters",
    ),
    (
        f"services: {{a: {{api_token: {'x' * 65}}}}}",
        "f:1:27  services.a.api_token: must be 8 to 64",
    ),
    ("services: {a: {api_token: hush hush}}", "f:1:27  services.a.api_token: must be 8 to 64"),
    ("services: {a: {api_token: 1234567890}}", "services.a.api_token: must be text in quotes"),
    (
        "roles: {teachers: {users: [a b]}}",
        'f:1:28  roles.teachers.users[0]: must be a user\'s name such as "ada", found "a b"',
    ),
    (
        "roles: {teachers: {groups: [a/b]}}",
        "f:1:29  roles.teachers.groups[0]: must be a group's name",
    ),
    (
        "roles: {teachers: {scopes: users}}",
        "roles.teachers.scopes: must be a list, each a scope such as",
    ),
    ("proxy: {api_token: hush}", "f:1:20  proxy.api_token: must be 8 to 64 characters"),
    ("pages: {templates: here}", "f:1:20  pages.templates: must be the full path of a folder"),
    ("servers: {named_limit: -1}", "servers.named_limit: must be a whole number from 0 to 1000"),
    ("servers: {program: jupyter}", "must be one of appliance, jupyterhub-singleuser"),
    ("tokens: {max_age: 5}", "tokens.max_age: must be a time such as 90s, 10m, 1h or 2d, from 1m"),
    # What must hold between them.
    (
        "roles: {teachers: {scopes: [list:usrs]}}",
        "f:1:29  roles.teachers.scopes[0]: there is no scope 'list:usrs'; did you mean list:users?",
    ),
    (
        "roles:\n  teachers:\n    scopes:\n    - users\n    - servers!grup=x",
        "f:5:7  roles.teachers.scopes[1]: the scope 'servers!grup=x' has a filter",
    ),
    (
        "roles: {teachers: {scopes: [inherit]}}",
        "roles.teachers.scopes[0]: inherit is what tokens have",
    ),
    ("roles: {teachers: {scopes: [custom:grades]}}", "there is no scope 'custom:grades'"),
    ("roles: {admin: {scopes: [self]}}", "f:1:17  roles.admin.scopes: can't be changed"),
    (
        "roles: {admin: {users: [ada]}}",
        "f:1:17  roles.admin.users: can't be given to anybody: admins have this role",
    ),
    (
        "roles: {user: {groups: [x]}}",
        "f:1:16  roles.user.groups: can't be given to anybody: everybody has this role",
    ),
    (
        "roles: {server: {services: [x]}}",
        "f:1:18  roles.server.services: can't be given to anybody",
    ),
    ("roles: {token: {users: [x]}}", "f:1:17  roles.token.users: can't be given to anybody"),
    ("roles: {user: {scopes: []}}", "f:1:16  roles.user.scopes: must have at least one scope"),
    (
        "custom_scopes: {custom:grades: {subscopes: [users]}}",
        "subscopes[0]: must be a custom scope such as custom:grades, found 'users'",
    ),
    (
        "custom_scopes: {custom:grades: {subscopes: [custom:grads]}}",
        "there is no scope 'custom:grads'; did you mean custom:grades?",
    ),
    (
        "custom_scopes: {custom:grades: {subscopes: [custom:grades]}}",
        "f:1:33  custom_scopes.custom:grades.subscopes: leads back to custom:grades",
    ),
    (
        "services: {a: {oauth_client_allowed_scopes: [x]}}",
        "f:1:46  services.a.oauth_client_allowed_scopes[0]: there is no scope 'x'",
    ),
    (
        "services: {a: {}, b: {oauth_client_id: service-a}}",
        "f:1:23  services.b.oauth_client_id: must differ from that of the service a",
    ),
    (
        "services: {a: {api_token: hush-hush}, b: {api_token: hush-hush}}",
        "f:1:43  services.b.api_token: must differ from that of the service a",
    ),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[repr(text)[:50] for text, _ in BAD])
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    found = problems(text)
    assert any(said in line for line in found), found
    assert all(re.match(r"f:\d+:\d+  ", line) for line in found)
    assert "hush" not in "".join(found)


def test_every_problem_is_told_at_once() -> None:
    text = "services:\n  a: {ulr: x, url: y}\nroles:\n  T: {}\n  user: {users: ['a b']}\n"
    assert [line.split()[0] for line in problems(text)] == ["f:2:7", "f:2:20", "f:4:3", "f:5:18"]


def circles(contained: dict[str, list[str]]) -> list[tuple[str, str]]:
    """The circles among scopes with those names, as (who, by what)."""
    scopes = {
        f"custom:{name * 3}": {"subscopes": [f"custom:{part * 3}" for part in parts]}
        for name, parts in contained.items()
    }
    faults = find_faults(Config.model_validate({"custom_scopes": scopes}))
    found = [re.findall(r"custom:(.)\1\1", f"{fault.path} {fault.text}") for fault in faults]
    return [(names[0], names[-1]) for names in found]


def test_circles_of_custom_scopes_are_found_and_chains_are_none() -> None:
    names = [f"custom:s{number:03}" for number in range(300)]
    chain = {one: {"subscopes": [two]} for one, two in pairwise(names)}
    chain[names[-1]] = {"subscopes": []}
    check_text(f"custom_scopes: {json.dumps(chain)}", name="f")
    chain[names[-1]] = {"subscopes": [names[150]]}
    (told,) = problems(f"custom_scopes: {json.dumps(chain)}")
    assert told.endswith(
        "custom_scopes.custom:s299.subscopes: leads back to custom:s299, by way of custom:s150"
    )
    # Two ways to one end are no circle; two circles are told as two.
    ways = {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}
    assert circles(ways) == []
    assert circles({**ways, "d": ["a"], "c": ["c"]}) == [("d", "a"), ("c", "c")]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9001",
        "http://localhost:9001/",
        "https://grades.example.org/a/b%20c/",
        "http://[::1]:9001",
        "http+unix://%2Frun%2Fgrades.sock",
    ],
)
def test_urls_that_services_have(url: str) -> None:
    assert check_text(f"services: {{a: {{url: {emit(url)}}}}}", name="f").services["a"].url == url


def test_what_is_right_is_read_and_rendered(tmp_path: Path) -> None:
    config = check_text(
        "roles:\n"
        "  teachers: {scopes: ['access:servers!group=class 1', custom:grades:read], users: [Ada]}\n"
        "  user: {description: Everybody}\n"
        "  server:\n"
        "custom_scopes:\n"
        "  custom:grades:read: {subscopes: [custom:grades:list]}\n"
        "  custom:grades:list:\n"
        "services:\n"
        "  my.culler-2_x:\n"
        "    command: [python3, -m, x]\n"
        "    environment: {TZ: UTC}\n"
        "    api_token: hush-hush\n"
        "    info: {a: [1, null, {b: 1.5}]}\n"
        "    oauth_redirect_uri: /services/x/back\n"
        "    memory: null\n"
        "  empty:\n",
        name="f",
    )
    assert config.roles["teachers"].users == ["ada"]
    assert config.services["empty"] == type(config.services["empty"])()
    assert config.services["my.culler-2_x"].info == {"a": [1, None, {"b": 1.5}]}
    path = tmp_path / "hub.json"
    path.write_text(dump_json(config, secrets=True))
    assert read_rendered(path) == config
    assert "hush" not in dump_json(config, secrets=False)
    assert "hush" not in repr(config)


def test_the_sample_of_each_group_in_the_example_file_is_right() -> None:
    text = example_text()
    for group, name in EXAMPLE_NAMES.items():
        begin = text.index(f"\n{group}:") + 1
        lines = text[begin : text.index("\n\n", begin)].splitlines()
        sample = "\n".join([lines[0], *(line.replace("# ", "", 1) for line in lines[1:])])
        config = check_text(sample, name="f")
        assert list(getattr(config, group)) == [name]
        assert getattr(config, group)[name] == named_groups()[group].one()


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("limits.memory", ("limits", "memory")),
        ("services", ("services",)),
        ("services.a", ("services", "a")),
        ("services.url", ("services", "url")),
        ("services.a.url", ("services", "a", "url")),
        ("services.my.svc.url", ("services", "my.svc", "url")),
        ("services.my.svc", ("services", "my.svc")),
        ("services.a.url.url", ("services", "a.url", "url")),
        ("custom_scopes.custom:a:b.subscopes", ("custom_scopes", "custom:a:b", "subscopes")),
    ],
)
def test_dotted_names_mean_places(key: str, path: tuple[str, ...]) -> None:
    assert path_of(key) == path
    assert dotted(path) == key


def test_places_inside_of_a_setting_belong_to_it() -> None:
    for path in (("services", "a", "command", "0"), ("services", "a", "info", "x", "y")):
        setting = setting_at(path)
        assert setting is not None
        assert setting.path == path[:3]
    assert setting_at(("services", "a")) is None
    assert setting_at(("services", "a", "ulr")) is None


# Anything at all where these groups are: a Config or problems, and nothing else.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["self", "inherit", "users!group=x", "custom:a:b", "http://x", "/x", "a b"]),
)
NAMES = st.one_of(
    st.sampled_from(
        ["user", "admin", "token", "teachers", "custom:aaa", "custom:bbb", "culler", "a.url", "<<"]
    ),
    st.text(max_size=8),
    st.integers(0, 99),
)
FIELDS = st.sampled_from(
    sorted({name for group in named_groups().values() for name in group.one.model_fields})
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES, inner, max_size=3)
        | st.dictionaries(FIELDS, inner, max_size=4)
    ),
    max_leaves=12,
)
MEMBERS = st.dictionaries(NAMES, st.dictionaries(FIELDS, ANYTHING, max_size=4) | ANYTHING)
FILES = st.dictionaries(st.sampled_from(list(named_groups())), MEMBERS | ANYTHING, max_size=3)


def right_or_told(text: str) -> Config | None:
    """The configuration, or None for a text whose problems were told well."""
    try:
        return check_text(text, name="f")
    except ConfigError as error:
        told = error.problems
    assert told
    assert all(problem.place.startswith("f") and len(str(problem)) < 1000 for problem in told)
    return None


@given(FILES)
def test_any_content_is_right_or_told_with_its_place(content: dict[str, Any]) -> None:
    text = json.dumps(content, ensure_ascii=False, default=str)
    text = text.replace("NaN", ".nan").replace("Infinity", ".inf")
    config = right_or_told(text)
    if config is not None:
        assert Config.model_validate_json(dump_json(config, secrets=True)) == config


@given(FILES, st.text(max_size=40), st.integers(0, 500))
def test_broken_text_is_right_or_told_with_its_place(
    content: dict[str, Any], noise: str, at: int
) -> None:
    text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in content.items())
    right_or_told(text[:at] + noise + text[at:])


# Edits leave everything else as it was.

SERVICE_NAMES = st.sampled_from(["a", "my.svc", "7", "true"])
LEAVES = st.sampled_from(["url", "command", "info"])
VALUES = st.text(max_size=10) | st.lists(st.text(max_size=5), max_size=3) | st.just({"x": "y"})


@st.composite
def service_files(draw: st.DrawFn) -> str:
    """Files with services as people write them, in blocks and brackets, with comments."""
    lines = ["# head", "services:  # ours"]
    members = draw(
        st.dictionaries(SERVICE_NAMES, st.dictionaries(LEAVES, VALUES, max_size=3), max_size=3)
    )
    if not members and draw(st.booleans()):
        lines[-1] = "services: {}  # none"
    for name, leaves in members.items():
        if draw(st.booleans()):
            lines.append(f"  {emit(name)}: {emit(leaves)}  # one line")
            continue
        lines.append(f"  {emit(name)}:  # its own")
        for leaf, value in leaves.items():
            lines += draw(st.sampled_from([[], ["    # why"]]))
            if isinstance(value, list) and value and draw(st.booleans()):
                lines.append(f"    {leaf}:")
                lines += [f"    - {emit(item)}  # item" for item in value]
            else:
                lines.append(f"    {leaf}: {emit(value)}")
    lines += ["  # after", "limits:", "  cpu: 2  # cores"]
    return "\n".join(lines) + draw(st.sampled_from(["\n", ""]))


def values(text: str) -> dict[str, Any]:
    found = read_yaml(text, name="f").values()
    found["services"] = {
        name: leaves or {} for name, leaves in (found.get("services") or {}).items()
    }
    return found


def comments(text: str) -> list[str]:
    return re.findall(r"# (?:head|ours|none|after|cores)$", text, re.MULTILINE)


@given(service_files(), SERVICE_NAMES, LEAVES, VALUES)
def test_put_in_a_member_changes_nothing_else(
    text: str, name: str, leaf: str, value: object
) -> None:
    expected = values(text)
    expected["services"].setdefault(name, {})[leaf] = value
    after = put(text, ("services", name, leaf), value, name="f")
    assert values(after) == expected
    assert comments(after) == comments(text)


@given(service_files(), SERVICE_NAMES, LEAVES)
def test_take_from_a_member_or_the_member_changes_nothing_else(
    text: str, name: str, leaf: str
) -> None:
    expected = values(text)
    expected["services"].get(name, {}).pop(leaf, None)
    after = take(text, ("services", name, leaf), name="f")
    assert values(after) == expected
    expected["services"].pop(name, None)
    after = take(after, ("services", name), name="f")
    assert values(after) == expected
    assert comments(after) == comments(text)


@given(service_files(), SERVICE_NAMES, st.text(max_size=5))
def test_items_of_a_member_come_and_go(text: str, name: str, item: str) -> None:
    path = ("services", name, "command")
    entry = read_yaml(text, name="f").find(path)
    old = values(text)["services"].get(name, {}).get("command") if entry else []
    if isinstance(old, list) and item not in old:
        added = add_item(text, path, item, name="f")
        assert values(added)["services"][name]["command"] == [*old, item]
        removed = remove_item(added, path, item, name="f")
        assert values(removed)["services"][name]["command"] == old


def test_a_new_member_comes_after_the_sample_and_the_others() -> None:
    one = put(example_text(), ("services", "culler", "url"), "http://x", name="f")
    sample, _, rest = one.partition("  #   memory: 512M\n")
    assert sample
    assert rest.startswith('  culler:\n    url: "http://x"\n\nmetrics:')
    two = put(one, ("services", "grades", "url"), "http://y", name="f")
    assert '  culler:\n    url: "http://x"\n  grades:\n    url: "http://y"\n\nmetrics:' in two
    three = put(two, ("services", "culler", "admin"), True, name="f")
    assert '    url: "http://x"\n    admin: true\n  grades:' in three
