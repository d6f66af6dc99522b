"""The cookies of one browser, by name and path."""

from __future__ import annotations

from dataclasses import dataclass, field

from benchmarks.class_start.connection import Answer


@dataclass(slots=True)
class Cookies:
    """Sent to addresses below their path, those of the longest path first."""

    _kept: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, answer: Answer, asked: str) -> None:
        """Keep what an answer sets, forget what it takes back."""
        for name, value in answer.headers:
            if name == "set-cookie":
                self._take_one(value, asked)

    def _take_one(self, line: str, asked: str) -> None:
        first, *rest = (part.strip() for part in line.split(";"))
        name, _, value = first.partition("=")
        attributes = {key.lower(): text for key, _, text in (part.partition("=") for part in rest)}
        path = attributes.get("path") or asked.partition("?")[0].rpartition("/")[0] or "/"
        gone = attributes.get("max-age") == "0" or "1970" in attributes.get("expires", "")
        if gone or value in {"", '""'}:
            self._kept.pop((name, path), None)
        else:
            self._kept[name, path] = value

    def header(self, path: str) -> str:
        """The Cookie header for a request, or nothing."""
        return "; ".join(f"{name}={value}" for name, value in self._sent_to(path))

    def value(self, name: str, path: str) -> str:
        """What a script at this address finds under a name."""
        return next((value for key, value in self._sent_to(path) if key == name), "")

    def _sent_to(self, path: str) -> list[tuple[str, str]]:
        plain = path.partition("?")[0]
        fitting = [
            (scope, name, value)
            for (name, scope), value in self._kept.items()
            if plain == scope or plain.startswith(scope if scope.endswith("/") else f"{scope}/")
        ]
        return [(name, value) for _, name, value in sorted(fitting, key=lambda c: -len(c[0]))]
