"""Scopes: hierarchy, filters, intersections."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.access.roles import ADMIN, Roles, server_scope
from appliance.access.scopes import HIERARCHY, Bearer, Filter, Scopes, Target
from appliance.names import ServerId, ServerName, Username

ADA = Bearer(user="ada")
NAMES = st.sampled_from(["ada", "bob", "carol"])
PLAIN = st.sampled_from(sorted(set(HIERARCHY) - {"self", "inherit"}))
FILTERED = st.builds(lambda scope, user: f"{scope}!user={user}", PLAIN, NAMES) | st.builds(
    lambda scope, user, server: f"{scope}!server={user}/{server}",
    PLAIN,
    NAMES,
    st.sampled_from(["", "x"]),
)
SETS = st.lists(PLAIN | FILTERED, max_size=6).map(lambda texts: Scopes.expand(texts, ADA))
TARGETS = st.builds(Target, user=NAMES, server=st.sampled_from([None, "", "x"]))


def test_every_contained_scope_exists() -> None:
    assert {part for parts in HIERARCHY.values() for part in parts} <= set(HIERARCHY)


def test_a_scope_brings_what_it_contains() -> None:
    scopes = Scopes.expand(["admin:users"], ADA)
    assert scopes.allows("read:users:name", Target(user="bob"))
    assert scopes.allows("delete:users", Target(user="bob"))
    assert not scopes.has("admin:servers")


def test_self_is_about_oneself_alone() -> None:
    scopes = Roles().scopes_of_user("ada", admin=False)
    assert scopes.allows("start:servers", Target(user="ada", server=""))
    assert scopes.allows("tokens", Target(user="ada"))
    assert not scopes.allows("start:servers", Target(user="bob", server=""))
    assert not scopes.has("list:users")
    assert not scopes.has("admin-ui")


def test_an_unfiltered_grant_swallows_filtered_ones() -> None:
    scopes = Scopes.expand(["servers!user=bob", "servers", "servers!user=carol"], ADA)
    assert "servers" in scopes.listed()
    assert not any("!" in text for text in scopes.listed())


def test_a_server_filter_is_not_carried_to_its_owner() -> None:
    scopes = Scopes.expand(["servers!server=bob/"], ADA)
    assert scopes.allows("start:servers", Target(user="bob", server=""))
    assert not scopes.allows("start:servers", Target(user="bob", server="x"))
    assert not scopes.has("read:users:name")


def test_a_group_filter_holds_for_its_members() -> None:
    scopes = Scopes.expand(["servers!group=physics"], ADA)
    member = Target(user="bob", server="", groups=frozenset({"physics"}))
    assert scopes.allows("stop:servers", member) is False
    assert scopes.allows("delete:servers", member)
    assert not scopes.allows("delete:servers", Target(user="carol", server=""))


def test_unbound_filters_become_the_bearers() -> None:
    bearer = Bearer(user="ada", server="ada/x")
    scopes = Scopes.expand(["users:activity!user", "access:servers!server"], bearer)
    assert scopes.granted["access:servers"] == frozenset({Filter("server", "ada/x")})
    assert scopes.granted["users:activity"] == frozenset({Filter("user", "ada")})
    assert Scopes.expand(["access:servers!server"], ADA) == Scopes({})


@pytest.mark.parametrize("text", ["users:everything", "admin", "servers!owner=ada", "", "!user"])
def test_unknown_scopes_grant_nothing(text: str) -> None:
    assert Scopes.expand([text], ADA) == Scopes({})


def test_a_user_filter_covers_the_users_servers() -> None:
    own = Scopes.expand(["access:servers!user=ada"], ADA)
    token = Scopes.expand([server_scope(ServerId(Username("ada"), ServerName("x")))], ADA)
    assert own & token == token


def test_an_intersection_with_a_group_asks_who_is_in_it() -> None:
    teacher = Scopes.expand(["servers!group=physics"], ADA)
    token = Scopes.expand(["servers!user=bob", "servers!user=carol"], ADA)
    both = teacher.intersect(token, lambda user: frozenset({"physics"} if user == "bob" else ()))
    assert both.filters("servers") == frozenset({Filter("user", "bob")})


def test_an_admin_may_do_all_that_a_user_may() -> None:
    user = Roles().scopes_of_user("ada", admin=False)
    assert Roles().scopes_of_user("ada", admin=True) & user == user
    assert set(ADMIN) <= HIERARCHY.keys()


@given(SETS, SETS, PLAIN, TARGETS)
def test_an_intersection_allows_what_both_allow(
    left: Scopes, right: Scopes, scope: str, target: Target
) -> None:
    both = left & right
    if both.allows(scope, target):
        assert left.allows(scope, target)
        assert right.allows(scope, target)
    elif target.server is None or (scope in left.granted and left.granted[scope] is None):
        assert not (left.allows(scope, target) and right.allows(scope, target))


@given(SETS)
def test_expanding_again_changes_nothing(scopes: Scopes) -> None:
    assert Scopes.expand(scopes.listed(), ADA) == scopes
    assert (scopes & scopes) == scopes
    assert Scopes.everything() & scopes == scopes
