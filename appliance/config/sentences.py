"""What the schema says of each setting: the string under its field.

Python keeps none of these strings, so they are read from the source, and only when somebody asks:
the hub never does.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from appliance.config.kinds import Section


def sentence(section: type[Section], field: str) -> str:
    """The sentence under a field, on one line; empty where there is none."""
    for one in section.__mro__:
        if issubclass(one, Section) and field in _strings(one):
            return _strings(one)[field]
    return ""


@cache
def _strings(section: type[Section]) -> dict[str, str]:
    body = ast.parse(textwrap.dedent(inspect.getsource(section))).body[0]
    found = {}
    for field, below in pairwise(body.body if isinstance(body, ast.ClassDef) else ()):
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                found[name] = " ".join(text.split())
    return found
