"""The API's description as an OpenAPI document, made from what the handlers themselves say.

Paths come from the patterns, verbs and scopes from the guards on the methods, bodies from the
models that the methods read; `answers.py` adds what is answered.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from types import FunctionType
from typing import Any, Final, NamedTuple

from pydantic.json_schema import models_json_schema
from tornado.web import RequestHandler

from appliance import __version__
from appliance.hub.api.answers import ANSWERS, JSON, Answers
from appliance.hub.api.handler import Body, HubApiHandler
from appliance.hub.api.schemas import SCHEMAS, TEXT
from appliance.web.asker import LOGIN_COOKIE
from appliance.web.guards import MARK, public
from appliance.web.parts import Pattern

_VERBS: Final = ("get", "head", "post", "put", "patch", "delete")
_REFERENCE: Final = "#/components/schemas/{model}"
_OURS: Final = "appliance.hub.api."
_ABOUT: Final = """\
JupyterHub's REST API, with additions below /appliance. Send a token as `Authorization: token …` or
`Authorization: Bearer …`. Each request names the scopes of which it needs one."""
# What names in paths stand for.
_NAMES: Final = {
    "user": "the name of a user",
    "server": "the name of one of the user's named servers",
    "group": "the name of a group",
    "service": "the name of a service",
    "owner": "whose server it is",
    "of": "the name of the owner's server",
    "token": "the id of a token, such as a1; below authorizations the token itself",
    "session": "the number of a log-in session",
    "cookie": "the name of a cookie",
    "value": "the value of the cookie",
    "teacher": "the name of a user who teaches, or is to teach",
    "number": "the number that it got when it was made",
    "path": "where it is below the shared folder",
    "invite": "the number of a join code",
    "message": "the number of a message",
    "visit": "the number of a visit",
}


class Operation(NamedTuple):
    """One verb on one path."""

    verb: str
    path: str
    scopes: tuple[str, ...]
    """It takes one of them; none means that anybody may ask."""
    handler: type[RequestHandler]
    body: type[Body] | None

    @property
    def key(self) -> str:
        """As in the table of answers."""
        return f"{self.verb.upper()} {self.path}"


def operations(patterns: Iterable[Pattern]) -> Iterator[Operation]:
    """Every verb on every path of these patterns that lies below /api."""
    for pattern in patterns:
        path = path_of(pattern.path)
        if path is None:
            continue
        for verb in _VERBS:
            method = getattr(pattern.handler, verb)
            if hasattr(method, MARK):
                body = _body_of(pattern.handler, method)
                yield Operation(verb, path, getattr(method, MARK), pattern.handler, body)


def path_of(pattern: str) -> str | None:
    """A pattern as OpenAPI writes paths; None for what isn't below /api."""
    # Groups that match nothing name the default server; optional slashes are for old clients.
    text = re.sub(r"\(\?P<\w+>\)", "", pattern).replace("(?:api/)?", "api/").removesuffix("/?")
    text = re.sub(r"\(\?P<(\w+)>[^)]*\)", r"{\1}", text).replace("\\", "")
    return text.removeprefix("/api") or "/" if text.startswith("/api") else None


def make_document(patterns: Iterable[Pattern], *, hub_url: str) -> dict[str, Any]:
    """The whole document."""
    found = list(operations(patterns))
    bodies = {one.body for one in found if one.body}
    _, models = models_json_schema(
        [(body, "validation") for body in sorted(bodies, key=lambda body: body.__name__)],
        ref_template=_REFERENCE,
    )
    paths: dict[str, dict[str, Any]] = {}
    for one in found:
        paths.setdefault(one.path, {})[one.verb] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Hub Appliance", "version": __version__, "description": _ABOUT},
        "servers": [{"url": f"{hub_url}api"}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **models.get("$defs", {})},
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": LOGIN_COOKIE},
            },
        },
    }


def _described(one: Operation) -> dict[str, Any]:
    answers = ANSWERS.get(one.key, Answers({200: {}}))
    words = re.findall(r"\w+", one.path)
    found: dict[str, Any] = {
        "operationId": "_".join([one.verb, *words]),
        "tags": words[:1] or ["hub"],
        "summary": (one.handler.__doc__ or "").strip().partition("\n")[0].rstrip("."),
        "parameters": list(_parameters(one, answers)),
        "responses": _responses(answers),
        "security": _security(one, answers),
    }
    body = _request_body(one, answers)
    if body:
        found["requestBody"] = body
    return found


def _security(one: Operation, answers: Answers) -> list[dict[str, list[str]]]:
    """The ways to be let in, of which any will do."""
    if one.scopes == ("login",):
        return [{"cookie": []}]
    if one.scopes:
        return [{"token": [scope]} for scope in one.scopes]
    return [{"token": []}] if answers.identified else [{}, {"token": []}]


def _parameters(one: Operation, answers: Answers) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"\{(\w+)\}", one.path):
        # The empty name would be another path.
        schema = {**TEXT, "minLength": 1}
        yield {
            "name": name, "in": "path", "required": True, "schema": schema,
            "description": _NAMES[name],
        }  # fmt: skip
    for name, schema in answers.query.items():
        yield {"name": name, "in": "query", "schema": schema}


def _responses(answers: Answers) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, schema in answers.good.items():
        found[str(status)] = {"description": "Done"}
        if schema is not None:
            found[str(status)]["content"] = {answers.media: {"schema": schema}}
    error = {answers.error_media: {"schema": answers.error}}
    return {**found, "default": {"description": "Refused", "content": error}}


def _request_body(one: Operation, answers: Answers) -> dict[str, Any]:
    schema = answers.body
    required = answers.body_media != JSON
    if one.body and schema is None:
        schema = {"$ref": _REFERENCE.format(model=one.body.__name__)}
        required = bool(one.body.model_json_schema().get("required"))
    if schema is None:
        return {}
    return {"required": required, "content": {answers.body_media: {"schema": schema}}}


def _body_of(handler: type[RequestHandler], method: Callable[..., Any]) -> type[Body] | None:
    """The model that a method, or one of the handler's own that it calls, reads the body as."""
    todo, seen = [method], set[Callable[..., Any]]()
    while todo:
        function = todo.pop()
        function = getattr(function, "__wrapped__", function)
        if function in seen or not isinstance(function, FunctionType):
            continue
        seen.add(function)
        for name in function.__code__.co_names:
            found = function.__globals__.get(name)
            if isinstance(found, type) and issubclass(found, Body):
                return found
            own = getattr(handler, name, None)
            if own is not None and getattr(own, "__module__", "").startswith(_OURS):
                todo.append(own)
    return None


class OpenApiHandler(HubApiHandler):
    """This description of the API."""

    describe_api: Callable[[], dict[str, Any]]

    @public
    async def get(self) -> None:
        self.reply(self.describe_api())


handlers = [Pattern(r"/api/openapi\.json", OpenApiHandler)]
