"""Builders for request bodies."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from extproc.facts.parse import parse_request
from extproc.facts.request import RequestFacts


@pytest.fixture
def parse() -> Callable[..., RequestFacts]:
    """`parse_request` with everything but the body filled in; a body that is no bytes is written as JSON."""

    def call(body: object, path: str = "/v1/chat/completions", **changes: Any) -> RequestFacts:
        values: dict[str, Any] = {
            "method": "POST",
            "path": path,
            "content_type": "application/json",
            "body": body if isinstance(body, bytes) else json.dumps(body).encode(),
            "request_id": "request-1",
            "subset": None,
            "max_body_bytes": 32 << 20,
        }
        return parse_request(**{**values, **changes})

    return call


@pytest.fixture
def chat() -> Callable[..., dict[str, Any]]:
    """The body of a plain chat completion; a change to `...` removes the field."""

    def make(**changes: Any) -> dict[str, Any]:
        body = {"model": "a", "messages": [{"role": "user", "content": "hi"}], **changes}
        return {name: value for name, value in body.items() if value is not ...}

    return make
