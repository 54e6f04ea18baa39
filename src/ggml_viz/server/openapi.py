"""Routes as data: the application is made from them, requests checked by them, the OpenAPI document shows them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import Response

from ggml_viz import __version__
from ggml_viz.server.answers import JSON_TYPE, ApiError

Schema: TypeAlias = dict[str, Any]
Given: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Request, Given], Awaitable[Response]]

BINARY = "application/octet-stream"

_STATUS_TEXTS = {
    400: "The request is wrong.",
    401: "A token is needed.",
    403: "Refused: a foreign Host or Origin.",
    404: "There is none.",
    409: "It cannot be done with this source, or not now.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too much is being asked at once; Retry-After says when to try again.",
    503: "It takes longer than a request may wait; what is computed is kept, so ask again.",
}


@dataclass(frozen=True)
class Parameter:
    """What a request may say in its path or query.

    Attributes:
        name: Of the parameter.
        schema: Its JSON schema: one of integer, number, string, or an array of integers with commas between.
        meaning: In words.
        required: Whether a request without it is wrong; what is in the path always is.
        default: Its value where it is not given.
    """

    name: str
    schema: Schema
    meaning: str
    required: bool = False
    default: Any = None

    def read(self, text: str) -> Any:
        """Its value from the text of a request.

        Raises:
            ApiError: It is none that the schema allows.
        """
        kind = self.schema["type"]
        if kind == "array":
            items = dataclasses.replace(self, schema=self.schema["items"])
            parts = text.split(",") if text else []
            if len(parts) > self.schema["maxItems"]:
                raise self._wrong(text)
            return [items.read(part) for part in parts]
        value: Any = text
        if kind == "integer":
            if not re.fullmatch(r"-?[0-9]{1,19}", text):
                raise self._wrong(text)
            value = int(text)
        elif kind == "number":
            if not re.fullmatch(r"-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]{1,3})?", text) or not math.isfinite(float(text)):
                raise self._wrong(text)
            value = float(text)
        elif not self.schema.get("minLength", 0) <= len(text) <= self.schema.get("maxLength", len(text)) or (
            "pattern" in self.schema and not re.fullmatch(self.schema["pattern"].strip("^$"), text)
        ):
            raise self._wrong(text)
        if "enum" in self.schema and value not in self.schema["enum"]:
            raise self._wrong(text)
        if value != text and not self.schema.get("minimum", value) <= value <= self.schema.get("maximum", value):
            raise self._wrong(text)
        return value

    def _wrong(self, text: str) -> ApiError:
        allowed = self.schema.get("enum")
        if allowed:
            said = f"one of {', '.join(map(str, allowed))}"
        elif self.schema["type"] == "array":
            said = f"at most {self.schema['maxItems']} numbers with commas between"
        else:
            bounds = [
                f"{word} {self.schema[name]}"
                for name, word in (("minimum", "at least"), ("maximum", "at most"))
                if name in self.schema
            ]
            said = " ".join([f"{self.schema['type']},", *bounds]).strip(", ")
        shown = text if len(text) <= 40 else text[:40] + "…"
        return ApiError(400, f"{self.name}={shown} is not allowed", f"{self.name} is {self.meaning}: {said}.")


@dataclass(frozen=True)
class Body:
    """What a request has to say in its body.

    Attributes:
        schema: Of the JSON object.
    """

    schema: Schema


@dataclass(frozen=True)
class Route:
    """One thing that can be asked for.

    Attributes:
        method: GET or POST.
        path: With `{name}` for what is in the path.
        summary: What it gives, in a few words.
        handler: Answers it.
        response: Schema of the answer, or its media type where it is not JSON.
        path_parameters: What is in the path.
        query: What may be in the query.
        body: What has to be in the body.
        errors: Statuses that it may be refused with, beyond those of every request.
        tag: What it belongs to.
    """

    method: str
    path: str
    summary: str
    handler: Handler
    response: Schema | str
    path_parameters: Sequence[Parameter] = ()
    query: Sequence[Parameter] = ()
    body: Body | None = None
    errors: Sequence[int] = ()
    tag: str = "sources"
    media_types: Sequence[str] = field(default_factory=tuple)

    def read(self, path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Given:
        """The values of its parameters in a request.

        Raises:
            ApiError: Something is missing, unknown, given twice, or not allowed.
        """
        given: Given = {parameter.name: parameter.read(path[parameter.name]) for parameter in self.path_parameters}
        known = {parameter.name: parameter for parameter in self.query}
        for name, text in query:
            if name not in known:
                names = ", ".join(known) or "none"
                raise ApiError(400, f"there is no parameter {name[:40]}", f"There are: {names}.")
            if name in given:
                raise ApiError(400, f"{name} is given twice", "Give it once.")
            given[name] = known[name].read(text)
        for name, parameter in known.items():
            if name not in given:
                if parameter.required:
                    raise ApiError(400, f"{name} is missing", f"{name} is {parameter.meaning}.")
                given[name] = parameter.default
        return given


def document(routes: Sequence[Route], schemas: Mapping[str, Schema], token_needed: bool) -> dict[str, Any]:
    """The OpenAPI document of some routes.

    Args:
        routes: All that there is.
        schemas: The schemas that theirs refer to, by name.
        token_needed: Whether requests have to bring a token.
    """
    paths: dict[str, Any] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ggml-viz",
            "version": __version__,
            "description": "Traces of ggml runtimes and processes that are watched now. Times ending in _s are seconds "
            "since the source's beginning. WebSocket frames and tiles are described in docs/http-api.md.",
            "license": {"name": "MIT"},
        },
        "paths": paths,
        "components": {
            "schemas": dict(schemas),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "session": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "ggml-viz-PORT",
                    "description": "What POST /api/v1/session sets; its name ends in the port that the server listens "
                    "at.",
                },
            },
        },
        "security": [{"token": []}, {"session": []}] if token_needed else [],
    }


def _operation(route: Route) -> dict[str, Any]:
    if isinstance(route.response, str):
        content: dict[str, Any] = {kind: {"schema": _RAW} for kind in route.media_types or [route.response]}
    else:
        content = {JSON_TYPE: {"schema": route.response}}
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _identifier(route),
        "tags": [route.tag],
        "responses": {"200": {"description": "The answer.", "content": content}},
    }
    has_parameters = bool(route.path_parameters or route.query or route.body)
    statuses = {401, 403, *route.errors, *([400] if has_parameters else []), *([413, 415] if route.body else [])}
    for status in sorted(statuses):
        operation["responses"][str(status)] = {
            "description": _STATUS_TEXTS[status],
            "content": {JSON_TYPE: {"schema": {"$ref": "#/components/schemas/Error"}}},
        }
    parameters = [_shown(parameter, "path") for parameter in route.path_parameters]
    parameters += [_shown(parameter, "query") for parameter in route.query]
    if parameters:
        operation["parameters"] = parameters
    if route.body:
        operation["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": route.body.schema}}}
    return operation


_RAW: Schema = {}


def _shown(parameter: Parameter, place: str) -> dict[str, Any]:
    schema = dict(parameter.schema)
    if parameter.default is not None:
        schema["default"] = parameter.default
    shown: dict[str, Any] = {
        "name": parameter.name,
        "in": place,
        "description": parameter.meaning[0].upper() + parameter.meaning[1:] + ".",
        "required": parameter.required or place == "path",
        "schema": schema,
    }
    if schema["type"] == "array":
        shown |= {"style": "form", "explode": False}
    return shown


def _identifier(route: Route) -> str:
    words = re.findall(r"[a-z]+", route.path.removeprefix("/api/v1"))
    return "_".join([route.method.lower(), *words])
