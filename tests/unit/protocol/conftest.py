"""Builders of Envoy's messages and of plans."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from extproc.decide.plan import Attempt, Plan, TokenBudget
from extproc.protocol import names
from extproc.protocol.wire import ext_proc_pb2 as wire

BODY_MODES = wire.ProcessingMode

HEADERS = {
    ":method": "POST",
    ":path": "/v1/chat/completions",
    "content-type": "application/json",
    "x-request-id": "request-1",
}


@pytest.fixture
def make_plan() -> Callable[..., Plan]:
    """A plan of two attempts in one cluster, one retry, 30 s, the body's model kept."""

    def make(**changes: Any) -> Plan:
        values: dict[str, Any] = {
            "decision_id": "decision-1",
            "attempts": tuple(
                Attempt(address=address, cluster="a-short", model="a", work_seconds=1.0)
                for address in ("10.0.0.1:8000", "10.0.0.2:8000")
            ),
            "route_cluster": "a-short",
            "max_retries": 1,
            "timeout_seconds": 30.0,
            "per_try_timeout_seconds": None,
            "model": None,
            "pool": "short",
            "budget": TokenBudget(
                prompt_tokens=100, prompt_tokens_upper=130, output_tokens=500, output_is_given=True
            ),
            "candidates": 4,
            "reason": "fits short",
        }
        return Plan(**{**values, **changes})

    return make


@pytest.fixture
def request_headers() -> Callable[..., wire.ProcessingRequest]:
    """Request headers of a chat request; headers given with the value None are left out."""

    def make(
        *,
        end_of_stream: bool = False,
        mode: int | None = BODY_MODES.BUFFERED,
        headers: dict[str, str | None] | None = None,
        is_waiting: bool = True,
    ) -> wire.ProcessingRequest:
        message = wire.ProcessingRequest()
        message.request_headers.end_of_stream = end_of_stream
        for key, value in ({**HEADERS, **(headers or {})}).items():
            if value is not None:
                message.request_headers.headers.headers.add(key=key, raw_value=value.encode())
        if mode is not None:
            message.protocol_config.request_body_mode = wire.ProcessingMode.BodySendMode.ValueType(mode)
            message.protocol_config.send_body_without_waiting_for_header_response = not is_waiting
        return message

    return make


@pytest.fixture
def request_body() -> Callable[..., wire.ProcessingRequest]:
    """A request body, or a chunk of one."""

    def make(body: bytes = b'{"model": "auto"}', *, end_of_stream: bool = True) -> wire.ProcessingRequest:
        return wire.ProcessingRequest(request_body=wire.HttpBody(body=body, end_of_stream=end_of_stream))

    return make


@pytest.fixture
def set_headers() -> Callable[[wire.HeaderMutation], dict[str, str]]:
    """Read the headers that an answer sets, and assert that each overwrites a client's own."""

    def read(mutation: wire.HeaderMutation) -> dict[str, str]:
        for option in mutation.set_headers:
            assert option.append_action == wire.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD
        pairs = [(option.header.key, option.header.raw_value.decode()) for option in mutation.set_headers]
        assert len(pairs) == len(dict(pairs))
        return dict(pairs)

    return read


@pytest.fixture
def attempt_headers() -> Callable[..., wire.ProcessingRequest]:
    """Request headers of a try at `address`, with the plan's header as given; None leaves a header out."""

    def make(
        address: str = "10.0.0.1:8000",
        limits: str | None = "1;overflow=10.0.0.1:8000",
        *,
        end_of_stream: bool = False,
        **others: str | None,
    ) -> wire.ProcessingRequest:
        message = wire.ProcessingRequest()
        message.request_headers.end_of_stream = end_of_stream
        headers = {":path": "/v1/chat/completions", names.ATTEMPT_LIMITS: limits, **others}
        for key, value in headers.items():
            if value is not None:
                message.request_headers.headers.headers.add(
                    key=key.replace("_", "-"), raw_value=value.encode()
                )
        if address:
            message.attributes["envoy.filters.http.ext_proc"].update(
                {names.ATTRIBUTE_UPSTREAM_ADDRESS: address}
            )
        return message

    return make


@pytest.fixture
def response_headers() -> Callable[..., wire.ProcessingRequest]:
    """Response headers of a plain JSON answer with a status; headers given as None are left out."""

    def make(
        status: int = 400, *, end_of_stream: bool = False, **changes: str | None
    ) -> wire.ProcessingRequest:
        message = wire.ProcessingRequest()
        message.response_headers.end_of_stream = end_of_stream
        headers: dict[str, str | None] = {
            ":status": str(status),
            "content_type": "application/json",
            "content_length": "100",
        }
        for key, value in (headers | changes).items():
            if value is not None:
                message.response_headers.headers.headers.add(
                    key=key.replace("_", "-"), raw_value=value.encode()
                )
        return message

    return make


@pytest.fixture
def response_body() -> Callable[..., wire.ProcessingRequest]:
    """A whole response body."""

    def make(body: bytes) -> wire.ProcessingRequest:
        return wire.ProcessingRequest(response_body=wire.HttpBody(body=body, end_of_stream=True))

    return make
