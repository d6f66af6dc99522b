"""`appliance user import` and `export`: lists of people, which the hub reads and writes."""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from appliance.cli.errors import UsageError
from appliance.cli.output import Output, count, printable
from appliance.client.hub import HubClient
from appliance.config.rendered import read_rendered
from appliance.errors import ApplianceError
from appliance.places import Places
from appliance.rollout.addresses import root_urls
from appliance.rollout.render import SPAWNER_FILE
from appliance.spreadsheets import Dialect, original, write

# Passwords are hashed as they are made, slowly by design: small parts keep each answer short.
_PART: Final = 20
_SECONDS: Final = 120.0
_LARGEST: Final = 3 * 512 * 1024
_PAPERS: Final = ("a4", "letter")


def import_people(
    places: Places,
    output: Output,
    source: Path,
    *,
    group: str,
    dry_run: bool,
    file: Path | None,
    paper: str,
) -> None:
    """Make what can be made, and end with an error that tells the rest."""
    _check(file, paper)
    data = _read(source)
    hub = HubClient.of(places, timeout=_SECONDS)
    looked = hub.look_at_roster(group, data)
    wrong = [row for row in looked["rows"] if row["state"] == "wrong"]
    if dry_run:
        _tell_rows(output, looked)
    else:
        todo = [row for row in looked["rows"] if row["state"] in {"new", "join"}]
        with _kept(file, places, paper) as made:
            joined, skipped = _make(hub, output, group, todo, made)
            _tell_made(output, made, joined, skipped, looked, file)
        wrong += [{"line": 0, "why": f"{one['name']!r}: {one['why']}"} for one in skipped]
    if wrong:
        raise ApplianceError(
            f"cannot use {count(len(wrong), 'row')}",
            why="; ".join(_place(row) for row in wrong[:20]) + ("; …" if len(wrong) > 20 else ""),
            mend="correct them in the file and import it again: people who are there stay as they "
            "are",
        )


def export_people(places: Places, output: Output, *, group: str, kind: str) -> None:
    if kind not in list(Dialect):
        raise UsageError(f"cannot write {kind!r}", why="give plain, excel or excel-semicolon")
    if output.as_json and kind != Dialect.PLAIN:
        raise UsageError("cannot do both", why="--json and --for exclude each other")
    data = HubClient.of(places).roster_file(group, kind)
    if output.as_json:
        headings, *rows = csv.reader(io.StringIO(data.decode(), newline=""))
        names = [heading.replace(" ", "_") for heading in headings]
        people = [dict(zip(names, map(original, row), strict=True)) for row in rows]
        output.data(people, "")
        return
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _check(file: Path | None, paper: str) -> None:
    if paper not in _PAPERS:
        raise UsageError(f"cannot print on {paper!r}", why="give a4 or letter")
    if file and file.suffix.lower() not in {".html", ".csv"}:
        raise UsageError(
            f"cannot write {file}", why="its name says neither cards nor passwords",
            mend="end it with .html or .csv",
        )  # fmt: skip


def _read(source: Path) -> bytes:
    try:
        if str(source) == "-":
            data = sys.stdin.buffer.read(_LARGEST + 1)
        else:
            with source.open("rb") as file:
                data = file.read(_LARGEST + 1)
    except OSError as error:
        raise ApplianceError(f"cannot read {source}", why=error.strerror or str(error)) from error
    if len(data) > _LARGEST:
        raise ApplianceError(
            f"cannot read {source}",
            why="it is too large to be a list of people",
            mend="save the one sheet with the names as CSV",
        )
    return data


def _make(
    hub: HubClient, output: Output, group: str, rows: Sequence[dict[str, Any]],
    made: list[dict[str, str]],
) -> tuple[list[str], list[dict[str, str]]]:  # fmt: skip
    """Make the accounts in parts; those made are added to the list as they come."""
    joined: list[str] = []
    skipped: list[dict[str, str]] = []
    for start in range(0, len(rows), _PART):
        people = [
            {key: row[key] for key in ("name", "full_name", "email", "language", "class_name")}
            for row in rows[start : start + _PART]
        ]
        part = hub.add_people(group, people)
        made += part["created"]
        joined += part["joined"]
        skipped += part["skipped"]
        skipped += [{"name": row["typed"], "why": row["why"]} for row in part["wrong"]]
        if len(rows) > _PART:
            output.say(f"{min(start + _PART, len(rows))} of {len(rows)}")
    return joined, skipped


def _tell_rows(output: Output, looked: dict[str, Any]) -> None:
    rows = [
        [
            str(row["line"]), row["state"].replace("_", " "), row["full_name"], row["name"],
            row["class_name"], row["why"] or row["note"],
        ]
        for row in looked["rows"]
    ]  # fmt: skip
    columns = ["line", "what", "full name", "user name", "class", "remark"]
    output.table(looked, columns, rows)


def _tell_made(
    output: Output, made: list[dict[str, str]], joined: list[str], skipped: list[dict[str, str]],
    looked: dict[str, Any], file: Path | None,
) -> None:  # fmt: skip
    shown = [{**one, "password": None} for one in made] if file else made
    here = [row["name"] for row in looked["rows"] if row["state"] == "here"]
    wrong = [
        {"line": row["line"], "why": row["why"]}
        for row in looked["rows"]
        if row["state"] == "wrong"
    ]
    value = {
        "created": shown, "joined": joined, "here": here, "wrong": wrong, "skipped": skipped,
        "file": str(file) if file else None,
    }  # fmt: skip
    lines = []
    if made and file:
        lines.append(f"{count(len(made), 'user')} added; the passwords are in {file}")
    elif made:
        width = max(len(one["name"]) for one in made)
        lines += [f"{one['name']:<{width}}  {one['password']}" for one in made]
    if joined:
        lines.append(f"joined: {', '.join(joined)}")
    if here:
        lines.append(f"{count(len(here), 'user')} there already")
    tell = output.data if made and not file else output.done
    tell(value, "\n".join(lines) or "nobody to add")


def _place(row: dict[str, Any]) -> str:
    why = printable(row["why"])
    return f"line {row['line']}: {why}" if row["line"] else why


@contextmanager
def _kept(file: Path | None, places: Places, paper: str) -> Iterator[list[dict[str, str]]]:
    """What is made goes into the new file, which is opened before: so that no password gets lost,
    and those made before a failure are in it, too."""
    made: list[dict[str, str]] = []
    if file is None:
        yield made
        return
    site = root_urls(read_rendered(places.rendered / SPAWNER_FILE), places)[0]
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise ApplianceError(
            f"cannot write {file}",
            why=error.strerror or str(error),
            mend="choose a new file with --output",
        ) from error
    with os.fdopen(descriptor, "wb") as opened:
        try:
            yield made
        finally:
            is_page = file.suffix.lower() == ".html"
            opened.write(_page(made, site, paper) if is_page else _table(made, site))


def _table(made: Sequence[dict[str, str]], site: str) -> bytes:
    rows = [[one["full_name"], one["name"], one["password"], site] for one in made]
    return write([["full name", "user name", "password", "address"], *rows], Dialect.EXCEL)


def _page(made: Sequence[dict[str, str]], site: str, paper: str) -> bytes:
    # Jinja is loaded for cards alone.
    from appliance.web import cards
    from appliance.web.templating import make_renderer

    logins = [cards.Login(one["name"], one["password"], one["full_name"]) for one in made]
    values = {
        "pages": cards.make_pages(logins, site), "site": site, "language": "en",
        "style_text": cards.style_text(cards.Paper(paper)),
    }  # fmt: skip
    return make_renderer("/")("cards_file.html", values).encode()
