"""Bad files and what is said about them; every problem, at its place, in our words."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config.load import check_text, load
from appliance.config.rendered import dump_json, read_rendered
from appliance.config.schema import Config, FrontEnd, SignupMode
from appliance.config.yaml_text import SIZE_MAX
from appliance.errors import ConfigError


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check_text(text, name="f")
    return [str(problem) for problem in caught.value.problems]


PORT = "http.port: must be a whole number from 1 to 65535, found"
MEMORY = "limits.memory: must be a size such as 512M or 2G, from 128M to 1024T, or null, found"
NETWORK = 'an IP address or network such as "192.0.2.10" or "10.0.0.0/8"'
BASE_URL = (
    'base_url: must be a path that begins and ends with a slash, such as "/" or "/jupyter/", '
    "of letters, digits and . _ ~ -, found"
)

BAD: list[tuple[str, list[str]]] = [
    # Values of a wrong type or out of bounds.
    ("http:\n  port: eighty", [f'f:2:9  {PORT} "eighty"']),
    ("http:\n  port: 0", [f"f:2:9  {PORT} 0"]),
    ("http:\n  port: 0x1ffff", [f"f:2:9  {PORT} 0x1ffff"]),
    ("http:\n  port: true", [f"f:2:9  {PORT} true"]),
    ("http:\n  port: '80'", [f'f:2:9  {PORT} "80"; leave the quotes out']),
    ("http:\n  port: [80]", [f"f:2:9  {PORT} a list"]),
    ("http:\n  port: {a: b}", [f"f:2:9  {PORT} a group"]),
    ("http:\n  port:", [f"f:2:8  {PORT} nothing"]),
    ("limits: {memory: 512}", [f"f:1:18  {MEMORY} 512; write 512M if megabytes are meant"]),
    ("limits: {memory: 2 gigabytes}", [f'f:1:18  {MEMORY} "2 gigabytes"']),
    ("limits: {memory: 10M}", [f'f:1:18  {MEMORY} "10M"']),
    (
        "limits: {cpu: -1}",
        ["f:1:15  limits.cpu: must be a number above 0 and at most 1024, or null, found -1"],
    ),
    (
        "culling: {timeout: 5}",
        [
            "f:1:20  culling.timeout: must be a time such as 90s, 10m, 1h or 2d, "
            "from 10s to 365d, found 5"
        ],
    ),
    (
        "culling: {enabled: yes}",
        ['f:1:20  culling.enabled: must be true or false, found "yes"; write true'],
    ),
    (
        "signup: {mode: opne}",
        ['f:1:16  signup.mode: must be one of open, approval, code, closed, found "opne"'],
    ),
    ("base_url: jupyter", [f'f:1:11  {BASE_URL} "jupyter"']),
    ("base_url: /a/../", [f'f:1:11  {BASE_URL} "/a/../"']),
    (
        "http: {address: localhost}",
        [
            'f:1:17  http.address: must be an IP address of this machine such as "192.0.2.10", '
            'or "" for every address, found "localhost"'
        ],
    ),
    (
        "http: {trusted_proxies: 10.0.0.0/8}",
        [
            f"f:1:25  http.trusted_proxies: must be a list, each {NETWORK}, "
            'found "10.0.0.0/8"; write [10.0.0.0/8]'
        ],
    ),
    (
        "http:\n  trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.1/8\n  - x",
        [
            "f:4:5  http.trusted_proxies[1]: must be a whole network: "
            'write "10.0.0.0/8", found "10.0.0.1/8"',
            f'f:5:5  http.trusted_proxies[2]: must be {NETWORK}, found "x"',
        ],
    ),
    # Secrets are never shown.
    (
        "signup: {code: 123456}",
        ['f:1:16  signup.code: must be text in quotes ("…"), found a number or a switch'],
    ),
    ("signup: {code: [hush]}", ["f:1:16  signup.code: must be text, or null"]),
    ("signup: {code: abc}", ["f:1:10  signup.code: must have at least 6 characters"]),
    (
        "signup: {mode: code}",
        ["f:1:10  signup.mode: can't be code while there is no signup.code; set signup.code first"],
    ),
    # Names.
    ("limits:\n  memry: 1G", ["f:2:3  limits.memry: no such setting; did you mean limits.memory?"]),
    ("memory: 1G", ["f:1:1  memory: no such setting; did you mean limits.memory?"]),
    ("limit:\n  memory: 1G", ["f:1:1  limit: no such group or setting; did you mean limits?"]),
    ("zzz: 1", ["f:1:1  zzz: no such setting"]),
    (
        "http.port: 80",
        ['f:1:1  http.port: no such setting; write "http:" and below it, indented, "port:"'],
    ),
    (
        "limits: 5",
        [
            "f:1:9  limits: must be a group of settings (class_size, memory, cpu, tasks, run_time, "
            "swap, cpu_weight, io_weight, memory_guarantee), "
            "each on a line of its own, found 5"
        ],
    ),
    ("1: x", ["f:1:1  settings: here must be the name of a setting, found 1"]),
    ("? [a]\n: x", ["f:1:3  settings: here must be the name of a setting, found a list"]),
    (
        "http:\n  port: 80\n  port: 81\nhttp: {}",
        [
            "f:3:3  http.port: is here a second time; the first is in line 2",
            "f:4:1  http: is here a second time; the first is in line 1",
        ],
    ),
    # Not YAML, or not ours.
    (
        "- a",
        ['f:1:1  must be settings, such as "limits:" and below it "  memory: 2G", found a list'],
    ),
    ("hi", ['f:1:1  must be settings, such as "limits:" and below it "  memory: 2G", found "hi"']),
    ("http:\n\tport: 80", ["f:2:1  a tab can't indent YAML; use spaces"]),
    (
        "http:\n  port: 80\n    address: x",
        ["f:3:12  a ':' too many, or a line indented more than the one above"],
    ),
    ("http: 'x", ["f:1:7  the text that a quote begins is not ended by another quote"]),
    (
        "http: {port: 80",
        ["f:1:16  a group begun with '{' is not ended by '}', or an item lacks its ','"],
    ),
    ("a: b\n---\nc: d", ["f:2:1  a second document begins here; remove the '---' line"]),
    ("a: &x [1]\nb: *x", ["f:2:4  settings can't use YAML aliases (*name)"]),
    ("a: !!python/object:os.system x", ["f:1:4  settings can't use YAML tags (!name)"]),
    (
        "http:\n  port: 8\x00",
        ["f:2:10  has the control character U+0000; the file may be half-written or not text"],
    ),
    ("[" * 5000, ["f:1:11  brackets or groups in too many others"]),
    ("#" * (SIZE_MAX + 1), ["f  has more than 256 KiB; settings need a hundredth of that"]),
]


@pytest.mark.parametrize(("text", "said"), BAD, ids=[repr(text)[:40] for text, _ in BAD])
def test_bad_files_are_explained(text: str, said: list[str]) -> None:
    assert problems(text) == said


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    text = "limits:\n  memry: 1G\n  cpu: fast\nhttp:\n  port: eighty\n"
    assert [line.split()[0] for line in problems(text)] == ["f:2:3", "f:3:8", "f:5:9"]


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment\n", "---\n", "http:\nlimits:\n", "{}"]
)
def test_files_that_set_nothing_mean_the_defaults(text: str) -> None:
    assert check_text(text, name="f") == Config()


def test_values_are_read_as_their_types() -> None:
    config = check_text(
        "\ufeffhttp: {address: '::1', trusted_proxies: [10.0.0.0/8, '2001:db8::1']}\n"
        "limits: {memory: 1.5G, cpu: 2, tasks: null}\n"
        "signup: {mode: code, code: blue tree}\n"
        "servers: {front_end: notebook, start_timeout: 2m}\n"
        "culling: {timeout: 2d, interval: 90}\n",
        name="f",
    )
    assert config.limits.memory == 3 * 2**29
    assert config.limits.cpu == 2
    assert config.limits.tasks is None
    assert config.signup.mode is SignupMode.CODE
    assert config.signup.code is not None
    assert config.signup.code.get_secret_value() == "blue tree"
    assert config.servers.front_end is FrontEnd.NOTEBOOK
    assert (config.culling.timeout, config.culling.interval) == (172800, 90)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "there is no such file"),
        (b"http:\n  port: \xff", ":2:9  isn't UTF-8 text: the byte 0xff; save the file as UTF-8"),
    ],
    ids=["missing", "not UTF-8"],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert said in str(caught.value.problems[0])


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path)
    assert "can't be read" in str(caught.value.problems[0])


def test_what_is_rendered_is_read_back(tmp_path: Path) -> None:
    config = check_text("signup: {mode: code, code: hush-hush}\nlimits: {memory: 2G}", name="f")
    path = tmp_path / "hub.json"
    path.write_text(dump_json(config, secrets=True))
    assert read_rendered(path) == config
    assert "hush-hush" not in dump_json(config, secrets=False)
    assert "hush-hush" not in repr(config)
    path.write_text('{"http": {"port": "x"}}')
    with pytest.raises(ConfigError, match="cannot use"):
        read_rendered(path)
