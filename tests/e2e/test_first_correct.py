from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from extproc.explain.command import ExplainOptions, gather
from extproc.explain.why import explain
from tests.e2e.questions import question, weighing_quality

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

Chat = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def document(document: dict[str, Any]) -> dict[str, Any]:
    """The usual fleet, weighing quality."""
    return weighing_quality(document)


async def test_a_wrong_answer_is_retried_on_the_next_model(gateway: Any) -> None:
    """The client sends one request and gets the accepted answer; the rejected one never left Envoy."""
    body = question(right="model-b")
    status, headers, answer = await gateway.ask(body, headers={"x-ttca-expect": "exact:42"})
    received = await gateway.received()

    assert (200, "42") == (status, answer["choices"][0]["message"]["content"])
    assert ["model-a", "model-b"] == [request["model"] for request in received]
    assert ("accepted", "model-b", "2") == (
        headers["x-ttca-verdict"],
        headers["x-ttca-model"],
        headers["x-ttca-attempts"],
    )
    assert received[1]["address"] == headers["x-ttca-instance"]
    assert "x-ttca-retry" not in headers
    await gateway.settle_empty()


async def test_an_explanation_tells_what_the_service_then_does(
    gateway: Any, chat: Chat, tmp_path: Path
) -> None:
    """`ttca explain --url` meets the running service's load, and names the models that are then asked, in their order."""
    body = question(right="model-b")
    file = tmp_path / "request.json"
    file.write_bytes(orjson.dumps({"headers": {"x-ttca-expect": "exact:42"}, "body": body}))
    options = ExplainOptions(request=file, url=gateway.stack.service_admin_url)
    told = await asyncio.to_thread(lambda: explain(gather(options, gateway.stack.settings)))
    await gateway.ask(body, headers={"x-ttca-expect": "exact:42"})
    received = await gateway.received()

    assert told.plan is not None
    weighed = [attempt.model for attempt in told.plan.attempts if attempt.reached is not None]
    assert weighed[:2] == [request["model"] for request in received]
    assert told.plan.is_verified


async def test_a_right_first_answer_costs_one_try(gateway: Any) -> None:
    """Nothing is retried that was accepted."""
    body = question(right="model-a model-b")
    _, headers, _ = await gateway.ask(body, headers={"x-ttca-expect": "exact:42"})

    assert ("accepted", "1") == (headers["x-ttca-verdict"], headers["x-ttca-attempts"])
    assert 1 == len(await gateway.received())


async def test_the_last_answer_is_delivered_marked(gateway: Any) -> None:
    """When no model is right the client gets the last answer with its verdict, never an error instead of it."""
    status, headers, answer = await gateway.ask(question(), headers={"x-ttca-expect": "exact:42"})

    assert (200, "41", "rejected") == (
        status,
        answer["choices"][0]["message"]["content"],
        headers["x-ttca-verdict"],
    )
    assert headers["x-ttca-verdict-reason"].startswith("expectation")


async def test_a_json_schema_is_held_against_the_answer(gateway: Any, chat: Chat) -> None:
    """An answer that is no JSON goes on to the model that keeps the contract."""
    body = chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "n", "schema": {"type": "object", "required": ["n"]}},
        },
        ttca_sim={"output_tokens": 5, "answers": {"model-a": "the number is 42", "model-b": '{"n": 42}'}},
    )
    _, headers, answer = await gateway.ask(body)

    assert '{"n": 42}' == answer["choices"][0]["message"]["content"]
    assert "accepted" == headers["x-ttca-verdict"]


async def test_a_stream_is_not_held_back(gateway: Any) -> None:
    """A streamed answer is delivered as it is made, unverified, whatever was expected of it."""
    body = question(tokens=300, stream=True, max_tokens=400)
    async with gateway.post(body, headers={"x-ttca-expect": "exact:42"}) as response:
        first = await response.content.readany()
        rest = await response.read()

    assert 200 == response.status
    assert first.startswith(b"data: ")
    assert rest.endswith(b"data: [DONE]\n\n")
    assert "accepted" != response.headers.get("x-ttca-verdict")


async def test_a_session_excludes_what_failed(gateway: Any) -> None:
    """A client that asks again gets another model, and may say so besides."""
    body = question(right="")
    models = []
    for _ in range(2):
        _, _, answer = await gateway.ask(body, headers={"x-ttca-session": "session-1"})
        models.append(answer["model"])
    status, _, known = await gateway.ask(
        {"session": "session-1", "attempt": 2, "correct": False}, path="/v1/feedback"
    )
    _, _, unknown = await gateway.ask({"session": "another", "correct": False}, path="/v1/feedback")

    assert {"model-a", "model-b"} == set(models)
    assert (202, {"known": True}, {"known": False}) == (status, known, unknown)


async def test_the_time_of_a_session_counts_from_its_first_attempt(gateway: Any) -> None:
    """A client that judges for itself and asks again is told how long it has been without a correct answer."""
    headers = {"x-ttca-session": "session-2", "x-ttca-expect": "contains:4"}
    started = time.monotonic()
    await gateway.ask(question(), headers=headers)
    await asyncio.sleep(0.5)
    _, second, _ = await gateway.ask(question(), headers=headers)
    waited_ms = (time.monotonic() - started) * 1000

    assert 500 <= int(second["x-ttca-elapsed-ms"]) <= waited_ms + 1


async def test_a_client_that_leaves_frees_everything(gateway: Any) -> None:
    """Leaving in the middle of the second try takes the request off the book and off the instance."""
    crawling, usual = 0.001, 10.0
    for address in gateway.instances("b-short"):
        await gateway.faults(address, time_scale=crawling)
    asking = asyncio.create_task(gateway.ask(question(), headers={"x-ttca-expect": "exact:42"}))

    async def is_retried() -> bool:
        return len(await gateway.received()) == 2

    await gateway.settle(is_retried)
    asking.cancel()
    await gateway.settle_empty()

    async def instances_are_idle() -> bool:
        for address in gateway.stack.addresses:
            async with gateway.session.get(f"http://{address}/admin/config") as response:
                if (await response.json())["unfinished_requests"]:
                    return False
        return True

    await gateway.settle(instances_are_idle)
    for address in gateway.stack.addresses:
        await gateway.faults(address, time_scale=usual)
