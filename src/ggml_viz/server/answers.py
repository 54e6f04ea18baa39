"""Answers in JSON, and errors that say what to do: every route speaks through these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from ggml_viz.errors import UserError
from ggml_viz.sources.encode import encode
from ggml_viz.sources.source import BadQuestionError, NotThereError

JSON_TYPE = "application/json"


class ApiError(Exception):
    """What a request gets instead of an answer.

    Args:
        status: Of HTTP.
        message: What is wrong, in one sentence.
        hint: What to do about it.
        headers: What the answer's head says besides.
    """

    def __init__(
        self, status: int, message: str, hint: str | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


def api_error(error: UserError) -> ApiError:
    """What a source refuses, in terms of HTTP."""
    statuses = {NotThereError: 404, BadQuestionError: 400}
    return ApiError(statuses.get(type(error), 409), error.message, error.hint)


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with data as JSON."""
    return Response(encode(data), status, headers=headers, media_type=JSON_TYPE)


def error_response(error: ApiError) -> Response:
    """A response with what is wrong."""
    return json_response({"error": error.message, "hint": error.hint}, error.status, error.headers)
