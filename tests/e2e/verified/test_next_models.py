from __future__ import annotations

import asyncio
import itertools
from typing import Any

import orjson
import pytest
from aiohttp import web

from extproc.decide.attempts import AttemptContext, Continuation
from extproc.protocol import names
from extproc.verify.judge import JudgeCall
from tests.e2e.verified.scripted import (
    MAX_BODY_BYTES,
    MODELS,
    System,
    completion,
    says,
)

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


async def test_a_rejected_answer_is_retried_on_the_next_model(system: System) -> None:
    """Only the accepted answer reaches the client; each instance got its own model in a whole body."""
    system.answers |= {"u1": says("wrong"), "u2": says("wrong too")}
    status, headers, text = await system.ask()

    assert (200, "right") == (status, text)
    assert ["u1", "u2", "u3"] == [request.instance for request in system.received]
    assert list(MODELS.values()) == [request.document["model"] for request in system.received]
    assert ["hi"] * 3 == [request.document["messages"][0]["content"] for request in system.received]
    assert [True, False, False] == [request.says_its_length for request in system.received]
    assert ("accepted", MODELS["u3"], system.address["u3"], "3") == tuple(
        headers[name] for name in (names.VERDICT, names.MODEL_HEADER, names.INSTANCE, names.ATTEMPTS)
    )
    assert int(headers[names.ELAPSED]) >= 0
    assert names.RETRY not in headers
    assert names.VERDICT_REASON not in headers
    await system.settle(lambda: len(system.records) == 3)
    assert [True, True, False] == [record.goes_on for record in system.records]
    assert [7, 7, 7] == [record.completion_tokens for record in system.records]
    assert 0 == await system.counter("rejected_header_mutations")


@pytest.mark.parametrize("order", list(itertools.permutations(MODELS)))
async def test_every_try_starts_from_the_original_body(system: System, order: tuple[str, ...]) -> None:
    """Whatever the order of longer and shorter names, a try's body is the client's but for its own model."""
    system.order = order
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    fields = {"messages": [{"role": "user", "content": 'é "model": 1' * 50}], "seed": 3}
    await system.ask(**fields)

    assert list(order) == [request.instance for request in system.received]
    for request in system.received:
        assert {"model": MODELS[request.instance], **fields} == request.document
    assert [True, False, False] == [request.says_its_length for request in system.received]


async def test_output_limits_are_those_of_the_instance(system: System) -> None:
    """A smaller instance gets a smaller limit, and the next one starts again from the client's."""
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    system.limits = {"u1": 100, "u2": 5000}
    await system.ask(max_tokens=2000)

    assert [100, 2000, 2000] == [request.document["max_tokens"] for request in system.received]
    system.received.clear()
    await system.ask()
    assert [100, 5000, None] == [request.document.get("max_tokens") for request in system.received]


async def test_the_last_rejected_answer_is_delivered(system: System) -> None:
    """When all attempts are used up the client gets the last answer, marked, not an error."""
    system.answers = dict.fromkeys(MODELS, says("wrong"))
    status, headers, text = await system.ask()

    assert (200, "wrong") == (status, text)
    assert ("rejected", "3") == (headers[names.VERDICT], headers[names.ATTEMPTS])
    assert headers[names.VERDICT_REASON].startswith("expect")
    assert names.RETRY not in headers
    await system.settle(lambda: len(system.records) == 3)
    assert [False, False, True] == [record.is_last for record in system.records]


@pytest.mark.parametrize("is_verified", [True, False])
async def test_the_sign_for_a_retry_never_leaves_the_gateway(system: System, is_verified: bool) -> None:
    """Not even when Envoy has no retry left, and the instance itself sent it."""

    async def signing(_request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response(completion("wrong", document["model"]), headers={names.RETRY: "1"})

    system.answers["u1"] = signing
    system.order = ("u1",)
    system.changes = {"is_verified": is_verified}
    status, headers, text = await system.ask()

    assert (200, "wrong") == (status, text)
    assert names.RETRY not in headers


async def test_the_budget_can_stop_a_plan(system: System) -> None:
    """An attempt that is not worth it is not made, and the reason is on record."""
    asked: list[AttemptContext] = []

    def not_worth_it(context: AttemptContext) -> Continuation:
        asked.append(context)
        return Continuation(following=None, reason="not-worth-it")

    system.go_on = not_worth_it
    system.answers["u1"] = says("wrong")
    status, headers, text = await system.ask()

    assert (200, "wrong", "rejected", "1") == (
        status, text, headers[names.VERDICT], headers[names.ATTEMPTS],
    )  # fmt: skip
    assert ["u1"] == [request.instance for request in system.received]
    [context] = asked
    assert system.address["u2"] == context.next_attempt.address
    assert (0.25, 1.0) == context.plan.ability
    await system.settle(lambda: len(system.records) == 1)
    assert "not-worth-it" == system.records[0].budget


async def test_a_schema_is_held_against_the_answer(system: System) -> None:
    """The request's own body travels to the verifier: JSON of the wrong shape is retried."""
    schema = {"type": "object", "required": ["city"], "properties": {"city": {"type": "string"}}}
    system.answers["u1"] = says('{"town": 1}')
    system.answers["u2"] = says('{"city": "Paris"}')
    demand = {"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}
    _, headers, text = await system.ask(expect=None, response_format=demand)

    assert ('{"city": "Paris"}', "accepted", "2") == (
        text, headers[names.VERDICT], headers[names.ATTEMPTS],
    )  # fmt: skip


async def test_an_error_status_is_retried_by_envoy_itself(system: System) -> None:
    """A 503 needs no verdict; the next model gets its own body all the same."""

    async def fail(_request: web.Request, _document: dict[str, Any]) -> web.StreamResponse:
        return web.json_response({"error": {"message": "busy"}}, status=503)

    system.answers["u1"] = fail
    status, headers, text = await system.ask()

    assert (200, "right", "accepted") == (status, text, headers[names.VERDICT])
    assert [MODELS["u1"], MODELS["u2"]] == [request.document["model"] for request in system.received]


async def test_large_requests_are_rewritten_whole(system: System) -> None:
    """A prompt near the limit reaches each model unharmed."""
    prompt = "h" * (MAX_BODY_BYTES - 500)
    system.answers["u1"] = says("wrong")
    status, _, text = await system.ask(messages=[{"role": "user", "content": prompt}])

    assert (200, "right") == (status, text)
    assert [prompt, prompt] == [request.document["messages"][0]["content"] for request in system.received]


async def test_either_replica_serves_any_stream(system: System) -> None:
    """DECIDE and ATTEMPT of one request land on different replicas, and the verdicts are the same."""
    system.answers["u1"] = says("wrong")
    answers = await asyncio.gather(*(system.ask() for _ in range(24)))

    assert {(200, "right", "2")} == {
        (status, text, headers[names.ATTEMPTS]) for status, headers, text in answers
    }
    await system.settle(lambda: len(system.records) == 48)
    first, second = system.replicas
    assert first.plans
    assert second.plans
    strangers = {r.decision_id for r in first.records} & set(second.plans)
    assert strangers | ({r.decision_id for r in second.records} & set(first.plans))


async def test_many_requests_do_not_mix(system: System) -> None:
    """With half the answers wrong at random, everybody gets the answer to the own question."""

    async def echo(request: web.Request, document: dict[str, Any]) -> web.StreamResponse:
        number = int(document["messages"][0]["content"])
        name = next(key for key, model in MODELS.items() if model == document["model"])
        is_right = number % 3 == int(name[1]) - 1
        return web.json_response(completion(f"right {number}" if is_right else "wrong"))

    system.answers = dict.fromkeys(MODELS, echo)
    numbers = range(60)
    answers = await asyncio.gather(
        *(
            system.ask(expect=f"exact:right {number}", messages=[{"role": "user", "content": str(number)}])
            for number in numbers
        )
    )

    assert [f"right {number}" for number in numbers] == [text for _, _, text in answers]
    assert [str(number % 3 + 1) for number in numbers] == [
        headers[names.ATTEMPTS] for _, headers, _ in answers
    ]


async def test_an_external_judge_may_take_its_time(system: System) -> None:
    """Its word is waited for beyond the filter's usual two seconds, and its rejection is retried."""

    async def judge(call: JudgeCall) -> tuple[int | None, bytes]:
        is_wrong = b"plausible" in call.body
        await asyncio.sleep(2.3 if is_wrong else 0)
        return 200, orjson.dumps({"correct": not is_wrong})

    system.judge = judge
    try:
        await system.restart()
        system.answers["u1"] = says("plausible")
        _, headers, text = await system.ask(expect=None)
    finally:
        system.judge = None
        await system.restart()

    assert ("right", "accepted", "2") == (text, headers[names.VERDICT], headers[names.ATTEMPTS])
