"""The same few hundred requests to JupyterHub and to us; what differs must be explained."""

from __future__ import annotations

from pathlib import Path

from tests.component.differential.explained import EXPLAINED, PAGE, page
from tests.component.differential.run import ask_both
from tests.component.differential.steps import all_steps


async def test_differences_from_jupyterhub_are_the_explained_ones(tmp_path: Path) -> None:
    pairs = await ask_both(tmp_path)
    used: set[str] = set()
    unexplained = []
    for pair in pairs:
        for difference in pair.differences:
            found = [one for one in EXPLAINED if one.explains(pair.step.name, difference)]
            used |= {one.title for one in found}
            if not found:
                unexplained.append(f"{pair.step.name}: {difference}")
    assert not unexplained, "\n".join(unexplained)
    # What doesn't differ any more needs no explanation either.
    assert {one.title for one in EXPLAINED} == used
    assert not [pair.step.name for pair in pairs if pair.ours.status >= 500]


def test_the_page_of_differences_is_fresh() -> None:
    fresh = page(len(list(all_steps())))
    assert PAGE.read_text("utf-8") == fresh, "python -m tests.component.differential.explained"
