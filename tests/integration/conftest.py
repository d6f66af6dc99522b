"""Machines as fixtures, one of each Debian release.

A fixture can't see whether its test failed, so pytest's report is kept with the test: a failed
test's machine is not checked, its journal and console are saved instead.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import Final

import pytest

from tests.integration.images import Debian
from tests.integration.machine import Machine

_FAILED: Final = pytest.StashKey[bool]()


class _TestFailedError(Exception):
    """Tells a machine on its way out that the test has failed."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(params=list(Debian))
def debian(request: pytest.FixtureRequest) -> Debian:
    release: Debian = request.param
    return release


@pytest.fixture
def fresh_machine(debian: Debian, request: pytest.FixtureRequest) -> Iterator[Machine]:
    """A machine that has nothing but Debian."""
    with _lent(Machine(debian), request) as machine:
        yield machine


@contextlib.contextmanager
def _lent(machine: Machine, request: pytest.FixtureRequest) -> Iterator[Machine]:
    with contextlib.suppress(_TestFailedError), machine:
        yield machine
        if request.node.stash.get(_FAILED, False):
            raise _TestFailedError
