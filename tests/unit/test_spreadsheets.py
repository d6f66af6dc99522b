"""CSV for spreadsheets: no cell is a formula, and what is read back is what was written."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.spreadsheets import Dialect, original, safe, write

_SIGNS = "=+-@\t\r\n'|%,; \uff1d\uff0b\uff0d\uff20ab"
_CELLS = st.text(alphabet=st.sampled_from(_SIGNS)) | st.text()


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+49 30", "'+49 30"),
        ("-1", "'-1"),
        ("@sum", "'@sum"),
        ("\t=1", "'\t'=1"),
        ("\uff1d1", "'\uff1d1"),
        ("  =1", "'  =1"),
        ("a;=1", "a;'=1"),
        ("'=1", "''=1"),
        ("'t Hooft", "'t Hooft"),
        ("Müller-Lüdenscheidt", "Müller-Lüdenscheidt"),
        ("anna@school.example", "anna@school.example"),
        ("", ""),
    ],
)
def test_formulas_become_text_and_names_stay(cell: str, written: str) -> None:
    assert safe(cell) == written
    assert original(written) == cell


@given(_CELLS)
def test_nothing_that_was_safe_is_changed_by_coming_back(cell: str) -> None:
    assert original(safe(cell)) == cell


@given(_CELLS)
def test_no_part_between_separators_begins_a_formula(cell: str) -> None:
    for separator in ",;\t":
        for part in safe(cell).split(separator):
            assert not part.startswith(tuple("=+-@\uff1d\uff0b\uff0d\uff20"))


@pytest.mark.parametrize("dialect", list(Dialect))
def test_files_are_csv_with_the_mark_that_excel_looks_for(dialect: Dialect) -> None:
    data = write([["name", "note"], ["Änne", 'a,b;"c"\nd']], dialect)
    assert data.startswith(b"\xef\xbb\xbf") == (dialect is not Dialect.PLAIN)
    separator = ";" if dialect is Dialect.EXCEL_SEMICOLON else ","
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    assert list(csv.reader(text, delimiter=separator))[1] == ["Änne", 'a,b;"c"\nd']
