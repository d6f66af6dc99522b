from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from appliance.errors import SpawnFailed, SpawnRefused
from appliance.names import Username
from appliance.systemd_spawner.accounts import (
    FIRST_ID,
    LAST_ID,
    Accounts,
    AccountState,
    StoreDamagedError,
)
from tests.fakes.systemd import FakeHost, PowerCutError

ADA = Username("ada")


@pytest.fixture
def host(tmp_path: Path) -> FakeHost:
    return FakeHost(tmp_path / "home")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "accounts.json"


def test_an_account_is_made_once(host: FakeHost, store: Path) -> None:
    first = Accounts(store, host=host).ensure(ADA)
    again = Accounts(store, host=host).ensure(ADA)
    assert (first.name, first.uid) == (again.name, again.uid) == ("nb-ada", FIRST_ID)
    assert host.accounts == {"nb-ada": FIRST_ID}


def test_the_store_is_roots_alone(host: FakeHost, store: Path) -> None:
    Accounts(store, host=host).ensure(ADA)
    assert store.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("users", "names"),
    [
        (["a.b", "a_b", "a@b"], ["nb-a-b", "nb-a-b-2", "nb-a-b-3"]),
        (["ada-2", "ada"], ["nb-ada-2", "nb-ada"]),
        (["ada", "ada-2"], ["nb-ada", "nb-ada-2"]),
        (["a" * 48, "a" * 47], ["nb-" + "a" * 20, "nb-" + "a" * 20 + "-2"]),
        (["_"], ["nb-user"]),
    ],
    ids=["same letters", "number in the name", "number after the name", "long", "no letters"],
)
def test_two_users_never_share_an_account(
    users: list[str], names: list[str], host: FakeHost, store: Path
) -> None:
    accounts = Accounts(store, host=host)
    made = [accounts.ensure(Username(user)) for user in users]
    assert [account.name for account in made] == names
    assert len({account.uid for account in made}) == len(users)
    assert all(len(account.name) <= 32 for account in made)


def test_what_others_have_is_left_alone(host: FakeHost, store: Path) -> None:
    host.taken_names = {"nb-ada"}
    host.taken_ids = {FIRST_ID, FIRST_ID + 1}
    account = Accounts(store, host=host).ensure(ADA)
    assert (account.name, account.uid) == ("nb-ada-2", FIRST_ID + 2)


def test_a_later_user_of_a_name_gets_another_account(host: FakeHost, store: Path) -> None:
    accounts = Accounts(store, host=host)
    old = accounts.ensure(ADA)
    accounts.retire(ADA)
    assert accounts.find(ADA) is None
    new = Accounts(store, host=host).ensure(ADA)
    assert (new.name, new.uid) == ("nb-ada-2", FIRST_ID + 1)
    assert host.sealed == {old.name}


def test_retiring_nobody_changes_nothing(host: FakeHost, store: Path) -> None:
    Accounts(store, host=host).retire(ADA)
    assert not store.exists()


@pytest.mark.parametrize("step", range(1, 9))
def test_a_power_cut_at_any_step_heals(step: int, host: FakeHost, store: Path) -> None:
    host.fail_at = step

    def live() -> None:
        accounts = Accounts(store, host=host)
        accounts.finish_interrupted()
        accounts.ensure(ADA)
        accounts.retire(ADA)

    try:
        live()
    except PowerCutError:
        accounts = Accounts(store, host=host)
        accounts.finish_interrupted()
        if accounts.find(ADA) is not None:
            accounts.ensure(ADA)
            accounts.retire(ADA)
    rows = json.loads(store.read_text())["accounts"]
    assert [row["state"] for row in rows] == [AccountState.RETIRED]
    assert host.sealed == {"nb-ada"}
    assert host.accounts == {"nb-ada": FIRST_ID}


def test_a_renamed_user_keeps_the_account(host: FakeHost, store: Path) -> None:
    eve = Username("eve")
    accounts = Accounts(store, host=host)
    made = accounts.ensure(ADA)
    accounts.rename(ADA, eve)
    # After a restart, and asked again, it is so still.
    accounts = Accounts(store, host=host)
    accounts.rename(ADA, eve)
    assert accounts.find(ADA) is None
    assert accounts.ensure(eve).uid == made.uid
    assert accounts.ensure(ADA).uid != made.uid
    with pytest.raises(SpawnRefused, match="account of 'ada'"):
        accounts.rename(eve, ADA)


def test_a_new_name_that_can_not_be_stored_is_to_be_tried_again(
    host: FakeHost, store: Path
) -> None:
    accounts = Accounts(store, host=host)
    accounts.ensure(ADA)
    (store.parent / f".{store.name}.new").mkdir()
    with pytest.raises(SpawnFailed):
        accounts.rename(ADA, Username("eve"))
    assert accounts.find(ADA) is not None


def test_databases_are_mended_only_after_an_interruption(host: FakeHost, store: Path) -> None:
    Accounts(store, host=host).ensure(ADA)
    Accounts(store, host=host).finish_interrupted()
    assert host.mended == 0
    host.fail_at = host.changes + 1
    with pytest.raises(PowerCutError):
        Accounts(store, host=host).ensure(Username("bob"))
    Accounts(store, host=host).finish_interrupted()
    assert host.mended == 1


def test_numbers_are_not_reused_even_if_the_counter_was_lost(host: FakeHost, store: Path) -> None:
    Accounts(store, host=host).ensure(ADA)
    content = json.loads(store.read_text())
    content["next_id"] = FIRST_ID
    store.write_text(json.dumps(content))
    assert Accounts(store, host=host).ensure(Username("bob")).uid == FIRST_ID + 1


def test_numbers_end_somewhere(host: FakeHost, store: Path) -> None:
    store.write_text(json.dumps({"format": 1, "next_id": LAST_ID + 1, "accounts": []}))
    with pytest.raises(SpawnRefused, match="cannot make an account"):
        Accounts(store, host=host).ensure(ADA)
    assert host.accounts == {}


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"format": 9}', '{"format": 1, "next_id": 1, "accounts": [{}]}']
)
def test_a_damaged_store_stops_everything(content: str, host: FakeHost, store: Path) -> None:
    store.write_text(content)
    with pytest.raises(StoreDamagedError):
        Accounts(store, host=host)


def test_a_store_that_cannot_be_written_makes_no_account(host: FakeHost, tmp_path: Path) -> None:
    accounts = Accounts(tmp_path / "missing" / "accounts.json", host=host)
    with pytest.raises(SpawnRefused, match="cannot store"):
        accounts.ensure(ADA)
    assert host.accounts == {}
    assert accounts.find(ADA) is None


def test_many_at_once_get_one_each(host: FakeHost, store: Path) -> None:
    accounts = Accounts(store, host=host)
    users = [Username(f"user{number % 10}") for number in range(40)]
    threads = [threading.Thread(target=accounts.ensure, args=(user,)) for user in users]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(host.accounts) == len(set(host.accounts.values())) == 10
