"""A machine as fixture, and what is kept of machines and browsers when a test fails.

A fixture can't see whether its test failed; the hook can, and finds the test's machines among its
arguments, so that their journal and console are saved while they still run.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from tests.integration.browser import keep_what_is_seen
from tests.integration.commands import Commands
from tests.integration.images import Debian
from tests.integration.machine import Machine


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and isinstance(item, pytest.Function):
        for machine in _machines_of(item):
            machine.note_failed_test()
        keep_what_is_seen()
    return report


def _machines_of(test: pytest.Function) -> list[Commands]:
    """Machines that a test was given, directly or as the `machine` of something else."""
    values = [getattr(value, "machine", value) for value in test.funcargs.values()]
    return [value for value in values if isinstance(value, Commands)]


@pytest.fixture(params=[Debian.BOOKWORM, pytest.param(Debian.TRIXIE, marks=pytest.mark.long)])
def debian(request: pytest.FixtureRequest) -> Debian:
    release: Debian = request.param
    return release


@pytest.fixture
def fresh_machine(debian: Debian) -> Iterator[Machine]:
    """A machine that has nothing but Debian."""
    with Machine(debian) as machine:
        yield machine
