"""Join codes: how they look, when they end, and what people may type."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from appliance.db.class_models import Invite, SchoolClass
from appliance.db.session import Database
from appliance.errors import BadRequest, NotAllowed, NotFound
from appliance.hub.classroom.classes import Classes
from appliance.hub.classroom.invites import Expiry, Invites, plain_code
from appliance.native_auth.code_words import WORDS
from tests.fakes.clock import FakeClock

SECRET = b"s" * 32


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def db(tmp_path: Path, clock: FakeClock) -> Database:
    db = Database.at(tmp_path / "hub.sqlite")
    db.open()
    Classes(db=db, clock=clock).create("bio", title="Biology")
    return db


@pytest.fixture
def invites(db: Database, clock: FakeClock) -> Invites:
    return Invites(db=db, clock=clock, secret=SECRET)


def test_the_words_can_be_told_apart() -> None:
    assert len(WORDS) == len(set(WORDS)) == 256
    assert all(word.isascii() and word.isalpha() and word.islower() for word in WORDS)


@pytest.mark.parametrize(
    "change",
    [
        str.upper,
        lambda code: code.replace("-", " "),
        lambda code: code.replace("-", ""),
        lambda code: f"  {code.replace('-', chr(0x2013))}\n",
        lambda code: "".join(chr(ord(c) + 0xFEE0) if c.isalnum() else c for c in code),
    ],
    ids=["capitals", "blanks", "together", "long dashes", "full width"],
)
def test_a_code_may_be_typed_as_people_do(invites: Invites, change: object) -> None:
    code = invites.make("bio", by="frida").code
    assert callable(change)
    found = invites.find(change(code))
    assert found is not None
    assert (found.group, found.title) == ("bio", "Biology")


@pytest.mark.parametrize("code", ["", "-", "x" * 300, "blue-tree-42x7k", "écoles", "\0"])
def test_what_is_no_code_is_not_found(invites: Invites, code: str) -> None:
    invites.make("bio", by="frida")
    assert invites.find(code) is None


def test_the_database_does_not_tell_the_code(invites: Invites, db: Database) -> None:
    made = invites.make("bio", by="frida")
    with db.session() as session:
        row = session.scalars(select(Invite)).one()
    assert plain_code(made.code) not in f"{row.hash}{row.salt}"
    other = Invites(db=db, clock=FakeClock(), secret=b"t" * 32)
    assert other.find(made.code) is None
    [shown] = other.list_of("bio")
    assert (shown.code, shown.works) == ("", False)


def test_a_code_is_the_same_after_a_restart(invites: Invites, db: Database) -> None:
    made = invites.make("bio", by="frida", note="  Monday \n group ")
    [again] = Invites(db=db, clock=FakeClock(), secret=SECRET).list_of("bio")
    assert again == made
    assert again.note == "Monday group"


@pytest.mark.parametrize(
    ("expiry", "works_after", "ends_after"),
    [
        (Expiry.HOUR, timedelta(minutes=59), timedelta(minutes=60)),
        (Expiry.WEEK, timedelta(days=6, hours=23), timedelta(days=7)),
        (Expiry.TERM, timedelta(weeks=19), timedelta(weeks=20)),
        (Expiry.NEVER, timedelta(days=3000), None),
    ],
)
def test_a_code_ends_when_it_should(
    invites: Invites,
    clock: FakeClock,
    expiry: Expiry,
    works_after: timedelta,
    ends_after: timedelta | None,
) -> None:
    code = invites.make("bio", by="frida", expiry=expiry).code
    start = clock.wall
    clock.wall = start + works_after
    assert invites.find(code)
    if ends_after is not None:
        clock.wall = start + ends_after
        with pytest.raises(NotAllowed, match="it has expired"):
            invites.find(code)


def test_today_ends_at_midnight_of_the_machine() -> None:
    now = datetime(2026, 9, 1, 9, 0, tzinfo=UTC)
    end = Expiry.TODAY.after(now)
    assert end is not None
    assert end.astimezone().strftime("%H:%M") == "00:00"
    assert timedelta(0) < end - now <= timedelta(days=1)


@pytest.mark.parametrize("uses", [0, -1, 10_001])
def test_a_code_for_nobody_or_for_too_many_is_refused(invites: Invites, uses: int) -> None:
    with pytest.raises(BadRequest):
        invites.make("bio", by="frida", most_uses=uses)
    assert invites.list_of("bio") == []


@pytest.mark.parametrize("note", ["x" * 201, "a\u202eb", "a\x07b"])
def test_a_note_is_one_short_line(invites: Invites, note: str) -> None:
    with pytest.raises(BadRequest):
        invites.make("bio", by="frida", note=note)


def test_uses_are_counted_up_to_the_last(invites: Invites, db: Database) -> None:
    made = invites.make("bio", by="frida", most_uses=2)
    for left in (1, 0):
        with db.session() as session:
            invites.use(session, made.number)
        assert invites.get("bio", made.number).left == left
    with db.session() as session, pytest.raises(NotAllowed, match="have used it"):
        invites.use(session, made.number)
    assert invites.get("bio", made.number).uses == 2


def test_a_use_that_comes_to_nothing_is_not_counted(invites: Invites, db: Database) -> None:
    made = invites.make("bio", by="frida", most_uses=1)
    with db.session() as session:
        invites.use(session, made.number)
        session.rollback()
    assert invites.get("bio", made.number).uses == 0


def test_a_frozen_class_takes_no_code_and_takes_them_again(
    invites: Invites, db: Database, clock: FakeClock
) -> None:
    classes = Classes(db=db, clock=clock)
    code = invites.make("bio", by="frida").code
    classes.change("bio", frozen=True)
    with pytest.raises(NotAllowed, match="nobody can join at the moment"):
        invites.find(code)
    classes.change("bio", frozen=False)
    assert invites.find(code)


def test_codes_belong_to_their_class(invites: Invites, db: Database, clock: FakeClock) -> None:
    Classes(db=db, clock=clock).create("art")
    made = invites.make("bio", by="frida")
    for group in ("art", None):
        assert invites.list_of(group) == []
        with pytest.raises(NotFound):
            invites.get(group, made.number)
        with pytest.raises(NotFound):
            invites.revoke(group, made.number)
    invites.revoke("bio", made.number)
    assert invites.find(made.code) is None


def test_a_group_that_is_no_class_has_no_codes(invites: Invites) -> None:
    with pytest.raises(NotFound):
        invites.make("no-such-class", by="frida")


def test_a_code_whose_class_is_one_no_more_is_worth_nothing(invites: Invites, db: Database) -> None:
    code = invites.make("bio", by="frida").code
    with db.session() as session:
        session.delete(session.scalars(select(SchoolClass)).one())
    with pytest.raises(NotAllowed, match="it was taken back"):
        invites.find(code)


def test_expired_codes_are_forgotten_after_a_month(
    invites: Invites, db: Database, clock: FakeClock
) -> None:
    made = invites.make("bio", by="frida", expiry=Expiry.HOUR)
    clock.pass_time(29 * 86400)
    invites.purge()
    assert invites.list_of("bio")
    clock.pass_time(2 * 86400)
    invites.purge()
    assert invites.list_of("bio") == []
    assert invites.find(made.code) is None


def test_there_is_a_bound_to_the_codes_of_a_class(invites: Invites, db: Database) -> None:
    made = invites.make("bio", by="frida")
    with db.session() as session:
        for number in range(199):
            session.add(
                Invite(
                    hash=f"{number:064}", salt="", created=made.created, uses=0,
                    group_id=session.scalars(select(Invite.group_id)).first(),
                )
            )  # fmt: skip
    with pytest.raises(BadRequest, match="there are 200 codes already"):
        invites.make("bio", by="frida")
    assert invites.make(None, by="ada").works
