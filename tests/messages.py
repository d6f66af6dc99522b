"""Brings the catalogues of the pages in line with the program: `python -m tests.messages`.

New sentences come into each catalogue without a translation, those that nobody says any more go.
Sentences are found in templates (`_`, `{% trans %}`), and in the hub's Python as arguments of
`say` and `say_many`, and as literals that errors, forms and notes are made of. An f-string there is
the pattern "cannot find {name}"; the pages recognize by it what the root daemon says.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from appliance.texts import LanguageCode
from appliance.web.languages import FOLDER, NAMES

ROOT: Final = Path(__file__).parents[1]
PACKAGE: Final = ROOT / "appliance"
TEMPLATES: Final = PACKAGE / "web" / "templates"
SPOKEN: Final = (
    "access", "db", "errors.py", "hub", "interfaces.py", "local_spawner", "names.py", "native_auth",
    "systemd_spawner", "web",
)  # fmt: skip
"""What pages can show words of."""
SILENT: Final = (
    "hub/api", "hub/chp_routes.py", "hub/groups.py", "hub/kept_json.py",
    "hub/oauth.py", "hub/oauth_grant.py", "hub/profiles.py", "hub/routes.py", "hub/services.py",
    "hub/sessions.py", "hub/settled.py",
    "local_spawner/services.py",
    "native_auth/hashing.py", "native_auth/webauthn.py",
    "systemd_spawner/accounts.py", "systemd_spawner/acl.py", "systemd_spawner/bus.py",
    "systemd_spawner/class_folders.py", "systemd_spawner/class_store.py",
    "systemd_spawner/daemon.py", "systemd_spawner/host.py", "systemd_spawner/listener.py",
    "systemd_spawner/programs.py", "systemd_spawner/protocol.py", "systemd_spawner/servers.py",
    "systemd_spawner/service_accounts.py", "systemd_spawner/service_settings.py",
    "systemd_spawner/services.py", "systemd_spawner/settings.py", "systemd_spawner/starter.py",
)  # fmt: skip
"""But for what the API, the journal and the command line alone have: those speak English."""
TRANSLATED: Final = tuple(code for code in NAMES if code is not LanguageCode.ENGLISH)
# Which arguments hold sentences: by place, and by name.
_MAKERS: Final = {
    "say": ((0,), ()),
    "say_many": ((0, 1), ()),
    "localized": ((0,), ()),
    "FormError": ((1, 2), ("text", "mend")),
    "leave_note": ((1,), ("text",)),
}
_ERROR: Final = ((0,), ("what", "why", "mend"))


class Found(NamedTuple):
    """A sentence, with the form for many if it has one, and the file it is in."""

    one: str
    many: str
    flag: str
    file: str


def found() -> list[Found]:
    """All sentences of the program, in the order of files and lines."""
    everything: list[Found] = []
    for path in sorted(TEMPLATES.rglob("*.html")):
        everything += _of_template(path)
    for path in _modules():
        everything += _of_module(path)
    return everything


def template() -> Catalog:
    """All sentences of the program, as a catalogue without translations."""
    catalogue = Catalog(project="Hub Appliance", charset="utf-8", fuzzy=False)
    for one, many, flag, file in found():
        key = (one, many) if many else one
        known = catalogue.get(one)
        if known is not None and many and isinstance(known.id, str):
            catalogue.delete(one)
        elif known is not None and not many and not isinstance(known.id, str):
            key = known.id
        catalogue.add(key, locations=[(file, None)], flags={flag} if flag else set())  # type: ignore[list-item]
    return catalogue


def catalogue_path(code: str) -> Path:
    return FOLDER / f"{code}.po"


def read(code: str) -> Catalog:
    with catalogue_path(code).open("rb") as file:
        return read_po(file, locale=code)


def update() -> None:
    """Write each catalogue anew, with the translations that it has."""
    fresh = template()
    for code in TRANSLATED:
        catalogue = read(code)
        comment = catalogue.header_comment
        catalogue.update(fresh, no_fuzzy_matching=True, update_creation_date=False)
        catalogue.header_comment = comment
        missing = [
            message.id for message in catalogue if message.id and not is_done(message.string)
        ]
        with catalogue_path(code).open("wb") as file:
            file.write(_header(catalogue).encode())
            write_po(
                file, catalogue, width=100, include_lineno=False, ignore_obsolete=True,
                omit_header=True,
            )  # fmt: skip
        print(f"{code}: {len(catalogue)} sentences, {len(missing)} without a translation")  # noqa: T201


def _header(catalogue: Catalog) -> str:
    """What gettext needs, and the translators' notes; no dates, which would differ each time."""
    lines = [
        "Project-Id-Version: Hub Appliance",
        f"Language: {catalogue.locale}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: 8bit",
        f"Plural-Forms: {catalogue.plural_forms}",
    ]
    entry = "".join(f'"{line}\\n"\n' for line in lines)
    return f'{catalogue.header_comment}\nmsgid ""\nmsgstr ""\n{entry}\n'


def is_done(string: str | Iterable[str] | None) -> bool:
    return bool(string) if isinstance(string, str) else bool(string) and all(string or ())


def _of_template(path: Path) -> Iterator[Found]:
    name = str(path.relative_to(ROOT))
    with path.open("rb") as file:
        options = {"trimmed": "true", "newstyle_gettext": "true", "silent": "false"}
        for _, function, message, _ in babel_extract(
            file, ("_", "gettext", "ngettext"), (), options
        ):
            one, many = (message[0], message[1]) if isinstance(message, tuple) else (message, "")
            # A plural's first form says "%(num)s" and may leave it out.
            if one:
                flag = "python-format" if "%(" in f"{one}{many}" else ""
                yield Found(one, many if function == "ngettext" else "", flag, name)


def _modules() -> list[Path]:
    places = [PACKAGE / name for name in SPOKEN]
    files = [
        path for place in places for path in ([place] if place.is_file() else place.rglob("*.py"))
    ]
    silent = [PACKAGE / name for name in SILENT]
    heard = PACKAGE / "hub" / "api" / "messages.py"  # what JupyterLab shows as it comes
    return sorted(
        path
        for path in files
        if "migrations" not in path.parts
        and (path == heard or not any(path.is_relative_to(one) for one in silent))
    )


def _of_module(path: Path) -> Iterator[Found]:
    name = str(path.relative_to(ROOT))
    own_words = {
        call
        for error in ast.walk(_tree(path))
        if isinstance(error, ast.ClassDef) and error.name in _errors()
        for call in ast.walk(error)
        if isinstance(call, ast.Call) and _name(call.func) == "__init__"
    }
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.AnnAssign) and _name(node.target) == "WORDS":
            yield from _of_words(node.value, name)
        if not isinstance(node, ast.Call):
            continue
        called = _name(node.func)
        if node in own_words:
            called = "ApplianceError"
        places, names = _MAKERS.get(called, _ERROR if called in _errors() else ((), ()))
        if ast.unparse(node.func).endswith(("progress.tell", "progress.close")):
            places = (1,) if called == "tell" else (0,)
        if called == "say_many" and len(node.args) > 1:
            both = [_sentences(argument) for argument in node.args[:2]]
            if all(both):
                yield Found(both[0][0], both[1][0], "python-brace-format", name)
            continue
        arguments = [node.args[place] for place in places if place < len(node.args)]
        arguments += [word.value for word in node.keywords if word.arg in names]
        for argument in arguments:
            meant = [] if called == "localized" else _meant(argument, path)
            for sentence in _sentences(argument) or meant:
                yield Found(sentence, "", "python-brace-format" if "{" in sentence else "", name)


def _of_words(node: ast.expr | None, name: str) -> Iterator[Found]:
    """What each scope allows: the values of a dictionary."""
    for value in node.values if isinstance(node, ast.Dict) else ():
        for sentence in _sentences(value):
            yield Found(sentence, "", "python-brace-format" if "{" in sentence else "", name)


def _sentences(node: ast.expr) -> list[str]:
    """The sentences that an argument can be; none for what is made elsewhere."""
    if isinstance(node, ast.IfExp):
        return _sentences(node.body) + _sentences(node.orelse)
    if isinstance(node, ast.BoolOp):
        return [sentence for value in node.values for sentence in _sentences(value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip():
        return [node.value]
    if isinstance(node, ast.JoinedStr):
        text = "".join(_part(part) for part in node.values)
        return [text] if any(isinstance(p, ast.Constant) and _says(p) for p in node.values) else []
    return []


def _meant(node: ast.expr, path: Path) -> list[str]:
    """What a name stands for: what it is set to in its module, or handed over as."""
    if not isinstance(node, ast.Name):
        return []
    found: list[str] = []
    for other in ast.walk(_tree(path)):
        if isinstance(other, ast.Assign | ast.AnnAssign | ast.NamedExpr) and other.value:
            targets = other.targets if isinstance(other, ast.Assign) else [other.target]
            if any(isinstance(one, ast.Name) and one.id == node.id for one in targets):
                found += _sentences(other.value)
        elif isinstance(other, ast.FunctionDef | ast.AsyncFunctionDef):
            found += _handed_over(node.id, other, path)
    return list(dict.fromkeys(found))


def _handed_over(
    name: str, function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path
) -> list[str]:
    """The sentences that calls in the module give a function for a parameter that it uses so."""
    parameters = [one.arg for one in function.args.args if one.arg not in {"self", "cls"}]
    keywords = [one.arg for one in function.args.kwonlyargs]
    if name not in parameters + keywords:
        return []
    found = []
    for call in ast.walk(_tree(path)):
        if isinstance(call, ast.Call) and _name(call.func) == function.name:
            given = [word.value for word in call.keywords if word.arg == name]
            if name in parameters and parameters.index(name) < len(call.args):
                given.append(call.args[parameters.index(name)])
            found += [sentence for one in given for sentence in _sentences(one)]
    return found


def _says(part: ast.Constant) -> bool:
    return sum(letter.isalpha() for letter in str(part.value)) > 2


def _part(part: ast.expr) -> str:
    if isinstance(part, ast.FormattedValue):
        quotes = "!r" if part.conversion == ord("r") else ""
        return f"{{{_value_name(part.value)}{quotes}}}"
    return str(part.value) if isinstance(part, ast.Constant) else ""


def _value_name(node: ast.expr) -> str:
    """What a value in an f-string is called: the last name in it."""
    if isinstance(node, ast.Subscript):
        return _value_name(node.value)
    if isinstance(node, ast.Call):
        return _value_name(node.args[0] if node.args else node.func)
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "value")


def _name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def _errors() -> frozenset[str]:
    """The classes of errors that people see."""
    known, before = {"ApplianceError"}, 0
    classes = [
        (node.name, {_name(base) for base in node.bases})
        for path in _modules()
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.ClassDef)
    ]
    while len(known) > before:
        before = len(known)
        known |= {name for name, bases in classes if bases & known}
    return frozenset(known)


if __name__ == "__main__":
    update()
