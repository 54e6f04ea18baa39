"""Answers in JSON, and errors that say what to do: every route speaks through these."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from starlette.responses import Response

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


def encode(data: Any) -> bytes:
    """Data as JSON in UTF-8. What is no number (NaN, infinite) becomes null, which JSON has no other word for."""
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"), default=_plain)
    except ValueError:
        text = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"), default=_plain)
    return text.encode()


def json_response(data: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with data as JSON."""
    return Response(encode(data), status, headers=headers, media_type=JSON_TYPE)


def error_response(error: ApiError) -> Response:
    """A response with what is wrong."""
    return json_response({"error": error.message, "hint": error.hint}, error.status, error.headers)


def _plain(value: Any) -> Any:
    """What json does not know by itself."""
    if isinstance(value, np.generic):
        return _finite(value.item())
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value
