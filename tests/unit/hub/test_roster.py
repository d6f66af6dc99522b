"""Lists of people as spreadsheets write them: what is read, and that no row gets lost."""

from __future__ import annotations

import csv
import io
import re
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.errors import BadRequest
from appliance.hub.classroom.made_names import free_name, make_name, name_of_address, split_name
from appliance.hub.classroom.roster_columns import Meaning, guess_layout
from appliance.hub.classroom.roster_rows import Edit, Entry, read_entries
from appliance.hub.classroom.roster_tables import MOST_ROWS, read_table, tidy
from appliance.names import USERNAME_PATTERN
from appliance.spreadsheets import Dialect, write

_GERMAN: Final = "Nr.;Nachname;Vorname;Klasse;E-Mail\r\n1;Müller;Änne;7b;ae@s.example\r\n"


def entries(data: bytes | str, edits: dict[int, Edit] | None = None) -> list[Entry]:
    table = read_table(data)
    return read_entries(table, guess_layout(table), edits)


def people(data: bytes | str) -> list[tuple[str, str, str]]:
    """Full name, user name (typed, or to be made) and mail address of each person."""
    return [
        (one.full_name, one.wanted, one.email) for one in entries(data) if one.is_person
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        _GERMAN.encode(),
        _GERMAN.encode("utf-8-sig"),
        _GERMAN.encode("cp1252"),
        _GERMAN.encode("utf-16"),
        _GERMAN.encode("utf-16-le"),
        _GERMAN.encode("utf-16-be"),
        _GERMAN.replace(";", "\t").encode("utf-16"),
        _GERMAN.replace(";", ",").encode(),
        _GERMAN.replace("\r\n", "\r").encode(),
        _GERMAN.replace("\r\n", "\n").encode(),
        b"sep=;\r\n" + _GERMAN.encode("cp1252"),
        b"Klassenliste 7b\r\n\r\n" + _GERMAN.encode() + b";;;;;;;\r\nSumme;1;;;\r\n",
        _GERMAN.replace("Müller", '"Müller"').replace("Änne", '" Änne "').encode(),
    ],
    ids=[
        "utf-8", "utf-8 with mark", "windows-1252", "utf-16", "utf-16-le", "utf-16-be",
        "Unicode text", "commas", "CR", "LF", "sep=", "title and total", "quotes",
    ],
)  # fmt: skip
def test_encodings_separators_and_ends_of_lines(data: bytes) -> None:
    assert people(data) == [("Änne Müller", "aenne.mueller", "ae@s.example")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Name,First name\nMüller,Änne", [("Änne Müller", "aenne.mueller", "")]),
        ("Nom;Prénom;Adresse e-mail\nDupont;Élise;e@s.example",
         [("Élise Dupont", "elise.dupont", "e@s.example")]),
        ("Apellidos\tNombre\nGarcía Márquez\tGabriel",
         [("Gabriel García Márquez", "gabriel.garciamarquez", "")]),
        ("Nombre y apellidos\nJosé Núñez", [("José Núñez", "jose.nunez", "")]),
        ("Benutzername;Name\nanne1;Anne Müller", [("Anne Müller", "anne1", "")]),
        ("login,full name,class\nABEL,Abel Ö,7b", [("Abel Ö", "abel", "")]),
        ("Müller, Änne\nvan der Berg, Jan",
         [("Änne Müller", "aenne.mueller", ""), ("Jan van der Berg", "jan.vanderberg", "")]),
        ("Änne Müller\nLudwig van Beethoven",
         [("Änne Müller", "aenne.mueller", ""),
          ("Ludwig van Beethoven", "ludwig.vanbeethoven", "")]),
        ("1. Änne Müller\n2) Bo Ek\n- Cleo Ohm",
         [("Änne Müller", "aenne.mueller", ""), ("Bo Ek", "bo.ek", ""),
          ("Cleo Ohm", "cleo.ohm", "")]),
        ("anna\nben42\nc.d", [("", "anna", ""), ("", "ben42", ""), ("", "c.d", "")]),
        ("A.B@s.example\nc+tag@s.example",
         [("", "a.b", "A.B@s.example"), ("", "c", "c+tag@s.example")]),
        ("Anne Ek <anne@s.example>\nBo <bo@s.example>",
         [("Anne Ek", "anne.ek", "anne@s.example"), ("Bo", "bo", "bo@s.example")]),
        ("Anne Ek <anne@s.example>; Bo <bo@s.example>; Cy <cy@s.example>",
         [("Anne Ek", "anne.ek", "anne@s.example"), ("Bo", "bo", "bo@s.example"),
          ("Cy", "cy", "cy@s.example")]),
        ("Abel\tZoe\nBach\tAnna\nCohn\tXaver\nDorn\tBert",
         [("Zoe Abel", "zoe.abel", ""), ("Anna Bach", "anna.bach", ""),
          ("Xaver Cohn", "xaver.cohn", ""), ("Bert Dorn", "bert.dorn", "")]),
        ('"Müller, Änne"\n"Ek, Bo"', [("Änne Müller", "aenne.mueller", ""),
                                      ("Bo Ek", "bo.ek", "")]),
        ('Name;Mail\n"Ek\r\nBo";b@s.example', [("Ek Bo", "ek.bo", "b@s.example")]),
        ('Name;Mail\n"Bo ""B"" Ek";b@s.example', [('Bo "B" Ek', "bo.ek", "b@s.example")]),
        ("user name,full name\nanna,'=Anna Ek", [("=Anna Ek", "anna", "")]),
    ],
)  # fmt: skip
def test_headings_in_four_languages_and_lists_without(
    text: str, expected: list[tuple[str, str, str]]
) -> None:
    assert people(text) == expected


def test_rows_that_are_no_people_are_told() -> None:
    rows = entries("Class 7b\n\nName;Mail\nAnne Ek;\nName;Mail\n7;\nTotal;1\n")
    assert [(one.line, one.skipped) for one in rows] == [
        (1, "it stands above the headings"),
        (3, "it has the headings"),
        (4, ""),
        (5, "it has the headings"),
        (6, "there are no letters in it"),
        (7, "it is a total"),
    ]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("Anne Ek;;nomail", "'nomail' is no mail address"),
        ("Anne Ek;-anne;", "it begins with '-'"),
        ("Anne Ek;root;", "the name is reserved"),
        (f"{'x' * 201} y;;", "it has 203 characters, and 200 is the most"),
        ("\u738b\u5c0f\u660e;;", "no user name can be made of these letters"),
        ("An\x07ne Ek;;", "it has control characters in it"),
        ("An\ufffdne Ek;;", "some of its letters got lost when the file was written"),
        ('"a\nb\nc";;', "a cell of it has several lines"),
        (";;\nx", None),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_how_to_mend_it(row: str, why: str | None) -> None:
    [*_, found] = entries(f"name;login;mail\n{row}\n")
    assert (found.why or None) == why
    assert bool(found.mend) == bool(why)


def test_an_edited_row_is_read_anew() -> None:
    text = "name;mail\nAnne Ek;nomail\nBo Ek;\n"
    found = entries(text, {2: Edit("Anne  Ek-Ohm", "", "a@s.example"), 3: Edit("", "Bo", "")})
    assert [(one.full_name, one.wanted, one.email, one.why) for one in found[1:]] == [
        ("Anne Ek-Ohm", "anne.ek-ohm", "a@s.example", ""), ("", "bo", "", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "there is nothing in it"),
        (b"\r\n;;;\r\n", "there is nothing in it"),
        (b"PK\x03\x04rest", "it is a workbook, not a CSV file"),
        (b"\xd0\xcf\x11\xe0rest", "it is a workbook, not a CSV file"),
        (b"%PDF-1.7", "it is a PDF, not a CSV file"),
        (b"abc\0\0\0def", "it isn't text"),
        ("a b\n" * (MOST_ROWS + 2), f"it has more than {MOST_ROWS} rows"),
        ("\n" * 100_000 + "x", f"it has more than {MOST_ROWS} rows"),
    ],
)
def test_what_is_no_list_is_refused_with_a_reason(data: bytes | str, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        entries(data)
    assert refused.value.why == why
    assert refused.value.mend


def test_as_many_rows_as_are_allowed_are_read() -> None:
    assert len(entries("name\n" + "Anne Ek\n" * MOST_ROWS)) == MOST_ROWS + 1
    with pytest.raises(BadRequest):
        entries("Anne Ek\n" * (MOST_ROWS + 1))


@pytest.mark.parametrize(
    ("full", "name"),
    [
        ("Müller, Änne", "aenne.mueller"),
        ("Anna Maria Müller", "anna.mueller"),
        ("Strauß, Øystein", "oeystein.strauss"),
        ("Picard-Lefèvre, Jean-Luc", "jean-luc.picard-lefevre"),
        ("O'Neil, Zoe", "zoe.oneil"),
        ("Иван Петров", "ivan.petrov"),
        ("Νίκος Παππάς", "nikos.pappas"),
        ("Ana de la Cruz", "ana.delacruz"),
        ("de", "de"),
        ("Mu\u0308ller", "mueller"),
        ("x" * 60, "x" * 32),
    ],
)
def test_user_names_are_made_of_names(full: str, name: str) -> None:
    assert make_name(*split_name(full)) == name


def test_a_name_that_is_taken_gets_a_number() -> None:
    assert free_name("anna.ek", {"anna.ek", "anna.ek2"}.__contains__) == "anna.ek3"
    assert free_name("root", lambda _: False) == "root2"


@given(st.text(), st.text())
def test_made_names_are_legal_or_empty(first: str, last: str) -> None:
    for made in (make_name(first, last), name_of_address(first)):
        assert not made or re.fullmatch(USERNAME_PATTERN, made)


_FUZZ = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=300),
    st.text(alphabet=st.sampled_from('ab;,\t\r\n" @=\'.1ä'), max_size=300),
    st.builds(
        "\n".join,
        st.lists(st.sampled_from([
            "Name;Vorname", "Müller;Änne", '"Müller, Änne"', "a@b.c;d@e.f", "Summe;3", '"', ";;;",
            "sep=;", "anna\tb", "login", "x" * 300, '"a\nb"', "1. Bo Ek", "\ufeff", "total",
        ])),
    ),
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(_FUZZ)
def test_whatever_is_read_no_row_gets_lost_and_nothing_else_is_raised(data: bytes | str) -> None:
    try:
        table = read_table(data)
        found = read_entries(table, guess_layout(table))
    except BadRequest:
        return
    assert len(found) >= len(table.records) >= 1
    lines = [one.line for one in found]
    assert lines == sorted(set(lines))
    for one in found:
        assert one.skipped or one.why or one.wanted
        assert not one.wanted or re.fullmatch(USERNAME_PATTERN, one.wanted)


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.sampled_from("ab;, \t\"'\r\n"), max_size=200))
def test_every_letter_of_a_list_is_in_one_of_its_records(text: str) -> None:
    try:
        table = read_table(text)
    except BadRequest:
        assert not tidy(re.sub("[;,\"']", "", text))
        return
    read = "".join(cell for record in table.records for cell in record.cells)
    assert re.sub("[^ab]", "", read) == re.sub("[^ab]", "", text)


_NAMES = st.text(
    alphabet=st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\ufffd"),
    min_size=1, max_size=30,
).map(tidy).filter(lambda name: any(map(str.isalpha, name)))  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(_NAMES, min_size=1, max_size=8), st.sampled_from(Dialect), st.booleans())
def test_an_export_that_went_through_a_spreadsheet_is_read_as_it_was(
    names: list[str], dialect: Dialect, saves_anew: bool
) -> None:
    rows = [["User name", "Full name", "State"]]
    rows += [[f"u{number}", name, "active"] for number, name in enumerate(names)]
    data = write(rows, dialect)
    if saves_anew:
        # As Excel writes "Unicode text", the marks for text still in front.
        separator = ";" if dialect is Dialect.EXCEL_SEMICOLON else ","
        cells = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""), delimiter=separator)
        text = io.StringIO()
        csv.writer(text, delimiter="\t", quoting=csv.QUOTE_ALL).writerows(cells)
        data = text.getvalue().encode("utf-16")
    table = read_table(data)
    assert guess_layout(table).meanings[:2] == (Meaning.USERNAME, Meaning.NAME)
    assert [record.cells[:2] for record in table.records[1:]] == [
        tuple(row[:2]) for row in rows[1:]
    ]
