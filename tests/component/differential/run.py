"""Asks both hubs everything and pairs the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.component.differential.compare import differences
from tests.component.differential.hubs import SERVICE_TOKENS, AnyHub, jupyterhub, our_hub
from tests.component.differential.steps import Step, all_steps
from tests.fakes.hub_machine import Answer

_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Pair:
    """A step and what both hubs answered."""

    step: Step
    theirs: Answer
    ours: Answer

    @property
    def differences(self) -> list[str]:
        return differences(self.theirs, self.ours)


class _Asker:
    """One hub, and what earlier steps kept of its answers."""

    def __init__(self, hub: AnyHub) -> None:
        self._hub = hub
        self._kept: dict[str, str] = {**SERVICE_TOKENS, "wrong": "no-such-token-0123456789"}

    async def ask(self, step: Step) -> Answer:
        headers = {name: self._filled(value) for name, value in step.headers.items()}
        if step.who:
            headers["Authorization"] = f"token {self._kept.get(step.who, 'none-kept')}"
        if step.body is not None:
            headers.setdefault("Content-Type", "application/json")
        async with asyncio.timeout(_SECONDS):
            answer = await self._hub.ask(
                step.method, self._filled(step.path), headers, step.encoded()
            )
        if step.keep and answer.status < 300:
            for name, field in step.keep.items():
                self._kept[name] = str(answer.json[field])
        return answer

    def _filled(self, text: str) -> str:
        for name, value in self._kept.items():
            text = text.replace(f"{{{name}}}", value)
        return text


async def ask_both(folder: Path) -> list[Pair]:
    """Every step on both hubs."""
    for name in ("ours", "theirs"):
        (folder / name).mkdir()
    with jupyterhub(folder / "theirs") as peer:
        async with our_hub(folder / "ours") as ours:
            left, right = _Asker(peer), _Asker(ours)
            return [Pair(step, await left.ask(step), await right.ask(step)) for step in all_steps()]


def report(pairs: list[Pair]) -> Mapping[str, list[str]]:
    """The differences by the step's name."""
    return {pair.step.name: found for pair in pairs if (found := pair.differences)}
