"""What people type becomes a setting's value, and the file keeps everything else."""

from __future__ import annotations

import stat
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from appliance.config import edit
from appliance.config.fields import settings
from appliance.config.files import locked, write_atomically
from appliance.config.load import check_text
from appliance.config.reference import example_text
from appliance.config.schema import Config
from appliance.config.setting import Kind, Setting
from appliance.errors import BadRequest, ConfigError, Conflict, NotFound
from appliance.places import Places


@pytest.fixture
def places(tmp_path: Path) -> Places:
    return Places.of_trial(tmp_path)


def set_in(text: str, key: str, *words: str) -> str:
    return edit.set_value(text, key, words, name="f")


@pytest.mark.parametrize(
    ("key", "words", "line"),
    [
        ("http.port", ["8080"], "  port: 8080"),
        ("limits.memory", ["600M"], "  memory: 600M"),
        ("limits.memory", ["629145600"], "  memory: 629145600"),
        ("limits.memory", ["none"], "  memory: null"),
        ("limits.cpu", ["1.5"], "  cpu: 1.5"),
        ("culling.timeout", ["2h"], "  timeout: 2h"),
        ("culling.enabled", ["off"], "  enabled: false"),
        ("signup.mode", ["Open"], "  mode: open"),
        ("signup.code", ["123456"], '  code: "123456"'),
        ("signup.code", ["blue: tree #1"], '  code: "blue: tree #1"'),
        ("http.address", ["::1"], '  address: "::1"'),
        (
            "http.trusted_proxies",
            ["10.0.0.0/8", "192.0.2.1"],
            "  trusted_proxies: [10.0.0.0/8, 192.0.2.1]",
        ),
        (
            "http.trusted_proxies",
            ["[10.0.0.0/8, '192.0.2.1']"],
            "  trusted_proxies: [10.0.0.0/8, 192.0.2.1]",
        ),
        ("http.trusted_proxies", ["[]"], "  trusted_proxies: []"),
        ("base_url", ["/jupyter/"], "base_url: /jupyter/"),
    ],
)
def test_set_reads_by_the_settings_type(key: str, words: list[str], line: str) -> None:
    assert line in set_in(example_text(), key, *words).splitlines()


@pytest.mark.parametrize(
    ("key", "word", "said"),
    [
        ("http.port", "eighty", 'found "eighty"'),
        ("limits.memory", "1", "from 128M"),
        ("limits.tasks", "1.5", "must be a whole number"),
        ("culling.enabled", "perhaps", "true or false"),
        ("base_url", "x", "begins and ends with a slash"),
    ],
)
def test_set_refuses_with_the_place_in_the_file(key: str, word: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        set_in(example_text(), key, word)
    assert said in str(caught.value.problems[0])
    assert caught.value.mend == "nothing was changed"


def test_unknown_names_and_wrong_numbers_of_values_are_refused() -> None:
    with pytest.raises(NotFound, match=r"did you mean limits\.memory"):
        set_in("", "limits.memry", "1G")
    with pytest.raises(BadRequest, match="takes one value"):
        set_in("", "http.port", "80", "81")
    with pytest.raises(BadRequest, match="not a list"):
        edit.add("", "http.port", ["80"], name="f")


def test_a_change_is_refused_while_anything_else_in_the_file_is_wrong() -> None:
    with pytest.raises(ConfigError) as caught:
        set_in("limits: {memry: 1G}\n", "http.port", "80")
    assert "limits.memry" in str(caught.value.problems[0])


def test_set_mends_a_wrong_value() -> None:
    assert set_in("http: {port: eighty}\n", "http.port", "80") == "http: {port: 80}\n"


def test_unset_takes_a_setting_or_a_group() -> None:
    text = set_in(set_in(example_text(), "limits.memory", "2G"), "limits.cpu", "2")
    assert edit.unset(text, "limits", name="f") == example_text()
    assert edit.unset(example_text(), "limits.cpu", name="f") == example_text()


def test_add_passes_over_what_is_there_and_remove_refuses_what_is_not() -> None:
    key = "http.trusted_proxies"
    text = edit.add(example_text(), key, ["10.0.0.0/8", "10.0.0.0/8"], name="f")
    assert edit.add(text, key, ["10.0.0.0/8"], name="f") == text
    assert check_text(text, name="f").http.trusted_proxies == ["10.0.0.0/8"]
    with pytest.raises(NotFound):
        edit.remove(text, key, ["192.0.2.9"], name="f")
    assert check_text(edit.remove(text, key, ["10.0.0.0/8"], name="f"), name="f") == Config()


def words_for(setting: Setting) -> st.SearchStrategy[list[str]]:
    match setting.kind:
        case Kind.SWITCH:
            return st.sampled_from([["true"], ["false"]])
        case Kind.CHOICE:
            return st.sampled_from([[choice] for choice in setting.choices if choice != "code"])
        case Kind.SIZE:
            return st.integers(128, 9999).map(lambda number: [f"{number}M"])
        case Kind.WHOLE | Kind.DURATION:
            low, high = int(setting.least or 1), int(setting.most or 100)
            return st.integers(low, high).map(lambda number: [str(number)])
        case Kind.NUMBER:
            return st.integers(1, 40).map(lambda number: [str(number / 4)])
        case Kind.MAP:
            return st.sampled_from([["jupyter_lsp=no"], ["nbdime=true", "a.b=off"], ["{}"]])
        case Kind.LIST if setting.key == "preload.packages":
            return st.lists(st.sampled_from(["numpy", "pandas", "scipy.stats"]), min_size=1)
        case Kind.LIST if setting.name.endswith("_names"):
            return st.sampled_from([["*@school.example"], ["teacher*", "a?"]])
        case Kind.LIST if setting.key in ("http.trusted_proxies", "network.direct"):
            return st.lists(st.ip_addresses().map(str), min_size=1, max_size=4)
        case Kind.LIST:
            assert isinstance(setting.example, list)
            return st.lists(st.sampled_from(setting.example), min_size=1, unique=True)
        case Kind.SECRET if setting.key == "notices.webhook":
            return st.from_regex(r"https://[a-z0-9/.-]{1,40}", fullmatch=True).map(
                lambda text: [text]
            )
        case Kind.SECRET if setting.key != "signup.code":
            return st.from_regex(r"[!-~]{8,64}", fullmatch=True).map(lambda text: [text])
        case Kind.SECRET:
            return (
                st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=6)
                .filter(lambda text: len(text.strip()) >= 6)
                .map(lambda text: [text])
            )
        case _:
            return st.just([str(setting.example)])


# What takes others beside it, and can't be the first to be set or the last to go.
_ALONE = {
    "http.content_host",
    "https.mode",
    "mail.host",
    "mail.user",
    "mail.sender",
    "mail.site",
    "mail.password",
}
CHANGES = st.lists(
    st.sampled_from([one for one in settings().values() if one.key not in _ALONE]).flatmap(
        lambda setting: st.tuples(st.just(setting), words_for(setting))
    ),
    max_size=8,
)


# Each change reads and writes the whole file.
@hypothesis_settings(max_examples=30)
@given(CHANGES)
def test_any_series_of_changes_keeps_the_comments_and_gives_the_last_values(
    changes: list[tuple[Setting, list[str]]],
) -> None:
    text = example_text()
    for setting, words in changes:
        text = set_in(text, setting.key, *words)
    lines = text.splitlines()
    assert [line for line in lines if line.lstrip().startswith("#")] == [
        line for line in example_text().splitlines() if line.lstrip().startswith("#")
    ]
    config = check_text(text, name="f")
    for key in {setting.key for setting, _ in changes}:
        text = edit.unset(text, key, name="f")
    assert text == example_text()
    last = {setting.key: (setting, words) for setting, words in changes}
    for setting, words in last.values():
        if setting.kind is Kind.LIST:
            assert setting.value_in(config) == words
        if setting.kind is Kind.SECRET:
            assert setting.value_in(config).get_secret_value() == words[0]


def test_the_first_file_is_written_once(places: Places) -> None:
    assert edit.write_first(places, {"http.port": "8080"})
    assert check_text(places.config_file.read_text(), name="f").http.port == 8080
    assert stat.S_IMODE(places.config_file.stat().st_mode) == 0o600
    places.config_file.write_text("limits: {cpu: 2}\n")
    assert not edit.write_first(places, {"http.port": "80"})
    assert places.config_file.read_text() == "limits: {cpu: 2}\n"


def test_twenty_earlier_versions_are_kept(places: Places) -> None:
    kept = [edit.keep_version(places, f"# {number}\n") for number in range(23)]
    left = sorted(places.config_history.iterdir())
    assert left == kept[3:]
    assert left[-1].read_text() == "# 22\n"
    assert stat.S_IMODE(left[0].stat().st_mode) == 0o600


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    (tmp_path / "real.yaml").write_text("old")
    (tmp_path / "config.yaml").symlink_to("real.yaml")
    write_atomically(tmp_path / "config.yaml", "new", mode=0o600)
    assert (tmp_path / "config.yaml").is_symlink()
    assert (tmp_path / "real.yaml").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "real.yaml"]


def test_the_lock_has_a_deadline(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with locked(path), pytest.raises(Conflict, match="another command"), locked(path, seconds=0.1):
        pass
    with locked(path, seconds=0):
        pass


def test_the_lock_is_waited_for(tmp_path: Path) -> None:
    path, taken = tmp_path / "lock", threading.Event()

    def hold() -> None:
        with locked(path):
            taken.set()
            time.sleep(0.1)

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    with locked(path, seconds=5):
        pass
    thread.join()
