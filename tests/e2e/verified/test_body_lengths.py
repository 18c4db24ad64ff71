"""Each instance gets the whole body of its try and not a byte more, whatever the other tries' bodies look like."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation, Following
from extproc.protocol import names
from tests.e2e.verified import scripted
from tests.e2e.verified.scripted import Answer, System, says

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

LONG_NAME = "meta-llama/Llama-3.1-405B-Instruct-FP8"
SMUGGLED = b"PUT /smuggled HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nX-Fill: %s\r\n\r\n"
UNICODE = ("utf-16-le", "utf-16-be", "utf-16", "utf-32-le", "utf-32-be", "utf-32", "utf-8-sig")


def failing(status: int) -> Answer:
    """Answer with an error."""

    async def answer(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "busy"}}, status=status)

    return answer


def at(
    position: int, address: str, *, number: int, **changes: Any
) -> Callable[[AttemptContext], Continuation]:
    """Make the plan's attempt of this index at an instance as the try of this number, the others as planned."""

    def go_on(context: AttemptContext) -> Continuation:
        if context.number + 1 != number:
            return Continuation.as_planned(context, "worth_it")
        attempt = replace(context.plan.attempts[position], address=address, **changes)
        return Continuation(following=Following(attempt=attempt, position=position), reason="worth_it")

    return go_on


def smuggling(excess: int) -> bytes:
    """A body in UTF-16 whose last `excess` bytes are a request of their own."""
    tail = '"}'.encode("utf-16-le")
    evil = SMUGGLED % (b"e" * (excess - len(tail) - len(SMUGGLED % b"")))
    text = '{"model":"auto","messages":[{"role":"user","content":"hi"}],"x":"' + evil.decode("utf-16-le")
    body = (text + '"}').encode("utf-16-le")
    assert evil + tail == body[-excess:]
    return body


async def post(system: System, body: bytes) -> None:
    """Send a body; the answer must come."""
    headers = {"content-type": "application/json", names.EXPECT: "exact:right"}
    url = f"{system.url}/v1/chat/completions"
    async with system.client.post(url, data=body, headers=headers) as response:
        assert 200 == response.status
        await response.read()


@pytest.mark.parametrize("first", [says("wrong"), failing(503)])
async def test_a_body_does_not_end_in_a_request_of_its_own(
    system: System, monkeypatch: pytest.MonkeyPatch, first: Answer
) -> None:
    """A model of the long name, one of a short name, and the long name again.

    The last one's body is longer than the one before by what the names differ in; were it sent under that one's length, its
    end would be the next request on an instance's connection.
    """
    monkeypatch.setitem(scripted.INSTANCES, "u2", LONG_NAME)
    system.order = ("u2", "u1", "u3")
    system.answers |= {"u2": first, "u1": says("wrong"), "t2": says("right")}
    system.go_on = at(0, system.address["t2"], number=3)
    body = smuggling(2 * (len(LONG_NAME) - len(scripted.MODELS["u1"])))
    # A request that is left over on the connection stands before the next one.
    for _ in range(3):
        await post(system, body)

    assert ["u2", "u1", "t2"] * 3 == [request.instance for request in system.received]
    assert [LONG_NAME, "a", LONG_NAME] * 3 == [request.document["model"] for request in system.received]


@pytest.mark.parametrize("encoding", UNICODE)
@pytest.mark.parametrize("order", [("u1", "u2", "u3"), ("u2", "u1", "u3")])
async def test_every_encoding_of_json_reaches_every_model(
    system: System, encoding: str, order: tuple[str, ...]
) -> None:
    """Longer and shorter names, with and without a limit, and the first model once more at another instance."""
    system.order = (*order, "t1")
    system.answers |= dict.fromkeys(("u1", "u2", "u3", "t1"), says("wrong"))
    system.limits = {order[1]: 100}
    system.go_on = at(0, system.address["t2"], number=4)
    text = '{"model":"auto","messages":[{"role":"user","content":"é 😀"}],"x":{"model":"auto"}}'
    await post(system, text.encode(encoding))

    assert [*order, "t2"] == [request.instance for request in system.received]
    first, *_ = models = [scripted.INSTANCES[name] for name in order]
    assert [*models, first] == [request.document["model"] for request in system.received]
    assert [None, 100, None, None] == [request.document.get("max_tokens") for request in system.received]
    for request in system.received:
        assert "é 😀" == request.document["messages"][0]["content"]
        assert {"model": "auto"} == request.document["x"]


async def test_a_model_that_is_named_a_dozen_times_reaches_every_instance(system: System) -> None:
    """Each of the duplicates changes its length, and the first model's body follows the others'."""
    system.order = ("u1", "u2", "u3")
    system.answers |= {"u1": failing(503), "u2": says("wrong"), "t2": says("right")}
    system.go_on = at(0, system.address["t2"], number=3)
    await post(system, b"{" + b'"model":"auto",' * 12 + b'"messages":[{"role":"user","content":"hi"}]}')

    assert [("u1", "a"), ("u2", scripted.MODELS["u2"]), ("t2", "a")] == [
        (request.instance, request.document["model"]) for request in system.received
    ]


async def test_a_limit_that_a_rejection_brings_needs_no_room_in_the_plan(system: System) -> None:
    """The plan limits no answer; what is decided later does, and the first model is asked again without one."""
    system.order = ("u1", "t1", "u3")
    system.answers |= {"u1": says("wrong"), "t1": says("wrong")}
    limited = at(1, system.address["t1"], number=2, max_tokens=1_000_000)
    again = at(0, system.address["t3"], number=3)
    system.go_on = lambda context: limited(context) if context.number == 1 else again(context)
    await post(system, b'{"model":"auto","messages":[{"role":"user","content":"hi"}]}')

    assert [("u1", None), ("t1", 1_000_000), ("t3", None)] == [
        (request.instance, request.document.get("max_tokens")) for request in system.received
    ]
