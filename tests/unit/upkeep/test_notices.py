"""What people are told, and how often: pure, by one way's memory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from appliance.findings import Finding, Severity
from appliance.upkeep.notices import DAY, Memory, message_of, news, waiting_news

QUARTER = 900


def disk(severity: Severity, summary: str = "the disk is full") -> Finding:
    return Finding("disk", severity, summary, why="too many files", mend="remove some")


class Reader:
    """Somebody who is told round by round."""

    def __init__(self, least: Severity = Severity.WARNING) -> None:
        self.memory = Memory()
        self.least = least
        self.now = 1e9

    def round(self, *findings: Finding, after: float = QUARTER) -> list[str]:
        self.now += after
        items, self.memory = news(self.memory, findings, self.least, self.now)
        # As it is after a restart.
        self.memory = Memory.of(self.memory.to_json())
        return [f"{item.topic} {item.state}" for item in items]


OK, WARNING, FAILED = Severity.OK, Severity.WARNING, Severity.FAILED


def test_told_when_it_gets_worse_and_when_it_is_mended() -> None:
    reader = Reader()
    assert reader.round(disk(OK)) == []
    assert reader.round(disk(WARNING)) == ["disk worse"]
    assert reader.round(disk(WARNING)) == []
    assert reader.round(disk(FAILED)) == ["disk worse"]
    assert reader.round(disk(WARNING)) == []
    assert reader.round(disk(OK)) == []
    assert reader.round(disk(OK)) == ["disk mended"]
    assert reader.round(disk(OK)) == []


def test_a_topic_that_is_looked_at_no_more_is_mended() -> None:
    reader = Reader()
    reader.round(disk(FAILED))
    assert reader.round() == []
    assert reader.round() == ["disk mended"]


def test_told_again_after_a_week() -> None:
    reader = Reader()
    assert reader.round(disk(WARNING)) == ["disk worse"]
    assert reader.round(disk(WARNING), after=6.9 * DAY) == []
    assert reader.round(disk(WARNING), after=0.2 * DAY) == ["disk still"]
    assert reader.round(disk(WARNING), after=DAY) == []


def test_told_anew_at_each_step_towards_an_end() -> None:
    reader = Reader()
    told = [
        len(reader.round(Finding("certificate", WARNING, "it ends", details={"step": step})))
        for step in (30, 30, 14, 14, 3, 3)
    ]
    assert told == [1, 0, 1, 0, 1, 0]


def test_only_what_does_not_work_if_no_more_is_wanted() -> None:
    reader = Reader(FAILED)
    assert reader.round(disk(WARNING)) == []
    assert reader.round(disk(FAILED)) == ["disk worse"]
    assert reader.round(disk(WARNING)) == []
    assert reader.round(disk(WARNING)) == ["disk mended"]


@given(st.lists(st.sampled_from([OK, WARNING, FAILED]), min_size=96, max_size=96))
def test_what_comes_and_goes_floods_nobody(states: list[Severity]) -> None:
    reader = Reader()
    told = [one for state in states for one in reader.round(disk(state))]
    # Each bad news can be followed by one good one.
    assert len(told) <= 2 * 24
    reader = Reader()
    toggled = [one for _ in range(48) for state in (FAILED, OK)
               for one in reader.round(disk(state))]  # fmt: skip
    assert toggled == ["disk worse"]


def test_a_clock_that_was_set_back_says_it_again_and_not_for_ever() -> None:
    reader = Reader()
    reader.round(disk(FAILED))
    assert reader.round(disk(FAILED), after=-300 * DAY) == ["disk still"]
    assert reader.round(disk(FAILED)) == []


def test_people_who_wait_are_told_of_at_once_and_then_daily() -> None:
    memory, now, told = Memory(), 1e9, []
    for waiting, after in [
        (0, 0), (1, QUARTER), (2, QUARTER), (2, DAY), (2, QUARTER), (0, QUARTER), (1, QUARTER),
    ]:  # fmt: skip
        now += after
        items, memory = waiting_news(memory, waiting, now)
        told.append([item.finding.summary for item in items])
    one, two = "1 person waits to be let in", "2 people wait to be let in"
    assert told == [[], [one], [], [two], [], [], [one]]


def test_words_for_people_and_programs() -> None:
    items, _ = news(
        Memory(), [disk(FAILED, "the disk\nis full"), Finding("backup", WARNING, "none yet")],
        WARNING, 1e9,
    )  # fmt: skip
    message = message_of(items)
    assert "\n" not in message.subject
    assert message.subject.endswith("the disk is full (and 1 more)")
    assert "To mend: remove some" in message.text
    assert [one["topic"] for one in message.items] == ["disk", "backup"]
